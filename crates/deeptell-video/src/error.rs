//! What can go wrong, grouped by who can fix it.

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use deeptell_face::PictureError;
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// Why a video could not be opened, sampled or written.
///
/// FFmpeg's own words, where they help, travel as text: no FFmpeg type is part of this interface.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum VideoError {
    /// The operating system refused to open, read or write the file.
    #[error("cannot access {path}; check that it exists and its permissions")]
    Io {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// The path names a directory, a pipe, a socket or a device.
    #[error("{path} is not a regular file; give the path of a video file (copy a stream to disk first)")]
    NotAFile {
        /// The path.
        path: PathBuf,
    },
    /// The content is no container or codec that the [`Limits`](crate::Limits) allow.
    #[error("{path}: {detail}; convert it to H.264 in an MP4 file")]
    Unsupported {
        /// The file.
        path: PathBuf,
        /// What was found.
        detail: String,
    },
    /// A media file without moving pictures, for example audio with cover art.
    #[error("{path} has no video stream; give a file with moving pictures")]
    NoVideo {
        /// The file.
        path: PathBuf,
    },
    /// A still picture cannot be read.
    #[error("{path}: {source}")]
    Picture {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: PictureError,
    },
    /// The pictures are larger than [`Limits::max_pixels`](crate::Limits::max_pixels).
    #[error(
        "{path}: pictures of {width} x {height} exceed the limit of {max_pixels} pixels; raise Limits::max_pixels or shrink the video"
    )]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// Declared width in pixels.
        width: u32,
        /// Declared height in pixels.
        height: u32,
        /// The limit in pixels.
        max_pixels: u64,
    },
    /// Reading and decoding took longer than [`Limits::deadline`](crate::Limits::deadline).
    #[error("{path}: reading took longer than {deadline:?}; raise Limits::deadline or ask for fewer frames")]
    Timeout {
        /// The file.
        path: PathBuf,
        /// The time that was allowed.
        deadline: Duration,
    },
    /// The container's structure is damaged beyond use.
    #[error("{path} is damaged ({detail}); fetch the file again")]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// What FFmpeg said.
        detail: String,
    },
    /// The file ends before its first picture is complete.
    #[error("{path} is cut short ({detail}); fetch the whole file")]
    Truncated {
        /// The file.
        path: PathBuf,
        /// What is missing.
        detail: String,
    },
    /// There is a video stream, but not one of its pictures could be decoded.
    #[error("{path}: none of the {packets} packets read gave a picture; the file is damaged or encrypted")]
    NoFrames {
        /// The file.
        path: PathBuf,
        /// Packets that were tried.
        packets: u64,
    },
    /// FFmpeg failed in a way that no input should cause (out of memory, a broken build).
    #[error("{path}: FFmpeg failed: {detail}")]
    Decoder {
        /// The file.
        path: PathBuf,
        /// What FFmpeg said.
        detail: String,
    },
    /// Decoding needs more memory than [`Limits::memory_bytes`](crate::Limits::memory_bytes) or the
    /// machine has.
    #[error(
        "{path}: decoding needs more memory than allowed; raise Limits::memory_bytes or shrink the video"
    )]
    OutOfMemory {
        /// The file.
        path: PathBuf,
    },
    /// The process that decoded the file came to a bad end; other files are not affected.
    #[error("{path}: the decoding process {reason}; the file is damaged or hostile, leave it out")]
    DecoderDied {
        /// The file.
        path: PathBuf,
        /// How it ended.
        reason: String,
    },
    /// The program that decodes in processes of its own cannot be started.
    #[error("cannot start {program} to decode {path}: {source}; check the program's path")]
    NoDecoderProcess {
        /// The file.
        path: PathBuf,
        /// The program.
        program: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// A [`Sampling`](crate::Sampling) that names no frames.
    #[error("cannot sample: {detail}")]
    InvalidSampling {
        /// What to change.
        detail: String,
    },
    /// A [`WriterOptions`](crate::WriterOptions) value or a picture that cannot be written.
    #[error("cannot write {path}: {detail}")]
    InvalidOutput {
        /// The file to be written.
        path: PathBuf,
        /// What to change.
        detail: String,
    },
    /// The FFmpeg in use was built without this encoder.
    #[error("this FFmpeg has no {encoder} encoder; choose another codec or install an FFmpeg that has it")]
    NoEncoder {
        /// FFmpeg's name of the encoder.
        encoder: &'static str,
    },
    /// A picture could not be compressed and decoded again.
    #[error("cannot compress the picture as video: {detail}")]
    Recompress {
        /// What is wrong, and what would be accepted.
        detail: String,
    },
    /// The encoder or the muxer failed.
    #[error("cannot write {path}: FFmpeg failed: {detail}")]
    Encoder {
        /// The file.
        path: PathBuf,
        /// What FFmpeg said.
        detail: String,
    },
}

/// Something amiss in a file that still gave good frames.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Warning {
    /// Packets that the demuxer or the decoder could not make sense of.
    CorruptPackets {
        /// How many.
        count: u64,
    },
    /// A frame that was handed out although the decoder had to conceal errors in it.
    DamagedFrame {
        /// Its time in seconds from the start of the stream.
        pts_seconds: f64,
    },
    /// The file ends before its header says. Frames come only from the part that is there.
    Truncated {
        /// Length the header declares, in seconds.
        declared_seconds: f64,
        /// Length found, in seconds.
        found_seconds: f64,
    },
    /// All declared packets are there, but they do not last as long as the header says.
    DurationMismatch {
        /// Length the header declares, in seconds.
        declared_seconds: f64,
        /// Length found, in seconds.
        found_seconds: f64,
    },
}

/// A sentence for people.
impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::CorruptPackets { count: 1 } => {
                write!(f, "The file is damaged in one place; what could be decoded was used.")
            }
            Self::CorruptPackets { count } => {
                write!(f, "The file is damaged in {count} places; what could be decoded was used.")
            }
            Self::DamagedFrame { pts_seconds } => {
                write!(f, "The frame at {pts_seconds:.1} s is damaged and was mended by the decoder.")
            }
            Self::Truncated { declared_seconds, found_seconds } => write!(
                f,
                "The file is cut short: {found_seconds:.1} of {declared_seconds:.1} seconds are there, and only \
                 those were sampled."
            ),
            Self::DurationMismatch { declared_seconds, found_seconds } => write!(
                f,
                "The file says that it lasts {declared_seconds:.1} seconds, but its pictures last \
                 {found_seconds:.1}."
            ),
        }
    }
}
