//! Runs the program on clips of the included sample.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking, in its helper functions too")]

#[path = "it/audit.rs"]
mod audit;
#[cfg(unix)]
#[path = "it/deploy.rs"]
mod deploy;
#[path = "it/devices.rs"]
mod devices;
#[path = "it/extraction.rs"]
mod extraction;
#[path = "it/faces.rs"]
mod faces;
#[path = "it/help.rs"]
mod help;
#[path = "it/inputs.rs"]
mod inputs;
#[path = "it/networks.rs"]
mod networks;
#[path = "it/orientation.rs"]
mod orientation;
#[path = "it/resume.rs"]
mod resume;
#[path = "it/score_tables.rs"]
mod score_tables;
#[path = "it/scores.rs"]
mod scores;
#[path = "it/shards.rs"]
mod shards;
#[path = "it/tasks.rs"]
mod tasks;
#[path = "it/training.rs"]
mod training;
#[path = "it/yunet.rs"]
mod yunet;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use deeptell_data::{read_manifest, write_manifest};
use serde_json::Value;

/// Three frames per clip, each with a face.
const EXTRACT: [&str; 4] = ["--frames", "3", "--min-probability", "0.8"];

fn sample() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../datasets/sample")
}

fn clip(name: &str) -> PathBuf {
    sample().join(name)
}

fn deeptell(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_deeptell")).args(arguments).stdin(Stdio::null()).output().unwrap()
}

fn path(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// Runs a command that must succeed; its standard output.
fn succeeds(arguments: &[&str]) -> String {
    let output = deeptell(arguments);
    let messages = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments:?}: {}\n{messages}", output.status);
    String::from_utf8(output.stdout).unwrap()
}

/// Runs a command that must fail with `code`; its standard error.
fn fails(code: i32, arguments: &[&str]) -> String {
    let output = deeptell(arguments);
    let messages = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(code), "{arguments:?}\n{messages}");
    messages
}

fn json(path: &Path) -> Value {
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

/// A data set of real and fake clips of `people`.
fn data_set(root: &Path, people: &[&str]) {
    for label in ["real", "fake"] {
        fs::create_dir_all(root.join(label)).unwrap();
        for person in people {
            let name = format!("{label}/{person}.mp4");
            fs::copy(clip(&name), root.join(&name)).unwrap();
        }
    }
}

/// Crops of six people of the sample, real and fake, split two, two and two.
fn crops(folder: &Path) -> PathBuf {
    let mut clips = read_manifest(sample().join("manifest.jsonl")).unwrap();
    let people = ["nasa-collins", "orl-s01", "orl-s02", "orl-s04", "orl-s05", "orl-s07"];
    clips.retain(|clip| people.contains(&clip.source.as_str()));
    assert_eq!(clips.len(), 12);
    let some = folder.join("clips.jsonl");
    write_manifest(&some, &clips).unwrap();

    let (crops, split) = (folder.join("crops"), folder.join("split.jsonl"));
    let said = succeeds(&[&["extract", path(&some), "--out", path(&crops)], &EXTRACT[..]].concat());
    assert!(said.starts_with("36 crops from 12 of 12 files"), "{said}");
    let manifest = crops.join("manifest.jsonl");
    let divided = ["split", path(&manifest), "--out", path(&split)];
    succeeds(&[&divided[..], &["--train", "0.34", "--validation", "0.33", "--test", "0.33"]].concat());
    split
}

#[test]
fn extract_split_train_eval_and_compare_work_together() {
    let folder = tempfile::tempdir().unwrap();
    let split = crops(folder.path());
    let rows = read_manifest(&split).unwrap();
    assert!(
        rows.iter().all(|row| row.landmarks.is_some() && row.split.is_some() && row.pts_seconds.is_some())
    );

    // What is done is not done again.
    let (clips, crops) = (folder.path().join("clips.jsonl"), folder.path().join("crops"));
    let said = deeptell(&[&["extract", path(&clips), "--out", path(&crops)], &EXTRACT[..]].concat());
    assert!(String::from_utf8_lossy(&said.stderr).contains("12 of 12 files are already done"));

    // Blends of the real crops beside the fakes; 6 real crops are 6 triples are 18 pictures.
    let config = folder.path().join("train.toml");
    fs::write(&config, "sampling = \"triples\"\nbatch_size = 9\nepochs = 2\nseed = 3\n").unwrap();
    let train = |out: &Path, more: &[&str]| {
        let words =
            ["train", path(&split), "--config", path(&config), "--init", "shipped", "--out", path(out)];
        deeptell(&[&words[..], more].concat())
    };
    let whole = folder.path().join("whole");
    let output = train(&whole, &[]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    for left in [
        "config.toml",
        "provenance.json",
        "audit.json",
        "history.jsonl",
        "history.svg",
        "best.safetensors",
        "last",
        "detector.safetensors",
        "metrics.json",
        "validation.csv",
    ] {
        assert!(whole.join(left).exists(), "{left}");
    }
    let (audit, metrics) = (json(&whole.join("audit.json")), json(&whole.join("metrics.json")));
    assert_eq!((&audit["clean"], &audit["splits"][0]["real"]), (&true.into(), &6.into()));
    assert_eq!((&metrics["seed"], &metrics["audit"]), (&3.into(), &audit["verdict"]));
    let report = fs::read_to_string(whole.join("report.html")).unwrap();
    for told in
        ["The training run", "These figures are optimistic", audit["verdict"].as_str().unwrap(), "<dd>3</dd>"]
    {
        assert!(report.contains(told), "{told}");
    }
    for level in [&metrics["validation"], &metrics["validation"]["videos"]] {
        assert!(level["auc_ci95"][0].is_f64() && level["answers"]["detection_rate"]["value"].is_f64());
    }
    // Another run into the same folder would mix the two.
    assert_eq!(train(&whole, &[]).status.code(), Some(2));

    let (detector, figures) = (whole.join("detector.safetensors"), folder.path().join("eval.json"));
    let scores = folder.path().join("scores.csv");
    let eval = ["eval", "--manifest", path(&split), "--model", path(&detector), "--resamples", "200"];
    let page = folder.path().join("pages/eval.html");
    succeeds(
        &[&eval[..], &["--json", path(&figures), "--scores", path(&scores), "--html", path(&page)]].concat(),
    );
    let figures = json(&figures);
    for report in [&figures, &figures["videos"]] {
        let auc = report["auc"].as_f64().unwrap();
        assert!((0.0..=1.0).contains(&auc) && report["ap"].is_f64() && report["eer"].is_f64(), "{report}");
    }
    assert_eq!((&figures["n_real"], &figures["n_fake"]), (&6.into(), &6.into()));
    assert_eq!((&figures["videos"]["n_real"], &figures["videos"]["n_fake"]), (&2.into(), &2.into()));
    assert_eq!(fs::read_to_string(scores).unwrap().lines().count(), 13);
    // The page and the document say the same.
    assert_eq!((&figures["split"], &figures["model_seed"]), (&"test".into(), &3.into()));
    let page = fs::read_to_string(page).unwrap();
    assert!(page.contains(&format!("<b>{:.3}</b>", figures["auc"].as_f64().unwrap())));
    assert!(page.contains(figures["model_sha256"].as_str().unwrap()) && page.contains("Whole videos"));
    assert_eq!(figures["roc_band_ci95"]["low"].as_array().unwrap().len(), 101);

    // A run beside itself differs in nothing.
    let table = folder.path().join("runs.json");
    succeeds(&["compare", path(&whole), path(&whole), "--json", path(&table)]);
    let table = json(&table);
    assert_eq!(table["settings_that_differ"], serde_json::json!({}));
    assert_eq!(table["runs"][1]["against_first"]["p_value"], 1.0);
    assert_eq!(table["runs"][0]["validation"]["auc"]["value"], metrics["validation"]["auc"]);
    let text = succeeds(&["compare", path(&whole), path(&whole)]);
    assert!(text.contains("finished") && text.contains("minutes"), "{text}");
}

#[cfg(unix)]
#[test]
fn train_resumes_a_killed_run_to_the_same_weights() {
    let folder = tempfile::tempdir().unwrap();
    let split = crops(folder.path());
    let config = folder.path().join("train.toml");
    fs::write(&config, "batch_size = 6\nepochs = 3\nseed = 5\n").unwrap();
    let words = |out: &Path| -> Vec<String> {
        ["train", path(&split), "--config", path(&config), "--init", "shipped", "--out", path(out)]
            .map(str::to_owned)
            .to_vec()
    };
    let whole = folder.path().join("whole");
    succeeds(&words(&whole).iter().map(String::as_str).collect::<Vec<_>>());

    let killed = folder.path().join("killed");
    let mut child = Command::new(env!("CARGO_BIN_EXE_deeptell"))
        .args(words(&killed))
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    // As soon as an epoch is on disk: SIGKILL, somewhere in a later one.
    while !killed.join("history.jsonl").exists() {
        assert!(child.try_wait().unwrap().is_none(), "the training ended before its first epoch");
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(!killed.join("detector.safetensors").exists(), "killed too late to prove anything");

    let mut resumed = words(&killed);
    resumed.push("--resume".to_owned());
    succeeds(&resumed.iter().map(String::as_str).collect::<Vec<_>>());
    for file in ["best.safetensors", "detector.safetensors"] {
        let [a, b] = [&whole, &killed].map(|run| fs::read(run.join(file)).unwrap());
        assert!(a == b, "{file} differs");
    }
}

#[test]
fn scan_writes_every_format_and_continues_after_a_broken_file() {
    let folder = tempfile::tempdir().unwrap();
    let broken = folder.path().join("broken.mp4");
    fs::write(&broken, b"no video at all").unwrap();
    let (real, fake) = (clip("real/nasa-collins.mp4"), clip("fake/nasa-collins.mp4"));
    let (document, pages) = (folder.path().join("out/scan.json"), folder.path().join("pages"));
    let messages = fails(
        1,
        &[
            "scan",
            path(&real),
            path(&broken),
            path(&fake),
            "--frames",
            "4",
            "--json",
            path(&document),
            "--html",
            path(&pages),
        ],
    );
    assert!(messages.contains("broken.mp4"), "{messages}");
    let document = json(&document);
    let reports = document["reports"].as_array().unwrap();
    assert_eq!((reports.len(), document["failures"].as_array().unwrap().len()), (2, 1));
    for report in reports {
        assert!((0.0..=1.0).contains(&report["score"].as_f64().unwrap()), "{report}");
        assert!(!report["reasons"].as_array().unwrap().is_empty());
    }
    let index = fs::read_to_string(pages.join("index.html")).unwrap();
    assert!(index.contains("broken.mp4") && index.contains("nasa-collins.mp4"));
    assert!(pages.join("nasa-collins.mp4-2.html").is_file());

    // Standard output alone.
    let printed = succeeds(&["scan", path(&real), "--frames", "4", "--json", "-"]);
    let printed: Value = serde_json::from_str(&printed).unwrap();
    assert_eq!(printed["reports"][0]["score"], reports[0]["score"], "the same clip, the same score");
}

#[test]
fn scan_resumes_from_its_json_lines() {
    let folder = tempfile::tempdir().unwrap();
    let lines = folder.path().join("scan.jsonl");
    let broken = folder.path().join("broken.mp4");
    fs::write(&broken, b"no video at all").unwrap();
    let pattern = clip("real/orl-s0[1-3].mp4");
    let table = folder.path().join("scan.csv");
    let words = ["scan", path(&pattern), path(&broken), "--frames", "3", "--jsonl", path(&lines)];
    let messages = fails(1, &words);
    assert!(messages.contains("broken.mp4"), "{messages}");
    let whole = fs::read_to_string(&lines).unwrap();
    assert_eq!(whole.lines().count(), 4);

    // As a kill leaves it: two of the reports, and a line cut short.
    let reports: Vec<&str> = whole.lines().filter(|line| line.contains("schema_version")).collect();
    let cut = format!("{}\n{}\n{}", reports[0], reports[2], &reports[1][..reports[1].len() / 2]);
    fs::write(&lines, cut).unwrap();
    let resumed = [&words[..], &["--resume", "--csv", path(&table)]].concat();
    let messages = fails(1, &resumed);
    assert!(messages.contains("2 of 4 files are already done"), "{messages}");
    let again = fs::read_to_string(&lines).unwrap();
    let sorted = |text: &str| {
        let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
        lines.sort();
        lines
    };
    assert_eq!(sorted(&again), sorted(&whole), "no line lost, none doubled, all the same");
    let table = fs::read_to_string(&table).unwrap();
    assert_eq!(table.lines().count(), 5, "{table}");
    assert!(table.starts_with("path,verdict,score,people,"), "{table}");

    // Other options ask for other reports; another file is not overwritten.
    let other =
        [&["scan", path(&pattern), "--frames", "2", "--jsonl", path(&lines)], &["--resume"][..]].concat();
    let output = deeptell(&other);
    assert!(String::from_utf8_lossy(&output.stderr).contains("0 of 3 files are already done"));
    let notes = folder.path().join("notes.txt");
    fs::write(&notes, "my notes\nof today\n").unwrap();
    let messages = fails(2, &["scan", path(&pattern), "--jsonl", path(&notes), "--resume"]);
    assert!(messages.contains("is this the right --jsonl file?"), "{messages}");
    assert_eq!(fs::read_to_string(&notes).unwrap(), "my notes\nof today\n");
}

/// What the other process does must not show: same frames, same scores, and an end with its parent.
#[test]
fn scan_in_16_bits_is_recorded_and_agrees_with_f32() {
    let folder = tempfile::tempdir().unwrap();
    let lines = folder.path().join("scan.jsonl");
    let clip = clip("fake/nasa-collins.mp4");
    let scan = |more: &[&str]| -> (Value, String) {
        let words = ["scan", path(&clip), "--frames", "3", "--jsonl", path(&lines)];
        let output = deeptell(&[&words[..], more].concat());
        let messages = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.success(), "{messages}");
        (serde_json::from_str(fs::read_to_string(&lines).unwrap().trim()).unwrap(), messages)
    };
    let (full, _) = scan(&[]);
    assert!(full["model"].get("precision").is_none(), "{}", full["model"]);
    for dtype in ["bf16", "f16"] {
        // A report in another precision is not taken for one in this.
        let (half, messages) = scan(&["--precision", dtype, "--resume"]);
        assert!(messages.contains("0 of 1 files are already done"), "{messages}");
        assert!(messages.contains(&format!("on a CPU {dtype} is slower")), "{messages}");
        assert_eq!(half["model"]["precision"], dtype);
        assert_eq!(half["verdict"], full["verdict"]);
        let [half, full] = [&half, &full].map(|report| report["score"].as_f64().unwrap());
        assert!(half != full && (half - full).abs() < 0.02, "{half} in {dtype}, {full} in f32");
        let (_, messages) = scan(&["--precision", dtype, "--resume"]);
        assert!(messages.contains("1 of 1 files are already done"), "{messages}");
    }
}

#[test]
fn scan_with_isolated_decoding_gives_the_same_report() {
    let real = clip("real/orl-s02.mp4");
    let scan = |more: &[&str]| -> Value {
        let words = [&["scan", path(&real), "--frames", "5", "--json", "-"], more].concat();
        let mut document: Value = serde_json::from_str(&succeeds(&words)).unwrap();
        document["reports"][0]["options"].take();
        document
    };
    assert_eq!(scan(&[]), scan(&["--trusted"]));
    // The word that starts a decoder is of no use to people, and does no harm.
    assert_eq!(deeptell(&["decode-for-parent"]).status.code(), Some(2));
}

#[test]
fn scan_without_a_face_has_no_score() {
    let folder = tempfile::tempdir().unwrap();
    let sky = folder.path().join("sky.png");
    deeptell_face::RgbImage::from_fn(320, 240, |x, y| {
        image::Rgb([90, 140 + (x / 8) as u8, 200 - (y / 4) as u8])
    })
    .save(&sky)
    .unwrap();
    let printed = succeeds(&["scan", path(&sky), "--json", "-", "--fail-on", "inconclusive"]);
    let report = &serde_json::from_str::<Value>(&printed).unwrap()["reports"][0];
    assert_eq!(report["verdict"], "no_face");
    assert!(report["score"].is_null(), "{report}");
}

#[test]
fn errors_say_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let real = clip("real/orl-s01.mp4");
    let crops = folder.path().join("crops");
    for name in ["real", "fake"] {
        fs::create_dir_all(crops.join(name)).unwrap();
    }
    deeptell_face::RgbImage::new(64, 64).save(crops.join("real/a.png")).unwrap();
    let empty = folder.path().join("empty");
    fs::create_dir(&empty).unwrap();
    let out = folder.path().join("out");
    let notes = folder.path().join("notes.txt");
    fs::write(&notes, "not weights").unwrap();
    for (arguments, advice) in [
        (vec!["scan", path(&real), "--device", "cuda"], "--features cuda"),
        (vec!["scan", path(&real), "--device", "wgpu"], "--features wgpu"),
        (vec!["scan", path(&real), "--frames", "0"], "frames"),
        (vec!["scan", path(&real), "--model", path(&notes)], "notes.txt"),
        (vec!["scan", path(&empty)], "no video and no picture"),
        (vec!["scan", path(&real), "--json", "-", "--csv", "-"], "--json and --csv"),
        (vec!["scan", path(&real), "--jsonl", "-", "--resume"], "--resume needs"),
        (vec!["scan", "no/such/*.mp4"], "matches no video"),
        (vec!["eval", "--crops", path(&crops)], "fake"),
        (vec!["train", path(&crops), "--out", path(&out)], "deeptell split"),
        (vec!["weights", "import", path(&notes)], "notes.txt"),
    ] {
        let expected_device = arguments.contains(&"--device");
        if expected_device && cfg!(any(feature = "wgpu", feature = "cuda")) {
            continue;
        }
        let messages = fails(2, &arguments);
        assert!(messages.contains(advice), "{arguments:?}: {messages}");
        assert!(!messages.contains("panicked"), "{messages}");
    }
}

#[test]
fn exported_models_give_the_same_scores() {
    let folder = tempfile::tempdir().unwrap();
    let (onnx, whole) = (folder.path().join("a.onnx"), folder.path().join("b.safetensors"));
    succeeds(&["export", "--format", "onnx", "--out", path(&onnx)]);
    // The notes are text in the file, and say what people need.
    let bytes = fs::read(&onnx).unwrap();
    let holds = |text: &str| bytes.windows(text.len()).any(|window| window == text.as_bytes());
    assert!(holds("preprocessing") && holds("centered on the face box") && holds("deeptell_card"));

    succeeds(&["export", "--format", "safetensors", "--precision", "full", "--out", path(&whole)]);
    assert!(fs::metadata(&whole).unwrap().len() > 6_000_000);
    let scan = |model: &[&str]| {
        let picture = clip("real/nasa-collins.mp4");
        let report = ["scan", path(&picture), "--frames", "3", "--json", "-"];
        let report: Value = serde_json::from_str(&succeeds(&[&report[..], model].concat())).unwrap();
        report["reports"][0]["score"].as_f64().unwrap()
    };
    assert!((scan(&["--model", path(&whole)]) - scan(&[])).abs() < 1e-9);
    fails(
        2,
        &[
            "export",
            "--format",
            "onnx",
            "--model",
            path(&clip("real/nasa-collins.mp4")),
            "--out",
            path(&onnx),
        ],
    );
}
