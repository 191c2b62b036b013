use std::fmt;

use serde::{Deserialize, Serialize};

use crate::network::PNet;

/// The size of the smallest face to find.
///
/// ```
/// use deeptell_mtcnn::FaceSize;
///
/// assert_eq!(FaceSize::from(40.0), FaceSize::Pixels(40.0));
/// assert_eq!(FaceSize::Fraction(0.1).in_pixels(1920, 1080), 108.0);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FaceSize {
    /// Side in pixels of the image; at least 12.
    Pixels(f32),
    /// Side as a fraction of the image's shorter side, above 0 and at most 1. At least 12 pixels
    /// whatever the image.
    Fraction(f32),
}

impl FaceSize {
    /// The side in pixels of an image of `width x height` pixels, at least 12.
    pub fn in_pixels(self, width: u32, height: u32) -> f32 {
        match self {
            Self::Pixels(pixels) => pixels,
            Self::Fraction(fraction) => (fraction * width.min(height) as f32).max(PNet::WINDOW as f32),
        }
    }
}

impl fmt::Display for FaceSize {
    /// `20`, or `0.1 of the shorter side`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pixels(pixels) => write!(f, "{pixels}"),
            Self::Fraction(fraction) => write!(f, "{fraction} of the shorter side"),
        }
    }
}

impl From<f32> for FaceSize {
    fn from(pixels: f32) -> Self {
        Self::Pixels(pixels)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fraction_is_of_the_shorter_side() {
        assert_eq!(FaceSize::Fraction(0.1).in_pixels(1080, 1920), 108.0);
        assert_eq!(FaceSize::Fraction(0.1).in_pixels(100, 60), 12.0);
        assert_eq!(FaceSize::Pixels(20.0).in_pixels(100, 60), 20.0);
    }
}
