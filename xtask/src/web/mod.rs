//! `cargo xtask web`: the page that scans files in the browser, as a folder to publish.
//!
//! The detector is built for `wasm32-unknown-unknown`. What makes JavaScript of the module and compresses the files is
//! in xtask too, behind the feature `web`, so that other tasks need not build it.

#[cfg(feature = "web")]
mod bundle;
mod serve;
mod toolchain;

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use crate::process::{cargo, run_step};
use crate::setup;
use crate::workspace::Workspace;

/// Where the module is built.
const TARGET: &str = "target/web";
/// The folder to publish.
pub(crate) const SITE: &str = "target/web/site";
const TRIPLE: &str = "wasm32-unknown-unknown";

/// The variable by which somebody may have cargo give a crate the features that others want, FFmpeg among them.
const UNIFICATION: &str = "CARGO_RESOLVER_FEATURE_UNIFICATION";

/// What the user asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Request {
    /// The folder alone.
    Build,
    /// The folder, shown on this machine.
    Serve,
    /// The folder, and the tests of it in a browser.
    Test,
    /// The second half of a build, by an xtask with the feature `web`.
    Bundle,
}

/// Builds the page, and shows or tests it.
///
/// # Errors
/// [`NotReady`](crate::process::NotReady) where no compiler can be had; another error when a step fails, or when a
/// first visit loads more than 6 MB.
pub(crate) fn run(workspace: &Workspace, request: Request) -> Result<()> {
    if request == Request::Bundle {
        return bundle();
    }
    let toolchain = toolchain::ready()?;
    let mut build = toolchain.cargo();
    build.args(["build", "--package", "deeptell-web", "--profile", "wasm"]);
    build.args(["--target", TRIPLE, "--target-dir", TARGET]);
    // 128-bit vectors are in every browser since 2021; wider or relaxed ones are not.
    build.env("RUSTFLAGS", "-Ctarget-feature=+simd128").env_remove(UNIFICATION);
    run_step("build", &mut build)?;
    let mut bundle = cargo();
    bundle.args(["run", "--quiet", "--manifest-path", "xtask/Cargo.toml", "--target-dir", "target/xtask"]);
    bundle.args(["--features", "web", "--", "web", "bundle"]);
    run_step("bundle", &mut bundle)?;
    println!("\nThe page is in {SITE}.");
    match request {
        Request::Serve => serve::serve(Path::new(SITE)),
        Request::Test => test(workspace),
        Request::Build | Request::Bundle => Ok(()),
    }
}

/// Type-checks the module where the compiler can build it without more ado, or says that it is skipped.
///
/// # Errors
/// When it does not check.
pub(crate) fn check(step: &str) -> Result<()> {
    if !toolchain::is_target_there() {
        eprintln!(
            "\n==> {step}: skipped, because the target is not installed (`rustup target add {TRIPLE}`)"
        );
        return Ok(());
    }
    let mut check = cargo();
    check.args(["check", "--config", r#"profile.dev.package."*".opt-level=0"#]);
    check.args(["--package", "deeptell-web", "--target", TRIPLE, "--target-dir", TARGET]);
    run_step(step, check.env_remove(UNIFICATION)).map(drop)
}

/// The built module.
#[cfg_attr(not(feature = "web"), expect(dead_code, reason = "the other half of the build reads it"))]
fn module() -> PathBuf {
    Path::new(TARGET).join(TRIPLE).join("wasm/deeptell_web.wasm")
}

#[cfg(feature = "web")]
fn bundle() -> Result<()> {
    bundle::write(&module(), Path::new(SITE))
}

#[cfg(not(feature = "web"))]
fn bundle() -> Result<()> {
    anyhow::bail!("this xtask was built without the feature `web`; run `cargo xtask web`")
}

fn test(workspace: &Workspace) -> Result<()> {
    setup::ensure_for_tests()?;
    let site = workspace.root.join(SITE);
    let mut tests = cargo();
    tests.args(["test", "--workspace", "--test", "browser", "--", "local"]);
    tests
        .env("DEEPTELL_WEB", site)
        .env("DEEPTELL_BROWSER", setup::browser().context("there is no Chromium")?);
    run_step("tests", &mut tests).map(drop)
}
