use serde::{Deserialize, Serialize};

use crate::{Landmarks, Point, Rect, RgbImage};

/// A face found in an image.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Face {
    /// The face from forehead to chin, in pixels; may reach beyond the image.
    pub bbox: Rect,
    /// Probability of a face, `0..=1`.
    pub probability: f32,
    /// Eyes, nose and mouth corners, in pixels; may lie beyond the image.
    pub landmarks: Landmarks,
}

impl Face {
    /// A face of which only the box is known, with the landmarks of a frontal, upright face.
    pub fn frontal(bbox: Rect, probability: f32) -> Self {
        Self { bbox, probability, landmarks: Landmarks::frontal(bbox) }
    }

    /// The longer side of the box, in pixels.
    pub fn side(&self) -> f32 {
        self.bbox.width().max(self.bbox.height())
    }

    /// The face moved by `(dx, dy)` pixels.
    #[must_use]
    pub fn translated(&self, dx: f32, dy: f32) -> Self {
        Self {
            bbox: self.bbox.translated(dx, dy),
            landmarks: self.landmarks.map(|point| Point::new(point.x + dx, point.y + dy)),
            ..*self
        }
    }

    /// The face in an image stretched `x` times across and `y` times down.
    #[must_use]
    pub fn stretched(&self, x: f32, y: f32) -> Self {
        let Rect { x1, y1, x2, y2 } = self.bbox;
        Self {
            bbox: Rect::new(x * x1, y * y1, x * x2, y * y2),
            landmarks: self.landmarks.map(|point| Point::new(x * point.x, y * point.y)),
            ..*self
        }
    }

    /// Whether part of the box lies inside `image`; a box that is empty or not finite does not.
    pub fn touches(&self, image: &RgbImage) -> bool {
        self.bbox.is_finite() && self.bbox.clamped(image.width(), image.height()).is_some()
    }
}

/// Which face of an image to use when only one is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Selection {
    /// The face with the largest box.
    #[default]
    Largest,
    /// The face with the highest probability.
    MostProbable,
}

impl Selection {
    /// The selected one of `faces`, or `None` if there is none. Of equals, the first is selected; faces
    /// whose area or probability is NaN never are.
    pub fn pick(self, faces: &[Face]) -> Option<Face> {
        let value = |face: &Face| match self {
            Self::Largest => face.bbox.area(),
            Self::MostProbable => face.probability,
        };
        faces
            .iter()
            .filter(|face| !value(face).is_nan())
            .copied()
            .reduce(|best, next| if value(&next) > value(&best) { next } else { best })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn face(x: f32, y: f32, side: f32, probability: f32) -> Face {
        Face::frontal(Rect::new(x, y, x + side, y + side), probability)
    }

    #[test]
    fn each_rule_picks_its_face() {
        let faces = [face(0.0, 0.0, 50.0, 0.8), face(300.0, 200.0, 10.0, 1.0), face(290.0, 0.0, 40.0, 0.95)];
        assert_eq!(Selection::Largest.pick(&faces), Some(faces[0]));
        assert_eq!(Selection::MostProbable.pick(&faces), Some(faces[1]));
    }

    #[test]
    fn selection_handles_no_face_ties_and_values_that_are_not_numbers() {
        assert_eq!(Selection::Largest.pick(&[]), None);
        let twins = [face(0.0, 0.0, 5.0, 0.7), face(9.0, 0.0, 5.0, 0.7)];
        assert_eq!(Selection::Largest.pick(&twins), Some(twins[0]));
        assert_eq!(Selection::MostProbable.pick(&[face(0.0, 0.0, 5.0, f32::NAN)]), None);
    }

    #[test]
    fn a_face_is_moved_and_stretched_with_its_landmarks() {
        let moved = face(10.0, 20.0, 40.0, 0.9).translated(-10.0, 5.0).stretched(2.0, 0.5);
        assert_eq!(moved.bbox, Rect::new(0.0, 12.5, 80.0, 32.5));
        let left = Landmarks::frontal(Rect::new(0.0, 25.0, 40.0, 65.0)).left_eye;
        assert_eq!(moved.landmarks.left_eye, Point::new(2.0 * left.x, 0.5 * left.y));
        assert_eq!((moved.probability, moved.side()), (0.9, 80.0));
    }

    #[test]
    fn only_faces_with_a_pixel_inside_touch_the_image() {
        let image = RgbImage::new(100, 50);
        assert!(face(-30.0, -30.0, 40.0, 1.0).touches(&image));
        assert!(!face(-30.0, -30.0, 20.0, 1.0).touches(&image));
        assert!(!face(f32::NAN, 0.0, 20.0, 1.0).touches(&image));
    }
}
