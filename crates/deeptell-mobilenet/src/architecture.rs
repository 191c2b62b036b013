use deeptell_kernels::Activation;

/// One row of MobileNetV3-Small: an inverted residual block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BlockSpec {
    /// Channels that come in.
    pub input: usize,
    /// Side of the square depthwise kernel.
    pub kernel: usize,
    /// Channels inside; when they equal `input` there is no expansion layer.
    pub expanded: usize,
    /// Channels that go out.
    pub output: usize,
    /// Whether the block gates its channels by squeeze-and-excite.
    pub squeeze_excite: bool,
    /// Nonlinearity after the expansion and the depthwise convolution.
    pub activation: Activation,
    /// Stride of the depthwise convolution.
    pub stride: usize,
}

const fn row(
    input: usize,
    kernel: usize,
    expanded: usize,
    output: usize,
    squeeze_excite: bool,
    activation: Activation,
    stride: usize,
) -> BlockSpec {
    BlockSpec { input, kernel, expanded, output, squeeze_excite, activation, stride }
}

use Activation::{HardSwish as HS, Relu as RE};

/// The eleven blocks of MobileNetV3-Small (Howard et al. 2019, table 2).
#[rustfmt::skip]
pub const BLOCKS: [BlockSpec; 11] = [
    //  in  k  exp out  se     act s
    row(16, 3,  16, 16, true,  RE, 2),
    row(16, 3,  72, 24, false, RE, 2),
    row(24, 3,  88, 24, false, RE, 1),
    row(24, 5,  96, 40, true,  HS, 2),
    row(40, 5, 240, 40, true,  HS, 1),
    row(40, 5, 240, 40, true,  HS, 1),
    row(40, 5, 120, 48, true,  HS, 1),
    row(48, 5, 144, 48, true,  HS, 1),
    row(48, 5, 288, 96, true,  HS, 2),
    row(96, 5, 576, 96, true,  HS, 1),
    row(96, 5, 576, 96, true,  HS, 1),
];

/// Channels after the stem.
pub(crate) const STEM_CHANNELS: usize = 16;
/// Channels of the last convolution: the length of the pooled embedding.
pub(crate) const EMBEDDING_CHANNELS: usize = 576;
/// Width of the hidden layer of the classifier.
pub(crate) const HIDDEN_CHANNELS: usize = 1024;

/// Channels inside a squeeze-and-excite gate: a quarter of `channels`, rounded to a multiple
/// of 8 that is not more than 10% below (torchvision's `_make_divisible`).
pub(crate) const fn squeezed(channels: usize) -> usize {
    let quarter = channels / 4;
    let rounded = (quarter + 4) / 8 * 8;
    let rounded = if rounded < 8 { 8 } else { rounded };
    if rounded * 10 < quarter * 9 { rounded + 8 } else { rounded }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_fit_together() {
        assert_eq!(BLOCKS[0].input, STEM_CHANNELS);
        for pair in BLOCKS.windows(2) {
            assert_eq!(pair[0].output, pair[1].input);
        }
        // Stem and blocks shrink 224 pixels to 7.
        let stride: usize = 2 * BLOCKS.iter().map(|b| b.stride).product::<usize>();
        assert_eq!(stride, 32);
    }

    #[test]
    fn gates_are_as_wide_as_in_torchvision() {
        let widths: Vec<usize> =
            BLOCKS.iter().filter(|b| b.squeeze_excite).map(|b| squeezed(b.expanded)).collect();
        assert_eq!(widths, [8, 24, 64, 64, 32, 40, 72, 144, 144]);
    }
}
