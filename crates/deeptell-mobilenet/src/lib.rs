//! MobileNetV3-Small (Howard et al. 2019, "Searching for MobileNetV3", table 2) in Burn.
//!
//! The network is one table, [`BLOCKS`]; [`MobileNetV3Small`] follows it layer by layer and
//! torchvision tensor by tensor, so ImageNet weights come over from ONNX, safetensors or a
//! torchvision `.pth` through [`Weights::read`], and what deeptell trains goes back out under
//! the same names.
//!
//! ```
//! use burn::tensor::Device;
//! use deeptell_mobilenet::{MobileNetV3SmallConfig, normalize};
//! use image::RgbImage;
//!
//! let device = Device::flex();
//! let network = MobileNetV3SmallConfig::new(1).init(&device);
//! let crops = [RgbImage::new(224, 224), RgbImage::new(224, 224)];
//! let logits = network.forward(normalize(&crops, &device)?);
//! assert_eq!(logits.dims(), [2, 1]);
//! # Ok::<(), deeptell_mobilenet::PreprocessError>(())
//! ```
//!
//! On Burn's CPU device the convolutions run through `deeptell-kernels`, elsewhere through
//! Burn's own operations; the results agree to rounding.

mod architecture;
mod model;
mod names;
mod precision;
mod preprocess;
mod weights;

pub use architecture::{BLOCKS, BlockSpec};
pub use model::{MobileNetV3Small, MobileNetV3SmallConfig};
pub use precision::{Precision, PrecisionError};
pub use preprocess::{IMAGENET_MEAN, IMAGENET_STD, PreprocessError, normalize};
pub use weights::{KNOWN_FILES, KnownFile, NamedTensor, OnnxOptions, StoredPrecision, Weights, WeightsError};
