//! `cargo xtask test`: every test of the workspace.

use anyhow::Result;

use crate::process::{cargo, is_installed, run_step};
use crate::setup;
use crate::workspace::Workspace;

/// Runs unit and integration tests, with nextest where it is installed, then the documentation's examples.
///
/// A browser is there for the web page, and named to the tests: without the name, they would leave out what needs one.
/// Nothing is printed after the last runner's own closing lines.
///
/// # Errors
/// When a test fails.
pub(crate) fn run(_: &Workspace) -> Result<()> {
    setup::ensure_for_tests()?;
    let mut tests = cargo();
    tests.envs(setup::browser().map(|browser| ("DEEPTELL_BROWSER", browser)));
    if is_installed("cargo-nextest") {
        run_step("tests", tests.args(["nextest", "run", "--workspace"]))?;
    } else {
        run_step("tests", tests.args(["test", "--workspace", "--tests"]))?;
    }
    run_step("documentation tests", cargo().args(["test", "--workspace", "--doc"]))?;
    Ok(())
}
