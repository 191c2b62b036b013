//! Every public item of a crate, one per line.

use std::collections::BTreeSet;

use anyhow::{Result, ensure};
use serde_json::Value;

use super::render::Renderer;

/// The forms of rustdoc's JSON that this reads.
const FORMATS: std::ops::RangeInclusive<u64> = 45..=60;

/// The public interface of the crate that `krate`, rustdoc's JSON, describes: a line for every item, field, variant,
/// method and implementation of a trait, sorted by path. Automatic traits and blanket implementations are left out.
///
/// # Errors
/// When the JSON has a form that is not known.
pub(super) fn listing(krate: &Value) -> Result<String> {
    let format = krate["format_version"].as_u64().unwrap_or_default();
    ensure!(
        FORMATS.contains(&format),
        "rustdoc writes JSON of version {format}, and this reads {FORMATS:?}: adapt xtask/src/api"
    );
    let mut lister = Lister { render: Renderer { krate }, lines: BTreeSet::new(), open: Vec::new() };
    let root = &krate["root"];
    let name = lister.item(root)["name"].as_str().unwrap_or_default().to_owned();
    lister.module(&name, root);
    ensure!(!lister.lines.is_empty(), "there is no public item");
    let mut text: String = lister.lines.into_iter().map(|(_, line)| line + "\n").collect();
    text.insert_str(
        0,
        "# The public interface. Written by `cargo xtask api`; `cargo xtask check` compares it.\n",
    );
    Ok(text)
}

struct Lister<'a> {
    render: Renderer<'a>,
    /// Each with the path that it is sorted by.
    lines: BTreeSet<(String, String)>,
    /// Modules that are being listed: one may import itself.
    open: Vec<String>,
}

impl<'a> Lister<'a> {
    /// An item of this crate, or null.
    fn item(&self, id: &Value) -> &'a Value {
        &self.render.krate["index"][id.to_string()]
    }

    fn add(&mut self, path: &str, line: String) {
        self.lines.insert((path.to_owned(), line));
    }

    fn module(&mut self, path: &str, id: &Value) {
        let key = format!("{path} {id}");
        if self.open.contains(&key) {
            return;
        }
        self.open.push(key);
        for id in self.item(id)["inner"]["module"]["items"].as_array().into_iter().flatten() {
            let item = self.item(id);
            if item["visibility"] == "public" {
                self.named(path, item["name"].as_str().unwrap_or_default(), id);
            }
        }
        self.open.pop();
    }

    /// An item of a module, under `name`, which an import may have changed.
    fn named(&mut self, module: &str, name: &str, id: &Value) {
        let item = self.item(id);
        let inner = &item["inner"];
        let path = format!("{module}::{name}");
        let generics =
            |of: &Value| (self.render.generics(&of["generics"]), self.render.wheres(&of["generics"]));
        let Some((kind, content)) = inner.as_object().and_then(|inner| inner.iter().next()) else { return };
        match kind.as_str() {
            "module" => {
                self.add(&path, format!("pub mod {path}"));
                self.module(&path, id);
            }
            "use" => self.import(module, content),
            "struct" => {
                let (parameters, wheres) = generics(content);
                let (fields, is_open) = fields_of(&content["kind"]);
                let rest = if is_open { " { .. }" } else { "" };
                self.add(&path, format!("pub struct {path}{parameters}{rest}{wheres}{}", growth(item)));
                self.fields(&path, &fields);
                self.implementations(&path, &content["impls"]);
            }
            "union" => {
                self.add(&path, format!("pub union {path}{}", generics(content).0));
                self.implementations(&path, &content["impls"]);
            }
            "enum" => {
                let (parameters, wheres) = generics(content);
                self.add(&path, format!("pub enum {path}{parameters}{wheres}{}", growth(item)));
                for id in content["variants"].as_array().into_iter().flatten() {
                    self.variant(&path, self.item(id));
                }
                self.implementations(&path, &content["impls"]);
            }
            "trait" => {
                let (parameters, wheres) = generics(content);
                let bounds = self.render.bounds(&content["bounds"]);
                let bounds = if bounds.is_empty() { bounds } else { format!(": {bounds}") };
                let unsafe_ = if content["is_unsafe"] == true { "unsafe " } else { "" };
                self.add(&path, format!("pub {unsafe_}trait {path}{parameters}{bounds}{wheres}"));
                for id in content["items"].as_array().into_iter().flatten() {
                    self.associated(&path, self.item(id), "");
                }
            }
            "function" => self.add(&path, format!("pub {}", self.render.function(&path, content))),
            "constant" => {
                self.add(&path, format!("pub const {path}: {}", self.render.type_(&content["type"])));
            }
            "static" => {
                self.add(&path, format!("pub static {path}: {}", self.render.type_(&content["type"])));
            }
            "type_alias" => {
                let (parameters, of) = (generics(content).0, self.render.type_(&content["type"]));
                self.add(&path, format!("pub type {path}{parameters} = {of}"));
            }
            "macro" | "proc_macro" => self.add(&path, format!("pub macro {path}!")),
            other => self.add(&path, format!("pub {other} {path}")),
        }
    }

    fn import(&mut self, module: &str, import: &Value) {
        let (source, id) = (import["source"].as_str().unwrap_or_default(), &import["id"]);
        let is_own = !self.item(id).is_null();
        let name = import["name"].as_str().unwrap_or_default();
        match (is_own, import["is_glob"] == true) {
            (true, true) => self.module(module, id),
            (true, false) => self.named(module, name, id),
            (false, true) => self.add(&format!("{module}::*"), format!("pub use {source}::* as {module}::*")),
            (false, false) => {
                let path = format!("{module}::{name}");
                self.add(&path, format!("pub use {source} as {path}"));
            }
        }
    }

    fn fields(&mut self, path: &str, fields: &[Value]) {
        for (number, id) in fields.iter().enumerate() {
            let item = self.item(id);
            if item["visibility"] != "public" {
                continue;
            }
            let name = item["name"].as_str().map_or_else(|| number.to_string(), str::to_owned);
            let field = format!("{path}.{name}");
            let line = format!("pub {field}: {}", self.render.type_(&item["inner"]["struct_field"]));
            self.add(&field, line);
        }
    }

    fn variant(&mut self, path: &str, item: &Value) {
        let path = format!("{path}::{}", item["name"].as_str().unwrap_or_default());
        let kind = &item["inner"]["variant"]["kind"];
        let field = |id: &Value| {
            let field = self.item(id);
            let of = self.render.type_(&field["inner"]["struct_field"]);
            if kind["tuple"].is_array() {
                of
            } else {
                format!("{}: {of}", field["name"].as_str().unwrap_or_default())
            }
        };
        let fields: Vec<String> = fields_of(kind).0.iter().map(field).collect();
        let content = match (kind["tuple"].is_array(), fields.is_empty()) {
            (_, true) => String::new(),
            (true, false) => format!("({})", fields.join(", ")),
            (false, false) => format!(" {{ {} }}", fields.join(", ")),
        };
        self.add(&path, format!("pub {path}{content}{}", growth(item)));
    }

    /// A method, constant or type of a trait or of an implementation.
    fn associated(&mut self, owner: &str, item: &Value, visibility: &str) {
        let path = format!("{owner}::{}", item["name"].as_str().unwrap_or_default());
        let inner = &item["inner"];
        let line = if inner["function"].is_object() {
            let provided = visibility.is_empty() && inner["function"]["has_body"] == true;
            let note = if provided { " (provided)" } else { "" };
            format!("{visibility}{}{note}", self.render.function(&path, &inner["function"]))
        } else if inner["assoc_const"].is_object() {
            format!("{visibility}const {path}: {}", self.render.type_(&inner["assoc_const"]["type"]))
        } else {
            let bounds = self.render.bounds(&inner["assoc_type"]["bounds"]);
            let bounds = if bounds.is_empty() { bounds } else { format!(": {bounds}") };
            format!("{visibility}type {path}{bounds}")
        };
        self.add(&path, line);
    }

    fn implementations(&mut self, path: &str, ids: &Value) {
        for id in ids.as_array().into_iter().flatten() {
            let content = &self.item(id)["inner"]["impl"];
            if content["is_synthetic"] == true || !content["blanket_impl"].is_null() {
                continue;
            }
            if content["trait"].is_null() {
                for id in content["items"].as_array().into_iter().flatten() {
                    let item = self.item(id);
                    if item["visibility"] == "public" {
                        self.associated(path, item, "pub ");
                    }
                }
            } else {
                let (parameters, wheres) =
                    (self.render.generics(&content["generics"]), self.render.wheres(&content["generics"]));
                let of = self.render.bounds(&serde_json::json!([{
                    "trait_bound": { "trait": content["trait"], "generic_params": [], "modifier": "none" }
                }]));
                let for_ = self.render.type_(&content["for"]);
                self.add(&format!("{path} impl"), format!("impl{parameters} {of} for {for_}{wheres}"));
            }
        }
    }
}

fn growth(item: &Value) -> &'static str {
    let is_set = item["attrs"].as_array().into_iter().flatten().any(|attribute| {
        attribute == "non_exhaustive"
            || attribute["other"].as_str().is_some_and(|a| a.contains("non_exhaustive"))
    });
    if is_set { " #[non_exhaustive]" } else { "" }
}

/// The ids of the fields of a struct or variant in the order of the source, null for private ones of tuples, and
/// whether there are private ones.
fn fields_of(kind: &Value) -> (Vec<Value>, bool) {
    if let Some(fields) = kind["tuple"].as_array() {
        return (fields.clone(), fields.iter().any(Value::is_null));
    }
    let named = if kind["plain"].is_object() { &kind["plain"] } else { &kind["struct"] };
    (named["fields"].as_array().cloned().unwrap_or_default(), named["has_stripped_fields"] == true)
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    const SOURCE: &str = "
        pub use inner::Grows as Renamed;
        pub use std::collections::BTreeMap;
        mod inner {
            #[non_exhaustive]
            pub struct Grows<'a, T: Clone = u8> where T: Send { pub one: &'a [T; 3], two: u8 }
            impl<'a, T: Clone + Send> Grows<'a, T> {
                pub const LIMIT: usize = 3;
                pub fn run<U>(&mut self, name: impl Into<String>, each: &mut dyn FnMut(u8) -> bool) -> std::io::Result<U>
                where U: Iterator<Item = Option<u8>> { todo!() }
                pub(crate) fn hidden(&self) {}
            }
            impl<T: Clone + Send> From<u8> for Grows<'static, T> { fn from(_: u8) -> Self { todo!() } }
        }
        pub enum Kind { Plain, Tuple(u8, String), #[non_exhaustive] Named { width: f32 } }
        pub trait Finds: Send { type Found; fn find(&self) -> Self::Found; fn twice(&self) {} }
        pub const fn never<F: for<'x> Fn(&'x u8) -> &'x u8>(_: F, _: *const u8) -> ! { loop {} }
        #[macro_export] macro_rules! shout { () => {} }
    ";

    #[test]
    fn every_public_item_is_a_line_and_no_other() {
        let folder = std::env::temp_dir().join(format!("xtask-api-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join("toy.rs"), SOURCE).unwrap();
        let mut rustdoc = Command::new("rustdoc");
        rustdoc.args([
            "--edition=2024",
            "-Zunstable-options",
            "--output-format=json",
            "toy.rs",
            "--out-dir=.",
        ]);
        assert!(rustdoc.current_dir(&folder).env("RUSTC_BOOTSTRAP", "1").status().unwrap().success());
        let json = std::fs::read_to_string(folder.join("toy.json")).unwrap();
        std::fs::remove_dir_all(&folder).unwrap();
        let listing = listing(&serde_json::from_str(&json).unwrap()).unwrap();
        let lines: Vec<&str> = listing.lines().skip(1).collect();
        assert_eq!(
            lines,
            [
                "pub use std::collections::BTreeMap as toy::BTreeMap",
                "pub trait toy::Finds: Send",
                "type toy::Finds::Found",
                "fn toy::Finds::find(&self) -> Self::Found",
                "fn toy::Finds::twice(&self) (provided)",
                "pub enum toy::Kind",
                "pub toy::Kind::Named { width: f32 } #[non_exhaustive]",
                "pub toy::Kind::Plain",
                "pub toy::Kind::Tuple(u8, String)",
                "pub struct toy::Renamed<'a, T = u8> { .. } where T: Send + Clone #[non_exhaustive]",
                "impl<T: Clone + Send> From<u8> for Grows<'static, T>",
                "pub toy::Renamed.one: &'a [T; 3]",
                "pub const toy::Renamed::LIMIT: usize",
                "pub fn toy::Renamed::run<U>(&mut self, name: impl Into<String>, each: &mut dyn FnMut(u8) -> bool) -> \
                 std::io::error::Result<U> where U: Iterator<Item = Option<u8>>",
                "pub const fn toy::never<F: for<'x> Fn(&'x u8) -> &'x u8>(_: F, _: *const u8) -> !",
                "pub macro toy::shout!",
            ]
        );
    }

    #[test]
    fn an_unknown_form_is_refused() {
        let error = listing(&serde_json::json!({"format_version": 1})).unwrap_err();
        assert!(error.to_string().contains("adapt xtask/src/api"), "{error}");
    }
}
