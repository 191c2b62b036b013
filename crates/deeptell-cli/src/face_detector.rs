//! The face detector of every command except `faces` and `devices`, which are about MTCNN.

use burn::tensor::Device;
use deeptell_face::FaceDetector;
use deeptell_mtcnn::MtcnnConfig;

/// A detector of faces of at least `min_face` pixels, measured by the height of the box.
pub(crate) fn face_detector(min_face: f32, device: &Device) -> anyhow::Result<impl FaceDetector + use<>> {
    Ok(MtcnnConfig { min_face: min_face.into(), ..MtcnnConfig::default() }.init(device)?)
}
