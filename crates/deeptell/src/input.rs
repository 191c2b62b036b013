//! What can be scanned, and the facts of it.

use std::fmt;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use deeptell_face::{Picture, RgbImage};
use deeptell_files::sha256_while;
use deeptell_video::{Frame, VideoInfo};

use crate::report::{InputFacts, InputKind, rounded};

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
    File(&'a Path),
    Bytes { name: &'a str, bytes: &'a [u8] },
    Picture { name: &'a str, image: &'a RgbImage },
    Frames { name: &'a str, frames: Box<dyn Iterator<Item = InputFrame> + 'a> },
}

impl<'a> Input<'a> {
    /// The file at `path`: a still picture if its first bytes say so (JPEG, PNG, WebP, BMP), else a video or an
    /// animated picture. Its name does not matter.
    pub fn path(path: &'a (impl AsRef<Path> + ?Sized)) -> Self {
        Self(Source::File(path.as_ref()))
    }

    /// A whole file in memory, of the same kinds; `name` is what the report calls it, and nothing else.
    ///
    /// It is copied once: on Linux within memory, elsewhere to an unnamed temporary file that ends with the scan.
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

impl<'a> From<&'a Path> for Input<'a> {
    fn from(path: &'a Path) -> Self {
        Self::path(path)
    }
}

impl<'a> From<&'a PathBuf> for Input<'a> {
    fn from(path: &'a PathBuf) -> Self {
        Self::path(path)
    }
}

impl<'a> From<&'a str> for Input<'a> {
    fn from(path: &'a str) -> Self {
        Self::path(path)
    }
}

impl<'a> From<&'a String> for Input<'a> {
    fn from(path: &'a String) -> Self {
        Self::path(path)
    }
}

/// Without the pixels.
impl fmt::Debug for Input<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Source::File(path) => f.debug_tuple("Input").field(path).finish(),
            Source::Bytes { name, .. } | Source::Picture { name, .. } | Source::Frames { name, .. } => {
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

impl From<Frame> for InputFrame {
    fn from(frame: Frame) -> Self {
        Self { image: frame.image, pts_seconds: frame.pts_seconds, index: frame.index }
    }
}

/// A whole file, on disk or in memory.
#[derive(Clone, Copy)]
pub(crate) enum Content<'a> {
    File(&'a Path),
    Bytes { name: &'a str, bytes: &'a [u8] },
}

impl Content<'_> {
    /// What errors call it.
    pub(crate) fn label(self) -> PathBuf {
        match self {
            Self::File(path) => path.to_owned(),
            Self::Bytes { name, .. } => PathBuf::from(name),
        }
    }

    fn length(self) -> io::Result<u64> {
        match self {
            Self::File(path) => Ok(std::fs::metadata(path)?.len()),
            Self::Bytes { bytes, .. } => Ok(bytes.len() as u64),
        }
    }

    /// The SHA-256 in hexadecimal; `None` when it is no longer wanted before it is there.
    pub(crate) fn sha256_while(self, is_wanted: impl FnMut() -> bool) -> io::Result<Option<String>> {
        match self {
            Self::File(path) => sha256_while(File::open(path)?, is_wanted),
            Self::Bytes { bytes, .. } => sha256_while(bytes, is_wanted),
        }
    }

    /// An input of which only name, path and size are known.
    fn facts(self, kind: InputKind) -> io::Result<InputFacts> {
        let (name, path) = match self {
            Self::File(path) => {
                let name = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy();
                (name.into_owned(), Some(path.display().to_string()))
            }
            Self::Bytes { name, .. } => (name.to_owned(), None),
        };
        Ok(InputFacts { path, bytes: Some(self.length()?), ..InputFacts::named(&name, kind) })
    }

    /// The facts of a picture that was decoded already, without its hash.
    pub(crate) fn picture_facts(self, picture: &Picture) -> io::Result<InputFacts> {
        Ok(InputFacts {
            container: Some(picture.format.name().to_owned()),
            width: Some(picture.full_size.0),
            height: Some(picture.full_size.1),
            ..self.facts(InputKind::Image)?
        })
    }

    /// The facts of a video that was opened already, without its hash.
    pub(crate) fn video_facts(self, info: &VideoInfo) -> io::Result<InputFacts> {
        Ok(InputFacts {
            container: Some(info.container.clone()),
            codec: Some(info.codec.clone()),
            width: Some(info.width),
            height: Some(info.height),
            duration_seconds: info.duration_seconds.map(rounded),
            frames_per_second: info.frames_per_second.map(rounded),
            frame_count: info.frame_count,
            ..self.facts(InputKind::Video)?
        })
    }
}

/// A file of `bytes` that has no name and ends with its last handle.
#[cfg(target_os = "linux")]
pub(crate) fn unnamed_file(bytes: &[u8]) -> io::Result<File> {
    use std::io::Write as _;
    let memory = rustix::fs::memfd_create("deeptell-input", rustix::fs::MemfdFlags::CLOEXEC)?;
    let mut file = File::from(memory);
    file.write_all(bytes)?;
    Ok(file)
}

/// A file of `bytes` that has no name and ends with its last handle.
#[cfg(not(target_os = "linux"))]
pub(crate) fn unnamed_file(bytes: &[u8]) -> io::Result<File> {
    use std::io::Write as _;
    let mut file = tempfile::tempfile()?;
    file.write_all(bytes)?;
    Ok(file)
}

impl InputFacts {
    /// An input of which only the name is known.
    pub(crate) fn named(name: &str, kind: InputKind) -> Self {
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
        }
    }
}

#[cfg(test)]
mod tests {
    use deeptell_video::VideoReader;

    use super::*;
    use crate::hash::sha256;

    #[test]
    fn the_facts_of_a_picture_on_disk_and_in_memory() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("portrait.mp4");
        RgbImage::new(20, 10).save_with_format(&path, image::ImageFormat::Png).unwrap();
        let bytes = std::fs::read(&path).unwrap();
        let picture = VideoReader::options().read_picture(&path).unwrap();
        let on_disk = Content::File(&path);
        let in_memory = Content::Bytes { name: "portrait.mp4", bytes: &bytes };
        for content in [on_disk, in_memory] {
            let facts = content.picture_facts(&picture).unwrap();
            assert_eq!((facts.width, facts.height), (Some(20), Some(10)));
            assert_eq!((facts.name.as_str(), facts.container.as_deref()), ("portrait.mp4", Some("png")));
            assert_eq!(facts.bytes, Some(bytes.len() as u64));
            assert_eq!(content.sha256_while(|| true).unwrap(), Some(sha256(&bytes)));
        }
        assert_eq!(in_memory.picture_facts(&picture).unwrap().path, None);
    }

    #[test]
    fn an_unnamed_file_is_a_whole_regular_file() {
        let file = unnamed_file(b"twelve bytes").unwrap();
        assert!(file.metadata().unwrap().is_file());
        assert_eq!(file.metadata().unwrap().len(), 12);
    }
}
