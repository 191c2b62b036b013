//! Changes of a picture's detail: blur, sharpening, low resolution, noise, compression. The size stays.

use std::io::Cursor;

use image::codecs::jpeg::{JpegDecoder, JpegEncoder};
use image::{DynamicImage, RgbImage};
use imageproc::filter::gaussian_blur_f32;
use imageproc::noise::gaussian_noise_mut;

use crate::resample::resample;

/// Gaussian blur with a standard deviation in pixels; below 0.1 nothing would change.
pub(crate) fn blur(image: &RgbImage, sigma: f32) -> RgbImage {
    if sigma < 0.1 || sigma.is_nan() {
        return image.clone();
    }
    // A wider kernel than the picture only repeats its edges.
    let widest = image.width().max(image.height()) as f32;
    gaussian_blur_f32(image, sigma.min(widest))
}

/// Adds `amount` times what a blur of one pixel takes away (unsharp masking).
pub(crate) fn sharpen(image: &RgbImage, amount: f32) -> RgbImage {
    let soft = blur(image, 1.0);
    let mut sharp = image.clone();
    for (value, &soft) in sharp.iter_mut().zip(soft.iter()) {
        let own = f32::from(*value);
        *value = (own + amount * (own - f32::from(soft)) + 0.5) as u8;
    }
    sharp
}

/// Scales down by `factor` (averaging) and up again (bilinear). At most to one pixel.
pub(crate) fn shrink_and_enlarge(image: &RgbImage, factor: f32) -> RgbImage {
    let (width, height) = image.dimensions();
    let factor = factor.min(width.min(height) as f32);
    if factor <= 1.0 || factor.is_nan() {
        return image.clone();
    }
    let small_side = |side: u32| (side as f32 / factor).ceil() as u32;
    let small = resample(image, factor, small_side(width), small_side(height));
    resample(&small, 1.0 / factor, width, height)
}

/// [`shrink_and_enlarge`] with `change` made on the small picture. Its sides are even, as codecs need them, and at
/// least two pixels. `change` must keep the size.
///
/// # Errors
/// Those of `change`.
pub(crate) fn at_smaller_size<E>(
    image: &RgbImage,
    factor: f32,
    change: impl FnOnce(RgbImage) -> Result<RgbImage, E>,
) -> Result<RgbImage, E> {
    let (width, height) = image.dimensions();
    let factor = factor.min(width.min(height) as f32 / 2.0);
    if factor <= 1.0 || factor.is_nan() {
        return change(image.clone());
    }
    let small_side = |side: u32| (side as f32 / factor).ceil() as u32;
    let small = resample(
        image,
        factor,
        small_side(width).next_multiple_of(2),
        small_side(height).next_multiple_of(2),
    );
    Ok(resample(&change(small)?, 1.0 / factor, width, height))
}

/// Adds Gaussian noise of a standard deviation in levels of 255, independently to each channel.
pub(crate) fn add_noise(image: &mut RgbImage, sigma: f32, seed: u64) {
    if sigma > 0.0 && sigma.is_finite() {
        gaussian_noise_mut(image, 0.0, sigma.into(), seed);
    }
}

/// Compresses at `quality` (1 to 100) and decodes again. Sides that a JPEG cannot have (0, or
/// more than 65,535 pixels) leave the picture as it is.
#[expect(
    clippy::expect_used,
    reason = "a picture of a legal size can be encoded to memory and decoded again"
)]
pub(crate) fn jpeg(image: &RgbImage, quality: u8) -> RgbImage {
    let sides = [image.width(), image.height()];
    if sides.iter().any(|side| !(1..=u32::from(u16::MAX)).contains(side)) {
        return image.clone();
    }
    let mut bytes = Vec::with_capacity(image.len() / 4);
    JpegEncoder::new_with_quality(&mut bytes, quality.clamp(1, 100))
        .encode_image(image)
        .expect("memory takes any number of bytes");
    let decoder = JpegDecoder::new(Cursor::new(bytes)).expect("these bytes are a JPEG");
    DynamicImage::from_decoder(decoder).expect("these bytes are a JPEG").into_rgb8()
}

#[cfg(test)]
mod tests {
    use image::{Rgb, imageops};

    use super::*;

    fn checks(width: u32, height: u32) -> RgbImage {
        RgbImage::from_fn(width, height, |x, y| Rgb([((x + y) % 2 * 200 + 20) as u8; 3]))
    }

    /// Of the values away from the edges, whose repetition breaks the pattern.
    fn spread(image: &RgbImage) -> u8 {
        let middle = imageops::crop_imm(image, 8, 8, image.width() - 16, image.height() - 16).to_image();
        let values = || middle.iter().copied();
        values().max().unwrap() - values().min().unwrap()
    }

    #[test]
    fn blur_flattens_and_keeps_the_mean() {
        let flat = blur(&checks(32, 32), 1.3);
        assert!(spread(&flat) < 10);
        assert!((i16::from(flat.get_pixel(16, 16).0[0]) - 120).abs() < 8);
        assert_eq!(blur(&checks(8, 8), 0.0), checks(8, 8));
    }

    #[test]
    fn sharpening_widens_an_edge_and_leaves_flat_parts() {
        let edge = RgbImage::from_fn(32, 8, |x, _| Rgb([if x < 16 { 100 } else { 150 }; 3]));
        let sharp = sharpen(&edge, 0.5);
        assert!(sharp.get_pixel(15, 4).0[0] < 95 && sharp.get_pixel(16, 4).0[0] > 155);
        assert_eq!((sharp.get_pixel(2, 4).0[0], sharp.get_pixel(29, 4).0[0]), (100, 150));
    }

    #[test]
    fn shrinking_loses_fine_detail_and_stays_in_place() {
        assert!(spread(&shrink_and_enlarge(&checks(64, 64), 2.0)) < 10);
        let ramp = RgbImage::from_fn(64, 64, |x, y| Rgb([(x * 4) as u8, (y * 4) as u8, 9]));
        let back = shrink_and_enlarge(&ramp, 2.0);
        for (x, y, p) in
            back.enumerate_pixels().filter(|(x, y, _)| (4..60).contains(x) && (4..60).contains(y))
        {
            let [r, g, b] = ramp.get_pixel(x, y).0;
            assert!(p.0[0].abs_diff(r) <= 1 && p.0[1].abs_diff(g) <= 1 && p.0[2] == b);
        }
    }

    #[test]
    fn jpeg_loses_more_at_lower_quality() {
        let image = RgbImage::from_fn(64, 64, |x, y| Rgb([(x * y) as u8, (x * 4) as u8, (y * 4) as u8]));
        let loss = |quality| {
            let out = jpeg(&image, quality);
            assert_eq!(out.dimensions(), (64, 64));
            out.iter().zip(image.iter()).map(|(a, b)| u64::from(a.abs_diff(*b))).sum::<u64>()
        };
        assert!(loss(100) < loss(75) && loss(75) < loss(40) && loss(40) < loss(5));
    }
}
