//! Which pictures an epoch shows, and in which order.

use std::collections::HashMap;

use deeptell_data::Sample;
use rand::RngExt as _;
use rand::seq::SliceRandom as _;

use crate::batch::generator;
use crate::{Sampling, TrainConfig, TrainError};

/// Pictures that stand in the same batch and go through the same augmentation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unit {
    /// A sample by itself.
    Single(usize),
    /// A real sample, a blend of it where it has landmarks, and a fake of its source where there
    /// is one.
    Triple { real: usize, fake: Option<usize> },
}

impl Unit {
    /// The sample it is named after.
    pub(crate) fn first(self) -> usize {
        match self {
            Self::Single(index) | Self::Triple { real: index, .. } => index,
        }
    }
}

/// How an epoch is divided, the same for every epoch of a run.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Plan {
    /// Units an epoch.
    pub(crate) units: usize,
    /// Units a step.
    pub(crate) per_batch: usize,
    /// Steps an epoch.
    pub(crate) steps: usize,
    /// Pictures an epoch, blends included, as far as every unit is complete.
    pub(crate) pictures: usize,
    /// Weight of fakes that balances the classes as they are shown.
    pub(crate) balanced_pos_weight: f64,
}

impl Plan {
    /// # Errors
    /// [`TrainError::OneClass`] when a class is missing; [`TrainError::Setting`] when triples are
    /// asked for and no real sample has landmarks.
    pub(crate) fn new(samples: &[&Sample], config: &TrainConfig) -> Result<Self, TrainError> {
        let single = balanced_pos_weight(samples, "train")?;
        let (available, pictures_a_unit, balanced_pos_weight) = match config.sampling {
            Sampling::Shuffled | Sampling::BySource => (samples.len(), 1, single),
            // By turns, so that an odd epoch has one real more.
            Sampling::Balanced => (samples.len(), 1, 1.0),
            Sampling::Triples => {
                let triples = triples(samples);
                let blends = triples.iter().filter(|t| samples[t.first()].landmarks.is_some()).count();
                if blends == 0 {
                    return Err(TrainError::Setting {
                        setting: "sampling",
                        expected:
                            "can be `triples` only when real samples have landmarks: cut the crops with \
                                   `deeptell extract`, or take `by-source`"
                                .into(),
                    });
                }
                let fakes =
                    triples.iter().filter(|t| matches!(t, Unit::Triple { fake: Some(_), .. })).count();
                (triples.len(), 3, triples.len() as f64 / (blends + fakes) as f64)
            }
        };
        let units = config.samples_per_epoch.map_or(available, |n| (n / pictures_a_unit).max(1));
        let per_batch = (config.batch_size / pictures_a_unit).max(1);
        let steps = (units / per_batch).max(1);
        Ok(Self { units, per_batch, steps, pictures: units * pictures_a_unit, balanced_pos_weight })
    }
}

/// The weight of fakes that balances the classes: real over fake samples.
///
/// # Errors
/// [`TrainError::OneClass`] when a class is missing.
pub fn balanced_pos_weight(samples: &[&Sample], split: &'static str) -> Result<f64, TrainError> {
    let n_fake = samples.iter().filter(|s| s.label.is_fake()).count();
    let n_real = samples.len() - n_fake;
    if n_fake == 0 || n_real == 0 {
        return Err(TrainError::OneClass { split, n_real, n_fake });
    }
    Ok(n_real as f64 / n_fake as f64)
}

/// A triple for each real sample, each with the first fake of its source.
fn triples(samples: &[&Sample]) -> Vec<Unit> {
    let fakes = fakes_by_source(samples);
    let fake_of = |real: usize| fakes.get(samples[real].source.as_str()).map(|fakes| fakes[0]);
    let is_real = |&index: &usize| !samples[index].label.is_fake();
    (0..samples.len()).filter(is_real).map(|real| Unit::Triple { real, fake: fake_of(real) }).collect()
}

fn fakes_by_source<'a>(samples: &[&'a Sample]) -> HashMap<&'a str, Vec<usize>> {
    let mut fakes: HashMap<&str, Vec<usize>> = HashMap::new();
    for (index, sample) in samples.iter().enumerate().filter(|(_, sample)| sample.label.is_fake()) {
        fakes.entry(sample.source.as_str()).or_default().push(index);
    }
    fakes
}

/// `count` single samples, a real and a fake by turns, every sample of a class before any comes again.
fn balanced(samples: &[&Sample], config: &TrainConfig, epoch: usize, count: usize) -> Vec<Unit> {
    let class = |fake: bool, purpose: &str| {
        let members: Vec<usize> =
            (0..samples.len()).filter(|&i| samples[i].label.is_fake() == fake).collect();
        let mut drawn = Vec::with_capacity(count.div_ceil(2) + members.len());
        for round in 0.. {
            if drawn.len() >= count.div_ceil(2) || members.is_empty() {
                break;
            }
            let mut again = members.clone();
            again.shuffle(&mut generator(config.seed, purpose, [epoch as u64, round]));
            drawn.extend(again);
        }
        drawn
    };
    let (reals, fakes) = (class(false, "order of reals"), class(true, "order of fakes"));
    let turns =
        reals.into_iter().zip(fakes).flat_map(|(real, fake)| [Unit::Single(real), Unit::Single(fake)]);
    turns.take(count).collect()
}

/// The order of one epoch: `count` units of indices into `samples`.
pub(crate) fn order(samples: &[&Sample], config: &TrainConfig, epoch: usize, count: usize) -> Vec<Unit> {
    let mut order = Vec::with_capacity(count);
    let mut round = 0;
    while order.len() < count {
        let mut rng = generator(config.seed, "order", [epoch as u64, round]);
        match config.sampling {
            Sampling::Shuffled => {
                let mut all: Vec<usize> = (0..samples.len()).collect();
                all.shuffle(&mut rng);
                order.extend(all.into_iter().map(Unit::Single));
            }
            Sampling::BySource => {
                let mut by_source: Vec<usize> = (0..samples.len()).collect();
                by_source.sort_by(|&a, &b| samples[a].source.cmp(&samples[b].source).then(a.cmp(&b)));
                let mut groups: Vec<&[usize]> =
                    by_source.chunk_by(|&a, &b| samples[a].source == samples[b].source).collect();
                groups.shuffle(&mut rng);
                order.extend(groups.into_iter().flatten().map(|&index| Unit::Single(index)));
            }
            // Has rounds of its own, one a class.
            Sampling::Balanced => return balanced(samples, config, epoch, count),
            Sampling::Triples => {
                let fakes = fakes_by_source(samples);
                let mut all = triples(samples);
                all.shuffle(&mut rng);
                order.extend(all.into_iter().map(|triple| {
                    let real = triple.first();
                    let fake = fakes
                        .get(samples[real].source.as_str())
                        .map(|fakes| fakes[rng.random_range(0..fakes.len())]);
                    Unit::Triple { real, fake }
                }));
            }
        }
        round += 1;
    }
    order.truncate(count);
    order
}

#[cfg(test)]
mod tests {
    use deeptell_data::Label;
    use deeptell_face::{Landmarks, Point};

    use super::*;

    fn samples(sources: usize) -> Vec<Sample> {
        (0..sources)
            .flat_map(|s| {
                [(Label::Real, 'r'), (Label::Fake, 'a'), (Label::Fake, 'b')]
                    .map(|(label, name)| Sample::new(format!("{s}{name}.png"), label, format!("s{s}")))
            })
            .collect()
    }

    #[test]
    fn every_epoch_has_its_own_order_and_each_sample_once() {
        let samples = samples(7);
        let samples: Vec<&Sample> = samples.iter().collect();
        for sampling in [Sampling::Shuffled, Sampling::BySource] {
            let config = TrainConfig { sampling, ..TrainConfig::default() };
            let first = order(&samples, &config, 1, 21);
            assert_eq!(first, order(&samples, &config, 1, 21));
            assert_ne!(first, order(&samples, &config, 2, 21));
            let mut sorted: Vec<usize> = first.into_iter().map(Unit::first).collect();
            sorted.sort_unstable();
            assert_eq!(sorted, (0..21).collect::<Vec<_>>());
            assert_eq!(order(&samples, &config, 1, 50).len(), 50);
            assert_eq!(order(&samples, &config, 1, 4).len(), 4);
        }
    }

    #[test]
    fn balanced_batches_hold_half_of_each_and_every_sample_has_its_turn() {
        let samples = samples(6);
        let samples: Vec<&Sample> = samples.iter().collect();
        let config =
            TrainConfig { sampling: Sampling::Balanced, batch_size: 4, seed: 3, ..TrainConfig::default() };
        let plan = Plan::new(&samples, &config).unwrap();
        let expected = Plan { units: 18, per_batch: 4, steps: 4, pictures: 18, balanced_pos_weight: 1.0 };
        assert_eq!(plan, expected);

        let drawn = |epoch, count| -> Vec<usize> {
            order(&samples, &config, epoch, count).into_iter().map(Unit::first).collect()
        };
        let epoch = drawn(1, 36);
        for batch in epoch.chunks(4) {
            assert_eq!(batch.iter().filter(|&&i| samples[i].label.is_fake()).count(), 2);
        }
        // 12 fakes once and 6 reals twice are 24; in 36, none is shown twice more often than another.
        let shown = |i: usize| epoch.iter().filter(|&&j| i == j).count();
        for (i, sample) in samples.iter().enumerate() {
            let expected = if sample.label.is_fake() { 1..=2 } else { 3..=3 };
            assert!(expected.contains(&shown(i)), "{i} is shown {} times", shown(i));
        }
        assert_eq!(epoch, drawn(1, 36));
        assert_ne!(epoch, drawn(2, 36));
        assert_eq!(drawn(1, 7).len(), 7);
    }

    #[test]
    fn sources_stay_together() {
        let samples = samples(9);
        let samples: Vec<&Sample> = samples.iter().collect();
        let config = TrainConfig { sampling: Sampling::BySource, ..TrainConfig::default() };
        for three in order(&samples, &config, 5, 27).chunks(3) {
            let source = &samples[three[0].first()].source;
            assert!(three.iter().all(|unit| &samples[unit.first()].source == source));
        }
    }

    #[test]
    fn triples_pair_each_real_with_a_fake_of_its_source_and_draw_all_of_them() {
        let samples = samples(8);
        let samples: Vec<&Sample> = samples.iter().collect();
        let config = TrainConfig { sampling: Sampling::Triples, ..TrainConfig::default() };
        let mut fakes_seen = Vec::new();
        for epoch in 1..20 {
            let mut reals = Vec::new();
            for unit in order(&samples, &config, epoch, 8) {
                let Unit::Triple { real, fake: Some(fake) } = unit else { panic!("{unit:?}") };
                assert!(!samples[real].label.is_fake() && samples[fake].label.is_fake());
                assert_eq!(samples[real].source, samples[fake].source);
                reals.push(real);
                fakes_seen.push(fake);
            }
            reals.sort_unstable();
            assert_eq!(reals, (0..8).map(|s| 3 * s).collect::<Vec<_>>());
        }
        fakes_seen.sort_unstable();
        fakes_seen.dedup();
        assert_eq!(fakes_seen.len(), 16, "some fakes are never shown");
    }

    #[test]
    fn the_plan_counts_what_is_shown() {
        let mut samples = samples(10);
        let config = TrainConfig { sampling: Sampling::Triples, batch_size: 12, ..TrainConfig::default() };
        let plan =
            |samples: &[Sample], config: &TrainConfig| Plan::new(&samples.iter().collect::<Vec<_>>(), config);
        let refused = plan(&samples, &config);
        assert!(matches!(refused, Err(TrainError::Setting { setting: "sampling", .. })));

        let face = [(60.0, 60.0), (100.0, 60.0), (80.0, 85.0), (65.0, 110.0), (95.0, 110.0)];
        for sample in samples.iter_mut().take(15) {
            sample.landmarks = Some(Landmarks::from_points(face.map(|(x, y)| Point::new(x, y))));
        }
        // 5 of 10 reals have landmarks: 10 reals, 5 blends, 10 fakes an epoch.
        let triples = plan(&samples, &config).unwrap();
        let expected =
            Plan { units: 10, per_batch: 4, steps: 2, pictures: 30, balanced_pos_weight: 10.0 / 15.0 };
        assert_eq!(triples, expected);
        let single = plan(&samples, &TrainConfig { sampling: Sampling::Shuffled, ..config }).unwrap();
        let expected = Plan { units: 30, per_batch: 12, steps: 2, pictures: 30, balanced_pos_weight: 0.5 };
        assert_eq!(single, expected);
    }
}
