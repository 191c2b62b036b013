use std::path::PathBuf;

use deeptell::{ModelCard, StoredPrecision};
use deeptell_data::{Sample, Split, read_dataset};
use deeptell_eval::{Calibrated, calibrate};
use deeptell_face::FaceCrop;
use deeptell_metrics::BinaryReport;
use serde::Serialize;

use crate::detector::model_file;
use crate::device::DeviceName;
use crate::progress::{Tasks, unless_stopped};
use crate::views::Views;
use crate::{Outcome, output};

/// Fit the calibration and the thresholds of a model again, on the `validation` split of other data
/// or for another number of views.
///
/// The weights stay; a new file is written. `train` does the same at its end. Prints one JSON
/// document with the figures on that split, which flatter: the calibration was chosen there.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  deeptell calibrate split.jsonl --model runs/first/detector.safetensors --views 6 --out steady.safetensors
  deeptell calibrate ours.jsonl --out detector.safetensors      # the detector that ships, for our videos")]
pub(crate) struct Args {
    /// A manifest of crops with splits, or a data set folder that comes with splits.
    data: PathBuf,
    /// Model file to start from [default: the detector that ships with deeptell].
    #[arg(long, value_name = "FILE")]
    model: Option<PathBuf>,
    /// The model file to write.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Looks at each crop that a score is averaged over [default: as the model has it].
    #[arg(long, value_enum)]
    views: Option<Views>,
    /// Side of the crop over the longer side of the face box, for faces that are cut out [default: as the model has it].
    #[arg(long)]
    scale: Option<f32>,
    /// Name for the model card [default: as the model has it].
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// What the model was trained on, for its card [default: as the model has it].
    #[arg(long, value_name = "TEXT")]
    trained_on: Option<String>,
    /// Where to compute.
    #[arg(long, value_enum, default_value_t = DeviceName::Cpu)]
    device: DeviceName,
}

#[derive(Serialize)]
struct Document {
    model: String,
    model_sha256: String,
    #[serde(flatten)]
    validation: BinaryReport,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<Outcome> {
    let device = args.device.open()?;
    let file = model_file(args.model.as_deref())?;
    let samples = read_dataset(&args.data)?;
    let validation: Vec<&Sample> =
        samples.iter().filter(|sample| sample.split == Some(Split::Validation)).collect();
    if validation.is_empty() {
        anyhow::bail!(
            "no sample of {} is in the split `validation`: make splits with `deeptell split`",
            args.data.display()
        );
    }
    let known = file.card().clone();
    let file = file.with_card(ModelCard {
        name: args.name.clone().unwrap_or(known.name),
        trained_on: args.trained_on.clone().unwrap_or(known.trained_on),
        views: args.views.map_or(known.views, Views::list),
        crop: FaceCrop { scale: args.scale.unwrap_or(known.crop.scale), ..known.crop },
        ..known
    })?;
    let model = file.load(&device)?;
    let calibrated = unless_stopped(calibrate(&model, &validation, &mut Tasks::default()))?;
    let Some(Calibrated { card, figures, .. }) = calibrated else {
        return Ok(Outcome::Interrupted);
    };
    let model = card.name.clone();
    let model_sha256 = file.with_card(card)?.write(&args.out, StoredPrecision::Half)?;
    let document = Document { model, model_sha256, validation: figures };
    output::write_json(&document, "-".as_ref())?;
    Ok(Outcome::Done)
}
