//! MobileNetV3 (Howard et al. 2019, "Searching for MobileNetV3", tables 1 and 2) in Burn.
//!
//! Each variant is one table, [`SMALL`] or [`LARGE`]. [`MobileNetV3`] follows the table layer by layer,
//! and its tensors have the names of torchvision, so ImageNet weights can be read from ONNX, safetensors
//! or a torchvision `.pth` file ([`deeptell_weights`]), and trained weights are written under the same
//! names.
//!
//! ```
//! use burn::tensor::{Device, Tensor};
//! use deeptell_mobilenet::{MobileNetV3Config, Variant};
//!
//! let device = Device::flex();
//! let network = MobileNetV3Config::new(Variant::Small, 1).init(&device);
//! let logits = network.forward(Tensor::zeros([2, 3, 224, 224], &device));
//! assert_eq!(logits.dims(), [2, 1]);
//! ```
//!
//! On Burn's CPU device the convolutions run through `deeptell-kernels`, elsewhere through
//! Burn's own operations; the results agree to rounding.

mod architecture;
mod blocks;
mod class_activation;
mod dropout;
mod dtype;
mod fold;
mod model;
mod names;
mod onnx;

pub use architecture::{BlockSpec, LARGE, SMALL, Table, Variant};
pub use model::{MobileNetV3, MobileNetV3Config};
pub use names::names;
pub use onnx::to_onnx;

/// Compiles the example of the README.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
