//! Caches the faces of a suite's pictures beside the suite.

use std::path::Path;

use burn::tensor::Device;
use deeptell::ModelCard;
use deeptell_eval::{EvalError, FoundFaces};
use deeptell_face::FaceDetector;

use crate::face_detector::{FaceDetectorName, face_detector};
use crate::output;
use crate::progress::unless_stopped;

/// Smallest face to detect, in pixels of the picture.
pub(crate) const SMALLEST_FACE: f32 = 40.0;

/// Runs `work` with the face detector of the model and its cached faces for the suite at `suite`, and writes newly found
/// ones to the cache, `kept` or a file beside the suite. `None` if the user stopped it.
pub(crate) fn with_found_faces<T>(
    suite: &Path,
    kept: Option<&Path>,
    model: &ModelCard,
    device: &Device,
    work: impl FnOnce(&dyn FaceDetector, &mut FoundFaces) -> Result<T, EvalError>,
) -> anyhow::Result<Option<T>> {
    let detector = face_detector(FaceDetectorName::of(model)?, SMALLEST_FACE, device)?;
    let path = kept.map_or_else(|| suite.with_extension("faces.jsonl"), Path::to_owned);
    let mut faces = FoundFaces::read(&path, detector.id().to_string())?;
    let done = unless_stopped(work(&*detector, &mut faces));
    if faces.has_new() {
        output::write_file(&path, &faces.to_bytes())?;
    }
    Ok(done?)
}
