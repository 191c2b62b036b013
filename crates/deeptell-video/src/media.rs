//! Opening a file as what it is: a still picture, or frames in time.

use std::fs::File;
use std::io::BufReader;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use deeptell_face::{Picture, PictureKind, PictureLimits, read_picture, shrunk};
use serde::{Deserialize, Serialize};

use crate::guard::{Guard, GuardedFile};
#[cfg(unix)]
use crate::isolation::read_picture_isolated;
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
        self.media_in(open_file(path)?, path)
    }

    /// As [`open_media`](Self::open_media), for a file that is open already; it is read from its beginning, and its
    /// cursor moves. Errors call it `name`, and nothing else is done with that.
    ///
    /// # Errors
    /// As [`open_media`](Self::open_media).
    pub fn media_from_file(self, file: File, name: impl AsRef<Path>) -> Result<Media, VideoError> {
        self.media_in(file, name.as_ref())
    }

    fn media_in(self, mut file: File, path: &Path) -> Result<Media, VideoError> {
        let kind =
            PictureKind::of(&mut file).map_err(|source| VideoError::Io { path: path.to_owned(), source })?;
        if kind.is_some_and(|kind| !kind.is_animated) {
            self.picture_in(&file, path).map(Media::Picture)
        } else {
            self.read(file, path).map(|reader| Media::Video(reader.into()))
        }
    }

    /// Decodes the still picture at `path`: JPEG, PNG, WebP or BMP, upright, shrunk to
    /// [`max_side`](Self::max_side).
    ///
    /// # Errors
    /// [`VideoError::Io`] or [`VideoError::NotAFile`] when there is no readable regular file,
    /// [`VideoError::Picture`] when it cannot be decoded within [`Limits::pictures`](crate::Limits::pictures).
    pub fn read_picture(self, path: impl AsRef<Path>) -> Result<Picture, VideoError> {
        let path = path.as_ref();
        self.picture_in(&open_file(path)?, path)
    }

    fn picture_in(&self, file: &File, path: &Path) -> Result<Picture, VideoError> {
        let limits = &self.decode.limits;
        let job = PictureJob {
            limits: limits.pictures,
            deadline: limits.deadline,
            max_side: self.decode.max_side,
            stop: self.decode.stop.clone(),
        };
        #[cfg(unix)]
        if let Some(decoder) = &self.decoder {
            return read_picture_isolated(file, path, job, decoder);
        }
        job.read(file, path)
    }
}

/// How to read one picture.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct PictureJob {
    pub(crate) limits: PictureLimits,
    pub(crate) deadline: Duration,
    pub(crate) max_side: Option<u32>,
    /// Set by the caller to end the work early; another process is ended instead.
    #[serde(skip)]
    pub(crate) stop: Option<Arc<AtomicBool>>,
}

impl PictureJob {
    /// Decodes the picture in `file`, which is called `path` in errors, in this process.
    pub(crate) fn read(&self, file: &File, path: &Path) -> Result<Picture, VideoError> {
        let guard = Guard::new(path, self.deadline).with_stop(self.stop.clone());
        let _running = guard.run();
        let file = GuardedFile::new(file, &guard).map_err(|error| guard.io(error))?;
        let mut picture = read_picture(BufReader::new(file), &self.limits).map_err(|source| {
            guard.check().err().unwrap_or_else(|| VideoError::Picture { path: path.to_owned(), source })
        })?;
        if let Some(image) = self.max_side.and_then(|side| shrunk(&picture.image, side)) {
            picture.image = image;
        }
        Ok(picture)
    }
}
