use std::sync::Arc;

use burn::tensor::{Device, Tensor, TensorData};
use deeptell_face::{Face, RgbImage, shrunk};

use crate::decode::{Grid, STRIDES, faces};
use crate::network::Network;
use crate::{YuNetConfig, YuNetError};

/// Sides of the network's input are multiples of the coarsest cell.
const DIVISOR: usize = 32;

/// The face detector.
///
/// Made by [`YuNetConfig::init`].
#[derive(Debug, Clone)]
pub struct YuNet {
    pub(crate) config: YuNetConfig,
    pub(crate) network: Network,
    /// SHA-256 of the weights.
    pub(crate) weights: Arc<str>,
    pub(crate) device: Device,
}

impl YuNet {
    pub(crate) fn new(config: YuNetConfig, network: Network, weights: String, device: &Device) -> Self {
        Self { config, network, weights: weights.into(), device: device.clone() }
    }

    /// The settings the detector was made with.
    pub fn config(&self) -> &YuNetConfig {
        &self.config
    }

    /// The faces in `image`, the most probable first.
    ///
    /// # Errors
    /// [`YuNetError::Device`] when the device fails.
    pub fn detect(&self, image: &RgbImage) -> Result<Vec<Face>, YuNetError> {
        let small = self.config.max_side.and_then(|side| shrunk(image, side));
        let seen = small.as_ref().unwrap_or(image);
        if seen.width() == 0 || seen.height() == 0 {
            return Ok(Vec::new());
        }
        let mut found = faces(&self.outputs(seen)?, &self.config);
        if small.is_some() {
            let scale = |pixels: u32, seen: u32| pixels as f32 / seen as f32;
            let (x, y) = (scale(image.width(), seen.width()), scale(image.height(), seen.height()));
            for face in &mut found {
                *face = face.stretched(x, y);
            }
        }
        found.retain(|face| face.bbox.height() >= self.config.min_face);
        Ok(found)
    }

    /// What the network says of each cell of the image.
    fn outputs(&self, image: &RgbImage) -> Result<Vec<Grid>, YuNetError> {
        let (planes, [height, width]) = padded_planes(image);
        let mut outputs = Vec::new();
        // On a worker of the pool, where the many short parallel loops need no wake-up each.
        rayon::scope(|_| {
            let x = Tensor::from_data(TensorData::new(planes, [1, 3, height, width]), &self.device);
            outputs = self.network.forward(x);
        });
        let read = |(output, stride): (Tensor<4>, usize)| {
            let [_, _, rows, columns] = output.dims();
            let values = output.flatten::<1>(0, 3).try_into_vec_as::<f32>().map_err(YuNetError::Device)?;
            Ok(Grid { stride, rows, columns, values })
        };
        outputs.into_iter().zip(STRIDES).map(read).collect()
    }
}

/// The image as blue, green and red planes in `0..=255`, with black below and to the right of it up to multiples of 32,
/// and the height and width of each.
fn padded_planes(image: &RgbImage) -> (Vec<f32>, [usize; 2]) {
    let (columns, rows) = (image.width() as usize, image.height() as usize);
    let [width, height] = [columns, rows].map(|side| side.next_multiple_of(DIVISOR));
    let mut planes = vec![0.0; 3 * height * width];
    for (channel, plane) in planes.chunks_exact_mut(height * width).enumerate() {
        let lines = image.as_raw().chunks_exact(3 * columns);
        for (line, row) in lines.zip(plane.chunks_exact_mut(width)) {
            for (pixel, value) in line.chunks_exact(3).zip(row) {
                *value = f32::from(pixel[2 - channel]);
            }
        }
    }
    (planes, [height, width])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_becomes_blue_green_red_and_is_padded_below_and_to_the_right() {
        let image = RgbImage::from_fn(33, 2, |x, y| image::Rgb([x as u8, y as u8, 200]));
        let (planes, size) = padded_planes(&image);
        assert_eq!(size, [32, 64]);
        let at = |channel: usize, x: usize, y: usize| planes[(channel * 32 + y) * 64 + x];
        assert_eq!([at(0, 32, 1), at(1, 32, 1), at(2, 32, 1)], [200.0, 1.0, 32.0]);
        assert_eq!([at(0, 33, 1), at(1, 3, 2), at(2, 63, 31)], [0.0; 3]);
    }
}
