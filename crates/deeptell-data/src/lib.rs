//! Data sets of real and manipulated faces.
//!
//! A data set is a list of [`Sample`]s. [`read_dataset`] reads it from a [`manifest`] (JSON Lines) or
//! from the folders of a public set (see [`Layout`]). [`split_by_source`] splits it so that no recording
//! and no person is in two splits, and [`audit()`] checks that.
//! [`read_contents`] and [`read_picture`] read what a path names, a file or a member of a shard
//! ([`ShardIndex`]). The crate uses no tensors and decodes no videos.
//!
//! ```
//! use deeptell_data::{Layout, SplitConfig, audit, read_layout, split_by_source, write_manifest};
//!
//! let root = tempfile::tempdir()?;
//! for i in 0..20 {
//!     for class in ["real", "fake"] {
//!         std::fs::create_dir_all(root.path().join(class))?;
//!         std::fs::write(root.path().join(format!("{class}/clip {i}.mp4")), "")?;
//!     }
//! }
//!
//! let mut samples = read_layout(&root, Layout::Folders)?;
//! let summary = split_by_source(&mut samples, &SplitConfig::default())?;
//! assert_eq!(summary.samples, [[16, 16], [2, 2], [2, 2]]); // [real, fake] to train, validate, test
//! audit(&samples).into_result()?;
//! write_manifest(root.path().join("set.jsonl"), &samples)?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod audit;
mod contents;
mod corners;
mod error;
mod extra;
mod folder;
mod groups;
mod inputs;
mod layout;
pub mod manifest;
mod near_duplicates;
mod sample;
mod shard;
mod split;
mod table;
mod traces;

pub use audit::{AuditReport, Crossing, CrossingKind, audit, audit_contents, audit_contents_while};
pub use contents::{read_contents, read_picture, sha256_of_contents};
pub use corners::keep_corners;
pub use error::DataError;
pub use extra::Extra;
pub use folder::{FolderContents, HiddenFiles, count_by_extension, note_on_skipped};
pub use inputs::{MediaInput, MediaInputs};
pub use layout::{
    Layout, Listing, Unreadable, detect_layout, read_dataset, read_layout, scan_crop_table, scan_dataset,
    scan_layout,
};
pub use manifest::{ManifestReader, ManifestWriter, read_manifest, write_manifest};
pub use near_duplicates::{PerceptualHash, near_duplicates};
pub use sample::{Label, Media, Sample, Split};
pub use shard::{ShardIndex, ShardWriter};
pub use split::{GroupBy, SplitConfig, SplitSummary, split_by_source};
pub use table::{open_table, parse_number};
pub use traces::{PictureFacts, Trace, read_facts};

/// Compiles the example of the README.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
