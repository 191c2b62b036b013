use std::collections::BTreeSet;
use std::path::Path;

use deeptell_face::{FaceCrop, FaceDetectorId, Selection};
use deeptell_files::read_text_bounded;
use serde::{Deserialize, Serialize};

use crate::{SETTINGS_FILE, Shard};

/// The largest settings file that is read, in bytes.
pub(crate) const MAX_SETTINGS_BYTES: u64 = 1 << 20;

/// Where file names of a data set start: its folder, or that of its manifest.
pub fn root_of(data: &Path) -> &Path {
    if data.is_dir() { data } else { data.parent().unwrap_or(data) }
}

/// What the manifest records of a picture that is not cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[cfg_attr(feature = "clap", derive(clap::ValueEnum))]
#[non_exhaustive]
pub enum InPlace {
    /// Box and landmarks, for pictures that show more than a face; training and `eval` cut it out.
    Box,
    /// Only landmarks, for face crops; they are used whole, and can be blended.
    Landmarks,
}

/// Picture format of the crops.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[cfg_attr(feature = "clap", derive(clap::ValueEnum))]
#[non_exhaustive]
pub enum Format {
    /// Lossless.
    Png,
    /// Quality 95, about a seventh of the size.
    Jpeg,
}

impl Format {
    /// How the names of its files end.
    pub(crate) fn extension(self) -> &'static str {
        match self {
            Self::Png => "png",
            Self::Jpeg => "jpg",
        }
    }
}

/// Where crops are stored.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[cfg_attr(feature = "clap", derive(clap::ValueEnum))]
#[non_exhaustive]
pub enum CropStorage {
    /// One file per crop.
    #[default]
    Files,
    /// Many crops per tar archive.
    Tar,
}

/// The settings that determine the pixels of a crop and where it is stored. All crops of a folder share them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Settings {
    /// Frames to sample from each video, spread evenly over it.
    pub frames: usize,
    /// Size, scale and alignment of the crops.
    pub crop: FaceCrop,
    /// Which face of a frame to take.
    pub face: Selection,
    /// The face detector and its settings; filled in by [`Store::open`](crate::Store::open). Folders
    /// of earlier versions do not name it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub face_detector: Option<FaceDetectorId>,
    /// Smallest face to detect, in pixels of the frame.
    pub min_face: f32,
    /// Faces less probable than this are left out, 0 to 1.
    pub min_probability: f32,
    /// Picture format of the crops.
    pub format: Format,
    /// Where crops are stored. Folders of earlier versions hold files, and do not record it.
    #[serde(default)]
    pub store: CropStorage,
    /// Do not cut the pictures; record where the face is in each.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub in_place: Option<InPlace>,
    /// The shard that the folder is for, so that the manifest of one does not replace that of another.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shard: Option<Shard>,
    /// The stream of each video to sample, where that is not the one that players show.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stream: Option<u32>,
}

/// Those of `deeptell extract`: ten frames, the largest face of each if it is at least 40 pixels high and at least 0.9
/// probable, as PNG files.
impl Default for Settings {
    fn default() -> Self {
        Self {
            frames: 10,
            crop: FaceCrop::default(),
            face: Selection::Largest,
            face_detector: None,
            min_face: 40.0,
            min_probability: 0.9,
            format: Format::Png,
            store: CropStorage::Files,
            in_place: None,
            shard: None,
            stream: None,
        }
    }
}

/// The face detector and its settings that extraction folders record for these crops. `None` unless every crop lies in
/// such a folder, and all folders record the same.
pub fn recorded_face_detector<'a>(crops: impl IntoIterator<Item = &'a Path>) -> Option<FaceDetectorId> {
    // `crops/LABEL/PICTURE` or `shards/ARCHIVE/MEMBER`.
    let folders: BTreeSet<Option<&Path>> = crops.into_iter().map(|crop| crop.ancestors().nth(3)).collect();
    let recorded = folders.into_iter().map(|folder| {
        let text = read_text_bounded(folder?.join(SETTINGS_FILE), MAX_SETTINGS_BYTES).ok()?;
        toml::from_str::<Settings>(&text).ok()?.face_detector
    });
    let recorded: BTreeSet<Option<FaceDetectorId>> = recorded.collect();
    if recorded.len() == 1 { recorded.into_iter().next().flatten() } else { None }
}
