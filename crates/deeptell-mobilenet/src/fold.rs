//! Folding `BatchNorm` into convolutions, and networks as the CPU kernels take them.

use burn::module::Param;
use burn::nn::conv::Conv2d;
use burn::tensor::Tensor;
use deeptell_kernels as kernels;
use deeptell_kernels::{Activation, FoldedConv, InvertedResidualStack};

use crate::MobileNetV3;
use crate::blocks::{ConvNormActivation, InvertedResidual, SqueezeExcite};

impl MobileNetV3 {
    /// The same function with every `BatchNorm` folded into the convolution before it
    /// (Jacob et al. 2018, section 3.2): faster, for inference only.
    ///
    /// Call it on a network that is not on an autodiff device; a folded network has nothing
    /// to adapt and cannot be [stored](Self::weights) for training.
    #[must_use]
    pub fn folded(self) -> Self {
        let stem = self.stem.folded();
        let blocks: Vec<_> = self.blocks.into_iter().map(InvertedResidual::folded).collect();
        let last = self.last.folded();
        let device = stem.convolution.weight.device();
        let stack = (kernels::supports(&device) && !device.is_autodiff()).then(|| {
            let blocks: Vec<_> = blocks.iter().map(InvertedResidual::for_kernels).collect();
            InvertedResidualStack::new(&stem.for_kernels(), &blocks, &last.for_kernels())
        });
        let dtype = self.dtype;
        Self { stem, blocks, last, stack, ..self }.with_dtype(dtype)
    }
}

impl ConvNormActivation {
    /// The layer with its normalization in the convolution.
    pub(crate) fn folded(self) -> Self {
        if self.norm.is_none() {
            return self;
        }
        let (weight, bias) = self.merged();
        let convolution = Conv2d {
            weight: Param::from_tensor(weight),
            bias: Some(Param::from_tensor(bias)),
            ..self.convolution
        };
        Self { convolution, norm: None, activation: self.activation }
    }

    /// The layer as the kernels take it.
    pub(crate) fn for_kernels(&self) -> FoldedConv {
        let (weight, bias) = self.merged();
        FoldedConv { weight, bias, stride: self.convolution.stride[0], activation: self.activation }
    }
}

impl SqueezeExcite {
    pub(crate) fn for_kernels(&self) -> [FoldedConv; 2] {
        [(&self.fc1, Activation::Relu), (&self.fc2, Activation::Identity)].map(|(layer, activation)| {
            let weight = layer.weight.val();
            let bias = match &layer.bias {
                Some(bias) => bias.val(),
                None => Tensor::zeros([weight.dims()[0]], &weight.device()),
            };
            FoldedConv { weight, bias, stride: 1, activation }
        })
    }
}

impl InvertedResidual {
    /// A block that is folded.
    pub(crate) fn for_kernels(&self) -> kernels::InvertedResidual {
        kernels::InvertedResidual {
            expand: self.expand.as_ref().map(ConvNormActivation::for_kernels),
            depthwise: self.depthwise.for_kernels(),
            gate: self.squeeze_excite.as_ref().map(SqueezeExcite::for_kernels),
            project: self.project.for_kernels(),
            residual: self.residual,
        }
    }

    pub(crate) fn folded(self) -> Self {
        Self {
            expand: self.expand.map(ConvNormActivation::folded),
            depthwise: self.depthwise.folded(),
            project: self.project.folded(),
            ..self
        }
    }
}
