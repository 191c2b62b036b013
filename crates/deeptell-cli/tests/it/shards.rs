//! Crops in tar archives are the same crops.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use deeptell_data::{Sample, Split, read_contents, read_manifest, write_manifest};
use deeptell_files::sha256;

use super::{EXTRACT, crops, fails, json, path, succeeds};

const TAR: [&str; 4] = ["--store", "tar", "--tar-size", "1"];

/// What a row says but for where its crop lies, by the name and the bytes of the crop.
fn said(manifest: &Path) -> BTreeMap<String, (String, Sample)> {
    let rows = read_manifest(manifest).unwrap();
    let count = rows.len();
    let said: BTreeMap<_, _> = rows
        .into_iter()
        .map(|row| {
            let name = row.path.file_name().unwrap().to_str().unwrap().to_owned();
            let hash = sha256(&read_contents(&row.path).unwrap());
            (name, (hash, row.path("crop".into())))
        })
        .collect();
    assert_eq!(said.len(), count, "no crop is there twice");
    said
}

#[test]
fn extract_to_archives_equals_extract_to_files_after_a_kill() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let split = crops(folder.path());
    let files = read_manifest(&split).unwrap();

    // Killed once some clips are done, with an archive that lacks its end.
    let (clips, tar) = (at("clips.jsonl"), at("tar"));
    let words =
        [&["--threads", "1", "extract", path(&clips), "--out", path(&tar)], &TAR[..], &EXTRACT[..]].concat();
    let mut child = Command::new(env!("CARGO_BIN_EXE_deeptell"))
        .args(&words)
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let parts = || {
        let entries = fs::read_dir(tar.join("done")).into_iter().flatten().flatten();
        entries.filter(|entry| entry.path().extension().is_some_and(|end| end == "jsonl")).count()
    };
    while parts() < 3 {
        assert!(child.try_wait().unwrap().is_none(), "the extraction ended before three clips were done");
        std::thread::sleep(Duration::from_millis(2));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(parts() < 12 && !tar.join("manifest.jsonl").exists(), "killed too late to prove anything");
    let archives = || -> Vec<_> {
        let mut names: Vec<_> =
            fs::read_dir(tar.join("shards")).unwrap().map(|e| e.unwrap().path()).collect();
        names.sort();
        names
    };
    let open = archives().pop().unwrap();
    assert_eq!(open.extension().unwrap(), "partial");
    // And the worst that a kill can leave: half a member after the last whole one.
    let mut bytes = fs::read(&open).unwrap();
    bytes.extend_from_within(..700);
    fs::write(&open, bytes).unwrap();

    assert!(succeeds(&words).starts_with("36 crops from 12 of 12 files"));
    let archives = archives();
    assert!(archives.len() > 1 && archives.iter().all(|name| name.extension().unwrap() == "tar"));
    let manifest = tar.join("manifest.jsonl");
    assert_eq!(said(&manifest), said(&at("crops/manifest.jsonl")));
    let text = fs::read_to_string(&manifest).unwrap();
    assert!(text.contains(r#""path":"shards/crops-00000"#), "relative to the manifest");
    // Each crop has its row beside it.
    let row = &read_manifest(&manifest).unwrap()[0];
    let notes: Sample =
        serde_json::from_slice(&read_contents(row.path.with_extension("json")).unwrap()).unwrap();
    assert_eq!((&notes.source, notes.label), (&row.source, row.label));
    assert_eq!(Path::new(&notes.path), Path::new(row.path.file_name().unwrap()));

    // The same division, the same training, the same figures.
    let split_of: BTreeMap<_, Option<Split>> =
        files.iter().map(|row| (row.source.clone(), row.split)).collect();
    let mut rows = read_manifest(&manifest).unwrap();
    for row in &mut rows {
        row.split = split_of[&row.source];
    }
    let tar_split = at("tar-split.jsonl");
    write_manifest(&tar_split, &rows).unwrap();
    let config = at("train.toml");
    fs::write(&config, "sampling = \"triples\"\nbatch_size = 9\nepochs = 1\nseed = 3\n").unwrap();
    let [by_files, by_tar] = [(&split, "by-files"), (&tar_split, "by-tar")].map(|(data, out)| {
        let out = at(out);
        let train =
            ["train", path(data), "--config", path(&config), "--init", "shipped", "--out", path(&out)];
        succeeds(&train);
        let figures = at("figures.json");
        let eval = ["eval", "--manifest", path(data), "--resamples", "100", "--json", path(&figures)];
        succeeds(&[&eval[..], &["--model", path(&out.join("detector.safetensors"))]].concat());
        (fs::read(out.join("best.safetensors")).unwrap(), json(&figures)["auc"].clone())
    });
    assert!(by_files.0 == by_tar.0, "the weights differ");
    assert_eq!(by_files.1, by_tar.1);

    // What reads manifests says what is wrong with an archive.
    fs::remove_file(&archives[0]).unwrap();
    let messages = fails(2, &["eval", "--manifest", path(&tar_split), "--split", "all"]);
    let gone = archives[0].file_name().unwrap().to_str().unwrap();
    assert!(messages.contains(gone) && messages.contains("copy the shards"), "{messages}");
}

#[test]
fn merge_combines_archives_of_several_shards() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let mut clips = read_manifest(super::sample().join("manifest.jsonl")).unwrap();
    clips.truncate(6);
    write_manifest(at("clips.jsonl"), &clips).unwrap();
    let (clips, all) = (at("clips.jsonl"), at("all.jsonl"));
    let parts = ["1", "2"].map(|part| {
        let (out, shard) = (at(part), format!("{part}/2"));
        let words =
            ["extract", path(&clips), "--out", path(&out), "--shard", shard.as_str(), "--frames", "2"];
        succeeds(&[&words[..], &TAR[..]].concat());
        out.join("manifest.jsonl")
    });
    succeeds(&["merge", path(&parts[0]), path(&parts[1]), "--data", path(&clips), "--out", path(&all)]);
    let said = said(&all);
    assert_eq!(said.len(), parts.iter().map(|part| read_manifest(part).unwrap().len()).sum::<usize>());
    assert!(said.len() >= 6);
}
