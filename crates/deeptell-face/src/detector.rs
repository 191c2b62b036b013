//! The interface of face detectors.

use std::collections::BTreeMap;
use std::error::Error;
use std::fmt;
use std::sync::Arc;

use image::Rgb;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Face, RgbImage, Selection};

/// Finds the faces of images.
///
/// All crates that use faces work with any implementation; `deeptell-mtcnn` is the default.
/// Implementing [`id`](Self::id) and [`detect`](Self::detect) is enough:
///
/// ```
/// use deeptell_face::{Face, FaceDetector, FaceDetectorId, FaceError, Rect, RgbImage};
///
/// /// Reports the center of every image as a face.
/// #[derive(Debug)]
/// struct Middle;
///
/// impl FaceDetector for Middle {
///     fn id(&self) -> FaceDetectorId {
///         FaceDetectorId::new("middle")
///     }
///
///     fn detect(&self, images: &[&RgbImage]) -> Result<Vec<Vec<Face>>, FaceError> {
///         let middle = |image: &&RgbImage| {
///             let (width, height) = (image.width() as f32, image.height() as f32);
///             let bbox = Rect::new(0.0, 0.0, width, height).scaled(0.5);
///             vec![Face::frontal(bbox, 1.0)]
///         };
///         Ok(images.iter().map(middle).collect())
///     }
/// }
///
/// let faces = Middle.find(&RgbImage::new(64, 48), 0.9)?;
/// assert_eq!(faces[0].bbox, Rect::new(16.0, 12.0, 48.0, 36.0));
/// # Ok::<(), FaceError>(())
/// ```
pub trait FaceDetector: fmt::Debug + Send + Sync {
    /// The detector, and all of its settings that change its boxes.
    ///
    /// A classifier is trained and calibrated on the boxes of one face detector. Extraction folders
    /// (`extract.toml`) and reports record the whole id; the rows of a manifest record the name.
    /// The card of a model records the name, and the settings where they are known: when it was
    /// calibrated on crops that still lie in their extraction folder, or on faces found for it.
    fn id(&self) -> FaceDetectorId;

    /// The faces of each image, in the order of `images`, which may differ in size.
    ///
    /// Boxes and landmarks are in pixels of the image and may reach beyond it.
    ///
    /// # Errors
    /// [`FaceError::Failed`] when the detector cannot run.
    fn detect(&self, images: &[&RgbImage]) -> Result<Vec<Vec<Face>>, FaceError>;

    /// The largest face of `image`. Override this in a detector that can find it faster than all faces.
    ///
    /// # Errors
    /// As [`detect`](Self::detect).
    fn detect_largest(&self, image: &RgbImage) -> Result<Option<Face>, FaceError> {
        Ok(Selection::Largest.pick(&self.find(image, 0.0)?))
    }

    /// The same detector with a smallest face of `pixels` (height of the box), or `None` if it has
    /// no such setting.
    ///
    /// # Errors
    /// [`FaceError::Setting`] if `pixels` is out of the range of that setting.
    fn with_min_face(&self, pixels: f32) -> Result<Option<Arc<dyn FaceDetector>>, FaceError> {
        let _ = pixels;
        Ok(None)
    }

    /// The faces of one image that have at least `min_probability` and touch the image, the
    /// largest first.
    ///
    /// # Errors
    /// As [`detect`](Self::detect), and [`FaceError::Count`] when that does not return one list
    /// per image.
    fn find(&self, image: &RgbImage, min_probability: f32) -> Result<Vec<Face>, FaceError> {
        let found = self.detect(&[image])?;
        let [mut faces]: [Vec<Face>; 1] = found.try_into().map_err(|found: Vec<_>| FaceError::Count {
            face_detector: self.id().name,
            images: 1,
            lists: found.len(),
        })?;
        faces.retain(|face| face.probability >= min_probability && face.touches(image));
        faces.sort_by(|a, b| b.bbox.area().total_cmp(&a.bbox.area()));
        Ok(faces)
    }

    /// The face that `selection` picks in an image which is itself a face crop, in its pixels; the
    /// box may reach over its edges.
    ///
    /// Face detectors are trained on faces with a margin around them. In an image that a face fills,
    /// they find parts of it, and landmarks that are tens of pixels off. This adds a margin of half
    /// the size of the image, in its mean color, and then calls [`find`](Self::find).
    ///
    /// # Errors
    /// As [`find`](Self::find).
    fn find_in_crop(
        &self,
        crop: &RgbImage,
        min_probability: f32,
        selection: Selection,
    ) -> Result<Option<Face>, FaceError> {
        let (left, top) = (crop.width() / 2, crop.height() / 2);
        let mut framed =
            RgbImage::from_pixel(crop.width() + 2 * left, crop.height() + 2 * top, mean_color(crop));
        image::imageops::replace(&mut framed, crop, left.into(), top.into());
        let face = selection.pick(&self.find(&framed, min_probability)?);
        let in_crop = face.map(|face| face.translated(-(left as f32), -(top as f32)));
        Ok(in_crop.filter(|face| face.touches(crop)))
    }
}

/// A face detector and its settings, as recorded with the boxes it made.
///
/// Two detectors with the same id return the same boxes for the same image.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct FaceDetectorId {
    /// Name of the method and its weights, for example `mtcnn`.
    pub name: String,
    /// Every setting that changes the boxes, by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub settings: BTreeMap<String, String>,
}

impl FaceDetectorId {
    /// A detector without settings.
    pub fn new(name: impl Into<String>) -> Self {
        Self { name: name.into(), settings: BTreeMap::new() }
    }

    /// The same name with only the settings that differ from those of `other`.
    #[must_use]
    pub fn differing_from(mut self, other: &Self) -> Self {
        self.settings.retain(|setting, value| other.settings.get(setting) != Some(value));
        self
    }

    /// Adds a setting.
    #[must_use]
    pub fn with(mut self, setting: impl Into<String>, value: impl fmt::Display) -> Self {
        self.settings.insert(setting.into(), value.to_string());
        self
    }
}

impl fmt::Display for FaceDetectorId {
    /// `mtcnn (min_face 40, max_side 640)`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)?;
        for (number, (setting, value)) in self.settings.iter().enumerate() {
            write!(f, "{}{setting} {value}", if number == 0 { " (" } else { ", " })?;
        }
        f.write_str(if self.settings.is_empty() { "" } else { ")" })
    }
}

/// Why face detection failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FaceError {
    /// The detector failed while it ran.
    #[error("the face detector {face_detector} failed")]
    Failed {
        /// [`FaceDetectorId::name`].
        face_detector: String,
        /// What it said.
        source: Box<dyn Error + Send + Sync>,
    },
    /// A setting is out of its range: correct it.
    #[error(
        "the setting `{setting}` of the face detector {face_detector} is {value}, but must be {expected}"
    )]
    Setting {
        /// [`FaceDetectorId::name`].
        face_detector: String,
        /// Name of the setting.
        setting: &'static str,
        /// The value found.
        value: f64,
        /// The values allowed.
        expected: &'static str,
    },
    /// The detector returned another number of lists than it was given images: correct its code.
    #[error("the face detector {face_detector} returned {lists} lists of faces for {images} images")]
    Count {
        /// [`FaceDetectorId::name`].
        face_detector: String,
        /// Images it was given.
        images: usize,
        /// Lists it returned.
        lists: usize,
    },
}

impl FaceError {
    /// An error of `detector` itself.
    pub fn failed(detector: &FaceDetectorId, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::Failed { face_detector: detector.name.clone(), source: source.into() }
    }
}

/// The mean color of an image; black for one without pixels.
fn mean_color(image: &RgbImage) -> Rgb<u8> {
    let mut sums = [0_u64; 3];
    for pixel in image.pixels() {
        for (sum, &value) in sums.iter_mut().zip(&pixel.0) {
            *sum += u64::from(value);
        }
    }
    let pixels = (u64::from(image.width()) * u64::from(image.height())).max(1);
    Rgb(sums.map(|sum| (sum / pixels) as u8))
}

/// A face detector made of a function that finds the faces of one image.
///
/// ```
/// use deeptell_face::{Face, FaceDetector, FaceDetectorFn, FaceError, Rect, RgbImage};
///
/// // For pictures that show one face each, as a whole.
/// let whole = FaceDetectorFn::new("whole", |image: &RgbImage| {
///     let bbox = Rect::new(0.0, 0.0, image.width() as f32, image.height() as f32);
///     vec![Face::frontal(bbox, 1.0)]
/// });
/// assert_eq!(whole.find(&RgbImage::new(64, 48), 0.9)?.len(), 1);
/// # Ok::<(), FaceError>(())
/// ```
pub struct FaceDetectorFn<F> {
    id: FaceDetectorId,
    find: F,
}

impl<F: Fn(&RgbImage) -> Vec<Face> + Send + Sync> FaceDetectorFn<F> {
    /// A face detector of this name that calls `find` with each image.
    pub fn new(name: &str, find: F) -> Self {
        Self { id: FaceDetectorId::new(name), find }
    }
}

impl<F> fmt::Debug for FaceDetectorFn<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FaceDetectorFn").field("id", &self.id).finish_non_exhaustive()
    }
}

impl<F: Fn(&RgbImage) -> Vec<Face> + Send + Sync> FaceDetector for FaceDetectorFn<F> {
    fn id(&self) -> FaceDetectorId {
        self.id.clone()
    }

    fn detect(&self, images: &[&RgbImage]) -> Result<Vec<Vec<Face>>, FaceError> {
        Ok(images.iter().map(|image| (self.find)(image)).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Rect;

    /// Returns the given faces, whatever the image.
    #[derive(Debug)]
    struct Told(Vec<Vec<Face>>);

    impl FaceDetector for Told {
        fn id(&self) -> FaceDetectorId {
            FaceDetectorId::new("told").with("min_face", 40.5).with("faces", 2)
        }

        fn detect(&self, _: &[&RgbImage]) -> Result<Vec<Vec<Face>>, FaceError> {
            Ok(self.0.clone())
        }
    }

    fn face(x: f32, side: f32, probability: f32) -> Face {
        Face::frontal(Rect::new(x, 0.0, x + side, side), probability)
    }

    #[test]
    fn found_faces_are_likely_inside_and_the_largest_first() {
        let image = RgbImage::new(100, 100);
        let faces = vec![
            face(0.0, 10.0, 0.9),
            face(20.0, 30.0, 0.95),
            face(50.0, 40.0, 0.89),
            face(200.0, 50.0, 1.0),
        ];
        let told = Told(vec![faces.clone()]);
        assert_eq!(told.find(&image, 0.9).unwrap(), [faces[1], faces[0]]);
        assert_eq!(told.detect_largest(&image).unwrap(), Some(faces[2]));
        assert!(told.with_min_face(40.0).unwrap().is_none());
    }

    #[test]
    fn a_list_too_many_or_too_few_is_an_error() {
        for lists in [0, 2] {
            let error = Told(vec![Vec::new(); lists]).find(&RgbImage::new(8, 8), 0.5).unwrap_err();
            assert!(
                matches!(error, FaceError::Count { images: 1, lists: found, .. } if found == lists),
                "{error}"
            );
        }
    }

    #[test]
    fn a_face_found_in_a_framed_crop_is_moved_back() {
        // The margin is 50 pixels on each side.
        let told = |x| Told(vec![vec![face(x, 60.0, 1.0)]]);
        let crop = RgbImage::new(100, 100);
        let found = told(40.0).find_in_crop(&crop, 0.9, Selection::Largest).unwrap().unwrap();
        assert_eq!(found.bbox, Rect::new(-10.0, -50.0, 50.0, 10.0));
        assert!(told(155.0).find_in_crop(&crop, 0.9, Selection::Largest).unwrap().is_none());
    }

    #[test]
    fn an_identity_lists_its_settings() {
        let id = Told(Vec::new()).id();
        assert_eq!(id.to_string(), "told (faces 2, min_face 40.5)");
        assert_eq!(FaceDetectorId::new("told").to_string(), "told");
        assert_ne!(id, FaceDetectorId::new("told"));
        let other = FaceDetectorId::new("told").with("min_face", 20).with("faces", 2);
        assert_eq!(id.differing_from(&other).to_string(), "told (min_face 40.5)");
    }

    #[test]
    fn the_margin_has_the_mean_color() {
        let image = RgbImage::from_fn(4, 1, |x, _| Rgb([10 * x as u8, 100, 0]));
        assert_eq!(mean_color(&image), Rgb([15, 100, 0]));
        assert_eq!(mean_color(&RgbImage::new(0, 9)), Rgb([0; 3]));
    }
}
