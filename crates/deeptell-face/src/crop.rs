use image::RgbImage;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::{Landmarks, Point, Rect, Similarity, warp};

/// Why a face could not be cut out.
#[derive(Debug, Error, Clone, PartialEq)]
#[non_exhaustive]
pub enum CropError {
    /// A setting of [`FaceCrop`] is out of its range.
    #[error("crop setting `{setting}` is {value}: {expected}")]
    Setting {
        /// Name of the field.
        setting: &'static str,
        /// Its value.
        value: f32,
        /// What would be accepted.
        expected: &'static str,
    },
    /// The image has no pixels.
    #[error("the image is empty ({width}x{height}): there is nothing to cut a face from")]
    EmptyImage {
        /// Width in pixels.
        width: u32,
        /// Height in pixels.
        height: u32,
    },
    /// The box is empty, not finite, or lies wholly outside of the image.
    #[error("the face box {bbox:?} does not touch the {width}x{height} image")]
    OutsideImage {
        /// The offending box.
        bbox: Rect,
        /// Width of the image in pixels.
        width: u32,
        /// Height of the image in pixels.
        height: u32,
    },
    /// Alignment was asked for, but there are no landmarks or they coincide.
    #[error("alignment needs five distinct, finite landmarks: pass them, or set `align` to false")]
    Landmarks,
}

/// How to cut a face out of its frame, in training and in inference.
///
/// Without alignment the crop is the square around the box's center whose side is `scale`
/// times the longer side of the box. With it, the crop is turned and sized so that the five
/// landmarks lie on a frontal template; `scale` then has the same meaning, because the
/// template's unit is the height that MTCNN gives a frontal face.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct FaceCrop {
    /// Side of the square crop, in pixels of the result.
    pub size: u32,
    /// Side of the crop, as a multiple of the longer side of the face box.
    pub scale: f32,
    /// Turn the face upright by its landmarks.
    pub align: bool,
}

impl Default for FaceCrop {
    /// 224 pixels, scale 1, no alignment.
    fn default() -> Self {
        Self { size: 224, scale: 1.0, align: false }
    }
}

/// Frontal positions of the five landmarks in a crop of side 1 at scale 1: the template of
/// insightface's `arcface` alignment (112 x 112), where the crop is about one MTCNN box high.
pub(crate) const TEMPLATE: [Point; 5] = [
    Point::new(38.2946 / 112.0, 51.6963 / 112.0),
    Point::new(73.5318 / 112.0, 51.5014 / 112.0),
    Point::new(56.0252 / 112.0, 71.7366 / 112.0),
    Point::new(41.5493 / 112.0, 92.3655 / 112.0),
    Point::new(70.7299 / 112.0, 92.2041 / 112.0),
];

impl FaceCrop {
    /// Makes crops of this side. See [`size`](field@Self::size).
    #[must_use]
    pub fn size(self, size: u32) -> Self {
        Self { size, ..self }
    }

    /// Shows this multiple of the face box. See [`scale`](field@Self::scale).
    #[must_use]
    pub fn scale(self, scale: f32) -> Self {
        Self { scale, ..self }
    }

    /// Turns the face upright, or does not. See [`align`](field@Self::align).
    #[must_use]
    pub fn align(self, align: bool) -> Self {
        Self { align, ..self }
    }

    /// Cuts the face in `bbox` out of `image`: `size x size` RGB pixels.
    ///
    /// # Errors
    /// [`CropError`] when a setting is out of range, the image is empty, the box does not
    /// touch it, or `align` is set without usable `landmarks`.
    pub fn cut(
        &self,
        image: &RgbImage,
        bbox: Rect,
        landmarks: Option<&Landmarks>,
    ) -> Result<RgbImage, CropError> {
        let (width, height) = image.dimensions();
        if width == 0 || height == 0 {
            return Err(CropError::EmptyImage { width, height });
        }
        if !bbox.is_finite() || bbox.clamped(width, height).is_none() {
            return Err(CropError::OutsideImage { bbox, width, height });
        }
        let image_from_crop = self.image_from_crop(bbox, landmarks)?;
        Ok(warp(image, &image_from_crop, self.size, self.size))
    }

    /// The transform that [`cut`](Self::cut) applies: from crop pixels to image pixels.
    ///
    /// # Errors
    /// As [`cut`](Self::cut), for settings and landmarks.
    pub fn image_from_crop(
        &self,
        bbox: Rect,
        landmarks: Option<&Landmarks>,
    ) -> Result<Similarity, CropError> {
        if self.size == 0 || self.size > 4096 {
            return Err(CropError::Setting {
                setting: "size",
                value: self.size as f32,
                expected: "a side of 1 to 4096 pixels is needed",
            });
        }
        if !(self.scale.is_finite() && self.scale > 0.0) {
            return Err(CropError::Setting {
                setting: "scale",
                value: self.scale,
                expected: "a positive factor is needed, for example 1.0",
            });
        }
        let size = self.size as f32;
        if self.align {
            let landmarks = landmarks.filter(|l| l.is_finite()).ok_or(CropError::Landmarks)?;
            let template_in_crop = TEMPLATE.map(|p| {
                let about_the_middle = |v: f32| size * (0.5 + (v - 0.5) / self.scale);
                Point::new(about_the_middle(p.x), about_the_middle(p.y))
            });
            return Similarity::estimate(&template_in_crop, &landmarks.points()).ok_or(CropError::Landmarks);
        }
        let side = self.scale * bbox.width().max(bbox.height());
        let middle_of_crop = Point::new(0.5 * size, 0.5 * size);
        Ok(Similarity::about(middle_of_crop, bbox.center(), side / size, 0.0))
    }
}

#[cfg(test)]
mod tests {
    use image::Rgb;

    use super::*;

    /// A frame whose red and green say where a pixel is.
    fn map() -> RgbImage {
        RgbImage::from_fn(256, 256, |x, y| Rgb([x as u8, y as u8, 0]))
    }

    fn template_face(scale: f32, x: f32, y: f32, radians: f32) -> Landmarks {
        let place = Similarity::about(Point::new(0.5, 0.5), Point::new(x, y), scale, radians);
        Landmarks::from_points(TEMPLATE.map(|p| place.apply(p)))
    }

    #[test]
    fn a_square_box_is_cut_as_it_is() {
        let crop = FaceCrop { size: 64, ..FaceCrop::default() };
        let out = crop.cut(&map(), Rect::new(100.0, 50.0, 164.0, 114.0), None).unwrap();
        assert_eq!(out.get_pixel(0, 0), &Rgb([100, 50, 0]));
        assert_eq!(out.get_pixel(63, 63), &Rgb([163, 113, 0]));
    }

    #[test]
    fn scale_widens_about_the_center_and_edges_are_repeated() {
        let crop = FaceCrop { size: 64, scale: 2.0, align: false };
        let out = crop.cut(&map(), Rect::new(0.0, 100.0, 32.0, 132.0), None).unwrap();
        assert_eq!(out.get_pixel(0, 32), &Rgb([0, 116, 0]));
        assert_eq!(out.get_pixel(63, 32), &Rgb([47, 116, 0]));
    }

    #[test]
    fn alignment_undoes_rotation_and_size() {
        let crop = FaceCrop { size: 112, scale: 1.0, align: true };
        let bbox = Rect::new(60.0, 60.0, 200.0, 200.0);
        for (scale, radians) in [(112.0, 0.0), (90.0, 0.6), (140.0, -1.2)] {
            let face = template_face(scale, 128.0, 120.0, radians);
            let crop_from_image = crop.image_from_crop(bbox, Some(&face)).unwrap().inverse().unwrap();
            for (found, expected) in face.points().into_iter().zip(TEMPLATE) {
                let expected = Point::new(112.0 * expected.x, 112.0 * expected.y);
                assert!(crop_from_image.apply(found).distance(expected) < 0.01);
            }
        }
    }

    #[test]
    fn what_cannot_be_cut_is_a_typed_error() {
        let crop = FaceCrop::default();
        let bbox = Rect::new(10.0, 10.0, 50.0, 50.0);
        let outside = crop.cut(&map(), Rect::new(300.0, 0.0, 400.0, 90.0), None);
        assert!(matches!(outside, Err(CropError::OutsideImage { .. })));
        let nan = crop.cut(&map(), Rect::new(f32::NAN, 0.0, 40.0, 90.0), None);
        assert!(matches!(nan, Err(CropError::OutsideImage { .. })));
        let empty = crop.cut(&RgbImage::new(0, 9), bbox, None);
        assert!(matches!(empty, Err(CropError::EmptyImage { .. })));
        let size = FaceCrop { size: 0, ..crop }.cut(&map(), bbox, None);
        assert!(matches!(size, Err(CropError::Setting { setting: "size", .. })));
        let scale = FaceCrop { scale: -1.0, ..crop }.cut(&map(), bbox, None);
        assert!(matches!(scale, Err(CropError::Setting { setting: "scale", .. })));
        let same = Landmarks::from_points([Point::new(20.0, 20.0); 5]);
        let align = FaceCrop { align: true, ..crop };
        assert_eq!(align.cut(&map(), bbox, None), Err(CropError::Landmarks));
        assert_eq!(align.cut(&map(), bbox, Some(&same)), Err(CropError::Landmarks));
    }
}
