use std::path::PathBuf;

use thiserror::Error;

/// Why weights could not be read, written, or loaded into a network.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum WeightsError {
    /// An I/O error.
    #[error("cannot access the weights file {path}")]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A PyTorch checkpoint in memory: its reader works on files.
    #[error("{path} is a PyTorch checkpoint, which can only be read from a file, not from memory")]
    NeedsFile {
        /// What the bytes were said to be.
        path: PathBuf,
    },
    /// Neither ONNX, nor safetensors, nor PyTorch.
    #[error("{path} is not a weights file: pass ONNX (.onnx), safetensors, or PyTorch (.pth, .pt)")]
    UnknownFormat {
        /// The file.
        path: PathBuf,
    },
    /// A file with the name of a published one and other content.
    #[error(
        "{path} has the SHA-256 {found}, but that of the published file of this name begins with {published}: download it again"
    )]
    OtherContent {
        /// The file.
        path: PathBuf,
        /// Its SHA-256.
        found: String,
        /// That of the published file, or its beginning.
        published: &'static str,
    },
    /// The file is too large to be read into memory.
    #[error(
        "{path} has {bytes} bytes, more than the limit of {limit}: pass the weights file of a supported network"
    )]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// Its size.
        bytes: u64,
        /// The limit.
        limit: u64,
    },
    /// An ONNX file whose weights are in another file, which cannot be read.
    #[error(
        "{path} keeps the tensor {name} in another file, {location}, which cannot be read ({reason}): put that file \
         beside it, or export again with the weights embedded (torch.onnx.export with external_data=False)"
    )]
    ExternalData {
        /// The ONNX file.
        path: PathBuf,
        /// The tensor.
        name: String,
        /// The other file, as the ONNX file names it.
        location: String,
        /// Why not.
        reason: String,
    },
    /// The file is of a known format and damaged.
    #[error("{path} is a damaged {format} file ({reason}): download it again")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Its format.
        format: &'static str,
        /// What is wrong.
        reason: String,
    },
    /// `BatchNorm` was folded into the convolutions, so there is nothing to fine-tune from.
    #[error(
        "{path} has its BatchNorm folded into the convolutions (an ordinary inference export). \
         Fine-tuning needs BatchNorm's own scale, shift and running statistics, and folding cannot be \
         undone: export again in training mode (torch.onnx.export with \
         training=TrainingMode.PRESERVE and do_constant_folding=False), or use the .pth or safetensors file"
    )]
    Folded {
        /// The file, or "the network".
        path: PathBuf,
    },
    /// A weight is NaN or infinite.
    #[error(
        "{path}: value {at} of tensor {name} is not a finite number: the file is damaged or the training diverged"
    )]
    NotFinite {
        /// The file.
        path: PathBuf,
        /// The tensor.
        name: String,
        /// Index into its values.
        at: usize,
    },
    /// A running variance is below zero.
    #[error("value {at} of the variance {name} is negative: the file is damaged, download it again")]
    NegativeVariance {
        /// The tensor.
        name: String,
        /// Index into its values.
        at: usize,
    },
    /// A tensor of the network is not in the file.
    #[error("the weights have no tensor {name}, which {network} needs: pass complete weights of {network}")]
    MissingTensor {
        /// Its name in files.
        name: String,
        /// The network.
        network: &'static str,
    },
    /// A tensor of the file is not in the network.
    #[error("the weights have a tensor {name}, which {network} does not have: pass weights of {network}")]
    UnknownTensor {
        /// Its name.
        name: String,
        /// The network.
        network: &'static str,
    },
    /// The file holds the network more than once, as checkpoints with a moving average do.
    #[error("the file holds {network} more than once, under `{one}` and `{other}`: save only the one to use")]
    TwoNetworks {
        /// The network.
        network: &'static str,
        /// What stands before the names of one.
        one: String,
        /// What stands before the names of another.
        other: String,
    },
    /// A tensor has another shape than the network's.
    #[error("tensor {name} has shape {found:?} where the network needs {expected:?}")]
    Shape {
        /// Its name in files.
        name: String,
        /// Shape in the network, as files lay it out.
        expected: Vec<usize>,
        /// Shape in the file.
        found: Vec<usize>,
    },
    /// A tensor is stored in a number format that is not a float.
    #[error("{path}: tensor {name} is stored as {dtype}; only f16, bf16, f32 and f64 can be weights")]
    Dtype {
        /// The file.
        path: PathBuf,
        /// The tensor.
        name: String,
        /// Its number format.
        dtype: String,
    },
    /// A bug in deeptell.
    #[error("internal error while converting weights ({reason}): please report it")]
    Internal {
        /// What went wrong.
        reason: String,
    },
}
