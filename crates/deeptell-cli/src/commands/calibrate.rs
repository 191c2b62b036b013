use std::path::PathBuf;

use deeptell::{ModelCard, StoredPrecision};
use deeptell_data::{Sample, Split, read_dataset};
use deeptell_eval::{Calibrated, FittedLevels, Suite, calibrate, calibrate_on_suite};
use deeptell_face::FaceCrop;
use deeptell_metrics::BinaryReport;
use serde::Serialize;

use crate::detector::model_file;
use crate::device::DeviceName;
use crate::found_faces::with_found_faces;
use crate::progress::{Tasks, unless_stopped};
use crate::views::Views;
use crate::{Outcome, output};

/// Fit the calibration and the thresholds of a model again, on validation crops of one or more data sets, or for
/// another number of views.
///
/// The weights stay; a new file is written. `train` does the same at its end. Each data set is a domain
/// (`dataset` in the manifest) and counts alike. Two levels are fitted: single crops, by which pictures
/// are judged, and people over all their frames, by which videos are. "Likely fake" begins where at most
/// 1% of the genuine would be, in the worst domain and, with 95% confidence, in all together; "likely
/// real" ends where the same holds of 5% of the manipulated. Prints one JSON document with the figures
/// of every domain, which flatter: the levels were chosen there.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  deeptell calibrate split.jsonl --model runs/first/detector.safetensors --views 6 --out steady.safetensors
  deeptell calibrate ours.jsonl --out detector.safetensors      # the detector that ships, for our videos
  deeptell calibrate one.jsonl two.jsonl --out detector.safetensors
  deeptell calibrate validation.toml --out detector.safetensors  # a suite, as `deeptell suite` takes it")]
pub(crate) struct Args {
    /// Manifests of crops with splits, or data set folders that come with splits; or one suite in TOML,
    /// of which each set is a domain.
    #[arg(required = true, value_name = "DATA|SUITE")]
    data: Vec<PathBuf>,
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
    /// Of single crops.
    #[serde(flatten)]
    validation: BinaryReport,
    fitted: FittedLevels,
}

/// The validation samples of all data; one that names no data set gets the name of its file.
fn validation(data: &[PathBuf]) -> anyhow::Result<Vec<Sample>> {
    let mut validation = Vec::new();
    for path in data {
        let before = validation.len();
        let of_split = read_dataset(path)?.into_iter().filter(|s| s.split == Some(Split::Validation));
        let name = path.file_stem().map(|name| name.to_string_lossy().into_owned());
        validation.extend(of_split.map(|sample| {
            let dataset = sample.dataset.clone().or_else(|| name.clone());
            Sample { dataset, ..sample }
        }));
        if validation.len() == before {
            anyhow::bail!(
                "no sample of {} is in the split `validation`: make splits with `deeptell split`",
                path.display()
            );
        }
    }
    Ok(validation)
}

pub(crate) fn run(args: &Args) -> anyhow::Result<Outcome> {
    let device = args.device.open()?;
    let file = model_file(args.model.as_deref())?;
    let known = file.card().clone();
    let file = file.with_card(ModelCard {
        name: args.name.clone().unwrap_or(known.name),
        trained_on: args.trained_on.clone().unwrap_or(known.trained_on),
        views: args.views.map_or(known.views, Views::list),
        crop: FaceCrop { scale: args.scale.unwrap_or(known.crop.scale), ..known.crop },
        ..known
    })?;
    let model = file.load(&device)?;
    let calibrated = match &args.data[..] {
        [suite] if suite.extension().is_some_and(|extension| extension == "toml") => {
            let suite_path = suite;
            let suite = Suite::read(suite_path)?;
            with_found_faces(suite_path, None, &device, |finder, faces| {
                calibrate_on_suite(&model, &suite, finder, faces, &mut Tasks::default())
            })?
        }
        data => {
            let samples = validation(data)?;
            let samples: Vec<&Sample> = samples.iter().collect();
            unless_stopped(calibrate(&model, &samples, &mut Tasks::default()))?
        }
    };
    let Some(Calibrated { card, figures, fitted, .. }) = calibrated else {
        return Ok(Outcome::Interrupted);
    };
    let model = card.name.clone();
    let model_sha256 = file.with_card(card)?.write(&args.out, StoredPrecision::Half)?;
    let document = Document { model, model_sha256, validation: figures, fitted };
    output::write_json(&document, "-".as_ref())?;
    Ok(Outcome::Done)
}
