//! Who is who across cuts, in films cut together from the sample that ships.

use std::path::Path;

use burn::tensor::Device;
use deeptell::{Detector, ReasonCode, Report, ScanOptions, html};
use deeptell_face::RgbImage;
use deeptell_video::{Sampling, VideoReader};
use image::imageops;
use tempfile::TempDir;

use crate::{options, write_clip};

/// Frames of each shot.
const SHOT: usize = 16;
/// Sampled frames of each shot.
const SAMPLED: usize = 4;

/// The first frames of a clip of the sample.
fn sample(name: &str) -> Vec<RgbImage> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../datasets/sample/real").join(name);
    let mut reader = VideoReader::open(&path).unwrap();
    let frames = reader.sample(Sampling::Uniform(SHOT));
    frames.map(|frame| frame.unwrap().image).collect()
}

/// A wide shot of `frames`, `left` pixels from the edge of a wall of the colour of their own.
fn shot(frames: &[RgbImage], left: i64) -> Vec<RgbImage> {
    let staged = |frame: &RgbImage| {
        let mut stage = RgbImage::from_pixel(960, frame.height(), *frame.get_pixel(0, 0));
        imageops::overlay(&mut stage, frame, left, 0);
        stage
    };
    frames.iter().map(staged).collect()
}

fn scan(shots: &[Vec<RgbImage>]) -> Report {
    let folder = TempDir::new().unwrap();
    let film = folder.path().join("film.mp4");
    let frames = shots.concat();
    write_clip(&film, frames.len(), |i| frames[i].clone());
    let detector = Detector::shipped(&Device::flex()).unwrap();
    let options = ScanOptions { frames: SAMPLED * shots.len(), ..options() };
    detector.scan_video(&film, &options).unwrap()
}

/// The person in each sampled frame, which shows one.
fn people(report: &Report) -> Vec<usize> {
    assert!(report.frames.iter().all(|frame| frame.faces == 1), "{:?}", report.frames);
    report.observations.iter().map(|o| o.track).collect()
}

#[test]
fn a_cut_to_another_person_and_back_shows_two_people() {
    let (one, other) = (sample("nasa-collins.mp4"), sample("orl-s05.mp4"));
    // The other one at the place of the first, who comes back elsewhere.
    let report = scan(&[shot(&one, 100), shot(&other, 100), shot(&one, 440)]);
    assert_eq!(people(&report), [[0; SAMPLED], [1; SAMPLED], [0; SAMPLED]].concat());
    assert_eq!(report.tracks.len(), 2);

    let times: Vec<f64> = report.frames.iter().map(|frame| frame.pts_seconds).collect();
    let ranges = |person: usize| -> Vec<[f64; 2]> {
        let ranges = report.tracks[person].ranges.iter();
        ranges.map(|range| [range.first_pts_seconds, range.last_pts_seconds]).collect()
    };
    assert_eq!(ranges(0), [[times[0], times[3]], [times[8], times[11]]]);
    assert_eq!(ranges(1), [[times[4], times[7]]]);
    assert_eq!(report.tracks[0].frames, 2 * SAMPLED);

    let named = report.reasons.iter().find(|reason| reason.code == ReasonCode::Person).unwrap();
    let decisive = report.decisive_track.unwrap();
    assert!(named.text.contains(&format!("person {}", decisive + 1)), "{named:?}");
    assert_eq!(named.text.matches(" from ").count(), ranges(decisive).len(), "{named:?}");
    let page = html::page(&report);
    assert_eq!(page.matches("<polyline class=\"curve\"").count(), 3, "a line for each range");
    assert!(page.contains(&named.text));

    let json = serde_json::to_value(&report).unwrap();
    assert_eq!(json["tracks"][0]["ranges"][1]["last_pts_seconds"], times[11]);
}

#[test]
fn three_people_in_three_shots_at_one_place_stay_three() {
    let shots = ["nasa-collins.mp4", "orl-s05.mp4", "orl-s02.mp4"].map(|name| shot(&sample(name), 200));
    assert_eq!(people(&scan(&shots)), [[0; SAMPLED], [1; SAMPLED], [2; SAMPLED]].concat());
}
