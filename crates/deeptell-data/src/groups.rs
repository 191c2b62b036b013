use std::collections::{BTreeMap, BTreeSet};

use crate::{Sample, Split};

/// Disjoint sets of names, joined as relations between them turn up.
#[derive(Debug, Default)]
pub(crate) struct DisjointSets {
    parent: Vec<usize>,
}

impl DisjointSets {
    pub(crate) fn new(count: usize) -> Self {
        Self { parent: (0..count).collect() }
    }

    pub(crate) fn find(&mut self, mut node: usize) -> usize {
        while self.parent[node] != node {
            // Path halving keeps the trees flat.
            self.parent[node] = self.parent[self.parent[node]];
            node = self.parent[node];
        }
        node
    }

    pub(crate) fn join(&mut self, a: usize, b: usize) {
        let (a, b) = (self.find(a), self.find(b));
        // The smaller name leads: the result does not depend on the order of joining.
        self.parent[a.max(b)] = a.min(b);
    }
}

/// A source or a person: what a split must not tear apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Tie<'a> {
    Source(&'a str),
    Person(&'a str),
}

/// The sources and people of a data set, joined into groups that go into one split each.
#[derive(Debug)]
pub(crate) struct Groups<'a> {
    numbers: BTreeMap<Tie<'a>, usize>,
    sets: DisjointSets,
}

impl<'a> Groups<'a> {
    /// Joins the source of each sample with the first `people_joined` of its identities.
    pub(crate) fn new(samples: &'a [Sample], people_joined: usize) -> Self {
        let ties = |sample: &'a Sample| {
            let people = sample.identities.iter().map(|name| Tie::Person(name));
            std::iter::once(Tie::Source(&sample.source)).chain(people)
        };
        let names: BTreeSet<_> = samples.iter().flat_map(ties).collect();
        let numbers: BTreeMap<_, _> = names.into_iter().zip(0..).collect();
        let mut sets = DisjointSets::new(numbers.len());
        for sample in samples {
            for tie in ties(sample).skip(1).take(people_joined) {
                sets.join(numbers[&Tie::Source(&sample.source)], numbers[&tie]);
            }
        }
        Self { numbers, sets }
    }

    /// The group of a tie that occurs in the samples, as the number of its first tie.
    pub(crate) fn of(&mut self, tie: Tie<'_>) -> usize {
        self.sets.find(self.numbers[&tie])
    }

    /// The first tie of every group, by the number of the group.
    pub(crate) fn names(&mut self) -> BTreeMap<usize, Tie<'a>> {
        let mut names = BTreeMap::new();
        for (&tie, &number) in &self.numbers {
            names.entry(self.sets.find(number)).or_insert(tie);
        }
        names
    }
}

/// Which splits a value was seen in.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct SplitSet([bool; 3]);

impl SplitSet {
    pub(crate) fn insert(&mut self, split: Split) {
        self.0[split as usize] = true;
    }

    pub(crate) fn splits(self) -> Vec<Split> {
        Split::ALL.into_iter().filter(|&split| self.0[split as usize]).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Label;

    fn sample(source: &str, people: &[&str]) -> Sample {
        let identities = people.iter().map(|&p| p.to_owned()).collect();
        Sample { identities, ..Sample::new("x", Label::Real, source) }
    }

    #[test]
    fn people_join_sources_through_chains() {
        let samples = [
            sample("s1", &["anna"]),
            sample("s2", &["anna", "ben"]),
            sample("s3", &["ben"]),
            sample("s4", &["carl"]),
            sample("s5", &[]),
        ];
        let mut all = Groups::new(&samples, usize::MAX);
        let mut of = |source| all.of(Tie::Source(source));
        assert_eq!(of("s1"), of("s3"));
        assert_ne!(of("s1"), of("s4"));
        assert_ne!(of("s4"), of("s5"));
        assert_eq!(all.names().len(), 3);

        let mut first = Groups::new(&samples, 1);
        assert_eq!(first.of(Tie::Source("s1")), first.of(Tie::Source("s2")));
        assert_ne!(first.of(Tie::Source("s1")), first.of(Tie::Source("s3")));
    }

    #[test]
    fn a_source_and_a_person_of_the_same_name_are_not_joined() {
        let samples = [sample("id1", &[]), sample("s", &["id1"])];
        let mut groups = Groups::new(&samples, usize::MAX);
        assert_ne!(groups.of(Tie::Source("id1")), groups.of(Tie::Source("s")));
    }
}
