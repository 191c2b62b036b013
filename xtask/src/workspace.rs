//! Where the workspace lies and where cargo puts what it builds.

use std::env;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde_json::Value;

use crate::process::{NotReady, cargo, output_of};

/// A program of ours that a task runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Program {
    /// The command line.
    Deeptell,
    /// An example of one of our packages; their names differ.
    Example {
        /// The example.
        name: &'static str,
    },
}

/// The root of the checkout; every command runs there.
pub(crate) struct Workspace {
    pub(crate) root: PathBuf,
}

impl Workspace {
    /// Finds the root from the package that cargo is running, and makes it the current folder.
    ///
    /// # Errors
    /// When xtask was not started by cargo.
    pub(crate) fn find() -> Result<Self> {
        let package = env::var_os("CARGO_MANIFEST_DIR")
            .ok_or_else(|| NotReady("start it as `cargo xtask`, from inside the checkout".to_owned()))?;
        let root = Path::new(&package).parent().context("the package xtask lies in no folder")?.to_owned();
        env::set_current_dir(&root).with_context(|| format!("cannot enter {}", root.display()))?;
        Ok(Self { root })
    }

    /// Builds one of our programs in release mode and returns its path.
    ///
    /// # Errors
    /// When the build fails.
    pub(crate) fn build(&self, program: Program) -> Result<PathBuf> {
        let mut build = cargo();
        build.args(["build", "--release"]);
        let (folder, name) = match program {
            Program::Deeptell => {
                build.args(["--package", "deeptell-cli"]);
                ("release", "deeptell")
            }
            Program::Example { name } => {
                // All members at once: alone, each would want the dependencies built with features of its own.
                build.args(["--workspace", "--example", name]);
                ("release/examples", name)
            }
        };
        crate::process::run_step("build", &mut build)?;
        let built = target_directory()?.join(folder).join(format!("{name}{}", env::consts::EXE_SUFFIX));
        // Shown and passed on as a short path where it lies inside the checkout.
        Ok(built.strip_prefix(&self.root).map_or(built.clone(), |inside| Path::new(".").join(inside)))
    }
}

/// The folder where cargo puts what it builds.
///
/// # Errors
/// When cargo does not say.
pub(crate) fn target_directory() -> Result<PathBuf> {
    let metadata = output_of(cargo().args(["metadata", "--format-version=1", "--no-deps"]))?;
    let metadata: Value = serde_json::from_str(&metadata).context("cargo metadata wrote no JSON")?;
    let target = metadata["target_directory"].as_str().context("cargo metadata names no target folder")?;
    Ok(target.into())
}
