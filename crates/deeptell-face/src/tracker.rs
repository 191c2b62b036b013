//! The interface of face trackers, and the one for frames that are far apart.

use crate::{Face, FaceDetector, FaceError, FaceLinker, RgbImage, Sighting};

/// Finds the faces of the frames of a video, one frame after the other, and knows them again.
pub trait FaceTracker {
    /// The faces of the next frame, in its pixels, the largest first. Each has the number of its track, which counts
    /// from 0 in order of first appearance.
    ///
    /// # Errors
    /// [`FaceError`] when the face detector cannot run.
    fn next_faces(&mut self, frame: &RgbImage) -> Result<Vec<(u64, Face)>, FaceError>;
}

/// Tracks faces through frames that may be seconds apart: each is searched as a whole, and a [`FaceLinker`] finds the
/// faces that were seen before.
///
/// ```
/// use deeptell_face::{Face, FaceDetectorFn, FaceTracker, Rect, RgbImage, SampleTracker};
///
/// let detector = FaceDetectorFn::new("corner", |_: &RgbImage| {
///     vec![Face::frontal(Rect::new(8.0, 8.0, 40.0, 48.0), 1.0)]
/// });
/// let mut tracker = SampleTracker::new(&detector);
/// let frame = RgbImage::new(64, 64);
/// assert_eq!(tracker.next_faces(&frame)?[0].0, 0);
/// assert_eq!(tracker.next_faces(&frame)?[0].0, 0);
/// # Ok::<(), deeptell_face::FaceError>(())
/// ```
#[derive(Debug)]
pub struct SampleTracker<'a> {
    detector: &'a dyn FaceDetector,
    linker: FaceLinker,
}

impl<'a> SampleTracker<'a> {
    /// A tracker that has seen no frame yet.
    pub fn new(detector: &'a dyn FaceDetector) -> Self {
        Self { detector, linker: FaceLinker::new() }
    }
}

impl FaceTracker for SampleTracker<'_> {
    fn next_faces(&mut self, frame: &RgbImage) -> Result<Vec<(u64, Face)>, FaceError> {
        let faces = self.detector.find(frame, 0.0)?;
        let seen = faces
            .iter()
            .map(|face| Sighting::of(frame, face))
            .collect::<Result<Vec<_>, _>>()
            .map_err(|error| FaceError::failed(&self.detector.id(), error))?;
        let tracks = self.linker.link(frame, &seen);
        Ok(tracks.into_iter().map(|track| track as u64).zip(faces).collect())
    }
}
