#![doc = include_str!("../README.md")]

mod augment;
mod blend;
mod color;
mod degrade;
mod error;
mod face_part;
mod face_shape;
mod mask;
mod random;
mod resample;
mod seam;

pub use augment::{Augmentation, AugmentationDraw};
pub use blend::{Blend, SelfBlend};
pub use error::AugmentError;
pub use face_part::FacePart;
pub use face_shape::MaskKind;
pub use seam::Seam;
