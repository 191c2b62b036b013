use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::TrainError;

/// One epoch of a run: one line of `history.jsonl`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EpochRecord {
    /// Epoch, from 1.
    pub epoch: usize,
    /// Mean training loss over the epoch.
    pub train_loss: f64,
    /// Loss on the validation split, with the same `pos_weight`.
    pub validation_loss: f64,
    /// AUC-ROC on the validation split.
    pub validation_auc: f64,
    /// Learning rate of the last step.
    pub learning_rate: f64,
    /// Training samples seen in this epoch.
    pub samples: usize,
    /// Wall time of the epoch in seconds, validation included.
    pub seconds: f64,
}

impl EpochRecord {
    /// The record without its wall time: what must be equal in a repeated run.
    #[must_use]
    pub fn without_time(&self) -> Self {
        Self { seconds: 0.0, ..self.clone() }
    }
}

/// Reads a `history.jsonl`.
///
/// # Errors
/// [`TrainError::Io`], or [`TrainError::Checkpoint`] naming the line that cannot be read.
pub fn read_history(path: &Path) -> Result<Vec<EpochRecord>, TrainError> {
    let file = File::open(path).map_err(TrainError::io(path))?;
    let mut records = Vec::new();
    for (number, line) in BufReader::new(file).lines().enumerate() {
        let line = line.map_err(TrainError::io(path))?;
        records.push(serde_json::from_str(&line).map_err(|e| TrainError::Checkpoint {
            path: path.to_owned(),
            reason: format!("line {}: {e}", number + 1),
        })?);
    }
    Ok(records)
}

pub(crate) fn to_lines(records: &[EpochRecord]) -> Result<String, serde_json::Error> {
    let mut text = String::new();
    for record in records {
        text.push_str(&serde_json::to_string(record)?);
        text.push('\n');
    }
    Ok(text)
}
