//! What a run reports, while it lasts and at its end.

use std::collections::BTreeMap;
use std::path::PathBuf;

use crate::EpochRecord;

/// Progress of a run.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Event {
    /// The run starts or is resumed.
    Started {
        /// Epochs already done, 0 for a new run.
        epochs_done: usize,
        /// Epochs in all.
        epochs: usize,
        /// Training pictures per epoch.
        samples: usize,
        /// Validation samples.
        validation_samples: usize,
        /// Weight of fakes in the loss.
        pos_weight: f64,
        /// Replicas of the network that share each batch.
        replicas: usize,
    },
    /// A step of training is done.
    Step {
        /// Epoch, from 1.
        epoch: usize,
        /// Steps done in this epoch.
        step: usize,
        /// Steps in this epoch.
        steps: usize,
        /// Pictures in the step.
        samples: usize,
        /// Mean loss over the last 50 steps.
        loss: f64,
    },
    /// Some of the validation samples are scored.
    Validating {
        /// Epoch, from 1.
        epoch: usize,
        /// Samples done.
        done: usize,
        /// Samples in all.
        total: usize,
    },
    /// An epoch is done and its checkpoint written.
    Epoch {
        /// Its figures.
        record: EpochRecord,
        /// Whether it is the best so far.
        best: bool,
    },
    /// A picture cannot be read and is skipped from now on; reported once per picture.
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
}

/// How a run ended.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Run {
    /// One record per epoch, including those of earlier processes.
    pub history: Vec<EpochRecord>,
    /// Epoch and validation AUC of the best one; its weights are `best.safetensors`.
    pub best: Option<(usize, f64)>,
    /// Weight of fakes in the loss.
    pub pos_weight: f64,
    /// Pictures that could not be read and were skipped, with the reason.
    pub unreadable: BTreeMap<PathBuf, String>,
    /// False if `stop` ended it early; resume it to finish.
    pub finished: bool,
}
