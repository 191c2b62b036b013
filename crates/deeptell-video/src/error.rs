//! What can go wrong, grouped by who can fix it.

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use deeptell_face::{PictureError, TrailingMedia};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::Cut;
use crate::Limits;

/// What to do if a file exceeds only the limits for untrusted files.
const IF_TRUSTED: &str = "if you know where the file comes from, use --trusted";

/// Why a video could not be opened, sampled or written.
///
/// Messages of FFmpeg are included as text where they help; no FFmpeg type is part of this interface.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum VideoError {
    /// The file could not be opened, read or written.
    #[error("cannot access {path}; check that it exists and its permissions")]
    Io {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// The path names a directory, a pipe, a socket or a device.
    #[error("{path} is not a regular file; pass the path of a video file, and save a stream to disk first")]
    NotAFile {
        /// The path.
        path: PathBuf,
    },
    /// The container or the codec is not among those that the [`Limits`] allow.
    #[error("{path}: {reason}")]
    Unsupported {
        /// The file.
        path: PathBuf,
        /// What was found.
        reason: Unsupported,
    },
    /// The file has no video stream of the number given to
    /// [`VideoOptions::stream`](crate::VideoOptions::stream).
    #[error("{path} has no video stream {stream}; {}", available(.streams))]
    NoSuchStream {
        /// The file.
        path: PathBuf,
        /// The number that was asked for.
        stream: u32,
        /// Numbers of the video streams that there are.
        streams: Vec<u32>,
    },
    /// A media file without moving pictures, for example audio with cover art.
    #[error("{path} has no video stream; pass a video")]
    NoVideo {
        /// The file.
        path: PathBuf,
    },
    /// A still picture cannot be read.
    #[error("{path}: the picture cannot be read")]
    Picture {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: PictureError,
    },
    /// The pictures are larger than [`Limits::max_pixels`].
    #[error(
        "{path}: pictures of {width} x {height} exceed the limit of {max_pixels} pixels{}",
        way_out(*max_pixels < Limits::default().max_pixels && area(*width, *height) <= Limits::default().max_pixels)
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
    /// One picture has more coded bytes than [`Limits::max_packet_bytes`].
    #[error(
        "{path}: a picture of the video takes more than {} MB, as in a damaged file or one that was not downloaded to \
         its end: download the file again{}",
        max_bytes >> 20,
        if *max_bytes < Limits::default().max_packet_bytes { ", or use --trusted if you know where it comes from" } else { "" }
    )]
    PacketTooLarge {
        /// The file.
        path: PathBuf,
        /// The limit in bytes.
        max_bytes: u64,
    },
    /// Reading and decoding took longer than [`Limits::deadline`].
    #[error(
        "{path}: reading took longer than {deadline:?}; ask for fewer frames{}",
        if *deadline < Limits::default().deadline { ", or use --trusted if you know where the file comes from" } else { "" }
    )]
    Timeout {
        /// The file.
        path: PathBuf,
        /// The time that was allowed.
        deadline: Duration,
    },
    /// The caller set the flag given to [`VideoOptions::stop`](crate::VideoOptions::stop).
    #[error("{path}: reading was stopped")]
    Stopped {
        /// The file.
        path: PathBuf,
    },
    /// The structure of the container is too damaged to be read.
    #[error("{path} is damaged ({detail}); download the file again")]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// What FFmpeg said.
        detail: String,
    },
    /// The file ends before its first picture is complete.
    #[error("{path} is truncated ({detail}); download the whole file")]
    Truncated {
        /// The file.
        path: PathBuf,
        /// What is missing.
        detail: String,
    },
    /// There is a video stream, but not one of its pictures could be decoded.
    #[error("{path}: none of the {packets} packets could be decoded; the file is damaged or encrypted")]
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
    /// Decoding needs more memory than [`Limits::memory_bytes`] or the machine has.
    #[error(
        "{path}: decoding needs more memory than allowed; {IF_TRUSTED} (which allows more), or free memory"
    )]
    OutOfMemory {
        /// The file.
        path: PathBuf,
    },
    /// The process that decoded the file exited abnormally; other files are not affected.
    #[error("{path}: the decoding process {reason}; the file is damaged or malicious: remove it")]
    DecoderDied {
        /// The file.
        path: PathBuf,
        /// How it ended.
        reason: String,
    },
    /// Something else ended the process that decoded the file: a signal, or the system, because memory ran out.
    #[error(
        "{path}: the decoding process {reason}, perhaps because memory ran out: try again with fewer threads or more \
         memory"
    )]
    DecoderKilled {
        /// The file.
        path: PathBuf,
        /// How it ended.
        reason: String,
    },
    /// The program of the decoder process cannot be started.
    #[error("cannot start {program} to decode {path}; check the program's path")]
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
    #[error(
        "this FFmpeg has no {encoder} encoder; choose another codec, or use a build with an FFmpeg that has it"
    )]
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

fn area(width: u32, height: u32) -> u64 {
    u64::from(width) * u64::from(height)
}

/// The end of a message about a limit that `is_lifted` or not in trusted files.
fn way_out(is_lifted: bool) -> String {
    if is_lifted { format!("; {IF_TRUSTED}") } else { String::new() }
}

/// The video streams that can be asked for.
fn available(streams: &[u32]) -> String {
    let numbers: Vec<String> = streams.iter().map(ToString::to_string).collect();
    match &numbers[..] {
        [] => "it has none".to_owned(),
        [number] => format!("its only one is {number}"),
        [rest @ .., last] => format!("it has {} and {last}", rest.join(", ")),
    }
}

/// Why a file is not a readable video; the text says what to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Error)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Unsupported {
    /// The first bytes are those of no known container.
    #[error("this is not a video, or not one of a known format; check that it is the right file")]
    Unknown,
    /// The first bytes are those of another kind of file.
    #[error("{advice}")]
    OtherKind {
        /// What it is, and what to do about it.
        advice: String,
    },
    /// The container is not among [`Limits::containers`].
    #[error("the container \"{name}\" is not among those allowed{}", way_out_or_convert(*is_trusted))]
    Container {
        /// FFmpeg's name of it.
        name: String,
        /// The default [`Limits`], for trusted files, allow it.
        is_trusted: bool,
    },
    /// The decoder is not among [`Limits::codecs`].
    #[error("the codec \"{name}\" is not among those allowed{}", way_out_or_convert(*is_trusted))]
    Codec {
        /// FFmpeg's name of it.
        name: String,
        /// The default [`Limits`], for trusted files, allow it.
        is_trusted: bool,
    },
    /// The container declares its streams only after its header, against [`Limits::fixed_streams`].
    #[error("the container \"{name}\" declares no streams in its header; {IF_TRUSTED}")]
    LateStreams {
        /// FFmpeg's name of it.
        name: String,
    },
}

/// Why a part of a joined file was not sampled. `Display` gives the end of a sentence.
///
/// In JSON an object of its fields and, as `code`, its name in `snake_case`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema, Error)]
#[serde(tag = "code", rename_all = "snake_case")]
#[non_exhaustive]
pub enum PartFault {
    /// Its decoder is not among [`Limits::codecs`].
    #[error("the codec \"{name}\" is not among those allowed{}", way_out_or_convert(*is_trusted))]
    Codec {
        /// FFmpeg's name of it.
        name: String,
        /// The default [`Limits`], for trusted files, allow it.
        is_trusted: bool,
    },
    /// Its format is not known, or not among [`Limits::containers`].
    #[error("its format is not among those allowed")]
    Format,
    /// Its pictures are larger than [`Limits::max_pixels`].
    #[error("its pictures have {width} x {height} pixels, more than the limit")]
    TooLarge {
        /// Width in pixels.
        width: u32,
        /// Height in pixels.
        height: u32,
    },
    /// It cannot be decoded.
    #[error("it is damaged")]
    Damaged,
}

/// What to do about a format: the same bytes are worth more than a copy, so converting comes last.
fn way_out_or_convert(is_trusted: bool) -> String {
    if is_trusted {
        format!("; {IF_TRUSTED}")
    } else {
        ", also in trusted files; if nothing else is left, convert it without loss".to_owned()
    }
}

/// A video stream of a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct StreamLabel {
    /// Its number among all streams of the file, from 0, as FFmpeg and its tools count.
    pub index: u32,
    /// FFmpeg's name of the codec.
    pub codec: String,
    /// Coded width in pixels; 0 when unknown.
    pub width: u32,
    /// Coded height in pixels; 0 when unknown.
    pub height: u32,
}

impl fmt::Display for StreamLabel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { index, codec, width, height } = self;
        if *width > 0 && *height > 0 {
            write!(f, "{index} ({codec}, {width} x {height})")
        } else {
            write!(f, "{index} ({codec})")
        }
    }
}

/// A problem in a file that still gave good frames.
///
/// In JSON an object of its fields and, as `code`, its name in `snake_case`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "code", rename_all = "snake_case")]
#[schemars(rename = "VideoWarning")]
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
    /// The file ends before its container does. Frames come only from the part that is there.
    CutShort {
        /// Bytes that are there.
        present_bytes: u64,
        /// Bytes of the whole file; `None` where the container does not tell.
        total_bytes: Option<u64>,
    },
    /// Behind the end of the container stands something that was not sampled.
    BytesAfterEnd {
        /// How many bytes.
        bytes: u64,
        /// It begins like another video, as where two files were joined.
        is_video: bool,
    },
    /// Behind a still picture that is read like a video of one frame, as AVIF is, stands a video or another picture,
    /// which was not read.
    #[schemars(skip)]
    PictureFollowed(TrailingMedia),
    /// There are other video streams, which were not sampled.
    OtherStreams {
        /// Number of the stream that was sampled.
        sampled: u32,
        /// The others.
        others: Vec<StreamLabel>,
    },
    /// The clock of the stream jumps back or ahead, as in files that were joined. The parts are treated as if they
    /// followed each other without a gap.
    ClockJumps {
        /// How often.
        count: u64,
    },
    /// Times of frames contradict those around them, or the clock of the stream falls back every few frames. They were
    /// replaced by the times that the other frames leave for them.
    TimesReplaced {
        /// How many; all frames where no time could be used.
        count: u64,
    },
    /// The file is joined of parts, one of which was not sampled.
    PartLeftOut {
        /// Its number, from 1.
        part: u32,
        /// Why.
        reason: PartFault,
    },
    /// The file was not searched to its end for jumps of its clock, because it is too large for the time
    /// allowed or joined of more than 64 parts: should its clock jump there, parts of it were not sampled.
    ClockUnchecked,
    /// All declared packets are there, but they do not last as long as the header says.
    DurationMismatch {
        /// Length the header declares, in seconds.
        declared_seconds: f64,
        /// Length found, in seconds.
        found_seconds: f64,
    },
}

impl From<Cut> for Warning {
    fn from(cut: Cut) -> Self {
        Self::CutShort { present_bytes: cut.present_bytes, total_bytes: cut.total_bytes }
    }
}

impl Warning {
    /// The `code` in JSON.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::CorruptPackets { .. } => "corrupt_packets",
            Self::DamagedFrame { .. } => "damaged_frame",
            Self::Truncated { .. } => "truncated",
            Self::CutShort { .. } => "cut_short",
            Self::BytesAfterEnd { .. } => "bytes_after_end",
            Self::PictureFollowed(_) => "picture_followed",
            Self::OtherStreams { .. } => "other_streams",
            Self::ClockJumps { .. } => "clock_jumps",
            Self::TimesReplaced { .. } => "times_replaced",
            Self::PartLeftOut { .. } => "part_left_out",
            Self::ClockUnchecked => "clock_unchecked",
            Self::DurationMismatch { .. } => "duration_mismatch",
        }
    }
}

impl Warning {
    /// The sentence about the clock of the video.
    fn fmt_clock(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ClockJumps { count } => {
                let places =
                    if *count == 1 { "in one place".to_owned() } else { format!("in {count} places") };
                write!(
                    f,
                    "The clock of the video jumps {places}, as in files that were joined; all parts were sampled, \
                     and times count as if they followed each other without a gap."
                )
            }
            Self::TimesReplaced { count: 1 } => write!(
                f,
                "The time of one frame does not fit those around it, as in a damaged file, and was replaced by one that \
                 does."
            ),
            Self::TimesReplaced { count } => write!(
                f,
                "The times of {count} frames do not fit those around them, as in a damaged file, and were replaced by \
                 ones that do."
            ),
            Self::ClockUnchecked => write!(
                f,
                "The file was not searched to its end for jumps of its clock: it is too large for the time allowed, or \
                 joined of more than 64 parts. Should its clock jump there, parts of it were not sampled."
            ),
            _ => Ok(()),
        }
    }
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
                write!(f, "The frame at {pts_seconds:.1} s is damaged, and the decoder concealed the errors.")
            }
            Self::Truncated { declared_seconds, found_seconds } => write!(
                f,
                "The file is cut short: {found_seconds:.1} of {declared_seconds:.1} seconds are there, and only \
                 those were sampled."
            ),
            Self::CutShort { present_bytes, total_bytes: Some(total) } => write!(
                f,
                "The file is cut short: {} % of its bytes are there, and only those were sampled.",
                (u128::from(*present_bytes) * 100 / u128::from((*total).max(1))).min(99)
            ),
            Self::CutShort { total_bytes: None, .. } => write!(
                f,
                "The file is cut short: it ends in the middle of a frame or a table, and how much is missing is not \
                 known. Only what is there was sampled."
            ),
            Self::BytesAfterEnd { bytes, is_video: true } => write!(
                f,
                "Another video follows in the same file ({bytes} bytes) and was not sampled: save it as a file of its \
                 own to scan it."
            ),
            Self::BytesAfterEnd { bytes, is_video: false } => {
                write!(f, "{bytes} bytes after the end of the video were ignored.")
            }
            Self::PictureFollowed(trailing) => trailing.fmt(f),
            Self::OtherStreams { sampled, others } => {
                let names: Vec<String> = others.iter().map(ToString::to_string).collect();
                let them = match &names[..] {
                    [one] => {
                        format!("video stream {one} was not; choose it with --stream {}", others[0].index)
                    }
                    names => format!("video streams {} were not; choose one with --stream", names.join(", ")),
                };
                write!(f, "Stream {sampled} was sampled, {them}.")
            }
            Self::ClockJumps { .. } | Self::TimesReplaced { .. } | Self::ClockUnchecked => self.fmt_clock(f),
            Self::PartLeftOut { part, reason } => {
                write!(f, "The file is joined of several parts, and part {part} was not sampled: {reason}.")
            }
            Self::DurationMismatch { declared_seconds, found_seconds } => write!(
                f,
                "The file says that it lasts {declared_seconds:.1} seconds, but its pictures last \
                 {found_seconds:.1}."
            ),
        }
    }
}
