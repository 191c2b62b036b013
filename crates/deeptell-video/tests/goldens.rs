//! Clips of every usual kind against the frames that FFmpeg's own program, `PyAV` and `OpenCV` make
//! of them, byte for byte: `goldens/make.py` made both.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking, in its helper functions too")]

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};

use deeptell_video::{Frame, Sampling, VideoError, VideoOptions, VideoReader};
use serde::Deserialize;
use sha2::{Digest, Sha256};

/// What everybody makes of a clip.
#[derive(Deserialize)]
struct Golden {
    width: u32,
    height: u32,
    /// Times from the first frame.
    seconds: Vec<f64>,
    /// Digests of the RGB bytes.
    sha256: Vec<String>,
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("goldens")
}

fn goldens() -> BTreeMap<String, Golden> {
    serde_json::from_reader(File::open(folder().join("frames.json")).unwrap()).unwrap()
}

fn sample(options: VideoOptions, name: &str, sampling: Sampling) -> Vec<Frame> {
    let mut reader = options.open(folder().join("clips").join(name)).unwrap();
    let frames = reader.sample(sampling).collect::<Result<_, _>>().unwrap();
    assert_eq!(reader.warnings(), [], "{name}");
    frames
}

fn sha256(frame: &Frame) -> String {
    Sha256::digest(frame.image.as_raw()).iter().fold(String::new(), |text, byte| format!("{text}{byte:02x}"))
}

fn check(name: &str, golden: &Golden, frame: &Frame) {
    let index = frame.index.unwrap() as usize;
    assert_eq!(frame.image.dimensions(), (golden.width, golden.height), "{name}");
    assert_eq!(sha256(frame), golden.sha256[index], "{name}, frame {index}");
    let seconds = golden.seconds[index];
    // Written with six digits.
    assert!((frame.pts_seconds - seconds).abs() < 2e-6, "{name}: {frame:?}, {seconds}");
}

#[test]
fn every_frame_is_the_one_that_everybody_shows() {
    for (name, golden) in goldens() {
        let count = golden.sha256.len();
        let shortest = golden.seconds.windows(2).map(|pair| pair[1] - pair[0]).min_by(f64::total_cmp);
        let sampling = Sampling::EverySeconds(shortest.unwrap_or(1.0) * 0.7);
        let frames = sample(VideoReader::options().every_frame(), &name, sampling);
        let shown: Vec<_> = frames.iter().filter(|frame| !frame.repeats_previous).collect();
        let indices: Vec<_> = shown.iter().map(|frame| frame.index.unwrap()).collect();
        assert_eq!(indices, (0..count as u64).collect::<Vec<_>>(), "{name}");
        for frame in shown {
            check(&name, &golden, frame);
        }
    }
}

#[test]
fn the_plan_gives_what_a_full_decode_gives() {
    for (name, golden) in goldens() {
        for count in [9, 12, 37, 101] {
            let planned = sample(VideoReader::options(), &name, Sampling::Uniform(count));
            for frame in &planned {
                check(&name, &golden, frame);
            }
            let truth = sample(VideoReader::options().every_frame(), &name, Sampling::Uniform(count));
            assert!(planned == truth, "{name}, {count} frames");
            let indices = planned.iter().map(|frame| frame.index);
            let repeats = indices.clone().zip(indices.skip(1)).map(|(a, b)| a == b);
            assert!(planned.iter().skip(1).map(|frame| frame.repeats_previous).eq(repeats), "{name}");
        }
    }
}

#[test]
fn keyframes_are_frames_of_the_clip() {
    for (name, golden) in goldens() {
        let keys = sample(VideoReader::options(), &name, Sampling::Keyframes(7));
        assert_eq!(keys.len(), 7, "{name}");
        for frame in &keys {
            check(&name, &golden, frame);
        }
    }
}

#[test]
fn what_the_file_says_is_what_is_shown() {
    for (name, golden) in goldens() {
        let reader = VideoReader::open(folder().join("clips").join(&name)).unwrap();
        let info = reader.info();
        assert_eq!((info.width, info.height), (golden.width, golden.height), "{name}");
        assert_eq!(info.frame_count, Some(golden.sha256.len() as u64), "{name}");
        let turn = name.strip_prefix("turned_").map_or(0, |rest| rest[..rest.len() - 4].parse().unwrap());
        assert_eq!(info.rotation_degrees, turn, "{name}");
    }
}

#[test]
fn sound_and_its_cover_are_no_video() {
    for name in ["sound.mp4", "cover_art.mp3"] {
        let error = VideoReader::open(folder().join("clips").join(name)).unwrap_err();
        assert!(matches!(error, VideoError::NoVideo { .. }), "{name}: {error:?}");
    }
}
