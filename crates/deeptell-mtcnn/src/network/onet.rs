use burn::module::Module;
use burn::nn::{Linear, LinearConfig, PRelu, PReluConfig};
use burn::tensor::{Device, Tensor};
use deeptell_kernels::StackLayer;

use super::trunk::{Row, Trunk, row};
use super::{face_probability, fused};

const TABLE: [Row; 4] = [row(32, 3, Some(3)), row(64, 3, Some(3)), row(64, 3, Some(2)), row(128, 2, None)];

/// The output network: the last word on a box, and its five landmarks.
#[derive(Module, Debug)]
pub struct ONet {
    trunk: Trunk,
    dense: Linear,
    activation: PRelu,
    face: Linear,
    regression: Linear,
    landmarks: Linear,
}

/// What [`ONet::forward`] answers for each crop.
#[derive(Debug, Clone)]
pub struct ONetOutput {
    /// Probability that the crop holds a face, `0..=1`: `[batch, 1]`.
    pub probability: Tensor<2>,
    /// Corrections of x1, y1, x2, y2 in units of the box's sides: `[batch, 4]`.
    pub regression: Tensor<2>,
    /// Left eye, right eye, nose, left and right mouth corner, as fractions of the box's
    /// sides from its top left corner: five x, then five y: `[batch, 10]`.
    pub landmarks: Tensor<2>,
}

impl ONet {
    /// Side of the square input, in pixels.
    pub const SIDE: usize = 48;

    /// A network with random weights.
    pub fn new(device: &Device) -> Self {
        Self {
            trunk: Trunk::new(&TABLE, device),
            dense: LinearConfig::new(128 * 3 * 3, 256).init(device),
            activation: PReluConfig::new().with_num_parameters(256).init(device),
            face: LinearConfig::new(256, 2).init(device),
            regression: LinearConfig::new(256, 4).init(device),
            landmarks: LinearConfig::new(256, 10).init(device),
        }
    }

    /// The network for the fused kernels.
    pub(super) fn layers(&self) -> Vec<StackLayer> {
        let dense = fused::dense_over(&self.dense, 3, &self.activation);
        let last = fused::last(
            fused::of_linear(&self.face),
            vec![fused::of_linear(&self.regression), fused::of_linear(&self.landmarks)],
        );
        [self.trunk.layers(), vec![dense, last]].concat()
    }

    /// # Shapes
    /// - input: `[batch, 3, 48, 48]`, in `-1..=1`
    /// - output: one row per crop, see [`ONetOutput`]
    pub fn forward(&self, crops: Tensor<4>) -> ONetOutput {
        let features = self.activation.forward(self.dense.forward(self.trunk.features(crops)));
        ONetOutput {
            probability: face_probability(self.face.forward(features.clone())),
            regression: self.regression.forward(features.clone()),
            landmarks: self.landmarks.forward(features),
        }
    }
}
