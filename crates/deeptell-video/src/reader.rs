//! Opening a video and reading its properties.

use std::fs::File;
use std::iter::FusedIterator;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use image::RgbImage;
use serde::{Deserialize, Serialize};

use crate::file_kind::FileKind;
#[cfg(unix)]
use crate::isolation::{DecoderProcess, RemoteFrames, RemoteReader};
use crate::local::DecodeOptions;
use crate::local_source::{LocalSource, LocalSourceFrames};
use crate::{Limits, Sampling, Unsupported, VideoError, Warning};

/// Properties of a video stream, from the header and from the file itself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct VideoInfo {
    /// Width in pixels as shown, after rotation.
    pub width: u32,
    /// Height in pixels as shown, after rotation.
    pub height: u32,
    /// Playing time in seconds, from the first frame to the end of the last. Where the clock of the
    /// stream [jumps](Warning::ClockJumps), its parts count as if they followed each other.
    pub duration_seconds: Option<f64>,
    /// Mean frame rate.
    pub frames_per_second: Option<f64>,
    /// Number of frames: counted in files up to 64 MiB, else as declared.
    pub frame_count: Option<u64>,
    /// Number of the stream among all streams of the file, from 0.
    pub stream: u32,
    /// FFmpeg's name of the codec, for example `h264`.
    pub codec: String,
    /// FFmpeg's names of the container, for example `mov,mp4,m4a,3gp,3g2,mj2`.
    pub container: String,
    /// Clockwise turn, in degrees, that the file asks for and every frame has had: 0, 90, 180, 270.
    pub rotation_degrees: u32,
}

/// A frame as shown: rotated upright, 8-bit RGB.
#[derive(Clone, PartialEq)]
#[non_exhaustive]
pub struct Frame {
    /// The pixels.
    pub image: RgbImage,
    /// Presentation time in seconds from the first frame of the stream.
    pub pts_seconds: f64,
    /// Number of the frame in display order, from 0; unknown after a jump inside a large file.
    pub index: Option<u64>,
    /// The same decoded frame as the one given before it: the video has fewer frames than asked for.
    pub repeats_previous: bool,
}

/// Without the pixels, which would fill the screen.
impl std::fmt::Debug for Frame {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Frame")
            .field("size", &self.image.dimensions())
            .field("pts_seconds", &self.pts_seconds)
            .field("index", &self.index)
            .field("repeats_previous", &self.repeats_previous)
            .finish_non_exhaustive()
    }
}

/// Settings for opening a video; see [`VideoReader::options`].
#[derive(Debug, Clone, Default)]
#[must_use]
pub struct VideoOptions {
    pub(crate) decode: DecodeOptions,
    #[cfg(unix)]
    pub(crate) decoder: Option<DecoderProcess>,
}

impl VideoOptions {
    /// Shrinks frames whose longer side exceeds this many pixels (at least 1) to that size.
    ///
    /// Detecting faces in a 4K video rarely needs 4K; shrinking during conversion is the cheapest.
    pub fn max_side(mut self, pixels: u32) -> Self {
        self.decode.max_side = Some(pixels.max(1));
        self
    }

    /// Replaces the default [`Limits`].
    pub fn limits(mut self, limits: Limits) -> Self {
        self.decode.limits = limits;
        self
    }

    /// Time that one reader may spend inside its own calls: [`Limits::deadline`].
    #[must_use]
    pub fn deadline(&self) -> Duration {
        self.decode.limits.deadline
    }

    /// Samples this stream, numbered from 0 among all streams of the file as FFmpeg and its tools
    /// count, and not the one that players show.
    ///
    /// Opening a file without such a video stream fails with [`VideoError::NoSuchStream`].
    pub fn stream(mut self, index: u32) -> Self {
        self.decode.stream = Some(index);
        self
    }

    /// Ends calls in progress, and all later ones, with [`VideoError::Stopped`] a fraction of a second after another
    /// thread sets `flag`.
    pub fn stop(mut self, flag: &Arc<AtomicBool>) -> Self {
        self.decode.stop = Some(Arc::clone(flag));
        self
    }

    /// Decodes every frame in order, without planning: the same frames at several times the cost.
    ///
    /// For comparison, and for files whose keyframes are marked incorrectly.
    pub fn every_frame(mut self) -> Self {
        self.decode.tuning.in_order = true;
        self
    }

    /// Decodes in a separate, sandboxed process: see [`DecoderProcess`].
    ///
    /// The frames are the same. A crash of FFmpeg is a [`VideoError::DecoderDied`].
    #[cfg(unix)]
    pub fn isolated_by(mut self, decoder: &DecoderProcess) -> Self {
        self.decoder = Some(decoder.clone());
        self
    }

    /// Opens the file at `path`.
    ///
    /// # Errors
    /// As [`VideoReader::open`].
    pub fn open(self, path: impl AsRef<Path>) -> Result<VideoReader, VideoError> {
        let path = path.as_ref();
        self.read(open_file(path)?, path)
    }

    /// Reads a file that is open already, from its beginning; the file's cursor moves.
    ///
    /// # Errors
    /// As [`VideoReader::open`].
    pub fn from_file(self, file: File) -> Result<VideoReader, VideoError> {
        self.read(file, Path::new("(open file)"))
    }

    pub(crate) fn read(self, file: File, path: &Path) -> Result<VideoReader, VideoError> {
        let again = file.try_clone().map_err(|source| VideoError::Io { path: path.to_owned(), source })?;
        self.read_as_video(file, path).map_err(|error| named_by_kind(error, &again, path))
    }

    fn read_as_video(self, file: File, path: &Path) -> Result<VideoReader, VideoError> {
        let metadata = file.metadata().map_err(|source| VideoError::Io { path: path.to_owned(), source })?;
        if !metadata.is_file() {
            return Err(VideoError::NotAFile { path: path.to_owned() });
        }
        #[cfg(unix)]
        if let Some(decoder) = self.decoder {
            let reader = RemoteReader::open(file, path, self.decode, decoder)?;
            return Ok(VideoReader { source: Source::There(reader.into()) });
        }
        let reader = LocalSource::open(file, path, &self.decode)?;
        Ok(VideoReader { source: Source::Here(reader) })
    }
}

/// Opens a regular file.
pub(crate) fn open_file(path: &Path) -> Result<File, VideoError> {
    let io = |source| VideoError::Io { path: path.to_owned(), source };
    // Asked before opening: opening a pipe blocks, and opening a device may do anything.
    if !path.metadata().map_err(io)?.is_file() {
        return Err(VideoError::NotAFile { path: path.to_owned() });
    }
    open_without_blocking(path).map_err(io)
}

/// An error that says what the file is instead of a video, as far as its first bytes show it.
fn named_by_kind(error: VideoError, file: &File, path: &Path) -> VideoError {
    let is_refused = matches!(
        error,
        VideoError::Unsupported { .. }
            | VideoError::Corrupt { .. }
            | VideoError::Truncated { .. }
            | VideoError::NoVideo { .. }
            | VideoError::NoFrames { .. }
    );
    let kind = if is_refused { FileKind::of(file) } else { None };
    match kind {
        Some(kind) => {
            let reason = Unsupported::OtherKind { advice: kind.to_string() };
            VideoError::Unsupported { path: path.to_owned(), reason }
        }
        None => error,
    }
}

/// Opens for reading; should the path have become a pipe since it was checked, does not wait for
/// a writer.
fn open_without_blocking(path: &Path) -> std::io::Result<File> {
    let mut options = File::options();
    options.read(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt;
        options.custom_flags(libc::O_NONBLOCK);
    }
    options.open(path)
}

/// A video file, open for sampling frames.
///
/// Decoding uses one thread: to use more cores, read several files at once.
pub struct VideoReader {
    source: Source,
}

/// Where decoding happens.
enum Source {
    Here(LocalSource),
    #[cfg(unix)]
    There(Box<RemoteReader>),
}

impl std::fmt::Debug for VideoReader {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("VideoReader")
            .field("info", self.info())
            .field("warnings", &self.warnings())
            .finish_non_exhaustive()
    }
}

impl VideoReader {
    /// Opens the video at `path` with the default [`Limits`], at full size.
    ///
    /// # Errors
    /// - [`VideoError::Io`] or [`VideoError::NotAFile`] when there is no readable regular file;
    /// - [`VideoError::Unsupported`], [`VideoError::NoVideo`] or [`VideoError::TooLarge`] when it
    ///   holds something else than a video within the limits;
    /// - [`VideoError::Corrupt`] or [`VideoError::Truncated`] when too little of it is left;
    /// - [`VideoError::Timeout`] when examining it takes too long.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, VideoError> {
        Self::options().open(path)
    }

    /// Reads a file that is open already with the default [`Limits`], at full size.
    ///
    /// # Errors
    /// As [`VideoReader::open`].
    pub fn from_file(file: File) -> Result<Self, VideoError> {
        Self::options().from_file(file)
    }

    /// Starts from the default settings.
    pub fn options() -> VideoOptions {
        VideoOptions::default()
    }

    /// What is in the file.
    pub fn info(&self) -> &VideoInfo {
        match &self.source {
            Source::Here(reader) => reader.info(),
            #[cfg(unix)]
            Source::There(reader) => &reader.info,
        }
    }

    /// Frames at the moments that `sampling` names, in ascending order, decoded as the iterator
    /// advances. Each call starts at the beginning of the video.
    ///
    /// Reads ahead in the file, not in the pictures: only frames that a wanted one refers to are
    /// decoded. Where the stream's timing forbids such planning (no presentation times, times out
    /// of order, a damaged frame), every frame up to the wanted one is decoded instead.
    ///
    /// A file that ends early gives the frames that are there, and a [`Warning`].
    pub fn sample(&mut self, sampling: Sampling) -> Frames<'_> {
        Frames {
            source: match &mut self.source {
                Source::Here(reader) => FramesSource::Here(reader.sample(sampling)),
                #[cfg(unix)]
                Source::There(reader) => FramesSource::There(RemoteFrames::new(reader, sampling)),
            },
        }
    }

    /// The warnings so far, from opening and from the frames sampled since.
    pub fn warnings(&self) -> &[Warning] {
        match &self.source {
            Source::Here(reader) => reader.warnings(),
            #[cfg(unix)]
            Source::There(reader) => &reader.warnings,
        }
    }
}

/// The frames of one [`VideoReader::sample`] call.
pub struct Frames<'a> {
    source: FramesSource<'a>,
}

enum FramesSource<'a> {
    Here(LocalSourceFrames<'a>),
    #[cfg(unix)]
    There(RemoteFrames<'a>),
}

impl std::fmt::Debug for Frames<'_> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Frames").finish_non_exhaustive()
    }
}

impl Iterator for Frames<'_> {
    type Item = Result<Frame, VideoError>;

    fn next(&mut self) -> Option<Self::Item> {
        match &mut self.source {
            FramesSource::Here(frames) => frames.next(),
            #[cfg(unix)]
            FramesSource::There(frames) => frames.next(),
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        match &self.source {
            FramesSource::Here(frames) => frames.size_hint(),
            #[cfg(unix)]
            FramesSource::There(frames) => frames.size_hint(),
        }
    }
}

impl FusedIterator for Frames<'_> {}
