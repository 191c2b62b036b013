//! `train`: kills, resuming, damaged crops, failed calibration; `eval` and `calibrate` on incomplete data.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use deeptell_data::{Label, Sample, Split, write_manifest};
use deeptell_face::RgbImage;

use super::{clip, deeptell, fails, json, path, succeeds};

/// Settings with which a few steps tell colors apart, from whatever weights: the classifier alone learns, fast.
const SETTINGS: &str = "\
batch_size = 4
samples_per_epoch = 36
learning_rate = 0.02
frozen_epochs = 9
dropout = 0.0
average_decay = 0.1
[augmentation]
color_probability = 0.0
";

/// Twelve crops to train on and eight to validate on: fakes are blue, reals red. The settings lie beside them.
pub(crate) fn crops(folder: &Path, exchanged: bool) -> PathBuf {
    let mut samples = Vec::new();
    for number in 0..20_u32 {
        let (label, split) = (
            if number % 2 == 0 { Label::Real } else { Label::Fake },
            if number < 12 { Split::Train } else { Split::Validation },
        );
        let is_blue = label.is_fake() != (exchanged && split == Split::Validation);
        let picture = RgbImage::from_fn(224, 224, |x, y| {
            let shade = (x * (3 + number) + y * 5) % 60;
            let [strong, weak] = [150 + shade, shade].map(|value| value as u8);
            image::Rgb(if is_blue { [weak, 40, strong] } else { [strong, 40, weak] })
        });
        let file = folder.join(format!("{number:02}.png"));
        picture.save(&file).unwrap();
        let sample = Sample::new(file, label, format!("{split}-{}", number / 2));
        samples.push(sample.split(Some(split)));
    }
    fs::write(folder.join("train.toml"), SETTINGS).unwrap();
    let manifest = folder.join("split.jsonl");
    write_manifest(&manifest, &samples).unwrap();
    manifest
}

fn words<'a>(split: &'a Path, out: &'a Path, epochs: &'a str) -> Vec<&'a str> {
    let train = ["--threads", "1", "train", path(split), "--out", path(out), "--epochs", epochs];
    let config: &str = Box::leak(path(&split.with_file_name("train.toml")).into());
    let how = ["--init", "shipped", "--config", config];
    [&train[..], &how].concat()
}

fn run(words: &[&str], more: &[&str]) -> (Output, String) {
    let output = deeptell(&[words, more].concat());
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    (output, said)
}

fn weights(out: &Path) -> Vec<u8> {
    fs::read(out.join("best.safetensors")).unwrap()
}

#[test]
fn train_after_random_kills_has_the_same_weights() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let split = crops(folder.path(), false);
    let (alone, killed) = (at("alone"), at("killed"));
    let began = std::time::Instant::now();
    succeeds(&words(&split, &alone, "2"));
    let whole = began.elapsed();
    // The first kills come before an epoch has ended: --resume then starts from the beginning.
    let resumed = [&words(&split, &killed, "2")[..], &["--resume"]].concat();
    for moment in 0..10_u32 {
        let mut child = Command::new(env!("CARGO_BIN_EXE_deeptell"));
        child.args(&resumed).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = child.spawn().unwrap();
        std::thread::sleep(whole.mul_f64(f64::from(moment * 3 % 10 + 1) * 0.06));
        child.kill().unwrap();
        let said = String::from_utf8_lossy(&child.wait_with_output().unwrap().stderr).into_owned();
        assert!(!said.contains("error:"), "{said}");
    }
    succeeds(&resumed);
    assert!(weights(&killed) == weights(&alone), "the weights differ");
    let names = |folder: &Path| {
        let mut names: Vec<_> =
            fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        names
    };
    assert_eq!(names(&killed), names(&alone), "nothing is left over");
    assert_eq!(
        json(&killed.join("metrics.json"))["validation"],
        json(&alone.join("metrics.json"))["validation"]
    );
}

#[test]
fn train_killed_before_its_first_epoch_restarts_with_the_same_init() {
    let folder = tempfile::tempdir().unwrap();
    let split = crops(folder.path(), false);
    let out = folder.path().join("run");
    fs::create_dir_all(out.join("last.partial")).unwrap();
    fs::write(out.join("start.json"), r#"{"init": "shipped"}"#).unwrap();
    fs::write(out.join("config.toml"), format!("epochs = 1\n{SETTINGS}")).unwrap();
    // Without --init: ImageNet weights are asked for by default, and not there.
    let said = deeptell(&["--threads", "1", "train", path(&split), "--out", path(&out), "--resume"]);
    let messages = String::from_utf8_lossy(&said.stderr);
    assert!(said.status.success() && messages.contains("starting from the beginning"), "{messages}");
    assert!(out.join("detector.safetensors").is_file());
    let again = fails(2, &words(&split, &out, "1"));
    assert!(again.contains("already holds a run"), "{again}");
}

#[test]
fn train_resumes_with_more_epochs_but_no_other_changes() {
    let folder = tempfile::tempdir().unwrap();
    let split = crops(folder.path(), false);
    let out = folder.path().join("run");
    succeeds(&words(&split, &out, "1"));
    let (output, said) = run(&words(&split, &out, "3"), &["--resume"]);
    assert!(output.status.success() && said.contains("resuming after epoch 1"), "{said}");
    let history = fs::read_to_string(out.join("history.jsonl")).unwrap();
    assert_eq!(history.lines().count(), 3);
    assert!(fs::read_to_string(out.join("config.toml")).unwrap().contains("epochs = 3"));
    let (output, said) = run(&words(&split, &out, "2"), &["--resume"]);
    assert!(!output.status.success() && said.contains("it has 3 epochs"), "{said}");
    let (output, said) = run(&words(&split, &out, "4"), &["--resume", "--seed", "5"]);
    assert!(!output.status.success() && said.contains("another configuration (`seed = 5`"), "{said}");
}

#[test]
fn train_has_replicas_and_resumes_with_other_numbers() {
    let folder = tempfile::tempdir().unwrap();
    let split = crops(folder.path(), false);
    let out = folder.path().join("run");
    let (output, said) = run(&words(&split, &out, "1"), &["--replicas", "2"]);
    assert!(output.status.success() && said.contains(", 2 replicas"), "{said}");
    let (output, said) = run(&words(&split, &out, "2"), &["--resume", "--replicas", "1"]);
    assert!(output.status.success() && !said.contains("replicas"), "{said}");
    let refused = |more: &[&str]| {
        let (output, said) = run(&words(&split, &folder.path().join("none"), "1"), more);
        assert_eq!(output.status.code(), Some(2), "{said}");
        said
    };
    assert!(refused(&["--replicas", "0"]).contains("setting `replicas`: must be 1 or more"));
    assert!(refused(&["--replicas", "3"]).contains("use at most 2"));
    assert!(refused(&["--device", "cpu,cpu"]).contains("name each device once"));
    assert!(refused(&["--device", "cpu:1"]).contains("cuda:NUMBER"));
}

#[test]
fn train_skips_and_lists_damaged_crops_and_audit_names_them() {
    let folder = tempfile::tempdir().unwrap();
    let split = crops(folder.path(), false);
    let out = folder.path().join("run");
    let damaged = ["02.png", "07.png", "15.png"];
    for name in damaged {
        let file = folder.path().join(name);
        let bytes = fs::read(&file).unwrap();
        fs::write(&file, &bytes[..bytes.len() / 2]).unwrap();
    }
    let audit = deeptell(&["--threads", "1", "audit", path(&split), "--resamples", "20"]);
    let said = String::from_utf8_lossy(&audit.stdout);
    assert_eq!(audit.status.code(), Some(1), "{said}");
    assert!(
        said.contains("3 files cannot be read:") && damaged.iter().all(|name| said.contains(name)),
        "{said}"
    );

    let (output, said) = run(&words(&split, &out, "2"), &[]);
    assert!(output.status.success(), "{said}");
    for name in damaged {
        assert_eq!(said.matches(&format!("{name}: ")).count(), 1, "{name}: {said}");
    }
    let list = fs::read_to_string(out.join("skipped.jsonl")).unwrap();
    assert!(list.lines().count() == 3 && damaged.iter().all(|name| list.contains(name)), "{list}");
    assert!(out.join("detector.safetensors").is_file());

    // A disk that is not there is not a data set to train on.
    for number in 0..12 {
        fs::remove_file(folder.path().join(format!("{number:02}.png"))).unwrap();
    }
    let said = fails(2, &words(&split, &folder.path().join("other"), "2"));
    assert!(said.contains("pictures cannot be read, the first is") && said.contains("disk"), "{said}");
    // No advice to continue what cannot be continued.
    for command in [
        vec!["preview", path(&split), "--out", "none.png"],
        vec!["eval", "--manifest", path(&split), "--split", "all"],
    ] {
        let said = fails(2, &command);
        assert!(said.contains("cannot read") && !said.contains("--resume"), "{said}");
    }
}

#[test]
fn train_without_a_calibration_writes_figures_but_no_detector() {
    let folder = tempfile::tempdir().unwrap();
    let split = crops(folder.path(), true);
    let out = folder.path().join("run");
    let said = fails(2, &words(&split, &out, "2"));
    assert!(said.contains("the validation scores cannot be calibrated"), "{said}");
    for left in ["metrics.json", "report.html", "validation.csv", "history.jsonl", "best.safetensors"] {
        assert!(out.join(left).is_file(), "{left}");
    }
    assert!(json(&out.join("metrics.json"))["validation"]["auc"].as_f64().unwrap() < 0.5);
    assert!(!out.join("detector.safetensors").exists());
    for left in ["best.safetensors", "last/network.bpk"] {
        let scan = deeptell(&["scan", path(&clip("real/orl-s01.mp4")), "--model", path(&out.join(left))]);
        assert_eq!(scan.status.code(), Some(2), "{left} is not a model");
    }
}

#[test]
fn eval_and_calibrate_accept_an_incomplete_data_set_on_request() {
    let folder = tempfile::tempdir().unwrap();
    let split = crops(folder.path(), false);
    let out = folder.path().join("run");
    succeeds(&words(&split, &out, "2"));
    let detector = out.join("detector.safetensors");
    // A table of the validation crops and one that is not there.
    let rows = (12..21).map(|number| {
        let label = if number % 2 == 0 { "real" } else { "fake" };
        format!("{number}.png,validation,{label},s{}\n", number / 2)
    });
    let table = format!("file,split,label,source\n{}", rows.collect::<String>());
    fs::write(folder.path().join("index.csv"), table).unwrap();
    let (figures, calibrated) = (folder.path().join("eval.json"), folder.path().join("again.safetensors"));
    let page = folder.path().join("eval.html");
    let eval = ["eval", "--manifest", path(folder.path()), "--split", "validation", "--resamples", "100"];
    let eval = [&eval[..], &["--model", path(&detector), "--json", path(&figures), "--html", path(&page)]];
    let calibrate = ["calibrate", path(folder.path()), "--model", path(&detector), "-o", path(&calibrated)];
    for words in [&eval.concat()[..], &calibrate] {
        let said = fails(2, words);
        assert!(said.contains("1 of 9 files listed in") && said.contains("--incomplete"), "{said}");
        let output = deeptell(&[words, &["--incomplete"]].concat());
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{said}");
        assert!(said.contains("continuing with the other 8 files") && said.contains("20.png"), "{said}");
        if words[0] == "calibrate" {
            let document: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
            assert_eq!(document["files_missing"], 1);
        }
    }
    let figures = json(&figures);
    assert_eq!((&figures["files_missing"], &figures["n_real"]), (&1.into(), &4.into()));
    assert!(fs::read_to_string(page).unwrap().contains("1 listed files are missing"));
    assert!(calibrated.is_file());
}

#[test]
fn leave_one_out_trains_without_each_method_and_resumes() {
    let folder = tempfile::tempdir().unwrap();
    let split = crops(folder.path(), false);
    // Two methods that both make faces blue: what is learned of one holds for the other.
    let mut samples = deeptell_data::read_manifest(&split).unwrap();
    for (number, sample) in samples.iter_mut().enumerate() {
        sample.dataset = Some("colors".to_owned());
        sample.method = sample.label.is_fake().then(|| ["m/1", "m/2"][number / 2 % 2].to_owned());
    }
    write_manifest(&split, &samples).unwrap();
    let out = folder.path().join("folds");
    let config = split.with_file_name("train.toml");
    let words = [
        ["--threads", "1", "leave-one-out", path(&split), "--by", "method"],
        ["--init", "shipped", "--config", path(&config), "--out", path(&out)],
    ]
    .concat();
    let table = succeeds(&[&words[..], &["--epochs", "2"]].concat());
    for name in ["m/1", "m/2", "mean"] {
        assert!(table.contains(name), "{table}");
    }
    let figures = json(&out.join("leave-one-out.json"));
    let left_out = figures["left_out"].as_array().unwrap();
    assert_eq!(left_out.len(), 2);
    for row in left_out {
        assert_eq!((row["n_real"].as_u64(), row["n_fake"].as_u64()), (Some(4), Some(2)), "{row}");
        assert!(row["auc"][1].as_f64().unwrap() > 0.7, "{figures}");
    }
    // What is finished is not trained again, and gives the same figures.
    let weights =
        |name: &str| fs::metadata(out.join(name).join("best.safetensors")).unwrap().modified().unwrap();
    let before = ["everything", "without-m-1", "without-m-2"].map(weights);
    succeeds(&[&words[..], &["--epochs", "2", "--resume"]].concat());
    assert_eq!(["everything", "without-m-1", "without-m-2"].map(weights), before);
    assert_eq!(json(&out.join("leave-one-out.json")), figures);
    let said = fails(2, &[&words[..], &["--only", "m/3"]].concat());
    assert!(said.contains("m/3") && said.contains("m/1, m/2"), "{said}");
}
