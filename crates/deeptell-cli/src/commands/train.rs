use std::path::PathBuf;

use anyhow::Context as _;
use burn::tensor::Device;
use deeptell::{Aggregation, Calibration, Criteria, Measure, Model, ModelCard};
use deeptell_data::{Sample, Split, audit, read_dataset};
use deeptell_metrics::{
    BinaryReport, EvaluationConfig, PlattScaling, ScoreScale, evaluate, operating_point_at_fpr,
};
use deeptell_mobilenet::{MobileNetV3Small, MobileNetV3SmallConfig, StoredPrecision, Weights};
use deeptell_train::{EpochRecord, Event, Start, TrainConfig, predict, train};
use serde::Serialize;

use super::eval::labels;
use super::weights::cached_imagenet;
use crate::device::DeviceName;
use crate::output::say;
use crate::progress::Progress;
use crate::provenance::Provenance;
use crate::{Outcome, interrupt, output};

/// Faces narrower than this were hardly in the training material.
const MIN_CROP_WIDTH: f32 = 48.0;
/// Sampled frames that must show a person before a verdict rests on them.
const MIN_FRAMES: usize = 3;

/// Train a detector on the `train` split and choose its best epoch on `validation`.
///
/// The run folder gets the configuration, the history as JSON Lines and as a picture, the best
/// and the last checkpoint, and at the end `detector.safetensors`: weights, calibration and
/// thresholds in one file that `scan` and `eval` take with --model. A kill at any moment loses at
/// most the epoch under way.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  deeptell train split.jsonl --init imagenet --out runs/first
  deeptell train split.jsonl --config train.toml --epochs 12 --out runs/second
  deeptell train split.jsonl --out runs/first --resume

Start from ImageNet weights with --init imagenet (after `deeptell weights import FILE`) or
--init FILE; from the detector that ships with --init shipped; from nothing with --init scratch.")]
pub(crate) struct Args {
    /// A manifest of crops with splits, or a data set folder that comes with splits.
    data: PathBuf,
    /// Run folder.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Continue the run in --out after its last finished epoch.
    #[arg(long)]
    resume: bool,
    /// Where the weights come from: imagenet, shipped, scratch, or a weights file.
    #[arg(long, default_value = "imagenet", value_name = "FROM")]
    init: String,
    /// Settings in TOML; absent ones have their default.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Number of epochs, over the one in the configuration.
    #[arg(long)]
    epochs: Option<usize>,
    /// Samples a step, over the one in the configuration.
    #[arg(long)]
    batch_size: Option<usize>,
    /// Peak learning rate, over the one in the configuration.
    #[arg(long)]
    learning_rate: Option<f64>,
    /// Seed of every random choice, over the one in the configuration.
    #[arg(long)]
    seed: Option<u64>,
    /// Name for the model card.
    #[arg(long, default_value = "deeptell", value_name = "NAME")]
    name: String,
    /// What the model was trained on, for its card [default: the path of the data].
    #[arg(long, value_name = "TEXT")]
    trained_on: Option<String>,
    /// Where to compute.
    #[arg(long, value_enum, default_value_t = DeviceName::Cpu)]
    device: DeviceName,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<Outcome> {
    let device = args.device.open()?;
    let config = config(args)?;
    let samples = read_dataset(&args.data)?;
    if samples.iter().all(|s| s.split.is_none()) {
        anyhow::bail!(
            "no sample of {} has a split: make them with `deeptell split {0} --out split.jsonl`",
            args.data.display()
        );
    }
    audit(&samples).into_result()?;
    let start = if args.resume { Start::Resume } else { start(&args.init)? };
    if !args.resume {
        output::write_json(&Provenance::now(), &args.out.join("provenance.json"))?;
    }

    let mut bar: Option<Progress> = None;
    let run = train(&config, &samples, start, &device, &args.out, interrupt::flag(), |event| match event {
        Event::Started { epochs_done, epochs, samples, validation_samples, pos_weight } => eprintln!(
            "{} epochs of {samples} samples, {validation_samples} to validate on, pos_weight {pos_weight:.4}{}",
            epochs,
            if epochs_done > 0 { format!(", continuing after epoch {epochs_done}") } else { String::new() },
        ),
        Event::Step { epoch, step, steps, loss, .. } => {
            let bar = bar.get_or_insert_with(|| Progress::new(format!("epoch {epoch}"), steps, "steps"));
            bar.set(step, &format!("loss {loss:.4}"));
        }
        Event::Validating { done, total, .. } => {
            if let Some(bar) = &bar {
                bar.set(usize::MAX, &format!("validating {done}/{total}"));
            }
        }
        Event::Epoch { record, best } => {
            if let Some(bar) = bar.take() {
                bar.finish();
            }
            eprintln!("{}", epoch_line(&record, best));
        }
        _ => {}
    })?;
    if let Some(bar) = bar.take() {
        bar.finish();
    }
    if !run.finished {
        eprintln!("stopped after epoch {}; continue with --resume", run.history.len());
        return Ok(Outcome::Interrupted);
    }
    let detector = finish(args, &config, &samples, &device, &run.history)?;
    say!("{}", detector.display());
    Ok(Outcome::Done)
}

fn config(args: &Args) -> anyhow::Result<TrainConfig> {
    let saved = args.out.join("config.toml");
    let mut config = match &args.config {
        Some(path) => TrainConfig::read(path)?,
        None if args.resume && saved.is_file() => TrainConfig::read(&saved)?,
        None => TrainConfig::default(),
    };
    config.epochs = args.epochs.unwrap_or(config.epochs);
    config.batch_size = args.batch_size.unwrap_or(config.batch_size);
    config.learning_rate = args.learning_rate.unwrap_or(config.learning_rate);
    config.seed = args.seed.unwrap_or(config.seed);
    config.validate()?;
    Ok(config)
}

fn start(init: &str) -> anyhow::Result<Start> {
    Ok(match init {
        "scratch" => Start::Scratch,
        "shipped" => {
            let shipped = deeptell_models::DEEPTELL_MNV3S;
            Start::Network(Weights::from_bytes(shipped.bytes, shipped.file)?)
        }
        "imagenet" => {
            let cached = cached_imagenet()?;
            if !cached.is_file() {
                anyhow::bail!(
                    "there are no ImageNet weights in {}: fetch them and run `deeptell weights import FILE` \
                     (see its --help), or pass --init FILE, shipped or scratch",
                    cached.display()
                );
            }
            Start::Backbone(Weights::read(cached)?)
        }
        file => {
            let weights = Weights::read(file)?;
            if weights.metadata.contains_key(Model::CARD_KEY)
                || weights.metadata.contains_key("deeptell.epoch")
            {
                Start::Network(weights)
            } else {
                Start::Backbone(weights)
            }
        }
    })
}

fn epoch_line(record: &EpochRecord, best: bool) -> String {
    format!(
        "epoch {:>3}  loss {:.4}  validation loss {:.4}  AUC {:.4}{}  {:.0} s",
        record.epoch,
        record.train_loss,
        record.validation_loss,
        record.validation_auc,
        if best { " *" } else { "  " },
        record.seconds
    )
}

/// `metrics.json`: the figures of the best epoch on the split it was chosen on.
#[derive(Serialize)]
struct Metrics<'a> {
    split: &'static str,
    best_epoch: usize,
    validation: &'a BinaryReport,
    calibration: Calibration,
    criteria: Criteria,
    model_sha256: &'a str,
}

/// Calibrates the best epoch on validation, sets thresholds there, and writes the detector.
fn finish(
    args: &Args,
    config: &TrainConfig,
    samples: &[Sample],
    device: &Device,
    history: &[EpochRecord],
) -> anyhow::Result<PathBuf> {
    let mut network: MobileNetV3Small = MobileNetV3SmallConfig::new(1).init(device);
    Weights::read(args.out.join("best.safetensors"))?.load_into(&mut network)?;
    let validation: Vec<&Sample> = samples.iter().filter(|s| s.split == Some(Split::Validation)).collect();
    let bar = Progress::new("calibrating", validation.len(), "crops");
    let logits =
        predict(&network.clone().folded(), &validation, &config.crop, device, |done| bar.set(done, ""))?;
    bar.finish();
    let labels = labels(&validation);
    let scaling = PlattScaling::fit(&logits, &labels)
        .context("validation scores cannot be calibrated; the network has learnt too little")?;
    let calibration = Calibration { slope: scaling.slope, intercept: scaling.intercept };
    let probabilities: Vec<f64> = logits.iter().map(|&l| scaling.probability(l)).collect();
    let sources: Vec<&str> = validation.iter().map(|s| s.source.as_str()).collect();
    let figures = evaluate(
        &probabilities,
        &labels,
        &sources,
        &EvaluationConfig { scale: ScoreScale::Probability, ..EvaluationConfig::default() },
    )?;
    let criteria = criteria(&probabilities, &labels)?;
    let best = history
        .iter()
        .max_by(|a, b| a.validation_auc.total_cmp(&b.validation_auc).then(b.epoch.cmp(&a.epoch)))
        .context("the run has no epoch")?;
    let [low, high] = figures.auc_ci95.map_or([None, None], |ci| ci.map(Some));
    let measure = |name: &str, value, low, high| Measure { name: name.into(), value, low, high };
    let card = ModelCard {
        name: args.name.clone(),
        summary: "MobileNetV3-Small on single face crops: real, or manipulated.".into(),
        trained_on: args.trained_on.clone().unwrap_or_else(|| args.data.display().to_string()),
        crop: config.crop,
        calibration,
        criteria,
        measures: vec![
            measure("AUC-ROC, single crops, validation split", figures.auc, low, high),
            measure("average precision, validation split", figures.ap, None, None),
            measure("equal error rate, validation split", figures.eer, None, None),
        ],
        limits: vec![
            "It judges faces; a generated voice, background or caption passes unseen.".into(),
            "It knows the manipulations of its training data; others may look real to it.".into(),
            "Strong compression, blur and small faces hide the traces it looks for.".into(),
            "Figures on the validation split flatter it: the epoch, the calibration and the thresholds \
             were chosen there."
                .into(),
        ],
    };
    let path = args.out.join("detector.safetensors");
    let sha256 = Model::write(&path, &network, &card, StoredPrecision::Half)?;
    let metrics = Metrics {
        split: "validation",
        best_epoch: best.epoch,
        validation: &figures,
        calibration,
        criteria,
        model_sha256: &sha256,
    };
    output::write_json(&metrics, &args.out.join("metrics.json"))?;
    eprintln!(
        "best epoch {}: validation AUC {:.4}{}",
        best.epoch,
        figures.auc,
        figures.auc_ci95.map_or_else(String::new, |[l, h]| format!(" [{l:.4}, {h:.4}]"))
    );
    Ok(path)
}

/// Likely fake where at most 1% of real validation crops would be; likely real where at most
/// 10% of fakes would be; both moved apart when they touch.
fn criteria(probabilities: &[f64], labels: &[bool]) -> anyhow::Result<Criteria> {
    let high = operating_point_at_fpr(probabilities, labels, 0.01)?.threshold;
    // The same question with the classes swapped: which score do at most 10% of fakes stay under?
    let flipped: Vec<f64> = probabilities.iter().map(|p| 1.0 - p).collect();
    let swapped: Vec<bool> = labels.iter().map(|fake| !fake).collect();
    let low = 1.0 - operating_point_at_fpr(&flipped, &swapped, 0.10)?.threshold;
    let high = high.clamp(0.5, 0.999);
    let low = low.clamp(0.001, 0.5).min(high - 0.001);
    Ok(Criteria {
        low,
        high,
        aggregation: Aggregation::Mean,
        min_frames: MIN_FRAMES,
        min_crop_width: MIN_CROP_WIDTH,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thresholds_leave_room_between_them() {
        let labels: Vec<bool> = (0..200).map(|i| i >= 100).collect();
        let overlapping: Vec<f64> =
            (0..200).map(|i| (i % 100) as f64 / 200.0 + f64::from(i >= 100) * 0.3).collect();
        let c = criteria(&overlapping, &labels).unwrap();
        let flagged = overlapping.iter().zip(&labels).filter(|(p, fake)| !**fake && **p >= c.high).count();
        assert!(flagged <= 1, "{flagged} of 100 real crops flagged");
        assert!(c.low < c.high);
        let apart: Vec<f64> = labels.iter().map(|&fake| if fake { 0.9 } else { 0.1 }).collect();
        let c = criteria(&apart, &labels).unwrap();
        assert!(0.0 < c.low && c.low < c.high && c.high < 1.0);
    }

    #[test]
    fn ways_to_start_that_do_not_exist_are_errors() {
        assert!(start("no/such/file.onnx").is_err());
        assert!(matches!(start("scratch"), Ok(Start::Scratch)));
    }
}
