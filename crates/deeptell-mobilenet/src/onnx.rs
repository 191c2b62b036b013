//! The network as an ONNX graph.

use deeptell_kernels::Activation;
use deeptell_weights::onnx::{Attribute, Graph, Options};
use deeptell_weights::{Weights, WeightsError};

use crate::Variant;
use crate::architecture::{BlockSpec, STEM_CHANNELS, squeezed};
use crate::blocks::BATCH_NORM_EPSILON;

/// The network with these weights as the bytes of an ONNX file.
///
/// `BatchNorm` stays as it is, so that the file can be [read](Weights::read) again and trained on;
/// runtimes fold it when they load.
///
/// # Shapes
/// - input `images`: `[batch, 3, height, width]`, normalized
/// - output `logits`: `[batch, classes]`; output `probabilities`, where there is a calibration:
///   the same
///
/// # Errors
/// [`WeightsError`] naming the tensor that is missing, has another shape, or is unknown.
pub fn to_onnx(variant: Variant, weights: &Weights, options: &Options) -> Result<Vec<u8>, WeightsError> {
    let mut layers = Layers { variant, graph: Graph::new(weights) };
    let classes = layers.network()?;
    layers.graph.finish(classes, options, variant.name())
}

/// A graph in the making, in the layers of MobileNetV3.
struct Layers<'a> {
    variant: Variant,
    graph: Graph<'a>,
}

impl Layers<'_> {
    /// All nodes from `images` to `logits`; the number of classes.
    fn network(&mut self) -> Result<usize, WeightsError> {
        let hard_swish = Activation::HardSwish;
        let mut x = self.conv("images", "features.0", [STEM_CHANNELS, 3, 3], 2, 1, hard_swish)?;
        let table = self.variant.table();
        for (index, block) in table.blocks.iter().enumerate() {
            x = self.block(&x, index + 1, block)?;
        }
        let last = [table.embedding, table.trunk(), 1];
        x = self.conv(&x, &format!("features.{}", table.blocks.len() + 1), last, 1, 1, hard_swish)?;
        self.graph.node("GlobalAveragePool", &[&x], "pooled", &[]);
        self.graph.node("Flatten", &["pooled"], "embedding", &[]);
        self.linear("embedding", "classifier.0", [table.hidden, table.embedding], "hidden")?;
        self.graph.node("HardSwish", &["hidden"], "hidden.active", &[]);
        let output = self.graph.shape("classifier.3.weight", self.variant.name())?;
        let classes = output.first().copied().unwrap_or(1);
        self.linear("hidden.active", "classifier.3", [classes, table.hidden], "logits")?;
        Ok(classes)
    }

    fn block(&mut self, input: &str, number: usize, block: &BlockSpec) -> Result<String, WeightsError> {
        let &BlockSpec { expanded, kernel, activation, stride, .. } = block;
        let mut position = 0;
        let mut next = || {
            position += 1;
            format!("features.{number}.block.{}", position - 1)
        };
        let mut x = input.to_owned();
        if expanded != block.input {
            x = self.conv(&x, &next(), [expanded, block.input, 1], 1, 1, activation)?;
        }
        x = self.conv(&x, &next(), [expanded, 1, kernel], stride, expanded, activation)?;
        if block.squeeze_excite {
            x = self.gate(&x, &next(), expanded)?;
        }
        x = self.conv(&x, &next(), [block.output, expanded, 1], 1, 1, Activation::Identity)?;
        if stride == 1 && block.input == block.output {
            let sum = format!("features.{number}.sum");
            self.graph.node("Add", &[&x, input], &sum, &[]);
            x = sum;
        }
        Ok(x)
    }

    /// Squeeze and excite.
    fn gate(&mut self, input: &str, layer: &str, channels: usize) -> Result<String, WeightsError> {
        let named = |what: &str| format!("{layer}.{what}");
        let inside = squeezed(channels);
        self.graph.node("GlobalAveragePool", &[input], &named("mean"), &[]);
        self.pointwise(&named("mean"), &named("fc1"), [inside, channels], &named("squeezed"))?;
        self.graph.node("Relu", &[&named("squeezed")], &named("active"), &[]);
        self.pointwise(&named("active"), &named("fc2"), [channels, inside], &named("logits"))?;
        // `beta` is left at its default of 0.5: OpenCV takes a HardSigmoid that spells it out, with the
        // product after it, for a HardSwish.
        let slope = [Attribute::Float("alpha", 1.0 / 6.0)];
        self.graph.node("HardSigmoid", &[&named("logits")], &named("gate"), &slope);
        self.graph.node("Mul", &[input, &named("gate")], &named("gated"), &[]);
        Ok(named("gated"))
    }

    /// Convolution, batch normalization, nonlinearity; the name of the result.
    fn conv(
        &mut self,
        input: &str,
        layer: &str,
        [outputs, inputs, kernel]: [usize; 3],
        stride: usize,
        groups: usize,
        activation: Activation,
    ) -> Result<String, WeightsError> {
        let weight = self.tensor(&format!("{layer}.0.weight"), &[outputs, inputs, kernel, kernel])?;
        let (raw, normed) = (format!("{layer}.raw"), format!("{layer}.normed"));
        let attributes = [
            Attribute::Ints("kernel_shape", vec![kernel; 2]),
            Attribute::Ints("strides", vec![stride; 2]),
            Attribute::Ints("pads", vec![kernel / 2; 4]),
            Attribute::Int("group", groups),
        ];
        self.graph.node("Conv", &[input, &weight], &raw, &attributes);
        let mut inputs = vec![raw];
        for part in ["weight", "bias", "running_mean", "running_var"] {
            inputs.push(self.tensor(&format!("{layer}.1.{part}"), &[outputs])?);
        }
        let inputs: Vec<&str> = inputs.iter().map(String::as_str).collect();
        let epsilon = [Attribute::Float("epsilon", BATCH_NORM_EPSILON as f32)];
        self.graph.node("BatchNormalization", &inputs, &normed, &epsilon);
        let operator = match activation {
            Activation::Identity => return Ok(normed),
            Activation::Relu => "Relu",
            Activation::HardSwish => "HardSwish",
        };
        self.graph.node(operator, &[&normed], &format!("{layer}.active"), &[]);
        Ok(format!("{layer}.active"))
    }

    /// A 1x1 convolution with a bias.
    fn pointwise(
        &mut self,
        input: &str,
        layer: &str,
        [outputs, inputs]: [usize; 2],
        output: &str,
    ) -> Result<(), WeightsError> {
        let weight = self.tensor(&format!("{layer}.weight"), &[outputs, inputs, 1, 1])?;
        let bias = self.tensor(&format!("{layer}.bias"), &[outputs])?;
        self.graph.node(
            "Conv",
            &[input, &weight, &bias],
            output,
            &[Attribute::Ints("kernel_shape", vec![1; 2])],
        );
        Ok(())
    }

    fn linear(
        &mut self,
        input: &str,
        layer: &str,
        shape: [usize; 2],
        output: &str,
    ) -> Result<(), WeightsError> {
        let weight = self.tensor(&format!("{layer}.weight"), &shape)?;
        let bias = self.tensor(&format!("{layer}.bias"), &shape[..1])?;
        self.graph.node("Gemm", &[input, &weight, &bias], output, &[Attribute::Int("transB", 1)]);
        Ok(())
    }

    /// Stores a tensor of the network; its name.
    fn tensor(&mut self, name: &str, shape: &[usize]) -> Result<String, WeightsError> {
        self.graph.weight(name, shape, self.variant.name())?;
        Ok(name.to_owned())
    }
}
