use std::path::{Path, PathBuf};

use clap::ValueEnum as _;
use deeptell::{Precision, Thresholds};
use deeptell_data::{Layout, Sample, read_layout};
use deeptell_eval::{
    CropOutcome, CropScore, Distortion, Evaluation, NO_TEST, ScoreTable, Scorer, Subject, TableInfo,
    evaluate, find_largest_faces, page, probabilities, score_samples, some_of, write_scores,
};
use deeptell_metrics::EvaluationConfig;
use serde::Serialize;

use crate::dataset::{Dataset, DatasetArgs};
use crate::face_detector::face_detector;
use crate::model_args::ModelArgs;
use crate::output::alert;
use crate::progress::{Tasks, unless_stopped};
use crate::thresholds::thresholds;
use crate::which_split::WhichSplit;
use crate::{Outcome, output};

/// Smallest face for `--detect`, in pixels of the picture.
const SMALLEST_FACE: f32 = 40.0;
/// Least probability of a face for `--detect`. Lower than in a scan, because each crop is known to show a face.
const LEAST_PROBABILITY: f32 = 0.8;

/// Measure a detector on labelled face crops: AUC-ROC with interval, AP, EER, calibration.
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
    /// Distort each crop first: h264:CRF, jpeg:QUALITY, shrink:FACTOR, noise:LEVELS or grey.
    ///
    /// As a control, `corners` keeps only the four corners of each crop: without a face, the AUC should be
    /// 0.5.
    #[arg(long, value_name = "KIND")]
    distort: Option<Distortion>,
    /// Take the scores of another detector from this CSV table, with the columns `path` and `probability` (or
    /// `logit`). With --incomplete, samples without a score are left out, and the exit code is 3.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["model", "views", "device", "precision", "detect", "distort"])]
    scores_from: Option<PathBuf>,
    /// Where the scores of --scores-from say real (up to LOW) and fake (from HIGH on) [default: 0.5 divides].
    #[arg(long, value_name = "LOW:HIGH", value_parser = thresholds, requires = "scores_from")]
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

/// What `eval` prints.
#[derive(Serialize)]
struct Document {
    model: String,
    /// Absent for another detector.
    #[serde(skip_serializing_if = "Option::is_none")]
    model_sha256: Option<String>,
    /// The table that the scores of another detector are from.
    #[serde(skip_serializing_if = "Option::is_none")]
    scores_from: Option<PathBuf>,
    #[serde(skip_serializing_if = "Option::is_none")]
    scores_sha256: Option<String>,
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
    /// Samples without a score, with `--scores-from` and `--incomplete`, for all reasons.
    #[serde(skip_serializing_if = "Option::is_none")]
    scores_missing: Option<usize>,
    /// Those of them in which the other detector found no face.
    #[serde(skip_serializing_if = "Option::is_none")]
    no_face: Option<usize>,
    #[serde(flatten)]
    evaluation: Evaluation,
}

/// The samples that were measured, and their scores.
struct Scored {
    scorer: Scorer,
    samples: Vec<Sample>,
    crops: Vec<CropScore>,
    precision: Precision,
    faces_not_found: Option<usize>,
    /// With a table: samples without a score, and those of them without a face.
    missing: Option<[usize; 2]>,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<Outcome> {
    let (mut outcome, mut files_missing) = (Outcome::Done, 0);
    let (data, samples) = match (&args.crops, &args.manifest) {
        (Some(crops), _) => (crops, read_layout(crops, Layout::Folders)?),
        (None, Some(manifest)) => {
            let Dataset { samples, outcome: read, missing } = args.dataset.read(manifest)?;
            (outcome, files_missing) = (read, missing);
            (manifest, samples)
        }
        (None, None) => anyhow::bail!("pass --crops or --manifest"),
    };
    let scored = match &args.scores_from {
        Some(table) => from_table(table, samples, data, args)?,
        None => match with_model(samples, data, args)? {
            Some(scored) => scored,
            None => return Ok(Outcome::Interrupted),
        },
    };
    let Scored { scorer, samples, crops, precision, faces_not_found, missing } = scored;
    if missing.is_some_and(|[all, _]| all > 0) {
        outcome = Outcome::Incomplete;
    }
    let samples: Vec<&Sample> = samples.iter().collect();
    let levels = scorer.levels();
    if let Some(path) = &args.scores {
        output::write_file(path, &write_scores(&samples, &probabilities(&crops, &levels)?)?)?;
    }
    let config = EvaluationConfig { resamples: args.resamples, ..EvaluationConfig::default() };
    let split = args.manifest.as_ref().and_then(|_| args.split.to_possible_value());
    let is_model = matches!(scorer, Scorer::Model(_));
    let sha256 = scorer.sha256().to_owned();
    let document = Document {
        model: scorer.name().to_owned(),
        model_sha256: is_model.then(|| sha256.clone()),
        scores_from: args.scores_from.clone(),
        scores_sha256: (!is_model).then_some(sha256),
        model_seed: match &scorer {
            Scorer::Model(model) => model.card.seed,
            Scorer::Table(_) => None,
        },
        precision,
        data: data.clone(),
        split: split.map(|split| split.get_name().to_owned()),
        distortion: args.distort.map(|distortion| distortion.to_string()),
        faces_not_found,
        files_missing: (files_missing > 0).then_some(files_missing),
        scores_missing: missing.map(|[all, _]| all).filter(|all| *all > 0),
        no_face: missing.map(|[_, no_face]| no_face).filter(|no_face| *no_face > 0),
        evaluation: evaluate(&samples, &crops, &levels, &config)?,
    };
    if let Some(path) = &args.html {
        let is_test = args.manifest.is_none() || args.split == WhichSplit::Test;
        let left_out = [
            (files_missing, "listed files are missing"),
            (document.scores_missing.unwrap_or(0), "samples have no score"),
        ];
        let left_out = left_out.iter().filter(|(count, _)| *count > 0);
        let left_out: Vec<String> = left_out.map(|(count, what)| format!("{count} {what}")).collect();
        let subject = Subject {
            scorer: &scorer,
            data: match left_out.as_slice() {
                [] => data.display().to_string(),
                left_out => format!("{} ({})", data.display(), left_out.join(", ")),
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

/// The samples of the split, with the scores that the model gives them; `None` if interrupted.
fn with_model(samples: Vec<Sample>, data: &Path, args: &Args) -> anyhow::Result<Option<Scored>> {
    let (model, device) = args.model.load()?;
    let mut samples = of_split(samples.into_iter().map(|sample| (sample, ())), data, args)?.0;
    let faces_not_found = if args.detect {
        let faces = face_detector(SMALLEST_FACE, &device)?;
        let found = find_largest_faces(&mut samples, &faces, LEAST_PROBABILITY, &mut Tasks::default());
        let Some(missing) = unless_stopped(found)? else { return Ok(None) };
        Some(missing)
    } else {
        None
    };
    let listed: Vec<&Sample> = samples.iter().collect();
    let crops = unless_stopped(score_samples(&model, &listed, args.distort, &mut Tasks::default()))?;
    Ok(crops.map(|crops| Scored {
        scorer: model.info().clone().into(),
        precision: model.info().precision,
        samples,
        crops,
        faces_not_found,
        missing: None,
    }))
}

/// The samples of the split that a table has scores of. It may also have those of other splits.
fn from_table(table: &Path, samples: Vec<Sample>, data: &Path, args: &Args) -> anyhow::Result<Scored> {
    let mut read = ScoreTable::read(table, args.thresholds.unwrap_or(TableInfo::HALF))?;
    let listed: Vec<&Sample> = samples.iter().collect();
    let crops = read.crops(&listed, data, None)?;
    let (mut samples, mut crops) = of_split(samples.into_iter().zip(crops), data, args)?;
    let mut missing = [0; 2];
    if args.dataset.is_incomplete() {
        let unknown = read.unknown();
        if !unknown.is_empty() {
            alert!(
                "left out: {} scores of files that the data does not list: {}",
                unknown.len(),
                some_of(&unknown)
            );
        }
        let unscored: Vec<&CropScore> =
            crops.iter().filter(|crop| !matches!(crop.outcome, CropOutcome::Given { .. })).collect();
        let no_face = unscored.iter().filter(|crop| crop.outcome == CropOutcome::NoFace).count();
        missing = [unscored.len(), no_face];
        if !unscored.is_empty() {
            let names: Vec<String> = unscored.iter().map(|crop| crop.path.display().to_string()).collect();
            let of = crops.len();
            alert!("left out: {} of {of} samples without a score: {}", names.len(), some_of(&names));
        }
        let mut keep = crops.iter().map(|crop| matches!(crop.outcome, CropOutcome::Given { .. }));
        samples.retain(|_| keep.next().unwrap_or(false));
        crops.retain(|crop| matches!(crop.outcome, CropOutcome::Given { .. }));
    } else {
        read.check_complete(&crops)?;
    }
    Ok(Scored {
        scorer: Scorer::Table(read.info().clone()),
        samples,
        crops,
        precision: Precision::F32,
        faces_not_found: None,
        missing: Some(missing),
    })
}

/// The samples of the split, with what goes along with each.
fn of_split<T>(
    samples: impl ExactSizeIterator<Item = (Sample, T)>,
    data: &Path,
    args: &Args,
) -> anyhow::Result<(Vec<Sample>, Vec<T>)> {
    let all = samples.len();
    let takes = |sample: &Sample| args.crops.is_some() || args.split.takes(sample.split);
    let taken: (Vec<Sample>, Vec<T>) = samples.filter(|(sample, _)| takes(sample)).unzip();
    if args.crops.is_none() && taken.0.is_empty() {
        anyhow::bail!(
            "none of the {all} samples of {} is in this split: assign splits with `deeptell split`, or pass --split all",
            data.display()
        );
    }
    Ok(taken)
}
