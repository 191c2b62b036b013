use deeptell_data::{Media, Sample, read_picture};
use deeptell_face::RgbImage;
use deeptell_video::{Sampling, VideoOptions, VideoReader};

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
    /// Opens a picture, or a video of which `frames` frames are sampled.
    pub(crate) fn open(sample: &Sample, frames: usize, videos: &VideoOptions) -> Result<Self, ExtractError> {
        if sample.media() == Some(Media::Image) {
            return Ok(Self::Picture(read_picture(&sample.path)?));
        }
        Ok(Self::Video { reader: Box::new(videos.clone().open(&sample.path)?), frames })
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
