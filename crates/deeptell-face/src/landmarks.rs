use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::crop::TEMPLATE;
use crate::{Point, Rect};

/// The five landmarks of a face, in pixels.
///
/// Left and right are those of the picture, not of the person.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Landmarks {
    /// Center of the eye on the left of the picture.
    pub left_eye: Point,
    /// Center of the eye on the right of the picture.
    pub right_eye: Point,
    /// Tip of the nose.
    pub nose: Point,
    /// Corner of the mouth on the left of the picture.
    pub mouth_left: Point,
    /// Corner of the mouth on the right of the picture.
    pub mouth_right: Point,
}

impl Landmarks {
    /// The points in the order left eye, right eye, nose, mouth left, mouth right.
    pub fn points(&self) -> [Point; 5] {
        [self.left_eye, self.right_eye, self.nose, self.mouth_left, self.mouth_right]
    }

    /// The inverse of [`points`](Self::points).
    pub fn from_points([left_eye, right_eye, nose, mouth_left, mouth_right]: [Point; 5]) -> Self {
        Self { left_eye, right_eye, nose, mouth_left, mouth_right }
    }

    /// Where a frontal, upright face in `bbox` has its landmarks: the template of
    /// [`FaceCrop`](crate::FaceCrop)'s alignment, in a square as high as the box about its center.
    pub fn frontal(bbox: Rect) -> Self {
        let (center, side) = (bbox.center(), bbox.height());
        let place = |p: Point| Point::new(center.x + side * (p.x - 0.5), center.y + side * (p.y - 0.5));
        Self::from_points(TEMPLATE.map(place))
    }

    /// Applies `f`, for example a [`Similarity`](crate::Similarity), to every point.
    #[must_use]
    pub fn map(&self, f: impl FnMut(Point) -> Point) -> Self {
        Self::from_points(self.points().map(f))
    }

    /// Whether every coordinate is a finite number.
    pub fn is_finite(&self) -> bool {
        self.points().iter().all(|p| p.x.is_finite() && p.y.is_finite())
    }
}
