//! Our side of `cargo xtask peers faces`: detects faces when asked to, and says what that took.
//!
//! ```sh
//! cargo run --release -p deeptell-mtcnn --example measure
//! ```
//!
//! Each line of standard input is a request, each line of standard output its answer:
//!
//! ```json
//! {"images": ["a.png", "b.png"], "min_face": {"pixels": 20}, "threads": 1, "batch": false, "repeat": 5}
//! {"cpu_ms": 14.2, "wall_ms": 14.2, "faces": [1, 6]}
//! ```
//!
//! Times are for one image, the median over the repetitions, and CPU time counts all threads,
//! user and system. Decoding and one repetition that warms up are left out. `max_side` and
//! `overlaps` may be given too.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::error::Error;
use std::io::{BufRead as _, Write as _};
use std::time::Instant;

use burn::tensor::Device;
use deeptell_face::RgbImage;
use deeptell_mtcnn::{FaceSize, Mtcnn, MtcnnConfig, Overlaps};
use rayon::{ThreadPool, ThreadPoolBuilder};
use rustix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Request {
    images: Vec<String>,
    min_face: FaceSize,
    #[serde(default)]
    max_side: Option<u32>,
    #[serde(default)]
    overlaps: Overlaps,
    threads: usize,
    /// All images in one call instead of one after the other.
    #[serde(default)]
    batch: bool,
    repeat: usize,
}

#[derive(Serialize)]
struct Answer {
    cpu_ms: f64,
    wall_ms: f64,
    /// Faces in each image.
    faces: Vec<usize>,
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut images: HashMap<String, RgbImage> = HashMap::new();
    let mut pools: HashMap<usize, ThreadPool> = HashMap::new();
    let mut output = std::io::stdout();
    for line in std::io::stdin().lock().lines() {
        let request: Request = serde_json::from_str(&line?)?;
        if request.repeat == 0 || request.images.is_empty() {
            return Err("a request needs an image and a repetition".into());
        }
        for path in &request.images {
            if !images.contains_key(path) {
                images.insert(path.clone(), image::open(path)?.into_rgb8());
            }
        }
        let pool = match pools.entry(request.threads) {
            Entry::Occupied(pool) => pool.into_mut(),
            Entry::Vacant(place) => {
                place.insert(ThreadPoolBuilder::new().num_threads(request.threads).build()?)
            }
        };
        let frames: Vec<&RgbImage> = request.images.iter().map(|path| &images[path]).collect();
        let config = MtcnnConfig::default()
            .min_face(request.min_face)
            .max_side(request.max_side)
            .overlaps(request.overlaps);
        let mtcnn = config.init(&Device::flex())?;
        let answer = pool.install(|| measured(&mtcnn, &frames, &request))?;
        writeln!(output, "{}", serde_json::to_string(&answer)?)?;
        output.flush()?;
    }
    Ok(())
}

fn measured(
    mtcnn: &Mtcnn,
    frames: &[&RgbImage],
    request: &Request,
) -> Result<Answer, deeptell_mtcnn::MtcnnError> {
    let run = || -> Result<Vec<usize>, deeptell_mtcnn::MtcnnError> {
        if request.batch {
            return Ok(mtcnn.detect_batch(frames)?.iter().map(Vec::len).collect());
        }
        frames.iter().map(|frame| Ok(mtcnn.detect(frame)?.len())).collect()
    };
    let faces = run()?;
    let (mut cpu, mut wall) = (Vec::new(), Vec::new());
    for _ in 0..request.repeat {
        let (start, cpu_start) = (Instant::now(), cpu_ms());
        run()?;
        wall.push(1000.0 * start.elapsed().as_secs_f64() / frames.len() as f64);
        cpu.push((cpu_ms() - cpu_start) / frames.len() as f64);
    }
    Ok(Answer { cpu_ms: median(cpu), wall_ms: median(wall), faces })
}

/// CPU time of this process so far.
fn cpu_ms() -> f64 {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    1e3 * time.tv_sec as f64 + 1e-6 * time.tv_nsec as f64
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    if values.len() % 2 == 1 { values[middle] } else { 0.5 * (values[middle - 1] + values[middle]) }
}
