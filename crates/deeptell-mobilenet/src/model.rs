use burn::config::Config;
use burn::module::{Module, ParamId, list_param_ids};
use burn::nn::{BatchNorm, Dropout, DropoutConfig, Initializer, Linear, LinearConfig};
use burn::tensor::activation::hard_swish;
use burn::tensor::{Device, Tensor};
use deeptell_kernels as kernels;
use deeptell_kernels::{Activation, InvertedResidualStack};
use deeptell_weights::{Dtype, Weights, WeightsError};

use crate::architecture::STEM_CHANNELS;
use crate::blocks::{ConvNormActivation, InvertedResidual, Pass, pool};
use crate::dtype::{Rounding, multiply};
use crate::{Variant, names};

/// What a [`MobileNetV3`] is built from.
#[derive(Config, Debug)]
#[non_exhaustive]
pub struct MobileNetV3Config {
    /// Which variant.
    pub variant: Variant,
    /// Logits per image: 1000 for ImageNet, 1 for real against fake.
    pub classes: usize,
    /// Probability that a hidden unit of the classifier is dropped in training, `0..1`.
    #[config(default = 0.2)]
    pub dropout: f64,
}

impl MobileNetV3Config {
    /// A network with random weights (Kaiming normal, as torchvision does).
    ///
    /// # Panics
    /// When `classes` is 0 or `dropout` is outside of `0..=1`.
    pub fn init(&self, device: &Device) -> MobileNetV3 {
        let table = self.variant.table();
        let linear = |input, output| {
            LinearConfig::new(input, output)
                .with_initializer(Initializer::Normal { mean: 0.0, std: 0.01 })
                .init(device)
        };
        MobileNetV3 {
            stem: ConvNormActivation::new(3, STEM_CHANNELS, 3, 2, 1, Activation::HardSwish, device),
            blocks: table.blocks.iter().map(|spec| InvertedResidual::new(spec, device)).collect(),
            last: ConvNormActivation::new(
                table.trunk(),
                table.embedding,
                1,
                1,
                1,
                Activation::HardSwish,
                device,
            ),
            hidden: linear(table.embedding, table.hidden),
            dropout: DropoutConfig::new(self.dropout).init(),
            classifier: linear(table.hidden, self.classes),
            variant: self.variant,
            stack: None,
            use_kernels: true,
            dtype: Dtype::F32,
        }
    }
}

/// MobileNetV3: stem, [blocks](crate::Table::blocks), a last convolution, two linear layers.
///
/// With 1000 classes 2,542,856 parameters ([`Variant::Small`]) or 5,483,032 ([`Variant::Large`]).
#[derive(Module, Debug)]
pub struct MobileNetV3 {
    pub(crate) stem: ConvNormActivation,
    pub(crate) blocks: Vec<InvertedResidual>,
    pub(crate) last: ConvNormActivation,
    pub(crate) hidden: Linear,
    pub(crate) dropout: Dropout,
    pub(crate) classifier: Linear,
    #[module(skip)]
    pub(crate) variant: Variant,
    /// Everything before the pooling as the kernels run it, once folded on a device that has them.
    #[module(skip)]
    pub(crate) stack: Option<InvertedResidualStack>,
    /// Whether the kernels run where the device has them.
    #[module(skip)]
    pub(crate) use_kernels: bool,
    /// What convolutions and linear layers compute in.
    #[module(skip)]
    pub(crate) dtype: Dtype,
}

impl MobileNetV3 {
    /// The variant.
    pub fn variant(&self) -> Variant {
        self.variant
    }

    /// The weights under torchvision's names, running statistics included.
    ///
    /// # Errors
    /// [`WeightsError::Folded`] when `BatchNorm` was [folded](Self::folded).
    pub fn weights(&self) -> Result<Weights, WeightsError> {
        Weights::of(self, &names(self.variant))
    }

    /// Loads every weight from `weights`, which must have this network's number of classes.
    ///
    /// # Errors
    /// As [`Weights::load_into`].
    pub fn load(&mut self, weights: &Weights) -> Result<(), WeightsError> {
        let names = names(self.variant);
        weights.load_into(self, &names)
    }

    /// Takes the feature extractor from `weights`, and the classifier's hidden layer where it is
    /// there; the last layer stays as it is, whatever its number of classes.
    ///
    /// # Errors
    /// As [`Weights::load_backbone_into`].
    pub fn load_backbone(&mut self, weights: &Weights) -> Result<(), WeightsError> {
        let names = names(self.variant);
        weights.load_backbone_into(self, &names)
    }

    /// Logits of a batch of normalized images.
    ///
    /// # Shapes
    /// - input: `[N, 3, H, W]`, H and W at least 32 (224 in training)
    /// - result: `[N, classes]`, unbounded
    pub fn forward(&self, input: Tensor<4>) -> Tensor<2> {
        self.classify(self.embed(input))
    }

    /// The pooled embedding that the classifier reads.
    ///
    /// # Shapes
    /// - input: `[N, 3, H, W]`
    /// - result: `[N, embedding]`, [`Table::embedding`](crate::Table::embedding) long
    pub fn embed(&self, input: Tensor<4>) -> Tensor<2> {
        if let Some(stack) = self.stack_for(&input) {
            return stack.embed(input);
        }
        pool(self.features(input)).flatten(1, 3)
    }

    /// The last feature map, before pooling.
    ///
    /// # Shapes
    /// - input: `[N, 3, H, W]`
    /// - result: `[N, embedding, H/32, W/32]`, rounded up
    pub fn features(&self, input: Tensor<4>) -> Tensor<4> {
        if let Some(stack) = self.stack_for(&input) {
            return stack.features(input);
        }
        let pass = self.pass(&input);
        let stem = self.stem.forward(input, pass);
        let trunk = self.blocks.iter().fold(stem, |x, block| block.forward(x, pass));
        self.dtype.raised(self.last.forward(trunk, pass))
    }

    fn pass(&self, input: &Tensor<4>) -> Pass {
        Pass { kernels: self.runs_kernels(input), dtype: self.dtype }
    }

    fn stack_for(&self, input: &Tensor<4>) -> Option<&InvertedResidualStack> {
        self.stack.as_ref().filter(|_| self.runs_kernels(input) && !input.device().is_autodiff())
    }

    fn runs_kernels(&self, input: &Tensor<4>) -> bool {
        self.use_kernels && self.dtype.is_full() && kernels::supports(&input.device())
    }

    /// The output of every stage, torchvision's `features.0` and so on, for comparing layer by
    /// layer. It keeps all of them in memory; [`features`](Self::features) does not.
    ///
    /// # Shapes
    /// - input: `[N, 3, H, W]`
    /// - result: two tensors more than there are blocks, `[N, C, h, w]`
    pub fn stages(&self, input: Tensor<4>) -> Vec<Tensor<4>> {
        let pass = self.pass(&input);
        let mut stages = vec![self.stem.forward(input, pass)];
        for block in &self.blocks {
            stages.push(block.forward(stages[stages.len() - 1].clone(), pass));
        }
        stages.push(self.last.forward(stages[stages.len() - 1].clone(), pass));
        stages.into_iter().map(|stage| self.dtype.raised(stage)).collect()
    }

    /// Logits from an embedding.
    ///
    /// # Shapes
    /// - embedding: `[N, embedding]`
    /// - result: `[N, classes]`
    pub fn classify(&self, embedding: Tensor<2>) -> Tensor<2> {
        self.classify_with(embedding, None)
    }

    /// [`classify`](Self::classify) with the hidden units multiplied by `mask`, or dropped here.
    pub(crate) fn classify_with(&self, embedding: Tensor<2>, mask: Option<Tensor<2>>) -> Tensor<2> {
        let hidden = hard_swish(multiply(&self.hidden, embedding, self.dtype));
        let hidden = match mask {
            Some(mask) => hidden * mask,
            None => self.dropout.forward(hidden),
        };
        multiply(&self.classifier, hidden, self.dtype)
    }

    /// Logits of each image, as [`forward`](Self::forward), and of each position of its last feature map: what the
    /// classifier makes of the features there alone.
    ///
    /// # Shapes
    /// - input: `[N, 3, H, W]`
    /// - result: `[N, classes]` and `[N, classes, H/32, W/32]`, rounded up; unbounded
    pub fn localize(&self, input: Tensor<4>) -> (Tensor<2>, Tensor<4>) {
        self.localize_masked(input, None, None)
    }

    pub(crate) fn localize_masked(
        &self,
        input: Tensor<4>,
        of_positions: Option<Tensor<2>>,
        of_images: Option<Tensor<2>>,
    ) -> (Tensor<2>, Tensor<4>) {
        let features = self.features(input);
        let [images, channels, height, width] = features.dims();
        let pooled = pool(features.clone()).flatten(1, 3);
        let positions = features.permute([0, 2, 3, 1]).reshape([images * height * width, channels]);
        let map = self.classify_with(positions, of_positions);
        let classes = map.dims()[1];
        let map = map.reshape([images, height, width, classes]).permute([0, 3, 1, 2]);
        (self.classify_with(pooled, of_images), map)
    }

    /// Takes everything before the classifier out of training: weights get no gradient and
    /// `BatchNorm` keeps its running statistics.
    #[must_use]
    pub fn freeze_backbone(self) -> Self {
        Self { stem: self.stem.freeze(), blocks: self.blocks.freeze(), last: self.last.freeze(), ..self }
    }

    /// Makes the backbone trainable again, including its running statistics.
    #[must_use]
    pub fn unfreeze_backbone(self) -> Self {
        Self {
            stem: self.stem.unfreeze(),
            blocks: self.blocks.unfreeze(),
            last: self.last.unfreeze(),
            ..self
        }
    }

    /// Makes batch normalization in training use its running statistics, and keep them. Its weights are trained
    /// like all others.
    ///
    /// [`unfreeze_backbone`](Self::unfreeze_backbone) undoes it.
    #[must_use]
    pub fn freeze_statistics(self) -> Self {
        Self {
            stem: self.stem.freeze_statistics(),
            blocks: self.blocks.into_iter().map(InvertedResidual::freeze_statistics).collect(),
            last: self.last.freeze_statistics(),
            ..self
        }
    }

    /// The running statistics of batch normalization, mean and variance in turn, from the input to the output.
    ///
    /// # Shapes
    /// - result: two tensors per layer, `[channels]`
    pub fn statistics(&self) -> Vec<Tensor<1>> {
        self.norms().flat_map(|norm| [norm.running_mean.value(), norm.running_var.value()]).collect()
    }

    /// Replaces the running statistics by others in the order of [`statistics`](Self::statistics); clones of this
    /// network, which share them, get them, too.
    pub fn set_statistics(&self, statistics: Vec<Tensor<1>>) {
        let running = self.norms().flat_map(|norm| [&norm.running_mean, &norm.running_var]);
        for (running, value) in running.zip(statistics) {
            running.update(value);
            // An update counts once it is asked for.
            running.value_sync();
        }
    }

    /// From the input to the output; none once folded.
    fn norms(&self) -> impl Iterator<Item = &BatchNorm> {
        let layers = self.blocks.iter().flat_map(InvertedResidual::layers);
        [&self.stem].into_iter().chain(layers).chain([&self.last]).filter_map(|layer| layer.norm.as_ref())
    }

    /// The same network computing in another number format.
    ///
    /// Weights in training stay 32-bit floats. Those of a [folded](Self::folded) network are
    /// rounded here, once and for all.
    ///
    /// [`Dtype::check`] says whether the device can; on one that cannot, Burn panics.
    #[must_use]
    pub fn with_dtype(self, dtype: Dtype) -> Self {
        let network = Self { dtype, ..self };
        if network.stem.norm.is_some() { network } else { network.map(&mut Rounding(dtype)) }
    }

    /// The same network with Burn's own operations on every device: slower on the CPU, and the
    /// reference for the kernels.
    #[must_use]
    pub fn without_kernels(self) -> Self {
        Self { use_kernels: false, ..self }
    }

    /// The parameters of each layer or block, from the input to the output: the stem, the
    /// [blocks](crate::Table::blocks), the last convolution, the two linear layers.
    pub fn layers(&self) -> Vec<Vec<ParamId>> {
        let mut layers = vec![list_param_ids(&self.stem)];
        layers.extend(self.blocks.iter().map(list_param_ids));
        layers.extend([
            list_param_ids(&self.last),
            list_param_ids(&self.hidden),
            list_param_ids(&self.classifier),
        ]);
        layers
    }

    /// Number of trainable values. (`num_params` counts running statistics as well.)
    pub fn parameter_count(&self) -> usize {
        let statistics: usize = self.norms().map(|norm| 2 * norm.gamma.dims()[0]).sum();
        self.num_params() - statistics
    }
}
