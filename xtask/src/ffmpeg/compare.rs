//! Whether the static FFmpeg decodes what the system's does: every frame of every clip, and whole reports.

use std::collections::BTreeSet;
use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use super::{Static, TARGET};
use crate::process::{cargo, is_installed, run_step, succeeds};
use crate::workspace::{Workspace, target_directory};

/// Where the programs that are compared lie.
const FOLDER: &str = "target/ffmpeg/compare";

/// The clips of the tests, and everything below `datasets`.
const CLIPS: [&str; 4] = [
    "crates/deeptell-video/goldens/clips",
    "crates/deeptell-video/tests/data",
    "fuzz/corpus/picture",
    "datasets",
];

/// What stands in the line of a file that is not decoded.
const REFUSED: &str = " error: ";

/// Extensions of files that are decoded.
const EXTENSIONS: [&str; 15] = [
    "apng", "avi", "avif", "gif", "h264", "jpg", "mkv", "mov", "mp3", "mp4", "mpg", "png", "ts", "webm",
    "webp",
];

/// Clips of codecs and containers that the tests have none of, and how `ffmpeg` makes them of one of the sample.
const MADE: [(&str, &[&str]); 5] = [
    ("clip.gif", &["-vf", "scale=80:-1"]),
    ("clip.png", &["-vf", "scale=80:-1", "-f", "apng"]),
    ("vp8.webm", &["-c:v", "libvpx", "-b:v", "200k"]),
    ("hevc.ts", &["-c:v", "libx265", "-x265-params", "log-level=none"]),
    ("mpeg4.ts", &["-c:v", "mpeg4"]),
];

/// Compares every frame of every clip, and the reports on the sample.
///
/// # Errors
/// When a build fails, or anything differs; the error names the first that does.
pub(crate) fn run(workspace: &Workspace, built: &Static) -> Result<()> {
    let mut clips = Vec::new();
    for folder in CLIPS {
        clips.extend(files_below(&workspace.root.join(folder))?);
    }
    clips.retain(|path| {
        path.extension().is_some_and(|ending| EXTENSIONS.iter().any(|known| ending == *known))
    });
    let made = workspace.root.join(FOLDER).join("clips");
    clips.extend(make_clips(&made, &clips)?);

    let programs =
        [("shared", None), ("static", Some(built))].map(|(name, built)| build(workspace, name, built));
    let [shared, linked] = programs;
    let (shared, linked) = (shared?, linked?);
    let digests = |folder: &Path| output(Command::new(folder.join("frame_digests")).args(&clips));
    let (expected, found) = (digests(&shared)?, digests(&linked)?);
    let lines = same_lines("frame", &without_reasons(&expected), &without_reasons(&found))?;
    let refused = expected.lines().filter(|line| line.contains(REFUSED)).count();
    println!("\n{} frames of {} files are the same, and {refused} refusals.", lines - refused, clips.len());

    let scan = |folder: &Path| {
        let mut scan = Command::new(folder.join("deeptell"));
        scan.args(["scan", "--jsonl", "-"]).arg(workspace.root.join("datasets/sample"));
        // They come in the order in which they are done.
        let reports = output(&mut scan)?;
        let mut lines: Vec<&str> = reports.lines().collect();
        lines.sort_unstable();
        Ok::<_, anyhow::Error>(lines.join("\n"))
    };
    let reports = same_lines("report", &scan(&shared)?, &scan(&linked)?)?;
    println!("{reports} reports on the sample are the same.");
    Ok(())
}

/// Builds the two programs with one FFmpeg, as for a release, and keeps copies.
fn build(workspace: &Workspace, name: &str, built: Option<&Static>) -> Result<PathBuf> {
    let folder = workspace.root.join(FOLDER).join(name);
    fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let target = if built.is_some() { workspace.root.join(TARGET) } else { target_directory()? };
    for (package, options, program) in [
        ("deeptell-video", &["--example", "frame_digests"][..], "examples/frame_digests"),
        ("deeptell-cli", &["--bin", "deeptell"], "deeptell"),
    ] {
        let mut build = cargo();
        build
            .args(["build", "--release", "--package", package])
            .args(options)
            .arg("--target-dir")
            .arg(&target);
        if let Some(built) = built {
            build.args(["--features", "static"]).env("PKG_CONFIG_PATH", built.pkg_config_path());
        }
        run_step(&format!("build {program}, {name}"), &mut build)?;
        let program = format!("{program}{}", env::consts::EXE_SUFFIX);
        let (from, file) = (target.join("release").join(&program), Path::new(&program).file_name());
        let to = folder.join(file.context("a program without a name")?);
        fs::copy(&from, &to).with_context(|| format!("cannot copy {}", from.display()))?;
    }
    Ok(folder)
}

/// What a program prints; one that found files which it cannot read ends with 1.
fn output(command: &mut Command) -> Result<String> {
    let shown = command.get_program().display().to_string();
    let output = command.output().with_context(|| format!("cannot start {shown}"))?;
    if !matches!(output.status.code(), Some(0 | 1)) {
        bail!("{shown} ended with {}: {}", output.status, String::from_utf8_lossy(&output.stderr));
    }
    String::from_utf8(output.stdout).with_context(|| format!("{shown} wrote no UTF-8"))
}

/// The same lines with a refusal for a reason of its own cut short: what the static FFmpeg does not know at all, the
/// other may know and not be allowed.
fn without_reasons(lines: &str) -> String {
    lines
        .lines()
        .map(|line| line.split_once(REFUSED).map_or(line, |(file, _)| file))
        .collect::<Vec<_>>()
        .join("\n")
}

/// The number of lines, if there are any and both texts are the same.
fn same_lines(what: &str, expected: &str, found: &str) -> Result<usize> {
    let (mut ours, mut theirs) = (expected.lines(), found.lines());
    let mut count = 0;
    loop {
        match (ours.next(), theirs.next()) {
            (None, None) if count == 0 => bail!("there is no {what} to compare"),
            (None, None) => return Ok(count),
            (expected, found) if expected == found => count += 1,
            (expected, found) => bail!(
                "{what} {count} differs:\n  shared FFmpeg: {}\n  static FFmpeg: {}",
                expected.unwrap_or("nothing"),
                found.unwrap_or("nothing")
            ),
        }
    }
}

/// All files below a folder, in order.
fn files_below(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut files = BTreeSet::new();
    let mut waiting = vec![folder.to_owned()];
    while let Some(folder) = waiting.pop() {
        for entry in fs::read_dir(&folder).with_context(|| format!("cannot list {}", folder.display()))? {
            let path = entry.with_context(|| format!("cannot list {}", folder.display()))?.path();
            if path.is_dir() {
                waiting.push(path);
            } else {
                files.insert(path);
            }
        }
    }
    Ok(files.into_iter().collect())
}

/// Makes further clips where `ffmpeg` is installed.
fn make_clips(folder: &Path, clips: &[PathBuf]) -> Result<Vec<PathBuf>> {
    if !is_installed("ffmpeg") {
        eprintln!("left out: clips of further codecs, because ffmpeg is not installed");
        return Ok(Vec::new());
    }
    fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let of_sample = clips.iter().find(|path| path.to_string_lossy().contains("datasets"));
    let clip = of_sample.context("datasets holds no clip")?;
    let mut made = Vec::new();
    for (name, words) in MADE {
        let path = folder.join(name);
        let mut command = Command::new("ffmpeg");
        command.args(["-v", "error", "-y", "-i"]).arg(clip).arg("-an").args(words).arg(&path);
        if succeeds(&mut command) {
            made.push(path);
        } else {
            eprintln!("left out: {name}, which this ffmpeg cannot make");
        }
    }
    Ok(made)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_compare_equal_whatever_their_reason() {
        let refused = |reason: &str| without_reasons(&format!("a 0 1f\nb whole error: {reason}\n"));
        assert_eq!(refused("b is unknown"), refused("b is not allowed"));
        assert_ne!(refused("b is unknown"), without_reasons("a 0 1f\nb whole 0 2e\n"));
    }

    #[test]
    fn one_line_more_less_or_other_is_a_difference() {
        assert_eq!(same_lines("frame", "a 1\na 2\n", "a 1\na 2\n").unwrap(), 2);
        for found in ["a 1\n", "a 1\na 2\na 3\n", "a 1\na 3\n", ""] {
            let error = same_lines("frame", "a 1\na 2\n", found).unwrap_err().to_string();
            assert!(error.contains("shared FFmpeg"), "{error}");
        }
        assert!(same_lines("frame", "", "").is_err(), "nothing was compared");
    }
}
