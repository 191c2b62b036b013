//! The crates, in the form in which they are published.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::release::{Release, text};
use super::{empty_folder, files_of};
use crate::packages::is_published;
use crate::process::{cargo, run_step};
use crate::setup;
use crate::workspace::{Workspace, target_directory};

/// Packages every crate that can be published and builds each from its package alone, where the others come from
/// their packages, too. The order is that in which they can be published.
///
/// # Errors
/// When cargo refuses, for example because of changes that are not committed, or a package does not build.
pub(crate) fn make(_: &Workspace, release: &Release, dist: &Path) -> Result<Vec<PathBuf>> {
    setup::ensure()?;
    let mut package = cargo();
    package.args(["package", "--workspace", "--locked"]);
    let members = release.metadata["packages"].as_array().into_iter().flatten();
    let members: Vec<_> = members.filter(|package| package["source"].is_null()).collect();
    for member in members.iter().filter(|member| !is_published(member)) {
        package.args(["--exclude", text(member, "name")?]);
    }
    run_step("crates", &mut package)?;
    let (packaged, folder) = (target_directory()?.join("package"), dist.join("crates"));
    empty_folder(&folder)?;
    for member in members.iter().filter(|member| is_published(member)) {
        let name = format!("{}-{}.crate", text(member, "name")?, text(member, "version")?);
        let from = packaged.join(&name);
        fs::copy(&from, folder.join(&name)).with_context(|| format!("cargo wrote no {}", from.display()))?;
    }
    files_of(&folder)
}
