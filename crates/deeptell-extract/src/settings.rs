use std::path::{Path, PathBuf};
use std::str::FromStr;

use deeptell_data::Sample;
use deeptell_face::{FaceCrop, FaceDetectorId, Selection};
use deeptell_files::{name_below, sha256};
use serde::{Deserialize, Serialize};

/// One shard of a data set, for one of several machines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shard {
    /// From 0.
    pub part: u64,
    /// How many machines there are.
    pub count: u64,
}

impl FromStr for Shard {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let numbers = text.split_once('/').and_then(|(part, count)| {
            let (part, count) = (part.parse::<u64>().ok()?, count.parse::<u64>().ok()?);
            (1..=count).contains(&part).then(|| Self { part: part - 1, count })
        });
        numbers.ok_or_else(|| "expected PART/COUNT, such as 1/3, 2/3 and 3/3".to_owned())
    }
}

impl Shard {
    /// Whether the file, which is below `root`, belongs to this shard.
    pub fn takes(self, root: &Path, sample: &Sample) -> bool {
        let hash = sha256(name_below(root, &sample.path).as_bytes());
        // Sixteen hexadecimal digits always are a number.
        u64::from_str_radix(&hash[..16], 16).is_ok_and(|hash| hash % self.count == self.part)
    }
}

/// Where file names of a data set start: its folder, or that of its manifest.
pub fn root_of(data: &Path) -> &Path {
    if data.is_dir() { data } else { data.parent().unwrap_or(data) }
}

/// What the manifest records of a picture that is not cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[cfg_attr(feature = "clap", derive(clap::ValueEnum))]
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
pub enum Place {
    /// One file per crop.
    #[default]
    Files,
    /// Many crops per tar archive.
    Tar,
}

/// The settings that determine the pixels of a crop and where it is stored. All crops of a folder share them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
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
    pub store: Place,
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

/// A row of `failures.jsonl`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Failure {
    /// The file.
    pub path: PathBuf,
    /// The path below the data set.
    pub file: String,
    /// Why it failed.
    pub error: String,
}

#[cfg(test)]
mod tests {
    use deeptell_data::Label;

    use super::*;

    #[test]
    fn every_file_is_done_by_one_machine_wherever_the_data_set_lies() {
        let shards: Vec<Shard> = (1..=3).map(|part| format!("{part}/3").parse().unwrap()).collect();
        let mut counts = [0; 3];
        for number in 0..300 {
            let takers = |root: &str| {
                let path = Path::new(root).join("real").join(format!("{number}.mp4"));
                let sample = Sample::new(path, Label::Real, "a");
                let takes = |shard: &Shard| shard.takes(Path::new(root), &sample);
                shards.iter().map(takes).collect::<Vec<_>>()
            };
            let takes = takers("/data/set");
            assert_eq!(takes, takers("elsewhere"));
            assert_eq!(takes.iter().filter(|takes| **takes).count(), 1);
            counts[takes.iter().position(|takes| *takes).unwrap()] += 1;
        }
        assert!(counts.iter().all(|count| (70..130).contains(count)), "{counts:?}");
        for wrong in ["", "1", "0/3", "4/3", "1/0", "a/b", "1/2/3", "-1/3"] {
            assert!(wrong.parse::<Shard>().is_err(), "{wrong}");
        }
    }
}
