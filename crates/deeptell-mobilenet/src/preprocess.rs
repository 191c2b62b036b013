use burn::tensor::{Device, Tensor, TensorData};
use image::RgbImage;
use thiserror::Error;

/// Mean of ImageNet's red, green and blue in `0..=1`, which torchvision subtracts.
pub const IMAGENET_MEAN: [f32; 3] = [0.485, 0.456, 0.406];
/// Standard deviation of ImageNet's red, green and blue in `0..=1`.
pub const IMAGENET_STD: [f32; 3] = [0.229, 0.224, 0.225];

/// Why images could not become one tensor.
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

/// Images to the network's input: `(value / 255 - mean) / std` per channel, with ImageNet's
/// [mean](IMAGENET_MEAN) and [deviation](IMAGENET_STD).
///
/// # Shapes
/// - images: N of equal size W x H, 8-bit RGB
/// - result: `[N, 3, H, W]`, about -2.2 to 2.7
///
/// # Errors
/// [`PreprocessError`] when there is no image, or they differ in size, or are empty.
pub fn normalize(images: &[RgbImage], device: &Device) -> Result<Tensor<4>, PreprocessError> {
    let expected = images.first().ok_or(PreprocessError::Empty)?.dimensions();
    let (width, height) = (expected.0 as usize, expected.1 as usize);
    let plane = width * height;
    let mut values = vec![0.0f32; images.len() * 3 * plane];
    let scale = IMAGENET_STD.map(|std| 1.0 / (255.0 * std));
    let shift: [f32; 3] = std::array::from_fn(|c| -IMAGENET_MEAN[c] / IMAGENET_STD[c]);
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
    fn channels_become_planes_in_imagenet_units() {
        let image = RgbImage::from_fn(2, 1, |x, _| if x == 0 { Rgb([255, 0, 0]) } else { Rgb([0, 0, 255]) });
        let tensor = normalize(&[image], &Device::flex()).unwrap();
        assert_eq!(tensor.dims(), [1, 3, 1, 2]);
        let values = tensor.into_data().try_into_vec::<f32>().unwrap();
        let low = |c: usize| -IMAGENET_MEAN[c] / IMAGENET_STD[c];
        let high = |c: usize| (1.0 - IMAGENET_MEAN[c]) / IMAGENET_STD[c];
        let expected = [high(0), low(0), low(1), low(1), low(2), high(2)];
        for (found, expected) in values.iter().zip(expected) {
            assert!((found - expected).abs() < 1e-5, "{found} is not {expected}");
        }
    }

    #[test]
    fn batches_that_do_not_stack_are_refused() {
        let device = Device::flex();
        assert_eq!(normalize(&[], &device).unwrap_err(), PreprocessError::Empty);
        let mixed = normalize(&[RgbImage::new(4, 4), RgbImage::new(4, 5)], &device);
        assert_eq!(mixed.unwrap_err(), PreprocessError::Size { index: 1, found: (4, 5), expected: (4, 4) });
        assert!(normalize(&[RgbImage::new(0, 0)], &device).is_err());
    }
}
