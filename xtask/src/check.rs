//! `cargo xtask check`: everything that can be said about a change without running it.

use std::path::Path;
use std::process::Command;

use anyhow::{Result, bail};

use crate::process::{cargo, is_installed, output_of, run_step};
use crate::setup;
use crate::workspace::Workspace;
use crate::{api, deploy, invariants, packages, python, sources, web};

/// A check, given the name it goes by.
type Check = fn(&str) -> Result<()>;

/// Runs every check, so that one run shows every fault.
///
/// # Errors
/// When a check fails; the error names each that did.
pub(crate) fn run(_: &Workspace) -> Result<()> {
    setup::ensure()?;
    let checks: [(&str, Check); 11] = [
        ("format", |step| run_step(step, cargo().args(["fmt", "--all", "--check"])).map(drop)),
        ("architecture", architecture),
        ("licenses", |step| {
            where_installed(
                step,
                "cargo-deny",
                "cargo install --locked cargo-deny",
                cargo().args(["deny", "check", "licenses", "bans", "sources"]),
            )
        }),
        ("spelling", |step| {
            let install = "cargo install --locked typos-cli";
            where_installed(step, "typos", install, &mut Command::new("typos"))
        }),
        ("lints", |step| {
            let clippy = ["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"];
            run_step(step, cargo().args(clippy)).map(drop)
        }),
        ("documentation", |step| {
            let doc = ["doc", "--workspace", "--no-deps"];
            run_step(step, cargo().args(doc).env("RUSTDOCFLAGS", "-D warnings")).map(drop)
        }),
        ("interface", api::check),
        ("types", python::check_types),
        ("packages", packages::run),
        ("browser", web::check),
        ("deploy", deploy::check),
    ];
    let mut failed = Vec::new();
    for (step, check) in checks {
        if let Err(error) = check(step) {
            eprintln!("{error:#}");
            failed.push(step);
        }
    }
    if !failed.is_empty() {
        bail!("failed: {}", failed.join(", "));
    }
    println!("\nAll checks passed.");
    Ok(())
}

/// The invariants of ARCHITECTURE.md that can be read from manifests and sources.
fn architecture(step: &str) -> Result<()> {
    eprintln!("\n==> {step}: what each crate depends on");
    let tree = output_of(cargo().args(invariants::Workspace::TREE))?;
    let manifests = output_of(cargo().args(invariants::Workspace::MANIFESTS))?;
    let mut breaches = invariants::Workspace::new(&tree, &manifests)?.breaches();
    let training = output_of(cargo().args(invariants::Workspace::TRAINING))?;
    breaches.extend(invariants::training_breaches(&training)?);
    for rule in sources::RULES {
        breaches.extend(rule(Path::new("crates"))?);
    }
    for breach in &breaches {
        eprintln!("  invariant {breach}");
    }
    if !breaches.is_empty() {
        bail!("step `{step}` failed: ARCHITECTURE.md explains these rules");
    }
    Ok(())
}

/// Runs a check whose tool is not part of the toolchain, or says that it is skipped and what would `install` it.
///
/// # Errors
/// When the check fails.
pub(crate) fn where_installed(step: &str, program: &str, install: &str, command: &mut Command) -> Result<()> {
    if is_installed(program) {
        return run_step(step, command).map(drop);
    }
    eprintln!("\n==> {step}: skipped, because {program} is not installed (`{install}`)");
    Ok(())
}
