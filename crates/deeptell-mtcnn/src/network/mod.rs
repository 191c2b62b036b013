//! The three networks of MTCNN: Zhang, Zhang, Li and Qiao, "Joint Face Detection and
//! Alignment Using Multitask Cascaded Convolutional Networks", 2016, figure 2
//! (<https://arxiv.org/abs/1604.02878>), in the form facenet-pytorch 2.6.0 gives them.
//!
//! All take RGB planes normalized to `-1..=1` (see [`resample`](crate::stages::resample)).

mod fused;
mod onet;
mod pnet;
mod rnet;
mod trunk;
mod weights;

pub(crate) use fused::Fused;
pub use onet::{ONet, ONetOutput};
pub use pnet::{PNet, PNetOutput};
pub use rnet::{RNet, RNetOutput};
pub(crate) use weights::embedded;

use burn::module::Module;
use burn::tensor::{Device, Tensor, activation};

/// The cascade's networks, under the names their weights have in the weights file.
#[derive(Module, Debug)]
pub struct Networks {
    /// Proposes boxes anywhere in an image.
    pub pnet: PNet,
    /// Refines the proposals.
    pub rnet: RNet,
    /// Refines what is left and places the landmarks.
    pub onet: ONet,
}

impl Networks {
    /// Networks with random weights on `device`, to be trained or loaded into.
    pub fn new(device: &Device) -> Self {
        Self { pnet: PNet::new(device), rnet: RNet::new(device), onet: ONet::new(device) }
    }
}

/// Softmax over the two classes not-face, face in dimension 1, of which only the second is kept:
/// `e^f / (e^n + e^f) = sigmoid(f - n)`.
fn face_probability<const D: usize>(logits: Tensor<D>) -> Tensor<D> {
    activation::sigmoid(logits.clone().narrow(1, 1, 1) - logits.narrow(1, 0, 1))
}
