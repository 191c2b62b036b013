//! Area resampling of 8-bit pixels straight into normalized network input.

#![expect(
    clippy::inline_always,
    reason = "code takes the instruction set of the function it is inlined into"
)]

use std::cell::Cell;
use std::ops::{AddAssign, Range};

use deeptell_face::RgbImage;
use deeptell_kernels::RowSource;
use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;

/// A non-empty rectangle of whole pixels that lies inside an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Window {
    /// First column.
    pub x: u32,
    /// First row.
    pub y: u32,
    /// Columns, at least 1.
    pub width: u32,
    /// Rows, at least 1.
    pub height: u32,
}

impl Window {
    /// All of `image`.
    pub fn whole(image: &RgbImage) -> Self {
        Self { x: 0, y: 0, width: image.width(), height: image.height() }
    }
}

/// Resamples `window` of `image` to `width x height` by area and normalizes it.
///
/// Output pixel `i` of `n` along a side of `N` pixels is the mean of the input pixels
/// `floor(i N / n) .. ceil((i + 1) N / n)`, enlarging included: `PyTorch`'s adaptive average
/// pool, with which facenet-pytorch resizes. A value `v` becomes `(v - 127.5) / 128`.
///
/// # Shapes
/// The result is three planes, red, green, blue: `[3, height, width]`, in `-1..=1`.
///
/// # Panics
/// When `window` is empty or reaches out of `image`, or `width` or `height` is 0.
pub fn resample(image: &RgbImage, window: Window, width: usize, height: usize) -> Vec<f32> {
    let mut planes = vec![0.0; 3 * width * height];
    let resampled = Resampled::whole(image, window, [width, height]);
    let mut pixels = vec![0.0; 3 * width];
    for row in 0..height {
        resampled.write_row(row, &mut pixels);
        for (column, pixel) in pixels.as_chunks::<3>().0.iter().enumerate() {
            for (channel, value) in pixel.iter().enumerate() {
                planes[(channel * height + row) * width + column] = *value;
            }
        }
    }
    planes
}

/// `image` shrunk by area until its longer side is `max_side` pixels; `None` when it is not
/// longer anyway.
///
/// It averages areas as the pyramid does: with the triangle filter of `deeptell_face::shrunk`, boxes move by up to a
/// thirtieth of their side, and a search takes almost twice as long.
pub(crate) fn shrunk(image: &RgbImage, max_side: u32) -> Option<RgbImage> {
    let longer = image.width().max(image.height());
    if longer <= max_side || image.width().min(image.height()) == 0 {
        return None;
    }
    let side = |pixels: u32| {
        let exact = f64::from(pixels) * f64::from(max_side) / f64::from(longer);
        (exact.round() as u32).max(1)
    };
    let mut small = RgbImage::new(side(image.width()), side(image.height()));
    let size = [small.width() as usize, small.height() as usize];
    let resampled = Resampled::whole(image, Window::whole(image), size);
    small.par_chunks_mut(3 * size[0]).with_min_len(8).enumerate().for_each(|(row, target)| {
        resampled.write_means(row, target, |mean| (mean + 0.5) as u8);
    });
    Some(small)
}

/// A part of what [`resample`] makes, made row by row with the channels last.
#[derive(Debug)]
pub(crate) struct Resampled<'a> {
    pixels: &'a [u8],
    /// Bytes from one row of the image to the next.
    stride: usize,
    /// The byte with which the part's first column begins in the window's first row.
    first: usize,
    /// Bytes of a row of the image that the part needs.
    length: usize,
    columns: Columns,
    /// The part's rows.
    rows: Range<usize>,
    /// Rows of all of the result, and of the window.
    height: usize,
    window_height: usize,
}

/// Which pixels each column of a part averages. There are only two lengths of span, one pixel
/// apart: a whole number when the sizes divide, and that and the next one otherwise.
#[derive(Debug)]
struct Columns {
    /// The shorter length, in pixels.
    shorter: usize,
    spans: Vec<Span>,
}

#[derive(Debug, Clone, Copy)]
struct Span {
    /// Where the span begins, in bytes from the part's first one.
    start: usize,
    is_longer: bool,
}

impl<'a> Resampled<'a> {
    /// All columns and rows of `window` of `image` at `size` (width, height).
    pub(crate) fn whole(image: &'a RgbImage, window: Window, size: [usize; 2]) -> Self {
        Self::part(image, window, size, 0..size[0], 0..size[1])
    }

    /// Some `columns` and `rows` of it.
    pub(crate) fn part(
        image: &'a RgbImage,
        window: Window,
        [width, height]: [usize; 2],
        columns: Range<usize>,
        rows: Range<usize>,
    ) -> Self {
        assert!(
            window.width > 0
                && window.height > 0
                && u64::from(window.x) + u64::from(window.width) <= u64::from(image.width())
                && u64::from(window.y) + u64::from(window.height) <= u64::from(image.height()),
            "{window:?} does not lie inside of the image"
        );
        assert!(columns.end <= width && rows.end <= height && !columns.is_empty() && !rows.is_empty());
        let span_of = |column| span(column, width, window.width as usize);
        let origin = span_of(columns.start).start;
        let end = span_of(columns.end - 1).end;
        let shorter = columns.clone().map(|column| span_of(column).len()).min().unwrap_or(1);
        let spans = columns.map(|column| {
            let span = span_of(column);
            debug_assert!(span.len() <= shorter + 1);
            Span { start: 3 * (span.start - origin), is_longer: span.len() > shorter }
        });
        let stride = 3 * image.width() as usize;
        Self {
            pixels: image.as_raw(),
            stride,
            first: stride * window.y as usize + 3 * (window.x as usize + origin),
            length: 3 * (end - origin),
            columns: Columns { shorter, spans: spans.collect() },
            rows,
            height,
            window_height: window.height as usize,
        }
    }

    /// Writes row `row` of the part: three values per column, each `finish` of a mean in `0..=255`.
    fn write_means<T: Copy + Default>(&self, row: usize, target: &mut [T], finish: impl Fn(f32) -> T) {
        let lines = span(self.rows.start + row, self.height, self.window_height);
        assert_eq!(target.len(), 3 * self.columns.spans.len(), "length of a row");
        with_sums(self.length + PADDING, |narrow, wide| {
            Arch::new().dispatch(MeansOfRow { part: self, lines, narrow, wide, target, finish });
        });
    }
}

impl RowSource for Resampled<'_> {
    fn write_row(&self, row: usize, target: &mut [f32]) {
        self.write_means(row, target, |mean| (mean - 127.5) * 0.007_812_5);
    }
}

/// The input pixels that output pixel `index` of `output` averages.
fn span(index: usize, output: usize, input: usize) -> Range<usize> {
    index * input / output..((index + 1) * input).div_ceil(output)
}

/// Sums after the last pixel: the longer span of the last column is read even where it is not
/// needed, and each pixel is read with the value after it.
const PADDING: usize = 4;

/// 257 * 255 = 65,535: sixteen bits hold the sum of a column of up to this many rows, in half the time.
const MAX_NARROW_LINES: usize = 257;

thread_local! {
    static SUMS: Cell<(Vec<u16>, Vec<u32>)> = const { Cell::new((Vec::new(), Vec::new())) };
}

/// Lends memory for the sums of `len` columns, which stays with the thread.
fn with_sums<R>(len: usize, work: impl FnOnce(&mut Vec<u16>, &mut Vec<u32>) -> R) -> R {
    let (mut narrow, mut wide) = SUMS.take();
    narrow.resize(len, 0);
    let result = work(&mut narrow, &mut wide);
    SUMS.set((narrow, wide));
    result
}

/// One row of a part, compiled for the vectors that the machine has.
struct MeansOfRow<'a, T, F> {
    part: &'a Resampled<'a>,
    lines: Range<usize>,
    narrow: &'a mut Vec<u16>,
    wide: &'a mut Vec<u32>,
    target: &'a mut [T],
    finish: F,
}

impl<T: Copy + Default, F: Fn(f32) -> T> WithSimd for MeansOfRow<'_, T, F> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let Self { part, lines, narrow, wide, target, finish } = self;
        let rows = lines.len();
        if rows <= MAX_NARROW_LINES {
            part.sum_columns(lines, &mut narrow[..part.length]);
            part.columns.average(narrow, rows, target, finish);
        } else {
            wide.resize(part.length + PADDING, 0);
            part.sum_columns(lines, &mut wide[..part.length]);
            part.columns.average(wide, rows, target, finish);
        }
    }
}

impl Resampled<'_> {
    /// Adds up the rows `lines` of the window, column by column.
    #[inline(always)]
    fn sum_columns<S: Sum>(&self, lines: Range<usize>, sums: &mut [S]) {
        let line = |line: usize| &self.pixels[self.first + line * self.stride..][..self.length];
        let mut next = lines.start;
        // As many rows at once as one pass over the sums can take.
        match lines.len() % 4 {
            1 => set(sums, [line(next)]),
            2 => set(sums, [line(next), line(next + 1)]),
            3 => set(sums, [line(next), line(next + 1), line(next + 2)]),
            _ => set(sums, [line(next), line(next + 1), line(next + 2), line(next + 3)]),
        }
        next += (lines.len() + 3) % 4 + 1;
        while next < lines.end {
            add(sums, [line(next), line(next + 1), line(next + 2), line(next + 3)]);
            next += 4;
        }
    }
}

/// A number that holds a column.
trait Sum: Copy + From<u8> + AddAssign {
    /// A number that holds a span of them.
    type Total: Copy + Default + AddAssign + From<Self>;

    fn total_to_f32(total: Self::Total) -> f32;
}

impl Sum for u16 {
    type Total = u32;

    #[inline(always)]
    fn total_to_f32(total: u32) -> f32 {
        total as f32
    }
}

impl Sum for u32 {
    type Total = u64;

    #[inline(always)]
    fn total_to_f32(total: u64) -> f32 {
        total as f32
    }
}

/// `sums[i]` becomes the sum of byte `i` of all `lines`.
#[inline(always)]
fn set<S: Sum, const N: usize>(sums: &mut [S], lines: [&[u8]; N]) {
    let lines = lines.map(|line| &line[..sums.len()]);
    for (i, sum) in sums.iter_mut().enumerate() {
        let mut value = S::from(lines[0][i]);
        for line in &lines[1..] {
            value += S::from(line[i]);
        }
        *sum = value;
    }
}

/// Byte `i` of all `lines` is added to `sums[i]`.
#[inline(always)]
fn add<S: Sum, const N: usize>(sums: &mut [S], lines: [&[u8]; N]) {
    let lines = lines.map(|line| &line[..sums.len()]);
    for (i, sum) in sums.iter_mut().enumerate() {
        for line in &lines {
            *sum += S::from(line[i]);
        }
    }
}

impl Columns {
    /// Averages the column sums of `rows` rows over each span.
    #[inline(always)]
    fn average<S: Sum, T: Copy + Default>(
        &self,
        sums: &[S],
        rows: usize,
        target: &mut [T],
        finish: impl Fn(f32) -> T,
    ) {
        match self.shorter {
            1 => self.average_spans::<S, T, 1>(sums, rows, target, finish),
            2 => self.average_spans::<S, T, 2>(sums, rows, target, finish),
            3 => self.average_spans::<S, T, 3>(sums, rows, target, finish),
            _ => self.average_spans::<S, T, 0>(sums, rows, target, finish),
        }
    }

    /// The same with the shorter length known as `SHORTER`, or any where that is 0.
    ///
    /// A pixel is its three channels and the value after them, so that it fills a vector.
    #[inline(always)]
    fn average_spans<S: Sum, T: Copy + Default, const SHORTER: usize>(
        &self,
        sums: &[S],
        rows: usize,
        target: &mut [T],
        finish: impl Fn(f32) -> T,
    ) {
        let shorter = if SHORTER == 0 { self.shorter } else { SHORTER };
        let areas = [(rows * shorter) as f32, (rows * (shorter + 1)) as f32];
        for (column, span) in self.spans.iter().enumerate() {
            let mut totals = [S::Total::default(); 4];
            let sums = &sums[span.start..];
            let mut take = |pixel: usize| {
                for (total, sum) in totals.iter_mut().zip(&sums[3 * pixel..][..4]) {
                    *total += S::Total::from(*sum);
                }
            };
            for pixel in 0..shorter {
                take(pixel);
            }
            if span.is_longer {
                take(shorter);
            }
            let area = areas[usize::from(span.is_longer)];
            let values = totals.map(|total| finish(S::total_to_f32(total) / area));
            target[3 * column..][..3].copy_from_slice(&values[..3]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gradient(width: u32, height: u32) -> RgbImage {
        RgbImage::from_fn(width, height, |x, y| {
            image::Rgb([(7 * x + 13 * y) as u8, (x * y) as u8, (251 * x + 3 * y) as u8])
        })
    }

    /// The definition, pixel by pixel in f64.
    fn by_definition(image: &RgbImage, window: Window, width: usize, height: usize) -> Vec<f64> {
        let mut planes = Vec::new();
        for channel in 0..3 {
            for row in 0..height {
                for column in 0..width {
                    let (n, m) = (window.width as f64, window.height as f64);
                    let x0 = (column as f64 * n / width as f64).floor() as u32;
                    let x1 = ((column + 1) as f64 * n / width as f64).ceil() as u32;
                    let y0 = (row as f64 * m / height as f64).floor() as u32;
                    let y1 = ((row + 1) as f64 * m / height as f64).ceil() as u32;
                    let mut total = 0.0;
                    for y in y0..y1 {
                        for x in x0..x1 {
                            total += f64::from(image.get_pixel(window.x + x, window.y + y)[channel]);
                        }
                    }
                    let mean = total / f64::from((x1 - x0) * (y1 - y0));
                    planes.push((mean - 127.5) / 128.0);
                }
            }
        }
        planes
    }

    fn assert_close(found: &[f32], expected: &[f64]) {
        assert_eq!(found.len(), expected.len());
        for (i, (a, b)) in found.iter().zip(expected).enumerate() {
            assert!((f64::from(*a) - b).abs() < 1e-6, "value {i}: {a} instead of {b}");
        }
    }

    #[test]
    fn resample_matches_its_definition() {
        let image = gradient(61, 47);
        let inner = Window { x: 5, y: 9, width: 31, height: 17 };
        for (window, width, height) in [
            (Window::whole(&image), 61, 47),
            (Window::whole(&image), 23, 31),
            (inner, 24, 24),
            (inner, 48, 48),
            (inner, 1, 1),
            (Window { x: 60, y: 46, width: 1, height: 1 }, 24, 24),
        ] {
            let found = resample(&image, window, width, height);
            assert_close(&found, &by_definition(&image, window, width, height));
        }
    }

    #[test]
    fn spans_of_more_than_257_rows_do_not_overflow() {
        let white = RgbImage::from_pixel(3, 2000, image::Rgb([255; 3]));
        for height in [2, 7, 8] {
            let planes = resample(&white, Window::whole(&white), 2, height);
            assert!(planes.iter().all(|&v| v == 127.5 / 128.0), "{planes:?}");
        }
    }

    #[test]
    fn resampled_part_equals_part_of_whole() {
        let image = gradient(90, 70);
        let whole = resample(&image, Window::whole(&image), 40, 30);
        let part = Resampled::part(&image, Window::whole(&image), [40, 30], 7..18, 20..29);
        let mut pixels = [0.0; 3 * 11];
        for row in 0..9 {
            part.write_row(row, &mut pixels);
            for column in 0..11 {
                for channel in 0..3 {
                    let expected = whole[(channel * 30 + row + 20) * 40 + column + 7];
                    assert_eq!(pixels[3 * column + channel], expected);
                }
            }
        }
    }

    #[test]
    fn shrunk_limits_the_longer_side() {
        let image = gradient(200, 90);
        assert!(shrunk(&image, 200).is_none());
        assert!(shrunk(&RgbImage::new(300, 0), 200).is_none());
        let small = shrunk(&image, 64).unwrap();
        assert_eq!(small.dimensions(), (64, 29));
        let means = by_definition(&image, Window::whole(&image), 64, 29);
        for (i, value) in small.as_raw().iter().enumerate() {
            let mean = means[i % 3 * 64 * 29 + i / 3] * 128.0 + 127.5;
            assert!((f64::from(*value) - mean).abs() < 0.501, "value {i}: {value} instead of {mean}");
        }
        assert_eq!(shrunk(&gradient(2, 3000), 64).unwrap().dimensions(), (1, 64));
    }
}
