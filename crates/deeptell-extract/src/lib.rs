//! Face crops out of data sets of videos and pictures, for training.
//!
//! A [`Store`] is an output folder: crops in files or tar archives, a manifest that says where each
//! came from, and a list of the files that failed. One process works in it at a time. A run can be
//! killed at any moment and resumed; finished files are kept. Several machines can each process a
//! [`Shard`] of a data set into their own folder; [`Status`] says how far they are, and [`merge`] combines
//! the folders.
//!
//! Works with any [`FaceDetector`](deeptell_face::FaceDetector).

mod archives;
mod crops;
mod error;
mod failure;
mod frames;
mod merge;
#[cfg(feature = "clap")]
mod options;
mod parts;
mod settings;
mod shard;
mod status;
mod store;

pub use error::ExtractError;
pub use failure::{AllowedFailures, Failure, FailureReason, Redo};
pub use merge::{Merged, merge};
#[cfg(feature = "clap")]
pub use options::SettingsArgs;
pub use settings::{CropStorage, Format, InPlace, Settings, recorded_face_detector, root_of};
pub use shard::{Shard, ShardChoice, ShardError, TaskIndex, path_of_shard};
pub use status::{ShardState, ShardStatus, Status, finished_manifests, folder_of_shard};
pub use store::{Event, OUTPUT_FILES, SETTINGS_FILE, Store, StoreContext, Summary};

/// Compiles the example of the README.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
