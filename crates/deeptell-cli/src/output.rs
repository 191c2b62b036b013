//! Words and documents for the user.
//!
//! Everything that goes to a terminal passes through here: names of files and texts of other
//! programs may hold control characters, which are [escaped](deeptell::printable).

use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use deeptell::{printable, printable_json};
use serde::Serialize;
use serde_json::ser::{Formatter, Serializer};

/// An error and its causes on one line. A cause that the text before it ends with already, as some
/// libraries have it, is not repeated.
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

/// What is said of files in folders that are neither videos nor pictures that can be read.
pub(crate) fn words_on_left_out(files: &[PathBuf]) -> String {
    let count = match files.len() {
        1 => "1 file of another kind was left out".to_owned(),
        several => format!("{several} files of other kinds were left out"),
    };
    let is_photo = |file: &PathBuf| {
        let extension = file.extension().map(|extension| extension.to_string_lossy().to_lowercase());
        extension.is_some_and(|extension| matches!(extension.as_str(), "heic" | "heif" | "tif" | "tiff"))
    };
    let advice =
        if files.iter().any(is_photo) { "; to include HEIC and TIFF pictures, save them as PNG" } else { "" };
    format!("{count}: {}{advice}", deeptell_data::count_by_extension(files))
}

/// Like `println!` for one line, but a reader that has gone away is an error to return and not a
/// panic, and what is no graphic character is escaped.
macro_rules! say {
    ($($argument:tt)*) => {
        $crate::output::line(format_args!($($argument)*))?
    };
}
pub(crate) use say;

/// Like `eprintln!` for one line, with the same care as [`say!`].
macro_rules! note {
    ($($argument:tt)*) => {
        $crate::output::note_line(format_args!($($argument)*))
    };
}
pub(crate) use note;

/// Writes a line to standard output.
pub(crate) fn line(text: std::fmt::Arguments<'_>) -> anyhow::Result<()> {
    Ok(writeln!(io::stdout(), "{}", printable(&text.to_string()))?)
}

/// Writes a line to standard error. Nobody can be told when that fails.
pub(crate) fn note_line(text: std::fmt::Arguments<'_>) {
    let _ = writeln!(io::stderr(), "{}", printable(&text.to_string()));
}

/// Whether the command ended because nobody reads its output any more, as under `| head`.
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

/// A document as JSON on one line, with its line break.
pub(crate) fn json_line(document: &impl Serialize) -> anyhow::Result<Vec<u8>> {
    let mut text = serde_json::to_string(document)?;
    text.push('\n');
    Ok(printable_json(&text).into_owned().into_bytes())
}

/// As [`write_json`], with lists on one line: columns of hundreds of numbers leave the rest readable.
pub(crate) fn write_figures(document: &impl Serialize, target: &Path) -> anyhow::Result<()> {
    let mut text = Vec::new();
    document.serialize(&mut Serializer::with_formatter(&mut text, ListsOnOneLine::default()))?;
    text.push(b'\n');
    write_document(target, printable_json(&String::from_utf8(text)?).as_bytes())
}

/// JSON with two spaces a level, a list on one line, and each object of a list on a line of its own.
#[derive(Default)]
struct ListsOnOneLine {
    /// What is open, from the outside in.
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

/// Writes a file, with the folders it lies in, whole or not at all.
pub(crate) fn write_file(path: &Path, content: &[u8]) -> anyhow::Result<()> {
    deeptell_files::write_whole(path, content).with_context(|| format!("cannot write {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_take_one_line_and_stay_json() {
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
    fn each_cause_is_printed_and_none_twice() {
        let inner = || anyhow::Error::new(io::Error::other("disk on fire"));
        let error = inner().context("cannot write x").context("saving");
        assert_eq!(one_line(&error), "saving: cannot write x: disk on fire");
        // Libraries that print their cause themselves.
        let error = inner().context("cannot write x: disk on fire");
        assert_eq!(one_line(&error), "cannot write x: disk on fire");
        // Words that happen to occur earlier are no reason to swallow a cause.
        let error = inner().context("disk on fire, or so it says, at 5");
        assert_eq!(one_line(&error), "disk on fire, or so it says, at 5: disk on fire");
    }

    #[test]
    fn names_in_errors_cannot_begin_a_line() {
        let error = anyhow::anyhow!("cannot read a\nb.mp4: likely real\u{1b}[2J");
        assert_eq!(one_line(&error), r"cannot read a\nb.mp4: likely real\u{1b}[2J");
    }
}
