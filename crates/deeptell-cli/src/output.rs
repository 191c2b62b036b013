//! Words and documents for the user.

use std::io::Write as _;
use std::path::Path;

use anyhow::Context as _;
use serde::Serialize;
use serde_json::ser::{Formatter, Serializer};

/// An error and its causes on one line, without saying anything twice.
pub(crate) fn one_line(error: &anyhow::Error) -> String {
    let mut text = String::new();
    for cause in error.chain() {
        let part = cause.to_string();
        if text.contains(&part) {
            continue;
        }
        if !text.is_empty() {
            text.push_str(": ");
        }
        text.push_str(&part);
    }
    text
}

/// Like `println!`, but a reader that has gone away is an error to return and not a panic.
macro_rules! say {
    ($($argument:tt)*) => {
        $crate::output::line(format_args!($($argument)*))?
    };
}
pub(crate) use say;

/// Writes a line to standard output.
pub(crate) fn line(text: std::fmt::Arguments<'_>) -> anyhow::Result<()> {
    Ok(writeln!(std::io::stdout(), "{text}")?)
}

/// Whether the command ended because nobody reads its output any more, as under `| head`.
pub(crate) fn is_unread(error: &anyhow::Error) -> bool {
    let broken = |e: &std::io::Error| e.kind() == std::io::ErrorKind::BrokenPipe;
    error.chain().filter_map(|cause| cause.downcast_ref()).any(broken)
}

/// Writes `document` as JSON to `target`: a file, or standard output for `-`.
pub(crate) fn write_json(document: &impl Serialize, target: &Path) -> anyhow::Result<()> {
    let mut text = serde_json::to_string_pretty(document)?;
    text.push('\n');
    write_document(target, text.as_bytes())
}

/// As [`write_json`], with lists on one line: columns of hundreds of numbers leave the rest readable.
pub(crate) fn write_figures(document: &impl Serialize, target: &Path) -> anyhow::Result<()> {
    let mut text = Vec::new();
    document.serialize(&mut Serializer::with_formatter(&mut text, ListsOnOneLine::default()))?;
    text.push(b'\n');
    write_document(target, &text)
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
    fn break_line<W: ?Sized + std::io::Write>(&self, writer: &mut W) -> std::io::Result<()> {
        let depth = self.open.iter().filter(|open| **open == Open::Object).count();
        write!(writer, "\n{:1$}", "", 2 * depth)
    }

    fn is_inline(&self) -> bool {
        self.open.last() == Some(&Open::Inline)
    }
}

impl Formatter for ListsOnOneLine {
    fn begin_array<W: ?Sized + std::io::Write>(&mut self, writer: &mut W) -> std::io::Result<()> {
        self.open.push(if self.is_inline() { Open::Inline } else { Open::List });
        writer.write_all(b"[")
    }

    fn end_array<W: ?Sized + std::io::Write>(&mut self, writer: &mut W) -> std::io::Result<()> {
        self.open.pop();
        writer.write_all(b"]")
    }

    fn begin_object<W: ?Sized + std::io::Write>(&mut self, writer: &mut W) -> std::io::Result<()> {
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

    fn begin_object_key<W: ?Sized + std::io::Write>(
        &mut self,
        writer: &mut W,
        first: bool,
    ) -> std::io::Result<()> {
        if !first {
            writer.write_all(b",")?;
        }
        match (self.is_inline(), first) {
            (true, true) => Ok(()),
            (true, false) => writer.write_all(b" "),
            (false, _) => self.break_line(writer),
        }
    }

    fn begin_object_value<W: ?Sized + std::io::Write>(&mut self, writer: &mut W) -> std::io::Result<()> {
        writer.write_all(b": ")
    }

    fn end_object<W: ?Sized + std::io::Write>(&mut self, writer: &mut W) -> std::io::Result<()> {
        if self.open.pop() == Some(Open::Object) {
            self.break_line(writer)?;
        }
        writer.write_all(b"}")
    }
}

/// Writes `content` to `target`: a file, or standard output for `-`.
pub(crate) fn write_document(target: &Path, content: &[u8]) -> anyhow::Result<()> {
    if target == Path::new("-") {
        return Ok(std::io::stdout().write_all(content)?);
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
    fn causes_are_said_once() {
        let inner = std::io::Error::other("disk on fire");
        let error = anyhow::Error::new(inner).context("cannot write x").context("saving: cannot write x");
        assert_eq!(one_line(&error), "saving: cannot write x: disk on fire");
    }
}
