//! PyTorch checkpoints: a `state_dict`, bare or nested under `state_dict` or `model`.

use std::path::Path;

use burn_store::pytorch_reader::{DType, PytorchReader};

use super::{NamedTensor, Weights, WeightsError, is_counter};

/// A zip archive (torch 1.6 and later), or a pickle (protocol 2 and later).
pub(super) fn recognises(bytes: &[u8]) -> bool {
    matches!(bytes, [b'P', b'K', 3, 4, ..] | [0x80, 2..=5, ..])
}

pub(super) fn read(path: &Path) -> Result<Weights, WeightsError> {
    let damaged = |reason: String| WeightsError::Damaged { path: path.to_owned(), format: "PyTorch", reason };
    let bare = PytorchReader::new(path).map_err(|e| damaged(e.to_string()))?;
    let reader = if bare.keys().iter().any(|k| k.starts_with("features.")) {
        bare
    } else {
        let nested = |key| PytorchReader::with_top_level_key(path, key).ok();
        ["state_dict", "model"].into_iter().find_map(nested).unwrap_or(bare)
    };
    let mut tensors = Vec::new();
    for (name, tensor) in reader.into_tensors() {
        if is_counter(&name) {
            continue;
        }
        let raw = tensor.read().map_err(|e| damaged(format!("tensor {name}: {e}")))?;
        let values: Vec<f32> = match tensor.dtype() {
            DType::F32 => raw.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect(),
            DType::F64 => raw
                .chunks_exact(8)
                .map(|b| f64::from_le_bytes([b[0], b[1], b[2], b[3], b[4], b[5], b[6], b[7]]) as f32)
                .collect(),
            DType::F16 => {
                raw.chunks_exact(2).map(|b| half::f16::from_le_bytes([b[0], b[1]]).to_f32()).collect()
            }
            DType::BF16 => {
                raw.chunks_exact(2).map(|b| half::bf16::from_le_bytes([b[0], b[1]]).to_f32()).collect()
            }
            other => {
                let dtype = format!("{other:?}");
                return Err(WeightsError::Dtype { path: path.to_owned(), name, dtype });
            }
        };
        tensors.push(NamedTensor { name, shape: tensor.shape().to_vec(), values });
    }
    tensors.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(Weights { tensors, ..Weights::default() })
}
