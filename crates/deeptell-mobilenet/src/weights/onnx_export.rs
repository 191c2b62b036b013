//! The network as an ONNX graph.

use std::collections::BTreeSet;

use onnx_ir::{
    AttributeProto, AttributeType, GraphProto, Message as _, ModelProto, NodeProto, TensorProto,
    ValueInfoProto,
};

use super::{NamedTensor, Weights, WeightsError, is_counter};
use crate::architecture::{BLOCKS, BlockSpec, EMBEDDING_CHANNELS, HIDDEN_CHANNELS, STEM_CHANNELS, squeezed};
use crate::model::BATCH_NORM_EPSILON;
use deeptell_kernels::Activation;

/// Version 8 of the format and 17 of the operators: what every runtime of the last years reads.
const IR_VERSION: i64 = 8;
const OPSET: i64 = 17;
/// Numbers of the fields `TensorProto.dims` and `AttributeProto.ints`. The format has them one by
/// one, as ONNX's own files do, and some runtimes read nothing else; the bindings would pack them.
const TENSOR_DIMS: u32 = 1;
const ATTRIBUTE_INTS: u32 = 8;
/// `TensorProto.DataType.FLOAT`
const FLOAT: i32 = 1;

/// What goes into an ONNX file besides the network.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct OnnxOptions {
    /// The name of the graph.
    pub name: String,
    /// Slope and intercept of the logit's calibration: the file then has a second output,
    /// `probabilities`, the sigmoid of `slope * logit + intercept`.
    pub calibration: Option<[f64; 2]>,
    /// Free text by key, for the file's `metadata_props`.
    pub metadata: Vec<(String, String)>,
}

impl Weights {
    /// The network with these weights as the bytes of an ONNX file.
    ///
    /// `BatchNorm` stays as it is, so that the file can be [read](Self::read) again and trained
    /// on; runtimes fold it when they load.
    ///
    /// # Shapes
    /// - input `images`: `[batch, 3, height, width]`, [normalised](crate::normalize)
    /// - output `logits`: `[batch, classes]`; output `probabilities`, where there is a calibration:
    ///   the same
    ///
    /// # Errors
    /// [`WeightsError`] naming the tensor that is missing, has another shape, or is unknown.
    pub fn to_onnx(&self, options: &OnnxOptions) -> Result<Vec<u8>, WeightsError> {
        let mut graph = Graph { weights: self, used: BTreeSet::new(), proto: GraphProto::default() };
        graph.proto.name.clone_from(&options.name);
        let classes = graph.network()?;
        if let Some([slope, intercept]) = options.calibration {
            graph.constant("calibration.slope", slope as f32);
            graph.constant("calibration.intercept", intercept as f32);
            graph.node("Mul", &["logits", "calibration.slope"], "scaled", vec![]);
            graph.node("Add", &["scaled", "calibration.intercept"], "calibrated", vec![]);
            graph.node("Sigmoid", &["calibrated"], "probabilities", vec![]);
        }
        let used = &graph.used;
        let is_unknown = |t: &&NamedTensor| !used.contains(t.name.as_str()) && !is_counter(&t.name);
        if let Some(unknown) = self.tensors.iter().find(is_unknown) {
            return Err(WeightsError::UnknownTensor { name: unknown.name.clone() });
        }
        let pixels = [Side::Free("batch"), Side::Fixed(3), Side::Free("height"), Side::Free("width")];
        graph.proto.input.push(value("images", &pixels));
        let scores = [Side::Free("batch"), Side::Fixed(classes)];
        graph.proto.output.push(value("logits", &scores));
        if options.calibration.is_some() {
            graph.proto.output.push(value("probabilities", &scores));
        }

        let mut model = ModelProto {
            ir_version: IR_VERSION,
            producer_name: "deeptell".into(),
            producer_version: env!("CARGO_PKG_VERSION").into(),
            graph: Some(graph.proto).into(),
            ..ModelProto::default()
        };
        // The types of these entries have no public name.
        model.opset_import.resize_with(1, Default::default);
        model.opset_import[0].version = OPSET;
        model.metadata_props.resize_with(options.metadata.len(), Default::default);
        for (entry, (key, text)) in model.metadata_props.iter_mut().zip(&options.metadata) {
            entry.key.clone_from(key);
            entry.value.clone_from(text);
        }
        model.write_to_bytes().map_err(|e| WeightsError::Internal { reason: e.to_string() })
    }
}

struct Graph<'a> {
    weights: &'a Weights,
    /// Tensors that have their place.
    used: BTreeSet<&'a str>,
    proto: GraphProto,
}

impl Graph<'_> {
    /// All nodes from `images` to `logits`; the number of classes.
    fn network(&mut self) -> Result<usize, WeightsError> {
        let hard_swish = Activation::HardSwish;
        let mut x = self.conv("images", "features.0", [STEM_CHANNELS, 3, 3], 2, 1, hard_swish)?;
        for (index, block) in BLOCKS.iter().enumerate() {
            x = self.block(&x, index + 1, block)?;
        }
        let last = [EMBEDDING_CHANNELS, BLOCKS[BLOCKS.len() - 1].output, 1];
        x = self.conv(&x, &format!("features.{}", BLOCKS.len() + 1), last, 1, 1, hard_swish)?;
        self.node("GlobalAveragePool", &[&x], "pooled", vec![]);
        self.node("Flatten", &["pooled"], "embedding", vec![]);
        self.linear("embedding", "classifier.0", [HIDDEN_CHANNELS, EMBEDDING_CHANNELS], "hidden")?;
        self.node("HardSwish", &["hidden"], "hidden.active", vec![]);
        let name = "classifier.3.weight";
        let classes = self.weights.tensors.iter().find(|t| t.name == name).map_or(1, |t| t.shape[0]);
        self.linear("hidden.active", "classifier.3", [classes, HIDDEN_CHANNELS], "logits")?;
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
            self.node("Add", &[&x, input], &sum, vec![]);
            x = sum;
        }
        Ok(x)
    }

    /// Squeeze and excite.
    fn gate(&mut self, input: &str, layer: &str, channels: usize) -> Result<String, WeightsError> {
        let named = |what: &str| format!("{layer}.{what}");
        let inside = squeezed(channels);
        self.node("GlobalAveragePool", &[input], &named("mean"), vec![]);
        self.pointwise(&named("mean"), &named("fc1"), [inside, channels], &named("squeezed"))?;
        self.node("Relu", &[&named("squeezed")], &named("active"), vec![]);
        self.pointwise(&named("active"), &named("fc2"), [channels, inside], &named("logits"))?;
        let slope = vec![float("alpha", 1.0 / 6.0), float("beta", 0.5)];
        self.node("HardSigmoid", &[&named("logits")], &named("gate"), slope);
        self.node("Mul", &[input, &named("gate")], &named("gated"), vec![]);
        Ok(named("gated"))
    }

    /// Convolution, batch normalisation, nonlinearity; the name of the result.
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
        let attributes = vec![
            ints("kernel_shape", &[kernel; 2]),
            ints("strides", &[stride; 2]),
            ints("pads", &[kernel / 2; 4]),
            int("group", groups),
        ];
        self.node("Conv", &[input, &weight], &raw, attributes);
        let mut inputs = vec![raw];
        for part in ["weight", "bias", "running_mean", "running_var"] {
            inputs.push(self.tensor(&format!("{layer}.1.{part}"), &[outputs])?);
        }
        let inputs: Vec<&str> = inputs.iter().map(String::as_str).collect();
        let epsilon = vec![float("epsilon", BATCH_NORM_EPSILON as f32)];
        self.node("BatchNormalization", &inputs, &normed, epsilon);
        let operator = match activation {
            Activation::Identity => return Ok(normed),
            Activation::Relu => "Relu",
            Activation::HardSwish => "HardSwish",
        };
        self.node(operator, &[&normed], &format!("{layer}.active"), vec![]);
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
        self.node("Conv", &[input, &weight, &bias], output, vec![ints("kernel_shape", &[1; 2])]);
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
        self.node("Gemm", &[input, &weight, &bias], output, vec![int("transB", 1)]);
        Ok(())
    }

    /// Stores a tensor of the network; its name.
    fn tensor(&mut self, name: &str, expected: &[usize]) -> Result<String, WeightsError> {
        let missing = || WeightsError::MissingTensor { name: name.to_owned() };
        let tensor = self.weights.tensors.iter().find(|t| t.name == name).ok_or_else(missing)?;
        if tensor.shape != expected {
            let (expected, found) = (expected.to_vec(), tensor.shape.clone());
            return Err(WeightsError::Shape { name: name.to_owned(), expected, found });
        }
        self.used.insert(&tensor.name);
        self.store(name, expected, &tensor.values);
        Ok(name.to_owned())
    }

    fn constant(&mut self, name: &str, value: f32) {
        self.store(name, &[], &[value]);
    }

    fn store(&mut self, name: &str, shape: &[usize], values: &[f32]) {
        let mut tensor = TensorProto {
            name: name.into(),
            data_type: FLOAT,
            raw_data: values.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<u8>>().into(),
            ..TensorProto::default()
        };
        for side in shape {
            tensor.special_fields.mut_unknown_fields().add_varint(TENSOR_DIMS, *side as u64);
        }
        self.proto.initializer.push(tensor);
    }

    fn node(&mut self, operator: &str, input: &[&str], output: &str, attribute: Vec<AttributeProto>) {
        self.proto.node.push(NodeProto {
            name: output.into(),
            op_type: operator.into(),
            input: input.iter().map(|&name| name.into()).collect(),
            output: vec![output.into()],
            attribute,
            ..NodeProto::default()
        });
    }
}

fn attribute(name: &str, kind: AttributeType) -> AttributeProto {
    AttributeProto { name: name.into(), type_: kind.into(), ..AttributeProto::default() }
}

fn int(name: &str, value: usize) -> AttributeProto {
    AttributeProto { i: value as i64, ..attribute(name, AttributeType::INT) }
}

fn ints(name: &str, values: &[usize]) -> AttributeProto {
    let mut attribute = attribute(name, AttributeType::INTS);
    for value in values {
        attribute.special_fields.mut_unknown_fields().add_varint(ATTRIBUTE_INTS, *value as u64);
    }
    attribute
}

fn float(name: &str, value: f32) -> AttributeProto {
    AttributeProto { f: value, ..attribute(name, AttributeType::FLOAT) }
}

/// The length of an axis.
enum Side {
    Fixed(usize),
    Free(&'static str),
}

fn value(name: &str, sides: &[Side]) -> ValueInfoProto {
    let mut value = ValueInfoProto { name: name.into(), ..ValueInfoProto::default() };
    let tensor = value.type_.mut_or_insert_default().mut_tensor_type();
    tensor.elem_type = FLOAT;
    let shape = tensor.shape.mut_or_insert_default();
    shape.dim.resize_with(sides.len(), Default::default);
    for (dimension, side) in shape.dim.iter_mut().zip(sides) {
        match side {
            Side::Fixed(length) => dimension.set_dim_value(*length as i64),
            Side::Free(name) => dimension.set_dim_param((*name).into()),
        }
    }
    value
}
