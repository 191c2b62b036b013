//! Faces in images: detection, linking, cropping.
//!
//! [`FaceDetector`] is the interface of face detectors, and [`Face`] is a face that one found.
//! [`FaceTracker`] follows faces from frame to frame, and [`merge_tracks`] finds the tracks of one
//! person. [`FaceCrop`] cuts a face out of its frame; training and inference both use
//! [`FaceCrop::cut`], so that a classifier sees the framing that it was trained on. [`read_picture`]
//! reads still pictures, upright. The crate also has the geometry for this: boxes, landmarks,
//! similarity transforms, non-maximum suppression. [`draw_faces`] shows what was found.
//!
//! Coordinates are in pixels, x to the right and y down; the pixel in column `i` and row
//! `j` covers `[i, i + 1) x [j, j + 1)`, so its center is at `(i + 0.5, j + 0.5)`.
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

mod background;
mod blur;
mod color_grid;
mod crop;
mod detector;
mod draw;
mod face;
mod landmarks;
mod link;
mod linker;
mod nms;
mod people;
mod picture;
mod rect;
mod redetection;
mod similarity;
mod thumbnail;
mod tracker;
mod warp;

pub use blur::blur_effect;
pub use color_grid::ColorGrid;
pub use crop::{CropError, FaceCrop};
pub use detector::{FaceDetector, FaceDetectorFn, FaceDetectorId, FaceError};
pub use draw::draw_faces;
pub use face::{Face, Selection};
pub use image::RgbImage;
pub use landmarks::Landmarks;
pub use link::link_faces;
pub use linker::{FaceLinker, Sighting};
pub use nms::{Overlap, non_maximum_suppression};
pub use people::{Appearance, merge_tracks};
pub use picture::{
    Picture, PictureError, PictureFormat, PictureKind, PictureLimits, TrailingMedia, TrailingMediaKind,
    exif_orientation, read_picture, shrunk, size_within,
};
pub use rect::{Point, Rect};
pub use redetection::redetection_rate;
pub use similarity::Similarity;
pub use thumbnail::Thumbnail;
pub use tracker::{FaceTracker, SampleTracker};
pub use warp::{warp, warp_stretched};

/// Compiles the example of the README.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
