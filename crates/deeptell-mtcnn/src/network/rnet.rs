use burn::module::Module;
use burn::nn::{Linear, LinearConfig, PRelu, PReluConfig};
use burn::tensor::{Device, Tensor};
use deeptell_kernels::StackLayer;

use super::trunk::{Row, Trunk, row};
use super::{face_probability, fused};

const TABLE: [Row; 3] = [row(28, 3, Some(3)), row(48, 3, Some(3)), row(64, 2, None)];

/// The refinement network: accepts or rejects a proposal and corrects its box.
#[derive(Module, Debug)]
pub struct RNet {
    trunk: Trunk,
    dense: Linear,
    activation: PRelu,
    face: Linear,
    regression: Linear,
}

/// What [`RNet::forward`] answers for each crop.
#[derive(Debug, Clone)]
pub struct RNetOutput {
    /// Probability that the crop holds a face, `0..=1`: `[batch, 1]`.
    pub probability: Tensor<2>,
    /// Corrections of x1, y1, x2, y2 in units of the box's sides: `[batch, 4]`.
    pub regression: Tensor<2>,
}

impl RNet {
    /// Side of the square input, in pixels.
    pub const SIDE: usize = 24;

    /// A network with random weights.
    pub fn new(device: &Device) -> Self {
        Self {
            trunk: Trunk::new(&TABLE, device),
            dense: LinearConfig::new(64 * 3 * 3, 128).init(device),
            activation: PReluConfig::new().with_num_parameters(128).init(device),
            face: LinearConfig::new(128, 2).init(device),
            regression: LinearConfig::new(128, 4).init(device),
        }
    }

    /// The network for the fused kernels.
    pub(super) fn layers(&self) -> Vec<StackLayer> {
        let dense = fused::dense_over(&self.dense, 3, &self.activation);
        let last = fused::last(fused::of_linear(&self.face), vec![fused::of_linear(&self.regression)]);
        [self.trunk.layers(), vec![dense, last]].concat()
    }

    /// # Shapes
    /// - input: `[batch, 3, 24, 24]`, in `-1..=1`
    /// - output: one row per crop, see [`RNetOutput`]
    pub fn forward(&self, crops: Tensor<4>) -> RNetOutput {
        let features = self.activation.forward(self.dense.forward(self.trunk.features(crops)));
        RNetOutput {
            probability: face_probability(self.face.forward(features.clone())),
            regression: self.regression.forward(features),
        }
    }
}
