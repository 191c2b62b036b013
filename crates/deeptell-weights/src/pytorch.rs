//! PyTorch checkpoints: a `state_dict`, bare or anywhere within nested dictionaries.

use std::path::Path;

use burn_store::pytorch_reader::{DType, PytorchReader};

use crate::decode::Format;
use crate::names::is_parameter;
use crate::{NamedTensor, Weights, WeightsError};

/// A zip archive (torch 1.6 and later), or a pickle (protocol 2 and later).
pub(crate) fn recognizes(bytes: &[u8]) -> bool {
    matches!(bytes, [b'P', b'K', 3, 4, ..] | [0x80, 2..=5, ..])
}

/// `length` is the size of the file in bytes.
pub(crate) fn read(path: &Path, length: u64) -> Result<Weights, WeightsError> {
    let damaged = |reason: String| WeightsError::Damaged { path: path.to_owned(), format: "PyTorch", reason };
    let reader = PytorchReader::new(path).map_err(|e| damaged(e.to_string()))?;
    let mut tensors = Vec::new();
    // Views may show one storage many times and packed storages unpack to anything: together they
    // must not be much larger than the file.
    let mut left = 4 * length;
    for (name, tensor) in reader.into_tensors() {
        if !is_parameter(&name) {
            continue;
        }
        let format = match tensor.dtype() {
            DType::F16 => Format::F16,
            DType::BF16 => Format::Bf16,
            DType::F32 => Format::F32,
            DType::F64 => Format::F64,
            other => {
                let dtype = format!("{other:?}");
                return Err(WeightsError::Dtype { path: path.to_owned(), name, dtype });
            }
        };
        left = left
            .checked_sub(tensor.byte_len() as u64)
            .ok_or_else(|| damaged("its tensors are many times larger than the file".into()))?;
        // The reader names the tensor.
        let raw = tensor.read().map_err(|e| damaged(e.to_string()))?;
        let shape = tensor.shape().to_vec();
        tensors.push(NamedTensor { name, shape, values: format.decode(&raw).into() });
    }
    tensors.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(Weights { tensors, ..Weights::default() })
}
