//! Sharpness-aware minimization (Foret et al. 2021, <https://arxiv.org/abs/2010.01412>, algorithm 1).

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param};
use burn::optim::GradientsParams;
use burn::tensor::Tensor;
use deeptell_network::Network;

/// The network where the loss rises fastest, `radius` away: `w + radius * g / |g|`, all weights
/// taken together. Weights without a gradient stay; so do all where there is no slope.
pub(crate) fn ascended(network: &Network, gradients: &GradientsParams, radius: f64) -> Network {
    let mut norm = Norm { gradients, squares: 0.0 };
    network.visit(&mut norm);
    let length = norm.squares.sqrt();
    let network = network.clone();
    if length > 0.0 && length.is_finite() {
        network.map(&mut Ascent { gradients, scale: radius / length })
    } else {
        network
    }
}

struct Norm<'a> {
    gradients: &'a GradientsParams,
    squares: f64,
}

impl ModuleVisitor for Norm<'_> {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if let Some(gradient) = self.gradients.get::<D>(param.id) {
            self.squares += f64::from(gradient.powi_scalar(2).sum().into_scalar::<f32>());
        }
    }
}

struct Ascent<'a> {
    gradients: &'a GradientsParams,
    scale: f64,
}

impl ModuleMapper for Ascent<'_> {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let Some(gradient) = self.gradients.get::<D>(param.id) else { return param };
        let scale = self.scale;
        param.map(|weights| {
            let tracked = weights.is_require_grad();
            let moved = Tensor::from_inner(weights.inner() + gradient * scale);
            if tracked { moved.require_grad() } else { moved }
        })
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::{Device, Distribution};
    use deeptell_network::{Architecture, NetworkConfig};

    use super::*;
    use crate::binary_cross_entropy_with_logits;

    #[test]
    fn ascended_weights_have_higher_loss_and_gradients() {
        let device = Device::flex().autodiff();
        device.seed(7);
        let network = NetworkConfig::new(Architecture::MobileNetV3Small, 1).with_dropout(0.0).init(&device);
        let images = Tensor::<4>::random([4, 3, 32, 32], Distribution::Default, &device);
        let targets = Tensor::<2>::from_floats([[0.0], [1.0], [1.0], [0.0]], &device);
        let loss = |network: &Network| {
            binary_cross_entropy_with_logits(network.forward(images.clone()), targets.clone(), 1.0)
        };
        let here = loss(&network);
        let value = here.clone().into_scalar::<f32>();
        let gradients = GradientsParams::from_grads(here.backward(), &network);
        let count = gradients.len();
        let above = ascended(&network, &gradients, 0.05);
        let there = loss(&above);
        assert!(there.clone().into_scalar::<f32>() > value);
        let again = GradientsParams::from_grads(there.backward(), &above);
        assert_eq!(again.len(), count, "every weight is still trained");
        // The network itself has not moved.
        assert!((loss(&network).into_scalar::<f32>() - value).abs() < 1e-6);
    }
}
