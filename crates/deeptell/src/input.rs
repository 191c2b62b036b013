//! Getting at the pixels and the facts of an input.

use std::fs::File;
use std::io::{self, Cursor, Read};
use std::path::Path;

use deeptell_face::RgbImage;
use deeptell_video::{Frame, VideoInfo};
use image::metadata::Orientation;
use image::{DynamicImage, ImageDecoder, ImageFormat, ImageReader};

use crate::hash::{sha256, sha256_of};
use crate::report::rounded;
use crate::{InputError, InputFacts, InputKind, ScanOptions};

/// Pictures whose file is larger are refused.
const MOST_PICTURE_BYTES: u64 = 512 << 20;
/// What decoding a picture may take: memory, and pixels a side.
const PICTURE_MEMORY: u64 = 512 << 20;
const PICTURE_SIDE: u32 = 1 << 15;
/// The same for files from strangers.
const UNTRUSTED_PICTURE_MEMORY: u64 = 128 << 20;
const UNTRUSTED_PICTURE_SIDE: u32 = 1 << 13;

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

/// The picture format whose first bytes `path` has; `None` for anything else, videos included.
pub(crate) fn picture_format(path: &Path) -> Result<Option<ImageFormat>, InputError> {
    let mut head = Vec::new();
    open(path)?.take(64).read_to_end(&mut head)?;
    let known = [ImageFormat::Jpeg, ImageFormat::Png, ImageFormat::WebP, ImageFormat::Bmp];
    Ok(image::guess_format(&head).ok().filter(|format| known.contains(format)))
}

/// Opens a regular file; anything else could block or never end.
fn open(path: &Path) -> Result<File, InputError> {
    if !std::fs::metadata(path)?.is_file() {
        return Err(InputError::NotAFile);
    }
    Ok(File::open(path)?)
}

/// A decoded picture, upright, and its facts.
pub(crate) fn picture(path: &Path, options: &ScanOptions) -> Result<(RgbImage, InputFacts), InputError> {
    let file = open(path)?;
    let length = file.metadata()?.len();
    if length > MOST_PICTURE_BYTES {
        return Err(InputError::TooLarge { bytes: length, limit: MOST_PICTURE_BYTES });
    }
    let mut bytes = Vec::new();
    file.take(MOST_PICTURE_BYTES).read_to_end(&mut bytes)?;

    let mut reader = ImageReader::new(Cursor::new(&bytes)).with_guessed_format()?;
    let format = reader.format();
    let mut limits = image::Limits::default();
    let (memory, side) = if options.untrusted {
        (UNTRUSTED_PICTURE_MEMORY, UNTRUSTED_PICTURE_SIDE)
    } else {
        (PICTURE_MEMORY, PICTURE_SIDE)
    };
    limits.max_alloc = Some(memory);
    limits.max_image_width = Some(side);
    limits.max_image_height = Some(side);
    reader.limits(limits);
    let mut decoder = reader.into_decoder()?;
    // A picture with damaged EXIF data is a picture all the same.
    let orientation = decoder.orientation().unwrap_or(Orientation::NoTransforms);
    let mut image = DynamicImage::from_decoder(decoder)?;
    image.apply_orientation(orientation);
    let image = image.into_rgb8();

    let facts = InputFacts {
        path: Some(path.display().to_string()),
        sha256: options.sha256.then(|| sha256(&bytes)),
        bytes: Some(bytes.len() as u64),
        container: format.map(|f| format!("{f:?}").to_lowercase()),
        width: Some(image.width()),
        height: Some(image.height()),
        ..InputFacts::named(&file_name(path), InputKind::Image)
    };
    Ok((image, facts))
}

/// The facts of a video that was opened already.
pub(crate) fn video_facts(path: &Path, info: &VideoInfo, options: &ScanOptions) -> io::Result<InputFacts> {
    let hash = || File::open(path).and_then(sha256_of);
    Ok(InputFacts {
        path: Some(path.display().to_string()),
        sha256: if options.sha256 { Some(hash()?) } else { None },
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
    use super::*;

    #[test]
    fn pictures_are_known_by_content_not_by_name() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("portrait.mp4");
        RgbImage::new(20, 10).save_with_format(&path, ImageFormat::Png).unwrap();
        assert_eq!(picture_format(&path).unwrap(), Some(ImageFormat::Png));
        let (image, facts) = picture(&path, &ScanOptions::default()).unwrap();
        assert_eq!(image.dimensions(), (20, 10));
        assert_eq!((facts.name.as_str(), facts.container.as_deref()), ("portrait.mp4", Some("png")));
        assert_eq!(facts.bytes, Some(std::fs::metadata(&path).unwrap().len()));
        assert_eq!(facts.sha256.unwrap(), sha256(&std::fs::read(&path).unwrap()));

        std::fs::write(&path, b"no picture").unwrap();
        assert_eq!(picture_format(&path).unwrap(), None);
        assert!(matches!(picture(&path, &ScanOptions::default()), Err(InputError::Image(_))));
    }

    #[test]
    fn what_is_no_file_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        assert!(matches!(picture_format(folder.path()), Err(InputError::NotAFile)));
        assert!(matches!(picture_format(&folder.path().join("none")), Err(InputError::Read(_))));
    }

    #[test]
    fn a_picture_that_would_fill_the_memory_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("wide.png");
        RgbImage::new(9000, 1).save(&path).unwrap();
        assert!(picture(&path, &ScanOptions::default()).is_ok());
        let untrusted = ScanOptions { untrusted: true, ..ScanOptions::default() };
        assert!(matches!(picture(&path, &untrusted), Err(InputError::Image(image::ImageError::Limits(_)))));
    }
}
