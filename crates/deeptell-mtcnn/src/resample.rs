//! Area resampling of 8-bit pixels straight into normalised network input.

use std::ops::{AddAssign, Range};

use deeptell_image::RgbImage;
use rayon::prelude::*;

/// A non-empty rectangle of whole pixels that lies inside an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
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

/// Resamples `window` of `image` to `width x height` by area and normalises it.
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
    resample_part(image, window, [width, height], 0..width, 0..height, &mut planes);
    planes
}

/// The columns `columns` and rows `rows` of what [`resample`] makes with `size`
/// (width, height), written to `planes` (`[3, rows, columns]`).
pub(crate) fn resample_part(
    image: &RgbImage,
    window: Window,
    [width, height]: [usize; 2],
    columns: Range<usize>,
    rows: Range<usize>,
    planes: &mut [f32],
) {
    assert!(
        window.width > 0
            && window.height > 0
            && u64::from(window.x) + u64::from(window.width) <= u64::from(image.width())
            && u64::from(window.y) + u64::from(window.height) <= u64::from(image.height()),
        "{window:?} does not lie inside of the image"
    );
    assert!(columns.end <= width && rows.end <= height && !columns.is_empty() && !rows.is_empty());
    let spans: Vec<Range<usize>> = columns.map(|column| span(column, width, window.width as usize)).collect();
    let source = Source {
        pixels: image.as_raw(),
        stride: 3 * image.width() as usize,
        first: 3 * (window.x as usize + spans[0].start),
        length: 3 * (spans[spans.len() - 1].end - spans[0].start),
    };
    let (red, rest) = planes.split_at_mut(rows.len() * spans.len());
    let (green, blue) = rest.split_at_mut(rows.len() * spans.len());
    red.par_chunks_mut(spans.len())
        .zip(green.par_chunks_mut(spans.len()))
        .zip(blue.par_chunks_mut(spans.len()))
        .zip(rows)
        .with_min_len(8)
        .for_each_init(
            || (vec![0u16; source.length], vec![0u32; source.length]),
            |(narrow, wide), (((red, green), blue), row)| {
                let span = span(row, height, window.height as usize);
                let lines = window.y as usize + span.start..window.y as usize + span.end;
                // 257 * 255 = 65,535: up to there sixteen bits hold a column, in half the time.
                if lines.len() <= 257 {
                    source.sum_columns(lines.clone(), narrow);
                    average(narrow, lines.len(), &spans, [red, green, blue]);
                } else {
                    source.sum_columns(lines.clone(), wide);
                    average(wide, lines.len(), &spans, [red, green, blue]);
                }
            },
        );
}

/// The input pixels that output pixel `index` of `output` averages.
fn span(index: usize, output: usize, input: usize) -> Range<usize> {
    index * input / output..((index + 1) * input).div_ceil(output)
}

/// The interleaved bytes that a part is made of: `length` of them from `first` in each row.
struct Source<'a> {
    pixels: &'a [u8],
    stride: usize,
    first: usize,
    length: usize,
}

impl Source<'_> {
    /// Adds up the rows `lines`, column by column.
    fn sum_columns<S: Copy + From<u8> + AddAssign>(&self, lines: Range<usize>, sums: &mut [S]) {
        sums.fill(S::from(0));
        for line in lines {
            let start = line * self.stride + self.first;
            for (sum, &value) in sums.iter_mut().zip(&self.pixels[start..start + self.length]) {
                *sum += S::from(value);
            }
        }
    }
}

/// Averages the column sums of `lines` rows over each span and normalises.
fn average<S: Copy + Into<u64>>(
    sums: &[S],
    lines: usize,
    spans: &[Range<usize>],
    [red, green, blue]: [&mut [f32]; 3],
) {
    let origin = spans[0].start;
    for (column, span) in spans.iter().enumerate() {
        let mut totals = [0u64; 3];
        for pixel in sums[3 * (span.start - origin)..3 * (span.end - origin)].chunks_exact(3) {
            totals[0] += pixel[0].into();
            totals[1] += pixel[1].into();
            totals[2] += pixel[2].into();
        }
        let area = (lines * span.len()) as f32;
        let [r, g, b] = totals.map(|total| (total as f32 / area - 127.5) * 0.007_812_5);
        (red[column], green[column], blue[column]) = (r, g, b);
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
    fn shrinking_enlarging_and_windows_follow_the_definition() {
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
    fn a_part_is_the_part_of_the_whole() {
        let image = gradient(90, 70);
        let whole = resample(&image, Window::whole(&image), 40, 30);
        let mut part = vec![0.0; 3 * 11 * 9];
        resample_part(&image, Window::whole(&image), [40, 30], 7..18, 20..29, &mut part);
        for channel in 0..3 {
            for row in 0..9 {
                for column in 0..11 {
                    let expected = whole[(channel * 30 + row + 20) * 40 + column + 7];
                    assert_eq!(part[(channel * 9 + row) * 11 + column], expected);
                }
            }
        }
    }
}
