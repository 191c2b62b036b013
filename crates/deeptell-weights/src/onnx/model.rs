//! The nodes of an ONNX file, for networks whose weights have no telling names.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use super::read::{Decoder, Stored, graph, recognizes, stored};
use super::wire::{Malformed, Value, fields, varint};
use crate::{NamedTensor, WeightsError};

/// Nodes of a graph at most.
const MAX_NODES: usize = 100_000;

/// An ONNX file in memory: its nodes, and its tensors on request.
///
/// [`Weights::read`](crate::Weights::read) finds weights by their names. An exporter that folds normalizations into
/// convolutions numbers the results instead; code that knows the network finds them by following its nodes from an
/// output to the input.
///
/// The file is read in place: the nodes take a small multiple of its size, and tensors are decoded when they are asked
/// for. Weights in other files are not read.
#[derive(Debug)]
pub struct Model<'a> {
    nodes: Vec<Node<'a>>,
    /// Index of the node that makes each tensor.
    makers: HashMap<&'a str, usize>,
    /// The `TensorProto` of each name.
    tensors: BTreeMap<&'a str, &'a [u8]>,
    origin: &'a Path,
}

/// A node of a [`Model`].
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Node<'a> {
    /// Name of the operator, for example `Conv`.
    pub operator: &'a str,
    /// Names of the tensors that it reads, in the order of the operator's definition.
    pub inputs: Vec<&'a str>,
    /// Names of the tensors that it makes.
    pub outputs: Vec<&'a str>,
    /// Its attributes of whole numbers, by name; those of one number have one.
    pub integers: BTreeMap<&'a str, Vec<i64>>,
}

impl<'a> Model<'a> {
    /// Reads the nodes of the file `bytes`; `origin` only names it in errors.
    ///
    /// # Errors
    /// [`WeightsError::UnknownFormat`] if it is not an ONNX file, [`WeightsError::Damaged`] if it is damaged or has more
    /// than 100,000 nodes.
    pub fn read(bytes: &'a [u8], origin: &'a Path) -> Result<Self, WeightsError> {
        if !recognizes(bytes) {
            return Err(WeightsError::UnknownFormat { path: origin.to_owned() });
        }
        let damaged = |reason: &str| WeightsError::Damaged {
            path: origin.to_owned(),
            format: "ONNX",
            reason: reason.to_owned(),
        };
        let malformed = |Malformed(reason)| damaged(reason);
        let graph = graph(bytes).map_err(malformed)?.ok_or_else(|| damaged("it has no graph"))?;
        let Stored { tensors, .. } = stored(graph).map_err(malformed)?;
        let mut nodes = Vec::new();
        for field in fields(graph) {
            if let (1, node) = field.map_err(malformed)? {
                if nodes.len() == MAX_NODES {
                    return Err(damaged("it has more than 100,000 nodes"));
                }
                nodes.push(Node::read(node.bytes().map_err(malformed)?).map_err(malformed)?);
            }
        }
        let outputs =
            nodes.iter().enumerate().flat_map(|(at, node)| node.outputs.iter().map(move |name| (*name, at)));
        let makers = outputs.collect();
        Ok(Self { nodes, makers, tensors, origin })
    }

    /// The nodes, in the order of the file.
    pub fn nodes(&self) -> &[Node<'a>] {
        &self.nodes
    }

    /// The node that makes the tensor of that name; `None` for an input of the graph and for a stored tensor.
    pub fn maker(&self, tensor: &str) -> Option<&Node<'a>> {
        self.makers.get(tensor).map(|&at| &self.nodes[at])
    }

    /// The stored tensor of that name, or `None` if the file stores none of floats under it.
    ///
    /// # Errors
    /// [`WeightsError::Damaged`] if its values do not fit its shape, [`WeightsError::NotFinite`] if one is not a finite
    /// number, [`WeightsError::ExternalData`] if they are in another file.
    pub fn tensor(&self, name: &str) -> Result<Option<NamedTensor>, WeightsError> {
        let Some(proto) = self.tensors.get(name) else { return Ok(None) };
        let Some((shape, values)) = Decoder::new(self.origin, None).decode(name, proto)? else {
            return Ok(None);
        };
        if let Some(at) = values.iter().position(|value| !value.is_finite()) {
            return Err(WeightsError::NotFinite { path: self.origin.to_owned(), name: name.to_owned(), at });
        }
        Ok(Some(NamedTensor { name: name.to_owned(), shape, values }))
    }
}

impl<'a> Node<'a> {
    /// `NodeProto`.
    fn read(node: &'a [u8]) -> Result<Self, Malformed> {
        let mut found = Self::default();
        for field in fields(node) {
            match field? {
                (1, value) => found.inputs.push(value.text()?),
                (2, value) => found.outputs.push(value.text()?),
                (4, value) => found.operator = value.text()?,
                (5, attribute) => found.read_attribute(attribute.bytes()?)?,
                _ => {}
            }
        }
        Ok(found)
    }

    /// `AttributeProto`, if it has whole numbers.
    fn read_attribute(&mut self, attribute: &'a [u8]) -> Result<(), Malformed> {
        let (mut name, mut integers) = ("", Vec::new());
        let integer = |value: u64| i64::from_ne_bytes(value.to_ne_bytes());
        for field in fields(attribute) {
            match field? {
                (1, value) => name = value.text()?,
                (8, Value::Bytes(mut packed)) => {
                    while !packed.is_empty() {
                        integers.push(integer(varint(&mut packed)?));
                    }
                }
                (3 | 8, value) => integers.push(integer(value.varint()?)),
                _ => {}
            }
        }
        if !integers.is_empty() {
            self.integers.insert(name, integers);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::wire::Message;
    use super::*;

    /// A file of one convolution of the stored tensor `7`.
    fn file(values: &[f32]) -> Vec<u8> {
        let mut tensor = Message::default();
        tensor.varint(1, 1).varint(1, 2).varint(2, 1).text(8, "7");
        tensor.bytes(9, &values.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<u8>>());
        let (mut pads, mut group) = (Message::default(), Message::default());
        pads.text(1, "pads").varint(8, 1).bytes(8, &[0, 2]).varint(20, 7);
        group.text(1, "group").varint(3, 4).varint(20, 2);
        let mut node = Message::default();
        node.text(1, "images").text(1, "7").text(2, "8").text(4, "Conv").message(5, &pads).message(5, &group);
        let mut graph = Message::default();
        graph.message(1, &node).message(5, &tensor);
        let mut model = Message::default();
        model.varint(1, 8).message(7, &graph);
        model.into_bytes()
    }

    #[test]
    fn nodes_are_found_by_what_they_make_and_tensors_by_name() {
        let bytes = file(&[0.5, -1.0]);
        let model = Model::read(&bytes, Path::new("net.onnx")).unwrap();
        let node = model.maker("8").unwrap();
        assert_eq!((node.operator, node.inputs.as_slice()), ("Conv", ["images", "7"].as_slice()));
        assert_eq!((&node.integers["pads"], &node.integers["group"]), (&vec![1, 0, 2], &vec![4]));
        assert_eq!(model.nodes().len(), 1);
        assert!(model.maker("images").is_none() && model.maker("7").is_none());
        let tensor = model.tensor("7").unwrap().unwrap();
        assert_eq!((tensor.shape, &*tensor.values), (vec![1, 2], [0.5, -1.0].as_slice()));
        assert!(model.tensor("images").unwrap().is_none());
    }

    #[test]
    fn damaged_onnx_is_an_error() {
        let origin = Path::new("net.onnx");
        assert!(matches!(Model::read(b"text", origin), Err(WeightsError::UnknownFormat { .. })));
        assert!(matches!(Model::read(&[0x08, 8], origin), Err(WeightsError::Damaged { .. })));
        let bytes = file(&[0.5, f32::NAN]);
        let error = Model::read(&bytes, origin).unwrap().tensor("7").unwrap_err();
        assert!(matches!(error, WeightsError::NotFinite { at: 1, .. }), "{error}");
        let bytes = file(&[0.5]);
        let error = Model::read(&bytes, origin).unwrap().tensor("7").unwrap_err();
        assert!(matches!(error, WeightsError::Damaged { .. }), "{error}");
        // Cut anywhere, it is an error or has fewer nodes, and never a panic.
        let bytes = file(&[0.5, 1.0]);
        for length in 0..bytes.len() {
            if let Ok(model) = Model::read(&bytes[..length], origin) {
                assert!(model.tensor("7").is_ok_and(|tensor| tensor.is_none()) || model.maker("8").is_some());
            }
        }
    }
}
