//! Wheels, source distributions, and the command line of the same build.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use super::{FOLDER, TARGET};
use crate::ffmpeg;
use crate::package::release::Release;
use crate::package::{empty_folder, files_of, libraries, licences};
use crate::peers::environment;
use crate::process::{cargo, run_step};
use crate::workspace::{Workspace, target_directory};

/// The largest wheel that ships, in bytes.
const MOST_BYTES: u64 = 14_000_000;

/// How the extension and the program are built.
pub(crate) struct Build {
    profile: &'static str,
    /// Where cargo builds.
    target: PathBuf,
    /// The FFmpeg that is linked into it; otherwise the system's.
    ffmpeg: Option<ffmpeg::Static>,
}

impl Build {
    /// As `cargo build` builds.
    ///
    /// # Errors
    /// When cargo does not say where.
    pub(crate) fn quick() -> Result<Self> {
        Ok(Self { profile: "dev", target: target_directory()?, ffmpeg: None })
    }

    /// As releases are built.
    ///
    /// # Errors
    /// When the static FFmpeg cannot be built.
    pub(crate) fn shipped(workspace: &Workspace) -> Result<Self> {
        let ffmpeg = ffmpeg::build(workspace, None)?;
        Ok(Self { profile: "release", target: workspace.root.join(ffmpeg::TARGET), ffmpeg: Some(ffmpeg) })
    }

    /// Builds the program.
    ///
    /// # Errors
    /// When that fails.
    pub(crate) fn program(&self, workspace: &Workspace) -> Result<PathBuf> {
        if let Some(ffmpeg) = &self.ffmpeg {
            return ffmpeg.program(workspace, "command line");
        }
        let mut build = cargo();
        run_step(
            "command line",
            build.args(["build", "--package", "deeptell-cli", "--profile", self.profile]),
        )?;
        Ok(self.target.join("debug").join(format!("deeptell{}", env::consts::EXE_SUFFIX)))
    }

    /// Builds the wheel into an empty folder. One that ships holds the licenses of everything in it, and needs only
    /// libraries that every system has.
    ///
    /// # Errors
    /// When that fails.
    pub(crate) fn wheel(&self, workspace: &Workspace, folder: &Path) -> Result<PathBuf> {
        empty_folder(folder)?;
        let python = build_tools()?;
        let mut maturin = Command::new(python.with_file_name("maturin"));
        maturin.args(["build", "--locked", "--profile", self.profile, "--manifest-path"]);
        maturin.arg(Path::new(FOLDER).join("Cargo.toml")).arg("--out").arg(folder);
        maturin.arg("--target-dir").arg(&self.target);
        let Some(ffmpeg) = &self.ffmpeg else {
            // It links the FFmpeg of this system, so it is for this system.
            run_step("wheel", maturin.args(["--compatibility", "linux"]))?;
            return only_file_of(folder);
        };
        maturin.args(["--features", "static", "--strip", "--auditwheel", "check"]);
        // What links sets how all is optimized at the end: here that is not the command line.
        maturin.args(["--config", "profile.release.package.deeptell-cli.opt-level='z'"]);
        maturin.arg("--").args(ffmpeg::LINKING);
        run_step("wheel", maturin.env("PKG_CONFIG_PATH", ffmpeg.pkg_config_path()))?;
        let wheel = only_file_of(folder)?;

        let unpacked = workspace.root.join(TARGET).join("unpacked");
        empty_folder(&unpacked)?;
        let tool = ["-m", "wheel"];
        run_step(
            "wheel",
            Command::new(&python).args(tool).args(["unpack", "--dest"]).arg(&unpacked).arg(&wheel),
        )?;
        let root = only_entry_of(&unpacked)?;
        let is_licenses = |folder: &Path| folder.ends_with("licenses");
        let mut folders = files_of(&root)?.into_iter().filter_map(|file| Some(file.parent()?.to_owned()));
        let license_folder =
            folders.find(|folder| is_licenses(folder)).context("the wheel has no licenses")?;
        ffmpeg.copy_documents(&license_folder.join("ffmpeg"))?;
        let crates = licences::of_crates(&Release::of_package("deeptell-py")?)?;
        let file = license_folder.join("LICENSES-CRATES.txt");
        fs::write(&file, crates).with_context(|| format!("cannot write {}", file.display()))?;
        for extension in
            files_of(&root)?.iter().filter(|file| file.extension().is_some_and(|end| end == "so"))
        {
            libraries::check(extension)?;
        }
        fs::remove_file(&wheel).with_context(|| format!("cannot remove {}", wheel.display()))?;
        run_step(
            "wheel",
            Command::new(&python).args(tool).args(["pack", "--dest-dir"]).arg(folder).arg(&root),
        )?;
        let wheel = only_file_of(folder)?;
        // The same content, compressed as far as Deflate goes.
        run_step("wheel", Command::new("advzip").args(["--recompress", "--shrink-extra"]).arg(&wheel))?;
        Ok(wheel)
    }

    /// Whether a wheel that ships is small enough: to be asked last, after it is known that it works.
    ///
    /// # Errors
    /// When it is not.
    pub(crate) fn check_size(wheel: &Path) -> Result<()> {
        let bytes = wheel.metadata().with_context(|| format!("cannot read {}", wheel.display()))?.len();
        if bytes > MOST_BYTES {
            bail!("{} has {bytes} bytes, more than {MOST_BYTES}", wheel.display());
        }
        Ok(())
    }

    /// Makes the source distribution in an empty folder: the extension with all crates of the workspace that it needs.
    ///
    /// # Errors
    /// When that fails.
    pub(crate) fn source_distribution(folder: &Path) -> Result<PathBuf> {
        empty_folder(folder)?;
        let mut maturin = Command::new(build_tools()?.with_file_name("maturin"));
        maturin.args(["sdist", "--manifest-path"]).arg(Path::new(FOLDER).join("Cargo.toml"));
        run_step("source distribution", maturin.arg("--out").arg(folder))?;
        only_file_of(folder)
    }

    /// Lets `pip` build a source distribution in the same way, and with what is built already. Its lock file lists the
    /// crates of the whole workspace, of which it has a part, so cargo must be free to shorten it.
    pub(crate) fn set_for_pip(&self, pip: &mut Command) {
        let features = if self.ffmpeg.is_some() { " --features static --strip" } else { "" };
        pip.env("MATURIN_PEP517_ARGS", format!("--profile {}{features}", self.profile));
        pip.env("CARGO_TARGET_DIR", &self.target);
        if let Some(ffmpeg) = &self.ffmpeg {
            pip.env("PKG_CONFIG_PATH", ffmpeg.pkg_config_path());
        }
    }
}

/// The `python` of an environment with the tools that build and pack wheels.
fn build_tools() -> Result<PathBuf> {
    environment(&Path::new(FOLDER).join("requirements-build.txt"), &Path::new(TARGET).join("build"))
}

fn only_file_of(folder: &Path) -> Result<PathBuf> {
    match files_of(folder)?.as_slice() {
        [file] => Ok(file.clone()),
        files => bail!("{} has {} files, and should have one", folder.display(), files.len()),
    }
}

fn only_entry_of(folder: &Path) -> Result<PathBuf> {
    let listing = || format!("cannot list {}", folder.display());
    let mut entries = fs::read_dir(folder).with_context(listing)?;
    let entry = entries.next().with_context(|| format!("{} is empty", folder.display()))?;
    Ok(entry.with_context(listing)?.path())
}
