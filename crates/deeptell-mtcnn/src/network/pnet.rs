use burn::module::Module;
use burn::nn::conv::{Conv2d, Conv2dConfig};
use burn::tensor::{Bool, Device, Tensor};
use deeptell_kernels::StackLayer;

use super::trunk::{Row, Trunk, row};
use super::{face_probability, fused};

const TABLE: [Row; 3] = [row(10, 3, Some(2)), row(16, 3, None), row(32, 3, None)];

/// The proposal network: fully convolutional, one answer for each 12x12 window at stride 2.
#[derive(Module, Debug)]
pub struct PNet {
    trunk: Trunk,
    face: Conv2d,
    regression: Conv2d,
}

/// What [`PNet::forward`] answers for each cell.
#[derive(Debug, Clone)]
pub struct PNetOutput {
    /// Probability of a face in the cell's window, `0..=1`: `[batch, 1, rows, columns]`.
    pub probability: Tensor<4>,
    /// Corrections of x1, y1, x2, y2 in units of the window's side: `[batch, 4, rows, columns]`.
    pub regression: Tensor<4>,
}

impl PNet {
    /// Side of the window one cell looks at, in pixels of the pyramid level.
    pub const WINDOW: usize = 12;
    /// Distance of neighboring windows, in pixels of the pyramid level.
    pub const STRIDE: usize = 2;

    /// A network with random weights.
    pub fn new(device: &Device) -> Self {
        Self {
            trunk: Trunk::new(&TABLE, device),
            face: Conv2dConfig::new([32, 2], [1, 1]).init(device),
            regression: Conv2dConfig::new([32, 4], [1, 1]).init(device),
        }
    }

    /// Cells along a side of `pixels` pixels: 0 below 11, where no window fits.
    ///
    /// The convolutions take 2, 2 and 2; the pool halves, rounding up.
    pub const fn cells(pixels: usize) -> usize {
        pixels.saturating_sub(2).div_ceil(2).saturating_sub(4)
    }

    /// The network for the fused kernels.
    pub(super) fn layers(&self) -> Vec<StackLayer> {
        let last =
            fused::last(fused::of_convolution(&self.face), vec![fused::of_convolution(&self.regression)]);
        [self.trunk.layers(), vec![last]].concat()
    }

    /// # Shapes
    /// - input: `[batch, 3, height, width]`, in `-1..=1`, both sides at least 11
    /// - output: maps of [`cells`](Self::cells)`(height)` rows and `cells(width)` columns
    pub fn forward(&self, images: Tensor<4>) -> PNetOutput {
        self.conclude(self.trunk.forward(images))
    }

    /// [`forward`](Self::forward) without what `mask` covers of the values before the pool: it
    /// never is the maximum of a window that holds anything else.
    ///
    /// # Shapes
    /// - mask: `[1, 1, height - 2, width - 2]`, true where a value is covered
    pub(crate) fn forward_masked(&self, images: Tensor<4>, mask: Tensor<4, Bool>) -> PNetOutput {
        self.conclude(self.trunk.forward_masked(images, mask))
    }

    fn conclude(&self, features: Tensor<4>) -> PNetOutput {
        PNetOutput {
            probability: face_probability(self.face.forward(features.clone())),
            regression: self.regression.forward(features),
        }
    }
}
