//! Pictures that a camera stored on their side, with the orientation in their EXIF data.

use std::fs;
use std::io::Cursor;
use std::path::Path;

use deeptell_data::{Sample, Split, read_manifest, write_manifest};
use deeptell_face::RgbImage;
use deeptell_video::{Sampling, VideoReader};
use image::codecs::jpeg::JpegEncoder;
use image::imageops::{rotate90, rotate270};
use serde_json::Value;

use super::{clip, deeptell, path, succeeds};

const PEOPLE: [&str; 2] = ["nasa-collins", "orl-s01"];

/// One step per epoch, without augmentation that would hide what the pictures are.
const SETTINGS: &str = "sampling = \"shuffled\"\nbatch_size = 2\nepochs = 1\n";

/// One frame of a clip.
fn frame(name: &str) -> RgbImage {
    let mut reader = VideoReader::open(clip(name)).unwrap();
    let mut frames = reader.sample(Sampling::Uniform(1));
    frames.next().unwrap().unwrap().image
}

/// A JPEG whose EXIF data say that it must be turned a quarter clockwise (orientation 6).
fn on_its_side(stored: &[u8]) -> Vec<u8> {
    let exif = b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0";
    let length = (exif.len() as u16 + 2).to_be_bytes();
    [&stored[..2], &[0xFF, 0xE1], &length, &exif[..], &stored[2..]].concat()
}

/// The same pictures twice: in `turned` as a camera on its side stores them, in `upright` as they are to be
/// seen, to the bit.
fn data_sets(turned: &Path, upright: &Path) {
    for label in ["real", "fake"] {
        for root in [turned, upright] {
            fs::create_dir_all(root.join(label)).unwrap();
        }
        for person in PEOPLE {
            let mut stored = Cursor::new(Vec::new());
            let encoder = JpegEncoder::new_with_quality(&mut stored, 95);
            rotate270(&frame(&format!("{label}/{person}.mp4"))).write_with_encoder(encoder).unwrap();
            let stored = stored.into_inner();
            let pixels = image::load_from_memory(&stored).unwrap().into_rgb8();
            fs::write(turned.join(format!("{label}/{person}.jpg")), on_its_side(&stored)).unwrap();
            rotate90(&pixels).save(upright.join(format!("{label}/{person}.png"))).unwrap();
        }
    }
}

/// The rows that `extract` makes of a data set, without what differs by name: sorted by label and source.
fn extract(set: &Path, out: &Path, more: &[&str]) -> Vec<Sample> {
    let words = ["--threads", "1", "extract", path(set), "--out", path(out), "--min-probability", "0.5"];
    succeeds(&[&words[..], more].concat());
    let mut rows = read_manifest(out.join("manifest.jsonl")).unwrap();
    assert_eq!(rows.len(), 2 * PEOPLE.len(), "a face in each picture");
    rows.sort_by_key(|row| (row.label, row.source.clone()));
    rows
}

#[test]
fn turned_pictures_give_the_crops_weights_and_scores_of_upright_ones() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    data_sets(&at("turned"), &at("upright"));

    let [turned, upright] =
        ["turned", "upright"].map(|name| extract(&at(name), &at(&format!("{name}-crops")), &[]));
    for (turned, upright) in turned.iter().zip(&upright) {
        let [a, b] = [turned, upright].map(|row| image::open(&row.path).unwrap().into_rgb8());
        assert!(a == b, "the crop of {} differs", turned.path.display());
        assert_eq!((&turned.source, turned.landmarks), (&upright.source, upright.landmarks));
        let place = |row: &Sample| row.extra.get("bbox_in_frame");
        assert_eq!(place(turned), place(upright));
    }

    fs::write(at("train.toml"), SETTINGS).unwrap();
    let results = ["turned", "upright"].map(|name| {
        let in_place = at(&format!("{name}-boxes"));
        let mut rows = extract(&at(name), &in_place, &["--in-place", "box"]);
        for row in &mut rows {
            assert!(row.bbox.is_some() && row.path.starts_with(at(name)), "the row names the picture itself");
            row.split = Some(if row.source == PEOPLE[0] { Split::Train } else { Split::Validation });
        }
        let (split, out, scores) =
            (in_place.join("split.jsonl"), at(&format!("{name}-run")), at("scores.csv"));
        write_manifest(&split, &rows).unwrap();
        let train = ["--threads", "1", "train", path(&split), "--out", path(&out), "--init", "shipped"];
        // Two validation pictures are too few to calibrate on; the weights are there before that.
        let said = deeptell(&[&train[..], &["--config", path(&at("train.toml"))]].concat());
        let weights = fs::read(out.join("best.safetensors"));
        let weights = weights.unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(&said.stderr)));
        let eval = ["--threads", "1", "eval", "--manifest", path(&split), "--split", "all"];
        let figures = succeeds(&[&eval[..], &["--resamples", "10", "--scores", path(&scores)]].concat());
        let figures: Value = serde_json::from_str(&figures).unwrap();
        let mut scores: Vec<String> = fs::read_to_string(scores)
            .unwrap()
            .lines()
            .map(|line| line.replace(path(&at(name)), "").replace(".jpg", "").replace(".png", ""))
            .collect();
        scores.sort();
        (weights, scores, figures["auc"].clone())
    });
    let [turned, upright] = &results;
    assert!(turned.0 == upright.0, "the trained weights differ");
    assert_eq!((&turned.1, &turned.2), (&upright.1, &upright.2));
    assert_eq!(turned.1.len(), 1 + 2 * PEOPLE.len());
}
