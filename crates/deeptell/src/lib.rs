//! Deepfake detection in Rust: video or picture in, [`Report`] out.
//!
//! A [`Detector`] samples frames, finds faces (MTCNN), crops them as in training, scores them (MobileNetV3-Small) and
//! judges: likely real, likely fake, inconclusive, or no face found.
//!
//! ```no_run
//! use deeptell::{Detector, Device, ScanOptions, html};
//!
//! fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     // Files are decoded in a separate process, a copy of this program.
//!     deeptell::run_if_decoder();
//!     let detector = Detector::shipped(&Device::flex())?;
//!     let scan = detector.scan("interview.mp4", &ScanOptions::default().evidence(true))?;
//!     println!("{}: {:?}", scan.report.verdict, scan.report.score);
//!     for reason in &scan.report.reasons {
//!         println!("- {reason}");
//!     }
//!     std::fs::write("interview.html", html::page(&scan.report, scan.evidence.as_ref()))?;
//!     Ok(())
//! }
//! ```
//!
//! A report is plain data: `serde_json::to_string(&report)` gives the document that
//! [`SCHEMA_VERSION`] numbers. Nothing here prints, reads the environment or uses the network.
//!
//! Everything that a public signature names is re-exported, including [`Device`], so a program needs only this crate.
//!
//! A verdict is a reason to look closer, never proof. Scores are probabilities for material like that of the
//! validation; [`ModelCard::limits`] says what the model misses.

mod card;
mod clock;
#[cfg(feature = "ffmpeg")]
mod decoding;
mod detector;
#[cfg(feature = "ffmpeg")]
pub mod diagnosis;
mod document;
mod error;
mod evidence;
mod face_list;
mod familiarity;
#[cfg(feature = "ffmpeg")]
mod file;
mod heat;
pub mod html;
mod input;
mod journal;
mod judge;
mod localization;
mod manifest;
mod model;
mod model_file;
mod options;
mod reason;
mod report;
mod scan;
mod scanning;
mod sentence;
mod table;
pub mod text;
mod view;
mod warning;

pub use burn::tensor::Device;
pub use deeptell_face::{
    CropError, Face, FaceCrop, FaceDetector, FaceDetectorId, FaceError, Landmarks, PictureError,
    PictureLimits, Point, Rect, RgbImage, TrailingMedia, TrailingMediaKind,
};
pub use deeptell_network::{
    Architecture, Dtype, DtypeError, Network, NetworkConfig, Normalization, StoredDtype, UnknownArchitecture,
    Weights, WeightsError,
};
#[cfg(all(unix, feature = "ffmpeg"))]
pub use deeptell_video::DecoderProcess;
#[cfg(feature = "ffmpeg")]
pub use deeptell_video::{Frame, VideoOptions, run_if_decoder};
pub use deeptell_video::{
    IsolationError, Limits, PartFault, StreamLabel, Unsupported, VideoError, Warning as VideoWarning,
};
pub use serde_json::Error as JsonError;

pub use card::{
    Calibration, CropLevel, HeatMapMethod, Levels, Measure, ModelCard, OutOfDistribution, PersonCalibration,
    PersonFeatures, PersonScoring, Thresholds, ThresholdsError,
};
#[cfg(feature = "ffmpeg")]
pub use decoding::Decoding;
pub use detector::{Detector, Progress};
pub use document::{ScanDocument, ScanFailure};
pub use error::{Error, InputError, ModelError, ReportError};
pub use evidence::Evidence;
pub use face_list::{FaceEntry, FaceList, FileFaces, FrameFaces};
pub use heat::HeatMap;
pub use input::{Input, InputFrame};
pub use journal::{EarlierReports, Journal, JournalError, LineFault};
pub use judge::{Aggregation, Criteria, Judgement};
pub use model::{Model, Reading};
pub use model_file::ModelFile;
pub use options::ScanOptions;
pub use reason::Reason;
pub use report::{
    FrameFacts, InputFacts, InputKind, ModelInfo, Observation, Person, REPORT_SCHEMA, Report, SCHEMA_VERSION,
    TimeRange, Verdict,
};
pub use scan::Scan;
pub use scanning::Scanning;
pub use table::verdict_table;
pub use view::View;
pub use warning::Warning;

/// Version of this crate.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Compiles the example of the README.
#[cfg(all(doctest, feature = "ffmpeg"))]
#[doc = include_str!("../README.md")]
struct Readme;
