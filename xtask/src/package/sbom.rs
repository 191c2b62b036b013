//! The list of everything in the program, as `CycloneDX` 1.5 (ECMA-424), for scanners of vulnerabilities and licenses.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

use super::CHECKERS;
use super::release::{Release, linked_directly, text};
use crate::ffmpeg::{SOURCES, Source};
use crate::peers::environment;
use crate::process::output_of;
use crate::workspace::Workspace;

/// Reads a document by the schema of its version, and says what is wrong with it.
const VALIDATE: &str = "
import sys
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
error = JsonStrictValidator(SchemaVersion.V1_5).validate_str(open(sys.argv[1], encoding='utf-8').read())
print(error or 'valid')
";

/// Writes the document, and has it checked by the reference library.
///
/// # Errors
/// When cargo's answers are incomplete, or the document is not valid.
pub(crate) fn make(workspace: &Workspace, release: &Release, dist: &Path) -> Result<Vec<PathBuf>> {
    let lock = fs::read_to_string(workspace.root.join("Cargo.lock")).context("cannot read Cargo.lock")?;
    let document = document(release, &checksums(&lock))?;
    let file = dist.join(format!("{}.cdx.json", release.folder_name()));
    fs::write(&file, serde_json::to_string_pretty(&document)? + "\n")
        .with_context(|| format!("cannot write {}", file.display()))?;
    let python = environment(Path::new(CHECKERS.0), Path::new(CHECKERS.1))?;
    let said = output_of(Command::new(python).args(["-c", VALIDATE]).arg(&file))?;
    if said.trim() != "valid" {
        bail!("{} is not CycloneDX: {said}", file.display());
    }
    Ok(vec![file])
}

fn document(release: &Release, checksums: &BTreeMap<(String, String), String>) -> Result<Value> {
    let nodes = release.metadata["resolve"]["nodes"].as_array().context("cargo metadata has no graph")?;
    let (mut components, mut dependencies) = (Vec::new(), Vec::new());
    let mut program = Value::Null;
    let c_libraries: Vec<Value> = SOURCES.iter().map(|source| library(source)).collect();
    for package in release.packages() {
        let (id, name, version) = (text(package, "id")?, text(package, "name")?, text(package, "version")?);
        let reference =
            |id: &str| release.packages().into_iter().find(|package| package["id"] == id).map(purl);
        let mut depends_on: Vec<Value> =
            linked_directly(nodes, id).into_iter().filter_map(reference).map(Value::from).collect();
        if name == "ffmpeg-sys-next" {
            depends_on.extend(c_libraries.iter().map(|library| library["bom-ref"].clone()));
        }
        dependencies.push(json!({"ref": purl(package), "dependsOn": depends_on}));
        let mut component = json!({
            "type": "library",
            "bom-ref": purl(package),
            "name": name,
            "version": version,
            "purl": purl(package),
            "licenses": [license(package)],
        });
        if let Some(checksum) = checksums.get(&(name.to_owned(), version.to_owned())) {
            component["hashes"] = json!([{"alg": "SHA-256", "content": checksum}]);
        }
        if name == "deeptell-cli" {
            component["type"] = "application".into();
            program = component;
        } else {
            components.push(component);
        }
    }
    components.extend(c_libraries);
    Ok(json!({
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "version": 1,
        "metadata": {"component": program},
        "components": components,
        "dependencies": dependencies,
    }))
}

/// The package URL of a crate.
fn purl(package: &Value) -> String {
    let part = |key: &str| package[key].as_str().unwrap_or_default();
    format!("pkg:cargo/{}@{}", part("name"), part("version").replace('+', "%2B"))
}

/// The license of a crate; old ones write `A/B` for `A OR B`.
fn license(package: &Value) -> Value {
    match package["license"].as_str() {
        Some(expression) => json!({"expression": expression.replace('/', " OR ")}),
        None => json!({"license": {"name": package["license_file"]}}),
    }
}

/// A library in C.
fn library(source: &Source) -> Value {
    let Source { name, version, license, url, sha256, cpe, .. } = source;
    json!({
        "type": "library",
        "bom-ref": format!("pkg:generic/{name}@{version}"),
        "name": name,
        "version": version,
        "purl": format!("pkg:generic/{name}@{version}"),
        "cpe": format!("cpe:2.3:a:{cpe}:{version}:*:*:*:*:*:*:*"),
        "licenses": [{"license": {"id": license}}],
        "externalReferences": [{
            "type": "distribution", "url": url, "hashes": [{"alg": "SHA-256", "content": sha256}],
        }],
    })
}

/// The digests in the text of `Cargo.lock`, by name and version.
fn checksums(lock: &str) -> BTreeMap<(String, String), String> {
    let value = |block: &str, key: &str| {
        let line = block.lines().find_map(|line| line.strip_prefix(&format!("{key} = \"")))?;
        line.strip_suffix('"').map(str::to_owned)
    };
    let packages = lock.split("[[package]]\n").skip(1);
    packages
        .filter_map(|block| {
            Some(((value(block, "name")?, value(block, "version")?), value(block, "checksum")?))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_program_its_crates_and_the_libraries_in_c_are_listed() {
        let package = |name: &str, license: &str| json!({"id": name, "name": name, "version": "1.0.0+a", "license": license});
        let needs = |name: &str| json!({"pkg": name, "dep_kinds": [{"kind": null}]});
        let release = Release {
            version: "1.0.0".to_owned(),
            target: "x".to_owned(),
            seconds: 0,
            linked: ["deeptell-cli", "ffmpeg-sys-next"]
                .map(|name| (name.to_owned(), "1.0.0+a".to_owned()))
                .into_iter()
                .collect(),
            metadata: json!({
                "packages": [
                    package("deeptell-cli", "MIT OR Apache-2.0"), package("ffmpeg-sys-next", "MIT/Apache-2.0"),
                    package("unrelated", "GPL-3.0"),
                ],
                "resolve": {"nodes": [{"id": "deeptell-cli", "deps": [needs("ffmpeg-sys-next")]}]},
            }),
        };
        let lock = "version = 4\n\n[[package]]\nname = \"ffmpeg-sys-next\"\nversion = \"1.0.0+a\"\nsource = \"x\"\n\
                    checksum = \"0a\"\n\n[[package]]\nname = \"deeptell-cli\"\nversion = \"1.0.0+a\"\n";
        let document = document(&release, &checksums(lock)).unwrap();
        assert_eq!(document["metadata"]["component"]["purl"], "pkg:cargo/deeptell-cli@1.0.0%2Ba");
        let names: Vec<_> =
            document["components"].as_array().unwrap().iter().map(|one| &one["name"]).collect();
        assert_eq!(names, ["ffmpeg-sys-next", "zlib", "dav1d", "ffmpeg"]);
        assert_eq!(document["components"][0]["hashes"][0]["content"], "0a");
        assert_eq!(document["components"][0]["licenses"][0]["expression"], "MIT OR Apache-2.0");
        let graph = &document["dependencies"];
        assert_eq!(graph[0]["dependsOn"], json!(["pkg:cargo/ffmpeg-sys-next@1.0.0%2Ba"]));
        assert_eq!(graph[1]["dependsOn"].as_array().unwrap().len(), 3);
    }
}
