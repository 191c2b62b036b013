//! Losses of quality, one at a time, to measure their effect on scores.

use std::fmt;
use std::str::FromStr;

use deeptell_augment::Augmentation;
use deeptell_data::keep_corners;
use deeptell_face::RgbImage;
use deeptell_video::{VideoCodec, VideoError, recompress};
use rand::SeedableRng as _;
use rand_chacha::ChaCha8Rng;

/// One loss of quality at a fixed strength.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub enum Distortion {
    /// A keyframe of H.264 at this constant rate factor.
    H264(u8),
    /// JPEG of this quality.
    Jpeg(u8),
    /// Scaled down by this factor and up again.
    Shrink(f32),
    /// Gaussian noise of this standard deviation, in levels of 255.
    Noise(f32),
    /// No colors.
    Grey,
    /// Only the four corners are left, and no face: a control, not a loss that occurs in practice.
    Corners,
}

impl Distortion {
    /// Losses of quality that are common on the web and leave a face recognizable.
    pub const USUAL: [Self; 6] =
        [Self::H264(28), Self::Jpeg(50), Self::Shrink(2.0), Self::Shrink(3.0), Self::Noise(5.0), Self::Grey];

    /// Whether this build can apply it: FFmpeg may have no encoder of H.264, as the one that is linked with the feature
    /// `static`.
    pub fn is_available(self) -> bool {
        !matches!(self, Self::H264(_)) || VideoCodec::H264.is_available()
    }

    /// The distorted picture, of the same size.
    ///
    /// # Errors
    /// When FFmpeg cannot compress it.
    pub fn apply(self, image: &RgbImage) -> Result<RgbImage, VideoError> {
        let mut change = Augmentation::none();
        match self {
            Self::H264(crf) => return recompress(image, VideoCodec::H264, crf),
            Self::Corners => return Ok(keep_corners(image)),
            Self::Jpeg(quality) => (change.jpeg_probability, change.jpeg_quality) = (1.0, [quality; 2]),
            Self::Shrink(factor) => (change.rescale_probability, change.rescale) = (1.0, [factor; 2]),
            Self::Noise(sigma) => (change.noise_probability, change.noise_sigma) = (1.0, [sigma; 2]),
            Self::Grey => change.grey_probability = 1.0,
        }
        Ok(change.apply(image, &mut ChaCha8Rng::seed_from_u64(0)))
    }
}

impl fmt::Display for Distortion {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::H264(crf) => write!(formatter, "h264:{crf}"),
            Self::Jpeg(quality) => write!(formatter, "jpeg:{quality}"),
            Self::Shrink(factor) => write!(formatter, "shrink:{factor}"),
            Self::Noise(sigma) => write!(formatter, "noise:{sigma}"),
            Self::Grey => formatter.write_str("grey"),
            Self::Corners => formatter.write_str("corners"),
        }
    }
}

impl FromStr for Distortion {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, value) = text.split_once(':').unwrap_or((text, ""));
        let in_range = |least: f32, most: f32| {
            let value = value.parse::<f32>().ok().filter(|value| (least..=most).contains(value));
            value.ok_or_else(|| format!("{name} needs a number from {least} to {most}: {name}:{most}"))
        };
        match name {
            "h264" => in_range(0.0, 51.0).map(|crf| Self::H264(crf as u8)),
            "jpeg" => in_range(1.0, 100.0).map(|quality| Self::Jpeg(quality as u8)),
            "shrink" => in_range(1.0, 16.0).map(Self::Shrink),
            "noise" => in_range(0.0, 128.0).map(Self::Noise),
            "grey" if value.is_empty() => Ok(Self::Grey),
            "corners" if value.is_empty() => Ok(Self::Corners),
            _ => {
                Err("choose one of h264:CRF, jpeg:QUALITY, shrink:FACTOR, noise:LEVELS, grey, corners"
                    .to_owned())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distortions_round_trip_as_text_and_change_a_picture() {
        let picture = RgbImage::from_fn(64, 64, |x, y| image::Rgb([(x * y) as u8, (x * 4) as u8, 90]));
        for distortion in Distortion::USUAL.into_iter().chain([Distortion::Corners]) {
            assert_eq!(distortion.to_string().parse(), Ok(distortion));
            let distorted = distortion.apply(&picture).unwrap();
            assert_eq!(distorted.dimensions(), (64, 64));
            assert_ne!(distorted, picture, "{distortion}");
            assert_eq!(distorted, distortion.apply(&picture).unwrap(), "{distortion}");
        }
    }

    #[test]
    fn invalid_distortions_are_refused() {
        for text in ["", "h264", "h264:99", "jpeg:x", "shrink:0", "blur:2", "grey:1", "corners:2"] {
            assert!(text.parse::<Distortion>().unwrap_err().len() > 10, "{text}");
        }
    }
}
