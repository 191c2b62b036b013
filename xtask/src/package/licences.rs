//! The license texts of the crates in the program: most ask that they go along.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

use super::release::{Release, text};

/// Beginnings of the names of files that hold a license, in lower case.
const NAMES: [&str; 5] = ["licen", "copying", "notice", "copyright", "unlicense"];

/// Names, versions and licenses of all crates, then each text once, with the crates that it comes with.
///
/// # Errors
/// When a file cannot be read, or a crate names no license.
pub(crate) fn of_crates(release: &Release) -> Result<String> {
    let mut list = String::from("The Rust crates in this program, and their licenses:\n\n");
    let mut texts: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for package in release.packages() {
        let name = format!("{} {}", text(package, "name")?, text(package, "version")?);
        let license = package["license"].as_str().or_else(|| package["license_file"].as_str());
        let license = license.with_context(|| format!("{name} names no license"))?;
        // Writing to a string cannot fail.
        let _ = writeln!(list, "{name}: {license}");
        let folder =
            Path::new(text(package, "manifest_path")?).parent().context("a manifest without a folder")?;
        for license in texts_of(folder)? {
            texts.entry(license).or_default().push(name.clone());
        }
    }
    for (license, names) in texts {
        let _ = write!(list, "\n{}\n{}:\n\n{}\n", "-".repeat(80), names.join(", "), license.trim_end());
    }
    Ok(list)
}

/// The texts of the license files in a folder, in order of their names.
fn texts_of(folder: &Path) -> Result<Vec<String>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).with_context(|| format!("cannot list {}", folder.display()))? {
        let path = entry.with_context(|| format!("cannot list {}", folder.display()))?.path();
        let name = path.file_name().map(|name| name.to_string_lossy().to_lowercase()).unwrap_or_default();
        if path.is_file() && NAMES.iter().any(|beginning| name.starts_with(beginning)) {
            files.push(path);
        }
    }
    files.sort();
    let read = |path: &std::path::PathBuf| {
        let bytes = fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
        Ok(String::from_utf8_lossy(&bytes).replace("\r\n", "\n"))
    };
    files.iter().map(read).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_license_files_are_read_and_with_unix_line_ends() {
        let folder = std::env::temp_dir().join(format!("deeptell-licenses-{}", std::process::id()));
        fs::create_dir_all(folder.join("licenses")).unwrap();
        for (name, text) in [
            ("LICENSE-MIT", "a\r\n"),
            ("license.txt", "d"),
            ("COPYING", "b"),
            ("UNLICENSE", "e"),
            ("Cargo.toml", "c"),
        ] {
            fs::write(folder.join(name), text).unwrap();
        }
        let mut texts = texts_of(&folder).unwrap();
        texts.sort();
        assert_eq!(texts, ["a\n", "b", "d", "e"]);
        fs::remove_dir_all(&folder).unwrap();
    }
}
