//! `cargo xtask python`: the wheel, its tests in clean environments, and the types of reports.

mod build;
mod interpreters;
mod measure;
mod types;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::process::run_step;
use crate::setup;
use crate::workspace::Workspace;

pub(crate) use build::Build;
use interpreters::{Interpreter, OLDEST_MINOR, oldest_and_newest};

/// The package.
const FOLDER: &str = "crates/deeptell-py";
/// Where wheels and environments are made.
const TARGET: &str = "target/python";
const SCHEMA: &str = "crates/deeptell/schema/report.json";
const TYPES: &str = "crates/deeptell-py/python/deeptell/types.py";

/// What `cargo xtask python` does.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Request {
    /// Build the wheel and test it.
    Wheel {
        /// As it ships, or quickly.
        release: bool,
        /// The interpreters to test with; by default the oldest and the newest that are found.
        interpreters: Vec<PathBuf>,
    },
    /// Write the types of reports again.
    Types,
}

/// The newest interpreter of Python that is found.
///
/// # Errors
/// When there is none.
pub(crate) fn newest_interpreter() -> Result<PathBuf> {
    let newest = oldest_and_newest(&[])?.pop();
    newest.map(|newest| newest.program).context("no interpreter of Python was found")
}

/// Does it.
///
/// # Errors
/// When a step fails.
pub(crate) fn run(workspace: &Workspace, request: &Request) -> Result<()> {
    match request {
        Request::Wheel { release, interpreters } => wheel(workspace, *release, interpreters),
        Request::Types => {
            fs::write(TYPES, types_now()?).with_context(|| format!("cannot write {TYPES}"))?;
            println!("{TYPES}");
            Ok(())
        }
    }
}

/// Compares the types of reports with the schema.
///
/// # Errors
/// When they differ.
pub(crate) fn check_types(step: &str) -> Result<()> {
    eprintln!("\n==> {step}: the types of reports in Python");
    let kept = fs::read_to_string(TYPES).with_context(|| format!("cannot read {TYPES}"))?;
    if kept != types_now()? {
        bail!(
            "step `{step}` failed: {TYPES} does not follow {SCHEMA}; run `cargo xtask python types` and commit it"
        );
    }
    Ok(())
}

fn types_now() -> Result<String> {
    let schema = fs::read_to_string(SCHEMA).with_context(|| format!("cannot read {SCHEMA}"))?;
    let schema: Value = serde_json::from_str(&schema).with_context(|| format!("{SCHEMA} is not JSON"))?;
    types::module(&schema)
}

fn wheel(workspace: &Workspace, release: bool, given: &[PathBuf]) -> Result<()> {
    setup::ensure()?;
    let interpreters = oldest_and_newest(given)?;
    let build = if release { Build::shipped(workspace)? } else { Build::quick()? };
    let wheel = build.wheel(workspace, &Path::new(TARGET).join("wheels"))?;
    // The same numbers as the command line of the same build.
    let program = build.program(workspace)?;
    for interpreter in &interpreters {
        let python = test(interpreter, interpreter.requirements(), &wheel, &program)?;
        if release && interpreters.last() == Some(interpreter) {
            measure::run(workspace, &python, &program, &wheel)?;
        }
    }
    if interpreters.iter().all(|interpreter| interpreter.requirements() != Interpreter::OLDEST) {
        println!("Not tried with the oldest Python and NumPy: no Python 3.{OLDEST_MINOR} was found.");
    }
    println!("{}", wheel.display());
    if release { Build::check_size(&wheel) } else { Ok(()) }
}

/// Installs the wheel in a new environment of an interpreter, runs its tests there, and returns its `python`.
fn test(interpreter: &Interpreter, requirements: &str, wheel: &Path, program: &Path) -> Result<PathBuf> {
    let folder = Path::new(TARGET).join(format!("test-{}", interpreter.version()));
    let step = format!("Python {}", interpreter.version());
    let mut venv = Command::new(&interpreter.program);
    run_step(&step, venv.args(["-m", "venv", "--clear"]).arg(&folder))?;
    let python = folder.join("bin/python");
    let pip = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check"];
    let pins = Path::new(FOLDER).join(format!("tests/requirements-{requirements}.txt"));
    run_step(&step, Command::new(&python).args(pip).arg(wheel).arg("--requirement").arg(pins))?;
    let python = fs::canonicalize(folder.join("bin"))?.join("python");
    let mut pytest = Command::new(&python);
    pytest.args(["-m", "pytest", "-p", "no:cacheprovider", "-q"]);
    pytest.arg(format!("{FOLDER}/tests")).env("DEEPTELL_PROGRAM", program);
    run_step(&step, &mut pytest)?;
    Ok(python)
}
