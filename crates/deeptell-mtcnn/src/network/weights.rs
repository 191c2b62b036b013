use burn_store::{ModuleSnapshot, PyTorchToBurnAdapter, SafetensorsStore};

use super::Networks;
use crate::MtcnnError;

/// `weights/mtcnn.safetensors`, of every four bytes first all first ones, then all second ones, and so on. Those with
/// the exponents of the numbers compress well when they are together.
const PLANES: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/mtcnn.planes"));

/// The file with the weights of facenet-pytorch 2.6.0 (MIT, see `weights/LICENSE`), converted by
/// `scripts/convert_weights.py`.
pub(crate) fn embedded() -> Vec<u8> {
    let length = PLANES.len() / 4;
    let planes: [&[u8]; 4] = std::array::from_fn(|plane| &PLANES[plane * length..][..length]);
    let mut bytes = vec![0; PLANES.len()];
    for (at, number) in bytes.as_chunks_mut().0.iter_mut().enumerate() {
        *number = planes.map(|plane| plane[at]);
    }
    bytes
}

impl Networks {
    /// Replaces every parameter by the tensor of the same name in `safetensors`, the bytes of
    /// a safetensors file. Dense weights are stored as `PyTorch` has them, `[out, in]`.
    ///
    /// # Errors
    /// [`MtcnnError::Weights`] when the bytes are not such a file, or lack a tensor, or hold one
    /// of another shape; it names every one of them.
    pub fn load(mut self, safetensors: Vec<u8>) -> Result<Self, MtcnnError> {
        let mut store = SafetensorsStore::from_bytes(Some(safetensors))
            .with_from_adapter(PyTorchToBurnAdapter)
            .validate(false)
            .allow_partial(true);
        let report = self
            .load_from(&mut store)
            .map_err(|error| MtcnnError::Weights { problems: error.to_string() })?;
        let missing = report.missing.iter().map(|(name, _)| format!("{name} is missing"));
        let problems: Vec<String> = report.errors.iter().map(ToString::to_string).chain(missing).collect();
        if problems.is_empty() {
            Ok(self)
        } else {
            Err(MtcnnError::Weights { problems: problems.join("; ") })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_embedded_bytes_are_those_of_the_file() {
        assert!(embedded() == include_bytes!("../../weights/mtcnn.safetensors"));
    }
}
