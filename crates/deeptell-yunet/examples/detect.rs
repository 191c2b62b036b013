//! Prints the faces of pictures as JSON, and how long their detection takes.
//!
//! `cargo run -p deeptell-yunet --example detect -- WEIGHTS REPEATS PICTURE...`

use std::error::Error;
use std::time::Instant;

use burn::tensor::Device;
use deeptell_yunet::{YuNetConfig, YuNetWeights};

#[expect(clippy::print_stdout, reason = "that is what it is for")]
fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let usage = "pass WEIGHTS REPEATS PICTURE...";
    let weights = YuNetWeights::read(arguments.next().ok_or(usage)?)?;
    let repeats: usize = arguments.next().ok_or(usage)?.parse()?;
    let yunet = YuNetConfig::default().init(&weights, &Device::flex())?;
    for picture in arguments {
        let image = image::open(&picture)?.to_rgb8();
        let mut times = Vec::new();
        let mut faces = Vec::new();
        for _ in 0..repeats.max(1) {
            let start = Instant::now();
            faces = yunet.detect(&image)?;
            times.push(start.elapsed().as_secs_f64() * 1e3);
        }
        times.sort_by(f64::total_cmp);
        let line = serde_json::json!({
            "picture": picture, "fastest_ms": times[0], "median_ms": times[times.len() / 2], "faces": faces,
        });
        println!("{line}");
    }
    Ok(())
}
