//! ONNX initializers as weights.
//!
//! The file is walked in place. Only tensors that can be parameters, judged by their names, are decoded,
//! and each stored tensor at most once, so that memory stays close to the size of the file.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use super::wire::{Malformed, Value, fields, varint};
use super::{BFLOAT16, DOUBLE, FLOAT, FLOAT16};
use crate::decode::Format;
use crate::names::is_parameter;
use crate::{NamedTensor, Weights, WeightsError};

/// Axes of a tensor at most.
const MAX_AXES: usize = 8;

/// A protobuf message that opens with field 1, `ir_version`, a small varint.
pub(crate) fn recognizes(bytes: &[u8]) -> bool {
    matches!(bytes, [0x08, version, ..] if (1..=32).contains(version))
}

/// `folder` is where weights in other files are; `None` reads none.
pub(crate) fn read(bytes: &[u8], origin: &Path, folder: Option<&Path>) -> Result<Weights, WeightsError> {
    let damaged = |reason: String| WeightsError::Damaged { path: origin.to_owned(), format: "ONNX", reason };
    let malformed = |Malformed(reason)| damaged(reason.to_owned());
    let graph = graph(bytes).map_err(malformed)?.ok_or_else(|| damaged("it has no graph".into()))?;
    let Stored { tensors: stored, folded } = stored(graph).map_err(malformed)?;
    if folded {
        return Err(WeightsError::Folded { path: origin.to_owned() });
    }
    let mut decoder = Decoder::new(origin, folder);
    let mut tensors = Vec::new();
    for (name, proto) in stored.into_iter().filter(|(name, _)| is_parameter(name)) {
        let found = if let Some(found) = decoder.done.get(&proto.as_ptr()) {
            found.clone()
        } else {
            let found = decoder.decode(name, proto)?;
            decoder.done.insert(proto.as_ptr(), found.clone());
            found
        };
        if let Some((shape, values)) = found {
            tensors.push(NamedTensor { name: name.to_owned(), shape, values });
        }
    }
    if tensors.is_empty() {
        return Err(damaged(
            "no initializer carries the name of a weight, such as features.0.0.weight".into(),
        ));
    }
    Ok(Weights { tensors, ..Weights::default() })
}

/// `ModelProto.graph`.
pub(super) fn graph(model: &[u8]) -> Result<Option<&[u8]>, Malformed> {
    let mut graph = None;
    for field in fields(model) {
        if let (7, value) = field? {
            graph = Some(value.bytes()?);
        }
    }
    Ok(graph)
}

/// What a graph holds.
pub(super) struct Stored<'a> {
    /// The `TensorProto` of each name.
    pub(super) tensors: BTreeMap<&'a str, &'a [u8]>,
    /// Whether there are convolutions and no normalization beside them.
    folded: bool,
}

pub(super) fn stored(graph: &[u8]) -> Result<Stored<'_>, Malformed> {
    let mut tensors = BTreeMap::new();
    let mut nodes = Vec::new();
    for field in fields(graph) {
        match field? {
            (1, node) => nodes.push(node.bytes()?),
            (5, initializer) => {
                let proto = initializer.bytes()?;
                tensors.insert(tensor_name(proto)?, proto);
            }
            _ => {}
        }
    }
    let (mut convolutions, mut normalizations) = (false, false);
    for node in nodes {
        let Node { operator, input, output, value } = Node::read(node)?;
        convolutions |= operator == "Conv";
        normalizations |= operator == "BatchNormalization";
        let Some(output) = output else { continue };
        // Exporters store byte-identical initializers once and hand them on through Identity nodes,
        // which come in the order of their use.
        let source = match operator {
            "Constant" => value,
            "Identity" => input.and_then(|input| tensors.get(input).copied()),
            _ => None,
        };
        if let Some(source) = source {
            tensors.insert(output, source);
        }
    }
    Ok(Stored { tensors, folded: convolutions && !normalizations })
}

fn tensor_name(proto: &[u8]) -> Result<&str, Malformed> {
    let mut name = "";
    for field in fields(proto) {
        if let (8, value) = field? {
            name = value.text()?;
        }
    }
    Ok(name)
}

/// `NodeProto`, as far as it concerns tensors that are handed on.
#[derive(Default)]
struct Node<'a> {
    operator: &'a str,
    input: Option<&'a str>,
    output: Option<&'a str>,
    /// The tensor of a Constant.
    value: Option<&'a [u8]>,
}

impl<'a> Node<'a> {
    fn read(node: &'a [u8]) -> Result<Self, Malformed> {
        let mut found = Self::default();
        for field in fields(node) {
            match field? {
                (1, value) if found.input.is_none() => found.input = Some(value.text()?),
                (2, value) if found.output.is_none() => found.output = Some(value.text()?),
                (4, value) => found.operator = value.text()?,
                // AttributeProto.t
                (5, attribute) => {
                    for field in fields(attribute.bytes()?) {
                        if let (5, value) = field? {
                            found.value = Some(value.bytes()?);
                        }
                    }
                }
                _ => {}
            }
        }
        Ok(found)
    }
}

/// `TensorProto`, in place.
#[derive(Default)]
struct Proto<'a> {
    shape: Vec<usize>,
    data_type: u64,
    raw: &'a [u8],
    /// `float_data`, `int32_data` and `double_data`, decoded.
    listed: Vec<f32>,
    external: External<'a>,
}

/// `TensorProto.external_data`.
#[derive(Default)]
struct External<'a> {
    location: Option<&'a str>,
    offset: Option<&'a str>,
    length: Option<&'a str>,
}

impl<'a> Proto<'a> {
    /// `None` for tensors that hold no floats.
    fn read(proto: &'a [u8]) -> Result<Option<Self>, Malformed> {
        let mut found = Self::default();
        for field in fields(proto) {
            match field? {
                (1, Value::Bytes(mut packed)) => {
                    while !packed.is_empty() {
                        found.push_axis(varint(&mut packed)?)?;
                    }
                }
                (1, value) => found.push_axis(value.varint()?)?,
                (2, value) => found.data_type = value.varint()?,
                (9, value) => found.raw = value.bytes()?,
                (13, value) => found.external.read(value.bytes()?)?,
                _ => {}
            }
        }
        if !matches!(found.data_type, FLOAT | FLOAT16 | DOUBLE | BFLOAT16) {
            return Ok(None);
        }
        if found.raw.is_empty() && found.external.location.is_none() {
            for field in fields(proto) {
                found.push_listed(field?)?;
            }
        }
        Ok(Some(found))
    }

    fn push_axis(&mut self, length: u64) -> Result<(), Malformed> {
        if self.shape.len() == MAX_AXES {
            return Err(Malformed("a tensor has more than eight axes"));
        }
        let length = i64::from_ne_bytes(length.to_ne_bytes());
        self.shape.push(usize::try_from(length).map_err(|_| Malformed("a tensor has an axis below zero"))?);
        Ok(())
    }

    fn push_listed(&mut self, (number, value): (u32, Value<'_>)) -> Result<(), Malformed> {
        // Half floats are stored as the bits of an integer.
        let half = |bits: u64| match self.data_type {
            BFLOAT16 => half::bf16::from_bits(bits as u16).to_f32(),
            _ => half::f16::from_bits(bits as u16).to_f32(),
        };
        match (self.data_type, number, value) {
            (FLOAT, 4, Value::Fixed32(bytes)) => self.listed.push(f32::from_le_bytes(bytes)),
            (FLOAT, 4, Value::Bytes(packed)) => self.listed.extend(Format::F32.decode(packed)),
            (DOUBLE, 10, Value::Fixed64(bytes)) => self.listed.push(f64::from_le_bytes(bytes) as f32),
            (DOUBLE, 10, Value::Bytes(packed)) => self.listed.extend(Format::F64.decode(packed)),
            (FLOAT16 | BFLOAT16, 5, Value::Varint(bits)) => {
                let value = half(bits);
                self.listed.push(value);
            }
            (FLOAT16 | BFLOAT16, 5, Value::Bytes(mut packed)) => {
                while !packed.is_empty() {
                    let value = half(varint(&mut packed)?);
                    self.listed.push(value);
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn format(&self) -> Format {
        match self.data_type {
            FLOAT16 => Format::F16,
            BFLOAT16 => Format::Bf16,
            DOUBLE => Format::F64,
            _ => Format::F32,
        }
    }
}

impl<'a> External<'a> {
    /// One `StringStringEntryProto`.
    fn read(&mut self, entry: &'a [u8]) -> Result<(), Malformed> {
        let (mut key, mut text) = ("", "");
        for field in fields(entry) {
            match field? {
                (1, value) => key = value.text()?,
                (2, value) => text = value.text()?,
                _ => {}
            }
        }
        match key {
            "location" => self.location = Some(text),
            "offset" => self.offset = Some(text),
            "length" => self.length = Some(text),
            _ => {}
        }
        Ok(())
    }
}

/// Shape and values of a tensor.
pub(super) type Decoded = Option<(Vec<usize>, Arc<[f32]>)>;

pub(super) struct Decoder<'a> {
    origin: &'a Path,
    folder: Option<&'a Path>,
    /// Files beside the model that are open, each with the bytes that tensors may still take from it.
    files: HashMap<&'a str, (File, u64)>,
    /// By the place of the `TensorProto` in the file.
    done: HashMap<*const u8, Decoded>,
}

impl<'a> Decoder<'a> {
    /// `folder` is where weights in other files are; `None` reads none.
    pub(super) fn new(origin: &'a Path, folder: Option<&'a Path>) -> Self {
        Self { origin, folder, files: HashMap::new(), done: HashMap::new() }
    }

    pub(super) fn decode(&mut self, name: &str, proto: &'a [u8]) -> Result<Decoded, WeightsError> {
        let origin = self.origin;
        let damaged =
            |reason: String| WeightsError::Damaged { path: origin.to_owned(), format: "ONNX", reason };
        let found = Proto::read(proto).map_err(|Malformed(reason)| damaged(reason.to_owned()))?;
        let Some(proto) = found else { return Ok(None) };
        let count = proto.shape.iter().try_fold(1, |count: usize, &side| count.checked_mul(side));
        let misfit = |values: usize| {
            damaged(format!("tensor {name} has {values} values for its shape {:?}", proto.shape))
        };
        let values = match proto.external.location {
            Some(location) => {
                let bytes = count.and_then(|count| count.checked_mul(proto.format().size()));
                let bytes = bytes.ok_or_else(|| misfit(0))?;
                proto.format().decode(&self.outside(name, location, &proto.external, bytes)?)
            }
            None if proto.raw.is_empty() => proto.listed,
            None => proto.format().decode(proto.raw),
        };
        if count != Some(values.len()) {
            return Err(misfit(values.len()));
        }
        Ok(Some((proto.shape, values.into())))
    }

    /// The bytes of a tensor in another file.
    fn outside(
        &mut self,
        name: &str,
        location: &'a str,
        external: &External<'_>,
        bytes: usize,
    ) -> Result<Vec<u8>, WeightsError> {
        let (origin, folder) = (self.origin, self.folder);
        let refuse = |reason: String| WeightsError::ExternalData {
            path: origin.to_owned(),
            name: name.to_owned(),
            location: location.chars().take(256).collect(),
            reason,
        };
        let number = |text: Option<&str>, default: u64| {
            text.map_or(Ok(default), str::parse::<u64>)
                .map_err(|_| refuse("its place in that file is not a number".into()))
        };
        let offset = number(external.offset, 0)?;
        if number(external.length, bytes as u64)? != bytes as u64 {
            return Err(refuse(format!("its shape needs {bytes} bytes, but it has another length")));
        }
        let (file, left) = match self.files.entry(location) {
            Entry::Occupied(open) => open.into_mut(),
            Entry::Vacant(place) => {
                let folder = folder.ok_or_else(|| refuse("there is no folder to look in".into()))?;
                let path = beside(folder, location)
                    .ok_or_else(|| refuse("only files beside the model, or below it, are read".into()))?;
                let open = || -> std::io::Result<(File, u64)> {
                    // Asked first: opening a pipe waits for its other end.
                    let metadata = std::fs::metadata(&path)?;
                    if !metadata.is_file() {
                        return Err(std::io::Error::other("it is not a regular file"));
                    }
                    Ok((File::open(&path)?, metadata.len()))
                };
                let opened = open().map_err(|e| refuse(e.to_string()))?;
                place.insert(opened)
            }
        };
        // Tensors do not overlap, so together they are no larger than the file.
        *left = left
            .checked_sub(bytes as u64)
            .ok_or_else(|| refuse("that file is shorter than the tensors in it".into()))?;
        let mut read = || -> std::io::Result<Vec<u8>> {
            file.seek(SeekFrom::Start(offset))?;
            let mut buffer = vec![0; bytes];
            file.read_exact(&mut buffer)?;
            Ok(buffer)
        };
        read().map_err(|e| refuse(e.to_string()))
    }
}

/// The path of a file that an ONNX file names; `None` when it leads out of the folder.
fn beside(folder: &Path, location: &str) -> Option<PathBuf> {
    let location = Path::new(location);
    let stays = location.components().all(|part| matches!(part, Component::Normal(_) | Component::CurDir));
    (stays && location.components().next().is_some()).then(|| folder.join(location))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn locations_outside_of_the_folder_are_refused() {
        let folder = Path::new("models");
        assert_eq!(beside(folder, "net.data"), Some(PathBuf::from("models/net.data")));
        assert_eq!(beside(folder, "./data/net.bin"), Some(PathBuf::from("models/./data/net.bin")));
        for location in ["", "../net.data", "/etc/passwd", "a/../../b"] {
            assert_eq!(beside(folder, location), None, "{location}");
        }
    }
}
