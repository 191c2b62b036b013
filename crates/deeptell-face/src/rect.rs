use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A position in an image, in pixels: x to the right, y down.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Point {
    /// Pixels from the left edge.
    pub x: f32,
    /// Pixels from the top edge.
    pub y: f32,
}

impl Point {
    /// The point at `(x, y)`.
    pub const fn new(x: f32, y: f32) -> Self {
        Self { x, y }
    }

    /// Euclidean distance to `other`, in pixels.
    pub fn distance(self, other: Self) -> f32 {
        (self.x - other.x).hypot(self.y - other.y)
    }
}

/// An axis-aligned box given by its corners, in pixels.
///
/// It may reach beyond its image: face detectors extrapolate faces over the edge.
/// A box whose `x2 <= x1` or `y2 <= y1` is empty and has area 0.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Rect {
    /// Left edge.
    pub x1: f32,
    /// Top edge.
    pub y1: f32,
    /// Right edge (exclusive).
    pub x2: f32,
    /// Bottom edge (exclusive).
    pub y2: f32,
}

impl Rect {
    /// The box between the corners `(x1, y1)` and `(x2, y2)`.
    pub const fn new(x1: f32, y1: f32, x2: f32, y2: f32) -> Self {
        Self { x1, y1, x2, y2 }
    }

    /// Width in pixels; negative when the corners are swapped.
    pub fn width(&self) -> f32 {
        self.x2 - self.x1
    }

    /// Height in pixels; negative when the corners are swapped.
    pub fn height(&self) -> f32 {
        self.y2 - self.y1
    }

    /// Area in square pixels, 0 for an empty box.
    pub fn area(&self) -> f32 {
        self.width().max(0.0) * self.height().max(0.0)
    }

    /// The middle of the box.
    pub fn center(&self) -> Point {
        Point::new(0.5 * (self.x1 + self.x2), 0.5 * (self.y1 + self.y2))
    }

    /// Whether all four corners are finite numbers.
    pub fn is_finite(&self) -> bool {
        [self.x1, self.y1, self.x2, self.y2].iter().all(|v| v.is_finite())
    }

    /// Whether `point` lies inside (left and top edges included, right and bottom not).
    pub fn contains(&self, point: Point) -> bool {
        point.x >= self.x1 && point.x < self.x2 && point.y >= self.y1 && point.y < self.y2
    }

    /// Area shared with `other`, in square pixels.
    pub fn intersection_area(&self, other: &Self) -> f32 {
        let width = self.x2.min(other.x2) - self.x1.max(other.x1);
        let height = self.y2.min(other.y2) - self.y1.max(other.y1);
        width.max(0.0) * height.max(0.0)
    }

    /// Intersection over union with `other`, in `0..=1`; 0 when both are empty.
    pub fn iou(&self, other: &Self) -> f32 {
        let shared = self.intersection_area(other);
        let union = self.area() + other.area() - shared;
        if union > 0.0 { (shared / union).min(1.0) } else { 0.0 }
    }

    /// The box scaled about its center: `factor` 1 leaves it unchanged, 2 doubles both sides.
    #[must_use]
    pub fn scaled(&self, factor: f32) -> Self {
        let Point { x, y } = self.center();
        let (dx, dy) = (0.5 * factor * self.width(), 0.5 * factor * self.height());
        Self::new(x - dx, y - dy, x + dx, y + dy)
    }

    /// The square on the longer side, with the same center.
    #[must_use]
    pub fn to_square(&self) -> Self {
        let Point { x, y } = self.center();
        let half = 0.5 * self.width().max(self.height());
        Self::new(x - half, y - half, x + half, y + half)
    }

    /// The box moved by `(dx, dy)` pixels.
    #[must_use]
    pub fn translated(&self, dx: f32, dy: f32) -> Self {
        Self::new(self.x1 + dx, self.y1 + dy, self.x2 + dx, self.y2 + dy)
    }

    /// The part inside an image of `width x height` pixels, or `None` if there is none.
    pub fn clamped(&self, width: u32, height: u32) -> Option<Self> {
        let (width, height) = (width as f32, height as f32);
        let inside = Self::new(
            self.x1.clamp(0.0, width),
            self.y1.clamp(0.0, height),
            self.x2.clamp(0.0, width),
            self.y2.clamp(0.0, height),
        );
        (inside.width() > 0.0 && inside.height() > 0.0).then_some(inside)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn overlap_matches_hand_computation() {
        let a = Rect::new(0.0, 0.0, 10.0, 10.0);
        let b = Rect::new(5.0, 0.0, 15.0, 10.0);
        assert_eq!(a.intersection_area(&b), 50.0);
        assert!((a.iou(&b) - 50.0 / 150.0).abs() < 1e-7);
        assert_eq!(a.iou(&Rect::new(20.0, 20.0, 30.0, 30.0)), 0.0);
    }

    #[test]
    fn empty_boxes_have_no_area_and_no_overlap() {
        let swapped = Rect::new(10.0, 10.0, 0.0, 0.0);
        assert_eq!(swapped.area(), 0.0);
        assert_eq!(swapped.iou(&swapped), 0.0);
        assert!(swapped.clamped(5, 5).is_none());
    }

    #[test]
    fn squares_keep_the_center_and_the_longer_side() {
        let square = Rect::new(10.0, 0.0, 30.0, 60.0).to_square();
        assert_eq!(square, Rect::new(-10.0, 0.0, 50.0, 60.0));
        assert_eq!(square.scaled(0.5), Rect::new(5.0, 15.0, 35.0, 45.0));
    }

    #[test]
    fn clamping_keeps_only_what_the_image_has() {
        let over_the_edge = Rect::new(-5.0, 3.0, 8.0, 30.0);
        assert_eq!(over_the_edge.clamped(10, 20), Some(Rect::new(0.0, 3.0, 8.0, 20.0)));
        assert_eq!(Rect::new(12.0, 0.0, 15.0, 5.0).clamped(10, 20), None);
        assert_eq!(Rect::new(f32::NAN, 0.0, 15.0, 5.0).clamped(10, 20), None);
    }

    fn any_rect() -> impl Strategy<Value = Rect> {
        (-50f32..50.0, -50f32..50.0, 0.5f32..60.0, 0.5f32..60.0)
            .prop_map(|(x, y, w, h)| Rect::new(x, y, x + w, y + h))
    }

    proptest! {
        #[test]
        fn iou_is_symmetric_and_bounded(a in any_rect(), b in any_rect()) {
            let overlap = a.iou(&b);
            prop_assert!((0.0..=1.0).contains(&overlap));
            prop_assert_eq!(overlap, b.iou(&a));
            prop_assert!(a.iou(&a) > 0.999);
        }

        #[test]
        fn iou_does_not_depend_on_where_the_boxes_are(a in any_rect(), b in any_rect(), dx in -64i8..64) {
            let moved = a.translated(dx as f32, 0.0).iou(&b.translated(dx as f32, 0.0));
            prop_assert!((a.iou(&b) - moved).abs() < 1e-3);
        }
    }
}
