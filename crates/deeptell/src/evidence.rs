//! Pictures of the judged faces, and heat maps.

use deeptell_face::{RgbImage, size_within};
use image::codecs::jpeg::JpegEncoder;
use image::imageops;

use crate::{HeatMap, HeatMapMethod};

/// Longer side of a frame's picture, in pixels.
const FRAME_SIDE: u32 = 480;
/// Side of a face's picture, in pixels.
const FACE_SIDE: u32 = 144;
const JPEG_QUALITY: u8 = 82;

/// Thumbnails of a scan, as JPEG files in memory, and the heat maps that lie over them.
///
/// Heat maps take another pass of the network over each face, so there is evidence only if
/// [`ScanOptions::evidence`](crate::ScanOptions::evidence) asks for it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Evidence {
    /// One per frame, in the order of [`Report::frames`](crate::Report::frames).
    pub frames: Vec<Vec<u8>>,
    /// One per face, in the order of [`Report::observations`](crate::Report::observations).
    pub faces: Vec<Vec<u8>>,
    /// Where the evidence lies in each face, in the same order: small PNG files with transparency, to
    /// be enlarged over the pictures of [`faces`](Self::faces). One scale holds for all of a scan.
    pub heat: Vec<Vec<u8>>,
}

impl Evidence {
    /// A frame, 480 pixels on its longer side.
    pub(crate) fn push_frame(&mut self, image: &RgbImage) {
        self.frames.push(jpeg(image, FRAME_SIDE));
    }

    /// The maps of all faces, drawn on one scale: up to 1 where values are shares, else up to the strongest.
    pub(crate) fn set_heat(&mut self, maps: &[HeatMap], method: HeatMapMethod) {
        let strongest = match method {
            HeatMapMethod::ClassActivation => maps.iter().map(HeatMap::peak).fold(0.0, f32::max),
            HeatMapMethod::Localization => 1.0,
        };
        self.heat = maps.iter().map(|map| map.overlay(strongest)).collect();
    }

    /// A face crop, 144 pixels a side.
    pub(crate) fn push_face(&mut self, crop: &RgbImage) {
        self.faces.push(jpeg(crop, FACE_SIDE));
    }
}

/// `image` with its longer side reduced to `side` at most, as a JPEG file.
fn jpeg(image: &RgbImage, side: u32) -> Vec<u8> {
    let (width, height) = size_within(image.dimensions(), side);
    let small = if (width, height) == image.dimensions() {
        image.clone()
    } else {
        imageops::thumbnail(image, width, height)
    };
    let mut bytes = Vec::new();
    // Memory is the only thing written to, and the size is far below JPEG's limit.
    let encoded = JpegEncoder::new_with_quality(&mut bytes, JPEG_QUALITY).encode_image(&small);
    debug_assert!(encoded.is_ok(), "{encoded:?}");
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_drawn_alike_whatever_the_strongest_face() {
        let map = |value: f32| HeatMap { width: 7, height: 7, values: vec![value; 49] };
        let drawn = |maps: &[HeatMap], method| {
            let mut evidence = Evidence::default();
            evidence.set_heat(maps, method);
            let picture = image::load_from_memory(&evidence.heat[0]).unwrap().into_rgba8();
            picture.get_pixel(14, 14).0[3]
        };
        let [alone, beside] = [&[map(0.25)][..], &[map(0.25), map(1.0)]];
        let shares = HeatMapMethod::Localization;
        assert_eq!(drawn(alone, shares), drawn(beside, shares));
        assert!((45..55).contains(&drawn(alone, shares)), "{}", drawn(alone, shares));
        let unbounded = HeatMapMethod::ClassActivation;
        assert!(drawn(alone, unbounded) > drawn(beside, unbounded));
    }

    #[test]
    fn thumbnails_are_jpeg_files_of_the_right_size() {
        let mut evidence = Evidence::default();
        evidence.push_frame(&RgbImage::from_pixel(960, 540, image::Rgb([200, 40, 10])));
        evidence.push_face(&RgbImage::from_pixel(224, 224, image::Rgb([10, 40, 200])));
        let frame = image::load_from_memory(&evidence.frames[0]).unwrap().to_rgb8();
        assert_eq!(frame.dimensions(), (480, 270));
        let pixel = frame.get_pixel(200, 100).0;
        assert!(pixel.iter().zip([200, 40, 10]).all(|(a, b)| a.abs_diff(b) <= 4), "{pixel:?}");
        assert_eq!(image::load_from_memory(&evidence.faces[0]).unwrap().to_rgb8().dimensions(), (144, 144));
    }
}
