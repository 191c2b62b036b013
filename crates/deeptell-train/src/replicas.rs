//! Data-parallel steps: replicas of the network, each with a part of every batch.
//!
//! The first replica is the network that is trained; the others are copies of it that last for one pass. Each
//! computes the loss of its pictures and the gradients in threads of its own. What makes the result depend on the
//! number of replicas alone, and not on which of them is done first:
//!
//! - a batch is cut into ordered parts of nearly the same size, and each loss is weighted by the size of its part;
//! - dropout is drawn for the whole batch before it is cut;
//! - losses, gradients and statistics are added on the first device, in the order of the replicas.

use std::mem::discriminant;
use std::ops::Range;
use std::panic::resume_unwind;
use std::thread;

use burn::module::{Module, ModuleVisitor, Param};
use burn::optim::GradientsParams;
use burn::tensor::{Device, Tensor};
use deeptell_network::{DropoutMask, Network};
use rayon::{ThreadPool, ThreadPoolBuilder};

use crate::batch::Batch;
use crate::objective::Objective;
use crate::{TrainConfig, TrainError};

/// Where the replicas of a run compute.
pub(crate) struct Replicas {
    /// One for each, with autodiff. On the first one, gradients are added and weights change.
    devices: Vec<Device>,
    /// The threads of each. None for a single replica, which computes in the caller's.
    pools: Vec<ThreadPool>,
    /// Fewest pictures of a part.
    least: usize,
}

/// Loss and gradients of a batch.
pub(crate) struct Pass {
    /// The loss, not multiplied by any factor.
    pub(crate) loss: f64,
    /// The gradients of the loss times the factor.
    pub(crate) gradients: GradientsParams,
}

impl Replicas {
    /// One replica on each device, or as many as the configuration says on one device. `pictures` are in a batch.
    ///
    /// # Errors
    /// [`TrainError::Replicas`] when there are more replicas than a batch has pictures for, when devices are of
    /// different kinds or repeated, or when the threads cannot be started.
    pub(crate) fn new(config: &TrainConfig, devices: &[Device], pictures: usize) -> Result<Self, TrainError> {
        let count = if devices.len() > 1 { devices.len() } else { config.replicas };
        let refuse = |reason: String| Err(TrainError::Replicas { replicas: count, reason });
        let Some(first) = devices.first() else { return refuse("no device is given".into()) };
        if ![1, count].contains(&config.replicas) {
            return refuse(format!(
                "`replicas` is {} and {count} devices are given, with one replica each: set it to {count} or 1",
                config.replicas
            ));
        }
        if devices
            .iter()
            .any(|device| discriminant(device.as_dispatch()) != discriminant(first.as_dispatch()))
        {
            return refuse("the devices are of different kinds: choose devices of one kind".into());
        }
        let repeated = |index: &usize| devices[..*index].contains(&devices[*index]);
        if let Some(index) = (0..devices.len()).find(repeated) {
            return refuse(format!(
                "device {} of the list is in it twice: name each device once, or one device and `replicas`",
                index + 1
            ));
        }
        // The variance of a single picture says nothing.
        let least = if config.frozen_statistics { 1 } else { 2 };
        if count > 1 && pictures < count * least {
            let (most, advice) = (
                (pictures / least).max(1),
                match least {
                    1 => " or raise `batch_size`",
                    _ => ", raise `batch_size`, or set `frozen_statistics`, with which one picture is enough",
                },
            );
            return refuse(format!(
                "each needs {least} of the {pictures} pictures of a batch: use at most {most}{advice}"
            ));
        }
        let devices: Vec<Device> =
            (0..count).map(|index| devices.get(index).unwrap_or(first).clone().autodiff()).collect();
        let threads = (rayon::current_num_threads() / count).max(1);
        let pool = |index| {
            let name = move |thread| format!("replica-{index}-{thread}");
            ThreadPoolBuilder::new().num_threads(threads).thread_name(name).build()
        };
        match (0..count).filter(|_| count > 1).map(pool).collect() {
            Ok(pools) => Ok(Self { devices, pools, least }),
            Err(error) => refuse(format!("cannot start {threads} threads for each ({error}): use fewer")),
        }
    }

    /// The device of the network that is trained, with autodiff.
    pub(crate) fn first_device(&self) -> &Device {
        &self.devices[0]
    }

    /// How many there are.
    pub(crate) fn count(&self) -> usize {
        self.devices.len()
    }

    /// What each replica minimizes for this batch. Where pictures are missing, the last replicas may have none.
    pub(crate) fn objectives(
        &self,
        batch: &Batch,
        config: &TrainConfig,
        pos_weight: f64,
    ) -> Result<Vec<Objective>, TrainError> {
        let parts = parts(batch.images.len(), self.count(), self.least);
        let objective =
            |device: &Device, pictures| Objective::new(batch, pictures, &config.loss, pos_weight, device);
        self.each(parts, objective).into_iter().collect()
    }

    /// Loss and gradients of the objectives together, with the weights of `network`, whose running statistics are
    /// updated.
    pub(crate) fn pass(&self, network: &Network, objectives: &[Objective], factor: Option<f64>) -> Pass {
        if self.pools.is_empty() {
            return pass(&objectives[0], network, None, factor);
        }
        let pictures = objectives.iter().map(Objective::pictures).sum();
        let mask = network.draw_dropout(pictures, objectives[0].map_size(), self.first_device());
        let mut taken = 0;
        let work = objectives.iter().zip(&self.devices).enumerate().map(|(index, (objective, device))| {
            let rows = taken..taken + objective.pictures();
            taken = rows.end;
            let replica = if index == 0 { network.clone() } else { copy(network, device) };
            (objective, replica, mask.as_ref().map(|mask| mask.part(rows, &device.clone().inner())))
        });
        let results = self.each(work.collect(), |_, (objective, replica, mask)| {
            let pass = pass(objective, &replica, mask.as_ref(), factor);
            (pass, replica.statistics())
        });
        let (passes, statistics): (Vec<Pass>, Vec<_>) = results.into_iter().unzip();
        network.set_statistics(mean_statistics(statistics, objectives));
        let loss = passes.iter().map(|pass| pass.loss).sum();
        let parts = passes.into_iter().map(|pass| pass.gradients).collect();
        let (device, total) = (self.first_device().clone().inner(), GradientsParams::new());
        let mut sum = Sum { parts, total, device };
        network.visit(&mut sum);
        Pass { loss, gradients: sum.total }
    }

    /// The results of `run` for each piece of work, on the device and in the threads of its replica, in order.
    fn each<T: Send, R: Send>(&self, work: Vec<T>, run: impl Fn(&Device, T) -> R + Sync) -> Vec<R> {
        if self.pools.is_empty() {
            return work.into_iter().map(|piece| run(&self.devices[0], piece)).collect();
        }
        let run = &run;
        thread::scope(|scope| {
            let places = self.devices.iter().zip(&self.pools);
            let running: Vec<_> = places
                .zip(work)
                .map(|((device, pool), piece)| scope.spawn(move || pool.install(|| run(device, piece))))
                .collect();
            let ended = running.into_iter().map(thread::ScopedJoinHandle::join);
            // Burn panics where a device fails.
            ended.map(|result| result.unwrap_or_else(|panic| resume_unwind(panic))).collect()
        })
    }
}

/// `0..pictures` in ordered parts whose sizes differ by one at most: one for each replica, fewer where parts would be
/// smaller than `least`.
fn parts(pictures: usize, replicas: usize, least: usize) -> Vec<Range<usize>> {
    let count = (pictures / least).clamp(1, replicas);
    (0..count).map(|part| part * pictures / count..(part + 1) * pictures / count).collect()
}

/// The network on another device, with running statistics of its own, which clones share.
fn copy(network: &Network, device: &Device) -> Network {
    network.valid().to_device(&device.clone().inner()).train()
}

/// The pass of one replica.
fn pass(objective: &Objective, network: &Network, mask: Option<&DropoutMask>, factor: Option<f64>) -> Pass {
    let loss = objective.loss(network, mask);
    let value = f64::from(loss.clone().into_scalar::<f32>());
    let gradients = match factor {
        Some(factor) => (loss * factor).backward(),
        None => loss.backward(),
    };
    Pass { loss: value, gradients: GradientsParams::from_grads(gradients, network) }
}

/// The mean of the running statistics of the replicas, weighted by the sizes of their parts, on the device of the
/// first. Statistics that are equal stay as they are.
fn mean_statistics(replicas: Vec<Vec<Tensor<1>>>, objectives: &[Objective]) -> Vec<Tensor<1>> {
    let mut replicas = replicas.into_iter().zip(objectives);
    let first = replicas.next().map_or_else(Vec::new, |(statistics, _)| statistics);
    let mut mean = first.clone();
    for (statistics, objective) in replicas {
        for ((mean, first), other) in mean.iter_mut().zip(&first).zip(statistics) {
            let other = other.to_device(&first.device());
            *mean = mean.clone() + (other - first.clone()) * objective.share();
        }
    }
    mean
}

/// Adds the gradients of the replicas, always in the same order.
struct Sum {
    parts: Vec<GradientsParams>,
    total: GradientsParams,
    device: Device,
}

impl ModuleVisitor for Sum {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let gradients = self.parts.iter_mut().filter_map(|part| part.remove::<D>(param.id));
        let gradients = gradients.map(|gradient| gradient.to_device(&self.device));
        if let Some(sum) = gradients.reduce(|sum, gradient| sum + gradient) {
            self.total.register(param.id, sum);
        }
    }
}

#[cfg(test)]
mod tests {
    use burn::module::ParamId;
    use deeptell_network::{Architecture, NetworkConfig};
    use image::{GrayImage, Luma, Rgb, RgbImage};

    use super::*;
    use crate::LossConfig;
    use crate::order::Unit;

    fn batch(pictures: usize) -> Batch {
        let value = |x: u32, y: u32, by: usize| ((x * 37 + y * 91 + x * y * by as u32) % 251) as u8;
        let image = |by| {
            RgbImage::from_fn(64, 64, |x, y| Rgb([value(x, y, by), value(y, x, 3), value(x, x, by + 5)]))
        };
        let mask = |by: usize| {
            (!by.is_multiple_of(3)).then(|| {
                GrayImage::from_fn(64, 64, |x, y| Luma([if by % 2 == 1 && x > y { 255 } else { 0 }]))
            })
        };
        Batch {
            images: (0..pictures).map(image).collect(),
            fakes: (0..pictures).map(|by| by % 2 == 1).collect(),
            masks: (0..pictures).map(mask).collect(),
            units: (0..pictures).map(Unit::Single).collect(),
            unreadable: Vec::new(),
        }
    }

    fn config(replicas: usize) -> TrainConfig {
        let loss = LossConfig { localization_weight: 0.3, label_smoothing: 0.1, ..LossConfig::default() };
        TrainConfig { replicas, loss, ..TrainConfig::default() }
    }

    /// A network whose running statistics are not all the same.
    fn network(device: &Device) -> Network {
        device.seed(5);
        let network = NetworkConfig::new(Architecture::MobileNetV3Small, 1).init(device);
        let statistics = network
            .statistics()
            .into_iter()
            .enumerate()
            .map(|(number, values)| if number % 2 == 0 { values + 0.05 } else { values * 0.7 });
        network.set_statistics(statistics.collect());
        // Weights are drawn when they are first asked for.
        network.valid().train()
    }

    struct Gathered<'a> {
        gradients: &'a GradientsParams,
        values: Vec<(ParamId, Vec<f32>)>,
    }

    impl ModuleVisitor for Gathered<'_> {
        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            if let Some(gradient) = self.gradients.get::<D>(param.id) {
                self.values.push((param.id, gradient.try_into_vec_as::<f32>().unwrap()));
            }
        }
    }

    /// Loss, gradients and running statistics of one pass.
    type Found = (f64, Vec<(ParamId, Vec<f32>)>, Vec<Vec<f32>>);

    fn found(config: &TrainConfig, network: &Network, batch: &Batch) -> Found {
        found_with(config, network, batch, 1.5, None)
    }

    fn found_with(
        config: &TrainConfig,
        network: &Network,
        batch: &Batch,
        pos_weight: f64,
        factor: Option<f64>,
    ) -> Found {
        let device = Device::flex();
        let replicas = Replicas::new(config, std::slice::from_ref(&device), batch.images.len()).unwrap();
        let objectives = replicas.objectives(batch, config, pos_weight).unwrap();
        device.seed(9);
        let pass = replicas.pass(network, &objectives, factor);
        let mut gathered = Gathered { gradients: &pass.gradients, values: Vec::new() };
        network.visit(&mut gathered);
        let statistics =
            network.statistics().into_iter().map(|values| values.try_into_vec_as::<f32>().unwrap());
        (pass.loss, gathered.values, statistics.collect())
    }

    /// The largest difference between gradients, and the largest gradient.
    fn apart(one: &Found, other: &Found) -> (f32, f32) {
        let flat =
            |found: &Found| found.1.iter().flat_map(|(_, values)| values.clone()).collect::<Vec<f32>>();
        let (one, other) = (flat(one), flat(other));
        assert_eq!(one.len(), other.len());
        let largest = one.iter().fold(0.0, |largest: f32, value| largest.max(value.abs()));
        (one.iter().zip(&other).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max), largest)
    }

    /// With all that a loss is made of: weights of fakes, smoothed targets, where pictures are manipulated, dropout.
    #[test]
    fn two_replicas_of_16_have_the_gradients_of_one_of_32() {
        let network = network(&Device::flex().autodiff()).freeze_statistics();
        for (pictures, replicas) in [(32, 2), (31, 2), (32, 3), (5, 4)] {
            let batch = batch(pictures);
            let one = found(&config_frozen(1), &network, &batch);
            let several = found(&config_frozen(replicas), &network, &batch);
            let (apart, largest) = apart(&one, &several);
            assert!((one.0 - several.0).abs() < 1e-6, "{pictures}: loss {} and {}", one.0, several.0);
            assert!(largest > 0.01, "{largest}");
            assert!(apart < 1e-6, "{pictures} pictures, {replicas} replicas: {apart} of {largest}");
            assert_eq!(one.2, several.2, "statistics moved");
        }
    }

    fn config_frozen(replicas: usize) -> TrainConfig {
        TrainConfig { frozen_statistics: true, ..config(replicas) }
    }

    #[test]
    fn statistics_are_the_mean_of_the_parts_weighted_by_size() {
        let device = Device::flex().autodiff();
        let whole = batch(5);
        let several = found(&config(2), &network(&device), &whole).2;
        // The parts of 5 are 2 and 3 pictures.
        let alone = |pictures: Range<usize>| {
            let part = Batch {
                images: whole.images[pictures.clone()].to_vec(),
                fakes: whole.fakes[pictures.clone()].to_vec(),
                masks: whole.masks[pictures.clone()].to_vec(),
                units: whole.units[pictures].to_vec(),
                unreadable: Vec::new(),
            };
            found(&config(1), &network(&device), &part).2
        };
        let parts = [alone(0..2), alone(2..5)];
        for (number, mean) in several.iter().enumerate() {
            for (channel, mean) in mean.iter().enumerate() {
                let [first, second] = [0, 1].map(|part| parts[part][number][channel]);
                assert!((mean - (0.4 * first + 0.6 * second)).abs() < 1e-6);
            }
        }
        assert_ne!(parts[0], parts[1]);
    }

    #[test]
    fn passes_have_the_same_bits_when_repeated() {
        let device = Device::flex().autodiff();
        for replicas in [2, 3] {
            let pass = || {
                let (loss, gradients, statistics) = found(&config(replicas), &network(&device), &batch(7));
                (loss, gradients.into_iter().map(|(_, values)| values).collect::<Vec<_>>(), statistics)
            };
            let first = pass();
            assert!((0..3).all(|_| pass() == first), "{replicas} replicas");
        }
    }

    /// The second part has all the fakes, whose gradients are a million times as large.
    #[test]
    fn overflow_in_one_replica_reaches_the_sum() {
        let network = network(&Device::flex().autodiff()).freeze_statistics();
        let batch = Batch { fakes: vec![false, false, true, true], ..batch(4) };
        let pass = |pos_weight| {
            let config = TrainConfig { loss: LossConfig::default(), ..config_frozen(2) };
            let (loss, gradients, _) = found_with(&config, &network, &batch, pos_weight, Some(1e35));
            assert!(loss.is_finite());
            gradients.iter().all(|(_, values)| values.iter().all(|value| value.is_finite()))
        };
        assert!(pass(1.0));
        assert!(!pass(1e6));
    }

    #[test]
    fn parts_are_ordered_and_nearly_equal() {
        assert_eq!(parts(32, 2, 2), [0..16, 16..32]);
        assert_eq!(parts(8, 3, 2), [0..2, 2..5, 5..8]);
        // Too few pictures for all replicas: the last have none.
        assert_eq!(parts(5, 4, 2), [0..2, 2..5]);
        assert_eq!(parts(3, 4, 1), [0..1, 1..2, 2..3]);
        assert_eq!(parts(1, 4, 2), std::iter::once(0..1).collect::<Vec<_>>());
    }

    #[test]
    fn replicas_that_fit_neither_batch_nor_devices_are_refused() {
        let refused = |config: &TrainConfig, devices: &[Device], pictures| match Replicas::new(
            config, devices, pictures,
        )
        .map(|_| ())
        {
            Err(TrainError::Replicas { replicas, reason }) => (replicas, reason),
            other => panic!("{other:?}"),
        };
        let (one, two) = ([Device::flex()], [Device::flex(), Device::flex()]);
        let (count, reason) = refused(&config(5), &one, 8);
        assert!(
            count == 5 && reason.contains("at most 4") && reason.contains("frozen_statistics"),
            "{reason}"
        );
        let (_, reason) = refused(&config_frozen(9), &one, 8);
        assert!(reason.contains("at most 8") && !reason.contains("frozen_statistics"), "{reason}");
        let (_, reason) = refused(&config(1), &two, 8);
        assert!(reason.contains("device 2 of the list is in it twice"), "{reason}");
        let (_, reason) = refused(&config(3), &two, 8);
        assert!(reason.contains("`replicas` is 3 and 2 devices are given"), "{reason}");
        assert!(refused(&config(1), &[], 8).1.contains("no device"));
        assert!(Replicas::new(&config(1), &one, 1).is_ok(), "one replica takes what there is");
        assert_eq!(Replicas::new(&config(4), &one, 8).unwrap().count(), 4);
    }
}
