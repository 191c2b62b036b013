use std::path::PathBuf;

use deeptell::Thresholds;
use deeptell_data::{Layout, Sample, scan_layout};
use deeptell_eval::{Distortion, Measurement, ScoreTable, TableInfo};
use deeptell_files::check_outputs;
use deeptell_metrics::EvaluationConfig;

use crate::dataset::{Dataset, DatasetArgs};
use crate::face_detector::{FaceDetectorName, face_detector};
use crate::found_faces::SMALLEST_FACE;
use crate::model_args::ModelArgs;
use crate::output::alert;
use crate::progress::{Tasks, unless_stopped};
use crate::which_split::WhichSplit;
use crate::{Outcome, output};

/// Measure a detector on labeled face crops: AUC-ROC with interval, AP, EER, calibration.
///
/// Prints one JSON document; --html writes a page. Intervals resample whole sources, not single crops.
/// A manifest is also measured by video, by person where its rows have `extra.track`, and in groups by
/// method, data set, `extra.compression`, `extra.codec` and face width.
///
/// --scores-from measures another detector by its scores, without reading the files: crops, pictures or
/// whole videos.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  deeptell eval --crops faces/                         # faces/real and faces/fake
  deeptell eval --manifest split.jsonl --split test --model runs/first/detector.safetensors
  deeptell eval --crops loose/ --detect                # finds the face again in wide crops
  deeptell eval --crops faces/ --distort h264:28       # compressed like a video of that quality
  deeptell eval --crops faces/ --html report.html      # curves and tables
  deeptell eval --crops faces/ --scores scores.csv | jq .auc
  deeptell eval --manifest split.jsonl --scores-from other.csv   # another detector

The table of --scores-from:
  path,probability,why
  real/a.png,0.03,
  fake/b.png,0.98,
  fake/c.png,,no face

`path` is as in the manifest, or below its folder. Instead of `probability`, `logit` takes any
number. A column `label` is compared with the data.")]
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
    /// Face detector for --detect [default: the one whose boxes the model was trained on].
    #[arg(long, value_enum, value_name = "NAME", requires = "detect")]
    face_detector: Option<FaceDetectorName>,
    /// Distort each crop first: h264:CRF, jpeg:QUALITY, shrink:FACTOR, noise:LEVELS or grey.
    ///
    /// As a control, `corners` keeps only the four corners of each crop: without a face, the AUC should be
    /// 0.5.
    #[arg(long, value_name = "KIND")]
    distort: Option<Distortion>,
    /// Take the scores of another detector from this CSV table, with the columns `path` and `probability` (or
    /// `logit`). With --incomplete, samples without a score are left out, and the exit code is 3.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["model", "views", "device", "dtype", "detect", "distort"])]
    scores_from: Option<PathBuf>,
    /// Thresholds for --scores-from: real up to LOW, fake from HIGH on [default: real below 0.5].
    #[arg(long, value_name = "LOW:HIGH", requires = "scores_from")]
    thresholds: Option<Thresholds>,
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

pub(crate) fn run(args: &Args) -> anyhow::Result<Outcome> {
    let (data, Dataset { samples, mut outcome, missing }) = match (&args.crops, &args.manifest) {
        (Some(crops), _) => (crops, args.dataset.take(scan_layout(crops, Layout::Folders)?)?),
        (None, Some(manifest)) => (manifest, args.dataset.read(manifest)?),
        (None, None) => anyhow::bail!("pass --crops or --manifest"),
    };
    let outputs = [args.scores.as_ref(), args.html.as_ref(), Some(&args.json)];
    let inputs = [Some(data), args.scores_from.as_ref()];
    check_outputs(outputs.into_iter().flatten(), inputs.into_iter().flatten())?;
    let takes = |sample: &Sample| args.crops.is_some() || args.split.takes(sample.split);
    if !samples.iter().any(takes) {
        anyhow::bail!(
            "none of the {} samples of {} is in this split: assign splits with `deeptell split`, or pass --split all",
            samples.len(),
            data.display()
        );
    }
    let measured = if let Some(table) = &args.scores_from {
        let mut table = ScoreTable::read(table, args.thresholds.unwrap_or(TableInfo::HALF))?;
        Some(Measurement::from_table(&mut table, &samples, data, takes, args.dataset.is_incomplete())?)
    } else {
        let (model, device) = args.model.load()?;
        let samples = samples.into_iter().filter(takes).collect();
        let name = || args.face_detector.map_or_else(|| FaceDetectorName::of(model.card()), Ok);
        let faces = args.detect.then(|| face_detector(name()?, SMALLEST_FACE, &device)).transpose()?;
        let faces = faces.as_deref();
        let watch = &mut Tasks::default();
        unless_stopped(Measurement::with_model(&model, samples, data, faces, args.distort, watch))?
    };
    let Some(mut measured) = measured else { return Ok(Outcome::Interrupted) };
    measured.files_missing = missing;
    measured.split = args.manifest.as_ref().and_then(|_| args.split.name());
    for sentence in measured.left_out() {
        alert!("{sentence}");
    }
    if !measured.unscored.is_empty() {
        outcome = Outcome::Incomplete;
    }
    if let Some(path) = &args.scores {
        output::write_file(path, &measured.scores()?)?;
    }
    let config = EvaluationConfig::default().resamples(args.resamples);
    let document = measured.evaluate(&config)?;
    if let Some(path) = &args.html {
        let is_test = args.manifest.is_none() || args.split == WhichSplit::Test;
        output::write_file(path, measured.page(&document, is_test).as_bytes())?;
    }
    output::write_figures(&document, &args.json)?;
    Ok(outcome)
}
