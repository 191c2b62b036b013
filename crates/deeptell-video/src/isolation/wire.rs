//! What the decoding process and its parent say to each other: JSON after its length, and after the
//! head of a frame its pixels, unless they lie in shared memory. Both ends check what they read; the parent trusts nothing it gets.

use std::io::{self, Read, Write};
use std::path::Path;
use std::time::Duration;

use deeptell_face::{PictureError, PictureFormat, TrailingMedia};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::privileges::Confinement;
use super::probe::ForbiddenCall;
use crate::frames::Timing;
use crate::local::DecodeOptions;
use crate::media::PictureJob;
use crate::{Unsupported, VideoError, VideoInfo, Warning};

/// Most bytes of one message without pixels.
const MAX_MESSAGE_BYTES: u32 = 4 << 20;

/// To the decoding process, first of all.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Request {
    /// Open the file, and give the frames of each [`Sampling`](crate::Sampling) that follows.
    Video(DecodeOptions),
    /// Decode the still picture in the file.
    Picture(PictureJob),
    /// Make a call that must not be possible.
    Attempt(ForbiddenCall),
    /// Tell what keeps the process in.
    Describe,
}

/// From the decoding process.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Reply {
    /// The file is open.
    Opened { info: VideoInfo, warnings: Vec<Warning> },
    /// A frame, whose pixels follow or lie in the shared memory.
    Frame(FrameHead),
    /// All that was amiss so far, where that has changed.
    Warnings(Vec<Warning>),
    /// A still picture, whose pixels follow or lie in the shared memory.
    Picture(PictureHead),
    /// The error number of the call, or 0.
    Attempted(i32),
    /// What keeps the process in.
    Described(Confinement),
    /// No more frames for this sampling.
    End,
    /// Opening or sampling failed.
    Failed(Failure),
}

/// A frame without its pixels.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct FrameHead {
    pub(crate) width: u32,
    pub(crate) height: u32,
    pub(crate) pts_seconds: f64,
    pub(crate) index: Option<u64>,
    pub(crate) repeats_previous: bool,
    pub(crate) is_shared: bool,
}

impl FrameHead {
    pub(crate) fn new(timing: Timing, (width, height): (u32, u32), is_shared: bool) -> Self {
        let Timing { pts_seconds, index, repeats_previous } = timing;
        Self { width, height, pts_seconds, index, repeats_previous, is_shared }
    }
}

/// A still picture without its pixels.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct PictureHead {
    pub(crate) width: u32,
    pub(crate) height: u32,
    pub(crate) full_size: (u32, u32),
    pub(crate) format: PictureFormat,
    pub(crate) trailing: Option<TrailingMedia>,
    pub(crate) is_shared: bool,
}

/// A [`VideoError`] on its way: without the path, which the parent knows better.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Failure {
    Io { code: Option<i32>, detail: String },
    NotAFile,
    Unsupported(Unsupported),
    NoSuchStream { stream: u32, streams: Vec<u32> },
    NoVideo,
    TooLarge { width: u32, height: u32, max_pixels: u64 },
    PacketTooLarge(u64),
    Timeout(Duration),
    Corrupt(String),
    Truncated(String),
    NoFrames(u64),
    Picture(PictureFailure),
    OutOfMemory,
    InvalidSampling(String),
    Other(String),
}

impl From<VideoError> for Failure {
    fn from(error: VideoError) -> Self {
        match error {
            VideoError::Io { source, .. } => {
                Self::Io { code: source.raw_os_error(), detail: source.to_string() }
            }
            VideoError::NotAFile { .. } => Self::NotAFile,
            VideoError::Unsupported { reason, .. } => Self::Unsupported(reason),
            VideoError::NoSuchStream { stream, streams, .. } => Self::NoSuchStream { stream, streams },
            VideoError::NoVideo { .. } => Self::NoVideo,
            VideoError::TooLarge { width, height, max_pixels, .. } => {
                Self::TooLarge { width, height, max_pixels }
            }
            VideoError::PacketTooLarge { max_bytes, .. } => Self::PacketTooLarge(max_bytes),
            VideoError::Timeout { deadline, .. } => Self::Timeout(deadline),
            VideoError::Corrupt { detail, .. } => Self::Corrupt(detail),
            VideoError::Truncated { detail, .. } => Self::Truncated(detail),
            VideoError::NoFrames { packets, .. } => Self::NoFrames(packets),
            VideoError::Picture { source, .. } => Self::Picture(source.into()),
            VideoError::OutOfMemory { .. } => Self::OutOfMemory,
            VideoError::InvalidSampling { detail } => Self::InvalidSampling(detail),
            VideoError::Decoder { detail, .. } => Self::Other(detail),
            other => Self::Other(other.to_string()),
        }
    }
}

impl Failure {
    pub(crate) fn about(self, path: &Path) -> VideoError {
        let path = path.to_owned();
        match self {
            Self::Io { code, detail } => {
                let source = code.map_or_else(|| io::Error::other(detail), io::Error::from_raw_os_error);
                VideoError::Io { path, source }
            }
            Self::NotAFile => VideoError::NotAFile { path },
            Self::Unsupported(reason) => VideoError::Unsupported { path, reason },
            Self::NoSuchStream { stream, streams } => VideoError::NoSuchStream { path, stream, streams },
            Self::NoVideo => VideoError::NoVideo { path },
            Self::TooLarge { width, height, max_pixels } => {
                VideoError::TooLarge { path, width, height, max_pixels }
            }
            Self::PacketTooLarge(max_bytes) => VideoError::PacketTooLarge { path, max_bytes },
            Self::Timeout(deadline) => VideoError::Timeout { path, deadline },
            Self::Corrupt(detail) => VideoError::Corrupt { path, detail },
            Self::Truncated(detail) => VideoError::Truncated { path, detail },
            Self::NoFrames(packets) => VideoError::NoFrames { path, packets },
            Self::Picture(failure) => VideoError::Picture { path, source: failure.into() },
            Self::OutOfMemory => VideoError::OutOfMemory { path },
            Self::InvalidSampling(detail) => VideoError::InvalidSampling { detail },
            Self::Other(detail) => VideoError::Decoder { path, detail },
        }
    }
}

/// A [`PictureError`] on its way.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum PictureFailure {
    Read { code: Option<i32>, detail: String },
    Unknown,
    Animated,
    Truncated,
    Damaged(String),
    Unsupported(String),
    TooLarge { width: u32, height: u32, max_pixels: u64, max_side: u32 },
    FileTooLarge { bytes: u64, limit: u64 },
    TooMuchMemory(u64),
}

impl From<PictureError> for PictureFailure {
    fn from(error: PictureError) -> Self {
        match error {
            PictureError::Read(source) => {
                Self::Read { code: source.raw_os_error(), detail: source.to_string() }
            }
            PictureError::Unknown => Self::Unknown,
            PictureError::Animated => Self::Animated,
            PictureError::Truncated => Self::Truncated,
            PictureError::Damaged { detail } => Self::Damaged(detail),
            PictureError::Unsupported { detail } => Self::Unsupported(detail),
            PictureError::TooLarge { width, height, max_pixels, max_side } => {
                Self::TooLarge { width, height, max_pixels, max_side }
            }
            PictureError::FileTooLarge { bytes, limit } => Self::FileTooLarge { bytes, limit },
            PictureError::TooMuchMemory { limit } => Self::TooMuchMemory(limit),
            other => Self::Damaged(other.to_string()),
        }
    }
}

impl From<PictureFailure> for PictureError {
    fn from(failure: PictureFailure) -> Self {
        match failure {
            PictureFailure::Read { code, detail } => {
                Self::Read(code.map_or_else(|| io::Error::other(detail), io::Error::from_raw_os_error))
            }
            PictureFailure::Unknown => Self::Unknown,
            PictureFailure::Animated => Self::Animated,
            PictureFailure::Truncated => Self::Truncated,
            PictureFailure::Damaged(detail) => Self::Damaged { detail },
            PictureFailure::Unsupported(detail) => Self::Unsupported { detail },
            PictureFailure::TooLarge { width, height, max_pixels, max_side } => {
                Self::TooLarge { width, height, max_pixels, max_side }
            }
            PictureFailure::FileTooLarge { bytes, limit } => Self::FileTooLarge { bytes, limit },
            PictureFailure::TooMuchMemory(limit) => Self::TooMuchMemory { limit },
        }
    }
}

pub(crate) fn send<T: Serialize>(to: &mut impl Write, message: &T) -> io::Result<()> {
    let text = serde_json::to_vec(message)?;
    let length = u32::try_from(text.len()).ok().filter(|length| *length <= MAX_MESSAGE_BYTES);
    let length = length.ok_or(io::ErrorKind::InvalidInput)?;
    to.write_all(&[&length.to_le_bytes(), text.as_slice()].concat())
}

pub(crate) fn receive<T: DeserializeOwned>(from: &mut impl Read) -> io::Result<T> {
    let mut length = [0; 4];
    from.read_exact(&mut length)?;
    let length = u32::from_le_bytes(length);
    if length > MAX_MESSAGE_BYTES {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let mut text = vec![0; length as usize];
    from.read_exact(&mut text)?;
    Ok(serde_json::from_slice(&text)?)
}

/// Reads messages of either side until one cannot be read: for fuzzing.
pub(super) fn read_messages(mut bytes: &[u8]) {
    let all = bytes;
    while let Ok(reply) = receive::<Reply>(&mut bytes) {
        if let Reply::Failed(failure) = reply {
            let _ = failure.about(Path::new("fuzzed")).to_string();
        }
    }
    let mut bytes = all;
    while receive::<Request>(&mut bytes).is_ok() {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_round_trip() {
        let mut bytes = Vec::new();
        let head = FrameHead {
            width: 3,
            height: 2,
            pts_seconds: 0.1 + 0.2,
            index: Some(u64::MAX),
            repeats_previous: true,
            is_shared: false,
        };
        send(&mut bytes, &Reply::Frame(head)).unwrap();
        let Reply::Frame(head) = receive(&mut bytes.as_slice()).unwrap() else { panic!("another message") };
        assert_eq!(head.pts_seconds.to_bits(), (0.1_f64 + 0.2).to_bits());
        assert_eq!((head.width, head.height, head.index), (3, 2, Some(u64::MAX)));
    }

    #[test]
    fn invalid_messages_are_errors_and_allocate_nothing() {
        for bytes in [&[][..], &[9, 0], &[255; 8], b"\x04\0\0\0what", b"\x09\0\0\0\"End\""] {
            assert!(receive::<Reply>(&mut &*bytes).is_err(), "{bytes:?}");
        }
    }

    #[test]
    fn errors_keep_their_kind_and_get_the_path() {
        let path = std::path::PathBuf::from("here.mp4");
        let error = VideoError::TooLarge { path: "there".into(), width: 9, height: 8, max_pixels: 7 };
        let error = Failure::from(error).about(&path);
        assert!(
            error.to_string().starts_with("here.mp4: pictures of 9 x 8 exceed the limit of 7"),
            "{error}"
        );
        let missing = VideoError::Io { path: "there".into(), source: io::Error::from_raw_os_error(2) };
        let VideoError::Io { source, .. } = Failure::from(missing).about(&path) else {
            panic!("another kind")
        };
        assert_eq!(source.kind(), io::ErrorKind::NotFound);
    }
}
