use burn::config::Config;
use burn::module::{Module, ModuleMapper, Param, ParamId, list_param_ids};
use burn::nn::Initializer;
use burn::nn::conv::{Conv2d, Conv2dConfig};
use burn::nn::{BatchNorm, BatchNormConfig, Dropout, DropoutConfig, Linear, LinearConfig, PaddingConfig2d};
use burn::tensor::activation::{hard_sigmoid, hard_swish, relu};
use burn::tensor::ops::ConvOptions;
use burn::tensor::{Device, Tensor, module};
use deeptell_kernels as kernels;
use deeptell_kernels::{Activation, ConvGeometry, FoldedConv, InvertedResidualStack};

use deeptell_weights::{Precision, Weights, WeightsError};

use crate::architecture::{BlockSpec, STEM_CHANNELS, squeezed};
use crate::{Variant, names};

/// torchvision's `BatchNorm2d` settings in MobileNetV3; Burn's defaults differ.
pub(crate) const BATCH_NORM_EPSILON: f64 = 1e-3;
const BATCH_NORM_MOMENTUM: f64 = 0.01;
/// Slope of the hard sigmoid in the squeeze-and-excite gate: `clamp(x / 6 + 0.5, 0, 1)`.
const GATE_SLOPE: f64 = 1.0 / 6.0;

/// What a [`MobileNetV3`] is built from.
#[derive(Config, Debug)]
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
            precision: Precision::F32,
        }
    }
}

/// MobileNetV3: stem, [blocks](crate::Table::blocks), a last convolution, two linear layers.
///
/// With 1000 classes 2,542,856 parameters ([`Variant::Small`]) or 5,483,032 ([`Variant::Large`]).
#[derive(Module, Debug)]
pub struct MobileNetV3 {
    stem: ConvNormActivation,
    blocks: Vec<InvertedResidual>,
    last: ConvNormActivation,
    hidden: Linear,
    dropout: Dropout,
    classifier: Linear,
    #[module(skip)]
    variant: Variant,
    /// Everything before the pooling as the kernels run it, once folded on a device that has them.
    #[module(skip)]
    stack: Option<InvertedResidualStack>,
    /// Whether the kernels run where the device has them.
    #[module(skip)]
    use_kernels: bool,
    /// What convolutions and linear layers compute in.
    #[module(skip)]
    precision: Precision,
}

/// How the layers of one pass compute.
#[derive(Clone, Copy)]
struct Pass {
    /// By the kernels, which know 32-bit floats only.
    kernels: bool,
    precision: Precision,
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

    /// Logits of a batch of normalised images.
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
        self.precision.raised(self.last.forward(trunk, pass))
    }

    fn pass(&self, input: &Tensor<4>) -> Pass {
        Pass { kernels: self.runs_kernels(input), precision: self.precision }
    }

    fn stack_for(&self, input: &Tensor<4>) -> Option<&InvertedResidualStack> {
        self.stack.as_ref().filter(|_| self.runs_kernels(input) && !input.device().is_autodiff())
    }

    fn runs_kernels(&self, input: &Tensor<4>) -> bool {
        self.use_kernels && self.precision.is_full() && kernels::supports(&input.device())
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
        stages.into_iter().map(|stage| self.precision.raised(stage)).collect()
    }

    /// Logits from an embedding.
    ///
    /// # Shapes
    /// - embedding: `[N, embedding]`
    /// - result: `[N, classes]`
    pub fn classify(&self, embedding: Tensor<2>) -> Tensor<2> {
        let hidden = hard_swish(multiply(&self.hidden, embedding, self.precision));
        multiply(&self.classifier, self.dropout.forward(hidden), self.precision)
    }

    /// Where in each image the evidence for a class lies: Grad-CAM (Selvaraju et al. 2017,
    /// equations 1 and 2) at the last feature map.
    ///
    /// The network must not be on an autodiff device, as it is when loaded for inference: the
    /// gradient is taken through the classifier alone, which is all that lies behind that map.
    ///
    /// # Shapes
    /// - input: `[N, 3, H, W]`
    /// - result: `[N, H/32, W/32]`, rounded up; 0 where nothing speaks for the class, no upper
    ///   bound
    ///
    /// # Panics
    /// When there is no such class, or the input is on an autodiff device.
    pub fn class_activation(&self, input: Tensor<4>, class: usize) -> Tensor<3> {
        assert!(!input.device().is_autodiff(), "class activation is for inference");
        let features = self.features(input);
        let [images, channels, height, width] = features.dims();
        let embedding: Tensor<2> = pool(features.clone()).flatten(1, 3);
        let embedding = embedding.autodiff().require_grad();
        // Without dropout, which an autodiff device switches on. Images do not depend on each other,
        // so the gradient of the sum is that of each.
        let hidden = hard_swish(multiply(&self.hidden, embedding.clone(), self.precision));
        let logits = multiply(&self.classifier, hidden, self.precision);
        let gradients = logits.narrow(1, class, 1).sum().backward();
        let Some(gradient) = embedding.grad(&gradients) else {
            return Tensor::zeros([images, height, width], &features.device());
        };
        let weights = gradient.reshape([images, channels, 1, 1]) / (height * width) as f64;
        relu((features * weights).sum_dim(1)).reshape([images, height, width])
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

    /// The same function with every `BatchNorm` folded into the convolution before it
    /// (Jacob et al. 2018, section 3.2): faster, for inference only.
    ///
    /// Call it on a network that is not on an autodiff device; a folded network has nothing
    /// to adapt and cannot be [stored](Self::weights) for training.
    #[must_use]
    pub fn folded(self) -> Self {
        let stem = self.stem.folded();
        let blocks: Vec<_> = self.blocks.into_iter().map(InvertedResidual::folded).collect();
        let last = self.last.folded();
        let device = stem.convolution.weight.device();
        let stack = (kernels::supports(&device) && !device.is_autodiff()).then(|| {
            let blocks: Vec<_> = blocks.iter().map(InvertedResidual::for_kernels).collect();
            InvertedResidualStack::new(&stem.for_kernels(), &blocks, &last.for_kernels())
        });
        let precision = self.precision;
        Self { stem, blocks, last, stack, ..self }.with_precision(precision)
    }

    /// The same network computing in another number format.
    ///
    /// Weights in training stay 32-bit floats. Those of a [folded](Self::folded) network are
    /// rounded here, once and for all.
    ///
    /// [`Precision::check`] says whether the device can; on one that cannot, Burn panics.
    #[must_use]
    pub fn with_precision(self, precision: Precision) -> Self {
        let network = Self { precision, ..self };
        if network.stem.norm.is_some() { network } else { network.map(&mut Rounding(precision)) }
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
        let statistics =
            |layer: &ConvNormActivation| layer.norm.as_ref().map_or(0, |norm| 2 * norm.gamma.val().dims()[0]);
        let in_blocks: usize = self
            .blocks
            .iter()
            .flat_map(|b| b.expand.iter().chain([&b.depthwise, &b.project]))
            .map(statistics)
            .sum();
        self.num_params() - in_blocks - statistics(&self.stem) - statistics(&self.last)
    }
}

/// Changes the number format of all weights.
struct Rounding(Precision);

impl ModuleMapper for Rounding {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        param.map(|weights| self.0.lowered(self.0.raised(weights)))
    }
}

/// What `convolution` does, in `precision`; so is the result.
fn convolve(convolution: &Conv2d, x: Tensor<4>, precision: Precision) -> Tensor<4> {
    if precision.is_full() {
        return convolution.forward(x);
    }
    let padding = convolution.kernel_size.map(|side| (side - 1) / 2);
    let options = ConvOptions::new(convolution.stride, padding, convolution.dilation, convolution.groups);
    let bias = convolution.bias.as_ref().map(|bias| precision.lowered(bias.val()));
    module::conv2d(precision.lowered(x), precision.lowered(convolution.weight.val()), bias, options)
}

/// What `linear` does, in `precision`; the result has 32 bits.
fn multiply(linear: &Linear, x: Tensor<2>, precision: Precision) -> Tensor<2> {
    if precision.is_full() {
        return linear.forward(x);
    }
    let bias = linear.bias.as_ref().map(|bias| precision.lowered(bias.val()));
    precision.raised(module::linear(precision.lowered(x), precision.lowered(linear.weight.val()), bias))
}

/// Mean over height and width: `[N, C, H, W]` to `[N, C, 1, 1]`.
fn pool(x: Tensor<4>) -> Tensor<4> {
    x.mean_dims(&[2, 3])
}

/// Convolution, batch normalisation, nonlinearity.
#[derive(Module, Debug)]
struct ConvNormActivation {
    convolution: Conv2d,
    /// `None` once folded into the convolution.
    norm: Option<BatchNorm>,
    #[module(skip)]
    activation: Activation,
}

impl ConvNormActivation {
    fn new(
        input: usize,
        output: usize,
        kernel: usize,
        stride: usize,
        groups: usize,
        activation: Activation,
        device: &Device,
    ) -> Self {
        let padding = (kernel - 1) / 2;
        let convolution = Conv2dConfig::new([input, output], [kernel, kernel])
            .with_stride([stride, stride])
            .with_groups(groups)
            .with_padding(PaddingConfig2d::Explicit(padding, padding, padding, padding))
            .with_bias(false)
            .with_initializer(Initializer::KaimingNormal { gain: 2f64.sqrt(), fan_out_only: true })
            .init(device);
        let norm = BatchNormConfig::new(output)
            .with_epsilon(BATCH_NORM_EPSILON)
            .with_momentum(BATCH_NORM_MOMENTUM)
            .init(device);
        Self { convolution, norm: Some(norm), activation }
    }

    /// - x: `[N, input, H, W]`
    /// - result: `[N, output, H/stride, W/stride]`, rounded up
    fn forward(&self, x: Tensor<4>, pass: Pass) -> Tensor<4> {
        if pass.kernels { self.forward_fused(x) } else { self.forward_plain(x, pass.precision) }
    }

    /// The result is in `precision`.
    fn forward_plain(&self, x: Tensor<4>, precision: Precision) -> Tensor<4> {
        let x = convolve(&self.convolution, x, precision);
        match &self.norm {
            // Variances of a batch need more digits, and their sums more room, than 16 bits have.
            Some(norm) => {
                let in_training = x.device().is_autodiff() && norm.training.is_enabled();
                let x = norm.forward(precision.raised(x));
                if in_training {
                    settle(norm);
                }
                precision.lowered(activate(x, self.activation))
            }
            None => activate(x, self.activation),
        }
    }

    fn forward_fused(&self, x: Tensor<4>) -> Tensor<4> {
        let convolution = &self.convolution;
        let geometry = ConvGeometry {
            stride: convolution.stride[0],
            padding: (convolution.kernel_size[0] - 1) / 2,
            groups: convolution.groups,
        };
        let (weight, bias) = match &self.norm {
            Some(norm) if x.device().is_autodiff() && norm.training.is_enabled() => {
                let x = kernels::conv2d(x, convolution.weight.val(), geometry);
                return self.norm_in_training(x, norm);
            }
            Some(norm) => folded(convolution, norm),
            None => (convolution.weight.val(), self.folded_bias()),
        };
        kernels::conv2d_bias_activation(x, weight, bias, geometry, self.activation)
    }

    /// Normalises by the statistics of the batch and moves the running ones towards them.
    fn norm_in_training(&self, x: Tensor<4>, norm: &BatchNorm) -> Tensor<4> {
        let (gamma, beta) = (norm.gamma.val(), norm.beta.val());
        let normed = kernels::batch_norm_activation(x, gamma, beta, norm.epsilon, self.activation);
        let blend = |old: Tensor<1>, new: Tensor<1>| {
            (old.mul_scalar(1.0 - norm.momentum) + new.detach().mul_scalar(norm.momentum)).detach()
        };
        for (running, of_batch) in [(&norm.running_mean, normed.mean), (&norm.running_var, normed.variance)] {
            running.update(blend(running.value(), of_batch));
        }
        settle(norm);
        normed.output
    }

    fn folded_bias(&self) -> Tensor<1> {
        match &self.convolution.bias {
            Some(bias) => bias.val(),
            None => Tensor::zeros([self.convolution.weight.dims()[0]], &self.convolution.weight.device()),
        }
    }

    /// A layer that is folded.
    fn for_kernels(&self) -> FoldedConv {
        let convolution = &self.convolution;
        FoldedConv {
            weight: convolution.weight.val(),
            bias: self.folded_bias(),
            stride: convolution.stride[0],
            activation: self.activation,
        }
    }

    fn folded(self) -> Self {
        let Some(norm) = &self.norm else { return self };
        let (weight, bias) = folded(&self.convolution, norm);
        let convolution = Conv2d {
            weight: Param::from_tensor(weight),
            bias: Some(Param::from_tensor(bias)),
            ..self.convolution
        };
        Self { convolution, norm: None, activation: self.activation }
    }
}

/// Makes the last update of the running statistics count.
///
/// An update stays with its thread until asked for. Steps run on any thread of the pool: left there,
/// which updates count would depend on timing, and the last one would be lost.
fn settle(norm: &BatchNorm) {
    norm.running_mean.value_sync();
    norm.running_var.value_sync();
}

/// Weight and bias of the one convolution that does what `convolution` and `norm` do with
/// running statistics.
fn folded(convolution: &Conv2d, norm: &BatchNorm) -> (Tensor<4>, Tensor<1>) {
    let scale = norm.gamma.val() / (norm.running_var.value() + norm.epsilon).sqrt();
    let bias = norm.beta.val() - norm.running_mean.value() * scale.clone();
    let channels = scale.dims()[0];
    (convolution.weight.val() * scale.reshape([channels, 1, 1, 1]), bias)
}

fn activate(x: Tensor<4>, activation: Activation) -> Tensor<4> {
    match activation {
        Activation::Identity => x,
        Activation::Relu => relu(x),
        Activation::HardSwish => hard_swish(x),
    }
}

/// A gate on each channel from the mean of all of them (Hu et al. 2018, section 3; the hard
/// sigmoid is MobileNetV3's, section 5.2).
#[derive(Module, Debug)]
struct SqueezeExcite {
    fc1: Conv2d,
    fc2: Conv2d,
}

impl SqueezeExcite {
    fn new(channels: usize, device: &Device) -> Self {
        let layer = |input, output| Conv2dConfig::new([input, output], [1, 1]).init(device);
        let inside = squeezed(channels);
        Self { fc1: layer(channels, inside), fc2: layer(inside, channels) }
    }

    /// - x and result: `[N, channels, H, W]`, in `precision`
    fn forward(&self, x: Tensor<4>, precision: Precision) -> Tensor<4> {
        // The sum behind a mean can pass what 16 bits hold.
        let mean = pool(precision.raised(x.clone()));
        let squeezed = relu(convolve(&self.fc1, mean, precision));
        x * hard_sigmoid(convolve(&self.fc2, squeezed, precision), GATE_SLOPE, 0.5)
    }

    fn for_kernels(&self) -> [FoldedConv; 2] {
        [(&self.fc1, Activation::Relu), (&self.fc2, Activation::Identity)].map(|(layer, activation)| {
            let weight = layer.weight.val();
            let bias = match &layer.bias {
                Some(bias) => bias.val(),
                None => Tensor::zeros([weight.dims()[0]], &weight.device()),
            };
            FoldedConv { weight, bias, stride: 1, activation }
        })
    }
}

/// One row of a [`Table`](crate::Table): expand, filter each channel, gate, project, add the input where
/// shapes allow (Howard et al. 2019, figure 4).
#[derive(Module, Debug)]
struct InvertedResidual {
    expand: Option<ConvNormActivation>,
    depthwise: ConvNormActivation,
    squeeze_excite: Option<SqueezeExcite>,
    project: ConvNormActivation,
    residual: bool,
}

impl InvertedResidual {
    fn new(spec: &BlockSpec, device: &Device) -> Self {
        let &BlockSpec { input, kernel, expanded, output, activation, stride, .. } = spec;
        let pointwise =
            |input, output, activation| ConvNormActivation::new(input, output, 1, 1, 1, activation, device);
        Self {
            expand: (expanded != input).then(|| pointwise(input, expanded, activation)),
            depthwise: ConvNormActivation::new(
                expanded, expanded, kernel, stride, expanded, activation, device,
            ),
            squeeze_excite: spec.squeeze_excite.then(|| SqueezeExcite::new(expanded, device)),
            project: pointwise(expanded, output, Activation::Identity),
            residual: stride == 1 && input == output,
        }
    }

    /// - x: `[N, input, H, W]`
    /// - result: `[N, output, H/stride, W/stride]`, rounded up
    fn forward(&self, x: Tensor<4>, pass: Pass) -> Tensor<4> {
        let shortcut = self.residual.then(|| x.clone());
        let x = match &self.expand {
            Some(expand) => expand.forward(x, pass),
            None => x,
        };
        let x = self.depthwise.forward(x, pass);
        let x = match &self.squeeze_excite {
            Some(gate) => gate.forward(x, pass.precision),
            None => x,
        };
        let x = self.project.forward(x, pass);
        match shortcut {
            Some(shortcut) => x + shortcut,
            None => x,
        }
    }

    /// A block that is folded.
    fn for_kernels(&self) -> kernels::InvertedResidual {
        kernels::InvertedResidual {
            expand: self.expand.as_ref().map(ConvNormActivation::for_kernels),
            depthwise: self.depthwise.for_kernels(),
            gate: self.squeeze_excite.as_ref().map(SqueezeExcite::for_kernels),
            project: self.project.for_kernels(),
            residual: self.residual,
        }
    }

    fn folded(self) -> Self {
        Self {
            expand: self.expand.map(ConvNormActivation::folded),
            depthwise: self.depthwise.folded(),
            project: self.project.folded(),
            ..self
        }
    }
}
