//! Reads still pictures: upright, as 8-bit RGB, within limits, and never truncated ones.

mod jpeg;
mod kind;
mod shrink;
mod trailing;

use std::io::{self, BufRead, Read as _, Seek, SeekFrom};

use image::metadata::Orientation;
use image::{ColorType, DynamicImage, ImageDecoder, ImageError, ImageReader, RgbImage};
use serde::{Deserialize, Serialize};
use thiserror::Error;

pub use kind::{PictureFormat, PictureKind};
pub use shrink::{shrunk, size_within};
pub use trailing::{TrailingMedia, TrailingMediaKind};

/// Limits for pictures and for decoding them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct PictureLimits {
    /// Largest picture in pixels (width times height).
    pub max_pixels: u64,
    /// Most pixels on one side.
    pub max_side: u32,
    /// Largest file in bytes.
    pub max_file_bytes: u64,
    /// Memory in bytes for everything that is held at once while decoding: the decoder's own buffers, its
    /// output and the RGB picture made of it.
    pub max_memory_bytes: u64,
}

impl PictureLimits {
    /// Narrow limits, for untrusted files: 40 megapixels, 8192 pixels on a side, files of 64 MiB and 256 MiB
    /// of memory.
    #[must_use]
    pub fn untrusted() -> Self {
        Self {
            max_pixels: 40_000_000,
            max_side: 1 << 13,
            max_file_bytes: 64 << 20,
            max_memory_bytes: 256 << 20,
        }
    }

    /// Allows pictures of up to this many pixels. See [`max_pixels`](field@Self::max_pixels).
    #[must_use]
    pub fn max_pixels(self, max_pixels: u64) -> Self {
        Self { max_pixels, ..self }
    }

    /// Allows up to this many pixels on one side. See [`max_side`](field@Self::max_side).
    #[must_use]
    pub fn max_side(self, max_side: u32) -> Self {
        Self { max_side, ..self }
    }

    /// Allows files of up to this many bytes. See [`max_file_bytes`](field@Self::max_file_bytes).
    #[must_use]
    pub fn max_file_bytes(self, max_file_bytes: u64) -> Self {
        Self { max_file_bytes, ..self }
    }

    /// Allows up to this many bytes of memory. See [`max_memory_bytes`](field@Self::max_memory_bytes).
    #[must_use]
    pub fn max_memory_bytes(self, max_memory_bytes: u64) -> Self {
        Self { max_memory_bytes, ..self }
    }
}

impl Default for PictureLimits {
    /// Limits for trusted files: 256 megapixels, 32768 pixels on a side, files of 512 MiB and 2 GiB of memory.
    fn default() -> Self {
        Self { max_pixels: 1 << 28, max_side: 1 << 15, max_file_bytes: 512 << 20, max_memory_bytes: 2 << 30 }
    }
}

/// Why a picture could not be read.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum PictureError {
    /// The operating system refused to read the file.
    #[error("the file cannot be read")]
    Read(#[from] io::Error),
    /// The content is not a picture of a known format.
    #[error("this is not a JPEG, PNG, WebP or BMP picture; convert it to one of them")]
    Unknown,
    /// The file has several frames, where a still picture is needed.
    #[error("this picture is animated; use a command that takes videos, or save one frame of it")]
    Animated,
    /// The data end before the picture is complete.
    #[error("the picture is truncated; download the whole file")]
    Truncated,
    /// The data are damaged.
    #[error("the picture is damaged ({detail}); download the file again")]
    Damaged {
        /// What cannot be decoded.
        detail: String,
    },
    /// The format is known, but this variant of it is not supported.
    #[error("this variant of the format is not supported ({detail}); save the picture again as JPEG or PNG")]
    Unsupported {
        /// What cannot be read.
        detail: String,
    },
    /// The picture is larger than [`PictureLimits::max_pixels`] or [`PictureLimits::max_side`].
    #[error(
        "a picture of {width} x {height} pixels exceeds the limit of {max_pixels} pixels and {max_side} on a side"
    )]
    TooLarge {
        /// Width in pixels.
        width: u32,
        /// Height in pixels.
        height: u32,
        /// The limit in pixels.
        max_pixels: u64,
        /// The limit for one side in pixels.
        max_side: u32,
    },
    /// The file is larger than [`PictureLimits::max_file_bytes`].
    #[error("the file has {bytes} bytes, more than the limit of {limit}")]
    FileTooLarge {
        /// Size of the file.
        bytes: u64,
        /// The limit.
        limit: u64,
    },
    /// Decoding takes more than [`PictureLimits::max_memory_bytes`].
    #[error("decoding the picture takes more than the {limit} bytes of memory allowed")]
    TooMuchMemory {
        /// The limit.
        limit: u64,
    },
}

impl PictureError {
    fn damaged(detail: impl Into<String>) -> Self {
        Self::Damaged { detail: detail.into() }
    }

    /// What a decoder reports, in plain words: its own contain names and values of its code.
    fn decoding(error: ImageError, limits: &PictureLimits) -> Self {
        match error {
            ImageError::IoError(error) if error.kind() == io::ErrorKind::UnexpectedEof => Self::Truncated,
            ImageError::IoError(error) => Self::Read(error),
            ImageError::Limits(_) => Self::TooMuchMemory { limit: limits.max_memory_bytes },
            ImageError::Unsupported(_) => {
                Self::Unsupported { detail: "its coding cannot be read".to_owned() }
            }
            _ => Self::damaged("its data cannot be decoded"),
        }
    }
}

impl PictureLimits {
    fn check_size(&self, width: u32, height: u32) -> Result<(), PictureError> {
        let Self { max_pixels, max_side, .. } = *self;
        if u64::from(width) * u64::from(height) > max_pixels || width.max(height) > max_side {
            return Err(PictureError::TooLarge { width, height, max_pixels, max_side });
        }
        Ok(())
    }

    fn check_memory(&self, bytes: u64) -> Result<(), PictureError> {
        if bytes > self.max_memory_bytes {
            return Err(PictureError::TooMuchMemory { limit: self.max_memory_bytes });
        }
        Ok(())
    }
}

/// A still picture.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Picture {
    /// The pixels, upright. Transparency is dropped, and 16-bit values are rounded to 8 bits.
    pub image: RgbImage,
    /// Width and height of the picture in the file, upright, in pixels. [`image`](Self::image) is of this size
    /// unless whoever read it was asked to shrink it.
    pub full_size: (u32, u32),
    /// The format of the file.
    pub format: PictureFormat,
    /// Another picture or a video after this one in the file, as in motion photos and bursts. Gain maps and previews
    /// do not count.
    pub trailing: Option<TrailingMedia>,
}

impl Picture {
    /// A picture at full size.
    pub fn new(image: RgbImage, format: PictureFormat) -> Self {
        let full_size = image.dimensions();
        Self { image, full_size, format, trailing: None }
    }
}

/// Without the pixels, which would fill the screen.
impl std::fmt::Debug for Picture {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Picture")
            .field("size", &self.image.dimensions())
            .field("full_size", &self.full_size)
            .field("format", &self.format)
            .field("trailing", &self.trailing)
            .finish_non_exhaustive()
    }
}

/// Decodes a still picture: JPEG, PNG, WebP or BMP, recognized by the first bytes, turned upright as its EXIF data
/// say.
///
/// Scans, extraction, training and evaluation all read pictures with this function, so that they see the
/// same pixels.
///
/// ```
/// use std::io::Cursor;
///
/// use deeptell_face::{PictureFormat, PictureLimits, RgbImage, read_picture};
///
/// let mut file = Cursor::new(Vec::new());
/// RgbImage::new(3, 2).write_to(&mut file, image::ImageFormat::Png)?;
/// let picture = read_picture(file, &PictureLimits::default())?;
/// assert_eq!((picture.format, picture.image.dimensions()), (PictureFormat::Png, (3, 2)));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// A [`PictureError`]. A JPEG whose data end early is an error, as in any other format, although JPEG
/// decoders fill the rest with gray; a missing end marker alone is not.
pub fn read_picture<R: BufRead + Seek>(
    mut source: R,
    limits: &PictureLimits,
) -> Result<Picture, PictureError> {
    let bytes = source.seek(SeekFrom::End(0))?;
    if bytes > limits.max_file_bytes {
        return Err(PictureError::FileTooLarge { bytes, limit: limits.max_file_bytes });
    }
    let kind = PictureKind::of(&mut source)?.ok_or(PictureError::Unknown)?;
    if kind.is_animated {
        return Err(PictureError::Animated);
    }
    if kind.is_cut {
        return Err(PictureError::Truncated);
    }
    let format = kind.format;
    source.rewind()?;
    let (held, end) = match format {
        // The decoder keeps the file, and of a progressive picture all coefficients.
        PictureFormat::Jpeg => {
            let checked = jpeg::check(&mut source, limits)?;
            (bytes.saturating_add(checked.coefficient_bytes), checked.end)
        }
        PictureFormat::Png => {
            // Before its decoder says only that it needs too much memory.
            let mut head = [0; 24];
            source.read_exact(&mut head).map_err(|error| PictureError::decoding(error.into(), limits))?;
            let side = |at: usize| u32::from_be_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]);
            // Elsewhere the decoder reports a damaged file.
            if &head[12..16] == b"IHDR" {
                limits.check_size(side(16), side(20))?;
            }
            (0, None)
        }
        _ => (0, None),
    };
    source.rewind()?;
    // A decoder would read on in another picture behind a JPEG that lacks its end mark.
    let own = (&mut source).take(end.unwrap_or(bytes));
    let mut picture = caught(|| decode(own, format, held, limits))?;
    picture.trailing = trailing::find(&mut source, format, end, picture.full_size)?;
    Ok(picture)
}

/// The result of `decode`; an error if a decoder panics, as some do on malicious files.
fn caught<T>(decode: impl FnOnce() -> Result<T, PictureError>) -> Result<T, PictureError> {
    // What a panic may leave half-done is dropped with the closure.
    let decoded = std::panic::catch_unwind(std::panic::AssertUnwindSafe(decode));
    decoded.unwrap_or_else(|_| Err(PictureError::damaged("its decoder failed")))
}

/// Decodes a picture whose data are all there. `held` is the memory in bytes that the decoder needs besides its output.
fn decode<R: BufRead + Seek>(
    mut source: R,
    format: PictureFormat,
    held: u64,
    limits: &PictureLimits,
) -> Result<Picture, PictureError> {
    let fault = |error| PictureError::decoding(error, limits);
    let mut reader = ImageReader::with_format(&mut source, format.into());
    let mut decoding = image::Limits::no_limits();
    decoding.max_alloc = Some(limits.max_memory_bytes);
    reader.limits(decoding);
    let mut decoder = reader.into_decoder().map_err(fault)?;
    let (width, height) = decoder.dimensions();
    limits.check_size(width, height)?;
    let color = decoder.color_type();
    let pixels = u64::from(width) * u64::from(height);
    // The decoder of WebP makes its output from a picture of its own.
    let held = if format == PictureFormat::WebP { pixels * 2 } else { held };
    let (coded, rgb) = (decoder.total_bytes(), pixels * 3);
    // Conversion makes a second buffer only where the result is larger than what it is made of.
    let held = if coded >= rgb { held } else { held.max(rgb) };
    limits.check_memory(coded.saturating_add(held))?;
    let orientation = exif_orientation(&decoder.exif_metadata().ok().flatten().unwrap_or_default());
    let length = usize::try_from(coded).map_err(|_| PictureError::TooMuchMemory { limit: coded })?;
    let mut pixels = vec![0; length];
    decoder.read_image(&mut pixels).map_err(fault)?;
    let image = to_rgb(pixels, color, width, height)
        .ok_or_else(|| PictureError::Unsupported { detail: "its pixels are of another kind".to_owned() })?;
    Ok(Picture::new(upright(image, orientation, limits)?, format))
}

/// How the EXIF data of a picture ask for it to be turned and mirrored. Damaged EXIF data ask for nothing.
pub fn exif_orientation(exif: &[u8]) -> Orientation {
    // JPEG puts this before the data, and some programs put it into WebP, too.
    let exif = exif.strip_prefix(b"Exif\0\0").unwrap_or(exif);
    Orientation::from_exif_chunk(exif).unwrap_or(Orientation::NoTransforms)
}

/// `image` turned and mirrored as its file asks.
fn upright(
    image: RgbImage,
    orientation: Orientation,
    limits: &PictureLimits,
) -> Result<RgbImage, PictureError> {
    let is_in_place = matches!(
        orientation,
        Orientation::NoTransforms
            | Orientation::Rotate180
            | Orientation::FlipHorizontal
            | Orientation::FlipVertical
    );
    if !is_in_place {
        limits.check_memory(image.len() as u64 * 2)?;
    }
    let mut image = DynamicImage::ImageRgb8(image);
    image.apply_orientation(orientation);
    Ok(image.into_rgb8())
}

/// 8-bit RGB from what decoders give, in the same memory where it fits; `None` for other kinds of pixels.
fn to_rgb(pixels: Vec<u8>, color: ColorType, width: u32, height: u32) -> Option<RgbImage> {
    let wide = |bytes: [u8; 2]| ((u32::from(u16::from_ne_bytes(bytes)) + 128) / 257) as u8;
    let bytes = match color {
        ColorType::Rgb8 => pixels,
        ColorType::L8 => pixels.iter().flat_map(|&grey| [grey; 3]).collect(),
        ColorType::La8 => pixels.chunks_exact(2).flat_map(|pixel| [pixel[0]; 3]).collect(),
        ColorType::L16 => pixels.chunks_exact(2).flat_map(|p| [wide([p[0], p[1]]); 3]).collect(),
        ColorType::La16 => narrowed::<4>(pixels, |p| [wide([p[0], p[1]]); 3]),
        ColorType::Rgba8 => narrowed::<4>(pixels, |[r, g, b, _]| [r, g, b]),
        ColorType::Rgb16 => {
            narrowed::<6>(pixels, |p| [wide([p[0], p[1]]), wide([p[2], p[3]]), wide([p[4], p[5]])])
        }
        ColorType::Rgba16 => {
            narrowed::<8>(pixels, |p| [wide([p[0], p[1]]), wide([p[2], p[3]]), wide([p[4], p[5]])])
        }
        _ => return None,
    };
    RgbImage::from_raw(width, height, bytes)
}

/// Three bytes for each `N`, in the same memory.
fn narrowed<const N: usize>(mut bytes: Vec<u8>, convert: impl Fn([u8; N]) -> [u8; 3]) -> Vec<u8> {
    let pixels = bytes.len() / N;
    for index in 0..pixels {
        let mut pixel = [0; N];
        pixel.copy_from_slice(&bytes[index * N..][..N]);
        bytes[index * 3..][..3].copy_from_slice(&convert(pixel));
    }
    bytes.truncate(pixels * 3);
    bytes.shrink_to_fit();
    bytes
}

#[cfg(test)]
mod tests;
