use std::path::{Path, PathBuf};

use deeptell_eval::{DatasetReport, inspect_dataset};
use serde::Serialize;

use crate::dataset::{Dataset, DatasetArgs};
use crate::progress::{Tasks, unless_stopped};
use crate::which_split::WhichSplit;
use crate::{Outcome, output};

/// Check a data set for leaks between splits, and for shortcuts to the label.
///
/// Reads every file. Exits with code 1 if a file cannot be read; if a path, a content, a
/// near-duplicate picture (recompressed, resized, brightened), a source, a video or a person is in
/// two splits; or if identical files are labeled both real and fake.
///
/// Also prints what each class consists of, and how well the label can be predicted from resolution,
/// format, file size, JPEG tables and the four corners of each picture alone: the AUC-ROC of a
/// logistic regression, fitted to some sources and measured on the others. Far from 0.5, a network may
/// learn that instead of faces.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  deeptell audit split.jsonl
  deeptell audit split.jsonl --split validation --json audit.json")]
pub(crate) struct Args {
    /// Manifest, or data set folder in a layout that deeptell knows.
    data: PathBuf,
    #[command(flatten)]
    dataset: DatasetArgs,
    /// Split to check for shortcuts; leaks are always checked for in all splits.
    #[arg(long, value_enum, default_value_t = WhichSplit::All)]
    split: WhichSplit,
    /// Number of bootstrap resamples for the intervals.
    #[arg(long, default_value_t = 1000, value_name = "N")]
    resamples: usize,
    /// Also write the findings as JSON.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

/// The document of `--json`.
#[derive(Serialize)]
struct Document<'a> {
    #[serde(serialize_with = "deeptell_files::serialize_path")]
    data: &'a Path,
    #[serde(flatten)]
    report: &'a DatasetReport,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<Outcome> {
    deeptell_files::check_outputs(&args.json, [&args.data])?;
    let Dataset { samples, outcome, .. } = args.dataset.read(&args.data)?;
    let found = inspect_dataset(&samples, args.split.split(), args.resamples, &mut Tasks::default());
    let Some(report) = unless_stopped(found)? else { return Ok(Outcome::Interrupted) };
    output::lines(&report)?;
    if let Some(json) = &args.json {
        output::write_json(&Document { data: &args.data, report: &report }, json)?;
    }
    Ok(if report.is_clean { outcome } else { Outcome::SomeFailed })
}
