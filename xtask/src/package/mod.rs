//! `cargo xtask package`: everything that a release consists of, each part tried in a folder of its own.
//!
//! Nothing is published: the results lie in `target/dist`.

mod binary;
mod container;
mod crates;
pub(crate) mod libraries;
pub(crate) mod licences;
pub(crate) mod release;
mod sbom;
mod wheel;

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::ffmpeg::sha256;
use crate::workspace::Workspace;
use release::Release;

/// Where the results go.
const DIST: &str = "target/dist";

/// The Python packages that check the results, and where they are installed.
const CHECKERS: (&str, &str) = ("xtask/requirements-package.txt", "target/package-checkers");

/// One way to get deeptell.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Channel {
    pub(crate) name: &'static str,
    /// Makes it, tries it, and returns the files that belong to the release.
    make: fn(&Workspace, &Release, &Path) -> Result<Vec<PathBuf>>,
}

impl PartialEq for Channel {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for Channel {}

/// All of them, in the order in which they are made.
pub(crate) const CHANNELS: [Channel; 5] = [
    Channel { name: "binary", make: binary::make },
    Channel { name: "sbom", make: sbom::make },
    Channel { name: "container", make: container::make },
    Channel { name: "wheel", make: wheel::make },
    Channel { name: "crates", make: crates::make },
];

/// Makes the given channels, or all if none is given, and the checksums of all files in `target/dist`.
///
/// # Errors
/// When something cannot be built, or does not work where it is tried.
pub(crate) fn run(workspace: &Workspace, channels: &[Channel]) -> Result<()> {
    let release = Release::of_checkout()?;
    let dist = workspace.root.join(DIST);
    fs::create_dir_all(&dist).with_context(|| format!("cannot make {}", dist.display()))?;
    let channels = if channels.is_empty() { &CHANNELS } else { channels };
    for channel in channels {
        for file in (channel.make)(workspace, &release, &dist)? {
            println!("{}: {} ({} bytes)", channel.name, file.display(), file.metadata()?.len());
        }
    }
    let sums = dist.join("SHA256SUMS");
    fs::write(&sums, checksums(&dist)?).with_context(|| format!("cannot write {}", sums.display()))?;
    println!("\nAll that was made is in {DIST}, with its SHA256SUMS.");
    Ok(())
}

/// The text that `sha256sum --check` reads, for all files of a folder and the folders in it.
fn checksums(folder: &Path) -> Result<String> {
    let mut text = String::new();
    for file in files_of(folder)? {
        let name = file.strip_prefix(folder).unwrap_or(&file);
        if name != Path::new("SHA256SUMS") {
            // Writing to a string cannot fail.
            let _ = writeln!(text, "{}  {}", sha256(&file)?, name.display());
        }
    }
    Ok(text)
}

/// All files of a folder and the folders in it, in order.
pub(crate) fn files_of(folder: &Path) -> Result<Vec<PathBuf>> {
    let listing = || format!("cannot list {}", folder.display());
    let mut entries = Vec::new();
    for entry in fs::read_dir(folder).with_context(listing)? {
        entries.push(entry.with_context(listing)?.path());
    }
    entries.sort();
    let mut files = Vec::new();
    for path in entries {
        if path.is_dir() {
            files.extend(files_of(&path)?);
        } else {
            files.push(path);
        }
    }
    Ok(files)
}

/// A folder that was not there before, or is empty now.
pub(crate) fn empty_folder(folder: &Path) -> Result<()> {
    if folder.exists() {
        fs::remove_dir_all(folder).with_context(|| format!("cannot remove {}", folder.display()))?;
    }
    fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksums_are_those_of_all_files() {
        let folder = std::env::temp_dir().join(format!("deeptell-checksums-{}", std::process::id()));
        empty_folder(&folder.join("crates")).unwrap();
        fs::write(folder.join("crates/b.crate"), "abc").unwrap();
        fs::write(folder.join("a.tar.gz"), "").unwrap();
        fs::write(folder.join("SHA256SUMS"), "of before").unwrap();
        // Both digests are in FIPS 180-2 and its examples.
        let expected = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855  a.tar.gz\n\
                        ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad  crates/b.crate\n";
        assert_eq!(checksums(&folder).unwrap(), expected);
        fs::remove_dir_all(&folder).unwrap();
    }
}
