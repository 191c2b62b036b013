use std::path::PathBuf;

use deeptell_augment::AugmentError;
use deeptell_data::DataError;
use deeptell_face::CropError;
use deeptell_metrics::MetricsError;
use deeptell_network::{DtypeError, PreprocessError, WeightsError};
#[cfg(feature = "codec")]
use deeptell_video::VideoError;
use thiserror::Error;

/// Why training or prediction stopped.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum TrainError {
    /// A setting is out of its range.
    #[error("training setting `{setting}`: {expected}")]
    Setting {
        /// Name of the field of `TrainConfig`.
        setting: &'static str,
        /// What would be accepted.
        expected: String,
    },
    /// The configuration file is not what `TrainConfig` reads.
    #[error("{path} is not a valid training configuration: {reason}")]
    Config {
        /// The file.
        path: PathBuf,
        /// What is wrong, with its line.
        reason: String,
    },
    /// A split has no samples, or samples of one class only.
    #[error(
        "the {split} split has {n_real} real and {n_fake} fake samples: training needs both classes in it (see `deeptell split`)"
    )]
    OneClass {
        /// `train` or `validation`.
        split: &'static str,
        /// Real samples in it.
        n_real: usize,
        /// Fake samples in it.
        n_fake: usize,
    },
    /// A picture could not be read.
    #[error("cannot read the picture {path}; restore it, or remove its row from the manifest")]
    Picture {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: deeptell_face::PictureError,
    },
    /// Too many pictures could not be read.
    #[error(
        "{unreadable} of {samples} pictures cannot be read, the first is {first}: {reason}; check that the disk with \
         the data set is mounted"
    )]
    MostUnreadable {
        /// How many cannot be read.
        unreadable: usize,
        /// How many samples there are.
        samples: usize,
        /// The first that cannot.
        first: PathBuf,
        /// Why.
        reason: String,
    },
    /// A picture could not be compressed as video.
    #[cfg(feature = "codec")]
    #[error("the video codec of `codec.probability` failed")]
    Codec {
        /// Why.
        #[from]
        source: VideoError,
    },
    /// A face could not be cut out of its picture.
    #[error("cannot cut the face of {path}")]
    Crop {
        /// The file.
        path: PathBuf,
        /// Why.
        source: CropError,
    },
    /// The loss, a weight or a score became NaN or infinite.
    #[error(
        "{what} became {value} in epoch {epoch}, batch {batch} (first picture {first}): lower `learning_rate`, \
         check that picture, then continue with --resume from the epoch before"
    )]
    NotFinite {
        /// What is not finite.
        what: &'static str,
        /// Its value.
        value: f64,
        /// Epoch, from 1.
        epoch: usize,
        /// Batch within the epoch, from 1.
        batch: usize,
        /// First picture of that batch.
        first: PathBuf,
    },
    /// The run folder holds a run that cannot be continued like this.
    #[error("cannot continue the run in {path}: {reason}")]
    Resume {
        /// The run folder.
        path: PathBuf,
        /// What differs or is missing.
        reason: String,
    },
    /// An I/O error.
    #[error("cannot access {path}")]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A checkpoint is damaged.
    #[error(
        "the checkpoint {path} is damaged ({reason}); delete the folder `last` to start again from the beginning"
    )]
    Checkpoint {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// A checkpoint holds the tensors of another network.
    #[error(
        "the checkpoint {path} holds another network, or was written by another version of deeptell; resume it with that \
         version, or delete the folder `last` to start again from the beginning"
    )]
    CheckpointLayout {
        /// The file.
        path: PathBuf,
    },
    /// The device failed.
    #[error("the device failed ({reason}); if it is out of memory, use a smaller `batch_size`")]
    Device {
        /// What it said.
        reason: String,
    },
    /// The device does not compute with the dtype of the configuration.
    #[error(transparent)]
    Dtype(#[from] DtypeError),
    /// The replicas fit neither the batch nor the devices.
    #[error("cannot train with {replicas} replicas: {reason}")]
    Replicas {
        /// How many were asked for.
        replicas: usize,
        /// What does not fit, and what to do.
        reason: String,
    },
    /// Gradients overflow 16 bits however the loss is scaled.
    #[error(
        "gradients overflow f16 in epoch {epoch}, batch {batch}, even of an unscaled loss: set `dtype` to bf16 or \
         f32 in a new run, or lower `learning_rate`"
    )]
    Overflow {
        /// Epoch, from 1.
        epoch: usize,
        /// Batch within the epoch, from 1.
        batch: usize,
    },
    /// A setting of an augmentation or a blend is out of its range.
    #[error(transparent)]
    Augment(#[from] AugmentError),
    /// The data set is wrong.
    #[error(transparent)]
    Data(#[from] DataError),
    /// Weights do not fit or cannot be written.
    #[error(transparent)]
    Weights(#[from] WeightsError),
    /// Images of a batch do not stack.
    #[error(transparent)]
    Preprocess(#[from] PreprocessError),
    /// A figure could not be computed.
    #[error(transparent)]
    Metrics(#[from] MetricsError),
}

impl TrainError {
    pub(crate) fn io(path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { path, source }
    }
}
