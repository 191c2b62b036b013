//! `cargo xtask peers`: us against the tools people use today, measured in the same run on the same machine.
//!
//! The peers are Python packages, so a script measures both sides in turn with one clock; xtask builds our program,
//! keeps the virtual environment with the pinned peers, and checks what the script reports.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::figures;
use crate::process::{NotReady, is_installed, output_of, run_step};
use crate::setup;
use crate::workspace::{Program, Workspace};

/// One kind of work that is measured against peers.
///
/// Its script is `benches/peers/NAME.py`, its pins are `benches/peers/requirements-NAME.txt`.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Comparison {
    /// What `cargo xtask peers` calls it.
    pub(crate) name: &'static str,
    /// Our side, which the script gets as `--ours`.
    program: Program,
    /// What the script measures on when nothing else is asked for; it may make its own input.
    inputs: &'static [&'static str],
}

/// Everything that is measured.
pub(crate) const COMPARISONS: &[Comparison] = &[
    Comparison { name: "scan", program: Program::Deeptell, inputs: &[] },
    Comparison { name: "decode", program: Program::Example { name: "sample" }, inputs: &[] },
    Comparison { name: "faces", program: Program::Example { name: "measure" }, inputs: &[] },
    Comparison { name: "network", program: Program::Example { name: "measure_network" }, inputs: &[] },
    Comparison { name: "browser", program: Program::Deeptell, inputs: &[] },
];

/// What to measure, on what, and where the figures go.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Request {
    /// The work.
    pub(crate) comparison: &'static Comparison,
    /// Files and folders to measure on; empty means those of the comparison, and that the table in BENCHMARKS.md
    /// is made again.
    pub(crate) inputs: Vec<PathBuf>,
    /// A JSON Lines file to append the comparison to.
    pub(crate) json: Option<PathBuf>,
}

/// Measures one kind of work and prints one JSON line per comparison.
///
/// # Errors
/// When Python or a peer is missing, either side fails, or the script reports something other than a comparison.
pub(crate) fn run(workspace: &Workspace, request: &Request) -> Result<()> {
    let Comparison { name, program, inputs } = request.comparison;
    setup::ensure()?;
    let ours = workspace.build(*program)?;
    let pins = format!("benches/peers/requirements-{name}.txt");
    let python = environment(Path::new(&pins), &Path::new("target/peers").join(name))?;

    let mut command = Command::new(&python);
    command.arg(format!("benches/peers/{name}.py")).arg("--ours").arg(ours);
    match request.inputs.as_slice() {
        [] => command.args(*inputs),
        inputs => command.args(inputs),
    };
    let lines = output_of(&mut command).with_context(|| format!("step `peers {name}` failed"))?;
    let mut comparisons = Vec::new();
    for line in lines.lines() {
        comparisons.push(comparison(line)?);
        println!("{line}");
        if let Some(file) = &request.json {
            append(file, line)?;
        }
    }
    if comparisons.is_empty() {
        bail!("benches/peers/{name}.py measured nothing");
    }
    if request.inputs.is_empty() {
        let machine = output_of(Command::new(&python).arg("benches/peers/machine.py"))?;
        figures::write(name, machine.trim(), &comparisons)?;
        eprintln!("The table in {} is new.", figures::PAGE);
    }
    Ok(())
}

/// A virtual environment that holds exactly the pinned packages; made once, made again when the pins change.
pub(crate) fn environment(requirements: &Path, folder: &Path) -> Result<PathBuf> {
    let python = folder.join(if cfg!(windows) { "Scripts/python.exe" } else { "bin/python" });
    let (wanted, installed) = (fs::read(requirements), folder.join("installed.txt"));
    let wanted = wanted.with_context(|| format!("cannot read {}", requirements.display()))?;
    if python.exists() && fs::read(&installed).is_ok_and(|pins| pins == wanted) {
        return Ok(python);
    }
    if !is_installed("python3") {
        return Err(NotReady("this needs python3 with its venv module".to_owned()).into());
    }
    eprintln!("The packages in {} are large; this happens once.", requirements.display());
    run_step("virtual environment", Command::new("python3").args(["-m", "venv", "--clear"]).arg(folder))
        .context("on Debian and Ubuntu this needs the package python3-venv")?;
    let pip = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--requirement"];
    run_step("packages", Command::new(&python).args(pip).arg(requirements))?;
    fs::write(&installed, wanted).with_context(|| format!("cannot write {}", installed.display()))?;
    Ok(python)
}

/// Reads a line; refuses one that lacks a field, or whose ratio is not ours over the peer's.
fn comparison(line: &str) -> Result<Value> {
    let comparison: Value = serde_json::from_str(line).with_context(|| format!("no JSON: {line}"))?;
    for field in ["work", "input", "peer_name", "unit"] {
        comparison[field].as_str().with_context(|| format!("no text `{field}` in {line}"))?;
    }
    let number = |field: &str| {
        let number = comparison[field].as_f64().filter(|number| number.is_finite() && *number > 0.0);
        number.with_context(|| format!("no positive number `{field}` in {line}"))
    };
    number("threads")?;
    let expected = number("ours")? / number("peer")?;
    // The script rounds; a wrong way round or another unit is off by far more.
    if (number("ratio")? / expected - 1.0).abs() > 0.01 {
        bail!("`ratio` is not ours over peer in {line}");
    }
    Ok(comparison)
}

fn append(file: &Path, line: &str) -> Result<()> {
    let opened = OpenOptions::new().create(true).append(true).open(file);
    opened
        .and_then(|mut opened| writeln!(opened, "{line}"))
        .with_context(|| format!("cannot append to {}", file.display()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn measured() -> Value {
        json!({"work": "scan", "input": "12 clips", "threads": 1, "ours": 250.0, "peer": 1000.0,
               "peer_name": "facenet-pytorch", "unit": "CPU ms per clip", "ratio": 0.25})
    }

    #[test]
    fn a_whole_comparison_is_accepted() {
        comparison(&measured().to_string()).unwrap();
    }

    #[test]
    fn a_missing_field_is_named() {
        for field in ["work", "input", "threads", "ours", "peer", "peer_name", "unit", "ratio"] {
            let mut wrong = measured();
            wrong.as_object_mut().unwrap().remove(field);
            let error = comparison(&wrong.to_string()).unwrap_err();
            assert!(error.to_string().contains(&format!("`{field}`")), "{error}");
        }
    }

    #[test]
    fn a_ratio_the_wrong_way_round_is_refused() {
        let mut wrong = measured();
        wrong["ratio"] = json!(4.0);
        let error = comparison(&wrong.to_string()).unwrap_err();
        assert!(error.to_string().contains("ratio"), "{error}");
    }

    #[test]
    fn zero_and_missing_times_are_refused() {
        for value in [json!(0.0), json!(-1.0), Value::Null] {
            let mut wrong = measured();
            wrong["ours"] = value;
            assert!(comparison(&wrong.to_string()).is_err());
        }
    }

    #[test]
    fn every_comparison_has_its_script_its_pins_and_its_place_on_the_page() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        let page = fs::read_to_string(root.join(figures::PAGE)).unwrap();
        for Comparison { name, .. } in COMPARISONS {
            assert!(root.join(format!("benches/peers/{name}.py")).is_file(), "{name}");
            assert!(root.join(format!("benches/peers/requirements-{name}.txt")).is_file(), "{name}");
            assert!(page.contains(&figures::begin(name)) && page.contains(&figures::end(name)), "{name}");
        }
    }
}
