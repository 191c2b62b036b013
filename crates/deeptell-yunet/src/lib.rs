//! YuNet face detection in Burn, with imported weights.
//!
//! [`YuNet`] finds the faces of an image, each with its box, its score and five landmarks; it is a
//! [`FaceDetector`](deeptell_face::FaceDetector). It is the network of Wu, Peng and Yu, "YuNet: A Tiny
//! Millisecond-level Face Detector" (2023, <https://doi.org/10.1007/s11633-023-1423-y>): depthwise separable
//! convolutions, a feature pyramid, and one candidate for each cell of three grids of 8, 16 and 32 pixels. With the
//! default settings, boxes, scores and landmarks are those of OpenCV's `FaceDetectorYN`.
//!
//! No weights are included. [`YuNetWeights`] reads them from a published ONNX file; [`KNOWN_FILES`] lists the files
//! whose content is known. [`YuNetConfig`] holds the settings.
//!
//! ```no_run
//! use burn::tensor::Device;
//! use deeptell_face::RgbImage;
//! use deeptell_yunet::{YuNetConfig, YuNetWeights};
//!
//! let weights = YuNetWeights::read("face_detection_yunet_2023mar.onnx")?;
//! let yunet = YuNetConfig::default().init(&weights, &Device::flex())?;
//! let faces = yunet.detect(&RgbImage::new(640, 360))?;
//! # Ok::<(), deeptell_yunet::YuNetError>(())
//! ```
//!
//! # Limits
//! YuNet was trained on faces of some 10 to 300 pixels. Above 500 it finds parts of faces instead:
//! [`max_side`](field@YuNetConfig::max_side) shrinks large images first. Scores hardly exceed 0.95.

mod config;
mod decode;
mod detector;
mod error;
mod face_detector;
mod graph;
mod known;
mod network;
mod weights;

pub use config::YuNetConfig;
pub use detector::YuNet;
pub use error::YuNetError;
pub use known::KNOWN_FILES;
pub use weights::YuNetWeights;

/// Compiles the example of the README.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
