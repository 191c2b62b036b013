//! Smallest face, largest side, turned images and what else the settings do to a picture.

use deeptell_mtcnn::FaceSize;
use image::imageops;

use super::*;

fn detector(config: &MtcnnConfig) -> Mtcnn {
    config.init(&Device::flex()).unwrap()
}

/// From a point to a point.
type Move = fn(f32, f32) -> (f32, f32);

/// Where facenet-pytorch finds the astronaut's face.
fn astronauts_face() -> Rect {
    let [x1, y1, x2, y2] = GOLDEN.min_face_20[0].bbox;
    Rect::new(x1, y1, x2, y2)
}

#[test]
fn min_face_fraction_equals_pixels() {
    // A tenth of 512 pixels.
    let config = MtcnnConfig::default().min_face(FaceSize::Fraction(0.1));
    let pixels = MtcnnConfig::default().min_face(FaceSize::Pixels(51.2));
    assert_eq!(detector(&config).detect(&ASTRONAUT).unwrap(), detector(&pixels).detect(&ASTRONAUT).unwrap());
}

#[test]
fn max_side_returns_boxes_in_original_pixels() {
    let (canvas, expected) = collage(1280, 720, &[(100, 60, 2.4), (820, 200, 1.6)]);
    let config = MtcnnConfig::default().max_side(Some(640)).min_face(FaceSize::Fraction(0.1));
    let mtcnn = detector(&config);
    let faces = mtcnn.detect(&canvas).unwrap();
    assert_eq!(faces.len(), 2, "{faces:?}");
    let whole = MTCNN.detect(&canvas).unwrap();
    for ((face, expected), whole) in faces.iter().zip(&expected).zip(&whole) {
        assert!(face.bbox.iou(expected) > 0.8, "{face:?} instead of {expected:?}");
        assert!(face.bbox.iou(&whole.bbox) > 0.85, "{face:?} and {whole:?}");
        assert!(face.landmarks.nose.distance(whole.landmarks.nose) < 8.0, "{face:?} and {whole:?}");
    }
    // A batch may hold images that are shrunk and images that are not.
    let batch = mtcnn.detect_batch(&[&canvas, &*ASTRONAUT]).unwrap();
    assert_eq!(batch[0], faces);
    assert_eq!(batch[1], mtcnn.detect(&ASTRONAUT).unwrap());
    assert!(batch[1][0].bbox.iou(&astronauts_face()) > 0.9);
}

#[test]
fn fast_config_finds_every_large_face() {
    // Faces of a tenth of the frame's width and more, and one of a twentieth.
    let places = [(60, 30, 1.6), (700, 40, 2.2), (1400, 60, 1.9), (200, 600, 2.6), (1100, 620, 1.7)];
    let (canvas, expected) = collage(1920, 1080, &places);
    let quick = detector(&MtcnnConfig::quick());
    let faces = quick.detect(&canvas).unwrap();
    assert_eq!(faces.len(), expected.len(), "{faces:?}");
    for whole in MTCNN.detect(&canvas).unwrap() {
        let best = faces.iter().map(|face| face.bbox.iou(&whole.bbox)).fold(0.0, f32::max);
        assert!(best > 0.85, "{best} for {whole:?}");
    }
    let (_, small) = collage(1920, 1080, &[(60, 30, 0.4)]);
    assert!(small[0].height() < 108.0);
    assert_eq!(quick.detect(&collage(1920, 1080, &[(60, 30, 0.4)]).0).unwrap(), []);
}

#[test]
fn smallest_face_is_clamped_to_the_window_after_shrinking() {
    // 20 pixels of 1280 are 5 of 320: looked for from 12 on, the window of P-Net.
    let (canvas, _) = collage(1280, 720, &[(100, 60, 2.4)]);
    let config = MtcnnConfig::default().max_side(Some(320));
    assert_eq!(detector(&config).detect(&canvas).unwrap().len(), 1);
}

#[test]
fn retry_turned_finds_turned_faces() {
    let upright = MTCNN.detect(&ASTRONAUT).unwrap()[0];
    let config = MtcnnConfig::default().retry_turned(true).min_face(40.0);
    let mtcnn = detector(&config);
    let turned =
        [imageops::rotate90(&*ASTRONAUT), imageops::rotate180(&*ASTRONAUT), imageops::rotate270(&*ASTRONAUT)];
    // Where the portrait's points go, clockwise by a quarter, a half and three quarters.
    let moves: [Move; 3] = [|x, y| (512.0 - y, x), |x, y| (512.0 - x, 512.0 - y), |x, y| (y, 512.0 - x)];
    for (image, (found, place)) in turned.iter().zip(mtcnn.detect_batch(&turned).unwrap().iter().zip(moves)) {
        assert_eq!(found.len(), 1, "{found:?}");
        for (point, expected) in found[0].landmarks.points().iter().zip(upright.landmarks.points()) {
            let (x, y) = place(expected.x, expected.y);
            assert!((point.x - x).abs() < 3.0 && (point.y - y).abs() < 3.0, "{point:?}, not {x}, {y}");
        }
        // The eyes of a person on their side are above each other.
        assert!(image.dimensions() == (512, 512));
    }
    // Nobody there stays nobody there, and an upright face needs no second look.
    assert_eq!(mtcnn.detect(&RgbImage::new(200, 150)).unwrap(), []);
    let plain = MtcnnConfig::default().min_face(40.0);
    assert_eq!(mtcnn.detect(&ASTRONAUT).unwrap(), detector(&plain).detect(&ASTRONAUT).unwrap());
}

#[test]
fn huge_image_has_bounded_cost() {
    // 48 million pixels, with a face in a corner.
    let mut image = RgbImage::from_pixel(8000, 6000, image::Rgb([110, 115, 120]));
    let portrait = imageops::resize(&*ASTRONAUT, 1024, 1024, FilterType::Triangle);
    imageops::replace(&mut image, &portrait, 6900, 4900);
    let mtcnn = detector(&MtcnnConfig::default().min_face(100.0));
    let faces = mtcnn.detect(&image).unwrap();
    assert_eq!(faces.len(), 1, "{faces:?}");
    let expected = astronauts_face();
    let scaled = Rect::new(2.0 * expected.x1, 2.0 * expected.y1, 2.0 * expected.x2, 2.0 * expected.y2);
    assert!(faces[0].bbox.iou(&scaled.translated(6900.0, 4900.0)) > 0.85, "{faces:?}");
}

#[test]
fn networks_give_finite_values_for_any_thread_count() {
    let (canvas, _) = collage(640, 420, &[(20, 30, 1.5), (450, 150, 0.5)]);
    let on = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| MTCNN.detect(&canvas).unwrap())
    };
    let faces = on(1);
    assert_eq!(faces, on(3));
    assert!(faces.iter().all(|f| f.bbox.is_finite() && f.landmarks.is_finite() && f.probability.is_finite()));
}
