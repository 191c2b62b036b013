use std::path::Path;

use deeptell_files::{read_bounded, regular_file_size, sha256};
use deeptell_weights::{KnownFile, NamedTensor, StoredDtype, Weights, WeightsError, onnx};

use crate::graph::tensors;
use crate::network::NETWORK;
use crate::{KNOWN_FILES, YuNetError};

/// The key of the digest of the file that weights were imported from, among their metadata.
const SOURCE: &str = "source_sha256";

/// The weights of YuNet, from a file.
///
/// Read from a published ONNX file, they can be [written](Self::write) as safetensors, with names, and read again.
#[derive(Debug, Clone, PartialEq)]
pub struct YuNetWeights {
    weights: Weights,
}

impl YuNetWeights {
    /// Largest file that [`read`](Self::read) takes, in bytes; published ones have 300 KB.
    pub const MAX_FILE: u64 = 16 << 20;

    /// Reads an ONNX file of YuNet-n or YuNet-s, or a file that [`write`](Self::write) wrote.
    ///
    /// # Errors
    /// [`YuNetError::TooLarge`] above [`MAX_FILE`](Self::MAX_FILE), and as [`from_bytes`](Self::from_bytes).
    pub fn read(path: impl AsRef<Path>) -> Result<Self, YuNetError> {
        let path = path.as_ref();
        Self::from_bytes(&read_small(path)?, path)
    }

    /// [`read`](Self::read) from memory; `origin` only names the source in errors.
    ///
    /// Whether the tensors fit each other is checked by [`YuNetConfig::init`](crate::YuNetConfig::init).
    ///
    /// # Errors
    /// [`YuNetError::OtherNetwork`] for an ONNX file of another network; [`YuNetError::Weights`] when it does not hold
    /// weights file, is damaged, or has a value that is not a number.
    pub fn from_bytes(bytes: &[u8], origin: impl AsRef<Path>) -> Result<Self, YuNetError> {
        let origin = origin.as_ref();
        if !is_onnx(bytes) {
            return Ok(Self { weights: Weights::from_bytes(bytes, origin)? });
        }
        let model = onnx::Model::read(bytes, origin)?;
        let mut weights = Weights { tensors: tensors(&model, origin)?, ..Weights::default() };
        weights.tensors.sort_by(|a, b| a.name.cmp(&b.name));
        weights.metadata.insert(SOURCE.to_owned(), sha256(bytes));
        Ok(Self { weights })
    }

    /// Whether `path` is an ONNX file with an output of YuNet, `cls_8`. A file that cannot be read is not.
    pub fn recognizes(path: impl AsRef<Path>) -> bool {
        let path = path.as_ref();
        let Ok(bytes) = read_small(path) else { return false };
        onnx::Model::read(&bytes, path).is_ok_and(|model| model.maker("cls_8").is_some())
    }

    /// The published file that the weights are from, if its content is known.
    pub fn known_file(&self) -> Option<&'static KnownFile> {
        self.weights
            .metadata
            .get(SOURCE)
            .and_then(|sha256| KNOWN_FILES.iter().find(|known| known.sha256 == *sha256))
    }

    /// The weights with their names, which are those of libfacedetection.train.
    pub fn weights(&self) -> &Weights {
        &self.weights
    }

    /// Writes the weights as safetensors, atomically.
    ///
    /// # Errors
    /// [`YuNetError::Weights`] when the file cannot be written.
    pub fn write(&self, path: impl AsRef<Path>) -> Result<(), YuNetError> {
        Ok(self.weights.write(path, StoredDtype::F32)?)
    }

    pub(crate) fn tensors(&self) -> Tensors<'_> {
        Tensors { weights: &self.weights }
    }

    /// SHA-256 of the tensors: the same for all files of the same weights.
    pub(crate) fn digest(&self) -> Result<String, YuNetError> {
        let tensors = Weights { tensors: self.weights.tensors.clone(), ..Weights::default() };
        Ok(sha256(&tensors.to_bytes(StoredDtype::F32)?))
    }
}

/// Tensors by name, with their shapes checked.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Tensors<'a> {
    weights: &'a Weights,
}

impl<'a> Tensors<'a> {
    pub(crate) fn has(self, name: &str) -> bool {
        self.weights.tensor(name).is_some()
    }

    /// The tensor of that name, which must have this shape.
    pub(crate) fn get(self, name: &str, shape: &[usize]) -> Result<&'a NamedTensor, WeightsError> {
        let tensor = self.find(name)?;
        if tensor.shape == shape {
            return Ok(tensor);
        }
        let (expected, found) = (shape.to_vec(), tensor.shape.clone());
        Err(WeightsError::Shape { name: name.to_owned(), expected, found })
    }

    /// The length of the first axis of the tensor of that name; 0 if it has no axis.
    pub(crate) fn outputs(self, name: &str) -> Result<usize, WeightsError> {
        Ok(self.find(name)?.shape.first().copied().unwrap_or(0))
    }

    fn find(self, name: &str) -> Result<&'a NamedTensor, WeightsError> {
        let missing = || WeightsError::MissingTensor { name: name.to_owned(), network: NETWORK };
        self.weights.tensor(name).ok_or_else(missing)
    }
}

/// The content of a file of at most [`YuNetWeights::MAX_FILE`] bytes.
fn read_small(path: &Path) -> Result<Vec<u8>, YuNetError> {
    let io = |source| WeightsError::Io { path: path.to_owned(), source };
    let bytes = regular_file_size(path).map_err(io)?;
    if bytes > YuNetWeights::MAX_FILE {
        return Err(YuNetError::TooLarge { path: path.to_owned(), bytes });
    }
    Ok(read_bounded(path, YuNetWeights::MAX_FILE).map_err(io)?)
}

/// A protobuf message that opens with field 1, `ir_version`.
fn is_onnx(bytes: &[u8]) -> bool {
    !matches!(onnx::Model::read(bytes, Path::new("")), Err(WeightsError::UnknownFormat { .. }))
}
