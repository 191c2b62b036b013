//! What damaged, cut and hostile files must end in: a typed error at once, or the good frames and a
//! warning, within the time and memory of `Limits::untrusted`.
//!
//! Everything is decoded by a process that the kernel kills at the first system call that decoding
//! does not need. What ends in anything but `DecoderDied` has opened no other file and no socket, and
//! has kept within the memory limit.

#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking, in its helper functions too")]

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use deeptell_video::{
    DecoderProcess, Frame, Limits, Sampling, VideoCodec, VideoError, VideoReader, VideoWriter, Warning,
    WriterOptions,
};
use image::{Rgb, RgbImage};
use tempfile::TempDir;

/// Frames of the golden clip that most files here are made of, its rate and its length.
const FRAMES: usize = 50;

fn golden(name: &str) -> Vec<u8> {
    fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("goldens/clips").join(name)).unwrap()
}

struct Bench {
    folder: TempDir,
    decoder: DecoderProcess,
    /// All frames of the golden clip.
    truth: Vec<Frame>,
}

impl Bench {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let decoder = DecoderProcess::new(env!("CARGO_BIN_EXE_deeptell-decoder")).arg("--strict");
        let path = folder.path().join("truth.mp4");
        fs::write(&path, golden("untagged.mp4")).unwrap();
        let truth = VideoReader::open(path).unwrap().sample(Sampling::Uniform(FRAMES)).flatten().collect();
        Self { folder, decoder, truth }
    }

    fn file(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.folder.path().join(name);
        fs::write(&path, bytes).unwrap();
        path
    }

    fn attempt(
        &self,
        path: &Path,
        limits: Limits,
        count: usize,
    ) -> Result<(Vec<Frame>, Vec<Warning>), VideoError> {
        let mut reader = VideoReader::options().limits(limits).isolated_by(&self.decoder).open(path)?;
        let frames = reader.sample(Sampling::Uniform(count)).collect::<Result<_, _>>()?;
        Ok((frames, reader.warnings().to_vec()))
    }

    /// The outcome for 12 frames, which must come well within the deadline.
    fn outcome(&self, name: &str, bytes: &[u8]) -> Result<(Vec<Frame>, Vec<Warning>), VideoError> {
        let start = Instant::now();
        let outcome = self.attempt(&self.file(name, bytes), Limits::untrusted(), 12);
        assert!(start.elapsed() < Duration::from_secs(10), "{name} took {:?}", start.elapsed());
        outcome
    }

    fn error(&self, name: &str, bytes: &[u8]) -> VideoError {
        self.outcome(name, bytes).map(|(frames, warnings)| (frames.len(), warnings)).unwrap_err()
    }

    /// How many frames are what the undamaged clip shows at their time.
    fn good(&self, frames: &[Frame]) -> usize {
        let is_good = |frame: &&Frame| {
            let shown = self.truth.iter().find(|truth| (truth.pts_seconds - frame.pts_seconds).abs() < 1e-3);
            shown.is_some_and(|truth| truth.image == frame.image)
        };
        frames.iter().filter(is_good).count()
    }
}

/// The top-level boxes of an MP4 file (ISO/IEC 14496-12, 4.2): name, start and length.
fn boxes(bytes: &[u8]) -> Vec<(&[u8], usize, usize)> {
    let mut found = Vec::new();
    let mut at = 0;
    while at + 8 <= bytes.len() {
        let length = u32::from_be_bytes(bytes[at..at + 4].try_into().unwrap()) as usize;
        assert!(length >= 8, "no large boxes in these files");
        found.push((&bytes[at + 4..at + 8], at, length));
        at += length;
    }
    found
}

/// Where the content of the box `name` starts.
fn content(bytes: &[u8], name: &[u8]) -> usize {
    bytes.windows(name.len()).position(|window| window == name).unwrap() + name.len()
}

fn number(bytes: &[u8], at: usize) -> u32 {
    u32::from_be_bytes(bytes[at..at + 4].try_into().unwrap())
}

fn put(bytes: &mut [u8], at: usize, value: u32) {
    bytes[at..at + 4].copy_from_slice(&value.to_be_bytes());
}

/// The golden clip with its index before its pictures, as it is sent over a network; and where the
/// pictures start.
fn index_first() -> (Vec<u8>, usize) {
    let bytes = golden("untagged.mp4");
    let of = |name: &[u8]| {
        let found = boxes(&bytes).into_iter().find(|(is, ..)| *is == name).unwrap();
        bytes[found.1..found.1 + found.2].to_vec()
    };
    let (start, mut index, pictures) = (of(b"ftyp"), of(b"moov"), of(b"mdat"));
    let was_at = boxes(&bytes).into_iter().find(|(is, ..)| *is == b"mdat").unwrap().1;
    let is_at = start.len() + index.len();
    let chunks = content(&index, b"stco");
    for chunk in 0..number(&index, chunks + 4) as usize {
        let at = chunks + 8 + 4 * chunk;
        let moved = number(&index, at) as usize + is_at - was_at;
        put(&mut index, at, moved as u32);
    }
    ([start, index, pictures].concat(), is_at + 8)
}

/// Random numbers, the same in each run.
fn noise(seed: u64) -> impl Iterator<Item = u64> {
    let mut random = fastrand::Rng::with_seed(seed);
    std::iter::repeat_with(move || random.u64(..))
}

#[test]
fn files_that_are_not_videos_are_refused_within_fifty_milliseconds() {
    let bench = Bench::new();
    let video = golden("untagged.mp4");
    let (pictures, _) = boxes(&video).into_iter().map(|(_, at, length)| (at, length)).next_back().unwrap();
    let random: Vec<u8> = noise(1).map(|noise| noise as u8).take(100_000).collect();
    for (name, bytes) in [
        ("empty.mp4", &[][..]),
        ("text.mp4", "this is not a video\n".repeat(2000).as_bytes()),
        ("random.mp4", &random),
        ("no_index.mp4", &video[..pictures]),
    ] {
        let path = bench.file(name, bytes);
        let mut times = Vec::new();
        for _ in 0..5 {
            let start = Instant::now();
            let error = VideoReader::options().limits(Limits::untrusted()).open(&path).unwrap_err();
            times.push(start.elapsed());
            let is_right = match name {
                "no_index.mp4" => matches!(error, VideoError::Corrupt { .. }),
                _ => matches!(error, VideoError::Unsupported { .. }),
            };
            assert!(is_right, "{name}: {error:?}");
        }
        // The best of five: other tests run meanwhile.
        assert!(times.iter().min().unwrap() < &Duration::from_millis(50), "{name}: {times:?}");
        // The same answer where nothing else may be done.
        assert_eq!(bench.error(name, bytes).to_string(), {
            let error = VideoReader::options().limits(Limits::untrusted()).open(&path).unwrap_err();
            error.to_string()
        });
    }
}

#[test]
fn paths_that_are_not_files_are_refused_at_once() {
    let bench = Bench::new();
    let pipe = bench.folder.path().join("pipe.mp4");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let link = bench.folder.path().join("zero.mp4");
    std::os::unix::fs::symlink("/dev/zero", &link).unwrap();
    for path in [bench.folder.path(), Path::new("/dev/zero"), &link, &pipe] {
        let start = Instant::now();
        let error = bench.attempt(path, Limits::untrusted(), 1).map(|_| ()).unwrap_err();
        assert!(matches!(error, VideoError::NotAFile { .. }), "{}: {error:?}", path.display());
        assert!(start.elapsed() < Duration::from_secs(1), "{}: {:?}", path.display(), start.elapsed());
    }
}

#[test]
fn magicyuv_is_refused_before_it_is_decoded() {
    let bench = Bench::new();
    let mut bytes = golden("mjpeg_full_range.avi");
    // The codec's code in the AVI headers: now that of MagicYUV with 8-bit RGB.
    for at in (0..bytes.len() - 4).filter(|at| *at < 4096).collect::<Vec<_>>() {
        if bytes[at..at + 4].eq_ignore_ascii_case(b"mjpg") {
            bytes[at..at + 4].copy_from_slice(b"M8RG");
        }
    }
    for limits in [Limits::untrusted(), Limits::default()] {
        let refused = bench.attempt(&bench.file("magicyuv.avi", &bytes), limits, 12).map(|_| ()).unwrap_err();
        assert!(matches!(refused, VideoError::Unsupported { .. }), "{refused:?}");
        assert!(refused.to_string().contains("magicyuv"), "{refused}");
    }
}

#[test]
fn a_video_that_names_another_file_opens_none() {
    let bench = Bench::new();
    let (mut bytes, _) = index_first();
    // The data reference says that the pictures lie in another file (ISO/IEC 14496-12, 8.7.2).
    let flags = content(&bytes, b"url ");
    put(&mut bytes, flags, 0);
    if let Ok((frames, _)) = bench.outcome("elsewhere.mp4", &bytes) {
        assert_eq!(bench.good(&frames), 12, "taken from the file itself");
    }
}

#[test]
fn giant_pictures_are_refused_before_they_are_decoded() {
    let bench = Bench::new();
    let mut bytes = golden("mjpeg_full_range.avi");
    let start_of_frame = [0xFF, 0xC0, 0x00, 0x11, 0x08];
    let frames: Vec<_> =
        bytes.windows(5).enumerate().filter(|(_, is)| *is == start_of_frame).map(|(at, _)| at).collect();
    assert!(frames.len() >= 20);
    for at in frames {
        // JPEG (ITU-T T.81, B.2.2): height, then width.
        bytes[at + 5..at + 9].copy_from_slice(&[0x3E, 0x80, 0x3E, 0x80]);
    }
    // Whatever the container says, and with less memory than one such picture takes.
    for says in [160_u32, 16_000] {
        let sizes = content(&bytes, b"strf") + 8;
        bytes[sizes..sizes + 4].copy_from_slice(&says.to_le_bytes());
        bytes[sizes + 4..sizes + 8].copy_from_slice(&says.to_le_bytes());
        let limits = Limits::untrusted().memory_bytes(100 << 20);
        let refused = bench.attempt(&bench.file("giant.avi", &bytes), limits, 12).map(|_| ());
        let is_refused = match &refused {
            Err(VideoError::TooLarge { width, height, .. }) => (*width, *height) == (16_000, 16_000),
            Err(VideoError::NoFrames { .. } | VideoError::Corrupt { .. }) => says == 160,
            _ => false,
        };
        assert!(is_refused, "{says}: {refused:?}");
    }
}

#[test]
fn the_pixel_limit_holds_during_the_survey() {
    let bench = Bench::new();
    let path = bench.folder.path().join("large.mp4");
    let options = WriterOptions::default().b_frames(false);
    let mut writer = VideoWriter::create(&path, 4096, 2304, &options).unwrap();
    for shade in [20, 200] {
        writer.write(&RgbImage::from_pixel(4096, 2304, Rgb([shade; 3]))).unwrap();
    }
    writer.finish().unwrap();
    let megabytes = |limit: u64| Limits::untrusted().memory_bytes(limit << 20);
    // A program of some 30 MiB and one frame take more than 44 MiB, refusing does not.
    let refused = bench.attempt(&path, megabytes(44).max_pixels(1 << 20), 1).map(|_| ());
    assert!(matches!(refused, Err(VideoError::TooLarge { width: 4096, height: 2304, .. })), "{refused:?}");
    let refused = bench.attempt(&path, megabytes(44), 1).map(|_| ());
    assert!(
        matches!(refused, Err(VideoError::OutOfMemory { .. } | VideoError::DecoderDied { .. })),
        "{refused:?}"
    );
    assert_eq!(bench.attempt(&path, megabytes(600), 1).unwrap().0.len(), 1);
}

#[test]
fn flipped_bits_cost_few_frames_and_are_reported() {
    let bench = Bench::new();
    let (original, pictures) = index_first();
    let (mut good, mut warned) = (0, 0);
    for seed in 0..20 {
        let mut bytes = original.clone();
        let mut draws = noise(seed);
        for _ in 0..4 {
            let at = pictures + draws.next().unwrap() as usize % (bytes.len() - pictures);
            bytes[at] ^= 1 << (draws.next().unwrap() % 8);
        }
        let (frames, warnings) = bench.outcome("bits.mp4", &bytes).unwrap();
        assert_eq!(frames.len(), 12, "seed {seed}");
        good += bench.good(&frames);
        warned += usize::from(!warnings.is_empty());
    }
    // Some flips make another valid picture, which nobody can tell from the true one.
    assert!(good >= 60 && warned >= 10, "{good} of 240 frames are good, {warned} of 20 files are reported");
}

#[test]
fn time_never_goes_backwards() {
    let bench = Bench::new();
    // As the fuzzer found it: a part of the file occurs twice. Drained early, the decoder conceals the
    // frame at 0.8 s; decoding in order, to which the damage leads, leaves it out.
    let mut bytes = golden("fragmented.mp4");
    bytes.copy_within(5647..8174, 6583);
    let path = bench.file("twice.mp4", &bytes);
    let (frames, _) = bench.attempt(&path, Limits::untrusted(), 6).unwrap();
    let times: Vec<f64> = frames.iter().map(|frame| frame.pts_seconds).collect();
    assert!(times.is_sorted(), "{times:?}");
    assert_eq!(times.len(), 6);
    for pair in frames.windows(2) {
        let [before, frame] = pair else { unreachable!() };
        assert_eq!(frame.repeats_previous, frame.pts_seconds == before.pts_seconds);
        assert!(!frame.repeats_previous || frame.image == before.image, "at {} s", frame.pts_seconds);
    }
}

#[test]
fn a_hole_costs_few_frames_and_is_reported() {
    let bench = Bench::new();
    let (mut bytes, pictures) = index_first();
    let from = pictures + (bytes.len() - pictures) / 3;
    bytes[from..from + 3000].fill(0);
    let (frames, warnings) = bench.outcome("hole.mp4", &bytes).unwrap();
    assert_eq!(frames.len(), 12);
    assert!(bench.good(&frames) >= 6, "{} good ones", bench.good(&frames));
    assert!(!warnings.is_empty());
}

#[test]
fn half_a_file_gives_its_half_and_says_so() {
    let bench = Bench::new();
    let (bytes, _) = index_first();
    let fragments = golden("fragmented.mp4");
    let stream = golden("h264.mkv");
    for (name, bytes, share) in
        [("half.mp4", &bytes, 0.5), ("part.fragments.mp4", &fragments, 0.7), ("half.mkv", &stream, 0.5)]
    {
        let there = (bytes.len() as f64 * share) as usize;
        let (frames, warnings) = bench.outcome(name, &bytes[..there]).unwrap();
        // Fragments declare no length that could be missed: their warning is that the last one is damaged.
        let is_reported = warnings.iter().any(|warning| match warning {
            Warning::Truncated { .. } => true,
            Warning::CorruptPackets { .. } => name == "part.fragments.mp4",
            _ => false,
        });
        assert!(is_reported, "{name}: {warnings:?}");
        let times: Vec<_> = frames.iter().map(|frame| frame.pts_seconds).collect();
        assert!(times.is_sorted_by(|a, b| a < b), "{name}: none repeats another: {times:?}");
        assert!(frames.len() == 12 && *times.last().unwrap() < 1.6, "{name}: {times:?}");
        // The stream is another encoding.
        assert!(bench.good(&frames) >= 11 || name == "half.mkv", "{name}: {} good ones", bench.good(&frames));
    }
}

#[test]
fn a_declared_length_of_years_does_not_change_frames() {
    let bench = Bench::new();
    let (bytes, _) = index_first();
    let mut declared = bytes.clone();
    // Durations of the movie, the track, the media and the edit (ISO/IEC 14496-12, 8.2.2, 8.3.2, 8.4.2, 8.6.6).
    for (name, offset) in [(b"mvhd", 16), (b"tkhd", 20), (b"mdhd", 16), (b"elst", 8)] {
        let at = content(&declared, name) + offset;
        put(&mut declared, at, 0x7FFF_FFFF);
    }
    let mut last = bytes.clone();
    let steps = content(&last, b"stts");
    let entries = number(&last, steps + 4) as usize;
    put(&mut last, steps + 8 + 8 * (entries - 1) + 4, 0x7FFF_FFF0);
    let (frames, _) = bench.outcome("declared.mp4", &declared).unwrap();
    assert_eq!((frames.len(), bench.good(&frames)), (12, 12));
    assert!(frames.iter().all(|frame| !frame.repeats_previous));
    // Two days a frame: within the two seconds that the edit list shows, there is only the first.
    let (frames, warnings) = bench.outcome("last.mp4", &last).unwrap();
    assert_eq!((frames.len(), bench.good(&frames)), (12, 12));
    assert!(frames.iter().skip(1).all(|frame| frame.repeats_previous));
    assert!(matches!(warnings[..], [Warning::DurationMismatch { .. }]), "{warnings:?}");
}

#[test]
fn a_table_of_two_billion_samples_takes_no_memory() {
    let bench = Bench::new();
    let (mut bytes, _) = index_first();
    let table = content(&bytes, b"stsz");
    put(&mut bytes, table + 8, 0x7FFF_FFFF);
    match bench.outcome("samples.mp4", &bytes) {
        Ok((frames, _)) => assert_eq!(frames.len(), 12),
        Err(error) => assert!(
            matches!(
                error,
                VideoError::Corrupt { .. } | VideoError::NoFrames { .. } | VideoError::Truncated { .. }
            ),
            "{error:?}"
        ),
    }
}

#[test]
fn a_wrong_size_in_the_container_is_harmless() {
    let bench = Bench::new();
    let (mut bytes, _) = index_first();
    // Width and height of the sample entry (ISO/IEC 14496-12, 12.1.3).
    let entry = content(&bytes, b"avc1");
    put(&mut bytes, entry + 24, 0xFFFF_FFFF);
    let (frames, _) = bench.outcome("lie.mp4", &bytes).unwrap();
    assert_eq!(bench.good(&frames), 12);
}

#[test]
fn a_stream_may_change_its_size() {
    let bench = Bench::new();
    let part = |name: &str, (width, height), codec| {
        let path = bench.folder.path().join(name);
        let options = WriterOptions::default().codec(codec).keyframe_interval(10);
        let mut writer = VideoWriter::create(&path, width, height, &options).unwrap();
        for number in 0..40 {
            let image =
                RgbImage::from_fn(width, height, |x, y| Rgb([(x + number * 3) as u8, (y * 2) as u8, 90]));
            writer.write(&image).unwrap();
        }
        writer.finish().unwrap();
        fs::read(path).unwrap()
    };
    let sizes = [(160, 96), (96, 160)];
    let bytes = sizes.map(|size| part(&format!("{}.ts", size.0), size, VideoCodec::H264)).concat();
    let (frames, _) = bench.outcome("change.ts", &bytes).unwrap();
    assert_eq!(frames.len(), 12);
    for size in sizes {
        assert!(frames.iter().filter(|frame| frame.image.dimensions() == size).count() >= 4, "{size:?}");
    }
}

#[test]
fn cut_files_report_what_is_missing() {
    let bench = Bench::new();
    for name in ["fragmented.mp4", "live.mkv", "h264.mkv", "vp9.webm", "mpeg4.avi", "h264.ts"] {
        let bytes = golden(name);
        let (frames, warnings) = bench.outcome(name, &bytes[..=bytes.len() * 7 / 10]).unwrap();
        assert!(frames.len() > 3, "{name}");
        let is_told = |warning: &Warning| {
            matches!(warning, Warning::CutShort { .. } | Warning::Truncated { .. })
                && warning.to_string().contains("cut short")
        };
        assert_eq!(warnings.iter().filter(|warning| is_told(warning)).count(), 1, "{name}: {warnings:?}");
    }
    // Without its index nothing can be read; it is not called damaged, nor a file without video.
    let bytes = golden("untagged.mp4");
    let (_, at, length) = boxes(&bytes).into_iter().find(|(name, ..)| *name == b"moov").unwrap();
    for present in [at - 100, at + length / 2] {
        let error = bench.error("cut.mp4", &bytes[..present]);
        assert!(matches!(error, VideoError::Truncated { .. }), "{error:?}");
        assert!(error.to_string().contains(&format!("{present} of its")), "{error}");
    }
}

#[test]
fn a_second_video_in_the_file_is_reported() {
    let bench = Bench::new();
    let first = golden("untagged.mp4");
    for (name, first, second) in
        [("a.mp4", &first, golden("hevc.mp4")), ("b.mp4", &golden("fragmented.mp4"), first.clone())]
    {
        let alone = bench.outcome(name, first).unwrap();
        let (frames, warnings) = bench.outcome(name, &[&first[..], &second].concat()).unwrap();
        assert!(
            alone.0.iter().map(|frame| &frame.image).eq(frames.iter().map(|frame| &frame.image)),
            "{name}"
        );
        let expected = Warning::BytesAfterEnd { bytes: second.len() as u64, is_video: true };
        assert_eq!(warnings, [expected], "{name}");
    }
}

#[test]
fn joined_matroska_files_of_different_codings_are_sampled() {
    let bench = Bench::new();
    let (one, other) = (golden("h264.mkv"), golden("vp9.webm"));
    let alone = |name: &str, bytes: &[u8]| bench.outcome(name, bytes).unwrap().0;
    let (first, second) = (alone("one.mkv", &one), alone("other.webm", &other));
    let (frames, warnings) = bench.outcome("joined.mkv", &[&one[..], &other].concat()).unwrap();
    assert_eq!(frames.len(), 12);
    for part in [&first, &second] {
        let size = part[0].image.dimensions();
        let shown = frames.iter().filter(|frame| frame.image.dimensions() == size);
        assert!(shown.count() >= 3, "{size:?}");
    }
    assert!(frames.is_sorted_by(|one, other| one.pts_seconds < other.pts_seconds));
    assert_eq!(warnings, [Warning::ClockJumps { count: 1 }]);
}

#[test]
fn an_endless_picture_takes_little_memory() {
    const LONG: u64 = 500 << 20;
    let bench = Bench::new();
    let limits = || Limits::untrusted().memory_bytes(300 << 20);
    // What was there, and zeros that take no room on the disk.
    let outcome = |name: &str, bytes: &[u8]| {
        let path = bench.file(name, bytes);
        fs::File::options().write(true).open(&path).unwrap().set_len(bytes.len() as u64 + LONG).unwrap();
        bench.attempt(&path, limits(), 12).map(|(frames, _)| frames.len())
    };
    let raw = golden("raw.h264");
    let unended = [&raw[..], b"\0\0\x01\x65\x88"].concat();
    for (name, bytes) in
        [("zeros.h264", &raw), ("unended.h264", &unended), ("head.h264", &raw[..2000].to_vec())]
    {
        let error = outcome(name, bytes).unwrap_err();
        assert!(
            matches!(error, VideoError::PacketTooLarge { max_bytes, .. } if max_bytes == limits().max_packet_bytes),
            "{name}: {error:?}"
        );
    }
    // Containers that say how large a picture is: it may not be needed, or be skipped as damage.
    let (mut mp4, _) = index_first();
    let sizes = content(&mp4, b"stsz");
    let last = sizes + 12 + 4 * (number(&mp4, sizes + 8) as usize - 1);
    put(&mut mp4, last, LONG as u32);
    let mut avi = golden("mpeg4.avi");
    let index = avi.windows(4).rposition(|name| name == b"idx1").unwrap();
    avi.truncate(index);
    avi.extend_from_slice(b"00dc");
    avi.extend_from_slice(&(LONG as u32).to_le_bytes());
    for (name, bytes) in [("sample.mp4", &mp4), ("chunk.avi", &avi)] {
        let outcome = outcome(name, bytes);
        assert!(
            matches!(
                outcome,
                Ok(12) | Err(VideoError::PacketTooLarge { .. } | VideoError::OutOfMemory { .. })
            ),
            "{name}: {outcome:?}"
        );
    }
    // An animation whose description of the camera is as long; its frames are read all the same.
    let path = bench.folder.path().join("described.webp");
    let mut webp = animated_webp();
    let length = webp.len() as u32 - 8 + 8 + LONG as u32;
    webp[4..8].copy_from_slice(&length.to_le_bytes());
    webp[20] |= 0x08;
    webp.extend_from_slice(b"EXIF");
    webp.extend_from_slice(&(LONG as u32).to_le_bytes());
    fs::write(&path, &webp).unwrap();
    fs::File::options().write(true).open(&path).unwrap().set_len(u64::from(length) + 8).unwrap();
    assert_eq!(bench.attempt(&path, limits(), 2).unwrap().0.len(), 2);
}

/// Two frames, each a lossless picture of one color.
fn animated_webp() -> Vec<u8> {
    let chunk = |name: &[u8], content: &[u8]| {
        let padding = &[0][..content.len() % 2];
        [name, &(content.len() as u32).to_le_bytes(), content, padding].concat()
    };
    let still = |red| {
        let mut bytes = Vec::new();
        let image = RgbImage::from_pixel(16, 16, Rgb([red, 9, 9]));
        image::codecs::webp::WebPEncoder::new_lossless(&mut bytes)
            .encode(&image, 16, 16, image::ExtendedColorType::Rgb8)
            .unwrap();
        bytes.split_off(12)
    };
    let frame = |red| {
        // Place and size, a tenth of a second, no blending.
        let head = [0, 0, 0, 0, 0, 0, 15, 0, 0, 15, 0, 0, 100, 0, 0, 2];
        chunk(b"ANMF", &[&head[..], &still(red)].concat())
    };
    let head = chunk(b"VP8X", &[0x02, 0, 0, 0, 15, 0, 0, 15, 0, 0]);
    let all = [b"WEBP".to_vec(), head, chunk(b"ANIM", &[0; 6]), frame(10), frame(200)].concat();
    chunk(b"RIFF", &all)
}

#[test]
fn damaged_indices_never_panic_or_hang() {
    let bench = Bench::new();
    let (original, pictures) = index_first();
    let mut decoded = 0;
    for seed in 0..60 {
        let mut bytes = original.clone();
        let mut draws = noise(seed + 1000);
        for _ in 0..=seed % 8 {
            bytes[draws.next().unwrap() as usize % pictures] = draws.next().unwrap() as u8;
        }
        match bench.outcome("index.mp4", &bytes) {
            Ok((frames, _)) => decoded += usize::from(!frames.is_empty()),
            Err(error @ (VideoError::DecoderDied { .. } | VideoError::NoDecoderProcess { .. })) => {
                panic!("seed {seed}: {error}")
            }
            Err(_) => {}
        }
    }
    assert!(decoded >= 10, "{decoded} of 60 still decode");
}
