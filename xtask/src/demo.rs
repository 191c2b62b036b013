//! `cargo xtask demo`: the main job on the sample, from clips to a report, through the command line users have.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::freshness::{Stamps, fingerprint};
use crate::process::{NotReady, run_step};
use crate::sample::SAMPLE;
use crate::setup;
use crate::workspace::{Program, Workspace};

/// Everything the demo makes.
const OUT: &str = "target/demo";

/// Under it, the evaluation's document.
const FIGURES: &str = "eval.json";

/// Under it, the scan's document, beside the pages of the report.
const VERDICTS: &str = "report/report.json";

/// Under it, the page of the report to begin with.
const PAGE: &str = "report/index.html";

/// One run of `deeptell`.
struct Stage {
    name: &'static str,
    arguments: Vec<String>,
    /// Files and folders read; with the arguments and the program they decide whether the stage runs again.
    inputs: Vec<PathBuf>,
    /// What the stage leaves behind.
    output: PathBuf,
}

/// The whole demo as a table: `deeptell` with these words, in this order.
///
/// Training starts from the detector that ships, because ImageNet weights would have to be downloaded first.
fn stages(real: &Path, fake: &Path) -> [Stage; 5] {
    let out = |name: &str| format!("{OUT}/{name}");
    let stage = |name, words: &[&str], inputs: &[&str], output: &str| Stage {
        name,
        arguments: words.iter().map(|&word| word.to_owned()).collect(),
        inputs: inputs.iter().map(PathBuf::from).collect(),
        output: output.into(),
    };
    let clips = format!("{SAMPLE}/manifest.jsonl");
    let (crops, manifest, split) = (out("crops"), out("crops/manifest.jsonl"), out("split.jsonl"));
    let (run, detector, figures) = (out("run"), out("run/detector.safetensors"), out(FIGURES));
    let (report, verdicts) = (out("report"), out(VERDICTS));
    let (real, fake) = (&*real.to_string_lossy(), &*fake.to_string_lossy());
    [
        stage("extract", &["extract", &clips, "--out", &crops, "--frames", "6"], &[SAMPLE], &crops),
        stage(
            "split",
            &["split", &manifest, "--out", &split, "--train", "0.6", "--validation", "0.2", "--test", "0.2"],
            &[&manifest],
            &split,
        ),
        stage(
            "train",
            &["train", &split, "--out", &run, "--epochs", "3", "--init", "shipped"],
            &[&crops, &split],
            &run,
        ),
        stage(
            "evaluate",
            &["eval", "--manifest", &split, "--model", &detector, "--json", &figures],
            &[&crops, &split, &detector],
            &figures,
        ),
        stage("scan", &["scan", real, fake, "--html", &report, "--json", &verdicts], &[real, fake], &report),
    ]
}

/// Builds, then goes through the stages and sums up.
///
/// # Errors
/// The error of the first stage that fails, with its name.
pub(crate) fn run(workspace: &Workspace) -> Result<()> {
    let start = Instant::now();
    setup::ensure()?;
    let (real, fake) = (first_clip("real")?, first_clip("fake")?);
    let build = Instant::now();
    let deeptell = workspace.build(Program::Deeptell)?;

    let stamps = Stamps { folder: Path::new(OUT).join("stamps") };
    let mut times = vec![("build", Some(build.elapsed()))];
    for stage in stages(&real, &fake) {
        times.push((stage.name, advance(&stage, &deeptell, &stamps)?));
    }
    println!("\n{}", summary(&times, start.elapsed())?);
    println!("Report: {}", workspace.root.join(OUT).join(PAGE).display());
    Ok(())
}

/// Runs a stage unless it is up to date; returns the time it took, or nothing where it was reused.
fn advance(stage: &Stage, deeptell: &Path, stamps: &Stamps) -> Result<Option<Duration>> {
    let inputs: Vec<PathBuf> = std::iter::once(deeptell.to_owned()).chain(stage.inputs.clone()).collect();
    let fingerprint =
        fingerprint(&stage.arguments, &inputs).with_context(|| format!("step `{}`", stage.name))?;
    if stage.output.exists() && stamps.hold(stage.name, fingerprint) {
        eprintln!("==> {}: up to date ({})", stage.name, stage.output.display());
        return Ok(None);
    }
    clear(&stage.output)?;

    let mut command = Command::new(deeptell);
    command.args(&stage.arguments);
    let time = run_step(stage.name, &mut command)?;
    if !stage.output.exists() {
        bail!("step `{}` succeeded but left no {}", stage.name, stage.output.display());
    }
    stamps.put(stage.name, fingerprint)?;
    Ok(Some(time))
}

/// Removes what an earlier run of a stage left, so that old and new never mix.
fn clear(output: &Path) -> Result<()> {
    let removed = if output.is_dir() {
        fs::remove_dir_all(output)
    } else if output.exists() {
        fs::remove_file(output)
    } else {
        Ok(())
    };
    removed.with_context(|| format!("cannot remove {}", output.display()))
}

/// The first clip of one class, by name.
fn first_clip(class: &str) -> Result<PathBuf> {
    let folder = Path::new(SAMPLE).join(class);
    first_file(&folder, "mp4").ok_or_else(|| {
        NotReady(format!("{} holds no clip; `cargo xtask sample` makes the sample", folder.display())).into()
    })
}

fn first_file(folder: &Path, extension: &str) -> Option<PathBuf> {
    let entries = fs::read_dir(folder).ok()?;
    entries
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|it| it == extension))
        .min()
}

/// What the reader wants to know at the end: times, figures, verdicts.
fn summary(times: &[(&str, Option<Duration>)], total: Duration) -> Result<String> {
    let mut lines = vec!["The main job, from clips to a report:".to_owned()];
    for (stage, time) in times {
        let time = time.map_or("up to date".to_owned(), |time| format!("{:.1} s", time.as_secs_f64()));
        lines.push(format!("  {stage:10}{time:>12}"));
    }
    lines.push(format!("  {:10}{:>10.1} s", "in all", total.as_secs_f64()));
    lines.push(String::new());
    lines.extend(figures(&read_json(FIGURES)?)?);
    lines.extend(verdicts(&read_json(VERDICTS)?)?);
    lines.push("The sample shows that the machinery runs; it proves nothing about accuracy.".to_owned());
    Ok(lines.join("\n"))
}

fn read_json(file: &str) -> Result<Value> {
    let file = Path::new(OUT).join(file);
    let text = fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))?;
    serde_json::from_str(&text).with_context(|| format!("{} is not JSON", file.display()))
}

/// The evaluation's AUC-ROC with its interval, by crop and by video.
fn figures(evaluation: &Value) -> Result<Vec<String>> {
    let line = |level: &str, report: &Value| -> Result<String> {
        let auc =
            report["auc"].as_f64().with_context(|| format!("the evaluation has no `auc` by {level}"))?;
        let interval = match (report["auc_ci95"][0].as_f64(), report["auc_ci95"][1].as_f64()) {
            (Some(low), Some(high)) => format!("95% interval {low:.3} to {high:.3}"),
            _ => "one source alone gives no interval".to_owned(),
        };
        let (real, fake) = (&report["n_real"], &report["n_fake"]);
        Ok(format!("AUC-ROC by {level}: {auc:.3} ({interval}; {real} real, {fake} fake)"))
    };
    Ok(vec![line("crop", evaluation)?, line("video", &evaluation["videos"])?])
}

/// One line for each scanned clip.
fn verdicts(scan: &Value) -> Result<Vec<String>> {
    let reports = scan["reports"].as_array().context("the scan wrote no list of reports")?;
    let line = |report: &Value| {
        let name = report["input"]["path"].as_str().context("a report has no `input.path`")?;
        let verdict = report["verdict"].as_str().context("a report has no `verdict`")?.replace('_', " ");
        let score = report["score"].as_f64().map_or(String::new(), |score| format!(" ({score:.3})"));
        Ok(format!("{name}: {verdict}{score}"))
    };
    reports.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn table() -> [Stage; 5] {
        stages(Path::new("real/a.mp4"), Path::new("fake/a.mp4"))
    }

    #[test]
    fn every_stage_reads_what_an_earlier_one_made_or_what_ships() {
        let mut made: Vec<PathBuf> = Vec::new();
        for stage in table() {
            for input in &stage.inputs {
                let ours = input.starts_with(OUT);
                let known = made.iter().any(|output| input.starts_with(output));
                assert!(!ours || known, "{} reads {} before it is made", stage.name, input.display());
            }
            assert!(stage.output.starts_with(OUT), "{}", stage.name);
            made.push(stage.output);
        }
    }

    #[test]
    fn stages_have_names_and_outputs_of_their_own() {
        let stages = table();
        for (position, stage) in stages.iter().enumerate() {
            for other in &stages[..position] {
                assert_ne!(stage.name, other.name);
                assert_ne!(stage.output, other.output);
            }
        }
    }

    #[test]
    fn figures_are_given_with_their_interval_where_there_is_one() {
        let evaluation = json!({
            "auc": 0.75, "auc_ci95": [0.5, 1.0], "n_real": 30, "n_fake": 31,
            "videos": {"auc": 1.0, "auc_ci95": null, "n_real": 5, "n_fake": 6},
        });
        assert_eq!(
            figures(&evaluation).unwrap(),
            [
                "AUC-ROC by crop: 0.750 (95% interval 0.500 to 1.000; 30 real, 31 fake)",
                "AUC-ROC by video: 1.000 (one source alone gives no interval; 5 real, 6 fake)",
            ]
        );
        assert!(figures(&json!({"auc": 0.5})).unwrap_err().to_string().contains("by video"));
    }

    #[test]
    fn verdicts_have_a_score_only_where_a_face_was_found() {
        let scan = json!({"reports": [
            {"input": {"path": "a.mp4"}, "verdict": "likely_real", "score": 0.125},
            {"input": {"path": "b.mp4"}, "verdict": "no_face", "score": null},
        ]});
        assert_eq!(verdicts(&scan).unwrap(), ["a.mp4: likely real (0.125)", "b.mp4: no face"]);
        assert!(verdicts(&json!({})).is_err());
    }
}
