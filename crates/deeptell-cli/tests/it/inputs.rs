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

#[cfg(unix)]
#[test]
fn names_that_are_not_unicode_stop_no_command() {
    use std::ffi::{OsStr, OsString};
    use std::os::unix::ffi::OsStrExt as _;
    let folder = tempfile::tempdir().unwrap();
    let set = folder.path().join("set");
    for (label, from) in [("real", "real/orl-s01.mp4"), ("fake", "fake/orl-s01.mp4")] {
        fs::create_dir_all(set.join(label)).unwrap();
        fs::copy(clip(from), set.join(label).join("a.mp4")).unwrap();
    }
    let odd = |name: &[u8]| folder.path().join(OsStr::from_bytes(name));
    let bad = odd(b"set/fake/caf\xe9.mp4");
    fs::write(&bad, "not a video").unwrap();
    fs::write(odd(b"w\xff.pth"), "no weights").unwrap();
    let model = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../models/deeptell-mnv3s.safetensors");
    fs::copy(model, odd(b"m\xff.safetensors")).unwrap();
    let run = |words: &[&OsStr]| {
        let output = Command::new(env!("CARGO_BIN_EXE_deeptell")).args(words).output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (output.status.code(), text(output.stdout), text(output.stderr))
    };
    let words = |text: &str| text.split(' ').map(OsString::from).collect::<Vec<_>>();
    let out = |name: &str| folder.path().join(name).into_os_string();
    for (command, inputs, outputs, code, told) in [
        (
            "split --train 1 --validation 0 --test 0 -o",
            vec![out("m.jsonl"), set.clone().into()],
            "m.jsonl",
            1,
            "rename it",
        ),
        ("audit --json", vec![out("a.json"), set.clone().into()], "a.json", 1, "rename it"),
        (
            "extract --frames 1 -o",
            vec![out("crops"), set.clone().into()],
            "crops/manifest.jsonl",
            1,
            "rename it",
        ),
        (
            "scan --frames 1 --jsonl",
            vec![out("s.jsonl"), set.into(), "--json".into(), out("s.json")],
            "s.json",
            1,
            "caf",
        ),
        ("faces --json", vec![out("f.json"), bad.into()], "f.json", 1, "caf"),
        ("weights show", vec![odd(b"w\xff.pth").into()], "", 2, "w\u{fffd}.pth"),
        ("weights show", vec![odd(b"m\xff.safetensors").into()], "", 0, ""),
    ] {
        let all: Vec<OsString> = words(command).into_iter().chain(inputs).collect();
        let all: Vec<&OsStr> = all.iter().map(OsString::as_os_str).collect();
        let (found, _, messages) = run(&all);
        assert_eq!(found, Some(code), "{command}: {messages}");
        assert!(messages.contains(told) && !messages.contains("panicked"), "{command}: {messages}");
        assert!(folder.path().join(outputs).exists(), "{command}: {messages}");
    }
    assert_eq!(fs::read_to_string(folder.path().join("s.jsonl")).unwrap().lines().count(), 3);
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

#[test]
fn no_manifest_model_or_configuration_is_overwritten() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name).display().to_string();
    fs::create_dir(at("run")).unwrap();
    let manifest = concat!(
        "{\"schema\":\"deeptell-manifest\",\"version\":1}\n",
        "{\"path\":\"a.png\",\"label\":\"real\",\"source\":\"a\",\"split\":\"train\"}\n",
        "{\"path\":\"b.png\",\"label\":\"fake\",\"source\":\"b\",\"split\":\"train\"}\n",
    );
    for name in
        ["m.jsonl", "run/manifest.jsonl", "run/history.jsonl", "run/start.json", "run/leave-one-out.json"]
    {
        fs::write(at(name), manifest).unwrap();
    }
    fs::write(at("sheet.png"), "").unwrap();
    fs::hard_link(at("m.jsonl"), at("link.jsonl")).unwrap();
    let model = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../models/deeptell-mnv3s.safetensors");
    for name in ["model.safetensors", "run/best.safetensors"] {
        fs::copy(&model, at(name)).unwrap();
    }
    fs::write(at("run/config.toml"), "epochs = 1\n").unwrap();
    let contents = || -> Vec<Vec<u8>> {
        let names =
            ["m.jsonl", "run/manifest.jsonl", "run/history.jsonl", "run/start.json", "model.safetensors"];
        let more = ["run/best.safetensors", "run/config.toml", "sheet.png", "run/leave-one-out.json"];
        names.into_iter().chain(more).map(|name| fs::read(at(name)).unwrap()).collect()
    };
    let before = contents();
    for words in [
        &["split", "m.jsonl", "-o", "link.jsonl"][..],
        &["split", "m.jsonl", "-o", "./m.jsonl"],
        &["merge", "m.jsonl", "run/manifest.jsonl", "-o", "m.jsonl"],
        &["extract", "run/manifest.jsonl", "-o", "run"],
        &["calibrate", "m.jsonl", "--model", "model.safetensors", "-o", "model.safetensors"],
        &["calibrate", "m.jsonl", "-o", "m.jsonl"],
        &["export", "--format", "onnx", "--model", "model.safetensors", "-o", "model.safetensors"],
        &["weights", "import", "model.safetensors", "-o", "model.safetensors"],
        &["audit", "m.jsonl", "--json=m.jsonl"],
        &["preview", "m.jsonl", "--config", "sheet.png", "-o", "sheet.png"],
        &["train", "run/history.jsonl", "--init", "scratch", "-o", "run"],
        &["train", "m.jsonl", "--init", "run/best.safetensors", "-o", "run"],
        &["train", "m.jsonl", "--init", "scratch", "--config", "run/config.toml", "-o", "run"],
        &["leave-one-out", "run/leave-one-out.json", "--by", "method", "-o", "run"],
    ] {
        let is_file = |word: &str| word.contains('.') || word == "run";
        let words: Vec<String> = words
            .iter()
            .map(|word| match word.strip_prefix("--json=") {
                Some(file) => format!("--json={}", at(file)),
                None if is_file(word) => at(word),
                None => (*word).to_owned(),
            })
            .collect();
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let message = fails(2, &words);
        assert!(message.contains("is an input"), "{words:?}: {message}");
        assert!(contents() == before, "{words:?}");
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
            let raw = text.chars().find(|&c| c != '\n' && deeptell::text::is_invisible(c));
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
