//! The Python package: the wheel, and the source distribution that builds where no wheel fits.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use super::release::Release;
use super::{empty_folder, libraries};
use crate::process::{output_of, run_step};
use crate::python::{Build, newest_interpreter};
use crate::setup;
use crate::workspace::Workspace;

/// A clip that the package must be able to scan.
const CLIP: &str = "datasets/sample/real/orl-s01.mp4";

/// What is done with the package after it is installed.
const USE: &str = "
import deeptell
report = deeptell.scan('clip.mp4')
assert report.verdict and len(report.frames) == 12, report
assert '<html' in report._repr_html_().lower() or '<iframe' in report._repr_html_().lower()
print(deeptell.__version__, deeptell._deeptell.__file__, sep='\\n')
";

/// Makes the wheel and the source distribution, installs each in an empty environment, and scans a clip there.
///
/// # Errors
/// When one does not build, or does not work where it is installed, and at last when the wheel is too large.
pub(crate) fn make(workspace: &Workspace, release: &Release, dist: &Path) -> Result<Vec<PathBuf>> {
    setup::ensure()?;
    let build = Build::shipped(workspace)?;
    let wheel = build.wheel(workspace, &dist.join("wheel"))?;
    let sources = Build::source_distribution(&dist.join("sdist"))?;
    for archive in [&wheel, &sources] {
        try_archive(workspace, release, &build, archive)?;
    }
    Build::check_size(&wheel)?;
    Ok(vec![wheel, sources])
}

/// Installs an archive in an environment of its own, in a folder where there is nothing else, and uses it.
fn try_archive(workspace: &Workspace, release: &Release, build: &Build, archive: &Path) -> Result<()> {
    let name = archive.file_name().unwrap_or_default().display().to_string();
    let place = env::temp_dir().join(format!("deeptell-wheel-{}", std::process::id()));
    empty_folder(&place)?;
    let venv = place.join("venv");
    run_step(&name, Command::new(newest_interpreter()?).args(["-m", "venv"]).arg(&venv))?;
    let bin = venv.join("bin");
    let mut pip = Command::new(bin.join("python"));
    pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check"]).arg(archive);
    // Only a source distribution asks for it.
    build.set_for_pip(&mut pip);
    run_step(&name, pip.current_dir(&place))?;
    let clip = place.join("clip.mp4");
    fs::copy(workspace.root.join(CLIP), &clip).with_context(|| format!("cannot copy {CLIP}"))?;
    let start = |program: &str| {
        let mut command = Command::new(bin.join(program));
        command.env_clear().env("HOME", &place).current_dir(&place);
        command
    };
    let said = output_of(start("python").args(["-c", USE]))?;
    let (version, extension) = said.trim().split_once('\n').with_context(|| format!("Python said {said}"))?;
    let program = output_of(start("deeptell").arg("--version"))?;
    if version != release.version || program.trim() != format!("deeptell {version}") {
        bail!("{name} is of the version {version}, its program {}", program.trim());
    }
    libraries::check(Path::new(extension))?;
    fs::remove_dir_all(&place).with_context(|| format!("cannot remove {}", place.display()))
}
