//! The page of `deeptell serve` in a real browser: Chromium, without a window.
//!
//! Where no Chromium is installed these tests count as ignored, and a line says so. `cargo xtask
//! test` installs it, and names it in `DEEPTELL_BROWSER`: then a browser that does not start is a
//! failure. Pictures of the page are left in `target/tmp/serve`.

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
        .collect();
    libtest_mimic::run(&arguments, trials).exit_code()
}

/// Pipes are handed to the browser by a shell; elsewhere there is none.
#[cfg(not(unix))]
fn main() {}
