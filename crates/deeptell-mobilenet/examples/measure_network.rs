//! Our side of `cargo xtask peers network`: runs the network when asked to, and says what that took.
//!
//! ```sh
//! cargo run --release -p deeptell-mobilenet --example measure_network
//! ```
//!
//! Each line of standard input is a request, each line of standard output its answer:
//!
//! ```json
//! {"work": "inference", "weights": "net.pt", "classes": 1, "images": "x.f32", "batch": 16, "threads": 1, "repeat": 5}
//! {"cpu_ms": 14.2, "wall_ms": 14.2, "values": [0.31, -0.2]}
//! ```
//!
//! `images` holds normalized pixels, `[N, 3, 224, 224]` little-endian `f32`, of which the first
//! `batch` images are taken. Times are for the whole batch, the median over the repetitions after
//! two that warm up; CPU time counts all threads, user and system. `values` are the logits of an
//! `inference`, and the loss of each step, the first ones included, of `training`: forward,
//! binary cross-entropy of the alternating labels 0 and 1, backward, `AdamW`. With `"onnx": "net.onnx"`
//! the network is written there first, for other runtimes.

use std::error::Error;
use std::io::{BufRead as _, Write as _};
use std::time::Instant;

use burn::optim::{AdamWConfig, GradientsParams};
use burn::tensor::activation::log_sigmoid;
use burn::tensor::{Device, Tensor, TensorData};
use deeptell_kernels::keep_buffers;
use deeptell_mobilenet::{MobileNetV3, MobileNetV3Config, Variant, to_onnx};
use deeptell_weights::Weights;
use deeptell_weights::onnx::Options;
use rayon::ThreadPoolBuilder;
use rustix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};

type Failure = Box<dyn Error + Send + Sync>;

const SIDE: usize = 224;
const WARM_UP: usize = 2;

#[derive(Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Work {
    Inference,
    Training,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Request {
    work: Work,
    weights: String,
    classes: usize,
    images: String,
    batch: usize,
    threads: usize,
    repeat: usize,
    /// Probability that a hidden unit is dropped in training; 0 makes the losses comparable.
    #[serde(default)]
    dropout: f64,
    #[serde(default)]
    onnx: Option<String>,
}

#[derive(Serialize)]
struct Answer {
    cpu_ms: f64,
    wall_ms: f64,
    values: Vec<f32>,
}

fn main() -> Result<(), Failure> {
    let mut output = std::io::stdout();
    for line in std::io::stdin().lock().lines() {
        let request: Request = serde_json::from_str(&line?)?;
        if request.repeat == 0 || request.batch == 0 || request.threads == 0 {
            return Err("a request needs an image, a thread and a repetition".into());
        }
        if let Some(path) = &request.onnx {
            let weights = Weights::read(&request.weights)?;
            std::fs::write(path, to_onnx(Variant::Small, &weights, &Options::default())?)?;
        }
        let images = read(&request)?;
        let pool = ThreadPoolBuilder::new().num_threads(request.threads).build()?;
        let answer = pool.install(|| match request.work {
            Work::Inference => inference(&request, images),
            Work::Training => training(&request, images),
        })?;
        writeln!(output, "{}", serde_json::to_string(&answer)?)?;
        output.flush()?;
    }
    Ok(())
}

/// `[batch, 3, 224, 224]`
fn read(request: &Request) -> Result<TensorData, Failure> {
    let bytes = std::fs::read(&request.images)?;
    let values: Vec<f32> = bytes.as_chunks::<4>().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect();
    let len = request.batch * 3 * SIDE * SIDE;
    let values = values.get(..len).ok_or("the file holds fewer images than the batch")?.to_vec();
    Ok(TensorData::new(values, [request.batch, 3, SIDE, SIDE]))
}

fn network(request: &Request, device: &Device) -> Result<MobileNetV3, Failure> {
    let mut network =
        MobileNetV3Config::new(Variant::Small, request.classes).with_dropout(request.dropout).init(device);
    network.load(&Weights::read(&request.weights)?)?;
    Ok(network)
}

fn inference(request: &Request, images: TensorData) -> Result<Answer, Failure> {
    let device = Device::flex();
    let network = network(request, &device)?.folded();
    let images = Tensor::<4>::from_data(images, &device);
    let mut values = Vec::new();
    let (cpu_ms, wall_ms) = timed(request.repeat, || {
        values = network.forward(images.clone()).into_data().try_into_vec::<f32>()?;
        Ok(())
    })?;
    Ok(Answer { cpu_ms, wall_ms, values })
}

fn training(request: &Request, images: TensorData) -> Result<Answer, Failure> {
    // As `deeptell-train` does.
    let _kept = keep_buffers(1 << 30);
    let device = Device::flex().autodiff();
    let mut network = network(request, &device)?;
    let images = Tensor::<4>::from_data(images, &device);
    let labels: Vec<f32> = (0..request.batch).map(|image| (image % 2) as f32).collect();
    let labels = Tensor::<2>::from_data(TensorData::new(labels, [request.batch, 1]), &device);
    let mut optimizer = AdamWConfig::new().with_weight_decay(0.01).with_epsilon(1e-8).init();
    let mut losses = Vec::new();
    let (cpu_ms, wall_ms) = timed(request.repeat, || {
        let logits = network.forward(images.clone());
        let real = labels.clone().mul_scalar(-1.0).add_scalar(1.0);
        let loss = -(labels.clone() * log_sigmoid(logits.clone()) + real * log_sigmoid(-logits)).mean();
        let gradients = GradientsParams::from_grads(loss.backward(), &network);
        network = optimizer.step(1e-3, network.clone(), gradients);
        losses.push(loss.into_scalar::<f32>());
        Ok(())
    })?;
    Ok(Answer { cpu_ms, wall_ms, values: losses })
}

/// CPU and wall time of one call in milliseconds.
fn timed(repeat: usize, mut work: impl FnMut() -> Result<(), Failure>) -> Result<(f64, f64), Failure> {
    for _ in 0..WARM_UP {
        work()?;
    }
    let (mut cpu, mut wall) = (Vec::new(), Vec::new());
    for _ in 0..repeat {
        let (start, cpu_start) = (Instant::now(), cpu_ms());
        work()?;
        wall.push(1000.0 * start.elapsed().as_secs_f64());
        cpu.push(cpu_ms() - cpu_start);
    }
    Ok((median(cpu), median(wall)))
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
