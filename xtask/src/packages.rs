//! Whether every crate can be published: its metadata is complete, and cargo can package its files.

use std::path::Path;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::process::{cargo, output_of};

/// The command whose output [`faults`] reads.
const METADATA: [&str; 3] = ["metadata", "--format-version=1", "--no-deps"];

/// The largest package that crates.io accepts, in bytes.
const MAX_BYTES: u64 = 10 << 20;

/// Checks the metadata of every crate that can be published, and packages it without building it.
///
/// # Errors
/// When a crate lacks something, or cargo cannot package it.
pub(crate) fn run(step: &str) -> Result<()> {
    eprintln!("\n==> {step}: metadata and files of the crates that can be published");
    let metadata: Value = serde_json::from_str(&output_of(cargo().args(METADATA))?)?;
    let mut faults = faults(&metadata, Path::is_file);
    let target = metadata["target_directory"].as_str().context("cargo metadata has no target directory")?;
    let folder = Path::new(target).join("packages");
    let mut package = cargo();
    package.args(["package", "--workspace", "--no-verify", "--allow-dirty", "--quiet", "--target-dir"]);
    package.arg(&folder);
    for name in packages(&metadata).filter(|package| !is_published(package)).filter_map(name) {
        package.args(["--exclude", name]);
    }
    output_of(&mut package)?;
    for package in packages(&metadata).filter(|package| is_published(package)) {
        let (name, version) =
            (name(package).unwrap_or_default(), package["version"].as_str().unwrap_or_default());
        let file = folder.join("package").join(format!("{name}-{version}.crate"));
        let size = file.metadata().with_context(|| format!("cargo wrote no {}", file.display()))?.len();
        if size > MAX_BYTES {
            faults.push(format!("{name}: the package has {size} bytes; crates.io accepts {MAX_BYTES}"));
        }
    }
    for fault in &faults {
        eprintln!("  {fault}");
    }
    if !faults.is_empty() {
        bail!("step `{step}` failed: complete the manifests above");
    }
    Ok(())
}

fn packages(metadata: &Value) -> impl Iterator<Item = &Value> {
    metadata["packages"].as_array().into_iter().flatten()
}

fn name(package: &Value) -> Option<&str> {
    package["name"].as_str()
}

/// Whether the manifest lets it be published; `publish = false` is an empty list of registries.
pub(crate) fn is_published(package: &Value) -> bool {
    package["publish"].as_array().is_none_or(|registries| !registries.is_empty())
}

/// What the crates that can be published lack, one sentence each.
fn faults(metadata: &Value, exists: impl Fn(&Path) -> bool) -> Vec<String> {
    let mut faults = Vec::new();
    for package in packages(metadata).filter(|package| is_published(package)) {
        let name = name(package).unwrap_or_default();
        for field in ["description", "license", "repository", "readme"] {
            if package[field].as_str().is_none_or(str::is_empty) {
                faults.push(format!("{name}: `{field}` is missing"));
            }
        }
        if let (Some(readme), Some(manifest)) =
            (package["readme"].as_str(), package["manifest_path"].as_str())
            && !exists(&Path::new(manifest).with_file_name(readme))
        {
            faults.push(format!("{name}: there is no {readme}"));
        }
        // The limits of crates.io.
        let lengths = |field: &str| -> Vec<usize> {
            let words = package[field].as_array().into_iter().flatten().filter_map(Value::as_str);
            words.map(str::len).collect()
        };
        let (keywords, categories) = (lengths("keywords"), lengths("categories"));
        if !(1..=5).contains(&keywords.len()) || keywords.iter().any(|length| *length > 20) {
            faults.push(format!("{name}: `keywords` must be 1 to 5 words of at most 20 characters"));
        }
        if !(1..=5).contains(&categories.len()) {
            faults.push(format!("{name}: `categories` must be 1 to 5 of https://crates.io/category_slugs"));
        }
    }
    faults
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn complete() -> Value {
        json!({
            "name": "a", "manifest_path": "/a/Cargo.toml", "publish": null, "description": "d",
            "license": "MIT", "repository": "https://example.com", "readme": "README.md",
            "keywords": ["face"], "categories": ["science"]
        })
    }

    fn faults_of(package: &Value, has_readme: bool) -> Vec<String> {
        faults(&json!({ "packages": [package] }), |path| has_readme && path == Path::new("/a/README.md"))
    }

    #[test]
    fn a_complete_package_has_no_fault() {
        assert_eq!(faults_of(&complete(), true), [""; 0]);
    }

    #[test]
    fn each_missing_field_is_a_fault() {
        for field in ["description", "license", "repository", "readme", "keywords", "categories"] {
            let mut package = complete();
            package[field] = Value::Null;
            let found = faults_of(&package, true);
            assert_eq!(found.len(), 1, "{found:?}");
            assert!(found[0].contains(field), "{found:?}");
        }
        assert!(faults_of(&complete(), false)[0].contains("no README.md"));
        let mut package = complete();
        package["keywords"] = json!(["a-keyword-of-too-many-characters"]);
        assert!(faults_of(&package, true)[0].contains("keywords"));
    }

    #[test]
    fn crates_that_are_not_published_need_nothing() {
        assert_eq!(faults_of(&json!({"name": "x", "publish": []}), false), [""; 0]);
    }
}
