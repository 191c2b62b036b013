//! Samples a video and says what came out, as one JSON line.
//!
//! ```sh
//! cargo run --release -p deeptell-video --example sample -- clip.mp4 12
//! ```
//!
//! Options after the path and the number of frames: `--keyframes`, `--every-frame` (no planning),
//! `--untrusted`, `--max-side N`, `--isolated` (decode each time in a process of its own),
//! `--rounds N` (report the CPU time of each of N runs; the time of other processes is not in it), and
//! `--rgb FILE` (write the pixels of all frames, one after the other).

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::PathBuf;

#[cfg(unix)]
use deeptell_video::DecoderProcess;
use deeptell_video::{Frame, Limits, Sampling, VideoError, VideoInfo, VideoOptions, VideoReader, Warning};
use rustix::time::{ClockId, clock_gettime};
use serde_json::json;

/// The word with which this program starts itself to decode in a process of its own.
#[cfg(unix)]
const DECODE_FOR_PARENT: &str = "decode-for-parent";

struct Request {
    path: PathBuf,
    sampling: Sampling,
    options: VideoOptions,
    rounds: usize,
    rgb: Option<PathBuf>,
}

fn parse(mut words: impl Iterator<Item = String>) -> Option<Request> {
    let path = words.next()?.into();
    let count = words.next()?.parse().ok()?;
    let mut request = Request {
        path,
        sampling: Sampling::Uniform(count),
        options: VideoReader::options(),
        rounds: 1,
        rgb: None,
    };
    while let Some(word) = words.next() {
        request.options = match word.as_str() {
            "--every-frame" => request.options.every_frame(),
            #[cfg(unix)]
            "--isolated" => {
                let this_program = DecoderProcess::new(std::env::current_exe().ok()?).arg(DECODE_FOR_PARENT);
                request.options.isolated_by(&this_program)
            }
            "--untrusted" => request.options.limits(Limits::untrusted()),
            "--max-side" => request.options.max_side(words.next()?.parse().ok()?),
            other => {
                match other {
                    "--keyframes" => request.sampling = Sampling::Keyframes(count),
                    "--rounds" => request.rounds = words.next()?.parse().ok()?,
                    "--rgb" => request.rgb = Some(words.next()?.into()),
                    _ => return None,
                }
                request.options
            }
        };
    }
    Some(request)
}

struct Outcome {
    info: VideoInfo,
    frames: Vec<Frame>,
    warnings: Vec<Warning>,
}

fn run(request: &Request) -> Result<Outcome, VideoError> {
    let mut reader = request.options.clone().open(&request.path)?;
    let frames = reader.sample(request.sampling).collect::<Result<_, _>>()?;
    Ok(Outcome { info: reader.info().clone(), frames, warnings: reader.warnings().to_vec() })
}

/// Milliseconds of CPU that this process has used.
fn cpu_ms() -> f64 {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    time.tv_sec as f64 * 1e3 + time.tv_nsec as f64 / 1e6
}

#[expect(clippy::print_stdout, reason = "an example shows something")]
fn main() -> Result<(), Box<dyn std::error::Error>> {
    #[cfg(unix)]
    if std::env::args().nth(1).as_deref() == Some(DECODE_FOR_PARENT) {
        // Its end is seen on the channel; the exit code tells nobody anything.
        let _ = deeptell_video::serve_decoding();
        return Ok(());
    }
    let request = parse(std::env::args().skip(1)).ok_or("usage: sample VIDEO FRAMES [OPTIONS]")?;
    let mut times = Vec::new();
    let mut last = None;
    for _ in 0..request.rounds {
        let start = cpu_ms();
        let outcome = run(&request);
        times.push(cpu_ms() - start);
        last = Some(outcome);
    }
    let Some(outcome) = last else { return Err("--rounds must be at least 1".into()) };
    let Outcome { info, frames, warnings } = match outcome {
        Ok(outcome) => outcome,
        Err(error) => {
            println!(
                "{}",
                json!({"error": error.to_string(), "kind": format!("{error:?}"), "cpu_ms": times})
            );
            return Ok(());
        }
    };
    if let Some(path) = &request.rgb {
        let mut file = BufWriter::new(File::create(path)?);
        for frame in &frames {
            file.write_all(&frame.image)?;
        }
        file.flush()?;
    }
    let frames: Vec<_> = frames
        .iter()
        .map(|frame| {
            json!({
                "index": frame.index, "pts_seconds": frame.pts_seconds,
                "repeats_previous": frame.repeats_previous,
                "width": frame.image.width(), "height": frame.image.height(),
            })
        })
        .collect();
    let warnings: Vec<_> = warnings.iter().map(ToString::to_string).collect();
    println!("{}", json!({"info": info, "frames": frames, "warnings": warnings, "cpu_ms": times}));
    Ok(())
}
