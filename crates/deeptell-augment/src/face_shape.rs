//! A mean face, and the regions of it that a manipulation may cover.
//!
//! Coordinates: the origin lies midway between the eyes, x to the right and y down, the distance
//! of the eyes is 1. The five landmarks are at the mean positions of upright frontal faces, as
//! alignment templates have them; the contour is drawn around them by hand from the proportions
//! of a head: jaw at 2.1 eye distances wide, chin at 1.87 below the eyes, hairline at 1.1 above.

use std::f32::consts::TAU;

use deeptell_face::{Landmarks, Point, Similarity};
use rand::Rng;
use serde::{Deserialize, Serialize};

use crate::AugmentError;
use crate::random::{signed, within};

const fn at(x: f32, y: f32) -> Point {
    Point::new(x, y)
}

/// Left eye, right eye, nose, left and right corner of the mouth.
const LANDMARKS: [Point; 5] =
    [at(-0.5, 0.0), at(0.5, 0.0), at(0.0, 0.575), at(-0.415, 1.155), at(0.415, 1.155)];

/// Width of the face over the distance of the eyes.
const FACE_WIDTH: f32 = 2.1;

/// The right half of the jaw, from temple to chin.
const JAW: [Point; 8] = [
    at(1.08, -0.05),
    at(1.07, 0.3),
    at(1.02, 0.65),
    at(0.93, 1.0),
    at(0.78, 1.32),
    at(0.56, 1.6),
    at(0.3, 1.8),
    at(0.0, 1.87),
];
/// The right half of the hairline, from its middle to the temple.
const FOREHEAD: [Point; 5] =
    [at(0.0, -1.1), at(0.32, -1.07), at(0.62, -0.95), at(0.88, -0.72), at(1.03, -0.4)];
/// Just above the right brow, from the middle outwards.
const BROW: [Point; 4] = [at(0.0, -0.4), at(0.35, -0.48), at(0.7, -0.48), at(0.95, -0.32)];
/// Below the right eye, from the bridge of the nose to the cheek.
const CHEEK: [Point; 4] = [at(0.0, 0.25), at(0.25, 0.35), at(0.6, 0.38), at(1.02, 0.35)];
/// Around eyes, nose and mouth with a margin, right half from the top down.
const FEATURES: [Point; 8] = [
    at(0.0, -0.28),
    at(0.5, -0.34),
    at(0.82, -0.2),
    at(0.86, 0.12),
    at(0.7, 0.65),
    at(0.66, 1.1),
    at(0.45, 1.42),
    at(0.0, 1.5),
];

/// What part of the face a mask covers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum MaskKind {
    /// From the hairline to the chin.
    WholeFace,
    /// From the brows to the chin.
    NoForehead,
    /// From below the eyes to the chin.
    LowerFace,
    /// Eyes, nose and mouth with a margin.
    EyesNoseMouth,
    /// A superellipse over the face, with a random exponent from 2 to 4.
    Superellipse,
    /// Both eyes or the mouth alone.
    SingleFeature,
}

impl MaskKind {
    /// All kinds, in the order of [`SelfBlend::mask_weights`](crate::SelfBlend::mask_weights).
    pub const ALL: [Self; 6] = [
        Self::WholeFace,
        Self::NoForehead,
        Self::LowerFace,
        Self::EyesNoseMouth,
        Self::Superellipse,
        Self::SingleFeature,
    ];

    /// The outlines of the region on the mean face.
    pub(crate) fn outlines(self, rng: &mut impl Rng) -> Vec<Vec<Point>> {
        // Drawn for every kind, so that the kind does not shift the draws that follow.
        let exponent = within(rng, [2.0, 4.0]);
        let eyes = signed(rng, 1.0) < 0.0;
        match self {
            Self::WholeFace => vec![mirrored(FOREHEAD.iter().chain(&JAW))],
            Self::NoForehead => vec![mirrored(BROW.iter().chain(&JAW))],
            Self::LowerFace => vec![mirrored(CHEEK.iter().chain(&JAW[2..]))],
            Self::EyesNoseMouth => vec![mirrored(FEATURES.iter())],
            Self::Superellipse => vec![superellipse(at(0.0, 0.42), at(1.0, 1.4), exponent)],
            Self::SingleFeature if eyes => {
                [-0.5, 0.5].map(|x| superellipse(at(x, 0.0), at(0.4, 0.28), 2.0)).into()
            }
            Self::SingleFeature => vec![superellipse(at(0.0, 1.155), at(0.65, 0.4), 2.0)],
        }
    }
}

/// A closed outline from its right half, which runs from the top to the bottom.
fn mirrored<'a>(right_half: impl DoubleEndedIterator<Item = &'a Point> + Clone) -> Vec<Point> {
    let left_half = right_half.clone().rev().filter(|p| p.x != 0.0).map(|p| at(-p.x, p.y));
    right_half.copied().chain(left_half).collect()
}

fn superellipse(center: Point, radii: Point, exponent: f32) -> Vec<Point> {
    let bend = |v: f32| v.signum() * v.abs().powf(2.0 / exponent);
    (0..40)
        .map(|i| {
            let (sin, cos) = (i as f32 / 40.0 * TAU).sin_cos();
            at(center.x + radii.x * bend(cos), center.y + radii.y * bend(sin))
        })
        .collect()
}

/// Where the mean face lies in a picture.
#[derive(Debug, Clone, Copy)]
pub(crate) struct FaceFit {
    pub(crate) image_from_face: Similarity,
}

/// The smallest distance of the eyes, in pixels, that leaves room for a mask with soft edges.
const SMALLEST_EYE_DISTANCE: f32 = 6.0;
/// Root mean square distance of the landmarks from the fitted ones, over the distance of the
/// eyes. Upright faces stay below 0.1, profiles reach 0.25; a mirrored set lies far above.
const LARGEST_MISFIT: f32 = 0.35;

impl FaceFit {
    /// Fits the mean face by least squares.
    pub(crate) fn new(landmarks: &Landmarks) -> Result<Self, AugmentError> {
        let fail = |reason: String| Err(AugmentError::DegenerateLandmarks { reason });
        if !landmarks.is_finite() {
            return fail("a coordinate is not a finite number".to_owned());
        }
        let points = landmarks.points();
        let Some(image_from_face) = Similarity::estimate(&LANDMARKS, &points) else {
            return fail("the points coincide".to_owned());
        };
        let scale = image_from_face.scale();
        if scale < SMALLEST_EYE_DISTANCE {
            return fail(format!(
                "the eyes are {scale:.1} pixels apart, at least {SMALLEST_EYE_DISTANCE} are needed"
            ));
        }
        let squares: f32 = LANDMARKS
            .iter()
            .zip(points)
            .map(|(&mean, p)| image_from_face.apply(mean).distance(p).powi(2))
            .sum();
        let misfit = (squares / 5.0).sqrt() / scale;
        if misfit.is_nan() || misfit > LARGEST_MISFIT {
            return fail(format!(
                "they are {misfit:.2} eye distances off a mean face (left and right are as seen in the picture)"
            ));
        }
        Ok(Self { image_from_face })
    }

    /// Width of the face in pixels.
    pub(crate) fn width(&self) -> f32 {
        self.image_from_face.scale() * FACE_WIDTH
    }

    /// Center of the face (between eyes and mouth) in the picture.
    pub(crate) fn center(&self) -> Point {
        self.image_from_face.apply(at(0.0, 0.5))
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;

    use super::*;

    fn moved(scale: f32) -> Landmarks {
        let place = Similarity::about(at(0.0, 0.0), at(90.0, 70.0), scale, 0.3);
        Landmarks::from_points(LANDMARKS.map(|p| place.apply(p)))
    }

    #[test]
    fn fit_recovers_the_pose_of_the_mean_face() {
        let fit = FaceFit::new(&moved(40.0)).unwrap();
        assert!((fit.width() - 84.0).abs() < 0.1);
        assert!(fit.image_from_face.apply(at(0.0, 0.0)).distance(at(90.0, 70.0)) < 0.01);
    }

    #[test]
    fn fit_rejects_landmarks_that_form_no_face() {
        let good = moved(40.0);
        let mirrored = Landmarks {
            left_eye: good.right_eye,
            right_eye: good.left_eye,
            mouth_left: good.mouth_right,
            mouth_right: good.mouth_left,
            ..good
        };
        let cases = [
            (Landmarks { nose: at(f32::NAN, 3.0), ..good }, "finite"),
            (good.map(|_| at(5.0, 5.0)), "coincide"),
            (moved(3.0), "pixels apart"),
            (mirrored, "mean face"),
            (Landmarks { nose: at(900.0, 900.0), ..good }, "mean face"),
        ];
        for (landmarks, word) in cases {
            let error = FaceFit::new(&landmarks).unwrap_err();
            assert!(error.to_string().contains(word), "{error}");
        }
    }

    #[test]
    fn each_mask_kind_is_symmetric_and_covers_its_features() {
        let mut rng = ChaCha8Rng::seed_from_u64(0);
        for kind in MaskKind::ALL {
            let outlines = kind.outlines(&mut rng);
            let points: Vec<_> = outlines.iter().flatten().collect();
            let sum: f32 = points.iter().map(|p| p.x).sum();
            assert!(sum.abs() < 1e-3, "{kind:?}");
            assert!((14..=80).contains(&points.len()), "{kind:?} {}", points.len());
            let top = points.iter().map(|p| p.y).fold(f32::MAX, f32::min);
            match kind {
                MaskKind::WholeFace => assert!(top < -1.0),
                MaskKind::NoForehead => assert!(top > -0.6 && top < -0.3),
                MaskKind::LowerFace => assert!(top > 0.2),
                _ => {}
            }
        }
    }
}
