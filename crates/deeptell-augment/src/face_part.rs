use deeptell_face::{Landmarks, Point, RgbImage};
use image::Rgb;
use rand::{Rng, RngExt as _};

/// A part of a face that can be covered, so that a network does not depend on it alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FacePart {
    /// The eye on the left of the picture.
    LeftEye,
    /// The eye on the right of the picture.
    RightEye,
    /// The nose.
    Nose,
    /// The mouth.
    Mouth,
}

impl FacePart {
    /// One of the four, each as likely as the others.
    pub fn draw(rng: &mut impl Rng) -> Self {
        [Self::LeftEye, Self::RightEye, Self::Nose, Self::Mouth][rng.random_range(0..4)]
    }

    /// Covers the part with an ellipse of one color. `landmarks` are in pixels of `image`; what lies outside of
    /// the picture is left out.
    pub fn cover(self, image: &mut RgbImage, landmarks: &Landmarks, color: [u8; 3]) {
        let Landmarks { left_eye, right_eye, nose, mouth_left, mouth_right } = *landmarks;
        let unit = (right_eye.x - left_eye.x).hypot(right_eye.y - left_eye.y);
        let mouth = Point::new(0.5 * (mouth_left.x + mouth_right.x), 0.5 * (mouth_left.y + mouth_right.y));
        // Half axes over the distance of the eyes.
        let (center, half) = match self {
            Self::LeftEye => (left_eye, [0.32, 0.22]),
            Self::RightEye => (right_eye, [0.32, 0.22]),
            Self::Nose => (nose, [0.28, 0.36]),
            Self::Mouth => (mouth, [0.5, 0.26]),
        };
        let half = half.map(|half: f32| half * unit);
        if !(half[0] >= 0.5 && center.x.is_finite() && center.y.is_finite()) {
            return;
        }
        let range = |center: f32, half: f32, side: u32| {
            let first = (center - half).floor().clamp(0.0, side as f32) as u32;
            first..(center + half).ceil().clamp(0.0, side as f32) as u32
        };
        let (width, height) = image.dimensions();
        for y in range(center.y, half[1], height) {
            for x in range(center.x, half[0], width) {
                let (dx, dy) = ((x as f32 + 0.5 - center.x) / half[0], (y as f32 + 0.5 - center.y) / half[1]);
                if dx * dx + dy * dy <= 1.0 {
                    image.put_pixel(x, y, Rgb(color));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cover_paints_the_named_part_only() {
        let face = [(30.0, 40.0), (70.0, 40.0), (50.0, 60.0), (38.0, 80.0), (62.0, 80.0)];
        let landmarks = Landmarks::from_points(face.map(|(x, y)| Point::new(x, y)));
        for (part, inside, outside) in [
            (FacePart::LeftEye, (30, 40), (70, 40)),
            (FacePart::RightEye, (70, 40), (30, 40)),
            (FacePart::Nose, (50, 60), (50, 85)),
            (FacePart::Mouth, (50, 80), (50, 60)),
        ] {
            let mut image = RgbImage::new(100, 100);
            part.cover(&mut image, &landmarks, [9, 8, 7]);
            assert_eq!(image.get_pixel(inside.0, inside.1).0, [9, 8, 7], "{part:?}");
            assert_eq!(image.get_pixel(outside.0, outside.1).0, [0, 0, 0], "{part:?}");
            let covered = image.pixels().filter(|pixel| pixel.0 != [0, 0, 0]).count();
            assert!((200..1000).contains(&covered), "{part:?}: {covered}");
        }
    }

    #[test]
    fn cover_accepts_any_landmarks() {
        for at in [-1e9_f32, 0.0, 1e9, f32::NAN, f32::INFINITY] {
            let points = [(at, 5.0), (8.0, at), (5.0, 5.0), (at, at), (6.0, 7.0)];
            let landmarks = Landmarks::from_points(points.map(|(x, y)| Point::new(x, y)));
            for part in [FacePart::LeftEye, FacePart::RightEye, FacePart::Nose, FacePart::Mouth] {
                part.cover(&mut RgbImage::new(10, 10), &landmarks, [1; 3]);
            }
        }
    }
}
