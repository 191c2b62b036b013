//! [`Weights`]: the tensors of a weights file.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::Path;
use std::sync::Arc;

use burn::module::Module;
use burn_store::{BurnToPyTorchAdapter, ModuleSnapshot, bridge};
use deeptell_files::{read_bounded, write_whole};
use serde_json::{Map, Value, json};

use crate::names::is_counter;
use crate::placing::{Placing, slots};
use crate::{Names, StoredDtype, WeightsError, onnx, pytorch, stored};

/// One tensor of a weights file.
#[derive(Debug, Clone, PartialEq)]
pub struct NamedTensor {
    /// Its name in the file, for example `features.0.0.weight`.
    pub name: String,
    /// Length of each axis, outermost first.
    pub shape: Vec<usize>,
    /// Row-major values; half-precision files are widened. Tensors that a file stores once under
    /// several names share them.
    pub values: Arc<[f32]>,
}

/// The tensors and the metadata of a weights file.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Weights {
    /// Tensors in order of their names.
    pub tensors: Vec<NamedTensor>,
    /// Free text by key: safetensors' `__metadata__`, empty for other formats.
    pub metadata: BTreeMap<String, String>,
}

impl Weights {
    /// Largest file that [`read`](Self::read) takes, in bytes: 4 GiB.
    pub const MAX_FILE: u64 = 4 << 30;

    /// What there is, without the values, as JSON: `metadata`, parsed where it is JSON, the shapes of all `tensors` by
    /// name, and the number of `values`.
    pub fn summary(&self) -> Value {
        let metadata = self.metadata.iter().map(|(key, text)| {
            let value = serde_json::from_str(text).unwrap_or_else(|_| Value::from(text.as_str()));
            (key.clone(), value)
        });
        let shapes = self.tensors.iter().map(|tensor| (tensor.name.clone(), json!(tensor.shape)));
        let values: usize = self.tensors.iter().map(|tensor| tensor.values.len()).sum();
        json!({
            "metadata": metadata.collect::<Map<_, _>>(),
            "values": values,
            "tensors": shapes.collect::<Map<_, _>>(),
        })
    }

    /// Reads a weights file, whatever its format: ONNX, safetensors, or PyTorch (`.pt`,
    /// `.pth`), told apart by content.
    ///
    /// From ONNX and PyTorch files, only tensors that can be parameters by their names are read
    /// (`weight`, `bias`, `running_mean`, `running_var`), no graph constants and no optimizer state.
    /// An ONNX file may keep its weights in files beside it.
    ///
    /// # Errors
    /// [`WeightsError`] when the file cannot be read, is larger than [`MAX_FILE`](Self::MAX_FILE), is
    /// of no known format, is damaged, has a value that is not finite, or is an ONNX export whose
    /// `BatchNorm` was folded away.
    pub fn read(path: impl AsRef<Path>) -> Result<Self, WeightsError> {
        let path = path.as_ref();
        let io = |source| WeightsError::Io { path: path.to_owned(), source };
        let length = Self::check_size(path)?;
        let bytes = read_bounded(path, Self::MAX_FILE).map_err(io)?;
        if pytorch::recognizes(&bytes) {
            return pytorch::read(path, length)?.checked(path);
        }
        Self::parse(&bytes, path, path.parent())
    }

    /// The size of a file in bytes.
    ///
    /// # Errors
    /// [`WeightsError::TooLarge`] over [`MAX_FILE`](Self::MAX_FILE), and [`WeightsError::Io`] for what is not a regular
    /// file.
    pub fn check_size(path: impl AsRef<Path>) -> Result<u64, WeightsError> {
        let path = path.as_ref();
        let bytes = deeptell_files::regular_file_size(path)
            .map_err(|source| WeightsError::Io { path: path.to_owned(), source })?;
        if bytes > Self::MAX_FILE {
            return Err(WeightsError::TooLarge { path: path.to_owned(), bytes, limit: Self::MAX_FILE });
        }
        Ok(bytes)
    }

    /// [`read`](Self::read) from memory; `origin` only names the source in errors.
    ///
    /// # Errors
    /// As [`read`](Self::read); [`WeightsError::NeedsFile`] for a PyTorch checkpoint, and
    /// [`WeightsError::ExternalData`] for an ONNX file with its weights in other files.
    pub fn from_bytes(bytes: &[u8], origin: impl AsRef<Path>) -> Result<Self, WeightsError> {
        Self::parse(bytes, origin.as_ref(), None)
    }

    /// The metadata of a safetensors file in memory, without its tensors; `origin` only names the
    /// source in errors.
    ///
    /// # Errors
    /// [`WeightsError::UnknownFormat`] if it is not a safetensors file, [`WeightsError::Damaged`] if its
    /// header is damaged.
    pub fn notes(bytes: &[u8], origin: impl AsRef<Path>) -> Result<BTreeMap<String, String>, WeightsError> {
        let origin = origin.as_ref();
        if !stored::recognizes(bytes) {
            return Err(WeightsError::UnknownFormat { path: origin.to_owned() });
        }
        stored::notes(bytes, origin)
    }

    /// `folder` is where files beside this one are.
    fn parse(bytes: &[u8], origin: &Path, folder: Option<&Path>) -> Result<Self, WeightsError> {
        let weights = if stored::recognizes(bytes) {
            stored::read(bytes, origin)?
        } else if pytorch::recognizes(bytes) {
            return Err(WeightsError::NeedsFile { path: origin.to_owned() });
        } else if onnx::recognizes(bytes) {
            onnx::read(bytes, origin, folder)?
        } else {
            return Err(WeightsError::UnknownFormat { path: origin.to_owned() });
        };
        weights.checked(origin)
    }

    /// Itself, if every value is a number.
    fn checked(self, origin: &Path) -> Result<Self, WeightsError> {
        let mut seen = BTreeSet::new();
        for tensor in &self.tensors {
            // Shared values once: a small file may name them many times.
            if !seen.insert(tensor.values.as_ptr()) {
                continue;
            }
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

    /// The tensor of that name.
    pub fn tensor(&self, name: &str) -> Option<&NamedTensor> {
        self.tensors.iter().find(|tensor| tensor.name == name)
    }

    /// The bytes of a safetensors file. The same weights and metadata always give the same bytes.
    ///
    /// # Errors
    /// [`WeightsError::Internal`] when a shape does not fit its values.
    pub fn to_bytes(&self, dtype: StoredDtype) -> Result<Vec<u8>, WeightsError> {
        stored::to_bytes(self, |_| dtype)
    }

    /// [`to_bytes`](Self::to_bytes) with a dtype for each tensor by its name.
    ///
    /// # Errors
    /// As [`to_bytes`](Self::to_bytes).
    pub fn to_bytes_with(&self, dtype_of: impl Fn(&str) -> StoredDtype) -> Result<Vec<u8>, WeightsError> {
        stored::to_bytes(self, dtype_of)
    }

    /// Writes a safetensors file atomically.
    ///
    /// # Errors
    /// [`WeightsError::Io`] when it cannot be written.
    pub fn write(&self, path: impl AsRef<Path>, dtype: StoredDtype) -> Result<(), WeightsError> {
        let path = path.as_ref();
        let bytes = self.to_bytes(dtype)?;
        write_whole(path, &bytes).map_err(|source| WeightsError::Io { path: path.to_owned(), source })
    }

    /// The weights of `module` under the names that files have, running statistics included.
    ///
    /// # Errors
    /// [`WeightsError::Folded`] for a network whose `BatchNorm` was folded into its convolutions.
    pub fn of<M: Module>(module: &M, names: &Names) -> Result<Self, WeightsError> {
        let mut tensors = Vec::new();
        for tensor in module.collect(None, Some(Box::new(BurnToPyTorchAdapter)), false) {
            let Some(name) = names.stored(&tensor.name) else {
                return Err(WeightsError::Internal {
                    reason: format!("the network has an unnamed tensor {}", tensor.name),
                });
            };
            let internal = |reason: String| WeightsError::Internal { reason: format!("{name}: {reason}") };
            let data = bridge::into_data(tensor).map_err(|e| internal(e.to_string()))?;
            let shape = data.shape().to_vec();
            let values =
                data.convert::<f32>().try_into_vec::<f32>().map_err(|e| internal(format!("{e:?}")))?;
            tensors.push(NamedTensor { name, shape, values: values.into() });
        }
        if !tensors.iter().any(|t| t.name.ends_with("running_var")) {
            return Err(WeightsError::Folded { path: "the network".into() });
        }
        tensors.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(Self { tensors, metadata: BTreeMap::new() })
    }

    /// The tensors of a network only, under the names of the network: prefixes of checkpoints, such as
    /// `module.` or `model_state_dict.`, are removed, and other tensors are dropped. The metadata is
    /// kept.
    ///
    /// # Errors
    /// [`WeightsError::TwoNetworks`] when the file holds the network more than once.
    pub fn of_network(&self, names: &Names) -> Result<Self, WeightsError> {
        let prefix = self.prefix(names)?;
        let of_network = self.tensors.iter().filter_map(|tensor| {
            let name = tensor.name.strip_prefix(&prefix).filter(|name| names.knows(name))?;
            Some(NamedTensor { name: name.to_owned(), ..tensor.clone() })
        });
        Ok(Self { tensors: of_network.collect(), metadata: self.metadata.clone() })
    }

    /// The prefix of the network's names in this file.
    fn prefix(&self, names: &Names) -> Result<String, WeightsError> {
        let first = names.first();
        let mut prefixes: Vec<&str> = self
            .tensors
            .iter()
            .filter_map(|tensor| tensor.name.strip_suffix(first.as_str()))
            .filter(|prefix| prefix.is_empty() || prefix.ends_with('.'))
            .collect();
        prefixes.sort_unstable();
        match prefixes.as_slice() {
            // A file that has it under its own names says which one it means.
            [] | ["", ..] => Ok(String::new()),
            [prefix] => Ok((*prefix).to_owned()),
            [one, other, ..] => Err(WeightsError::TwoNetworks {
                network: names.network(),
                one: (*one).to_owned(),
                other: (*other).to_owned(),
            }),
        }
    }

    /// Loads every tensor into `module`: the file must have the whole network, with its number of
    /// classes. A prefix of all names is removed, as in [`of_network`](Self::of_network).
    ///
    /// # Errors
    /// [`WeightsError`] naming the tensor that is missing, has another shape, is unknown, or is a
    /// variance below zero.
    pub fn load_into<M: Module>(&self, module: &mut M, names: &Names) -> Result<(), WeightsError> {
        let prefix = self.prefix(names)?;
        let of_network = self.tensors.iter().filter_map(|tensor| tensor.name.strip_prefix(&prefix));
        if let Some(unknown) = of_network.into_iter().find(|name| !is_counter(name) && !names.knows(name)) {
            return Err(WeightsError::UnknownTensor { name: unknown.to_owned(), network: names.network() });
        }
        self.apply(module, names, &prefix, |_| true)
    }

    /// Loads the backbone into `module`, with the optional tensors if the file has them; the rest of
    /// the module is unchanged, so the number of classes may differ. A prefix of all names is removed,
    /// as in [`of_network`](Self::of_network).
    ///
    /// Use it to fine-tune from ImageNet weights.
    ///
    /// # Errors
    /// [`WeightsError`] naming the tensor that is missing, has another shape, or is a variance below
    /// zero.
    pub fn load_backbone_into<M: Module>(&self, module: &mut M, names: &Names) -> Result<(), WeightsError> {
        let prefix = self.prefix(names)?;
        let present: BTreeSet<&str> = self
            .tensors
            .iter()
            .filter_map(|tensor| names.optional(tensor.name.strip_prefix(&prefix)?))
            .collect();
        self.apply(module, names, &prefix, |name| {
            names.is_backbone(name) || names.optional(name).is_some_and(|group| present.contains(group))
        })
    }

    fn apply<M: Module>(
        &self,
        module: &mut M,
        names: &Names,
        prefix: &str,
        wanted: impl Fn(&str) -> bool,
    ) -> Result<(), WeightsError> {
        let found: HashMap<&str, &NamedTensor> = self
            .tensors
            .iter()
            .filter_map(|tensor| Some((tensor.name.strip_prefix(prefix)?, tensor)))
            .collect();
        let mut placing = Placing::default();
        for slot in slots(module) {
            let Some(name) = names.stored(&slot.name).filter(|name| wanted(name)) else { continue };
            let tensor = found.get(name.as_str()).ok_or_else(|| WeightsError::MissingTensor {
                name: name.clone(),
                network: names.network(),
            })?;
            if tensor.shape != slot.shape {
                let (expected, found) = (slot.shape, tensor.shape.clone());
                return Err(WeightsError::Shape { name, expected, found });
            }
            if name.ends_with("running_var")
                && let Some(at) = tensor.values.iter().position(|&variance| variance < 0.0)
            {
                return Err(WeightsError::NegativeVariance { name, at });
            }
            placing.add(&slot, &tensor.values);
        }
        let left = placing.apply(module);
        if left > 0 {
            return Err(WeightsError::Internal { reason: format!("{left} tensors found no place") });
        }
        Ok(())
    }
}
