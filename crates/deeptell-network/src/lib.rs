//! The classifier networks that deeptell knows, as one type.
//!
//! A [`Network`] is built from an [`Architecture`], which model files and training configurations
//! name. Training, loading and export go through these two types. To add a network, add a variant to
//! each.
//!
//! ```
//! use burn::tensor::Device;
//! use deeptell_network::{Architecture, NetworkConfig, Normalization, normalize};
//! use image::RgbImage;
//!
//! let device = Device::flex();
//! let network = NetworkConfig::new(Architecture::MobileNetV3Small, 1).init(&device);
//! let crops = [RgbImage::new(224, 224), RgbImage::new(224, 224)];
//! let logits = network.forward(normalize(&crops, &Normalization::IMAGENET, &device)?);
//! assert_eq!(logits.dims(), [2, 1]);
//! # Ok::<(), deeptell_network::PreprocessError>(())
//! ```

mod architecture;
mod network;
mod normalization;

pub use architecture::{Architecture, KNOWN_FILES, UnknownArchitecture};
pub use deeptell_weights::onnx::Options as OnnxOptions;
pub use deeptell_weights::{
    DropoutMask, Dtype, DtypeError, KnownFile, NamedTensor, StoredDtype, Weights, WeightsError,
};
pub use network::{Network, NetworkConfig};
pub use normalization::{Normalization, PreprocessError, normalize};

/// Compiles the example of the README.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
