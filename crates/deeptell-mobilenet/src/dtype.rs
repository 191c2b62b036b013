//! Computing in 16 bits.

use burn::module::{ModuleMapper, Param};
use burn::nn::Linear;
use burn::nn::conv::Conv2d;
use burn::tensor::ops::ConvOptions;
use burn::tensor::{Tensor, module};
use deeptell_weights::Dtype;

/// Changes the number format of all weights.
pub(crate) struct Rounding(pub(crate) Dtype);

impl ModuleMapper for Rounding {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        param.map(|weights| self.0.lowered(self.0.raised(weights)))
    }
}

/// What `convolution` does, in `dtype`; so is the result.
pub(crate) fn convolve(convolution: &Conv2d, x: Tensor<4>, dtype: Dtype) -> Tensor<4> {
    if dtype.is_full() {
        return convolution.forward(x);
    }
    let padding = convolution.kernel_size.map(|side| (side - 1) / 2);
    let options = ConvOptions::new(convolution.stride, padding, convolution.dilation, convolution.groups);
    let bias = convolution.bias.as_ref().map(|bias| dtype.lowered(bias.val()));
    module::conv2d(dtype.lowered(x), dtype.lowered(convolution.weight.val()), bias, options)
}

/// What `linear` does, in `dtype`; the result has 32 bits.
pub(crate) fn multiply(linear: &Linear, x: Tensor<2>, dtype: Dtype) -> Tensor<2> {
    if dtype.is_full() {
        return linear.forward(x);
    }
    let bias = linear.bias.as_ref().map(|bias| dtype.lowered(bias.val()));
    dtype.raised(module::linear(dtype.lowered(x), dtype.lowered(linear.weight.val()), bias))
}
