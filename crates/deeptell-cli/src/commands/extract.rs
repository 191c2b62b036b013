use std::path::PathBuf;

use clap::ValueEnum;
use deeptell_extract::{Event, Format, InPlace, Place, Settings, Shard, Store, Summary, Tools, root_of};
use deeptell_face::{FaceCrop, Selection};
use deeptell_mtcnn::MtcnnConfig;

use crate::dataset::{Dataset, DatasetArgs};
use crate::device::DeviceName;
use crate::output::{note, say};
use crate::progress::Progress;
use crate::{Outcome, interrupt, output};

/// Cut the faces out of a data set of videos or pictures, for training.
///
/// Writes the crops and a manifest with where each came from: video, time, box, landmarks. Run
/// it again after an interruption: what is done stays, what failed is tried again. A file that
/// cannot be read, or shows no face, is a row of `failures.jsonl` and never the end of the run.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  deeptell extract dataset/ --out crops                  # real/ and fake/, Celeb-DF, FaceForensics++, DFDC
  deeptell extract videos.jsonl --out crops --frames 20 --scale 1.3
  deeptell extract dataset/ --out part2 --shard 2/3      # the second of three machines; then `deeptell merge`
  deeptell extract dataset/ --out crops --store tar      # a few large archives, not a million small files
  deeptell extract loose/ --out found --in-place box      # pictures stay, training cuts by the box
  deeptell extract faces/ --out found --in-place landmarks  # face crops stay whole, and can be blended")]
pub(crate) struct Args {
    /// A manifest of videos or pictures, or a data set folder in a layout deeptell knows.
    data: PathBuf,
    #[command(flatten)]
    dataset: DatasetArgs,
    /// Folder for the crops, `manifest.jsonl` and `failures.jsonl`.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Frames to sample from each video, spread evenly over it.
    #[arg(long, default_value_t = 10)]
    frames: usize,
    /// Side of the crops in pixels.
    #[arg(long, default_value_t = FaceCrop::default().size)]
    size: u32,
    /// Side of the crop over the longer side of the face box.
    #[arg(long, default_value_t = FaceCrop::default().scale)]
    scale: f32,
    /// Turn faces upright by their landmarks.
    #[arg(long)]
    align: bool,
    /// Which face of a frame to take.
    #[arg(long, value_enum, default_value_t = Which::Largest)]
    face: Which,
    /// Smallest face to look for, in pixels of the frame.
    #[arg(long, default_value_t = 40.0, value_name = "PIXELS")]
    min_face: f32,
    /// Leave out faces that the face detector is less sure of, 0 to 1.
    #[arg(long, default_value_t = 0.9)]
    min_probability: f32,
    /// Picture format of the crops: exact, or a seventh of the size.
    #[arg(long, value_enum, default_value_t = Format::Png)]
    format: Format,
    /// Where the crops go: files of their own, or tar archives in the way of WebDataset (`KEY.png` with
    /// `KEY.json`). Every command reads both; the manifest names a crop in an archive as if that
    /// were a folder.
    #[arg(long, value_enum, default_value_t = Place::Files, conflicts_with = "in_place")]
    store: Place,
    /// With --store tar: begin another archive before one grows beyond this.
    #[arg(long, default_value_t = 1024, value_name = "MEBIBYTES", value_parser = clap::value_parser!(u64).range(1..=1 << 20))]
    tar_size: u64,
    /// Cut nothing: the manifest names the pictures as they are, and says where the face is in
    /// each, also one that fills its picture. Not for videos.
    #[arg(long, value_enum, value_name = "WHAT")]
    in_place: Option<InPlace>,
    /// Do a part of the files only, the PART-th of COUNT; which is which hangs on their names below the data set
    /// alone, so that several machines agree.
    #[arg(long, value_name = "PART/COUNT")]
    shard: Option<Shard>,
    /// Sample this stream of each video, by its number among all streams of the file, from 0, and not the one that players
    /// show.
    #[arg(long, value_name = "NUMBER")]
    stream: Option<u32>,
    /// Lift what protects from hostile videos: bounds on formats, sizes and decoding time, and the process of its own
    /// that each file is decoded in.
    #[arg(long)]
    trusted: bool,
    /// Where to compute.
    #[arg(long, value_enum, default_value_t = DeviceName::Cpu)]
    device: DeviceName,
}

/// Which face of a frame to take.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Which {
    /// The largest.
    Largest,
    /// The one with the highest probability.
    MostProbable,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<Outcome> {
    let settings = Settings {
        frames: args.frames,
        crop: FaceCrop { size: args.size, scale: args.scale, align: args.align },
        face: match args.face {
            Which::Largest => Selection::Largest,
            Which::MostProbable => Selection::MostProbable,
        },
        face_detector: None,
        min_face: args.min_face,
        min_probability: args.min_probability,
        format: args.format,
        store: args.store,
        in_place: args.in_place,
        shard: args.shard,
        stream: args.stream,
    };
    let device = args.device.open()?;
    let detector =
        MtcnnConfig { min_face: settings.min_face.into(), ..MtcnnConfig::default() }.init(&device)?;
    let root = root_of(&args.data);
    let Dataset { mut samples, outcome } = args.dataset.read(&args.data)?;
    if let Some(shard) = args.shard {
        samples.retain(|sample| shard.takes(root, sample));
    }
    let videos = crate::isolation::reading(args.stream, args.trusted)?;
    let tools = Tools { detector: &detector, videos, tar_bytes: args.tar_size << 20 };
    let store = Store::open(&args.out, root, settings, tools)?;

    let progress = std::sync::OnceLock::new();
    let bar = |waiting| progress.get_or_init(|| Progress::new("extracting", waiting, "files"));
    let summary = store.run(&samples, interrupt::flag(), |event| match event {
        Event::Started { waiting, inputs } => {
            if waiting < inputs {
                note!("{} of {inputs} files are done already", inputs - waiting);
            }
            bar(waiting);
        }
        Event::Done { sample } => bar(0).add(1, &sample.path.display().to_string()),
        Event::Failed { sample, error } => {
            let path = sample.path.display();
            let progress = bar(0);
            progress.add(1, &path.to_string());
            progress.say(&format!("failed: {path}: {}", output::one_line(&error.into())));
        }
        _ => {}
    })?;
    bar(0).finish();
    let Some(Summary { crops, failures }) = summary else { return Ok(Outcome::Interrupted) };
    say!(
        "{crops} crops from {} of {} files, manifest {}",
        samples.len() - failures,
        samples.len(),
        args.out.join("manifest.jsonl").display()
    );
    if failures > 0 {
        say!("{failures} files failed, see {}", args.out.join("failures.jsonl").display());
        return Ok(Outcome::SomeFailed);
    }
    Ok(outcome)
}
