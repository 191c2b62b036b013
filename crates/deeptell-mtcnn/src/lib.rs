//! MTCNN face detection in Burn, with the weights embedded.
//!
//! [`Mtcnn`] finds the faces of an image, each with its box, its probability and five landmarks; it is a
//! [`FaceDetector`](deeptell_face::FaceDetector). It is the cascade of Zhang, Zhang, Li and Qiao, "Joint Face Detection
//! and Alignment Using Multitask Cascaded Convolutional Networks" (2016, <https://arxiv.org/abs/1604.02878>): P-Net
//! proposes boxes at every size, R-Net refines them, O-Net decides and places the landmarks. Weights and thresholds are
//! those of facenet-pytorch 2.6.0, and results agree with it to a fraction of a pixel.
//!
//! ```
//! use burn::tensor::Device;
//! use deeptell_face::{RgbImage, Selection};
//! use deeptell_mtcnn::Mtcnn;
//!
//! let mtcnn = Mtcnn::pretrained(&Device::flex())?;
//! let frame = RgbImage::from_pixel(96, 64, image::Rgb([90, 120, 150]));
//! let faces = mtcnn.detect(&frame)?;
//! assert!(faces.is_empty()); // plain blue
//!
//! // When one face is enough (`detect_largest` finds the largest sooner):
//! assert!(Selection::Largest.pick(&faces).is_none());
//! # Ok::<(), deeptell_mtcnn::MtcnnError>(())
//! ```
//!
//! [`Mtcnn::detect_batch`] takes frames of any sizes at once, and a [`Tracker`] follows faces
//! through a video at a quarter of the cost. [`Mtcnn::detect_largest`] stops at the largest face, which takes half as
//! long where it is large. [`MtcnnConfig`] sets the smallest face, in pixels or
//! as a fraction of the frame, shrinks large frames first, and searches for rotated faces.
//! The three stages can be run one at a time through [`stages`].
//!
//! # Speed
//! On the CPU the networks run in the fused kernels of `deeptell-kernels`: rows of a pyramid level are averaged,
//! normalized and passed through all layers of P-Net while they are in the cache. Neither a level nor a feature map is
//! ever stored as a whole. Tiles of all levels of all frames
//! share the rayon pool, and so do the crops of R-Net and O-Net. On any other device the whole
//! pyramid is one picture, and each stage is read back once.
//!
//! # Differences from facenet-pytorch
//! - Frames of a batch may differ in size and may be without a face.
//! - An image smaller than the smallest face has no face, instead of raising an error.
//! - A box without a pixel inside its image is dropped, instead of shifting the crops against the boxes.
//! - Memory and time are bounded: P-Net works in tiles, R-Net and O-Net in batches, and
//!   [`CandidateLimits`] bounds the work for a picture full of face-like texture.
//! - Rotated faces are searched for on request ([`retry_turned`](field@MtcnnConfig::retry_turned)).

mod cascade;
mod config;
mod detector;
mod error;
mod face_detector;
mod face_size;
mod network;
pub mod stages;
mod tracker;

pub use config::{CandidateLimits, MtcnnConfig, Overlaps};
pub use detector::Mtcnn;
pub use error::MtcnnError;
pub use face_size::FaceSize;
pub use tracker::{FoundBy, KeyFrame, TrackedFace, TrackedFrame, Tracker, TrackerConfig};

/// Compiles the example of the README.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
