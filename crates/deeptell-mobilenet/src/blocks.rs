//! The layers that networks of the family are made of.

use burn::module::Module;
use burn::nn::Initializer;
use burn::nn::conv::{Conv2d, Conv2dConfig};
use burn::nn::{BatchNorm, BatchNormConfig, PaddingConfig2d};
use burn::tensor::activation::{hard_sigmoid, hard_swish, relu};
use burn::tensor::{Device, Tensor};
use deeptell_kernels as kernels;
use deeptell_kernels::{Activation, ConvGeometry};
use deeptell_weights::Dtype;

use crate::architecture::{BlockSpec, squeezed};
use crate::dtype::convolve;

/// torchvision's `BatchNorm2d` settings in MobileNetV3; Burn's defaults differ.
pub(crate) const BATCH_NORM_EPSILON: f64 = 1e-3;
const BATCH_NORM_MOMENTUM: f64 = 0.01;
/// Slope of the hard sigmoid in the squeeze-and-excite gate: `clamp(x / 6 + 0.5, 0, 1)`.
const GATE_SLOPE: f64 = 1.0 / 6.0;

/// How the layers of one pass compute.
#[derive(Clone, Copy)]
pub(crate) struct Pass {
    /// By the kernels, which know 32-bit floats only.
    pub(crate) kernels: bool,
    pub(crate) dtype: Dtype,
}

/// Convolution, batch normalization, nonlinearity.
#[derive(Module, Debug)]
pub(crate) struct ConvNormActivation {
    pub(crate) convolution: Conv2d,
    /// `None` once folded into the convolution.
    pub(crate) norm: Option<BatchNorm>,
    #[module(skip)]
    pub(crate) activation: Activation,
}

impl ConvNormActivation {
    pub(crate) fn new(
        input: usize,
        output: usize,
        kernel: usize,
        stride: usize,
        groups: usize,
        activation: Activation,
        device: &Device,
    ) -> Self {
        let padding = (kernel - 1) / 2;
        let convolution = Conv2dConfig::new([input, output], [kernel, kernel])
            .with_stride([stride, stride])
            .with_groups(groups)
            .with_padding(PaddingConfig2d::Explicit(padding, padding, padding, padding))
            .with_bias(false)
            .with_initializer(Initializer::KaimingNormal { gain: 2f64.sqrt(), fan_out_only: true })
            .init(device);
        let norm = BatchNormConfig::new(output)
            .with_epsilon(BATCH_NORM_EPSILON)
            .with_momentum(BATCH_NORM_MOMENTUM)
            .init(device);
        Self { convolution, norm: Some(norm), activation }
    }

    /// Normalizes by the running statistics in training, too.
    pub(crate) fn freeze_statistics(self) -> Self {
        let frozen = |norm: BatchNorm| BatchNorm { training: norm.training.with_value(false), ..norm };
        Self { norm: self.norm.map(frozen), ..self }
    }

    /// - x: `[N, input, H, W]`
    /// - result: `[N, output, H/stride, W/stride]`, rounded up
    pub(crate) fn forward(&self, x: Tensor<4>, pass: Pass) -> Tensor<4> {
        if pass.kernels { self.forward_fused(x) } else { self.forward_plain(x, pass.dtype) }
    }

    /// The result is in `dtype`.
    fn forward_plain(&self, x: Tensor<4>, dtype: Dtype) -> Tensor<4> {
        let x = convolve(&self.convolution, x, dtype);
        match &self.norm {
            // Variances of a batch need more digits, and their sums more room, than 16 bits have.
            Some(norm) => {
                let in_training = x.device().is_autodiff() && norm.training.is_enabled();
                let x = norm.forward(dtype.raised(x));
                if in_training {
                    settle(norm);
                }
                dtype.lowered(activate(x, self.activation))
            }
            None => activate(x, self.activation),
        }
    }

    fn forward_fused(&self, x: Tensor<4>) -> Tensor<4> {
        let convolution = &self.convolution;
        let geometry = ConvGeometry {
            stride: convolution.stride[0],
            padding: (convolution.kernel_size[0] - 1) / 2,
            groups: convolution.groups,
        };
        if let Some(norm) = &self.norm
            && x.device().is_autodiff()
            && norm.training.is_enabled()
        {
            let x = kernels::conv2d(x, convolution.weight.val(), geometry);
            return self.norm_in_training(x, norm);
        }
        let (weight, bias) = self.merged();
        kernels::conv2d_bias_activation(x, weight, bias, geometry, self.activation)
    }

    /// Normalizes by the statistics of the batch and moves the running ones towards them.
    fn norm_in_training(&self, x: Tensor<4>, norm: &BatchNorm) -> Tensor<4> {
        let (gamma, beta) = (norm.gamma.val(), norm.beta.val());
        let normed = kernels::batch_norm_activation(x, gamma, beta, norm.epsilon, self.activation);
        let blend = |old: Tensor<1>, new: Tensor<1>| {
            (old.mul_scalar(1.0 - norm.momentum) + new.detach().mul_scalar(norm.momentum)).detach()
        };
        for (running, of_batch) in [(&norm.running_mean, normed.mean), (&norm.running_var, normed.variance)] {
            running.update(blend(running.value(), of_batch));
        }
        settle(norm);
        normed.output
    }

    /// Weight and bias of the one convolution that does what this layer's convolution and normalization
    /// do with running statistics.
    pub(crate) fn merged(&self) -> (Tensor<4>, Tensor<1>) {
        let weight = self.convolution.weight.val();
        let channels = weight.dims()[0];
        match (&self.norm, &self.convolution.bias) {
            (Some(norm), _) => {
                let scale = norm.gamma.val() / (norm.running_var.value() + norm.epsilon).sqrt();
                let bias = norm.beta.val() - norm.running_mean.value() * scale.clone();
                (weight * scale.reshape([channels, 1, 1, 1]), bias)
            }
            (None, Some(bias)) => (weight, bias.val()),
            (None, None) => {
                let bias = Tensor::zeros([channels], &weight.device());
                (weight, bias)
            }
        }
    }
}

/// A gate on each channel from the mean of all of them (Hu et al. 2018, section 3; the hard
/// sigmoid is MobileNetV3's, section 5.2).
#[derive(Module, Debug)]
pub(crate) struct SqueezeExcite {
    pub(crate) fc1: Conv2d,
    pub(crate) fc2: Conv2d,
}

impl SqueezeExcite {
    pub(crate) fn new(channels: usize, device: &Device) -> Self {
        let layer = |input, output| Conv2dConfig::new([input, output], [1, 1]).init(device);
        let inside = squeezed(channels);
        Self { fc1: layer(channels, inside), fc2: layer(inside, channels) }
    }

    /// - x and result: `[N, channels, H, W]`, in `dtype`
    pub(crate) fn forward(&self, x: Tensor<4>, dtype: Dtype) -> Tensor<4> {
        // The sum that a mean divides can exceed what 16 bits hold.
        let mean = pool(dtype.raised(x.clone()));
        let squeezed = relu(convolve(&self.fc1, mean, dtype));
        x * hard_sigmoid(convolve(&self.fc2, squeezed, dtype), GATE_SLOPE, 0.5)
    }
}

/// One row of a [`Table`](crate::Table): expand, filter each channel, gate, project, add the input where
/// shapes allow (Howard et al. 2019, figure 4).
#[derive(Module, Debug)]
pub(crate) struct InvertedResidual {
    pub(crate) expand: Option<ConvNormActivation>,
    pub(crate) depthwise: ConvNormActivation,
    pub(crate) squeeze_excite: Option<SqueezeExcite>,
    pub(crate) project: ConvNormActivation,
    pub(crate) residual: bool,
}

impl InvertedResidual {
    pub(crate) fn new(spec: &BlockSpec, device: &Device) -> Self {
        let &BlockSpec { input, kernel, expanded, output, activation, stride, .. } = spec;
        let pointwise =
            |input, output, activation| ConvNormActivation::new(input, output, 1, 1, 1, activation, device);
        Self {
            expand: (expanded != input).then(|| pointwise(input, expanded, activation)),
            depthwise: ConvNormActivation::new(
                expanded, expanded, kernel, stride, expanded, activation, device,
            ),
            squeeze_excite: spec.squeeze_excite.then(|| SqueezeExcite::new(expanded, device)),
            project: pointwise(expanded, output, Activation::Identity),
            residual: stride == 1 && input == output,
        }
    }

    pub(crate) fn freeze_statistics(self) -> Self {
        Self {
            expand: self.expand.map(ConvNormActivation::freeze_statistics),
            depthwise: self.depthwise.freeze_statistics(),
            project: self.project.freeze_statistics(),
            ..self
        }
    }

    /// Those with batch normalization, from the input to the output.
    pub(crate) fn layers(&self) -> impl Iterator<Item = &ConvNormActivation> {
        self.expand.iter().chain([&self.depthwise, &self.project])
    }

    /// - x: `[N, input, H, W]`
    /// - result: `[N, output, H/stride, W/stride]`, rounded up
    pub(crate) fn forward(&self, x: Tensor<4>, pass: Pass) -> Tensor<4> {
        let shortcut = self.residual.then(|| x.clone());
        let x = match &self.expand {
            Some(expand) => expand.forward(x, pass),
            None => x,
        };
        let x = self.depthwise.forward(x, pass);
        let x = match &self.squeeze_excite {
            Some(gate) => gate.forward(x, pass.dtype),
            None => x,
        };
        let x = self.project.forward(x, pass);
        match shortcut {
            Some(shortcut) => x + shortcut,
            None => x,
        }
    }
}

/// Makes the last update of the running statistics count.
///
/// An update stays with its thread until asked for. Steps run on any thread of the pool: left there,
/// which updates count would depend on timing, and the last one would be lost.
fn settle(norm: &BatchNorm) {
    norm.running_mean.value_sync();
    norm.running_var.value_sync();
}

fn activate(x: Tensor<4>, activation: Activation) -> Tensor<4> {
    match activation {
        Activation::Identity => x,
        Activation::Relu => relu(x),
        Activation::HardSwish => hard_swish(x),
    }
}

/// Mean over height and width: `[N, C, H, W]` to `[N, C, 1, 1]`.
pub(crate) fn pool(x: Tensor<4>) -> Tensor<4> {
    x.mean_dims(&[2, 3])
}
