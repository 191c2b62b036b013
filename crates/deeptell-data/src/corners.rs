//! The corners of a face crop: background, or hair, and never the part that a swap replaces.

use image::{GenericImageView as _, Rgb, RgbImage, SubImage, imageops};

/// Side of a corner over the shorter side of the picture.
const SHARE: u32 = 8;

/// Takes the place of everything else.
const GREY: Rgb<u8> = Rgb([128; 3]);

/// Left, top and side of each corner, in pixels.
fn squares(image: &RgbImage) -> [[u32; 3]; 4] {
    let (width, height) = image.dimensions();
    let side = (width.min(height) / SHARE).max(1);
    let (right, bottom) = (width.saturating_sub(side), height.saturating_sub(side));
    [[0, 0, side], [right, 0, side], [0, bottom, side], [right, bottom, side]]
}

/// The picture with only its four corners left, each an eighth of the shorter side wide,
/// on gray: a detector that still distinguishes real from fake has learned something other than faces.
///
/// ```
/// let picture = image::RgbImage::from_pixel(80, 80, image::Rgb([9; 3]));
/// let corners = deeptell_data::keep_corners(&picture);
/// assert_eq!((corners.get_pixel(9, 9).0, corners.get_pixel(10, 9).0), ([9; 3], [128; 3]));
/// ```
pub fn keep_corners(image: &RgbImage) -> RgbImage {
    let mut kept = RgbImage::from_pixel(image.width(), image.height(), GREY);
    if !image.is_empty() {
        for [left, top, side] in squares(image) {
            imageops::replace(&mut kept, &*image.view(left, top, side, side), left.into(), top.into());
        }
    }
    kept
}

/// For each corner: the mean and the standard deviation of each channel, in levels of 255, and the
/// logarithm of the mean absolute step between neighbors.
pub(crate) fn corner_statistics(image: &RgbImage) -> Vec<f64> {
    if image.is_empty() {
        return vec![0.0; 4 * 7];
    }
    squares(image)
        .into_iter()
        .flat_map(|[left, top, side]| statistics(&image.view(left, top, side, side)))
        .collect()
}

fn statistics(corner: &SubImage<&RgbImage>) -> Vec<f64> {
    let count = f64::from(corner.width() * corner.height());
    let mean_of =
        |value: &dyn Fn([u8; 3]) -> f64| corner.pixels().map(|(_, _, p)| value(p.0)).sum::<f64>() / count;
    let means: Vec<f64> = (0..3).map(|channel| mean_of(&|p| f64::from(p[channel]))).collect();
    let deviations =
        (0..3).map(|channel| mean_of(&|p| (f64::from(p[channel]) - means[channel]).powi(2)).sqrt());
    let (mut steps, mut step_count) = (0.0, 0_u32);
    for (x, y, pixel) in corner.pixels() {
        let neighbors = [(x + 1, y), (x, y + 1)];
        for (x, y) in neighbors.into_iter().filter(|&(x, y)| corner.in_bounds(x, y)) {
            steps += (f64::from(pixel.0[1]) - f64::from(corner.get_pixel(x, y).0[1])).abs();
            step_count += 1;
        }
    }
    let roughness = (1.0 + steps / f64::from(step_count.max(1))).ln();
    means.iter().copied().chain(deviations).chain([roughness]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_corners_are_kept_and_measured() {
        let picture = RgbImage::from_fn(64, 40, |x, y| Rgb([(x * 3) as u8, (y * 5) as u8, (x * y) as u8]));
        let kept = keep_corners(&picture);
        let same = kept.enumerate_pixels().filter(|(x, y, p)| picture.get_pixel(*x, *y) == *p).count();
        assert!((100..110).contains(&same), "four squares of five pixels a side: {same}");
        assert_eq!(kept.get_pixel(63, 39), picture.get_pixel(63, 39));
        assert_eq!(corner_statistics(&kept), corner_statistics(&picture));
        assert_eq!(corner_statistics(&picture).len(), 28);

        let mut other = picture.clone();
        other.put_pixel(30, 20, Rgb([255; 3]));
        assert_eq!(corner_statistics(&other), corner_statistics(&picture));
        other.put_pixel(60, 1, Rgb([255; 3]));
        assert_ne!(corner_statistics(&other), corner_statistics(&picture));
    }

    #[test]
    fn the_statistics_are_those_of_the_pixels() {
        // Columns of 10 and 30: mean 20, deviation 10; of ten steps a square two thirds are of 20.
        let stripes = RgbImage::from_fn(16, 16, |x, _| Rgb([10 + (x % 2) as u8 * 20; 3]));
        let corner = &corner_statistics(&stripes)[..7];
        assert_eq!(corner[..6], [20.0, 20.0, 20.0, 10.0, 10.0, 10.0]);
        assert!((corner[6] - 11.0_f64.ln()).abs() < 1e-12, "{corner:?}");
    }

    #[test]
    fn the_smallest_pictures_have_corners_too() {
        for (width, height) in [(0, 0), (1, 1), (3, 9)] {
            let picture = RgbImage::new(width, height);
            assert_eq!(keep_corners(&picture).dimensions(), (width, height));
            assert!(corner_statistics(&picture).iter().all(|value| value.is_finite()));
        }
    }
}
