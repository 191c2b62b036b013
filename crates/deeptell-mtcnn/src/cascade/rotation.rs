//! Images turned by quarters, and what is found in them turned back.

use deeptell_face::{Face, Point, Rect, RgbImage};
use image::imageops;

/// By how much an image is turned before it is searched, clockwise on the screen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rotation {
    Quarter,
    Half,
    ThreeQuarters,
}

impl Rotation {
    pub(crate) const ALL: [Self; 3] = [Self::Quarter, Self::ThreeQuarters, Self::Half];

    pub(crate) fn image(self, image: &RgbImage) -> RgbImage {
        match self {
            Self::Quarter => imageops::rotate90(image),
            Self::Half => imageops::rotate180(image),
            Self::ThreeQuarters => imageops::rotate270(image),
        }
    }

    /// A face of the turned image in pixels of the image before, of `width x height` pixels.
    pub(crate) fn face_back(self, face: &Face, width: u32, height: u32) -> Face {
        let (width, height) = (width as f32, height as f32);
        let back = |Point { x, y }: Point| match self {
            Self::Quarter => Point::new(y, height - x),
            Self::Half => Point::new(width - x, height - y),
            Self::ThreeQuarters => Point::new(width - y, x),
        };
        let Rect { x1, y1, x2, y2 } = face.bbox;
        let (a, b) = (back(Point::new(x1, y1)), back(Point::new(x2, y2)));
        Face {
            bbox: Rect::new(a.x.min(b.x), a.y.min(b.y), a.x.max(b.x), a.y.max(b.y)),
            probability: face.probability,
            landmarks: face.landmarks.map(back),
        }
    }
}

#[cfg(test)]
mod tests {
    use deeptell_face::Landmarks;

    use super::*;

    #[test]
    fn faces_of_turned_image_map_back() {
        // One red pixel in the fourth column of the second row.
        let mut image = RgbImage::new(7, 5);
        image.put_pixel(3, 1, image::Rgb([255, 0, 0]));
        for rotation in Rotation::ALL {
            let turned = rotation.image(&image);
            let (x, y, _) = turned.enumerate_pixels().find(|(_, _, pixel)| pixel.0[0] == 255).unwrap();
            let center = Point::new(x as f32 + 0.5, y as f32 + 0.5);
            let face = Face {
                bbox: Rect::new(x as f32, y as f32, x as f32 + 1.0, y as f32 + 1.0),
                probability: 1.0,
                landmarks: Landmarks::from_points([center; 5]),
            };
            let back = rotation.face_back(&face, 7, 5);
            assert_eq!(back.bbox, Rect::new(3.0, 1.0, 4.0, 2.0), "{rotation:?}");
            assert_eq!(back.landmarks.nose, Point::new(3.5, 1.5), "{rotation:?}");
        }
    }
}
