//! `cargo xtask python`: the wheel, its tests in clean environments, and the types of reports.

mod interpreters;
mod types;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::peers::environment;
use crate::process::{cargo, output_of, run_step};
use crate::setup;
use crate::workspace::Workspace;
use interpreters::{Interpreter, OLDEST_MINOR, oldest_and_newest};

/// The package.
const FOLDER: &str = "crates/deeptell-py";
/// Where wheels and environments are made.
const TARGET: &str = "target/python";
const SCHEMA: &str = "crates/deeptell/schema/report.json";
const TYPES: &str = "crates/deeptell-py/python/deeptell/types.py";

/// What `cargo xtask python` shall do.
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
    let schema: Value = serde_json::from_str(&schema).with_context(|| format!("{SCHEMA} is no JSON"))?;
    types::module(&schema)
}

fn wheel(workspace: &Workspace, release: bool, given: &[PathBuf]) -> Result<()> {
    setup::ensure()?;
    let interpreters = oldest_and_newest(given)?;
    let profile = if release { "release" } else { "dev" };
    let wheel = build(profile)?;
    // The same numbers as the command line of the same build.
    let mut program = cargo();
    run_step("command line", program.args(["build", "--package", "deeptell-cli", "--profile", profile]))?;
    let program = workspace.root.join(target_folder()?).join(if release { "release" } else { "debug" });
    for interpreter in &interpreters {
        test(interpreter, interpreter.requirements(), &wheel, &program.join("deeptell"))?;
    }
    if interpreters.iter().all(|interpreter| interpreter.requirements() != Interpreter::OLDEST) {
        println!("Not tried with the oldest Python and NumPy: no Python 3.{OLDEST_MINOR} was found.");
    }
    println!("{}", wheel.display());
    Ok(())
}

fn target_folder() -> Result<PathBuf> {
    let metadata = output_of(cargo().args(["metadata", "--format-version=1", "--no-deps"]))?;
    let metadata: Value = serde_json::from_str(&metadata).context("cargo metadata wrote no JSON")?;
    let target = metadata["target_directory"].as_str().context("cargo metadata names no target folder")?;
    Ok(PathBuf::from(target))
}

/// Builds the wheel.
fn build(profile: &str) -> Result<PathBuf> {
    let wheels = Path::new(TARGET).join("wheels");
    if wheels.exists() {
        fs::remove_dir_all(&wheels).with_context(|| format!("cannot empty {}", wheels.display()))?;
    }
    let python =
        environment(&Path::new(FOLDER).join("requirements-build.txt"), &Path::new(TARGET).join("build"))?;
    let mut maturin = Command::new(python.with_file_name("maturin"));
    // The wheel links the FFmpeg of this system, so it is for this system.
    maturin
        .args(["build", "--locked", "--compatibility", "linux", "--profile", profile, "--out"])
        .arg(&wheels);
    maturin.arg("--manifest-path").arg(Path::new(FOLDER).join("Cargo.toml"));
    run_step("wheel", &mut maturin)?;
    let mut built = Vec::new();
    for entry in fs::read_dir(&wheels).with_context(|| format!("cannot list {}", wheels.display()))? {
        built.push(entry?.path());
    }
    match built.as_slice() {
        [wheel] => Ok(wheel.clone()),
        _ => bail!("step `wheel` failed: maturin made {} files in {}", built.len(), wheels.display()),
    }
}

/// Installs the wheel in a new environment of an interpreter and runs its tests there.
fn test(interpreter: &Interpreter, requirements: &str, wheel: &Path, program: &Path) -> Result<()> {
    let folder = Path::new(TARGET).join(format!("test-{}", interpreter.version()));
    let step = format!("Python {}", interpreter.version());
    let mut venv = Command::new(&interpreter.program);
    run_step(&step, venv.args(["-m", "venv", "--clear"]).arg(&folder))?;
    let python = folder.join("bin/python");
    let pip = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check"];
    let pins = Path::new(FOLDER).join(format!("tests/requirements-{requirements}.txt"));
    run_step(&step, Command::new(&python).args(pip).arg(wheel).arg("--requirement").arg(pins))?;
    let python = fs::canonicalize(folder.join("bin"))?.join("python");
    let mut pytest = Command::new(python);
    pytest.args(["-m", "pytest", "-p", "no:cacheprovider", "-q"]);
    pytest.arg(format!("{FOLDER}/tests")).env("DEEPTELL_PROGRAM", program);
    run_step(&step, &mut pytest).map(drop)
}
