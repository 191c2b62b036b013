//! The archives with the sources: from a folder, from their authors, or from Debian; always checked by their digests.

use std::fmt::Write as _;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use sha2::{Digest, Sha256};

use super::recipe::{SOURCES, Source, hex};
use crate::process::{NotReady, display, installed, output_of, succeeds};
use crate::setup;

/// The archive of a source, in `given` if that folder is named, else in `cache`, where it is fetched to.
///
/// # Errors
/// [`NotReady`] where it cannot be had from anywhere; the error says what to put where.
pub(crate) fn obtain(source: &Source, given: Option<&Path>, cache: &Path) -> Result<PathBuf> {
    if let Some(folder) = given {
        return find(source, folder)?.ok_or_else(|| missing(source, folder, "is not there").into());
    }
    fs::create_dir_all(cache).with_context(|| format!("cannot make {}", cache.display()))?;
    if let Some(archive) = find(source, cache)? {
        return Ok(archive);
    }
    download(source, cache)?;
    if let Some(archive) = find(source, cache)? {
        return Ok(archive);
    }
    if setup::has_apt() {
        fetch_from_debian(source, cache)?;
    }
    find(source, cache)?.ok_or_else(|| missing(source, cache, "cannot be fetched from here").into())
}

/// What to do about an archive that is not there.
fn missing(source: &Source, folder: &Path, why: &str) -> NotReady {
    let mut archives = String::new();
    for Source { url, sha256, .. } in SOURCES {
        // Writing to a string cannot fail.
        let _ = write!(archives, "\n  {url}\n    SHA-256 {sha256}");
    }
    let folder = folder.display();
    NotReady(format!(
        "{} {} {why}. Put these archives, under any name, into {folder}, then run `cargo xtask ffmpeg --sources {folder}`:{archives}",
        source.name, source.version,
    ))
}

/// The file in a folder that is an archive of this source, whatever its name.
fn find(source: &Source, folder: &Path) -> Result<Option<PathBuf>> {
    let entries = fs::read_dir(folder).with_context(|| format!("cannot list {}", folder.display()))?;
    for entry in entries {
        let path = entry.with_context(|| format!("cannot list {}", folder.display()))?.path();
        let is_archive = path.is_file() && path.to_string_lossy().contains(".tar");
        if is_archive && [source.sha256, source.debian_sha256].contains(&sha256(&path)?.as_str()) {
            return Ok(Some(path));
        }
    }
    Ok(None)
}

/// The digest of a file.
///
/// # Errors
/// When it cannot be read.
pub(crate) fn sha256(path: &Path) -> Result<String> {
    let bytes = fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    Ok(hex(&Sha256::digest(&bytes)))
}

/// Fetches the archive that the authors publish, with curl or wget; says so if that does not work.
fn download(source: &Source, cache: &Path) -> Result<()> {
    let name = source.url.rsplit('/').next().unwrap_or(source.name);
    let (partial, archive) = (cache.join(format!("{name}.partial")), cache.join(name));
    let mut command = if installed("curl").is_some() {
        let mut curl = Command::new("curl");
        curl.args(["--fail", "--location", "--silent", "--show-error", "--retry", "2"]);
        curl.args(["--connect-timeout", "10", "--max-time", "900", "--output"]);
        curl
    } else if installed("wget").is_some() {
        let mut wget = Command::new("wget");
        wget.args(["--no-verbose", "--tries=3", "--timeout=10", "--output-document"]);
        wget
    } else {
        eprintln!("neither curl nor wget is installed, to fetch {}", source.url);
        return Ok(());
    };
    command.arg(&partial).arg(source.url);
    eprintln!("\n==> sources: {}", display(&command));
    let is_fetched = command.status().is_ok_and(|status| status.success());
    if !is_fetched {
        eprintln!("{} cannot be reached", source.url);
        return remove(&partial);
    }
    let found = sha256(&partial)?;
    if found != source.sha256 {
        remove(&partial)?;
        anyhow::bail!("{} has the SHA-256 {found}, not {}: do not use it", source.url, source.sha256);
    }
    fs::rename(&partial, &archive).with_context(|| format!("cannot write {}", archive.display()))
}

fn remove(file: &Path) -> Result<()> {
    match fs::remove_file(file) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("cannot remove {}", file.display()))
        }
        _ => Ok(()),
    }
}

/// Fetches the archive of Debian's source package, from the server that apt uses here. The lists of packages are
/// kept in `cache`: what the system knows of packages stays as it is.
fn fetch_from_debian(source: &Source, cache: &Path) -> Result<()> {
    const KEYS: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";
    let targets = output_of(Command::new("apt-get").args([
        "indextargets",
        "--format",
        "$(ORIGIN) $(LABEL) $(SITE)",
        "Created-By: Packages",
    ]))?;
    let Some(site) = targets.lines().find_map(|line| line.strip_prefix("Debian Debian ")) else {
        eprintln!("apt uses no server of Debian here: its sources are left out");
        return Ok(());
    };
    let root = fs::canonicalize(cache).with_context(|| format!("cannot find {}", cache.display()))?;
    let (lists, kept) = (root.join("apt/lists"), root.join("apt/cache"));
    for folder in [lists.join("partial"), kept.join("archives/partial")] {
        fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    }
    let sources = root.join("apt/sources.list");
    // The newest release of Debian has the newest FFmpeg; the digest says whether it is the one.
    let line = format!("deb-src [signed-by={KEYS}] {site} sid main\n");
    fs::write(&sources, line).with_context(|| format!("cannot write {}", sources.display()))?;
    let apt = || {
        let mut apt = Command::new("apt-get");
        for (option, path) in [
            ("Dir::Etc::sourcelist", sources.as_path()),
            ("Dir::Etc::sourceparts", Path::new("/dev/null")),
            ("Dir::State::lists", &lists),
            ("Dir::Cache", &kept),
        ] {
            apt.arg("-o").arg(format!("{option}={}", path.display()));
        }
        apt.args(["-o", "APT::Sandbox::User=root"]).current_dir(&root);
        apt
    };
    if !succeeds(apt().arg("update")) {
        eprintln!("the lists of Debian's source packages cannot be fetched");
        return Ok(());
    }
    let mut fetch = apt();
    fetch.args(["source", "--download-only", "--only-source", source.name]);
    eprintln!("\n==> sources: {} {} from Debian", source.name, source.version);
    // It fails when any file of the package is gone, be it one that is not needed: the digests decide.
    if !succeeds(&mut fetch) {
        eprintln!("apt-get source did not fetch the whole package {}", source.name);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(sha256: &'static str, debian_sha256: &'static str) -> Source {
        Source {
            name: "a",
            version: "1",
            license: "MIT",
            license_files: &["LICENSE"],
            cpe: "a:a",
            url: "u",
            sha256,
            debian_sha256,
        }
    }

    /// SHA-256 of `abc` (FIPS 180-2, appendix B.1).
    const ABC: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

    #[test]
    fn an_archive_is_known_by_its_digest_and_not_by_its_name() {
        let folder = std::env::temp_dir().join(format!("deeptell-sources-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("a-1.tar.xz"), "abcd").unwrap();
        fs::write(folder.join("abc.txt"), "abc").unwrap();
        assert_eq!(find(&source(ABC, ABC), &folder).unwrap(), None);
        fs::write(folder.join("other.tar.gz"), "abc").unwrap();
        for known in [source(ABC, "0"), source("0", ABC)] {
            assert_eq!(obtain(&known, Some(&folder), &folder).unwrap(), folder.join("other.tar.gz"));
        }
        let error = obtain(&source("0", "0"), Some(&folder), &folder).unwrap_err();
        assert!(error.is::<NotReady>() && error.to_string().contains("ffmpeg.org"), "{error}");
        fs::remove_dir_all(&folder).unwrap();
    }
}
