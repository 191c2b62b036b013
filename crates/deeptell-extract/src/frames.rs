use deeptell_data::{Sample, read_picture};
use deeptell_face::RgbImage;
use deeptell_video::{Media, Sampling, VideoError, VideoOptions, VideoReader};

use crate::ExtractError;

/// A frame of an input.
pub(crate) struct Frame {
    pub(crate) image: RgbImage,
    /// In a video.
    pub(crate) pts_seconds: Option<f64>,
    /// Number in the video, where it is known.
    pub(crate) index: Option<u64>,
}

/// Where the frames of one input come from.
pub(crate) enum FrameSource {
    Picture(RgbImage),
    Video { reader: Box<VideoReader>, frames: usize },
}

impl FrameSource {
    /// Opens a still picture, or a video or animated picture of which `frames` frames are sampled.
    pub(crate) fn open(sample: &Sample, frames: usize, videos: &VideoOptions) -> Result<Self, ExtractError> {
        if !sample.path.is_file() {
            // A picture in a shard, which has no file of its own.
            return Ok(Self::Picture(read_picture(&sample.path)?));
        }
        Ok(match videos.clone().open_media(&sample.path)? {
            Media::Picture(picture) => Self::Picture(picture.image),
            Media::Video(reader) => Self::Video { reader, frames },
            _ => return Err(VideoError::NoVideo { path: sample.path.clone() }.into()),
        })
    }

    pub(crate) fn is_video(&self) -> bool {
        matches!(self, Self::Video { .. })
    }

    /// Gives every frame to `take`, in order; what the decoder warned of.
    pub(crate) fn each(
        self,
        mut take: impl FnMut(&Frame) -> Result<(), ExtractError>,
    ) -> Result<Vec<String>, ExtractError> {
        match self {
            Self::Picture(image) => {
                take(&Frame { image, pts_seconds: None, index: None })?;
                Ok(Vec::new())
            }
            Self::Video { mut reader, frames } => {
                for frame in reader.sample(Sampling::Uniform(frames)) {
                    let frame = frame?;
                    // The same picture twice would count twice in training.
                    if !frame.repeats_previous {
                        let pts_seconds = Some(frame.pts_seconds);
                        take(&Frame { image: frame.image, pts_seconds, index: frame.index })?;
                    }
                }
                Ok(reader.warnings().iter().map(ToString::to_string).collect())
            }
        }
    }
}
