//! What is released: the version, the machine that it is for, and the crates in the program.

use std::collections::BTreeSet;
use std::process::Command;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::process::{cargo, output_of};
use crate::sanitizer::host;

/// The package with the program.
const PROGRAM: &str = "deeptell-cli";

/// A release of this checkout for this machine.
pub(crate) struct Release {
    pub(crate) version: String,
    /// Target triple, for example `x86_64-unknown-linux-gnu`.
    pub(crate) target: String,
    /// Seconds since 1970 of the commit: dates inside archives.
    pub(crate) seconds: u64,
    /// What `cargo metadata` says of the whole workspace, with the features of the release.
    pub(crate) metadata: Value,
    /// Names and versions of the packages that are linked into the program, itself among them.
    pub(crate) linked: BTreeSet<(String, String)>,
}

impl Release {
    /// Reads what cargo and git know.
    ///
    /// # Errors
    /// When one of them does not answer.
    pub(crate) fn of_checkout() -> Result<Self> {
        Self::of_package(PROGRAM)
    }

    /// The same for another package that is linked into something that ships.
    ///
    /// # Errors
    /// As [`of_checkout`](Self::of_checkout).
    pub(crate) fn of_package(name: &str) -> Result<Self> {
        let target = host()?;
        let words = ["metadata", "--format-version=1", "--locked", "--filter-platform", &target];
        let metadata = output_of(cargo().args(words))?;
        let metadata: Value = serde_json::from_str(&metadata).context("cargo metadata wrote no JSON")?;
        let version = text(package_named(&metadata, name)?, "version")?.to_owned();
        // The metadata has the features of all members together; this, those of the program alone.
        let mut tree = cargo();
        tree.args(["tree", "--locked", "--package", name, "--features", "static", "--target", &target]);
        tree.args(["--edges", "normal,no-proc-macro", "--prefix", "none", "--format", "{p}"]);
        let linked = read_tree(&output_of(&mut tree)?)?;
        let seconds = output_of(Command::new("git").args(["log", "-1", "--format=%ct"]))?;
        let seconds = seconds.trim().parse().context("git gives no time of the last commit")?;
        Ok(Self { version, target, seconds, metadata, linked })
    }

    /// The name of the archive with the program, and of the folder in it, as `[package.metadata.binstall]` of the
    /// program's manifest spells it.
    pub(crate) fn folder_name(&self) -> String {
        format!("deeptell-{}-{}", self.version, self.target)
    }

    /// The packages that are linked into the program, in order of their names.
    pub(crate) fn packages(&self) -> Vec<&Value> {
        let all = self.metadata["packages"].as_array().into_iter().flatten();
        let is_linked = |package: &&Value| {
            let word = |key: &str| package[key].as_str().unwrap_or_default().to_owned();
            self.linked.contains(&(word("name"), word("version")))
        };
        let mut linked: Vec<&Value> = all.filter(is_linked).collect();
        linked.sort_by_key(|package| (package["name"].as_str(), package["version"].as_str()));
        linked
    }
}

fn package_named<'value>(metadata: &'value Value, name: &str) -> Result<&'value Value> {
    let mut packages = metadata["packages"].as_array().into_iter().flatten();
    packages.find(|package| package["name"] == name).with_context(|| format!("there is no package {name}"))
}

pub(crate) fn text<'value>(value: &'value Value, key: &str) -> Result<&'value str> {
    value[key].as_str().with_context(|| format!("cargo metadata has no text `{key}`"))
}

/// The names and versions in what `cargo tree` prints with the format `{p}`, such as `a v1.0.0 (/checkout/a) (*)`.
fn read_tree(tree: &str) -> Result<BTreeSet<(String, String)>> {
    let mut packages = BTreeSet::new();
    for line in tree.lines().filter(|line| !line.is_empty()) {
        let mut words = line.split(' ');
        let (name, version) = (words.next(), words.next().and_then(|version| version.strip_prefix('v')));
        let (Some(name), Some(version)) = (name, version) else {
            bail!("cargo tree wrote a line of another kind: {line}");
        };
        packages.insert((name.to_owned(), version.to_owned()));
    }
    Ok(packages)
}

/// The direct dependencies of a package in the graph of `cargo metadata` that end up in what it is linked into.
pub(crate) fn linked_directly<'value>(nodes: &'value [Value], id: &str) -> Vec<&'value str> {
    let dependencies =
        nodes.iter().filter(|node| node["id"] == id).filter_map(|node| node["deps"].as_array()).flatten();
    let linked = dependencies.filter(|dependency| {
        let mut kinds = dependency["dep_kinds"].as_array().into_iter().flatten();
        kinds.any(|kind| kind["kind"].is_null())
    });
    linked.filter_map(|dependency| dependency["pkg"].as_str()).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_tree_gives_each_package_once() {
        let tree = "a v0.1.0 (/checkout/a)\nb v1.0.0+x\n\nb v2.0.0\nb v1.0.0+x (*)\n";
        let expected = [("a", "0.1.0"), ("b", "1.0.0+x"), ("b", "2.0.0")];
        let expected = expected.map(|(name, version)| (name.to_owned(), version.to_owned()));
        assert_eq!(read_tree(tree).unwrap(), BTreeSet::from(expected));
        assert!(read_tree("a v1\n[build-dependencies]\n").is_err());
    }

    #[test]
    fn what_only_builds_or_tests_a_package_is_not_linked() {
        let needs = |name: &str, kind: Value| json!({"pkg": name, "dep_kinds": [{"kind": kind}]});
        let nodes = [json!({"id": "program", "deps": [
            needs("library", Value::Null), needs("compiler", json!("build")), needs("tests", json!("dev")),
        ]})];
        assert_eq!(linked_directly(&nodes, "program"), ["library"]);
        assert_eq!(linked_directly(&nodes, "library"), [""; 0]);
    }

    #[test]
    fn the_archive_has_the_name_under_which_cargo_binstall_looks_for_it() {
        let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        let manifest = std::fs::read_to_string(root.join("crates/deeptell-cli/Cargo.toml")).unwrap();
        let (_, table) = manifest.split_once("[package.metadata.binstall]\n").unwrap();
        let value = |key: &str| {
            let line = table.lines().find_map(|line| line.strip_prefix(&format!("{key} = \"")));
            let filled = [
                ("{ version }", "0.1.0"),
                ("{ target }", "x86_64-unknown-linux-gnu"),
                ("{ bin }", "deeptell"),
            ];
            let line = line.unwrap().trim_end_matches('"').to_owned();
            filled.iter().fold(line, |text, (name, value)| text.replace(name, value))
        };
        let release = Release {
            version: "0.1.0".to_owned(),
            target: "x86_64-unknown-linux-gnu".to_owned(),
            seconds: 0,
            metadata: Value::Null,
            linked: BTreeSet::new(),
        };
        assert_eq!(value("pkg-fmt"), "tgz");
        let url = format!("{{ repo }}/releases/download/v0.1.0/{}.tar.gz", release.folder_name());
        assert_eq!(value("pkg-url"), url);
        assert_eq!(value("bin-dir"), format!("{}/deeptell{{ binary-ext }}", release.folder_name()));
    }
}
