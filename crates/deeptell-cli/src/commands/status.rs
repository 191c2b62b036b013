use std::path::{Path, PathBuf};

use deeptell_extract::{OUTPUT_FILES, Status, root_of};

use crate::dataset::DatasetArgs;
use crate::{Outcome, output};

/// Show how far an extraction is, on one machine or on several, and how to finish it.
///
/// Shows which shards are finished, running, interrupted or not begun, how many files are done, failed
/// (by reason) or waiting, and what to submit again. Exits with code 1 while something is missing; files
/// that failed are not missing. May run at any time.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  deeptell status parts/ --data dataset/    # parts/ is where `extract -o 'parts/{shard}'` writes
  deeptell status parts/ --json | jq -r .resubmit")]
pub(crate) struct Args {
    /// Output folder of an extraction, or the folder that those of its shards are in.
    out: PathBuf,
    /// Data set that is extracted, to know which files are waiting. Without it, a shard counts as
    /// finished when its manifest is written.
    #[arg(long, value_name = "FILE|DIR")]
    data: Option<PathBuf>,
    #[command(flatten)]
    dataset: DatasetArgs,
    /// Write the status as JSON; without a file, to standard output.
    #[arg(long, value_name = "FILE", num_args = 0..=1, require_equals = true, default_missing_value = "-")]
    json: Option<PathBuf>,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<Outcome> {
    let all = args.data.as_deref().map(|data| args.dataset.read(data)).transpose()?;
    let root = args.data.as_deref().map_or(Path::new(""), root_of);
    let status = Status::read(&args.out, all.as_ref().map(|all| (all.samples.as_slice(), root)))?;
    let folders = status.shards.iter().filter_map(|shard| shard.folder.as_ref());
    let theirs = folders.flat_map(|folder| OUTPUT_FILES.map(|name| folder.join(name)));
    deeptell_files::check_outputs(&args.json, theirs.chain(args.data.clone()))?;
    match &args.json {
        Some(target) => output::write_json(&status, target)?,
        None => output::lines(&status)?,
    }
    Ok(if status.is_finished { Outcome::Done } else { Outcome::SomeFailed })
}
