mod shards;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use anyhow::Context as _;
use clap::ValueEnum;
use deeptell_data::{
    DataError, ManifestWriter, Media, Sample, read_dataset, read_manifest, read_picture, sha256_of_bytes,
    sha256_of_file, write_manifest,
};
use deeptell_face::{Face, FaceCrop, FaceDetector, FaceDetectorId, RgbImage, Selection};
use deeptell_mtcnn::MtcnnConfig;
use deeptell_video::{Limits, Sampling, VideoOptions, VideoReader};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::device::DeviceName;
use crate::output::say;
use crate::progress::Progress;
use crate::{Outcome, interrupt, output};
use shards::Shards;

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
    /// Where to compute.
    #[arg(long, value_enum, default_value_t = DeviceName::Cpu)]
    device: DeviceName,
}

/// One of several machines that share the work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Shard {
    /// From 0.
    part: u64,
    count: u64,
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
    /// Whether this machine does the file, which lies below `root`.
    fn takes(self, root: &Path, sample: &Sample) -> bool {
        let hash = sha256_of_bytes(name_below(root, &sample.path).as_bytes());
        // Sixteen hexadecimal digits always are a number.
        u64::from_str_radix(&hash[..16], 16).is_ok_and(|hash| hash % self.count == self.part)
    }
}

/// Where file names of a data set start: its folder, or that of its manifest.
pub(crate) fn root_of(data: &Path) -> &Path {
    if data.is_dir() { data } else { data.parent().unwrap_or(data) }
}

/// The name of a file below the root of its data set, with `/` between folders: the same on every
/// machine.
pub(crate) fn name_below(root: &Path, path: &Path) -> String {
    let below = path.strip_prefix(root).unwrap_or(path);
    below.iter().map(|part| part.to_string_lossy()).collect::<Vec<_>>().join("/")
}

/// What the manifest says of a picture that is left as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum InPlace {
    /// Box and landmarks, for pictures that show more than a face: training and `eval` cut it out.
    Box,
    /// Landmarks alone, for face crops: they are taken whole, and can be blended.
    Landmarks,
}

/// Which face of a picture to take.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Which {
    /// The largest.
    Largest,
    /// The one with the highest probability of being a face.
    MostProbable,
}

impl From<Which> for Selection {
    fn from(which: Which) -> Self {
        match which {
            Which::Largest => Self::Largest,
            Which::MostProbable => Self::MostProbable,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Format {
    Png,
    Jpeg,
}

/// Where crops go.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Place {
    /// Each into a file.
    #[default]
    Files,
    /// Many into one tar archive.
    Tar,
}

/// What decides the pixels of a crop, and where it lies: a folder holds crops of one kind only.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Settings {
    frames: usize,
    crop: FaceCrop,
    face: Which,
    min_face: f32,
    min_probability: f32,
    format: Format,
    /// Folders of earlier versions hold files, and do not say so.
    #[serde(default)]
    store: Place,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    in_place: Option<InPlace>,
    /// What found the faces; folders of earlier versions do not say so and hold MTCNN's.
    #[serde(default)]
    face_detector: Option<FaceDetectorId>,
    /// The part of the files that the folder is for: the manifest of one part must not take the
    /// place of another's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    shard: Option<Shard>,
}

/// A row of `failures.jsonl`.
#[derive(Debug, Clone, PartialEq, Serialize)]
struct Failure {
    path: PathBuf,
    /// The path below the data set.
    file: String,
    error: String,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<Outcome> {
    if args.frames == 0 {
        anyhow::bail!("--frames must be 1 or more");
    }
    let device = args.device.open()?;
    let faces = MtcnnConfig { min_face: args.min_face.into(), ..MtcnnConfig::default() }.init(&device)?;
    let settings = Settings {
        frames: args.frames,
        crop: FaceCrop { size: args.size, scale: args.scale, align: args.align },
        face: args.face,
        min_face: args.min_face,
        min_probability: args.min_probability,
        format: args.format,
        store: args.store,
        in_place: args.in_place,
        face_detector: Some(faces.id()),
        shard: args.shard,
    };
    let mut samples = read_dataset(&args.data)?;
    if let Some(shard) = args.shard {
        samples.retain(|sample| shard.takes(root_of(&args.data), sample));
    }
    // Parts name their crops by full path, so the folder must not hang on where we stand.
    let store =
        Store::open(&std::path::absolute(&args.out)?, root_of(&args.data), settings, args.tar_size << 20)?;

    let waiting: Vec<&Sample> = samples.iter().filter(|s| !store.is_done(s)).collect();
    if waiting.len() < samples.len() {
        eprintln!("{} of {} files are done already", samples.len() - waiting.len(), samples.len());
    }
    let progress = Progress::new("extracting", waiting.len(), "files");
    let failures: Vec<Failure> = waiting
        .par_iter()
        .filter_map(|sample| {
            if interrupt::requested() {
                return None;
            }
            let result = store.extract(sample, &faces);
            progress.add(1, &sample.path.display().to_string());
            let error = output::one_line(&result.err()?);
            progress.say(&format!("failed: {}: {error}", sample.path.display()));
            let file = name_below(&store.root, &sample.path);
            Some(Failure { path: sample.path.clone(), file, error })
        })
        .collect();
    progress.finish();
    if interrupt::requested() {
        return Ok(Outcome::Interrupted);
    }
    if let Some(shards) = &store.shards {
        shards.finish()?;
    }
    let crops = store.assemble(&samples, &failures)?;
    say!(
        "{crops} crops from {} of {} files, manifest {}",
        samples.len() - failures.len(),
        samples.len(),
        args.out.join("manifest.jsonl").display()
    );
    if !failures.is_empty() {
        say!("{} files failed, see {}", failures.len(), args.out.join("failures.jsonl").display());
        return Ok(Outcome::SomeFailed);
    }
    Ok(Outcome::Done)
}

/// The output folder. Each input leaves one small manifest under `done/` once all its crops
/// are written, so that a run can stop anywhere and no row is lost or doubled.
struct Store {
    folder: PathBuf,
    /// Of the data set.
    root: PathBuf,
    settings: Settings,
    /// How videos are opened.
    reading: VideoOptions,
    /// Where crops go when they are no files.
    shards: Option<Shards>,
}

impl Store {
    fn open(folder: &Path, root: &Path, settings: Settings, tar_bytes: u64) -> anyhow::Result<Self> {
        let path = folder.join("extract.toml");
        if path.is_file() {
            let text =
                fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
            let mut before: Settings =
                toml::from_str(&text).with_context(|| format!("{} cannot be understood", path.display()))?;
            if before.face_detector.is_none() {
                before.face_detector.clone_from(&settings.face_detector);
            }
            if before != settings {
                anyhow::bail!(
                    "{} holds crops made with other settings (see extract.toml there): use another --out, or the \
                     same settings",
                    folder.display()
                );
            }
        } else {
            output::write_file(&path, toml::to_string_pretty(&settings)?.as_bytes())?;
        }
        let done = folder.join("done");
        fs::create_dir_all(&done).with_context(|| format!("cannot create {}", done.display()))?;
        let reading = VideoReader::options().limits(Limits::untrusted());
        #[cfg(unix)]
        let reading = reading.isolated_by(&crate::isolation::decoder()?);
        let shards = match settings.store {
            Place::Files => None,
            Place::Tar => Some(Shards::open(folder.join("shards"), &done, tar_bytes)?),
        };
        Ok(Self { folder: folder.to_owned(), root: root.to_owned(), settings, reading, shards })
    }

    fn part(&self, sample: &Sample) -> PathBuf {
        self.folder.join("done").join(format!("{}.jsonl", key(sample)))
    }

    fn is_done(&self, sample: &Sample) -> bool {
        self.part(sample).is_file()
    }

    fn extract(&self, sample: &Sample, faces: &dyn FaceDetector) -> anyhow::Result<()> {
        let key = key(sample);
        let hash = sha256_of_file(&sample.path)?;
        let mut rows = Vec::new();
        // Of the crops that go into a shard together.
        let mut pictures = Vec::new();
        let mut frames = 0;
        let Settings { min_probability, face, .. } = self.settings;
        let selection = Selection::from(face);
        let mut take =
            |image: &RgbImage, pts_seconds: Option<f64>, index: Option<u64>| -> anyhow::Result<()> {
                frames += 1;
                let face = match self.settings.in_place {
                    Some(_) => faces.find_in_crop(image, min_probability, selection)?,
                    None => selection.pick(&faces.find(image, min_probability)?),
                };
                if let Some(face) = face {
                    let mut row = self.row(sample, image, &face)?;
                    if self.settings.in_place.is_none() {
                        let extension = match self.settings.format {
                            Format::Png => "png",
                            Format::Jpeg => "jpg",
                        };
                        let name = format!("{}-{key}-{:04}.{extension}", stem(&sample.path), frames - 1);
                        let crop = self.settings.crop.cut(image, face.bbox, Some(&face.landmarks))?;
                        let picture = self.encode(&crop)?;
                        if self.shards.is_some() {
                            row.path = name.into();
                            pictures.push(picture);
                        } else {
                            row.path = self.folder.join("crops").join(sample.label.to_string()).join(name);
                            output::write_file(&row.path, &picture)?;
                        }
                    }
                    row.pts_seconds = pts_seconds;
                    row.extra.insert("frame_index", serde_json::json!(index));
                    row.extra.insert("file", name_below(&self.root, &sample.path));
                    row.extra.insert("file_sha256", hash.as_str());
                    rows.push(row);
                }
                Ok(())
            };
        let mut warnings = Vec::new();
        if sample.media() == Some(Media::Image) {
            take(&read_picture(&sample.path)?, None, None)?;
        } else if self.settings.in_place.is_some() {
            anyhow::bail!("this is a video, and --in-place is for pictures: leave the option out");
        } else {
            let mut reader = self.reading.clone().open(&sample.path)?;
            for frame in reader.sample(Sampling::Uniform(self.settings.frames)) {
                let frame = frame?;
                // The same picture twice would count twice in training.
                if !frame.repeats_previous {
                    take(&frame.image, Some(frame.pts_seconds), frame.index)?;
                }
            }
            warnings.extend(reader.warnings().iter().map(ToString::to_string));
        }
        if rows.is_empty() {
            anyhow::bail!("no face found in {frames} frames");
        }
        if !warnings.is_empty() {
            for row in &mut rows {
                row.extra.insert("warnings", warnings.clone());
            }
        }
        let partial = self.folder.join("done").join(format!("{key}.partial"));
        let finish = |rows: &[Sample]| -> anyhow::Result<()> {
            write_manifest(&partial, rows)?;
            fs::rename(&partial, self.part(sample))
                .with_context(|| format!("cannot finish {}", partial.display()))
        };
        match &self.shards {
            Some(shards) => shards.add(&mut rows, &pictures, finish),
            None => finish(&rows),
        }
    }

    /// What the manifest says about a face, its time aside; landmarks are in pixels of the file
    /// that the row is going to name.
    fn row(&self, sample: &Sample, image: &RgbImage, face: &Face) -> anyhow::Result<Sample> {
        let mut extra = sample.extra.clone();
        let (bbox, landmarks) = match self.settings.in_place {
            Some(InPlace::Box) => (Some(face.bbox), face.landmarks),
            Some(InPlace::Landmarks) => (None, face.landmarks),
            None => {
                extra.insert("bbox_in_frame", serde_json::json!(face.bbox));
                extra.insert("landmarks_in_frame", serde_json::json!(face.landmarks));
                extra.insert("frame_size", serde_json::json!([image.width(), image.height()]));
                let image_from_crop = self.settings.crop.image_from_crop(face.bbox, Some(&face.landmarks))?;
                let crop_from_image = image_from_crop.inverse().context("the face is too small to be cut")?;
                (None, face.landmarks.map(|p| crop_from_image.apply(p)))
            }
        };
        extra.insert("face_probability", face.probability);
        Ok(Sample {
            video: sample.video.clone().or_else(|| Some(sample.path.display().to_string())),
            bbox,
            landmarks: Some(landmarks),
            detector: self.settings.face_detector.as_ref().map(|id| id.name.clone()),
            extra,
            ..sample.clone()
        })
    }

    fn encode(&self, crop: &RgbImage) -> anyhow::Result<Vec<u8>> {
        let mut bytes = std::io::Cursor::new(Vec::new());
        match self.settings.format {
            Format::Png => crop.write_to(&mut bytes, image::ImageFormat::Png)?,
            Format::Jpeg => {
                crop.write_with_encoder(image::codecs::jpeg::JpegEncoder::new_with_quality(&mut bytes, 95))?;
            }
        }
        Ok(bytes.into_inner())
    }

    /// Puts the parts together in the order of the data set; the number of crops.
    fn assemble(&self, samples: &[Sample], failures: &[Failure]) -> anyhow::Result<usize> {
        let path = self.folder.join("manifest.jsonl");
        let partial = self.folder.join("manifest.partial.jsonl");
        let mut writer = ManifestWriter::create(&partial)?;
        let mut crops = 0;
        for sample in samples.iter().filter(|s| self.is_done(s)) {
            for mut row in read_manifest(self.part(sample))? {
                // Splits and sources may have been corrected since the crops were cut.
                row.split = sample.split;
                row.source.clone_from(&sample.source);
                // Parts that an earlier version made do not say it.
                row.extra.insert("file", name_below(&self.root, &sample.path));
                writer.write(&row)?;
                crops += 1;
            }
        }
        writer.finish()?;
        fs::rename(&partial, &path).map_err(|source| DataError::Io { path: path.clone(), source })?;
        let mut lines = String::new();
        let by_path: BTreeMap<&Path, &Failure> = failures.iter().map(|f| (f.path.as_path(), f)).collect();
        for failure in by_path.values() {
            lines.push_str(&serde_json::to_string(failure)?);
            lines.push('\n');
        }
        output::write_file(&self.folder.join("failures.jsonl"), lines.as_bytes())?;
        Ok(crops)
    }
}

/// Tells inputs apart whatever their names: the start of a hash of the path.
fn key(sample: &Sample) -> String {
    let mut key = sha256_of_bytes(sample.path.to_string_lossy().as_bytes());
    key.truncate(12);
    key
}

/// The file name without extension, safe on every system.
fn stem(path: &Path) -> String {
    let name = path.file_stem().map(|s| s.to_string_lossy()).unwrap_or_default();
    name.chars()
        .map(|c| if c.is_alphanumeric() || matches!(c, '-' | '_') { c } else { '_' })
        .take(60)
        .collect()
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
