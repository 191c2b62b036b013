//! The same material on disk, in memory and in another process.

use std::path::PathBuf;
use std::process::Command;

use burn::tensor::Device;
use deeptell::{Detector, Error, Input, InputError, IsolationError, ScanOptions};
use tempfile::TempDir;

use crate::{DETECTOR, here, options, portrait, portrait_clip, portrait_path};

#[test]
fn a_file_in_memory_gives_the_report_of_the_file_on_disk() {
    let folder = TempDir::new().unwrap();
    let clip = folder.path().join("portrait.mp4");
    portrait_clip(&clip);
    for path in [clip, portrait_path()] {
        let bytes = std::fs::read(&path).unwrap();
        let name = path.file_name().unwrap().to_str().unwrap();
        let mut on_disk = DETECTOR.scan(&path, &options()).unwrap().report;
        let in_memory = DETECTOR.scan(Input::bytes(name, &bytes), &options()).unwrap().report;
        assert_eq!(on_disk.input.path.take(), Some(path.display().to_string()));
        assert_eq!(in_memory, on_disk);
    }
}

/// The name of a file in memory comes from strangers: no file of that name is opened, not even for a better message.
#[test]
fn the_name_of_a_file_in_memory_is_only_a_name() {
    let folder = TempDir::new().unwrap();
    let other = folder.path().join("secret.pdf");
    std::fs::write(&other, "%PDF-1.7").unwrap();
    let error = DETECTOR.scan(Input::bytes(other.to_str().unwrap(), &[0x1a; 64]), &options()).unwrap_err();
    let Error::Input { source: InputError::Video(source), .. } = &error else { panic!("{error:?}") };
    assert!(!source.to_string().contains("PDF"), "{source}");
    let empty = DETECTOR.scan(Input::bytes("empty.mp4", b""), &options()).unwrap_err();
    assert!(matches!(empty, Error::Input { .. }), "{empty:?}");
}

/// Nothing is decoded in this process when there is no other: the test program never calls `run_if_decoder`.
#[test]
fn a_scan_in_a_program_without_run_if_decoder_is_an_error() {
    let detector = Detector::shipped(&Device::flex()).unwrap();
    let path = portrait_path();
    let bytes = std::fs::read(&path).unwrap();
    for input in [Input::path(&path), Input::bytes("portrait.png", &bytes)] {
        let error = detector.scan(input, &options()).unwrap_err();
        assert!(matches!(error, Error::Isolation(IsolationError::NotPrepared)), "{error:?}");
        assert!(error.to_string().contains("`run_if_decoder()` first thing in `main`"), "{error}");
    }
    // What is decoded already needs no decoder.
    assert!(detector.scan(Input::picture("portrait", &portrait()), &options()).is_ok());
}

/// The example of the README: one line in `main`, and files are decoded in another process.
#[cfg(unix)]
#[test]
fn the_example_program_decodes_in_a_process_of_its_own() {
    let programs = std::env::current_exe().unwrap();
    let example: PathBuf = programs.ancestors().nth(2).unwrap().join("examples/scan");
    assert!(example.is_file(), "build it with `cargo build -p deeptell --example scan`");
    let folder = TempDir::new().unwrap();
    let clip = folder.path().join("portrait.mp4");
    portrait_clip(&clip);
    let output = Command::new(example).arg(&clip).env_clear().output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    let detector = here(Detector::shipped(&Device::flex()).unwrap());
    let report = detector.scan(&clip, &ScanOptions::default()).unwrap().report;
    assert!(said.starts_with(&format!("{}: {:?}", report.verdict, report.score)), "{said}");
    assert!(said.contains(&format!("- {}", report.reasons[0])), "{said}");
}

/// The example that people copy is the one that is compiled.
#[test]
fn the_readme_shows_the_example_of_the_documentation() {
    let example = |text: &str, fence: &str| -> String {
        let (_, rest) = text.split_once(fence).unwrap();
        rest.split_once("```").unwrap().0.to_owned()
    };
    let manifest = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let source = std::fs::read_to_string(manifest.join("src/lib.rs")).unwrap();
    let docs: Vec<&str> = source
        .lines()
        .map_while(|line| line.strip_prefix("//!"))
        .map(|line| line.strip_prefix(' ').unwrap_or(line))
        .collect();
    let readme = std::fs::read_to_string(manifest.join("../../README.md")).unwrap();
    assert_eq!(example(&readme, "```rust\n"), example(&docs.join("\n"), "```no_run\n"));
}
