use image::Rgb;

use crate::{Face, Point, Rect, RgbImage};

const BOX: Rgb<u8> = Rgb([255, 200, 0]);
const LANDMARK: Rgb<u8> = Rgb([0, 255, 120]);

/// Draws the boxes of `faces` in yellow and their landmarks as green dots, as far as they are inside the image.
///
/// Lines are a 500th of the longer side wide, at least 1 pixel.
pub fn draw_faces(image: &mut RgbImage, faces: &[Face]) {
    let thickness = i64::from((image.width().max(image.height()) / 500).max(1));
    for face in faces {
        let Rect { x1, y1, x2, y2 } = face.bbox;
        let [left, top, right, bottom] = [x1, y1, x2, y2].map(|edge| edge.round() as i64);
        let lines = [
            [left, top, right, top + thickness],
            [left, bottom - thickness, right, bottom],
            [left, top, left + thickness, bottom],
            [right - thickness, top, right, bottom],
        ];
        if left < right && top < bottom {
            for line in lines {
                fill(image, line, BOX, |_, _| true);
            }
        }
        for Point { x, y } in face.landmarks.points() {
            let (x, y, radius) = (x as i64, y as i64, thickness + 1);
            let is_inside = |at_x: i64, at_y: i64| (at_x - x).pow(2) + (at_y - y).pow(2) <= radius.pow(2);
            let area = [
                x.saturating_sub(radius),
                y.saturating_sub(radius),
                x.saturating_add(radius + 1),
                y.saturating_add(radius + 1),
            ];
            fill(image, area, LANDMARK, is_inside);
        }
    }
}

/// Colors the pixels of the image from `left, top` up to, but without, `right, bottom`, where `is_inside` holds.
fn fill(
    image: &mut RgbImage,
    [left, top, right, bottom]: [i64; 4],
    color: Rgb<u8>,
    is_inside: impl Fn(i64, i64) -> bool,
) {
    let (width, height) = (i64::from(image.width()), i64::from(image.height()));
    for y in top.max(0)..bottom.min(height) {
        for x in left.max(0)..right.min(width) {
            if is_inside(x, y) {
                image.put_pixel(x as u32, y as u32, color);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Landmarks;

    fn face(x1: f32, y1: f32, x2: f32, y2: f32) -> Face {
        Face {
            bbox: Rect::new(x1, y1, x2, y2),
            probability: 1.0,
            landmarks: Landmarks::from_points([Point::new(x1, y2); 5]),
        }
    }

    #[test]
    fn box_and_landmarks_have_their_colors() {
        let mut image = RgbImage::new(64, 48);
        draw_faces(&mut image, &[face(10.0, 5.0, 40.0, 30.0)]);
        for (x, y) in [(10, 5), (39, 5), (39, 29), (20, 5), (39, 20)] {
            assert_eq!(image.get_pixel(x, y), &BOX, "{x},{y}");
        }
        for (x, y) in [(10, 30), (12, 30), (10, 28), (11, 31)] {
            assert_eq!(image.get_pixel(x, y), &LANDMARK, "{x},{y}");
        }
        for (x, y) in [(20, 20), (40, 20), (12, 32), (9, 5)] {
            assert_eq!(image.get_pixel(x, y), &Rgb([0; 3]), "{x},{y}");
        }
    }

    #[test]
    fn faces_beyond_the_edge_can_be_drawn() {
        let faces = [face(-30.0, -20.0, 25.0, 90.0), face(500.0, 0.0, 560.0, 70.0), face(9.0, 9.0, 9.0, 9.0)];
        let mut image = RgbImage::new(64, 48);
        draw_faces(&mut image, &faces);
        assert_eq!(image.get_pixel(24, 10), &BOX);
        draw_faces(&mut image, &[face(f32::NAN, f32::NEG_INFINITY, f32::INFINITY, 1e30)]);
        assert_eq!(image.dimensions(), (64, 48));
    }
}
