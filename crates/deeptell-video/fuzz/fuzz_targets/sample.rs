//! Opens any bytes as a video and samples it in each way: no crash, no hang, no memory without end.

#![no_main]

use std::io::Write;
use std::time::{Duration, Instant};

use deeptell_video::{Limits, Sampling, VideoReader};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Ok(mut file) = tempfile::tempfile() else { return };
    if file.write_all(bytes).is_err() {
        return;
    }
    let limits = Limits {
        max_pixels: 1 << 20,
        deadline: Duration::from_secs(2),
        ..Limits::untrusted()
    };
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
});
