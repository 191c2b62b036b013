//! The training loop.

use std::iter;
use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use burn::tensor::Device;
use deeptell_data::{Sample, Split};
use deeptell_kernels::keep_buffers;
use deeptell_metrics::{MetricsError, log_loss_of_logit, roc_auc};
use deeptell_network::Dtype;

use crate::order::{Plan, balanced_pos_weight};
use crate::predict::score;
use crate::replicas::Replicas;
use crate::session::{Epoch, Session};
use crate::{EpochRecord, Event, LearningRate, Run, Start, TrainConfig, TrainError};

/// Memory for feature maps, in bytes, that the CPU kernels keep from one step to the next.
const KEPT_BUFFER_BYTES: usize = 1 << 30;

/// A training run: trains on the samples of split `train` and selects the best epoch on `validation`. Never
/// reads `test`.
///
/// The run folder gets `config.toml`, `history.jsonl`, `history.svg`, `best.safetensors` (the best epoch by
/// validation AUC, moving average included), `last/` (all that is needed to resume) and, if needed,
/// `skipped.jsonl` (pictures that could not be read). Each is replaced atomically, so a killed run loses at
/// most the current epoch, and with [`Start::Resume`] it ends, on a CPU, with bit for bit the same weights as
/// one that was never stopped. A run can be resumed with more epochs than it had; the learning rate then
/// follows the schedule of the new number.
#[derive(Debug, Clone)]
pub struct Trainer<'a> {
    config: &'a TrainConfig,
    samples: &'a [Sample],
    start: Start,
    stop: Option<&'a AtomicBool>,
    others: &'a [Device],
}

impl<'a> Trainer<'a> {
    /// A run from random weights.
    #[must_use]
    pub fn new(config: &'a TrainConfig, samples: &'a [Sample]) -> Self {
        Self { config, samples, start: Start::default(), stop: None, others: &[] }
    }

    /// Starts from other weights, or resumes.
    #[must_use]
    pub fn start(self, start: Start) -> Self {
        Self { start, ..self }
    }

    /// Ends the run early once the flag is set. It is read after every step.
    #[must_use]
    pub fn stop(self, flag: &'a AtomicBool) -> Self {
        Self { stop: Some(flag), ..self }
    }

    /// Adds devices: each of them gets a replica of the network, beside that on the device of [`run`](Self::run).
    /// Without them there are [`TrainConfig::replicas`] on that one device.
    ///
    /// Each replica computes the gradients of its part of every batch. They are added on the first device, always in
    /// the same order, so a repeated run ends with the same weights. The folder does not depend on the number of
    /// replicas: a run can be resumed with another one.
    #[must_use]
    pub fn replicas_on(self, others: &'a [Device]) -> Self {
        Self { others, ..self }
    }

    /// Trains on `device` and leaves everything in `folder`. `on_event` is called from this thread.
    ///
    /// # Errors
    /// [`TrainError`]: a setting out of range, a split without both classes, more than half of the pictures
    /// unreadable, a loss that is not finite, a device that cannot compute with the dtype, more replicas than a
    /// batch has pictures for, devices that are repeated or of different kinds, a folder that holds another run, or a
    /// full disk.
    pub fn run(
        self,
        folder: &Path,
        device: &Device,
        mut on_event: impl FnMut(Event),
    ) -> Result<Run, TrainError> {
        let Self { config, samples, start, stop, others } = self;
        let devices: Vec<Device> = iter::once(device).chain(others).cloned().collect();
        let never = AtomicBool::new(false);
        let stop = stop.unwrap_or(&never);
        config.validate()?;
        devices.iter().try_for_each(|device| config.dtype.check(device))?;
        let of = |split| samples.iter().filter(|s| s.split == Some(split)).collect::<Vec<&Sample>>();
        let (training, validation) = (of(Split::Train), of(Split::Validation));
        let plan = Plan::new(&training, config)?;
        balanced_pos_weight(&validation, "validation")?;
        let pos_weight = config.loss.pos_weight.unwrap_or(plan.balanced_pos_weight);

        let replicas = Replicas::new(config, &devices, plan.pictures_in_batch())?;
        let n_replicas = replicas.count();

        let _kept = keep_buffers(KEPT_BUFFER_BYTES);
        let mut session = Session::open(config, samples, start, replicas, folder)?;
        let rate = LearningRate::new(config, plan.steps * config.epochs);
        on_event(Event::Started {
            epochs_done: session.state.epoch,
            epochs: config.epochs,
            samples: plan.pictures,
            validation_samples: validation.len(),
            pos_weight,
            replicas: n_replicas,
        });

        while session.state.epoch < config.epochs && !session.is_out_of_patience(config) {
            let epoch = session.state.epoch + 1;
            let began = Instant::now();
            let Some(steps) = session.train_epoch(
                config,
                &training,
                &Epoch { number: epoch, plan, pos_weight, rate },
                stop,
                &mut on_event,
            )?
            else {
                return Ok(session.ended(pos_weight, false));
            };

            let candidate = session.candidate();
            let evaluated = candidate.clone().with_dtype(Dtype::F32).folded();
            let progress = |done| on_event(Event::Validating { epoch, done, total: validation.len() });
            let scores = score(&evaluated, &validation, &config.crop, &device.clone().inner(), progress)?;
            session.leave_out(scores.unreadable, &mut on_event)?;
            let (validation_loss, validation_auc) = figures(&validation, &scores.logits, pos_weight)?;
            let record = EpochRecord {
                epoch,
                train_loss: steps.mean_loss,
                validation_loss,
                validation_auc,
                learning_rate: rate.at(epoch * plan.steps - 1),
                samples: plan.pictures,
                seconds: began.elapsed().as_secs_f64(),
                training_seconds: steps.time.as_secs_f64(),
                data_wait_seconds: steps.data_wait.as_secs_f64(),
                skipped_steps: steps.skipped,
            };
            let best = session.finish_epoch(&record, &candidate, folder)?;
            on_event(Event::Epoch { record, best });
        }
        Ok(session.ended(pos_weight, true))
    }
}

/// Mean loss and AUC of the samples that could be read.
fn figures(samples: &[&Sample], logits: &[Option<f64>], pos_weight: f64) -> Result<(f64, f64), MetricsError> {
    let scored = samples.iter().zip(logits);
    let (labels, logits): (Vec<bool>, Vec<f64>) =
        scored.filter_map(|(sample, logit)| Some((sample.label.is_fake(), (*logit)?))).unzip();
    Ok((mean_loss(&logits, &labels, pos_weight), roc_auc(&logits, &labels)?))
}

/// The mean training loss of these logits, in f64.
fn mean_loss(logits: &[f64], labels: &[bool], pos_weight: f64) -> f64 {
    let each = |(&logit, &is_fake): (&f64, &bool)| {
        if is_fake { pos_weight * log_loss_of_logit(logit, true) } else { log_loss_of_logit(logit, false) }
    };
    logits.iter().zip(labels).map(each).sum::<f64>() / logits.len() as f64
}
