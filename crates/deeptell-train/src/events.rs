//! What a run reports, while it lasts and at its end.

use std::collections::BTreeMap;
use std::fmt;
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

/// One line, without its end.
impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Started { epochs_done, epochs, samples, validation_samples, pos_weight, replicas } => {
                write!(f, "{epochs} epochs of {samples} samples, {validation_samples} validation samples, ")?;
                write!(f, "pos_weight {pos_weight:.4}")?;
                if *replicas > 1 {
                    write!(f, ", {replicas} replicas")?;
                }
                if *epochs_done > 0 {
                    write!(f, ", resuming after epoch {epochs_done}")?;
                }
                Ok(())
            }
            Self::Step { loss, .. } => write!(f, "loss {loss:.4}"),
            Self::Validating { done, total, .. } => write!(f, "validating {done}/{total}"),
            Self::Epoch { record, best } => {
                let EpochRecord { epoch, train_loss, validation_loss, validation_auc, seconds, .. } = record;
                let wait = record.data_wait_share().map_or(0.0, |share| 100.0 * share);
                write!(
                    f,
                    "epoch {epoch:>3}  loss {train_loss:.4}  validation loss {validation_loss:.4}  \
                     AUC {validation_auc:.4}{}  {seconds:.0} s, {wait:.1}% of the steps waiting for pictures",
                    if *best { " *" } else { "  " },
                )?;
                match record.skipped_steps {
                    0 => Ok(()),
                    steps => write!(f, ", {steps} steps skipped because of overflow"),
                }
            }
            Self::Unreadable { path, reason } => write!(f, "left out: {}: {reason}", path.display()),
        }
    }
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
