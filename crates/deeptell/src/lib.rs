//! Deepfake detection in pure Rust: video or image in, [`Report`] out.
//!
//! A [`Detector`] samples frames, finds faces (MTCNN), cuts them as the classifier was trained
//! to see them, scores them (MobileNetV3-Small) and judges: likely real, likely fake,
//! inconclusive, or no face found.
//!
//! ```no_run
//! use burn::tensor::Device;
//! use deeptell::{Detector, ScanOptions, html};
//!
//! fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     let detector = Detector::shipped(&Device::flex())?;
//!     let report = detector.scan_video("interview.mp4", &ScanOptions::default())?;
//!     println!("{}: {:?}", report.verdict, report.score);
//!     for reason in &report.reasons {
//!         println!("- {reason}");
//!     }
//!     std::fs::write("interview.html", html::page(&report))?;
//!     Ok(())
//! }
//! ```
//!
//! A report is plain data: `serde_json::to_string(&report)` gives the document that
//! [`SCHEMA_VERSION`] numbers. Nothing here prints, reads the environment or uses the network.
//!
//! A verdict is a reason to look closer, never proof: the scores are probabilities on material
//! like that which the model was validated on, and [`ModelCard::limits`] says what it misses.

mod background;
mod card;
mod clock;
mod detector;
mod error;
mod familiarity;
mod hash;
mod heat;
pub mod html;
mod input;
mod judge;
mod look;
mod manifest;
mod model;
mod model_file;
mod options;
mod people;
mod pictures;
mod printable;
mod reason;
mod report;
mod scan;
mod sentence;
mod track;
mod view;
mod warning;

pub use deeptell_face::{Face, FaceDetector, FaceDetectorId, FaceError, RgbImage};
pub use deeptell_network::{Architecture, Network, Normalization, Precision, StoredPrecision};

pub use card::{
    Calibration, CropLevel, Levels, Measure, ModelCard, OutOfDistribution, PersonCalibration, PersonFeatures,
    PersonScoring, Thresholds,
};
pub use detector::{Detector, Progress};
pub use error::{Error, InputError, ModelError, ReportError};
pub use heat::HeatMap;
pub use input::InputFrame;
pub use judge::{Aggregation, Criteria, Judgement};
pub use look::Look;
pub use manifest::{Manifest, ManifestEntry};
pub use model::{Model, Reading};
pub use model_file::ModelFile;
pub use options::ScanOptions;
pub use people::{Appearance, merge};
pub use pictures::Pictures;
pub use printable::{is_invisible, printable, printable_json};
pub use reason::Reason;
pub use report::{
    FrameFacts, InputFacts, InputKind, ModelInfo, Observation, Person, REPORT_SCHEMA, Report, SCHEMA_VERSION,
    TimeRange, Verdict,
};
pub use track::{FaceLinker, Sighting};
pub use view::View;
pub use warning::Warning;

/// Version of this crate.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");
