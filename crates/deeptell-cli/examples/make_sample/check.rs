//! The proof that a clip serves: the face is found in it after encoding.

use std::path::Path;

use anyhow::ensure;
use deeptell_face::RgbImage;
use deeptell_mtcnn::Mtcnn;
use deeptell_video::{Sampling, VideoReader};

use crate::portrait::FACE_PROBABILITY;

/// Frames examined.
pub(crate) const SAMPLED: usize = 12;

/// Frames that must show a face.
const NEEDED: usize = 10;

/// Decodes the clip as a scan would and counts the frames in which MTCNN finds a face.
///
/// # Errors
/// When they are too few; the clip is named.
pub(crate) fn faces_found(clip: &Path, mtcnn: &Mtcnn) -> anyhow::Result<usize> {
    let mut reader = VideoReader::open(clip)?;
    let frames: Vec<RgbImage> = reader
        .sample(Sampling::Uniform(SAMPLED))
        .map(|frame| Ok(frame?.image))
        .collect::<anyhow::Result<_>>()?;
    let faces = mtcnn.detect_batch(&frames)?;
    let found =
        faces.iter().filter(|faces| faces.iter().any(|face| face.probability >= FACE_PROBABILITY)).count();
    ensure!(
        found >= NEEDED,
        "{}: a face in {found} of {SAMPLED} frames, {NEEDED} are needed; leave out this person's still",
        clip.display()
    );
    Ok(found)
}
