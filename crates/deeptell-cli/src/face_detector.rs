//! The face detector of the commands that work on data sets. The commands `faces` and `devices` use MTCNN itself.

use burn::tensor::Device;
use deeptell_face::FaceDetector;
use deeptell_mtcnn::MtcnnConfig;

/// A detector of faces of at least `min_face` pixels, measured by the height of the box.
pub(crate) fn face_detector(min_face: f32, device: &Device) -> anyhow::Result<impl FaceDetector + use<>> {
    Ok(MtcnnConfig { min_face: min_face.into(), ..MtcnnConfig::default() }.init(device)?)
}
