//! What can go wrong, grouped by who can put it right.

use std::io;
use std::path::PathBuf;

use deeptell_face::{FaceError, PictureError};
use deeptell_network::{Architecture, PrecisionError, UnknownArchitecture, WeightsError};
use deeptell_video::VideoError;
use thiserror::Error;

use crate::report::SCHEMA_VERSION;

/// Why there is no report, or no detector.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum Error {
    /// The input cannot be scanned: give another file, or mend this one.
    #[error("cannot scan {}", subject(name, source))]
    Input {
        /// The path or the name of the input.
        name: String,
        /// What is wrong with it.
        source: InputError,
    },
    /// The model file cannot be used: give another one.
    #[error("cannot use the model {name}")]
    Model {
        /// The path or the name of the model.
        name: String,
        /// What is wrong with it.
        source: ModelError,
    },
    /// An option of the scan is out of its range: correct it.
    #[error("the option `{option}` is {value}, but must be {expected}")]
    Option {
        /// The field of [`ScanOptions`](crate::ScanOptions).
        option: &'static str,
        /// Its value.
        value: String,
        /// The values allowed.
        expected: &'static str,
    },
    /// The device has no arithmetic in that number format: choose another.
    #[error(transparent)]
    Precision(#[from] PrecisionError),
    /// The face detector failed, or cannot be set as the options ask.
    #[error(transparent)]
    FaceDetector(#[from] FaceError),
    /// The caller's progress callback stopped the scan.
    #[error("the scan was cancelled")]
    Cancelled,
    /// The device failed: it may be out of memory or gone.
    #[error("the device failed while {network} ran")]
    Device {
        /// The network that was running.
        network: &'static str,
        /// What the device said.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

/// What is wrong with an input.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum InputError {
    /// The file cannot be read.
    #[error("the file cannot be read")]
    Read(#[from] io::Error),
    /// A folder, pipe or device.
    #[error("it is a folder, pipe or device, not a file; save what comes through a pipe to a file first")]
    NotAFile,
    /// The video cannot be decoded.
    #[error(transparent)]
    Video(VideoError),
    /// The picture cannot be decoded.
    #[error(transparent)]
    Picture(#[from] PictureError),
    /// There was not a single frame.
    #[error("it has no frame to look at")]
    NoFrames,
    /// A frame has no pixels, or its time is not a number.
    #[error("frame {frame} is {width}x{height} pixels at {pts_seconds} s")]
    Frame {
        /// Number of the frame, from 0.
        frame: usize,
        /// Its width.
        width: u32,
        /// Its height.
        height: u32,
        /// Its time.
        pts_seconds: f64,
    },
}

/// What is wrong with a model file.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ModelError {
    /// The file cannot be read or written.
    #[error("the file cannot be read or written")]
    File(#[from] io::Error),
    /// It has no model card: weights alone say neither how to cut faces nor where to set
    /// thresholds.
    #[error("its header has no `{key}`: export it with a model card")]
    NoCard {
        /// The missing key.
        key: &'static str,
    },
    /// The card is not the JSON it should be.
    #[error("its model card cannot be read")]
    Card(#[source] serde_json::Error),
    /// The card is of a form that only a newer deeptell knows.
    #[error(
        "its model card has format version {found}, but this deeptell reads up to {newest}: use a newer deeptell"
    )]
    FormatVersion {
        /// What the card says.
        found: u64,
        /// [`ModelCard::FORMAT_VERSION`](crate::ModelCard::FORMAT_VERSION).
        newest: u32,
    },
    /// The network is one that only a newer deeptell knows.
    #[error("{0}: use a newer deeptell")]
    Architecture(#[from] UnknownArchitecture),
    /// The card names another network than the one whose weights it was put to.
    #[error("its card says {card}, but the weights are of {network}: name the architecture of the weights")]
    OtherArchitecture {
        /// What the card says.
        card: Architecture,
        /// What the weights are of.
        network: Architecture,
    },
    /// The file is too large to be a model file.
    #[error("it has {bytes} bytes, more than the limit of {limit}: it is no model file")]
    TooLarge {
        /// Size of the file.
        bytes: u64,
        /// The limit.
        limit: u64,
    },
    /// The model of what is out of distribution cannot be used.
    #[error("its model of the training data is unusable: {0}")]
    OutOfDistribution(&'static str),
    /// A value in the card cannot work.
    #[error("its model card is unusable: {0}")]
    CardValue(&'static str),
    /// It is no weights file, or the weights do not fit the network with one logit.
    #[error(transparent)]
    Weights(#[from] WeightsError),
    /// The manifest beside the file cannot be read.
    #[error("the manifest {path} beside it cannot be read: {problem}")]
    Manifest {
        /// The manifest.
        path: PathBuf,
        /// Why not.
        problem: String,
    },
    /// The file is not the one the manifest describes.
    #[error("its SHA-256 is {found}, but the manifest says {expected}: fetch it again")]
    Sha256 {
        /// What the manifest says.
        expected: String,
        /// What the file has.
        found: String,
    },
    /// The network gave something that is no number.
    #[error("it scored a face as {0}, which is no number: the weights are damaged")]
    Score(f64),
}

/// Why a JSON document cannot be read as a [`Report`](crate::Report).
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ReportError {
    /// It is a report of another [`SCHEMA_VERSION`].
    #[error("the report has schema version {found}, but this deeptell reads {SCHEMA_VERSION}: {}", way_out(*found))]
    SchemaVersion {
        /// What the report says.
        found: u64,
    },
    /// It is not a report.
    #[error("it is not a report of deeptell")]
    Json(#[from] serde_json::Error),
}

fn way_out(found: u64) -> &'static str {
    if found < u64::from(SCHEMA_VERSION) { "scan the file again" } else { "use a newer deeptell" }
}

impl From<VideoError> for InputError {
    fn from(error: VideoError) -> Self {
        match error {
            VideoError::Io { source, .. } => Self::Read(source),
            VideoError::NotAFile { .. } => Self::NotAFile,
            VideoError::Picture { source, .. } => Self::Picture(source),
            error => Self::Video(error),
        }
    }
}

/// What a message is about, unless its cause names the file, too.
fn subject<'a>(name: &'a str, source: &InputError) -> &'a str {
    if source.to_string().contains(name) { "this file" } else { name }
}

impl Error {
    pub(crate) fn input(name: &str, source: impl Into<InputError>) -> Self {
        Self::Input { name: name.to_owned(), source: source.into() }
    }

    pub(crate) fn model(name: &str, source: impl Into<ModelError>) -> Self {
        Self::Model { name: name.to_owned(), source: source.into() }
    }
}
