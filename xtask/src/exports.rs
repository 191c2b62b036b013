//! `cargo xtask exports`: the exported network in the runtimes that people use.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::peers::environment;
use crate::process::output_of;
use crate::setup;
use crate::workspace::{Program, Workspace};

/// Runtimes that must have answered.
const RUNTIMES: [&str; 4] = ["ONNX Runtime", "OpenCV", "tract", "rten"];

/// Exports the detector that ships as ONNX, runs it in every runtime and compares the probabilities with our own.
///
/// # Errors
/// When Python or a runtime is missing, or one gives other results.
pub(crate) fn run(workspace: &Workspace) -> Result<()> {
    setup::ensure()?;
    let ours = workspace.build(Program::Deeptell)?;
    let folder = Path::new("benches/exports");
    let python = environment(&folder.join("requirements.txt"), Path::new("target/exports"))?;
    let mut command = Command::new(&python);
    command.arg(folder.join("exports.py")).arg("--rust").arg("--ours").arg(ours);
    let lines = output_of(&mut command).context("step `exports` failed: a runtime gives other results")?;
    print!("{lines}");
    complete(&lines)
}

/// Refuses answers that lack a runtime.
fn complete(lines: &str) -> Result<()> {
    let answers = lines.lines().map(serde_json::from_str).collect::<Result<Vec<Value>, _>>();
    let answers = answers.context("the script wrote no JSON")?;
    let answered = |runtime: &str| {
        answers.iter().any(|answer| answer["runtime"].as_str().is_some_and(|name| name.starts_with(runtime)))
    };
    if let Some(missing) = RUNTIMES.into_iter().find(|runtime| !answered(runtime)) {
        bail!("{missing} did not answer");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_runtime_must_have_answered() {
        let line = |name: &str| format!("{{\"runtime\": \"{name} 1.2\"}}\n");
        let all: String = RUNTIMES.into_iter().map(line).collect();
        complete(&all).unwrap();
        let error = complete(&all.replace("OpenCV", "OtherCV")).unwrap_err();
        assert!(error.to_string().contains("OpenCV"), "{error}");
        assert!(complete("no JSON").is_err());
    }
}
