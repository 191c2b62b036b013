//! Tests with files of random weights in the structure of the published ones, and with published weights where there
//! are any.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking, in its helper functions too")]

mod import;
mod network;
mod onnx_file;
mod opencv;
