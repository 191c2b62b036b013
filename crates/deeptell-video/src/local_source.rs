//! A file with frames in time, opened in this process by whatever decodes it.

use std::fs::File;
use std::io::Seek;
use std::mem::MaybeUninit;
use std::path::Path;

use image::RgbImage;

use crate::animation::{AnimationFrames, AnimationReader};
use crate::frames::{LocalFrames, Timing};
use crate::local::{DecodeOptions, LocalReader};
use crate::{Frame, Sampling, VideoError, VideoInfo, Warning};

/// What is open.
pub(crate) enum LocalSource {
    /// FFmpeg reads it.
    Coded(Box<LocalReader>),
    /// An animated WebP.
    Animation(Box<AnimationReader>),
}

impl LocalSource {
    /// Looks at `file`, which is called `path` in errors.
    pub(crate) fn open(mut file: File, path: &Path, decode: &DecodeOptions) -> Result<Self, VideoError> {
        let io = |source| VideoError::Io { path: path.to_owned(), source };
        if AnimationReader::takes(&mut file).map_err(io)? {
            return AnimationReader::open(file, path, decode).map(|reader| Self::Animation(reader.into()));
        }
        file.rewind().map_err(io)?;
        LocalReader::open(file, path, decode).map(|reader| Self::Coded(reader.into()))
    }

    pub(crate) fn info(&self) -> &VideoInfo {
        match self {
            Self::Coded(reader) => &reader.info,
            Self::Animation(reader) => &reader.info,
        }
    }

    pub(crate) fn warnings(&self) -> &[Warning] {
        match self {
            Self::Coded(reader) => &reader.warnings,
            Self::Animation(reader) => &reader.warnings,
        }
    }

    pub(crate) fn sample(&mut self, sampling: Sampling) -> LocalSourceFrames<'_> {
        match self {
            Self::Coded(reader) => LocalSourceFrames::Coded(LocalFrames::new(reader, sampling).into()),
            Self::Animation(reader) => {
                LocalSourceFrames::Animation(AnimationFrames::new(reader, sampling).into())
            }
        }
    }
}

/// The frames of one sampling.
pub(crate) enum LocalSourceFrames<'a> {
    Coded(Box<LocalFrames<'a>>),
    Animation(Box<AnimationFrames<'a>>),
}

impl LocalSourceFrames<'_> {
    /// Goes to the next frame wanted, without converting it.
    pub(crate) fn advance(&mut self) -> Option<Result<Timing, VideoError>> {
        match self {
            Self::Coded(frames) => frames.advance(),
            Self::Animation(frames) => frames.advance(),
        }
    }

    /// The frame that [`Self::advance`] came to, upright.
    pub(crate) fn image(&mut self) -> Result<RgbImage, VideoError> {
        match self {
            Self::Coded(frames) => frames.image(),
            Self::Animation(frames) => frames.image(),
        }
    }

    /// Puts the frame that [`Self::advance`] came to at the start of `room`: its width and height, or
    /// `None` where that needs [`Self::image`] first.
    pub(crate) fn image_into(
        &mut self,
        room: &mut [MaybeUninit<u8>],
    ) -> Result<Option<(u32, u32)>, VideoError> {
        match self {
            Self::Coded(frames) => frames.image_into(room),
            Self::Animation(_) => Ok(None),
        }
    }

    pub(crate) fn warnings(&self) -> &[Warning] {
        match self {
            Self::Coded(frames) => &frames.reader.warnings,
            Self::Animation(frames) => &frames.reader.warnings,
        }
    }
}

impl Iterator for LocalSourceFrames<'_> {
    type Item = Result<Frame, VideoError>;

    fn next(&mut self) -> Option<Self::Item> {
        let timing = self.advance()?;
        Some(timing.and_then(|Timing { pts_seconds, index, repeats_previous }| {
            Ok(Frame { image: self.image()?, pts_seconds, index, repeats_previous })
        }))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        match self {
            Self::Coded(frames) => frames.size_hint(),
            Self::Animation(frames) => (0, Some(frames.count())),
        }
    }
}
