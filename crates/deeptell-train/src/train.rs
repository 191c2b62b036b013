//! The training loop.

use std::collections::{BTreeMap, VecDeque};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use burn::grad_clipping::GradientClippingConfig;
use burn::module::Module as _;
use burn::optim::{AdamWConfig, GradientsParams, ModuleOptimizer};
use burn::tensor::{Device, Gradients, Tensor, TensorData};
use deeptell_data::{Sample, Split};
use deeptell_files::sha256;
use deeptell_kernels::keep_buffers;
use deeptell_metrics::roc_auc;
use deeptell_network::{
    Network, NetworkConfig, Normalization, Precision, StoredPrecision, Weights, normalize,
};

use crate::average::Average;
use crate::batch::{Batch, Loader, generator};
use crate::checkpoint::{self, State};
use crate::history::to_lines;
use crate::loss_scale::LossScale;
use crate::order::{Plan, balanced_pos_weight, order};
use crate::predict::score;
use crate::sharpness::ascended;
use crate::{
    EpochRecord, LearningRate, TrainConfig, TrainError, binary_cross_entropy_with_logits, history_svg,
};

/// Memory for feature maps, in bytes, that the CPU kernels keep from one step to the next.
const KEPT_BUFFER_BYTES: usize = 1 << 30;

/// The initial weights.
#[derive(Debug, Clone)]
pub enum Start {
    /// Random weights.
    Scratch,
    /// A feature extractor, ImageNet's for example, under a fresh classifier.
    Backbone(Weights),
    /// A whole network, to continue from.
    Network(Weights),
    /// The last checkpoint in the run folder.
    Resume,
}

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

/// Trains on the samples of split `train` and selects the best epoch on `validation`. Never reads
/// `test`.
///
/// The run folder `run` gets `config.toml`, `history.jsonl`, `history.svg`,
/// `best.safetensors` (the best epoch by validation AUC, moving average included), `last/`
/// (all that is needed to resume) and, if needed, `skipped.jsonl` (pictures that could not be read).
/// Each is replaced atomically, so a killed run loses at most the current epoch, and with
/// [`Start::Resume`] it ends, on a CPU, with bit for bit the same weights as one that was never
/// stopped. A run can be resumed with more epochs than it had; the learning rate then follows the
/// schedule of the new number.
///
/// `stop` is checked after every step. `on_event` is called from this thread.
///
/// # Errors
/// [`TrainError`]: a setting out of range, a split without both classes, more than half of the
/// pictures unreadable, a loss that is not finite, a device that cannot compute in the precision, a folder that
/// holds another run, or a full disk.
pub fn train(
    config: &TrainConfig,
    samples: &[Sample],
    start: Start,
    device: &Device,
    run: &Path,
    stop: &AtomicBool,
    mut on_event: impl FnMut(Event),
) -> Result<Run, TrainError> {
    config.validate()?;
    config.precision.check(device)?;
    let of = |split| samples.iter().filter(|s| s.split == Some(split)).collect::<Vec<&Sample>>();
    let (training, validation) = (of(Split::Train), of(Split::Validation));
    let plan = Plan::new(&training, config)?;
    balanced_pos_weight(&validation, "validation")?;
    let pos_weight = config.pos_weight.unwrap_or(plan.balanced_pos_weight);

    let _kept = keep_buffers(KEPT_BUFFER_BYTES);
    let mut session = Session::open(config, samples, start, device, run)?;
    let rate = LearningRate {
        peak: config.learning_rate,
        last: config.final_learning_rate,
        warmup: config.warmup,
        steps: plan.steps * config.epochs,
        schedule: config.schedule,
    };
    on_event(Event::Started {
        epochs_done: session.state.epoch,
        epochs: config.epochs,
        samples: plan.pictures,
        validation_samples: validation.len(),
        pos_weight,
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
        let scores = score(
            &candidate.clone().with_precision(Precision::F32).folded(),
            &validation,
            &config.crop,
            &device.clone().inner(),
            |done| on_event(Event::Validating { epoch, done, total: validation.len() }),
        )?;
        session.leave_out(scores.unreadable, &mut on_event)?;
        let scored = validation.iter().zip(&scores.logits);
        let (labels, logits): (Vec<bool>, Vec<f64>) =
            scored.filter_map(|(sample, logit)| Some((sample.label.is_fake(), (*logit)?))).unzip();
        let record = EpochRecord {
            epoch,
            train_loss: steps.mean_loss,
            validation_loss: mean_loss(&logits, &labels, pos_weight),
            validation_auc: roc_auc(&logits, &labels)?,
            learning_rate: rate.at(epoch * plan.steps - 1),
            samples: plan.pictures,
            seconds: began.elapsed().as_secs_f64(),
            training_seconds: steps.time.as_secs_f64(),
            data_wait_seconds: steps.data_wait.as_secs_f64(),
            skipped_steps: steps.skipped,
        };
        let best = session.finish_epoch(&record, &candidate, run)?;
        on_event(Event::Epoch { record, best });
    }
    Ok(session.ended(pos_weight, true))
}

/// The constants of one epoch.
struct Epoch {
    number: usize,
    plan: Plan,
    pos_weight: f64,
    rate: LearningRate,
}

/// What the training steps of an epoch came to.
struct Steps {
    mean_loss: f64,
    /// Left out because gradients overflowed.
    skipped: usize,
    /// Wall time in all.
    time: Duration,
    /// Of that, with no batch ready.
    data_wait: Duration,
}

/// One step.
struct Step {
    /// The loss before the update.
    loss: f64,
    /// Whether there was an update.
    updated: bool,
}

/// Everything that changes during a run.
struct Session {
    device: Device,
    network: Network,
    optimizer: ModuleOptimizer,
    average: Option<Average>,
    state: State,
    /// How many the run uses, of both splits.
    samples: usize,
}

impl Session {
    fn open(
        config: &TrainConfig,
        samples: &[Sample],
        start: Start,
        device: &Device,
        run: &Path,
    ) -> Result<Self, TrainError> {
        let device = device.clone().autodiff();
        device.seed(seed(config.seed, "weights", 0));
        let mut network = NetworkConfig::new(config.architecture, 1)
            .with_dropout(config.dropout)
            .init(&device)
            .with_precision(config.precision);
        let optimizer = AdamWConfig::new()
            .with_weight_decay(config.weight_decay)
            .with_epsilon(1e-8)
            .with_grad_clipping(config.gradient_clip.map(GradientClippingConfig::Norm))
            .init();
        let state = State {
            epoch: 0,
            best: None,
            average_updates: 0,
            config: config.to_toml()?,
            samples: fingerprint(samples),
            history: Vec::new(),
            unreadable: BTreeMap::new(),
            loss_scale: LossScale::needed_by(config.precision),
        };
        let found = checkpoint::find(run);
        let is_used = |sample: &&Sample| matches!(sample.split, Some(Split::Train | Split::Validation));
        let used = samples.iter().filter(is_used).count();
        match start {
            Start::Resume => {
                let folder = found.ok_or_else(|| TrainError::Resume {
                    path: run.to_owned(),
                    reason: "it holds no finished epoch; start the run without --resume".into(),
                })?;
                let mut saved = checkpoint::load_state(&folder)?;
                differs(config, &state, &saved, run)?;
                if saved.config != state.config {
                    checkpoint::write_whole(&run.join("config.toml"), &state.config)?;
                    saved.config = state.config;
                }
                let (network, optimizer, average) =
                    checkpoint::load(&folder, network, optimizer, &saved, config.average_decay)?;
                return Ok(Self { device, network, optimizer, average, state: saved, samples: used });
            }
            _ if found.is_some() => {
                return Err(TrainError::Resume {
                    path: run.to_owned(),
                    reason: "it already holds a run; pass --resume to continue it, or another folder".into(),
                });
            }
            Start::Scratch => {}
            Start::Backbone(weights) => network.load_backbone(&weights)?,
            Start::Network(weights) => network.load(&weights)?,
        }
        std::fs::create_dir_all(run).map_err(TrainError::io(run))?;
        checkpoint::write_whole(&run.join("config.toml"), &state.config)?;
        let average = config.average_decay.map(|decay| Average::new(&network.valid(), decay, 0));
        Ok(Self { device, network, optimizer, average, state, samples: used })
    }

    /// One pass over the training samples; `None` when stopped.
    fn train_epoch(
        &mut self,
        config: &TrainConfig,
        samples: &[&Sample],
        epoch: &Epoch,
        stop: &AtomicBool,
        on_event: &mut impl FnMut(Event),
    ) -> Result<Option<Steps>, TrainError> {
        let number = epoch.number;
        self.network = if number <= config.frozen_epochs {
            self.network.clone().freeze_backbone()
        } else {
            self.network.clone().unfreeze_backbone()
        };
        self.device.seed(seed(config.seed, "dropout", number as u64));
        let order = order(samples, config, number, epoch.plan.units);
        let crop = config.crop_in(number);
        let loader = Loader { samples, crop: &crop, training: Some((config, number)) };
        let mut recent = VecDeque::with_capacity(50);
        let mut total = 0.0;
        let (mut taken, mut skipped) = (0_usize, 0);
        let (mut data_wait, began) = (Duration::ZERO, Instant::now());
        std::thread::scope(|scope| {
            let batches = loader.batches(scope, order, epoch.plan.per_batch);
            for step in 0..epoch.plan.steps {
                let waiting = Instant::now();
                // The loader ends early after an error only, which comes first.
                let Ok(batch) = batches.recv() else { break };
                data_wait += waiting.elapsed();
                let mut batch = batch?;
                self.leave_out(std::mem::take(&mut batch.unreadable), on_event)?;
                if batch.units.is_empty() {
                    continue;
                }
                let rate = epoch.rate.at((number - 1) * epoch.plan.steps + step);
                let Step { loss, updated } = self.step(&batch, config, epoch.pos_weight, rate)?;
                if !loss.is_finite() {
                    return Err(TrainError::NotFinite {
                        what: "the loss",
                        value: loss,
                        epoch: number,
                        batch: step + 1,
                        first: samples[batch.units[0].first()].path.clone(),
                    });
                }
                if !updated {
                    skipped += 1;
                    let scale = self.state.loss_scale.and_then(LossScale::after_overflow);
                    let overflow = TrainError::Overflow { epoch: number, batch: step + 1 };
                    self.state.loss_scale = Some(scale.ok_or(overflow)?);
                } else if let Some(scale) = &mut self.state.loss_scale {
                    *scale = scale.after_clean_step();
                }
                total += loss;
                taken += 1;
                if recent.len() == 50 {
                    recent.pop_front();
                }
                recent.push_back(loss);
                on_event(Event::Step {
                    epoch: number,
                    step: step + 1,
                    steps: epoch.plan.steps,
                    samples: batch.images.len(),
                    loss: recent.iter().sum::<f64>() / recent.len() as f64,
                });
                if stop.load(Ordering::Relaxed) {
                    return Ok(None);
                }
            }
            let mean_loss = total / taken.max(1) as f64;
            Ok(Some(Steps { mean_loss, skipped, time: began.elapsed(), data_wait }))
        })
    }

    /// Forward, backward, update. A loss that is not finite updates nothing, nor do gradients that
    /// are not.
    fn step(
        &mut self,
        batch: &Batch,
        config: &TrainConfig,
        pos_weight: f64,
        rate: f64,
    ) -> Result<Step, TrainError> {
        let input = normalize(&batch.images, &Normalization::IMAGENET, &self.device)?;
        let smooth = config.label_smoothing as f32;
        let targets: Vec<f32> =
            batch.fakes.iter().map(|&fake| if fake { 1.0 - 0.5 * smooth } else { 0.5 * smooth }).collect();
        let targets = TensorData::new(targets, [batch.fakes.len(), 1]);
        let targets = Tensor::<2>::from_data(targets, &self.device);
        // On a worker of the pool the many small parallel loops need no wake-up each.
        rayon::scope(|_| {
            let loss = |network: &Network| {
                binary_cross_entropy_with_logits(network.forward(input.clone()), targets.clone(), pos_weight)
            };
            let backward = |loss: Tensor<1>| match self.state.loss_scale {
                Some(scale) => (loss * scale.factor).backward(),
                None => loss.backward(),
            };
            let here = loss(&self.network);
            let value = f64::from(here.clone().into_scalar::<f32>());
            let mut updated = value.is_finite();
            if updated {
                let mut at = self.network.clone();
                let mut gradients = backward(here);
                if let Some(radius) = config.sharpness_radius {
                    at = ascended(&at, &GradientsParams::from_grads(gradients, &at), radius);
                    gradients = backward(loss(&at));
                }
                updated = self.update(&at, gradients, rate, config.layer_decay);
            }
            if updated && let Some(average) = &mut self.average {
                average.update(&self.network.valid());
            }
            Ok(Step { loss: value, updated })
        })
    }

    /// Notes pictures that cannot be read.
    fn leave_out(
        &mut self,
        unreadable: Vec<TrainError>,
        on_event: &mut impl FnMut(Event),
    ) -> Result<(), TrainError> {
        let known = &mut self.state.unreadable;
        for error in unreadable {
            let TrainError::Picture { path, source } = error else { return Err(error) };
            let reason = source.to_string();
            if known.insert(path.clone(), reason.clone()).is_none() {
                on_event(Event::Unreadable { path, reason });
            }
        }
        match known.first_key_value() {
            Some((first, reason)) if 2 * known.len() > self.samples => Err(TrainError::MostUnreadable {
                unreadable: known.len(),
                samples: self.samples,
                first: first.clone(),
                reason: reason.clone(),
            }),
            _ => Ok(()),
        }
    }

    /// Whether the last best epoch is too long ago.
    fn is_out_of_patience(&self, config: &TrainConfig) -> bool {
        let waited = self.state.best.map_or(0, |(epoch, _)| self.state.epoch - epoch);
        config.patience.is_some_and(|patience| waited >= patience)
    }

    /// One update of the weights by the gradients at `at`, each layer at its rate; none, and false,
    /// when scaled gradients have overflown.
    fn update(&mut self, at: &Network, mut gradients: Gradients, rate: f64, layer_decay: f64) -> bool {
        let mut layers = if layer_decay == 1.0 {
            vec![GradientsParams::from_grads(gradients, at)]
        } else {
            let layers = self.network.layers().into_iter().rev();
            layers.map(|layer| GradientsParams::from_params(&mut gradients, at, &layer)).collect()
        };
        if let Some(scale) = self.state.loss_scale {
            let Some(unscaled) = scale.unscaled(layers, at) else { return false };
            layers = unscaled;
        }
        let mut rate = rate;
        for gradients in layers {
            self.network = self.optimizer.step(rate, self.network.clone(), gradients);
            rate *= layer_decay;
        }
        true
    }

    /// The network that is validated and kept: the moving average, or the weights themselves.
    fn candidate(&self) -> Network {
        let network = self.network.valid();
        match &self.average {
            Some(average) => average.network(network),
            None => network,
        }
    }

    /// Writes what the epoch leaves; whether it is the best so far.
    fn finish_epoch(
        &mut self,
        record: &EpochRecord,
        candidate: &Network,
        run: &Path,
    ) -> Result<bool, TrainError> {
        let best = self.state.best.is_none_or(|(_, auc)| record.validation_auc > auc);
        self.state.epoch = record.epoch;
        self.state.history.push(record.clone());
        self.state.average_updates = self.average.as_ref().map_or(0, Average::updates);
        if best {
            self.state.best = Some((record.epoch, record.validation_auc));
            let mut weights = candidate.weights()?;
            weights.metadata.insert("deeptell.epoch".into(), record.epoch.to_string());
            weights.metadata.insert("deeptell.validation_auc".into(), record.validation_auc.to_string());
            weights.write(run.join("best.safetensors"), StoredPrecision::Full)?;
        }
        // Before what only people read: whoever sees the epoch in the history can go on from it.
        let average = self.average.is_some().then_some(candidate);
        checkpoint::save(run, &self.network, average, &self.optimizer, &self.state)?;
        let lines = to_lines(&self.state.history)
            .map_err(|e| TrainError::Checkpoint { path: run.join("history.jsonl"), reason: e.to_string() })?;
        checkpoint::write_whole(&run.join("history.jsonl"), &lines)?;
        if !self.state.unreadable.is_empty() {
            let line =
                |(path, reason)| format!("{}\n", serde_json::json!({ "path": path, "reason": reason }));
            let lines: String = self.state.unreadable.iter().map(line).collect();
            checkpoint::write_whole(&run.join("skipped.jsonl"), &lines)?;
        }
        if let Some(svg) = history_svg(&self.state.history) {
            checkpoint::write_whole(&run.join("history.svg"), &svg)?;
        }
        Ok(best)
    }

    fn ended(self, pos_weight: f64, finished: bool) -> Run {
        let State { history, best, unreadable, .. } = self.state;
        Run { history, best, pos_weight, unreadable, finished }
    }
}

/// Refuses to continue a run under other settings or on other samples, naming what differs. It may
/// get more epochs.
fn differs(config: &TrainConfig, now: &State, saved: &State, run: &Path) -> Result<(), TrainError> {
    let refuse = |reason: String| Err(TrainError::Resume { path: run.to_owned(), reason });
    if config.epochs < saved.epoch {
        return refuse(format!(
            "it has {} epochs, and {} are asked for: ask for as many or more",
            saved.epoch, config.epochs
        ));
    }
    let settings = |state: &State| -> Vec<String> {
        state.config.lines().filter(|line| !line.starts_with("epochs = ")).map(str::to_owned).collect()
    };
    let (settings_now, settings_saved) = (settings(now), settings(saved));
    if settings_now != settings_saved {
        let line = settings_now
            .iter()
            .zip(&settings_saved)
            .find(|(now, saved)| now != saved)
            .map_or_else(String::new, |(now, saved)| format!(" (`{now}` where it was `{saved}`)"));
        return refuse(format!("it began with another configuration{line}; use its own config.toml"));
    }
    if now.samples != saved.samples {
        return refuse("it began with other samples; use the same manifest, or another folder".into());
    }
    Ok(())
}

/// SHA-256 over path, label, source and split of all samples.
fn fingerprint(samples: &[Sample]) -> String {
    let mut rows = String::new();
    for sample in samples {
        let split = sample.split.map(|s| s.to_string());
        let _ = writeln!(rows, "{}\t{}\t{}\t{split:?}", sample.path.display(), sample.label, sample.source);
    }
    sha256(rows.as_bytes())
}

fn seed(seed: u64, purpose: &str, index: u64) -> u64 {
    use rand::Rng as _;
    generator(seed, purpose, [index, 0]).next_u64()
}

/// The training loss in double precision, from logits at hand.
fn mean_loss(logits: &[f64], labels: &[bool], pos_weight: f64) -> f64 {
    let softplus = |x: f64| x.max(0.0) + (-x.abs()).exp().ln_1p();
    let each = |(&logit, &fake): (&f64, &bool)| {
        if fake { pos_weight * softplus(-logit) } else { softplus(logit) }
    };
    logits.iter().zip(labels).map(each).sum::<f64>() / logits.len() as f64
}
