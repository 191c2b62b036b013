use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::LazyLock;

use memchr::memmem::Finder;
use serde::de::IgnoredAny;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;

/// Additional named values of a sample: a JSON object, kept as text until a value is read. Parsed values
/// would take ten times the memory and half the time of reading a manifest.
///
/// ```
/// use deeptell_data::Extra;
///
/// let mut extra = Extra::from([("compression".to_owned(), "c23".into())]);
/// extra.insert("width", 185);
/// assert_eq!(extra.get("compression").unwrap(), "c23");
/// assert_eq!(extra.values().len(), 2);
/// ```
#[derive(Debug, Clone, Default)]
pub struct Extra {
    /// A valid JSON object, or empty for one without values.
    text: Box<str>,
}

impl Extra {
    /// Whether there is no value.
    pub fn is_empty(&self) -> bool {
        self.text.is_empty()
    }

    /// The value of a name. Parses the object on each call.
    pub fn get(&self, name: &str) -> Option<Value> {
        self.values().remove(name)
    }

    /// Sets the value of a name.
    pub fn insert(&mut self, name: impl Into<String>, value: impl Into<Value>) {
        let mut values = self.values();
        values.insert(name.into(), value.into());
        *self = values.into();
    }

    /// All values by name.
    pub fn values(&self) -> BTreeMap<String, Value> {
        // The text was checked when it came in.
        serde_json::from_str(&self.text).unwrap_or_default()
    }

    /// The object that `text` begins with, as it is, and how many bytes it takes.
    fn at_start_of(text: &str) -> Option<(Self, usize)> {
        let mut values = serde_json::Deserializer::from_str(text).into_iter::<IgnoredAny>();
        values.next()?.ok()?;
        let length = values.byte_offset();
        let object = &text[..length];
        let inner = object.strip_prefix('{')?.strip_suffix('}')?;
        let text = if inner.trim_ascii().is_empty() { "" } else { object };
        Some((Self { text: text.into() }, length))
    }
}

impl From<BTreeMap<String, Value>> for Extra {
    fn from(values: BTreeMap<String, Value>) -> Self {
        if values.is_empty() {
            return Self::default();
        }
        Self { text: Value::Object(values.into_iter().collect()).to_string().into() }
    }
}

impl<const N: usize> From<[(String, Value); N]> for Extra {
    fn from(values: [(String, Value); N]) -> Self {
        BTreeMap::from(values).into()
    }
}

impl FromIterator<(String, Value)> for Extra {
    fn from_iter<I: IntoIterator<Item = (String, Value)>>(values: I) -> Self {
        values.into_iter().collect::<BTreeMap<_, _>>().into()
    }
}

impl PartialEq for Extra {
    /// By value: order and spaces do not count.
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text || self.values() == other.values()
    }
}

impl Serialize for Extra {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.values().serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Extra {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        BTreeMap::<String, Value>::deserialize(deserializer).map(Self::from)
    }
}

static NAME: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new("\"extra\""));

/// The object `extra` of a row and where it lies, if it is the last thing in it, as
/// [`ManifestWriter`](crate::ManifestWriter) writes it. `text` must be a JSON object, which is not
/// checked.
pub(crate) fn last_in_row(text: &str) -> Option<(Extra, Range<usize>)> {
    let mut from = 0;
    loop {
        from += NAME.find(&text.as_bytes()[from..])? + NAME.needle().len();
        // No colon follows a value of that text.
        let value = text[from..].trim_ascii_start().strip_prefix(':').map(str::trim_ascii_start);
        if let Some(value) = value {
            let start = text.len() - value.len();
            let (extra, length) = Extra::at_start_of(value)?;
            // One bracket closes the row, so nothing else was open.
            return (value[length..].trim_ascii() == "}").then_some((extra, start..start + length));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_object_is_found_at_the_end_of_a_row() {
        let found = |row: &str| last_in_row(row).map(|(_, range)| row[range].to_owned());
        for (row, extra) in [
            (r#"{"path":"a","extra":{"b":"}"}}"#, Some(r#"{"b":"}"}"#)),
            (r#"{"extra" : {"a":[{"c":"\"}"}, 2]} }"#, Some(r#"{"a":[{"c":"\"}"}, 2]}"#)),
            (r#"{"source":"extra","path":"\\","extra":{}}"#, Some("{}")),
            (r#"{"extra":{"a":1},"path":"a"}"#, None),
            (r#"{"bbox":{"extra":{"a":1}}}"#, None),
            (r#"{"path":"\"extra\":{"}"#, None),
            (r#"{"extra":null}"#, None),
            (r#"{"extra":[1]}"#, None),
            (r#"{"extra":{"a":1"#, None),
            (r#"{"extra"#, None),
            ("", None),
        ] {
            assert_eq!(found(row).as_deref(), extra, "{row}");
        }
    }

    #[test]
    fn parsed_text_equals_inserted_values() {
        let read = |text| Extra::at_start_of(text).map(|(extra, _)| extra);
        let spaced = read(r#"{ "b": 1.5, "a": [1, "x"] }"#).unwrap();
        let mut made = Extra::default();
        assert!(made.is_empty() && read("{ }").unwrap().is_empty());
        made.insert("a", serde_json::json!([1, "x"]));
        assert_ne!(made, spaced);
        made.insert("b", 1.5);
        assert_eq!(made, spaced);
        assert_eq!(serde_json::to_string(&spaced).unwrap(), r#"{"a":[1,"x"],"b":1.5}"#);
        assert!(read("{,}").is_none() && read("[]").is_none() && read("").is_none());
    }
}
