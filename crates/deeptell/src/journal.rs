//! Reports as JSON Lines: written as they come, read again to resume a scan of many files after an interruption.

use std::collections::HashMap;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, BufRead, BufReader, Read as _, Seek as _, SeekFrom, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use deeptell_face::FaceDetectorId;
use deeptell_files::WholeFile;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::text::printable_json;
use crate::{Detector, ModelInfo, Report, ScanOptions};

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
    #[error("line {line} of {} was not written by a scan: {fault}", path.display())]
    OtherFile {
        /// The file.
        path: PathBuf,
        /// Number of the line, from 1.
        line: usize,
        /// What is wrong with it.
        fault: LineFault,
    },
    /// The options of the scan do not suit the face detector: correct them.
    #[error("these options cannot be used")]
    Options(#[source] crate::Error),
    /// The file cannot be opened for writing.
    #[error("cannot write {}", path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Another scan is writing the file.
    #[error(
        "another scan is writing {}: wait until it has ended, or name another file for this one", path.display()
    )]
    Taken {
        /// The file.
        path: PathBuf,
    },
    /// A line cannot be written.
    #[error("cannot write the line of a scan")]
    Write(#[source] io::Error),
    /// An earlier line could not be written whole, so no more are written.
    #[error("cannot write the line of a scan: an earlier line failed")]
    Broken,
}

/// What is wrong with a line that no scan wrote. Its text ends a sentence about the line.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum LineFault {
    /// It is not JSON.
    #[error("it is not JSON ({detail})")]
    NotJson {
        /// What was expected, and where.
        detail: String,
    },
    /// It is JSON, and something else.
    #[error("it is neither a report nor a note about a file that failed")]
    OtherDocument,
    /// It is longer than any report.
    #[error("it has more than {} MiB", MAX_LINE >> 20)]
    TooLong,
    /// It is the last one, has no end, and does not begin like a line that was cut off.
    #[error("it does not start like a report")]
    Unfinished,
}

/// The longest line, in bytes: a report of an hour in which every frame was sampled has about 20 MiB.
const MAX_LINE: u64 = 64 << 20;
/// Lines are read and examined in groups of about this many bytes.
const GROUP: usize = 8 << 20;

/// A line that was written: a report, or why there is none.
enum Line {
    Report(Box<Report>),
    Failure { path: String },
}

impl Line {
    /// Reads a line without its end and without spaces around it.
    fn of(text: &[u8]) -> Result<Self, LineFault> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct FailedFile {
            path: String,
            #[serde(rename = "error")]
            _error: String,
        }
        let error = match serde_json::from_slice(text) {
            Ok(report) => return Ok(Self::Report(report)),
            Err(error) => error,
        };
        if let Ok(FailedFile { path, .. }) = serde_json::from_slice(text) {
            return Ok(Self::Failure { path });
        }
        Err(if error.is_data() {
            LineFault::OtherDocument
        } else {
            LineFault::NotJson { detail: error.to_string().replace(" at line 1 column ", " at column ") }
        })
    }
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
///     EarlierReports::read(Path::new("scan.jsonl"), paths, &detector, &options, || true)?;
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
    /// `None` after a failed write: another line after half a line would corrupt both.
    sink: Mutex<Option<Box<dyn Write + Send>>>,
    /// Locks the file for as long as this is open.
    _lock: Option<File>,
}

impl Journal {
    /// Writes to `sink`, one line at once.
    pub fn new(sink: Box<dyn Write + Send>) -> Self {
        Self { sink: Mutex::new(Some(sink)), _lock: None }
    }

    /// Begins the file at `path`, and creates its folder if needed.
    ///
    /// # Errors
    /// [`JournalError::Open`], and [`JournalError::Taken`] while another scan is writing it.
    pub fn create(path: &Path) -> Result<Self, JournalError> {
        let fail = |source| JournalError::Open { path: path.to_owned(), source };
        // Emptied once nobody else writes it.
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(false);
        let file = create_folder_of(path).and_then(|()| options.open(path)).map_err(fail)?;
        take(&file, path)?;
        if file.metadata().map_err(fail)?.is_file() {
            file.set_len(0).map_err(fail)?;
        }
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
    /// Bytes of the file.
    length: u64,
    /// Where the lines are, in their order, and whether they are kept.
    lines: Vec<(Range<u64>, bool)>,
    /// The last of them lacks its end.
    lacks_end: bool,
    done: HashMap<PathBuf, Report>,
    /// The numbers of their lines.
    places: HashMap<PathBuf, usize>,
    /// The file, locked; `None` where there is none.
    file: Option<File>,
}

impl EarlierReports {
    /// Reads the file at `path` as far as it concerns `inputs`: which of them have a report that a scan with this
    /// detector and these options would give again.
    ///
    /// A report counts if the same version, model and face detector made it with the same options, and size and digest of
    /// the file are the same. Lines about other files and empty lines stay as they are, and so does a byte order mark. A
    /// last line without its end was cut off by a kill or a full disk, and is dropped unless all of it is there. A missing file
    /// counts as an empty one. The file is read line by line and not kept. Once `is_wanted` says no, no more files are
    /// hashed, and inputs may be missing from [`done`](Self::done).
    ///
    /// # Errors
    /// [`JournalError::Options`] when the options do not suit the face detector; [`JournalError::Read`], and
    /// [`JournalError::OtherFile`] when the file holds anything that no scan wrote: then it
    /// must not be changed. [`JournalError::Taken`] while another scan is writing the file.
    pub fn read<'a>(
        path: &Path,
        inputs: impl Iterator<Item = &'a Path>,
        detector: &Detector,
        options: &ScanOptions,
        is_wanted: impl Fn() -> bool + Sync,
    ) -> Result<Self, JournalError> {
        let mut earlier = Self {
            path: path.to_owned(),
            length: 0,
            lines: Vec::new(),
            lacks_end: false,
            done: HashMap::new(),
            places: HashMap::new(),
            file: None,
        };
        let unreadable = |source| JournalError::Read { path: path.to_owned(), source };
        let file = match open_regular(path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(earlier),
            Err(error) => return Err(unreadable(error)),
        };
        take(&file, path)?;
        earlier.file = Some(file.try_clone().map_err(unreadable)?);
        let mut file = BufReader::new(file);
        // As reports name them: a name that is not Unicode is changed there.
        let inputs: HashMap<String, &Path> =
            inputs.map(|input| (input.display().to_string(), input)).collect();
        let face_detector = detector.face_detector_id(options).map_err(JournalError::Options)?;
        let model = detector.model().info();
        let scan = ScanNow { inputs: &inputs, model, face_detector, options, is_wanted: &is_wanted };
        loop {
            let group = read_group(&mut file).map_err(unreadable)?;
            if group.is_empty() {
                return Ok(earlier);
            }
            let first = earlier.lines.len();
            let states = group.par_iter().enumerate().map(|(number, line)| {
                let is_first = first + number == 0;
                scan.state_of(line, is_first).map_err(|fault| JournalError::OtherFile {
                    path: path.to_owned(),
                    line: first + number + 1,
                    fault,
                })
            });
            // The first fault of several, which `collect` alone does not promise.
            let states: Vec<Result<LineState, JournalError>> = states.collect();
            let states: Vec<LineState> = states.into_iter().collect::<Result<_, _>>()?;
            for (line, state) in group.into_iter().zip(states) {
                earlier.take(&line, state);
            }
        }
    }

    /// Notes the next line.
    fn take(&mut self, line: &[u8], state: LineState) {
        let number = self.lines.len();
        let start = self.length;
        self.length += line.len() as u64;
        let is_kept = match state {
            LineState::Unrelated => true,
            LineState::Outdated | LineState::Torn => false,
            LineState::Done(input, report) => {
                // Of two reports of one file the later one counts.
                if let Some(before) = self.places.insert(input.clone(), number) {
                    self.lines[before].1 = false;
                }
                self.done.insert(input, *report);
                true
            }
        };
        self.lacks_end = line.last() != Some(&b'\n');
        self.lines.push((start..self.length, is_kept));
    }

    /// The reports of inputs that need not be scanned again, by input.
    pub fn done(&self) -> &HashMap<PathBuf, Report> {
        &self.done
    }

    /// Continues the file, without the lines of inputs that must be scanned again, and creates its folder if needed.
    ///
    /// # Errors
    /// [`JournalError::Open`], and [`JournalError::Taken`] when another scan has begun to write the file.
    pub fn resume(&self) -> Result<Journal, JournalError> {
        let fail = |source: io::Error| JournalError::Open { path: self.path.clone(), source };
        let is_rewritten = self.lines.iter().any(|(_, is_kept)| !is_kept);
        let open = || {
            if is_rewritten {
                self.write_kept()?;
            }
            create_folder_of(&self.path)?;
            OpenOptions::new().append(true).create(true).open(&self.path)
        };
        let mut file = open().map_err(fail)?;
        let lock = match &self.file {
            // The same file, which is locked already.
            Some(file) if !is_rewritten => Some(file.try_clone().map_err(fail)?),
            _ => {
                take(&file, &self.path)?;
                None
            }
        };
        if self.lacks_end && self.lines.last().is_some_and(|(_, is_kept)| *is_kept) {
            file.write_all(b"\n").map_err(fail)?;
        }
        Ok(Journal { _lock: lock, ..Journal::new(Box::new(file)) })
    }

    /// Writes the file again, without the lines that are not kept.
    fn write_kept(&self) -> io::Result<()> {
        let mut from = File::open(&self.path)?;
        let mut to = WholeFile::create(&self.path)?;
        for (range, _) in self.lines.iter().filter(|(_, is_kept)| *is_kept) {
            from.seek(SeekFrom::Start(range.start))?;
            let length = range.end - range.start;
            if io::copy(&mut (&from).take(length), &mut to)? < length {
                return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "another program shortened it"));
            }
        }
        to.finish()
    }
}

/// Locks a journal until its last handle is closed, by this process or by its end. File systems without locks, and
/// systems where a locked file can neither be read nor replaced, give everybody one.
fn take(file: &File, path: &Path) -> Result<(), JournalError> {
    let is_file = file.metadata().is_ok_and(|metadata| metadata.is_file());
    let is_taken = cfg!(unix) && is_file && matches!(file.try_lock(), Err(TryLockError::WouldBlock));
    if is_taken { Err(JournalError::Taken { path: path.to_owned() }) } else { Ok(()) }
}

/// Creates the folder that a file is going to be in.
fn create_folder_of(path: &Path) -> io::Result<()> {
    match path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        Some(folder) => fs::create_dir_all(folder),
        None => Ok(()),
    }
}

/// A regular file: reading anything else could block.
fn open_regular(path: &Path) -> io::Result<File> {
    if !fs::metadata(path)?.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is not a regular file"));
    }
    File::open(path)
}

/// The next lines with their ends, one at least unless the file has ended; one that is too long ends the group and is
/// not read further.
fn read_group(file: &mut impl BufRead) -> io::Result<Vec<Vec<u8>>> {
    let (mut lines, mut size) = (Vec::new(), 0);
    while size < GROUP {
        let mut line = Vec::new();
        file.by_ref().take(MAX_LINE + 1).read_until(b'\n', &mut line)?;
        if line.is_empty() {
            break;
        }
        size += line.len();
        lines.push(line);
    }
    Ok(lines)
}

/// Whether `rest`, after the last whole line, may be the start of a line that was cut off, or what some file systems
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
    /// Cut off: removed.
    Torn,
    /// The report that a scan of this input would give.
    Done(PathBuf, Box<Report>),
}

/// The scan that is resumed.
struct ScanNow<'a, F> {
    inputs: &'a HashMap<String, &'a Path>,
    model: &'a ModelInfo,
    face_detector: FaceDetectorId,
    options: &'a ScanOptions,
    is_wanted: &'a F,
}

impl<F: Fn() -> bool> ScanNow<'_, F> {
    /// The state of a line with its end.
    fn state_of(&self, line: &[u8], is_first: bool) -> Result<LineState, LineFault> {
        if line.len() as u64 > MAX_LINE {
            return Err(LineFault::TooLong);
        }
        let marked = line.strip_prefix(b"\xEF\xBB\xBF").filter(|_| is_first).unwrap_or(line);
        let text = marked.trim_ascii();
        if text.is_empty() {
            return Ok(LineState::Unrelated);
        }
        match Line::of(text) {
            Ok(found) => Ok(self.state_of_found(found)),
            Err(_) if !line.ends_with(b"\n") && is_torn_line(marked) => Ok(LineState::Torn),
            Err(_) if !line.ends_with(b"\n") => Err(LineFault::Unfinished),
            Err(fault) => self.state_of_other_version(text).ok_or(fault),
        }
    }

    fn state_of_found(&self, line: Line) -> LineState {
        let report = match line {
            Line::Report(report) => report,
            Line::Failure { path } if self.inputs.contains_key(&path) => return LineState::Outdated,
            Line::Failure { .. } => return LineState::Unrelated,
        };
        let input = report.input.path.as_ref().and_then(|path| self.inputs.get(path));
        let Some(input) = input else { return LineState::Unrelated };
        let same_options = report.options.clone().evidence(self.options.evidence) == *self.options;
        let is_done = report.model.sha256 == self.model.sha256
            && report.model.dtype == self.model.dtype
            && report.face_detector.as_ref() == Some(&self.face_detector)
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
    use crate::Device;

    #[test]
    fn a_truncated_line_is_distinguished_from_other_text() {
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
    fn faults_of_lines_are_described() {
        let fault = |text: &str| Line::of(text.as_bytes()).err().map(|fault| fault.to_string());
        assert_eq!(fault(r#"{"path":"a","error":"b"}"#), None);
        assert_eq!(fault("dear diary").as_deref(), Some("it is not JSON (expected value at column 1)"));
        for other in
            [r#"{"path":1}"#, r#"{"path":"a","error":"b","more":1}"#, "[1]", r#"{"schema_version":2}"#]
        {
            let fault = fault(other).unwrap();
            assert_eq!(fault, "it is neither a report nor a note about a file that failed", "{other}");
        }
    }

    fn detector() -> Detector {
        Detector::shipped(&Device::flex()).unwrap()
    }

    /// What a journal with this content is taken for, about no files at all.
    fn read(content: &[u8]) -> (tempfile::TempDir, Result<EarlierReports, JournalError>) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("scan.jsonl");
        fs::write(&path, content).unwrap();
        let detector = detector();
        let earlier =
            EarlierReports::read(&path, std::iter::empty(), &detector, &ScanOptions::default(), || true);
        (folder, earlier)
    }

    #[test]
    fn empty_lines_and_a_byte_order_mark_are_kept() {
        let row = r#"{"path":"a.mp4","error":"broken"}"#;
        for content in [
            format!("\u{feff}{row}\n\n{row}\r\n"),
            format!("\n \n{row}\n"),
            format!("{row}\n{row}"),
            format!("{row}\n\n"),
            "\u{feff}".to_owned(),
        ] {
            let (folder, earlier) = read(content.as_bytes());
            earlier.unwrap().resume().unwrap().failure(Path::new("b.mp4"), "late").unwrap();
            let end = if content.ends_with('\n') { "" } else { "\n" };
            let expected = format!("{content}{end}{}\n", r#"{"path":"b.mp4","error":"late"}"#);
            assert_eq!(fs::read_to_string(folder.path().join("scan.jsonl")).unwrap(), expected);
        }
    }

    #[cfg(unix)]
    #[test]
    fn one_scan_at_a_time_writes_a_journal() {
        let row = r#"{"path":"a.mp4","error":"broken"}"#;
        // Continued as it is, and written again.
        for content in [format!("{row}\n"), format!("{row}\n{{\"path\":\"b")] {
            let (folder, first) = read(content.as_bytes());
            let path = folder.path().join("scan.jsonl");
            let detector = detector();
            let again = || {
                let options = ScanOptions::default();
                EarlierReports::read(&path, std::iter::empty(), &detector, &options, || true)
            };
            let is_taken = || {
                let is_refused = |journal: Result<Journal, JournalError>| {
                    matches!(journal, Err(JournalError::Taken { .. }))
                };
                let resumed = is_refused(again().and_then(|earlier| earlier.resume()));
                [resumed, is_refused(Journal::create(&path))]
            };
            let first = first.unwrap();
            assert_eq!(is_taken(), [true, true], "while it is read");
            let journal = first.resume().unwrap();
            drop(first);
            assert_eq!(is_taken(), [true, true], "while it is written");
            journal.failure(Path::new("b.mp4"), "late").unwrap();
            drop(journal);
            assert_eq!(fs::read_to_string(&path).unwrap().lines().count(), 2, "nothing is lost");
            assert_eq!(is_taken(), [false, false]);
        }
        // Two that begin at once.
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("new.jsonl");
        let _first = Journal::create(&path).unwrap();
        let error = Journal::create(&path).unwrap_err().to_string();
        assert!(error.contains("another scan is writing") && error.contains("new.jsonl"), "{error}");
        // Several processes can write to something that is not a file.
        let null = || Journal::create(Path::new("/dev/null"));
        let (_one, _other) = (null().unwrap(), null().unwrap());
    }

    #[test]
    fn a_torn_line_is_removed_and_those_before_it_are_kept() {
        let row = r#"{"path":"a.mp4","error":"broken"}"#;
        for torn in ["{\"path\":\"b", "{", "\0\0"] {
            let (folder, earlier) = read(format!("\n{row}\n{torn}").as_bytes());
            drop(earlier.unwrap().resume().unwrap());
            assert_eq!(fs::read_to_string(folder.path().join("scan.jsonl")).unwrap(), format!("\n{row}\n"));
        }
    }

    #[test]
    fn other_files_are_refused_without_reading_them_whole() {
        let (folder, earlier) = read(b"{\"path\":\"a.mp4\",\"error\":\"b\"}\n\nx,y\n");
        let error = earlier.unwrap_err().to_string();
        assert!(error.contains("line 3 of") && error.contains("it is not JSON"), "{error}");
        // Terabytes without an end of a line.
        let path = folder.path().join("scan.jsonl");
        File::options().write(true).open(&path).unwrap().set_len(1 << 40).unwrap();
        let detector = detector();
        let options = ScanOptions::default();
        let error =
            EarlierReports::read(&path, std::iter::empty(), &detector, &options, || true).unwrap_err();
        assert!(matches!(error, JournalError::OtherFile { line: 3, .. }), "{error}");
        fs::write(&path, "").unwrap();
        File::options().write(true).open(&path).unwrap().set_len(1 << 40).unwrap();
        let error =
            EarlierReports::read(&path, std::iter::empty(), &detector, &options, || true).unwrap_err();
        assert!(
            matches!(error, JournalError::OtherFile { line: 1, fault: LineFault::TooLong, .. }),
            "{error}"
        );
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
