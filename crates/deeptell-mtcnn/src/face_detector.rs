//! MTCNN as one of the face detectors.

use std::sync::Arc;

use deeptell_face::{Face, FaceDetector, FaceDetectorId, FaceError, RgbImage};

use crate::{CandidateLimits, Mtcnn, MtcnnConfig, MtcnnError, Overlaps};

/// [`FaceDetectorId::name`] of [`Mtcnn`].
const NAME: &str = "mtcnn";

impl FaceDetector for Mtcnn {
    /// `mtcnn` with every setting of its [`MtcnnConfig`], and the digest of its weights where they
    /// are not the embedded ones.
    fn id(&self) -> FaceDetectorId {
        let MtcnnConfig { min_face, max_side, thresholds, scale_factor, retry_turned, overlaps, limits } =
            self.config();
        let Overlaps { level, pyramid, refinement, output } = overlaps;
        let [pnet, rnet, onet] = thresholds;
        let id = FaceDetectorId::new(NAME)
            .with("min_face", min_face)
            .with("max_side", max_side.map_or_else(|| "none".to_owned(), |side| side.to_string()))
            .with("thresholds", format_args!("{pnet} {rnet} {onet}"))
            .with("scale_factor", scale_factor)
            .with("retry_turned", retry_turned)
            .with("overlaps", format_args!("{level} {pyramid} {refinement} {output}"));
        let CandidateLimits { level, refinement, output } = limits;
        let id = id.with("limits", format_args!("{level} {refinement} {output}"));
        match &self.weights {
            None => id,
            Some(digest) => id.with("weights", digest),
        }
    }

    fn detect(&self, images: &[&RgbImage]) -> Result<Vec<Vec<Face>>, FaceError> {
        Ok(self.detect_batch(images)?)
    }

    fn detect_largest(&self, image: &RgbImage) -> Result<Option<Face>, FaceError> {
        Ok(Self::detect_largest(self, image)?)
    }

    fn with_min_face(&self, pixels: f32) -> Result<Option<Arc<dyn FaceDetector>>, FaceError> {
        let config = MtcnnConfig { min_face: pixels.into(), ..self.config.clone() };
        config.validate()?;
        Ok(Some(Arc::new(Self { config, ..self.clone() })))
    }
}

impl From<MtcnnError> for FaceError {
    fn from(error: MtcnnError) -> Self {
        match error {
            MtcnnError::Setting { setting, value, expected } => {
                Self::Setting { face_detector: NAME.to_owned(), setting, value, expected }
            }
            other => Self::failed(&FaceDetectorId::new(NAME), other),
        }
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::Device;

    use super::*;
    use crate::network::embedded;

    #[test]
    fn detector_id_depends_on_settings_and_weights() {
        let device = Device::flex();
        let id = |config: &MtcnnConfig| config.init(&device).unwrap().id();
        let default = MtcnnConfig::default();
        assert_eq!(id(&default), id(&default));
        assert_eq!(id(&default).settings["min_face"], "20");
        assert_eq!(id(&default).settings["thresholds"], "0.6 0.7 0.7");
        for other in [
            MtcnnConfig { min_face: 40.0.into(), ..default.clone() },
            MtcnnConfig { max_side: Some(640), ..default.clone() },
            MtcnnConfig { thresholds: [0.6, 0.7, 0.8], ..default.clone() },
            MtcnnConfig { scale_factor: 0.5, ..default.clone() },
            MtcnnConfig { retry_turned: true, ..default.clone() },
            MtcnnConfig { overlaps: Overlaps { output: 0.5, ..default.overlaps }, ..default.clone() },
            MtcnnConfig { limits: CandidateLimits { output: 9, ..default.limits }, ..default.clone() },
        ] {
            assert_ne!(id(&other), id(&default), "{other:?}");
        }

        let same = default.init_with_weights(&device, embedded()).unwrap();
        assert_eq!(same.id(), id(&default));
        let mut changed = embedded();
        *changed.last_mut().unwrap() ^= 1;
        let changed = default.init_with_weights(&device, changed).unwrap();
        assert_eq!(changed.id().settings["weights"].len(), 64);
    }

    #[test]
    fn with_min_face_checks_its_range() {
        let mtcnn = Mtcnn::pretrained(&Device::flex()).unwrap();
        let set = mtcnn.with_min_face(40.0).unwrap().unwrap();
        assert_eq!(
            set.id(),
            MtcnnConfig { min_face: 40.0.into(), ..MtcnnConfig::default() }
                .init(&Device::flex())
                .unwrap()
                .id()
        );
        let error = mtcnn.with_min_face(5.0).unwrap_err();
        assert!(matches!(error, FaceError::Setting { setting: "min_face", .. }), "{error}");
    }
}
