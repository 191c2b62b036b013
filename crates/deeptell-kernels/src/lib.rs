//! Fused CPU kernels for small convolutional networks.
//!
//! Burn's CPU backend is general; the layers of a mobile network (1x1, depthwise and a
//! small first convolution, each followed by batch normalization and an activation) gain
//! several times from kernels made for them. This crate adds such kernels, forward and
//! backward, to Burn's Flex backend through its extension mechanism. They are functions on
//! [`Tensor`] like any other: [`conv2d`], [`batch_norm_activation`] for training, and
//! [`conv2d_bias_activation`] and [`max_pool_2x2`] for inference. [`ConvStack`] runs a whole network of small dense
//! convolutions with `PReLU` and max pooling in one pass, [`InvertedResidualStack`] a whole
//! mobile network.
//!
//! [`supports`] says whether a device runs them. Elsewhere use Burn's own operations, which
//! compute the same:
//!
//! ```
//! use burn::tensor::{Device, Distribution, Tensor, module, ops::ConvOptions};
//! use deeptell_kernels::{ConvGeometry, conv2d, supports};
//!
//! let device = Device::flex();
//! let x = Tensor::<4>::random([1, 8, 7, 7], Distribution::Default, &device);
//! let weight = Tensor::<4>::random([8, 1, 3, 3], Distribution::Default, &device);
//! let y = if supports(&device) {
//!     let geometry = ConvGeometry { stride: 2, padding: 1, groups: 8 };
//!     conv2d(x, weight, geometry)
//! } else {
//!     let options = ConvOptions::new([2, 2], [1, 1], [1, 1], 8);
//!     module::conv2d(x, weight, None, options)
//! };
//! assert_eq!(y.dims(), [1, 8, 4, 4]);
//! ```
//!
//! # Threads
//!
//! Work is spread over the current rayon pool. A network is a long sequence of short operations, and each one that
//! starts on a thread outside the pool has to wake it. Run the whole forward (and backward) pass inside `rayon::scope`
//! or `ThreadPool::install`. Results have the same bits with any number of threads.
//!
//! # Instruction sets
//!
//! The loops are compiled for AVX-512, AVX2 with FMA, NEON and scalar code from one source, and the best variant that
//! the machine supports is chosen at run time.

#![expect(
    clippy::inline_always,
    reason = "generic SIMD code takes the instruction set of the function it is inlined into; left out of line it \
              becomes scalar calls"
)]

mod activation;
mod buffers;
mod direct;
mod extension;
mod inverted;
mod matrix;
mod network;
mod normalize;
mod panel;
mod planes;
mod pointwise;
mod pool;
mod residual;
mod scratch;
mod split;
mod stack;
mod vector;

pub use activation::{Activation, sigmoid};
pub use buffers::{KeptBuffers, keep_buffers};
pub use network::{ConvStack, StackLayer};
pub use residual::{FoldedConv, InvertedResidual, InvertedResidualStack};
pub use stack::RowSource;

use burn::backend::Dispatch;
use burn::tensor::activation::{hard_swish, relu};
use burn::tensor::module::max_pool2d;
use burn::tensor::ops::MaxPoolOptions;
use burn::tensor::{DType, Device, Tensor};
use extension::{InferenceKernels, TrainingKernels};

/// Stride, padding and groups of a convolution.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ConvGeometry {
    /// Stride on both axes.
    pub stride: usize,
    /// Zero padding on each of the four sides.
    pub padding: usize,
    /// Number of groups of channels that are convolved independently; for a depthwise convolution, the number of
    /// channels.
    pub groups: usize,
}

impl Default for ConvGeometry {
    /// Stride 1, no padding, one group.
    fn default() -> Self {
        Self { stride: 1, padding: 0, groups: 1 }
    }
}

impl ConvGeometry {
    /// Panics unless the convolution is possible.
    fn check(self, x: &Tensor<4>, weight: &Tensor<4>) {
        let Self { stride, padding, groups } = self;
        let (x, weight) = (x.dims(), weight.dims());
        assert!(stride > 0 && groups > 0, "conv2d: stride and groups must not be zero, got {self:?}");
        assert!(
            x.iter().chain(&weight).all(|size| *size > 0),
            "conv2d: no dimension may be zero, got input {x:?} and weight {weight:?}"
        );
        assert!(
            x[1] == weight[1] * groups && weight[0].is_multiple_of(groups),
            "conv2d: weight {weight:?} in {groups} groups does not fit an input of {} channels",
            x[1]
        );
        assert!(
            weight[2] <= x[2] + 2 * padding && weight[3] <= x[3] + 2 * padding,
            "conv2d: weight {weight:?} is larger than input {x:?} with padding {padding}"
        );
    }
}

/// The result of [`batch_norm_activation`].
#[derive(Debug, Clone)]
pub struct BatchNormOutput {
    /// Normalized and activated, the shape of the input.
    pub output: Tensor<4>,
    /// Mean of each channel over the batch, `[channels]`; constant for the gradient.
    pub mean: Tensor<1>,
    /// Biased variance of each channel over the batch, `[channels]`; constant for the
    /// gradient.
    pub variance: Tensor<1>,
}

/// Whether the kernels run on `device`: the Flex CPU device, with or without autodiff, with
/// `f32` as its float type.
pub fn supports(device: &Device) -> bool {
    *device == Device::flex() && DType::from(device.settings().float_dtype) == DType::F32
}

/// Panics unless all tensors are on a supported device and hold `f32`.
fn check_tensor<const D: usize>(operation: &str, name: &str, tensor: &Tensor<D>) {
    assert!(
        tensor.device() == Device::flex(),
        "{operation}: {name} is on {:?}, and the kernels run on the Flex CPU device only \
         (see `deeptell_kernels::supports`)",
        tensor.device()
    );
    assert!(
        tensor.dtype() == DType::F32,
        "{operation}: {name} holds {:?}, and the kernels take F32 only",
        tensor.dtype()
    );
}

/// The cells of a tensor on the CPU.
fn values<const D: usize>(tensor: &Tensor<D>) -> Vec<f32> {
    assert!(tensor.dtype() == DType::F32 && tensor.device() == Device::flex());
    #[expect(clippy::expect_used, reason = "memory of this process cannot fail to be read")]
    tensor.clone().into_data().try_into_vec().expect("a tensor of f32 on the CPU")
}

/// Panics unless `tensor` has one value per channel.
fn check_channels(operation: &str, name: &str, tensor: &Tensor<1>, channels: usize) {
    check_tensor(operation, name, tensor);
    assert!(
        tensor.dims() == [channels],
        "{operation}: {name} has shape {:?}, expected one value for each of {channels} channels",
        tensor.dims()
    );
}

/// Two-dimensional convolution without bias, differentiable in both operands.
///
/// Optimized for 1x1, depthwise and small dense kernels. Any size and grouping is correct, but Burn's own convolution
/// is faster for large dense kernels.
///
/// # Shapes
///
/// - `x`: `[batch, channels_in, height, width]`
/// - `weight`: `[channels_out, channels_in / groups, kernel_height, kernel_width]`
/// - output: `[batch, channels_out, height_out, width_out]`, where
///   `height_out = (height + 2 * padding - kernel_height) / stride + 1`
///
/// # Panics
///
/// If the shapes do not fit, a dimension is zero, or a tensor is not `f32` on a device that
/// [`supports`] accepts.
pub fn conv2d(x: Tensor<4>, weight: Tensor<4>, geometry: ConvGeometry) -> Tensor<4> {
    check_tensor("conv2d", "the input", &x);
    check_tensor("conv2d", "the weight", &weight);
    geometry.check(&x, &weight);
    Tensor::from_dispatch(Dispatch::small_conv2d(x.into_dispatch(), weight.into_dispatch(), geometry))
}

/// `activation(conv2d(x, weight) + bias)` in one pass, for inference with a batch
/// normalization folded into `weight` and `bias`.
///
/// On an autodiff device the same result is composed of differentiable operations.
///
/// # Shapes
///
/// As [`conv2d`]; `bias`: `[channels_out]`.
///
/// # Panics
///
/// As [`conv2d`], and if `bias` has another length.
pub fn conv2d_bias_activation(
    x: Tensor<4>,
    weight: Tensor<4>,
    bias: Tensor<1>,
    geometry: ConvGeometry,
    activation: Activation,
) -> Tensor<4> {
    let channels = weight.dims()[0];
    check_channels("conv2d_bias_activation", "the bias", &bias, channels);
    let tracked = [x.device(), weight.device(), bias.device()].iter().any(Device::is_autodiff);
    if tracked {
        let v = conv2d(x, weight, geometry) + bias.reshape([1, channels, 1, 1]);
        return match activation {
            Activation::Identity => v,
            Activation::Relu => relu(v),
            Activation::HardSwish => hard_swish(v),
        };
    }
    check_tensor("conv2d_bias_activation", "the input", &x);
    check_tensor("conv2d_bias_activation", "the weight", &weight);
    geometry.check(&x, &weight);
    Tensor::from_dispatch(Dispatch::small_conv2d_bias_activation(
        x.into_dispatch(),
        weight.into_dispatch(),
        bias.into_dispatch(),
        geometry,
        activation,
    ))
}

/// The largest of each two by two cells, for inference; a last odd row or column is left out. NaN passes.
///
/// On an autodiff device the same result is Burn's own, which is differentiable.
///
/// # Shapes
///
/// - `x`: `[batch, channels, height, width]`, height and width at least 2
/// - output: `[batch, channels, height / 2, width / 2]`
///
/// # Panics
///
/// If a side is less than 2, a dimension is zero, or `x` is not `f32` on a device that [`supports`] accepts.
pub fn max_pool_2x2(x: Tensor<4>) -> Tensor<4> {
    check_tensor("max_pool_2x2", "the input", &x);
    let [batch, channels, height, width] = x.dims();
    assert!(
        batch > 0 && channels > 0 && height > 1 && width > 1,
        "max_pool_2x2: an input of {:?} has no two by two cells",
        x.dims()
    );
    if x.device().is_autodiff() {
        return max_pool2d(x, MaxPoolOptions::new([2, 2]));
    }
    Tensor::from_dispatch(Dispatch::max_pool_by_two(x.into_dispatch()))
}

/// Batch normalization with the statistics of this batch, then the activation;
/// differentiable in `x`, `gamma` and `beta`.
///
/// `output = activation((x - mean) / sqrt(variance + epsilon) * gamma + beta)`
/// (Ioffe and Szegedy 2015, <https://arxiv.org/abs/1502.03167>, algorithm 1).
/// The caller keeps the running statistics.
///
/// # Shapes
///
/// - `x`: `[batch, channels, height, width]`
/// - `gamma`, `beta`: `[channels]`
///
/// # Panics
///
/// If the shapes do not fit, a dimension is zero, or a tensor is not `f32` on a device that
/// [`supports`] accepts.
pub fn batch_norm_activation(
    x: Tensor<4>,
    gamma: Tensor<1>,
    beta: Tensor<1>,
    epsilon: f64,
    activation: Activation,
) -> BatchNormOutput {
    let dims = x.dims();
    check_tensor("batch_norm_activation", "the input", &x);
    check_channels("batch_norm_activation", "gamma", &gamma, dims[1]);
    check_channels("batch_norm_activation", "beta", &beta, dims[1]);
    assert!(
        dims.iter().all(|size| *size > 0),
        "batch_norm_activation: no dimension may be zero, got input {dims:?}"
    );
    let (output, mean, variance) = Dispatch::normalize_activate(
        x.into_dispatch(),
        gamma.into_dispatch(),
        beta.into_dispatch(),
        epsilon,
        activation,
    );
    BatchNormOutput {
        output: Tensor::from_dispatch(output),
        mean: Tensor::from_dispatch(mean),
        variance: Tensor::from_dispatch(variance),
    }
}

/// Compiles the example of the README.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
