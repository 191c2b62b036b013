//! Weights as files: read from ONNX, safetensors or PyTorch, written as safetensors, always
//! under torchvision's tensor names.

mod error;
mod known;
mod onnx;
mod onnx_export;
mod pytorch;
mod stored;

use std::collections::BTreeMap;
use std::path::Path;

use burn::tensor::TensorData;
use burn_store::{BurnToPyTorchAdapter, ModuleSnapshot, PyTorchToBurnAdapter, bridge};
pub use error::WeightsError;
pub use known::{KNOWN_FILES, KnownFile};
pub use onnx_export::OnnxOptions;
pub use stored::StoredPrecision;

use crate::MobileNetV3Small;
use crate::names::Names;

/// One tensor of a weights file.
#[derive(Debug, Clone, PartialEq)]
pub struct NamedTensor {
    /// torchvision's name, for example `features.0.0.weight`.
    pub name: String,
    /// Length of each axis, outermost first.
    pub shape: Vec<usize>,
    /// Row-major values; half-precision files are widened.
    pub values: Vec<f32>,
}

/// The tensors of a weights file, and the notes that came with them.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Weights {
    /// Tensors in the order of the file.
    pub tensors: Vec<NamedTensor>,
    /// Free text by key: safetensors' `__metadata__`, empty for other formats.
    pub metadata: BTreeMap<String, String>,
}

impl Weights {
    /// Reads a weights file, whatever its format: ONNX, safetensors, or PyTorch (`.pt`,
    /// `.pth`), told apart by content.
    ///
    /// # Errors
    /// [`WeightsError`] when the file cannot be read, is of no known format, is damaged, has a
    /// value that is not finite, or is an ONNX export whose `BatchNorm` was folded away.
    pub fn read(path: impl AsRef<Path>) -> Result<Self, WeightsError> {
        let path = path.as_ref();
        let bytes =
            std::fs::read(path).map_err(|source| WeightsError::Io { path: path.to_owned(), source })?;
        if pytorch::recognises(&bytes) {
            return pytorch::read(path)?.checked(path);
        }
        Self::from_bytes(&bytes, path)
    }

    /// [`read`](Self::read) from memory; `origin` only names the source in errors.
    ///
    /// # Errors
    /// As [`read`](Self::read), and [`WeightsError::NeedsFile`] for a PyTorch checkpoint.
    pub fn from_bytes(bytes: &[u8], origin: impl AsRef<Path>) -> Result<Self, WeightsError> {
        let origin = origin.as_ref();
        let weights = if stored::recognises(bytes) {
            stored::read(bytes, origin)?
        } else if pytorch::recognises(bytes) {
            return Err(WeightsError::NeedsFile { path: origin.to_owned() });
        } else if onnx::recognises(bytes) {
            onnx::read(bytes, origin)?
        } else {
            return Err(WeightsError::UnknownFormat { path: origin.to_owned() });
        };
        weights.checked(origin)
    }

    /// Itself, if every value is a number.
    fn checked(self, origin: &Path) -> Result<Self, WeightsError> {
        for tensor in &self.tensors {
            if let Some(at) = tensor.values.iter().position(|v| !v.is_finite()) {
                return Err(WeightsError::NotFinite {
                    path: origin.to_owned(),
                    name: tensor.name.clone(),
                    at,
                });
            }
        }
        Ok(self)
    }

    /// Writes a safetensors file, through a temporary file beside it so that a crash leaves
    /// either the old file or the new one.
    ///
    /// # Errors
    /// [`WeightsError::Io`] when it cannot be written.
    pub fn write(&self, path: impl AsRef<Path>, precision: StoredPrecision) -> Result<(), WeightsError> {
        stored::write(self, path.as_ref(), precision)
    }

    /// The weights of `network` under torchvision's names, running statistics included.
    ///
    /// # Errors
    /// [`WeightsError::Folded`] for a network whose `BatchNorm` was
    /// [folded](MobileNetV3Small::folded).
    pub fn of(network: &MobileNetV3Small) -> Result<Self, WeightsError> {
        let names = Names::new();
        let mut tensors = Vec::new();
        for tensor in network.collect(None, Some(Box::new(BurnToPyTorchAdapter)), false) {
            let Some(name) = names.to_torchvision(&tensor.name) else {
                return Err(WeightsError::Internal {
                    reason: format!("the network has an unnamed tensor {}", tensor.name),
                });
            };
            let internal = |reason: String| WeightsError::Internal { reason: format!("{name}: {reason}") };
            let data = bridge::into_data(tensor).map_err(|e| internal(e.to_string()))?;
            let shape = data.shape().to_vec();
            let values =
                data.convert::<f32>().try_into_vec::<f32>().map_err(|e| internal(format!("{e:?}")))?;
            tensors.push(NamedTensor { name, shape, values });
        }
        if !tensors.iter().any(|t| t.name.ends_with("running_var")) {
            return Err(WeightsError::Folded { path: "the network".into() });
        }
        tensors.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(Self { tensors, metadata: BTreeMap::new() })
    }

    /// Puts every tensor into `network`: the whole network must be there, with its number of
    /// classes.
    ///
    /// # Errors
    /// [`WeightsError`] naming the tensor that is missing, has another shape, or is unknown.
    pub fn load_into(&self, network: &mut MobileNetV3Small) -> Result<(), WeightsError> {
        let names = Names::new();
        if let Some(unknown) =
            self.tensors.iter().find(|t| !is_counter(&t.name) && names.of_torchvision(&t.name).is_none())
        {
            return Err(WeightsError::UnknownTensor { name: unknown.name.clone() });
        }
        self.apply(network, |_| true)
    }

    /// Puts the feature extractor into `network`, and the classifier's hidden layer where the
    /// file has it; the last layer stays as it is, whatever its number of classes.
    ///
    /// This is how ImageNet weights come in for fine-tuning.
    ///
    /// # Errors
    /// [`WeightsError`] naming the tensor that is missing or has another shape.
    pub fn load_backbone_into(&self, network: &mut MobileNetV3Small) -> Result<(), WeightsError> {
        let has_hidden = self.tensors.iter().any(|t| t.name.starts_with("classifier.0."));
        self.apply(network, |name| {
            name.starts_with("features.") || (has_hidden && name.starts_with("classifier.0."))
        })
    }

    fn apply(
        &self,
        network: &mut MobileNetV3Small,
        wanted: impl Fn(&str) -> bool,
    ) -> Result<(), WeightsError> {
        let names = Names::new();
        let mut chosen = Vec::new();
        for slot in network.collect(None, Some(Box::new(BurnToPyTorchAdapter)), false) {
            let Some(name) = names.to_torchvision(&slot.name).filter(|name| wanted(name)) else { continue };
            let tensor = self
                .tensors
                .iter()
                .find(|t| t.name == name)
                .ok_or_else(|| WeightsError::MissingTensor { name: name.clone() })?;
            let expected = slot.shape.to_vec();
            if tensor.shape != expected {
                let found = tensor.shape.clone();
                return Err(WeightsError::Shape { name, expected, found });
            }
            let data = TensorData::new(tensor.values.clone(), expected);
            chosen.push(bridge::from_data(data, slot.name.clone(), None));
        }
        let count = chosen.len();
        let applied = network.apply(chosen, None, Some(Box::new(PyTorchToBurnAdapter)), false);
        if let Some(error) = applied.errors.first() {
            return Err(WeightsError::Internal { reason: error.to_string() });
        }
        if applied.applied.len() != count {
            return Err(WeightsError::Internal {
                reason: format!("{} of {count} tensors found their place", applied.applied.len()),
            });
        }
        Ok(())
    }
}

/// PyTorch counts batches in each `BatchNorm`; the count matters to nobody here.
fn is_counter(name: &str) -> bool {
    name.ends_with(".num_batches_tracked")
}
