use image::RgbImage;

/// Taps of the mean filter that the image is blurred with; the paper's choice.
const TAPS: usize = 9;

/// How blurred an image is, from 0, sharp, to 1: the no-reference blur metric of Crété et al. 2007
/// ("The Blur Effect", section 3), on luma.
///
/// The image is blurred again along each axis: a sharp one loses most of the differences between
/// neighboring pixels, a blurred one hardly any. The result is that of the worse axis. Enlarged and
/// strongly compressed pictures count as blurred. An image without differences, or smaller than two
/// pixels, is fully blurred.
pub fn blur_effect(image: &RgbImage) -> f32 {
    let (width, height) = (image.width() as usize, image.height() as usize);
    let luma: Vec<f32> = image
        .pixels()
        .map(|pixel| {
            // ITU-R BT.601.
            let [r, g, b] = pixel.0.map(f32::from);
            0.299 * r + 0.587 * g + 0.114 * b
        })
        .collect();
    let rows = luma.chunks_exact(width.max(1)).map(<[f32]>::to_vec);
    let columns = (0..width).map(|x| (0..height).map(|y| luma[y * width + x]).collect());
    blur_along(rows).max(blur_along(columns))
}

/// Share of the differences between neighbors that stays when every line is blurred.
fn blur_along(lines: impl Iterator<Item = Vec<f32>>) -> f32 {
    let (mut before, mut lost) = (0.0f64, 0.0f64);
    for line in lines {
        let blurred = mean_filter(&line);
        for (sharp, soft) in line.windows(2).zip(blurred.windows(2)) {
            let difference = (sharp[1] - sharp[0]).abs();
            before += f64::from(difference);
            lost += f64::from((difference - (soft[1] - soft[0]).abs()).max(0.0));
        }
    }
    if before > 0.0 { ((before - lost) / before) as f32 } else { 1.0 }
}

/// Mean over [`TAPS`] neighbors, the ends of the line repeated.
fn mean_filter(line: &[f32]) -> Vec<f32> {
    let reach = (TAPS / 2) as isize;
    let at = |i: isize| line[i.clamp(0, line.len() as isize - 1) as usize];
    let mut sum: f32 = (-reach..=reach).map(at).sum();
    (0..line.len() as isize)
        .map(|i| {
            let mean = sum / TAPS as f32;
            sum += at(i + reach + 1) - at(i - reach);
            mean
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use image::{Rgb, imageops};

    use super::*;

    /// Stripes one pixel wide in both directions: as sharp as an image can be.
    fn checks() -> RgbImage {
        RgbImage::from_fn(64, 48, |x, y| Rgb([if (x + y) % 2 == 0 { 40 } else { 220 }; 3]))
    }

    #[test]
    fn blur_of_one_edge_matches_hand_computation() {
        // One step of 90 becomes nine of 10: at the step itself 80 are lost, elsewhere nothing was there to lose.
        let mut line = vec![0.0; 20];
        line.extend(vec![90.0; 20]);
        assert!((blur_along(std::iter::once(line)) - 10.0 / 90.0).abs() < 1e-6);
    }

    #[test]
    fn a_sharp_image_is_near_0_and_a_flat_one_is_1() {
        assert!(blur_effect(&checks()) < 0.15, "{}", blur_effect(&checks()));
        assert_eq!(blur_effect(&RgbImage::from_pixel(30, 30, Rgb([9, 9, 9]))), 1.0);
        assert_eq!(blur_effect(&RgbImage::new(1, 1)), 1.0);
        assert_eq!(blur_effect(&RgbImage::new(0, 0)), 1.0);
    }

    #[test]
    fn the_measure_rises_with_blur_even_along_one_axis() {
        let noise = RgbImage::from_fn(96, 96, |x, y| Rgb([(x * 71 + y * 131 + x * y * 17) as u8; 3]));
        let effects: Vec<f32> = [0.5, 1.0, 2.0, 4.0]
            .into_iter()
            .map(|sigma| blur_effect(&imageops::blur(&noise, sigma)))
            .collect();
        assert!(effects.is_sorted_by(|a, b| a < b), "{effects:?}");
        let smeared = RgbImage::from_fn(96, 96, |x, _| Rgb([(x / 2) as u8 + 50; 3]));
        assert!(blur_effect(&smeared) > 0.9);
    }
}
