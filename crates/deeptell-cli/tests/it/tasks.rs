//! `extract` and `scan` as tasks of an array.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use super::{data_set, fails, path, succeeds};

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

#[test]
fn status_and_merge_of_an_array_from_the_first_task_to_the_manifest() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    data_set(&at("set"), &["orl-s01", "orl-s02"]);
    fs::write(at("set/fake/broken.mp4"), "no video").unwrap();
    let (data, parts, alone, all) = (at("set"), at("parts"), at("alone"), at("new/all.jsonl"));
    let settings = ["--frames", "2", "--min-probability", "0.8", "--allow-failures"];
    let extract = |out: &Path, shard: &[&str]| {
        succeeds(&[&["extract", path(&data), "--out", path(out)], &settings[..], shard].concat());
    };
    let task = |index: &str| extract(&parts.join("{shard}"), &["--shards", "3", "--shard-index", index]);
    let status = ["status", path(&parts), "--data", path(&data)];
    let merge = ["merge", path(&parts), "--data", path(&data)];

    assert!(fails(2, &status).contains("holds no extraction"));
    task("1");
    let run = super::deeptell(&status);
    let said = String::from_utf8_lossy(&run.stdout);
    assert!(run.status.code() == Some(1) && said.contains("3 shards: 1 finished, 2 not begun"), "{said}");
    let run = super::deeptell(&[&status[..], &["--json"]].concat());
    let found: serde_json::Value = serde_json::from_slice(&run.stdout).unwrap();
    assert_eq!((&found["resubmit"], &found["is_finished"]), (&"0,2".into(), &false.into()), "{found}");
    let said = fails(2, &merge);
    assert!(said.contains("run shards 0,2 of 3 again: --array=0,2 for Slurm"), "{said}");
    assert!(!parts.join("manifest.jsonl").exists());
    task("0");
    task("2");
    assert!(succeeds(&status).contains("1 failed (1 unsupported), 0 waiting"));
    for name in deeptell_extract::OUTPUT_FILES {
        let theirs = parts.join("0").join(name);
        fails(2, &[&status[..], &[format!("--json={}", path(&theirs)).as_str()]].concat());
        fails(2, &[&merge[..], &["--out", path(&theirs)]].concat());
    }
    succeeds(&merge);
    succeeds(&[&merge[..], &["--out", path(&all)]].concat());
    extract(&alone, &[]);
    let text = |path: &Path| fs::read_to_string(path).unwrap();
    let without = |text: String, folder: &str| {
        (0..3).fold(text, |text, shard| text.replace(&format!("{folder}{shard}/crops/"), "crops/"))
    };
    let whole = text(&alone.join("manifest.jsonl"));
    assert_eq!(whole.lines().count(), 9);
    assert_eq!(without(text(&parts.join("manifest.jsonl")), ""), whole);
    assert_eq!(without(text(&all), &format!("{}/", parts.display())), whole);
    // Manifests one by one need a name for the result, and have an order of their own.
    let named = ["0", "1", "2"].map(|shard| parts.join(shard).join("manifest.jsonl"));
    let words = [&["merge"], &named.each_ref().map(|manifest| path(manifest))[..]].concat();
    assert!(fails(2, &words).contains("-o FILE"));
    succeeds(&[&words[..], &["--out", path(&all)]].concat());
    assert_eq!(text(&all).lines().count(), 9);
}

#[test]
fn a_task_succeeds_with_no_more_failures_than_allowed() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    data_set(&at("set"), &["orl-s01"]);
    fs::write(at("set/real/broken.mp4"), "no video").unwrap();
    let (data, out) = (at("set"), at("out"));
    let extract = ["extract", path(&data), "--out", path(&out), "--frames", "2", "--min-probability", "0.8"];
    let scan = ["scan", path(&data), "--frames", "1"];
    for words in [&extract[..], &scan[..]] {
        fails(1, words);
        fails(1, &[words, &["--allow-failures=33%"]].concat());
        succeeds(&[words, &["--allow-failures=0.34"]].concat());
        succeeds(&[words, &["--allow-failures"]].concat());
        fails(2, &[words, &["--allow-failures=34"]].concat());
    }
    let failures = fs::read_to_string(at("out/failures.jsonl")).unwrap();
    assert!(failures.contains(r#""reason":"unsupported""#), "{failures}");
    let run = super::deeptell(&[&extract[..], &["--redo", "none"]].concat());
    let said = String::from_utf8_lossy(&run.stderr);
    assert!(said.contains("1 files failed in an earlier run and are not tried again"), "{said}");
    assert!(run.status.code() == Some(1) && !said.contains("failed: "), "{said}");
    let said = fails(2, &[&extract[..], &["--redo", "slow"]].concat());
    assert!(said.contains("`slow` is not a reason") && said.contains("no-face"), "{said}");
}

/// How many files an extraction has done.
#[cfg(unix)]
fn done(out: &Path) -> usize {
    let entries = fs::read_dir(out.join("done")).into_iter().flatten().flatten();
    entries.filter(|entry| entry.path().extension().is_some_and(|end| end == "jsonl")).count()
}

/// Waits until this holds, which it soon does.
#[cfg(unix)]
fn wait(what: &str, until: impl Fn() -> bool) {
    let began = std::time::Instant::now();
    while !until() {
        assert!(began.elapsed() < std::time::Duration::from_secs(50), "{what}");
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
}

#[cfg(unix)]
#[test]
fn a_termination_that_comes_twice_ends_after_the_file_under_way() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    data_set(&at("set"), &["orl-s01", "orl-s02", "orl-s03"]);
    let (data, out) = (at("set"), at("out"));
    let words = ["extract", path(&data), "--out", path(&out), "--threads", "1", "--min-probability", "0.8"];
    let mut child = Command::new(env!("CARGO_BIN_EXE_deeptell"))
        .args(words)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    wait("the first file", || done(&out) > 0);
    // As from a scheduler that signals the group, and from a script that passes it on.
    for _ in 0..2 {
        assert!(Command::new("kill").args(["-TERM", &child.id().to_string()]).status().unwrap().success());
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    assert_eq!(child.wait().unwrap().code(), Some(130));
    let before = done(&out);
    assert!((1..6).contains(&before), "{before}");
    assert!(!out.join("deeptell.lock").exists() && !out.join("manifest.jsonl").exists());
    let run = super::deeptell(&words);
    let said = String::from_utf8_lossy(&run.stderr);
    assert!(
        run.status.success() && said.contains(&format!("{before} of 6 files are already done")),
        "{said}"
    );
}

/// A scheduler that dies leaves no second writer running.
#[cfg(unix)]
#[test]
fn a_task_ends_with_its_parent_on_request() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    data_set(&at("set"), &["orl-s01", "orl-s02", "orl-s03"]);
    // Work of far more than a minute.
    let data = at("long.jsonl");
    let clips = deeptell_data::read_dataset(at("set")).unwrap();
    let mut rows = Vec::new();
    for number in 0..200 {
        let name = at(&format!("{number}.mp4"));
        fs::hard_link(&clips[number % 6].path, &name).unwrap();
        rows.push(clips[number % 6].clone().path(name));
    }
    deeptell_data::write_manifest(&data, &rows).unwrap();
    let out = at("out");
    let command = format!(
        "'{}' extract '{}' --out '{}' --frames 200 --threads 1 --end-with-parent & wait",
        env!("CARGO_BIN_EXE_deeptell"),
        path(&data),
        path(&out)
    );
    let mut parent = Command::new("sh").args(["-c", &command]).stderr(Stdio::null()).spawn().unwrap();
    wait("the first file", || done(&out) > 0);
    assert!(matches!(deeptell_files::FolderLock::acquire(&out), Err(deeptell_files::LockError::Held { .. })));
    parent.kill().unwrap();
    parent.wait().unwrap();
    wait("the end of the orphan", || deeptell_files::FolderLock::acquire(&out).is_ok());
    assert!(done(&out) < 100, "it was killed, and did not end by itself");
}

/// Every process below another.
#[cfg(target_os = "linux")]
fn descendants(process: u32) -> Vec<u32> {
    let tasks = fs::read_dir(format!("/proc/{process}/task")).into_iter().flatten().flatten();
    let lists = tasks.filter_map(|task| fs::read_to_string(task.path().join("children")).ok());
    let children: Vec<u32> =
        lists.flat_map(|list| list.split(' ').filter_map(|id| id.parse().ok()).collect::<Vec<_>>()).collect();
    children.iter().flat_map(|child| [vec![*child], descendants(*child)].concat()).collect()
}

/// As Slurm does when it cancels a task, and the kernel when memory runs out.
#[cfg(target_os = "linux")]
#[test]
fn signals_to_decoders_are_not_failures_of_their_files() {
    let folder = tempfile::tempdir().unwrap();
    let (data, out) = (folder.path().join("set"), folder.path().join("out"));
    data_set(&data, &["orl-s01", "orl-s02", "orl-s03"]);
    let words = ["--threads", "2", "extract", path(&data), "--out", path(&out), "--frames", "60"];
    let words = [&words[..], &["--min-probability", "0.8"]].concat();
    let start = || {
        let mut command = Command::new(env!("CARGO_BIN_EXE_deeptell"));
        command.args(&words).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command.spawn().unwrap()
    };
    let signal = |signal: &str, processes: &[u32]| {
        let names = processes.iter().map(u32::to_string);
        let _ = Command::new("kill").arg(signal).args(names).stderr(Stdio::null()).status().unwrap();
    };
    let failures = || {
        let entries = fs::read_dir(out.join("done")).into_iter().flatten().flatten();
        entries.filter(|entry| entry.path().extension().is_some_and(|end| end == "failed")).count()
    };
    // To all at once, while two files are under way.
    let running = start();
    wait("two decoders", || descendants(running.id()).len() >= 3);
    signal("-TERM", &[vec![running.id()], descendants(running.id())].concat());
    let output = running.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.code() == Some(130) && failures() == 0 && !said.contains("failed:"), "{said}");
    // To one decoder, whose file is tried again.
    let running = start();
    wait("a decoder", || descendants(running.id()).len() >= 2);
    let leaf = *descendants(running.id()).last().unwrap();
    signal("-KILL", &[leaf]);
    let output = running.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success() && failures() == 0 && !said.contains("failed:"), "{said}");
    assert_eq!(done(&out), 6);
}
