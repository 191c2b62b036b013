//! The reports of a scan as JSON Lines: written as they come, read again to resume after an interruption.

use std::collections::HashMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use anyhow::Context as _;
use deeptell::{ModelInfo, Report, ScanOptions};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::Failure;
use crate::{interrupt, output};

/// One line: a report, or why there is none.
#[derive(Deserialize)]
#[serde(untagged, deny_unknown_fields)]
enum Line {
    Report(Box<Report>),
    Failure {
        path: String,
        #[expect(dead_code, reason = "tells a failure from other documents")]
        error: String,
    },
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

/// How lines of a scan start, also those that were cut off.
const BEGINNINGS: [&[u8]; 2] = [b"{\"schema_version\":", b"{\"path\":"];

/// Where lines go.
pub(super) struct Journal {
    /// `None` after a failed write: another line behind half a line would corrupt both.
    sink: Mutex<Option<Box<dyn io::Write + Send>>>,
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
                fs::create_dir_all(folder).with_context(|| format!("cannot create {}", folder.display()))?;
            }
            Box::new(File::create(path).with_context(|| format!("cannot write {}", path.display()))?)
        };
        Ok(Self { sink: Mutex::new(Some(sink)) })
    }

    /// Continues the file that `earlier` was read from, without the lines that will be written anew.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub(super) fn resume(earlier: &Earlier) -> anyhow::Result<Self> {
        let path = &earlier.path;
        if earlier.is_changed() {
            output::write_file(path, &earlier.kept())?;
        }
        let file = OpenOptions::new().append(true).create(true).open(path);
        let file = file.with_context(|| format!("cannot write {}", path.display()))?;
        Ok(Self { sink: Mutex::new(Some(Box::new(file))) })
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
        let text = output::json_line(document)?;
        let mut sink = self.sink.lock().unwrap_or_else(PoisonError::into_inner);
        let written = match sink.as_mut() {
            Some(sink) => sink.write_all(&text).and_then(|()| sink.flush()),
            None => anyhow::bail!("cannot write to the --jsonl file: an earlier line failed"),
        };
        if written.is_err() {
            *sink = None;
        }
        written.context("cannot write to the --jsonl file")
    }
}

/// What an earlier run left.
pub(super) struct Earlier {
    path: PathBuf,
    text: Vec<u8>,
    /// The whole lines, in their order, and whether they stay.
    lines: Vec<(Range<usize>, bool)>,
    /// Reports of the inputs that need no other scan, by the input.
    pub(super) done: HashMap<PathBuf, Report>,
}

impl Earlier {
    /// Reads the file at `path` as far as it concerns `inputs`: which of them have a report that a scan with this
    /// model and these options would give again. Lines about other files stay as they are. A last line without its
    /// end was cut by a kill or a full disk, at any byte, and is dropped; no file is an empty one.
    ///
    /// # Errors
    /// When the file cannot be read, or holds anything that no scan wrote: then it is some other file, which must
    /// not be changed.
    pub(super) fn read<'a>(
        path: &Path,
        inputs: impl Iterator<Item = &'a Path>,
        model: &ModelInfo,
        options: &ScanOptions,
    ) -> anyhow::Result<Self> {
        let text = match read(path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            Err(error) => return Err(error).with_context(|| format!("cannot read {}", path.display())),
        };
        let end = text.iter().rposition(|byte| *byte == b'\n').map_or(0, |last| last + 1);
        if !is_torn_line(&text[end..]) {
            anyhow::bail!(
                "the last line of {} was not written by a scan: is this the right --jsonl file?",
                path.display()
            );
        }
        // As reports name them: a name that is not Unicode is not quite itself there.
        let inputs: HashMap<String, &Path> =
            inputs.map(|input| (input.display().to_string(), input)).collect();
        let mut lines = Vec::new();
        let mut start = 0;
        for line in text[..end].split_inclusive(|byte| *byte == b'\n') {
            lines.push(start..start + line.len());
            start += line.len();
        }
        let parsed = lines.par_iter().enumerate().map(|(number, range)| {
            let line = &text[range.clone()];
            match serde_json::from_slice(line) {
                Ok(line) => Ok(Fate::of(line, &inputs, model, options)),
                Err(error) => Fate::of_other_version(line, &inputs).ok_or_else(|| {
                    anyhow::anyhow!(
                        "line {} of {} was not written by a scan: is this the right --jsonl file? ({error})",
                        number + 1,
                        path.display()
                    )
                }),
            }
        });
        let fates: Vec<Fate> = parsed.collect::<anyhow::Result<_>>()?;
        let mut done = HashMap::new();
        let mut kept = Vec::with_capacity(lines.len());
        // Of two reports of one file the later one counts.
        for (range, fate) in lines.into_iter().zip(fates).rev() {
            let stays = match fate {
                Fate::Foreign => true,
                Fate::Again => false,
                Fate::Done(input, report) => done.insert(input, *report).is_none(),
            };
            kept.push((range, stays));
        }
        kept.reverse();
        Ok(Self { path: path.to_owned(), text, lines: kept, done })
    }

    /// Whether anything of the file must go.
    fn is_changed(&self) -> bool {
        self.lines.iter().any(|(_, stays)| !stays)
            || self.lines.last().map_or(0, |(last, _)| last.end) < self.text.len()
    }

    fn kept(&self) -> Vec<u8> {
        let kept = self.lines.iter().filter(|(_, stays)| *stays);
        kept.flat_map(|(range, _)| &self.text[range.clone()]).copied().collect()
    }
}

/// A regular file, whole: reading anything else could block.
fn read(path: &Path) -> io::Result<Vec<u8>> {
    if !fs::metadata(path)?.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is not a regular file"));
    }
    let mut text = Vec::new();
    File::open(path)?.read_to_end(&mut text)?;
    Ok(text)
}

/// Whether `rest`, behind the last whole line, may be what is left of one of ours, or what some file systems leave of
/// it after a power cut: zeros.
fn is_torn_line(rest: &[u8]) -> bool {
    let written = rest.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
    let rest = &rest[..written];
    BEGINNINGS.iter().any(|beginning| rest.starts_with(beginning) || beginning.starts_with(rest))
}

/// What becomes of a line.
enum Fate {
    /// About a file that this scan is not about: stays.
    Foreign,
    /// About one that is scanned again: goes.
    Again,
    /// Stands for a scan of this input.
    Done(PathBuf, Box<Report>),
}

impl Fate {
    fn of(line: Line, inputs: &HashMap<String, &Path>, model: &ModelInfo, options: &ScanOptions) -> Self {
        let report = match line {
            Line::Report(report) => report,
            Line::Failure { path, .. } if inputs.contains_key(&path) => return Self::Again,
            Line::Failure { .. } => return Self::Foreign,
        };
        let input = report.input.path.as_ref().and_then(|path| inputs.get(path));
        let Some(input) = input else { return Self::Foreign };
        let same_options = report.options.clone().evidence(options.evidence) == *options;
        let is_done = report.model.sha256 == model.sha256
            && report.model.precision == model.precision
            && report.deeptell_version == deeptell::VERSION
            && same_options
            && is_unchanged(input, &report);
        if is_done { Self::Done((*input).to_owned(), report) } else { Self::Again }
    }

    /// The fate of a line that is a report of another version: its file is scanned again. `None` when it is none.
    fn of_other_version(line: &[u8], inputs: &HashMap<String, &Path>) -> Option<Self> {
        let report: OtherVersion = serde_json::from_slice(line).ok()?;
        let is_asked_for = report.input.path.is_some_and(|path| inputs.contains_key(&path));
        Some(if is_asked_for { Self::Again } else { Self::Foreign })
    }
}

/// Whether the file is still the one that was scanned, as far as its size and hash tell. After Ctrl-C, nothing more is
/// hashed, and the scan ends before it would begin.
fn is_unchanged(path: &Path, report: &Report) -> bool {
    let size = fs::metadata(path).ok().map(|metadata| metadata.len());
    let hash = || {
        let while_wanted = || !interrupt::requested();
        deeptell_files::sha256_while(File::open(path).ok()?, while_wanted).ok().flatten()
    };
    size.is_some()
        && size == report.input.bytes
        && (report.input.sha256.is_none() || hash() == report.input.sha256)
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
        impl io::Write for Full {
            fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
                let taken = bytes.len().min(self.0);
                self.0 -= taken;
                if taken == 0 { Err(io::ErrorKind::StorageFull.into()) } else { Ok(taken) }
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let journal = Journal { sink: Mutex::new(Some(Box::new(Full(70)))) };
        let failure = Failure { path: Path::new("a.mp4"), error: "broken beyond all repair" };
        assert!(journal.failure(&failure).is_ok());
        assert!(format!("{:#}", journal.failure(&failure).unwrap_err()).contains("no storage space"));
        assert!(journal.failure(&failure).unwrap_err().to_string().contains("an earlier line failed"));
    }
}
