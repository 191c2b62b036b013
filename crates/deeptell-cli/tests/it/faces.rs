//! `deeptell faces` on the portrait and the clips that ship.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::{clip, deeptell, fails, path, succeeds};

/// NASA's portrait of Eileen Collins, 512x512, and where facenet-pytorch finds her face.
fn portrait() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../deeptell-mtcnn/tests/data/astronaut.png")
}

const FACE: [f64; 4] = [181.05, 62.16, 267.75, 172.05];

fn assert_is_the_face(face: &Value, tolerance: f64) {
    for (edge, expected) in face["box"].as_array().unwrap().iter().zip(FACE) {
        assert!((edge.as_f64().unwrap() - expected).abs() < tolerance, "{face}");
    }
    assert!(face["score"].as_f64().unwrap() > 0.99, "{face}");
    assert_eq!(face["landmarks"].as_array().unwrap().len(), 5, "{face}");
}

#[test]
fn faces_writes_json_and_drawings_of_pictures() {
    let folder = tempfile::tempdir().unwrap();
    let plain = folder.path().join("plain.png");
    image::RgbImage::from_pixel(90, 70, image::Rgb([90, 120, 150])).save(&plain).unwrap();
    let marked = folder.path().join("marked");
    let said = succeeds(&["faces", path(&portrait()), path(&plain), "--json", "-", "--draw", path(&marked)]);
    let entries: Value = serde_json::from_str(&said).unwrap();
    assert_eq!(entries[0]["file"], path(&portrait()));
    assert_eq!(entries[0]["faces"].as_array().unwrap().len(), 1);
    assert_is_the_face(&entries[0]["faces"][0], 0.1);
    assert_eq!(entries[1]["faces"], serde_json::json!([]));
    let drawn = image::open(marked.join("astronaut.png.png")).unwrap().into_rgb8();
    assert_eq!(drawn.dimensions(), (512, 512));
    assert_ne!(drawn, image::open(portrait()).unwrap().into_rgb8());
    assert_eq!(
        image::open(marked.join("plain.png.png")).unwrap().into_rgb8(),
        image::open(&plain).unwrap().into_rgb8()
    );

    // Shrunk and with a smallest face of a tenth: the same face, in pixels of the original.
    let portrait = portrait();
    let quick = ["faces", path(&portrait), "--min-face-part", "0.1", "--max-side", "256", "--json", "-"];
    let entries: Value = serde_json::from_str(&succeeds(&quick)).unwrap();
    assert_is_the_face(&entries[0]["faces"][0], 10.0);
    let largest = ["faces", path(&portrait), "--largest", "--json", "-"];
    let entries: Value = serde_json::from_str(&succeeds(&largest)).unwrap();
    assert_is_the_face(&entries[0]["faces"][0], 0.1);
    assert!(succeeds(&["faces", path(&portrait)]).contains("1 face\n  - 181,62 to 268,172  score 1.000"));
}

#[test]
fn faces_names_what_follows_a_picture() {
    let folder = tempfile::tempdir().unwrap();
    let photo = folder.path().join("motion.png");
    let clip = fs::read(clip("real/nasa-collins.mp4")).unwrap();
    let plain = image::RgbImage::from_pixel(90, 70, image::Rgb([90, 120, 150]));
    plain.save(&photo).unwrap();
    fs::write(&photo, [fs::read(&photo).unwrap(), clip.clone()].concat()).unwrap();
    let output = deeptell(&["faces", path(&photo)]);
    let messages = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{messages}");
    let expected = format!("warning: {}: After the picture, the file also contains a video", photo.display());
    assert!(messages.contains(&expected), "{messages}");
    assert!(messages.contains(&format!("tail -c {}", clip.len())), "{messages}");
}

#[test]
fn faces_keeps_one_track_through_a_clip() {
    let target = tempfile::tempdir().unwrap();
    let json = target.path().join("faces.json");
    let clip = clip("real/nasa-collins.mp4");
    for (more, frames) in [(["--frames", "4"].as_slice(), 4), (&["--every-frame"], 24)] {
        let words = ["faces", path(&clip), "--min-face", "40", "--json", path(&json)];
        let said = succeeds(&[&words[..], more].concat());
        assert!(said.contains(&format!("{frames} frames")), "{said}");
        let entries: Value = serde_json::from_slice(&fs::read(&json).unwrap()).unwrap();
        let seen = entries[0]["frames"].as_array().unwrap();
        assert_eq!(seen.len(), frames);
        assert!(seen.iter().all(|frame| frame["faces"][0]["track"] == 0), "{entries}");
    }
    // The largest face of each frame is of no track.
    succeeds(&[
        "faces",
        path(&clip),
        "--frames",
        "4",
        "--min-face",
        "40",
        "--largest",
        "--json",
        path(&json),
    ]);
    let entries: Value = serde_json::from_slice(&fs::read(&json).unwrap()).unwrap();
    let seen = entries[0]["frames"].as_array().unwrap();
    let counts = seen.iter().map(|frame| frame["faces"].as_array().unwrap().len());
    assert_eq!(counts.collect::<Vec<_>>(), [1; 4]);
    assert!(seen.iter().all(|frame| frame["faces"][0].get("track").is_none()), "{entries}");
}

#[test]
fn faces_reports_unreadable_files_and_continues() {
    let folder = tempfile::tempdir().unwrap();
    let broken = folder.path().join("broken.jpg");
    fs::write(&broken, b"no picture").unwrap();
    let json = folder.path().join("faces.json");
    let said = fails(1, &["faces", path(&broken), path(&portrait()), "--json", path(&json)]);
    assert!(said.contains("broken.jpg"), "{said}");
    let entries: Value = serde_json::from_slice(&fs::read(&json).unwrap()).unwrap();
    assert!(entries[0]["error"].is_string() && entries[1]["faces"].is_array(), "{entries}");

    let said = fails(2, &["faces", path(&portrait()), "--min-face", "3"]);
    assert!(said.contains("min_face is 3"), "{said}");
    let said = fails(2, &["faces", path(&portrait()), "--min-face-part", "1.5"]);
    assert!(said.contains("min_face is 1.5"), "{said}");
    fails(2, &["faces"]);
}

/// Small gray faces, blended and compressed, whose probability of being a face is low.
#[test]
fn scan_finds_the_person_in_hard_clips() {
    for name in ["real/orl-s01.mp4", "fake/orl-s01.mp4", "fake/nasa-collins.mp4"] {
        let said = succeeds(&["--threads", "1", "scan", path(&clip(name))]);
        assert!(!said.contains("no face") && said.contains("person 1"), "{name}: {said}");
    }
}
