use std::path::PathBuf;

use anyhow::Context as _;
use burn::tensor::Device;
use deeptell::{Calibration, Criteria, Model};
use deeptell_data::{Sample, Split, audit, read_dataset};
use deeptell_metrics::BinaryReport;
use deeptell_mobilenet::{MobileNetV3Small, MobileNetV3SmallConfig, StoredPrecision, Weights};
use deeptell_train::{EpochRecord, Event, Start, TrainConfig, train};
use serde::Serialize;

use super::weights::cached_imagenet;
use crate::calibration::{calibrated, uncalibrated};
use crate::device::DeviceName;
use crate::output::say;
use crate::progress::Progress;
use crate::provenance::Provenance;
use crate::views::Views;
use crate::{Outcome, interrupt, output};

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
    /// Looks at each crop that a score of the finished detector is averaged over.
    #[arg(long, value_enum, default_value = "1")]
    views: Views,
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
    let Some(detector) = finish(args, &config, &samples, &device, &run.history)? else {
        return Ok(Outcome::Interrupted);
    };
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

/// Calibrates the best epoch on validation, sets thresholds there, and writes the detector; `None` when interrupted.
fn finish(
    args: &Args,
    config: &TrainConfig,
    samples: &[Sample],
    device: &Device,
    history: &[EpochRecord],
) -> anyhow::Result<Option<PathBuf>> {
    let mut network: MobileNetV3Small = MobileNetV3SmallConfig::new(1).init(device);
    Weights::read(args.out.join("best.safetensors"))?.load_into(&mut network)?;
    let path = args.out.join("detector.safetensors");
    let trained_on = args.trained_on.clone().unwrap_or_else(|| args.data.display().to_string());
    let card = uncalibrated(&args.name, &trained_on, config.crop, args.views.list());
    Model::write(&path, &network, &card, StoredPrecision::Half)?;

    let validation: Vec<&Sample> = samples.iter().filter(|s| s.split == Some(Split::Validation)).collect();
    // The file and not the network in memory: what is calibrated is what people will load.
    let Some((card, figures)) = calibrated(&Model::load(&path, device)?, &validation)? else {
        return Ok(None);
    };
    let sha256 = Model::write(&path, &network, &card, StoredPrecision::Half)?;
    let best = history
        .iter()
        .max_by(|a, b| a.validation_auc.total_cmp(&b.validation_auc).then(b.epoch.cmp(&a.epoch)))
        .context("the run has no epoch")?;
    let metrics = Metrics {
        split: "validation",
        best_epoch: best.epoch,
        validation: &figures,
        calibration: card.calibration,
        criteria: card.criteria,
        model_sha256: &sha256,
    };
    output::write_json(&metrics, &args.out.join("metrics.json"))?;
    eprintln!(
        "best epoch {}: validation AUC {:.4}{}",
        best.epoch,
        figures.auc,
        figures.auc_ci95.map_or_else(String::new, |[l, h]| format!(" [{l:.4}, {h:.4}]"))
    );
    Ok(Some(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ways_to_start_that_do_not_exist_are_errors() {
        assert!(start("no/such/file.onnx").is_err());
        assert!(matches!(start("scratch"), Ok(Start::Scratch)));
    }
}
