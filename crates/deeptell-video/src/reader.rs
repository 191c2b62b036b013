//! Opening a video and knowing what is in it.

use std::fs::File;
use std::path::Path;

use serde::Serialize;

use crate::decoder::Decoder;
use crate::demuxer::{Demuxer, StreamFacts};
use crate::frames::Frames;
use crate::guard::Guard;
use crate::pixels::ToRgb;
use crate::survey::Survey;
use crate::{Limits, Sampling, VideoError, Warning};

/// What a file says and shows about its video stream.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct VideoInfo {
    /// Width in pixels as shown, after rotation.
    pub width: u32,
    /// Height in pixels as shown, after rotation.
    pub height: u32,
    /// Playing time in seconds, from the first frame to the end of the last.
    pub duration_seconds: Option<f64>,
    /// Mean frame rate.
    pub frames_per_second: Option<f64>,
    /// Number of frames: counted in files up to 64 MiB, else as declared.
    pub frame_count: Option<u64>,
    /// FFmpeg's name of the codec, for example `h264`.
    pub codec: String,
    /// FFmpeg's names of the container, for example `mov,mp4,m4a,3gp,3g2,mj2`.
    pub container: String,
    /// Clockwise turn, in degrees, that the file asks for and every frame has had: 0, 90, 180, 270.
    pub rotation_degrees: u32,
}

/// How files are read: where reading ahead stops to be cheap.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Tuning {
    /// Files up to this size are surveyed packet by packet before sampling.
    pub(crate) survey_bytes: u64,
    /// In larger ones, stretches longer than this are jumped over rather than read.
    pub(crate) jump_bytes: u64,
    /// Decode every frame in order and skip none: the yardstick of the plan.
    pub(crate) in_order: bool,
}

impl Default for Tuning {
    fn default() -> Self {
        Self { survey_bytes: 64 << 20, jump_bytes: 16 << 20, in_order: false }
    }
}

/// Settings for opening a video; see [`VideoReader::options`].
#[derive(Debug, Clone, Default)]
#[must_use]
pub struct VideoOptions {
    max_side: Option<u32>,
    limits: Limits,
    pub(crate) tuning: Tuning,
}

impl VideoOptions {
    /// Shrinks frames whose longer side exceeds this many pixels (at least 1) to that size.
    ///
    /// Detecting faces in a 4K video rarely needs 4K; shrinking during conversion is the cheapest.
    pub fn max_side(mut self, pixels: u32) -> Self {
        self.max_side = Some(pixels.max(1));
        self
    }

    /// Replaces the default [`Limits`].
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Decodes every frame in order and plans nothing: the same frames, at several times the cost.
    ///
    /// The yardstick of the plan, and a way out for files whose keyframes are not what they claim.
    pub fn every_frame(mut self) -> Self {
        self.tuning.in_order = true;
        self
    }

    /// Opens the file at `path`.
    ///
    /// # Errors
    /// As [`VideoReader::open`].
    pub fn open(self, path: impl AsRef<Path>) -> Result<VideoReader, VideoError> {
        let path = path.as_ref();
        let io = |source| VideoError::Io { path: path.to_owned(), source };
        // Asked before opening: opening a pipe blocks, and opening a device may do anything.
        if !path.metadata().map_err(io)?.is_file() {
            return Err(VideoError::NotAFile { path: path.to_owned() });
        }
        let file = open_without_blocking(path).map_err(io)?;
        self.read(file, path)
    }

    /// Reads a file that is open already, from its beginning; the file's cursor moves.
    ///
    /// # Errors
    /// As [`VideoReader::open`].
    pub fn from_file(self, file: File) -> Result<VideoReader, VideoError> {
        self.read(file, Path::new("(open file)"))
    }

    fn read(self, file: File, path: &Path) -> Result<VideoReader, VideoError> {
        silence_ffmpeg();
        let guard = Guard::new(path, self.limits.deadline);
        let running = guard.run();
        let metadata = file.metadata().map_err(|error| guard.io(error))?;
        if !metadata.is_file() {
            return Err(VideoError::NotAFile { path: path.to_owned() });
        }
        let mut demuxer = Demuxer::open(&file, &guard, &self.limits)?;
        let facts = demuxer.facts();
        let decoder = Decoder::open(&demuxer, &guard, &self.limits)?;
        let is_small = metadata.len() <= self.tuning.survey_bytes;
        let (survey, warnings) = if is_small || facts.span.is_none() {
            let survey = Survey::of(&mut demuxer, &facts)?;
            let warnings = survey.warnings(&facts).into_iter().collect();
            (survey, warnings)
        } else {
            (Survey::declared(&facts), Vec::new())
        };
        if survey.is_counted && survey.packets == 0 {
            let detail = "no packet of the video stream is there".to_owned();
            return Err(VideoError::Truncated { path: path.to_owned(), detail });
        }
        let info = describe(&facts, &survey);
        drop(running);
        Ok(VideoReader {
            file,
            file_bytes: metadata.len(),
            guard,
            limits: self.limits,
            tuning: self.tuning,
            fresh: !survey.is_counted,
            demuxer,
            decoder,
            to_rgb: ToRgb::new(self.max_side),
            facts,
            survey,
            info,
            warnings,
        })
    }
}

fn describe(facts: &StreamFacts, survey: &Survey) -> VideoInfo {
    let (width, height) = facts.orientation.size(facts.width, facts.height);
    let seconds = survey.span as f64 * facts.tick_seconds;
    VideoInfo {
        width,
        height,
        duration_seconds: (survey.span > 0).then_some(seconds),
        frames_per_second: facts
            .frames_per_second
            .or_else(|| survey.frames.filter(|_| seconds > 0.0).map(|frames| frames as f64 / seconds)),
        frame_count: survey.frames,
        codec: facts.codec.clone(),
        container: facts.container.clone(),
        rotation_degrees: facts.orientation.rotation_degrees(),
    }
}

/// FFmpeg prints to the terminal by default; a library must not.
pub(crate) fn silence_ffmpeg() {
    ffmpeg_next::log::set_level(ffmpeg_next::log::Level::Quiet);
}

/// Opens for reading; should the path have become a pipe since it was looked at, does not wait for
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
    pub(crate) file: File,
    pub(crate) file_bytes: u64,
    pub(crate) guard: Guard,
    pub(crate) limits: Limits,
    pub(crate) tuning: Tuning,
    /// Nothing has been read yet: sampling can start where the file is.
    pub(crate) fresh: bool,
    pub(crate) demuxer: Demuxer,
    pub(crate) decoder: Decoder,
    pub(crate) to_rgb: ToRgb,
    pub(crate) facts: StreamFacts,
    pub(crate) survey: Survey,
    info: VideoInfo,
    pub(crate) warnings: Vec<Warning>,
}

impl std::fmt::Debug for VideoReader {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("VideoReader")
            .field("info", &self.info)
            .field("warnings", &self.warnings)
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
    /// - [`VideoError::Timeout`] when looking at it takes too long.
    pub fn open(path: impl AsRef<Path>) -> Result<Self, VideoError> {
        Self::options().open(path)
    }

    /// Starts from the default settings.
    pub fn options() -> VideoOptions {
        VideoOptions::default()
    }

    /// What is in the file.
    pub fn info(&self) -> &VideoInfo {
        &self.info
    }

    /// Frames at the moments that `sampling` names, in ascending order, decoded as the iterator
    /// advances. Sampling again starts anew.
    ///
    /// Reads ahead in the file, not in the pictures: only frames that a wanted one refers to are
    /// decoded. Where the stream's timing forbids such planning (no presentation times, times out
    /// of order, a damaged frame), every frame up to the wanted one is decoded instead.
    ///
    /// A file that ends early gives the frames that are there, and a [`Warning`].
    pub fn sample(&mut self, sampling: Sampling) -> Frames<'_> {
        Frames::new(self, sampling)
    }

    /// What was amiss so far: at opening, and in the frames sampled since.
    pub fn warnings(&self) -> &[Warning] {
        &self.warnings
    }
}
