use deeptell_face::{Landmarks, Point, Rect};
use serde::{Deserialize, Serialize};

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
    /// The face in an image stretched by `x` and `y`.
    pub(crate) fn stretched(&self, x: f32, y: f32) -> Self {
        let Rect { x1, y1, x2, y2 } = self.bbox;
        Self {
            bbox: Rect::new(x * x1, y * y1, x * x2, y * y2),
            probability: self.probability,
            landmarks: self.landmarks.map(|point| Point::new(x * point.x, y * point.y)),
        }
    }
}

/// Which face of an image is meant when only one is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Selection {
    /// The face with the largest box.
    #[default]
    Largest,
    /// The face with the highest probability.
    MostProbable,
    /// The largest of the faces whose probability exceeds this one; facenet-pytorch takes 0.9.
    LargestAbove(f32),
    /// The face whose area less twice the squared distance of its centre from the centre of the
    /// image is largest.
    CentreWeighted,
}

impl Selection {
    /// Index of the chosen one of `faces` in an image of `width x height` pixels, or `None` when
    /// no face qualifies. Of equals the first is chosen.
    pub fn pick(self, faces: &[Face], width: u32, height: u32) -> Option<usize> {
        let value = |face: &Face| match self {
            Self::Largest => face.bbox.area(),
            Self::LargestAbove(probability) => {
                if face.probability > probability {
                    face.bbox.area()
                } else {
                    f32::NAN
                }
            }
            Self::MostProbable => face.probability,
            Self::CentreWeighted => {
                let center = face.bbox.center();
                let (dx, dy) = (center.x - 0.5 * width as f32, center.y - 0.5 * height as f32);
                face.bbox.area() - 2.0 * (dx * dx + dy * dy)
            }
        };
        faces
            .iter()
            .map(value)
            .enumerate()
            .filter(|(_, value)| !value.is_nan())
            .reduce(|best, next| if next.1 > best.1 { next } else { best })
            .map(|(index, _)| index)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn face(x: f32, y: f32, side: f32, probability: f32) -> Face {
        let landmarks = Landmarks::from_points([Point::new(x, y); 5]);
        Face { bbox: Rect::new(x, y, x + side, y + side), probability, landmarks }
    }

    #[test]
    fn each_rule_picks_its_face() {
        let faces = [
            face(0.0, 0.0, 50.0, 0.8),     // the largest
            face(300.0, 200.0, 10.0, 1.0), // the surest
            face(290.0, 0.0, 40.0, 0.95),  // the largest of the sure ones
            face(145.0, 95.0, 12.0, 0.9),  // in the middle
        ];
        assert_eq!(Selection::Largest.pick(&faces, 300, 200), Some(0));
        assert_eq!(Selection::MostProbable.pick(&faces, 300, 200), Some(1));
        assert_eq!(Selection::LargestAbove(0.9).pick(&faces, 300, 200), Some(2));
        assert_eq!(Selection::CentreWeighted.pick(&faces, 300, 200), Some(3));
    }

    #[test]
    fn nobody_and_ties() {
        assert_eq!(Selection::Largest.pick(&[], 10, 10), None);
        let twins = [face(0.0, 0.0, 5.0, 0.7), face(9.0, 0.0, 5.0, 0.7)];
        assert_eq!(Selection::Largest.pick(&twins, 20, 10), Some(0));
        assert_eq!(Selection::LargestAbove(0.7).pick(&twins, 20, 10), None);
        assert_eq!(Selection::MostProbable.pick(&[face(0.0, 0.0, 5.0, f32::NAN)], 20, 10), None);
    }
}
