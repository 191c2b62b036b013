//! How surely a scan tells people apart: rates of right and wrong merges on clips of known people.
//!
//! ```sh
//! cargo run --release -p deeptell --example measure_people < clips.txt
//! ```
//!
//! Each line of standard input is a label, a tab and a path: clips that show one person, the same
//! label for the same person. Each clip is cut into four shots. Pairs of shots are compared as a
//! scan compares tracks: within a clip (the same shot again), between clips of one person (another
//! shot), and between people. For single faces it also counts how often the next sampled face of a
//! clip would not be taken for its continuation, and how often a cut to another person would be.

#![expect(clippy::print_stdout, reason = "that is all it does")]

use std::io::BufRead as _;

use burn::tensor::Device;
use deeptell::{Detector, InputFrame, RgbImage, ScanOptions};
use deeptell_face::{Appearance, FaceLinker, Sighting, merge_tracks};
use deeptell_video::{Sampling, VideoReader};

const FRAMES: usize = 16;
const SHOTS: usize = 4;

/// Where and how somebody is seen.
struct Seen {
    sighting: Sighting,
    /// The network's features of the face.
    features: Vec<f32>,
    frame: RgbImage,
}

struct Clip {
    person: String,
    faces: Vec<Seen>,
}

#[derive(Default)]
struct Rate {
    hits: usize,
    pairs: usize,
}

impl Rate {
    fn count(&mut self, hit: bool) {
        self.hits += usize::from(hit);
        self.pairs += 1;
    }

    fn say(&self, name: &str) {
        let Self { hits, pairs } = self;
        println!("{name}: {hits} of {pairs}, {:.2}%", 100.0 * *hits as f64 / (*pairs).max(1) as f64);
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let detector = Detector::shipped(&Device::flex())?;
    let mut clips = Vec::new();
    for line in std::io::stdin().lock().lines() {
        let line = line?;
        let (person, path) = line.split_once('\t').ok_or("a line needs a label, a tab and a path")?;
        clips.push(Clip { person: person.to_owned(), faces: faces(&detector, path)? });
    }

    let (mut same_shot, mut other_shot, mut different) = (Rate::default(), Rate::default(), Rate::default());
    let (mut broken, mut unseen_cuts) = (Rate::default(), Rate::default());
    for (number, clip) in clips.iter().enumerate() {
        let shots = shots(clip);
        for (i, one) in shots.iter().enumerate() {
            for other in &shots[..i] {
                same_shot.count(are_merged(one, other));
            }
        }
        for faces in clip.faces.windows(2) {
            broken.count(!is_continued(&faces[0], &faces[1]));
        }
        for earlier in &clips[..number] {
            let rate = if earlier.person == clip.person { &mut other_shot } else { &mut different };
            for one in &shots {
                for other in &self::shots(earlier) {
                    rate.count(are_merged(one, other));
                }
            }
            if earlier.person != clip.person
                && let (Some(last), Some(first)) = (earlier.faces.last(), clip.faces.first())
            {
                // As if it were at the same place.
                let mut there = first.sighting;
                there.face = last.sighting.face;
                let mut linker = FaceLinker::new();
                linker.link(&last.frame, &[last.sighting]);
                unseen_cuts.count(linker.link(&first.frame, &[there]) == [0]);
            }
        }
    }
    same_shot.say("merged, same person, same shot");
    other_shot.say("merged, same person, another shot");
    different.say("merged, different people");
    broken.say("next face not taken for the same person");
    unseen_cuts.say("cut to another person at the same place not noticed");
    Ok(())
}

/// The largest face of each sampled frame, with the network's features.
fn faces(detector: &Detector, path: &str) -> Result<Vec<Seen>, Box<dyn std::error::Error>> {
    let mut faces = Vec::new();
    let mut reader = VideoReader::open(path)?;
    for frame in reader.sample(Sampling::Uniform(FRAMES)) {
        let InputFrame { image, .. } = frame?.into();
        let Some(face) = detector.find_faces(&image, &ScanOptions::default())?.into_iter().next() else {
            continue;
        };
        let sighting = Sighting::of(&image, &face)?;
        let features = detector.model().readings(&[detector.crop(&image, &face)?])?.remove(0).features;
        faces.push(Seen { sighting, features, frame: image });
    }
    Ok(faces)
}

/// Consecutive parts of a clip.
fn shots(clip: &Clip) -> Vec<Vec<&Seen>> {
    let length = clip.faces.len().div_ceil(SHOTS).max(1);
    clip.faces.chunks(length).map(|shot| shot.iter().collect()).collect()
}

fn are_merged(one: &[&Seen], other: &[&Seen]) -> bool {
    let track = |shot: &[&Seen], first: usize| {
        let mut track = Appearance::new();
        for (i, seen) in shot.iter().enumerate() {
            track.add(first + i, &seen.sighting.colors, &seen.features);
        }
        track
    };
    merge_tracks(&[track(one, 0), track(other, FRAMES)], |_, _| false) == [0, 0]
}

fn is_continued(earlier: &Seen, later: &Seen) -> bool {
    let mut linker = FaceLinker::new();
    linker.link(&earlier.frame, &[earlier.sighting]);
    linker.link(&later.frame, &[later.sighting]) == [0]
}
