//! The types of a report in Python, made from its JSON Schema.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use anyhow::{Context, Result, bail};
use serde_json::Value;

/// Name of the type of a whole report: `Report` is the class.
const ROOT: &str = "ReportDocument";
/// Longest line.
const WIDTH: usize = 110;

const HEAD: &str = "\
\"\"\"The parts of a report, as they are in its JSON form.

Written by `cargo xtask python types` from the JSON Schema of reports; `cargo xtask check` compares it.
\"\"\"

from typing import Dict, List, Literal, Optional, TypedDict, Union
";

/// The module `deeptell.types` for a schema.
///
/// # Errors
/// When the schema says something that this does not know.
pub(super) fn module(schema: &Value) -> Result<String> {
    let mut writer = Writer { schema, done: BTreeSet::new(), text: HEAD.to_owned() };
    writer.object(ROOT, schema, &[])?;
    Ok(writer.text)
}

struct Writer<'a> {
    schema: &'a Value,
    /// Names of the types that are written, or being written.
    done: BTreeSet<String>,
    text: String,
}

impl<'a> Writer<'a> {
    fn definition(&self, name: &str) -> Result<&'a Value> {
        self.schema["$defs"].get(name).with_context(|| format!("the schema does not define {name}"))
    }

    /// Writes the type of this name, unless it is there, before those that use it.
    fn named(&mut self, name: &str) -> Result<()> {
        if !self.done.insert(name.to_owned()) {
            return Ok(());
        }
        let definition = self.definition(name)?;
        let Some(variants) = variants(definition) else { return self.object(name, definition, &[]) };
        let literals: Option<Vec<&str>> = variants.iter().map(|variant| variant["const"].as_str()).collect();
        if let Some(literals) = literals {
            let literals: Vec<String> = literals.iter().map(|word| format!("{word:?}")).collect();
            return self.alias(name, definition, &format!("Literal[{}]", literals.join(", ")));
        }
        let mut names = Vec::new();
        for variant in self.objects(variants)? {
            let variant_name = format!("{}{name}", word_of(variant)?);
            self.object(&variant_name, variant, &[definition])?;
            names.push(variant_name);
        }
        self.alias(name, definition, &format!("Union[\n    {},\n]", names.join(",\n    ")))
    }

    /// The variants of a union, those of unions within it in their place.
    fn objects(&self, variants: &'a [Value]) -> Result<Vec<&'a Value>> {
        let mut objects = Vec::new();
        for variant in variants {
            match variant["$ref"].as_str().map(referred) {
                Some(name) => {
                    let within = self::variants(self.definition(name)?);
                    objects.extend(self.objects(within.with_context(|| format!("{name} is not a union"))?)?);
                }
                None => objects.push(variant),
            }
        }
        Ok(objects)
    }

    fn alias(&mut self, name: &str, definition: &Value, is: &str) -> Result<()> {
        let mut line = format!("{name} = {is}");
        if line.lines().any(|line| line.len() > WIDTH) {
            line = line
                .replacen("Literal[", "Literal[\n    ", 1)
                .replace("\", \"", "\",\n    \"")
                .replace("\"]", "\",\n]");
        }
        write!(self.text, "\n{line}\n{}", documentation(definition, ""))?;
        Ok(())
    }

    /// Writes a dict, of the properties of `object` and of those `around` it.
    fn object(&mut self, name: &str, object: &'a Value, around: &[&'a Value]) -> Result<()> {
        let all = || around.iter().copied().chain([object]);
        let mut fields = Vec::new();
        for part in all() {
            let properties = part["properties"].as_object();
            for (field, value) in properties.into_iter().flatten() {
                let is_required = all().any(|part| {
                    part["required"]
                        .as_array()
                        .into_iter()
                        .flatten()
                        .any(|required| required == field.as_str())
                });
                fields.push((
                    field,
                    value,
                    is_required,
                    self.type_of(value).with_context(|| format!("{name}.{field}"))?,
                ));
            }
        }
        if fields.is_empty() {
            bail!("{name} has no fields");
        }
        let has = |is_required: bool| fields.iter().any(|(_, _, required, _)| *required == is_required);
        // Python 3.9 knows fields that may be missing only as those of a class.
        let classes = match (has(true), has(false)) {
            (true, true) => vec![
                (format!("_{name}"), "TypedDict".to_owned(), true),
                (name.to_owned(), format!("_{name}, total=False"), false),
            ],
            (true, false) => vec![(name.to_owned(), "TypedDict".to_owned(), true)],
            _ => vec![(name.to_owned(), "TypedDict, total=False".to_owned(), false)],
        };
        for (class, bases, is_required) in classes {
            write!(self.text, "\n\nclass {class}({bases}):\n")?;
            if class == name {
                self.text.push_str(&documentation(object, "    "));
                if object["description"].is_string() {
                    self.text.push('\n');
                }
            }
            for (field, value, _, python) in
                fields.iter().filter(|(_, _, required, _)| *required == is_required)
            {
                write!(self.text, "    {field}: {python}\n{}", documentation(value, "    "))?;
            }
        }
        Ok(())
    }

    /// The type of a value; what it names is written first.
    fn type_of(&mut self, value: &'a Value) -> Result<String> {
        if let Some(name) = value["$ref"].as_str().map(referred) {
            self.named(name)?;
            return Ok(name.to_owned());
        }
        if let Some(word) = value["const"].as_str() {
            return Ok(format!("Literal[{word:?}]"));
        }
        if let Some([of, null]) = value["anyOf"].as_array().map(Vec::as_slice)
            && null["type"] == "null"
        {
            return Ok(format!("Optional[{}]", self.type_of(of)?));
        }
        match &value["type"] {
            Value::String(name) => self.plain(name, value),
            Value::Array(names) => match names.as_slice() {
                [Value::String(name), Value::String(null)] if null == "null" => {
                    Ok(format!("Optional[{}]", self.plain(name, value)?))
                }
                _ => bail!("no type for {value}"),
            },
            _ => bail!("no type for {value}"),
        }
    }

    fn plain(&mut self, name: &str, value: &'a Value) -> Result<String> {
        Ok(match name {
            "integer" => "int".to_owned(),
            "number" => "float".to_owned(),
            "string" => "str".to_owned(),
            "boolean" => "bool".to_owned(),
            "array" => format!("List[{}]", self.type_of(&value["items"])?),
            "object" => format!("Dict[str, {}]", self.type_of(&value["additionalProperties"])?),
            _ => bail!("no type for {value}"),
        })
    }
}

/// What a union is one of.
fn variants(definition: &Value) -> Option<&[Value]> {
    ["oneOf", "anyOf"].iter().find_map(|key| definition[*key].as_array()).map(Vec::as_slice)
}

fn referred(reference: &str) -> &str {
    reference.trim_start_matches("#/$defs/")
}

/// The word that a variant goes by: its code, or else the name of its first field.
fn word_of(variant: &Value) -> Result<String> {
    let code = variant["properties"]["code"]["const"].as_str();
    let field = || variant["required"][0].as_str();
    let word = code.or_else(field).with_context(|| format!("a variant without a name: {variant}"))?;
    Ok(word.split('_').map(capitalized).collect())
}

fn capitalized(word: &str) -> String {
    let mut letters = word.chars();
    letters.next().into_iter().flat_map(char::to_uppercase).chain(letters).collect()
}

/// The description as a docstring, or nothing.
fn documentation(value: &Value, indent: &str) -> String {
    let Some(text) = value["description"].as_str() else { return String::new() };
    let mut paragraphs = text.split("\n\n").map(|paragraph| {
        wrapped(
            &without_links(&paragraph.replace('\n', " ")).replace('\\', "\\\\").replace("\"\"\"", "'''"),
            indent,
        )
    });
    let first = paragraphs.next().unwrap_or_default();
    let rest: Vec<String> = paragraphs.collect();
    if rest.is_empty() && !first.contains('\n') && indent.len() + first.len() + 6 <= WIDTH {
        return format!("{indent}\"\"\"{first}\"\"\"\n");
    }
    let mut all = format!("{indent}\"\"\"{first}\n");
    for paragraph in rest {
        all.extend(["\n", indent, &paragraph, "\n"]);
    }
    format!("{all}{indent}\"\"\"\n")
}

/// Breaks a text into lines; the first begins after the indent.
fn wrapped(text: &str, indent: &str) -> String {
    let (mut lines, mut line) = (String::new(), String::new());
    for word in text.split_whitespace() {
        if !line.is_empty() && indent.len() + line.len() + word.len() + 4 > WIDTH {
            lines.push_str(&line);
            lines.push('\n');
            lines.push_str(indent);
            line.clear();
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(word);
    }
    lines + &line
}

/// Text of Rust's documentation without the targets of its links.
fn without_links(text: &str) -> String {
    let mut plain = String::new();
    let mut rest = text;
    while let Some(start) = rest.find('[') {
        let (before, link) = rest.split_at(start);
        plain.push_str(before);
        let Some(end) = link.find(']') else {
            plain.push_str(link);
            return plain;
        };
        plain.push_str(&link[1..end]);
        rest = &link[end + 1..];
        if rest.starts_with('(')
            && let Some(close) = rest.find(')')
        {
            rest = &rest[close + 1..];
        }
    }
    plain.push_str(rest);
    plain
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_schema_becomes_typed_dicts() {
        let schema = json!({
            "description": "All of [it](crate::It).",
            "properties": {
                "a": {"type": "integer"},
                "b": {"type": ["number", "null"]},
                "kind": {"$ref": "#/$defs/Kind", "description": "What it is."},
                "reasons": {"type": "array", "items": {"$ref": "#/$defs/Reason"}},
                "rest": {"type": "object", "additionalProperties": {"type": "string"}}
            },
            "required": ["a", "kind", "reasons", "rest"],
            "$defs": {
                "Kind": {"oneOf": [{"const": "video"}, {"const": "image"}]},
                "Reason": {
                    "properties": {"text": {"type": "string"}},
                    "required": ["text"],
                    "anyOf": [
                        {"properties": {"code": {"const": "score_high"}, "score": {"type": "number"}},
                         "required": ["code", "score"]},
                        {"$ref": "#/$defs/Further"}
                    ]
                },
                "Further": {"oneOf": [{"properties": {"code": {"const": "cut"}}, "required": ["code"]}]}
            }
        });
        let expected = "
Kind = Literal[\"video\", \"image\"]


class ScoreHighReason(TypedDict):
    text: str
    code: Literal[\"score_high\"]
    score: float


class CutReason(TypedDict):
    text: str
    code: Literal[\"cut\"]

Reason = Union[
    ScoreHighReason,
    CutReason,
]


class _ReportDocument(TypedDict):
    a: int
    kind: Kind
    \"\"\"What it is.\"\"\"
    reasons: List[Reason]
    rest: Dict[str, str]


class ReportDocument(_ReportDocument, total=False):
    \"\"\"All of it.\"\"\"

    b: Optional[float]
";
        assert_eq!(module(&schema).unwrap(), format!("{HEAD}{expected}"));
    }

    #[test]
    fn what_has_no_type_is_an_error_with_its_place() {
        let schema = json!({"properties": {"a": {"type": ["string", "integer"]}}});
        let error = format!("{:#}", module(&schema).unwrap_err());
        assert!(error.contains("ReportDocument.a"), "{error}");
    }
}
