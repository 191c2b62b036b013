//! Reports as JSON Lines: written as they come, read again to resume a scan of many files after an interruption.

use std::collections::HashMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::{ModelInfo, Report, ScanOptions, printable_json};

/// Why a journal cannot be read or written.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum JournalError {
    /// The file cannot be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file holds something that is not a line of a journal. It is some other file, and was left as it is.
    #[error("line {line} of {} was not written by a scan", path.display())]
    OtherFile {
        /// The file.
        path: PathBuf,
        /// Number of the line, from 1.
        line: usize,
        /// Why it cannot be read; `None` for a last line without its end.
        source: Option<serde_json::Error>,
    },
    /// The file cannot be opened for writing.
    #[error("cannot write {}", path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A line cannot be written.
    #[error("cannot write the line of a scan")]
    Write(#[source] io::Error),
    /// An earlier line could not be written whole, so no more are written.
    #[error("cannot write the line of a scan: an earlier line failed")]
    Broken,
}

/// A line that was written: a report, or why there is none.
#[derive(Deserialize)]
#[serde(untagged, deny_unknown_fields)]
enum Line {
    Report(Box<Report>),
    Failure {
        path: String,
        #[expect(dead_code, reason = "distinguishes a failure from other documents")]
        error: String,
    },
}

/// A file without a report.
#[derive(Serialize)]
struct Failure<'a> {
    #[serde(serialize_with = "deeptell_files::serialize_path")]
    path: &'a Path,
    error: &'a str,
}

/// A report that this version cannot read, as far as every version has it.
#[derive(Deserialize)]
struct OtherVersion {
    #[serde(rename = "schema_version")]
    _schema_version: u64,
    input: OtherInput,
}

#[derive(Deserialize)]
struct OtherInput {
    path: Option<String>,
}

/// How lines start, also those that were cut off.
const BEGINNINGS: [&[u8]; 2] = [b"{\"schema_version\":", b"{\"path\":"];

/// Writes reports as JSON Lines. Several threads can share it.
///
/// ```no_run
/// use std::path::{Path, PathBuf};
///
/// use deeptell::{Detector, Device, EarlierReports, ScanOptions};
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # deeptell::run_if_decoder();
/// let detector = Detector::shipped(&Device::flex())?;
/// let options = ScanOptions::default();
/// let files = [PathBuf::from("a.mp4"), PathBuf::from("b.mp4")];
/// let paths = files.iter().map(PathBuf::as_path);
/// // Reports of an earlier, interrupted run of this program.
/// let earlier =
///     EarlierReports::read(Path::new("scan.jsonl"), paths, detector.model().info(), &options, || true)?;
/// let journal = earlier.resume()?;
/// for file in files.iter().filter(|file| !earlier.done().contains_key(*file)) {
///     match detector.scan(file, &options) {
///         Ok(scan) => journal.report(&scan.report)?,
///         Err(error) => journal.failure(file, &error.to_string())?,
///     }
/// }
/// # Ok(())
/// # }
/// ```
pub struct Journal {
    /// `None` after a failed write: another line behind half a line would corrupt both.
    sink: Mutex<Option<Box<dyn Write + Send>>>,
}

impl Journal {
    /// Writes to `sink`, one line at once.
    pub fn new(sink: Box<dyn Write + Send>) -> Self {
        Self { sink: Mutex::new(Some(sink)) }
    }

    /// Begins the file at `path`, and creates its folder if needed.
    ///
    /// # Errors
    /// [`JournalError::Open`].
    pub fn create(path: &Path) -> Result<Self, JournalError> {
        let created = create_folder_of(path).and_then(|()| File::create(path));
        let file = created.map_err(|source| JournalError::Open { path: path.to_owned(), source })?;
        Ok(Self::new(Box::new(file)))
    }

    /// Writes a report as one line, so that a kill loses none that came before.
    ///
    /// # Errors
    /// [`JournalError::Write`], and after it [`JournalError::Broken`].
    pub fn report(&self, report: &Report) -> Result<(), JournalError> {
        self.line(report)
    }

    /// Writes why a file has no report.
    ///
    /// # Errors
    /// As [`report`](Self::report).
    pub fn failure(&self, path: &Path, error: &str) -> Result<(), JournalError> {
        self.line(&Failure { path, error })
    }

    fn line(&self, document: &impl Serialize) -> Result<(), JournalError> {
        let text = serde_json::to_string(document).map_err(|error| JournalError::Write(error.into()))?;
        let mut text = printable_json(&text).into_owned();
        text.push('\n');
        let mut sink = self.sink.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(open) = sink.as_mut() else { return Err(JournalError::Broken) };
        let written = open.write_all(text.as_bytes()).and_then(|()| open.flush());
        if written.is_err() {
            *sink = None;
        }
        written.map_err(JournalError::Write)
    }
}

impl std::fmt::Debug for Journal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Journal").finish_non_exhaustive()
    }
}

/// The reports that an earlier run left in a [`Journal`].
#[derive(Debug)]
pub struct EarlierReports {
    path: PathBuf,
    text: Vec<u8>,
    /// The whole lines, in their order, and whether they are kept.
    lines: Vec<(Range<usize>, bool)>,
    done: HashMap<PathBuf, Report>,
}

impl EarlierReports {
    /// Reads the file at `path` as far as it concerns `inputs`: which of them have a report that a scan with this
    /// model and these options would give again.
    ///
    /// A report counts if the same version and model made it with the same options, and size and digest of the file are
    /// the same. Lines about other files stay as they are. A last line without its end was cut off by a kill or a
    /// full disk, and is dropped. A missing file counts as an empty one. Once `is_wanted` says no, no more files are
    /// hashed, and inputs may be missing from [`done`](Self::done).
    ///
    /// # Errors
    /// [`JournalError::Read`], and [`JournalError::OtherFile`] when the file holds anything that no scan wrote: then it
    /// must not be changed.
    pub fn read<'a>(
        path: &Path,
        inputs: impl Iterator<Item = &'a Path>,
        model: &ModelInfo,
        options: &ScanOptions,
        is_wanted: impl Fn() -> bool + Sync,
    ) -> Result<Self, JournalError> {
        let text = match read_regular(path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            Err(source) => return Err(JournalError::Read { path: path.to_owned(), source }),
        };
        let end = text.iter().rposition(|byte| *byte == b'\n').map_or(0, |last| last + 1);
        let mut lines = Vec::new();
        let mut start = 0;
        for line in text[..end].split_inclusive(|byte| *byte == b'\n') {
            lines.push(start..start + line.len());
            start += line.len();
        }
        let other_file =
            |line: usize, source| JournalError::OtherFile { path: path.to_owned(), line: line + 1, source };
        if !is_torn_line(&text[end..]) {
            return Err(other_file(lines.len(), None));
        }
        // As reports name them: a name that is not Unicode is changed there.
        let inputs: HashMap<String, &Path> =
            inputs.map(|input| (input.display().to_string(), input)).collect();
        let scan = ScanNow { inputs: &inputs, model, options, is_wanted: &is_wanted };
        let parsed = lines.par_iter().enumerate().map(|(number, range)| {
            let line = &text[range.clone()];
            match serde_json::from_slice(line) {
                Ok(line) => Ok(scan.state_of(line)),
                Err(error) => {
                    scan.state_of_other_version(line).ok_or_else(|| other_file(number, Some(error)))
                }
            }
        });
        let states: Vec<LineState> = parsed.collect::<Result<_, _>>()?;
        let mut done = HashMap::new();
        let mut kept = Vec::with_capacity(lines.len());
        // Of two reports of one file the later one counts.
        for (range, state) in lines.into_iter().zip(states).rev() {
            let is_kept = match state {
                LineState::Unrelated => true,
                LineState::Outdated => false,
                LineState::Done(input, report) => done.insert(input, *report).is_none(),
            };
            kept.push((range, is_kept));
        }
        kept.reverse();
        Ok(Self { path: path.to_owned(), text, lines: kept, done })
    }

    /// The reports of inputs that need not be scanned again, by input.
    pub fn done(&self) -> &HashMap<PathBuf, Report> {
        &self.done
    }

    /// Continues the file, without the lines of inputs that must be scanned again, and creates its folder if needed.
    ///
    /// # Errors
    /// [`JournalError::Open`].
    pub fn resume(&self) -> Result<Journal, JournalError> {
        let open = || {
            if self.is_changed() {
                deeptell_files::write_whole(&self.path, &self.kept())?;
            }
            create_folder_of(&self.path)?;
            OpenOptions::new().append(true).create(true).open(&self.path)
        };
        let file = open().map_err(|source| JournalError::Open { path: self.path.clone(), source })?;
        Ok(Journal::new(Box::new(file)))
    }

    /// Whether lines must be removed.
    fn is_changed(&self) -> bool {
        self.lines.iter().any(|(_, is_kept)| !is_kept)
            || self.lines.last().map_or(0, |(last, _)| last.end) < self.text.len()
    }

    fn kept(&self) -> Vec<u8> {
        let kept = self.lines.iter().filter(|(_, is_kept)| *is_kept);
        kept.flat_map(|(range, _)| &self.text[range.clone()]).copied().collect()
    }
}

/// Creates the folder that a file is going to be in.
fn create_folder_of(path: &Path) -> io::Result<()> {
    match path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        Some(folder) => fs::create_dir_all(folder),
        None => Ok(()),
    }
}

/// A regular file, whole: reading anything else could block.
fn read_regular(path: &Path) -> io::Result<Vec<u8>> {
    if !fs::metadata(path)?.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is not a regular file"));
    }
    let mut text = Vec::new();
    File::open(path)?.read_to_end(&mut text)?;
    Ok(text)
}

/// Whether `rest`, behind the last whole line, may be the start of a line that was cut off, or what some file systems
/// leave of it after a power cut: zeros.
fn is_torn_line(rest: &[u8]) -> bool {
    let written = rest.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
    let rest = &rest[..written];
    BEGINNINGS.iter().any(|beginning| rest.starts_with(beginning) || beginning.starts_with(rest))
}

/// What a line means for the scan that is resumed.
enum LineState {
    /// About another file: kept.
    Unrelated,
    /// About a file that is scanned again: removed.
    Outdated,
    /// The report that a scan of this input would give.
    Done(PathBuf, Box<Report>),
}

/// The scan that is resumed.
struct ScanNow<'a, F> {
    inputs: &'a HashMap<String, &'a Path>,
    model: &'a ModelInfo,
    options: &'a ScanOptions,
    is_wanted: &'a F,
}

impl<F: Fn() -> bool> ScanNow<'_, F> {
    fn state_of(&self, line: Line) -> LineState {
        let report = match line {
            Line::Report(report) => report,
            Line::Failure { path, .. } if self.inputs.contains_key(&path) => return LineState::Outdated,
            Line::Failure { .. } => return LineState::Unrelated,
        };
        let input = report.input.path.as_ref().and_then(|path| self.inputs.get(path));
        let Some(input) = input else { return LineState::Unrelated };
        let same_options = report.options.clone().evidence(self.options.evidence) == *self.options;
        let is_done = report.model.sha256 == self.model.sha256
            && report.model.precision == self.model.precision
            && report.deeptell_version == crate::VERSION
            && same_options
            && self.is_unchanged(input, &report);
        if is_done { LineState::Done((*input).to_owned(), report) } else { LineState::Outdated }
    }

    /// The state of a line that is a report of another version: its file is scanned again. `None` for other text.
    fn state_of_other_version(&self, line: &[u8]) -> Option<LineState> {
        let report: OtherVersion = serde_json::from_slice(line).ok()?;
        let is_asked_for = report.input.path.is_some_and(|path| self.inputs.contains_key(&path));
        Some(if is_asked_for { LineState::Outdated } else { LineState::Unrelated })
    }

    /// Whether the file is still the one that was scanned, as far as its size and digest tell.
    fn is_unchanged(&self, path: &Path, report: &Report) -> bool {
        let size = fs::metadata(path).ok().map(|metadata| metadata.len());
        let hash =
            || deeptell_files::sha256_while(File::open(path).ok()?, || (self.is_wanted)()).ok().flatten();
        size.is_some()
            && size == report.input.bytes
            && (report.input.sha256.is_none() || hash() == report.input.sha256)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_truncated_line_is_told_from_other_text() {
        for rest in
            ["", "{", "{\"sch", "{\"schema_version\":1,\"x", "{\"path\":\"a", "\0\0\0", "{\"path\":\"a\0\0"]
        {
            assert!(is_torn_line(rest.as_bytes()), "{rest:?}");
        }
        for rest in ["the only copy", "{}", "[1", "\0x", "{\"score\":1", " "] {
            assert!(!is_torn_line(rest.as_bytes()), "{rest:?}");
        }
    }

    #[test]
    fn no_line_is_written_after_a_failed_one() {
        struct Full(usize);
        impl Write for Full {
            fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
                let taken = bytes.len().min(self.0);
                self.0 -= taken;
                if taken == 0 { Err(io::ErrorKind::StorageFull.into()) } else { Ok(taken) }
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let journal = Journal::new(Box::new(Full(70)));
        let fail = || journal.failure(Path::new("a.mp4"), "broken beyond all repair");
        fail().unwrap();
        assert!(matches!(fail(), Err(JournalError::Write(e)) if e.kind() == io::ErrorKind::StorageFull));
        assert!(matches!(fail(), Err(JournalError::Broken)));
    }
}
