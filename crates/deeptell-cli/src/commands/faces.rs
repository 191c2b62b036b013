use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context as _;
use deeptell::{FaceList, FileFaces};
use deeptell_face::{Face, FaceDetector, FaceTracker, RgbImage, SampleTracker, draw_faces};
use deeptell_mtcnn::{FaceSize, Mtcnn, MtcnnConfig, Tracker, TrackerConfig};
use deeptell_video::{Media, Sampling, VideoOptions, VideoReader};

use crate::device::DeviceName;
use crate::face_detector::{FaceDetectorName, yunet};
use crate::output::alert;
use crate::{Outcome, interrupt, output};

/// Find the faces in pictures and videos: boxes, scores and five landmarks each.
///
/// Videos are sampled at frames spread evenly over them; a face that is seen in several frames keeps
/// its track number. A file that cannot be read is reported, and the next one is processed.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  deeptell faces group.jpg
  deeptell faces *.jpg --json - | jq '.[] | {file, faces: .faces | length}'
  deeptell faces crowd.png --min-face 12 --draw marked/
  deeptell faces snapshots/*.jpg --quick
  deeptell faces portraits/*.jpg --largest
  deeptell faces snapshots/*.jpg --min-face-fraction 0.1 --max-side 960
  deeptell faces interview.mp4 --every-frame --json tracks.json

JSON: a list with one object per file; the largest face first, all coordinates in pixels:
  {\"file\": \"a.jpg\", \"faces\": [{\"box\": [x1, y1, x2, y2], \"score\": 0.99, \"landmarks\": [[x, y], ...]}]}
For a video: {\"file\": \"a.mp4\", \"frames\": [{\"seconds\": 0.5, \"faces\": [{\"track\": 0, \"box\": ...}]}]}
For a file that failed: {\"file\": \"b.jpg\", \"error\": \"...\"}")]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of the command line")]
pub(crate) struct Args {
    /// Pictures and videos.
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Face detector; YuNet shrinks pictures to 960 pixels unless --max-side says otherwise.
    #[arg(long, value_enum, default_value_t, value_name = "NAME")]
    face_detector: FaceDetectorName,
    /// Smallest face to detect, in pixels of the picture.
    #[arg(long, default_value_t = 20.0, value_name = "PIXELS")]
    min_face: f32,
    /// Smallest face to detect, as a fraction of the picture's shorter side; instead of --min-face.
    #[arg(long, alias = "min-face-part", value_name = "0..1", conflicts_with = "min_face")]
    min_face_fraction: Option<f32>,
    /// Shrink larger pictures to this longer side before detection; boxes stay in pixels of the
    /// original.
    #[arg(long, value_name = "PIXELS")]
    max_side: Option<u32>,
    /// Detect only faces of at least a tenth of the shorter side, in pictures shrunk to 640 pixels:
    /// several times as fast, with slightly different boxes.
    #[arg(long, conflicts_with_all = ["min_face", "min_face_fraction", "max_side"])]
    quick: bool,
    /// Detect only the largest face of each picture or frame; the larger it is, the faster.
    #[arg(long, conflicts_with = "every_frame")]
    largest: bool,
    /// Search pictures without a face again, rotated by 90, -90 and 180 degrees.
    #[arg(long, alias = "turned")]
    try_rotations: bool,
    /// Number of frames to sample, spread evenly over each video.
    #[arg(long, default_value_t = 12, value_name = "N")]
    frames: usize,
    /// Search every frame of a video, and track faces from frame to frame.
    #[arg(long, conflicts_with = "frames")]
    every_frame: bool,
    /// Stream of a video to search, numbered from 0 over all streams of the file [default: the one
    /// that players show].
    #[arg(long, value_name = "NUMBER")]
    stream: Option<u32>,
    /// Turn off the protection against malicious files; only for files whose origin you trust.
    ///
    /// Lifts the limits on formats, sizes and decoding time, and decodes in this process instead of a
    /// sandboxed one.
    #[arg(long)]
    trusted: bool,
    /// Write the faces as JSON; `-` is standard output.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Write the pictures and frames with their boxes and landmarks, as PNG, into this folder.
    #[arg(long, value_name = "DIR")]
    draw: Option<PathBuf>,
    /// Device to compute on.
    #[arg(long, value_enum, default_value_t = DeviceName::Cpu)]
    device: DeviceName,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<Outcome> {
    let config = if args.quick {
        MtcnnConfig::quick()
    } else {
        let min_face = args.min_face_fraction.map_or(FaceSize::Pixels(args.min_face), FaceSize::Fraction);
        MtcnnConfig::default().min_face(min_face).max_side(args.max_side)
    };
    let config = config.retry_turned(args.try_rotations);
    deeptell_files::check_outputs(&args.json, &args.files)?;
    if args.frames == 0 {
        anyhow::bail!("--frames must be at least 1");
    }
    let device = args.device.open()?;
    let finder = match args.face_detector {
        FaceDetectorName::Mtcnn => {
            let mtcnn = config.init(&device)?;
            Finder { detector: Arc::new(mtcnn.clone()), mtcnn: Some(mtcnn) }
        }
        FaceDetectorName::Yunet => {
            let mtcnn_only = [
                ("--min-face-fraction", args.min_face_fraction.is_some()),
                ("--quick", args.quick),
                ("--try-rotations", args.try_rotations),
                ("--every-frame", args.every_frame),
            ];
            if let Some((option, _)) = mtcnn_only.into_iter().find(|(_, is_set)| *is_set) {
                anyhow::bail!("{option} is for MTCNN: leave it out, or pass --face-detector mtcnn");
            }
            Finder { detector: Arc::new(yunet(args.min_face, args.max_side, &device)?), mtcnn: None }
        }
    };
    let options = crate::isolation::reading(args.stream, args.trusted)?;
    let mut entries = Vec::new();
    for file in &args.files {
        if interrupt::requested() {
            return Ok(Outcome::Interrupted);
        }
        let list = faces_of(args, &finder, &options, file).unwrap_or_else(|error| {
            let error = output::one_line(&error);
            alert!("error: {}", output::about(file, &error));
            FaceList::Error(error)
        });
        entries.push(FileFaces::new(file, list));
    }
    if let Some(target) = &args.json {
        output::write_json(&entries, target)?;
    }
    if args.json.as_deref() != Some(Path::new("-")) {
        for entry in &entries {
            output::lines(entry)?;
        }
    }
    let has_failed = entries.iter().any(|entry| matches!(entry.list, FaceList::Error(_)));
    Ok(if has_failed { Outcome::SomeFailed } else { Outcome::Done })
}

/// The face detector, and MTCNN where it is that: a [`Tracker`] takes no other.
struct Finder {
    detector: Arc<dyn FaceDetector>,
    mtcnn: Option<Mtcnn>,
}

fn faces_of(args: &Args, finder: &Finder, options: &VideoOptions, file: &Path) -> anyhow::Result<FaceList> {
    match options.clone().open_media(file)? {
        Media::Picture(read) => {
            if let Some(trailing) = read.trailing {
                alert!("warning: {}: {trailing}", file.display());
            }
            picture(args, &*finder.detector, file, read.image)
        }
        Media::Video(mut reader) => video(args, finder, file, &mut reader),
        _ => anyhow::bail!("this is neither a picture nor a video"),
    }
}

fn picture(
    args: &Args,
    detector: &dyn FaceDetector,
    file: &Path,
    image: RgbImage,
) -> anyhow::Result<FaceList> {
    let faces = if args.largest {
        detector.detect_largest(&image)?.into_iter().collect()
    } else {
        detector.find(&image, 0.0)?
    };
    write_drawing(args, image, &faces, file, ".png")?;
    Ok(FaceList::of_picture(&faces))
}

fn video(args: &Args, finder: &Finder, file: &Path, reader: &mut VideoReader) -> anyhow::Result<FaceList> {
    let sampling = if args.every_frame { Sampling::EveryFrame } else { Sampling::Uniform(args.frames) };
    let mut tracker: Option<Box<dyn FaceTracker + '_>> = match &finder.mtcnn {
        Some(mtcnn) if args.every_frame => {
            Some(Box::new(Tracker::new(mtcnn.clone(), TrackerConfig::default())?))
        }
        _ if args.largest => None,
        _ => Some(Box::new(SampleTracker::new(&*finder.detector))),
    };
    let frames = reader.sample(sampling).take_while(|_| !interrupt::requested());
    let find = |frame: &RgbImage| -> anyhow::Result<Vec<(Option<u64>, Face)>> {
        Ok(match &mut tracker {
            Some(tracker) => {
                tracker.next_faces(frame)?.into_iter().map(|(track, face)| (Some(track), face)).collect()
            }
            None => finder.detector.detect_largest(frame)?.into_iter().map(|face| (None, face)).collect(),
        })
    };
    let list = FaceList::of_frames(frames, find, |number, frame, faces| {
        write_drawing(args, frame, faces, file, &format!("-{number:05}.png"))
    })?;
    for warning in reader.warnings() {
        alert!("warning: {}: {warning}", file.display());
    }
    Ok(list)
}

/// Draws boxes and landmarks and writes a PNG, if that was asked for.
fn write_drawing(
    args: &Args,
    mut image: RgbImage,
    faces: &[Face],
    file: &Path,
    suffix: &str,
) -> anyhow::Result<()> {
    let Some(folder) = &args.draw else { return Ok(()) };
    draw_faces(&mut image, faces);
    let mut bytes = std::io::Cursor::new(Vec::new());
    image.write_to(&mut bytes, image::ImageFormat::Png).context("cannot encode the drawing")?;
    // The whole file name: `a.jpg` and `a.png` must not overwrite each other's drawing.
    let name = file.file_name().map(|name| name.to_string_lossy()).unwrap_or_default();
    output::write_file(&folder.join(format!("{name}{suffix}")), bytes.get_ref())
}
