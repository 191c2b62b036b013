//! The kernels against Burn's own operations on the same device.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking, in its helper functions too")]

use burn::nn::pool::MaxPool2dConfig;
use burn::tensor::activation::{hard_sigmoid, hard_swish, relu};
use burn::tensor::{Device, Tensor, TensorData, module, ops::ConvOptions};
use deeptell_kernels::{
    Activation, ConvGeometry, ConvStack, FoldedConv, InvertedResidual, InvertedResidualStack, RowSource,
    StackLayer, batch_norm_activation, conv2d, conv2d_bias_activation, max_pool_2x2, supports,
};
use proptest::prelude::*;

const ACTIVATIONS: [Activation; 3] = [Activation::Identity, Activation::Relu, Activation::HardSwish];

/// Numbers in about [-1, 1) that differ for each seed and position.
fn noise(seed: u64, len: usize) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    (0..len)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 40) as f32 / (1_u32 << 23) as f32 - 1.0
        })
        .collect()
}

fn random<const D: usize>(seed: u64, dims: [usize; D], device: &Device) -> Tensor<D> {
    let len = dims.iter().product();
    Tensor::from_data(TensorData::new(noise(seed, len), dims), device)
}

fn values<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.into_data().try_into_vec().unwrap()
}

/// The largest difference, relative to the largest value.
fn difference<const D: usize>(actual: Tensor<D>, expected: Tensor<D>) -> f32 {
    assert_eq!(actual.dims(), expected.dims());
    let (actual, expected) = (values(actual), values(expected));
    let size = expected.iter().fold(1e-3_f32, |size, v| size.max(v.abs()));
    let largest = std::iter::zip(actual, expected)
        .map(|(actual, expected)| (actual - expected).abs())
        .max_by(f32::total_cmp);
    largest.unwrap_or(0.0) / size
}

fn activate(v: Tensor<4>, activation: Activation) -> Tensor<4> {
    match activation {
        Activation::Identity => v,
        Activation::Relu => relu(v),
        Activation::HardSwish => hard_swish(v),
    }
}

fn burn_conv2d(x: Tensor<4>, weight: Tensor<4>, geometry: ConvGeometry) -> Tensor<4> {
    let ConvGeometry { stride, padding, groups } = geometry;
    let options = ConvOptions::new([stride; 2], [padding; 2], [1; 2], groups);
    module::conv2d(x, weight, None, options)
}

fn burn_batch_norm(
    x: Tensor<4>,
    gamma: Tensor<1>,
    beta: Tensor<1>,
    epsilon: f64,
) -> (Tensor<4>, Tensor<1>, Tensor<1>) {
    let channels = x.dims()[1];
    let mean: Tensor<4> = x.clone().mean_dims(&[0, 2, 3]);
    let distance = x - mean.clone();
    let variance: Tensor<4> = distance.clone().powi_scalar(2).mean_dims(&[0, 2, 3]);
    let scale = gamma.reshape([1, channels, 1, 1]) / (variance.clone() + epsilon).sqrt();
    let output = distance * scale + beta.reshape([1, channels, 1, 1]);
    (output, mean.reshape([channels]), variance.reshape([channels]))
}

/// A loss whose gradient for each output cell differs.
fn loss(output: Tensor<4>, seed: u64) -> Tensor<1> {
    let weights = random(seed, output.dims(), &output.device());
    (output * weights).sum()
}

/// Batch, input channels, height, width, output channels, kernel, and the geometry.
#[derive(Debug, Clone, Copy)]
struct Case {
    x: [usize; 4],
    weight: [usize; 4],
    geometry: ConvGeometry,
}

fn cases() -> impl Strategy<Value = Case> {
    let sizes = (1..4_usize, 1..21_usize, 1..21_usize, 1..34_usize, 1..34_usize);
    let window = (0..4_usize, prop::sample::select(vec![3, 5_usize]), 1..3_usize);
    (sizes, window).prop_map(|((batch, height, width, inputs, outputs), (kind, k, stride))| {
        let (inputs, outputs, group_inputs, kernel, stride, groups) = match kind {
            // 1x1
            0 => (inputs, outputs, inputs, 1, 1, 1),
            // Depthwise
            1 | 2 => (inputs, inputs, 1, k, stride, inputs),
            // Dense with few channels, and groups of two
            _ if inputs % 2 == 0 => (4, 6, 2, k, stride, 2),
            _ => (inputs % 4 + 1, outputs % 9 + 1, inputs % 4 + 1, k, stride, 1),
        };
        Case {
            x: [batch, inputs, height, width],
            weight: [outputs, group_inputs, kernel, kernel],
            geometry: ConvGeometry { stride, padding: (kernel - 1) / 2, groups },
        }
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn convolution_agrees_with_burn(case in cases(), seed in 1..1000_u64) {
        let device = Device::flex().autodiff();
        let x = random(seed, case.x, &device).require_grad();
        let weight = random(seed + 1, case.weight, &device).require_grad();
        let actual = conv2d(x.clone(), weight.clone(), case.geometry);
        let expected = burn_conv2d(x.clone(), weight.clone(), case.geometry);
        prop_assert!(difference(actual.clone(), expected.clone()) < 1e-4);

        let actual = loss(actual, seed + 2).backward();
        let expected = loss(expected, seed + 2).backward();
        let for_x = difference(x.grad(&actual).unwrap(), x.grad(&expected).unwrap());
        let for_weight =
            difference(weight.grad(&actual).unwrap(), weight.grad(&expected).unwrap());
        prop_assert!(for_x < 1e-4, "input gradient differs by {for_x}");
        prop_assert!(for_weight < 1e-4, "weight gradient differs by {for_weight}");
    }

    #[test]
    fn fused_inference_agrees_with_burn(case in cases(), seed in 1..1000_u64) {
        let device = Device::flex();
        let x = random(seed, case.x, &device) * 4.0;
        let weight = random(seed + 1, case.weight, &device);
        let bias = random(seed + 2, [case.weight[0]], &device);
        let plain = burn_conv2d(x.clone(), weight.clone(), case.geometry)
            + bias.clone().reshape([1, case.weight[0], 1, 1]);
        for activation in ACTIVATIONS {
            let actual = conv2d_bias_activation(
                x.clone(), weight.clone(), bias.clone(), case.geometry, activation,
            );
            prop_assert!(difference(actual, activate(plain.clone(), activation)) < 1e-4);
        }
    }

    #[test]
    fn batch_norm_agrees_with_burn(
        dims in (1..4_usize, 1..34_usize, 1..21_usize, 1..21_usize),
        seed in 1..1000_u64,
    ) {
        let dims = [dims.0, dims.1, dims.2, dims.3];
        // With one value per channel the output does not depend on the input at all.
        prop_assume!(dims[0] * dims[2] * dims[3] > 1);
        let device = Device::flex().autodiff();
        let x = (random(seed, dims, &device) * 3.0 + 2.0).require_grad();
        let gamma = (random(seed + 1, [dims[1]], &device) + 1.5).require_grad();
        let beta = random(seed + 2, [dims[1]], &device).require_grad();
        for activation in ACTIVATIONS {
            let actual =
                batch_norm_activation(x.clone(), gamma.clone(), beta.clone(), 1e-3, activation);
            let (expected, mean, variance) =
                burn_batch_norm(x.clone(), gamma.clone(), beta.clone(), 1e-3);
            let expected = activate(expected, activation);
            prop_assert!(difference(actual.output.clone(), expected.clone()) < 1e-4);
            prop_assert!(difference(actual.mean, mean) < 1e-4);
            prop_assert!(difference(actual.variance, variance) < 1e-4);

            let actual = loss(actual.output, seed + 3).backward();
            let expected = loss(expected, seed + 3).backward();
            let for_x = difference(x.grad(&actual).unwrap(), x.grad(&expected).unwrap());
            let for_gamma =
                difference(gamma.grad(&actual).unwrap(), gamma.grad(&expected).unwrap());
            let for_beta = difference(beta.grad(&actual).unwrap(), beta.grad(&expected).unwrap());
            prop_assert!(for_x < 2e-4, "input gradient differs by {for_x}");
            prop_assert!(for_gamma < 1e-4, "gamma gradient differs by {for_gamma}");
            prop_assert!(for_beta < 1e-4, "beta gradient differs by {for_beta}");
        }
    }
}

#[test]
fn conv2d_matches_burn_for_any_window() {
    let device = Device::flex().autodiff();
    // Rectangular kernels, strides and paddings that no network here uses.
    for (kernel, stride, padding) in [
        ([1, 1], 2, 0),
        ([1, 1], 1, 1),
        ([2, 3], 1, 0),
        ([2, 2], 3, 1),
        ([4, 1], 2, 3),
        ([7, 7], 3, 3),
        ([3, 3], 1, 2),
    ] {
        for size in [[7, 8], [9, 4], [8, 15]] {
            let geometry = ConvGeometry { stride, padding, groups: 3 };
            if kernel[1] > size[1] + 2 * padding {
                continue;
            }
            let x = random(1, [2, 6, size[0], size[1]], &device).require_grad();
            let weight = random(2, [9, 2, kernel[0], kernel[1]], &device).require_grad();
            let actual = conv2d(x.clone(), weight.clone(), geometry);
            let expected = burn_conv2d(x.clone(), weight.clone(), geometry);
            assert!(difference(actual.clone(), expected.clone()) < 1e-4);
            let actual = loss(actual, 3).backward();
            let expected = loss(expected, 3).backward();
            let case = format!("{kernel:?} {geometry:?} {size:?}");
            let (a, b) = (x.grad(&actual).unwrap(), x.grad(&expected).unwrap());
            assert!(difference(a, b) < 1e-4, "input gradient, {case}");
            let (a, b) = (weight.grad(&actual).unwrap(), weight.grad(&expected).unwrap());
            assert!(difference(a, b) < 1e-4, "weight gradient, {case}");
        }
    }
}

#[test]
fn max_pool_matches_burn_for_odd_sizes_and_parts_of_tensors() {
    for device in [Device::flex(), Device::flex().autodiff()] {
        for dims in [[2, 3, 8, 10], [1, 1, 2, 2], [1, 2, 7, 5]] {
            let x = random(3, dims, &device);
            let burn = MaxPool2dConfig::new([2, 2]).init();
            assert_eq!(values(max_pool_2x2(x.clone())), values(burn.forward(x.clone())), "{dims:?}");
            let turned = x.swap_dims(2, 3);
            assert_eq!(values(max_pool_2x2(turned.clone())), values(burn.forward(turned)), "{dims:?}");
        }
    }
}

#[test]
fn operands_need_not_be_contiguous() {
    let device = Device::flex();
    let geometry = ConvGeometry { padding: 1, groups: 4, ..ConvGeometry::default() };
    let x = random(1, [2, 6, 5, 4], &device).swap_dims(1, 3);
    let weight = random(2, [8, 1, 3, 3], &device).narrow(0, 2, 4);
    let expected = burn_conv2d(x.clone(), weight.clone(), geometry);
    assert!(difference(conv2d(x.clone(), weight, geometry), expected) < 1e-5);

    let gamma = random(3, [9], &device).narrow(0, 3, 4);
    let beta = random(4, [4], &device);
    let actual = batch_norm_activation(x.clone(), gamma.clone(), beta.clone(), 1e-3, Activation::Identity);
    let (expected, ..) = burn_batch_norm(x, gamma, beta, 1e-3);
    assert!(difference(actual.output, expected) < 1e-4);
}

#[test]
fn only_tracked_operands_get_gradients() {
    let device = Device::flex().autodiff();
    let geometry = ConvGeometry { padding: 1, ..ConvGeometry::default() };
    let x = random(1, [1, 3, 6, 6], &device);
    let weight = random(2, [4, 3, 3, 3], &device).require_grad();
    let gradients = conv2d(x.clone(), weight.clone(), geometry).sum().backward();
    assert!(x.grad(&gradients).is_none());
    assert!(weight.grad(&gradients).is_some());

    let (x, weight) = (x.require_grad(), weight.set_require_grad(false));
    let gradients = conv2d(x.clone(), weight.clone(), geometry).sum().backward();
    assert!(x.grad(&gradients).is_some());
    assert!(weight.grad(&gradients).is_none());
}

#[test]
fn backward_keeps_gradient_shared_with_another_branch() {
    // `beta` gets its gradient from the same tensor that the backward pass of the
    // normalization would overwrite.
    let device = Device::flex().autodiff();
    let x = random(1, [2, 3, 4, 4], &device).require_grad();
    let skip = random(2, [2, 3, 4, 4], &device).require_grad();
    let one = Tensor::ones([3], &device);
    let normalized = batch_norm_activation(x, one.clone(), one.zeros_like(), 1e-3, Activation::Relu).output;
    let gradients = loss(normalized + skip.clone(), 3).backward();
    let expected = random(3, [2, 3, 4, 4], &device);
    assert_eq!(difference(skip.grad(&gradients).unwrap(), expected.inner()), 0.0);
}

#[test]
fn gradient_checkpointing_gives_the_same_gradients() {
    let gradient = |device: Device| {
        let x = random(1, [2, 4, 9, 9], &device).require_grad();
        let weight = random(2, [6, 4, 1, 1], &device);
        let y = relu(conv2d(x.clone(), weight, ConvGeometry::default()));
        let one = Tensor::ones([6], &device);
        let y = batch_norm_activation(y, one.clone(), one, 1e-3, Activation::HardSwish).output;
        x.grad(&loss(y, 3).backward()).unwrap()
    };
    let plain = gradient(Device::flex().autodiff());
    let balanced = gradient(Device::flex().autodiff().gradient_checkpointing());
    assert_eq!(values(plain), values(balanced));
}

#[test]
fn nan_reaches_the_output_of_each_kernel() {
    let device = Device::flex();
    for (weight, padding, groups) in [([4, 4, 1, 1], 0, 1), ([4, 1, 3, 3], 1, 4)] {
        let geometry = ConvGeometry { padding, groups, ..ConvGeometry::default() };
        let mut data = noise(1, 4 * 25);
        data[2 * 25 + 12] = f32::NAN;
        let x = Tensor::from_data(TensorData::new(data, [1, 4, 5, 5]), &device);
        let weight = random(2, weight, &device);
        let bias = random(3, [4], &device);
        for activation in ACTIVATIONS {
            let y = conv2d_bias_activation(x.clone(), weight.clone(), bias.clone(), geometry, activation);
            let y = values(y);
            assert!(y[2 * 25 + 12].is_nan(), "{geometry:?} {activation:?}");
            assert!(y[0].is_finite());
            let norm = batch_norm_activation(x.clone(), bias.clone(), bias.clone(), 1e-3, activation);
            let (output, mean) = (values(norm.output), values(norm.mean));
            assert!(output[2 * 25..3 * 25].iter().all(|v| v.is_nan()));
            assert!(output[..2 * 25].iter().all(|v| v.is_finite()));
            assert!(mean[2].is_nan() && mean[1].is_finite());
        }
    }
}

#[test]
fn variance_survives_a_large_mean() {
    let device = Device::flex();
    let x = random(1, [2, 1, 9, 9], &device);
    let one = Tensor::ones([1], &device);
    let run = |x| {
        let norm = batch_norm_activation(x, one.clone(), one.clone(), 1e-3, Activation::Identity);
        values(norm.variance)[0]
    };
    let (near, far) = (run(x.clone()), run(x + 1000.0));
    assert!((near - far).abs() < 1e-3 * near, "{near} became {far}");
}

#[test]
fn results_have_same_bits_for_any_thread_count() {
    let run = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| {
            let device = Device::flex().autodiff();
            let mut bits: Vec<u32> = Vec::new();
            for (weight, padding, groups) in
                [([7, 5, 1, 1], 0, 1), ([5, 1, 5, 5], 2, 5), ([8, 5, 3, 3], 1, 1)]
            {
                let geometry = ConvGeometry { padding, groups, ..ConvGeometry::default() };
                let x = random(1, [9, 5, 13, 11], &device).require_grad();
                let weight = random(2, weight, &device).require_grad();
                let y = conv2d(x.clone(), weight.clone(), geometry);
                let gamma = random(3, [y.dims()[1]], &device).require_grad();
                let y = batch_norm_activation(y, gamma.clone(), gamma.clone(), 1e-3, Activation::HardSwish)
                    .output;
                let gradients = loss(y.clone(), 4).backward();
                let parts = [
                    values(y),
                    values(x.grad(&gradients).unwrap()),
                    values(weight.grad(&gradients).unwrap()),
                    values(gamma.grad(&gradients).unwrap()),
                ];
                bits.extend(parts.concat().iter().map(|v| v.to_bits()));
            }
            bits
        })
    };
    let one = run(1);
    assert_eq!(one, run(1));
    assert_eq!(one, run(2));
    assert_eq!(one, run(3));
}

#[test]
fn flex_is_supported_with_and_without_autodiff() {
    assert!(supports(&Device::flex()));
    assert!(supports(&Device::flex().autodiff()));
}

#[test]
#[should_panic(expected = "does not fit an input of 3 channels")]
fn conv2d_rejects_weight_for_other_channels() {
    let device = Device::flex();
    let x = random(1, [1, 3, 5, 5], &device);
    conv2d(x, random(2, [4, 2, 1, 1], &device), ConvGeometry::default());
}

#[test]
#[should_panic(expected = "is larger than input")]
fn conv2d_rejects_window_larger_than_input() {
    let device = Device::flex();
    let x = random(1, [1, 3, 2, 5], &device);
    conv2d(x, random(2, [4, 3, 3, 3], &device), ConvGeometry::default());
}

#[test]
#[should_panic(expected = "expected one value for each of 3 channels")]
fn batch_norm_rejects_gamma_of_another_length() {
    let device = Device::flex();
    let x = random(1, [1, 3, 2, 5], &device);
    let one = Tensor::ones([2], &device);
    batch_norm_activation(x, one.clone(), one, 1e-3, Activation::Relu);
}

/// A row of a network: output channels, kernel height and width, pool.
type Row = (usize, [usize; 2], Option<usize>);

fn stack_layers(inputs: usize, rows: &[Row], seed: u64, device: &Device) -> Vec<StackLayer> {
    let mut channels = inputs;
    let layer = |(index, &(outputs, [height, width], pool)): (usize, &Row)| {
        let inputs = std::mem::replace(&mut channels, outputs);
        let seed = seed + 10 * index as u64;
        let scale = (inputs as f32 * height as f32 * width as f32).sqrt().recip();
        StackLayer {
            weight: random(seed, [outputs, inputs, height, width], device) * scale,
            bias: random(seed + 1, [outputs], device),
            // Rising everywhere, falling somewhere, none at all.
            slope: match index % 3 {
                0 => Some(random(seed + 2, [outputs], device).abs()),
                1 => Some(random(seed + 2, [outputs], device)),
                _ => None,
            },
            pool,
        }
    };
    rows.iter().enumerate().map(layer).collect()
}

/// The same network by Burn's own operations, channels last at both ends.
fn burn_stack(layers: &[StackLayer], x: Tensor<4>) -> Tensor<4> {
    let x = layers.iter().fold(x.permute([0, 3, 1, 2]), |x, layer| {
        let options = ConvOptions::new([1; 2], [0; 2], [1; 2], 1);
        let y = module::conv2d(x, layer.weight.clone(), Some(layer.bias.clone()), options);
        let y = match &layer.slope {
            Some(slope) => burn::tensor::activation::prelu(y, slope.clone()),
            None => y,
        };
        match layer.pool {
            Some(side) => {
                MaxPool2dConfig::new([side; 2]).with_strides([2, 2]).with_ceil_mode(true).init().forward(y)
            }
            None => y,
        }
    });
    x.permute([0, 2, 3, 1])
}

#[test]
fn conv_stack_matches_its_layers() {
    let device = Device::flex();
    // The networks of a cascaded face detector, then shapes no kernel was made for.
    let proposal: &[Row] =
        &[(10, [3; 2], Some(2)), (16, [3; 2], None), (32, [3; 2], None), (6, [1; 2], None)];
    let refinement: &[Row] = &[
        (28, [3; 2], Some(3)),
        (48, [3; 2], Some(3)),
        (64, [2; 2], None),
        (128, [3; 2], None),
        (6, [1; 2], None),
    ];
    let output: &[Row] = &[
        (32, [3; 2], Some(3)),
        (64, [3; 2], Some(3)),
        (64, [3; 2], Some(2)),
        (128, [2; 2], None),
        (256, [3; 2], None),
        (16, [1; 2], None),
    ];
    let odd: &[Row] = &[(5, [2, 4], None), (81, [3, 1], Some(2)), (17, [1, 2], Some(3)), (3, [2; 2], None)];
    let cases: [(usize, &[Row], [usize; 3]); 12] = [
        (3, proposal, [1, 12, 12]),
        (3, proposal, [1, 11, 30]),
        (3, proposal, [2, 45, 83]),
        (3, refinement, [1, 24, 24]),
        (3, refinement, [19, 24, 24]),
        (3, output, [1, 48, 48]),
        (3, output, [10, 48, 48]),
        (2, odd, [3, 16, 21]),
        (40, odd, [2, 17, 22]),
        (1, &[(7, [3; 2], Some(1))], [2, 9, 6]),
        (4, &[(1, [1; 2], None)], [3, 1, 1]),
        (6, &[(20, [4, 5], None), (33, [1; 2], None)], [9, 4, 5]),
    ];
    for (case, (inputs, rows, [images, height, width])) in cases.into_iter().enumerate() {
        let layers = stack_layers(inputs, rows, 100 * case as u64, &device);
        let x = random(7, [images, height, width, inputs], &device);
        let stack = ConvStack::new(&layers);
        let found = stack.forward(x.clone());
        let expected = burn_stack(&layers, x);
        assert_eq!(Some(found.dims()[1..].to_vec()), stack.output(height, width).map(|size| size.to_vec()));
        let difference = difference(found, expected);
        assert!(difference < 1e-5, "case {case}: {difference}");
    }
}

#[test]
fn conv_stack_result_does_not_depend_on_other_images() {
    let device = Device::flex();
    let layers = stack_layers(3, &[(28, [3; 2], Some(3)), (48, [3; 2], None), (9, [9; 2], None)], 3, &device);
    let stack = ConvStack::new(&layers);
    let x = random(4, [11, 24, 24, 3], &device);
    let together = stack.forward(x.clone());
    for image in 0..11 {
        let alone = stack.forward(x.clone().narrow(0, image, 1));
        assert_eq!(values(alone), values(together.clone().narrow(0, image, 1)), "image {image}");
    }
}

#[test]
fn conv_stack_output_is_none_for_images_too_small() {
    let device = Device::flex();
    let stack = ConvStack::new(&stack_layers(3, &[(4, [3; 2], Some(2)), (5, [2; 2], None)], 1, &device));
    assert_eq!(stack.output(6, 5), Some([1, 1, 5]));
    assert_eq!(stack.output(7, 9), Some([2, 3, 5]));
    assert_eq!(stack.output(4, 9), None);
    assert_eq!(stack.output(0, 0), None);
}

#[test]
#[should_panic(expected = "takes 3 channels, but gets 4")]
fn conv_stack_rejects_layers_that_do_not_fit() {
    let device = Device::flex();
    let mut layers = stack_layers(3, &[(4, [3; 2], None)], 1, &device);
    layers.push(layers[0].clone());
    let _ = ConvStack::new(&layers);
}

/// An image that is made row by row, and insists on each row once and in order.
struct Made<'a> {
    pixels: &'a [f32],
    next: std::sync::atomic::AtomicUsize,
}

impl RowSource for Made<'_> {
    fn write_row(&self, row: usize, target: &mut [f32]) {
        assert_eq!(self.next.fetch_add(1, std::sync::atomic::Ordering::Relaxed), row);
        target.copy_from_slice(&self.pixels[row * target.len()..][..target.len()]);
    }
}

#[test]
fn forward_rows_matches_forward_bit_for_bit() {
    let device = Device::flex();
    let streamed: &[Row] = &[(10, [3; 2], Some(2)), (16, [3; 2], None), (5, [1; 2], None)];
    let dense: &[Row] =
        &[(28, [3; 2], Some(3)), (48, [3; 2], Some(3)), (64, [2; 2], None), (5, [3; 2], None)];
    for (rows, images, [height, width]) in [(streamed, 3, [37, 50]), (dense, 19, [24, 24])] {
        let stack = ConvStack::new(&stack_layers(3, rows, 5, &device));
        let x = random(6, [images, height, width, 3], &device);
        let expected = values(stack.forward(x.clone()));
        let pixels = values(x);
        let made: Vec<_> =
            pixels.chunks_exact(height * width * 3).map(|pixels| Made { pixels, next: 0.into() }).collect();
        assert_eq!(stack.forward_rows(&made, height, width), expected);

        let [rows, columns, channels] = stack.output(height, width).unwrap();
        for (image, expected) in made.iter().zip(expected.chunks_exact(rows * columns * channels)) {
            image.next.store(0, std::sync::atomic::Ordering::Relaxed);
            let mut found = Vec::new();
            stack.stream_rows(image, height, width, |row, values| {
                assert_eq!(row * columns * channels, found.len());
                found.extend_from_slice(values);
            });
            assert_eq!(found, expected);
        }
    }
    let nothing: [Made<'_>; 0] = [];
    let stack = ConvStack::new(&stack_layers(3, streamed, 5, &device));
    assert!(stack.forward_rows(&nothing, 12, 12).is_empty());
}

#[test]
#[should_panic(expected = "one does not fit into 11x4 cells")]
fn conv_stack_rejects_image_smaller_than_a_window() {
    let stack = ConvStack::new(&stack_layers(3, &[(4, [5; 2], None)], 1, &Device::flex()));
    stack.stream_rows(&Made { pixels: &[], next: 0.into() }, 11, 4, |_, _| ());
}

/// Channels inside, channels out, window, stride, gate.
type BlockRow = (usize, usize, usize, usize, bool);

/// A small mobile network with random weights.
#[derive(Debug)]
struct Mobile {
    stem: FoldedConv,
    blocks: Vec<InvertedResidual>,
    last: FoldedConv,
}

impl Mobile {
    fn new(inputs: usize, stem: [usize; 3], rows: &[BlockRow], outputs: usize, seed: u64) -> Self {
        let device = Device::flex();
        let mut count = seed;
        let mut conv = |shape: [usize; 4], stride, activation| {
            count += 10;
            let scale = (shape[1..].iter().product::<usize>() as f32).sqrt().recip() * 1.5;
            FoldedConv {
                weight: random(count, shape, &device) * scale,
                bias: random(count + 1, [shape[0]], &device),
                stride,
                activation,
            }
        };
        let [mut channels, kernel, stride] = stem;
        let stem = conv([channels, inputs, kernel, kernel], stride, Activation::HardSwish);
        let blocks = rows
            .iter()
            .enumerate()
            .map(|(index, &(inside, output, kernel, stride, gated))| {
                let input = std::mem::replace(&mut channels, output);
                // The first block takes the channels of the stem as they are.
                let inside = if index == 0 { input } else { inside };
                let activation = ACTIVATIONS[1 + index % 2];
                let squeezed = inside / 3 + 1;
                InvertedResidual {
                    expand: (index > 0).then(|| conv([inside, input, 1, 1], 1, activation)),
                    depthwise: conv([inside, 1, kernel, kernel], stride, activation),
                    gate: gated.then(|| {
                        [
                            conv([squeezed, inside, 1, 1], 1, Activation::Relu),
                            conv([inside, squeezed, 1, 1], 1, Activation::Identity),
                        ]
                    }),
                    project: conv([output, inside, 1, 1], 1, Activation::Identity),
                    residual: index > 0 && stride == 1 && output == input,
                }
            })
            .collect();
        let last = conv([outputs, channels, 1, 1], 1, Activation::HardSwish);
        Self { stem, blocks, last }
    }

    fn stack(&self) -> InvertedResidualStack {
        InvertedResidualStack::new(&self.stem, &self.blocks, &self.last)
    }

    /// The same by Burn's own operations.
    fn burn(&self, x: Tensor<4>) -> Tensor<4> {
        let conv = |x: Tensor<4>, conv: &FoldedConv| {
            let [outputs, _, kernel, _] = conv.weight.dims();
            let groups = x.dims()[1] / conv.weight.dims()[1];
            let options = ConvOptions::new([conv.stride; 2], [kernel / 2; 2], [1; 2], groups);
            let y = module::conv2d(x, conv.weight.clone(), None, options);
            activate(y + conv.bias.clone().reshape([1, outputs, 1, 1]), conv.activation)
        };
        let x = conv(x, &self.stem);
        let x = self.blocks.iter().fold(x, |x, block| {
            let wide = block.expand.as_ref().map_or(x.clone(), |expand| conv(x.clone(), expand));
            let y = conv(wide, &block.depthwise);
            let y = match &block.gate {
                Some([squeeze, excite]) => {
                    let logits = conv(conv(y.clone().mean_dims(&[2, 3]), squeeze), excite);
                    y * hard_sigmoid(logits, 1.0 / 6.0, 0.5)
                }
                None => y,
            };
            let y = conv(y, &block.project);
            if block.residual { y + x } else { y }
        });
        conv(x, &self.last)
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn inverted_stack_of_a_mobile_network_agrees_with_burn(
        (inputs, outputs) in (1..5_usize, 1..70_usize),
        (channels, kernel, stride) in (1..40_usize, prop::sample::select(vec![3, 5_usize]), 1..3_usize),
        rows in prop::collection::vec(
            (1..90_usize, 1..60_usize, prop::sample::select(vec![3, 5_usize]), 1..3_usize, any::<bool>()),
            1..5,
        ),
        (images, height, width) in (1..7_usize, 1..70_usize, 1..70_usize),
        seed in 1..1000_u64,
    ) {
        let mobile = Mobile::new(inputs, [channels, kernel, stride], &rows, outputs, seed);
        let stack = mobile.stack();
        let x = random(seed, [images, inputs, height, width], &Device::flex());
        let expected = mobile.burn(x.clone());
        let features = stack.features(x.clone());
        let apart = difference(features, expected.clone());
        prop_assert!(apart < 1e-4, "features differ by {apart}");
        let means: Tensor<4> = expected.mean_dims(&[2, 3]);
        let apart = difference(stack.embed(x), means.flatten(1, 3));
        prop_assert!(apart < 1e-4, "means differ by {apart}");
    }
}

/// Shortcuts, wide maps whose expansion goes panel by panel, and every stride.
fn wide_mobile() -> Mobile {
    let rows = [(0, 16, 3, 2, true), (72, 24, 3, 1, false), (88, 24, 5, 1, true), (120, 40, 5, 2, true)];
    Mobile::new(3, [16, 3, 2], &rows, 96, 7)
}

#[test]
fn inverted_stack_accepts_large_images() {
    let mobile = wide_mobile();
    assert!(mobile.blocks[2].residual && !mobile.blocks[1].residual);
    let x = random(1, [2, 3, 230, 310], &Device::flex());
    assert!(difference(mobile.stack().features(x.clone()), mobile.burn(x)) < 1e-4);
}

#[test]
fn inverted_stack_gives_same_bits_for_any_batch_and_thread_count() {
    let (stack, device) = (wide_mobile().stack(), Device::flex());
    let x = random(1, [9, 3, 61, 47], &device);
    let run = |threads: usize, x: Tensor<4>| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| values(stack.features(x)))
    };
    let together = run(1, x.clone());
    assert_eq!(together, run(2, x.clone()));
    assert_eq!(together, run(3, x.clone()));
    let alone: Vec<f32> = (0..9).flat_map(|image| run(1, x.clone().narrow(0, image, 1))).collect();
    assert_eq!(together, alone);
}

#[test]
fn nan_passes_through_inverted_stack() {
    let stack = wide_mobile().stack();
    let device = Device::flex();
    let mut data = noise(1, 3 * 40 * 40);
    data[40 * 20 + 20] = f32::NAN;
    let y = values(stack.embed(Tensor::from_data(TensorData::new(data, [1, 3, 40, 40]), &device)));
    assert!(y.iter().all(|v| v.is_nan()), "the gates spread it over all cells");
}

#[test]
#[should_panic(expected = "block 1: its layers do not fit")]
fn inverted_stack_rejects_block_with_other_channels() {
    let mut mobile = wide_mobile();
    mobile.blocks.remove(0);
    let mut first = wide_mobile().blocks.remove(0);
    first.project = mobile.last.clone();
    first.project.weight = random(1, [17, 16, 1, 1], &Device::flex());
    first.project.bias = random(1, [17], &Device::flex());
    mobile.blocks.insert(0, first);
    mobile.stack();
}

#[test]
#[should_panic(expected = "3 channels are needed")]
fn inverted_stack_rejects_images_of_other_channels() {
    wide_mobile().stack().embed(random(1, [1, 4, 32, 32], &Device::flex()));
}
