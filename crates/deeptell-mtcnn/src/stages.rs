//! The stages of the cascade one at a time, for comparison with a reference and for experiments.
//!
//! [`Mtcnn::stages`] gives access to them. Nothing in this module is covered by semantic
//! versioning: it follows the implementation.

use std::borrow::Borrow;

use deeptell_face::{Face, RgbImage};

pub use crate::cascade::{Candidate, Level, Window, pyramid, resample};
pub use crate::network::{Networks, ONet, ONetOutput, PNet, PNetOutput, RNet, RNetOutput};
use crate::{Mtcnn, MtcnnError};

/// The three stages of a face detector.
///
/// ```
/// use burn::tensor::Device;
/// use deeptell_face::RgbImage;
/// use deeptell_mtcnn::Mtcnn;
///
/// let mtcnn = Mtcnn::pretrained(&Device::flex())?;
/// let images = [RgbImage::new(96, 64)];
/// let stages = mtcnn.stages();
/// let proposed = stages.propose(&images)?;
/// let refined = stages.refine(&images, &proposed)?;
/// let faces = stages.conclude(&images, &refined)?;
/// assert_eq!(faces, mtcnn.detect_batch(&images)?);
/// # Ok::<(), deeptell_mtcnn::MtcnnError>(())
/// ```
#[derive(Debug, Clone, Copy)]
pub struct Stages<'a> {
    mtcnn: &'a Mtcnn,
}

impl Mtcnn {
    /// The stages of this detector one at a time.
    pub fn stages(&self) -> Stages<'_> {
        Stages { mtcnn: self }
    }
}

impl<'a> Stages<'a> {
    /// The three networks.
    pub fn networks(self) -> &'a Networks {
        &self.mtcnn.networks
    }

    /// The first stage: squares that may hold a face, one list per image, the most probable first.
    /// [`MtcnnConfig::max_side`](field@crate::MtcnnConfig::max_side) is ignored.
    ///
    /// # Errors
    /// [`MtcnnError::Device`] when the device fails.
    pub fn propose(self, images: &[impl Borrow<RgbImage>]) -> Result<Vec<Vec<Candidate>>, MtcnnError> {
        self.mtcnn.propose(images)
    }

    /// The second stage: what R-Net keeps of `candidates`, one list per image, as corrected
    /// squares, the most probable first.
    ///
    /// # Errors
    /// [`MtcnnError::Device`] when the device fails.
    ///
    /// # Panics
    /// When there is not one list of candidates per image.
    pub fn refine(
        self,
        images: &[impl Borrow<RgbImage>],
        candidates: &[Vec<Candidate>],
    ) -> Result<Vec<Vec<Candidate>>, MtcnnError> {
        self.mtcnn.refine(images, candidates)
    }

    /// The third stage: the faces that O-Net finds in `candidates`, one list per image, the largest
    /// first.
    ///
    /// # Errors
    /// [`MtcnnError::Device`] when the device fails.
    ///
    /// # Panics
    /// When there is not one list of candidates per image.
    pub fn conclude(
        self,
        images: &[impl Borrow<RgbImage>],
        candidates: &[Vec<Candidate>],
    ) -> Result<Vec<Vec<Face>>, MtcnnError> {
        self.mtcnn.conclude(images, candidates)
    }
}
