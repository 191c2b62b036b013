use std::path::PathBuf;

use deeptell_data::write_manifest;
use deeptell_extract::{merge, root_of};

use crate::Outcome;
use crate::dataset::{Dataset, DatasetArgs};
use crate::output::say;

/// Combine the manifests of several extractions, and check that they fit together.
///
/// Refuses crops made with different settings, a crop that is listed twice, and a file whose crops
/// are in two manifests. With --data, also refuses a file of the data set that is in no manifest,
/// neither among the crops nor among the failures.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  deeptell merge part1/manifest.jsonl part2/manifest.jsonl part3/manifest.jsonl -o crops.jsonl
  deeptell merge part*/manifest.jsonl --data dataset/ -o crops.jsonl")]
pub(crate) struct Args {
    /// Manifests to combine.
    #[arg(required = true, value_name = "MANIFEST")]
    manifests: Vec<PathBuf>,
    /// Manifest to write.
    #[arg(short, long, value_name = "FILE")]
    out: PathBuf,
    /// Data set that the crops come from; every file of it must be accounted for.
    #[arg(long, value_name = "FILE|DIR")]
    data: Option<PathBuf>,
    #[command(flatten)]
    dataset: DatasetArgs,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<Outcome> {
    let merged = merge(&args.manifests)?;
    let mut outcome = Outcome::Done;
    if let Some(data) = &args.data {
        let all: Dataset = args.dataset.read(data)?;
        outcome = all.outcome;
        merged.accounts_for(&all.samples, root_of(data))?;
    }
    write_manifest(&args.out, &merged.rows)?;
    say!(
        "{} crops from {} manifests, {} files failed",
        merged.rows.len(),
        args.manifests.len(),
        merged.failed.len()
    );
    Ok(outcome)
}
