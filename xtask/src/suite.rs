//! `cargo xtask test`: every test of the workspace.

use anyhow::Result;

use crate::process::{cargo, is_installed, run_step};
use crate::setup;
use crate::workspace::Workspace;

/// Runs unit and integration tests, with nextest where it is installed, then the documentation's examples.
///
/// Nothing is printed after the last runner's own closing lines.
///
/// # Errors
/// When a test fails.
pub(crate) fn run(_: &Workspace) -> Result<()> {
    setup::ensure()?;
    if is_installed("cargo-nextest") {
        run_step("tests", cargo().args(["nextest", "run", "--workspace"]))?;
    } else {
        run_step("tests", cargo().args(["test", "--workspace", "--tests"]))?;
    }
    run_step("documentation tests", cargo().args(["test", "--workspace", "--doc"]))?;
    Ok(())
}
