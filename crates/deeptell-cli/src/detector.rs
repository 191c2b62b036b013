//! The detector as the commands that judge files take it.

use std::path::{Path, PathBuf};

use deeptell::{Detector, ModelFile, ScanOptions};

use crate::device::{DeviceName, PrecisionName};
use crate::isolation::decoding;

/// The model file of the option `--model`; without it the detector that ships.
pub(crate) fn model_file(path: Option<&Path>) -> anyhow::Result<ModelFile> {
    Ok(path.map_or_else(ModelFile::shipped, ModelFile::read)?)
}

/// Which detector looks, where, and how closely.
#[derive(clap::Args)]
pub(crate) struct DetectorArgs {
    /// Frames to look at, spread evenly over a video.
    #[arg(long, default_value_t = ScanOptions::default().frames)]
    frames: usize,
    /// Smallest face to look for, in pixels of the frame.
    #[arg(long, default_value_t = ScanOptions::default().min_face, value_name = "PIXELS")]
    min_face: f32,
    /// Model file [default: the detector that ships with deeptell].
    #[arg(long, value_name = "FILE")]
    model: Option<PathBuf>,
    /// Where to compute.
    #[arg(long, value_enum, default_value_t = DeviceName::Cpu)]
    device: DeviceName,
    /// What the classifier computes in; finding faces stays in f32.
    #[arg(long, value_enum, default_value_t = PrecisionName::F32)]
    precision: PrecisionName,
}

impl DetectorArgs {
    /// The detector, which decodes files as those that are `trusted`, or not.
    pub(crate) fn open(&self, trusted: bool) -> anyhow::Result<Detector> {
        let device = self.device.open()?;
        let model = model_file(self.model.as_deref())?.load(&device)?;
        let model = model.with_precision(self.precision.on(self.device))?;
        Ok(Detector::new(model, &device)?.with_decoding(decoding(trusted)))
    }

    /// What to look for in each file.
    pub(crate) fn options(&self) -> ScanOptions {
        ScanOptions::default().frames(self.frames).min_face(self.min_face)
    }
}
