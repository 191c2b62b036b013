use std::path::PathBuf;

use burn::tensor::TensorReadError;
use deeptell_weights::WeightsError;

/// What can go wrong when a detector is made or used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum YuNetError {
    /// A setting of [`YuNetConfig`](crate::YuNetConfig) is out of its range: correct it.
    #[error("{setting} is {value}, but must be {expected}")]
    Setting {
        /// The field.
        setting: &'static str,
        /// The value found.
        value: f64,
        /// The values allowed.
        expected: &'static str,
    },
    /// The weights cannot be read, or do not fit the network.
    #[error("the weights of YuNet cannot be read")]
    Weights(#[from] WeightsError),
    /// The file is too large to be weights of YuNet.
    #[error(
        "{path} has {bytes} bytes, more than any weights of YuNet: pass face_detection_yunet_2023mar.onnx"
    )]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// Its size, in bytes.
        bytes: u64,
    },
    /// The ONNX file holds another network.
    #[error(
        "{path} is not YuNet: the tensor `{tensor}` should be made by {expected}, but is made by {found}; \
         pass face_detection_yunet_2023mar.onnx"
    )]
    OtherNetwork {
        /// The file.
        path: PathBuf,
        /// Name of a tensor in the graph.
        tensor: String,
        /// The operator that YuNet has there, with its settings.
        expected: &'static str,
        /// The operator in the file, or `nothing`.
        found: String,
    },
    /// The device failed: it may be out of memory or gone.
    #[error("the device failed while YuNet ran")]
    Device(#[source] TensorReadError),
}
