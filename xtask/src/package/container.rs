//! The container image: its definition is checked, and built and tried where an engine runs.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Result, bail};

use super::CHECKERS;
use super::release::Release;
use crate::peers::environment;
use crate::process::{output_of, run_step, succeeds};
use crate::workspace::Workspace;

/// The largest image, in bytes, unpacked.
const MOST_BYTES: u64 = 40_000_000;

/// Lints the `Dockerfile`; where docker or podman can build, builds it and tries the program in it.
///
/// # Errors
/// When the linter objects, the build fails, or the image is too large or does not work.
pub(crate) fn make(_: &Workspace, release: &Release, _: &Path) -> Result<Vec<PathBuf>> {
    let python = environment(Path::new(CHECKERS.0), Path::new(CHECKERS.1))?;
    let mut linter =
        Command::new(python.with_file_name(if cfg!(windows) { "hadolint.exe" } else { "hadolint" }));
    run_step("container: lint", linter.arg("Dockerfile"))?;
    let Some(engine) = ["docker", "podman"].into_iter().find(|name| succeeds(Command::new(name).arg("info")))
    else {
        println!("container: not built, because no engine runs here (docker, podman)");
        return Ok(Vec::new());
    };
    let tag = format!("deeptell:{}", release.version);
    run_step("container: build", Command::new(engine).args(["build", "--tag", &tag, "."]))?;
    let offline = ["run", "--rm", "--network", "none"];
    run_step("container: try", Command::new(engine).args(offline).args([&tag, "doctor"]))?;
    let size = output_of(Command::new(engine).args(["image", "inspect", "--format", "{{.Size}}", &tag]))?;
    let bytes: u64 = size.trim().parse()?;
    println!("container: {tag} has {bytes} bytes");
    if bytes > MOST_BYTES {
        bail!("the image has {bytes} bytes, more than {MOST_BYTES}");
    }
    Ok(Vec::new())
}
