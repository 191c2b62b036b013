//! Answers of a detector with two thresholds: likely real, inconclusive, or likely fake.

use serde::{Deserialize, Serialize};

use crate::MetricsError;
use crate::input::check_scores;

/// How many samples got each answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Answers {
    /// Scores of at most the lower threshold.
    pub likely_real: usize,
    /// Scores between the two.
    pub inconclusive: usize,
    /// Scores of at least the upper threshold.
    pub likely_fake: usize,
}

impl Answers {
    /// How many samples there are.
    pub fn total(&self) -> usize {
        self.likely_real + self.inconclusive + self.likely_fake
    }
}

/// The answers to the samples of each class.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ThreeWay {
    /// Of real samples: `likely_fake` are false alarms.
    pub real: Answers,
    /// Of fake samples: `likely_real` are misses.
    pub fake: Answers,
}

/// Counts the answers that two thresholds give. One class alone can be counted too.
///
/// ```
/// let scores = [0.9, 0.5, 0.6, 0.1];
/// let answers = deeptell_metrics::three_way(&scores, &[true, true, false, false], 0.1, 0.9)?;
/// assert_eq!((answers.fake.likely_fake, answers.fake.inconclusive), (1, 1));
/// assert_eq!((answers.real.likely_real, answers.real.inconclusive), (1, 1));
/// # Ok::<(), deeptell_metrics::MetricsError>(())
/// ```
///
/// # Errors
///
/// A lower threshold that is not below the upper one, unequal lengths, no samples, or a score that is
/// not finite.
pub fn three_way(scores: &[f64], labels: &[bool], low: f64, high: f64) -> Result<ThreeWay, MetricsError> {
    check_scores(scores, labels)?;
    if low.is_nan() || high.is_nan() || low >= high {
        let expected = "below the upper threshold";
        return Err(MetricsError::InvalidSetting { name: "low", value: low, expected });
    }
    let mut answers = ThreeWay::default();
    for (&score, &is_fake) in scores.iter().zip(labels) {
        let class = if is_fake { &mut answers.fake } else { &mut answers.real };
        let answer = if score >= high {
            &mut class.likely_fake
        } else if score <= low {
            &mut class.likely_real
        } else {
            &mut class.inconclusive
        };
        *answer += 1;
    }
    Ok(answers)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scores_at_a_threshold_get_a_verdict() {
        let scores = [0.2, 0.2_f64.next_up(), 0.8_f64.next_down(), 0.8];
        let answers = three_way(&scores, &[false; 4], 0.2, 0.8).unwrap();
        assert_eq!(answers.real, Answers { likely_real: 1, inconclusive: 2, likely_fake: 1 });
        assert_eq!((answers.real.total(), answers.fake.total()), (4, 0));
    }

    #[test]
    fn thresholds_out_of_order_are_refused() {
        for (low, high) in [(0.5, 0.5), (0.6, 0.4), (f64::NAN, 0.5), (0.5, f64::NAN)] {
            let error = three_way(&[0.1], &[true], low, high).unwrap_err();
            assert!(matches!(error, MetricsError::InvalidSetting { name: "low", .. }));
        }
    }
}
