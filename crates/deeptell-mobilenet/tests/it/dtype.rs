//! The network in 16 bits against the same network in 32.

use burn::module::{Module, ModuleVisitor, Param};
use burn::optim::GradientsParams;
use burn::tensor::{DType, Device, Tensor};
use deeptell_mobilenet::{MobileNetV3, MobileNetV3Config, Variant};
use deeptell_weights::Dtype;

use crate::{generated, input, relative_error, values};

/// Significant bits halve the error: 8 against 11.
const TOLERANCES: [(Dtype, f32); 2] = [(Dtype::Bf16, 0.05), (Dtype::F16, 0.01)];

#[test]
fn half_precision_outputs_are_f32_and_close() {
    let device = Device::flex();
    let x = input([3, 3, 96, 96], &device);
    let full = generated(3, &device).folded();
    let wanted = [values(full.forward(x.clone())), values(full.features(x.clone()))];
    for (dtype, tolerance) in TOLERANCES {
        let network = generated(3, &device);
        for network in [
            network.clone().with_dtype(dtype),
            network.clone().with_dtype(dtype).folded(),
            network.folded().with_dtype(dtype),
        ] {
            let (logits, features) = (network.forward(x.clone()), network.features(x.clone()));
            assert_eq!([logits.dtype(), features.dtype()], [DType::F32; 2]);
            let found = [values(logits), values(features)];
            for (what, (found, wanted)) in ["logits", "features"].iter().zip(found.iter().zip(&wanted)) {
                let error = relative_error(found, wanted);
                assert!(error < tolerance, "{what} in {dtype}: {error:e}");
                assert!(error > 1e-6, "{what} in {dtype} were computed in 32 bits: {error:e}");
            }
            let map = network.class_activation(x.clone(), 0);
            assert_eq!(map.dtype(), DType::F32);
        }
    }
}

#[test]
fn half_precision_gradients_are_f32_and_agree_in_direction() {
    let device = Device::flex().autodiff();
    let weights = generated(1, &Device::flex()).weights().unwrap();
    let images = input([4, 3, 64, 64], &device);
    let gradients = |dtype: Dtype| {
        let mut network = MobileNetV3Config::new(Variant::Small, 1).with_dropout(0.0).init(&device);
        network.load(&weights).unwrap();
        let network = network.with_dtype(dtype);
        let loss = (network.forward(images.clone()) - 1.0).powi_scalar(2).mean();
        flat(&GradientsParams::from_grads(loss.backward(), &network), &network)
    };
    let full = gradients(Dtype::F32);
    for (dtype, least) in [(Dtype::Bf16, 0.98), (Dtype::F16, 0.999)] {
        let half = gradients(dtype);
        assert_eq!(half.len(), full.len());
        let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| f64::from(a * b)).sum::<f64>();
        let cosine = dot(&half, &full) / (dot(&half, &half) * dot(&full, &full)).sqrt();
        assert!(cosine > least, "{dtype}: {cosine}");
    }
}

#[test]
fn batch_statistics_are_f32() {
    let device = Device::flex().autodiff();
    let weights = generated(1, &Device::flex()).weights().unwrap();
    let after = |dtype: Dtype| {
        let mut network = MobileNetV3Config::new(Variant::Small, 1).init(&device);
        network.load(&weights).unwrap();
        let network = network.with_dtype(dtype);
        let _ = network.forward(input([4, 3, 64, 64], &device));
        network.valid().weights().unwrap()
    };
    let [full, half] = [after(Dtype::F32), after(Dtype::Bf16)];
    let mut compared = 0;
    for ((full, half), before) in full.tensors.iter().zip(&half.tensors).zip(&weights.tensors) {
        assert_eq!((&full.name, &full.name), (&half.name, &before.name));
        if full.name.contains("running") {
            assert_ne!(half.values, before.values, "{} has not moved", half.name);
            let error = relative_error(&half.values, &full.values);
            assert!(error < 5e-3, "{}: {error:e}", full.name);
            compared += 1;
        } else {
            assert_eq!(half.values, before.values, "{} is a master weight", half.name);
        }
    }
    assert_eq!(compared, 2 * 34, "each of the 34 normalizations has a mean and a variance");
}

fn flat(gradients: &GradientsParams, network: &MobileNetV3) -> Vec<f32> {
    struct Flat<'a>(&'a GradientsParams, Vec<f32>);
    impl ModuleVisitor for Flat<'_> {
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            let Some(gradient) = self.0.get::<D>(param.id) else { return };
            assert_eq!(gradient.dtype(), DType::F32);
            self.1.extend(gradient.into_data().try_into_vec::<f32>().unwrap());
        }
    }
    let mut flat = Flat(gradients, Vec::new());
    network.visit(&mut flat);
    assert_eq!(flat.1.len(), network.parameter_count());
    flat.1
}
