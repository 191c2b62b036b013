//! A network as an ONNX graph.

use std::collections::{BTreeMap, BTreeSet};

use super::FLOAT;
use super::wire::Message;
use crate::names::is_counter;
use crate::{NamedTensor, Weights, WeightsError};

/// Version 8 of the format and 17 of the operators, which all current runtimes read.
const IR_VERSION: u64 = 8;
const OPSET: u64 = 17;

/// What goes into an ONNX file besides the network.
#[derive(Debug, Clone, PartialEq, Default)]
#[non_exhaustive]
pub struct Options {
    /// The name of the graph.
    pub name: String,
    /// Height and width of the images; `None` leaves them open.
    pub size: Option<[usize; 2]>,
    /// Slope and intercept of the logit's calibration: the file then has a second output,
    /// `probabilities`, the sigmoid of `slope * logit + intercept`.
    pub calibration: Option<[f64; 2]>,
    /// Free text by key, for the file's `metadata_props`.
    pub metadata: Vec<(String, String)>,
}

/// An attribute of a node.
#[derive(Debug, Clone, PartialEq)]
pub enum Attribute {
    /// A number.
    Float(&'static str, f32),
    /// A whole number.
    Int(&'static str, usize),
    /// Some whole numbers.
    Ints(&'static str, Vec<usize>),
}

impl Attribute {
    /// `AttributeProto`. Repeated integers stand one by one, as in ONNX's own files: some runtimes
    /// read nothing else.
    fn message(&self) -> Message {
        let mut message = Message::default();
        match self {
            Self::Float(name, value) => message.text(1, name).float(2, *value).varint(20, 1),
            Self::Int(name, value) => message.text(1, name).varint(3, *value as u64).varint(20, 2),
            Self::Ints(name, values) => {
                message.text(1, name);
                for value in values {
                    message.varint(8, *value as u64);
                }
                message.varint(20, 7)
            }
        };
        message
    }
}

/// The length of an axis.
#[derive(Debug, Clone, Copy)]
enum Side {
    Fixed(usize),
    Free(&'static str),
}

/// Builds a graph, from the input `images` to the output `logits`.
///
/// Nodes are named by their output and must come after those that make their inputs.
#[derive(Debug)]
pub struct Graph<'a> {
    weights: BTreeMap<&'a str, &'a NamedTensor>,
    /// Tensors that have their place.
    used: BTreeSet<&'a str>,
    nodes: Vec<Message>,
    initializers: Vec<Message>,
}

impl<'a> Graph<'a> {
    /// A graph without nodes, for a network with these weights.
    pub fn new(weights: &'a Weights) -> Self {
        let by_name = weights.tensors.iter().map(|tensor| (tensor.name.as_str(), tensor));
        Self {
            weights: by_name.collect(),
            used: BTreeSet::new(),
            nodes: Vec::new(),
            initializers: Vec::new(),
        }
    }

    /// The shape of a weight.
    ///
    /// # Errors
    /// [`WeightsError::MissingTensor`] when there is none of that name; `network` is what the error
    /// calls the network.
    pub fn shape(&self, name: &str, network: &'static str) -> Result<&'a [usize], WeightsError> {
        let missing = || WeightsError::MissingTensor { name: name.to_owned(), network };
        self.weights.get(name).map(|tensor| tensor.shape.as_slice()).ok_or_else(missing)
    }

    /// Stores a weight under its name.
    ///
    /// # Errors
    /// [`WeightsError::MissingTensor`] and [`WeightsError::Shape`] when there is none of that name
    /// and shape.
    pub fn weight(
        &mut self,
        name: &str,
        expected: &[usize],
        network: &'static str,
    ) -> Result<(), WeightsError> {
        let found = self.shape(name, network)?;
        if found != expected {
            let (expected, found) = (expected.to_vec(), found.to_vec());
            return Err(WeightsError::Shape { name: name.to_owned(), expected, found });
        }
        if let Some(tensor) = self.weights.get(name) {
            self.used.insert(&tensor.name);
            self.store(name, expected, &tensor.values);
        }
        Ok(())
    }

    /// Stores a single number.
    pub fn constant(&mut self, name: &str, value: f32) {
        self.store(name, &[], &[value]);
    }

    /// `TensorProto`, its axes one by one as those of [`Attribute`].
    fn store(&mut self, name: &str, shape: &[usize], values: &[f32]) {
        let mut tensor = Message::default();
        for side in shape {
            tensor.varint(1, *side as u64);
        }
        let raw: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        tensor.varint(2, FLOAT).text(8, name).bytes(9, &raw);
        self.initializers.push(tensor);
    }

    /// Adds a node with one output.
    pub fn node(&mut self, operator: &str, inputs: &[&str], output: &str, attributes: &[Attribute]) {
        let mut node = Message::default();
        for input in inputs {
            node.text(1, input);
        }
        node.text(2, output).text(3, output).text(4, operator);
        for attribute in attributes {
            node.message(5, &attribute.message());
        }
        self.nodes.push(node);
    }

    /// The bytes of the file. `logits` must have been made; it has `classes` values per image.
    ///
    /// # Shapes
    /// - input `images`: `[batch, 3, height, width]`
    /// - output `logits`: `[batch, classes]`; output `probabilities`, where there is a calibration:
    ///   the same
    ///
    /// # Errors
    /// [`WeightsError::UnknownTensor`] when a weight has no place in the graph; `network` is what
    /// the error calls the network.
    pub fn finish(
        mut self,
        classes: usize,
        options: &Options,
        network: &'static str,
    ) -> Result<Vec<u8>, WeightsError> {
        if let Some([slope, intercept]) = options.calibration {
            self.constant("calibration.slope", slope as f32);
            self.constant("calibration.intercept", intercept as f32);
            self.node("Mul", &["logits", "calibration.slope"], "scaled", &[]);
            self.node("Add", &["scaled", "calibration.intercept"], "calibrated", &[]);
            self.node("Sigmoid", &["calibrated"], "probabilities", &[]);
        }
        let unknown = |name: &&&str| !self.used.contains(**name) && !is_counter(name);
        if let Some(name) = self.weights.keys().find(unknown) {
            return Err(WeightsError::UnknownTensor { name: (*name).to_owned(), network });
        }

        let mut graph = Message::default();
        for node in &self.nodes {
            graph.message(1, node);
        }
        graph.text(2, &options.name);
        for initializer in &self.initializers {
            graph.message(5, initializer);
        }
        let [height, width] = match options.size {
            Some(size) => size.map(Side::Fixed),
            None => [Side::Free("height"), Side::Free("width")],
        };
        graph.message(11, &value("images", &[Side::Free("batch"), Side::Fixed(3), height, width]));
        let scores = [Side::Free("batch"), Side::Fixed(classes)];
        graph.message(12, &value("logits", &scores));
        if options.calibration.is_some() {
            graph.message(12, &value("probabilities", &scores));
        }

        let mut opset = Message::default();
        opset.text(1, "").varint(2, OPSET);
        let mut model = Message::default();
        model.varint(1, IR_VERSION).text(2, "deeptell").text(3, env!("CARGO_PKG_VERSION"));
        model.message(7, &graph).message(8, &opset);
        for (key, text) in &options.metadata {
            let mut entry = Message::default();
            entry.text(1, key).text(2, text);
            model.message(14, &entry);
        }
        Ok(model.into_bytes())
    }
}

/// `ValueInfoProto` of a tensor of floats.
fn value(name: &str, sides: &[Side]) -> Message {
    let mut shape = Message::default();
    for side in sides {
        let mut dimension = Message::default();
        match side {
            Side::Fixed(length) => dimension.varint(1, *length as u64),
            Side::Free(name) => dimension.text(2, name),
        };
        shape.message(1, &dimension);
    }
    let mut tensor = Message::default();
    tensor.varint(1, FLOAT).message(2, &shape);
    let mut kind = Message::default();
    kind.message(1, &tensor);
    let mut value = Message::default();
    value.text(1, name).message(2, &kind);
    value
}
