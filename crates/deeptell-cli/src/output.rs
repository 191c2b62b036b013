//! Messages and documents for the user.
//!
//! Everything that is written to a terminal passes through this module: file names and texts of
//! other programs may contain control characters, which are [escaped](deeptell::printable).

use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU8, Ordering};

use anyhow::Context as _;
use deeptell::{printable, printable_json};
use serde::Serialize;
use serde_json::ser::{Formatter, Serializer};

/// How much is printed on standard error.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub(crate) enum Verbosity {
    /// Warnings and errors.
    Quiet,
    /// Also progress and notes.
    Normal,
    /// Also details: the model, the device, how long each step takes.
    Verbose,
}

static VERBOSITY: AtomicU8 = AtomicU8::new(Verbosity::Normal as u8);

/// Sets how much is printed from now on.
pub(crate) fn set_verbosity(verbosity: Verbosity) {
    VERBOSITY.store(verbosity as u8, Ordering::Relaxed);
}

fn prints(level: Verbosity) -> bool {
    VERBOSITY.load(Ordering::Relaxed) >= level as u8
}

/// Whether only warnings and errors are printed.
pub(crate) fn is_quiet() -> bool {
    !prints(Verbosity::Normal)
}

/// An error and its causes on one line. A cause that already ends the text before it, as in some
/// libraries, is not repeated.
pub(crate) fn one_line(error: &anyhow::Error) -> String {
    let mut text = String::new();
    for cause in error.chain() {
        let part = cause.to_string();
        if text.ends_with(&part) {
            continue;
        }
        if !text.is_empty() {
            text.push_str(": ");
        }
        text.push_str(&part);
    }
    printable(&text).into_owned()
}

/// An error about a file, with its path unless the error names it already.
pub(crate) fn about(path: &Path, error: &str) -> String {
    let path = path.display().to_string();
    let is_named = error.contains(&path) || error.contains(&*printable(&path));
    if is_named { error.to_owned() } else { format!("{path}: {error}") }
}

/// The note about files in folders that are neither videos nor readable pictures.
pub(crate) fn words_on_left_out(files: &[PathBuf]) -> String {
    let count = match files.len() {
        1 => "skipped 1 file of another kind".to_owned(),
        several => format!("skipped {several} files of other kinds"),
    };
    let is_photo = |file: &PathBuf| {
        let extension = file.extension().map(|extension| extension.to_string_lossy().to_lowercase());
        extension.is_some_and(|extension| matches!(extension.as_str(), "heic" | "heif" | "tif" | "tiff"))
    };
    let advice = if files.iter().any(is_photo) {
        "; to include HEIC and TIFF pictures, convert them to PNG"
    } else {
        ""
    };
    format!("{count}: {}{advice}", deeptell_data::count_by_extension(files))
}

/// Like `println!` for one line, but returns an error instead of panicking if standard output is
/// closed, and escapes control characters.
macro_rules! say {
    ($($argument:tt)*) => {
        $crate::output::line(format_args!($($argument)*))?
    };
}
pub(crate) use say;

/// Prints a line on standard error unless `--quiet` is given: progress and notes.
macro_rules! note {
    ($($argument:tt)*) => {
        $crate::output::message($crate::output::Verbosity::Normal, format_args!($($argument)*))
    };
}
pub(crate) use note;

/// Prints a warning or an error on standard error.
macro_rules! alert {
    ($($argument:tt)*) => {
        $crate::output::message($crate::output::Verbosity::Quiet, format_args!($($argument)*))
    };
}
pub(crate) use alert;

/// Prints a line on standard error if `--verbose` is given.
macro_rules! detail {
    ($($argument:tt)*) => {
        $crate::output::message($crate::output::Verbosity::Verbose, format_args!($($argument)*))
    };
}
pub(crate) use detail;

/// Writes a line to standard output.
pub(crate) fn line(text: std::fmt::Arguments<'_>) -> anyhow::Result<()> {
    Ok(writeln!(io::stdout(), "{}", printable(&text.to_string()))?)
}

/// Writes what is still buffered to standard output.
pub(crate) fn flush() -> anyhow::Result<()> {
    Ok(io::stdout().flush()?)
}

/// Writes a line to standard error if messages of this level are printed; failures are ignored.
pub(crate) fn message(level: Verbosity, text: std::fmt::Arguments<'_>) {
    if prints(level) {
        let _ = writeln!(io::stderr(), "{}", printable(&text.to_string()));
    }
}

/// Whether the command failed because its output was closed, as under `| head`.
pub(crate) fn is_unread(error: &anyhow::Error) -> bool {
    let broken = |e: &io::Error| e.kind() == io::ErrorKind::BrokenPipe;
    error.chain().filter_map(|cause| cause.downcast_ref()).any(broken)
}

/// Writes `document` as JSON to `target`: a file, or standard output for `-`.
pub(crate) fn write_json(document: &impl Serialize, target: &Path) -> anyhow::Result<()> {
    let mut text = serde_json::to_string_pretty(document)?;
    text.push('\n');
    write_document(target, printable_json(&text).as_bytes())
}

/// A document as one line of JSON, with its line break.
pub(crate) fn json_line(document: &impl Serialize) -> anyhow::Result<Vec<u8>> {
    let mut text = serde_json::to_string(document)?;
    text.push('\n');
    Ok(printable_json(&text).into_owned().into_bytes())
}

/// As [`write_json`], with each list on one line, which keeps columns of numbers readable.
pub(crate) fn write_figures(document: &impl Serialize, target: &Path) -> anyhow::Result<()> {
    let mut text = Vec::new();
    document.serialize(&mut Serializer::with_formatter(&mut text, ListsOnOneLine::default()))?;
    text.push(b'\n');
    write_document(target, printable_json(&String::from_utf8(text)?).as_bytes())
}

/// JSON indented by two spaces, with lists on one line and each object of a list on its own line.
#[derive(Default)]
struct ListsOnOneLine {
    /// The open containers, outermost first.
    open: Vec<Open>,
}

#[derive(Clone, Copy, PartialEq)]
enum Open {
    List,
    Object,
    /// An object within a list, or anything within one.
    Inline,
}

impl ListsOnOneLine {
    fn break_line<W: ?Sized + io::Write>(&self, writer: &mut W) -> io::Result<()> {
        let depth = self.open.iter().filter(|open| **open == Open::Object).count();
        write!(writer, "\n{:1$}", "", 2 * depth)
    }

    fn is_inline(&self) -> bool {
        self.open.last() == Some(&Open::Inline)
    }
}

impl Formatter for ListsOnOneLine {
    fn begin_array<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.open.push(if self.is_inline() { Open::Inline } else { Open::List });
        writer.write_all(b"[")
    }

    fn end_array<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.open.pop();
        writer.write_all(b"]")
    }

    fn begin_object<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        let kind = match self.open.last() {
            Some(Open::List) => {
                self.open.push(Open::Object);
                self.break_line(writer)?;
                self.open.pop();
                Open::Inline
            }
            Some(Open::Inline) => Open::Inline,
            Some(Open::Object) | None => Open::Object,
        };
        self.open.push(kind);
        writer.write_all(b"{")
    }

    fn begin_object_key<W: ?Sized + io::Write>(&mut self, writer: &mut W, first: bool) -> io::Result<()> {
        if !first {
            writer.write_all(b",")?;
        }
        match (self.is_inline(), first) {
            (true, true) => Ok(()),
            (true, false) => writer.write_all(b" "),
            (false, _) => self.break_line(writer),
        }
    }

    fn begin_object_value<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        writer.write_all(b": ")
    }

    fn end_object<W: ?Sized + io::Write>(&mut self, writer: &mut W) -> io::Result<()> {
        if self.open.pop() == Some(Open::Object) {
            self.break_line(writer)?;
        }
        writer.write_all(b"}")
    }
}

/// Writes `content` to `target`: a file, or standard output for `-`.
pub(crate) fn write_document(target: &Path, content: &[u8]) -> anyhow::Result<()> {
    if target == Path::new("-") {
        return Ok(io::stdout().write_all(content)?);
    }
    write_file(target, content)
}

/// Writes a file atomically, and creates its folder if needed.
pub(crate) fn write_file(path: &Path, content: &[u8]) -> anyhow::Result<()> {
    deeptell_files::write_whole(path, content).with_context(|| format!("cannot write {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_json_with_lists_on_one_line() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.json");
        let value = serde_json::json!({
            "a": [1, 2.5, null], "b": {"c": [{"d": [1, 2], "e": {"f": "x, \"y\""}}, {}], "g": []}
        });
        write_figures(&value, &path).unwrap();
        let text = std::fs::read_to_string(&path).unwrap();
        assert_eq!(serde_json::from_str::<serde_json::Value>(&text).unwrap(), value);
        let lines = [
            "{",
            "  \"a\": [1,2.5,null],",
            "  \"b\": {",
            "    \"c\": [",
            "      {\"d\": [1,2], \"e\": {\"f\": \"x, \\\"y\\\"\"}},",
            "      {}],",
            "    \"g\": []",
            "  }",
            "}",
        ];
        assert_eq!(text.lines().collect::<Vec<_>>(), lines, "{text}");
    }

    #[test]
    fn each_cause_is_printed_once() {
        let inner = || anyhow::Error::new(io::Error::other("disk on fire"));
        let error = inner().context("cannot write x").context("saving");
        assert_eq!(one_line(&error), "saving: cannot write x: disk on fire");
        // Libraries that print their cause themselves.
        let error = inner().context("cannot write x: disk on fire");
        assert_eq!(one_line(&error), "cannot write x: disk on fire");
        // A cause whose words occur earlier in the text is still printed.
        let error = inner().context("disk on fire, or so it says, at 5");
        assert_eq!(one_line(&error), "disk on fire, or so it says, at 5: disk on fire");
    }

    #[test]
    fn line_breaks_in_file_names_are_escaped() {
        let error = anyhow::anyhow!("cannot read a\nb.mp4: likely real\u{1b}[2J");
        assert_eq!(one_line(&error), r"cannot read a\nb.mp4: likely real\u{1b}[2J");
    }
}
