//! The state of a run: network, optimizer, average, figures so far.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use burn::grad_clipping::GradientClippingConfig;
use burn::module::{Module as _, ModuleVisitor, Param, ParamId};
use burn::optim::{AdamWConfig, GradientsParams, ModuleOptimizer};
use burn::tensor::Tensor;
use deeptell_data::{Sample, Split};
use deeptell_network::{Network, NetworkConfig, StoredDtype, Weights};

use crate::average::Average;
use crate::batch::{Batch, Loader};
use crate::checkpoint::{self, State};
use crate::history::to_lines;
use crate::loss_scale::LossScale;
use crate::objective::Objective;
use crate::order::{Plan, order};
use crate::random::seed;
use crate::replicas::{Pass, Replicas};
use crate::sharpness::ascended;
use crate::{
    EpochRecord, Event, LearningRate, OptimizerConfig, Run, TrainConfig, TrainError, history_svg, resume,
};

/// The initial weights of a run.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
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
    replicas: Replicas,
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
        replicas: Replicas,
        run: &Path,
    ) -> Result<Self, TrainError> {
        let device = replicas.first_device();
        device.seed(seed(config.seed, "weights", 0));
        let mut network = NetworkConfig::new(config.architecture, 1)
            .with_dropout(config.dropout)
            .init(device)
            .with_dtype(config.dtype);
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
            loss_scale: LossScale::needed_by(config.dtype),
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
                return Ok(Self { replicas, network, optimizer, average, state: saved, samples: used });
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
        // Random weights are drawn when they are first asked for: now, from the seed of the weights.
        let initial = network.valid();
        let average = config.optimizer.average_decay.map(|decay| Average::new(&initial, decay, 0));
        Ok(Self { replicas, network, optimizer, average, state, samples: used })
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
        self.freeze(config, number);
        self.replicas.first_device().seed(seed(config.seed, "dropout", number as u64));
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
                skipped += usize::from(!updated);
                self.adapt_loss_scale(updated)
                    .ok_or(TrainError::Overflow { epoch: number, batch: step + 1 })?;
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

    /// Freezes what the configuration keeps fixed in this epoch, and nothing else.
    fn freeze(&mut self, config: &TrainConfig, epoch: usize) {
        let network = self.network.clone();
        let network = if epoch <= config.schedule.frozen_epochs {
            network.freeze_backbone()
        } else {
            network.unfreeze_backbone()
        };
        self.network = if config.frozen_statistics { network.freeze_statistics() } else { network };
    }

    /// Sets the scale of the loss, where there is one, after a step that updated the weights or overflowed; `None`
    /// when it cannot be any lower.
    fn adapt_loss_scale(&mut self, updated: bool) -> Option<()> {
        if updated {
            self.state.loss_scale = self.state.loss_scale.map(LossScale::after_clean_step);
        } else {
            self.state.loss_scale = Some(self.state.loss_scale.and_then(LossScale::after_overflow)?);
        }
        Some(())
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
        let objectives = self.replicas.objectives(batch, config, pos_weight)?;
        let mut minimize = || self.minimize(&objectives, &config.optimizer, rate);
        // On a worker of the pool the many small parallel loops need no wake-up each. Several replicas have pools of
        // their own, and would leave this one a worker short.
        Ok(if objectives.len() == 1 { rayon::scope(|_| minimize()) } else { minimize() })
    }

    fn minimize(&mut self, objectives: &[Objective], config: &OptimizerConfig, rate: f64) -> Step {
        let factor = self.state.loss_scale.map(|scale| scale.factor);
        let Pass { loss, mut gradients } = self.replicas.pass(&self.network, objectives, factor);
        if !loss.is_finite() {
            return Step { loss, updated: false };
        }
        let mut at = self.network.clone();
        if let Some(radius) = config.sharpness_radius {
            at = ascended(&at, &gradients, radius);
            gradients = self.replicas.pass(&at, objectives, factor).gradients;
        }
        rayon::scope(|_| {
            let updated = self.update(&at, gradients, rate, config.layer_decay);
            if updated && let Some(average) = &mut self.average {
                average.update(&self.network.valid());
            }
            Step { loss, updated }
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
    fn update(&mut self, at: &Network, gradients: GradientsParams, rate: f64, layer_decay: f64) -> bool {
        let mut layers = if layer_decay == 1.0 { vec![gradients] } else { by_layer(gradients, at) };
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
            weights.write(run.join("best.safetensors"), StoredDtype::F32)?;
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

/// The gradients of each layer, from the output to the input.
fn by_layer(gradients: GradientsParams, network: &Network) -> Vec<GradientsParams> {
    let ids = network.layers().into_iter().rev().collect::<Vec<_>>();
    let layers = ids.iter().map(|_| GradientsParams::new()).collect();
    let layer_of = ids.iter().enumerate().flat_map(|(layer, ids)| ids.iter().map(move |id| (*id, layer)));
    let mut split = ByLayer { gradients, layer_of: layer_of.collect(), layers };
    network.visit(&mut split);
    split.layers
}

struct ByLayer {
    gradients: GradientsParams,
    layer_of: HashMap<ParamId, usize>,
    layers: Vec<GradientsParams>,
}

impl ModuleVisitor for ByLayer {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        if let Some(layer) = self.layer_of.get(&param.id)
            && let Some(gradient) = self.gradients.remove::<D>(param.id)
        {
            self.layers[*layer].register(param.id, gradient);
        }
    }
}
