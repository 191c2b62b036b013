//! What the wheel costs: its size, the time of `import`, and scans from Python beside those of the command line.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};
use serde_json::Value;

use super::TARGET;
use crate::process::output_of;
use crate::workspace::Workspace;

/// What takes the times. The scans of a pair are those of the same clips, and the two take turns.
const SCRIPT: &str = include_str!("measure.py");

/// Clips that are scanned, of `datasets/sample`.
const CLIPS: [&str; 8] = [
    "real/nasa-collins.mp4",
    "fake/nasa-collins.mp4",
    "real/orl-s01.mp4",
    "fake/orl-s01.mp4",
    "real/orl-s02.mp4",
    "fake/orl-s02.mp4",
    "real/orl-s04.mp4",
    "fake/orl-s04.mp4",
];

/// Measures a wheel that is installed for `python` against the program of the same build, and prints what it finds.
///
/// # Errors
/// When something cannot be run.
pub(super) fn run(workspace: &Workspace, python: &Path, program: &Path, wheel: &Path) -> Result<()> {
    let sample = workspace.root.join("datasets/sample");
    let out = workspace.root.join(TARGET).join("measured.jsonl");
    let mut script = Command::new(python);
    script.args(["-c", SCRIPT]).arg(program).arg(&out).args(CLIPS.map(|clip| sample.join(clip)));
    eprintln!("\n==> measure: {} clips from Python and from the command line, in turns", CLIPS.len());
    let found = output_of(&mut script)?;
    let found: Value = serde_json::from_str(&found).context("the measurement wrote no JSON")?;
    let number =
        |name: &str| found[name].as_f64().with_context(|| format!("nothing says the {name}: {found}"));
    let bytes = fs::metadata(wheel).with_context(|| format!("cannot read {}", wheel.display()))?.len();
    println!("wheel: {:.1} MB", bytes as f64 / 1e6);
    println!(
        "import deeptell: {:.0} ms, {:.0} ms of processor time",
        1e3 * number("import_seconds")?,
        1e3 * number("import_cpu_seconds")?
    );
    println!(
        "{} clips: {:.2} s of processor time from Python, {:.2} s from the command line; ratio {:.3} (by the clock {:.3})",
        CLIPS.len(),
        number("python_cpu_seconds")?,
        number("program_cpu_seconds")?,
        number("cpu_ratio")?,
        number("ratio")?
    );
    println!("ratios of the pairs: {}", found["cpu_ratios"]);
    Ok(())
}
