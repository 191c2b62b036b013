//! What it takes to read a large manifest: wall and CPU seconds, and the most memory of the process.
//!
//! ```sh
//! cargo run --release -p deeptell-data --example manifest -- write crops.jsonl 1000000
//! cargo run --release -p deeptell-data --example manifest -- stream crops.jsonl
//! cargo run --release -p deeptell-data --example manifest -- load crops.jsonl
//! ```
//!
//! `write` makes rows like those of `deeptell extract`, with landmarks and where each crop came
//! from, about a kilobyte each; `stream` goes through them one by one, `load` keeps them all, as training does. Each
//! answers with one JSON line; memory is what Linux counts, and `null` elsewhere.

#![expect(clippy::print_stdout, reason = "its answer")]

use std::error::Error;
use std::time::Instant;

use deeptell_data::{Label, ManifestReader, ManifestWriter, Sample, Split, read_manifest};
use deeptell_face::{Landmarks, Point, Rect};
use rustix::time::{ClockId, clock_gettime};

fn main() -> Result<(), Box<dyn Error>> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let begin = Instant::now();
    let (rows, fakes) = match words.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["write", path, rows] => {
            let mut writer = ManifestWriter::create(path)?;
            let rows: usize = rows.parse()?;
            for number in 0..rows {
                writer.write(&row(number))?;
            }
            writer.finish()?;
            (rows, rows / 2)
        }
        ["stream", path] => {
            let (mut rows, mut fakes) = (0, 0);
            for row in ManifestReader::open(path)? {
                rows += 1;
                fakes += usize::from(row?.label.is_fake());
            }
            (rows, fakes)
        }
        ["load", path] => {
            let rows = read_manifest(path)?;
            (rows.len(), rows.iter().filter(|row| row.label.is_fake()).count())
        }
        _ => return Err("expected `write FILE ROWS`, `stream FILE` or `load FILE`".into()),
    };
    let seconds = begin.elapsed().as_secs_f64();
    let cpu = clock_gettime(ClockId::ProcessCPUTime);
    let answer = serde_json::json!({
        "work": words[0],
        "rows": rows,
        "fakes": fakes,
        "seconds": seconds,
        "cpu_seconds": cpu.tv_sec as f64 + cpu.tv_nsec as f64 / 1e9,
        "most_memory_mb": most_memory_mb(),
    });
    println!("{answer}");
    Ok(())
}

/// A row as `deeptell extract` writes it.
fn row(number: usize) -> Sample {
    let (video, frame) = (number / 10, number % 10);
    let label = if video % 2 == 0 { Label::Real } else { Label::Fake };
    let name = format!("clip_{video:07}-{:012x}-{frame:04}", video * 7_919);
    let at = |value: usize| (number * 31 % 97) as f32 * 0.137 + value as f32;
    let points = |shift: usize| [0, 90, 45, 8, 82].map(|x| Point::new(at(x + shift), at(60 + x / 2 + shift)));
    let extra = [
        ("bbox_in_frame", serde_json::json!(Rect::new(at(200), at(90), at(480), at(440)))),
        ("file", serde_json::json!(format!("{label}/clip_{video:07}.mp4"))),
        ("file_sha256", serde_json::json!(format!("{:064x}", video * 104_729))),
        ("frame_index", serde_json::json!(frame * 30)),
        ("frame_size", serde_json::json!([1920, 1080])),
        ("face_probability", serde_json::json!(at(0) / 14.0)),
        ("landmarks_in_frame", serde_json::json!(Landmarks::from_points(points(300)))),
    ];
    Sample::new(
        format!("shards/crops-{:06}.tar/{name}.png", number / 5000),
        label,
        format!("clip_{:07}", video / 2),
    )
    .split(Some(Split::ALL[video % 3]))
    .video(Some(format!("dataset/{label}/clip_{video:07}.mp4")))
    .pts_seconds(Some(frame as f64 * 1.001))
    .landmarks(Some(Landmarks::from_points(points(70))))
    .face_detector(Some("deeptell-mtcnn 0.1.0".to_owned()))
    .extra(extra.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
}

/// The largest resident set so far, from the kernel's own count.
fn most_memory_mb() -> Option<f64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kibibytes: f64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibibytes * 1024.0 / 1e6)
}
