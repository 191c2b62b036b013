//! safetensors, the format deeptell writes.

use std::collections::{BTreeMap, HashMap};
use std::io::Write as _;
use std::path::Path;

use safetensors::tensor::{Dtype, SafeTensors, TensorView, serialize};

use super::{NamedTensor, Weights, WeightsError, is_counter};

/// Number format of a stored file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StoredPrecision {
    /// 32-bit floats: the exact values.
    Full,
    /// 16-bit floats: half the size, relative error up to 2^-11.
    Half,
}

/// Eight bytes of header length, then a JSON object.
pub(super) fn recognises(bytes: &[u8]) -> bool {
    bytes.len() > 8 && bytes[8] == b'{'
}

pub(super) fn read(bytes: &[u8], origin: &Path) -> Result<Weights, WeightsError> {
    let damaged =
        |reason: String| WeightsError::Damaged { path: origin.to_owned(), format: "safetensors", reason };
    let (_, header) = SafeTensors::read_metadata(bytes).map_err(|e| damaged(e.to_string()))?;
    let metadata = header.metadata().clone().unwrap_or_default().into_iter().collect();
    let file = SafeTensors::deserialize(bytes).map_err(|e| damaged(e.to_string()))?;
    let mut tensors = Vec::new();
    for (name, view) in file.iter() {
        if is_counter(name) {
            continue;
        }
        let raw = view.data();
        let values: Vec<f32> = match view.dtype() {
            Dtype::F32 => raw.chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect(),
            Dtype::F64 => raw
                .chunks_exact(8)
                .map(|b| f64::from_le_bytes([b[0], b[1], b[2], b[3], b[4], b[5], b[6], b[7]]) as f32)
                .collect(),
            Dtype::F16 => {
                raw.chunks_exact(2).map(|b| half::f16::from_le_bytes([b[0], b[1]]).to_f32()).collect()
            }
            Dtype::BF16 => {
                raw.chunks_exact(2).map(|b| half::bf16::from_le_bytes([b[0], b[1]]).to_f32()).collect()
            }
            other => {
                return Err(WeightsError::Dtype {
                    path: origin.to_owned(),
                    name: name.to_owned(),
                    dtype: format!("{other:?}"),
                });
            }
        };
        tensors.push(NamedTensor { name: name.to_owned(), shape: view.shape().to_vec(), values });
    }
    tensors.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(Weights { tensors, metadata })
}

pub(super) fn write(weights: &Weights, path: &Path, precision: StoredPrecision) -> Result<(), WeightsError> {
    let internal = |reason: String| WeightsError::Internal { reason };
    let encoded: BTreeMap<&str, (&[usize], Vec<u8>)> = weights
        .tensors
        .iter()
        .map(|t| {
            let bytes = match precision {
                StoredPrecision::Full => t.values.iter().flat_map(|v| v.to_le_bytes()).collect(),
                StoredPrecision::Half => {
                    t.values.iter().flat_map(|&v| half::f16::from_f32(v).to_le_bytes()).collect()
                }
            };
            (t.name.as_str(), (t.shape.as_slice(), bytes))
        })
        .collect();
    let dtype = match precision {
        StoredPrecision::Full => Dtype::F32,
        StoredPrecision::Half => Dtype::F16,
    };
    let views = encoded
        .iter()
        .map(|(name, (shape, bytes))| Ok((*name, TensorView::new(dtype, shape.to_vec(), bytes)?)))
        .collect::<Result<Vec<_>, safetensors::SafeTensorError>>()
        .map_err(|e| internal(e.to_string()))?;
    let metadata: HashMap<String, String> =
        weights.metadata.iter().map(|(k, v)| (k.clone(), v.clone())).collect();
    let mut bytes = serialize(views, Some(metadata)).map_err(|e| internal(e.to_string()))?;
    let sorted = serde_json::to_string(&weights.metadata).map_err(|e| internal(e.to_string()))?;
    sort_notes(&mut bytes, &sorted).ok_or_else(|| internal("the header is laid out anew".into()))?;

    let io = |source| WeightsError::Io { path: path.to_owned(), source };
    let mut beside = path.as_os_str().to_owned();
    beside.push(".partial");
    let mut file = std::fs::File::create(&beside).map_err(io)?;
    file.write_all(&bytes).and_then(|()| file.sync_all()).map_err(io)?;
    std::fs::rename(&beside, path).map_err(io)
}

/// Puts the notes in the order of their keys: the crate writes them in the order of a hash map,
/// and the same weights shall be the same bytes. `None` when the header does not begin with them.
fn sort_notes(bytes: &mut [u8], sorted: &str) -> Option<()> {
    const BEFORE: &[u8] = b"{\"__metadata__\":";
    let header = bytes.get_mut(8..)?;
    let notes = header.strip_prefix(BEFORE)?.get(..sorted.len())?;
    let same = notes.first() == Some(&b'{') && notes.last() == Some(&b'}');
    let place = header.get_mut(BEFORE.len()..)?.get_mut(..sorted.len())?;
    same.then(|| place.copy_from_slice(sorted.as_bytes()))
}
