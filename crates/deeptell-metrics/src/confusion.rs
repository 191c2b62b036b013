//! Confusion counts of one threshold.

use serde::{Deserialize, Serialize};

use crate::MetricsError;
use crate::input::check_scores;

/// How many samples of each class a threshold flags. The rates are `None` where their denominator is
/// zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Confusion {
    /// Fakes that were flagged.
    pub true_positives: usize,
    /// Reals that were flagged.
    pub false_positives: usize,
    /// Reals that were let through.
    pub true_negatives: usize,
    /// Fakes that were let through.
    pub false_negatives: usize,
}

/// Counts what flagging every `score >= threshold` gets right and wrong. One class alone can be
/// counted too.
///
/// ```
/// let counts = deeptell_metrics::confusion(&[0.9, 0.3, 0.6, 0.1], &[true, true, false, false], 0.3)?;
/// assert_eq!((counts.true_positives, counts.false_positives), (2, 1));
/// assert_eq!(counts.balanced_accuracy(), Some(0.75));
/// # Ok::<(), deeptell_metrics::MetricsError>(())
/// ```
///
/// # Errors
///
/// A threshold that is NaN, unequal lengths, no samples, or a score that is not finite.
pub fn confusion(scores: &[f64], labels: &[bool], threshold: f64) -> Result<Confusion, MetricsError> {
    check_scores(scores, labels)?;
    if threshold.is_nan() {
        let expected = "a number";
        return Err(MetricsError::InvalidSetting { name: "threshold", value: threshold, expected });
    }
    let mut counts =
        Confusion { true_positives: 0, false_positives: 0, true_negatives: 0, false_negatives: 0 };
    for (&score, &is_fake) in scores.iter().zip(labels) {
        let count = match (score >= threshold, is_fake) {
            (true, true) => &mut counts.true_positives,
            (true, false) => &mut counts.false_positives,
            (false, false) => &mut counts.true_negatives,
            (false, true) => &mut counts.false_negatives,
        };
        *count += 1;
    }
    Ok(counts)
}

impl Confusion {
    /// Share of the fakes that were flagged (recall, sensitivity), in `[0, 1]`.
    pub fn true_positive_rate(&self) -> Option<f64> {
        part(self.true_positives, self.false_negatives)
    }

    /// Share of the reals that were flagged (false alarms), in `[0, 1]`.
    pub fn false_positive_rate(&self) -> Option<f64> {
        part(self.false_positives, self.true_negatives)
    }

    /// Share of the flagged that are fakes, in `[0, 1]`.
    pub fn precision(&self) -> Option<f64> {
        part(self.true_positives, self.false_positives)
    }

    /// Share of all samples that were judged correctly, in `[0, 1]`.
    pub fn accuracy(&self) -> Option<f64> {
        part(self.true_positives + self.true_negatives, self.false_positives + self.false_negatives)
    }

    /// The mean of the accuracy on fakes and the accuracy on reals, in `[0, 1]`: 0.5 is chance, however
    /// many there are of each.
    pub fn balanced_accuracy(&self) -> Option<f64> {
        Some(f64::midpoint(self.true_positive_rate()?, 1.0 - self.false_positive_rate()?))
    }
}

/// `these / (these + others)`.
fn part(these: usize, others: usize) -> Option<f64> {
    let all = these + others;
    (all > 0).then(|| these as f64 / all as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_without_a_denominator_are_none() {
        let counts = confusion(&[0.2, 0.4], &[false, false], 0.3).unwrap();
        assert_eq!(counts.true_positive_rate(), None);
        assert_eq!(counts.balanced_accuracy(), None);
        assert_eq!(counts.false_positive_rate(), Some(0.5));
        assert_eq!(counts.accuracy(), Some(0.5));
        assert_eq!(confusion(&[0.2], &[true], f64::INFINITY).unwrap().precision(), None);
    }

    #[test]
    fn nan_threshold_is_refused() {
        let error = confusion(&[0.2], &[true], f64::NAN).unwrap_err();
        assert!(matches!(error, MetricsError::InvalidSetting { name: "threshold", .. }));
    }
}
