//! Where in a face the evidence lies.

use image::codecs::png::PngEncoder;
use image::imageops::{self, FilterType};
use image::{ExtendedColorType, ImageBuffer, ImageEncoder as _, Luma};

/// Side of a map's picture, in pixels; the page enlarges it smoothly.
const PICTURE_SIDE: u32 = 28;
/// How much of the face the strongest evidence covers, in `0..=1`.
const STRONGEST_COVER: f32 = 0.78;
/// From the weakest to the strongest evidence.
const COLORS: [[f32; 3]; 2] = [[255.0, 196.0, 0.0], [214.0, 18.0, 42.0]];

/// How strongly each part of a crop indicates manipulation, by the model's method
/// ([`ModelCard::heat_maps`](crate::ModelCard::heat_maps)).
///
/// It shows where the evidence lies, not what it is, and it is coarse: a cell covers 32 pixels of the crop.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct HeatMap {
    /// Cells from left to right: 7 for a crop of 224 pixels.
    pub width: u32,
    /// Cells from top to bottom.
    pub height: u32,
    /// Row by row, 0 where nothing indicates manipulation; comparable between crops of one model. By
    /// [`HeatMapMethod::Localization`](crate::HeatMapMethod::Localization) the estimated share of the cell that is
    /// manipulated, in `0..=1`; by the other method without an upper bound.
    pub values: Vec<f32>,
}

impl HeatMap {
    /// The strongest value.
    pub fn peak(&self) -> f32 {
        self.values.iter().copied().fold(0.0, f32::max)
    }

    /// A small PNG with transparency, to be laid over the crop: clear at 0, red at `strongest`.
    pub(crate) fn overlay(&self, strongest: f32) -> Vec<u8> {
        let scale = if strongest > 0.0 { strongest.recip() } else { 0.0 };
        let map: ImageBuffer<Luma<f32>, Vec<f32>> = ImageBuffer::from_fn(self.width, self.height, |x, y| {
            let value = self.values.get((y * self.width + x) as usize).copied().unwrap_or(0.0);
            Luma([(value * scale).clamp(0.0, 1.0)])
        });
        let smooth = imageops::resize(&map, PICTURE_SIDE, PICTURE_SIDE, FilterType::CatmullRom);
        let mut pixels = Vec::with_capacity(smooth.len() * 4);
        for Luma([value]) in smooth.pixels() {
            let value = value.clamp(0.0, 1.0);
            for (weak, strong) in COLORS[0].into_iter().zip(COLORS[1]) {
                pixels.push((weak + value * (strong - weak)) as u8);
            }
            pixels.push((255.0 * STRONGEST_COVER * value) as u8);
        }
        let mut bytes = Vec::new();
        // Memory is the only thing written to, and the size is a constant.
        let encoded = PngEncoder::new(&mut bytes).write_image(
            &pixels,
            PICTURE_SIDE,
            PICTURE_SIDE,
            ExtendedColorType::Rgba8,
        );
        debug_assert!(encoded.is_ok(), "{encoded:?}");
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_overlay_is_transparent_at_zero_and_opaque_at_the_peak() {
        let mut values = vec![0.0; 49];
        values[0] = 4.0;
        let map = HeatMap { width: 7, height: 7, values };
        assert_eq!(map.peak(), 4.0);
        let picture = image::load_from_memory(&map.overlay(map.peak())).unwrap().into_rgba8();
        assert_eq!(picture.dimensions(), (PICTURE_SIDE, PICTURE_SIDE));
        assert!(picture.get_pixel(1, 1).0[3] > 150, "{:?}", picture.get_pixel(1, 1));
        assert_eq!(picture.get_pixel(27, 27).0[3], 0);
        // Half as strong on the scale of a stronger one.
        let weaker = image::load_from_memory(&map.overlay(8.0)).unwrap().into_rgba8();
        assert!(weaker.get_pixel(1, 1).0[3] < picture.get_pixel(1, 1).0[3]);
    }

    #[test]
    fn the_overlay_of_an_empty_map_is_transparent() {
        let map = HeatMap { width: 7, height: 7, values: vec![0.0; 49] };
        let picture = image::load_from_memory(&map.overlay(map.peak())).unwrap().into_rgba8();
        assert!(picture.pixels().all(|pixel| pixel.0[3] == 0));
    }
}
