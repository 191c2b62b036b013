use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::TrainError;

/// One epoch of a run: one line of `history.jsonl`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
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
    /// Wall time of its training steps in seconds.
    #[serde(default)]
    pub training_seconds: f64,
    /// Part of [`training_seconds`](Self::training_seconds) in which the loop waited for pictures. A
    /// device that computes asynchronously may have been busy meanwhile.
    #[serde(default)]
    pub data_wait_seconds: f64,
    /// Steps skipped because gradients overflowed 16 bits, with [`Dtype::F16`] only.
    ///
    /// [`Dtype::F16`]: deeptell_network::Dtype::F16
    #[serde(default, skip_serializing_if = "is_zero")]
    pub skipped_steps: usize,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes references")]
fn is_zero(steps: &usize) -> bool {
    *steps == 0
}

impl EpochRecord {
    /// The record without its times, which must be equal in a repeated run.
    #[must_use]
    pub fn without_time(&self) -> Self {
        Self { seconds: 0.0, training_seconds: 0.0, data_wait_seconds: 0.0, ..self.clone() }
    }

    /// Part of the time of the training steps that went by waiting for pictures, in `0..=1`; `None`
    /// for a record of a version that did not measure it.
    pub fn data_wait_share(&self) -> Option<f64> {
        (self.training_seconds > 0.0).then(|| self.data_wait_seconds / self.training_seconds)
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
