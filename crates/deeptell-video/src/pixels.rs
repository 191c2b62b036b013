//! Between coded pictures and RGB, by FFmpeg's software scaler.

use std::mem::MaybeUninit;
use std::ptr;

use deeptell_face::size_within;
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

/// Turns decoded pictures into RGB, keeping the prepared scalers from one picture to the next.
pub(crate) struct ToRgb {
    /// Longest side of the result in pixels; larger pictures shrink to it.
    max_side: Option<u32>,
    prepared: Option<Prepared>,
}

/// Scalers for pictures that all have the same fit.
struct Prepared {
    fit: Fit,
    /// Shrinks planes before their colors are converted, into the picture beside it.
    shrink: Option<(scaling::Context, frame::Video)>,
    to_rgb: scaling::Context,
}

// SAFETY: a scaler is heap memory of its own, tied to no thread, and used through `&mut` only.
#[expect(unsafe_code, reason = "the wrapper leaves out this promise")]
unsafe impl Send for ToRgb {}

impl ToRgb {
    pub(crate) fn new(max_side: Option<u32>) -> Self {
        Self { max_side, prepared: None }
    }

    /// Converts one picture with the matrix and range it is tagged with.
    ///
    /// Same-size conversion is bicubic in the chroma, as in FFmpeg's own tools; shrinking
    /// averages the area under each pixel.
    pub(crate) fn convert(&mut self, picture: &frame::Video) -> Result<RgbImage, ff::Error> {
        let layout = self.layout(picture);
        let mut pixels = Vec::new();
        pixels
            .try_reserve_exact(layout.room_bytes())
            .map_err(|_| ff::Error::Other { errno: ff::error::ENOMEM })?;
        self.fill(picture, layout, pixels.spare_capacity_mut())?;
        #[expect(unsafe_code, reason = "the scaler writes through a pointer")]
        // SAFETY: `fill` has written this many bytes from the start.
        unsafe {
            pixels.set_len(layout.bytes());
        }
        RgbImage::from_raw(layout.width, layout.height, pixels).ok_or(ff::Error::Bug)
    }

    /// As [`Self::convert`], into the start of `room`; the width and height of what lies there then, or
    /// `None` where it does not fit.
    pub(crate) fn convert_into(
        &mut self,
        picture: &frame::Video,
        room: &mut [MaybeUninit<u8>],
    ) -> Result<Option<(u32, u32)>, ff::Error> {
        let layout = self.layout(picture);
        if layout.room_bytes() > room.len() {
            return Ok(None);
        }
        self.fill(picture, layout, room)?;
        Ok(Some((layout.width, layout.height)))
    }

    fn layout(&self, picture: &frame::Video) -> Layout {
        let size = (picture.width(), picture.height());
        let (width, height) = self.max_side.map_or(size, |side| size_within(size, side));
        Layout { width, height }
    }

    /// Converts into rows of RGB without gaps, at the start of `room`.
    fn fill(
        &mut self,
        picture: &frame::Video,
        layout: Layout,
        room: &mut [MaybeUninit<u8>],
    ) -> Result<(), ff::Error> {
        let (matrix, is_full_range) = colors_of(picture);
        let fit = Fit {
            format: picture.format(),
            source: (picture.width(), picture.height()),
            target: (layout.width, layout.height),
            matrix,
            is_full_range,
        };
        let prepared = match self.prepared.take() {
            Some(prepared) if prepared.fit == fit => self.prepared.insert(prepared),
            _ => self.prepared.insert(Prepared::new(fit)?),
        };
        let planes = match &mut prepared.shrink {
            Some((scaler, small)) => {
                scaler.run(picture, small)?;
                &*small
            }
            None => picture,
        };
        layout.scale(&mut prepared.to_rgb, planes, room)
    }
}

impl Prepared {
    fn new(fit: Fit) -> Result<Self, ff::Error> {
        let Fit { format, source, target, .. } = fit;
        if source.0 == 0 || source.1 == 0 {
            return Err(ff::Error::InvalidData);
        }
        let scaler = |from: (u32, u32), to_format, flags| {
            scaling::Context::get(format, from.0, from.1, to_format, target.0, target.1, flags)
        };
        // Planes shrink four times as fast as the scaler shrinks and converts at once.
        let shrink = if source != target && is_planar(format) {
            let small = frame::Video::new(format, target.0, target.1);
            if small.width() != target.0 || small.planes() == 0 {
                return Err(ff::Error::Other { errno: ff::error::ENOMEM });
            }
            Some((scaler(source, format, Flags::AREA)?, small))
        } else {
            None
        };
        let from = if shrink.is_some() { target } else { source };
        let flags = if from == target { Flags::BICUBIC } else { Flags::AREA };
        let mut to_rgb = scaler(from, Pixel::RGB24, flags)?;
        let matrix = if fit.matrix == UNSPECIFIED { ITU_601 } else { fit.matrix };
        set_colors(&mut to_rgb, matrix, fit.is_full_range, true);
        Ok(Self { fit, shrink, to_rgb })
    }
}

/// Bytes beyond the last row that the scaler may scribble on.
const SLACK: usize = 256;

/// Rows of RGB in memory.
#[derive(Debug, Clone, Copy)]
struct Layout {
    width: u32,
    height: u32,
}

impl Layout {
    fn row(self) -> usize {
        self.width as usize * 3
    }

    /// Bytes from one row to the next while the scaler writes.
    ///
    /// The scaler works in blocks of columns: into tight rows of a width that is not a multiple of 8 it
    /// leaves the last columns unwritten. Such rows get room first and move together afterwards.
    fn stride(self) -> usize {
        let width = self.width as usize;
        if width.is_multiple_of(32) {
            self.row()
        } else {
            (width.next_multiple_of(32) * 3).next_multiple_of(64)
        }
    }

    /// Bytes that the scaler may write to.
    fn room_bytes(self) -> usize {
        self.stride() * self.height as usize + SLACK
    }

    /// Bytes of the picture in the end.
    fn bytes(self) -> usize {
        self.row() * self.height as usize
    }

    /// Scales `picture`, for which `scaler` was prepared, into rows without gaps.
    #[expect(
        unsafe_code,
        reason = "the wrapper scales into frames of FFmpeg only, which would have to be copied"
    )]
    fn scale(
        self,
        scaler: &mut scaling::Context,
        picture: &frame::Video,
        room: &mut [MaybeUninit<u8>],
    ) -> Result<(), ff::Error> {
        let (row, stride, height) = (self.row(), self.stride(), self.height as usize);
        let room = room.get_mut(..self.room_bytes()).ok_or(ff::Error::Bug)?;
        let planes = [room.as_mut_ptr().cast::<u8>(), ptr::null_mut(), ptr::null_mut(), ptr::null_mut()];
        let strides = [i32::try_from(stride).map_err(|_| ff::Error::InvalidData)?, 0, 0, 0];
        // SAFETY: the picture has the format and size the scaler was prepared for (part of the fit), and the
        // room holds as many rows of the stride as the scaler writes.
        let rows = unsafe {
            let from = picture.as_ptr();
            ffi::sws_scale(
                scaler.as_mut_ptr(),
                (&raw const (*from).data).cast(),
                (&raw const (*from).linesize).cast(),
                0,
                picture.height() as i32,
                planes.as_ptr(),
                strides.as_ptr(),
            )
        };
        if usize::try_from(rows) != Ok(height) {
            return Err(ff::Error::InvalidData);
        }
        if stride != row {
            for y in 1..height {
                room.copy_within(y * stride..y * stride + row, y * row);
            }
        }
        Ok(())
    }
}

/// Whether pictures of this format can shrink plane by plane without losing anything.
fn is_planar(format: Pixel) -> bool {
    matches!(format, Pixel::YUV420P | Pixel::YUV422P | Pixel::YUV444P) || is_full_range_format(format)
}

/// The codes of the YUV matrix and of the range.
///
/// Matroska passes on any number from the file. The wrapper reads these fields as Rust enums, and a
/// value that is none of its variants then jumps anywhere.
#[expect(unsafe_code, reason = "the wrapper takes numbers from the file for enums")]
fn color_codes(picture: &frame::Video) -> (i32, i32) {
    // SAFETY: the frame lives as long as the wrapper, and C enums are laid out as `c_int`.
    unsafe {
        let raw = picture.as_ptr();
        (
            (&raw const (*raw).colorspace).cast::<i32>().read(),
            (&raw const (*raw).color_range).cast::<i32>().read(),
        )
    }
}

/// The YUV matrix of a picture (any number), and whether its samples go from 0 to 255.
pub(crate) fn colors_of(picture: &frame::Video) -> (i32, bool) {
    let (matrix, range) = color_codes(picture);
    (matrix, range == FULL_RANGE || is_full_range_format(picture.format()))
}

/// The deprecated formats whose name alone says that they use the full range.
fn is_full_range_format(format: Pixel) -> bool {
    matches!(format, Pixel::YUVJ420P | Pixel::YUVJ422P | Pixel::YUVJ444P | Pixel::YUVJ440P | Pixel::YUVJ411P)
}

/// Sets the YUV matrix and the ranges on both sides (`true`: 0 to 255).
///
/// A conversion between two RGB formats has no matrix: FFmpeg declines, and nothing is lost.
#[expect(unsafe_code, reason = "the wrapper does not expose the call")]
fn set_colors(scaler: &mut scaling::Context, matrix: i32, source_is_full: bool, target_is_full: bool) {
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
        set_colors(&mut scaler, ITU_601, true, false);
        Ok(Self { scaler })
    }

    /// Converts a picture of the size given to [`Self::new`].
    pub(crate) fn convert(&mut self, image: &RgbImage) -> Result<frame::Video, ff::Error> {
        let definition = *self.scaler.output();
        let (width, height) = image.dimensions();
        // The scaler takes color from pairs of columns and reads rows in blocks: past an odd or
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
