use std::path::{Path, PathBuf};

use anyhow::Context as _;
use deeptell_data::Split;
use deeptell_eval::{EndedRun, RUN_FILES, SplitAudit, readable, uncalibrated};
use deeptell_files::{FolderLock, check_outputs, remove_leftovers};
use deeptell_network::Architecture;
use deeptell_train::{Start, TrainConfig, Trainer, has_checkpoint, note_init, noted_init};

use crate::dataset::{Dataset, DatasetArgs};
use crate::device::{DeviceName, DtypeName, numbered_device, warn_if_slower};
use crate::output::{alert, note, say};
use crate::progress::{Tasks, unless_stopped};
use crate::provenance::Provenance;
use crate::training::{starting_weights, train_with_progress, warn_of_losses};
use crate::views::Views;
use crate::{Outcome, interrupt, output};

/// Train a detector on the `train` split and choose its best epoch on `validation`.
///
/// Writes to the run folder: the configuration, the revision of the code, the result of the audit of
/// the splits, the history as JSON Lines and as a chart, the best and the last checkpoint, and at the
/// end `detector.safetensors`: weights, calibration and thresholds in one file, for --model of `scan`
/// and `eval`. The figures on the validation split are beside it: `metrics.json`, `report.html`, and
/// `validation.csv` for `compare`. A run that is killed loses at most the current epoch.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  deeptell train split.jsonl --init imagenet -o runs/first
  deeptell train split.jsonl --config train.toml --epochs 12 -o runs/second
  deeptell train split.jsonl -o runs/first --resume
  deeptell train split.jsonl --device cuda:0,cuda:1 --batch-size 128 -o runs/third

Initial weights: --init imagenet (after `deeptell weights import FILE`), --init FILE, --init shipped
for the shipped model, or --init scratch for random ones.")]
pub(crate) struct Args {
    /// Manifest of crops with splits, or data set folder that comes with splits.
    data: PathBuf,
    #[command(flatten)]
    dataset: DatasetArgs,
    /// Run folder to write.
    #[arg(short, long, value_name = "DIR")]
    out: PathBuf,
    /// Resume the run in --out after its last finished epoch, or start it if there is none. With a
    /// larger --epochs, also train a finished run further.
    #[arg(long)]
    resume: bool,
    /// Initial weights: imagenet, shipped, scratch, or a weights file [default: imagenet, or what the
    /// resumed run started from].
    #[arg(long, value_name = "FROM")]
    init: Option<String>,
    /// Configuration in TOML; settings that it lacks have their defaults.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Number of epochs (overrides the configuration).
    #[arg(long, value_name = "N")]
    epochs: Option<usize>,
    /// Number of samples per step (overrides the configuration).
    #[arg(long, value_name = "N")]
    batch_size: Option<usize>,
    /// Peak learning rate (overrides the configuration).
    #[arg(long, value_name = "RATE")]
    learning_rate: Option<f64>,
    /// Seed of every random choice (overrides the configuration).
    #[arg(long)]
    seed: Option<u64>,
    /// Number format of the training steps (overrides the configuration); the weights stay in f32.
    #[arg(long = "dtype", alias = "precision", value_name = "DTYPE", value_enum)]
    dtype: Option<DtypeName>,
    /// Number of views of each crop that a score of the trained model averages (test-time augmentation).
    #[arg(long, value_enum, default_value = "1")]
    views: Views,
    /// Name of the model, for its card.
    #[arg(long, default_value = "deeptell", value_name = "NAME")]
    name: String,
    /// Description of the training data, for the model card [default: the path of the data].
    #[arg(long, value_name = "TEXT")]
    trained_on: Option<String>,
    /// Devices to compute on, each with a replica of the network: cpu, wgpu, cuda, or cuda:0,cuda:1 for two NVIDIA
    /// GPUs.
    #[arg(long, value_name = "DEVICES", value_delimiter = ',', value_parser = numbered_device, default_value = "cpu")]
    device: Vec<(DeviceName, usize)>,
    /// Number of replicas of the network on one device that divide each batch among them (overrides the
    /// configuration); a run can be resumed with another number.
    #[arg(long, value_name = "N")]
    replicas: Option<usize>,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<Outcome> {
    if !args.resume {
        let inputs = [args.data.as_path()].into_iter().chain(args.config.as_deref());
        let inputs = inputs.chain(args.init.as_ref().map(Path::new));
        check_outputs(RUN_FILES.map(|name| args.out.join(name)), inputs)?;
    }
    let devices: Vec<_> =
        args.device.iter().map(|(name, number)| name.open_number(*number)).collect::<Result<_, _>>()?;
    let config = config(args)?;
    warn_if_slower(config.dtype, args.device[0].0);
    let Dataset { samples, outcome, .. } = args.dataset.read(&args.data)?;
    if samples.iter().all(|s| s.split.is_none()) {
        anyhow::bail!(
            "no sample of {} has a split: assign splits with `deeptell split {0} --out split.jsonl`",
            args.data.display()
        );
    }
    let audited = SplitAudit::of(&samples)?;
    let data = args.data.display().to_string();
    let trained_on = args.trained_on.as_deref().unwrap_or(&data);
    let card = uncalibrated(&args.name, trained_on, &config, args.views.list(), &samples)?;
    let _lock = FolderLock::acquire(&args.out)?;
    remove_leftovers(&args.out)?;
    let resumes = args.resume && has_checkpoint(&args.out);
    let start = if resumes { Start::Resume } else { begin(args, config.architecture)? };
    if !resumes {
        if args.resume {
            note!("no epoch is finished in {}: starting from the beginning", args.out.display());
        }
        output::write_json(&Provenance::now(), &args.out.join("provenance.json"))?;
        output::write_json(&audited, &args.out.join("audit.json"))?;
    }

    let trainer = Trainer::new(&config, &samples).start(start).stop(interrupt::flag());
    let run = train_with_progress(trainer.replicas_on(&devices[1..]), &args.out, &devices[0])?;
    if !run.finished {
        note!("stopped after epoch {}; continue with --resume", run.history.len());
        return Ok(Outcome::Interrupted);
    }
    let validation = samples.iter().filter(|s| s.split == Some(Split::Validation)).collect();
    let (validation, unreadable) = readable(validation);
    for error in unreadable {
        alert!("left out: {error}");
    }
    let ended = EndedRun::new(&args.out, &config, &run, card, &validation, data, audited.verdict);
    let Some(finished) = unless_stopped(ended.finish(&devices[0], &mut Tasks::default()))? else {
        return Ok(Outcome::Interrupted);
    };
    note!("{finished}");
    warn_of_losses(&finished.left_out);
    let Some(detector) = finished.model else {
        anyhow::bail!(
            "the validation scores cannot be calibrated, so no detector was written: train longer, or on more data; the \
             figures are in {}",
            finished.report.display()
        );
    };
    say!("{}", detector.display());
    Ok(outcome)
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
    config.optimizer.learning_rate = args.learning_rate.unwrap_or(config.optimizer.learning_rate);
    config.seed = args.seed.unwrap_or(config.seed);
    config.replicas = args.replicas.unwrap_or(config.replicas);
    config.dtype = args.dtype.map_or(config.dtype, Into::into);
    config.validate()?;
    Ok(config)
}

/// How the run starts. Its folder records this, so that a run killed before its first epoch ended starts the same way.
fn begin(args: &Args, architecture: Architecture) -> anyhow::Result<Start> {
    let noted =
        if args.resume && args.init.is_none() { noted_init(&args.out).context("pass --init")? } else { None };
    let init = args.init.clone().or(noted).unwrap_or_else(|| "imagenet".to_owned());
    let start = starting_weights(&init, architecture)?;
    note_init(&args.out, &init)?;
    Ok(start)
}
