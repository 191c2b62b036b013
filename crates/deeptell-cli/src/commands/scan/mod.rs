//! `deeptell scan`: what to scan, what to write, and how it ends.

mod pages;
mod targets;

use std::collections::HashMap;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::time::Instant;

use clap::ValueEnum;
use deeptell::text::printable;
use deeptell::{
    Detector, EarlierReports, Journal, JournalError, Report, ScanDocument, ScanOptions, Verdict,
    verdict_table,
};
use deeptell_data::{MediaInput, MediaInputs};
use rayon::prelude::*;

use crate::detector::DetectorArgs;
use crate::output::{alert, detail, note, say};
use crate::progress::Progress;
use crate::task::TaskArgs;
use crate::{Outcome, interrupt, output};
use pages::Pages;
use targets::Targets;

/// Judge videos and pictures: likely real, likely fake, inconclusive, or no face found.
///
/// A file that cannot be read is reported, and the scan continues with the next one. A verdict is a
/// reason to look closer, never proof.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  deeptell scan interview.mp4
  deeptell scan clips/ --html report/
  deeptell scan 'archive/**/*.mp4' --jsonl scan.jsonl --resume
  find . -name '*.mov' | deeptell scan - --csv verdicts.csv
  deeptell scan clip.mp4 --json - | jq .reports[0].verdict
  deeptell scan uploads/ --fail-on fake --json scan.json
  deeptell scan archive/ --jsonl 'scan-{shard}.jsonl' --resume --shard-index auto --shards 64

The last is for array jobs on several machines: `{shard}` in the name of an output is the index of
the shard, from 0.")]
pub(crate) struct Args {
    /// Videos, pictures, folders or quoted patterns such as 'clips/**/*.mp4'; `-` reads a list of
    /// them from standard input.
    #[arg(required = true)]
    inputs: Vec<PathBuf>,
    #[command(flatten)]
    targets: Targets,
    /// Turn off the protection against malicious files; only for files whose origin you trust.
    ///
    /// Lifts the limits on formats, sizes and decoding time, and decodes in this process instead of a
    /// sandboxed one.
    #[arg(long)]
    trusted: bool,
    /// Stream of a video to sample, numbered from 0 over all streams of the file [default: the one
    /// that players show].
    #[arg(long, value_name = "NUMBER")]
    stream: Option<u32>,
    /// Exit with code 1 if any verdict is this or worse.
    #[arg(long, value_enum, value_name = "VERDICT")]
    fail_on: Option<FailOn>,
    #[command(flatten)]
    detector: DetectorArgs,
    #[command(flatten, next_help_heading = "Several machines")]
    task: TaskArgs,
}

/// The end of a message about a limit for untrusted files.
const TRUST: &str = "; if you trust where the file comes from, lift this limit with --trusted";

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

pub(crate) fn run(args: &Args) -> anyhow::Result<Outcome> {
    let shard = args.task.begin()?;
    let targets = args.targets.of_shard(args.task.shard, shard)?;
    targets.takes_standard_output()?;
    let detector = args.detector.open(args.trusted)?;
    // Pictures are for pages alone.
    let options = args.detector.options().evidence(targets.html.is_some()).stream(args.stream);
    options.check()?;
    let MediaInputs { mut items, left_out, .. } = MediaInputs::find(&args.inputs, std::io::stdin().lock())?;
    if let Some(shard) = shard {
        items.retain(|input| shard.takes(Path::new(""), &input.path));
    }

    let inputs: Vec<PathBuf> = items.iter().map(|input| input.path.clone()).collect();
    deeptell_files::check_outputs(
        [&targets.json, &targets.jsonl, &targets.csv].into_iter().flatten(),
        &inputs,
    )?;

    let (journal, known) = open_journal(&targets, &items, &detector, &options)?;
    if interrupt::requested() {
        return Ok(Outcome::Interrupted);
    }
    let pages = targets.html.as_deref().map(|folder| Pages::new(folder, &inputs));
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
            alert!("error: {}", output::about(path, error));
        }
    }
    if !left_out.is_empty() {
        note!("{}", deeptell_data::note_on_skipped(&left_out));
    }
    let start = pages.as_ref().map(|pages| pages.start(&inputs, &results)).transpose()?;
    show(&targets, &inputs, &results, start.as_deref())?;
    if interrupt::requested() {
        return Ok(Outcome::Interrupted);
    }
    let alarming = |report: &Report| args.fail_on.is_some_and(|limit| limit.is_met_by(report.verdict));
    if results.iter().flatten().any(alarming) {
        return Ok(Outcome::SomeFailed);
    }
    let failed = results.iter().filter(|result| result.is_err()).count();
    Ok(args.task.outcome(failed, results.len()))
}

/// The journal to write and the reports that it already holds, which are few if the user interrupts the reading.
fn open_journal(
    targets: &Targets,
    items: &[MediaInput],
    detector: &Detector,
    options: &ScanOptions,
) -> anyhow::Result<(Option<Journal>, HashMap<PathBuf, Report>)> {
    let Some(path) = &targets.jsonl else { return Ok((None, HashMap::new())) };
    if path == Path::new("-") {
        return Ok((Some(Journal::new(output::standard_output())), HashMap::new()));
    }
    if !targets.resume {
        return Ok((Some(Journal::create(path)?), HashMap::new()));
    }
    let paths = items.iter().map(|input| input.path.as_path());
    let goes_on = || !interrupt::requested();
    let earlier =
        EarlierReports::read(path, paths, detector, options, goes_on).map_err(|error| match error {
            JournalError::OtherFile { .. } => anyhow::anyhow!("{error}: is this the right --jsonl file?"),
            error => error.into(),
        })?;
    let known = earlier.done().clone();
    if interrupt::requested() {
        return Ok((None, known));
    }
    note!("{} of {} files are already done", known.len(), items.len());
    Ok((Some(earlier.resume()?), known))
}

/// Writes the documents that hold all results, and prints the verdicts.
fn show(
    targets: &Targets,
    inputs: &[PathBuf],
    results: &[Result<Report, String>],
    start: Option<&Path>,
) -> anyhow::Result<()> {
    let rows = || inputs.iter().zip(results).map(|(path, result)| (path.as_path(), result));
    let with_messages = || rows().map(|(path, result)| (path, result.as_ref().map_err(String::as_str)));
    if let Some(target) = &targets.json {
        output::write_json(&ScanDocument::new(with_messages()), target)?;
    }
    if let Some(target) = &targets.csv {
        output::write_document(target, verdict_table(with_messages()).as_bytes())?;
    }
    // After the files are written: standard output may be closed at any line.
    if targets.takes_standard_output()? {
        if let Some(start) = start {
            note!("report: {}", start.display());
        }
        return Ok(());
    }
    for (path, result) in rows() {
        if let Ok(report) = result {
            output::lines(&format_args!("{}: {report}", printable(&path.display().to_string())))?;
        }
    }
    if let Some(start) = start {
        say!("report: {}", start.display());
    }
    Ok(())
}

/// Everything that scanning one file after another needs.
struct Work<'a> {
    detector: &'a Detector,
    options: &'a ScanOptions,
    trusted: bool,
    journal: Option<&'a Journal>,
    pages: Option<&'a Pages<'a>>,
}

impl Work<'_> {
    /// One result per input, in their order; reports that are `known` are not made again.
    fn scan_all(
        &self,
        inputs: &[MediaInput],
        known: &HashMap<PathBuf, Report>,
    ) -> anyhow::Result<Vec<Result<Report, String>>> {
        let is_new = |input: &&MediaInput| input.fault.is_none() && !known.contains_key(&input.path);
        let to_do = inputs.iter().filter(is_new).count();
        let progress = Progress::new("scanning", to_do * self.options.frames, "frames");
        let results = inputs
            .par_iter()
            .enumerate()
            .map(|(number, MediaInput { path, fault, .. })| {
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

    /// Scans one file and writes its report. Its evidence is dropped once it is on a page.
    fn scan(
        &self,
        number: usize,
        path: &Path,
        progress: &Progress,
    ) -> anyhow::Result<Result<Report, String>> {
        let mut counted = 0;
        let began = Instant::now();
        let result = self.detector.scan_with(path, self.options, |at| {
            progress.add(at.frames_done - counted, &path.display().to_string());
            counted = at.frames_done;
            if interrupt::requested() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
        progress.add(self.options.frames.saturating_sub(counted), "");
        detail!("{}: {:.2} s", path.display(), began.elapsed().as_secs_f64());
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
            // Cancelled, which is not a failure.
            Err(error @ deeptell::Error::Cancelled) => Ok(Err(error.to_string())),
            Err(error) => {
                let is_lifted = !self.trusted && error.is_lifted_by_trust();
                let mut error = output::one_line(&error.into());
                if is_lifted {
                    error.push_str(TRUST);
                }
                self.failed(path, error)
            }
        }
    }

    /// Records an input that could not be scanned.
    fn failed(&self, path: &Path, error: String) -> anyhow::Result<Result<Report, String>> {
        if let Some(journal) = self.journal {
            journal.failure(path, &error)?;
        }
        Ok(Err(error))
    }
}
