use deeptell_kernels::Activation;
use serde::{Deserialize, Serialize};

/// A variant of MobileNetV3; in JSON `small` and `large`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Variant {
    /// MobileNetV3-Small, 2.5 million parameters with 1000 classes.
    Small,
    /// MobileNetV3-Large, 5.5 million parameters with 1000 classes.
    Large,
}

impl Variant {
    /// The name in the literature.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Small => "MobileNetV3-Small",
            Self::Large => "MobileNetV3-Large",
        }
    }

    /// Its layers.
    pub const fn table(self) -> &'static Table {
        match self {
            Self::Small => &SMALL,
            Self::Large => &LARGE,
        }
    }
}

/// The layers of a network: a stem that doubles the stride, blocks, a last convolution, two linear
/// layers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Table {
    /// Inverted residual blocks, from the input to the output.
    pub blocks: &'static [BlockSpec],
    /// Channels of the last convolution: the length of the pooled embedding.
    pub embedding: usize,
    /// Width of the hidden layer of the classifier.
    pub hidden: usize,
}

impl Table {
    /// Whether each block takes what the one before it gives, and all of them with the stem shrink 224 pixels to 7.
    const fn is_consistent(&self) -> bool {
        let (mut channels, mut stride, mut row) = (STEM_CHANNELS, 2, 0);
        while row < self.blocks.len() {
            let block = &self.blocks[row];
            if block.input != channels {
                return false;
            }
            channels = block.output;
            stride *= block.stride;
            row += 1;
        }
        stride == 32
    }

    /// Channels that the last convolution takes.
    pub(crate) fn trunk(&self) -> usize {
        self.blocks.last().map_or(STEM_CHANNELS, |block| block.output)
    }
}

/// One row of a network's table: an inverted residual block.
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

/// MobileNetV3-Small (Howard et al. 2019, table 2).
#[rustfmt::skip]
pub const SMALL: Table = Table { embedding: 576, hidden: 1024, blocks: &[
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
] };

/// MobileNetV3-Large (Howard et al. 2019, table 1).
#[rustfmt::skip]
pub const LARGE: Table = Table { embedding: 960, hidden: 1280, blocks: &[
    //   in   k  exp  out  se     act s
    row( 16,  3,  16,  16, false, RE, 1),
    row( 16,  3,  64,  24, false, RE, 2),
    row( 24,  3,  72,  24, false, RE, 1),
    row( 24,  5,  72,  40, true,  RE, 2),
    row( 40,  5, 120,  40, true,  RE, 1),
    row( 40,  5, 120,  40, true,  RE, 1),
    row( 40,  3, 240,  80, false, HS, 2),
    row( 80,  3, 200,  80, false, HS, 1),
    row( 80,  3, 184,  80, false, HS, 1),
    row( 80,  3, 184,  80, false, HS, 1),
    row( 80,  3, 480, 112, true,  HS, 1),
    row(112,  3, 672, 112, true,  HS, 1),
    row(112,  5, 672, 160, true,  HS, 2),
    row(160,  5, 960, 160, true,  HS, 1),
    row(160,  5, 960, 160, true,  HS, 1),
] };

/// Channels after the stem.
pub(crate) const STEM_CHANNELS: usize = 16;

/// Channels inside a squeeze-and-excite gate: a quarter of `channels`, rounded to a multiple
/// of 8 that is not more than 10% below (torchvision's `_make_divisible`).
pub(crate) const fn squeezed(channels: usize) -> usize {
    let quarter = channels / 4;
    let rounded = (quarter + 4) / 8 * 8;
    let rounded = if rounded < 8 { 8 } else { rounded };
    if rounded * 10 < quarter * 9 { rounded + 8 } else { rounded }
}

const _: () = assert!(SMALL.is_consistent() && LARGE.is_consistent());

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gates_are_as_wide_as_in_torchvision() {
        let widths = |table: Table| -> Vec<usize> {
            let gated = table.blocks.iter().filter(|b| b.squeeze_excite);
            gated.map(|b| squeezed(b.expanded)).collect()
        };
        assert_eq!(widths(SMALL), [8, 24, 64, 64, 32, 40, 72, 144, 144]);
        assert_eq!(widths(LARGE), [24, 32, 32, 120, 168, 168, 240, 240]);
    }
}
