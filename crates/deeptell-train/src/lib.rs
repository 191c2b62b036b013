//! Training of deeptell's classifier: configuration, loop, checkpoints, resume.
//!
//! A [`Trainer`] fits a [`Network`] to the training samples of a manifest and selects the best epoch by AUC
//! on the validation samples. A run that was killed can be resumed from its folder and ends with the
//! same weights. [`predict`] scores samples with any network. [`Conformance`] compares what devices compute.
//!
//! ```no_run
//! use burn::tensor::Device;
//! use deeptell_data::read_manifest;
//! use deeptell_network::Weights;
//! use deeptell_train::{Start, TrainConfig, Trainer};
//!
//! let samples = read_manifest("crops/manifest.jsonl")?;
//! let imagenet = Weights::read("mobilenet_v3_small-047dcff4.pth")?;
//! let run = Trainer::new(&TrainConfig::default(), &samples)
//!     .start(Start::Backbone(imagenet))
//!     .run("runs/first".as_ref(), &Device::flex(), |event| println!("{event:?}"))?;
//! println!("best validation AUC {:?}", run.best);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! [`Network`]: deeptell_network::Network

mod average;
mod batch;
mod checkpoint;
mod config;
mod config_forms;
mod conformance;
mod contact_sheet;
mod error;
mod events;
mod history;
mod loss;
mod loss_scale;
mod masked;
mod objective;
mod order;
mod plot;
mod predict;
mod preview;
mod random;
mod replicas;
mod resume;
mod schedule;
mod session;
mod sharpness;
mod start;
mod train;

pub use batch::load_crop;
pub use checkpoint::has_checkpoint;
pub use config::{
    CodecConfig, LossConfig, OptimizerConfig, SampleOrder, SamplingConfig, ScheduleConfig, TrainConfig,
};
pub use conformance::{
    Conformance, ConformanceCheck, ConformanceError, ConformanceStep, DeviceReport, DeviceState, Examined,
    MakeFaceDetector, Speed,
};
pub use contact_sheet::contact_sheet;
pub use error::TrainError;
pub use events::{Event, Run};
pub use history::{EpochRecord, read_history};
pub use loss::binary_cross_entropy_with_logits;
pub use masked::{MaskedPicture, MaskedPictures};
pub use order::balanced_pos_weight;
pub use plot::history_svg;
pub use predict::predict;
pub use preview::preview;
pub use schedule::{LearningRate, Schedule};
pub use session::Start;
pub use start::{note_init, noted_init};
pub use train::Trainer;

/// Compiles the example of the README.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
