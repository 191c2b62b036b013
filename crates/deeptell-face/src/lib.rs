//! Pixels and geometry for face forensics.
//!
//! The ground floor of deeptell: boxes, landmarks, similarity transforms, non-maximum
//! suppression, and [`FaceCrop`], the one definition of how a face leaves its frame.
//! Training and inference both cut faces through [`FaceCrop::cut`], so a detector never
//! meets a framing it was not trained on.
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
mod landmarks;
mod nms;
mod rect;
mod similarity;
mod warp;

pub use blur::blur_effect;
pub use crop::{CropError, FaceCrop};
pub use image::RgbImage;
pub use landmarks::Landmarks;
pub use nms::{Overlap, non_maximum_suppression};
pub use rect::{Point, Rect};
pub use similarity::Similarity;
pub use warp::{warp, warp_stretched};
