use image::RgbImage;

/// Resizes to `width` x `height` such that the pixel center `p` of the result shows `image` at
/// `p * step`, with a triangle filter as wide as `step` (at least one pixel): bilinear when
/// enlarging, averaging when shrinking. Beyond the image its edge pixels are repeated.
///
/// One pass down the columns and one along the rows, so that the cost grows with the length of
/// the filter and not with its area.
pub(crate) fn resample(image: &RgbImage, step: f32, width: u32, height: u32) -> RgbImage {
    let stride = image.width() as usize * 3;
    let columns: Vec<Taps> = (0..width).map(|x| Taps::new(x, step, image.width())).collect();
    let mut result = RgbImage::new(width, height);
    let mut line = vec![0.0f32; stride];
    for (y, row) in result.rows_mut().enumerate() {
        line.fill(0.0);
        for (source, weight) in Taps::new(y as u32, step, image.height()).iter() {
            for (sum, &value) in line.iter_mut().zip(&image.as_raw()[source * stride..][..stride]) {
                *sum += weight * f32::from(value);
            }
        }
        for (pixel, taps) in row.zip(&columns) {
            let mut sum = [0.5f32; 3];
            for (source, weight) in taps.iter() {
                for (sum, value) in sum.iter_mut().zip(&line[source * 3..source * 3 + 3]) {
                    *sum += weight * value;
                }
            }
            pixel.0 = sum.map(|v| v as u8);
        }
    }
    result
}

/// The source pixels that make up one result pixel along one axis; the weights sum to 1.
struct Taps {
    first: usize,
    weights: Vec<f32>,
}

impl Taps {
    fn new(index: u32, step: f32, source_length: u32) -> Self {
        let last = f64::from(source_length.max(1) - 1);
        let (step, reach) = (f64::from(step), f64::from(step.max(1.0)));
        let center = (f64::from(index) + 0.5) * step - 0.5;
        let (from, to) = ((center - reach).ceil(), (center + reach).floor());
        let first = from.clamp(0.0, last) as usize;
        let mut weights = vec![0.0; to.clamp(0.0, last) as usize - first + 1];
        let mut sum = 0.0;
        for position in from as i64..=to as i64 {
            let weight = (1.0 - (position as f64 - center).abs() / reach).max(0.0) as f32;
            weights[(position as f64).clamp(0.0, last) as usize - first] += weight;
            sum += weight;
        }
        for weight in &mut weights {
            *weight /= sum;
        }
        Self { first, weights }
    }

    fn iter(&self) -> impl Iterator<Item = (usize, f32)> + '_ {
        (self.first..).zip(self.weights.iter().copied())
    }
}

#[cfg(test)]
mod tests {
    use image::Rgb;

    use super::*;

    fn ramp(width: u32, height: u32) -> RgbImage {
        RgbImage::from_fn(width, height, |x, y| Rgb([(x * 4) as u8, (y * 6) as u8, 77]))
    }

    #[test]
    fn step_of_one_is_the_identity() {
        assert_eq!(resample(&ramp(32, 16), 1.0, 32, 16), ramp(32, 16));
    }

    #[test]
    fn resampling_keeps_positions() {
        // Sampled at whole pixels a triangle is off by up to a tenth of a pixel on a ramp.
        for step in [0.4f32, 0.75, 1.6, 2.0, 3.0] {
            let out = resample(&ramp(60, 40), step, (60.0 / step) as u32, (40.0 / step) as u32);
            for (x, y, p) in out.enumerate_pixels() {
                let at = |i: u32| (i as f32 + 0.5) * step - 0.5;
                if (4.0..55.0).contains(&at(x)) && (4.0..35.0).contains(&at(y)) {
                    assert!((f32::from(p.0[0]) - at(x) * 4.0).abs() <= 0.91, "{step} {x}");
                    assert!((f32::from(p.0[1]) - at(y) * 6.0).abs() <= 1.11, "{step} {y}");
                    assert_eq!(p.0[2], 77);
                }
            }
        }
    }

    #[test]
    fn resampling_repeats_the_edge() {
        let out = resample(&ramp(8, 8), 2.0, 20, 20);
        assert_eq!(out.get_pixel(19, 19), ramp(8, 8).get_pixel(7, 7));
        assert_eq!(resample(&RgbImage::from_pixel(1, 1, Rgb([9; 3])), 0.1, 5, 3).get_pixel(4, 2).0, [9; 3]);
    }
}
