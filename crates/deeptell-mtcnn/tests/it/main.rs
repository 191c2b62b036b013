//! The detector against facenet-pytorch 2.6.0: stage by stage on NASA's portrait of Eileen Collins (public domain), and
//! its faces on a crowd and a turned face; and on pictures made here. `scripts/make_golden.py` made the goldens.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking, in its helper functions too")]

mod largest;
mod settings;
mod tracker;

use std::collections::BTreeMap;
use std::sync::LazyLock;

use burn::tensor::{Device, Tensor, TensorData};
use deeptell_face::{Face, Landmarks, Point, Rect, RgbImage, redetection_rate};
use deeptell_mtcnn::stages::{Candidate, Window, pyramid, resample};
use deeptell_mtcnn::{CandidateLimits, Mtcnn, MtcnnConfig, MtcnnError};
use image::imageops::{self, FilterType};
use safetensors::SafeTensors;
use serde::Deserialize;

#[derive(Deserialize)]
struct Golden {
    min_face_20: Vec<GoldenFace>,
    min_face_40: Vec<GoldenFace>,
    stages: Stages,
}

/// The faces of a picture at two smallest sizes.
#[derive(Deserialize)]
struct GoldenFaces {
    min_face_20: Vec<GoldenFace>,
    min_face_40: Vec<GoldenFace>,
}

#[derive(Deserialize)]
struct GoldenFace {
    bbox: [f32; 4],
    probability: f32,
    landmarks: [[f32; 2]; 5],
}

/// Every stage at a smallest face of 20 pixels. Boxes are x1, y1, x2, y2, probability.
#[derive(Deserialize)]
struct Stages {
    levels: Vec<GoldenLevel>,
    pnet: PNetMaps,
    proposed: Vec<[f32; 5]>,
    rnet_probability: Vec<f32>,
    rnet_regression: Vec<[f32; 4]>,
    refined: Vec<[f32; 5]>,
    onet_probability: Vec<f32>,
    onet_regression: Vec<[f32; 4]>,
    onet_landmarks: Vec<[f32; 10]>,
}

#[derive(Deserialize)]
struct GoldenLevel {
    scale: f64,
    width: usize,
    height: usize,
    /// Normalized RGB on a 5x5 grid from corner to corner, row by row.
    samples: Vec<[f32; 3]>,
    /// Cells at or above P-Net's threshold.
    proposals: usize,
}

/// P-Net's answers for one whole level.
#[derive(Deserialize)]
struct PNetMaps {
    level: usize,
    probability: Vec<f32>,
    regression: [Vec<f32>; 4],
}

static GOLDEN: LazyLock<Golden> =
    LazyLock::new(|| serde_json::from_str(include_str!("../data/golden.json")).unwrap());
static FACES: LazyLock<BTreeMap<String, GoldenFaces>> =
    LazyLock::new(|| serde_json::from_str(include_str!("../data/faces.json")).unwrap());
static ASTRONAUT: LazyLock<RgbImage> =
    LazyLock::new(|| image::load_from_memory(include_bytes!("../data/astronaut.png")).unwrap().into_rgb8());
static MTCNN: LazyLock<Mtcnn> = LazyLock::new(|| Mtcnn::pretrained(&Device::flex()).unwrap());

fn assert_close(what: &str, found: &[f32], expected: &[f32], tolerance: f32) {
    assert_eq!(found.len(), expected.len(), "{what}: count");
    for (i, (a, b)) in found.iter().zip(expected).enumerate() {
        assert!((a - b).abs() <= tolerance, "{what} {i}: {a} instead of {b}");
    }
}

fn assert_boxes(what: &str, found: &[Candidate], expected: &[[f32; 5]]) {
    assert_eq!(found.len(), expected.len(), "{what}: count");
    for (i, (candidate, &[x1, y1, x2, y2, probability])) in found.iter().zip(expected).enumerate() {
        let overlap = candidate.bbox.iou(&Rect::new(x1, y1, x2, y2));
        assert!(overlap >= 0.999, "{what} {i}: overlap {overlap}");
        assert!((candidate.probability - probability).abs() <= 1e-4, "{what} {i}: {candidate:?}");
    }
}

fn assert_faces(found: &[Face], expected: &[GoldenFace]) {
    assert_eq!(found.len(), expected.len());
    for (face, golden) in found.iter().zip(expected) {
        let [x1, y1, x2, y2] = golden.bbox;
        assert!(face.bbox.iou(&Rect::new(x1, y1, x2, y2)) >= 0.999, "{face:?}");
        assert!((face.probability - golden.probability).abs() <= 1e-3, "{face:?}");
        for (point, [x, y]) in face.landmarks.points().iter().zip(golden.landmarks) {
            assert!((point.x - x).abs() <= 0.1 && (point.y - y).abs() <= 0.1, "{face:?}");
        }
    }
}

/// The boxes of the golden as candidates.
fn candidates(boxes: &[[f32; 5]]) -> Vec<Candidate> {
    let candidate = |&[x1, y1, x2, y2, probability]: &[f32; 5]| Candidate {
        bbox: Rect::new(x1, y1, x2, y2),
        probability,
    };
    boxes.iter().map(candidate).collect()
}

/// The crops of `boxes` as a network with an input of `side` pixels gets them.
fn crops(boxes: &[[f32; 5]], side: usize) -> Tensor<4> {
    let pixels: Vec<f32> = candidates(boxes)
        .iter()
        .flat_map(|candidate| resample(&ASTRONAUT, candidate.window(512, 512).unwrap(), side, side))
        .collect();
    Tensor::from_data(TensorData::new(pixels, [boxes.len(), 3, side, side]), &Device::flex())
}

fn to_vec<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.try_into_vec_as().unwrap()
}

#[test]
fn pyramid_levels_match_the_reference() {
    let levels = pyramid(512, 512, 20.0, 0.709);
    assert_eq!(levels.len(), GOLDEN.stages.levels.len());
    for (level, golden) in levels.iter().zip(&GOLDEN.stages.levels) {
        assert!((level.scale - golden.scale).abs() < 1e-12);
        assert_eq!((level.width, level.height), (golden.width, golden.height));
        let planes = resample(&ASTRONAUT, Window::whole(&ASTRONAUT), level.width, level.height);
        for (i, pixel) in golden.samples.iter().enumerate() {
            let (row, column) = ((i / 5) * (level.height - 1) / 4, (i % 5) * (level.width - 1) / 4);
            let found: Vec<f32> =
                (0..3).map(|channel| planes[(channel * level.height + row) * level.width + column]).collect();
            assert_close(&format!("level of {} pixels, sample {i}", level.width), &found, pixel, 1e-5);
        }
    }
}

#[test]
fn pnet_matches_the_reference_cell_by_cell() {
    let golden = &GOLDEN.stages.pnet;
    let level = pyramid(512, 512, 20.0, 0.709)[golden.level];
    let planes = resample(&ASTRONAUT, Window::whole(&ASTRONAUT), level.width, level.height);
    let shape = [1, 3, level.height, level.width];
    let pixels = Tensor::from_data(TensorData::new(planes, shape), &Device::flex());
    let output = MTCNN.stages().networks().pnet.forward(pixels);
    assert_eq!(output.probability.dims(), [1, 1, 15, 15]);
    assert_close("probability", &to_vec(output.probability), &golden.probability, 1e-4);
    assert_close("regression", &to_vec(output.regression), &golden.regression.concat(), 1e-4);
}

#[test]
fn rnet_and_onet_match_the_reference_crop_by_crop() {
    let golden = &GOLDEN.stages;
    let rnet = MTCNN.stages().networks().rnet.forward(crops(&golden.proposed, 24));
    assert_close("R-Net probability", &to_vec(rnet.probability), &golden.rnet_probability, 1e-4);
    assert_close("R-Net regression", &to_vec(rnet.regression), golden.rnet_regression.as_flattened(), 1e-4);
    let onet = MTCNN.stages().networks().onet.forward(crops(&golden.refined, 48));
    assert_close("O-Net probability", &to_vec(onet.probability), &golden.onet_probability, 1e-4);
    assert_close("O-Net regression", &to_vec(onet.regression), golden.onet_regression.as_flattened(), 1e-4);
    assert_close("O-Net landmarks", &to_vec(onet.landmarks), golden.onet_landmarks.as_flattened(), 1e-4);
}

#[test]
fn each_stage_matches_the_reference() {
    let golden = &GOLDEN.stages;
    let images = std::slice::from_ref(&*ASTRONAUT);
    assert_boxes("proposed", &MTCNN.stages().propose(images).unwrap()[0], &golden.proposed);
    let refined = MTCNN.stages().refine(images, &[candidates(&golden.proposed)]).unwrap();
    assert_boxes("refined", &refined[0], &golden.refined);
    let faces = MTCNN.stages().conclude(images, &[candidates(&golden.refined)]).unwrap();
    assert_faces(&faces[0], &GOLDEN.min_face_20);
}

/// Two candidates within one pixel share a crop, and so the probability; the reference keeps the later one.
#[test]
fn last_of_candidates_with_one_crop_is_kept() {
    let [first, second] = {
        let shown = candidates(&GOLDEN.stages.refined)[0];
        let Rect { x1, y1, .. } = shown.bbox;
        let whole = Rect { x1: x1.floor(), y1: y1.floor(), ..shown.bbox }.to_square();
        let bbox = Rect::new(
            whole.x1 + 0.1,
            whole.y1 + 0.1,
            whole.x1 + 0.1 + whole.width().floor(),
            whole.y1 + 0.1 + whole.height().floor(),
        );
        [0.0, 0.8].map(|shift| Candidate { bbox: bbox.translated(shift, 0.0), ..shown })
    };
    assert_eq!(first.window(512, 512), second.window(512, 512));
    let face = |candidates: &[Candidate]| {
        let faces = MTCNN.stages().conclude(std::slice::from_ref(&*ASTRONAUT), &[candidates.to_vec()]);
        let [face] = faces.unwrap()[0][..] else { panic!("{candidates:?}") };
        face
    };
    let [of_first, of_second] = [face(&[first]), face(&[second])];
    assert_eq!(of_first.probability, of_second.probability);
    assert!((of_second.bbox.x1 - of_first.bbox.x1 - 0.8).abs() < 1e-3);
    assert_eq!(face(&[first, second]), of_second);
    assert_eq!(face(&[second, first]), of_first);
}

#[test]
fn detect_matches_the_reference() {
    assert_faces(&MTCNN.detect(&ASTRONAUT).unwrap(), &GOLDEN.min_face_20);
    let config = MtcnnConfig::default().min_face(40.0);
    let faces = config.init(&Device::flex()).unwrap().detect(&ASTRONAUT).unwrap();
    assert_faces(&faces, &GOLDEN.min_face_40);
}

/// Many people at once, gray and in color, and a face on its way to lying on its side.
#[test]
fn crowd_and_turned_face_match_the_reference() {
    let crowd: &[u8] = include_bytes!("../data/crowd.png");
    let turned: &[u8] = include_bytes!("../data/turned.png");
    for (name, png, least) in [("crowd", crowd, 12), ("turned", turned, 1)] {
        let image = image::load_from_memory(png).unwrap().into_rgb8();
        let golden = &FACES[name];
        assert!(golden.min_face_20.len() >= least, "{name}: a golden of few faces tests little");
        for (min_face, faces) in [(20.0, &golden.min_face_20), (40.0, &golden.min_face_40)] {
            let config = MtcnnConfig::default().min_face(min_face);
            assert_faces(&config.init(&Device::flex()).unwrap().detect(&image).unwrap(), faces);
        }
    }
}

/// As many cells pass P-Net's threshold as in the reference: with suppression all but off, and
/// no limit, each level contributes every one of its cells that is not a duplicate of another.
#[test]
fn level_limit_bounds_proposals() {
    let total: usize = GOLDEN.stages.levels.iter().map(|level| level.proposals).sum();
    assert!(GOLDEN.stages.proposed.len() < total);
    let mut limits = CandidateLimits::default();
    limits.level = 3;
    let config = MtcnnConfig::default().limits(limits);
    let mtcnn = config.init(&Device::flex()).unwrap();
    let proposed = mtcnn.stages().propose(std::slice::from_ref(&*ASTRONAUT)).unwrap();
    assert!(!proposed[0].is_empty() && proposed[0].len() <= 3 * GOLDEN.stages.levels.len());
    // The surest proposal is among those that stay.
    assert_boxes("best", &proposed[0][..1], &GOLDEN.stages.proposed[..1]);
}

/// The part of the portrait around the face, and the face's box in it.
fn portrait() -> (RgbImage, Rect) {
    let [x1, y1, x2, y2] = GOLDEN.min_face_20[0].bbox;
    let part = imageops::crop_imm(&*ASTRONAUT, 120, 10, 210, 230).to_image();
    (part, Rect::new(x1 - 120.0, y1 - 10.0, x2 - 120.0, y2 - 10.0))
}

/// A gray canvas with the portrait at each place, `(x, y, scale)`, and the boxes expected there.
fn collage(width: u32, height: u32, places: &[(u32, u32, f32)]) -> (RgbImage, Vec<Rect>) {
    let (portrait, bbox) = portrait();
    let mut canvas = RgbImage::from_pixel(width, height, image::Rgb([110, 115, 120]));
    let expected = places
        .iter()
        .map(|&(x, y, scale)| {
            let side = |pixels: u32| (pixels as f32 * scale).round() as u32;
            let (width, height) = (side(portrait.width()), side(portrait.height()));
            let scaled = imageops::resize(&portrait, width, height, FilterType::Triangle);
            imageops::replace(&mut canvas, &scaled, i64::from(x), i64::from(y));
            Rect::new(bbox.x1 * scale, bbox.y1 * scale, bbox.x2 * scale, bbox.y2 * scale)
                .translated(x as f32, y as f32)
        })
        .collect();
    (canvas, expected)
}

#[test]
fn two_faces_of_different_size_are_found() {
    let (canvas, expected) = collage(640, 420, &[(20, 30, 1.5), (450, 150, 0.5)]);
    let faces = MTCNN.detect(&canvas).unwrap();
    assert_eq!(faces.len(), 2, "{faces:?}");
    for (face, expected) in faces.iter().zip(&expected) {
        assert!(face.bbox.iou(expected) > 0.8, "{face:?} instead of {expected:?}");
        assert!(face.probability > 0.99);
        let Landmarks { left_eye, right_eye, nose, mouth_left, mouth_right } = face.landmarks;
        assert!(left_eye.x < nose.x && nose.x < right_eye.x && mouth_left.x < mouth_right.x);
        assert!(left_eye.y < nose.y && nose.y < mouth_left.y && right_eye.y < mouth_right.y);
    }
}

#[test]
fn face_cut_by_the_edge_is_found() {
    let [x1, y1, x2, y2] = GOLDEN.min_face_20[0].bbox;
    // A quarter of the face is missing on the left.
    let cut = (x1 + (x2 - x1) / 4.0) as u32;
    let image = imageops::crop_imm(&*ASTRONAUT, cut, 0, 250, 300).to_image();
    let faces = MTCNN.detect(&image).unwrap();
    assert_eq!(faces.len(), 1);
    let visible = Rect::new(0.0, y1, x2 - cut as f32, y2);
    assert!(faces[0].bbox.clamped(250, 300).unwrap().iou(&visible) > 0.7, "{faces:?}");
}

#[test]
fn detect_batch_matches_detect() {
    let (collage, _) = collage(500, 300, &[(10, 10, 1.0), (300, 60, 0.7)]);
    let black = RgbImage::new(320, 200);
    let batch = [black, ASTRONAUT.clone(), RgbImage::new(3, 2), collage];
    let together = MTCNN.detect_batch(&batch).unwrap();
    assert_eq!(together.iter().map(Vec::len).collect::<Vec<_>>(), [0, 1, 0, 2]);
    for (image, faces) in batch.iter().zip(&together) {
        for (a, b) in MTCNN.detect(image).unwrap().iter().zip(faces) {
            assert!(a.bbox.iou(&b.bbox) > 0.9999 && (a.probability - b.probability).abs() < 1e-5);
        }
    }
    assert_eq!(MTCNN.detect_batch::<RgbImage>(&[]).unwrap(), Vec::<Vec<Face>>::new());
}

#[test]
fn noise_and_plain_pictures_have_no_face() {
    // A linear congruential generator (Numerical Recipes, 7.1), so that the noise is always the same.
    let mut state = 1u32;
    let noise = RgbImage::from_fn(400, 300, |_, _| {
        image::Rgb([0; 3].map(|_: u8| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 24) as u8
        }))
    });
    assert_eq!(MTCNN.detect(&noise).unwrap(), []);
    for value in [0, 128, 255] {
        let plain = RgbImage::from_pixel(200, 150, image::Rgb([value; 3]));
        assert_eq!(MTCNN.detect(&plain).unwrap(), []);
    }
}

#[test]
fn detect_accepts_any_image_size() {
    for (width, height) in [(0, 0), (0, 50), (1, 1), (11, 4000), (4000, 11), (19, 19), (20, 20), (21, 3000)] {
        let image = RgbImage::from_pixel(width, height, image::Rgb([200, 150, 120]));
        assert_eq!(MTCNN.detect(&image).unwrap(), [], "{width}x{height}");
    }
}

#[test]
fn candidates_outside_of_image_are_dropped() {
    let images = std::slice::from_ref(&*ASTRONAUT);
    let nowhere = |x: f32| Candidate { bbox: Rect::new(x, x, x + 20.0, x + 20.0), probability: 1.0 };
    let mut mixed = candidates(&GOLDEN.stages.refined);
    mixed.insert(0, nowhere(-500.0));
    mixed.insert(3, nowhere(f32::NAN));
    mixed.push(nowhere(900.0));
    let faces = MTCNN.stages().conclude(images, &[mixed]).unwrap();
    assert_faces(&faces[0], &GOLDEN.min_face_20);
    assert_eq!(MTCNN.stages().refine(images, &[vec![nowhere(-500.0)]]).unwrap(), [[]]);
}

/// The shipped weights with one tensor changed: `edit` gets its name, shape and bytes.
fn edited_weights(edit: impl Fn(&str, Vec<usize>) -> Option<(String, Vec<usize>)>) -> Vec<u8> {
    let bytes = include_bytes!("../../weights/mtcnn.safetensors");
    let tensors = SafeTensors::deserialize(bytes).unwrap();
    let edited: Vec<_> = tensors
        .iter()
        .filter_map(|(name, tensor)| {
            let (name, shape) = edit(name, tensor.shape().to_vec())?;
            Some((name, safetensors::tensor::TensorView::new(tensor.dtype(), shape, tensor.data()).unwrap()))
        })
        .collect();
    safetensors::serialize(edited, None).unwrap()
}

#[test]
fn weights_errors_name_the_tensor() {
    let load = |weights| MtcnnConfig::default().init_with_weights(&Device::flex(), weights);
    assert!(load(edited_weights(|name, shape| Some((name.to_owned(), shape)))).is_ok());

    let missing = edited_weights(|name, shape| (name != "onet.dense.bias").then(|| (name.to_owned(), shape)));
    let renamed = edited_weights(|name, shape| Some((name.replace("rnet.face", "rnet.fence"), shape)));
    let reshaped = edited_weights(|name, mut shape| {
        if name == "pnet.trunk.blocks.1.convolution.weight" {
            shape.swap(0, 1);
        }
        Some((name.to_owned(), shape))
    });
    for (weights, tensor) in [
        (missing, "onet.dense.bias"),
        (renamed, "rnet.face.weight"),
        (reshaped, "pnet.trunk.blocks.1.convolution.weight"),
    ] {
        let error = load(weights).unwrap_err();
        assert!(matches!(error, MtcnnError::Weights { .. }));
        assert!(error.to_string().contains(tensor), "{error}");
    }
    let whole = include_bytes!("../../weights/mtcnn.safetensors");
    for broken in [&whole[..0], &whole[..100], &whole[..whole.len() / 2], b"not a safetensors file"] {
        assert!(matches!(load(broken.to_vec()), Err(MtcnnError::Weights { .. })));
    }
}

#[test]
fn redetection_rate_separates_faces_from_other_patches() {
    let mtcnn = MtcnnConfig::default().min_face(40.0).init(&Device::flex()).unwrap();
    let rate = |image: &RgbImage, face: &Face| redetection_rate(&mtcnn, image, face, 40.0, 0.9).unwrap();
    let face = MTCNN.detect(&ASTRONAUT).unwrap()[0];
    assert_eq!(rate(&ASTRONAUT, &face), 1.0);

    let (left, top) = (120, 20);
    let turned = imageops::rotate90(&imageops::crop_imm(&*ASTRONAUT, left, top, 200, 200).to_image());
    let turn = |p: Point| Point::new(200.0 - (p.y - top as f32), p.x - left as f32);
    let (a, b) = (turn(Point::new(face.bbox.x1, face.bbox.y1)), turn(Point::new(face.bbox.x2, face.bbox.y2)));
    let bbox = Rect::new(a.x.min(b.x), a.y.min(b.y), a.x.max(b.x), a.y.max(b.y));
    let on_its_side = Face { bbox, landmarks: face.landmarks.map(turn), ..face };
    assert!(rate(&turned, &on_its_side) >= 0.75, "{}", rate(&turned, &on_its_side));

    let patch = Face::frontal(Rect::new(300.0, 300.0, 400.0, 420.0), 0.95);
    assert!(rate(&ASTRONAUT, &patch) <= 0.125, "a part of the suit");
}
