//! Other Rust runtimes on the network that `cargo xtask peers network` measures, on one thread.
//!
//! Each line of standard input is a request, each line of standard output its answer, as those of
//! the example `measure_network` of deeptell-mobilenet:
//!
//! ```json
//! {"engine": "tract", "onnx": "net.onnx", "images": "x.f32", "batch": 16, "repeat": 3}
//! {"cpu_ms": 14.2, "wall_ms": 14.2, "values": [0.31, -0.2]}
//! ```

use std::error::Error;
use std::io::{BufRead as _, Write as _};
use std::sync::Arc;
use std::time::Instant;

use rten::{ModelOptions, RunOptions, ThreadPool, Value, ValueView};
use rustix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};
use tract_onnx::prelude::*;

type Failure = Box<dyn Error + Send + Sync>;

const SIDE: usize = 224;
const WARM_UP: usize = 2;

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum Engine {
    Tract,
    Rten,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Request {
    engine: Engine,
    onnx: String,
    images: String,
    batch: usize,
    repeat: usize,
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
        let bytes = std::fs::read(&request.images)?;
        let values = bytes.as_chunks::<4>().0.iter().map(|bytes| f32::from_le_bytes(*bytes));
        let images: Vec<f32> = values.take(request.batch * 3 * SIDE * SIDE).collect();
        let answer = match request.engine {
            Engine::Tract => tract(&request, images)?,
            Engine::Rten => rten(&request, images)?,
        };
        writeln!(output, "{}", serde_json::to_string(&answer)?)?;
        output.flush()?;
    }
    Ok(())
}

fn tract(request: &Request, images: Vec<f32>) -> Result<Answer, Failure> {
    let shape = [request.batch, 3, SIDE, SIDE];
    let model = tract_onnx::onnx()
        .model_for_path(&request.onnx)?
        .with_input_fact(0, f32::fact(shape).into())?
        .into_optimized()?
        .into_runnable()?;
    let images: Tensor = tract_ndarray::Array4::from_shape_vec(shape, images)?.into();
    timed(request.repeat, || {
        let output = model.run(tvec!(images.clone().into()))?;
        Ok(output[0].to_plain_array_view::<f32>()?.iter().copied().collect())
    })
}

fn rten(request: &Request, images: Vec<f32>) -> Result<Answer, Failure> {
    let model = ModelOptions::with_all_ops().prepack_weights(true).load_file(&request.onnx)?;
    let pool = Arc::new(ThreadPool::with_num_threads(1));
    let shape = [request.batch, 3, SIDE, SIDE];
    timed(request.repeat, || {
        let input = ValueView::from_shape(shape, &images)?;
        let options = RunOptions::default().with_thread_pool(Some(Arc::clone(&pool)));
        let output: Value = model.run_one(input.into(), Some(options))?;
        Ok(output.into_shape_vec::<f32, 2>()?.1)
    })
}

fn timed(repeat: usize, mut work: impl FnMut() -> Result<Vec<f32>, Failure>) -> Result<Answer, Failure> {
    let mut values = Vec::new();
    for _ in 0..WARM_UP {
        values = work()?;
    }
    let (mut cpu, mut wall) = (Vec::new(), Vec::new());
    for _ in 0..repeat {
        let (start, cpu_start) = (Instant::now(), cpu_ms());
        work()?;
        wall.push(1000.0 * start.elapsed().as_secs_f64());
        cpu.push(cpu_ms() - cpu_start);
    }
    Ok(Answer { cpu_ms: median(cpu), wall_ms: median(wall), values })
}

/// CPU time of this process so far.
fn cpu_ms() -> f64 {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    1e3 * time.tv_sec as f64 + 1e-6 * time.tv_nsec as f64
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
