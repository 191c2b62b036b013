//! The network against torchvision, and weights through every format.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking, in its helper functions too")]

mod dtype;
mod freezing;
mod kernels;
mod parity;
#[path = "../../../deeptell-weights/tests/it/pth.rs"]
mod pth;
mod weights;

use burn::tensor::{Device, Tensor, TensorData};
use deeptell_mobilenet::{MobileNetV3, MobileNetV3Config, Variant};

/// The generator of `scripts/make_golden.py`: `count` numbers in `0..1`, seeded by a name.
fn uniform(name: &str, count: usize) -> Vec<f64> {
    const MASK: u64 = (1 << 31) - 1;
    let seed = name.bytes().enumerate().map(|(i, byte)| (i as u64 + 1) * u64::from(byte)).sum::<u64>();
    let mut state = seed & MASK;
    (0..count)
        .map(|_| {
            state = (1_103_515_245 * state + 12345) & MASK;
            state as f64 / (MASK + 1) as f64
        })
        .collect()
}

/// The weights of `scripts/make_golden.py`, in a small network with `classes` outputs.
fn generated(classes: usize, device: &Device) -> MobileNetV3 {
    generated_of(Variant::Small, classes, device)
}

/// The weights of `scripts/make_golden.py`, in a network with `classes` outputs.
fn generated_of(variant: Variant, classes: usize, device: &Device) -> MobileNetV3 {
    let mut network = MobileNetV3Config::new(variant, classes).init(device);
    let mut weights = network.weights().unwrap();
    for tensor in &mut weights.tensors {
        let u = uniform(&tensor.name, tensor.values.len());
        let fan_in = tensor.shape[1..].iter().product::<usize>() as f64;
        let spread = (24.0 / fan_in).sqrt();
        let value: Box<dyn Fn(f64) -> f64> = if tensor.name.ends_with("running_var") {
            Box::new(|u| 0.5 + u)
        } else if tensor.shape.len() > 1 {
            Box::new(move |u| (u - 0.5) * spread)
        } else if tensor.name.ends_with("weight") {
            Box::new(|u| 0.75 + 0.5 * u)
        } else {
            Box::new(|u| 0.4 * (u - 0.5))
        };
        tensor.values = u.into_iter().map(|u| value(u) as f32).collect();
    }
    network.load(&weights).unwrap();
    network
}

fn input(shape: [usize; 4], device: &Device) -> Tensor<4> {
    input_named("input", shape, device)
}

fn input_named(name: &str, shape: [usize; 4], device: &Device) -> Tensor<4> {
    let values: Vec<f32> =
        uniform(name, shape.iter().product()).into_iter().map(|u| ((u - 0.5) * 4.0) as f32).collect();
    Tensor::from_data(TensorData::new(values, shape), device)
}

fn values<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.into_data().try_into_vec::<f32>().unwrap()
}

/// Largest difference over the largest value.
fn relative_error(found: &[f32], expected: &[f32]) -> f32 {
    assert_eq!(found.len(), expected.len());
    let largest = expected.iter().fold(1e-9f32, |m, v| m.max(v.abs()));
    found.iter().zip(expected).fold(0f32, |m, (a, b)| m.max((a - b).abs())) / largest
}
