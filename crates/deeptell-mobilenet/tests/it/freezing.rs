use burn::optim::{AdamWConfig, GradientsParams};
use burn::tensor::Device;
use deeptell_mobilenet::MobileNetV3;
use deeptell_weights::Weights;

use crate::{generated, input};

fn one_step(network: MobileNetV3, device: &Device) -> MobileNetV3 {
    let loss = network.forward(input([3, 3, 40, 40], device)).powi_scalar(2).mean();
    let gradients = GradientsParams::from_grads(loss.backward(), &network);
    AdamWConfig::new().init().step(1e-3, network, gradients)
}

/// Names of the tensors that differ.
fn changed(before: &Weights, after: &Weights) -> Vec<String> {
    before
        .tensors
        .iter()
        .zip(&after.tensors)
        .filter(|(a, b)| a.values != b.values)
        .map(|(a, _)| a.name.clone())
        .collect()
}

#[test]
fn frozen_backbone_keeps_weights_and_statistics() {
    let device = Device::flex().autodiff();
    let network = generated(1, &device).freeze_backbone();
    let before = network.weights().unwrap();
    let after = one_step(network, &device).weights().unwrap();
    let changed = changed(&before, &after);
    assert!(changed.iter().all(|name| name.starts_with("classifier.")), "{changed:?}");
    assert!(changed.contains(&"classifier.3.weight".to_owned()));
}

#[test]
fn unfrozen_backbone_trains_weights_and_statistics() {
    let device = Device::flex().autodiff();
    let network = generated(1, &device).freeze_backbone().unfreeze_backbone();
    let before = network.weights().unwrap();
    let after = one_step(network, &device).weights().unwrap();
    let changed = changed(&before, &after);
    for name in [
        "features.0.0.weight",
        "features.0.1.running_mean",
        "features.1.block.1.fc1.weight",
        "features.12.1.running_var",
        "features.12.1.weight",
        "classifier.0.weight",
    ] {
        assert!(changed.contains(&name.to_owned()), "{name} did not change");
    }
}
