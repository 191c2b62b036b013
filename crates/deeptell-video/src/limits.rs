//! Limits on the content of a file and on the cost of reading it.

use std::time::Duration;

use deeptell_face::PictureLimits;
use serde::{Deserialize, Serialize};

/// Limits on the content of a file and on the cost of reading it.
///
/// Files are always opened by this crate itself and handed to FFmpeg as plain bytes, with every
/// protocol disabled: no setting lets a video name another file or a network address.
///
/// The deadline is checked at every read and between packets, not inside the decoding of one
/// picture, whose cost `max_pixels` bounds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// Largest picture in pixels (width times height). Holds before the first picture is decoded.
    pub max_pixels: u64,
    /// Time that a reader may spend in its own calls; the caller's work between two frames does not count.
    pub deadline: Duration,
    /// Memory of a separate decoding process ([`DecoderProcess`](crate::DecoderProcess)), including the program and the
    /// frame in transit. Enforced on Linux, and not when decoding in the caller's process.
    pub memory_bytes: u64,
    /// Streams a container may declare.
    pub max_streams: u32,
    /// Bytes read to find out what the streams are.
    pub probe_bytes: u32,
    /// Playing time examined to find out what the streams are.
    pub probe_duration: Duration,
    /// Refuses streams that appear only after the header, because FFmpeg would probe them without the pixel limit. This
    /// excludes FLV and MPEG program streams.
    pub fixed_streams: bool,
    /// FFmpeg names of the containers that may be opened.
    pub containers: Vec<String>,
    /// FFmpeg names of the decoders that may run.
    pub codecs: Vec<String>,
    /// Bounds on still pictures.
    pub pictures: PictureLimits,
}

/// Containers and decoders for untrusted files: those that phones, browsers and data sets use.
const COMMON_CONTAINERS: &[&str] =
    &["mov", "mp4", "matroska", "webm", "avi", "mpegts", "gif", "apng", "h264", "hevc"];
const COMMON_CODECS: &[&str] =
    &["h264", "hevc", "vp8", "vp9", "libdav1d", "av1", "libaom-av1", "mpeg4", "mjpeg", "gif", "apng"];

/// Further ones for trusted files.
const FURTHER_CONTAINERS: &[&str] =
    &["flv", "mpeg", "mpegvideo", "ogg", "asf", "m4v", "ivf", "obu", "mjpeg", "3gp"];
const FURTHER_CODECS: &[&str] = &[
    "mpeg1video",
    "mpeg2video",
    "h263",
    "h263i",
    "flv",
    "msmpeg4",
    "msmpeg4v2",
    "wmv1",
    "wmv2",
    "wmv3",
    "vc1",
    "theora",
    "prores",
    "dnxhd",
    "ffv1",
    "huffyuv",
    "ffvhuff",
    "utvideo",
    "rawvideo",
    "png",
    "vp6",
    "vp6f",
];

impl Limits {
    /// Narrow limits for untrusted files: 4K pictures, 20 seconds, the ten common codecs.
    #[must_use]
    pub fn untrusted() -> Self {
        Self {
            max_pixels: 4096 * 2304,
            deadline: Duration::from_secs(20),
            memory_bytes: 600 << 20,
            max_streams: 64,
            probe_bytes: 5_000_000,
            probe_duration: Duration::from_secs(5),
            fixed_streams: true,
            containers: names(COMMON_CONTAINERS),
            codecs: names(COMMON_CODECS),
            pictures: PictureLimits::untrusted(),
        }
    }
}

impl Default for Limits {
    /// Limits for trusted files: 8K pictures, ten minutes, every common container and codec.
    fn default() -> Self {
        let untrusted = Self::untrusted();
        Self {
            max_pixels: 8192 * 4320,
            deadline: Duration::from_mins(10),
            memory_bytes: 4 << 30,
            fixed_streams: false,
            containers: [untrusted.containers, names(FURTHER_CONTAINERS)].concat(),
            codecs: [untrusted.codecs, names(FURTHER_CODECS)].concat(),
            pictures: PictureLimits::default(),
            ..Self::untrusted()
        }
    }
}

fn names(list: &[&str]) -> Vec<String> {
    list.iter().map(|&name| name.to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_limits_allow_the_magicyuv_decoder() {
        // It has a heap write in many releases (CVE-2026-8461).
        for limits in [Limits::untrusted(), Limits::default()] {
            assert!(!limits.codecs.iter().any(|codec| codec == "magicyuv"));
        }
    }
}
