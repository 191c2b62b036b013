//! [`InvertedResidualStack`]: a network of inverted residual blocks as a value, made once and run
//! on any number of images.

use std::sync::Arc;

use burn::backend::Dispatch;
use burn::tensor::Tensor;

use crate::activation::Activation;
use crate::extension::InferenceKernels;
use crate::inverted::{BlockSource, ConvSource, Network, Output, misfit};
use crate::panel::ConvWeights;
use crate::{check_channels, check_tensor, values};

/// A convolution of an [`InvertedResidualStack`], with its batch normalization folded in.
///
/// It is padded with zeros so that stride 1 keeps the size: half the window, rounded down.
#[derive(Debug, Clone)]
pub struct FoldedConv {
    /// `[channels_out, channels_in / groups, kernel, kernel]`
    pub weight: Tensor<4>,
    /// `[channels_out]`
    pub bias: Tensor<1>,
    /// Cells by which the window moves, on both axes.
    pub stride: usize,
    /// Applied to the sum.
    pub activation: Activation,
}

/// A block of an [`InvertedResidualStack`] (Howard et al. 2019,
/// <https://arxiv.org/abs/1905.02244>, figure 4).
#[derive(Debug, Clone)]
pub struct InvertedResidual {
    /// 1x1, to the channels inside; `None` in the first block, which takes those of the stem.
    pub expand: Option<FoldedConv>,
    /// Depthwise 3x3 or 5x5, stride 1 or 2.
    pub depthwise: FoldedConv,
    /// Squeeze-and-excite (Hu et al. 2018, <https://arxiv.org/abs/1709.01507>, section 3): two 1x1
    /// layers from the mean of each channel to the logit of its hard-sigmoid gate,
    /// `min(max(v / 6 + 1/2, 0), 1)`.
    pub gate: Option<[FoldedConv; 2]>,
    /// 1x1, to the channels that go out.
    pub project: FoldedConv,
    /// Whether the input is added to the output, which takes as many channels and stride 1.
    pub residual: bool,
}

/// A mobile network for inference, with its weights in the order the kernels read them: a first
/// convolution, [blocks](InvertedResidual), a last 1x1 convolution.
///
/// Sizes of images are free. Images are spread over the threads of the rayon pool; each one's
/// result has the same bits whatever their number and that of the other images.
#[derive(Debug, Clone)]
pub struct InvertedResidualStack {
    network: Arc<Network>,
}

impl InvertedResidualStack {
    /// Prepares the network; later changes of the tensors do not reach it.
    ///
    /// # Panics
    ///
    /// If there is no block, the layers do not fit each other or the kinds of layers said at
    /// [`InvertedResidual`], or a tensor is not `f32` on a device that
    /// [`supports`](crate::supports) accepts.
    pub fn new(stem: &FoldedConv, blocks: &[InvertedResidual], last: &FoldedConv) -> Self {
        let (stem, last) = (source(stem), source(last));
        let blocks: Vec<_> = blocks
            .iter()
            .map(|block| BlockSource {
                expand: block.expand.as_ref().map(source),
                depthwise: source(&block.depthwise),
                gate: block.gate.as_ref().map(|gate| gate.each_ref().map(source)),
                project: source(&block.project),
                residual: block.residual,
            })
            .collect();
        if let Some(misfit) = misfit(&stem, &blocks, &last) {
            panic!("InvertedResidualStack: {misfit}");
        }
        Self { network: Arc::new(Network::new(&stem, &blocks, &last)) }
    }

    /// The last feature map.
    ///
    /// # Shapes
    ///
    /// - `x`: `[batch, channels_in, height, width]`
    /// - output: `[batch, channels_out, rows, columns]`
    ///
    /// # Panics
    ///
    /// If `x` has another number of channels, a dimension is zero, it records gradients, or is not
    /// `f32` on a device that [`supports`](crate::supports) accepts.
    pub fn features(&self, x: Tensor<4>) -> Tensor<4> {
        self.check(&x);
        let network = Arc::clone(&self.network);
        Tensor::from_dispatch(Dispatch::inverted_residuals(x.into_dispatch(), network, Output::Features))
    }

    /// The mean of each channel of the last feature map.
    ///
    /// # Shapes
    ///
    /// - `x`: `[batch, channels_in, height, width]`
    /// - output: `[batch, channels_out]`
    ///
    /// # Panics
    ///
    /// As [`features`](Self::features).
    pub fn embed(&self, x: Tensor<4>) -> Tensor<2> {
        self.check(&x);
        let network = Arc::clone(&self.network);
        Tensor::from_dispatch(Dispatch::inverted_residuals(x.into_dispatch(), network, Output::Means))
    }

    fn check(&self, x: &Tensor<4>) {
        check_tensor("InvertedResidualStack", "the input", x);
        assert!(!x.device().is_autodiff(), "InvertedResidualStack: there is no backward pass");
        let dims = x.dims();
        assert!(
            dims.iter().all(|size| *size > 0) && dims[1] == self.network.inputs(),
            "InvertedResidualStack: an input of {dims:?} does not fit; {} channels are needed, and no dimension \
             may be zero",
            self.network.inputs()
        );
    }
}

fn source(conv: &FoldedConv) -> ConvSource {
    let shape = conv.weight.dims();
    check_tensor("InvertedResidualStack", "a weight", &conv.weight);
    check_channels("InvertedResidualStack", "a bias", &conv.bias, shape[0]);
    ConvSource {
        conv: ConvWeights { weight: values(&conv.weight), shape, bias: values(&conv.bias) },
        stride: conv.stride,
        activation: conv.activation,
    }
}
