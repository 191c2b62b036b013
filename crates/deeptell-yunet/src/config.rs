use burn::tensor::Device;
use serde::{Deserialize, Serialize};

use crate::network::Network;
use crate::{YuNet, YuNetError, YuNetWeights};

/// Settings of [`YuNet`]. The defaults are those of OpenCV's `FaceDetectorYN`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct YuNetConfig {
    /// Faces whose box is lower than this, in pixels of the image, are dropped; not negative. It does not save time.
    pub min_face: f32,
    /// Images whose longer side exceeds this many pixels are shrunk to it first; at least 32, or `None` to search every
    /// image at full size. Boxes, landmarks and [`min_face`](field@Self::min_face) are always in pixels of the
    /// original.
    pub max_side: Option<u32>,
    /// Score that a face must reach, in `0..=1`: the geometric mean of the probability of a face and of the
    /// predicted quality of its box.
    pub threshold: f32,
    /// Intersection over union, above 0 and at most 1, above which the less probable of two boxes is dropped. As in
    /// OpenCV, it is that of boxes whose corner and size are cut to whole pixels.
    pub overlap: f32,
    /// Most boxes of an image that are compared with each other, those of the highest score; at least 1. It limits the
    /// time for an image full of face-like texture.
    pub limit: usize,
}

impl Default for YuNetConfig {
    fn default() -> Self {
        Self { min_face: 0.0, max_side: None, threshold: 0.9, overlap: 0.3, limit: 5000 }
    }
}

impl YuNetConfig {
    /// The smallest [`max_side`](field@Self::max_side): one cell of the coarsest grid.
    const MIN_MAX_SIDE: u32 = 32;

    /// Drops faces whose box is lower. See [`min_face`](field@Self::min_face).
    #[must_use]
    pub fn min_face(self, min_face: f32) -> Self {
        Self { min_face, ..self }
    }

    /// Shrinks larger images first, or searches every image at full size. See [`max_side`](field@Self::max_side).
    #[must_use]
    pub fn max_side(self, max_side: Option<u32>) -> Self {
        Self { max_side, ..self }
    }

    /// Drops faces of a lower score. See [`threshold`](field@Self::threshold).
    #[must_use]
    pub fn threshold(self, threshold: f32) -> Self {
        Self { threshold, ..self }
    }

    /// Drops the less probable of two boxes that overlap more. See [`overlap`](field@Self::overlap).
    #[must_use]
    pub fn overlap(self, overlap: f32) -> Self {
        Self { overlap, ..self }
    }

    /// Compares at most this number of boxes of an image. See [`limit`](field@Self::limit).
    #[must_use]
    pub fn limit(self, limit: usize) -> Self {
        Self { limit, ..self }
    }

    /// A detector on `device` with these weights.
    ///
    /// # Errors
    /// [`YuNetError::Setting`] names the first setting that is out of its range, [`YuNetError::Weights`] the first
    /// tensor that is missing or does not fit the others.
    pub fn init(&self, weights: &YuNetWeights, device: &Device) -> Result<YuNet, YuNetError> {
        self.validate()?;
        let network = Network::new(weights.tensors(), device)?;
        Ok(YuNet::new(self.clone(), network, weights.digest()?, device))
    }

    /// # Errors
    /// [`YuNetError::Setting`] names the first setting that is out of its range.
    pub(crate) fn validate(&self) -> Result<(), YuNetError> {
        let max_side = self.max_side.unwrap_or(u32::MAX);
        let checks = [
            (
                "min_face",
                f64::from(self.min_face),
                "a finite number of pixels, at least 0",
                self.min_face.is_finite() && self.min_face >= 0.0,
            ),
            ("max_side", f64::from(max_side), "at least 32 pixels", max_side >= Self::MIN_MAX_SIDE),
            (
                "threshold",
                f64::from(self.threshold),
                "between 0 and 1",
                (0.0..=1.0).contains(&self.threshold),
            ),
            (
                "overlap",
                f64::from(self.overlap),
                "above 0 and at most 1",
                self.overlap > 0.0 && self.overlap <= 1.0,
            ),
            ("limit", self.limit as f64, "at least 1", self.limit >= 1),
        ];
        match checks.into_iter().find(|&(.., holds)| !holds) {
            Some((setting, value, expected, _)) => Err(YuNetError::Setting { setting, value, expected }),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_setting_out_of_its_range_is_named() {
        let default = YuNetConfig::default();
        assert!(default.validate().is_ok());
        for (wrong, name) in [
            (YuNetConfig { min_face: -1.0, ..default.clone() }, "min_face"),
            (YuNetConfig { min_face: f32::NAN, ..default.clone() }, "min_face"),
            (YuNetConfig { max_side: Some(31), ..default.clone() }, "max_side"),
            (YuNetConfig { threshold: 1.5, ..default.clone() }, "threshold"),
            (YuNetConfig { overlap: 0.0, ..default.clone() }, "overlap"),
            (YuNetConfig { limit: 0, ..default.clone() }, "limit"),
        ] {
            let error = wrong.validate().unwrap_err();
            assert!(matches!(error, YuNetError::Setting { setting, .. } if setting == name), "{error}");
        }
    }
}
