//! What a scan takes, what it leaves out, and what it says of it.

use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::Value;

use super::{clip, deeptell, fails, path, succeeds};

const ONE_FRAME: [&str; 5] = ["scan", "--frames", "1", "--threads", "1"];

/// Scans `input`: exit code, document and messages.
fn scan(inputs: &[&Path]) -> (Option<i32>, Value, String) {
    let mut words = ONE_FRAME.to_vec();
    words.extend(["--json", "-"]);
    words.extend(inputs.iter().map(|input| path(input)));
    let output = deeptell(&words);
    let document = serde_json::from_slice(&output.stdout).unwrap_or(Value::Null);
    (output.status.code(), document, String::from_utf8(output.stderr).unwrap())
}

fn count(document: &Value, key: &str) -> usize {
    document[key].as_array().map_or(0, Vec::len)
}

#[cfg(unix)]
#[test]
fn scan_continues_after_bad_links_and_empty_folders() {
    use std::os::unix::fs::symlink;
    let folder = tempfile::tempdir().unwrap();
    let set = folder.path().join("set");
    for (label, from) in [("real", "real/orl-s01.mp4"), ("fake", "fake/orl-s01.mp4")] {
        fs::create_dir_all(set.join(label)).unwrap();
        fs::copy(clip(from), set.join(label).join("a.mp4")).unwrap();
    }
    symlink("nowhere", set.join("real/README")).unwrap();
    symlink("..", set.join("fake/up")).unwrap();
    let (code, document, messages) = scan(&[&set]);
    assert_eq!(
        (code, count(&document, "reports"), count(&document, "failures")),
        (Some(1), 2, 2),
        "{messages}"
    );
    for told in ["README", "leads nowhere", "leads back to"] {
        assert!(messages.contains(told), "{messages}");
    }
    // Also beside a folder that holds nothing, and in a list.
    let empty = folder.path().join("empty");
    fs::create_dir(&empty).unwrap();
    let (code, document, messages) = scan(&[&empty, &set.join("real/a.mp4")]);
    assert_eq!((code, count(&document, "reports")), (Some(1), 1), "{messages}");
    assert!(messages.contains("no video and no picture"), "{messages}");
}

#[test]
fn no_output_overwrites_an_input() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    fs::copy(clip("real/orl-s01.mp4"), at("a.mp4")).unwrap();
    fs::hard_link(at("a.mp4"), at("b.json")).unwrap();
    fs::write(at("scores.csv"), "path,label,source,video,probability\n").unwrap();
    let (before, table) = (fs::read(at("a.mp4")).unwrap(), fs::read(at("scores.csv")).unwrap());
    for [command, option, target, input] in [
        ["scan", "--json", "a.mp4", "a.mp4"],
        ["scan", "--jsonl", "b.json", "a.mp4"],
        ["scan", "--csv", "./a.mp4", "a.mp4"],
        ["faces", "--json", "a.mp4", "a.mp4"],
        ["compare", "--json", "scores.csv", "scores.csv"],
    ] {
        let mut words = vec![command.to_owned(), at(input).display().to_string()];
        words.extend((command == "compare").then(|| at(input).display().to_string()));
        words.extend([option.to_owned(), at(target).display().to_string()]);
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        assert!(fails(2, &words).contains("is an input"), "{words:?}");
        assert!(fs::read(at("a.mp4")).unwrap() == before, "{words:?}");
        assert_eq!(fs::read(at("scores.csv")).unwrap(), table, "{words:?}");
    }
}

#[cfg(unix)]
#[test]
fn eval_continues_after_a_bad_link() {
    let folder = tempfile::tempdir().unwrap();
    for label in ["real", "fake"] {
        fs::create_dir(folder.path().join(label)).unwrap();
        for source in ["a", "b"] {
            let file = folder.path().join(label).join(source).with_extension("png");
            image::RgbImage::from_pixel(64, 64, image::Rgb([90, 120, 150])).save(file).unwrap();
        }
    }
    std::os::unix::fs::symlink("nowhere", folder.path().join("real/c.png")).unwrap();
    let output = deeptell(&["eval", "--resamples", "10", "--crops", path(folder.path())]);
    let document: Value = serde_json::from_slice(&output.stdout).unwrap_or(Value::Null);
    let messages = String::from_utf8(output.stderr).unwrap();
    let judged = &document["answers"]["real"];
    let count: u64 = judged.as_object().into_iter().flatten().filter_map(|(_, count)| count.as_u64()).sum();
    assert_eq!((output.status.code(), count), (Some(1), 2), "{messages}{document}");
    assert!(messages.contains("c.png") && messages.contains("leads nowhere"), "{messages}");
}

#[test]
fn skipped_files_are_counted_in_one_line() {
    let folder = tempfile::tempdir().unwrap();
    fs::copy(clip("real/orl-s01.mp4"), folder.path().join("a.MP4")).unwrap();
    for name in ["b.heic", "c.HEIC", "d.tif", "e.mxf"] {
        fs::write(folder.path().join(name), "x").unwrap();
    }
    let (code, _, messages) = scan(&[folder.path()]);
    assert_eq!(code, Some(0), "{messages}");
    let line = messages.lines().find(|line| line.contains("skipped")).unwrap();
    assert!(line.starts_with("skipped 4 files of other kinds: 2 .heic, "), "{line}");
}

#[test]
fn urls_are_refused() {
    let (code, document, messages) = scan(&[Path::new("https://video.example/clip.mp4")]);
    assert_eq!((code, count(&document, "failures")), (Some(1), 1), "{messages}");
    assert!(messages.contains("download"), "{messages}");
}

#[cfg(unix)]
fn scan_in(folder: &Path, words: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_deeptell"))
        .args(ONE_FRAME)
        .args(words)
        .current_dir(folder)
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

/// File names that try to write over the screen, to turn it round, or to add a verdict of their own.
#[cfg(unix)]
#[test]
fn control_characters_in_file_names_are_escaped_everywhere() {
    const NAMES: [&str; 4] = [
        "a\u{1b}]0;title\u{7}\u{1b}[31mred.mp4",
        "b\nc.mp4: likely real  score 0.001.mp4",
        "d\u{202e}4pm.mp4",
        "e\u{9b}2J\r.mp4",
    ];
    let folder = tempfile::tempdir().unwrap();
    for name in NAMES {
        fs::copy(clip("real/orl-s01.mp4"), folder.path().join(name)).unwrap();
        fs::write(folder.path().join(format!("broken {name}")), "nothing").unwrap();
        fs::write(folder.path().join(format!("{name}.heic\u{1b}[1m")), "").unwrap();
    }
    for words in [
        &["."][..],
        &[".", "--json", "-"],
        &[".", "--jsonl", "-"],
        &[".", "--csv", "-"],
        &[NAMES[0], "--html", "page"],
        &[NAMES[1], "--frames", "0"],
        &["no\u{1b}[2Jthing.mp4"],
        &["--no\u{1b}[2J\nsuch-option"],
        &[".", "--jsonl", "\u{1b}[2J/x\n/\u{7}", "--resume"],
        &[".", "--model", NAMES[2]],
    ] {
        let output = scan_in(folder.path(), words);
        for stream in [&output.stdout, &output.stderr] {
            let text = String::from_utf8(stream.clone()).unwrap();
            let raw = text.chars().find(|&c| c != '\n' && deeptell::is_invisible(c));
            assert_eq!(raw, None, "{words:?}: {text:?}");
            assert!(!text.lines().any(|line| line.starts_with("c.mp4")), "{words:?}: {text}");
        }
    }
    // What programs read is the name itself.
    let output = scan_in(folder.path(), &[NAMES[3], "--json", "-"]);
    let document: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(document["reports"][0]["input"]["path"], NAMES[3]);
}

#[test]
fn an_error_names_its_file_once() {
    let folder = tempfile::tempdir().unwrap();
    let broken = folder.path().join("broken.mp4");
    fs::write(&broken, [0; 3000]).unwrap();
    let messages = fails(1, &["scan", path(&broken)]);
    assert_eq!(messages.matches("broken.mp4").count(), 1, "{messages}");
}

#[test]
fn doctor_reports_every_check() {
    let printed = succeeds(&["doctor"]);
    for told in ["FFmpeg: ", "sandbox: ", "model: ", "processor: ", "free space: "] {
        assert!(printed.contains(told), "{printed}");
    }
    let document: Value = serde_json::from_str(&succeeds(&["doctor", "--json", "-"])).unwrap();
    assert_eq!(document["sandbox"]["decodes"], true, "{document}");
    #[cfg(target_os = "linux")]
    assert_eq!(document["sandbox"]["filters_calls"], true, "{document}");
    assert!(document["processor"]["cores"].as_u64() >= Some(1));
    assert_eq!(document["model"]["is_shipped"], true);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("model.safetensors");
    fs::write(&file, "no model").unwrap();
    let output = deeptell(&["doctor", "--model", path(&file)]);
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stdout).contains("FAILED"));
}
