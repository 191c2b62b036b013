//! Confirms a face by detecting it again in other views of itself.

use std::f32::consts::PI;

use image::imageops::flip_horizontal_in_place;

use crate::{Face, FaceDetector, FaceError, Point, RgbImage, Similarity, warp};

/// Side of a view, as a multiple of the side of the face in it: face detectors need some of the surroundings.
const MARGIN: f32 = 3.0;
/// Sizes at which the face is shown, as multiples of the smallest face that the face detector finds.
const SIZES: [f32; 2] = [1.5, 2.1];
/// Rotations at which the face is shown, from upright, in radians.
const TURNS: [f32; 2] = [-8.0 * PI / 180.0, 8.0 * PI / 180.0];
/// A face is found again if it is at most this share of its side away from where it should be...
const MAX_SHIFT: f32 = 0.35;
/// ...and its height is the same up to this factor.
const MAX_VIEW_GROWTH: f32 = 1.6;

/// The share, in `0..=1`, of eight views of `face` in which `faces` finds it again with at least
/// `min_probability`.
///
/// The views show the face upright by its landmarks, slightly rotated to either side, mirrored and
/// not, at two sizes from 1.5 times `min_face`, the smallest face that `faces` detects. A real face
/// is found in most of them. Lettering, a hand or a print that resembles a face at one angle and
/// size is not: of 8 such patches in genuine clips, none was found in more than 1 view, whereas each
/// of 40 faces with a probability below 0.999 was found in at least 4; the smallest was 15 pixels
/// wide.
///
/// # Errors
/// [`FaceError`] when the face detector fails.
pub fn redetection_rate(
    faces: &dyn FaceDetector,
    image: &RgbImage,
    face: &Face,
    min_face: f32,
    min_probability: f32,
) -> Result<f32, FaceError> {
    if !face.touches(image) {
        return Ok(0.0);
    }
    let mut views = Vec::new();
    for size in SIZES {
        for turn in TURNS {
            let view = view_of(image, face, size * min_face, turn);
            let mut mirrored = view.clone();
            flip_horizontal_in_place(&mut mirrored);
            views.extend([view, mirrored]);
        }
    }
    let mut hits = 0;
    for view in &views {
        let is_it = |found: &Face| {
            let middle = 0.5 * view.width() as f32;
            let side = middle / (0.5 * MARGIN);
            let center = found.bbox.center();
            let growth = found.bbox.height() / side;
            (center.x - middle).abs() <= MAX_SHIFT * side
                && (center.y - middle).abs() <= MAX_SHIFT * side
                && (1.0 / MAX_VIEW_GROWTH..=MAX_VIEW_GROWTH).contains(&growth)
        };
        hits += usize::from(faces.find(view, min_probability)?.iter().any(is_it));
    }
    Ok(hits as f32 / views.len() as f32)
}

/// The face upright and then turned by `radians`, `side` pixels high in a square [`MARGIN`] times
/// as large.
fn view_of(image: &RgbImage, face: &Face, side: f32, radians: f32) -> RgbImage {
    let size = (MARGIN * side).round().max(1.0);
    let middle = Point::new(0.5 * size, 0.5 * size);
    let scale = MARGIN * face.bbox.height() / size;
    let (left, right) = (face.landmarks.left_eye, face.landmarks.right_eye);
    let roll = (right.y - left.y).atan2(right.x - left.x);
    let roll = if roll.is_finite() { roll } else { 0.0 };
    let image_from_view = Similarity::about(middle, face.bbox.center(), scale, roll + radians);
    warp(image, &image_from_view, size as u32, size as u32)
}

#[cfg(test)]
mod tests {
    use image::Rgb;

    use super::*;
    use crate::{FaceDetectorId, Rect};

    /// Finds the white square on black, if it is not mirrored: its upper left corner is red.
    #[derive(Debug)]
    struct Square {
        also_mirrored: bool,
    }

    impl FaceDetector for Square {
        fn id(&self) -> FaceDetectorId {
            FaceDetectorId::new("square")
        }

        fn detect(&self, images: &[&RgbImage]) -> Result<Vec<Vec<Face>>, FaceError> {
            let square = |image: &&RgbImage| {
                let is_lit = |pixel: &Rgb<u8>| pixel.0[0] > 128;
                let lit: Vec<(f32, f32, bool)> = image
                    .enumerate_pixels()
                    .filter(|(.., pixel)| is_lit(pixel))
                    .map(|(x, y, pixel)| (x as f32, y as f32, pixel.0[1] < 128))
                    .collect();
                if lit.is_empty() {
                    return Vec::new();
                }
                let edge = |value: fn(&(f32, f32, bool)) -> f32, best: fn(f32, f32) -> f32| {
                    lit.iter().map(value).reduce(best).unwrap()
                };
                let bbox = Rect::new(
                    edge(|p| p.0, f32::min),
                    edge(|p| p.1, f32::min),
                    edge(|p| p.0, f32::max) + 1.0,
                    edge(|p| p.1, f32::max) + 1.0,
                );
                let red: Vec<f32> = lit.iter().filter(|p| p.2).map(|p| p.0).collect();
                let is_mirrored = red.iter().sum::<f32>() / red.len() as f32 > bbox.center().x;
                if is_mirrored && !self.also_mirrored { vec![] } else { vec![Face::frontal(bbox, 0.95)] }
            };
            Ok(images.iter().map(square).collect())
        }
    }

    /// A square of 40 pixels with a red corner.
    fn picture() -> (RgbImage, Face) {
        let image = RgbImage::from_fn(200, 150, |x, y| match (x, y) {
            (100..120, 60..80) => Rgb([255, 0, 0]),
            (100..140, 60..100) => Rgb([255, 255, 255]),
            _ => Rgb([0, 0, 0]),
        });
        (image, Face::frontal(Rect::new(100.0, 60.0, 140.0, 100.0), 0.95))
    }

    #[test]
    fn a_face_found_in_every_view_has_a_rate_of_one() {
        let (image, face) = picture();
        let rate = |also_mirrored, face: &Face, min_probability| {
            redetection_rate(&Square { also_mirrored }, &image, face, 20.0, min_probability).unwrap()
        };
        assert_eq!(rate(true, &face, 0.9), 1.0);
        assert_eq!(rate(false, &face, 0.9), 0.5, "mirrored views show another pattern");
        assert_eq!(rate(true, &face, 0.99), 0.0, "the detector is not sure enough");
        assert_eq!(rate(true, &face.translated(30.0, 0.0), 0.9), 0.0, "the square is beside the face");
        assert_eq!(rate(true, &face.translated(900.0, 0.0), 0.9), 0.0);
    }

    #[test]
    fn a_turned_face_is_shown_upright() {
        let (image, face) = picture();
        let quarter = Similarity::about(Point::new(120.0, 80.0), Point::new(120.0, 80.0), 1.0, 0.5 * PI);
        let turned = warp(&image, &quarter.inverse().unwrap(), 200, 150);
        let turned_face = Face { landmarks: face.landmarks.map(|p| quarter.apply(p)), ..face };
        let [upright, again] = [view_of(&image, &face, 30.0, 0.0), view_of(&turned, &turned_face, 30.0, 0.0)];
        let far = upright.as_raw().iter().zip(again.as_raw()).filter(|(a, b)| a.abs_diff(**b) > 64).count();
        assert!(far < upright.as_raw().len() / 50, "{far} values differ");
    }
}
