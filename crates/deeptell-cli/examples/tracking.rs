//! Holds the face tracker, and the search for the largest face alone, against the full cascade on every frame of
//! some clips.
//!
//! ```sh
//! cargo run --release -p deeptell-cli --example tracking -- CLIP... [--key-interval 5] [--min-face 20]
//! ```
//!
//! A clip is a video or a folder of pictures, its frames in the order of their names. For each,
//! and for all together:
//! - cost: CPU time a frame on one thread, of the cascade over that of the tracker;
//! - recall: of the faces the cascade finds in frames that the tracker did not search, the share
//!   that the tracker has with an overlap of at least 0.5; and the mean overlap of those;
//! - jitter: root mean square of the second difference over three frames in a row, in face
//!   widths, of the boxes' centers and sides, tracker over cascade, for the same faces;
//! - largest: CPU time of the cascade over that of the search for the largest face alone, and the frames in which that
//!   is, number for number, the cascade's largest face.

use std::error::Error;
use std::path::{Path, PathBuf};

use burn::tensor::Device;
use clap::Parser;
use deeptell_face::{Face, RgbImage};
use deeptell_mtcnn::{FoundBy, Mtcnn, MtcnnConfig, TrackedFrame, Tracker, TrackerConfig};
use deeptell_video::{Limits, Sampling, VideoError, VideoReader};
use rustix::time::{ClockId, clock_gettime};

/// Overlap from which on two boxes are the same face.
const SAME_FACE: f32 = 0.5;

#[derive(Parser)]
struct Args {
    /// Videos, and folders of pictures.
    #[arg(required = true)]
    clips: Vec<PathBuf>,
    /// Frames from one search to the next.
    #[arg(long, default_value_t = TrackerConfig::default().key_interval)]
    key_interval: usize,
    /// Smallest face, in pixels.
    #[arg(long, default_value_t = 20.0)]
    min_face: f32,
    /// Frames of each clip at most.
    #[arg(long, default_value_t = 300)]
    frames: usize,
}

/// Sums over frames and faces.
#[derive(Debug, Default, Clone, Copy)]
struct Sums {
    frames: usize,
    searched: usize,
    cascade_ms: f64,
    tracker_ms: f64,
    largest_ms: f64,
    /// Frames in which the largest face alone is that of the cascade.
    agreed: usize,
    faces: usize,
    recalled: usize,
    overlap: f64,
    /// Squares of the second differences of cascade and tracker: center x, y, width, height.
    jitter: [[f64; 4]; 2],
    triples: usize,
}

impl Sums {
    fn add(&mut self, other: &Self) {
        self.frames += other.frames;
        self.searched += other.searched;
        self.cascade_ms += other.cascade_ms;
        self.tracker_ms += other.tracker_ms;
        self.largest_ms += other.largest_ms;
        self.agreed += other.agreed;
        self.faces += other.faces;
        self.recalled += other.recalled;
        self.overlap += other.overlap;
        self.triples += other.triples;
        for (sums, others) in self.jitter.iter_mut().zip(&other.jitter) {
            for (sum, other) in sums.iter_mut().zip(others) {
                *sum += other;
            }
        }
    }

    #[expect(clippy::print_stdout, reason = "an example talks to its user")]
    fn print(&self, name: &str) {
        let frames = self.frames as f64;
        let ratios = [0, 1, 2, 3].map(|i| (self.jitter[1][i] / self.jitter[0][i]).sqrt());
        println!(
            "{name}: {} frames, {} searched; {:.2} / {:.2} ms a frame = {:.2}; recall {:.3} of {}, overlap {:.3}; \
             jitter x {:.2} y {:.2} w {:.2} h {:.2} of the cascade's; \
             largest {:.2}, the same in {}",
            self.frames,
            self.searched,
            self.cascade_ms / frames,
            self.tracker_ms / frames,
            self.cascade_ms / self.tracker_ms,
            self.recalled as f64 / self.faces as f64,
            self.faces,
            self.overlap / self.recalled as f64,
            ratios[0],
            ratios[1],
            ratios[2],
            ratios[3],
            self.cascade_ms / self.largest_ms,
            self.agreed,
        );
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let args = Args::parse();
    rayon::ThreadPoolBuilder::new().num_threads(1).build_global()?;
    let mtcnn = MtcnnConfig::default().min_face(args.min_face).init(&Device::flex())?;
    let mut all = Sums::default();
    for clip in &args.clips {
        let sums = measure(&mtcnn, &frames(clip, args.frames)?, args.key_interval)?;
        sums.print(&clip.display().to_string());
        all.add(&sums);
    }
    all.print("all");
    Ok(())
}

/// The first frames of a clip.
fn frames(clip: &Path, limit: usize) -> Result<Vec<RgbImage>, Box<dyn Error>> {
    if clip.is_dir() {
        let mut files: Vec<PathBuf> =
            std::fs::read_dir(clip)?.map(|entry| Ok(entry?.path())).collect::<std::io::Result<_>>()?;
        files.sort();
        return files.iter().take(limit).map(|file| Ok(image::open(file)?.into_rgb8())).collect();
    }
    let mut reader = VideoReader::options().limits(Limits::untrusted()).open(clip)?;
    let frames = reader.sample(Sampling::EveryFrame).take(limit);
    Ok(frames.map(|frame| Ok(frame?.image)).collect::<Result<_, VideoError>>()?)
}

fn measure(mtcnn: &Mtcnn, frames: &[RgbImage], key_interval: usize) -> Result<Sums, Box<dyn Error>> {
    let first = frames.first().ok_or("a clip without frames")?;
    mtcnn.detect(first)?;
    let start = cpu_ms();
    let cascade = frames.iter().map(|frame| mtcnn.detect(frame)).collect::<Result<Vec<_>, _>>()?;
    let cascade_ms = cpu_ms() - start;
    let mut tracker = Tracker::new(mtcnn.clone(), TrackerConfig::default().key_interval(key_interval))?;
    let start = cpu_ms();
    let tracked = frames.iter().map(|frame| tracker.follow(frame)).collect::<Result<Vec<_>, _>>()?;
    let tracker_ms = cpu_ms() - start;
    let start = cpu_ms();
    let largest = frames.iter().map(|frame| mtcnn.detect_largest(frame)).collect::<Result<Vec<_>, _>>()?;
    let largest_ms = cpu_ms() - start;
    let agreed = largest.iter().zip(&cascade).filter(|(face, faces)| face.as_ref() == faces.first()).count();
    let mut sums =
        Sums { frames: frames.len(), cascade_ms, tracker_ms, largest_ms, agreed, ..Sums::default() };
    for (faces, frame) in cascade.iter().zip(&tracked) {
        if frame.found_by != FoundBy::OutputNetwork {
            sums.searched += 1;
            continue;
        }
        for face in faces {
            let overlap = frame.faces.iter().map(|tracked| tracked.face.bbox.iou(&face.bbox));
            let overlap = overlap.fold(0.0, f32::max);
            sums.faces += 1;
            if overlap >= SAME_FACE {
                sums.recalled += 1;
                sums.overlap += f64::from(overlap);
            }
        }
    }
    for (faces, frames) in cascade.windows(3).zip(tracked.windows(3)) {
        add_jitter(faces, frames, &mut sums);
    }
    Ok(sums)
}

/// The second differences of every track that is in three frames, and in the cascade's too.
fn add_jitter(cascade: &[Vec<Face>], tracked: &[TrackedFrame], sums: &mut Sums) {
    for face in &tracked[0].faces {
        let own = tracked.iter().filter_map(|frame| {
            frame.faces.iter().find(|other| other.track == face.track).map(|tracked| tracked.face)
        });
        let own: Vec<Face> = own.collect();
        let theirs = own.iter().zip(cascade).filter_map(|(own, faces)| {
            let best = faces.iter().max_by(|a, b| a.bbox.iou(&own.bbox).total_cmp(&b.bbox.iou(&own.bbox)))?;
            (best.bbox.iou(&own.bbox) >= SAME_FACE).then_some(*best)
        });
        let theirs: Vec<Face> = theirs.collect();
        if own.len() < 3 || theirs.len() < 3 {
            continue;
        }
        sums.triples += 1;
        for (squares, faces) in sums.jitter.iter_mut().zip([&theirs, &own]) {
            let numbers = |face: &Face| {
                let center = face.bbox.center();
                [center.x, center.y, face.bbox.width(), face.bbox.height()]
            };
            let [a, b, c] = [numbers(&faces[0]), numbers(&faces[1]), numbers(&faces[2])];
            for (i, square) in squares.iter_mut().enumerate() {
                *square += f64::from((a[i] - 2.0 * b[i] + c[i]) / theirs[1].bbox.width()).powi(2);
            }
        }
    }
}

/// CPU time of this process so far.
fn cpu_ms() -> f64 {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    1e3 * time.tv_sec as f64 + 1e-6 * time.tv_nsec as f64
}
