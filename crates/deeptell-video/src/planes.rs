//! Decoded pictures of other decoders as RGB, with the arithmetic of FFmpeg's software scaler.

use image::RgbImage;
use thiserror::Error;

/// How the samples of a [`RawPicture`] lie in memory; all have 8 bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum PixelLayout {
    /// Planes of Y, U and V; U and V have half the width and half the height, rounded up.
    I420,
    /// Planes of Y, U and V; U and V have half the width, rounded up.
    I422,
    /// Planes of Y, U and V of one size.
    I444,
    /// Planes of green, blue and red of one size.
    Gbr,
    /// A plane of Y, and one of U and V in turn, of half the width and half the height, rounded up.
    Nv12,
    /// One plane of four bytes per pixel: red, green, blue and one that is ignored.
    Rgba,
    /// One plane of four bytes per pixel: blue, green, red and one that is ignored.
    Bgra,
}

/// A plane of a picture.
#[derive(Debug, Clone, Copy)]
pub struct Plane<'a> {
    /// The rows from the top on.
    pub data: &'a [u8],
    /// Bytes from the start of one row to the start of the next.
    pub stride: usize,
}

/// What the colors of a stream mean, as it is tagged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ColorTags {
    /// Code of the YUV matrix (ITU-T H.273, table 4); 2 where the stream names none.
    pub matrix: u8,
    /// Whether samples go from 0 to 255 rather than from 16 to 235.
    pub is_full_range: bool,
}

impl ColorTags {
    /// The matrix of a stream that names none.
    pub(crate) const UNKNOWN_MATRIX: u8 = 2;
}

/// A picture as a decoder outside of this crate gave it.
#[derive(Debug, Clone, Copy)]
pub struct RawPicture<'a> {
    /// How the samples lie.
    pub layout: PixelLayout,
    /// Width in pixels, at least 1.
    pub width: u32,
    /// Height in pixels, at least 1.
    pub height: u32,
    /// As many planes as the layout has, in its order.
    pub planes: &'a [Plane<'a>],
    /// What the colors mean; ignored for RGB.
    pub colors: ColorTags,
}

/// Why a [`RawPicture`] cannot be converted: its sizes contradict each other.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum RawPictureError {
    /// The picture has no pixels, or too many for this machine.
    #[error("the picture has {width} x {height} pixels")]
    Size {
        /// Its width.
        width: u32,
        /// Its height.
        height: u32,
    },
    /// The layout has another number of planes.
    #[error("the picture has {found} planes, not {expected}")]
    Planes {
        /// How many there are.
        found: usize,
        /// How many the layout has.
        expected: usize,
    },
    /// A plane ends before its last row, or its rows overlap.
    #[error("plane {plane} has {found} bytes in rows of {stride}; {rows} rows of {row} are needed")]
    Plane {
        /// Number of the plane, from 0.
        plane: usize,
        /// Its bytes.
        found: usize,
        /// Its stride.
        stride: usize,
        /// Rows that are needed.
        rows: usize,
        /// Bytes that are needed of each row.
        row: usize,
    },
}

impl RawPicture<'_> {
    /// The picture as RGB with values from 0 to 255.
    ///
    /// The arithmetic is that of FFmpeg's scaler on x86 processors, as `VideoReader` uses it, bit for bit:
    /// 13-bit coefficients, each product rounded down, and color repeated for the pixels that share it. In pictures of
    /// an odd height it interpolates color between rows, which is reproduced up to rounding.
    ///
    /// # Errors
    /// [`RawPictureError`] when the sizes contradict each other.
    pub fn to_rgb(&self) -> Result<RgbImage, RawPictureError> {
        self.check()?;
        let (width, height) = (self.width as usize, self.height as usize);
        let mut pixels = vec![0; width * height * 3];
        let rows = pixels.chunks_exact_mut(width * 3).enumerate();
        match self.layout {
            PixelLayout::Rgba => rows.for_each(|(y, row)| reorder(self.row(0, y), row, [0, 1, 2])),
            PixelLayout::Gbr => rows.for_each(|(y, row)| {
                let [green, blue, red] = [0, 1, 2].map(|plane| self.row(plane, y));
                for (x, pixel) in row.as_chunks_mut::<3>().0.iter_mut().enumerate() {
                    *pixel = [red[x], green[x], blue[x]];
                }
            }),
            PixelLayout::Bgra => rows.for_each(|(y, row)| reorder(self.row(0, y), row, [2, 1, 0])),
            _ => {
                let colors = Coefficients::new(self.colors);
                let mut chroma = ChromaRows::new(self);
                let per_sample = chroma.per_sample();
                for (y, row) in rows {
                    let (u, v) = chroma.of(y);
                    colors.convert(self.row(0, y), u, v, per_sample, row);
                }
            }
        }
        let size = RawPictureError::Size { width: self.width, height: self.height };
        RgbImage::from_raw(self.width, self.height, pixels).ok_or(size)
    }

    /// Bytes of a row and number of rows of each plane.
    fn planes_needed(&self) -> Vec<(usize, usize)> {
        let (width, height) = (self.width as usize, self.height as usize);
        let (half_width, half_height) = (width.div_ceil(2), height.div_ceil(2));
        match self.layout {
            PixelLayout::I420 => vec![(width, height), (half_width, half_height), (half_width, half_height)],
            PixelLayout::I422 => vec![(width, height), (half_width, height), (half_width, height)],
            PixelLayout::I444 | PixelLayout::Gbr => vec![(width, height); 3],
            PixelLayout::Nv12 => vec![(width, height), (2 * half_width, half_height)],
            PixelLayout::Rgba | PixelLayout::Bgra => vec![(4 * width, height)],
        }
    }

    fn check(&self) -> Result<(), RawPictureError> {
        let (width, height) = (self.width, self.height);
        let bytes = u64::from(width) * u64::from(height) * 4;
        if bytes == 0 || usize::try_from(bytes).is_err() {
            return Err(RawPictureError::Size { width, height });
        }
        let needed = self.planes_needed();
        if needed.len() != self.planes.len() {
            return Err(RawPictureError::Planes { found: self.planes.len(), expected: needed.len() });
        }
        for (number, (plane, (row, rows))) in self.planes.iter().zip(needed).enumerate() {
            let whole = plane.stride.checked_mul(rows - 1).and_then(|bytes| bytes.checked_add(row));
            if plane.stride < row || whole.is_none_or(|whole| plane.data.len() < whole) {
                let (found, stride) = (plane.data.len(), plane.stride);
                return Err(RawPictureError::Plane { plane: number, found, stride, rows, row });
            }
        }
        Ok(())
    }

    /// Row `y` of a plane, and what follows it.
    fn row(&self, plane: usize, y: usize) -> &[u8] {
        let Plane { data, stride } = self.planes[plane];
        &data[y * stride..]
    }
}

fn reorder(from: &[u8], to: &mut [u8], order: [usize; 3]) {
    for (to, from) in to.as_chunks_mut::<3>().0.iter_mut().zip(from.as_chunks::<4>().0) {
        *to = order.map(|channel| from[channel]);
    }
}

/// The rows of U and V that belong to each row of pixels.
struct ChromaRows<'a> {
    picture: RawPicture<'a>,
    u: Vec<u8>,
    v: Vec<u8>,
}

/// Samples of a row or of a column, each with its weight.
type Taps = Vec<(usize, f32)>;

impl<'a> ChromaRows<'a> {
    fn new(picture: &RawPicture<'a>) -> Self {
        Self { picture: *picture, u: Vec::new(), v: Vec::new() }
    }

    /// Pixels of a row that share a sample.
    fn per_sample(&self) -> usize {
        if self.picture.layout == PixelLayout::I444 || self.is_stretched() { 1 } else { 2 }
    }

    /// Whether color is interpolated between columns: the scaler does so where both sides are odd.
    fn is_stretched(&self) -> bool {
        let RawPicture { layout, width, height, .. } = self.picture;
        layout != PixelLayout::I444 && !width.is_multiple_of(2) && !height.is_multiple_of(2)
    }

    fn of(&mut self, y: usize) -> (&[u8], &[u8]) {
        let picture = &self.picture;
        let columns = match picture.layout {
            PixelLayout::I444 => picture.width as usize,
            _ => picture.width.div_ceil(2) as usize,
        };
        let rows: Taps = if !matches!(picture.layout, PixelLayout::I420 | PixelLayout::Nv12) {
            vec![(y, 1.0)]
        } else if picture.height.is_multiple_of(2) {
            vec![(y / 2, 1.0)]
        } else {
            bicubic_taps(y, picture.height)
        };
        let row = |plane: usize, step: usize, first: usize| -> Vec<u8> {
            let sample = |x: usize| -> f32 {
                rows.iter()
                    .map(|(y, weight)| weight * f32::from(picture.row(plane, *y)[first + x * step]))
                    .sum()
            };
            let samples: Vec<f32> = (0..columns).map(sample).collect();
            let whole = |sample: f32| sample.round().clamp(0.0, 255.0) as u8;
            if !self.is_stretched() {
                return samples.into_iter().map(whole).collect();
            }
            let between = |x: usize| {
                let taps = bicubic_taps(x, picture.width);
                whole(taps.into_iter().map(|(column, weight)| weight * samples[column]).sum())
            };
            (0..picture.width as usize).map(between).collect()
        };
        (self.u, self.v) = match picture.layout {
            PixelLayout::Nv12 => (row(1, 2, 0), row(1, 2, 1)),
            _ => (row(1, 1, 0), row(2, 1, 0)),
        };
        (&self.u, &self.v)
    }
}

/// The four samples of color around pixel `place` of a side of `pixels`, which has half as many, and their weights: they
/// are stretched to the side, and the cubic has the scaler's parameters (B = 0, C = 0.6).
fn bicubic_taps(place: usize, pixels: u32) -> Taps {
    let samples = pixels.div_ceil(2);
    let place = (place as f32 + 0.5) * samples as f32 / pixels as f32 - 0.5;
    let first = place.floor() as isize - 1;
    let weight = |distance: f32| {
        let d = distance.abs();
        if d < 1.0 {
            1.4 * d.powi(3) - 2.4 * d * d + 1.0
        } else {
            -0.6 * d.powi(3) + 3.0 * d * d - 4.8 * d + 2.4
        }
    };
    let tap = |sample: isize| (sample.clamp(0, samples as isize - 1) as usize, weight(sample as f32 - place));
    (first..first + 4).map(tap).collect()
}

/// Coefficients of a conversion, in the scaler's fixed-point numbers.
struct Coefficients {
    y: i32,
    y_offset: i32,
    red_of_v: i32,
    green_of_u: i32,
    green_of_v: i32,
    blue_of_u: i32,
}

impl Coefficients {
    fn new(colors: ColorTags) -> Self {
        let [red_of_v, blue_of_u, green_of_u, green_of_v] = matrix(colors.matrix);
        let (y, y_offset, chroma): (i64, i64, fn(i64) -> i64) = if colors.is_full_range {
            (1 << 16, 0, |coefficient| coefficient * 224 / 255)
        } else {
            ((1 << 16) * 255 / 219, 16 << 16, |coefficient| coefficient)
        };
        // 16.16 to the integers that the scaler multiplies with: 3 bits of fraction in samples, 13 in coefficients.
        let rounded = |value: i64| ((value + (1 << 15)) >> 16) as i32;
        Self {
            y: rounded(y << 13),
            y_offset: rounded(y_offset * 8),
            red_of_v: rounded(chroma(red_of_v) << 13),
            green_of_u: rounded(chroma(-green_of_u) << 13),
            green_of_v: rounded(chroma(-green_of_v) << 13),
            blue_of_u: rounded(chroma(blue_of_u) << 13),
        }
    }

    /// Converts a row in which `per_sample` pixels share a sample of color.
    fn convert(&self, y: &[u8], u: &[u8], v: &[u8], per_sample: usize, rgb: &mut [u8]) {
        let luma = |sample: u8| ((i32::from(sample) * 8 - self.y_offset) * self.y) >> 16;
        let centered = |sample: u8| i32::from(sample) * 8 - 1024;
        for ((rgb, y), (u, v)) in
            rgb.chunks_mut(3 * per_sample).zip(y.chunks(per_sample)).zip(u.iter().zip(v))
        {
            let (u, v) = (centered(*u), centered(*v));
            let red = (v * self.red_of_v) >> 16;
            let green = ((u * self.green_of_u) >> 16) + ((v * self.green_of_v) >> 16);
            let blue = (u * self.blue_of_u) >> 16;
            for (rgb, y) in rgb.as_chunks_mut::<3>().0.iter_mut().zip(y) {
                let y = luma(*y);
                *rgb = [y + red, y + green, y + blue].map(|value| value.clamp(0, 255) as u8);
            }
        }
    }
}

/// The scaler's coefficients of a YUV matrix: red of V, blue of U, green of U and of V, the last two to be subtracted.
const fn matrix(code: u8) -> [i64; 4] {
    match code {
        0 | 1 => [117_489, 138_438, 13_975, 34_925],
        4 => [104_448, 132_798, 24_759, 53_109],
        7 => [117_579, 136_230, 16_907, 35_559],
        9 | 10 => [110_013, 140_363, 12_277, 42_626],
        _ => [104_597, 132_201, 25_675, 53_279],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_that_contradict_each_other_are_errors() {
        let data = [0; 12];
        let plane = |bytes: usize, stride| Plane { data: &data[..bytes], stride };
        let picture = |layout, width, height, planes: &[Plane<'_>]| {
            let colors = ColorTags::default();
            RawPicture { layout, width, height, planes, colors }.to_rgb().map(|image| image.dimensions())
        };
        assert_eq!(picture(PixelLayout::I420, 3, 2, &[plane(6, 3), plane(2, 2), plane(2, 2)]), Ok((3, 2)));
        assert_eq!(picture(PixelLayout::Nv12, 3, 2, &[plane(6, 3), plane(4, 4)]), Ok((3, 2)));
        assert!(matches!(
            picture(PixelLayout::I420, 3, 2, &[plane(6, 3)]),
            Err(RawPictureError::Planes { .. })
        ));
        let short = [plane(5, 3), plane(2, 2), plane(2, 2)];
        assert!(matches!(
            picture(PixelLayout::I420, 3, 2, &short),
            Err(RawPictureError::Plane { plane: 0, .. })
        ));
        let overlapping = [plane(6, 3), plane(2, 1), plane(2, 2)];
        assert!(matches!(
            picture(PixelLayout::I420, 3, 2, &overlapping),
            Err(RawPictureError::Plane { plane: 1, .. })
        ));
        assert!(matches!(
            picture(PixelLayout::Rgba, 0, 2, &[plane(8, 4)]),
            Err(RawPictureError::Size { .. })
        ));
    }

    #[test]
    fn four_bytes_per_pixel_are_read_in_either_order() {
        let data = [10, 20, 30, 0, 40, 50, 60, 0];
        let planes = [Plane { data: &data, stride: 8 }];
        let colors = ColorTags::default();
        let rgb =
            |layout| RawPicture { layout, width: 2, height: 1, planes: &planes, colors }.to_rgb().unwrap();
        assert_eq!(rgb(PixelLayout::Rgba).into_raw(), [10, 20, 30, 40, 50, 60]);
        assert_eq!(rgb(PixelLayout::Bgra).into_raw(), [30, 20, 10, 60, 50, 40]);
    }

    #[test]
    fn planes_of_green_blue_and_red_are_put_in_order() {
        let planes = [[1, 2], [3, 4], [5, 6]];
        let planes = planes.each_ref().map(|data| Plane { data, stride: 2 });
        let colors = ColorTags { matrix: 0, is_full_range: true };
        let picture = RawPicture { layout: PixelLayout::Gbr, width: 2, height: 1, planes: &planes, colors };
        assert_eq!(picture.to_rgb().unwrap().into_raw(), [5, 1, 3, 6, 2, 4]);
    }
}

/// Against the scaler itself.
#[cfg(test)]
#[cfg(feature = "ffmpeg")]
mod scaler_tests {
    use ffmpeg_next::format::Pixel;
    use ffmpeg_next::{ffi, frame};

    use super::*;
    use crate::pixels::ToRgb;

    /// A frame with edges, ramps and noise in every plane.
    fn frame(format: Pixel, width: u32, height: u32, colors: ColorTags) -> frame::Video {
        let mut frame = frame::Video::new(format, width, height);
        let mut random = fastrand::Rng::with_seed(u64::from(width * height));
        for plane in 0..frame.planes() {
            let stride = frame.stride(plane);
            for (place, byte) in frame.data_mut(plane).iter_mut().enumerate() {
                let (x, y) = (place % stride, place / stride);
                let ramp = (x * 3 + y * 5 + plane * 80) % 256;
                let edge = if (x / 7 + y / 5) % 2 == 0 { 40 } else { 0 };
                *byte = (ramp / 2 + edge + random.usize(..90)).min(255) as u8;
            }
        }
        #[expect(unsafe_code, reason = "the wrapper takes only values that it knows")]
        // SAFETY: the frame lives, and C enums are laid out as `c_int`.
        unsafe {
            let raw = frame.as_mut_ptr();
            (&raw mut (*raw).colorspace).cast::<i32>().write(i32::from(colors.matrix));
            (&raw mut (*raw).color_range).cast::<i32>().write(if colors.is_full_range { 2 } else { 1 });
        }
        frame
    }

    fn ours(frame: &frame::Video, layout: PixelLayout, colors: ColorTags) -> RgbImage {
        let planes: Vec<Plane<'_>> = (0..frame.planes())
            .map(|plane| Plane { data: frame.data(plane), stride: frame.stride(plane) })
            .collect();
        let (width, height) = (frame.width(), frame.height());
        RawPicture { layout, width, height, planes: &planes, colors }.to_rgb().unwrap()
    }

    /// The largest difference of a channel, and the mean.
    fn difference(one: &RgbImage, other: &RgbImage) -> (u8, f64) {
        assert_eq!(one.dimensions(), other.dimensions());
        let each = one.as_raw().iter().zip(other.as_raw()).map(|(a, b)| a.abs_diff(*b));
        let sum: u64 = each.clone().map(u64::from).sum();
        (each.max().unwrap(), sum as f64 / one.as_raw().len() as f64)
    }

    fn all_colors() -> impl Iterator<Item = ColorTags> {
        let matrices = [1, 2, 4, 5, 6, 7, 9];
        matrices
            .into_iter()
            .flat_map(|matrix| [false, true].map(|is_full_range| ColorTags { matrix, is_full_range }))
    }

    #[test]
    fn pictures_of_even_height_are_those_of_the_scaler() {
        let formats = [(Pixel::YUV420P, PixelLayout::I420), (Pixel::YUV422P, PixelLayout::I422)];
        for (width, height) in [(64, 48), (322, 180), (37, 20), (8, 2)] {
            for colors in all_colors() {
                for (format, layout) in formats {
                    let frame = frame(format, width, height, colors);
                    let theirs = ToRgb::new(None).convert(&frame).unwrap();
                    let (largest, _) = difference(&ours(&frame, layout, colors), &theirs);
                    // Elsewhere the scaler has other arithmetic, and rounds.
                    let allowed = if cfg!(target_arch = "x86_64") { 0 } else { 3 };
                    assert!(largest <= allowed, "{layout:?} {width}x{height} {colors:?}: {largest}");
                }
            }
        }
    }

    #[test]
    fn pictures_of_odd_height_are_those_of_the_scaler_up_to_rounding() {
        for (width, height) in [(64, 49), (37, 21), (50, 33)] {
            for colors in all_colors() {
                let frame = frame(Pixel::YUV420P, width, height, colors);
                let theirs = ToRgb::new(None).convert(&frame).unwrap();
                let (largest, mean) = difference(&ours(&frame, PixelLayout::I420, colors), &theirs);
                assert!(largest <= 8 && mean < 1.2, "{width}x{height} {colors:?}: {largest}, {mean}");
            }
        }
    }

    #[test]
    fn matrices_are_those_of_the_scaler() {
        for code in 0..=10_u8 {
            if code == 8 {
                continue;
            }
            #[expect(unsafe_code, reason = "the wrapper does not expose the call")]
            // SAFETY: the table of four coefficients is static for any number.
            let theirs = unsafe { std::slice::from_raw_parts(ffi::sws_getCoefficients(i32::from(code)), 4) };
            let theirs: Vec<i64> = theirs.iter().map(|&coefficient| i64::from(coefficient)).collect();
            assert_eq!(theirs, matrix(code), "{code}");
        }
    }
}
