use burn::tensor::Device;
use deeptell_files::sha256;
use serde::{Deserialize, Serialize};

use crate::network::{Networks, PNet, embedded};
use crate::{FaceSize, Mtcnn, MtcnnError};

/// Settings of [`Mtcnn`]. The defaults are those of facenet-pytorch 2.6.0.
///
/// ```
/// use deeptell_mtcnn::MtcnnConfig;
///
/// let config = MtcnnConfig::default().min_face(40.0).max_side(Some(640)); // in pixels
/// assert_eq!(config.max_side, Some(640));
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct MtcnnConfig {
    /// The smallest face to find. The time per frame falls with the square of its side.
    pub min_face: FaceSize,
    /// Images whose longer side exceeds this many pixels are shrunk to it first; at least 64, or `None` to search every
    /// image at full size. Boxes, landmarks and [`min_face`](field@Self::min_face) are always in pixels of the
    /// original; faces below 12 pixels of the shrunk image are not found.
    pub max_side: Option<u32>,
    /// Probabilities, in `0..=1`, a box must reach in P-Net and exceed in R-Net and O-Net.
    pub thresholds: [f32; 3],
    /// Size of a pyramid level relative to the one before; above 0 and at most 0.95.
    pub scale_factor: f64,
    /// Search an image without a face again, rotated by 90, -90 and 180 degrees, and use the rotation with the most
    /// probable face. An image without any face then takes four times as long.
    pub retry_turned: bool,
    /// Overlaps above which two boxes are merged into one.
    pub overlaps: Overlaps,
    /// Limits on the work per image.
    pub limits: CandidateLimits,
}

/// Thresholds of non-maximum suppression: of two boxes that overlap by more than this, the less probable one is
/// dropped. Each is above 0 and at most 1.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct Overlaps {
    /// Between P-Net's boxes on one level of the pyramid, intersection over union.
    pub level: f32,
    /// Between P-Net's boxes of all levels, intersection over union.
    pub pyramid: f32,
    /// Between R-Net's boxes, intersection over union. O-Net looks at what is left: of a face some
    /// six boxes at 0.7 and two at 0.5, which saves most of the time of a frame with several faces.
    pub refinement: f32,
    /// Between O-Net's boxes, intersection over the smaller one.
    pub output: f32,
}

impl Default for Overlaps {
    fn default() -> Self {
        Self { level: 0.5, pyramid: 0.7, refinement: 0.7, output: 0.7 }
    }
}

/// How many boxes may enter each step for one image; the most probable ones are kept.
///
/// Photographs stay far below the defaults (a 720p frame of six faces sends 250 boxes to R-Net). The limits are for
/// pictures full of face-like texture, where time would grow with the square of the number of candidates.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct CandidateLimits {
    /// P-Net cells of one pyramid level, before non-maximum suppression; at least 1.
    pub level: usize,
    /// Crops for R-Net; at least 1.
    pub refinement: usize,
    /// Crops for O-Net; at least 1.
    pub output: usize,
}

impl Default for CandidateLimits {
    fn default() -> Self {
        Self { level: 8192, refinement: 4096, output: 1024 }
    }
}

impl Default for MtcnnConfig {
    fn default() -> Self {
        Self {
            min_face: FaceSize::Pixels(20.0),
            max_side: None,
            thresholds: [0.6, 0.7, 0.7],
            scale_factor: 0.709,
            retry_turned: false,
            overlaps: Overlaps::default(),
            limits: CandidateLimits::default(),
        }
    }
}

impl MtcnnConfig {
    /// The smallest [`max_side`](field@Self::max_side).
    const MIN_MAX_SIDE: u32 = 64;

    /// For faces of at least a tenth of the frame; several times as fast as the default on large frames.
    ///
    /// Frames are shrunk to 640 pixels, and O-Net sees fewer boxes of each face, so that boxes and
    /// landmarks differ from the default's by some hundredths of the face.
    #[must_use]
    pub fn quick() -> Self {
        Self {
            min_face: FaceSize::Fraction(0.1),
            max_side: Some(640),
            overlaps: Overlaps { refinement: 0.5, ..Overlaps::default() },
            ..Self::default()
        }
    }

    /// Looks for faces of at least this size. See [`min_face`](field@Self::min_face).
    #[must_use]
    pub fn min_face(self, min_face: impl Into<FaceSize>) -> Self {
        Self { min_face: min_face.into(), ..self }
    }

    /// Shrinks larger images first, or searches every image at full size. See [`max_side`](field@Self::max_side).
    #[must_use]
    pub fn max_side(self, max_side: Option<u32>) -> Self {
        Self { max_side, ..self }
    }

    /// Searches an image without a face again, rotated, or does not. See [`retry_turned`](field@Self::retry_turned).
    #[must_use]
    pub fn retry_turned(self, retry_turned: bool) -> Self {
        Self { retry_turned, ..self }
    }

    /// Merges boxes that overlap more. See [`overlaps`](field@Self::overlaps).
    #[must_use]
    pub fn overlaps(self, overlaps: Overlaps) -> Self {
        Self { overlaps, ..self }
    }

    /// Bounds the work per image. See [`limits`](field@Self::limits).
    #[must_use]
    pub fn limits(self, limits: CandidateLimits) -> Self {
        Self { limits, ..self }
    }

    /// A detector on `device` with the embedded weights.
    ///
    /// # Errors
    /// [`MtcnnError::Setting`] names the first setting that is out of its range.
    pub fn init(&self, device: &Device) -> Result<Mtcnn, MtcnnError> {
        self.init_with(device, embedded(), None)
    }

    /// A detector on `device` with the weights in `safetensors`, the bytes of a file like the one
    /// `scripts/convert_weights.py` makes.
    ///
    /// # Errors
    /// [`MtcnnError::Setting`] as for [`init`](Self::init), and [`MtcnnError::Weights`] as for
    /// [`Networks::load`].
    pub fn init_with_weights(&self, device: &Device, safetensors: Vec<u8>) -> Result<Mtcnn, MtcnnError> {
        let digest = (safetensors != embedded()).then(|| sha256(&safetensors));
        self.init_with(device, safetensors, digest)
    }

    fn init_with(
        &self,
        device: &Device,
        safetensors: Vec<u8>,
        digest: Option<String>,
    ) -> Result<Mtcnn, MtcnnError> {
        self.validate()?;
        let networks = Networks::new(device).load(safetensors)?;
        Ok(Mtcnn::from_networks(self.clone(), networks, digest, device))
    }

    /// # Errors
    /// [`MtcnnError::Setting`] names the first setting that is out of its range.
    pub(crate) fn validate(&self) -> Result<(), MtcnnError> {
        let window = PNet::WINDOW as f32;
        let [pnet, rnet, onet] = self.thresholds;
        let probability = |value: f32| (0.0..=1.0).contains(&value);
        let overlap = |setting, value: f32| {
            (setting, f64::from(value), "above 0 and at most 1", value > 0.0 && value <= 1.0)
        };
        let count = |setting, value: usize| (setting, value as f64, "at least 1", value >= 1);
        let min_face = match self.min_face {
            FaceSize::Pixels(pixels) => (
                "min_face",
                f64::from(pixels),
                "a finite number of pixels, at least 12",
                pixels.is_finite() && pixels >= window,
            ),
            FaceSize::Fraction(fraction) => (
                "min_face",
                f64::from(fraction),
                "a fraction of the image's shorter side, above 0 and at most 1",
                fraction > 0.0 && fraction <= 1.0,
            ),
        };
        let max_side = self.max_side.unwrap_or(u32::MAX);
        let checks = [
            min_face,
            ("max_side", f64::from(max_side), "at least 64 pixels", max_side >= Self::MIN_MAX_SIDE),
            ("thresholds[0]", f64::from(pnet), "between 0 and 1", probability(pnet)),
            ("thresholds[1]", f64::from(rnet), "between 0 and 1", probability(rnet)),
            ("thresholds[2]", f64::from(onet), "between 0 and 1", probability(onet)),
            (
                "scale_factor",
                self.scale_factor,
                "above 0 and at most 0.95",
                self.scale_factor > 0.0 && self.scale_factor <= 0.95,
            ),
            overlap("overlaps.level", self.overlaps.level),
            overlap("overlaps.pyramid", self.overlaps.pyramid),
            overlap("overlaps.refinement", self.overlaps.refinement),
            overlap("overlaps.output", self.overlaps.output),
            count("limits.level", self.limits.level),
            count("limits.refinement", self.limits.refinement),
            count("limits.output", self.limits.output),
        ];
        match checks.into_iter().find(|&(.., holds)| !holds) {
            Some((setting, value, expected, _)) => Err(MtcnnError::Setting { setting, value, expected }),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn validate_names_the_invalid_setting() {
        let default = MtcnnConfig::default();
        assert!(default.validate().is_ok());
        let faults = [
            ("min_face", MtcnnConfig { min_face: f32::NAN.into(), ..default.clone() }),
            ("min_face", MtcnnConfig { min_face: f32::INFINITY.into(), ..default.clone() }),
            ("min_face", MtcnnConfig { min_face: 11.9.into(), ..default.clone() }),
            ("min_face", MtcnnConfig { min_face: FaceSize::Fraction(0.0), ..default.clone() }),
            ("min_face", MtcnnConfig { min_face: FaceSize::Fraction(1.1), ..default.clone() }),
            ("min_face", MtcnnConfig { min_face: FaceSize::Fraction(f32::NAN), ..default.clone() }),
            ("max_side", MtcnnConfig { max_side: Some(63), ..default.clone() }),
            ("thresholds[0]", MtcnnConfig { thresholds: [-0.1, 0.7, 0.7], ..default.clone() }),
            ("thresholds[1]", MtcnnConfig { thresholds: [0.6, f32::NAN, 0.7], ..default.clone() }),
            ("thresholds[2]", MtcnnConfig { thresholds: [0.6, 0.7, 1.1], ..default.clone() }),
            ("scale_factor", MtcnnConfig { scale_factor: 0.0, ..default.clone() }),
            ("scale_factor", MtcnnConfig { scale_factor: 1.0, ..default.clone() }),
            ("scale_factor", MtcnnConfig { scale_factor: f64::NAN, ..default.clone() }),
            (
                "overlaps.refinement",
                MtcnnConfig { overlaps: Overlaps { refinement: 0.0, ..default.overlaps }, ..default.clone() },
            ),
            (
                "limits.output",
                MtcnnConfig { limits: CandidateLimits { output: 0, ..default.limits }, ..default.clone() },
            ),
        ];
        for (name, config) in faults {
            let error = config.init(&Device::flex()).unwrap_err();
            assert!(matches!(error, MtcnnError::Setting { setting, .. } if setting == name), "{error}");
            assert!(error.to_string().contains(name), "{error}");
        }
    }

    #[test]
    fn config_round_trips_through_json() {
        let config = MtcnnConfig { min_face: FaceSize::Fraction(0.25), ..MtcnnConfig::default() };
        let text = serde_json::to_string(&config).unwrap();
        assert_eq!(serde_json::from_str::<MtcnnConfig>(&text).unwrap(), config);
        assert_eq!(serde_json::from_str::<MtcnnConfig>("{}").unwrap(), MtcnnConfig::default());
        assert!(serde_json::from_str::<MtcnnConfig>(r#"{"min_size": 3}"#).is_err());
    }
}
