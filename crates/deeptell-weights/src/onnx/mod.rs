//! ONNX files: reads initializers, writes whole graphs.

mod graph;
mod read;
mod wire;

pub use graph::{Attribute, Graph, Options};
pub(crate) use read::{read, recognises};

/// Numbers of ONNX's `TensorProto.DataType`.
const FLOAT: u64 = 1;
const FLOAT16: u64 = 10;
const DOUBLE: u64 = 11;
const BFLOAT16: u64 = 16;
