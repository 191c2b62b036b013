//! The network with the kernels against the same network by Burn's own operations.

use burn::optim::{AdamWConfig, GradientsParams};
use burn::tensor::activation::log_sigmoid;
use burn::tensor::{Device, Tensor, TensorData};
use deeptell_mobilenet::{MobileNetV3, MobileNetV3Config, Variant};

use crate::{generated, generated_of, input, relative_error, values};

#[test]
fn kernels_match_plain_network() {
    let device = Device::flex();
    for variant in [Variant::Small, Variant::Large] {
        let plain = generated_of(variant, 3, &device).without_kernels();
        let folded = generated_of(variant, 3, &device).folded();
        for shape in [[1, 3, 224, 224], [5, 3, 97, 130], [2, 3, 32, 33]] {
            let x = input(shape, &device);
            let error = relative_error(&values(folded.forward(x.clone())), &values(plain.forward(x.clone())));
            assert!(error < 1e-4, "logits of {variant:?}, {shape:?}: {error:e}");
            let error = relative_error(&values(folded.features(x.clone())), &values(plain.features(x)));
            assert!(error < 1e-4, "features of {variant:?}, {shape:?}: {error:e}");
        }
    }
}

/// The loss of each of `steps` steps on four pictures.
fn losses(mut network: MobileNetV3, steps: usize) -> Vec<f32> {
    let device = Device::flex().autodiff();
    let images = input([4, 3, 64, 64], &device);
    let labels = Tensor::<2>::from_data(TensorData::new(vec![0.0_f32, 1.0, 1.0, 0.0], [4, 1]), &device);
    let mut optimizer = AdamWConfig::new().with_epsilon(1e-8).init();
    (0..steps)
        .map(|_| {
            let logits = network.forward(images.clone());
            let fake = labels.clone() * log_sigmoid(logits.clone());
            let real = (-labels.clone() + 1.0) * log_sigmoid(-logits);
            let loss = -(fake + real).mean();
            let gradients = GradientsParams::from_grads(loss.backward(), &network);
            network = optimizer.step(1e-4, network.clone(), gradients);
            loss.into_scalar::<f32>()
        })
        .collect()
}

#[test]
fn fifty_training_steps_match_plain_network() {
    let device = Device::flex().autodiff();
    let weights = generated(1, &Device::flex()).weights().unwrap();
    let start = || {
        let mut network = MobileNetV3Config::new(Variant::Small, 1).with_dropout(0.0).init(&device);
        network.load(&weights).unwrap();
        network
    };
    let with = losses(start(), 50);
    let without = losses(start().without_kernels(), 50);
    assert!(with[49] < 0.8 * with[0], "it learns: {with:?}");
    for (step, (a, b)) in with.iter().zip(&without).enumerate() {
        assert!((a - b).abs() < 1e-3, "step {step}: {a} with kernels, {b} without");
    }
}
