//! Videos, pictures, and what the decoding process says.

use std::io::{Cursor, Write as _};
use std::time::{Duration, Instant};

use deeptell_face::{PictureKind, PictureLimits, read_picture};
use deeptell_video::{FrameTimesReader, Limits, Sampling, VideoReader};

const MAX_PIXELS: u64 = 1 << 20;

/// Opens the bytes as a video or an animated picture and samples it in each way, in this process.
pub(crate) fn video(bytes: &[u8]) {
    let mut file = tempfile::tempfile().expect("there is room for a file");
    file.write_all(bytes).expect("there is room for a file");
    let limits = Limits::untrusted().max_pixels(MAX_PIXELS).deadline(Duration::from_secs(2));
    let start = Instant::now();
    if let Ok(mut reader) = VideoReader::options().limits(limits).max_side(160).from_file(file) {
        for sampling in [Sampling::Uniform(6), Sampling::Keyframes(3), Sampling::EverySeconds(0.5)] {
            let mut last = -1.0;
            for frame in reader.sample(sampling).take(64) {
                let Ok(frame) = frame else { break };
                assert!(frame.image.width().max(frame.image.height()) <= 160);
                assert!(frame.pts_seconds >= last, "time goes backwards: {last}, {}", frame.pts_seconds);
                last = frame.pts_seconds;
            }
        }
    }
    // One call to FFmpeg can outlast the deadline by the decoding of a picture.
    assert!(start.elapsed() < Duration::from_secs(20), "the deadline did not hold");
}

/// Reads the bytes as a container, in two pieces, and samples the frames that it lists.
pub(crate) fn times(bytes: &[u8]) {
    let mut reader = FrameTimesReader::new();
    let (first, second) = bytes.split_at(bytes.len() / 3);
    reader.push(first);
    reader.push(second);
    let Some(times) = reader.finish() else { return };
    for sampling in [Sampling::Uniform(6), Sampling::EverySeconds(0.5), Sampling::EveryFrame] {
        let moments = times.sample(sampling).expect("each is a possible sampling");
        assert!(moments.len() as u64 <= times.count());
        for pair in moments.windows(2) {
            assert!(pair[0].index < pair[1].index && pair[0].pts_seconds <= pair[1].pts_seconds, "{pair:?}");
        }
        for moment in moments {
            assert!(moment.pts_seconds >= 0.0 && moment.until_seconds >= moment.pts_seconds, "{moment:?}");
        }
    }
}

/// Reads the bytes as a still picture.
pub(crate) fn picture(bytes: &[u8]) {
    let _ = PictureKind::of(&mut Cursor::new(bytes));
    let mut limits = PictureLimits::untrusted();
    limits.max_pixels = MAX_PIXELS;
    limits.max_memory_bytes = 64 << 20;
    if let Ok(picture) = read_picture(Cursor::new(bytes), &limits) {
        let (width, height) = picture.image.dimensions();
        assert!(width > 0 && height > 0 && u64::from(width) * u64::from(height) <= MAX_PIXELS);
    }
}

#[cfg(unix)]
/// Reads the bytes as what the decoding process says to its parent, and the parent to it.
pub(crate) fn wire(bytes: &[u8]) {
    deeptell_video::read_messages(bytes);
}
