use burn::module::{Module as _, ModuleVisitor, Param};
use burn::optim::{AdamWConfig, GradientsParams};
use burn::tensor::{Device, Tensor};
use deeptell_mobilenet::{MobileNetV3, MobileNetV3Config, Variant};
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

#[test]
fn frozen_statistics_stay_while_weights_train() {
    let device = Device::flex().autodiff();
    let network = generated(1, &device).freeze_statistics();
    let before = network.weights().unwrap();
    let after = one_step(network, &device).weights().unwrap();
    let changed = changed(&before, &after);
    assert!(changed.iter().all(|name| !name.contains("running_")), "{changed:?}");
    for name in ["features.0.0.weight", "features.0.1.weight", "features.12.1.bias", "classifier.3.weight"] {
        assert!(changed.contains(&name.to_owned()), "{name} did not change");
    }
}

/// All gradients of one pass.
struct Gathered<'a> {
    gradients: &'a GradientsParams,
    values: Vec<f32>,
}

impl ModuleVisitor for Gathered<'_> {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if let Some(gradient) = self.gradients.get::<D>(param.id) {
            self.values.extend(gradient.try_into_vec_as::<f32>().unwrap());
        }
    }
}

/// The kernels fold the normalization into the convolution, Burn's operations do not.
#[test]
fn gradients_with_frozen_statistics_match_plain_network() {
    let device = Device::flex().autodiff();
    let mut network = MobileNetV3Config::new(Variant::Small, 1).with_dropout(0.0).init(&device);
    network.load(&generated(1, &Device::flex()).weights().unwrap()).unwrap();
    let network = network.freeze_statistics();
    let gradients = |network: &MobileNetV3| {
        let loss = network.forward(input([3, 3, 40, 40], &device)).powi_scalar(2).mean();
        let gradients = GradientsParams::from_grads(loss.backward(), network);
        let mut gathered = Gathered { gradients: &gradients, values: Vec::new() };
        network.visit(&mut gathered);
        gathered.values
    };
    let ours = gradients(&network);
    assert_eq!(ours.len(), network.parameter_count());
    let plain = gradients(&network.clone().without_kernels());
    let largest = plain.iter().copied().map(f32::abs).fold(0.0, f32::max);
    let apart = ours.iter().zip(&plain).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    assert!(largest > 0.0 && apart < 1e-4 * largest, "{apart} of {largest}");
}

#[test]
fn statistics_are_set_in_the_order_they_are_given() {
    let device = Device::flex();
    let (one, other) = (generated(1, &device), MobileNetV3Config::new(Variant::Small, 1).init(&device));
    assert_eq!(one.statistics().len(), 2 * 34);
    other.set_statistics(one.statistics());
    let [one, other] = [one, other].map(|network| network.weights().unwrap());
    let differing = changed(&one, &other);
    assert!(differing.iter().all(|name| !name.contains("running_")), "{differing:?}");
    assert!(differing.contains(&"features.0.1.weight".to_owned()));
}

/// A mask drawn for a batch keeps what the network would have kept, whole or in parts.
#[test]
fn drawn_dropout_is_that_of_the_pass() {
    let device = Device::flex().autodiff();
    let network = generated(1, &device).freeze_statistics();
    let images = input([3, 3, 40, 33], &device);
    let drawn = |seed| {
        device.seed(seed);
        network.draw_dropout(3, Some([2, 2]), &device).unwrap()
    };
    let values = |(logits, map): (Tensor<2>, Tensor<4>)| {
        [logits.try_into_vec_as::<f32>().unwrap(), map.try_into_vec_as::<f32>().unwrap()]
    };
    let mask = drawn(7);
    device.seed(7);
    let whole = values(network.localize(images.clone()));
    assert_eq!(whole, values(network.localize_with(images.clone(), Some(&mask))));
    assert_ne!(whole, values(network.localize_with(images.clone(), Some(&drawn(8)))));
    let mut parts = [Vec::new(), Vec::new()];
    for part in [0..2, 2..3] {
        let some = images.clone().slice([part.clone()]);
        let found = values(network.localize_with(some.clone(), Some(&mask.part(part.clone(), &device))));
        let logits = network.forward_with(some, Some(&mask.part(part, &device)));
        assert_eq!(found[0], logits.try_into_vec_as::<f32>().unwrap());
        for (part, found) in parts.iter_mut().zip(found) {
            part.extend(found);
        }
    }
    let apart = whole.iter().flatten().zip(parts.iter().flatten()).map(|(a, b)| (a - b).abs());
    assert!(apart.fold(0.0, f32::max) < 1e-5);
}
