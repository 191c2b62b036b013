//! ONNX initialisers as weights.

use std::collections::HashMap;
use std::path::Path;

use onnx_ir::{Message, ModelProto};

use super::{NamedTensor, Weights, WeightsError};

/// Numbers of ONNX's `TensorProto.DataType`.
const FLOAT: i32 = 1;
const FLOAT16: i32 = 10;
const DOUBLE: i32 = 11;
const BFLOAT16: i32 = 16;

/// A protobuf message that opens with field 1, `ir_version`, a small varint.
pub(super) fn recognises(bytes: &[u8]) -> bool {
    matches!(bytes, [0x08, version, ..] if (1..=32).contains(version))
}

pub(super) fn read(bytes: &[u8], origin: &Path) -> Result<Weights, WeightsError> {
    let damaged = |reason: String| WeightsError::Damaged { path: origin.to_owned(), format: "ONNX", reason };
    let model = ModelProto::parse_from_bytes(bytes).map_err(|e| damaged(e.to_string()))?;
    let graph = model.graph.as_ref().ok_or_else(|| damaged("it has no graph".into()))?;
    let has = |operator: &str| graph.node.iter().any(|n| n.op_type == operator);
    if has("Conv") && !has("BatchNormalization") {
        return Err(WeightsError::Folded { path: origin.to_owned() });
    }

    let mut tensors = Vec::new();
    for initializer in &graph.initializer {
        let name = initializer.name.clone();
        if !initializer.external_data.is_empty() {
            return Err(damaged(format!("tensor {name} lies in another file: export with embedded weights")));
        }
        let shape = initializer
            .dims
            .iter()
            .map(|&d| {
                usize::try_from(d).map_err(|_| damaged(format!("tensor {name} has an axis of length {d}")))
            })
            .collect::<Result<Vec<usize>, _>>()?;
        let raw = &initializer.raw_data;
        let values: Vec<f32> = match initializer.data_type {
            FLOAT if raw.is_empty() => initializer.float_data.clone(),
            FLOAT => words(raw).map(f32::from_le_bytes).collect(),
            DOUBLE if raw.is_empty() => initializer.double_data.iter().map(|&v| v as f32).collect(),
            DOUBLE => words(raw).map(|b| f64::from_le_bytes(b) as f32).collect(),
            FLOAT16 if !raw.is_empty() => words(raw).map(|b| half::f16::from_le_bytes(b).to_f32()).collect(),
            BFLOAT16 if !raw.is_empty() => {
                words(raw).map(|b| half::bf16::from_le_bytes(b).to_f32()).collect()
            }
            // Shapes and axes of other operators are integers: no weights.
            _ => continue,
        };
        if shape.iter().product::<usize>() != values.len() {
            return Err(damaged(format!(
                "tensor {name} has {} values for its shape {shape:?}",
                values.len()
            )));
        }
        tensors.push(NamedTensor { name, shape, values });
    }

    // Exporters store byte-identical initialisers once and hand them on through Identity nodes.
    let mut position: HashMap<String, usize> =
        tensors.iter().enumerate().map(|(i, t)| (t.name.clone(), i)).collect();
    for node in graph.node.iter().filter(|n| n.op_type == "Identity") {
        let (Some(from), Some(to)) = (node.input.first(), node.output.first()) else { continue };
        if let Some(&i) = position.get(from) {
            position.insert(to.clone(), tensors.len());
            tensors.push(NamedTensor { name: to.clone(), ..tensors[i].clone() });
        }
    }
    // What is no state of this network (constants of reshapes and the like) is no weight.
    let names = crate::names::Names::new();
    tensors.retain(|t| names.of_torchvision(&t.name).is_some());
    if tensors.is_empty() {
        return Err(damaged("no initialiser carries a torchvision name such as features.0.0.weight".into()));
    }
    Ok(Weights { tensors, ..Weights::default() })
}

/// Little-endian words of `N` bytes; a trailing part of a word shows as a wrong count.
fn words<const N: usize>(bytes: &[u8]) -> impl Iterator<Item = [u8; N]> {
    bytes.chunks_exact(N).map(|chunk| std::array::from_fn(|i| chunk[i]))
}
