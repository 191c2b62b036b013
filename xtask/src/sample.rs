//! `cargo xtask sample`: makes datasets/sample again, from public portraits to labeled clips.

use std::path::Path;
use std::process::Command;

use anyhow::Result;

use crate::process::{cargo, run_step};
use crate::setup;
use crate::workspace::Workspace;

/// Where the portraits are put; they are not committed.
const STILLS: &str = "target/sample/stills";

/// The folder that is committed.
pub(crate) const SAMPLE: &str = "datasets/sample";

/// Fetches the portraits and makes the clips.
///
/// # Errors
/// When Python or a package is missing, or the generator fails.
pub(crate) fn run(_: &Workspace) -> Result<()> {
    setup::ensure()?;
    run_step("portraits", Command::new("python3").arg(Path::new("datasets/fetch_stills.py")).arg(STILLS))?;
    let generator = ["run", "--release", "--package", "deeptell-cli", "--example", "make_sample", "--"];
    run_step("clips", cargo().args(generator).args(["--stills", STILLS, "--out", SAMPLE]))?;
    println!("\nThe sample lies in {SAMPLE}.");
    Ok(())
}
