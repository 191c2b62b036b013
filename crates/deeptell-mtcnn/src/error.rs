use burn::tensor::TensorReadError;

/// What can go wrong when a detector is made or used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MtcnnError {
    /// A setting of [`MtcnnConfig`](crate::MtcnnConfig) or [`TrackerConfig`](crate::TrackerConfig)
    /// is out of its range: correct it.
    #[error("{setting} is {value}, but must be {expected}")]
    Setting {
        /// The field, with its index where it has several values.
        setting: &'static str,
        /// The value found.
        value: f64,
        /// The values allowed.
        expected: &'static str,
    },
    /// The weights are not those of MTCNN: give the file `scripts/convert_weights.py` makes.
    #[error("the weights do not fit MTCNN: {problems}")]
    Weights {
        /// Every tensor that is missing or has the wrong shape.
        problems: String,
    },
    /// The device failed: it may be out of memory or gone.
    #[error("the device failed while {network} ran")]
    Device {
        /// The network that was running.
        network: &'static str,
        /// What the device said.
        source: TensorReadError,
    },
}
