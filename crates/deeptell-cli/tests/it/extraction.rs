//! `extract`: interruptions, moved folders, concurrent runs, incomplete data sets.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use deeptell_data::{Sample, read_contents, read_manifest};
use deeptell_files::sha256;

use super::{clip, data_set, deeptell, fails, path, succeeds};

fn words<'a>(data: &'a Path, out: &'a Path, store: &'a str) -> Vec<&'a str> {
    let one_thread = ["--threads", "1", "extract", path(data), "--out", path(out)];
    [&one_thread[..], &["--frames", "4", "--min-probability", "0.8", "--store", store]].concat()
}

fn start(words: &[&str]) -> Child {
    let mut command = Command::new(env!("CARGO_BIN_EXE_deeptell"));
    command.args(words).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap()
}

/// Every crop of a manifest by its name, with its digest and its row. Checks that each is there, and none twice.
fn crops(out: &Path) -> BTreeMap<String, (String, Sample)> {
    let rows = read_manifest(out.join("manifest.jsonl")).unwrap();
    let count = rows.len();
    let crops: BTreeMap<_, _> = rows
        .into_iter()
        .map(|row| {
            let name = row.path.file_name().unwrap().to_str().unwrap().to_owned();
            let digest = sha256(&read_contents(&row.path).unwrap());
            (name, (digest, row.path("crop".into()).video(None)))
        })
        .collect();
    assert_eq!(crops.len(), count, "a crop is there twice");
    crops
}

/// Files below a folder that have this ending.
fn files(folder: &Path, ending: &str) -> Vec<PathBuf> {
    let entries = walkdir::WalkDir::new(folder).sort_by_file_name().into_iter().map(|entry| entry.unwrap());
    let paths = entries.filter(|entry| entry.file_type().is_file()).map(walkdir::DirEntry::into_path);
    paths.filter(|path| path.to_str().unwrap().ends_with(ending)).collect()
}

/// Nothing that a killed run left, and a crop for every file.
fn is_tidy(out: &Path) {
    for ending in [".partial", "deeptell.lock"] {
        assert_eq!(files(out, ending), Vec::<PathBuf>::new());
    }
    if out.join("crops").exists() {
        assert_eq!(files(&out.join("crops"), "").len(), crops(out).len(), "crops without a row");
    }
}

#[test]
fn extract_after_random_kills_has_each_crop_once() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let data = at("set");
    data_set(&data, &["orl-s01", "orl-s02"]);
    let began = std::time::Instant::now();
    succeeds(&words(&data, &at("alone"), "files"));
    let whole = began.elapsed();
    let alone = crops(&at("alone"));
    assert!(alone.len() > 12, "{} crops", alone.len());
    for (store, writers) in [("files", 1), ("tar", 1), ("tar", 2)] {
        let out = at(&format!("{store}{writers}"));
        let words = words(&data, &out, store);
        for moment in 0..10_u32 {
            let mut running: Vec<Child> = (0..writers).map(|_| start(&words)).collect();
            // Moments all over a run, in no order, and closer together at its beginning.
            let share = f64::from(moment * 7 % 10 + 1) / 10.0;
            std::thread::sleep(whole.mul_f64(0.5 * share * share));
            for child in &mut running {
                child.kill().unwrap();
            }
            for child in running {
                let said = child.wait_with_output().unwrap();
                let said = String::from_utf8_lossy(&said.stderr).into_owned();
                assert!(
                    !said.contains("error:") || said.contains("another deeptell is working in"),
                    "{said}"
                );
            }
        }
        succeeds(&words);
        assert_eq!(crops(&out), alone, "{store}, {writers} at once");
        is_tidy(&out);
    }
}

#[test]
fn a_second_extract_into_the_same_folder_names_the_first() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    data_set(&at("set"), &["orl-s01"]);
    let (data, out) = (at("set"), at("out"));
    let words = words(&data, &out, "tar");
    let mut first = start(&words);
    while !out.join("deeptell.lock").exists() {
        assert!(first.try_wait().unwrap().is_none(), "it ended before it had the lock");
        std::thread::sleep(Duration::from_millis(1));
    }
    // It stands still while the second one looks.
    let signal = |signal: &str| {
        assert!(
            Command::new("kill").args([signal, first.id().to_string().as_str()]).status().unwrap().success()
        );
    };
    signal("-STOP");
    let said = fails(2, &words);
    signal("-CONT");
    let holder = format!("process {} on host ", first.id());
    assert!(said.contains("another deeptell is working in") && said.contains(&holder), "{said}");
    assert!(first.wait().unwrap().success());
    assert!(!crops(&out).is_empty());
    is_tidy(&out);
}

#[test]
fn extract_resumes_after_data_set_and_crops_were_moved() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    for store in ["files", "tar"] {
        let [data, out] = ["set", "out"].map(|name| at(&format!("{store}-{name}")));
        data_set(&data, &["orl-s01"]);
        succeeds(&words(&data, &out, store));
        let before = crops(&out);

        let [moved, moved_out] = ["elsewhere/two", "elsewhere/crops"].map(|name| at(store).join(name));
        fs::create_dir_all(moved.parent().unwrap()).unwrap();
        fs::rename(&data, &moved).unwrap();
        fs::rename(&out, &moved_out).unwrap();
        let run = deeptell(&words(&moved, &moved_out, store));
        let said = String::from_utf8_lossy(&run.stderr);
        assert!(run.status.success() && said.contains("2 of 2 files are already done"), "{said}");
        assert_eq!(crops(&moved_out), before);
        assert_eq!(files(&moved_out.join("done"), "").len(), 2);
        let rows = read_manifest(moved_out.join("manifest.jsonl")).unwrap();
        let real = rows.iter().find(|row| !row.label.is_fake()).unwrap();
        assert_eq!(real.video.as_deref(), Some(path(&moved.join("real/orl-s01.mp4"))));
        is_tidy(&moved_out);

        // Another file of the same name is not the file that was done.
        fs::copy(clip("real/orl-s02.mp4"), moved.join("real/orl-s01.mp4")).unwrap();
        let run = deeptell(&words(&moved, &moved_out, store));
        assert!(String::from_utf8_lossy(&run.stderr).contains("1 of 2 files are already done"));
        assert_ne!(crops(&moved_out), before);
        is_tidy(&moved_out);
    }
}

#[test]
fn extract_cuts_missing_crops_again() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    data_set(&at("set"), &["orl-s01"]);
    for store in ["files", "tar"] {
        let (data, out) = (at("set"), at(store));
        succeeds(&words(&data, &out, store));
        let before = crops(&out);
        let crop = read_manifest(out.join("manifest.jsonl")).unwrap().remove(0).path;
        let file = if store == "tar" { crop.parent().unwrap() } else { &crop };
        fs::remove_file(file).unwrap();
        succeeds(&words(&data, &out, store));
        assert_eq!(crops(&out), before);
        is_tidy(&out);
    }
}

#[test]
fn extract_resumes_a_folder_of_an_earlier_version() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let (data, out) = (at("set"), at("out"));
    data_set(&data, &["orl-s01"]);
    succeeds(&words(&data, &out, "files"));
    let before = crops(&out);
    // Parts were named by the path as it was given, and the settings named no face detector.
    for (number, part) in files(&out.join("done"), ".jsonl").into_iter().enumerate() {
        fs::rename(part, out.join(format!("done/{number:012}.jsonl"))).unwrap();
    }
    let settings = fs::read_to_string(out.join("extract.toml")).unwrap();
    assert!(settings.contains("name = \"mtcnn\""), "{settings}");
    let mut table: toml::Table = settings.parse().unwrap();
    table.remove("face_detector").unwrap();
    fs::write(out.join("extract.toml"), toml::to_string(&table).unwrap()).unwrap();
    let run = deeptell(&words(&data, &out, "files"));
    assert!(String::from_utf8_lossy(&run.stderr).contains("2 of 2 files are already done"));
    assert_eq!(crops(&out), before);

    // Boxes of another face detector do not come into the same folder.
    let settings = fs::read_to_string(out.join("extract.toml")).unwrap();
    fs::write(out.join("extract.toml"), settings.replace("name = \"mtcnn\"", "name = \"other\"")).unwrap();
    let said = fails(2, &words(&data, &out, "files"));
    assert!(said.contains("holds faces found by other") && said.contains("use another folder"), "{said}");
}

#[test]
fn data_sets_with_masks_missing_files_and_bad_links_are_read() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let put = |name: &str| {
        fs::create_dir_all(at(name).parent().unwrap()).unwrap();
        fs::write(at(name), name).unwrap();
    };
    for number in 0..3 {
        let (real, fake) = (2 * number, 2 * number + 1);
        put(&format!("ff/original_sequences/youtube/c23/videos/{real:03}.mp4"));
        for folder in ["c23", "masks"] {
            put(&format!("ff/manipulated_sequences/Deepfakes/{folder}/videos/{real:03}_{fake:03}.mp4"));
        }
        put(&format!("celeb/Celeb-real/id{number}_0001.mp4"));
        put(&format!("celeb/Celeb-synthesis/id{number}_id{}_0001.mp4", number + 3));
    }
    let (ff, celeb, split) = (at("ff"), at("celeb"), at("split.jsonl"));
    let all = ["--train", "1", "--validation", "0", "--test", "0", "--out", path(&split)];
    let run = deeptell(&[&["split", path(&ff)], &all[..]].concat());
    let said = String::from_utf8_lossy(&run.stderr);
    assert!(run.status.success(), "{said}");
    assert!(said.contains("left out: ") && said.contains("Deepfakes/masks"), "{said}");
    let rows = read_manifest(&split).unwrap();
    assert_eq!(rows.len(), 6);
    assert!(rows.iter().all(|row| !path(&row.path).contains("masks")));

    fs::write(
        at("celeb/List_of_testing_videos.txt"),
        "1 Celeb-real/id0_0001.mp4\n1 Celeb-real/id7_0001.mp4\n0 Celeb-synthesis/id1_id9_0001.mp4\n",
    )
    .unwrap();
    let words = [&["split", path(&celeb)], &all[..]].concat();
    let said = fails(2, &words);
    assert!(said.contains("2 of 3 files listed in") && said.contains("pass --incomplete"), "{said}");
    let run = deeptell(&[&words[..], &["--incomplete"]].concat());
    let said = String::from_utf8_lossy(&run.stderr);
    assert!(
        run.status.success() && said.contains("are missing; continuing with the other 6 files"),
        "{said}"
    );
    for command in ["extract", "split", "audit", "preview", "train", "merge", "eval", "calibrate"] {
        assert!(succeeds(&[command, "--help"]).contains("--incomplete"), "{command}");
    }

    #[cfg(unix)]
    {
        std::os::unix::fs::symlink("nowhere.mp4", at("ff/manipulated_sequences/Deepfakes/c23/000_009.mp4"))
            .unwrap();
        let run = deeptell(&[&["split", path(&ff)], &all[..]].concat());
        let said = String::from_utf8_lossy(&run.stderr);
        assert_eq!(run.status.code(), Some(1), "{said}");
        assert!(said.contains("000_009.mp4"), "{said}");
        assert_eq!(read_manifest(&split).unwrap().len(), 6);
    }
}
