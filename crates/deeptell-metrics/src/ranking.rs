//! Samples sorted by score, from which all ranking metrics are computed.

use crate::MetricsError;
use crate::input::{ClassCounts, check_both_classes};

/// How many samples of each class have a score of at least `threshold`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Step {
    /// One of the scores.
    pub(crate) threshold: f64,
    /// Real samples flagged at this threshold.
    pub(crate) false_positives: usize,
    /// Fake samples flagged at this threshold.
    pub(crate) true_positives: usize,
}

/// One [`Step`] for every distinct score, highest first. Both classes are present, so every rate
/// has a denominator, and the last step flags everything.
#[derive(Debug, Clone)]
pub(crate) struct Ranking {
    pub(crate) classes: ClassCounts,
    pub(crate) steps: Vec<Step>,
}

impl Ranking {
    /// Sorts and counts. O(n log n), O(n) when the scores come sorted.
    pub(crate) fn new(scores: &[f64], labels: &[bool]) -> Result<Self, MetricsError> {
        let classes = check_both_classes(scores, labels)?;
        let mut samples: Vec<(f64, bool)> = scores.iter().copied().zip(labels.iter().copied()).collect();
        samples.sort_unstable_by(|a, b| b.0.total_cmp(&a.0));

        let (mut false_positives, mut true_positives) = (0, 0);
        let mut steps = Vec::with_capacity(samples.len());
        // `==`, not `total_cmp`: -0.0 and 0.0 are a tie.
        for tied in samples.chunk_by(|a, b| a.0 == b.0) {
            let fakes = tied.iter().filter(|(_, is_fake)| *is_fake).count();
            true_positives += fakes;
            false_positives += tied.len() - fakes;
            steps.push(Step { threshold: tied[0].0, false_positives, true_positives });
        }
        Ok(Self { classes, steps })
    }

    /// The share of the real samples that `step` flags.
    pub(crate) fn false_positive_rate(&self, step: &Step) -> f64 {
        step.false_positives as f64 / self.classes.n_real as f64
    }

    /// The share of the fake samples that `step` flags.
    pub(crate) fn true_positive_rate(&self, step: &Step) -> f64 {
        step.true_positives as f64 / self.classes.n_fake as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ties_form_one_step_and_negative_zero_equals_zero() {
        let ranking = Ranking::new(&[-0.0, 0.0, 2.0, 0.0], &[true, false, true, false]).unwrap();
        assert_eq!(
            ranking.steps,
            [
                Step { threshold: 2.0, false_positives: 0, true_positives: 1 },
                Step { threshold: 0.0, false_positives: 2, true_positives: 2 },
            ]
        );
    }
}
