//! The one face of a picture that is meant.

use burn::tensor::Device;
use clap::ValueEnum;
use deeptell_image::RgbImage;
use deeptell_mtcnn::{Face, Mtcnn, MtcnnConfig, MtcnnError, Selection};
use serde::{Deserialize, Serialize};

/// Which face of a picture to take.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Which {
    /// The largest.
    Largest,
    /// The one the face detector is surest of.
    MostProbable,
}

/// Finds faces and picks one.
pub(crate) struct FaceFinder {
    mtcnn: Mtcnn,
    which: Which,
    min_probability: f32,
}

impl FaceFinder {
    /// Looks for faces of at least `min_face` pixels that MTCNN gives at least `min_probability`.
    ///
    /// # Errors
    /// When `min_face` is out of range.
    pub(crate) fn new(
        which: Which,
        min_face: f32,
        min_probability: f32,
        device: &Device,
    ) -> Result<Self, MtcnnError> {
        let mtcnn = MtcnnConfig { min_face, ..MtcnnConfig::default() }.init(device)?;
        Ok(Self { mtcnn, which, min_probability })
    }

    /// The face that is meant, if there is one in the picture.
    ///
    /// # Errors
    /// As [`Mtcnn::detect`].
    pub(crate) fn find(&self, image: &RgbImage) -> Result<Option<Face>, MtcnnError> {
        let (width, height) = image.dimensions();
        let mut faces = self.mtcnn.detect(image)?;
        faces.retain(|f| f.probability >= self.min_probability && f.bbox.clamped(width, height).is_some());
        let selection = match self.which {
            Which::Largest => Selection::Largest,
            Which::MostProbable => Selection::MostProbable,
        };
        Ok(selection.pick(&faces, width, height).map(|chosen| faces.swap_remove(chosen)))
    }
}
