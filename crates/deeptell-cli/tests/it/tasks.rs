//! `extract` and `scan` as tasks of an array.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use super::{clip, fails, path, succeeds};

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

/// Runs the program as a task in which a scheduler has set `variables`.
fn task(variables: &[(&str, &str)], words: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_deeptell"));
    command.args(words).envs(variables.iter().copied()).stdin(Stdio::null()).output().unwrap()
}

/// The rows of a manifest but for the folder that the crop lies in, by the name of the crop.
fn rows(manifest: &Path) -> BTreeMap<String, String> {
    let text = fs::read_to_string(manifest).unwrap();
    let rows = text.lines().skip(1).map(|line| {
        let row: serde_json::Value = serde_json::from_str(line).unwrap();
        let path = row["path"].as_str().unwrap();
        let name = path.rsplit('/').next().unwrap();
        (name.to_owned(), line.replace(path, name))
    });
    rows.collect()
}

#[test]
fn extract_as_an_array_equals_extract_alone() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    data_set(&at("set"), &["orl-s01", "orl-s02"]);
    let (data, parts, alone) = (at("set"), at("parts/{shard}"), at("alone"));
    let settings = ["--frames", "2", "--min-probability", "0.8"];
    succeeds(&[&["extract", path(&data), "--out", path(&alone)], &settings[..]].concat());
    let words = [&["extract", path(&data), "--out", path(&parts), "--shards", "3"], &settings[..]].concat();
    let by_auto = [&words[..], &["--shard-index", "auto"]].concat();
    // One from Slurm, one from Kubernetes, one by hand.
    let first = task(&[("SLURM_ARRAY_TASK_ID", "0"), ("SLURM_ARRAY_TASK_MAX", "2")], &by_auto);
    let second = task(&[("JOB_COMPLETION_INDEX", "1")], &by_auto);
    for output in [first, second] {
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
    succeeds(&[&words[..], &["--shard-index", "2"]].concat());
    let mut all = BTreeMap::new();
    for part in 0..3 {
        let found = rows(&at(&format!("parts/{part}/manifest.jsonl")));
        assert!(found.iter().all(|(name, row)| all.insert(name.clone(), row.clone()).is_none()));
    }
    assert_eq!(all, rows(&at("alone/manifest.jsonl")));

    // What is wrong is said before anything is written.
    let said = fails(2, &by_auto);
    assert!(said.contains("submit the command as an array") && said.contains("SGE_TASK_ID"), "{said}");
    let wrong = task(&[("SLURM_ARRAY_TASK_ID", "1"), ("SLURM_ARRAY_TASK_MAX", "3")], &by_auto);
    let said = String::from_utf8_lossy(&wrong.stderr);
    assert!(wrong.status.code() == Some(2) && said.contains("submit with --array=0-2"), "{said}");
    let said = fails(2, &["extract", path(&data), "--out", path(&parts)]);
    assert!(said.contains("{shard} needs a shard"), "{said}");
    assert_eq!(fs::read_dir(at("parts")).unwrap().count(), 3);
}

#[test]
fn scan_as_an_array_has_each_file_once() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    data_set(&at("set"), &["orl-s01"]);
    fs::write(at("set/broken.mp4"), "no video").unwrap();
    let (data, journals) = (at("set"), at("out/{shard}.jsonl"));
    let mut names = Vec::new();
    // More shards than files: some have none, and end well.
    for index in ["0", "1", "2", "3", "4"] {
        let words = ["scan", "--frames", "1", path(&data), "--jsonl", path(&journals), "--resume"];
        let words = [&words[..], &["--shard-index", "auto", "--shards", "5"]].concat();
        let output = task(&[("CLOUD_RUN_TASK_INDEX", index), ("CLOUD_RUN_TASK_COUNT", "5")], &words);
        let text = fs::read_to_string(at(&format!("out/{index}.jsonl"))).unwrap();
        let lines: Vec<serde_json::Value> =
            text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let is_broken = |line: &serde_json::Value| line["error"].is_string();
        assert_eq!(output.status.code(), Some(i32::from(lines.iter().any(is_broken))));
        let name = |line: &serde_json::Value| {
            line["input"]["path"].as_str().or(line["path"].as_str()).unwrap().to_owned()
        };
        names.extend(lines.iter().map(name));
    }
    names.sort();
    let expected = ["broken.mp4", "fake/orl-s01.mp4", "real/orl-s01.mp4"];
    assert_eq!(names, expected.map(|name| path(&data.join(name)).to_owned()));
}
