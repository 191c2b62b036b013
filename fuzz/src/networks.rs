//! Weights, models, reports and suites.

use std::path::Path;

use deeptell::{ModelFile, Report};
use deeptell_eval::{ScoreTable, Suite, SuiteScores, TableInfo};
use deeptell_weights::Weights;

use crate::files::{in_folder, write};

/// Reads the bytes as weights: ONNX, safetensors or a checkpoint of `PyTorch`.
pub(crate) fn weights(bytes: &[u8]) {
    let origin = Path::new("fuzzed");
    let _ = Weights::notes(bytes, origin);
    if let Ok(weights) = Weights::from_bytes(bytes, origin) {
        for tensor in &weights.tensors {
            assert_eq!(tensor.shape.iter().product::<usize>(), tensor.values.len(), "{}", tensor.name);
        }
    }
}

/// Reads the bytes as a model file.
pub(crate) fn model(bytes: &[u8]) {
    if let Ok(file) = ModelFile::from_bytes(bytes, "fuzzed") {
        let card = file.card().to_json().expect("a card that was read can be written");
        assert_eq!(&deeptell::ModelCard::from_json(&card).expect("and read"), file.card());
    }
}

/// Reads the bytes as a report, as a resumed scan does, line by line.
pub(crate) fn report(bytes: &[u8]) {
    for line in bytes.split(|byte| *byte == b'\n') {
        if let Ok(report) = serde_json::from_slice::<Report>(line) {
            let text = serde_json::to_string(&report).expect("a report that was read can be written");
            let again: Report = serde_json::from_str(&text).expect("and read");
            assert_eq!(serde_json::to_string(&again).expect("twice"), text);
        }
    }
}

/// Reads the bytes as a suite, as its scores, and as a table of another detector's.
pub(crate) fn suite(bytes: &[u8]) {
    in_folder(|folder| {
        let path = write(folder, "scores.csv", bytes);
        let _ = ScoreTable::read(&path, TableInfo::HALF);
    });
    if let Ok(text) = std::str::from_utf8(bytes) {
        let _ = Suite::parse(text, Path::new("folder"));
    }
    let _ = SuiteScores::from_bytes(bytes, Path::new("scores.json"));
}
