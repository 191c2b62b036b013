//! The page of `deeptell serve` in a real browser: Chromium, without a window.
//!
//! Where no Chromium is installed these tests count as ignored, and a line says so. `cargo xtask
//! test` installs it, and names it in `DEEPTELL_BROWSER`: then a browser that does not start is a
//! failure. Pictures of the page are left in `target/tmp/serve`.
//!
//! The page that scans in the browser itself is tested where `DEEPTELL_WEB` names its folder: `cargo xtask web --test`
//! builds it and does so.

#![cfg_attr(
    unix,
    expect(clippy::unwrap_used, reason = "a test fails by panicking, in its helper functions too"),
    expect(clippy::print_stderr, reason = "a harness speaks to its user")
)]

#[cfg(unix)]
mod chromium;
#[cfg(unix)]
mod journeys;
#[cfg(unix)]
mod local;
#[cfg(unix)]
#[path = "../serve/program.rs"]
mod program;
#[cfg(unix)]
mod readable;

#[cfg(unix)]
fn main() -> std::process::ExitCode {
    use libtest_mimic::{Arguments, Trial};

    let arguments = Arguments::from_args();
    let browser = chromium::find();
    if browser.is_none() && !arguments.list {
        eprintln!(
            "No Chromium is installed, so the page is not tested in a browser: install the package chromium, or run \
             `cargo xtask test`, which does."
        );
    }
    // The page that scans in the browser is built by `cargo xtask web`, which names it when it tests it.
    let site = std::env::var_os("DEEPTELL_WEB").map(std::path::PathBuf::from);
    let local = local::ALL.iter().map(|&(name, journey)| {
        let (program, site) = (browser.clone(), site.clone());
        let is_ignored = program.is_none() || site.is_none();
        let trial = Trial::test(name, move || {
            journey(&program.ok_or("no Chromium is installed")?, &site.ok_or("DEEPTELL_WEB names no page")?);
            Ok(())
        });
        trial.with_ignored_flag(is_ignored)
    });
    let trials = journeys::ALL
        .iter()
        .map(|&(name, journey)| {
            let program = browser.clone();
            let trial = Trial::test(name, move || {
                journey(&program.ok_or("no Chromium is installed")?);
                Ok(())
            });
            trial.with_ignored_flag(browser.is_none())
        })
        .chain(local)
        .collect();
    libtest_mimic::run(&arguments, trials).exit_code()
}

/// Pipes are handed to the browser by a shell; elsewhere there is none.
#[cfg(not(unix))]
fn main() {}
