//! Videos written here and read back: every frame carries its number in its pixels.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking, in its helper functions too")]

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use deeptell_video::{
    Frame, Limits, PartFault, Sampling, VideoCodec, VideoError, VideoReader, VideoWriter, Warning,
    WriterOptions,
};
use image::{Rgb, RgbImage};
use tempfile::TempDir;

const BITS: u32 = 10;

/// A picture that moves with `number` and carries it as a row of black and white blocks on top.
fn numbered(number: u32, width: u32, height: u32) -> RgbImage {
    RgbImage::from_fn(width, height, |x, y| {
        if y < height / 4 {
            let bit = x * BITS / width;
            return Rgb([if number >> bit & 1 == 1 { 235 } else { 20 }; 3]);
        }
        let wave = (x * 5 + number * 3) % 200 + 20;
        let ball = (x + 2 * width - number % width) % width < 9 && y.abs_diff(height / 2) < 9;
        if ball { Rgb([220, 60, 40]) } else { Rgb([wave as u8, (y * 3 % 180 + 30) as u8, 110]) }
    })
}

/// The number in the pixels of a frame, at any size.
fn number_of(image: &RgbImage) -> u32 {
    let (width, height) = image.dimensions();
    (0..BITS)
        .map(|bit| {
            let x = (2 * bit + 1) * width / (2 * BITS);
            u32::from(image.get_pixel(x, height / 8).0[1] > 128) << bit
        })
        .sum()
}

fn h264(keyframe_interval: u32) -> WriterOptions {
    WriterOptions::default().keyframe_interval(keyframe_interval)
}

fn mpeg4(keyframe_interval: u32) -> WriterOptions {
    WriterOptions::default().codec(VideoCodec::Mpeg4).keyframe_interval(keyframe_interval)
}

fn write(path: &Path, frames: u32, (width, height): (u32, u32), options: &WriterOptions) {
    let mut writer = VideoWriter::create(path, width, height, options).unwrap();
    for number in 0..frames {
        writer.write(&numbered(number, width, height)).unwrap();
    }
    writer.finish().unwrap();
}

/// A folder and in it a clip of 160 x 96 pixels, 25 frames per second.
fn clip(name: &str, frames: u32, options: &WriterOptions) -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(name);
    write(&path, frames, (160, 96), options);
    (folder, path)
}

fn take(reader: &mut VideoReader, sampling: Sampling) -> Vec<Frame> {
    reader.sample(sampling).collect::<Result<_, _>>().unwrap()
}

fn numbers(frames: &[Frame]) -> Vec<u32> {
    frames.iter().map(|frame| number_of(&frame.image)).collect()
}

#[test]
fn uniform_sampling_shows_the_interval_centers() {
    for (name, options) in [
        ("b.mp4", h264(12)),
        ("b.mkv", h264(250)),
        ("b.ts", h264(50)),
        ("b.mov", mpeg4(12)),
        ("b.avi", mpeg4(250)),
        ("p.mp4", h264(30).b_frames(false)),
        ("p.avi", mpeg4(12).b_frames(false)),
    ] {
        let (_folder, path) = clip(name, 120, &options);
        let mut reader = VideoReader::open(&path).unwrap();
        assert_eq!(reader.info().frame_count, Some(120), "{name}");
        assert!((reader.info().duration_seconds.unwrap() - 4.8).abs() < 0.01, "{name}: {:?}", reader.info());
        for count in [1, 7, 12, 48] {
            let frames = take(&mut reader, Sampling::Uniform(count));
            let expected: Vec<_> = (0..count).map(|i| (120 * (2 * i + 1) / (2 * count)) as u32).collect();
            assert_eq!(numbers(&frames), expected, "{name}, {count} frames");
            for (frame, number) in frames.iter().zip(expected) {
                assert_eq!(frame.index, Some(u64::from(number)), "{name}");
                assert!(
                    (frame.pts_seconds - f64::from(number) / 25.0).abs() < 0.002,
                    "{name}: {}",
                    frame.pts_seconds
                );
                assert!(!frame.repeats_previous);
            }
        }
        assert_eq!(reader.warnings(), [], "{name}");
    }
}

#[test]
fn seconds_count_from_the_first_frame() {
    let (_folder, path) = clip("clip.mp4", 60, &h264(12));
    let mut reader = VideoReader::open(&path).unwrap();
    let frames = take(&mut reader, Sampling::EverySeconds(0.4));
    assert_eq!(numbers(&frames), [0, 10, 20, 30, 40, 50]);
    let refused = reader.sample(Sampling::EverySeconds(f64::NAN)).collect::<Vec<_>>();
    assert!(matches!(refused[..], [Err(VideoError::InvalidSampling { .. })]));
}

#[test]
fn keyframe_sampling_gives_keyframes_only() {
    let (_folder, path) = clip("clip.mp4", 100, &mpeg4(10));
    let frames = take(&mut VideoReader::open(&path).unwrap(), Sampling::Keyframes(5));
    assert_eq!(numbers(&frames), [10, 30, 50, 70, 90]);
    let frames = take(&mut VideoReader::open(&path).unwrap(), Sampling::Keyframes(20));
    let expected: Vec<_> = (0..20).map(|i| (100 * (2 * i + 1) / 40) / 10 * 10).collect();
    assert_eq!(numbers(&frames), expected);
    assert_eq!(frames.iter().filter(|frame| !frame.repeats_previous).count(), 10);
}

#[test]
fn a_short_clip_repeats_frames_and_says_so() {
    let (_folder, path) = clip("clip.mkv", 5, &h264(250));
    let frames = take(&mut VideoReader::open(&path).unwrap(), Sampling::Uniform(12));
    assert_eq!(numbers(&frames), [0, 0, 1, 1, 1, 2, 2, 3, 3, 3, 4, 4]);
    let repeats: Vec<_> = frames.iter().map(|frame| frame.repeats_previous).collect();
    assert_eq!(repeats.iter().filter(|repeats| **repeats).count(), 7);
    assert!(!repeats[0] && repeats[1] && !repeats[2]);
    assert!(take(&mut VideoReader::open(&path).unwrap(), Sampling::Uniform(0)).is_empty());
}

#[test]
fn one_frame_is_a_video_too() {
    let (_folder, path) = clip("clip.mp4", 1, &h264(250));
    let frames = take(&mut VideoReader::open(&path).unwrap(), Sampling::Uniform(3));
    assert_eq!(numbers(&frames), [0, 0, 0]);
}

#[test]
fn max_side_shrinks_and_keeps_the_shape() {
    let (_folder, path) = clip("clip.mp4", 30, &h264(12));
    let mut reader = VideoReader::options().max_side(80).open(&path).unwrap();
    assert_eq!((reader.info().width, reader.info().height), (160, 96));
    let frames = take(&mut reader, Sampling::Uniform(3));
    assert!(frames.iter().all(|frame| frame.image.dimensions() == (80, 48)));
    assert_eq!(numbers(&frames), [5, 15, 25]);
    let frames = take(&mut VideoReader::options().max_side(4000).open(&path).unwrap(), Sampling::Uniform(1));
    assert_eq!(frames[0].image.dimensions(), (160, 96));
}

#[test]
fn every_column_and_row_of_awkward_sizes_is_written() {
    let folder = tempfile::tempdir().unwrap();
    for (width, height) in [(66, 50), (67, 51), (90, 34), (2, 2), (101, 16)] {
        for options in [h264(12), mpeg4(12)] {
            let path = folder.path().join(format!("{width}x{height}-{}.mp4", options.codec.encoder()));
            let color = Rgb([200, 90, 40]);
            let mut writer = VideoWriter::create(&path, width, height, &options).unwrap();
            for _ in 0..3 {
                writer.write(&RgbImage::from_pixel(width, height, color)).unwrap();
            }
            writer.finish().unwrap();
            for frame in take(&mut VideoReader::open(&path).unwrap(), Sampling::Uniform(3)) {
                assert_eq!(frame.image.dimensions(), (width, height));
                for (x, y, pixel) in frame.image.enumerate_pixels() {
                    let distance = (0..3).map(|c| pixel.0[c].abs_diff(color.0[c])).max().unwrap();
                    assert!(distance < 14, "{path:?} at {x}, {y}: {pixel:?}");
                }
            }
        }
    }
}

#[test]
fn compression_keeps_the_picture() {
    let (_folder, path) = clip("clip.mp4", 20, &h264(250).quality(Some(10)));
    let frames = take(&mut VideoReader::open(&path).unwrap(), Sampling::Uniform(20));
    for (frame, number) in frames.iter().zip(0..) {
        let original = numbered(number, 160, 96);
        let green = |image: &RgbImage| image.pixels().map(|pixel| i32::from(pixel.0[1])).collect::<Vec<_>>();
        let error: i32 = green(&frame.image).iter().zip(green(&original)).map(|(a, b)| (a - b).abs()).sum();
        let mean = f64::from(error) / (160.0 * 96.0);
        assert!(mean < 6.0, "frame {number}: mean error of {mean}");
    }
}

#[test]
fn a_recording_without_a_length_is_measured() {
    let (_folder, path) = clip("live.mkv", 60, &h264(12));
    let mut bytes = fs::read(&path).unwrap();
    // The Duration element becomes padding (Matroska, RFC 9559: 0x4489 float64; EBML Void 0xEC).
    let at = bytes.windows(3).position(|window| window == [0x44, 0x89, 0x88]).unwrap();
    bytes[at..at + 2].copy_from_slice(&[0xEC, 0x89]);
    fs::write(&path, bytes).unwrap();
    let mut reader = VideoReader::open(&path).unwrap();
    assert!((reader.info().duration_seconds.unwrap() - 2.4).abs() < 0.01);
    assert_eq!(numbers(&take(&mut reader, Sampling::Uniform(6))), [5, 15, 25, 35, 45, 55]);
}

/// A packet of an MPEG transport stream (ISO/IEC 13818-1).
const TS_PACKET: usize = 188;

/// A transport stream whose clock stands `seconds` later.
fn later(stream: &[u8], seconds: f64) -> Vec<u8> {
    moved(stream, |_| (seconds, seconds))
}

/// A transport stream of which the time of showing and that of decoding of each frame, by its number in decoding order,
/// stand later by so many seconds.
fn moved(stream: &[u8], seconds: impl Fn(u32) -> (f64, f64)) -> Vec<u8> {
    const WRAP: i64 = 1 << 33;
    let ticks = |seconds: f64| (seconds * 90_000.0) as i64;
    let clock = ticks(seconds(0).1);
    let mut number = 0;
    // 33 bits in five bytes, with marks between them (2.4.3.7).
    let move_time = |time: &mut [u8], ticks: i64| {
        let old = i64::from(time[0] & 0x0E) << 29
            | i64::from(time[1]) << 22
            | i64::from(time[2] & 0xFE) << 14
            | i64::from(time[3]) << 7
            | i64::from(time[4]) >> 1;
        let new = (old + ticks).rem_euclid(WRAP);
        time[0] = time[0] & 0xF1 | (new >> 29 & 0x0E) as u8;
        time[1] = (new >> 22) as u8;
        time[2] = (new >> 14) as u8 | 1;
        time[3] = (new >> 7) as u8;
        time[4] = (new << 1) as u8 | 1;
    };
    let mut stream = stream.to_vec();
    for packet in stream.chunks_exact_mut(TS_PACKET) {
        let (has_adaptation, has_payload, starts) =
            (packet[3] & 0x20 != 0, packet[3] & 0x10 != 0, packet[1] & 0x40 != 0);
        let payload = if has_adaptation { 5 + usize::from(packet[4]) } else { 4 };
        if has_adaptation && packet[4] > 0 && packet[5] & 0x10 != 0 {
            let old = i64::from(u32::from_be_bytes(packet[6..10].try_into().unwrap())) << 1
                | i64::from(packet[10] >> 7);
            let new = (old + clock).rem_euclid(WRAP);
            packet[6..10].copy_from_slice(&((new >> 1) as u32).to_be_bytes());
            packet[10] = packet[10] & 0x7F | ((new & 1) as u8) << 7;
        }
        if starts && has_payload && packet[payload..].starts_with(&[0, 0, 1, 0xE0]) {
            let flags = packet[payload + 7];
            let (shown, decoded) = seconds(number);
            number += 1;
            if flags & 0x80 != 0 {
                move_time(&mut packet[payload + 9..payload + 14], ticks(shown));
            }
            if flags & 0x40 != 0 {
                move_time(&mut packet[payload + 14..payload + 19], ticks(decoded));
            }
        }
    }
    stream
}

/// Transport streams one after the other, as `cat` joins them: one of 48 frames for each start in
/// seconds, with the numbers of its frames following those of the one before.
fn joined(folder: &Path, starts: &[f64], options: &WriterOptions) -> Vec<u8> {
    let part = |(index, start): (usize, &f64)| {
        let path = folder.join("part.ts");
        let mut writer = VideoWriter::create(&path, 160, 96, options).unwrap();
        for number in 0..48 {
            writer.write(&numbered(48 * index as u32 + number, 160, 96)).unwrap();
        }
        writer.finish().unwrap();
        later(&fs::read(path).unwrap(), *start)
    };
    starts.iter().enumerate().flat_map(part).collect()
}

#[test]
fn frames_after_a_clock_jump_are_sampled() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("joined.ts");
    let plain = h264(12).b_frames(false);
    for (starts, options) in [
        (&[100.0, 9000.0][..], h264(12)),
        (&[0.0, 0.0], h264(250)),
        (&[0.0, 0.0], plain),
        (&[9000.0, 100.0], h264(12)),
        (&[50.0, 0.0, 0.0, 70_000.0, 3.0], h264(12)),
        // The clock has 33 bits, and wraps after a day.
        (&[95_430.0, 95_443.0, 20.0], h264(12)),
    ] {
        fs::write(&path, joined(folder.path(), starts, &options)).unwrap();
        let count = 48 * starts.len() as u32;
        let mut reader = VideoReader::open(&path).unwrap();
        assert_eq!(reader.info().frame_count, Some(u64::from(count)), "{starts:?}");
        assert!(
            (reader.info().duration_seconds.unwrap() - f64::from(count) / 25.0).abs() < 0.01,
            "{:?}",
            reader.info()
        );
        assert!((reader.info().frames_per_second.unwrap() - 25.0).abs() < 0.1, "{:?}", reader.info());
        let frames = take(&mut reader, Sampling::Uniform(12));
        let expected: Vec<_> = (0..12).map(|i| count * (2 * i + 1) / 24).collect();
        assert_eq!(numbers(&frames), expected, "{starts:?}");
        for (frame, number) in frames.iter().zip(&expected) {
            assert_eq!(frame.index, Some(u64::from(*number)), "{starts:?}");
            assert!((frame.pts_seconds - f64::from(*number) / 25.0).abs() < 0.002, "{starts:?}: {frame:?}");
        }
        let jumps =
            starts.windows(2).filter(|pair| pair[0] + 1.0 < pair[1] - 10.0 || pair[1] <= pair[0]).count();
        assert_eq!(reader.warnings(), [Warning::ClockJumps { count: jumps as u64 }], "{starts:?}");
        let every = VideoReader::options()
            .every_frame()
            .open(&path)
            .unwrap()
            .sample(Sampling::Uniform(12))
            .flatten()
            .collect::<Vec<_>>();
        assert!(every == frames, "{starts:?}: the plan gives other frames");
    }
}

#[test]
fn times_that_leap_and_return_at_once_move_no_frame() {
    let (folder, path) = clip("plain.ts", 96, &h264(24));
    let stream = fs::read(&path).unwrap();
    let plain = take(&mut VideoReader::open(&path).unwrap(), Sampling::Uniform(12));
    let path = folder.path().join("strayed.ts");
    let only = |numbers: std::ops::Range<u32>, seconds: (f64, f64)| {
        moved(&stream, |number| if numbers.contains(&number) { seconds } else { (0.0, 0.0) })
    };
    let some = [7, 31, 50, 80];
    for (name, bytes, count) in [
        ("ahead", only(10..11, (9000.0, 9000.0)), 1),
        ("back", only(10..11, (-9000.0, -9000.0)), 1),
        ("burst", only(40..46, (9000.0, 9000.0)), 6),
        ("shown", only(10..11, (40_000.0, 0.0)), 1),
        ("near", only(50..51, (5.0, 5.0)), 1),
        (
            "several",
            moved(&stream, |number| if some.contains(&number) { (700.0, 700.0) } else { (0.0, 0.0) }),
            4,
        ),
    ] {
        fs::write(&path, bytes).unwrap();
        let mut reader = VideoReader::open(&path).unwrap();
        assert_eq!(reader.warnings(), [Warning::TimesReplaced { count }], "{name}");
        let info = reader.info().clone();
        assert!((info.duration_seconds.unwrap() - 3.84).abs() < 0.01, "{name}: {info:?}");
        assert!((info.frames_per_second.unwrap() - 25.0).abs() < 0.1, "{name}: {info:?}");
        let frames = take(&mut reader, Sampling::Uniform(12));
        assert!(frames == plain, "{name}: {:?} for {:?}", numbers(&frames), numbers(&plain));
        let every = take(&mut reader, Sampling::EveryFrame);
        assert_eq!(numbers(&every), (0..96).collect::<Vec<_>>(), "{name}");
        assert!(every.is_sorted_by(|a, b| a.pts_seconds < b.pts_seconds), "{name}");
    }
}

#[test]
fn one_time_that_strays_in_a_file_with_an_index_moves_no_frame() {
    let (folder, path) = clip("plain.mp4", 96, &h264(24));
    let plain = take(&mut VideoReader::open(&path).unwrap(), Sampling::Uniform(12));
    let mut bytes = fs::read(&path).unwrap();
    // Without the list of edits, which would hide what is shown after the end.
    let edits = bytes.windows(4).position(|name| name == b"edts").unwrap();
    bytes[edits..edits + 4].copy_from_slice(b"free");
    // The table of delays: version, number of rows, then a number of frames and their delay in each (ISO/IEC
    // 14496-12, 8.6.1.3).
    let table = bytes.windows(4).position(|name| name == b"ctts").unwrap() + 4;
    let number = |at: usize| u32::from_be_bytes(bytes[at..at + 4].try_into().unwrap());
    let rows = (0..number(table + 4) as usize).map(|row| table + 8 + 8 * row);
    let single: Vec<usize> = rows.filter(|row| number(*row) == 1).collect();
    let path = folder.path().join("strayed.mp4");
    for row in [single[3], single[single.len() / 2]] {
        let mut strayed = bytes.clone();
        // Half an hour at least; FFmpeg takes a table with longer ones for damaged.
        strayed[row + 4..row + 8].copy_from_slice(&(number(row + 4) + 200_000_000).to_be_bytes());
        fs::write(&path, strayed).unwrap();
        let mut reader = VideoReader::open(&path).unwrap();
        assert_eq!(reader.warnings(), [Warning::TimesReplaced { count: 1 }]);
        assert!((reader.info().duration_seconds.unwrap() - 3.84).abs() < 0.01, "{:?}", reader.info());
        let frames = take(&mut reader, Sampling::Uniform(12));
        assert_eq!(numbers(&frames), numbers(&plain));
        for (frame, right) in frames.iter().zip(&plain) {
            assert_eq!(frame.index, right.index);
            assert!((frame.pts_seconds - right.pts_seconds).abs() < 1e-6, "{frame:?} for {right:?}");
        }
    }
}

#[test]
fn unusable_times_are_replaced_by_frame_numbers() {
    let (folder, path) = clip("plain.ts", 96, &h264(24));
    let stream = fs::read(&path).unwrap();
    let path = folder.path().join("restless.ts");
    let by = |ticks: fn(u32) -> f64| moved(&stream, |number| (ticks(number) / 25.0, ticks(number) / 25.0));
    for (name, bytes) in [
        ("equal", by(|number| -f64::from(number))),
        ("backwards", by(|number| -2.0 * f64::from(number))),
        ("every 6", by(|number| -20.0 * f64::from(number / 6))),
        ("slow", by(|number| -0.999 * f64::from(number))),
        ("slow in the end", by(|number| -0.999 * f64::from(number.max(50) - 50))),
    ] {
        fs::write(&path, bytes).unwrap();
        let mut reader = VideoReader::open(&path).unwrap();
        assert_eq!(reader.warnings(), [Warning::TimesReplaced { count: 96 }], "{name}");
        let info = reader.info().clone();
        assert!((info.duration_seconds.unwrap() - 3.84).abs() < 0.05, "{name}: {info:?}");
        let frames = take(&mut reader, Sampling::Uniform(12));
        assert_eq!(numbers(&frames), (0..12).map(|i| 4 + 8 * i).collect::<Vec<_>>(), "{name}");
        for frame in &frames {
            let expected = f64::from(number_of(&frame.image)) / 25.0;
            assert!((frame.pts_seconds - expected).abs() < 0.05, "{name}: {frame:?} for {expected}");
        }
    }
}

#[test]
fn frames_shown_out_of_the_order_of_their_times_differ() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("gap.ts");
    // A gap of 9 seconds that begins between frames that are decoded together.
    let (_folder, plain) = clip("plain.ts", 96, &h264(250));
    let stream = fs::read(plain).unwrap();
    for first in 20..32 {
        let gap = |number: u32| if number >= first { (9.0, 9.0) } else { (0.0, 0.0) };
        fs::write(&path, moved(&stream, gap)).unwrap();
        for count in [12, 48, 96] {
            let frames = take(&mut VideoReader::open(&path).unwrap(), Sampling::Uniform(count));
            assert_eq!(
                frames.iter().filter(|frame| !frame.repeats_previous).count(),
                count,
                "from {first} on"
            );
            assert!(numbers(&frames).is_sorted_by(|a, b| a < b), "{:?}", numbers(&frames));
        }
    }
}

#[test]
fn joined_streams_of_any_packet_size_are_read() {
    let folder = tempfile::tempdir().unwrap();
    let stream = joined(folder.path(), &[0.0, 0.0, 700.0], &h264(12));
    let with = |before: &[u8], after: &[u8]| -> Vec<u8> {
        stream.chunks(TS_PACKET).flat_map(|packet| [before, packet, after].concat()).collect()
    };
    for (name, bytes) in [("blu-ray.m2ts", with(&[0; 4], &[])), ("dvb.ts", with(&[], &[0; 16]))] {
        let path = folder.path().join(name);
        fs::write(&path, bytes).unwrap();
        let mut reader = VideoReader::open(&path).unwrap();
        let expected: Vec<_> = (0..12).map(|i| 144 * (2 * i + 1) / 24).collect();
        assert_eq!(numbers(&take(&mut reader, Sampling::Uniform(12))), expected, "{name}");
        assert_eq!(reader.warnings(), [Warning::ClockJumps { count: 2 }], "{name}");
    }
}

/// A transport stream whose streams, program and table of streams have other numbers.
fn renumbered(stream: &[u8], numbers: &[(u16, u16)], program: u16) -> Vec<u8> {
    let checksum = |bytes: &[u8]| {
        bytes.iter().fold(u32::MAX, |sum, byte| {
            (0..8).fold(sum ^ u32::from(*byte) << 24, |sum, _| {
                if sum >> 31 == 1 { sum << 1 ^ 0x04C1_1DB7 } else { sum << 1 }
            })
        })
    };
    let number = |bytes: &[u8]| u16::from_be_bytes([bytes[0] & 0x1F, bytes[1]]);
    let renumber = |bytes: &mut [u8]| {
        if let Some((_, new)) = numbers.iter().find(|(old, _)| *old == number(bytes)) {
            bytes[0] = bytes[0] & 0xE0 | (new >> 8) as u8;
            bytes[1] = *new as u8;
        }
    };
    let mut stream = stream.to_vec();
    for packet in stream.chunks_exact_mut(TS_PACKET) {
        let own = number(&packet[1..]);
        renumber(&mut packet[1..3]);
        if packet[1] & 0x40 == 0
            || packet[3] & 0x20 != 0
            || packet[5] != 0 && packet[5] != 2
            || packet[4] != 0
        {
            continue;
        }
        let end = 8 + (usize::from(packet[6] & 0x0F) << 8 | usize::from(packet[7])) - 4;
        match (own, packet[5]) {
            (0, 0) => {
                packet[13..15].copy_from_slice(&program.to_be_bytes());
                renumber(&mut packet[15..17]);
            }
            (_, 2) => {
                packet[8..10].copy_from_slice(&program.to_be_bytes());
                renumber(&mut packet[13..15]);
                let mut at = 17 + (usize::from(packet[15] & 0x0F) << 8 | usize::from(packet[16]));
                while at < end {
                    renumber(&mut packet[at + 1..at + 3]);
                    at += 5 + (usize::from(packet[at + 3] & 0x0F) << 8 | usize::from(packet[at + 4]));
                }
            }
            _ => continue,
        }
        let sum = checksum(&packet[5..end]).to_be_bytes();
        packet[end..end + 4].copy_from_slice(&sum);
    }
    stream
}

/// A part of 48 frames, which carry the numbers from `first` on.
fn part(folder: &Path, first: u32, (width, height): (u32, u32), options: &WriterOptions) -> Vec<u8> {
    let path = folder.join("part.ts");
    let mut writer = VideoWriter::create(&path, width, height, options).unwrap();
    for number in first..first + 48 {
        writer.write(&numbered(number, width, height)).unwrap();
    }
    writer.finish().unwrap();
    fs::read(path).unwrap()
}

#[test]
fn parts_with_other_streams_are_sampled_too() {
    const VIDEO: (u16, u16) = (0x100, 0x200);
    const TABLE: (u16, u16) = (0x1000, 0x1100);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("joined.ts");
    let first = part(folder.path(), 0, (160, 96), &h264(12));
    let second = part(folder.path(), 48, (160, 96), &h264(250));
    let small = part(folder.path(), 48, (120, 72), &h264(12));
    let mpeg4 = part(folder.path(), 48, (160, 96), &mpeg4(12));
    let third = part(folder.path(), 96, (160, 96), &h264(12));
    for (name, second) in [
        ("another stream", renumbered(&second, &[VIDEO], 1)),
        ("another table", renumbered(&second, &[TABLE], 1)),
        ("another program", renumbered(&second, &[], 7)),
        ("all of it", renumbered(&second, &[VIDEO, TABLE], 7)),
        ("another size", renumbered(&small, &[VIDEO, TABLE], 1)),
        ("another codec", mpeg4),
    ] {
        for start in [0.0, 1.92, 3.0, 5000.0] {
            let bytes = [first.clone(), later(&second, start), later(&third, 2.0 * start)].concat();
            fs::write(&path, bytes).unwrap();
            for limits in [Limits::untrusted(), Limits::default()] {
                let mut reader = VideoReader::options().limits(limits).open(&path).unwrap();
                assert_eq!(reader.info().frame_count, Some(144), "{name} from {start} s");
                let frames = take(&mut reader, Sampling::Uniform(12));
                let numbers = numbers(&frames);
                assert!(numbers.is_sorted_by(|a, b| a < b), "{name} from {start} s: {numbers:?}");
                for part in 0..3 {
                    let found = numbers.iter().filter(|number| *number / 48 == part).count();
                    assert!((3..=5).contains(&found), "{name} from {start} s: {numbers:?}");
                }
                let times_rise = frames.is_sorted_by(|a, b| a.pts_seconds < b.pts_seconds);
                assert!(times_rise && frames[0].pts_seconds >= 0.0, "{name} from {start} s");
                assert!(
                    reader.warnings().iter().all(|warning| matches!(warning, Warning::ClockJumps { .. })),
                    "{name} from {start} s: {:?}",
                    reader.warnings()
                );
            }
        }
    }
}

#[test]
fn a_part_that_cannot_be_read_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("joined.ts");
    let first = part(folder.path(), 0, (160, 96), &h264(12));
    let second = renumbered(&part(folder.path(), 48, (160, 96), &mpeg4(12)), &[(0x100, 0x200)], 1);
    fs::write(&path, [first.clone(), second.clone()].concat()).unwrap();
    let mut limits = Limits::untrusted();
    limits.codecs.retain(|codec| codec != "mpeg4");
    let mut reader = VideoReader::options().limits(limits.clone()).open(&path).unwrap();
    assert_eq!(numbers(&take(&mut reader, Sampling::Uniform(3))), [8, 24, 40]);
    let [Warning::PartLeftOut { part: 2, reason }] = reader.warnings() else {
        panic!("{:?}", reader.warnings());
    };
    assert!(matches!(reason, PartFault::Codec { name, .. } if name == "mpeg4"), "{reason}");
    assert!(
        reader.warnings()[0].to_string().contains("part 2 was not sampled: the codec \"mpeg4\""),
        "{reason}"
    );
    fs::write(&path, [second.clone(), first].concat()).unwrap();
    let mut reader = VideoReader::options().limits(limits.clone()).open(&path).unwrap();
    assert_eq!(numbers(&take(&mut reader, Sampling::Uniform(3))), [8, 24, 40]);
    fs::write(&path, second).unwrap();
    let refused = VideoReader::options().limits(limits).open(&path).unwrap_err();
    assert!(matches!(refused, VideoError::Unsupported { .. }), "{refused}");
}

#[test]
fn a_short_gap_in_a_stream_is_a_pause() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("pause.ts");
    fs::write(&path, joined(folder.path(), &[0.0, 9.0], &h264(12))).unwrap();
    let mut reader = VideoReader::open(&path).unwrap();
    assert!((reader.info().duration_seconds.unwrap() - 10.92).abs() < 0.01, "{:?}", reader.info());
    let frames = take(&mut reader, Sampling::Uniform(12));
    let numbers = numbers(&frames);
    assert!(numbers.is_sorted_by(|a, b| a < b), "{numbers:?}");
    let before = numbers.iter().filter(|number| **number < 48).count();
    assert!((5..=7).contains(&before), "{numbers:?}");
    assert!(frames.iter().all(|frame| frame.index == Some(u64::from(number_of(&frame.image)))));
    assert_eq!(
        reader.warnings().iter().filter(|warning| !matches!(warning, Warning::CorruptPackets { .. })).count(),
        0
    );
}

#[test]
fn every_frame_is_given_where_the_rate_varies() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("joined.ts");
    fs::write(&path, joined(folder.path(), &[0.0, 9.0, 5.0], &h264(12))).unwrap();
    let frames = take(&mut VideoReader::open(&path).unwrap(), Sampling::EveryFrame);
    assert_eq!(numbers(&frames), (0..144).collect::<Vec<_>>());
    assert!(frames.is_sorted_by(|a, b| a.pts_seconds < b.pts_seconds));
}

#[test]
fn streams_without_times_give_distinct_frames() {
    let (_folder, path) = clip("raw.h264", 60, &h264(12));
    let mut reader = VideoReader::open(&path).unwrap();
    assert_eq!(reader.info().frame_count, Some(60));
    for _ in 0..2 {
        let frames = take(&mut reader, Sampling::Uniform(6));
        assert_eq!(numbers(&frames), [5, 15, 25, 35, 45, 55]);
        assert_eq!(frames[1].index, Some(15));
    }
    let keys = take(&mut reader, Sampling::Keyframes(3));
    assert_eq!(numbers(&keys), [0, 24, 48]);
}

#[test]
fn an_open_file_reads_like_a_path() {
    let (folder, path) = clip("clip.mp4", 30, &h264(12));
    let mut reader = VideoReader::from_file(File::open(&path).unwrap()).unwrap();
    let by_file = take(&mut reader, Sampling::Uniform(5));
    assert_eq!(by_file, take(&mut VideoReader::open(&path).unwrap(), Sampling::Uniform(5)));
    let folder = File::open(folder.path()).unwrap();
    assert!(matches!(VideoReader::options().from_file(folder), Err(VideoError::NotAFile { .. })));
}

#[test]
fn readers_and_writers_move_between_threads() {
    fn moves<T: Send>() {}
    moves::<VideoReader>();
    moves::<VideoWriter>();
    let (_folder, path) = clip("clip.mp4", 30, &h264(12));
    let mut reader = VideoReader::open(&path).unwrap();
    let frames = std::thread::spawn(move || take(&mut reader, Sampling::Uniform(3))).join().unwrap();
    assert_eq!(numbers(&frames), [5, 15, 25]);
}

/// Opens and samples `path`; panics when that takes unreasonably long.
fn attempt(path: &Path, limits: Limits) -> (Result<Vec<Frame>, VideoError>, Vec<Warning>) {
    let start = Instant::now();
    let outcome = match VideoReader::options().limits(limits).open(path) {
        Ok(mut reader) => {
            let frames = reader.sample(Sampling::Uniform(12)).collect();
            (frames, reader.warnings().to_vec())
        }
        Err(error) => (Err(error), Vec::new()),
    };
    assert!(start.elapsed() < Duration::from_secs(10), "{} took {:?}", path.display(), start.elapsed());
    outcome
}

fn error_of(path: &Path) -> VideoError {
    attempt(path, Limits::untrusted()).0.map(|frames| frames.len()).unwrap_err()
}

/// Random bytes, the same in each run.
fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut random = fastrand::Rng::with_seed(seed);
    std::iter::repeat_with(|| random.u8(..)).take(length).collect()
}

#[test]
fn files_that_are_not_videos_are_refused() {
    let (folder, real) = clip("real.ts", 10, &h264(12));
    let real = real.display();
    let file = |name: &str, content: &[u8]| {
        let path = folder.path().join(name);
        fs::write(&path, content).unwrap();
        path
    };
    let playlist = format!("#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:6,\n{real}\n#EXT-X-ENDLIST\n");
    let session = "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video 5004 RTP/AVP 96\na=rtpmap:96 H264/90000\n";
    let wave = [
        b"RIFF\x24\x08\0\0WAVEfmt \x10\0\0\0\x01\0\x01\0\x40\x1f\0\0\x80\x3e\0\0\x02\0\x10\0data\0\x08\0\0"
            .as_slice(),
        &[7; 2048],
    ]
    .concat();
    let error = error_of(&file("sound.mp4", &wave));
    assert!(matches!(error, VideoError::NoVideo { .. }), "{error:?}");
    for path in [
        file("empty.mp4", b""),
        file("text.mp4", "this is not a video\n".repeat(2000).as_bytes()),
        file("noise.mp4", &noise(1, 100_000)),
        file("playlist.mp4", playlist.as_bytes()),
        file("concat.mp4", format!("ffconcat version 1.0\nfile '{real}'\n").as_bytes()),
        file("session.mp4", session.as_bytes()),
    ] {
        let error = error_of(&path);
        assert!(matches!(error, VideoError::Unsupported { .. }), "{path:?}: {error:?}");
        assert!(error.to_string().contains(path.file_name().unwrap().to_str().unwrap()), "{error}");
    }
}

#[test]
fn paths_that_are_not_files_are_refused_at_once() {
    let folder = tempfile::tempdir().unwrap();
    assert!(matches!(error_of(folder.path()), VideoError::NotAFile { .. }));
    assert!(matches!(error_of(&folder.path().join("missing.mp4")), VideoError::Io { .. }));
    #[cfg(unix)]
    {
        assert!(matches!(error_of(Path::new("/dev/zero")), VideoError::NotAFile { .. }));
        let pipe = folder.path().join("pipe.mp4");
        assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        assert!(matches!(error_of(&pipe), VideoError::NotAFile { .. }));
    }
}

#[test]
fn files_with_only_sound_are_refused() {
    let (_folder, path) = clip("clip.mkv", 10, &h264(12));
    let mut bytes = fs::read(&path).unwrap();
    // TrackType (0x83): 1 is video, 2 is audio.
    let at = bytes.windows(3).position(|window| window == [0x83, 0x81, 0x01]).unwrap();
    bytes[at + 2] = 2;
    fs::write(&path, bytes).unwrap();
    assert!(matches!(error_of(&path), VideoError::NoVideo { .. }));
}

#[test]
fn limits_for_untrusted_files_are_enforced() {
    let (_folder, path) = clip("clip.mp4", 10, &h264(12));
    let with = |change: fn(&mut Limits)| {
        let mut limits = Limits::untrusted();
        change(&mut limits);
        attempt(&path, limits).0.map(|frames| frames.len())
    };
    assert!(matches!(with(|_| ()), Ok(12)));
    let pixels = with(|limits| limits.max_pixels = 160 * 96 - 1);
    assert!(matches!(pixels, Err(VideoError::TooLarge { width: 160, height: 96, .. })), "{pixels:?}");
    let codec = with(|limits| limits.codecs.retain(|name| name != "h264"));
    assert!(matches!(codec, Err(VideoError::Unsupported { .. })), "{codec:?}");
    let container = with(|limits| limits.containers.retain(|name| name != "mov" && name != "mp4"));
    assert!(matches!(container, Err(VideoError::Unsupported { .. })), "{container:?}");
    let late = with(|limits| limits.deadline = Duration::ZERO);
    assert!(matches!(late, Err(VideoError::Timeout { .. })), "{late:?}");
}

#[test]
fn half_a_file_gives_its_half_and_a_warning() {
    let (_folder, path) = clip("clip.mkv", 120, &h264(12));
    let bytes = fs::read(&path).unwrap();
    fs::write(&path, &bytes[..bytes.len() / 2]).unwrap();
    let (frames, warnings) = attempt(&path, Limits::untrusted());
    let frames = frames.unwrap();
    assert_eq!(frames.len(), 12);
    let numbers = numbers(&frames);
    assert!(numbers.is_sorted_by(|a, b| a < b), "distinct: {numbers:?}");
    assert!((40..90).contains(numbers.last().unwrap()), "{numbers:?}");
    let truncated = warnings.iter().any(|warning| matches!(warning, Warning::Truncated { .. }));
    assert!(truncated, "{warnings:?}");
}

#[test]
fn a_file_that_lost_its_index_is_truncated() {
    let (_folder, path) = clip("clip.mp4", 60, &h264(12));
    let bytes = fs::read(&path).unwrap();
    fs::write(&path, &bytes[..bytes.len() / 2]).unwrap();
    let error = error_of(&path);
    assert!(matches!(error, VideoError::Truncated { .. }), "{error:?}");
    // And is damaged if all of it is there.
    let at = bytes.windows(4).position(|name| name == b"trak").unwrap();
    let mut damaged = bytes;
    damaged[at..at + 4].copy_from_slice(b"kart");
    fs::write(&path, &damaged).unwrap();
    let error = error_of(&path);
    assert!(matches!(error, VideoError::NoVideo { .. } | VideoError::Corrupt { .. }), "{error:?}");
}

#[test]
fn damage_costs_few_frames_and_is_reported() {
    let (_folder, path) = clip("clip.mkv", 120, &h264(12));
    let mut bytes = fs::read(&path).unwrap();
    // Damage in frames that nobody asked for goes unseen: three holes are sure to be met.
    for share in [3, 5, 7] {
        let start = bytes.len() * share / 10;
        let hole = noise(share as u64, 600);
        bytes[start..start + hole.len()].copy_from_slice(&hole);
    }
    fs::write(&path, bytes).unwrap();
    let (frames, warnings) = attempt(&path, Limits::untrusted());
    let good = frames
        .unwrap()
        .iter()
        .filter(|frame| frame.index == Some(u64::from(number_of(&frame.image))))
        .count();
    assert!(good >= 4, "{good} good frames, {warnings:?}");
    assert!(!warnings.is_empty());
}

#[test]
fn unknown_color_matrices_do_not_crash() {
    let (_folder, path) = clip("clip.mkv", 10, &mpeg4(12));
    let mut bytes = fs::read(&path).unwrap();
    // MatrixCoefficients (Matroska, RFC 9559: 0x55B1), of which H.273 knows fifteen.
    let at = bytes.windows(3).position(|window| window == [0x55, 0xB1, 0x81]).unwrap();
    for matrix in [15, 29, 200, 255] {
        bytes[at + 3] = matrix;
        fs::write(&path, &bytes).unwrap();
        assert_eq!(attempt(&path, Limits::untrusted()).0.unwrap().len(), 12, "matrix {matrix}");
    }
}

#[test]
fn fuzzed_files_never_panic_or_hang() {
    for (name, options) in [("clip.mp4", h264(12)), ("clip.mkv", mpeg4(12)), ("clip.avi", mpeg4(12))] {
        let (_folder, path) = clip(name, 30, &options);
        let original = fs::read(&path).unwrap();
        // The header of an MP4 file as written here is at its end, of the others at their start.
        let header = if name == "clip.mp4" { original.len() - 1500..original.len() } else { 0..600 };
        let mut outcomes = [0; 2];
        for seed in 0..30 {
            let mut bytes = original.clone();
            let draws = noise(seed + 100, 8);
            for draw in draws.chunks(2).take(1 + seed as usize % 4) {
                let place = header.start + usize::from(u16::from_le_bytes([draw[0], draw[1]])) % header.len();
                bytes[place] = draw[0] ^ draw[1].rotate_left(3);
            }
            fs::write(&path, bytes).unwrap();
            let (frames, _) = attempt(&path, Limits::untrusted());
            outcomes[usize::from(frames.is_ok())] += 1;
        }
        assert_eq!(outcomes.iter().sum::<i32>(), 30);
        assert!(outcomes[1] > 0, "{name}: some survive: {outcomes:?}");
    }
}

#[test]
fn writing_is_deterministic() {
    let folder = tempfile::tempdir().unwrap();
    for (name, options) in [("a.mp4", h264(12)), ("a.mkv", h264(12)), ("a.avi", mpeg4(12))] {
        let path = folder.path().join(name);
        let bytes = [(); 2].map(|()| {
            write(&path, 30, (64, 48), &options);
            fs::read(&path).unwrap()
        });
        assert!(bytes[0] == bytes[1], "{name}");
    }
}

#[test]
fn quality_trades_size() {
    let folder = tempfile::tempdir().unwrap();
    for codec in [VideoCodec::H264, VideoCodec::Mpeg4] {
        let sizes = [2, 12, 30].map(|quality| {
            let path = folder.path().join("clip.mp4");
            write(&path, 20, (160, 96), &WriterOptions::default().codec(codec).quality(Some(quality)));
            path.metadata().unwrap().len()
        });
        assert!(sizes.is_sorted_by(|a, b| a > b), "{codec:?}: {sizes:?}");
    }
}

#[test]
fn what_cannot_be_written_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let create = |name: &str, width, options: WriterOptions| {
        VideoWriter::create(folder.path().join(name), width, 48, &options).map(drop)
    };
    let good = WriterOptions::default();
    assert!(create("clip.mp4", 64, good.clone()).is_ok());
    for (name, width, options) in [
        ("clip.txt", 64, good.clone()),
        ("clip", 64, good.clone()),
        ("clip.h264", 64, mpeg4(12)),
        ("clip.mp4", 0, good.clone()),
        ("clip.mp4", 20_000, good.clone()),
        ("clip.mp4", 64, good.clone().frames_per_second(0)),
        ("clip.mp4", 64, good.clone().keyframe_interval(0)),
        ("clip.mp4", 64, good.clone().quality(Some(52))),
        ("clip.mp4", 64, mpeg4(12).quality(Some(0))),
    ] {
        let refused = create(name, width, options.clone());
        assert!(
            matches!(refused, Err(VideoError::InvalidOutput { .. })),
            "{name} {width} {options:?}: {refused:?}"
        );
    }
    assert!(matches!(create("missing/clip.mp4", 64, good.clone()), Err(VideoError::Io { .. })));

    let mut writer = VideoWriter::create(folder.path().join("clip.mp4"), 64, 48, &good).unwrap();
    let refused = writer.write(&RgbImage::new(48, 64));
    assert!(matches!(refused, Err(VideoError::InvalidOutput { .. })));
    assert!(matches!(writer.finish(), Err(VideoError::InvalidOutput { .. })), "no frames");
}
