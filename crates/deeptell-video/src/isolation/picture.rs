//! A still picture, decoded in another process.

use std::fs::File;
use std::io;
use std::path::Path;
use std::time::Duration;

use deeptell_face::Picture;
use image::RgbImage;

use super::process::DecoderProcess;
use super::wire::{self, PictureHead, Reply, Request};
use crate::VideoError;
use crate::media::PictureJob;

/// Decodes the picture in `file`, which is called `path` in errors.
pub(crate) fn read_picture_isolated(
    file: &File,
    path: &Path,
    job: PictureJob,
    decoder: &DecoderProcess,
) -> Result<Picture, VideoError> {
    let (deadline, max_pixels, max_side) = (job.deadline, job.limits.max_pixels, job.limits.max_side);
    // A picture that is shrunk in the process needs little memory here.
    let most_pixels =
        job.max_side.map_or(max_pixels, |side| max_pixels.min(u64::from(side) * u64::from(side)));
    let mut waited = Duration::ZERO;
    let mut worker = decoder.start_for(path, file, most_pixels)?.stopped_by(job.stop.clone());
    let replied = wire::send(&mut worker.channel, &Request::Picture(job))
        .and_then(|()| worker.receive(deadline, &mut waited, |channel| wire::receive(channel)));
    let nonsense = || io::Error::from(io::ErrorKind::InvalidData);
    let is_right = |width: u32, height: u32| {
        (1..=max_pixels).contains(&(u64::from(width) * u64::from(height))) && width.max(height) <= max_side
    };
    let head = match replied {
        Ok(Reply::Picture(head)) => head,
        Ok(Reply::Failed(failure)) => return Err(failure.about(path)),
        Ok(_) => return Err(worker.explain(&nonsense(), path, deadline)),
        Err(error) => return Err(worker.explain(&error, path, deadline)),
    };
    let PictureHead { width, height, full_size, format, trailing, is_shared } = head;
    if !is_right(width, height) || !is_right(full_size.0, full_size.1) {
        return Err(worker.explain(&nonsense(), path, deadline));
    }
    let bytes = width as usize * height as usize * 3;
    let taken = worker.receive(deadline, &mut waited, |from| from.pixels(bytes, is_shared));
    match taken.map(|bytes| RgbImage::from_raw(width, height, bytes)) {
        Ok(Some(image)) => {
            let mut picture = Picture::new(image, format);
            picture.full_size = full_size;
            picture.trailing = trailing;
            Ok(picture)
        }
        Ok(None) => Err(worker.explain(&io::ErrorKind::UnexpectedEof.into(), path, deadline)),
        Err(error) => Err(worker.explain(&error, path, deadline)),
    }
}
