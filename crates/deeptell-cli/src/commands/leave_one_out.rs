use std::path::PathBuf;

use burn::tensor::Device;
use deeptell::{Model, View};
use deeptell_data::audit;
use deeptell_eval::{FoldTraining, LeaveOut, best_epoch, face_detector_of, leave_one_out, uncalibrated};
use deeptell_files::{FolderLock, check_outputs, remove_leftovers};
use deeptell_train::{Start, TrainConfig, Trainer, has_checkpoint};

use crate::dataset::{Dataset, DatasetArgs};
use crate::device::DeviceName;
use crate::output::{alert, note};
use crate::progress::Tasks;
use crate::provenance::Provenance;
use crate::training::{starting_weights, train_with_progress};
use crate::{Outcome, interrupt, output};

/// Measure how well training generalizes to data sets or methods that it has not seen.
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
    let outputs = ["leave-one-out.json", "provenance.json"].map(|name| args.out.join(name));
    check_outputs(outputs, [args.data.as_path()].into_iter().chain(args.config.as_deref()))?;
    let device = args.device.open()?;
    let config = config(args)?;
    let Dataset { samples, outcome, .. } = args.dataset.read(&args.data)?;
    audit(&samples).into_result()?;
    face_detector_of(&samples)?;
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
            what.plural()
        );
    }
    let _lock = FolderLock::acquire(&args.out)?;
    remove_leftovers(&args.out)?;
    output::write_json(&Provenance::now(), &args.out.join("provenance.json"))?;
    for error in found.remove_unreadable() {
        alert!("left out: {error}");
    }
    let train = |training: &FoldTraining<'_>| trained(args, training, &device);
    let Some(report) = found.measure(&config, &samples, train, &mut Tasks::default())? else {
        return Ok(Outcome::Interrupted);
    };
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

/// The best epoch of a training, which `--resume` continues; `None` if it was interrupted.
fn trained(args: &Args, training: &FoldTraining<'_>, device: &Device) -> anyhow::Result<Option<Model>> {
    let FoldTraining { number, total, config, .. } = training;
    match training.left_out {
        None => note!("training {number} of {total}: on everything"),
        Some(name) => note!("training {number} of {total}: without {name}"),
    }
    let folder = args.out.join(&training.folder);
    let start = if args.resume && has_checkpoint(&folder) {
        Start::Resume
    } else {
        starting_weights(&args.init, config.architecture)?
    };
    let trainer = Trainer::new(config, training.samples).start(start).stop(interrupt::flag());
    if !train_with_progress(trainer, &folder, device)?.finished {
        return Ok(None);
    }
    let trained_on = args.data.display().to_string();
    let card = uncalibrated(&training.folder, &trained_on, config, vec![View::WHOLE], training.samples)?;
    Ok(Some(best_epoch(&folder, card, device)?.1))
}
