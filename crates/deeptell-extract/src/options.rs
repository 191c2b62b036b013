use clap::ValueEnum;
use deeptell_face::{FaceCrop, Selection};

use crate::{CropStorage, Format, InPlace, Settings, Shard};

/// The settings of an extraction as options of a command line.
#[derive(Debug, Clone, clap::Args)]
pub struct SettingsArgs {
    /// Number of frames to sample, spread evenly over each video.
    #[arg(long, default_value_t = 10, value_name = "N")]
    frames: usize,
    /// Side of the crops.
    #[arg(long, default_value_t = FaceCrop::default().size, value_name = "PIXELS")]
    size: u32,
    /// Side of a crop, as a multiple of the longer side of the face box.
    #[arg(long, default_value_t = FaceCrop::default().scale, value_name = "FACTOR")]
    scale: f32,
    /// Rotate faces upright by their landmarks.
    #[arg(long)]
    align: bool,
    /// Which face of a frame to take.
    #[arg(long, value_enum, default_value_t = Which::Largest)]
    face: Which,
    /// Smallest face to detect, in pixels of the frame.
    #[arg(long, default_value_t = 40.0, value_name = "PIXELS")]
    min_face: f32,
    /// Skip faces with a lower probability from the face detector than this.
    #[arg(long, default_value_t = 0.9, value_name = "0..1")]
    min_probability: f32,
    /// Image format of the crops.
    #[arg(long, value_enum, default_value_t = Format::Png)]
    format: Format,
    /// Where to put the crops: in files, or in tar archives as WebDataset uses them (`KEY.png` with
    /// `KEY.json`). Every command reads both; a manifest names a crop in an archive as if the archive
    /// were a folder.
    #[arg(long, value_enum, default_value_t = CropStorage::Files, conflicts_with = "in_place")]
    store: CropStorage,
    /// With --store tar: maximum size of an archive.
    #[arg(
        long,
        default_value_t = 1024,
        value_name = "MEBIBYTES",
        value_parser = clap::value_parser!(u64).range(1..=1 << 20)
    )]
    tar_size: u64,
    /// Cut nothing; write a manifest of the pictures as they are, with the position of the face in
    /// each. Not for videos.
    #[arg(long, value_enum, value_name = "WHAT")]
    in_place: Option<InPlace>,
    /// Stream of each video to sample, numbered from 0 over all streams of the file [default: the one
    /// that players show].
    #[arg(long, value_name = "NUMBER")]
    stream: Option<u32>,
}

/// Which face of a frame to take.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Which {
    /// The largest.
    Largest,
    /// The one with the highest probability.
    MostProbable,
}

impl SettingsArgs {
    /// The settings for this shard, or for the whole data set.
    pub fn settings(&self, shard: Option<Shard>) -> Settings {
        Settings {
            frames: self.frames,
            crop: FaceCrop::default().size(self.size).scale(self.scale).align(self.align),
            face: match self.face {
                Which::Largest => Selection::Largest,
                Which::MostProbable => Selection::MostProbable,
            },
            face_detector: None,
            min_face: self.min_face,
            min_probability: self.min_probability,
            format: self.format,
            store: self.store,
            in_place: self.in_place,
            shard,
            stream: self.stream,
        }
    }

    /// The maximum size of an archive in bytes, for [`StoreContext`](crate::StoreContext).
    pub fn tar_bytes(&self) -> u64 {
        self.tar_size << 20
    }
}
