//! YuNet as one of the face detectors.

use std::sync::Arc;

use deeptell_face::{Face, FaceDetector, FaceDetectorId, FaceError, RgbImage};

use crate::{YuNet, YuNetConfig, YuNetError};

/// [`FaceDetectorId::name`] of [`YuNet`].
const NAME: &str = "yunet";

impl FaceDetector for YuNet {
    /// `yunet` with every setting of its [`YuNetConfig`], and the digest of its weights.
    fn id(&self) -> FaceDetectorId {
        let YuNetConfig { min_face, max_side, threshold, overlap, limit } = self.config();
        FaceDetectorId::new(NAME)
            .with("min_face", min_face)
            .with("max_side", max_side.map_or_else(|| "none".to_owned(), |side| side.to_string()))
            .with("threshold", threshold)
            .with("overlap", overlap)
            .with("limit", limit)
            .with("weights", &*self.weights)
    }

    fn detect(&self, images: &[&RgbImage]) -> Result<Vec<Vec<Face>>, FaceError> {
        Ok(images.iter().map(|image| Self::detect(self, image)).collect::<Result<_, _>>()?)
    }

    fn with_min_face(&self, pixels: f32) -> Result<Option<Arc<dyn FaceDetector>>, FaceError> {
        let config = YuNetConfig { min_face: pixels, ..self.config.clone() };
        config.validate()?;
        Ok(Some(Arc::new(Self { config, ..self.clone() })))
    }
}

impl From<YuNetError> for FaceError {
    fn from(error: YuNetError) -> Self {
        match error {
            YuNetError::Setting { setting, value, expected } => {
                Self::Setting { face_detector: NAME.to_owned(), setting, value, expected }
            }
            other => Self::failed(&FaceDetectorId::new(NAME), other),
        }
    }
}
