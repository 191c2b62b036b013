use std::path::{Path, PathBuf};

use anyhow::Context as _;
use burn::tensor::Device;
use deeptell::{Model, View};
use deeptell_data::{Sample, Split, audit};
use deeptell_eval::{
    CropScore, Fold, LeaveOneOutReport, LeaveOut, best_epoch, fold_figures, leave_one_out, score_samples,
    uncalibrated,
};
use deeptell_files::{FolderLock, remove_leftovers};
use deeptell_train::{Start, TrainConfig, Trainer, has_checkpoint};

use crate::dataset::{Dataset, DatasetArgs};
use crate::device::DeviceName;
use crate::output::note;
use crate::progress::{Tasks, unless_stopped};
use crate::provenance::Provenance;
use crate::training::{readable, starting_weights, train_with_progress};
use crate::{Outcome, interrupt, output};

/// Measure how well training generalises to data sets or methods that it has not seen.
///
/// Trains once on everything, and once without each data set or method of manipulation, with the same
/// configuration. Every training is measured on the validation samples that the others lack, so the
/// table shows what a detector is worth on material that nobody trained on. Each training has a folder
/// below --out, which --resume continues; `leave-one-out.json` has the figures.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  deeptell leave-one-out split.jsonl --by dataset --config train.toml -o runs/by-dataset
  deeptell leave-one-out split.jsonl --by method --only Face2Face -o runs/by-method --resume")]
pub(crate) struct Args {
    /// Manifest of crops with splits, data sets and methods, or a data set folder that defines splits.
    data: PathBuf,
    #[command(flatten)]
    dataset: DatasetArgs,
    /// What to leave out, one value at a time.
    #[arg(long, value_enum)]
    by: By,
    /// Leave out only this data set or method; can be given several times.
    #[arg(long, value_name = "NAME")]
    only: Vec<String>,
    /// Folder for the trainings and the figures.
    #[arg(short, long, value_name = "DIR")]
    out: PathBuf,
    /// Continue the trainings in --out after their last finished epoch.
    #[arg(long)]
    resume: bool,
    /// Starting weights: imagenet, shipped, scratch, or a weights file.
    #[arg(long, value_name = "FROM", default_value = "imagenet")]
    init: String,
    /// Configuration in TOML; settings that it lacks have their defaults.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Number of epochs (overrides the configuration).
    #[arg(long, value_name = "N")]
    epochs: Option<usize>,
    /// Seed of every random choice (overrides the configuration).
    #[arg(long)]
    seed: Option<u64>,
    /// Device to compute on.
    #[arg(long, value_enum, default_value_t = DeviceName::Cpu)]
    device: DeviceName,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum By {
    /// A data set, genuine and manipulated samples alike
    Dataset,
    /// A method of manipulation; genuine samples stay
    Method,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<Outcome> {
    let device = args.device.open()?;
    let config = config(args)?;
    let Dataset { samples, outcome, .. } = args.dataset.read(&args.data)?;
    audit(&samples).into_result()?;
    let what = match args.by {
        By::Dataset => LeaveOut::Dataset,
        By::Method => LeaveOut::Method,
    };
    let mut found = leave_one_out(&samples, what);
    if !args.only.is_empty() {
        found.select(&args.only)?;
    }
    for skipped in &found.skipped {
        note!("{} is not left out: {}", skipped.name, skipped.reason);
    }
    if found.folds.is_empty() {
        anyhow::bail!(
            "nothing can be left out of {}: its samples need splits, and at least two {} with genuine and manipulated \
             samples for validation",
            args.data.display(),
            match args.by {
                By::Dataset => "data sets",
                By::Method => "methods",
            }
        );
    }
    let folders = found.folders();
    let _lock = FolderLock::acquire(&args.out)?;
    remove_leftovers(&args.out)?;
    output::write_json(&Provenance::now(), &args.out.join("provenance.json"))?;

    let used: Vec<Sample> = samples
        .into_iter()
        .filter(|sample| matches!(sample.split, Some(Split::Train | Split::Validation)))
        .collect();
    let total = found.folds.len() + 1;
    note!("training 1 of {total}: on everything");
    let Some(everything) = trained(args, &config, &used, &args.out.join("everything"), &device)? else {
        return Ok(Outcome::Interrupted);
    };
    let mut figures = Vec::new();
    for (number, (fold, folder)) in found.folds.iter().zip(&folders).enumerate() {
        note!("training {} of {total}: without {}", number + 2, fold.name);
        let Some(without) =
            trained(args, &fold.config(&config), &fold.training, &args.out.join(folder), &device)?
        else {
            return Ok(Outcome::Interrupted);
        };
        let Some(scores) = scores(&everything, fold)? else { return Ok(Outcome::Interrupted) };
        let Some(scores_without) = self::scores(&without, fold)? else { return Ok(Outcome::Interrupted) };
        figures.push(fold_figures(&fold.name, &scores, &scores_without)?);
    }
    let report = LeaveOneOutReport::new(what, &config, figures, found.skipped);
    output::write_json(&report, &args.out.join("leave-one-out.json"))?;
    output::lines(&report)?;
    Ok(outcome)
}

fn config(args: &Args) -> anyhow::Result<TrainConfig> {
    let mut config = match &args.config {
        Some(path) => TrainConfig::read(path)?,
        None => TrainConfig::default(),
    };
    config.epochs = args.epochs.unwrap_or(config.epochs);
    config.seed = args.seed.unwrap_or(config.seed);
    config.validate()?;
    Ok(config)
}

/// The best epoch of a training in `folder`, which is continued with `--resume`; `None` if it was interrupted.
fn trained(
    args: &Args,
    config: &TrainConfig,
    samples: &[Sample],
    folder: &Path,
    device: &Device,
) -> anyhow::Result<Option<Model>> {
    let start = if args.resume && has_checkpoint(folder) {
        Start::Resume
    } else {
        starting_weights(&args.init, config.architecture)?
    };
    let trainer = Trainer::new(config, samples).start(start).stop(interrupt::flag());
    let run = train_with_progress(trainer, folder, device)?;
    if !run.finished {
        return Ok(None);
    }
    let name = folder.file_name().context("the folder has no name")?.to_string_lossy().into_owned();
    let card = uncalibrated(&name, &args.data.display().to_string(), config, vec![View::WHOLE]);
    Ok(Some(best_epoch(folder, card, device)?.1))
}

/// Scores of the validation samples that the fold leaves out; `None` if interrupted.
fn scores(model: &Model, fold: &Fold) -> anyhow::Result<Option<Vec<CropScore>>> {
    let held_out = readable(fold.held_out.iter().collect());
    Ok(unless_stopped(score_samples(model, &held_out, None, &mut Tasks::default()))?)
}
