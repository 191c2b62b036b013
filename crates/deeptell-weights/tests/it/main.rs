//! Files of every format, as tools write them and as an attacker would.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking, in its helper functions too")]

mod corpus;
mod onnx;
mod pth;
mod pytorch;

use deeptell_weights::{NamedTensor, Weights};

fn tensor(name: &str, shape: &[usize], values: &[f32]) -> NamedTensor {
    NamedTensor { name: name.to_owned(), shape: shape.to_vec(), values: values.into() }
}

/// Little weights of a made-up network.
fn little() -> Weights {
    let mut weights = Weights::default();
    weights.tensors.push(tensor("features.0.0.bias", &[2], &[0.5, -2.0]));
    weights.tensors.push(tensor("features.0.0.weight", &[2, 1, 1, 1], &[1.0, 0.25]));
    weights
}
