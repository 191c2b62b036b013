use burn::module::Module as _;
use burn::tensor::Device;
use deeptell_mobilenet::{MobileNetV3Config, Variant};
use serde::Deserialize;

use crate::{generated, input, input_named, relative_error, values};

#[derive(Deserialize)]
struct Golden {
    input_shape: [usize; 4],
    stages: Vec<Stage>,
    embedding_first: Vec<Vec<f32>>,
    logits: Vec<Vec<f32>>,
    grad_cam: GradCam,
}

#[derive(Deserialize)]
struct GradCam {
    input_shape: [usize; 4],
    class: usize,
    maps: Vec<Vec<Vec<f32>>>,
}

#[derive(Deserialize)]
struct Stage {
    shape: [usize; 4],
    mean_abs: f32,
    first: Vec<f32>,
    last: Vec<f32>,
}

const TOLERANCE: f32 = 1e-4;

fn golden() -> Golden {
    serde_json::from_str(include_str!("../data/torchvision.json")).unwrap()
}

#[test]
fn each_stage_matches_torchvision() {
    let device = Device::flex();
    let golden = golden();
    let stages = generated(3, &device).stages(input(golden.input_shape, &device));
    assert_eq!(stages.len(), golden.stages.len());
    for (number, (stage, expected)) in stages.into_iter().zip(&golden.stages).enumerate() {
        assert_eq!(stage.dims(), expected.shape, "features.{number}");
        let found = values(stage);
        let mean_abs = found.iter().map(|v| v.abs()).sum::<f32>() / found.len() as f32;
        for (part, found, expected) in [
            ("first", &found[..24], expected.first.as_slice()),
            ("last", &found[found.len() - 24..], expected.last.as_slice()),
            ("mean of magnitudes", &[mean_abs], &[expected.mean_abs]),
        ] {
            let error = relative_error(found, expected);
            assert!(error <= TOLERANCE, "features.{number}, {part}: relative error {error:e}");
        }
    }
}

#[test]
fn embedding_and_logits_match_torchvision() {
    let device = Device::flex();
    let golden = golden();
    let network = generated(3, &device);
    for network in [network.clone(), network.folded()] {
        let embedding = network.embed(input(golden.input_shape, &device));
        let logits = values(network.classify(embedding.clone()));
        let embedding = values(embedding);
        for (row, expected) in golden.embedding_first.iter().enumerate() {
            let error = relative_error(&embedding[row * 576..row * 576 + expected.len()], expected);
            assert!(error <= TOLERANCE, "embedding {row}: relative error {error:e}");
        }
        let error = relative_error(&logits, &golden.logits.concat());
        assert!(error <= TOLERANCE, "logits: relative error {error:e}");
    }
}

#[test]
fn class_activation_matches_pytorch_grad_cam() {
    let device = Device::flex();
    let GradCam { input_shape, class, maps } = golden().grad_cam;
    let network = generated(3, &device);
    for network in [network.clone(), network.folded()] {
        let found = network.class_activation(input_named("grad-cam", input_shape, &device), class);
        assert_eq!(found.dims(), [maps.len(), maps[0].len(), maps[0][0].len()]);
        let (found, expected) = (values(found), maps.iter().flatten().flatten().copied().collect::<Vec<_>>());
        assert!(expected.iter().any(|&v| v > 0.0) && expected.contains(&0.0), "a map with both");
        let error = relative_error(&found, &expected);
        assert!(error <= TOLERANCE, "relative error {error:e}");
        assert!(correlation(&found, &expected) >= 0.999);
    }
}

/// Pearson's correlation coefficient.
fn correlation(a: &[f32], b: &[f32]) -> f32 {
    let mean = |v: &[f32]| v.iter().sum::<f32>() / v.len() as f32;
    let (mean_a, mean_b) = (mean(a), mean(b));
    let sum =
        |f: &dyn Fn(f32, f32) -> f32| a.iter().zip(b).map(|(&x, &y)| f(x - mean_a, y - mean_b)).sum::<f32>();
    sum(&|x, y| x * y) / (sum(&|x, _| x * x) * sum(&|_, y| y * y)).sqrt()
}

#[test]
fn parameter_counts_match_the_paper() {
    let device = Device::flex();
    let network = |variant, classes| MobileNetV3Config::new(variant, classes).init(&device);
    assert_eq!(network(Variant::Small, 1000).parameter_count(), 2_542_856);
    assert_eq!(network(Variant::Small, 1).parameter_count(), 1_518_881);
    assert_eq!(network(Variant::Large, 1000).parameter_count(), 5_483_032);
    assert_eq!(network(Variant::Large, 1).parameter_count(), 4_203_313);
    let small = network(Variant::Small, 1);
    assert!(small.num_params() > small.parameter_count());
}

#[test]
fn frozen_network_gives_same_stages_on_autodiff_device() {
    let device = Device::flex();
    let training = device.clone().autodiff();
    let golden = golden();
    let plain = generated(3, &device).embed(input(golden.input_shape, &device));
    let frozen = generated(3, &training).freeze_backbone().embed(input(golden.input_shape, &training));
    let error = relative_error(&values(frozen), &values(plain));
    assert!(error <= TOLERANCE, "relative error {error:e}");
}
