use serde::{Deserialize, Serialize};

use crate::Point;

/// Rotation, uniform scale and translation of the plane, without reflection.
///
/// Maps `(x, y)` to `(a x - b y + tx, b x + a y + ty)`. Values are named by what they map,
/// target first: `image_from_crop.apply(point_in_crop)` is a point in the image.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Similarity {
    /// Scale times cosine of the rotation.
    pub a: f32,
    /// Scale times sine of the rotation.
    pub b: f32,
    /// Shift to the right, in pixels of the target.
    pub tx: f32,
    /// Shift down, in pixels of the target.
    pub ty: f32,
}

impl Similarity {
    /// The identity.
    pub const fn identity() -> Self {
        Self { a: 1.0, b: 0.0, tx: 0.0, ty: 0.0 }
    }

    /// Scale by `scale`, then turn by `radians` (clockwise on the screen, as y points
    /// down), then shift so that `from` lands on `to`.
    pub fn about(from: Point, to: Point, scale: f32, radians: f32) -> Self {
        let (sin, cos) = radians.sin_cos();
        let (a, b) = (scale * cos, scale * sin);
        Self { a, b, tx: to.x - (a * from.x - b * from.y), ty: to.y - (b * from.x + a * from.y) }
    }

    /// The least-squares transform that takes `from[i]` near `to[i]` (Umeyama 1991, without
    /// reflection, which has this closed form in the plane).
    ///
    /// `None` when the slices differ in length, hold fewer than two points, hold a number
    /// that is not finite, or all points of `from` (or of the result) coincide.
    pub fn estimate(from: &[Point], to: &[Point]) -> Option<Self> {
        if from.len() != to.len() || from.len() < 2 {
            return None;
        }
        let count = from.len() as f64;
        let mean = |points: &[Point]| {
            let (x, y) = points.iter().fold((0.0, 0.0), |(x, y), p| (x + f64::from(p.x), y + f64::from(p.y)));
            (x / count, y / count)
        };
        let ((from_x, from_y), (to_x, to_y)) = (mean(from), mean(to));
        let (mut spread, mut dot, mut cross) = (0.0, 0.0, 0.0);
        for (p, q) in from.iter().zip(to) {
            let (px, py) = (f64::from(p.x) - from_x, f64::from(p.y) - from_y);
            let (qx, qy) = (f64::from(q.x) - to_x, f64::from(q.y) - to_y);
            spread += px * px + py * py;
            dot += px * qx + py * qy;
            cross += px * qy - py * qx;
        }
        let (a, b) = (dot / spread, cross / spread);
        let found = Self {
            a: a as f32,
            b: b as f32,
            tx: (to_x - (a * from_x - b * from_y)) as f32,
            ty: (to_y - (b * from_x + a * from_y)) as f32,
        };
        let usable = [found.a, found.b, found.tx, found.ty].iter().all(|v| v.is_finite());
        (usable && found.scale() > 1e-6).then_some(found)
    }

    /// Where `point` lands.
    pub fn apply(&self, point: Point) -> Point {
        Point::new(
            self.a * point.x - self.b * point.y + self.tx,
            self.b * point.x + self.a * point.y + self.ty,
        )
    }

    /// The transform back, or `None` when the scale is 0 or not finite.
    pub fn inverse(&self) -> Option<Self> {
        let square = self.a * self.a + self.b * self.b;
        if !(square > 0.0 && square.is_finite()) {
            return None;
        }
        let (a, b) = (self.a / square, -self.b / square);
        Some(Self { a, b, tx: -(a * self.tx - b * self.ty), ty: -(b * self.tx + a * self.ty) })
    }

    /// First `self`, then `next`.
    #[must_use]
    pub fn then(&self, next: &Self) -> Self {
        let Point { x: tx, y: ty } = next.apply(Point::new(self.tx, self.ty));
        Self { a: next.a * self.a - next.b * self.b, b: next.b * self.a + next.a * self.b, tx, ty }
    }

    /// Length of the image of a unit vector.
    pub fn scale(&self) -> f32 {
        self.a.hypot(self.b)
    }
}

#[cfg(test)]
mod tests {
    use std::f32::consts::FRAC_PI_2;

    use proptest::prelude::*;

    use super::*;

    const TRIANGLE: [Point; 3] = [Point::new(0.0, 0.0), Point::new(4.0, 0.0), Point::new(0.0, 2.0)];

    #[test]
    fn a_quarter_turn_matches_hand_computation() {
        let turn = Similarity::about(Point::new(0.0, 0.0), Point::new(10.0, 0.0), 2.0, FRAC_PI_2);
        let moved = turn.apply(Point::new(1.0, 0.0));
        assert!(moved.distance(Point::new(10.0, 2.0)) < 1e-5);
        assert!((turn.scale() - 2.0).abs() < 1e-6);
    }

    #[test]
    fn degenerate_points_have_no_transform() {
        let same = [Point::new(3.0, 3.0); 3];
        assert_eq!(Similarity::estimate(&same, &TRIANGLE), None);
        assert_eq!(Similarity::estimate(&TRIANGLE, &same), None);
        assert_eq!(Similarity::estimate(&TRIANGLE, &TRIANGLE[..2]), None);
        let broken = [Point::new(f32::NAN, 0.0), TRIANGLE[1], TRIANGLE[2]];
        assert_eq!(Similarity::estimate(&broken, &TRIANGLE), None);
        assert_eq!(Similarity { a: 0.0, b: 0.0, tx: 1.0, ty: 1.0 }.inverse(), None);
    }

    proptest! {
        #[test]
        fn estimate_recovers_what_moved_the_points(
            scale in 0.1f32..8.0, radians in -3.0f32..3.0, x in -500f32..500.0, y in -500f32..500.0,
        ) {
            let truth = Similarity::about(Point::new(1.0, 1.0), Point::new(x, y), scale, radians);
            let moved = TRIANGLE.map(|p| truth.apply(p));
            let found = Similarity::estimate(&TRIANGLE, &moved).unwrap();
            for p in TRIANGLE {
                prop_assert!(found.apply(p).distance(truth.apply(p)) < 1e-2);
                let back = found.inverse().unwrap().apply(truth.apply(p));
                prop_assert!(back.distance(p) < 1e-2);
                prop_assert!(found.then(&found.inverse().unwrap()).apply(p).distance(p) < 1e-2);
            }
        }
    }
}
