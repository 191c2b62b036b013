use std::path::PathBuf;

use clap::ValueEnum;
use deeptell_data::{GroupBy, Split, SplitConfig, audit, split_by_source, write_manifest};

use crate::Outcome;
use crate::dataset::{Dataset, DatasetArgs};
use crate::output::say;

/// Split a data set into train, validation and test, so that no source is in two of them.
///
/// Prints the number of samples and of independent groups in each split, and fails if anything is
/// still in two of them.
#[derive(clap::Args)]
#[command(after_help = "Example:\n  deeptell split crops/manifest.jsonl -o split.jsonl --seed 7")]
pub(crate) struct Args {
    /// Manifest, or data set folder in a layout that deeptell knows.
    data: PathBuf,
    #[command(flatten)]
    dataset: DatasetArgs,
    /// Manifest to write.
    #[arg(short, long, value_name = "FILE")]
    out: PathBuf,
    /// Share of the samples to train on.
    #[arg(long, default_value_t = 0.8, value_name = "0..1")]
    train: f64,
    /// Share of the samples to choose the checkpoint and the thresholds on.
    #[arg(long, default_value_t = 0.1, value_name = "0..1")]
    validation: f64,
    /// Share of the samples to report figures on.
    #[arg(long, default_value_t = 0.1, value_name = "0..1")]
    test: f64,
    /// Seed of the choice between equally good splits.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// What must stay within one split.
    #[arg(long, value_enum, default_value_t = By::Identity)]
    by: By,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum By {
    /// Recordings, and people where the data set names them, directly or through several fakes.
    Identity,
    /// Recordings and the people filmed; fakes with a face from another split are left out.
    Target,
    /// Recordings only.
    Source,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<Outcome> {
    let Dataset { mut samples, outcome, .. } = args.dataset.read(&args.data)?;
    deeptell_files::check_outputs([&args.out], [&args.data])?;
    let group_by = match args.by {
        By::Identity => GroupBy::Identity,
        By::Target => GroupBy::Target,
        By::Source => GroupBy::Source,
    };
    let shares = SplitConfig::default().train(args.train).validation(args.validation).test(args.test);
    let config = shares.seed(args.seed).group_by(group_by);
    let summary = split_by_source(&mut samples, &config)?;
    audit(&samples).into_result()?;
    write_manifest(&args.out, &samples)?;
    say!("{:<12}{:>10}{:>10}{:>10}", "split", "real", "fake", "groups");
    for (i, split) in Split::ALL.into_iter().enumerate() {
        let [real, fake] = summary.samples[i];
        say!("{:<12}{real:>10}{fake:>10}{:>10}", split.to_string(), summary.groups[i]);
    }
    if summary.left_out > 0 {
        say!("{} fakes are in no split, because they show a face from another split", summary.left_out);
    }
    say!("no path, source or person is in two splits; manifest: {}", args.out.display());
    Ok(outcome)
}
