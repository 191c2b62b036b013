//! Arranges the weights so that archives of programs with them are smaller.

use std::env;
use std::fs;
use std::path::PathBuf;

fn main() {
    const WEIGHTS: &str = "weights/mtcnn.safetensors";
    println!("cargo::rerun-if-changed={WEIGHTS}");
    let bytes = fs::read(WEIGHTS).unwrap_or_else(|error| panic!("cannot read {WEIGHTS}: {error}"));
    assert!(bytes.len().is_multiple_of(4), "{WEIGHTS} is not a sequence of whole numbers");
    let planes: Vec<u8> = (0..4).flat_map(|plane| bytes.iter().skip(plane).step_by(4).copied()).collect();
    let folder = PathBuf::from(env::var_os("OUT_DIR").unwrap_or_default());
    let target = folder.join("mtcnn.planes");
    fs::write(&target, planes).unwrap_or_else(|error| panic!("cannot write {}: {error}", target.display()));
}
