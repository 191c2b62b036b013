use std::cmp::Reverse;
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::groups::{Groups, Tie};
use crate::{DataError, Label, Sample, Split};

/// What must stay within one split.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum GroupBy {
    /// Everything connected by shared sources or people, directly or indirectly. The strictest; if
    /// people were swapped with each other freely, there may be few groups to split.
    #[default]
    Identity,
    /// A recording and the person filmed in it. A fake with the face of a person from another split
    /// is left out: its `split` becomes `None`. So no person is in two splits either.
    Target,
    /// Recordings only. A person may be in two splits, so figures say less about unknown people.
    Source,
}

/// How [`split_by_source`] divides a data set.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct SplitConfig {
    /// Share of the samples to train on, 0 to 1.
    pub train: f64,
    /// Share to choose the checkpoint and the thresholds on.
    pub validation: f64,
    /// Share to report figures on.
    pub test: f64,
    /// Seed of the choice between equally good splits.
    pub seed: u64,
    /// What must stay within one split.
    pub group_by: GroupBy,
}

impl Default for SplitConfig {
    fn default() -> Self {
        Self { train: 0.8, validation: 0.1, test: 0.1, seed: 0, group_by: GroupBy::Identity }
    }
}

impl SplitConfig {
    /// Sets [`train`](field@Self::train).
    #[must_use]
    pub fn train(self, train: f64) -> Self {
        Self { train, ..self }
    }

    /// Sets [`validation`](field@Self::validation).
    #[must_use]
    pub fn validation(self, validation: f64) -> Self {
        Self { validation, ..self }
    }

    /// Sets [`test`](field@Self::test).
    #[must_use]
    pub fn test(self, test: f64) -> Self {
        Self { test, ..self }
    }

    /// Sets [`seed`](field@Self::seed).
    #[must_use]
    pub fn seed(self, seed: u64) -> Self {
        Self { seed, ..self }
    }

    /// Sets [`group_by`](field@Self::group_by).
    #[must_use]
    pub fn group_by(self, group_by: GroupBy) -> Self {
        Self { group_by, ..self }
    }

    fn shares(&self) -> [f64; 3] {
        [self.train, self.validation, self.test]
    }

    /// Checks that the shares are from 0 to 1 and make 1 together.
    ///
    /// # Errors
    /// [`DataError::InvalidSplit`].
    pub fn validate(&self) -> Result<(), DataError> {
        let shares = self.shares();
        let fail = |reason: String| Err(DataError::InvalidSplit { reason });
        if shares.iter().any(|share| !(0.0..=1.0).contains(share)) {
            return fail(format!("train, validation and test must be from 0 to 1, not {shares:?}"));
        }
        let sum: f64 = shares.iter().sum();
        if (sum - 1.0).abs() > 1e-6 {
            return fail(format!("train, validation and test must add up to 1, not {sum}"));
        }
        Ok(())
    }
}

/// The result of a split.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct SplitSummary {
    /// Samples as `[real, fake]` in train, validation and test.
    pub samples: [[usize; 2]; 3],
    /// Independent groups with samples in train, validation and test.
    pub groups: [usize; 3],
    /// Samples left out (see [`GroupBy::Target`]).
    pub left_out: usize,
}

struct Group {
    number: usize,
    /// Seeded, and independent of the order of the samples.
    key: [u8; 32],
    counts: [usize; 2],
}

/// Assigns `split` to every sample, replacing any previous value, so that no group is in two splits.
///
/// Greedy, larger groups first (those of one size in seeded order): each goes to the split that
/// is furthest below its share of the classes in the group, both classes weighing the same; the
/// last groups that hold a class go to the splits still without it. So every split of a share
/// above 0 gets both classes where the data has both, and its share is off by about one group.
/// The result depends on the set of samples and the seed, not on their order.
///
/// ```
/// use deeptell_data::{Label, Sample, Split, SplitConfig, split_by_source};
///
/// let mut samples: Vec<_> = (0..20)
///     .flat_map(|i| {
///         [Label::Real, Label::Fake].map(|label| Sample::new(format!("{label}/{i}.mp4"), label, format!("video {i}")))
///     })
///     .collect();
/// let summary = split_by_source(&mut samples, &SplitConfig::default())?;
/// assert_eq!(summary.samples, [[16, 16], [2, 2], [2, 2]]);
/// // A fake is where the recording it was made from is.
/// assert_eq!(samples[0].split, samples[1].split);
/// # Ok::<(), deeptell_data::DataError>(())
/// ```
///
/// # Errors
/// [`DataError::InvalidSplit`]; [`DataError::TooFewSources`] when a split would lack a class.
/// The samples are unchanged then.
pub fn split_by_source(samples: &mut [Sample], config: &SplitConfig) -> Result<SplitSummary, DataError> {
    config.validate()?;
    let (mut groups, people_checked) = match config.group_by {
        GroupBy::Identity => (Groups::new(samples, usize::MAX), false),
        GroupBy::Target => (Groups::new(samples, 1), true),
        GroupBy::Source => (Groups::new(samples, 0), false),
    };
    let mut list: BTreeMap<usize, Group> = groups
        .names()
        .into_iter()
        .map(|(number, name)| (number, Group { number, key: seeded_key(config.seed, name), counts: [0, 0] }))
        .collect();
    for sample in &*samples {
        let number = groups.of(Tie::Source(&sample.source));
        if let Some(group) = list.get_mut(&number) {
            group.counts[class(sample)] += 1;
        }
    }
    let splits = assign(list.into_values().collect(), &config.shares());

    let mut verdicts = Vec::with_capacity(samples.len());
    for sample in &*samples {
        let split = splits[&groups.of(Tie::Source(&sample.source))];
        let torn = people_checked
            && sample.identities.iter().any(|person| splits[&groups.of(Tie::Person(person))] != split);
        verdicts.push((!torn).then_some(split));
    }
    let mut summary = SplitSummary { samples: [[0; 2]; 3], groups: [0; 3], left_out: 0 };
    let mut filled = BTreeMap::new();
    for (sample, verdict) in samples.iter().zip(&verdicts) {
        if let Some(split) = verdict {
            summary.samples[*split as usize][class(sample)] += 1;
            filled.insert(groups.of(Tie::Source(&sample.source)), *split);
        } else {
            summary.left_out += 1;
        }
    }
    for split in filled.values() {
        summary.groups[*split as usize] += 1;
    }
    require_classes(samples, config, &summary, &mut groups)?;
    for (sample, verdict) in samples.iter_mut().zip(verdicts) {
        sample.split = verdict;
    }
    Ok(summary)
}

fn class(sample: &Sample) -> usize {
    usize::from(sample.label.is_fake())
}

fn seeded_key(seed: u64, name: Tie<'_>) -> [u8; 32] {
    let (kind, name) = match name {
        Tie::Source(name) => (b's', name),
        Tie::Person(name) => (b'p', name),
    };
    Sha256::new().chain_update(seed.to_le_bytes()).chain_update([kind]).chain_update(name).finalize().into()
}

/// The split of every group, by its number.
fn assign(mut groups: Vec<Group>, shares: &[f64; 3]) -> BTreeMap<usize, Split> {
    groups.sort_by_key(|group| (Reverse(group.counts[0] + group.counts[1]), group.key));
    let open: Vec<Split> = Split::ALL.into_iter().filter(|&split| shares[split as usize] > 0.0).collect();
    let total: [usize; 2] = std::array::from_fn(|c| groups.iter().map(|group| group.counts[c]).sum());
    let mut left: [usize; 2] =
        std::array::from_fn(|c| groups.iter().filter(|group| group.counts[c] > 0).count());
    let mut have = [[0usize; 2]; 3];
    let mut assigned = BTreeMap::new();
    for group in &groups {
        let classes: Vec<usize> = (0..2).filter(|&c| group.counts[c] > 0).collect();
        let lacks = |split: Split, c: usize| have[split as usize][c] == 0;
        let scarce = |c: usize| left[c] <= open.iter().filter(|&&split| lacks(split, c)).count();
        let in_need: Vec<Split> = open
            .iter()
            .copied()
            .filter(|&split| classes.iter().any(|&c| lacks(split, c) && scarce(c)))
            .collect();
        // How far below its share the split is, in the classes of this group.
        let need = |split: Split| -> f64 {
            let of_class = |c: usize| {
                let (group, all) = (group.counts[c] as f64, total[c] as f64);
                group / all * (shares[split as usize] - have[split as usize][c] as f64 / all)
            };
            classes.iter().map(|&c| of_class(c)).sum()
        };
        let candidates = if in_need.is_empty() { &open } else { &in_need };
        // The first of equals: train before validation before test. A group without samples
        // (a person seen only as a donor) goes to the first too.
        let mut best = candidates[0];
        for &split in candidates {
            if need(split) > need(best) {
                best = split;
            }
        }
        for &c in &classes {
            have[best as usize][c] += group.counts[c];
            left[c] -= 1;
        }
        assigned.insert(group.number, best);
    }
    assigned
}

fn require_classes(
    samples: &[Sample],
    config: &SplitConfig,
    summary: &SplitSummary,
    groups: &mut Groups<'_>,
) -> Result<(), DataError> {
    for label in [Label::Real, Label::Fake] {
        let of_label: Vec<_> = samples.iter().filter(|sample| sample.label == label).collect();
        if of_label.is_empty() {
            continue;
        }
        for split in Split::ALL {
            let wanted = config.shares()[split as usize] > 0.0;
            if wanted && summary.samples[split as usize][usize::from(label.is_fake())] == 0 {
                let mut numbers: Vec<_> =
                    of_label.iter().map(|sample| groups.of(Tie::Source(&sample.source))).collect();
                numbers.sort_unstable();
                numbers.dedup();
                return Err(DataError::TooFewSources { split, label, groups: numbers.len() });
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;

    fn sample(name: usize, label: Label, source: usize, people: &[usize]) -> Sample {
        let identities = people.iter().map(|p| format!("p{p}")).collect();
        Sample { identities, ..Sample::new(format!("{label}/{name}"), label, format!("s{source}")) }
    }

    /// A real and two fakes from each source.
    fn trios(sources: usize) -> Vec<Sample> {
        (0..sources)
            .flat_map(|s| {
                [Label::Real, Label::Fake, Label::Fake]
                    .into_iter()
                    .enumerate()
                    .map(move |(i, l)| sample(s * 3 + i, l, s, &[]))
            })
            .collect()
    }

    fn with_seed(seed: u64) -> SplitConfig {
        SplitConfig { seed, ..SplitConfig::default() }
    }

    fn by_path(samples: &[Sample]) -> HashMap<std::path::PathBuf, Option<Split>> {
        samples.iter().map(|s| (s.path.clone(), s.split)).collect()
    }

    #[test]
    fn equal_sources_are_divided_exactly() {
        let mut samples = trios(100);
        let summary = split_by_source(&mut samples, &SplitConfig::default()).unwrap();
        assert_eq!(summary.samples, [[80, 160], [10, 20], [10, 20]]);
        assert_eq!(summary.groups, [80, 10, 10]);
        assert_eq!(summary.left_out, 0);
    }

    #[test]
    fn single_class_sources_balance_each_class() {
        let mut samples: Vec<_> = (0..50)
            .map(|i| sample(i, Label::Real, i, &[]))
            .chain((50..150).map(|i| sample(i, Label::Fake, i, &[])))
            .collect();
        let summary = split_by_source(&mut samples, &with_seed(9)).unwrap();
        assert_eq!(summary.samples, [[40, 80], [5, 10], [5, 10]]);
    }

    #[test]
    fn the_smallest_data_sets_fill_every_split_or_say_why_not() {
        for sources in 3..30 {
            let summary = split_by_source(&mut trios(sources), &SplitConfig::default()).unwrap();
            assert!(summary.groups.iter().all(|&groups| groups >= 1), "{sources}: {summary:?}");
        }
        let mut two = trios(2);
        let before = two.clone();
        let error = split_by_source(&mut two, &SplitConfig::default()).unwrap_err();
        assert!(matches!(error, DataError::TooFewSources { groups: 2, .. }), "{error}");
        assert_eq!(two, before);
        let no_test = SplitConfig { train: 0.5, validation: 0.5, test: 0.0, ..SplitConfig::default() };
        assert_eq!(split_by_source(&mut two, &no_test).unwrap().groups, [1, 1, 0]);
    }

    #[test]
    fn one_giant_component_is_an_error_and_targets_can_still_be_divided() {
        // Everyone is swapped onto the next of 40 people: one component.
        let mut samples: Vec<_> = (0..40)
            .flat_map(|p| {
                [sample(p * 2, Label::Real, p, &[p]), sample(p * 2 + 1, Label::Fake, p, &[p, (p + 1) % 40])]
            })
            .collect();
        let error = split_by_source(&mut samples, &SplitConfig::default()).unwrap_err();
        assert!(matches!(error, DataError::TooFewSources { groups: 1, .. }));

        let by_target =
            SplitConfig { train: 0.6, validation: 0.2, test: 0.2, group_by: GroupBy::Target, ..with_seed(1) };
        let summary = split_by_source(&mut samples, &by_target).unwrap();
        assert!(summary.left_out > 0 && summary.left_out < 40, "{summary:?}");
        let mut splits_of: HashMap<&str, Split> = HashMap::new();
        for s in samples.iter().filter(|s| s.split.is_some()) {
            for person in &s.identities {
                assert_eq!(*splits_of.entry(person).or_insert(s.split.unwrap()), s.split.unwrap());
            }
        }
        let by_source = SplitConfig { group_by: GroupBy::Source, ..SplitConfig::default() };
        assert_eq!(split_by_source(&mut samples, &by_source).unwrap().groups, [32, 4, 4]);
    }

    #[test]
    fn one_class_alone_can_be_divided() {
        let mut reals: Vec<_> = (0..10).map(|i| sample(i, Label::Real, i, &[])).collect();
        let summary = split_by_source(&mut reals, &SplitConfig::default()).unwrap();
        assert_eq!(summary.samples, [[8, 0], [1, 0], [1, 0]]);
    }

    #[test]
    fn invalid_shares_are_refused() {
        for (train, validation, test) in
            [(0.8, 0.1, 0.2), (1.2, -0.1, -0.1), (f64::NAN, 0.5, 0.5), (0.0, 0.0, 0.0)]
        {
            let config = SplitConfig { train, validation, test, ..SplitConfig::default() };
            assert!(matches!(split_by_source(&mut trios(9), &config), Err(DataError::InvalidSplit { .. })));
        }
    }

    #[test]
    fn splits_depend_on_the_seed() {
        let run = |seed| {
            let mut samples = trios(40);
            split_by_source(&mut samples, &with_seed(seed)).unwrap();
            by_path(&samples)
        };
        assert_eq!(run(1), run(1));
        assert_ne!(run(1), run(2));
    }

    prop_compose! {
        /// Sources of uneven size and class, some people in several sources, in random order.
        fn data_sets()(
            rows in prop::collection::vec((0usize..200, any::<bool>(), 0usize..400, any::<bool>()), 60..300),
        ) -> Vec<Sample> {
            rows.into_iter()
                .enumerate()
                .map(|(i, (source, fake, person, known))| {
                    let people = match (known, fake) {
                        (false, _) => vec![],
                        (true, false) => vec![person],
                        (true, true) => vec![person, (person * 7 + 1) % 400],
                    };
                    sample(i, if fake { Label::Fake } else { Label::Real }, source, &people)
                })
                .collect()
        }
    }

    proptest! {
        #[test]
        fn no_source_and_no_person_is_in_two_splits(samples in data_sets(), seed: u64) {
            for group_by in [GroupBy::Identity, GroupBy::Target, GroupBy::Source] {
                let mut samples = samples.clone();
                let result = split_by_source(&mut samples, &SplitConfig { group_by, ..with_seed(seed) });
                // A component may be too large for a fair division; an error says so.
                prop_assume!(result.is_ok());
                let summary = result.unwrap();
                let mut seen: HashMap<String, Split> = HashMap::new();
                for s in &samples {
                    let Some(split) = s.split else { continue };
                    let people = s.identities.iter().filter(|_| group_by != GroupBy::Source);
                    for key in people.chain([&s.source]) {
                        prop_assert_eq!(*seen.entry(key.clone()).or_insert(split), split);
                    }
                }
                let counted: usize = summary.samples.iter().flatten().sum();
                prop_assert_eq!(counted + summary.left_out, samples.len());
                prop_assert!(summary.samples.iter().flatten().all(|&n| n > 0));
                prop_assert!(group_by == GroupBy::Target || summary.left_out == 0);
            }
        }

        #[test]
        fn the_order_of_samples_does_not_matter(
            (samples, shuffled) in data_sets().prop_flat_map(|s| (Just(s.clone()), Just(s).prop_shuffle())),
            seed: u64,
        ) {
            let (mut a, mut b) = (samples, shuffled);
            let by_source = SplitConfig { group_by: GroupBy::Source, ..with_seed(seed) };
            let summaries = [&mut a, &mut b].map(|s| split_by_source(s, &by_source).unwrap());
            prop_assert_eq!(&summaries[0], &summaries[1]);
            prop_assert_eq!(by_path(&a), by_path(&b));
        }

        #[test]
        fn shares_are_met_within_two_groups(mut samples in data_sets(), seed: u64) {
            let by_source = SplitConfig { group_by: GroupBy::Source, ..with_seed(seed) };
            let mut sizes: HashMap<&str, usize> = HashMap::new();
            for s in &samples {
                *sizes.entry(&s.source).or_default() += 1;
            }
            let largest = *sizes.values().max().unwrap() as f64;
            let all = samples.len() as f64;
            let summary = split_by_source(&mut samples, &by_source).unwrap();
            for (counts, share) in summary.samples.iter().zip(by_source.shares()) {
                let have: usize = counts.iter().sum();
                prop_assert!((have as f64 - share * all).abs() <= 2.0 * largest, "{summary:?} of {all}");
            }
        }
    }
}
