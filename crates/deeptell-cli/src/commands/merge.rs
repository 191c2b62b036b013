use std::path::PathBuf;

use deeptell_data::write_manifest;
use deeptell_extract::{merge, root_of};

use crate::Outcome;
use crate::dataset::{Dataset, DatasetArgs};
use crate::output::say;

/// Put the manifests of several extractions together, and check that they fit.
///
/// Refuses crops made with different settings, a crop that is listed twice, and a file of which
/// two manifests hold crops. With --data, also one that is in none of them, neither among the
/// crops nor among the failures.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  deeptell merge part1/manifest.jsonl part2/manifest.jsonl part3/manifest.jsonl --out crops.jsonl
  deeptell merge part*/manifest.jsonl --data dataset/ --out crops.jsonl")]
pub(crate) struct Args {
    /// The manifests.
    #[arg(required = true)]
    manifests: Vec<PathBuf>,
    /// The manifest to write.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// The data set the crops come from: every file of it must be accounted for.
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
