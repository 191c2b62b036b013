//! How a region that is put into a picture joins it, and what a generator leaves in that region.

use image::{GrayImage, Luma, Rgb, RgbImage};
use rand::Rng;
use serde::{Deserialize, Serialize};

use crate::degrade::jpeg;
use crate::random::{happens, signed, within};
use crate::resample::resample;

/// How the edge of a blended region is hidden.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Seam {
    /// A weighted mean of both pictures, the weights falling off smoothly at the edge.
    Alpha,
    /// The region is shifted in color, smoothly over its whole area, so that it meets the picture
    /// around it without a step: gradient-domain cloning with a membrane (Pérez et al. 2003,
    /// "Poisson Image Editing", section 2, in the form of equation 4).
    Gradient,
    /// Coarse detail is mixed over a wide band and fine detail over a narrow one (Burt and Adelson
    /// 1983, "A Multiresolution Spline With Application to Image Mosaics", section 3).
    Pyramid,
}

impl Seam {
    /// All kinds, in the order of [`SelfBlend::seam_weights`](crate::SelfBlend::seam_weights).
    pub const ALL: [Self; 3] = [Self::Alpha, Self::Gradient, Self::Pyramid];

    /// Joins `source` to `target`, both of the size of `mask`, whose values are 0 (all target) to
    /// 255 (all source).
    pub(crate) fn join(self, target: &RgbImage, source: &RgbImage, mask: &GrayImage) -> RgbImage {
        match self {
            Self::Alpha => alpha(target, source, mask),
            Self::Gradient => alpha(target, &level_with(source, target, mask), mask),
            Self::Pyramid => pyramid(target, source, mask),
        }
    }
}

fn alpha(target: &RgbImage, source: &RgbImage, mask: &GrayImage) -> RgbImage {
    let mut result = target.clone();
    for ((value, source), &Luma([alpha])) in result.pixels_mut().zip(source.pixels()).zip(mask.pixels()) {
        for (value, other) in value.0.iter_mut().zip(source.0) {
            let mixed = u32::from(other) * u32::from(alpha) + u32::from(*value) * u32::from(255 - alpha);
            *value = ((mixed + 127) / 255) as u8;
        }
    }
    result
}

/// `source` plus the smoothest field that makes it equal to `target` wherever the mask is 0.
fn level_with(source: &RgbImage, target: &RgbImage, mask: &GrayImage) -> RgbImage {
    let difference = source
        .pixels()
        .zip(target.pixels())
        .map(|(s, t)| std::array::from_fn(|c| f32::from(t.0[c]) - f32::from(s.0[c])))
        .collect();
    let known = mask.iter().map(|&alpha| alpha == 0).collect();
    let field =
        Field { width: mask.width() as usize, height: mask.height() as usize, values: difference, known };
    let mut result = source.clone();
    for (pixel, shift) in result.pixels_mut().zip(field.solved().values) {
        for (value, shift) in pixel.0.iter_mut().zip(shift) {
            *value = (f32::from(*value) + shift + 0.5) as u8;
        }
    }
    result
}

/// Values on a grid, some known.
struct Field {
    width: usize,
    height: usize,
    values: Vec<[f32; 3]>,
    known: Vec<bool>,
}

impl Field {
    /// Fills the unknown values with a solution of Laplace's equation, from coarse to fine: each
    /// level starts from the one below it and is relaxed by a few sweeps.
    fn solved(mut self) -> Self {
        if self.known.iter().all(|known| *known) {
            return self;
        }
        if self.width <= 2 || self.height <= 2 {
            // Too small to relax; the mean of what is known, or nothing.
            let (mut sum, mut count) = ([0.0; 3], 0.0f32);
            for (value, _) in self.values.iter().zip(&self.known).filter(|(_, known)| **known) {
                (0..3).for_each(|c| sum[c] += value[c]);
                count += 1.0;
            }
            let mean = sum.map(|v| v / count.max(1.0));
            for (value, _) in self.values.iter_mut().zip(&self.known).filter(|(_, known)| !**known) {
                *value = mean;
            }
            return self;
        }
        let coarse = self.halved().solved();
        for y in 0..self.height {
            for x in 0..self.width {
                let at = y * self.width + x;
                if !self.known[at] {
                    self.values[at] = coarse.values[(y / 2) * coarse.width + x / 2];
                }
            }
        }
        for _ in 0..SWEEPS {
            self.relax();
        }
        self
    }

    /// A grid of half the size; a cell is known where one of its four is, with the mean of those.
    fn halved(&self) -> Self {
        let (width, height) = (self.width.div_ceil(2), self.height.div_ceil(2));
        let mut half = Self {
            width,
            height,
            values: vec![[0.0; 3]; width * height],
            known: vec![false; width * height],
        };
        let mut counts = vec![0.0f32; width * height];
        for y in 0..self.height {
            for x in 0..self.width {
                let (from, to) = (y * self.width + x, (y / 2) * width + x / 2);
                if self.known[from] {
                    (0..3).for_each(|c| half.values[to][c] += self.values[from][c]);
                    counts[to] += 1.0;
                }
            }
        }
        for ((value, known), count) in half.values.iter_mut().zip(&mut half.known).zip(counts) {
            if count > 0.0 {
                *value = value.map(|v| v / count);
                *known = true;
            }
        }
        half
    }

    /// One Gauss-Seidel sweep: each unknown value becomes the mean of its neighbors.
    fn relax(&mut self) {
        let (width, height) = (self.width, self.height);
        for y in 0..height {
            for x in 0..width {
                let at = y * width + x;
                if self.known[at] {
                    continue;
                }
                let (mut sum, mut count) = ([0.0; 3], 0.0);
                let mut add = |neighbor: usize| {
                    (0..3).for_each(|c| sum[c] += self.values[neighbor][c]);
                    count += 1.0;
                };
                if x > 0 {
                    add(at - 1);
                }
                if x + 1 < width {
                    add(at + 1);
                }
                if y > 0 {
                    add(at - width);
                }
                if y + 1 < height {
                    add(at + width);
                }
                self.values[at] = sum.map(|v| v / count);
            }
        }
    }
}

/// Relaxation sweeps per level of [`Field::solved`].
const SWEEPS: usize = 6;

/// A plane of four channels: three colors, and the mask from 0 to 1.
#[derive(Clone)]
struct Plane {
    width: usize,
    height: usize,
    values: Vec<[f32; 4]>,
}

impl Plane {
    fn new(image: &RgbImage, mask: &GrayImage) -> Self {
        let values = image
            .pixels()
            .zip(mask.iter())
            .map(|(p, &m)| [p.0[0].into(), p.0[1].into(), p.0[2].into(), f32::from(m) / 255.0])
            .collect();
        Self { width: image.width() as usize, height: image.height() as usize, values }
    }

    /// Half the size, after a binomial filter of five taps; edges are repeated.
    fn reduced(&self) -> Self {
        let (width, height) = (self.width.div_ceil(2), self.height.div_ceil(2));
        let tap =
            |center: usize, offset: usize, length: usize| (center + offset).saturating_sub(2).min(length - 1);
        let mut rows = vec![[0.0; 4]; width * self.height];
        for y in 0..self.height {
            for x in 0..width {
                let sum = &mut rows[y * width + x];
                for (offset, weight) in BINOMIAL.into_iter().enumerate() {
                    let value = self.values[y * self.width + tap(2 * x, offset, self.width)];
                    (0..4).for_each(|c| sum[c] += weight * value[c]);
                }
            }
        }
        let mut values = vec![[0.0; 4]; width * height];
        for y in 0..height {
            for (offset, weight) in BINOMIAL.into_iter().enumerate() {
                let row = tap(2 * y, offset, self.height) * width;
                for x in 0..width {
                    (0..4).for_each(|c| values[y * width + x][c] += weight * rows[row + x][c]);
                }
            }
        }
        Self { width, height, values }
    }

    /// Enlarged to `width` x `height`, at most twice its size, bilinearly.
    fn expanded(&self, width: usize, height: usize) -> Self {
        let axis = |i: usize, length: usize| {
            let at = i as f32 / 2.0;
            let first = (at as usize).min(length - 1);
            (first, (first + 1).min(length - 1), at - at.floor())
        };
        let mut values = Vec::with_capacity(width * height);
        for y in 0..height {
            let (top, bottom, v) = axis(y, self.height);
            for x in 0..width {
                let (left, right, u) = axis(x, self.width);
                let at = |x: usize, y: usize| self.values[y * self.width + x];
                let [a, b, c, d] = [at(left, top), at(right, top), at(left, bottom), at(right, bottom)];
                values.push(std::array::from_fn(|i| {
                    (1.0 - v) * ((1.0 - u) * a[i] + u * b[i]) + v * ((1.0 - u) * c[i] + u * d[i])
                }));
            }
        }
        Self { width, height, values }
    }
}

const BINOMIAL: [f32; 5] = [1.0 / 16.0, 4.0 / 16.0, 6.0 / 16.0, 4.0 / 16.0, 1.0 / 16.0];

/// Levels of the pyramid; the coarsest has pixels of 8 x 8.
const LEVELS: usize = 4;
/// Within this many pixels of the edge of the rectangle the result fades to the target, because the
/// coarse levels reach beyond it.
const FADE: u32 = 10;

fn pyramid(target: &RgbImage, source: &RgbImage, mask: &GrayImage) -> RgbImage {
    let mut levels = vec![(Plane::new(target, mask), Plane::new(source, mask))];
    while levels.len() < LEVELS {
        let (target, source) = &levels[levels.len() - 1];
        if target.width.min(target.height) < 8 {
            break;
        }
        levels.push((target.reduced(), source.reduced()));
    }
    let mix = |target: [f32; 4], source: [f32; 4], mask: f32| -> [f32; 4] {
        std::array::from_fn(|c| target[c] + mask * (source[c] - target[c]))
    };
    let Some((target_top, source_top)) = levels.pop() else { return target.clone() };
    let mut sum = target_top.clone();
    for (value, source) in sum.values.iter_mut().zip(&source_top.values) {
        *value = mix(*value, *source, source[3]);
    }
    let (mut coarse_target, mut coarse_source) = (target_top, source_top);
    while let Some((fine_target, fine_source)) = levels.pop() {
        let (width, height) = (fine_target.width, fine_target.height);
        let below_target = coarse_target.expanded(width, height);
        let below_source = coarse_source.expanded(width, height);
        sum = sum.expanded(width, height);
        for (i, value) in sum.values.iter_mut().enumerate() {
            let detail = |fine: &Plane, below: &Plane| -> [f32; 4] {
                std::array::from_fn(|c| fine.values[i][c] - below.values[i][c])
            };
            let mixed = mix(
                detail(&fine_target, &below_target),
                detail(&fine_source, &below_source),
                fine_source.values[i][3],
            );
            (0..4).for_each(|c| value[c] += mixed[c]);
        }
        (coarse_target, coarse_source) = (fine_target, fine_source);
    }
    let (width, height) = target.dimensions();
    let mut result = target.clone();
    for ((x, y, pixel), value) in result.enumerate_pixels_mut().zip(&sum.values) {
        let from_edge = x.min(y).min(width - 1 - x).min(height - 1 - y);
        let weight = (from_edge as f32 / FADE as f32).min(1.0);
        for (old, new) in pixel.0.iter_mut().zip(value) {
            let old_value = f32::from(*old);
            *old = (old_value + weight * (new - old_value) + 0.5) as u8;
        }
    }
    result
}

/// Gives a region what generators and editors leave in theirs: a round of JPEG of its own, or the
/// periodic traces of learned upsampling (Odena et al. 2016, "Deconvolution and Checkerboard
/// Artifacts"; Frank et al. 2020, "Leveraging Frequency Analysis for Deep Fake Image Recognition",
/// section 4).
pub(crate) fn leave_trace(image: &RgbImage, rng: &mut impl Rng) -> RgbImage {
    if happens(rng, 0.4) {
        return jpeg(image, within(rng, [40.0, 92.0]) as u8);
    }
    let mut kernels = [[[0.0; 3]; 3]; 4];
    for (phase, kernel) in kernels.iter_mut().enumerate() {
        *kernel = upsampling_kernel(phase, rng);
    }
    let (width, height) = image.dimensions();
    if width < 4 || height < 4 {
        return image.clone();
    }
    let small = resample(image, 2.0, width.div_ceil(2), height.div_ceil(2));
    RgbImage::from_fn(width, height, |x, y| {
        let kernel = &kernels[(x % 2 + 2 * (y % 2)) as usize];
        let mut sum = [0.5f32; 3];
        for (row, weights) in kernel.iter().enumerate() {
            for (column, weight) in weights.iter().enumerate() {
                let at = |i: u32, offset: usize, length: u32| {
                    (i64::from(i / 2) + offset as i64 - 1).clamp(0, i64::from(length) - 1) as u32
                };
                let pixel = small.get_pixel(at(x, column, small.width()), at(y, row, small.height()));
                (0..3).for_each(|c| sum[c] += weight * f32::from(pixel.0[c]));
            }
        }
        Rgb(sum.map(|v| v as u8))
    })
}

/// Weights for one of the four positions within a doubled pixel: bilinear, each a little off, and a
/// sum a little off 1.
fn upsampling_kernel(phase: usize, rng: &mut impl Rng) -> [[f32; 3]; 3] {
    let axis = |odd: bool| if odd { [0.0, 0.75, 0.25] } else { [0.25, 0.75, 0.0] };
    let (along_x, along_y) = (axis(phase % 2 == 1), axis(phase / 2 == 1));
    let mut kernel: [[f32; 3]; 3] =
        std::array::from_fn(|row| std::array::from_fn(|column| along_y[row] * along_x[column]));
    kernel.iter_mut().flatten().for_each(|weight| *weight += signed(rng, 0.06));
    let sum: f32 = kernel.iter().flatten().sum();
    let wanted = 1.0 + signed(rng, 0.02);
    kernel.iter_mut().flatten().for_each(|weight| *weight *= wanted / sum);
    kernel
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;

    use super::*;

    fn flat(level: u8) -> RgbImage {
        RgbImage::from_pixel(80, 64, Rgb([level; 3]))
    }

    /// 255 in the middle, 0 outside, hard edges.
    fn square() -> GrayImage {
        GrayImage::from_fn(80, 64, |x, y| {
            Luma([if (24..56).contains(&x) && (20..44).contains(&y) { 255 } else { 0 }])
        })
    }

    /// Steps across the left edge of the square.
    fn step(image: &RgbImage) -> i32 {
        i32::from(image.get_pixel(24, 32).0[0]) - i32::from(image.get_pixel(23, 32).0[0])
    }

    #[test]
    fn gradient_seam_removes_level_difference_and_keeps_texture() {
        let source = RgbImage::from_fn(80, 64, |x, y| Rgb([(150 + (x + y) % 2 * 20) as u8; 3]));
        let joined = Seam::Gradient.join(&flat(90), &source, &square());
        let (mut low, mut high) = (255, 0);
        for y in 22..42 {
            for x in 26..54 {
                let value = joined.get_pixel(x, y).0[0];
                (low, high) = (low.min(value), high.max(value));
            }
        }
        assert!((high - low).abs_diff(20) <= 6, "{low} {high}");
        assert!(low >= 74 && high <= 106, "{low} {high}");
        assert_eq!(joined.get_pixel(5, 5).0, [90; 3]);
    }

    #[test]
    fn gradient_seam_follows_a_slope() {
        let target = RgbImage::from_fn(80, 64, |x, _| Rgb([(60 + x) as u8; 3]));
        let joined = Seam::Gradient.join(&target, &flat(200), &square());
        for (x, y) in [(28, 30), (40, 32), (52, 25)] {
            let (value, expected) = (joined.get_pixel(x, y).0[0], target.get_pixel(x, y).0[0]);
            assert!(value.abs_diff(expected) <= 3, "{value} for {expected}");
        }
    }

    #[test]
    fn pyramid_seam_has_no_step_and_keeps_the_source_inside() {
        let joined = Seam::Pyramid.join(&flat(60), &flat(180), &square());
        assert_eq!(step(&Seam::Alpha.join(&flat(60), &flat(180), &square())), 120);
        assert!(step(&joined) < 40, "{}", step(&joined));
        assert!(joined.get_pixel(40, 32).0[0] > 160);
        assert_eq!(joined.get_pixel(0, 0).0, [60; 3]);
    }

    #[test]
    fn joining_equal_pictures_changes_nothing() {
        let image = RgbImage::from_fn(80, 64, |x, y| Rgb([(x * 3) as u8, (y * 3) as u8, (x * y) as u8]));
        for seam in Seam::ALL {
            let joined = seam.join(&image, &image, &square());
            assert!(joined.iter().zip(image.iter()).all(|(a, b)| a.abs_diff(*b) <= 1), "{seam:?}");
        }
    }

    #[test]
    fn tiny_and_full_masks_do_not_panic() {
        for (width, height) in [(1, 1), (1, 7), (3, 2), (9, 9)] {
            let image = RgbImage::from_pixel(width, height, Rgb([9, 99, 199]));
            for level in [0, 255] {
                let mask = GrayImage::from_pixel(width, height, Luma([level]));
                for seam in Seam::ALL {
                    assert_eq!(seam.join(&image, &image, &mask).dimensions(), (width, height));
                }
            }
            assert_eq!(leave_trace(&image, &mut ChaCha8Rng::seed_from_u64(1)).dimensions(), (width, height));
        }
    }

    #[test]
    fn traces_change_detail_and_keep_the_level() {
        let image = RgbImage::from_fn(64, 64, |x, y| Rgb([(100 + (x * 5 + y * 3) % 40) as u8; 3]));
        let mean = |i: &RgbImage| i.iter().map(|&v| f64::from(v)).sum::<f64>() / i.len() as f64;
        for seed in 0..20 {
            let traced = leave_trace(&image, &mut ChaCha8Rng::seed_from_u64(seed));
            assert_ne!(traced, image);
            assert!((mean(&traced) - mean(&image)).abs() < 4.0, "{seed}");
        }
    }
}
