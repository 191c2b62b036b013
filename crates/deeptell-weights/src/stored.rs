//! safetensors, the format deeptell writes.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use safetensors::SafeTensorError;
use safetensors::tensor::{Dtype, SafeTensors, TensorView, serialize};

use crate::decode::Format;
use crate::names::is_counter;
use crate::{NamedTensor, Weights, WeightsError};

/// Number format of a stored file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StoredDtype {
    /// 32-bit floats: the exact values.
    F32,
    /// 16-bit floats: half the size, relative error up to 2^-11.
    F16,
}

/// Eight bytes of header length, then a JSON object.
pub(crate) fn recognizes(bytes: &[u8]) -> bool {
    bytes.len() > 8 && bytes[8] == b'{'
}

/// Only the metadata; no tensor is decoded.
pub(crate) fn notes(bytes: &[u8], origin: &Path) -> Result<BTreeMap<String, String>, WeightsError> {
    let (_, header) = SafeTensors::read_metadata(bytes).map_err(|e| damaged(origin, &e))?;
    Ok(header.metadata().clone().unwrap_or_default().into_iter().collect())
}

fn damaged(origin: &Path, error: &SafeTensorError) -> WeightsError {
    WeightsError::Damaged { path: origin.to_owned(), format: "safetensors", reason: error.to_string() }
}

pub(crate) fn read(bytes: &[u8], origin: &Path) -> Result<Weights, WeightsError> {
    let metadata = notes(bytes, origin)?;
    let file = SafeTensors::deserialize(bytes).map_err(|e| damaged(origin, &e))?;
    let mut tensors = Vec::new();
    for (name, view) in file.iter() {
        if is_counter(name) {
            continue;
        }
        let format = match view.dtype() {
            Dtype::F16 => Format::F16,
            Dtype::BF16 => Format::Bf16,
            Dtype::F32 => Format::F32,
            Dtype::F64 => Format::F64,
            other => {
                return Err(WeightsError::Dtype {
                    path: origin.to_owned(),
                    name: name.to_owned(),
                    dtype: format!("{other:?}"),
                });
            }
        };
        let values = format.decode(view.data()).into();
        tensors.push(NamedTensor { name: name.to_owned(), shape: view.shape().to_vec(), values });
    }
    tensors.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(Weights { tensors, metadata })
}

pub(crate) fn to_bytes(
    weights: &Weights,
    dtype_of: impl Fn(&str) -> StoredDtype,
) -> Result<Vec<u8>, WeightsError> {
    let internal = |reason: String| WeightsError::Internal { reason };
    let encoded: BTreeMap<&str, (Dtype, &[usize], Vec<u8>)> = weights
        .tensors
        .iter()
        .map(|tensor| {
            let values = tensor.values.iter();
            let (dtype, bytes) = match dtype_of(&tensor.name) {
                StoredDtype::F32 => (Dtype::F32, values.flat_map(|v| v.to_le_bytes()).collect()),
                StoredDtype::F16 => {
                    (Dtype::F16, values.flat_map(|&v| half::f16::from_f32(v).to_le_bytes()).collect())
                }
            };
            (tensor.name.as_str(), (dtype, tensor.shape.as_slice(), bytes))
        })
        .collect();
    let views = encoded
        .iter()
        .map(|(name, (dtype, shape, bytes))| Ok((*name, TensorView::new(*dtype, shape.to_vec(), bytes)?)))
        .collect::<Result<Vec<_>, SafeTensorError>>()
        .map_err(|e| internal(e.to_string()))?;
    let metadata: HashMap<String, String> =
        weights.metadata.iter().map(|(k, v)| (k.clone(), v.clone())).collect();
    let mut bytes = serialize(views, Some(metadata)).map_err(|e| internal(e.to_string()))?;
    let sorted = serde_json::to_string(&weights.metadata).map_err(|e| internal(e.to_string()))?;
    sort_notes(&mut bytes, &sorted).ok_or_else(|| internal("the header has another layout".into()))?;
    Ok(bytes)
}

/// Sorts the metadata by key, so that the output is deterministic: the crate writes it in the order of a
/// hash map. `None` if the header does not start with it.
fn sort_notes(bytes: &mut [u8], sorted: &str) -> Option<()> {
    const BEFORE: &[u8] = b"{\"__metadata__\":";
    let header = bytes.get_mut(8..)?;
    let notes = header.strip_prefix(BEFORE)?.get(..sorted.len())?;
    let same = notes.first() == Some(&b'{') && notes.last() == Some(&b'}');
    let place = header.get_mut(BEFORE.len()..)?.get_mut(..sorted.len())?;
    same.then(|| place.copy_from_slice(sorted.as_bytes()))
}
