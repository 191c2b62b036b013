//! The detector options of the commands that scan files.

use std::path::{Path, PathBuf};

use burn::tensor::Device;
use deeptell::{Detector, Model, ModelFile, ScanOptions};

use crate::device::{DeviceName, DtypeName};
use crate::face_detector::{FaceDetectorName, face_detector};
use crate::isolation::decoding;
use crate::output::detail;

/// The model file of the option `--model`; without it, the shipped model.
pub(crate) fn model_file(path: Option<&Path>) -> anyhow::Result<ModelFile> {
    let file = path.map_or_else(ModelFile::shipped, ModelFile::read)?;
    detail!("model: {}, SHA-256 {}", file.card().name, file.sha256());
    Ok(file)
}

/// The detector with this model and this face detector, or that of its card, for every command that scans files. It
/// decodes them in this process if they are `trusted`; otherwise, where the system supports it, in a sandboxed one.
pub(crate) fn detector(
    model: Model,
    faces: Option<FaceDetectorName>,
    device: &Device,
    trusted: bool,
) -> anyhow::Result<Detector> {
    let faces = faces.map_or_else(|| FaceDetectorName::of(model.card()), Ok)?;
    let faces = face_detector(faces, ScanOptions::default().min_face, device)?;
    Ok(Detector::from_parts(model, faces).with_decoding(decoding(trusted)))
}

/// The model, its device, and how closely it examines a file.
#[derive(clap::Args)]
#[command(next_help_heading = "Detector options")]
pub(crate) struct DetectorArgs {
    /// Number of frames to sample, spread evenly over each video.
    #[arg(long, default_value_t = ScanOptions::default().frames, value_name = "N")]
    frames: usize,
    /// Smallest face to detect, in pixels of the frame.
    #[arg(long, default_value_t = ScanOptions::default().min_face, value_name = "PIXELS")]
    min_face: f32,
    /// Face detector [default: the one whose boxes the model was trained on; MTCNN for the shipped
    /// model].
    #[arg(long, value_enum, value_name = "NAME")]
    face_detector: Option<FaceDetectorName>,
    /// Model file [default: the shipped model].
    #[arg(long, value_name = "FILE")]
    model: Option<PathBuf>,
    /// Device to compute on.
    #[arg(long, value_enum, default_value_t = DeviceName::Cpu)]
    device: DeviceName,
    /// Number format of the classifier's arithmetic; face detection always uses f32.
    #[arg(long = "dtype", alias = "precision", value_name = "DTYPE", value_enum, default_value_t = DtypeName::F32)]
    dtype: DtypeName,
}

impl DetectorArgs {
    /// The [`detector`] that these options describe.
    pub(crate) fn open(&self, trusted: bool) -> anyhow::Result<Detector> {
        let device = self.device.open()?;
        let model = model_file(self.model.as_deref())?.load(&device)?;
        let model = model.with_dtype(self.dtype.on(self.device))?;
        detector(model, self.face_detector, &device, trusted)
    }

    /// The options of each scan.
    pub(crate) fn options(&self) -> ScanOptions {
        ScanOptions::default().frames(self.frames).min_face(self.min_face)
    }
}
