//! The reports of a scan as JSON Lines: written as they come, read again to go on after an interruption.

use std::collections::HashMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use anyhow::Context as _;
use deeptell::{ModelInfo, Report, ScanOptions};
use serde::{Deserialize, Serialize};

use super::Failure;

/// One line: a report, or why there is none.
#[derive(Deserialize)]
#[serde(untagged)]
enum Line {
    Report(Box<Report>),
    Failure {
        #[expect(dead_code, reason = "tells a failure from a report; what failed is tried again")]
        path: PathBuf,
        #[expect(dead_code, reason = "as above")]
        error: String,
    },
}

/// Where lines go.
pub(super) struct Journal {
    sink: Mutex<Box<dyn io::Write + Send>>,
}

impl Journal {
    /// Begins at `path`, or on standard output for `-`.
    ///
    /// # Errors
    /// When the file cannot be created.
    pub(super) fn create(path: &Path) -> anyhow::Result<Self> {
        let sink: Box<dyn io::Write + Send> = if path == Path::new("-") {
            Box::new(io::stdout())
        } else {
            if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
                fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
            }
            Box::new(File::create(path).with_context(|| format!("cannot write {}", path.display()))?)
        };
        Ok(Self { sink: Mutex::new(sink) })
    }

    /// Goes on at the end of `path` after dropping all but `kept` from it.
    ///
    /// # Errors
    /// When the file cannot be replaced.
    pub(super) fn go_on<'a>(path: &Path, kept: impl Iterator<Item = &'a Report>) -> anyhow::Result<Self> {
        let mut text = Vec::new();
        for report in kept {
            serde_json::to_writer(&mut text, report)?;
            text.push(b'\n');
        }
        crate::output::write_file(path, &text)?;
        let file = OpenOptions::new().append(true).open(path);
        let file = file.with_context(|| format!("cannot write {}", path.display()))?;
        Ok(Self { sink: Mutex::new(Box::new(file)) })
    }

    /// Writes one line at once, so that a kill loses none that came before.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(super) fn report(&self, report: &Report) -> anyhow::Result<()> {
        self.line(report)
    }

    /// As [`report`](Self::report), for an input without one.
    ///
    /// # Errors
    /// As [`report`](Self::report).
    pub(super) fn failure(&self, failure: &Failure<'_>) -> anyhow::Result<()> {
        self.line(failure)
    }

    fn line(&self, document: &impl Serialize) -> anyhow::Result<()> {
        let mut text = serde_json::to_vec(document)?;
        text.push(b'\n');
        // A thread that panicked cannot have left half a line: lines are written whole.
        let mut sink = self.sink.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        sink.write_all(&text).and_then(|()| sink.flush()).context("cannot write the JSON Lines")
    }
}

/// The reports in `path` that a scan with this model and these options would give again, by the path that was scanned.
/// A last line that a kill cut short is passed over; no file is an empty one.
///
/// # Errors
/// When the file cannot be read, or another line than the last makes no sense: then it is some other file, which must
/// not be overwritten.
pub(super) fn done(
    path: &Path,
    model: &ModelInfo,
    options: &ScanOptions,
) -> anyhow::Result<HashMap<PathBuf, Report>> {
    let text = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(HashMap::new()),
        Err(error) => return Err(error).with_context(|| format!("cannot read {}", path.display())),
    };
    let mut reports = HashMap::new();
    let lines: Vec<&str> = text.lines().collect();
    for (number, line) in lines.iter().enumerate() {
        let report = match serde_json::from_str(line) {
            Ok(Line::Report(report)) => report,
            Ok(Line::Failure { .. }) => continue,
            Err(_) if number + 1 == lines.len() => break,
            Err(error) => {
                return Err(error).with_context(|| {
                    format!("line {} of {} is no report: is it another file?", number + 1, path.display())
                });
            }
        };
        let same_options = ScanOptions { pictures: options.pictures, ..report.options.clone() } == *options;
        if report.model.sha256 == model.sha256
            && report.model.precision == model.precision
            && report.deeptell_version == deeptell::VERSION
            && same_options
            && let Some(scanned) = report.input.path.clone()
            && is_unchanged(Path::new(&scanned), &report)
        {
            reports.insert(PathBuf::from(scanned), *report);
        }
    }
    Ok(reports)
}

/// Whether the file is still the one that was scanned, as far as its size and hash tell.
fn is_unchanged(path: &Path, report: &Report) -> bool {
    let size = fs::metadata(path).ok().map(|metadata| metadata.len());
    let hash = || deeptell_data::sha256_of_file(path).ok();
    size.is_some()
        && size == report.input.bytes
        && (report.input.sha256.is_none() || hash() == report.input.sha256)
}
