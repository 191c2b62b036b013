//! What can be scanned, and the facts of it.

use std::fmt;
#[cfg(feature = "ffmpeg")]
use std::path::{Path, PathBuf};

use deeptell_face::RgbImage;

use crate::report::{InputFacts, InputKind};

/// What a [`Detector`](crate::Detector) scans: a file, a file in memory, a picture, or frames.
///
/// ```
/// use deeptell::{Input, RgbImage};
///
/// let file = Input::from("interview.mp4");
/// let upload = Input::bytes("clip.webm", b"...");
/// let image = RgbImage::new(640, 480);
/// let picture = Input::picture("webcam", &image);
/// ```
#[must_use]
pub struct Input<'a>(pub(crate) Source<'a>);

pub(crate) enum Source<'a> {
    #[cfg(feature = "ffmpeg")]
    File(&'a Path),
    #[cfg(feature = "ffmpeg")]
    Bytes {
        name: &'a str,
        bytes: &'a [u8],
    },
    Picture {
        name: &'a str,
        image: &'a RgbImage,
    },
    Frames {
        name: &'a str,
        frames: Box<dyn Iterator<Item = InputFrame> + 'a>,
    },
}

impl<'a> Input<'a> {
    /// The file at `path`: a still picture if its first bytes say so (JPEG, PNG, WebP, BMP), else a video or an
    /// animated picture. Its name does not matter.
    #[cfg(feature = "ffmpeg")]
    pub fn path(path: &'a (impl AsRef<Path> + ?Sized)) -> Self {
        Self(Source::File(path.as_ref()))
    }

    /// A whole file in memory, of the same kinds; `name` is what the report calls it, and nothing else.
    ///
    /// It is copied once: on Linux within memory, elsewhere to an unnamed temporary file that ends with the scan.
    #[cfg(feature = "ffmpeg")]
    pub fn bytes(name: &'a str, bytes: &'a [u8]) -> Self {
        Self(Source::Bytes { name, bytes })
    }

    /// A picture that was decoded already; `name` is what the report calls it.
    pub fn picture(name: &'a str, image: &'a RgbImage) -> Self {
        Self(Source::Picture { name, image })
    }

    /// Frames that were decoded already, in order of time; `name` is what the report calls them. All of them are
    /// scanned: [`ScanOptions::frames`](crate::ScanOptions::frames) is ignored.
    pub fn frames<F>(name: &'a str, frames: F) -> Self
    where
        F: IntoIterator<Item = InputFrame>,
        F::IntoIter: 'a,
    {
        Self(Source::Frames { name, frames: Box::new(frames.into_iter()) })
    }
}

#[cfg(feature = "ffmpeg")]
impl<'a> From<&'a Path> for Input<'a> {
    fn from(path: &'a Path) -> Self {
        Self::path(path)
    }
}

#[cfg(feature = "ffmpeg")]
impl<'a> From<&'a PathBuf> for Input<'a> {
    fn from(path: &'a PathBuf) -> Self {
        Self::path(path)
    }
}

#[cfg(feature = "ffmpeg")]
impl<'a> From<&'a str> for Input<'a> {
    fn from(path: &'a str) -> Self {
        Self::path(path)
    }
}

#[cfg(feature = "ffmpeg")]
impl<'a> From<&'a String> for Input<'a> {
    fn from(path: &'a String) -> Self {
        Self::path(path)
    }
}

/// Without the pixels.
impl fmt::Debug for Input<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            #[cfg(feature = "ffmpeg")]
            Source::File(path) => f.debug_tuple("Input").field(path).finish(),
            #[cfg(feature = "ffmpeg")]
            Source::Bytes { name, .. } => f.debug_tuple("Input").field(name).finish_non_exhaustive(),
            Source::Picture { name, .. } | Source::Frames { name, .. } => {
                f.debug_tuple("Input").field(name).finish_non_exhaustive()
            }
        }
    }
}

/// A frame to scan, from a video or from elsewhere.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct InputFrame {
    /// The pixels.
    pub image: RgbImage,
    /// When it is shown, in seconds from the start.
    pub pts_seconds: f64,
    /// Its number within the whole video, from 0, where it is known.
    pub index: Option<u64>,
}

impl InputFrame {
    /// A frame that is shown `pts_seconds` seconds from the start, with an unknown number.
    pub fn new(image: RgbImage, pts_seconds: f64) -> Self {
        Self { image, pts_seconds, index: None }
    }

    /// The same frame with its number within the video, from 0.
    #[must_use]
    pub fn with_index(self, index: u64) -> Self {
        Self { index: Some(index), ..self }
    }
}

impl InputFacts {
    /// An input of which only the name and the kind are known.
    pub fn new(name: &str, kind: InputKind) -> Self {
        Self {
            name: name.to_owned(),
            path: None,
            kind,
            sha256: None,
            bytes: None,
            container: None,
            codec: None,
            width: None,
            height: None,
            duration_seconds: None,
            frames_per_second: None,
            frame_count: None,
            decoder: None,
        }
    }
}
