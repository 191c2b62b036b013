//! ONNX files: reads initializers and nodes, writes whole graphs.

mod graph;
mod model;
mod read;
mod wire;

pub use graph::{Attribute, Graph, Options};
pub use model::{Model, Node};
pub(crate) use read::{read, recognizes};

/// Numbers of ONNX's `TensorProto.DataType`.
const FLOAT: u64 = 1;
const FLOAT16: u64 = 10;
const DOUBLE: u64 = 11;
const BFLOAT16: u64 = 16;
