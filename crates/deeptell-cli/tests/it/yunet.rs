//! `--face-detector yunet`, with imported weights.

use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use deeptell_data::read_manifest;
use serde_json::Value;

use super::{clip, json, path};

/// The generator of the tests of `deeptell-yunet`: files in the structure of the published ones, with random weights.
#[path = "../../../deeptell-yunet/tests/it/onnx_file.rs"]
mod onnx_file;

fn run(cache: &Path, words: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_deeptell"));
    command.args(words).env("DEEPTELL_CACHE", cache).stdin(Stdio::null()).output().unwrap()
}

fn succeeds(cache: &Path, words: &[&str]) -> String {
    let output = run(cache, words);
    let messages = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{words:?}: {}\n{messages}", output.status);
    String::from_utf8(output.stdout).unwrap()
}

fn fails(cache: &Path, words: &[&str]) -> String {
    let output = run(cache, words);
    assert_eq!(output.status.code(), Some(2), "{words:?}");
    String::from_utf8(output.stderr).unwrap()
}

#[test]
fn imported_weights_are_used_and_named_by_everything_written() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let cache = at("cache");
    let real = clip("real/nasa-collins.mp4");
    let yunet = ["--face-detector", "yunet"];

    // Without weights, every command says how to get them.
    let (data, out) = (at("set"), at("crops"));
    for label in ["real", "fake"] {
        fs::create_dir_all(data.join(label)).unwrap();
        fs::copy(&real, data.join(label).join("clip.mp4")).unwrap();
    }
    let extract = ["extract", path(&data), "--out", path(&out), "--frames", "2", "--min-probability", "0"];
    let extract = [&extract[..], &yunet].concat();
    let faces = [&["faces", path(&real), "--frames", "1", "--json", "-"][..], &yunet].concat();
    for words in [&["scan", path(&real), yunet[0], yunet[1]][..], &faces, &["devices", yunet[0], yunet[1]]] {
        let messages = fails(&cache, words);
        assert!(messages.contains("deeptell weights --help") && messages.contains("mtcnn"), "{messages}");
    }

    let file = at("random.onnx");
    fs::write(&file, onnx_file::Structure::n().file(7)).unwrap();
    let said = succeeds(&cache, &["weights", "import", path(&file)]);
    assert!(said.contains("the tensors fit YuNet") && said.contains("yunet.safetensors"), "{said}");
    // A damaged download of a published file is recognized by its name.
    let published = at("face_detection_yunet_2023mar.onnx");
    fs::write(&published, onnx_file::Structure::s().file(7)).unwrap();
    let messages = fails(&cache, &["weights", "import", path(&published)]);
    assert!(messages.contains("download it again"), "{messages}");

    let printed: Value = serde_json::from_str(&succeeds(&cache, &faces)).unwrap();
    assert_eq!(printed[0]["frames"].as_array().unwrap().len(), 1);
    for option in ["--every-frame", "--quick", "--try-rotations"] {
        let mut words = vec!["faces", path(&real), option];
        words.extend(yunet);
        assert!(fails(&cache, &words).contains(option));
    }

    // A folder of crops is of one face detector.
    let _ = run(&cache, &extract);
    let settings = fs::read_to_string(out.join("extract.toml")).unwrap();
    assert!(settings.contains("name = \"yunet\"") && settings.contains("weights = "), "{settings}");
    for row in read_manifest(out.join("manifest.jsonl")).unwrap_or_default() {
        assert!(row.bbox.is_some());
    }
    let messages = fails(&cache, &extract[..extract.len() - 2]);
    assert!(messages.contains("yunet") && messages.contains("mtcnn"), "{messages}");

    // A report names the face detector, says that the model was calibrated with another, and is not taken for a
    // report of that one.
    let lines = at("scan.jsonl");
    let scan = ["scan", path(&real), "--frames", "2", "--jsonl", path(&lines)];
    let with_yunet = [&scan[..], &yunet].concat();
    succeeds(&cache, &with_yunet);
    let report = json(&lines);
    assert_eq!(report["face_detector"]["name"], "yunet");
    assert_eq!(report["face_detector"]["settings"]["weights"].as_str().unwrap().len(), 64);
    let warnings = report["warnings"].as_array().unwrap();
    assert!(warnings.iter().any(|warning| warning["code"] == "other_face_detector"), "{report}");
    for (words, done) in [(&with_yunet[..], 1), (&scan[..], 0), (&scan[..], 1)] {
        let output = run(&cache, &[words, &["--resume"]].concat());
        let messages = String::from_utf8_lossy(&output.stderr);
        assert!(messages.contains(&format!("{done} of 1 files are already done")), "{messages}");
    }
    let report = json(&lines);
    assert_eq!(
        (&report["face_detector"]["name"], &report["warnings"]),
        (&"mtcnn".into(), &serde_json::json!([]))
    );
}
