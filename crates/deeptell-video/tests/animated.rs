//! Pictures that move, and pictures that lie on their side: sampled and turned like videos.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking, in its helper functions too")]

use std::fs;
use std::io::Cursor;
use std::path::{Path, PathBuf};

#[cfg(unix)]
use deeptell_video::DecoderProcess;
use deeptell_video::{
    Frame, Limits, Media, Sampling, TrailingMedia, TrailingMediaKind, VideoError, VideoOptions, VideoReader,
    Warning,
};
use image::{ImageFormat, Rgb, RgbImage};

/// Ways of opening a file that must give the same.
fn ways() -> Vec<VideoOptions> {
    let here = VideoReader::options().limits(Limits::untrusted());
    #[cfg(unix)]
    let ways = {
        let decoder = DecoderProcess::new(env!("CARGO_BIN_EXE_deeptell-decoder")).arg("--strict");
        vec![here.clone(), here.isolated_by(&decoder)]
    };
    #[cfg(not(unix))]
    let ways = vec![here];
    ways
}

fn picture(number: u32) -> RgbImage {
    RgbImage::from_fn(40, 24, |x, y| Rgb([(x * 6) as u8, (y * 10) as u8, (number * 20) as u8]))
}

fn encoded(image: &RgbImage, format: ImageFormat) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    image.write_to(&mut bytes, format).unwrap();
    bytes.into_inner()
}

fn chunk(name: [u8; 4], contents: &[u8]) -> Vec<u8> {
    let padding = vec![0; contents.len() % 2];
    [name.as_slice(), &(contents.len() as u32).to_le_bytes(), contents, &padding].concat()
}

/// An animated WebP (WebP container, section 2.7) of `picture(0)`, `picture(1)` and so on, each shown for so
/// many milliseconds.
fn animated_webp(milliseconds: &[u32]) -> Vec<u8> {
    let size = [39, 0, 0, 23, 0, 0];
    let mut body = [&b"WEBP"[..], &chunk(*b"VP8X", &[&[2, 0, 0, 0], &size[..]].concat())].concat();
    body.extend(chunk(*b"ANIM", &[0; 6]));
    for (number, time) in (0..).zip(milliseconds) {
        let still = encoded(&picture(number), ImageFormat::WebP);
        let head = [&[0; 6], &size[..], &time.to_le_bytes()[..3], &[2]].concat();
        body.extend(chunk(*b"ANMF", &[head, still[12..].to_vec()].concat()));
    }
    [&b"RIFF"[..], &(body.len() as u32).to_le_bytes(), &body].concat()
}

fn png_chunk(name: [u8; 4], contents: &[u8]) -> Vec<u8> {
    let body = [&name[..], contents].concat();
    let crc = !body.iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| crc >> 1 ^ if crc & 1 == 1 { 0xEDB8_8320 } else { 0 })
    });
    [&(contents.len() as u32).to_be_bytes()[..], &body, &crc.to_be_bytes()].concat()
}

/// The same as an APNG (PNG, third edition, 11.3.6).
fn animated_png(milliseconds: &[u32]) -> Vec<u8> {
    let mut all = encoded(&picture(0), ImageFormat::Png)[..33].to_vec();
    all.extend(png_chunk(*b"acTL", &[(milliseconds.len() as u32).to_be_bytes(), [0; 4]].concat()));
    let mut sequence = 0_u32;
    let mut next = || {
        sequence += 1;
        (sequence - 1).to_be_bytes()
    };
    for (number, time) in (0..).zip(milliseconds) {
        let sides = [40_u32.to_be_bytes(), 24_u32.to_be_bytes(), [0; 4], [0; 4]].concat();
        let delay = [(*time as u16).to_be_bytes(), 1000_u16.to_be_bytes(), [0, 0]].concat();
        all.extend(png_chunk(*b"fcTL", &[&next()[..], &sides, &delay].concat()));
        let still = encoded(&picture(number), ImageFormat::Png);
        let mut at = 33;
        while at < still.len() {
            let length = u32::from_be_bytes(still[at..at + 4].try_into().unwrap()) as usize;
            let contents = &still[at + 8..at + 8 + length];
            if &still[at + 4..at + 8] == b"IDAT" {
                all.extend(match number {
                    0 => png_chunk(*b"IDAT", contents),
                    _ => png_chunk(*b"fdAT", &[&next()[..], contents].concat()),
                });
            }
            at += 12 + length;
        }
    }
    all.extend(png_chunk(*b"IEND", &[]));
    all
}

fn video(options: VideoOptions, path: &Path) -> VideoReader {
    match options.open_media(path).unwrap() {
        Media::Video(reader) => *reader,
        other => panic!("{other:?}"),
    }
}

fn sampled(reader: &mut VideoReader, sampling: Sampling) -> Vec<Frame> {
    reader.sample(sampling).collect::<Result<_, _>>().unwrap()
}

#[test]
fn animated_pictures_are_sampled_like_videos() {
    let folder = tempfile::tempdir().unwrap();
    let even = [100; 8];
    for (name, bytes) in [("moving.webp", animated_webp(&even)), ("moving.png", animated_png(&even))] {
        let path = folder.path().join(name);
        fs::write(&path, bytes).unwrap();
        for options in ways() {
            let mut reader = video(options, &path);
            let info = reader.info().clone();
            assert_eq!((info.width, info.height, info.frame_count), (40, 24, Some(8)), "{name}");
            assert!((info.duration_seconds.unwrap() - 0.8).abs() < 1e-6, "{name}: {info:?}");
            let frames = sampled(&mut reader, Sampling::Uniform(4));
            let numbers: Vec<_> = frames.iter().filter_map(|frame| frame.index).collect();
            assert_eq!(numbers, [1, 3, 5, 7], "{name}");
            for frame in &frames {
                let number = frame.index.unwrap();
                assert!(frame.image == picture(number as u32), "{name}, frame {number}");
                assert!((frame.pts_seconds - number as f64 / 10.0).abs() < 1e-6, "{name}: {frame:?}");
                assert!(!frame.repeats_previous, "{name}: {frame:?}");
            }
            // Once more, from the beginning.
            assert!(sampled(&mut reader, Sampling::Uniform(4)) == frames, "{name}");
        }
    }
}

#[test]
fn pauses_in_an_animation_cost_no_frames() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("moving.webp");
    // The first frame lasts longer than all others together; one is too short to be meant.
    fs::write(&path, animated_webp(&[5000, 40, 40, 0, 40, 40])).unwrap();
    for options in ways() {
        let mut reader = video(options, &path);
        assert_eq!(reader.info().duration_seconds, Some(5.26));
        let numbers = |frames: &[Frame]| frames.iter().filter_map(|frame| frame.index).collect::<Vec<_>>();
        assert_eq!(numbers(&sampled(&mut reader, Sampling::Uniform(6))), [0, 1, 2, 3, 4, 5]);
        assert_eq!(numbers(&sampled(&mut reader, Sampling::Uniform(4))), [0, 1, 3, 5]);
        let seconds = sampled(&mut reader, Sampling::EverySeconds(2.0));
        assert_eq!(numbers(&seconds), [0, 0, 0]);
        assert!(seconds[1].repeats_previous && !seconds[0].repeats_previous);
    }
}

#[test]
fn animations_are_shrunk_and_bounded_like_videos() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("moving.webp");
    fs::write(&path, animated_webp(&[100; 3])).unwrap();
    let small = Limits::untrusted().max_pixels(40 * 24 - 1);
    for options in ways() {
        let mut reader = video(options.clone().max_side(20), &path);
        assert_eq!(sampled(&mut reader, Sampling::Uniform(1))[0].image.dimensions(), (20, 12));
        let error = options.limits(small.clone()).open(&path).unwrap_err();
        assert!(matches!(error, VideoError::TooLarge { width: 40, height: 24, .. }), "{error:?}");
    }
}

#[test]
fn an_animation_cut_short_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("moving.webp");
    let bytes = animated_webp(&[100; 6]);
    for length in (30..bytes.len()).step_by(53) {
        fs::write(&path, &bytes[..length]).unwrap();
        for options in ways() {
            let error = options.open_media(&path).unwrap_err();
            assert!(matches!(error, VideoError::Truncated { .. }), "{length} bytes: {error:?}");
        }
    }
}

#[test]
fn damaged_animations_never_panic_or_hang() {
    let folder = tempfile::tempdir().unwrap();
    let bytes = animated_webp(&[100; 3]);
    for place in (0..bytes.len()).step_by(11) {
        let path = folder.path().join("moving.webp");
        let mut damaged = bytes.clone();
        damaged[place] ^= 0x55;
        fs::write(&path, damaged).unwrap();
        for options in ways() {
            let ended = options
                .open(&path)
                .and_then(|mut reader| reader.sample(Sampling::Uniform(3)).collect::<Result<Vec<_>, _>>());
            assert!(!matches!(ended, Err(VideoError::DecoderDied { .. })), "byte {place}: {ended:?}");
            // Its decoder names values of its code.
            let message = ended.err().map(|error| error.to_string()).unwrap_or_default();
            assert!(!message.contains(['{', '[', '"']), "byte {place}: {message}");
        }
    }
}

fn turned(orientation: u32) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/data/turned-{orientation}.avif"))
}

#[test]
fn what_follows_a_still_avif_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let still = fs::read(turned(6)).unwrap();
    let clip = Path::new(env!("CARGO_MANIFEST_DIR")).join("goldens/clips/untagged.mp4");
    for (other, kind) in [
        (fs::read(clip).unwrap(), TrailingMediaKind::Video),
        (encoded(&picture(1), ImageFormat::Jpeg), TrailingMediaKind::Picture),
        (still.clone(), TrailingMediaKind::Picture),
    ] {
        let path = folder.path().join("still.avif");
        fs::write(&path, [&still[..], &other].concat()).unwrap();
        for options in ways() {
            let mut reader = video(options, &path);
            let trailing = TrailingMedia::new(kind, still.len() as u64, other.len() as u64);
            assert_eq!(reader.warnings(), [Warning::PictureFollowed(trailing)]);
            let frames = sampled(&mut reader, Sampling::Uniform(3));
            assert!(frames.iter().all(|frame| frame.image.dimensions() == (96, 64)));
        }
    }
}

#[test]
fn turned_avif_comes_out_upright() {
    for orientation in 1..=8 {
        for options in ways() {
            let mut reader = video(options, &turned(orientation));
            let frame = &sampled(&mut reader, Sampling::Uniform(1))[0];
            assert_eq!(frame.image.dimensions(), (96, 64), "{orientation}");
            assert_eq!((reader.info().width, reader.info().height), (96, 64), "{orientation}");
            let strongest = |x, y| {
                let Rgb(pixel) = *frame.image.get_pixel(x, y);
                (0..3).max_by_key(|channel| pixel[*channel]).unwrap()
            };
            assert_eq!([strongest(16, 16), strongest(80, 16), strongest(16, 48)], [0, 1, 2], "{orientation}");
        }
    }
}
