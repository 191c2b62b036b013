//! `deeptell scan`: what to scan, what to write, and how it ends.

mod advice;
mod inputs;
mod journal;
mod pages;
mod table;

use std::collections::HashMap;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use clap::ValueEnum;
use deeptell::{Detector, Report, ScanOptions, Verdict};
use rayon::prelude::*;
use serde::Serialize;

use crate::detector::DetectorArgs;
use crate::output::{note, say};
use crate::progress::Progress;
use crate::{Outcome, interrupt, output};
use inputs::{Input, Inputs};
use journal::{Earlier, Journal};
use pages::Pages;

/// Judge videos and pictures: likely real, likely fake, inconclusive, or no face found.
///
/// A file that cannot be read is reported and the others go on. The verdict is a reason to look
/// closer, never proof.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  deeptell scan interview.mp4
  deeptell scan clips/ --html report/
  deeptell scan 'archive/**/*.mp4' --jsonl scan.jsonl --resume
  find . -name '*.mov' | deeptell scan - --csv verdicts.csv
  deeptell scan clip.mp4 --json - | jq .reports[0].verdict
  deeptell scan uploads/ --fail-on fake --json scan.json")]
pub(crate) struct Args {
    /// Videos, pictures, folders of them, patterns in quotes; - reads a list of those from standard input.
    #[arg(required = true)]
    inputs: Vec<PathBuf>,
    /// Write all reports as one JSON document to a file, or to standard output with `-`.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Write each report as a line of JSON as soon as it is there, to a file, or to standard output with `-`.
    #[arg(long, value_name = "FILE")]
    jsonl: Option<PathBuf>,
    /// Resume after an interruption: files that the file of --jsonl has a report of, by the same model with the
    /// same options, are not scanned again. Its lines about other files stay.
    #[arg(long, requires = "jsonl")]
    resume: bool,
    /// Write the verdicts as a table to a file, or to standard output with `-`.
    #[arg(long, value_name = "FILE")]
    csv: Option<PathBuf>,
    /// Write a self-contained HTML page for each input, and an index, into this folder.
    #[arg(long, value_name = "DIR")]
    html: Option<PathBuf>,
    #[command(flatten)]
    detector: DetectorArgs,
    /// Turn off the protection against malicious files: the limits on formats, sizes and decoding time, and
    /// decoding in a sandboxed process. Only for files whose origin you trust.
    #[arg(long)]
    trusted: bool,
    /// Sample this stream of a video, by its number among all streams of the file, from 0, and not the one that players
    /// show.
    #[arg(long, value_name = "NUMBER")]
    stream: Option<u32>,
    /// End with exit code 1 when a verdict is this, or worse.
    #[arg(long, value_enum, value_name = "VERDICT")]
    fail_on: Option<FailOn>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum FailOn {
    /// Likely fake.
    Fake,
    /// Likely fake or inconclusive.
    Inconclusive,
}

impl FailOn {
    fn is_met_by(self, verdict: Verdict) -> bool {
        match self {
            Self::Fake => verdict == Verdict::LikelyFake,
            Self::Inconclusive => matches!(verdict, Verdict::LikelyFake | Verdict::Inconclusive),
        }
    }
}

/// The document of `--json`.
#[derive(Serialize)]
struct Document<'a> {
    /// Version of the report format.
    schema_version: u32,
    reports: Vec<&'a Report>,
    failures: Vec<Failure<'a>>,
}

/// An input without a report.
#[derive(Serialize)]
struct Failure<'a> {
    path: &'a Path,
    error: &'a str,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<Outcome> {
    let quiet = takes_standard_output(args)?;
    let detector = args.detector.open(args.trusted)?;
    // Pictures are for pages alone.
    let options = args.detector.options().evidence(args.html.is_some()).stream(args.stream);
    options.check()?;
    let Inputs { items, left_out } = Inputs::find(&args.inputs, std::io::stdin().lock())?;

    let mut known = HashMap::new();
    let journal = match &args.jsonl {
        Some(path) if args.resume => {
            let paths = items.iter().map(|input| input.path.as_path());
            let mut earlier = Earlier::read(path, paths, detector.model().info(), &options)?;
            if interrupt::requested() {
                return Ok(Outcome::Interrupted);
            }
            note!("{} of {} files are done already", earlier.done.len(), items.len());
            let journal = Journal::resume(&earlier)?;
            known = std::mem::take(&mut earlier.done);
            Some(journal)
        }
        Some(path) => Some(Journal::create(path)?),
        None => None,
    };
    let inputs: Vec<PathBuf> = items.iter().map(|input| input.path.clone()).collect();
    let pages = args.html.as_deref().map(|folder| Pages::new(folder, &inputs));
    let work = Work {
        detector: &detector,
        options: &options,
        trusted: args.trusted,
        journal: journal.as_ref(),
        pages: pages.as_ref(),
    };
    let results = work.scan_all(&items, &known)?;

    for (path, result) in inputs.iter().zip(&results) {
        if let Err(error) = result
            && !interrupt::requested()
        {
            note!("error: {}", output::about(path, error));
        }
    }
    if !left_out.is_empty() {
        note!("{}", output::words_on_left_out(&left_out));
    }
    if let Some(target) = &args.json {
        let document = Document {
            schema_version: deeptell::SCHEMA_VERSION,
            reports: results.iter().filter_map(|result| result.as_ref().ok()).collect(),
            failures: inputs
                .iter()
                .zip(&results)
                .filter_map(|(path, result)| Some(Failure { path, error: result.as_ref().err()? }))
                .collect(),
        };
        output::write_json(&document, target)?;
    }
    if let Some(target) = &args.csv {
        let rows = inputs.iter().zip(&results);
        let rows = rows.map(|(path, result)| (path.as_path(), result.as_ref().map_err(String::as_str)));
        output::write_document(target, &table::csv(rows)?)?;
    }
    let start = pages.as_ref().map(|pages| pages.start(&inputs, &results)).transpose()?;
    // After the files are written: standard output may be closed at any line.
    if quiet {
        if let Some(start) = start {
            note!("report: {}", start.display());
        }
    } else {
        for (path, result) in inputs.iter().zip(&results) {
            if let Ok(report) = result {
                print_verdict(path, report)?;
            }
        }
        if let Some(start) = start {
            say!("report: {}", start.display());
        }
    }
    if interrupt::requested() {
        return Ok(Outcome::Interrupted);
    }
    let alarming = |report: &Report| args.fail_on.is_some_and(|limit| limit.is_met_by(report.verdict));
    let failed = results.iter().any(|result| result.as_ref().map_or(true, alarming));
    Ok(if failed { Outcome::SomeFailed } else { Outcome::Done })
}

/// Whether a document goes to standard output, and so nothing else may.
///
/// # Errors
/// When two do.
fn takes_standard_output(args: &Args) -> anyhow::Result<bool> {
    let documents = [("--json", &args.json), ("--jsonl", &args.jsonl), ("--csv", &args.csv)];
    let taken: Vec<&str> = documents
        .into_iter()
        .filter(|(_, target)| target.as_deref() == Some(Path::new("-")))
        .map(|(option, _)| option)
        .collect();
    if args.resume && taken.contains(&"--jsonl") {
        anyhow::bail!("--resume needs --jsonl with a file, which standard output is not");
    }
    match taken.as_slice() {
        [] => Ok(false),
        [_] => Ok(true),
        several => anyhow::bail!("only one document fits on standard output, not {}", several.join(" and ")),
    }
}

/// All that scanning one file after the other needs.
struct Work<'a> {
    detector: &'a Detector,
    options: &'a ScanOptions,
    trusted: bool,
    journal: Option<&'a Journal>,
    pages: Option<&'a Pages<'a>>,
}

impl Work<'_> {
    /// One result an input, in their order; what is `known` is taken over.
    fn scan_all(
        &self,
        inputs: &[Input],
        known: &HashMap<PathBuf, Report>,
    ) -> anyhow::Result<Vec<Result<Report, String>>> {
        let is_new = |input: &&Input| input.fault.is_none() && !known.contains_key(&input.path);
        let to_do = inputs.iter().filter(is_new).count();
        let progress = Progress::new("scanning", to_do * self.options.frames, "frames");
        let results = inputs
            .par_iter()
            .enumerate()
            .map(|(number, Input { path, fault })| {
                if let Some(error) = fault {
                    return self.failed(path, error.clone());
                }
                if let Some(report) = known.get(path) {
                    if let Some(pages) = self.pages.filter(|pages| !pages.has(number)) {
                        pages.write(number, report, None)?;
                    }
                    return Ok(Ok(report.clone()));
                }
                self.scan(number, path, &progress)
            })
            .collect();
        progress.finish();
        results
    }

    /// The report of one file with what is written of it; its evidence is dropped once it is on a page.
    fn scan(
        &self,
        number: usize,
        path: &Path,
        progress: &Progress,
    ) -> anyhow::Result<Result<Report, String>> {
        let mut counted = 0;
        let result = self.detector.scan_with(path, self.options, |at| {
            progress.add(at.frames_done - counted, &path.display().to_string());
            counted = at.frames_done;
            if interrupt::requested() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
        progress.add(self.options.frames.saturating_sub(counted), "");
        match result {
            Ok(scan) => {
                let report = scan.report;
                if let Some(pages) = self.pages {
                    pages.write(number, &report, scan.evidence.as_ref())?;
                }
                if let Some(journal) = self.journal {
                    journal.report(&report)?;
                }
                Ok(Ok(report))
            }
            // What was cancelled did not fail.
            Err(error @ deeptell::Error::Cancelled) => Ok(Err(error.to_string())),
            Err(error) => {
                let is_lifted = !self.trusted && advice::is_lifted_by_trust(&error);
                let mut error = output::one_line(&error.into());
                if is_lifted {
                    error.push_str(advice::TRUST);
                }
                self.failed(path, error)
            }
        }
    }

    /// An input without a report.
    fn failed(&self, path: &Path, error: String) -> anyhow::Result<Result<Report, String>> {
        if let Some(journal) = self.journal {
            journal.failure(&Failure { path, error: &error })?;
        }
        Ok(Err(error))
    }
}

fn print_verdict(path: &Path, report: &Report) -> anyhow::Result<()> {
    let score = report.score.map_or_else(String::new, |score| format!("  score {score:.3}"));
    say!("{}: {}{score}", path.display(), report.verdict);
    for reason in &report.reasons {
        say!("  - {reason}");
    }
    for warning in &report.warnings {
        say!("  ! {warning}");
    }
    Ok(())
}
