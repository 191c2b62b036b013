//! Computing in 16 bits.

use burn::module::{ModuleMapper, Param};
use burn::nn::Linear;
use burn::nn::conv::Conv2d;
use burn::tensor::ops::ConvOptions;
use burn::tensor::{Tensor, module};
use deeptell_weights::Precision;

/// Changes the number format of all weights.
pub(crate) struct Rounding(pub(crate) Precision);

impl ModuleMapper for Rounding {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        param.map(|weights| self.0.lowered(self.0.raised(weights)))
    }
}

/// What `convolution` does, in `precision`; so is the result.
pub(crate) fn convolve(convolution: &Conv2d, x: Tensor<4>, precision: Precision) -> Tensor<4> {
    if precision.is_full() {
        return convolution.forward(x);
    }
    let padding = convolution.kernel_size.map(|side| (side - 1) / 2);
    let options = ConvOptions::new(convolution.stride, padding, convolution.dilation, convolution.groups);
    let bias = convolution.bias.as_ref().map(|bias| precision.lowered(bias.val()));
    module::conv2d(precision.lowered(x), precision.lowered(convolution.weight.val()), bias, options)
}

/// What `linear` does, in `precision`; the result has 32 bits.
pub(crate) fn multiply(linear: &Linear, x: Tensor<2>, precision: Precision) -> Tensor<2> {
    if precision.is_full() {
        return linear.forward(x);
    }
    let bias = linear.bias.as_ref().map(|bias| precision.lowered(bias.val()));
    precision.raised(module::linear(precision.lowered(x), precision.lowered(linear.weight.val()), bias))
}
