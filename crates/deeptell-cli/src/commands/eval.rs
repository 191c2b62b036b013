use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};

use clap::ValueEnum as _;
use deeptell::{ModelCard, Precision};
use deeptell_data::{Layout, Sample, read_dataset, read_layout, read_picture};
use deeptell_eval::{
    Distortion, Evaluation, NO_TEST, Subject, evaluate, page, probabilities, score_samples, write_scores,
};
use deeptell_face::{FaceDetector, Selection};
use deeptell_metrics::EvaluationConfig;
use deeptell_mtcnn::MtcnnConfig;
use rayon::prelude::*;
use serde::Serialize;

use crate::detector::model_file;
use crate::device::{DeviceName, PrecisionName};
use crate::progress::{Progress, Tasks, unless_stopped};
use crate::views::Views;
use crate::which_split::WhichSplit;
use crate::{Outcome, output};

/// With `--detect`: pixels of the picture, and MTCNN's probability. A crop has one face, so lower
/// than for a scan, which must not judge what is none.
const SMALLEST_FACE: f32 = 40.0;
const SUREST_ENOUGH: f32 = 0.8;

/// Measure a model on labelled face crops: AUC-ROC with its interval, AP, EER, calibration.
///
/// Prints one JSON document; --html draws it for people. Intervals resample whole sources, not
/// single crops. With a manifest, also whole videos, and people within them where its rows have
/// `extra.track`; and groups: by method, data set, `extra.compression`, `extra.codec`, face width.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  deeptell eval --crops faces/                       # faces/real and faces/fake
  deeptell eval --manifest split.jsonl --split test --model runs/first/detector.safetensors
  deeptell eval --crops loose/ --detect              # finds the face again in wide crops
  deeptell eval --crops faces/ --distort h264:28     # as a video of that quality shows them
  deeptell eval --crops faces/ --html report.html        # curves and tables for people
  deeptell eval --crops faces/ --scores scores.csv | jq .auc")]
#[command(group = clap::ArgGroup::new("data").required(true))]
pub(crate) struct Args {
    /// A folder with `real/` and `fake/` face crops.
    #[arg(long, group = "data", value_name = "DIR")]
    crops: Option<PathBuf>,
    /// A manifest of crops, or a data set folder: frame and video level.
    #[arg(long, group = "data", value_name = "FILE|DIR")]
    manifest: Option<PathBuf>,
    /// Which split of the manifest to measure on.
    #[arg(long, value_enum, default_value_t = WhichSplit::Test, conflicts_with = "crops")]
    split: WhichSplit,
    /// Find the face again in each picture and cut it as the model was trained, instead of taking
    /// the whole picture. Pictures without a face found are taken whole, and counted.
    #[arg(long)]
    detect: bool,
    /// Measure what a loss of quality costs: h264:CRF, jpeg:QUALITY, shrink:FACTOR, noise:LEVELS or grey;
    /// or, with corners, what is left when only the four corners of each crop are: no face, so AUC 0.5.
    #[arg(long, value_name = "KIND")]
    distort: Option<Distortion>,
    /// Model file [default: the detector that ships with deeptell].
    #[arg(long, value_name = "FILE")]
    model: Option<PathBuf>,
    /// Looks at each crop that a score is averaged over [default: as the model has it].
    #[arg(long, value_enum)]
    views: Option<Views>,
    /// Where to compute.
    #[arg(long, value_enum, default_value_t = DeviceName::Cpu)]
    device: DeviceName,
    /// What the classifier computes in; finding faces stays in f32.
    #[arg(long, value_enum, default_value_t = PrecisionName::F32)]
    precision: PrecisionName,
    /// Bootstrap resamples.
    #[arg(long, default_value_t = EvaluationConfig::default().resamples)]
    resamples: usize,
    /// Write every crop's probability as CSV.
    #[arg(long, value_name = "FILE")]
    scores: Option<PathBuf>,
    /// Write a page for people: curves, reliability, thresholds, groups, limits; one file, no script.
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// Write the JSON document here instead of standard output.
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
    #[serde(flatten)]
    evaluation: Evaluation,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<Outcome> {
    let device = args.device.open()?;
    let mut file = model_file(args.model.as_deref())?;
    if let Some(views) = args.views {
        let card = ModelCard { views: views.list(), ..file.card().clone() };
        file = file.with_card(card)?;
    }
    let model = file.load(&device)?.with_precision(args.precision.on(args.device))?;
    let (data, mut samples) = match (&args.crops, &args.manifest) {
        (Some(crops), _) => (crops, read_layout(crops, Layout::Folders)?),
        (None, Some(manifest)) => {
            let mut samples = read_dataset(manifest)?;
            let all = samples.len();
            samples.retain(|s| args.split.takes(s.split));
            if samples.is_empty() {
                anyhow::bail!(
                    "none of the {all} samples of {} is in that split: assign splits with `deeptell split`, or \
                     pass --split all",
                    manifest.display()
                );
            }
            (manifest, samples)
        }
        (None, None) => anyhow::bail!("pass --crops or --manifest"),
    };
    let faces_not_found = if args.detect {
        let faces = MtcnnConfig { min_face: SMALLEST_FACE.into(), ..MtcnnConfig::default() }.init(&device)?;
        Some(detect(&mut samples, &faces)?)
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
        evaluation: evaluate(&samples, &crops, levels, &config)?,
    };
    if let Some(path) = &args.html {
        let is_test = args.manifest.is_none() || args.split == WhichSplit::Test;
        let subject = Subject {
            model: model.info(),
            data: data.display().to_string(),
            split: document.split.as_deref(),
            caution: (!is_test).then_some(NO_TEST),
            distortion: document.distortion.clone(),
            faces_not_found,
            run: None,
        };
        output::write_file(path, page(&subject, &document.evaluation).as_bytes())?;
    }
    output::write_figures(&document, &args.json)?;
    Ok(Outcome::Done)
}

/// Gives each sample the box and landmarks of its largest face; how many have none.
fn detect(samples: &mut [Sample], faces: &dyn FaceDetector) -> anyhow::Result<usize> {
    let progress = Progress::new("finding faces", samples.len(), "pictures");
    let missing = AtomicUsize::new(0);
    samples.par_iter_mut().try_for_each(|sample| {
        let image = read_picture(&sample.path)?;
        let face = faces.find_in_crop(&image, SUREST_ENOUGH, Selection::Largest)?;
        missing.fetch_add(usize::from(face.is_none()), Ordering::Relaxed);
        sample.bbox = face.as_ref().map(|face| face.bbox);
        sample.landmarks = face.map(|face| face.landmarks);
        progress.add(1, "");
        anyhow::Ok(())
    })?;
    progress.finish();
    Ok(missing.into_inner())
}
