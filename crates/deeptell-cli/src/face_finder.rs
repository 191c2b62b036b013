//! The one face of a picture that is meant.

use burn::tensor::Device;
use clap::ValueEnum;
use deeptell_face::{Point, RgbImage};
use deeptell_mtcnn::{Face, Mtcnn, MtcnnConfig, MtcnnError, Selection};
use image::Rgb;
use serde::{Deserialize, Serialize};

/// Which face of a picture to take.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Which {
    /// The largest.
    Largest,
    /// The one the face detector is surest of.
    MostProbable,
}

/// Finds faces and picks one.
pub(crate) struct FaceFinder {
    mtcnn: Mtcnn,
    which: Which,
    min_probability: f32,
}

impl FaceFinder {
    /// Looks for faces of at least `min_face` pixels that MTCNN gives at least `min_probability`.
    ///
    /// # Errors
    /// When `min_face` is out of range.
    pub(crate) fn new(
        which: Which,
        min_face: f32,
        min_probability: f32,
        device: &Device,
    ) -> Result<Self, MtcnnError> {
        let mtcnn = MtcnnConfig { min_face: min_face.into(), ..MtcnnConfig::default() }.init(device)?;
        Ok(Self { mtcnn, which, min_probability })
    }

    /// The face that is meant, if there is one in the picture.
    ///
    /// # Errors
    /// As [`Mtcnn::detect`].
    pub(crate) fn find(&self, image: &RgbImage) -> Result<Option<Face>, MtcnnError> {
        let (width, height) = image.dimensions();
        let mut faces = self.mtcnn.detect(image)?;
        faces.retain(|f| f.probability >= self.min_probability && f.bbox.clamped(width, height).is_some());
        let selection = match self.which {
            Which::Largest => Selection::Largest,
            Which::MostProbable => Selection::MostProbable,
        };
        Ok(selection.pick(&faces, width, height).map(|chosen| faces.swap_remove(chosen)))
    }

    /// [`find`](Self::find) in a picture that is a face crop itself, in its pixels; the box may reach over its edges.
    ///
    /// MTCNN knows faces with a margin around them. In one that fills its picture it finds parts, and landmarks that
    /// lie tens of pixels off; so the picture gets a margin of half its size in its mean colour first.
    ///
    /// # Errors
    /// As [`Mtcnn::detect`].
    pub(crate) fn find_in_crop(&self, crop: &RgbImage) -> Result<Option<Face>, MtcnnError> {
        let (left, top) = (crop.width() / 2, crop.height() / 2);
        let mut framed =
            RgbImage::from_pixel(crop.width() + 2 * left, crop.height() + 2 * top, mean_color(crop));
        image::imageops::replace(&mut framed, crop, left.into(), top.into());
        let face = self.find(&framed)?.map(|face| {
            let (dx, dy) = (-(left as f32), -(top as f32));
            Face {
                bbox: face.bbox.translated(dx, dy),
                landmarks: face.landmarks.map(|point| Point::new(point.x + dx, point.y + dy)),
                ..face
            }
        });
        Ok(face.filter(|face| face.bbox.clamped(crop.width(), crop.height()).is_some()))
    }
}

fn mean_color(image: &RgbImage) -> Rgb<u8> {
    let mut sums = [0u64; 3];
    for pixel in image.pixels() {
        for (sum, &value) in sums.iter_mut().zip(&pixel.0) {
            *sum += u64::from(value);
        }
    }
    let pixels = (u64::from(image.width()) * u64::from(image.height())).max(1);
    Rgb(sums.map(|sum| (sum / pixels) as u8))
}

#[cfg(test)]
mod tests {
    use deeptell_face::FaceCrop;

    use super::*;

    #[test]
    fn a_face_that_fills_its_crop_is_found_where_it_is() {
        let portrait = concat!(env!("CARGO_MANIFEST_DIR"), "/../deeptell-mtcnn/tests/data/astronaut.png");
        let portrait = image::open(portrait).unwrap().into_rgb8();
        let finder = FaceFinder::new(Which::Largest, 40.0, 0.8, &Device::flex()).unwrap();
        let face = finder.find(&portrait).unwrap().unwrap();

        let tight = FaceCrop { size: 224, scale: 0.8, align: false };
        let crop = tight.cut(&portrait, face.bbox, None).unwrap();
        let crop_from_portrait = tight.image_from_crop(face.bbox, None).unwrap().inverse().unwrap();
        let again = finder.find_in_crop(&crop).unwrap().unwrap();
        for (found, known) in again.landmarks.points().into_iter().zip(face.landmarks.points()) {
            let known = crop_from_portrait.apply(known);
            assert!(found.distance(known) < 8.0, "{found:?} for {known:?}");
        }
        // The whole face, and so more than the crop shows of it.
        assert!(again.bbox.height() > 224.0, "{:?}", again.bbox);
    }

    #[test]
    fn the_margin_has_the_mean_color() {
        let image = RgbImage::from_fn(4, 1, |x, _| Rgb([10 * x as u8, 100, 0]));
        assert_eq!(mean_color(&image), Rgb([15, 100, 0]));
    }
}
