//! The public interface of the crates that people build on, kept as a listing that every change of it shows in.
//!
//! rustdoc describes a crate as JSON, which on the stable toolchain needs `RUSTC_BOOTSTRAP`. Set for the whole build,
//! that variable would rebuild all dependencies, so cargo is given this program as its rustdoc, which sets it for
//! rustdoc alone.

mod listing;
mod render;

use std::env;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::process::{cargo, output_of, run_step};
use listing::listing;

/// The crates with a listing.
const CRATES: [&str; 4] = ["deeptell", "deeptell-video", "deeptell-mtcnn", "deeptell-face"];
/// Where the listings are.
const FOLDER: &str = "docs/api";
/// In the environment of this program where cargo started it as rustdoc: the real one.
const AS_RUSTDOC: &str = "XTASK_AS_RUSTDOC";
/// Lines of a difference that are shown.
const SHOWN: usize = 40;

/// Runs rustdoc where cargo started this program in its place.
pub(crate) fn as_rustdoc() -> Option<ExitCode> {
    let rustdoc = env::var_os(AS_RUSTDOC)?;
    let status = Command::new(rustdoc).args(env::args_os().skip(1)).env("RUSTC_BOOTSTRAP", "1").status();
    Some(match status {
        Ok(status) if status.success() => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("xtask: cannot start rustdoc: {error}");
            ExitCode::FAILURE
        }
    })
}

/// Compares each crate with its listing.
///
/// # Errors
/// When one differs, with what does, or rustdoc fails.
pub(crate) fn check(step: &str) -> Result<()> {
    let mut differing = Vec::new();
    for (name, now) in listings(step)? {
        let path = file(name);
        let kept = fs::read_to_string(&path).unwrap_or_default();
        let difference = difference(&kept, &now);
        if !difference.is_empty() {
            eprintln!("  {} no longer describes {name}:", path.display());
            for line in difference.iter().take(SHOWN) {
                eprintln!("    {line}");
            }
            if difference.len() > SHOWN {
                eprintln!("    and {} lines more", difference.len() - SHOWN);
            }
            differing.push(name);
        }
    }
    if !differing.is_empty() {
        bail!(
            "step `{step}` failed: the public interface of {} changed; if that is meant, run `cargo xtask api`, commit \
             the listing, and say in CHANGELOG.md what users must do",
            differing.join(", ")
        );
    }
    Ok(())
}

/// Writes the listings again.
///
/// # Errors
/// When rustdoc fails or a file cannot be written.
pub(crate) fn renew() -> Result<()> {
    fs::create_dir_all(FOLDER).with_context(|| format!("cannot make {FOLDER}"))?;
    for (name, now) in listings("interface")? {
        let path = file(name);
        fs::write(&path, now).with_context(|| format!("cannot write {}", path.display()))?;
        println!("{}", path.display());
    }
    Ok(())
}

fn file(name: &str) -> PathBuf {
    Path::new(FOLDER).join(format!("{name}.txt"))
}

/// The crates with what they look like now.
fn listings(step: &str) -> Result<Vec<(&'static str, String)>> {
    let this = env::current_exe().context("cannot tell which program this is")?;
    let rustdoc = env::var_os("RUSTDOC").unwrap_or_else(|| OsString::from("rustdoc"));
    // All members at once, so that dependencies keep the features that they are built with anyway.
    let mut doc = cargo();
    doc.args(["doc", "--workspace", "--lib", "--no-deps", "--quiet"])
        .env("RUSTDOC", this)
        .env(AS_RUSTDOC, rustdoc)
        .env("RUSTDOCFLAGS", "-Z unstable-options --output-format json");
    run_step(step, &mut doc)?;
    let metadata = output_of(cargo().args(["metadata", "--format-version=1", "--no-deps"]))?;
    let metadata: Value = serde_json::from_str(&metadata).context("cargo metadata wrote no JSON")?;
    let target = metadata["target_directory"].as_str().context("cargo metadata names no target folder")?;
    let of_crate = |name: &'static str| {
        let path =
            Path::new(target).join("doc").join(name.replace('-', "_")).with_extension(OsStr::new("json"));
        let text = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        let crate_: Value = serde_json::from_str(&text).context("rustdoc wrote no JSON")?;
        Ok((name, listing(&crate_).with_context(|| format!("cannot list the interface of {name}"))?))
    };
    CRATES.into_iter().map(of_crate).collect()
}

/// Lines that are only in one of two sorted listings, with their sign.
fn difference(kept: &str, now: &str) -> Vec<String> {
    let only = |sign: char, these: &str, those: &str| -> Vec<String> {
        let those: std::collections::HashSet<&str> = those.lines().collect();
        these.lines().filter(|line| !those.contains(line)).map(|line| format!("{sign} {line}")).collect()
    };
    let mut lines = only('-', kept, now);
    lines.extend(only('+', now, kept));
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_difference_names_what_went_and_what_came() {
        assert!(difference("a\nb\n", "a\nb\n").is_empty());
        assert_eq!(difference("a\nb\n", "b\nc\n"), ["- a", "+ c"]);
    }
}
