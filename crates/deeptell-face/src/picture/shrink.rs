use image::RgbImage;

/// `image` shrunk so that its longer side is `max_side` at most (at least 1); `None` when it already is.
///
/// Each pixel is the weighted mean of an area twice its size (a triangle filter): the result is that of
/// `image::imageops::resize`, in memory for a few rows instead of five times the image.
pub fn shrunk(image: &RgbImage, max_side: u32) -> Option<RgbImage> {
    let (width, height) = image.dimensions();
    let (to_width, to_height) = size_within((width, height), max_side.max(1));
    if (to_width, to_height) == (width, height) || width == 0 || height == 0 {
        return None;
    }
    let row_bytes = width as usize * 3;
    let columns = weights(width, to_width);
    let mut row = vec![0.0_f32; row_bytes];
    let mut pixels = Vec::with_capacity(to_width as usize * to_height as usize * 3);
    for (first, weights) in weights(height, to_height) {
        row.fill(0.0);
        for (line, weight) in image.as_raw().chunks_exact(row_bytes).skip(first).zip(&weights) {
            for (sum, value) in row.iter_mut().zip(line) {
                *sum += f32::from(*value) * weight;
            }
        }
        for (first, weights) in &columns {
            let mut sums = [0.0_f32; 3];
            for (pixel, weight) in row.chunks_exact(3).skip(*first).zip(weights) {
                for (sum, value) in sums.iter_mut().zip(pixel) {
                    *sum += value * weight;
                }
            }
            pixels.extend(sums.map(|sum| sum.clamp(0.0, 255.0).round() as u8));
        }
    }
    RgbImage::from_raw(to_width, to_height, pixels)
}

/// For each of `to` pixels in a row, the first of the `from` pixels it is made of, and the weight of each.
fn weights(from: u32, to: u32) -> Vec<(usize, Vec<f32>)> {
    let ratio = from as f32 / to as f32;
    let reach = ratio.max(1.0);
    (0..to)
        .map(|index| {
            let center = (index as f32 + 0.5) * ratio;
            let first = ((center - reach).floor() as i64).clamp(0, i64::from(from) - 1);
            let end = ((center + reach).ceil() as i64).clamp(first + 1, i64::from(from));
            let center = center - 0.5;
            let mut weights: Vec<f32> =
                (first..end).map(|at| (1.0 - ((at as f32 - center) / reach).abs()).max(0.0)).collect();
            let sum: f32 = weights.iter().sum();
            for weight in &mut weights {
                *weight /= sum;
            }
            (first as usize, weights)
        })
        .collect()
}

/// The size of a `width x height` picture once its longer side is `side` at most, in pixels.
pub fn size_within((width, height): (u32, u32), side: u32) -> (u32, u32) {
    let longer = width.max(height);
    if longer <= side {
        return (width, height);
    }
    let scaled =
        |v: u32| ((u64::from(v) * u64::from(side) + u64::from(longer) / 2) / u64::from(longer)) as u32;
    (scaled(width).max(1), scaled(height).max(1))
}

#[cfg(test)]
mod tests {
    use image::Rgb;
    use image::imageops::{self, FilterType};

    use super::*;

    #[test]
    fn shrinking_gives_the_bytes_of_the_image_crate() {
        for ((width, height), side) in
            [((640, 427), 200), ((427, 640), 639), ((1000, 3), 7), ((5, 900), 64), ((301, 299), 1)]
        {
            let image = RgbImage::from_fn(width, height, |x, y| {
                Rgb([(x * 7 + y * 3) as u8, (x * y) as u8, (x ^ (y * 5)) as u8])
            });
            let small = shrunk(&image, side).unwrap();
            let (to_width, to_height) = small.dimensions();
            assert_eq!(to_width.max(to_height), side);
            assert!(small == imageops::resize(&image, to_width, to_height, FilterType::Triangle));
        }
        assert_eq!(shrunk(&RgbImage::new(20, 10), 20), None);
        assert_eq!(shrunk(&RgbImage::new(0, 100), 20), None);
    }

    #[test]
    fn sizes_keep_the_aspect_ratio() {
        assert_eq!(size_within((1920, 1080), 480), (480, 270));
        assert_eq!(size_within((1080, 1920), 480), (270, 480));
        assert_eq!(size_within((500, 900), 450), (250, 450));
        assert_eq!(size_within((4000, 1), 100), (100, 1));
        assert_eq!(size_within((320, 200), 480), (320, 200));
        assert_eq!(size_within((9000, 1), 480), (480, 1));
    }
}
