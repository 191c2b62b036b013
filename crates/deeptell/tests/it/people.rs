//! Who is who across cuts, in films cut together from the sample that ships.

use std::path::Path;
use std::sync::Arc;

use burn::tensor::Device;
use deeptell::{
    Detector, Face, FaceDetector, FaceDetectorId, FaceError, Input, InputFrame, Reason, Report, RgbImage,
    Verdict, html,
};
use deeptell_face::{ColorGrid, Rect};
use deeptell_mtcnn::{Mtcnn, MtcnnConfig};
use deeptell_video::{Sampling, VideoReader};
use image::{Rgb, imageops};
use tempfile::TempDir;

use crate::{here, options, write_clip};

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

/// A wide shot of `frames`, `left` pixels from the edge of a wall of the color of their own.
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
    let detector = here(Detector::shipped(&Device::flex()).unwrap());
    let options = options().frames(SAMPLED * shots.len());
    detector.scan(&film, &options).unwrap().report
}

/// The person in each sampled frame, which shows one.
fn people(report: &Report) -> Vec<usize> {
    assert!(report.frames.iter().all(|frame| frame.faces == 1), "{:?}", report.frames);
    report.observations.iter().map(|o| o.person).collect()
}

#[test]
fn a_cut_to_another_person_and_back_shows_two_people() {
    let (one, other) = (sample("nasa-collins.mp4"), sample("orl-s05.mp4"));
    // The other one at the place of the first, who comes back elsewhere.
    let report = scan(&[shot(&one, 100), shot(&other, 100), shot(&one, 440)]);
    assert_eq!(people(&report), [[0; SAMPLED], [1; SAMPLED], [0; SAMPLED]].concat());
    assert_eq!(report.people.len(), 2);

    let times: Vec<f64> = report.frames.iter().map(|frame| frame.pts_seconds).collect();
    let ranges = |person: usize| -> Vec<[f64; 2]> {
        let ranges = report.people[person].ranges.iter();
        ranges.map(|range| [range.first_pts_seconds, range.last_pts_seconds]).collect()
    };
    assert_eq!(ranges(0), [[times[0], times[3]], [times[8], times[11]]]);
    assert_eq!(ranges(1), [[times[4], times[7]]]);
    assert_eq!(report.people[0].frames, 2 * SAMPLED);

    let decisive = report.decisive().unwrap();
    let named = Reason::Person { person: decisive.id, ranges: decisive.ranges.clone() };
    assert!(report.reasons.contains(&named), "{:?}", report.reasons);
    let text = named.to_string();
    assert!(text.contains(&format!("person {}", decisive.id + 1)), "{text}");
    assert_eq!(text.matches(" from ").count(), ranges(decisive.id).len(), "{text}");
    let page = html::page(&report, None);
    assert_eq!(page.matches("<polyline class=\"curve\"").count(), 3, "a line for each range");
    assert!(page.contains(&text));

    let json = serde_json::to_value(&report).unwrap();
    assert_eq!(json["people"][0]["ranges"][1]["last_pts_seconds"], times[11]);
}

#[test]
fn three_people_in_three_shots_at_one_place_stay_three() {
    let shots = ["nasa-collins.mp4", "orl-s05.mp4", "orl-s02.mp4"].map(|name| shot(&sample(name), 200));
    assert_eq!(people(&scan(&shots)), [[0; SAMPLED], [1; SAMPLED], [2; SAMPLED]].concat());
}

/// A room with shelves, seen by a camera at rest.
fn room() -> RgbImage {
    RgbImage::from_fn(960, 360, |x, y| {
        let (column, row) = (x / 48 % 3, y / 40 % 2);
        Rgb([70 + 30 * column as u8, 90 + 20 * row as u8, 120 - 30 * row as u8])
    })
}

/// The room with somebody in it whose picture begins at `left`.
fn in_room(person: &RgbImage, left: i64) -> RgbImage {
    let mut frame = room();
    imageops::overlay(&mut frame, person, left, 40);
    frame
}

/// Covers what is right below the face, as hands and placards do.
fn with_placard(frame: &RgbImage, face: &Face, color: [u8; 3]) -> RgbImage {
    let mut frame = frame.clone();
    let bbox = face.bbox;
    let [left, right] = [bbox.x1 - 0.7 * bbox.width(), bbox.x2 + 0.7 * bbox.width()].map(|x| x as u32);
    for y in bbox.y2 as u32 + 4..frame.height() {
        for x in left..right {
            frame.put_pixel(x, y, Rgb(color));
        }
    }
    frame
}

#[test]
fn one_person_in_one_shot_is_one_person_whatever_the_hands_do() {
    let detector = Detector::shipped(&Device::flex()).unwrap();
    let frame = in_room(&sample("nasa-collins.mp4")[0], 300);
    let face = detector.find_faces(&frame, &options()).unwrap()[0];
    let shown = [[250, 250, 40], [10, 10, 120]].map(|color| with_placard(&frame, &face, color));
    let [one, other] = shown.each_ref().map(|frame| ColorGrid::of(frame, face.bbox).unwrap());
    assert!(
        one.distance(&other) > 22.0 && one.correlation(&other) < 0.8,
        "another person, by the colors alone"
    );

    let film: Vec<RgbImage> = (0..SHOT).map(|i| shown[i / 4 % 2].clone()).collect();
    let report = scan(&[film]);
    assert_eq!(people(&report), [0; SAMPLED]);
    assert_eq!((report.people.len(), report.people[0].frames), (1, SAMPLED));
}

#[test]
fn somebody_alone_who_walks_through_one_shot_is_one_person() {
    let person = sample("nasa-collins.mp4").swap_remove(0);
    let film: Vec<RgbImage> = (0..SHOT as i64).map(|i| in_room(&person, 40 + 500 * (i / 4 % 2))).collect();
    let report = scan(&[film]);
    assert_eq!(people(&report), [0; SAMPLED]);
    assert_eq!(report.people.len(), 1);
}

/// Takes a corner of every whole frame for a face as well, but not of views of that corner.
#[derive(Debug)]
struct SeesAPrint {
    faces: Mtcnn,
    frame: (u32, u32),
    probability: f32,
}

impl FaceDetector for SeesAPrint {
    fn id(&self) -> FaceDetectorId {
        FaceDetectorId::new("sees-a-print")
    }

    fn detect(&self, images: &[&RgbImage]) -> Result<Vec<Vec<Face>>, FaceError> {
        let mut found = self.faces.detect_batch(images)?;
        for (faces, image) in found.iter_mut().zip(images) {
            if image.dimensions() == self.frame {
                faces.push(Face::frontal(Rect::new(800.0, 200.0, 900.0, 320.0), self.probability));
            }
        }
        Ok(found)
    }
}

fn scan_with_print(person: Option<&RgbImage>, probability: f32) -> Report {
    let frame = person.map_or_else(room, |person| in_room(person, 300));
    let device = Device::flex();
    let faces = MtcnnConfig::default().min_face(60.0).init(&device).unwrap();
    let faces = SeesAPrint { faces, frame: frame.dimensions(), probability };
    let detector = Detector::shipped(&device).unwrap().with_face_detector(Arc::new(faces));
    let frames = (0..4).map(|i| InputFrame::new(frame.clone(), f64::from(i)));
    detector.scan(Input::frames("print", frames), &options()).unwrap().report
}

#[test]
fn a_print_that_is_not_found_again_is_listed_but_not_counted_as_a_person() {
    let person = sample("nasa-collins.mp4").swap_remove(0);
    let report = scan_with_print(Some(&person), 0.95);
    let counted: Vec<bool> = report.people.iter().map(|person| person.is_confirmed).collect();
    assert_eq!(counted, [true, false]);
    assert_eq!(report.decisive_person, Some(0));
    let [alone, print] = [&scan_with_print(Some(&person), 0.0).people[0], &report.people[1]];
    assert_eq!(report.people[0], *alone, "the print changes nothing for the person");
    assert!(!print.judgeable && print.verdict == Verdict::Inconclusive && print.frames == 4);
    assert_eq!(print.reasons, [Reason::NotConfirmed]);
    assert!(!report.reasons.iter().any(|reason| matches!(reason, Reason::OthersNotJudged { .. })));

    let page = html::page(&report, None);
    assert!(page.contains("<h2>1 person</h2>") && page.contains("1 possible face not counted as a person"));
    let folded = page.split("<details class=\"others\">").nth(1).unwrap().split("</details>").next().unwrap();
    assert!(folded.contains(&print.reasons[0].to_string()) && folded.contains("Possible face 2"), "{folded}");

    // A face that the detector is sure of needs no second look.
    let sure = scan_with_print(Some(&person), 1.0);
    assert!(sure.people.iter().all(|person| person.is_confirmed));
}

#[test]
fn a_print_alone_gives_the_verdict_no_face() {
    let report = scan_with_print(None, 0.95);
    assert_eq!((report.verdict, report.score, report.decisive_person), (Verdict::NoFace, None, None));
    assert_eq!(report.reasons, [Reason::NoFace { sampled: 4 }, Reason::PatternsNotJudged { patterns: 1 }]);
    assert_eq!((report.people.len(), report.observations.len()), (1, 4));
    assert!(html::page(&report, None).contains("1 possible face not counted as a person"));
}
