//! Dynamic loss scaling (Micikevicius et al. 2018, <https://arxiv.org/abs/1710.03740>, section 3.2).

use burn::module::{Module, ModuleVisitor, Param};
use burn::optim::GradientsParams;
use burn::tensor::Tensor;
use deeptell_network::{Dtype, Network};
use serde::{Deserialize, Serialize};

/// Clean steps after which the factor is tried twice as large, as PyTorch's `GradScaler` does.
const PATIENCE: u32 = 2000;
/// Largest factor; beyond it, the loss itself would overflow.
const LARGEST: f64 = 16_777_216.0;

/// The factor by which the loss is multiplied before the backward pass, so that small gradients do
/// not vanish in 16 bits; always a power of two, so that dividing by it again rounds nothing.
///
/// A step whose gradients overflow is skipped, and the factor is halved.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(crate) struct LossScale {
    /// The factor.
    pub(crate) factor: f64,
    /// Steps without overflow since it last changed.
    clean_steps: u32,
}

impl LossScale {
    /// For the format whose range is too small for gradients; the others need none.
    pub(crate) fn needed_by(dtype: Dtype) -> Option<Self> {
        (dtype == Dtype::F16).then_some(Self { factor: 65536.0, clean_steps: 0 })
    }

    /// Updates the factor after a step without overflow.
    pub(crate) fn after_clean_step(self) -> Self {
        match self.clean_steps + 1 {
            PATIENCE.. => Self { factor: (self.factor * 2.0).min(LARGEST), clean_steps: 0 },
            clean_steps => Self { clean_steps, ..self },
        }
    }

    /// Updates the factor after a step with overflow. `None` if even an unscaled loss overflows.
    pub(crate) fn after_overflow(self) -> Option<Self> {
        (self.factor > 1.0).then_some(Self { factor: self.factor / 2.0, clean_steps: 0 })
    }

    /// Divides the gradients by the factor again; `None` when one of them is not finite.
    pub(crate) fn unscaled(
        self,
        gradients: Vec<GradientsParams>,
        network: &Network,
    ) -> Option<Vec<GradientsParams>> {
        let mut norm = Norm { gradients: &gradients, squares: None };
        network.visit(&mut norm);
        // Read once: on a GPU each reading waits for all work so far.
        let squares = norm.squares.map_or(0.0, |squares| squares.into_scalar::<f32>());
        if !squares.is_finite() {
            return None;
        }
        let mut division = Division { gradients, by: self.factor };
        network.visit(&mut division);
        Some(division.gradients)
    }
}

/// Sums the squares of all gradients on their device; infinite or NaN when one is.
struct Norm<'a> {
    gradients: &'a [GradientsParams],
    squares: Option<Tensor<1>>,
}

impl ModuleVisitor for Norm<'_> {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        for gradient in self.gradients.iter().filter_map(|gradients| gradients.get::<D>(param.id)) {
            let squares = gradient.powi_scalar(2).sum();
            self.squares = Some(match self.squares.take() {
                Some(sum) => sum + squares,
                None => squares,
            });
        }
    }
}

struct Division {
    gradients: Vec<GradientsParams>,
    by: f64,
}

impl ModuleVisitor for Division {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        for gradients in &mut self.gradients {
            if let Some(gradient) = gradients.remove::<D>(param.id) {
                gradients.register(param.id, gradient / self.by);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::{Device, Distribution};
    use deeptell_network::{Architecture, NetworkConfig};

    use super::*;
    use crate::binary_cross_entropy_with_logits;

    #[test]
    fn only_f16_needs_loss_scaling() {
        assert_eq!(LossScale::needed_by(Dtype::F32), None);
        assert_eq!(LossScale::needed_by(Dtype::Bf16), None);
        assert_eq!(LossScale::needed_by(Dtype::F16).unwrap().factor, 65536.0);
    }

    #[test]
    fn loss_scale_halves_on_overflow_and_doubles_after_clean_steps() {
        let start = LossScale { factor: 8.0, clean_steps: 1990 };
        let halved = start.after_overflow().unwrap();
        assert_eq!(halved, LossScale { factor: 4.0, clean_steps: 0 });
        let later = (0..1999).fold(halved, |scale, _| scale.after_clean_step());
        assert_eq!(later, LossScale { factor: 4.0, clean_steps: 1999 });
        assert_eq!(later.after_clean_step(), LossScale { factor: 8.0, clean_steps: 0 });
        let least = (0..3).try_fold(start, |scale, _| scale.after_overflow()).unwrap();
        assert_eq!((least.factor, least.after_overflow()), (1.0, None));
        let most = LossScale { factor: LARGEST, clean_steps: 1999 };
        assert_eq!(most.after_clean_step().factor, LARGEST);
    }

    #[test]
    fn unscaled_gradients_are_exact_or_none() {
        let device = Device::flex().autodiff();
        device.seed(5);
        let network = NetworkConfig::new(Architecture::MobileNetV3Small, 1).with_dropout(0.0).init(&device);
        let images = Tensor::<4>::random([2, 3, 32, 32], Distribution::Default, &device);
        let targets = Tensor::<2>::from_floats([[0.0], [1.0]], &device);
        let gradients = |factor: f64| {
            let logits = network.forward(images.clone());
            let loss = binary_cross_entropy_with_logits(logits, targets.clone(), 1.0) * factor;
            GradientsParams::from_grads(loss.backward(), &network)
        };
        let plain = gradients(1.0);
        let scale = LossScale { factor: 256.0, clean_steps: 0 };
        let back = scale.unscaled(vec![gradients(256.0)], &network).unwrap().remove(0);
        let mut compared = Compared { pairs: [&plain, &back], values: 0 };
        network.visit(&mut compared);
        assert_eq!(compared.values, network.parameter_count());
        assert!(scale.unscaled(vec![gradients(f64::from(f32::MAX))], &network).is_none());
    }

    struct Compared<'a> {
        pairs: [&'a GradientsParams; 2],
        values: usize,
    }

    impl ModuleVisitor for Compared<'_> {
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            let [a, b] = self.pairs.map(|gradients| gradients.get::<D>(param.id).map(Tensor::into_data));
            assert_eq!(a, b);
            self.values += a.map_or(0, |data| data.num_elements());
        }
    }
}
