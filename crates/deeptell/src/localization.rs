//! Where a crop is manipulated, by a layer that was trained for it.

use burn::tensor::activation::sigmoid;
use burn::tensor::{Tensor, TensorData};
use deeptell_network::NamedTensor;

use crate::ModelError;

/// One logit per position of a network's last feature map: a convolution of 1x1 that the score has no part in.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Localization {
    weight: Vec<f32>,
    bias: f32,
}

impl Localization {
    /// Tensor of the weights: `[channels]`.
    const WEIGHT: &str = "localization.weight";
    /// Tensor of the bias: `[1]`.
    const BIAS: &str = "localization.bias";

    /// Whether a tensor of a model file is one of these.
    pub(crate) fn owns(name: &str) -> bool {
        [Self::WEIGHT, Self::BIAS].contains(&name)
    }

    /// From the tensors of a file; the feature map has `channels` channels.
    pub(crate) fn new(tensors: &[NamedTensor], channels: usize) -> Result<Self, ModelError> {
        let find = |name: &str, shape: &[usize]| {
            let found = tensors.iter().find(|tensor| tensor.name == name && tensor.shape == shape);
            found.map(|tensor| tensor.values.to_vec()).ok_or(ModelError::Localization(
                "a tensor of the layer that the card's `heat_maps` names is missing or has another shape",
            ))
        };
        let bias = find(Self::BIAS, &[1])?;
        Self::of(&find(Self::WEIGHT, &[channels])?, bias[0], channels)
    }

    pub(crate) fn of(weight: &[f32], bias: f32, channels: usize) -> Result<Self, ModelError> {
        if weight.len() != channels {
            return Err(ModelError::Localization("it must have a weight for each channel of an embedding"));
        }
        if !(bias.is_finite() && weight.iter().all(|value| value.is_finite())) {
            return Err(ModelError::Localization("a number of it is not finite"));
        }
        Ok(Self { weight: weight.to_vec(), bias })
    }

    /// As a file stores them.
    pub(crate) fn tensors(&self) -> [NamedTensor; 2] {
        let tensor = |name: &str, values: &[f32]| NamedTensor {
            name: name.to_owned(),
            shape: vec![values.len()],
            values: values.into(),
        };
        [tensor(Self::WEIGHT, &self.weight), tensor(Self::BIAS, &[self.bias])]
    }

    /// The estimated share of each position that is manipulated, in `0..=1`.
    ///
    /// # Shapes
    /// - features: `[N, channels, H, W]`
    /// - result: `[N, H, W]`
    pub(crate) fn map(&self, features: Tensor<4>) -> Tensor<3> {
        let [images, channels, height, width] = features.dims();
        let weight = TensorData::new(self.weight.clone(), [1, channels, 1, 1]);
        let weight = Tensor::<4>::from_data(weight, &features.device());
        sigmoid((features * weight).sum_dim(1) + self.bias).reshape([images, height, width])
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::Device;

    use super::*;

    #[test]
    fn localization_maps_match_hand_computation() {
        let device = Device::flex();
        // Two channels, one row of two positions.
        let features = Tensor::<4>::from_floats([[[[1.0, 0.0]], [[0.5, -2.0]]]], &device);
        let map = Localization::of(&[2.0, -1.0], 0.25, 2).unwrap().map(features);
        assert_eq!(map.dims(), [1, 1, 2]);
        let logits = [2.0 - 0.5 + 0.25, 2.0 + 0.25_f64];
        for (value, logit) in map.try_into_vec_as::<f32>().unwrap().into_iter().zip(logits) {
            assert!((f64::from(value) - 1.0 / (1.0 + (-logit).exp())).abs() < 1e-6, "{value}");
        }
    }

    #[test]
    fn a_localization_layer_survives_its_tensors() {
        let layer = Localization::of(&[0.5, -0.25], 3.0, 2).unwrap();
        assert_eq!(Localization::new(&layer.tensors(), 2).unwrap(), layer);
        assert!(layer.tensors().iter().all(|tensor| Localization::owns(&tensor.name)));
        // Another network, a part missing, a number that is none.
        assert!(Localization::new(&layer.tensors(), 3).is_err());
        assert!(Localization::new(&layer.tensors()[..1], 2).is_err());
        assert!(Localization::of(&[0.5, f32::NAN], 3.0, 2).is_err());
        assert!(Localization::of(&[0.5, 1.0], f32::INFINITY, 2).is_err());
    }
}
