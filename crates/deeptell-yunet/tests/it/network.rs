use burn::tensor::Device;
use deeptell_face::{Face, RgbImage};
use deeptell_yunet::{YuNet, YuNetConfig, YuNetWeights};

use crate::onnx_file::Structure;

fn yunet(config: &YuNetConfig) -> YuNet {
    let weights = YuNetWeights::from_bytes(&Structure::n().file(3), "random.onnx").unwrap();
    config.init(&weights, &Device::flex()).unwrap()
}

fn frame(width: u32, height: u32) -> RgbImage {
    let mut random = fastrand::Rng::with_seed(5);
    let mut image = RgbImage::new(width, height);
    for value in image.iter_mut() {
        *value = random.u8(..);
    }
    image
}

#[test]
fn sizes_between_multiples_of_a_cell_are_padded_with_black() {
    let yunet = yunet(&YuNetConfig::default().threshold(0.0));
    let image = frame(70, 33);
    let mut padded = RgbImage::new(96, 64);
    image::imageops::replace(&mut padded, &image, 0, 0);
    let found = yunet.detect(&image).unwrap();
    assert_eq!(found, yunet.detect(&padded).unwrap());
    assert!(!found.is_empty());
    for (width, height) in [(1, 1), (32, 1), (31, 65)] {
        yunet.detect(&frame(width, height)).unwrap();
    }
    assert!(yunet.detect(&RgbImage::new(0, 9)).unwrap().is_empty());
}

#[test]
fn small_faces_are_dropped_and_results_are_in_pixels_of_the_original() {
    let weights = Structure { gain: 0.5, ..Structure::n() }.file(3);
    let weights = YuNetWeights::from_bytes(&weights, "random.onnx").unwrap();
    let yunet = |config: &YuNetConfig| config.init(&weights, &Device::flex()).unwrap();
    let config = YuNetConfig::default().threshold(0.0).overlap(1.0);
    let image = frame(128, 64);
    let all = yunet(&config).detect(&image).unwrap();
    // Of random weights, some boxes are beyond all numbers.
    assert!((50..=16 * 8 + 8 * 4 + 4 * 2).contains(&all.len()));
    let height = |face: &Face| face.bbox.height();
    let mut heights: Vec<f32> = all.iter().map(height).collect();
    heights.sort_by(f32::total_cmp);
    let middle = heights[heights.len() / 2];
    let tall = yunet(&config.clone().min_face(middle)).detect(&image).unwrap();
    assert_eq!(tall.len(), heights.iter().filter(|height| **height >= middle).count());

    let shrunk = yunet(&config.clone().max_side(Some(64))).detect(&image).unwrap();
    let small = deeptell_face::shrunk(&image, 64).unwrap();
    let of_small = yunet(&config).detect(&small).unwrap();
    let doubled: Vec<Face> = of_small.iter().map(|face| face.stretched(2.0, 2.0)).collect();
    assert_eq!(shrunk, doubled);
}
