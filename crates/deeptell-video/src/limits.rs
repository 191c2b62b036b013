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
///
/// ```
/// use std::time::Duration;
///
/// use deeptell_video::Limits;
///
/// let limits = Limits::untrusted().max_pixels(1920 * 1080).deadline(Duration::from_secs(5));
/// assert_eq!(limits.max_streams, Limits::untrusted().max_streams);
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Limits {
    /// Largest picture in pixels (width times height). Holds before the first picture is decoded.
    pub max_pixels: u64,
    /// Time that a reader may spend in its own calls; the caller's work between two frames does not count.
    pub deadline: Duration,
    /// Memory of a separate decoding process ([`DecoderProcess`](crate::DecoderProcess)), including the program and the
    /// frame in transit. Enforced on Linux, and not when decoding in the caller's process.
    pub memory_bytes: u64,
    /// Coded bytes of one picture. A container may say that a picture is larger, and a stream without a container that
    /// never begins another picture is one picture to its end.
    pub max_packet_bytes: u64,
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
            max_packet_bytes: 40 << 20,
            max_streams: 64,
            probe_bytes: 5_000_000,
            probe_duration: Duration::from_secs(5),
            fixed_streams: true,
            containers: names(COMMON_CONTAINERS),
            codecs: names(COMMON_CODECS),
            pictures: PictureLimits::untrusted(),
        }
    }

    /// Sets the most pixels of a picture. See [`max_pixels`](field@Self::max_pixels).
    #[must_use]
    pub fn max_pixels(self, max_pixels: u64) -> Self {
        Self { max_pixels, ..self }
    }

    /// Allows a reader so much time. See [`deadline`](field@Self::deadline).
    #[must_use]
    pub fn deadline(self, deadline: Duration) -> Self {
        Self { deadline, ..self }
    }

    /// Sets the most bytes of memory of a decoding process. See [`memory_bytes`](field@Self::memory_bytes).
    #[must_use]
    pub fn memory_bytes(self, memory_bytes: u64) -> Self {
        Self { memory_bytes, ..self }
    }

    /// Sets the most coded bytes of a picture. See [`max_packet_bytes`](field@Self::max_packet_bytes).
    #[must_use]
    pub fn max_packet_bytes(self, max_packet_bytes: u64) -> Self {
        Self { max_packet_bytes, ..self }
    }

    /// Sets the most streams of a container. See [`max_streams`](field@Self::max_streams).
    #[must_use]
    pub fn max_streams(self, max_streams: u32) -> Self {
        Self { max_streams, ..self }
    }

    /// Sets how many bytes are read, and how much playing time is examined, to find out what the streams are. See
    /// [`probe_bytes`](Self::probe_bytes) and [`probe_duration`](Self::probe_duration).
    #[must_use]
    pub fn probe(self, probe_bytes: u32, probe_duration: Duration) -> Self {
        Self { probe_bytes, probe_duration, ..self }
    }

    /// Refuses or allows streams that appear only after the header. See [`fixed_streams`](field@Self::fixed_streams).
    #[must_use]
    pub fn fixed_streams(self, fixed_streams: bool) -> Self {
        Self { fixed_streams, ..self }
    }

    /// Allows these containers only, by FFmpeg's names. See [`containers`](field@Self::containers).
    #[must_use]
    pub fn containers(self, containers: impl IntoIterator<Item = impl Into<String>>) -> Self {
        Self { containers: containers.into_iter().map(Into::into).collect(), ..self }
    }

    /// Allows these decoders only, by FFmpeg's names. See [`codecs`](field@Self::codecs).
    #[must_use]
    pub fn codecs(self, codecs: impl IntoIterator<Item = impl Into<String>>) -> Self {
        Self { codecs: codecs.into_iter().map(Into::into).collect(), ..self }
    }

    /// Bounds still pictures. See [`pictures`](field@Self::pictures).
    #[must_use]
    pub fn pictures(self, pictures: PictureLimits) -> Self {
        Self { pictures, ..self }
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
            max_packet_bytes: 512 << 20,
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
    fn each_setter_sets_its_field() {
        let pictures = PictureLimits::untrusted().max_side(9);
        let set = Limits::default()
            .max_pixels(1)
            .deadline(Duration::from_secs(2))
            .memory_bytes(3)
            .max_packet_bytes(7)
            .max_streams(4)
            .probe(5, Duration::from_secs(6))
            .fixed_streams(true)
            .containers(["mp4"])
            .codecs(["h264"])
            .pictures(pictures);
        let expected = Limits {
            max_pixels: 1,
            deadline: Duration::from_secs(2),
            memory_bytes: 3,
            max_packet_bytes: 7,
            max_streams: 4,
            probe_bytes: 5,
            probe_duration: Duration::from_secs(6),
            fixed_streams: true,
            containers: vec!["mp4".to_owned()],
            codecs: vec!["h264".to_owned()],
            pictures,
        };
        assert_eq!(set, expected);
    }

    #[test]
    fn no_limits_allow_the_magicyuv_decoder() {
        // It has a heap write in many releases (CVE-2026-8461).
        for limits in [Limits::untrusted(), Limits::default()] {
            assert!(!limits.codecs.iter().any(|codec| codec == "magicyuv"));
        }
    }
}
