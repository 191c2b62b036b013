//! The state of a run: network, optimizer, average, figures so far.

use std::collections::{BTreeMap, VecDeque};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use burn::grad_clipping::GradientClippingConfig;
use burn::module::Module as _;
use burn::optim::{AdamWConfig, GradientsParams, ModuleOptimizer};
use burn::tensor::{Device, Gradients, Tensor, TensorData};
use deeptell_data::{Sample, Split};
use deeptell_network::{Network, NetworkConfig, Normalization, StoredPrecision, Weights, normalize};
use image::GrayImage;

use crate::average::Average;
use crate::batch::{Batch, Loader};
use crate::checkpoint::{self, State};
use crate::history::to_lines;
use crate::loss::localization_loss;
use crate::loss_scale::LossScale;
use crate::order::{Plan, order};
use crate::random::seed;
use crate::sharpness::ascended;
use crate::{
    EpochRecord, Event, LearningRate, Run, TrainConfig, TrainError, binary_cross_entropy_with_logits,
    history_svg, resume,
};

/// The initial weights of a run.
#[derive(Debug, Clone, Default)]
pub enum Start {
    /// Random weights.
    #[default]
    Scratch,
    /// A feature extractor, ImageNet's for example, under a fresh classifier.
    Backbone(Weights),
    /// A whole network, to continue from.
    Network(Weights),
    /// The last checkpoint in the run folder.
    Resume,
}

/// The constants of one epoch.
pub(crate) struct Epoch {
    pub(crate) number: usize,
    pub(crate) plan: Plan,
    pub(crate) pos_weight: f64,
    pub(crate) rate: LearningRate,
}

/// The training steps of an epoch, summed up.
pub(crate) struct Steps {
    pub(crate) mean_loss: f64,
    /// Left out because gradients overflowed.
    pub(crate) skipped: usize,
    /// Wall time in all.
    pub(crate) time: Duration,
    /// Of that, with no batch ready.
    pub(crate) data_wait: Duration,
}

/// One step.
struct Step {
    /// The loss before the update.
    loss: f64,
    /// Whether there was an update.
    updated: bool,
}

/// Everything that changes during a run.
pub(crate) struct Session {
    device: Device,
    network: Network,
    optimizer: ModuleOptimizer,
    average: Option<Average>,
    pub(crate) state: State,
    /// How many the run uses, of both splits.
    samples: usize,
}

impl Session {
    pub(crate) fn open(
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
            .with_weight_decay(config.optimizer.weight_decay)
            .with_epsilon(1e-8)
            .with_grad_clipping(config.optimizer.gradient_clip.map(GradientClippingConfig::Norm))
            .init();
        let state = State {
            epoch: 0,
            best: None,
            average_updates: 0,
            config: config.to_toml()?,
            samples: resume::fingerprint(samples),
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
                resume::check(config, &state, &saved, run)?;
                if saved.config != state.config {
                    checkpoint::write_whole(&run.join("config.toml"), &state.config)?;
                    saved.config = state.config;
                }
                let (network, optimizer, average) =
                    checkpoint::load(&folder, network, optimizer, &saved, config.optimizer.average_decay)?;
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
        let average = config.optimizer.average_decay.map(|decay| Average::new(&network.valid(), decay, 0));
        Ok(Self { device, network, optimizer, average, state, samples: used })
    }

    /// One pass over the training samples; `None` when stopped.
    pub(crate) fn train_epoch(
        &mut self,
        config: &TrainConfig,
        samples: &[&Sample],
        epoch: &Epoch,
        stop: &AtomicBool,
        on_event: &mut impl FnMut(Event),
    ) -> Result<Option<Steps>, TrainError> {
        let number = epoch.number;
        self.network = if number <= config.schedule.frozen_epochs {
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
        let smooth = config.loss.label_smoothing as f32;
        let targets: Vec<f32> =
            batch.fakes.iter().map(|&fake| if fake { 1.0 - 0.5 * smooth } else { 0.5 * smooth }).collect();
        let targets = TensorData::new(targets, [batch.fakes.len(), 1]);
        let targets = Tensor::<2>::from_data(targets, &self.device);
        let localization = (config.loss.localization_weight > 0.0)
            .then(|| localization_targets(&batch.masks, batch.images[0].width(), &self.device));
        // On a worker of the pool the many small parallel loops need no wake-up each.
        rayon::scope(|_| {
            let of_logits = |logits| binary_cross_entropy_with_logits(logits, targets.clone(), pos_weight);
            let loss = |network: &Network| match &localization {
                None => of_logits(network.forward(input.clone())),
                Some((shares, known)) => {
                    let (logits, map) = network.localize(input.clone());
                    let of_map = localization_loss(map, shares.clone(), known.clone());
                    of_logits(logits) + of_map * config.loss.localization_weight
                }
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
                if let Some(radius) = config.optimizer.sharpness_radius {
                    at = ascended(&at, &GradientsParams::from_grads(gradients, &at), radius);
                    gradients = backward(loss(&at));
                }
                updated = self.update(&at, gradients, rate, config.optimizer.layer_decay);
            }
            if updated && let Some(average) = &mut self.average {
                average.update(&self.network.valid());
            }
            Ok(Step { loss: value, updated })
        })
    }

    /// Notes pictures that cannot be read.
    pub(crate) fn leave_out(
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
    pub(crate) fn is_out_of_patience(&self, config: &TrainConfig) -> bool {
        let waited = self.state.best.map_or(0, |(epoch, _)| self.state.epoch - epoch);
        config.schedule.patience.is_some_and(|patience| waited >= patience)
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
    pub(crate) fn candidate(&self) -> Network {
        let network = self.network.valid();
        match &self.average {
            Some(average) => average.network(network),
            None => network,
        }
    }

    /// Writes what the epoch leaves; whether it is the best so far.
    pub(crate) fn finish_epoch(
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
        // Before the files for people: an epoch in the history can always be resumed from.
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

    pub(crate) fn ended(self, pos_weight: f64, finished: bool) -> Run {
        let State { history, best, unreadable, .. } = self.state;
        Run { history, best, pos_weight, unreadable, finished }
    }
}

/// Pixels of a side of a picture to one of its last feature map.
const STRIDE: u32 = 32;

/// The targets of [`localization_loss`] for square pictures of `side` pixels, and which of them are known.
fn localization_targets(masks: &[Option<GrayImage>], side: u32, device: &Device) -> (Tensor<4>, Tensor<4>) {
    let cells = side.div_ceil(STRIDE);
    let mut shares = vec![0.0_f32; masks.len() * (cells * cells) as usize];
    for (mask, shares) in masks.iter().zip(shares.chunks_exact_mut((cells * cells) as usize)) {
        let Some(mask) = mask else { continue };
        let mut pixels = vec![0.0_f32; shares.len()];
        for (x, y, value) in mask.enumerate_pixels() {
            let cell = ((y / STRIDE).min(cells - 1) * cells + (x / STRIDE).min(cells - 1)) as usize;
            shares[cell] += f32::from(value[0]) / 255.0;
            pixels[cell] += 1.0;
        }
        for (share, pixels) in shares.iter_mut().zip(pixels) {
            *share /= pixels.max(1.0);
        }
    }
    let known: Vec<f32> = masks.iter().map(|mask| if mask.is_some() { 1.0 } else { 0.0 }).collect();
    let (images, cells) = (masks.len(), cells as usize);
    (
        Tensor::from_data(TensorData::new(shares, [images, 1, cells, cells]), device),
        Tensor::from_data(TensorData::new(known, [images, 1, 1, 1]), device),
    )
}

#[cfg(test)]
mod tests {
    use image::Luma;

    use super::*;

    #[test]
    fn localization_targets_are_shares_of_cells() {
        let device = Device::flex();
        // The left half of the first cell, and all of the narrower last column of cells.
        let inside = |x, y| x < 16 && y < 32 || x >= 64;
        let mask = GrayImage::from_fn(80, 80, |x, y| Luma([if inside(x, y) { 255 } else { 0 }]));
        let (shares, known) = localization_targets(&[None, Some(mask)], 80, &device);
        assert_eq!(shares.dims(), [2, 1, 3, 3]);
        let shares = shares.try_into_vec_as::<f32>().unwrap();
        assert_eq!(shares[..9], [0.0; 9]);
        assert_eq!(shares[9..], [0.5, 0.0, 1.0, 0.0, 0.0, 1.0, 0.0, 0.0, 1.0]);
        assert_eq!(known.try_into_vec_as::<f32>().unwrap(), [0.0, 1.0]);
    }
}
