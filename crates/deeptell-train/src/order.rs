//! The pictures of an epoch, and their order.

use std::collections::{BTreeMap, HashMap};

use deeptell_data::Sample;
use rand::seq::SliceRandom as _;
use rand::{Rng, RngExt as _};

use crate::random::generator;
use crate::{SampleOrder, TrainConfig, TrainError};

/// Pictures that stand in the same batch and go through the same augmentation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unit {
    /// A sample by itself.
    Single(usize),
    /// A real sample, a blend of it where it has landmarks, and a fake of its source, or of its data
    /// set, where there is one.
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
    /// Units per epoch.
    pub(crate) units: usize,
    /// Units a step.
    pub(crate) per_batch: usize,
    /// Steps per epoch.
    pub(crate) steps: usize,
    /// Pictures per epoch, blends included, if every unit is complete.
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
        let (available, pictures_a_unit, balanced_pos_weight) = match config.sampling.order {
            SampleOrder::Shuffled | SampleOrder::BySource => (samples.len(), 1, single),
            // By turns, so that an odd epoch has one real more.
            SampleOrder::Balanced => (samples.len(), 1, 1.0),
            SampleOrder::Triples => {
                let pairs = Pairs::new(samples);
                let has_blend = |real: &usize| samples[*real].landmarks.is_some();
                if !pairs.reals.iter().any(has_blend) {
                    return Err(TrainError::Setting {
                        setting: "sampling",
                        expected:
                            "can be `triples` only when real samples have landmarks: cut the crops with \
                                   `deeptell extract`, or take `by-source`"
                                .into(),
                    });
                }
                let shares = pairs.shares(config)?;
                // Expected number of fakes, blends included, per unit.
                let fakes: f64 = shares
                    .iter()
                    .map(|(reals, share)| {
                        let shown = |real: &&usize| {
                            usize::from(has_blend(real)) + usize::from(pairs.has_fake(samples, **real))
                        };
                        let fakes: usize = reals.iter().map(|real| shown(&real)).sum();
                        share * fakes as f64 / reals.len() as f64
                    })
                    .sum();
                (pairs.reals.len(), 3, fakes.recip())
            }
        };
        let units = config.sampling.samples_per_epoch.map_or(available, |n| (n / pictures_a_unit).max(1));
        let per_batch = (config.batch_size / pictures_a_unit).max(1);
        let steps = (units / per_batch).max(1);
        Ok(Self { units, per_batch, steps, pictures: units * pictures_a_unit, balanced_pos_weight })
    }

    /// Pictures per step if every unit is complete.
    pub(crate) fn pictures_in_batch(&self) -> usize {
        self.per_batch.min(self.units) * (self.pictures / self.units)
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

/// The real samples, and which fakes may stand beside each.
struct Pairs<'a> {
    reals: Vec<usize>,
    by_source: HashMap<&'a str, Vec<usize>>,
    /// The fakes of each data set by method.
    by_dataset: HashMap<&'a str, BTreeMap<&'a str, Vec<usize>>>,
    reals_by_dataset: BTreeMap<&'a str, Vec<usize>>,
}

impl<'a> Pairs<'a> {
    fn new(samples: &[&'a Sample]) -> Self {
        let mut pairs = Self {
            reals: Vec::new(),
            by_source: HashMap::new(),
            by_dataset: HashMap::new(),
            reals_by_dataset: BTreeMap::new(),
        };
        for (index, sample) in samples.iter().enumerate() {
            let dataset = sample.dataset.as_deref();
            if sample.label.is_fake() {
                pairs.by_source.entry(&sample.source).or_default().push(index);
                if let Some(dataset) = dataset {
                    let methods = pairs.by_dataset.entry(dataset).or_default();
                    methods.entry(sample.method.as_deref().unwrap_or_default()).or_default().push(index);
                }
            } else {
                pairs.reals.push(index);
                pairs.reals_by_dataset.entry(dataset.unwrap_or_default()).or_default().push(index);
            }
        }
        pairs
    }

    fn has_fake(&self, samples: &[&Sample], real: usize) -> bool {
        let sample = samples[real];
        self.by_source.contains_key(sample.source.as_str())
            || sample.dataset.as_deref().is_some_and(|dataset| self.by_dataset.contains_key(dataset))
    }

    /// A fake to stand beside a real sample: one of its source, or of its data set where its source
    /// has none and in `other_source_probability` of all cases.
    fn fake(
        &self,
        samples: &[&Sample],
        real: usize,
        other_source_probability: f64,
        rng: &mut impl Rng,
    ) -> Option<usize> {
        let sample = samples[real];
        let of_source = self.by_source.get(sample.source.as_str());
        let of_dataset = sample.dataset.as_deref().and_then(|dataset| self.by_dataset.get(dataset));
        let leaves_source = other_source_probability > 0.0 && rng.random_bool(other_source_probability);
        match (of_source, of_dataset) {
            (Some(fakes), None) => Some(fakes[rng.random_range(0..fakes.len())]),
            (Some(fakes), Some(_)) if !leaves_source => Some(fakes[rng.random_range(0..fakes.len())]),
            (_, Some(methods)) => {
                let fakes = methods.values().nth(rng.random_range(0..methods.len()))?;
                Some(fakes[rng.random_range(0..fakes.len())])
            }
            (None, None) => None,
        }
    }

    /// The real samples that are drawn from, each group with its share of the units; shares sum to 1.
    ///
    /// # Errors
    /// [`TrainError::Setting`] when `dataset_shares` names a data set without real samples, or
    /// leaves one out.
    fn shares(&self, config: &TrainConfig) -> Result<Vec<(&[usize], f64)>, TrainError> {
        if config.sampling.dataset_shares.is_empty() {
            return Ok(vec![(&self.reals, 1.0)]);
        }
        let fault = |dataset: &str, what: &str| TrainError::Setting {
            setting: "dataset_shares",
            expected: format!("must name the data sets of the real training samples: `{dataset}` {what}"),
        };
        if let Some(missing) =
            self.reals_by_dataset.keys().find(|d| !config.sampling.dataset_shares.contains_key(**d))
        {
            return Err(fault(missing, "has no share (0 leaves it out)"));
        }
        let total: f64 = config.sampling.dataset_shares.values().sum();
        config
            .sampling
            .dataset_shares
            .iter()
            .filter(|(_, share)| **share > 0.0)
            .map(|(dataset, share)| {
                let reals = self.reals_by_dataset.get(dataset.as_str());
                let reals = reals.ok_or_else(|| fault(dataset, "has no real sample"))?;
                Ok((reals.as_slice(), share / total))
            })
            .collect()
    }
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

/// `count` triples, each data set by its share; within one, every real face before any comes again.
fn triples(samples: &[&Sample], config: &TrainConfig, epoch: usize, count: usize) -> Vec<Unit> {
    let pairs = Pairs::new(samples);
    // The plan has refused shares that cannot be kept.
    let shares = pairs.shares(config).unwrap_or_default();
    let mut rng = generator(config.seed, "order", [epoch as u64, 0]);
    let mut reals = Vec::with_capacity(count + shares.len());
    let mut owed = 0.0;
    for (group, share) in shares {
        owed += share * count as f64;
        let wanted = (owed.round() as usize).saturating_sub(reals.len());
        let end = reals.len() + wanted;
        while reals.len() < end {
            let mut round = group.to_vec();
            round.shuffle(&mut rng);
            round.truncate(end - reals.len());
            reals.extend(round);
        }
    }
    if config.sampling.dataset_shares.len() > 1 {
        reals.shuffle(&mut rng);
    }
    let fake = |real, rng: &mut _| pairs.fake(samples, real, config.sampling.other_source_probability, rng);
    reals.into_iter().map(|real| Unit::Triple { real, fake: fake(real, &mut rng) }).collect()
}

/// The order of one epoch: `count` units of indices into `samples`.
pub(crate) fn order(samples: &[&Sample], config: &TrainConfig, epoch: usize, count: usize) -> Vec<Unit> {
    let mut order = Vec::with_capacity(count);
    let mut round = 0;
    while order.len() < count {
        let mut rng = generator(config.seed, "order", [epoch as u64, round]);
        match config.sampling.order {
            SampleOrder::Shuffled => {
                let mut all: Vec<usize> = (0..samples.len()).collect();
                all.shuffle(&mut rng);
                order.extend(all.into_iter().map(Unit::Single));
            }
            SampleOrder::BySource => {
                let mut by_source: Vec<usize> = (0..samples.len()).collect();
                by_source.sort_by(|&a, &b| samples[a].source.cmp(&samples[b].source).then(a.cmp(&b)));
                let mut groups: Vec<&[usize]> =
                    by_source.chunk_by(|&a, &b| samples[a].source == samples[b].source).collect();
                groups.shuffle(&mut rng);
                order.extend(groups.into_iter().flatten().map(|&index| Unit::Single(index)));
            }
            // These two have rounds of their own.
            SampleOrder::Balanced => return balanced(samples, config, epoch, count),
            SampleOrder::Triples => return triples(samples, config, epoch, count),
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
    use crate::SamplingConfig;

    fn samples(sources: usize) -> Vec<Sample> {
        (0..sources)
            .flat_map(|s| {
                [(Label::Real, 'r'), (Label::Fake, 'a'), (Label::Fake, 'b')]
                    .map(|(label, name)| Sample::new(format!("{s}{name}.png"), label, format!("s{s}")))
            })
            .collect()
    }

    #[test]
    fn epochs_have_own_orders_and_each_sample_once() {
        let samples = samples(7);
        let samples: Vec<&Sample> = samples.iter().collect();
        for sampling in [SampleOrder::Shuffled, SampleOrder::BySource] {
            let config = TrainConfig { sampling: sampling.into(), ..TrainConfig::default() };
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
    fn balanced_order_has_half_of_each_class_and_every_sample() {
        let samples = samples(6);
        let samples: Vec<&Sample> = samples.iter().collect();
        let config = TrainConfig {
            sampling: SampleOrder::Balanced.into(),
            batch_size: 4,
            seed: 3,
            ..TrainConfig::default()
        };
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
    fn triples_keep_sources_together() {
        let samples = samples(9);
        let samples: Vec<&Sample> = samples.iter().collect();
        let config = TrainConfig { sampling: SampleOrder::BySource.into(), ..TrainConfig::default() };
        for three in order(&samples, &config, 5, 27).chunks(3) {
            let source = &samples[three[0].first()].source;
            assert!(three.iter().all(|unit| &samples[unit.first()].source == source));
        }
    }

    #[test]
    fn triples_pair_real_with_fake_of_its_source() {
        let samples = samples(8);
        let samples: Vec<&Sample> = samples.iter().collect();
        let config = TrainConfig { sampling: SampleOrder::Triples.into(), ..TrainConfig::default() };
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

    /// `reals` real samples in a data set, and per method `fakes` fakes of other sources.
    fn dataset(name: &str, reals: usize, methods: &[&str], fakes: usize) -> Vec<Sample> {
        let dataset = Some(name.to_owned());
        let real = |i| {
            Sample::new(format!("{name}/r{i}.png"), Label::Real, format!("{name}r{i}"))
                .dataset(dataset.clone())
        };
        let fake = |method: &str, i| {
            Sample::new(format!("{name}/{method}{i}.png"), Label::Fake, format!("{name}{method}{i}"))
                .dataset(dataset.clone())
                .method(Some(method.to_owned()))
        };
        let fakes = methods.iter().flat_map(|&method| (0..fakes).map(move |i| (method, i)));
        (0..reals).map(real).chain(fakes.map(|(method, i)| fake(method, i))).collect()
    }

    #[test]
    fn dataset_shares_set_how_often_each_is_shown() {
        let mut samples = dataset("a", 40, &["x"], 8);
        samples.extend(dataset("b", 5, &["y", "z"], 3));
        samples.extend(dataset("c", 7, &[], 0));
        let samples: Vec<&Sample> = samples.iter().collect();
        let shares = [("a", 2.0), ("b", 1.0), ("c", 1.0)].map(|(name, share)| (name.to_owned(), share));
        let config = TrainConfig {
            sampling: SamplingConfig { dataset_shares: shares.into(), ..SampleOrder::Triples.into() },
            ..TrainConfig::default()
        };
        let units = order(&samples, &config, 1, 200);
        assert_eq!(units, order(&samples, &config, 1, 200));
        assert_ne!(units, order(&samples, &config, 2, 200));
        let of = |name: &str| -> Vec<(usize, Option<usize>)> {
            let pair = |unit: &Unit| match *unit {
                Unit::Triple { real, fake } => (real, fake),
                Unit::Single(_) => panic!("{unit:?}"),
            };
            units.iter().map(pair).filter(|(r, _)| samples[*r].dataset.as_deref() == Some(name)).collect()
        };
        assert_eq!(["a", "b", "c"].map(|name| of(name).len()), [100, 50, 50]);
        assert!(of("c").iter().all(|(_, fake)| fake.is_none()));
        let methods =
            of("b").iter().filter(|(_, f)| samples[f.unwrap()].method.as_deref() == Some("y")).count();
        assert!((15..=35).contains(&methods), "methods are drawn evenly: {methods}");
        let shown = |real: usize| of("b").iter().filter(|(r, _)| *r == real).count();
        assert!((48..53).all(|real| shown(real) == 10), "each real face as often as the others");
        // Neighbors come from different data sets.
        assert!(units.windows(2).any(|w| samples[w[0].first()].dataset != samples[w[1].first()].dataset));

        let wrong = |shares: &[(&str, f64)]| {
            let dataset_shares = shares.iter().map(|(name, share)| ((*name).to_owned(), *share)).collect();
            let mut faces: Vec<Sample> = samples.iter().map(|s| (*s).clone()).collect();
            let face = [(60.0, 60.0), (100.0, 60.0), (80.0, 85.0), (65.0, 110.0), (95.0, 110.0)];
            faces[0].landmarks = Some(Landmarks::from_points(face.map(|(x, y)| Point::new(x, y))));
            let faces: Vec<&Sample> = faces.iter().collect();
            let sampling = SamplingConfig { dataset_shares, ..SampleOrder::Triples.into() };
            Plan::new(&faces, &TrainConfig { sampling, ..config.clone() }).unwrap_err().to_string()
        };
        assert!(wrong(&[("a", 1.0), ("b", 1.0)]).contains("`c`"));
        assert!(wrong(&[("a", 1.0), ("b", 1.0), ("c", 1.0), ("d", 1.0)]).contains("`d`"));
    }

    #[test]
    fn other_source_probability_sets_share_of_foreign_fakes() {
        let mut samples = samples(6);
        for sample in &mut samples {
            sample.dataset = Some("d".into());
        }
        let samples: Vec<&Sample> = samples.iter().collect();
        let other = |other_source_probability| {
            let sampling = SamplingConfig { other_source_probability, ..SampleOrder::Triples.into() };
            let config = TrainConfig { sampling, ..TrainConfig::default() };
            let other = |unit: &&Unit| match **unit {
                Unit::Triple { real, fake } => samples[real].source != samples[fake.unwrap()].source,
                Unit::Single(_) => false,
            };
            order(&samples, &config, 1, 600).iter().filter(other).count()
        };
        assert_eq!(other(0.0), 0);
        assert!((350..=600).contains(&other(1.0)));
        assert!((150..=350).contains(&other(0.5)));
    }

    #[test]
    fn plan_counts_units_and_pictures() {
        let mut samples = samples(10);
        let config =
            TrainConfig { sampling: SampleOrder::Triples.into(), batch_size: 12, ..TrainConfig::default() };
        let plan =
            |samples: &[Sample], config: &TrainConfig| Plan::new(&samples.iter().collect::<Vec<_>>(), config);
        let refused = plan(&samples, &config);
        assert!(matches!(refused, Err(TrainError::Setting { setting: "sampling", .. })));

        let face = [(60.0, 60.0), (100.0, 60.0), (80.0, 85.0), (65.0, 110.0), (95.0, 110.0)];
        for sample in samples.iter_mut().take(15) {
            sample.landmarks = Some(Landmarks::from_points(face.map(|(x, y)| Point::new(x, y))));
        }
        // 5 of 10 reals have landmarks: 10 reals, 5 blends, 10 fakes per epoch.
        let triples = plan(&samples, &config).unwrap();
        let expected =
            Plan { units: 10, per_batch: 4, steps: 2, pictures: 30, balanced_pos_weight: 10.0 / 15.0 };
        assert_eq!(triples, expected);
        let single =
            plan(&samples, &TrainConfig { sampling: SampleOrder::Shuffled.into(), ..config }).unwrap();
        let expected = Plan { units: 30, per_batch: 12, steps: 2, pictures: 30, balanced_pos_weight: 0.5 };
        assert_eq!(single, expected);
    }
}
