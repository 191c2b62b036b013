use burn::tensor::{Device, Tensor, TensorData};
use image::RgbImage;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// How pixels become a network's input: `(value / 255 - mean) / deviation`, for red, green and
/// blue.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Normalization {
    /// Subtracted, in `0..=1`.
    pub mean: [f32; 3],
    /// Divided by; positive.
    pub deviation: [f32; 3],
}

impl Normalization {
    /// Mean and standard deviation of ImageNet, as torchvision has them.
    pub const IMAGENET: Self = Self { mean: [0.485, 0.456, 0.406], deviation: [0.229, 0.224, 0.225] };
}

impl Default for Normalization {
    /// [`Normalization::IMAGENET`].
    fn default() -> Self {
        Self::IMAGENET
    }
}

/// Why images could not be combined into one tensor.
#[derive(Debug, Error, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum PreprocessError {
    /// There was no image.
    #[error("the batch is empty: pass at least one image")]
    Empty,
    /// The images of a batch differ in size, or have no pixels.
    #[error(
        "image {index} is {}x{} where the batch needs {}x{}: cut all crops to one size", found.0, found.1, expected.0, expected.1
    )]
    Size {
        /// Position in the batch.
        index: usize,
        /// Width and height of that image, in pixels.
        found: (u32, u32),
        /// Width and height of the first image.
        expected: (u32, u32),
    },
}

/// Converts images to the input of a network.
///
/// # Shapes
/// - images: N of equal size W x H, 8-bit RGB
/// - result: `[N, 3, H, W]`, with ImageNet's normalization about -2.2 to 2.7
///
/// # Errors
/// [`PreprocessError`] when there is no image, or they differ in size, or are empty.
// Inlined into a caller that is built for size, its loop would be too.
#[inline(never)]
pub fn normalize(
    images: &[RgbImage],
    normalization: &Normalization,
    device: &Device,
) -> Result<Tensor<4>, PreprocessError> {
    let Normalization { mean, deviation } = *normalization;
    let expected = images.first().ok_or(PreprocessError::Empty)?.dimensions();
    let (width, height) = (expected.0 as usize, expected.1 as usize);
    let plane = width * height;
    let mut values = vec![0.0f32; images.len() * 3 * plane];
    let scale = deviation.map(|deviation| 1.0 / (255.0 * deviation));
    let shift: [f32; 3] = std::array::from_fn(|c| -mean[c] / deviation[c]);
    for (index, image) in images.iter().enumerate() {
        if image.dimensions() != expected || plane == 0 {
            return Err(PreprocessError::Size { index, found: image.dimensions(), expected });
        }
        let (red, rest) = values[index * 3 * plane..(index + 1) * 3 * plane].split_at_mut(plane);
        let (green, blue) = rest.split_at_mut(plane);
        for (i, pixel) in image.as_raw().chunks_exact(3).enumerate() {
            red[i] = f32::from(pixel[0]) * scale[0] + shift[0];
            green[i] = f32::from(pixel[1]) * scale[1] + shift[1];
            blue[i] = f32::from(pixel[2]) * scale[2] + shift[2];
        }
    }
    Ok(Tensor::from_data(TensorData::new(values, [images.len(), 3, height, width]), device))
}

#[cfg(test)]
mod tests {
    use image::Rgb;

    use super::*;

    #[test]
    fn normalize_gives_planes_in_imagenet_units() {
        let image = RgbImage::from_fn(2, 1, |x, _| if x == 0 { Rgb([255, 0, 0]) } else { Rgb([0, 0, 255]) });
        let tensor = normalize(&[image], &Normalization::IMAGENET, &Device::flex()).unwrap();
        assert_eq!(tensor.dims(), [1, 3, 1, 2]);
        let values = tensor.into_data().try_into_vec::<f32>().unwrap();
        let Normalization { mean, deviation } = Normalization::IMAGENET;
        let low = |c: usize| -mean[c] / deviation[c];
        let high = |c: usize| (1.0 - mean[c]) / deviation[c];
        let expected = [high(0), low(0), low(1), low(1), low(2), high(2)];
        for (found, expected) in values.iter().zip(expected) {
            assert!((found - expected).abs() < 1e-5, "{found} is not {expected}");
        }
    }

    #[test]
    fn normalize_rejects_images_of_different_sizes() {
        let normalized =
            |images: &[RgbImage]| normalize(images, &Normalization::IMAGENET, &Device::flex()).map(drop);
        assert_eq!(normalized(&[]).unwrap_err(), PreprocessError::Empty);
        let mixed = normalized(&[RgbImage::new(4, 4), RgbImage::new(4, 5)]);
        assert_eq!(mixed.unwrap_err(), PreprocessError::Size { index: 1, found: (4, 5), expected: (4, 4) });
        assert!(normalized(&[RgbImage::new(0, 0)]).is_err());
    }
}
