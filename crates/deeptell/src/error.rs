//! What can go wrong, grouped by who can put it right.

use std::io;
use std::path::PathBuf;

use deeptell_face::{FaceError, PictureError, PictureLimits};
use deeptell_network::{Architecture, DtypeError, UnknownArchitecture, WeightsError};
use deeptell_video::{IsolationError, VideoError};
use thiserror::Error;

use crate::report::SCHEMA_VERSION;

/// Why there is no report, or no detector.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum Error {
    /// The input cannot be scanned: pass another file, or fix this one.
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
    Dtype(#[from] DtypeError),
    /// The face detector failed, or cannot be set as the options ask.
    #[error(transparent)]
    FaceDetector(#[from] FaceError),
    /// This program cannot decode in a process of its own: prepare it, or choose another
    /// `Decoding`.
    #[error(transparent)]
    Isolation(#[from] IsolationError),
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
    /// A file in memory cannot be handed to the decoder.
    #[error("there is no room for another copy of it, in memory or for temporary files")]
    NoMemory(#[source] io::Error),
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
    #[error("it has no frames")]
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
    Architecture(UnknownArchitecture),
    /// The card names another network than the one whose weights it was put to.
    #[error("its card says {card}, but the weights are of {network}: name the architecture of the weights")]
    OtherArchitecture {
        /// What the card says.
        card: Architecture,
        /// What the weights are of.
        network: Architecture,
    },
    /// The file is too large to be a model file.
    #[error("it has {bytes} bytes, more than the limit of {limit}: this is not a model file")]
    TooLarge {
        /// Size of the file.
        bytes: u64,
        /// The limit.
        limit: u64,
    },
    /// The model of what is out of distribution cannot be used.
    #[error("its model of the training data is unusable: {0}")]
    OutOfDistribution(&'static str),
    /// The layer that heat maps come from cannot be used.
    #[error("its localization layer is unusable: {0}")]
    Localization(&'static str),
    /// A value in the card cannot work.
    #[error("its model card is unusable: {0}")]
    CardValue(&'static str),
    /// It is not a weights file, or the weights do not fit the network with one logit.
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
    #[error("its SHA-256 is {found}, but the manifest says {expected}: download it again")]
    Sha256 {
        /// What the manifest says.
        expected: String,
        /// What the file has.
        found: String,
    },
    /// The network gave something that is not a number.
    #[error("it scored a face as {0}, which is not a number: the weights are damaged")]
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

/// Its text is in that of [`ModelError::Architecture`], so it is not a source of it as well.
impl From<UnknownArchitecture> for ModelError {
    fn from(error: UnknownArchitecture) -> Self {
        Self::Architecture(error)
    }
}

/// What a message is about, unless its cause names the file, too.
fn subject<'a>(name: &'a str, source: &InputError) -> &'a str {
    if source.to_string().contains(name) { "this file" } else { name }
}

impl Error {
    /// Whether a picture is refused by [`Limits::untrusted`](crate::Limits::untrusted) alone and passes, or may pass, the
    /// default [`Limits`](crate::Limits), for trusted files. Messages about videos say so themselves.
    pub fn is_lifted_by_trust(&self) -> bool {
        let Self::Input { source: InputError::Picture(error), .. } = self else { return false };
        let trusted = PictureLimits::default();
        match error {
            PictureError::TooLarge { width, height, .. } => {
                let pixels = u64::from(*width) * u64::from(*height);
                pixels <= trusted.max_pixels && (*width).max(*height) <= trusted.max_side
            }
            PictureError::FileTooLarge { bytes, .. } => *bytes <= trusted.max_file_bytes,
            PictureError::TooMuchMemory { .. } => true,
            _ => false,
        }
    }

    pub(crate) fn input(name: &str, source: impl Into<InputError>) -> Self {
        Self::Input { name: name.to_owned(), source: source.into() }
    }

    pub(crate) fn model(name: &str, source: impl Into<ModelError>) -> Self {
        Self::Model { name: name.to_owned(), source: source.into() }
    }
}

#[cfg(test)]
mod tests {
    use std::error::Error as StdError;
    use std::time::Duration;

    use super::*;

    /// The texts of an error and its causes.
    fn chain(error: &dyn StdError) -> Vec<String> {
        let mut said = vec![error.to_string()];
        let mut cause = error.source();
        while let Some(error) = cause {
            said.push(error.to_string());
            cause = error.source();
        }
        said
    }

    fn disk() -> io::Error {
        io::Error::other("the disk is on fire")
    }

    fn json() -> serde_json::Error {
        serde_json::from_str::<u8>("{").unwrap_err()
    }

    fn path() -> PathBuf {
        PathBuf::from("clip.mp4")
    }

    fn input_errors() -> Vec<InputError> {
        let picture = PictureError::Damaged { detail: "no end".to_owned() };
        vec![
            InputError::Read(disk()),
            InputError::NoMemory(disk()),
            InputError::NotAFile,
            InputError::NoFrames,
            InputError::Frame { frame: 1, width: 0, height: 8, pts_seconds: 0.5 },
            VideoError::Picture { path: path(), source: picture }.into(),
            VideoError::Io { path: path(), source: disk() }.into(),
            VideoError::Corrupt { path: path(), detail: "no index".to_owned() }.into(),
            VideoError::Timeout { path: path(), deadline: Duration::from_secs(20) }.into(),
            VideoError::DecoderDied { path: path(), reason: "crashed".to_owned() }.into(),
            VideoError::DecoderKilled { path: path(), reason: "was killed (signal 9)".to_owned() }.into(),
            VideoError::NoDecoderProcess { path: path(), program: "decoder".into(), source: disk() }.into(),
        ]
    }

    fn model_errors() -> Vec<ModelError> {
        let unknown = "vit".parse::<Architecture>().unwrap_err();
        let weights = deeptell_network::Weights::notes(&[0; 9], "w.safetensors").unwrap_err();
        vec![
            ModelError::File(disk()),
            ModelError::NoCard { key: "deeptell" },
            ModelError::Card(json()),
            ModelError::FormatVersion { found: 9, newest: 2 },
            unknown.into(),
            ModelError::TooLarge { bytes: 9, limit: 8 },
            ModelError::OutOfDistribution("its rank is 0"),
            ModelError::Localization("a number of it is not finite"),
            ModelError::CardValue("it has no view"),
            weights.into(),
            ModelError::Manifest { path: path(), problem: "line 3".to_owned() },
            ModelError::Sha256 { expected: "00".to_owned(), found: "11".to_owned() },
            ModelError::Score(f64::NAN),
        ]
    }

    #[test]
    fn trust_lifts_only_the_limits_for_untrusted_files() {
        let lifts =
            |error: PictureError| Error::input("a.jpg", InputError::Picture(error)).is_lifted_by_trust();
        let PictureLimits { max_side, max_file_bytes, .. } = PictureLimits::default();
        let large = |width, height| PictureError::TooLarge { width, height, max_pixels: 1, max_side: 1 };
        assert!(lifts(large(1000, 1000)));
        assert!(!lifts(large(max_side + 1, 1)));
        assert!(lifts(PictureError::FileTooLarge { bytes: max_file_bytes, limit: 1 }));
        assert!(!lifts(PictureError::FileTooLarge { bytes: max_file_bytes + 1, limit: 1 }));
        assert!(!lifts(PictureError::Damaged { detail: String::new() }));
        assert!(!Error::Cancelled.is_lifted_by_trust());
    }

    /// Whoever prints an error with its causes, as most programs do, says nothing twice.
    #[test]
    fn each_cause_is_named_once() {
        let mut errors: Vec<Box<dyn StdError>> = vec![
            Box::new(ReportError::SchemaVersion { found: 1 }),
            Box::new(ReportError::Json(json())),
            Box::new(Error::Option { option: "frames", value: "0".to_owned(), expected: "1 or more" }),
            Box::new(Error::Isolation(IsolationError::NotPrepared)),
            Box::new(Error::Isolation(IsolationError::UnknownProgram(disk()))),
            Box::new(Error::Isolation(IsolationError::Unsupported)),
            Box::new(Error::FaceDetector(FaceError::failed(
                &deeptell_face::FaceDetectorId::new("mtcnn"),
                "its weights are gone",
            ))),
            Box::new(Error::Cancelled),
            Box::new(Error::Device { network: "MTCNN", source: Box::new(disk()) }),
        ];
        errors
            .extend(input_errors().into_iter().map(|source| Box::new(Error::input("clip.mp4", source)) as _));
        errors.extend(model_errors().into_iter().map(|source| Box::new(Error::model("m", source)) as _));
        for error in errors {
            let said = chain(&*error);
            for (number, cause) in said.iter().enumerate() {
                for before in &said[..number] {
                    assert!(!before.contains(cause.as_str()), "{said:?}");
                }
            }
        }
    }
}
