//! Clips of every usual kind against the frames that FFmpeg's own program, `PyAV` and `OpenCV` make
//! of them, byte for byte: `goldens/make.py` made both.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking, in its helper functions too")]

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};

use deeptell_video::{Frame, Sampling, VideoError, VideoOptions, VideoReader, Warning};
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
    let has_others = ["thumbnail_first.mkv", "two_streams.mp4", "second_is_default.mkv"].contains(&name);
    match reader.warnings() {
        [] => assert!(!has_others, "{name}"),
        [Warning::OtherStreams { .. }] => assert!(has_others, "{name}"),
        others => panic!("{name}: {others:?}"),
    }
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
        // The last frame may be shorter than any distance.
        let sampling = Sampling::EverySeconds(shortest.unwrap_or(1.0).min(0.04) * 0.7);
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
fn every_frame_comes_once() {
    for (name, golden) in goldens() {
        let frames = sample(VideoReader::options(), &name, Sampling::EveryFrame);
        let indices: Vec<_> = frames.iter().map(|frame| frame.index.unwrap()).collect();
        assert_eq!(indices, (0..golden.sha256.len() as u64).collect::<Vec<_>>(), "{name}");
        for frame in frames {
            assert!(!frame.repeats_previous, "{name}");
            check(&name, &golden, &frame);
        }
    }
}

#[test]
fn sampled_frames_differ_while_the_clip_has_as_many() {
    for (name, golden) in goldens() {
        let there = golden.sha256.len();
        for count in [1, 2, 5, 12, 30, 47, 200] {
            let frames = sample(VideoReader::options(), &name, Sampling::Uniform(count));
            assert_eq!(frames.len(), count, "{name}");
            let different = frames.iter().filter(|frame| !frame.repeats_previous).count();
            assert_eq!(different, count.min(there), "{name}, {count} frames");
        }
    }
}

#[test]
fn both_sides_of_a_pause_are_seen() {
    for name in ["pause.mp4", "pause.mkv"] {
        let frames = sample(VideoReader::options(), name, Sampling::Uniform(12));
        let before = frames.iter().filter(|frame| frame.pts_seconds < 1.0).count();
        assert!((5..=7).contains(&before), "{name}: {before} of 12");
    }
}

#[test]
fn the_last_frame_lasts_as_long_as_the_file_says() {
    for (name, seconds) in
        [("pause.mp4", 21.2), ("pause.mkv", 21.2), ("rare.mp4", 55.04), ("rare.mkv", 55.04)]
    {
        let reader = VideoReader::open(folder().join("clips").join(name)).unwrap();
        let found = reader.info().duration_seconds.unwrap();
        assert!((found - seconds).abs() < 0.002, "{name}: {found}");
        assert_eq!(reader.warnings(), [], "{name}");
    }
}

#[test]
fn of_several_streams_the_one_that_players_show_is_taken() {
    let open = |name: &str, options: VideoOptions| options.open(folder().join("clips").join(name));
    for (name, chosen, other) in
        [("two_streams.mp4", 0, 1), ("second_is_default.mkv", 1, 0), ("thumbnail_first.mkv", 1, 0)]
    {
        let reader = open(name, VideoReader::options()).unwrap();
        assert_eq!(reader.info().stream, chosen, "{name}");
        let warnings = reader.warnings();
        let [Warning::OtherStreams { sampled, others }] = warnings else { panic!("{name}: {warnings:?}") };
        assert_eq!((*sampled, others.len(), others[0].index), (chosen, 1, other), "{name}");
        let text = warnings[0].to_string();
        assert!(text.contains(&format!("--stream {other}")), "{text}");
        // The other one by its number.
        let mut reader = open(name, VideoReader::options().stream(other)).unwrap();
        assert_eq!(reader.info().stream, other, "{name}");
        assert!(reader.sample(Sampling::Uniform(3)).all(|frame| frame.is_ok()), "{name}");
    }
    let upright = sample(VideoReader::options(), "two_streams.mp4", Sampling::Uniform(3));
    let turned = sample(VideoReader::options().stream(1), "two_streams.mp4", Sampling::Uniform(3));
    assert!(upright.iter().zip(&turned).all(|(one, other)| one.image != other.image));
    for (name, stream) in [("two_streams.mp4", 2), ("untagged.mp4", 1), ("thumbnail_first.mkv", 9)] {
        let error = open(name, VideoReader::options().stream(stream)).unwrap_err();
        assert!(matches!(error, VideoError::NoSuchStream { .. }), "{name}: {error:?}");
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
fn info_matches_the_goldens() {
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
fn sound_with_a_cover_picture_is_refused() {
    for name in ["sound.mp4", "cover_art.mp3"] {
        let error = VideoReader::open(folder().join("clips").join(name)).unwrap_err();
        assert!(matches!(error, VideoError::NoVideo { .. }), "{name}: {error:?}");
    }
}
