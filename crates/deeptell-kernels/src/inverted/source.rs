//! The layers of a network as the caller has them, and whether they fit each other.

use super::windowed::Windowed;
use crate::activation::Activation;
use crate::panel::ConvWeights;

/// A convolution as the caller has it, its normalization folded in.
#[derive(Debug)]
pub(crate) struct ConvSource {
    pub(crate) conv: ConvWeights,
    pub(crate) stride: usize,
    pub(crate) activation: Activation,
}

impl ConvSource {
    /// `[outputs, inputs / groups, kernel, kernel]`
    fn shape(&self) -> [usize; 4] {
        self.conv.shape
    }
}

/// An inverted residual block as the caller has it.
#[derive(Debug)]
pub(crate) struct BlockSource {
    pub(crate) expand: Option<ConvSource>,
    pub(crate) depthwise: ConvSource,
    /// The two layers between the mean of a channel and its gate.
    pub(crate) gate: Option<[ConvSource; 2]>,
    pub(crate) project: ConvSource,
    pub(crate) residual: bool,
}

/// Why a network cannot be made of these layers; `None` when it can.
pub(crate) fn misfit(stem: &ConvSource, blocks: &[BlockSource], last: &ConvSource) -> Option<String> {
    let pointwise = |conv: &ConvSource, inputs: usize| {
        conv.shape()[1..] == [inputs, 1, 1] && conv.stride == 1 && conv.shape()[0] > 0 && inputs > 0
    };
    let window = |conv: &ConvSource| {
        conv.shape()[2] == conv.shape()[3]
            && Windowed::is_known(conv.shape()[2], conv.stride)
            && conv.shape()[0] > 0
    };
    if !window(stem) || stem.shape()[1] == 0 {
        return Some(format!("the first layer {:?} is none of 3x3 or 5x5, stride 1 or 2", stem.shape()));
    }
    let mut channels = stem.shape()[0];
    for (index, block) in blocks.iter().enumerate() {
        if block.expand.is_some() == (index == 0) {
            return Some(format!("block {index}: every block but the first expands"));
        }
        let inside = block.depthwise.shape()[0];
        let fits = block
            .expand
            .as_ref()
            .map_or(channels == inside, |expand| pointwise(expand, channels) && expand.shape()[0] == inside)
            && window(&block.depthwise)
            && block.depthwise.shape()[1] == 1
            && pointwise(&block.project, inside)
            && block.gate.as_ref().is_none_or(|[first, second]| {
                pointwise(first, inside) && pointwise(second, first.shape()[0]) && second.shape()[0] == inside
            });
        if !fits {
            return Some(format!("block {index}: its layers do not fit each other, or {channels} channels"));
        }
        let output = block.project.shape()[0];
        if block.residual && (output != channels || block.depthwise.stride != 1) {
            return Some(format!("block {index} has no shortcut: its input and output differ"));
        }
        channels = output;
    }
    if blocks.is_empty() || !pointwise(last, channels) {
        return Some(format!("the last layer {:?} does not take {channels} channels", last.shape()));
    }
    None
}
