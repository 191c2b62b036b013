use std::path::{Path, PathBuf};

use burn::tensor::Device;
use deeptell::Model;

use crate::detector::model_file;
use crate::device::{DeviceName, DtypeName};
use crate::views::Views;

/// Options for the model that a command measures, and for how it runs.
#[derive(Debug, clap::Args)]
pub(crate) struct ModelArgs {
    /// Model file [default: the shipped model].
    #[arg(long, value_name = "FILE")]
    model: Option<PathBuf>,
    /// Number of views of each crop that a score averages (test-time augmentation) [default: as in the
    /// model].
    #[arg(long, value_enum)]
    views: Option<Views>,
    /// Device to compute on.
    #[arg(long, value_enum, default_value_t = DeviceName::Cpu)]
    device: DeviceName,
    /// Number format of the classifier's arithmetic; face detection always uses f32.
    #[arg(long = "dtype", alias = "precision", value_name = "DTYPE", value_enum, default_value_t = DtypeName::F32)]
    dtype: DtypeName,
}

impl ModelArgs {
    /// The model file that was named, if any.
    pub(crate) fn path(&self) -> Option<&Path> {
        self.model.as_deref()
    }

    /// Loads the model onto its device.
    ///
    /// # Errors
    /// When the file cannot be read, or the device does not exist or does not compute in this format.
    pub(crate) fn load(&self) -> anyhow::Result<(Model, Device)> {
        let device = self.device.open()?;
        let mut file = model_file(self.path())?;
        if let Some(views) = self.views {
            let mut card = file.card().clone();
            card.views = views.list();
            file = file.with_card(card)?;
        }
        let model = file.load(&device)?.with_dtype(self.dtype.on(self.device))?;
        Ok((model, device))
    }
}
