//! Opening a file as what it is: a still picture, or frames in time.

use std::fs::File;
use std::io::BufReader;
use std::path::Path;

use deeptell_face::{Picture, PictureKind, read_picture};

use crate::reader::open_file;
use crate::{VideoError, VideoOptions, VideoReader};

/// A file that [`VideoOptions::open_media`] opened.
#[derive(Debug)]
#[non_exhaustive]
pub enum Media {
    /// A still picture: JPEG, PNG, WebP or BMP, decoded already.
    Picture(Picture),
    /// Anything with frames in time: a video, or an animated GIF, PNG, WebP or AVIF.
    Video(Box<VideoReader>),
}

impl VideoOptions {
    /// Opens the file at `path` as its first bytes say: still pictures are decoded at once, everything else
    /// is opened for sampling.
    ///
    /// # Errors
    /// As [`read_picture`](Self::read_picture) and [`open`](Self::open).
    pub fn open_media(self, path: impl AsRef<Path>) -> Result<Media, VideoError> {
        let path = path.as_ref();
        let mut file = open_file(path)?;
        let kind =
            PictureKind::of(&mut file).map_err(|source| VideoError::Io { path: path.to_owned(), source })?;
        if kind.is_some_and(|kind| !kind.is_animated) {
            self.picture_in(file, path).map(Media::Picture)
        } else {
            self.read(file, path).map(|reader| Media::Video(reader.into()))
        }
    }

    /// Decodes the still picture at `path`: JPEG, PNG, WebP or BMP, upright, at full size.
    ///
    /// # Errors
    /// [`VideoError::Io`] or [`VideoError::NotAFile`] when there is no readable regular file,
    /// [`VideoError::Picture`] when it cannot be decoded within [`Limits::pictures`](crate::Limits::pictures).
    pub fn read_picture(self, path: impl AsRef<Path>) -> Result<Picture, VideoError> {
        let path = path.as_ref();
        self.picture_in(open_file(path)?, path)
    }

    fn picture_in(self, file: File, path: &Path) -> Result<Picture, VideoError> {
        read_picture(BufReader::new(file), &self.job.limits.pictures)
            .map_err(|source| VideoError::Picture { path: path.to_owned(), source })
    }
}
