//! Scans a file: `cargo run --example scan -- interview.mp4`.

#![expect(clippy::print_stdout, reason = "that is all it does")]

use deeptell::{Detector, Device, ScanOptions};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    // Files are decoded in a process of its own: this program, started once more.
    deeptell::run_if_decoder();
    let path = std::env::args().nth(1).ok_or("give the path of a video or a picture")?;
    let detector = Detector::shipped(&Device::flex())?;
    let scan = detector.scan(&path, &ScanOptions::default())?;
    println!("{}: {:?}", scan.report.verdict, scan.report.score);
    for reason in &scan.report.reasons {
        println!("- {reason}");
    }
    Ok(())
}
