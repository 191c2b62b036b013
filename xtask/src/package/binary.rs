//! The program with everything that goes along, as one archive.

use std::collections::BTreeMap;
use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use super::release::Release;
use super::{empty_folder, libraries, licences};
use crate::ffmpeg::{self, TARGET};
use crate::process::{display, run_step};
use crate::workspace::Workspace;

/// Files of the checkout that go along.
const DOCUMENTS: [&str; 6] =
    ["CHANGELOG.md", "LICENSE-APACHE", "LICENSE-MIT", "NOTICES.md", "README.md", "SECURITY.md"];

/// Shells, and the file with the completions of each.
const COMPLETIONS: [(&str, &str); 5] = [
    ("bash", "deeptell.bash"),
    ("zsh", "_deeptell"),
    ("fish", "deeptell.fish"),
    ("powershell", "_deeptell.ps1"),
    ("elvish", "deeptell.elv"),
];

/// A clip that the program must be able to scan.
const CLIP: &str = "datasets/sample/real/orl-s01.mp4";

/// Builds the program with the static FFmpeg, packs it, unpacks it elsewhere and tries it there.
///
/// # Errors
/// When it does not build, needs libraries that not every system has, or does not work.
pub(crate) fn make(workspace: &Workspace, release: &Release, dist: &Path) -> Result<Vec<PathBuf>> {
    let built = ffmpeg::build(workspace, None)?;
    let program = built.program(workspace, "binary: build")?;
    let name = format!("deeptell{}", env::consts::EXE_SUFFIX);

    let folder_name = release.folder_name();
    let staging = workspace.root.join(TARGET).join("staging");
    let folder = staging.join(&folder_name);
    empty_folder(&folder)?;
    copy(&program, &folder.join(&name))?;
    // Names of functions, which the build keeps for backtraces, are a sixth of the file.
    run(Command::new("strip").arg(folder.join(&name)))?;
    for document in DOCUMENTS {
        copy(&workspace.root.join(document), &folder.join(document))?;
    }
    write(&folder.join("LICENSES-CRATES.txt"), &licences::of_crates(release)?)?;
    built.copy_documents(&folder.join("ffmpeg"))?;
    let completions = folder.join("completions");
    empty_folder(&completions)?;
    for (shell, file) in COMPLETIONS {
        write(&completions.join(file), &run(Command::new(&program).args(["completions", shell]))?)?;
    }
    run(Command::new(&program).arg("man").arg(folder.join("man")))?;

    let archive = dist.join(format!("{folder_name}.tar.gz"));
    pack(&staging, &folder_name, release.seconds, &archive)?;
    try_archive(workspace, release, &archive)?;
    Ok(vec![archive])
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    fs::copy(from, to).with_context(|| format!("cannot copy {} to {}", from.display(), to.display()))?;
    Ok(())
}

fn write(file: &Path, text: &str) -> Result<()> {
    fs::write(file, text).with_context(|| format!("cannot write {}", file.display()))
}

/// Packs a folder. With GNU's tar, the same files give the same archive.
fn pack(staging: &Path, folder: &str, seconds: u64, archive: &Path) -> Result<()> {
    let mut tar = Command::new("tar");
    if cfg!(target_os = "linux") {
        tar.args(["--sort=name", "--owner=0", "--group=0", "--numeric-owner", "--mode=u+w,go-w,a+rX"]);
        tar.arg(format!("--mtime=@{seconds}"));
    }
    tar.args(["--create", "--gzip", "--file"]).arg(archive).arg("--directory").arg(staging).arg(folder);
    run_step("binary: pack", &mut tar).map(drop)
}

/// Unpacks the archive where there is nothing else, and uses what is in it.
fn try_archive(workspace: &Workspace, release: &Release, archive: &Path) -> Result<()> {
    let place = env::temp_dir().join(format!("deeptell-package-{}", std::process::id()));
    empty_folder(&place)?;
    run_step(
        "binary: unpack",
        Command::new("tar").arg("--extract").arg("--file").arg(archive).current_dir(&place),
    )?;
    let folder = place.join(release.folder_name());
    let program = folder.join(format!("deeptell{}", env::consts::EXE_SUFFIX));
    let start = || {
        let mut command = Command::new(&program);
        command.env_clear().env("HOME", &place).current_dir(&place);
        command
    };

    let version = run(start().arg("--version"))?;
    if version.trim() != format!("deeptell {}", release.version) {
        bail!("the program says that it is {version}");
    }
    let doctor = run(start().args(["doctor", "--json", "-"]))?;
    let doctor: Value = serde_json::from_str(&doctor).context("`deeptell doctor` wrote no JSON")?;
    let found = doctor["ffmpeg"]["release"].as_str().unwrap_or_default();
    if !ffmpeg::SOURCES.iter().any(|source| source.name == "ffmpeg" && source.version == found) {
        bail!("the program runs with FFmpeg {found}, which is not the one that was built for it");
    }
    let clip = place.join("clip.mp4");
    copy(&workspace.root.join(CLIP), &clip)?;
    let report = run(start().args(["scan", "clip.mp4", "--json", "-"]))?;
    let report: Value = serde_json::from_str(&report).context("`deeptell scan` wrote no JSON")?;
    if !report.to_string().contains("\"verdict\"") {
        bail!("the report on {CLIP} has no verdict: {report}");
    }
    libraries::check(&program)?;
    let sizes = pages(&folder.join("man"))?;
    if !sizes.contains_key("deeptell.1")
        || !sizes.contains_key("deeptell-scan.1")
        || sizes.values().any(|size| *size < 200)
    {
        bail!("the manual pages are incomplete: {sizes:?}");
    }
    fs::remove_dir_all(&place).with_context(|| format!("cannot remove {}", place.display()))
}

/// The names and sizes of the files in a folder.
fn pages(folder: &Path) -> Result<BTreeMap<String, u64>> {
    let files = super::files_of(folder)?.into_iter();
    files
        .map(|file| {
            let name = file.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
            let size = file.metadata().with_context(|| format!("cannot read {}", file.display()))?.len();
            Ok((name, size))
        })
        .collect()
}

/// What a program prints, when it succeeds.
fn run(command: &mut Command) -> Result<String> {
    let output = command.stdin(Stdio::null()).output();
    let output = output.with_context(|| format!("cannot start {}", display(command)))?;
    if !output.status.success() {
        bail!(
            "`{}` ended with {}: {}",
            display(command),
            output.status,
            String::from_utf8_lossy(&output.stderr)
        );
    }
    String::from_utf8(output.stdout).with_context(|| format!("`{}` wrote no UTF-8", display(command)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(target_os = "linux")]
    fn the_same_files_give_the_same_archive() {
        let place = env::temp_dir().join(format!("deeptell-pack-{}", std::process::id()));
        let archives = ["one", "two"].map(|name| {
            let staging = place.join(name);
            empty_folder(&staging.join("program")).unwrap();
            fs::write(staging.join("program/b"), "b").unwrap();
            fs::write(staging.join("program/a"), name.replace("two", "one")).unwrap();
            let archive = place.join(format!("{name}.tar.gz"));
            pack(&staging, "program", 1_700_000_000, &archive).unwrap();
            fs::read(archive).unwrap()
        });
        assert!(archives[0] == archives[1]);
        fs::remove_dir_all(&place).unwrap();
    }
}
