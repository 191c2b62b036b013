//! `scan --jsonl --resume`: what is in the file before, and kills at any moment.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use rand::{RngExt as _, SeedableRng as _};

use super::{clip, deeptell, fails, path};

/// Copies clips of the sample into `folder` under other names.
fn copy(folder: &Path, clips: &[(&str, &str)]) {
    for (name, from) in clips {
        fs::copy(clip(from), folder.join(name)).unwrap();
    }
}

fn resume<'a>(journal: &'a Path, inputs: &[&'a Path]) -> Vec<&'a str> {
    let mut words = vec!["scan", "--frames", "1", "--threads", "1", "--jsonl", path(journal), "--resume"];
    words.extend(inputs.iter().map(|input| path(input)));
    words
}

/// The lines of a journal by the name of the file they are about; each must be whole and alone.
fn lines(journal: &Path) -> BTreeMap<String, String> {
    let text = fs::read_to_string(journal).unwrap();
    assert!(text.ends_with('\n'), "{text:?}");
    let mut lines = BTreeMap::new();
    for line in text.lines() {
        let value: serde_json::Value = serde_json::from_str(line).unwrap();
        let name = value["input"]["path"].as_str().or(value["path"].as_str()).unwrap().to_owned();
        assert!(lines.insert(name, line.to_owned()).is_none(), "two lines about one file: {line}");
    }
    lines
}

#[test]
fn resume_keeps_lines_of_other_inputs() {
    let folder = tempfile::tempdir().unwrap();
    copy(folder.path(), &[("a.mp4", "real/orl-s01.mp4"), ("b.mp4", "real/orl-s02.mp4")]);
    fs::write(folder.path().join("broken.mp4"), "not a video").unwrap();
    let journal = folder.path().join("scan.jsonl");
    let at = |name: &str| folder.path().join(name);
    fails(1, &resume(&journal, &[&at("a.mp4"), &at("broken.mp4")]));
    let first = lines(&journal);
    assert_eq!(first.len(), 2);
    assert!(deeptell(&resume(&journal, &[&at("b.mp4")])).status.success());
    let second = lines(&journal);
    assert_eq!(second.len(), 3);
    assert!(first.iter().all(|(name, line)| second[name] == *line));
    // What is scanned again takes the place of its old line.
    fs::write(at("a.mp4"), fs::read(clip("real/orl-s03.mp4")).unwrap()).unwrap();
    assert!(deeptell(&resume(&journal, &[&at("a.mp4")])).status.success());
    let third = lines(&journal);
    assert_eq!(third.len(), 3);
    assert_ne!(third[path(&at("a.mp4"))], second[path(&at("a.mp4"))]);
}

/// As versions before schema 2 wrote reports.
#[test]
fn a_report_of_an_older_schema_is_scanned_again_and_one_of_another_file_stays() {
    let folder = tempfile::tempdir().unwrap();
    copy(folder.path(), &[("a.mp4", "real/orl-s01.mp4")]);
    let (journal, input) = (folder.path().join("scan.jsonl"), folder.path().join("a.mp4"));
    let old = |file: &str| {
        let input = serde_json::json!({"name": "clip", "path": file, "kind": "video"});
        let reason = serde_json::json!({"code": "no_face", "text": "No face was found."});
        serde_json::json!({"schema_version": 1, "input": input, "tracks": [], "reasons": [reason]})
            .to_string()
    };
    fs::write(&journal, format!("{}\n{}\n", old(path(&input)), old("elsewhere.mp4"))).unwrap();
    assert!(deeptell(&resume(&journal, &[&input])).status.success());
    let lines = lines(&journal);
    assert_eq!(lines["elsewhere.mp4"], old("elsewhere.mp4"));
    let new: serde_json::Value = serde_json::from_str(&lines[path(&input)]).unwrap();
    assert_eq!((lines.len(), &new["schema_version"]), (2, &2.into()));
    assert!(new["people"].is_array() && new["reasons"][0]["text"].is_string(), "{new}");
}

#[test]
fn resume_scans_again_after_a_line_cut_at_any_byte() {
    let folder = tempfile::tempdir().unwrap();
    copy(folder.path(), &[("a.mp4", "real/orl-s01.mp4"), ("vidéo 顔.mp4", "real/orl-s02.mp4")]);
    let journal = folder.path().join("scan.jsonl");
    let inputs = [folder.path().join("a.mp4"), folder.path().join("vidéo 顔.mp4")];
    let inputs: Vec<&Path> = inputs.iter().map(PathBuf::as_path).collect();
    assert!(deeptell(&resume(&journal, &inputs)).status.success());
    let whole = lines(&journal);
    let (one, other) = (&whole[path(inputs[0])], &whole[path(inputs[1])]);
    let inside = other.find('é').unwrap() + 1;
    for (cut, done) in [(inside, 1), (1, 1), (other.len() - 1, 1), (other.len(), 2)] {
        let torn = [one.as_bytes(), b"\n", &other.as_bytes()[..cut]].concat();
        fs::write(&journal, torn).unwrap();
        let output = deeptell(&resume(&journal, &inputs));
        let messages = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(
            output.status.success() && messages.contains(&format!("{done} of 2 files are already done")),
            "{messages}"
        );
        assert_eq!(lines(&journal), whole, "cut after {cut} bytes");
    }
}

#[test]
fn resume_refuses_a_file_that_no_scan_wrote() {
    let folder = tempfile::tempdir().unwrap();
    let real = clip("real/orl-s01.mp4");
    let file = folder.path().join("dear.jsonl");
    for content in [
        "the only copy of something dear\n",
        "no end of line",
        "{\"path\": 1}\n",
        "{\"path\":\"a\",\"error\":\"b\",\"more\":1}\n",
    ] {
        fs::write(&file, content).unwrap();
        let messages = fails(2, &resume(&file, &[&real]));
        assert!(messages.contains("is this the right --jsonl file?"), "{content:?}: {messages}");
        assert!(!messages.contains("variant"), "{messages}");
        assert_eq!(fs::read_to_string(&file).unwrap(), content);
    }
}

#[cfg(unix)]
#[test]
fn resume_recognizes_names_that_are_not_unicode() {
    use std::os::unix::ffi::OsStrExt as _;
    let folder = tempfile::tempdir().unwrap();
    let name = std::ffi::OsStr::from_bytes(b"a\xff.mp4");
    fs::copy(clip("real/orl-s01.mp4"), folder.path().join(name)).unwrap();
    let journal = folder.path().join("scan.jsonl");
    for done in ["0 of 1", "1 of 1"] {
        let output = deeptell(&resume(&journal, &[folder.path()]));
        let messages = String::from_utf8_lossy(&output.stderr).into_owned();
        // The journal is in the folder as well, and is not a picture.
        assert!(output.status.success() && messages.contains(done), "{messages}");
        assert_eq!(lines(&journal).len(), 1);
    }
}

/// Killed ten times at random moments, and then let run to its end.
#[test]
fn resume_after_random_kills_has_each_report_once() {
    let folder = tempfile::tempdir().unwrap();
    let clips = [
        ("1.mp4", "real/orl-s01.mp4"),
        ("2.mp4", "fake/orl-s01.mp4"),
        ("é3.mp4", "real/orl-s02.mp4"),
        ("4.mp4", "fake/orl-s02.mp4"),
    ];
    let videos = folder.path().join("videos");
    fs::create_dir(&videos).unwrap();
    copy(&videos, &clips);
    let (killed, alone) = (folder.path().join("killed.jsonl"), folder.path().join("alone.jsonl"));
    assert!(deeptell(&resume(&alone, &[&videos])).status.success());
    let expected = lines(&alone);
    assert_eq!(expected.len(), clips.len());

    let mut random = rand_chacha::ChaCha8Rng::seed_from_u64(7);
    for kill in 0..10 {
        let mut child = Command::new(env!("CARGO_BIN_EXE_deeptell"))
            .args(resume(&killed, &[&videos]))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        std::thread::sleep(Duration::from_millis(random.random_range(30..900)));
        child.kill().unwrap();
        child.wait().unwrap();
        // Whatever is there now: whole lines of an undisturbed run, and at most the beginning of one.
        let Ok(bytes) = fs::read(&killed) else { continue };
        let end = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |last| last + 1);
        for line in String::from_utf8(bytes[..end].to_vec()).unwrap().lines() {
            assert!(expected.values().any(|whole| whole == line), "kill {kill}: {line}");
        }
    }
    assert!(deeptell(&resume(&killed, &[&videos])).status.success());
    assert_eq!(lines(&killed), expected);
}

/// Decoders end with the scan that they decode for.
#[cfg(target_os = "linux")]
#[test]
fn a_killed_scan_leaves_no_process_behind() {
    let folder = tempfile::tempdir().unwrap();
    // A mark in the environment would not do: decoders do not get it. Their program and their parents are known.
    let descendants = |root: u32| -> Vec<u32> {
        let parents: Vec<(u32, u32)> = fs::read_dir("/proc")
            .unwrap()
            .filter_map(|entry| {
                let id = entry.ok()?.file_name().to_str()?.parse::<u32>().ok()?;
                let stat = fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
                Some((id, stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()?))
            })
            .collect();
        let mut found = vec![root];
        let mut next = 0;
        while let Some(&parent) = found.get(next) {
            found.extend(parents.iter().filter(|(_, of)| *of == parent).map(|(id, _)| *id));
            next += 1;
        }
        found.remove(0);
        found
    };
    let clips: Vec<(String, &str)> = (0..20).map(|n| (format!("{n}.mp4"), "real/orl-s01.mp4")).collect();
    for (name, from) in &clips {
        fs::copy(clip(from), folder.path().join(name)).unwrap();
    }
    let mut child = Command::new(env!("CARGO_BIN_EXE_deeptell"))
        .args(["scan", "--threads", "1", path(folder.path())])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let wait = |what: &str, mut until: Box<dyn FnMut() -> bool + '_>| {
        let began = std::time::Instant::now();
        while !until() {
            assert!(began.elapsed() < Duration::from_secs(20), "{what}");
            std::thread::sleep(Duration::from_millis(5));
        }
    };
    let mut left = Vec::new();
    wait(
        "a launcher and a decoder",
        Box::new(|| {
            left = descendants(child.id());
            left.len() >= 2
        }),
    );
    child.kill().unwrap();
    child.wait().unwrap();
    let lives = |id: &u32| {
        // One that has ended and was not waited for yet has no memory any more.
        fs::read_to_string(format!("/proc/{id}/statm")).is_ok_and(|sizes| !sizes.starts_with("0 "))
    };
    wait("the end of its processes", Box::new(|| !left.iter().any(lives)));
}
