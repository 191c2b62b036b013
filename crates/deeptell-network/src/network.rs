use burn::config::Config;
use burn::module::{Module, ParamId};
use burn::tensor::{Device, Tensor};
use deeptell_mobilenet::{MobileNetV3, MobileNetV3Config};
use deeptell_weights::{DropoutMask, Dtype, Weights, WeightsError};

use crate::Architecture;
use crate::architecture::Family;

/// What a [`Network`] is built from.
#[derive(Config, Debug)]
#[non_exhaustive]
pub struct NetworkConfig {
    /// Which network.
    pub architecture: Architecture,
    /// Logits per image: 1000 for ImageNet, 1 for real against fake.
    pub classes: usize,
    /// Probability that a hidden unit of the classifier is dropped in training, `0..1`.
    #[config(default = 0.2)]
    pub dropout: f64,
}

impl NetworkConfig {
    /// A network with random weights.
    ///
    /// # Panics
    /// When `classes` is 0 or `dropout` is outside of `0..=1`.
    pub fn init(&self, device: &Device) -> Network {
        match self.architecture.family() {
            Family::MobileNetV3(variant) => {
                let config = MobileNetV3Config::new(variant, self.classes).with_dropout(self.dropout);
                Network::MobileNetV3(config.init(device))
            }
        }
    }
}

/// A classifier: computes an embedding of an image, and logits from the embedding.
///
/// Closed on purpose: code that treats networks differently must decide for each new one.
#[derive(Module, Debug)]
pub enum Network {
    /// MobileNetV3, Small or Large.
    MobileNetV3(MobileNetV3),
}

/// Calls the same method of whichever network it is.
macro_rules! each {
    ($network:expr, $inner:ident => $result:expr) => {
        match $network {
            Network::MobileNetV3($inner) => $result,
        }
    };
}

/// As `each!`, for methods that return the network.
macro_rules! map_each {
    ($network:expr, $inner:ident => $result:expr) => {
        match $network {
            Network::MobileNetV3($inner) => Network::MobileNetV3($result),
        }
    };
}

impl Network {
    /// Which network it is.
    pub fn architecture(&self) -> Architecture {
        match self {
            Self::MobileNetV3(network) => network.variant().into(),
        }
    }

    /// Logits of a batch of [normalized](crate::normalize) images.
    ///
    /// # Shapes
    /// - input: `[N, 3, H, W]`, H and W at least 32
    /// - result: `[N, classes]`, unbounded
    pub fn forward(&self, input: Tensor<4>) -> Tensor<2> {
        each!(self, network => network.forward(input))
    }

    /// The embedding that the classifier reads.
    ///
    /// # Shapes
    /// - input: `[N, 3, H, W]`
    /// - result: `[N, embedding]`, [`Architecture::embedding`] long
    pub fn embed(&self, input: Tensor<4>) -> Tensor<2> {
        each!(self, network => network.embed(input))
    }

    /// The last feature map, which the embedding is the mean of.
    ///
    /// # Shapes
    /// - input: `[N, 3, H, W]`
    /// - result: `[N, embedding, H/32, W/32]`, rounded up
    pub fn features(&self, input: Tensor<4>) -> Tensor<4> {
        each!(self, network => network.features(input))
    }

    /// Logits from an embedding.
    ///
    /// # Shapes
    /// - embedding: `[N, embedding]`
    /// - result: `[N, classes]`
    pub fn classify(&self, embedding: Tensor<2>) -> Tensor<2> {
        each!(self, network => network.classify(embedding))
    }

    /// Which parts of each image raise the logit of a class: Grad-CAM (Selvaraju et al. 2017) at the
    /// last feature map. For inference only, not on an autodiff device.
    ///
    /// # Shapes
    /// - input: `[N, 3, H, W]`
    /// - result: `[N, H/32, W/32]`, rounded up; 0 where there is no evidence for the class, no upper
    ///   bound
    ///
    /// # Panics
    /// When there is no such class, or the input is on an autodiff device.
    pub fn class_activation(&self, input: Tensor<4>, class: usize) -> Tensor<3> {
        each!(self, network => network.class_activation(input, class))
    }

    /// Logits of each image, and of each position of its last feature map: what the classifier makes of the
    /// features there alone. The map is meaningful for networks trained with a loss on it.
    ///
    /// # Shapes
    /// - input: `[N, 3, H, W]`
    /// - result: `[N, classes]` and `[N, classes, H/32, W/32]`, rounded up; unbounded
    pub fn localize(&self, input: Tensor<4>) -> (Tensor<2>, Tensor<4>) {
        each!(self, network => network.localize(input))
    }

    /// Draws the dropout of one training step on `device`, in the order in which [`forward`](Self::forward) draws it,
    /// or with `map_size`, rows and columns of the last feature map, [`localize`](Self::localize). `None` for a
    /// network without dropout.
    pub fn draw_dropout(
        &self,
        images: usize,
        map_size: Option<[usize; 2]>,
        device: &Device,
    ) -> Option<DropoutMask> {
        each!(self, network => network.draw_dropout(images, map_size, device))
    }

    /// [`forward`](Self::forward) in training with dropout as drawn before; without a mask it is drawn here.
    ///
    /// # Panics
    /// If the mask has another number of images.
    pub fn forward_with(&self, input: Tensor<4>, mask: Option<&DropoutMask>) -> Tensor<2> {
        each!(self, network => network.forward_with(input, mask))
    }

    /// [`localize`](Self::localize) in training with dropout as drawn before; without a mask it is drawn here.
    ///
    /// # Panics
    /// If the mask has another number of images or positions, or none for positions.
    pub fn localize_with(&self, input: Tensor<4>, mask: Option<&DropoutMask>) -> (Tensor<2>, Tensor<4>) {
        each!(self, network => network.localize_with(input, mask))
    }

    /// The parameters of each layer or block, from the input to the output.
    pub fn layers(&self) -> Vec<Vec<ParamId>> {
        each!(self, network => network.layers())
    }

    /// Freezes everything before the classifier: weights get no gradient, and batch normalization
    /// keeps its running statistics.
    #[must_use]
    pub fn freeze_backbone(self) -> Self {
        map_each!(self, network => network.freeze_backbone())
    }

    /// Makes the backbone trainable again, including its running statistics.
    #[must_use]
    pub fn unfreeze_backbone(self) -> Self {
        map_each!(self, network => network.unfreeze_backbone())
    }

    /// Makes batch normalization in training use its running statistics, and keep them. Its weights are trained
    /// like all others.
    ///
    /// [`unfreeze_backbone`](Self::unfreeze_backbone) undoes it.
    #[must_use]
    pub fn freeze_statistics(self) -> Self {
        map_each!(self, network => network.freeze_statistics())
    }

    /// The running statistics of batch normalization, mean and variance in turn, from the input to the output.
    ///
    /// # Shapes
    /// - result: two tensors per layer, `[channels]`
    pub fn statistics(&self) -> Vec<Tensor<1>> {
        each!(self, network => network.statistics())
    }

    /// Replaces the running statistics by others in the order of [`statistics`](Self::statistics); clones of this
    /// network, which share them, get them, too.
    pub fn set_statistics(&self, statistics: Vec<Tensor<1>>) {
        each!(self, network => network.set_statistics(statistics));
    }

    /// The same function with batch normalization folded into the convolutions: faster, for
    /// inference only. The network must not be on an autodiff device.
    #[must_use]
    pub fn folded(self) -> Self {
        map_each!(self, network => network.folded())
    }

    /// The same network computing in another number format. Weights in training stay 32-bit floats;
    /// those of a [folded](Self::folded) network are rounded permanently.
    ///
    /// Check the device with [`Dtype::check`] first; Burn panics if it does not support the format.
    #[must_use]
    pub fn with_dtype(self, dtype: Dtype) -> Self {
        map_each!(self, network => network.with_dtype(dtype))
    }

    /// The same network with Burn's own operations on every device: slower on the CPU, and the
    /// reference for the kernels.
    #[must_use]
    pub fn without_kernels(self) -> Self {
        map_each!(self, network => network.without_kernels())
    }

    /// Number of trainable values. (`num_params` counts running statistics as well.)
    pub fn parameter_count(&self) -> usize {
        each!(self, network => network.parameter_count())
    }

    /// The weights under the names that files have, running statistics included.
    ///
    /// # Errors
    /// [`WeightsError::Folded`] for a [folded](Self::folded) network.
    pub fn weights(&self) -> Result<Weights, WeightsError> {
        each!(self, network => network.weights())
    }

    /// Loads every weight from `weights`, which must have this network's number of classes.
    ///
    /// # Errors
    /// As [`Weights::load_into`].
    pub fn load(&mut self, weights: &Weights) -> Result<(), WeightsError> {
        each!(self, network => network.load(weights))
    }

    /// Loads the backbone from `weights`; the last layer is unchanged, so the number of classes may
    /// differ. Use it to fine-tune from ImageNet weights.
    ///
    /// # Errors
    /// As [`Weights::load_backbone_into`].
    pub fn load_backbone(&mut self, weights: &Weights) -> Result<(), WeightsError> {
        each!(self, network => network.load_backbone(weights))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn architectures_share_one_interface() {
        let device = Device::flex();
        for architecture in Architecture::ALL {
            let network = NetworkConfig::new(architecture, 2).init(&device);
            assert_eq!(network.architecture(), architecture);
            let input = Tensor::<4>::full([2, 3, 40, 33], 0.5, &device);
            let embedding = network.embed(input.clone());
            assert_eq!(embedding.dims(), [2, architecture.embedding()]);
            assert_eq!(network.classify(embedding).dims(), [2, 2]);
            assert_eq!(network.class_activation(input.clone(), 1).dims(), [2, 2, 2]);
            let (logits, map) = network.localize(input.clone());
            assert_eq!(logits.into_data(), network.forward(input.clone()).into_data());
            assert_eq!(map.dims(), [2, 2, 2, 2]);
            assert_eq!(network.layers().concat().len(), burn::module::list_param_ids(&network).len());

            let weights = network.weights().unwrap();
            let mut again = NetworkConfig::new(architecture, 2).init(&device);
            again.load(&weights).unwrap();
            let values = |network: &Network| network.forward(input.clone()).into_data();
            assert_eq!(values(&again), values(&network));
            assert_eq!(Architecture::of_backbone(&weights, &device).unwrap(), architecture);
            assert!(network.folded().weights().is_err());
        }
    }
}
