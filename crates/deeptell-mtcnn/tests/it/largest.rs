//! The search for the largest face alone against the search for all of them.

use super::*;

/// The largest face by both ways, which is the same to the last bit.
fn largest(mtcnn: &Mtcnn, image: &RgbImage) -> Option<Face> {
    let face = mtcnn.detect_largest(image).unwrap();
    assert_eq!(face, mtcnn.detect(image).unwrap().first().copied());
    face
}

#[test]
fn detect_largest_matches_first_of_detect() {
    assert!(largest(&MTCNN, &ASTRONAUT).is_some());
    let scenes: [&[(u32, u32, f32)]; 4] = [
        &[(20, 30, 1.5), (450, 150, 0.5)],
        &[(20, 30, 0.5), (150, 30, 0.4), (300, 30, 0.3)],
        &[(10, 10, 0.2)],
        // The smaller one is nearly as large.
        &[(10, 10, 1.0), (330, 10, 0.95)],
    ];
    for places in scenes {
        let (image, expected) = collage(640, 420, places);
        let face = largest(&MTCNN, &image).unwrap();
        assert!(face.bbox.iou(&expected[0]) > 0.6, "{face:?} instead of {:?}", expected[0]);
    }
}

#[test]
fn detect_largest_handles_empty_and_odd_sizes() {
    let plain = |width, height| RgbImage::from_pixel(width, height, image::Rgb([90, 120, 150]));
    for (width, height) in [(0, 0), (1, 1), (11, 400), (20, 20), (320, 200)] {
        assert_eq!(largest(&MTCNN, &plain(width, height)), None);
    }
}

#[test]
fn detect_largest_honors_max_side_and_retry_turned() {
    let config = MtcnnConfig::default().max_side(Some(200)).retry_turned(true);
    let mtcnn = config.init(&Device::flex()).unwrap();
    let face = largest(&mtcnn, &imageops::rotate90(&*ASTRONAUT)).unwrap();
    let upright = largest(&MTCNN, &ASTRONAUT).unwrap();
    let width = ASTRONAUT.height() as f32;
    let Rect { x1, y1, x2, y2 } = upright.bbox;
    assert!(face.bbox.iou(&Rect::new(width - y2, x1, width - y1, x2)) > 0.6, "{face:?}");
}
