use std::io;
use std::path::{Path, PathBuf};

use deeptell_data::DataError;
use deeptell_face::{CropError, FaceDetectorId, FaceError};
use deeptell_files::LockError;
use deeptell_video::VideoError;
use image::ImageError;

use crate::status::ranges;
use crate::{Shard, ShardError, ShardState, Status};

/// Why faces could not be extracted, or extractions not be merged.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ExtractError {
    /// The folder holds crops made with other settings.
    #[error(
        "{} has crops made with other settings (see {} there): use another folder, or the same settings",
        folder.display(), crate::SETTINGS_FILE
    )]
    OtherSettings {
        /// The output folder.
        folder: PathBuf,
    },
    /// The folder is that of another shard, or of another number of shards.
    #[error(
        "{} is the folder of {}, and not of {}: give each shard a folder of its own, as with --out 'DIR/{{shard}}', and \
         the number of shards of the first time",
        folder.display(), shard_name(*before), shard_name(*now)
    )]
    OtherShard {
        /// The output folder.
        folder: PathBuf,
        /// The one that it is for; `None` for a data set that is not divided.
        before: Option<Shard>,
        /// The one of this run.
        now: Option<Shard>,
    },
    /// The folder holds boxes of another face detector, and crops of two must not be mixed.
    #[error(
        "{} holds faces found by {before}, and not by {now}: use another folder, or the same face detector",
        folder.display()
    )]
    OtherFaceDetector {
        /// The output folder.
        folder: PathBuf,
        /// The one that the folder names.
        before: FaceDetectorId,
        /// The one of this run.
        now: FaceDetectorId,
    },
    /// A settings file or a list of failures cannot be understood.
    #[error("{} cannot be read: {reason}; use another folder, or remove the file", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// A setting is out of its range.
    #[error("{setting}: {expected}")]
    Setting {
        /// Which one.
        setting: &'static str,
        /// What it must be.
        expected: &'static str,
    },
    /// Another process works in the folder, or it cannot be locked.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// No frame shows a face.
    #[error("no face found in {frames} frames")]
    NoFace {
        /// How many frames were searched.
        frames: usize,
    },
    /// Videos cannot be used in place.
    #[error("this is a video, and only pictures can be used in place: extract it without --in-place")]
    VideoInPlace,
    /// The crops of a file that was done are not there.
    #[error(
        "its crops are gone, perhaps because another deeptell was working in the folder: run the extraction again"
    )]
    CropsGone,
    /// A face is too small to be cut.
    #[error("the face is too small to be cropped")]
    TooSmall,

    /// A folder is not an output folder, nor are those in it.
    #[error(
        "{} holds no extraction: pass the --out of an extraction, or the folder that those of its shards are in",
        folder.display()
    )]
    NoExtraction {
        /// The folder.
        folder: PathBuf,
    },
    /// Among the folders of shards there is one of an extraction without shards.
    #[error("{} is not the shard of a data set: pass its folder alone", folder.display())]
    NotAShard {
        /// Its output folder.
        folder: PathBuf,
    },
    /// The folders beside that of a shard are of another number of shards.
    #[error(
        "{} is one of {before} shards, and this is to be one of {now}: pass --shards {before}, or another folder",
        other.display()
    )]
    OtherCount {
        /// One of the other folders.
        other: PathBuf,
        /// How many shards it is one of.
        before: u64,
        /// How many this run has.
        now: u64,
    },
    /// It is not known which shard to process.
    #[error(transparent)]
    Shard(#[from] ShardError),
    /// A folder has shards of several divisions.
    #[error(
        "{} and {} belong to runs with different numbers of shards: remove the folders of one of the runs",
        one.display(), other.display()
    )]
    OtherDivision {
        /// One output folder.
        one: PathBuf,
        /// The other.
        other: PathBuf,
    },
    /// A shard was done twice.
    #[error("{} and {} are both shard {index}: remove one of them", one.display(), other.display())]
    SameShard {
        /// The shard, from 0.
        index: u64,
        /// One output folder.
        one: PathBuf,
        /// The other.
        other: PathBuf,
    },
    /// Shards of an extraction have not begun, are running or were interrupted.
    #[error("{} is not finished{}", .0.folder.display(), unfinished(.0))]
    Unfinished(Box<Status>),
    /// The manifest of an extraction is damaged.
    #[error("{0}; run this extraction or shard again, which writes the manifest anew and keeps the crops")]
    DamagedManifest(DataError),
    /// A list of failures is damaged.
    #[error(
        "{} cannot be read: {reason}; run this extraction or shard again, which writes the list anew and keeps the crops",
        path.display()
    )]
    DamagedFailures {
        /// The list.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// Crops to be merged were made with different settings.
    #[error("{} and {} differ: crops made with different settings cannot be merged", one.display(), other.display())]
    SettingsDiffer {
        /// One of the settings files.
        one: PathBuf,
        /// The other.
        other: PathBuf,
    },
    /// A crop is listed in two manifests, or twice in one.
    #[error("{} is listed in {} and in {}", crop.display(), one.display(), other.display())]
    ListedTwice {
        /// The crop.
        crop: PathBuf,
        /// One manifest.
        one: PathBuf,
        /// The other.
        other: PathBuf,
    },
    /// Two manifests hold crops of one file.
    #[error("{} and {} both hold crops of {file}: leave one of them out", one.display(), other.display())]
    DoneTwice {
        /// The file, by its name below the data set.
        file: String,
        /// One manifest.
        one: PathBuf,
        /// The other.
        other: PathBuf,
    },
    /// A row does not name the file that its crop comes from.
    #[error(
        "{}: {} does not name the file it was cut from; run its extraction again, which adds the name and keeps the \
         crops",
        manifest.display(), crop.display()
    )]
    NoFile {
        /// The manifest.
        manifest: PathBuf,
        /// The crop.
        crop: PathBuf,
    },
    /// Files of the data set were not extracted.
    #[error(
        "{absent} of {all} files of {} are in none of the manifests, for example {}: extract them first",
        root.display(), first.display()
    )]
    Absent {
        /// The data set.
        root: PathBuf,
        /// How many are in no manifest.
        absent: usize,
        /// How many files the data set has.
        all: usize,
        /// The first of them.
        first: PathBuf,
    },

    /// A data set, a manifest, a picture or an archive cannot be read or written.
    #[error(transparent)]
    Data(#[from] DataError),
    /// A video cannot be decoded.
    #[error(transparent)]
    Video(#[from] VideoError),
    /// The face detector failed.
    #[error(transparent)]
    Face(#[from] FaceError),
    /// A face cannot be cut out.
    #[error(transparent)]
    Crop(#[from] CropError),
    /// A crop cannot be encoded.
    #[error("cannot encode a crop")]
    Encode(#[from] ImageError),
    /// A file of the output folder cannot be read or written.
    #[error("cannot access {}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

fn shard_name(shard: Option<Shard>) -> String {
    shard.map_or_else(
        || "a whole data set".to_owned(),
        |Shard { part, count }| format!("shard {part} of {count} (from 0)"),
    )
}

/// What is not finished and how it could be, as the end of a sentence.
fn unfinished(status: &Status) -> String {
    let in_state = |state| {
        let shards = status.shards.iter().filter(|shard| shard.state == state);
        ranges(&shards.map(|shard| shard.index).collect::<Vec<_>>())
    };
    let running = in_state(ShardState::Running);
    let mut text = match status.count {
        Some(_) if running.contains([',', '-']) => {
            format!(": shards {running} are running, wait until they end")
        }
        Some(_) if !running.is_empty() => format!(": shard {running} is running, wait until it ends"),
        None if !running.is_empty() => ": it is running, wait until it ends".to_owned(),
        _ => String::new(),
    };
    let advice = status.advice();
    if !advice.is_empty() {
        text += if text.is_empty() { ": " } else { "; " };
        text += &advice;
        text += "; files that are done are kept";
    }
    text
}

impl ExtractError {
    pub(crate) fn io(path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_path_buf();
        move |source| Self::Io { path, source }
    }

    #[expect(clippy::needless_pass_by_value, reason = "what an error is mapped with takes it by value")]
    pub(crate) fn damaged(path: &Path, reason: impl ToString) -> Self {
        Self::Damaged { path: path.to_path_buf(), reason: reason.to_string() }
    }
}
