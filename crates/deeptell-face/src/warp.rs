use image::RgbImage;

use crate::{Point, Similarity};

/// Samples `image` under a similarity transform: the pixel of the result whose center is at
/// `p` shows `image` at `image_from_crop.apply(p)`.
///
/// Bilinear; when the transform shrinks the image, each pixel averages a grid of
/// `ceil(scale)^2` samples, so that fine detail is not aliased. Beyond the image its edge
/// pixels are repeated, because a black border would show a network how the face was framed.
///
/// # Panics
/// When `image` is empty (0 pixels wide or high).
pub fn warp(image: &RgbImage, image_from_crop: &Similarity, width: u32, height: u32) -> RgbImage {
    let grid = Grid::new(image_from_crop.scale());
    let place = |p: Point| image_from_crop.apply(p);
    if image_from_crop.b == 0.0 {
        sample_upright(image, place, grid, width, height)
    } else {
        sample(image, place, grid, width, height)
    }
}

/// [`warp`] after a stretch: the result shows what `image_from_crop` shows, made `stretch` times
/// as wide and left as high, about the middle of the result. Below 1 it becomes narrower.
///
/// # Panics
/// When `image` is empty (0 pixels wide or high).
pub fn warp_stretched(
    image: &RgbImage,
    image_from_crop: &Similarity,
    stretch: f32,
    width: u32,
    height: u32,
) -> RgbImage {
    let middle = 0.5 * width as f32;
    let narrowed = |p: Point| Point::new(middle + (p.x - middle) / stretch, p.y);
    let grid = Grid::new(image_from_crop.scale() * stretch.recip().max(1.0));
    let place = |p: Point| image_from_crop.apply(narrowed(p));
    if image_from_crop.b == 0.0 {
        sample_upright(image, place, grid, width, height)
    } else {
        sample(image, place, grid, width, height)
    }
}

/// The samples that a pixel of the result averages, along each axis.
#[derive(Debug, Clone, Copy)]
struct Grid(u32);

impl Grid {
    /// For `scale` pixels of the image a pixel of the result. Up to 8x shrinkage is averaged exactly
    /// enough; beyond that the grid stays at 8 x 8.
    fn new(scale: f32) -> Self {
        Self((scale - 1e-3).ceil().clamp(1.0, 8.0) as u32)
    }

    /// Where sample `number` lies, counted along an axis over all pixels.
    fn at(self, number: u32) -> f32 {
        (number / self.0) as f32 + ((number % self.0) as f32 + 0.5) / self.0 as f32
    }
}

/// [`sample`] where columns stay columns and rows stay rows: rows are blended first, many values at
/// once, and the places of the columns are found only once.
fn sample_upright(
    image: &RgbImage,
    place: impl Fn(Point) -> Point,
    grid: Grid,
    width: u32,
    height: u32,
) -> RgbImage {
    assert!(image.width() > 0 && image.height() > 0, "cannot sample an image without pixels");
    let stride = image.width() as usize * 3;
    let along = |length: u32, side: u32, at: &dyn Fn(f32) -> f32| -> Vec<Interpolation> {
        (0..length * grid.0).map(|number| Interpolation::new(at(grid.at(number)), side)).collect()
    };
    let columns = along(width, image.width(), &|x| place(Point::new(x, 0.0)).x);
    let rows = along(height, image.height(), &|y| place(Point::new(0.0, y)).y);
    let from = columns.iter().map(|column| column.first).min().unwrap_or(0);
    let to = columns.iter().map(|column| column.second + 1).max().unwrap_or(0);
    let grid = grid.0 as usize;
    let weight = 1.0 / (grid * grid) as f32;
    let mut line = vec![0.0_f32; (to - from) * 3];
    let mut sums = vec![[0.0_f32; 3]; width as usize];
    let mut out = RgbImage::new(width, height);
    for (rows, target) in rows.chunks_exact(grid).zip(out.rows_mut()) {
        sums.fill([0.0; 3]);
        for row in rows {
            let [upper, lower] = [row.first, row.second]
                .map(|row| &image.as_raw()[row * stride + from * 3..][..(to - from) * 3]);
            for ((value, upper), lower) in line.iter_mut().zip(upper).zip(lower) {
                *value = f32::from(*upper) + row.share * (f32::from(*lower) - f32::from(*upper));
            }
            let cells = line.as_chunks::<3>().0;
            for (sum, columns) in sums.iter_mut().zip(columns.chunks_exact(grid)) {
                for column in columns {
                    let (left, right) = (cells[column.first - from], cells[column.second - from]);
                    for channel in 0..3 {
                        sum[channel] += left[channel] + column.share * (right[channel] - left[channel]);
                    }
                }
            }
        }
        for (pixel, sum) in target.zip(&sums) {
            pixel.0 = sum.map(|sum| (sum * weight + 0.5) as u8);
        }
    }
    out
}

/// Between two neighboring pixels along one axis.
#[derive(Debug, Clone, Copy)]
struct Interpolation {
    first: usize,
    second: usize,
    /// Of the second, in `0..1`.
    share: f32,
}

impl Interpolation {
    /// The place `at` in continuous coordinates on an axis of `side` pixels, the ends repeated.
    fn new(at: f32, side: u32) -> Self {
        let last = side - 1;
        // Pixel centers are at half integers. max() first: it turns NaN into 0.
        let at = (at - 0.5).max(0.0).min(last as f32);
        let first = at as usize;
        Self { first, second: (first + 1).min(last as usize), share: at - first as f32 }
    }
}

/// The pixels of the result at the places that `place` gives, each the mean over a grid.
fn sample(image: &RgbImage, place: impl Fn(Point) -> Point, grid: Grid, width: u32, height: u32) -> RgbImage {
    assert!(image.width() > 0 && image.height() > 0, "cannot sample an image without pixels");
    let source = Sampler::new(image);
    let weight = 1.0 / (grid.0 * grid.0) as f32;
    let mut out = RgbImage::new(width, height);
    for (y, row) in out.rows_mut().enumerate() {
        for (x, pixel) in row.enumerate() {
            let mut sum = [0.0f32; 3];
            for sub_y in 0..grid.0 {
                for sub_x in 0..grid.0 {
                    let p =
                        Point::new(grid.at(x as u32 * grid.0 + sub_x), grid.at(y as u32 * grid.0 + sub_y));
                    let value = source.at(place(p));
                    for (s, v) in sum.iter_mut().zip(value) {
                        *s += v;
                    }
                }
            }
            pixel.0 = sum.map(|s| (s * weight + 0.5) as u8);
        }
    }
    out
}

struct Sampler<'a> {
    data: &'a [u8],
    stride: usize,
    last_x: f32,
    last_y: f32,
}

impl<'a> Sampler<'a> {
    fn new(image: &'a RgbImage) -> Self {
        Self {
            data: image.as_raw(),
            stride: image.width() as usize * 3,
            last_x: (image.width() - 1) as f32,
            last_y: (image.height() - 1) as f32,
        }
    }

    /// Bilinear value at a point in continuous coordinates, edges repeated; 0 to 255.
    #[inline]
    fn at(&self, p: Point) -> [f32; 3] {
        // Pixel centers are at half integers. max() first: it turns NaN into 0.
        let x = (p.x - 0.5).max(0.0).min(self.last_x);
        let y = (p.y - 0.5).max(0.0).min(self.last_y);
        let (left, top) = (x as usize, y as usize);
        let right = (left + 1).min(self.last_x as usize);
        let bottom = (top + 1).min(self.last_y as usize);
        let (fx, fy) = (x - left as f32, y - top as f32);
        let (upper, lower) = (top * self.stride, bottom * self.stride);
        std::array::from_fn(|c| {
            let value = |offset: usize| f32::from(self.data[offset + c]);
            let (l, r) = (left * 3, right * 3);
            let above = value(upper + l) + fx * (value(upper + r) - value(upper + l));
            let below = value(lower + l) + fx * (value(lower + r) - value(lower + l));
            above + fy * (below - above)
        })
    }
}

#[cfg(test)]
mod tests {
    use image::Rgb;

    use super::*;

    fn gradient() -> RgbImage {
        RgbImage::from_fn(32, 16, |x, y| Rgb([(x * 8) as u8, (y * 16) as u8, 77]))
    }

    #[test]
    fn identity_warp_leaves_pixels_unchanged() {
        assert_eq!(warp(&gradient(), &Similarity::identity(), 32, 16), gradient());
    }

    #[test]
    fn a_shift_moves_whole_pixels() {
        let shift = Similarity { tx: 5.0, ty: 2.0, ..Similarity::identity() };
        let out = warp(&gradient(), &shift, 8, 8);
        assert_eq!(out.get_pixel(0, 0), gradient().get_pixel(5, 2));
        assert_eq!(out.get_pixel(7, 7), gradient().get_pixel(12, 9));
    }

    #[test]
    fn shrinking_averages_what_it_covers() {
        let checks = RgbImage::from_fn(64, 64, |x, y| Rgb([((x + y) % 2 * 255) as u8; 3]));
        let half = Similarity { a: 2.0, ..Similarity::identity() };
        let out = warp(&checks, &half, 32, 32);
        assert!(out.pixels().all(|p| (i16::from(p.0[0]) - 127).abs() <= 1));
    }

    #[test]
    fn beyond_the_image_its_edge_is_repeated() {
        let far = Similarity { tx: -1e6, ty: 1e6, ..Similarity::identity() };
        let out = warp(&gradient(), &far, 4, 4);
        assert!(out.pixels().all(|p| p == gradient().get_pixel(0, 15)));
    }

    #[test]
    fn upright_pictures_are_sampled_like_all_others() {
        let image = RgbImage::from_fn(53, 41, |x, y| {
            Rgb([(x * 71 + y * 131 + x * y * 17) as u8, (x * 3) as u8, y as u8])
        });
        for (a, tx, ty) in
            [(1.0, 0.0, 0.0), (0.3, 5.2, 7.7), (1.7, -9.0, 3.3), (3.4, -20.0, 11.0), (-1.3, 50.0, 40.0)]
        {
            let upright = Similarity { a, tx, ty, ..Similarity::identity() };
            let grid = Grid::new(upright.scale());
            let place = |p: Point| upright.apply(p);
            let quick = sample_upright(&image, place, grid, 33, 27);
            let slow = sample(&image, place, grid, 33, 27);
            // A value on the verge of two levels may fall to either side.
            let apart = quick.iter().zip(slow.iter()).map(|(a, b)| a.abs_diff(*b)).max();
            assert!(apart <= Some(1), "{upright:?}: {apart:?}");
            let differ = quick.iter().zip(slow.iter()).filter(|(a, b)| a != b).count();
            assert!(differ < 10, "{upright:?}: {differ}");
        }
        assert_eq!(warp(&image, &Similarity::identity(), 0, 5).dimensions(), (0, 5));
        let nowhere = Similarity { tx: f32::NAN, ..Similarity::identity() };
        assert_eq!(warp(&image, &nowhere, 3, 3).dimensions(), (3, 3));
    }

    #[test]
    fn a_stretch_widens_about_the_middle() {
        let identity = Similarity::identity();
        assert_eq!(warp_stretched(&gradient(), &identity, 1.0, 32, 16), gradient());
        let wide = warp_stretched(&gradient(), &identity, 2.0, 32, 16);
        // Pixel center 0.5 shows column 16 - 15.5 / 2 = 8.25 in edges, 7.75 in pixels; rows stay.
        for (x, y) in [(0, 0), (31, 15)] {
            let from = 16.0 + (x as f32 + 0.5 - 16.0) / 2.0;
            let expected = gradient().get_pixel((from - 0.5).round() as u32, y).0;
            let found = wide.get_pixel(x, y).0;
            assert!(found.iter().zip(expected).all(|(a, b)| a.abs_diff(b) <= 8), "{found:?} {expected:?}");
        }
        let narrow = warp_stretched(&gradient(), &identity, 0.5, 32, 16);
        assert_eq!(narrow.get_pixel(0, 3), narrow.get_pixel(4, 3), "beyond the edge the edge is repeated");
    }
}
