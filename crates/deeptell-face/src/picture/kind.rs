use std::io::{self, Read, Seek, SeekFrom};

use image::ImageFormat;
use serde::{Deserialize, Serialize};

/// A format of still pictures.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub enum PictureFormat {
    /// JPEG.
    Jpeg,
    /// PNG; with several frames, APNG.
    Png,
    /// WebP.
    WebP,
    /// Windows bitmap.
    Bmp,
}

impl PictureFormat {
    /// The name in lower case: `jpeg`, `png`, `webp`, `bmp`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Jpeg => "jpeg",
            Self::Png => "png",
            Self::WebP => "webp",
            Self::Bmp => "bmp",
        }
    }

    /// The usual ending of a file's name, without the dot.
    pub fn extension(self) -> &'static str {
        match self {
            Self::Jpeg => "jpg",
            other => other.name(),
        }
    }
}

impl From<PictureFormat> for ImageFormat {
    fn from(format: PictureFormat) -> Self {
        match format {
            PictureFormat::Jpeg => Self::Jpeg,
            PictureFormat::Png => Self::Png,
            PictureFormat::WebP => Self::WebP,
            PictureFormat::Bmp => Self::Bmp,
        }
    }
}

/// What the first bytes of a file say about the picture in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct PictureKind {
    /// The format.
    pub format: PictureFormat,
    /// It has several frames: sample it as a video.
    pub is_animated: bool,
    /// The file is shorter than its own header says. Not every format has such a header.
    pub is_cut: bool,
}

/// Chunks of a PNG to read, at most, before the pixels begin.
const MAX_PNG_CHUNKS: usize = 10_000;

impl PictureKind {
    /// The kind of the picture in `source`; `None` for anything else, videos included.
    ///
    /// Reads from the beginning and leaves the cursor anywhere.
    ///
    /// # Errors
    /// When `source` cannot be read.
    pub fn of(source: &mut (impl Read + Seek)) -> io::Result<Option<Self>> {
        source.rewind()?;
        let mut head = [0; 32];
        let length = read_up_to(source, &mut head)?;
        let head = &head[..length];
        let kind = |format| Self { format, is_animated: false, is_cut: false };
        Ok(match image::guess_format(head) {
            Ok(ImageFormat::Jpeg) => Some(kind(PictureFormat::Jpeg)),
            Ok(ImageFormat::Bmp) => Some(kind(PictureFormat::Bmp)),
            Ok(ImageFormat::Png) => {
                Some(Self { is_animated: is_animated_png(source)?, ..kind(PictureFormat::Png) })
            }
            Ok(ImageFormat::WebP) => {
                // RIFF, its length, WEBP, then the first chunk: VP8X has the flags (WebP container, 2.7).
                let is_animated =
                    head.get(12..16) == Some(b"VP8X") && head.get(20).is_some_and(|f| f & 2 != 0);
                let declared = match head {
                    [_, _, _, _, a, b, c, d, ..] => u64::from(u32::from_le_bytes([*a, *b, *c, *d])) + 8,
                    _ => 0,
                };
                let is_cut = source.seek(SeekFrom::End(0))? < declared;
                Some(Self { is_animated, is_cut, ..kind(PictureFormat::WebP) })
            }
            _ => None,
        })
    }
}

/// Whether there is an animation control chunk of several frames before the pixels (PNG, third edition, 11.3.6).
fn is_animated_png(source: &mut (impl Read + Seek)) -> io::Result<bool> {
    let mut at = 8;
    for _ in 0..MAX_PNG_CHUNKS {
        source.seek(SeekFrom::Start(at))?;
        let mut chunk = [0; 12];
        if read_up_to(source, &mut chunk)? < chunk.len() {
            return Ok(false);
        }
        let [a, b, c, d, name @ .., e, f, g, h] = chunk;
        match &name {
            b"acTL" => return Ok(u32::from_be_bytes([e, f, g, h]) > 1),
            b"IDAT" | b"IEND" => return Ok(false),
            _ => at += 12 + u64::from(u32::from_be_bytes([a, b, c, d])),
        }
    }
    Ok(false)
}

/// Fills `buffer` as far as `source` has bytes.
fn read_up_to(source: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match source.read(&mut buffer[filled..]) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}
