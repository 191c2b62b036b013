use std::path::PathBuf;

use deeptell::StoredDtype;
use deeptell_data::Sample;
use deeptell_eval::{Calibrated, FittedLevels, Suite, calibrate, calibrate_on_suite, validation_of};
use deeptell_files::check_outputs;
use deeptell_metrics::BinaryReport;
use serde::Serialize;

use crate::dataset::{Dataset, DatasetArgs};
use crate::detector::model_file;
use crate::device::DeviceName;
use crate::found_faces::with_found_faces;
use crate::progress::{Tasks, unless_stopped};
use crate::training::warn_of_losses;
use crate::views::Views;
use crate::{Outcome, output};

/// Fit the calibration and thresholds of a model again, on other data or for more views.
///
/// Keeps the weights and writes a new model file. `train` does the same at its end. Each data set is a
/// domain (`dataset` in the manifest), and all domains count equally. Two levels are fitted: single
/// crops, by which pictures are judged, and people over all their frames, by which videos are judged.
///
/// "Likely fake" starts at the score that at most 1% of genuine samples reach, in the worst domain and,
/// with 95% confidence, in all domains together; "likely real" ends where the same holds for 5% of
/// manipulated samples. Prints one JSON document with the figures of every domain; they are optimistic,
/// because the thresholds were chosen on the same samples.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  deeptell calibrate split.jsonl --model first.safetensors --views 6 -o steady.safetensors
  deeptell calibrate ours.jsonl -o detector.safetensors       # the shipped model, for our videos
  deeptell calibrate one.jsonl two.jsonl -o detector.safetensors
  deeptell calibrate validation.toml -o detector.safetensors  # a suite, as `deeptell suite` uses it")]
pub(crate) struct Args {
    /// Manifests of crops with splits, or data set folders that come with splits; or one suite in TOML,
    /// whose sets are the domains.
    #[arg(required = true, value_name = "DATA|SUITE")]
    data: Vec<PathBuf>,
    #[command(flatten)]
    dataset: DatasetArgs,
    /// Model file to start from [default: the shipped model].
    #[arg(long, value_name = "FILE")]
    model: Option<PathBuf>,
    /// Model file to write.
    #[arg(short, long, value_name = "FILE")]
    out: PathBuf,
    /// Number of views of each crop that a score averages (test-time augmentation) [default: as in the
    /// model].
    #[arg(long, value_enum)]
    views: Option<Views>,
    /// Side of a crop, as a multiple of the longer side of the face box [default: as in the model].
    #[arg(long, value_name = "FACTOR")]
    scale: Option<f32>,
    /// Name of the model, for its card [default: as in the model].
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// Description of the training data, for the model card [default: as in the model].
    #[arg(long, value_name = "TEXT")]
    trained_on: Option<String>,
    /// Device to compute on.
    #[arg(long, value_enum, default_value_t = DeviceName::Cpu)]
    device: DeviceName,
}

#[derive(Serialize)]
struct Document {
    model: String,
    model_sha256: String,
    /// Of single crops.
    #[serde(flatten)]
    validation: BinaryReport,
    /// Files that the data sets list but that are missing, with `--incomplete`.
    #[serde(skip_serializing_if = "Option::is_none")]
    files_missing: Option<usize>,
    fitted: FittedLevels,
}

/// The validation samples of all data. A sample without a data set name gets the name of its file.
fn validation(data: &[PathBuf], dataset: DatasetArgs) -> anyhow::Result<Dataset> {
    let mut validation = Vec::new();
    let (mut outcome, mut missing) = (Outcome::Done, 0);
    for path in data {
        let read = dataset.read(path)?;
        if read.outcome != Outcome::Done {
            outcome = read.outcome;
        }
        missing += read.missing;
        let samples = validation_of(read.samples, path);
        if samples.is_empty() {
            anyhow::bail!(
                "no sample of {} is in the split `validation`: assign splits with `deeptell split`",
                path.display()
            );
        }
        validation.extend(samples);
    }
    Ok(Dataset { samples: validation, outcome, missing })
}

pub(crate) fn run(args: &Args) -> anyhow::Result<Outcome> {
    check_outputs([&args.out], args.data.iter().chain(&args.model))?;
    let device = args.device.open()?;
    let file = model_file(args.model.as_deref())?;
    let mut card = file.card().clone();
    if let Some(name) = &args.name {
        card.name.clone_from(name);
    }
    if let Some(trained_on) = &args.trained_on {
        card.trained_on.clone_from(trained_on);
    }
    if let Some(views) = args.views {
        card.views = views.list();
    }
    card.crop.scale = args.scale.unwrap_or(card.crop.scale);
    let file = file.with_card(card)?;
    let model = file.load(&device)?;
    let (mut outcome, mut missing) = (Outcome::Done, 0);
    let calibrated = match &args.data[..] {
        [suite] if suite.extension().is_some_and(|extension| extension == "toml") => {
            let suite_path = suite;
            let suite = Suite::read(suite_path)?;
            with_found_faces(suite_path, None, model.card(), &device, |finder, faces| {
                calibrate_on_suite(&model, &suite, finder, faces, &mut Tasks::default())
            })?
        }
        data => {
            let validation = validation(data, args.dataset)?;
            (outcome, missing) = (validation.outcome, validation.missing);
            let samples: Vec<&Sample> = validation.samples.iter().collect();
            unless_stopped(calibrate(&model, &samples, &mut Tasks::default()))?
        }
    };
    let Some(Calibrated { card, figures, fitted, left_out, .. }) = calibrated else {
        return Ok(Outcome::Interrupted);
    };
    warn_of_losses(&left_out);
    let model = card.name.clone();
    let model_sha256 = file.with_card(card)?.write(&args.out, StoredDtype::F16)?;
    let files_missing = (missing > 0).then_some(missing);
    let document = Document { model, model_sha256, validation: figures, files_missing, fitted };
    output::write_json(&document, "-".as_ref())?;
    Ok(outcome)
}
