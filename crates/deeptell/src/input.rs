//! Getting at the pixels and the facts of an input.

use std::fs::File;
use std::io;
use std::path::Path;

use deeptell_face::{Picture, RgbImage};
use deeptell_video::{Frame, VideoInfo};

use crate::hash::sha256_of;
use crate::report::rounded;
use crate::{InputFacts, InputKind, ScanOptions};

/// A frame to look at, from a video or from anywhere else.
#[derive(Debug, Clone, PartialEq)]
pub struct InputFrame {
    /// The pixels.
    pub image: RgbImage,
    /// When it is shown, in seconds from the start.
    pub pts_seconds: f64,
    /// Its number within the whole video, from 0, where it is known.
    pub index: Option<u64>,
}

impl From<Frame> for InputFrame {
    fn from(frame: Frame) -> Self {
        Self { image: frame.image, pts_seconds: frame.pts_seconds, index: frame.index }
    }
}

/// The facts of a picture that was decoded already.
pub(crate) fn picture_facts(path: &Path, picture: &Picture, options: &ScanOptions) -> io::Result<InputFacts> {
    let hash = || File::open(path).and_then(sha256_of);
    Ok(InputFacts {
        path: Some(path.display().to_string()),
        sha256: if options.sha256 { Some(hash()?) } else { None },
        bytes: Some(std::fs::metadata(path)?.len()),
        container: Some(picture.format.name().to_owned()),
        width: Some(picture.full_size.0),
        height: Some(picture.full_size.1),
        ..InputFacts::named(&file_name(path), InputKind::Image)
    })
}

/// The facts of a video that was opened already, without its hash.
pub(crate) fn video_facts(path: &Path, info: &VideoInfo) -> io::Result<InputFacts> {
    Ok(InputFacts {
        path: Some(path.display().to_string()),
        bytes: Some(std::fs::metadata(path)?.len()),
        container: Some(info.container.clone()),
        codec: Some(info.codec.clone()),
        width: Some(info.width),
        height: Some(info.height),
        duration_seconds: info.duration_seconds.map(rounded),
        frames_per_second: info.frames_per_second.map(rounded),
        frame_count: info.frame_count,
        ..InputFacts::named(&file_name(path), InputKind::Video)
    })
}

fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned()
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

    #[test]
    fn the_facts_of_a_picture() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("portrait.mp4");
        RgbImage::new(20, 10).save_with_format(&path, image::ImageFormat::Png).unwrap();
        let picture = VideoReader::options().read_picture(&path).unwrap();
        let facts = picture_facts(&path, &picture, &ScanOptions::default()).unwrap();
        assert_eq!((facts.width, facts.height), (Some(20), Some(10)));
        assert_eq!((facts.name.as_str(), facts.container.as_deref()), ("portrait.mp4", Some("png")));
        let bytes = std::fs::read(&path).unwrap();
        assert_eq!(facts.bytes, Some(bytes.len() as u64));
        assert_eq!(facts.sha256.unwrap(), sha256_of(bytes.as_slice()).unwrap());
    }
}
