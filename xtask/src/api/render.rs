//! Types, generics and signatures of rustdoc's JSON, as Rust writes them.

use serde_json::Value;

/// Renders what one crate's JSON describes.
pub(super) struct Renderer<'a> {
    pub(super) krate: &'a Value,
}

fn strings<'a>(values: &'a Value, render: impl Fn(&'a Value) -> String) -> Vec<String> {
    values.as_array().into_iter().flatten().map(render).collect()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn is_set(value: &Value) -> bool {
    value.as_bool().unwrap_or_default()
}

/// The variant and the content of an enum as serde writes it.
fn variant(value: &Value) -> (&str, &Value) {
    const NOTHING: &Value = &Value::Null;
    match value {
        Value::String(name) => (name, NOTHING),
        Value::Object(map) => {
            map.iter().next().map_or(("", NOTHING), |(name, content)| (name.as_str(), content))
        }
        _ => ("", NOTHING),
    }
}

impl Renderer<'_> {
    /// A path as readers know it: names of this crate and of the standard library alone, others with their crate.
    /// Modules are left out, most of which are private; so is what an import calls it.
    pub(super) fn name(&self, path: &Value) -> String {
        let written = text(&path["path"]);
        let last = written.rsplit("::").next().unwrap_or(written);
        let summary = &self.krate["paths"][path["id"].to_string()];
        let Some(full) = summary["path"].as_array() else { return last.to_owned() };
        let full: Vec<&str> = full.iter().map(text).collect();
        let (first, last) = (full.first().copied().unwrap_or(last), full.last().copied().unwrap_or(last));
        let is_own = summary["crate_id"] == 0;
        let is_std = ["core", "alloc", "std"].contains(&first);
        // There are several of these.
        let is_ambiguous = last == "Error" || (last == "Result" && full.get(1) != Some(&"result"));
        match (is_own, is_std, is_ambiguous) {
            (true, ..) | (_, true, false) => last.to_owned(),
            (_, true, true) => full.join("::"),
            _ => format!("{first}::{last}"),
        }
    }

    fn path(&self, path: &Value) -> String {
        format!("{}{}", self.name(path), self.arguments(&path["args"]))
    }

    fn arguments(&self, arguments: &Value) -> String {
        let (kind, content) = variant(arguments);
        match kind {
            "angle_bracketed" => {
                let mut all = strings(&content["args"], |argument| match variant(argument) {
                    ("lifetime", name) => text(name).to_owned(),
                    ("type", of) => self.type_(of),
                    ("const", value) => text(&value["expr"]).to_owned(),
                    _ => "_".to_owned(),
                });
                all.extend(strings(&content["constraints"], |constraint| {
                    let name =
                        format!("{}{}", text(&constraint["name"]), self.arguments(&constraint["args"]));
                    match variant(&constraint["binding"]) {
                        ("constraint", bounds) => format!("{name}: {}", self.bounds(bounds)),
                        ("equality", term) => format!("{name} = {}", self.term(term)),
                        _ => name,
                    }
                }));
                if all.is_empty() { String::new() } else { format!("<{}>", all.join(", ")) }
            }
            "parenthesized" => {
                let inputs = strings(&content["inputs"], |input| self.type_(input)).join(", ");
                format!("({inputs}){}", self.output(&content["output"]))
            }
            _ => String::new(),
        }
    }

    fn term(&self, term: &Value) -> String {
        match variant(term) {
            ("type", of) => self.type_(of),
            (_, value) => text(&value["expr"]).to_owned(),
        }
    }

    fn output(&self, output: &Value) -> String {
        if output.is_null() { String::new() } else { format!(" -> {}", self.type_(output)) }
    }

    /// A type. What this does not know is written as JSON: it still shows when it changes.
    pub(super) fn type_(&self, of: &Value) -> String {
        let (kind, content) = variant(of);
        let inner = |key: &str| self.type_(&content[key]);
        let mutability = |word: &'static str| if is_set(&content["is_mutable"]) { "mut " } else { word };
        match kind {
            "resolved_path" => self.path(content),
            "primitive" if content == "never" => "!".to_owned(),
            "generic" | "primitive" => text(content).to_owned(),
            "tuple" => match strings(content, |part| self.type_(part)).as_slice() {
                [one] => format!("({one},)"),
                parts => format!("({})", parts.join(", ")),
            },
            "slice" => format!("[{}]", self.type_(content)),
            "array" => format!("[{}; {}]", inner("type"), text(&content["len"])),
            "borrowed_ref" => {
                let lifetime =
                    content["lifetime"].as_str().map_or_else(String::new, |name| format!("{name} "));
                format!("&{lifetime}{}{}", mutability(""), inner("type"))
            }
            "raw_pointer" => format!("*{}{}", mutability("const "), inner("type")),
            "impl_trait" => format!("impl {}", self.bounds(content)),
            "dyn_trait" => {
                let mut traits = strings(&content["traits"], |part| {
                    format!("{}{}", self.for_(&part["generic_params"]), self.path(&part["trait"]))
                });
                traits.extend(content["lifetime"].as_str().map(str::to_owned));
                format!("dyn {}", traits.join(" + "))
            }
            "function_pointer" => {
                let inputs = strings(&content["sig"]["inputs"], |input| self.type_(&input[1])).join(", ");
                let output = self.output(&content["sig"]["output"]);
                let unsafe_ = if is_set(&content["header"]["is_unsafe"]) { "unsafe " } else { "" };
                format!("{}{unsafe_}fn({inputs}){output}", self.for_(&content["generic_params"]))
            }
            "qualified_path" => {
                let (of, name) = (inner("self_type"), text(&content["name"]));
                let arguments = self.arguments(&content["args"]);
                if content["trait"].is_null() || of == "Self" {
                    format!("{of}::{name}{arguments}")
                } else {
                    format!("<{of} as {}>::{name}{arguments}", self.path(&content["trait"]))
                }
            }
            "infer" => "_".to_owned(),
            _ => of.to_string(),
        }
    }

    fn for_(&self, parameters: &Value) -> String {
        let names = strings(parameters, |parameter| self.parameter(parameter).unwrap_or_default());
        if names.is_empty() { String::new() } else { format!("for<{}> ", names.join(", ")) }
    }

    pub(super) fn bounds(&self, bounds: &Value) -> String {
        let bound = |bound: &Value| match variant(bound) {
            ("trait_bound", content) => {
                let modifier = match text(&content["modifier"]) {
                    "maybe" => "?",
                    "maybe_const" => "[const] ",
                    _ => "",
                };
                format!("{}{modifier}{}", self.for_(&content["generic_params"]), self.path(&content["trait"]))
            }
            ("outlives", name) => text(name).to_owned(),
            ("use", captured) => {
                let names = strings(captured, |name| text(variant(name).1).to_owned());
                format!("use<{}>", names.join(", "))
            }
            _ => bound.to_string(),
        };
        strings(bounds, bound).join(" + ")
    }

    /// One generic parameter; `None` for one that stands for `impl Trait`.
    fn parameter(&self, parameter: &Value) -> Option<String> {
        let name = text(&parameter["name"]);
        let (kind, content) = variant(&parameter["kind"]);
        let with = |sign: &str, what: String| {
            if what.is_empty() { String::new() } else { format!("{sign}{what}") }
        };
        Some(match kind {
            "lifetime" => {
                let outlived = strings(&content["outlives"], |name| text(name).to_owned()).join(" + ");
                format!("{name}{}", with(": ", outlived))
            }
            "type" if is_set(&content["is_synthetic"]) => return None,
            "type" => {
                let default = if content["default"].is_null() {
                    String::new()
                } else {
                    self.type_(&content["default"])
                };
                format!("{name}{}{}", with(": ", self.bounds(&content["bounds"])), with(" = ", default))
            }
            _ => format!("const {name}: {}", self.type_(&content["type"])),
        })
    }

    /// `<'a, T: Clone>`
    pub(super) fn generics(&self, generics: &Value) -> String {
        let parameters = generics["params"].as_array().into_iter().flatten();
        let names: Vec<String> = parameters.filter_map(|one| self.parameter(one)).collect();
        if names.is_empty() { String::new() } else { format!("<{}>", names.join(", ")) }
    }

    /// ` where T: Send`
    pub(super) fn wheres(&self, generics: &Value) -> String {
        let predicates = strings(&generics["where_predicates"], |predicate| match variant(predicate) {
            ("bound_predicate", content) => format!(
                "{}{}: {}",
                self.for_(&content["generic_params"]),
                self.type_(&content["type"]),
                self.bounds(&content["bounds"])
            ),
            ("lifetime_predicate", content) => {
                let outlived = strings(&content["outlives"], |name| text(name).to_owned()).join(" + ");
                format!("{}: {outlived}", text(&content["lifetime"]))
            }
            _ => predicate.to_string(),
        });
        if predicates.is_empty() { String::new() } else { format!(" where {}", predicates.join(", ")) }
    }

    /// A function without `pub`, its path given.
    pub(super) fn function(&self, path: &str, function: &Value) -> String {
        let (header, generics) = (&function["header"], &function["generics"]);
        let word = |key: &str, word: &'static str| if is_set(&header[key]) { word } else { "" };
        let inputs = strings(&function["sig"]["inputs"], |input| {
            let (name, of) = (text(&input[0]), self.type_(&input[1]));
            match (name, of.as_str()) {
                ("self", "Self") => "self".to_owned(),
                ("self", "&Self") => "&self".to_owned(),
                ("self", "&mut Self") => "&mut self".to_owned(),
                _ => format!("{name}: {of}"),
            }
        });
        format!(
            "{}{}{}fn {path}{}({}){}{}",
            word("is_const", "const "),
            word("is_async", "async "),
            word("is_unsafe", "unsafe "),
            self.generics(generics),
            inputs.join(", "),
            self.output(&function["sig"]["output"]),
            self.wheres(generics),
        )
    }
}
