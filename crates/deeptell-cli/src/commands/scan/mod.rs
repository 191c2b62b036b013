use std::collections::HashSet;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::ValueEnum;
use deeptell::html::{self, IndexEntry};
use deeptell::{Detector, Report, ScanOptions, Verdict};
use deeptell_data::Media;
use rayon::prelude::*;
use serde::Serialize;

use crate::device::DeviceName;
use crate::output::say;
use crate::progress::Progress;
use crate::{Outcome, interrupt, output};

/// Judge videos and pictures: likely real, likely fake, inconclusive, or no face found.
///
/// A file that cannot be read is reported and the others go on. The verdict is a reason to look
/// closer, never proof.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  deeptell scan interview.mp4
  deeptell scan clips/ --html report/
  deeptell scan clip.mp4 --json - | jq .reports[0].verdict
  deeptell scan uploads/ --fail-on fake --json scan.json")]
pub(crate) struct Args {
    /// Videos, pictures, or folders of them.
    #[arg(required = true)]
    inputs: Vec<PathBuf>,
    /// Write all reports as one JSON document to a file, or to standard output with `-`.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Write a self-contained HTML page for each input, and an index, into this folder.
    #[arg(long, value_name = "DIR")]
    html: Option<PathBuf>,
    /// Frames to look at, spread evenly over a video.
    #[arg(long, default_value_t = ScanOptions::default().frames)]
    frames: usize,
    /// Smallest face to look for, in pixels of the frame.
    #[arg(long, default_value_t = ScanOptions::default().min_face, value_name = "PIXELS")]
    min_face: f32,
    /// Model file [default: the detector that ships with deeptell].
    #[arg(long, value_name = "FILE")]
    model: Option<PathBuf>,
    /// Where to compute.
    #[arg(long, value_enum, default_value_t = DeviceName::Cpu)]
    device: DeviceName,
    /// Lift what protects from hostile files: bounds on formats, sizes and decoding time, and the
    /// process of its own that each file is decoded in.
    #[arg(long)]
    trusted: bool,
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

/// The document of `--json`.
#[derive(Serialize)]
struct Document<'a> {
    /// Version of the report format.
    schema_version: u32,
    reports: Vec<&'a Report>,
    failures: Vec<Failure<'a>>,
}

#[derive(Serialize)]
struct Failure<'a> {
    path: &'a Path,
    error: &'a str,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<Outcome> {
    let device = args.device.open()?;
    let detector = match &args.model {
        Some(path) => Detector::load(path, &device)?,
        None => Detector::shipped(&device)?,
    };
    #[cfg(unix)]
    let detector = if args.trusted { detector } else { detector.isolated_by(&crate::isolation::decoder()?) };
    let options = ScanOptions {
        frames: args.frames,
        min_face: args.min_face,
        untrusted: !args.trusted,
        pictures: args.html.is_some(),
        ..ScanOptions::default()
    };
    options.check()?;
    let inputs = files(&args.inputs)?;

    let progress = Progress::new("scanning", inputs.len() * args.frames, "frames");
    let results: Vec<Result<Report, deeptell::Error>> = inputs
        .par_iter()
        .map(|path| {
            let mut counted = 0;
            let report = detector.scan_file_with(path, &options, |at| {
                progress.add(at.frames_done - counted, &path.display().to_string());
                counted = at.frames_done;
                if interrupt::requested() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            });
            progress.add(args.frames.saturating_sub(counted), "");
            report
        })
        .collect();
    progress.finish();

    let failed: Vec<Option<String>> = results
        .iter()
        .map(|r| match r {
            Ok(_) => None,
            Err(error) => Some(chain(error)),
        })
        .collect();
    let quiet = args.json.as_deref() == Some(Path::new("-"));
    for error in failed.iter().flatten() {
        eprintln!("error: {error}");
    }
    if let Some(target) = &args.json {
        let reports = results.iter().filter_map(|r| r.as_ref().ok()).collect();
        let failures = inputs
            .iter()
            .zip(&failed)
            .filter_map(|(path, error)| Some(Failure { path, error: error.as_deref()? }))
            .collect();
        let document = Document { schema_version: deeptell::SCHEMA_VERSION, reports, failures };
        output::write_json(&document, target)?;
    }
    let start = match &args.html {
        Some(folder) => Some(write_pages(folder, &inputs, &results, &failed)?),
        None => None,
    };
    // After the files are written: standard output may be closed at any line.
    if quiet {
        if let Some(start) = start {
            eprintln!("report: {}", start.display());
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
    let alarming = |report: &Report| match args.fail_on {
        Some(FailOn::Fake) => report.verdict == Verdict::LikelyFake,
        Some(FailOn::Inconclusive) => {
            matches!(report.verdict, Verdict::LikelyFake | Verdict::Inconclusive)
        }
        None => false,
    };
    let alarm = results.iter().any(|r| r.as_ref().is_ok_and(alarming));
    let broken = failed.iter().any(Option::is_some);
    Ok(if alarm || broken { Outcome::SomeFailed } else { Outcome::Done })
}

fn chain(error: &deeptell::Error) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        let part = error.to_string();
        if !text.contains(&part) {
            text = format!("{text}: {part}");
        }
        cause = error.source();
    }
    text
}

fn print_verdict(path: &Path, report: &Report) -> anyhow::Result<()> {
    let score = report.score.map_or_else(String::new, |score| format!("  score {score:.3}"));
    say!("{}: {}{score}", path.display(), report.verdict);
    for reason in &report.reasons {
        say!("  - {}", reason.text);
    }
    for warning in &report.warnings {
        say!("  ! {warning}");
    }
    Ok(())
}

/// The files among `inputs`, and the videos and pictures in folders among them, each once.
fn files(inputs: &[PathBuf]) -> anyhow::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for input in inputs {
        if !input.is_dir() {
            found.push(input.clone());
            continue;
        }
        let before = found.len();
        for entry in walkdir::WalkDir::new(input).follow_links(true).sort_by_file_name() {
            let entry = entry.with_context(|| format!("cannot list {}", input.display()))?;
            if entry.file_type().is_file() && Media::of(entry.path()).is_some() {
                found.push(entry.into_path());
            }
        }
        if found.len() == before {
            anyhow::bail!("{} holds no video and no picture", input.display());
        }
    }
    let mut seen = HashSet::new();
    found.retain(|path| seen.insert(path.clone()));
    Ok(found)
}

/// One page an input and an index over several; the page to begin with.
fn write_pages(
    folder: &Path,
    inputs: &[PathBuf],
    results: &[Result<Report, deeptell::Error>],
    failed: &[Option<String>],
) -> anyhow::Result<PathBuf> {
    let mut taken = HashSet::new();
    let names: Vec<String> = inputs.iter().map(|path| page_name(path, &mut taken)).collect();
    for (name, result) in names.iter().zip(results) {
        if let Ok(report) = result {
            output::write_file(&folder.join(name), html::page(report).as_bytes())?;
        }
    }
    if let ([Ok(_)], [name]) = (results, names.as_slice()) {
        return Ok(folder.join(name));
    }
    let shown: Vec<String> = inputs.iter().map(|p| p.display().to_string()).collect();
    let entries: Vec<IndexEntry<'_>> = results
        .iter()
        .enumerate()
        .map(|(i, result)| match result {
            Ok(report) => IndexEntry::Scanned { report, href: &names[i] },
            Err(_) => IndexEntry::Failed { name: &shown[i], error: failed[i].as_deref().unwrap_or_default() },
        })
        .collect();
    let index = folder.join("index.html");
    output::write_file(&index, html::index(&entries).as_bytes())?;
    Ok(index)
}

/// A file name for the page of `path`: safe on every system, and not taken yet.
fn page_name(path: &Path, taken: &mut HashSet<String>) -> String {
    let stem: String = path
        .file_name()
        .map(|n| n.to_string_lossy())
        .unwrap_or_default()
        .chars()
        .map(|c| if c.is_alphanumeric() || matches!(c, '-' | '_' | '.') { c } else { '_' })
        .take(80)
        .collect();
    let mut name = format!("{stem}.html");
    let mut number = 1;
    while name == "index.html" || taken.contains(&name.to_lowercase()) {
        number += 1;
        name = format!("{stem}-{number}.html");
    }
    taken.insert(name.to_lowercase());
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_have_safe_names_of_their_own() {
        let mut taken = HashSet::new();
        assert_eq!(page_name(Path::new("a/x y.mp4"), &mut taken), "x_y.mp4.html");
        assert_eq!(page_name(Path::new("b/X y.mp4"), &mut taken), "X_y.mp4-2.html");
        assert_eq!(page_name(Path::new("index"), &mut taken), "index-2.html");
        assert_eq!(page_name(Path::new("<b>&.mp4"), &mut taken), "_b__.mp4.html");
    }

    #[test]
    fn folders_are_searched_and_nothing_comes_twice() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["b.mp4", "a.PNG", "notes.txt"] {
            std::fs::write(folder.path().join(name), b"").unwrap();
        }
        let twice = [folder.path().to_owned(), folder.path().join("b.mp4")];
        let found = files(&twice).unwrap();
        assert_eq!(found, [folder.path().join("a.PNG"), folder.path().join("b.mp4")]);
        let empty = tempfile::tempdir().unwrap();
        assert!(files(&[empty.path().to_owned()]).is_err());
    }
}
