//! The scores that the shipped detector gives clips of the sample, against those written down.
//!
//! They move when weights, calibration, face detector, decoding or aggregation do. After a change that is meant
//! to move them, write them down again with
//!
//! ```sh
//! DEEPTELL_UPDATE_SCORES=1 cargo test -p deeptell-cli --test it sample_scores
//! ```
//!
//! and commit `tests/data/sample_scores.csv` with the change.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::{clip, path, succeeds};

/// By how much a score may differ: far more than rounding on another processor, less than any change of weights.
const TOLERANCE: f64 = 0.02;

const PEOPLE: [&str; 8] =
    ["nasa-collins", "orl-s01", "orl-s02", "orl-s04", "orl-s05", "orl-s07", "orl-s09", "orl-s12"];

/// Each clip by its name in the sample, real ones first.
fn clips() -> Vec<String> {
    let of = |label: &'static str| PEOPLE.iter().map(move |person| format!("{label}/{person}.mp4"));
    of("real").chain(of("fake")).collect()
}

fn scores(clips: &[String]) -> Vec<f64> {
    let files: Vec<PathBuf> = clips.iter().map(|name| clip(name)).collect();
    let mut words = vec!["scan", "--frames", "6", "--json", "-"];
    words.extend(files.iter().map(|file| path(file)));
    let document: Value = serde_json::from_str(&succeeds(&words)).unwrap();
    let reports = document["reports"].as_array().unwrap();
    assert_eq!(reports.len(), clips.len());
    let score = |(report, name): (&Value, &String)| {
        report["score"].as_f64().unwrap_or_else(|| panic!("{name} has no score: {report}"))
    };
    reports.iter().zip(clips).map(score).collect()
}

#[test]
fn sample_scores_are_those_written_down() {
    let clips = clips();
    let found = scores(&clips);
    let written = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/sample_scores.csv");
    if std::env::var_os("DEEPTELL_UPDATE_SCORES").is_some() {
        let mut table = "clip,score\n".to_owned();
        for (name, score) in clips.iter().zip(&found) {
            writeln!(table, "{name},{score:.4}").unwrap();
        }
        fs::write(&written, table).unwrap();
    }
    let mut expected = Vec::new();
    for row in csv::Reader::from_path(&written).unwrap().deserialize() {
        let (name, score): (String, f64) = row.unwrap();
        expected.push((name, score));
    }
    let names: Vec<&String> = expected.iter().map(|(name, _)| name).collect();
    assert_eq!(names, clips.iter().collect::<Vec<_>>(), "the clips written down");
    let moved: Vec<String> = expected
        .iter()
        .zip(&found)
        .filter(|((_, expected), found)| (*found - expected).abs() > TOLERANCE)
        .map(|((name, expected), found)| format!("{name}: {found:.4}, written down {expected:.4}"))
        .collect();
    assert!(
        moved.is_empty(),
        "the shipped detector scores {} of {} clips otherwise:\n{}\nIf that is meant, run \
         `DEEPTELL_UPDATE_SCORES=1 cargo test -p deeptell-cli --test it sample_scores` and commit the table",
        moved.len(),
        expected.len(),
        moved.join("\n")
    );
}
