//! Between coded pictures and RGB, by FFmpeg's software scaler.

use ff::ffi;
use ff::format::Pixel;
use ff::frame;
use ff::software::scaling::{self, Flags};
use ffmpeg_next as ff;
use image::RgbImage;

/// The scaler's index of the ITU-601 matrix, what every player assumes of untagged video.
const ITU_601: i32 = 5;

/// FFmpeg's code, and that of H.273, for a stream that names no matrix.
const UNSPECIFIED: i32 = 2;
/// FFmpeg's code for the range from 0 to 255.
const FULL_RANGE: i32 = 2;

/// What a prepared scaler fits.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Fit {
    format: Pixel,
    source: (u32, u32),
    target: (u32, u32),
    /// Code of the YUV matrix as the stream gives it (ITU-T H.273, table 4): any number.
    matrix: i32,
    is_full_range: bool,
}

/// Turns decoded pictures into RGB, keeping the prepared scaler and its output from one picture to the
/// next: fresh megabytes cost more than filling them.
pub(crate) struct ToRgb {
    /// Longest side of the result in pixels; larger pictures shrink to it.
    max_side: Option<u32>,
    scaler: Option<(Fit, scaling::Context, frame::Video)>,
}

// SAFETY: a scaler is heap memory of its own, tied to no thread, and used through `&mut` only.
#[expect(unsafe_code, reason = "the wrapper leaves out this promise")]
unsafe impl Send for ToRgb {}

impl ToRgb {
    pub(crate) fn new(max_side: Option<u32>) -> Self {
        Self { max_side, scaler: None }
    }

    /// Converts one picture with the matrix and range it is tagged with.
    ///
    /// Same-size conversion is bicubic in the chroma, as in FFmpeg's own tools; shrinking
    /// averages the area under each pixel.
    pub(crate) fn convert(&mut self, picture: &frame::Video) -> Result<RgbImage, ff::Error> {
        let source = (picture.width(), picture.height());
        let (matrix, range) = colour_codes(picture);
        let fit = Fit {
            format: picture.format(),
            source,
            target: fit_inside(source, self.max_side),
            matrix,
            is_full_range: range == FULL_RANGE || is_full_range_format(picture.format()),
        };
        let (width, height) = fit.target;
        if self.scaler.as_ref().is_none_or(|(prepared, ..)| *prepared != fit) {
            // FFmpeg allocates rows with slack: into tight rows of a width that is no multiple of 8
            // the scaler would leave the last columns unwritten.
            let rgb = frame::Video::new(Pixel::RGB24, width, height);
            if rgb.width() != width {
                return Err(ff::Error::Other { errno: ff::error::ENOMEM });
            }
            self.scaler = Some((fit, prepare(fit)?, rgb));
        }
        let Some((_, scaler, rgb)) = &mut self.scaler else { return Err(ff::Error::Bug) };
        scaler.run(picture, rgb)?;
        let stride = rgb.stride(0);
        let row = width as usize * 3;
        let mut pixels = Vec::with_capacity(row * height as usize);
        for padded in rgb.data(0).chunks(stride).take(height as usize) {
            pixels.extend_from_slice(&padded[..row]);
        }
        RgbImage::from_raw(width, height, pixels).ok_or(ff::Error::Bug)
    }
}

/// The codes of the YUV matrix and of the range.
///
/// Matroska passes on any number from the file. The wrapper reads these fields as Rust enums, and a
/// value that is none of its variants then jumps anywhere.
#[expect(unsafe_code, reason = "the wrapper takes numbers from the file for enums")]
fn colour_codes(picture: &frame::Video) -> (i32, i32) {
    // SAFETY: the frame lives as long as the wrapper, and C enums are laid out as `c_int`.
    unsafe {
        let raw = picture.as_ptr();
        (
            (&raw const (*raw).colorspace).cast::<i32>().read(),
            (&raw const (*raw).color_range).cast::<i32>().read(),
        )
    }
}

/// The largest size of the same shape whose longer side is at most `max_side`; never enlarges.
fn fit_inside((width, height): (u32, u32), max_side: Option<u32>) -> (u32, u32) {
    let longest = width.max(height);
    match max_side {
        Some(max_side) if longest > max_side => {
            let scale = f64::from(max_side) / f64::from(longest);
            let shrink = |side: u32| ((f64::from(side) * scale).round() as u32).max(1);
            (shrink(width), shrink(height))
        }
        _ => (width, height),
    }
}

/// The deprecated formats whose name alone says that they use the full range.
fn is_full_range_format(format: Pixel) -> bool {
    matches!(format, Pixel::YUVJ420P | Pixel::YUVJ422P | Pixel::YUVJ444P | Pixel::YUVJ440P | Pixel::YUVJ411P)
}

fn prepare(fit: Fit) -> Result<scaling::Context, ff::Error> {
    let flags = if fit.source == fit.target { Flags::BICUBIC } else { Flags::AREA };
    let ((width, height), (to_width, to_height)) = (fit.source, fit.target);
    if width == 0 || height == 0 {
        return Err(ff::Error::InvalidData);
    }
    let mut scaler =
        scaling::Context::get(fit.format, width, height, Pixel::RGB24, to_width, to_height, flags)?;
    let matrix = if fit.matrix == UNSPECIFIED { ITU_601 } else { fit.matrix };
    set_colours(&mut scaler, matrix, fit.is_full_range, true);
    Ok(scaler)
}

/// Sets the YUV matrix and the ranges on both sides (`true`: 0 to 255).
///
/// A conversion between two RGB formats has no matrix: FFmpeg declines, and nothing is lost.
#[expect(unsafe_code, reason = "the wrapper does not expose the call")]
fn set_colours(scaler: &mut scaling::Context, matrix: i32, source_is_full: bool, target_is_full: bool) {
    const UNITY: i32 = 1 << 16;
    // SAFETY: the scaler is prepared, and the coefficients are a static table for any index.
    unsafe {
        let coefficients = ffi::sws_getCoefficients(matrix);
        ffi::sws_setColorspaceDetails(
            scaler.as_mut_ptr(),
            coefficients,
            i32::from(source_is_full),
            coefficients,
            i32::from(target_is_full),
            0,
            UNITY,
            UNITY,
        );
    }
}

/// Pixels by which an RGB picture is repeated beyond its right and lower edge.
const EDGE: u32 = 32;

/// Turns RGB pictures of one size into limited-range ITU-601 pictures of one format.
pub(crate) struct FromRgb {
    scaler: scaling::Context,
}

// SAFETY: as for `ToRgb`.
#[expect(unsafe_code, reason = "the wrapper leaves out this promise")]
unsafe impl Send for FromRgb {}

impl FromRgb {
    pub(crate) fn new(width: u32, height: u32, format: Pixel) -> Result<Self, ff::Error> {
        let mut scaler =
            scaling::Context::get(Pixel::RGB24, width, height, format, width, height, Flags::BICUBIC)?;
        set_colours(&mut scaler, ITU_601, true, false);
        Ok(Self { scaler })
    }

    /// Converts a picture of the size given to [`Self::new`].
    pub(crate) fn convert(&mut self, image: &RgbImage) -> Result<frame::Video, ff::Error> {
        let definition = *self.scaler.output();
        let (width, height) = image.dimensions();
        // The scaler takes colour from pairs of columns and reads rows in blocks: past an odd or
        // narrow edge it must find the edge again, not what the memory held before.
        let mut rgb = frame::Video::new(Pixel::RGB24, width + EDGE, height + EDGE);
        let mut picture = frame::Video::new(definition.format, definition.width, definition.height);
        if rgb.width() != width + EDGE || picture.width() != definition.width {
            return Err(ff::Error::Other { errno: ff::error::ENOMEM });
        }
        let stride = rgb.stride(0);
        let row = width as usize * 3;
        for (y, padded) in rgb.data_mut(0).chunks_mut(stride).enumerate() {
            let tight = &image.as_raw()[y.min(height as usize - 1) * row..][..row];
            let (inside, outside) = padded.split_at_mut(row);
            inside.copy_from_slice(tight);
            let last = &tight[row - 3..];
            for (index, byte) in outside.iter_mut().enumerate() {
                *byte = last[index % 3];
            }
        }
        rgb.set_width(width);
        rgb.set_height(height);
        self.scaler.run(&rgb, &mut picture)?;
        Ok(picture)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shrinking_keeps_the_shape_and_never_enlarges() {
        assert_eq!(fit_inside((1920, 1080), Some(640)), (640, 360));
        assert_eq!(fit_inside((500, 900), Some(450)), (250, 450));
        assert_eq!(fit_inside((500, 900), Some(1000)), (500, 900));
        assert_eq!(fit_inside((4000, 1), Some(100)), (100, 1));
        assert_eq!(fit_inside((4, 3), None), (4, 3));
    }
}
