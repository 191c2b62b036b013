//! Frames out of video files, and videos out of frames.
//!
//! [`VideoReader`] opens a file under [`Limits`] and gives the frames at the moments a
//! [`Sampling`] names: exactly those a full decode would give, at a fraction of its cost. Damaged,
//! cut or hostile files end in a [`VideoError`] that says what to do, or in good frames beside a
//! [`Warning`]. [`VideoWriter`] goes the other way.
//!
//! ```
//! use deeptell_video::{Sampling, VideoCodec, VideoReader, VideoWriter, WriterOptions};
//! use image::{Rgb, RgbImage};
//!
//! # let folder = tempfile::tempdir()?;
//! # let path = folder.path().join("clip.mp4");
//! // Two seconds that fade from black to white.
//! let options = WriterOptions::default().codec(VideoCodec::Mpeg4);
//! let mut writer = VideoWriter::create(&path, 320, 240, &options)?;
//! for step in 0..50 {
//!     writer.write(&RgbImage::from_pixel(320, 240, Rgb([step * 5; 3])))?;
//! }
//! writer.finish()?;
//!
//! // Four frames of it, at the centers of four equal intervals.
//! let mut reader = VideoReader::options().max_side(160).open(&path)?;
//! assert_eq!(reader.info().duration_seconds, Some(2.0));
//! let frames = reader.sample(Sampling::Uniform(4)).collect::<Result<Vec<_>, _>>()?;
//! let indices: Vec<_> = frames.iter().filter_map(|frame| frame.index).collect();
//! assert_eq!(indices, [6, 18, 31, 43]);
//! assert_eq!(frames[1].image.dimensions(), (160, 120));
//! assert!(reader.warnings().is_empty());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # What a frame is
//! Colors follow the matrix and range the stream is tagged with; untagged video counts as ITU-601,
//! limited range. High dynamic range is not mapped: its code values are taken as they are. The
//! rotation a phone stores in the file is applied. Pixels that are not square stay as coded.
//!
//! # FFmpeg
//! This crate links the FFmpeg of the system (5.1 or later) and is the only one of the family that
//! does; none of FFmpeg's types is part of its interface. On first use it silences FFmpeg's log for
//! the whole process, which would otherwise go to standard error.
//!
//! With the feature `static` it links the archives that `cargo xtask ffmpeg` builds: the decoders and
//! containers of [`Limits::untrusted`] and nothing else. Such a build encodes nothing, so that
//! [`VideoWriter`] and [`recompress`] end in [`VideoError::NoEncoder`].

#[cfg(feature = "ffmpeg")]
mod animation;
#[cfg(feature = "ffmpeg")]
mod clock;
mod color_tags;
#[cfg(feature = "ffmpeg")]
mod container;
mod cut;
#[cfg(feature = "ffmpeg")]
mod decoder;
#[cfg(feature = "ffmpeg")]
mod demuxer;
mod error;
#[cfg(feature = "ffmpeg")]
mod extent;
mod file_kind;
mod frame_times;
#[cfg(feature = "ffmpeg")]
mod frames;
#[cfg(feature = "ffmpeg")]
mod guard;
#[cfg(feature = "ffmpeg")]
mod heif;
#[cfg(all(unix, feature = "ffmpeg"))]
mod isolation;
mod limits;
#[cfg(feature = "ffmpeg")]
mod linked;
#[cfg(feature = "ffmpeg")]
mod local;
#[cfg(feature = "ffmpeg")]
mod local_source;
#[cfg(feature = "ffmpeg")]
mod media;
#[cfg(feature = "ffmpeg")]
mod orientation;
#[cfg(feature = "ffmpeg")]
mod packets;
#[cfg(feature = "ffmpeg")]
mod pixels;
mod planes;
mod program;
#[cfg(feature = "ffmpeg")]
mod reader;
#[cfg(feature = "ffmpeg")]
mod recompress;
mod sampling;
#[cfg(feature = "ffmpeg")]
mod stream_choice;
#[cfg(feature = "ffmpeg")]
mod survey;
#[cfg(feature = "ffmpeg")]
mod timeline;
#[cfg(feature = "ffmpeg")]
mod transport;
#[cfg(feature = "ffmpeg")]
mod writer;

pub use cut::Cut;
pub use deeptell_face::{
    Picture, PictureError, PictureFormat, PictureLimits, RgbImage, TrailingMedia, TrailingMediaKind,
};
pub use error::{PartFault, StreamLabel, Unsupported, VideoError, Warning};
pub use frame_times::{FrameMoment, FrameTimes, FrameTimesReader};
#[cfg(all(unix, feature = "ffmpeg"))]
#[doc(hidden)]
pub use isolation::read_messages;
#[cfg(all(unix, feature = "ffmpeg"))]
pub use isolation::{
    CallOutcome, Confinement, DecoderProcess, ForbiddenCall, serve_decoding, serve_decoding_strictly,
};
pub use limits::Limits;
#[cfg(feature = "ffmpeg")]
pub use linked::{Exposure, LibraryVersion, LinkedFfmpeg, linked_ffmpeg};
#[cfg(feature = "ffmpeg")]
pub use media::Media;
pub use planes::{ColorTags, PixelLayout, Plane, RawPicture, RawPictureError};
pub use program::IsolationError;
#[cfg(feature = "ffmpeg")]
pub use program::run_if_decoder;
#[cfg(feature = "ffmpeg")]
pub use reader::{Frame, Frames, VideoInfo, VideoOptions, VideoReader};
#[cfg(feature = "ffmpeg")]
pub use recompress::recompress;
pub use sampling::Sampling;
#[cfg(feature = "ffmpeg")]
pub use writer::{VideoCodec, VideoWriter, WriterOptions};

/// Compiles the example of the README.
#[cfg(all(doctest, feature = "ffmpeg"))]
#[doc = include_str!("../README.md")]
struct Readme;
