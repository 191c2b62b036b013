//! Memory of a process that scans file after file.

#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking, in its helper functions too")]

use std::path::Path;

use burn::tensor::Device;
use deeptell::{Decoding, Detector, Limits, ScanOptions};

/// Memory of this process that is in use, in kB.
fn resident_kilobytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches("kB").trim().parse().unwrap()
}

// The only test of its binary: others would allocate at the same time.
#[test]
fn memory_does_not_grow_from_scan_to_scan() {
    let here = Decoding::in_process(Limits::default());
    let detector = Detector::shipped(&Device::flex()).unwrap().with_decoding(here);
    let options = ScanOptions::default().frames(4);
    let clip = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../datasets/sample/fake/nasa-collins.mp4");
    let scan = || assert_eq!(detector.scan(&clip, &options).unwrap().report.frames.len(), 4);
    (0..5).for_each(|_| scan());
    let after_5 = resident_kilobytes();
    (5..50).for_each(|_| scan());
    let after_50 = resident_kilobytes();
    assert!(after_50 < after_5 + 50_000, "{after_5} kB after 5 scans, {after_50} kB after 50");
}
