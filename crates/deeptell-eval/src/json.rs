use std::io;

use serde::Serialize;
use serde_json::ser::{Formatter, Serializer};

/// A document as JSON that ends in a line break, indented, with each list on one line: columns of numbers stay
/// readable.
///
/// # Errors
/// [`EvalError::Json`](crate::EvalError::Json) if the document is not JSON.
pub fn to_json(document: &impl Serialize) -> Result<String, crate::EvalError> {
    let mut text = Vec::new();
    document.serialize(&mut Serializer::with_formatter(&mut text, ListsOnOneLine::default()))?;
    text.push(b'\n');
    Ok(String::from_utf8_lossy(&text).into_owned())
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_on_one_line() {
        let value = serde_json::json!({
            "a": [1, 2.5, null], "b": {"c": [{"d": [1, 2], "e": {"f": "x, \"y\""}}, {}], "g": []}
        });
        let text = to_json(&value).unwrap();
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
}
