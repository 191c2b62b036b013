use std::path::PathBuf;

use clap::ValueEnum as _;
use deeptell::Precision;
use deeptell_data::{Layout, Sample, read_layout};
use deeptell_eval::{
    Distortion, Evaluation, NO_TEST, Subject, evaluate, find_largest_faces, page, probabilities,
    score_samples, write_scores,
};
use deeptell_metrics::EvaluationConfig;
use serde::Serialize;

use crate::dataset::{Dataset, DatasetArgs};
use crate::face_detector::face_detector;
use crate::model_args::ModelArgs;
use crate::progress::{Tasks, unless_stopped};
use crate::which_split::WhichSplit;
use crate::{Outcome, output};

/// Smallest face for `--detect`, in pixels of the picture.
const SMALLEST_FACE: f32 = 40.0;
/// Least probability of a face for `--detect`. Lower than in a scan, because each crop is known to show a face.
const LEAST_PROBABILITY: f32 = 0.8;

/// Measure a model on labelled face crops: AUC-ROC with interval, AP, EER, calibration.
///
/// Prints one JSON document; --html writes a page. Intervals resample whole sources, not single crops.
/// A manifest is also measured by video, by person where its rows have `extra.track`, and in groups by
/// method, data set, `extra.compression`, `extra.codec` and face width.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  deeptell eval --crops faces/                         # faces/real and faces/fake
  deeptell eval --manifest split.jsonl --split test --model runs/first/detector.safetensors
  deeptell eval --crops loose/ --detect                # finds the face again in wide crops
  deeptell eval --crops faces/ --distort h264:28       # compressed like a video of that quality
  deeptell eval --crops faces/ --html report.html      # curves and tables
  deeptell eval --crops faces/ --scores scores.csv | jq .auc")]
#[command(group = clap::ArgGroup::new("data").required(true))]
pub(crate) struct Args {
    /// Folder with `real/` and `fake/` face crops.
    #[arg(long, group = "data", value_name = "DIR")]
    crops: Option<PathBuf>,
    /// Manifest of crops, or data set folder in a layout that deeptell knows.
    #[arg(long, group = "data", value_name = "FILE|DIR")]
    manifest: Option<PathBuf>,
    #[command(flatten)]
    dataset: DatasetArgs,
    /// Split of the manifest to measure on.
    #[arg(long, value_enum, default_value_t = WhichSplit::Test, conflicts_with = "crops")]
    split: WhichSplit,
    /// Find the face in each picture and crop it as in training, instead of using the whole picture.
    /// Pictures without a face are used whole, and counted.
    #[arg(long)]
    detect: bool,
    /// Distort each crop first: h264:CRF, jpeg:QUALITY, shrink:FACTOR, noise:LEVELS or grey.
    ///
    /// As a control, `corners` keeps only the four corners of each crop: without a face, the AUC should be
    /// 0.5.
    #[arg(long, value_name = "KIND")]
    distort: Option<Distortion>,
    #[command(flatten)]
    model: ModelArgs,
    /// Number of bootstrap resamples for the intervals.
    #[arg(long, default_value_t = EvaluationConfig::default().resamples, value_name = "N")]
    resamples: usize,
    /// Write the probability of every crop as CSV, for `compare`.
    #[arg(long, value_name = "FILE")]
    scores: Option<PathBuf>,
    /// Write a self-contained HTML page: curves, reliability, thresholds, groups, limits.
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// Write the JSON document to this file; `-` is standard output.
    #[arg(long, value_name = "FILE", default_value = "-")]
    json: PathBuf,
}

/// What `eval` prints.
#[derive(Serialize)]
struct Document {
    model: String,
    model_sha256: String,
    /// Of the run that trained the model.
    #[serde(skip_serializing_if = "Option::is_none")]
    model_seed: Option<u64>,
    /// What the model computed in, where it was not f32.
    #[serde(skip_serializing_if = "Precision::is_full")]
    precision: Precision,
    data: PathBuf,
    #[serde(skip_serializing_if = "Option::is_none")]
    split: Option<String>,
    /// What the crops went through first.
    #[serde(skip_serializing_if = "Option::is_none")]
    distortion: Option<String>,
    /// Pictures that were taken whole because no face was found, with `--detect`.
    #[serde(skip_serializing_if = "Option::is_none")]
    faces_not_found: Option<usize>,
    /// Files that the data set lists but that are missing, with `--incomplete`.
    #[serde(skip_serializing_if = "Option::is_none")]
    files_missing: Option<usize>,
    #[serde(flatten)]
    evaluation: Evaluation,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<Outcome> {
    let (model, device) = args.model.load()?;
    let (mut outcome, mut files_missing) = (Outcome::Done, 0);
    let (data, mut samples) = match (&args.crops, &args.manifest) {
        (Some(crops), _) => (crops, read_layout(crops, Layout::Folders)?),
        (None, Some(manifest)) => {
            let Dataset { mut samples, outcome: read, missing } = args.dataset.read(manifest)?;
            (outcome, files_missing) = (read, missing);
            let all = samples.len();
            samples.retain(|s| args.split.takes(s.split));
            if samples.is_empty() {
                anyhow::bail!(
                    "none of the {all} samples of {} is in this split: assign splits with `deeptell split`, or \
                     pass --split all",
                    manifest.display()
                );
            }
            (manifest, samples)
        }
        (None, None) => anyhow::bail!("pass --crops or --manifest"),
    };
    let faces_not_found = if args.detect {
        let faces = face_detector(SMALLEST_FACE, &device)?;
        let found = find_largest_faces(&mut samples, &faces, LEAST_PROBABILITY, &mut Tasks::default());
        let Some(missing) = unless_stopped(found)? else { return Ok(Outcome::Interrupted) };
        Some(missing)
    } else {
        None
    };
    let samples: Vec<&Sample> = samples.iter().collect();

    let crops = unless_stopped(score_samples(&model, &samples, args.distort, &mut Tasks::default()))?;
    let Some(crops) = crops else { return Ok(Outcome::Interrupted) };
    let levels = &model.card().levels;
    if let Some(path) = &args.scores {
        output::write_file(path, &write_scores(&samples, &probabilities(&crops, levels)?)?)?;
    }
    let config = EvaluationConfig { resamples: args.resamples, ..EvaluationConfig::default() };
    let split = args.manifest.as_ref().and_then(|_| args.split.to_possible_value());
    let document = Document {
        model: model.card().name.clone(),
        model_sha256: model.info().sha256.clone(),
        model_seed: model.card().seed,
        precision: model.info().precision,
        data: data.clone(),
        split: split.map(|split| split.get_name().to_owned()),
        distortion: args.distort.map(|distortion| distortion.to_string()),
        faces_not_found,
        files_missing: (files_missing > 0).then_some(files_missing),
        evaluation: evaluate(&samples, &crops, levels, &config)?,
    };
    if let Some(path) = &args.html {
        let is_test = args.manifest.is_none() || args.split == WhichSplit::Test;
        let subject = Subject {
            model: model.info(),
            data: match files_missing {
                0 => data.display().to_string(),
                count => format!("{} ({count} listed files are missing)", data.display()),
            },
            split: document.split.as_deref(),
            caution: (!is_test).then_some(NO_TEST),
            distortion: document.distortion.clone(),
            faces_not_found,
            run: None,
        };
        output::write_file(path, page(&subject, &document.evaluation).as_bytes())?;
    }
    output::write_figures(&document, &args.json)?;
    Ok(outcome)
}
