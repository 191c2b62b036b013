//! Faces in images: what finds them, where they are, how they are cut out.
//!
//! [`FaceDetector`] is the interface of every face detector, [`Face`] what it finds,
//! [`link_faces`] decides which face of one frame is which of another, and [`FaceCrop`] is the
//! one definition of how a face is cut out of its frame. Training and inference both cut through
//! [`FaceCrop::cut`], so a classifier never sees a framing it was not trained on. The geometry
//! below them is here too: boxes, landmarks, similarity transforms, non-maximum suppression.
//!
//! [`read_picture`] is the one reader of still pictures, for the same reason.
//!
//! Coordinates are in pixels, x to the right and y down; the pixel in column `i` and row
//! `j` covers `[i, i + 1) x [j, j + 1)`, so its centre is at `(i + 0.5, j + 0.5)`.
//!
//! ```
//! use deeptell_face::{FaceCrop, Rect, RgbImage};
//!
//! let frame = RgbImage::from_pixel(640, 360, image::Rgb([90, 120, 150]));
//! let face = Rect::new(300.0, 80.0, 380.0, 190.0);
//! let crop = FaceCrop::default().cut(&frame, face, None)?;
//! assert_eq!(crop.dimensions(), (224, 224));
//! # Ok::<(), deeptell_face::CropError>(())
//! ```

mod blur;
mod crop;
mod detector;
mod face;
mod landmarks;
mod link;
mod nms;
mod picture;
mod rect;
mod redetection;
mod similarity;
mod thumbnail;
mod warp;

pub use blur::blur_effect;
pub use crop::{CropError, FaceCrop};
pub use detector::{FaceDetector, FaceDetectorId, FaceError};
pub use face::{Face, Selection};
pub use image::RgbImage;
pub use landmarks::Landmarks;
pub use link::link_faces;
pub use nms::{Overlap, non_maximum_suppression};
pub use picture::{
    Picture, PictureError, PictureFormat, PictureKind, PictureLimits, read_picture, shrunk, size_within,
};
pub use rect::{Point, Rect};
pub use redetection::redetection_rate;
pub use similarity::Similarity;
pub use thumbnail::Thumbnail;
pub use warp::{warp, warp_stretched};

/// Compiles the example of the README.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
