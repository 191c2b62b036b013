//! Agreement with OpenCV's `FaceDetectorYN`, where the weights are at hand: `DEEPTELL_YUNET` names the file
//! `yunet_n_dynamic.onnx`, or what `deeptell weights import` made of it.

use std::path::Path;

use burn::tensor::Device;
use deeptell_face::{Face, Point, Rect};
use deeptell_yunet::{YuNetConfig, YuNetWeights};
use serde_json::Value;

fn numbers(row: &Value) -> Vec<f32> {
    row.as_array().unwrap().iter().map(|number| number.as_f64().unwrap() as f32).collect()
}

fn assert_same(found: &Face, wanted: &[f32]) {
    let &[x, y, width, height, ref points @ .., score] = wanted else { panic!("{wanted:?}") };
    let iou = found.bbox.iou(&Rect::new(x, y, x + width, y + height));
    assert!(iou >= 0.999, "{found:?}: {wanted:?}");
    for (found, wanted) in found.landmarks.points().iter().zip(points.chunks_exact(2)) {
        let Point { x, y } = *found;
        assert!((x - wanted[0]).abs() <= 0.5 && (y - wanted[1]).abs() <= 0.5, "{found:?}: {wanted:?}");
    }
    assert!((found.probability - score).abs() <= 1e-4, "{found:?}: {wanted:?}");
}

#[test]
fn boxes_scores_and_landmarks_match_opencv() {
    let Some(weights) = std::env::var_os("DEEPTELL_YUNET") else {
        eprintln!("skipped: DEEPTELL_YUNET names no weights");
        return;
    };
    let weights = YuNetWeights::read(weights).unwrap();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data");
    let golden: Value = serde_json::from_slice(&std::fs::read(folder.join("opencv.json")).unwrap()).unwrap();
    let mut faces = 0;
    for case in golden["cases"].as_array().unwrap() {
        let threshold = case["threshold"].as_f64().unwrap() as f32;
        let config = YuNetConfig::default().threshold(threshold);
        let yunet = config.init(&weights, &Device::flex()).unwrap();
        let picture = folder.join(case["picture"].as_str().unwrap());
        let found = yunet.detect(&image::open(picture).unwrap().to_rgb8()).unwrap();
        let wanted = case["faces"].as_array().unwrap();
        assert_eq!(found.len(), wanted.len(), "{}", case["picture"]);
        for (found, wanted) in found.iter().zip(wanted) {
            assert_same(found, &numbers(wanted));
        }
        faces += wanted.len();
    }
    assert!(faces > 20);
}
