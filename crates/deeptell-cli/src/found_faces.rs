//! The faces of a suite's pictures, found once and kept beside the suite.

use std::path::Path;

use burn::tensor::Device;
use deeptell_eval::{EvalError, FoundFaces};
use deeptell_face::FaceDetector;
use deeptell_mtcnn::MtcnnConfig;

use crate::output;
use crate::progress::unless_stopped;

/// Smallest face that is looked for, in pixels of the picture.
const SMALLEST_FACE: f32 = 40.0;

/// Does `work` with a face detector and the faces that it found before in the suite at `suite`, and keeps those that it
/// finds in `kept`, or beside the suite; `None` when the user stopped it.
pub(crate) fn with_found_faces<T>(
    suite: &Path,
    kept: Option<&Path>,
    device: &Device,
    work: impl FnOnce(&dyn FaceDetector, &mut FoundFaces) -> Result<T, EvalError>,
) -> anyhow::Result<Option<T>> {
    let detector = MtcnnConfig { min_face: SMALLEST_FACE.into(), ..MtcnnConfig::default() }.init(device)?;
    let path = kept.map_or_else(|| suite.with_extension("faces.jsonl"), Path::to_owned);
    let mut faces = FoundFaces::read(&path, detector.id().to_string())?;
    let done = unless_stopped(work(&detector, &mut faces));
    if faces.has_new() {
        output::write_file(&path, &faces.to_bytes())?;
    }
    Ok(done?)
}
