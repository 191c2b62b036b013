//! Weights of networks as files: reads ONNX, safetensors and PyTorch, writes safetensors and ONNX,
//! and moves weights in and out of Burn modules.
//!
//! What networks share besides is here, too: number formats ([`Dtype`]) and [`DropoutMask`].
//!
//! The crate is not tied to any network. A network provides [`Names`], which pairs the names of its
//! tensors in files (those of a PyTorch `state_dict`) with those of its Burn module.
//!
//! ```
//! use deeptell_weights::{NamedTensor, StoredDtype, Weights};
//!
//! let folder = tempfile::tempdir()?;
//! let tensor = NamedTensor { name: "bias".into(), shape: vec![2], values: vec![0.5, -1.0].into() };
//! let weights = Weights { tensors: vec![tensor], ..Weights::default() };
//! weights.write(folder.path().join("network.safetensors"), StoredDtype::F32)?;
//! assert_eq!(Weights::read(folder.path().join("network.safetensors"))?, weights);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod decode;
mod dropout;
mod dtype;
mod error;
mod known;
mod names;
pub mod onnx;
mod placing;
mod pytorch;
mod stored;
mod weights;

pub use dropout::DropoutMask;
pub use dtype::{Dtype, DtypeError};
pub use error::WeightsError;
pub use known::KnownFile;
pub use names::Names;
pub use stored::StoredDtype;
pub use weights::{NamedTensor, Weights};

/// Compiles the example of the README.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
