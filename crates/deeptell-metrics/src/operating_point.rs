//! Operating points of the ROC curve: the equal error rate, and thresholds for a false positive rate.

use serde::{Deserialize, Serialize};

use crate::MetricsError;
use crate::ranking::{Ranking, Step};

/// A threshold and what it does on the data that it was chosen on.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct OperatingPoint {
    /// A sample is flagged when its score is at least this.
    pub threshold: f64,
    /// Share of the real samples flagged, in `[0, 1]`.
    pub false_positive_rate: f64,
    /// Share of the fake samples flagged, in `[0, 1]`.
    pub true_positive_rate: f64,
}

/// Where as many reals are flagged as fakes are missed.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct EqualErrorRate {
    /// The rate of both errors, in `[0, 1]`; 0.5 is chance, and above is worse than chance.
    pub rate: f64,
    /// The score at which the two rates of error are closest; of two equally close, the lower.
    pub threshold: f64,
}

/// The equal error rate: the point of the ROC curve where the false positive rate equals the false
/// negative rate.
///
/// Few curves have a vertex there, so the rate is interpolated linearly between the two vertices
/// around the crossing. The crossing is unique: along the curve the difference of the rates grows
/// strictly from -1 to 1. The threshold belongs to the closer vertex, since between two neighboring
/// scores no threshold makes a new decision.
///
/// ```
/// let eer = deeptell_metrics::equal_error_rate(&[0.9, 0.3, 0.6, 0.1], &[true, true, false, false])?;
/// assert_eq!((eer.rate, eer.threshold), (0.5, 0.6));
/// # Ok::<(), deeptell_metrics::MetricsError>(())
/// ```
///
/// # Errors
///
/// Unequal lengths, no samples, a score that is not finite, or only one class.
pub fn equal_error_rate(scores: &[f64], labels: &[bool]) -> Result<EqualErrorRate, MetricsError> {
    Ok(Ranking::new(scores, labels)?.equal_error_rate())
}

/// The highest true positive rate, in `[0, 1]`, of the thresholds whose false positive rate is at
/// most `fpr`.
///
/// The answer is conservative: it is that of a threshold which exists, without interpolation. With
/// fewer than `1 / fpr` real samples it is therefore the share of the fakes above every real one.
///
/// ```
/// let scores = [0.9, 0.8, 0.7, 0.6, 0.5, 0.4];
/// let labels = [true, true, false, true, false, false];
/// assert_eq!(deeptell_metrics::tpr_at_fpr(&scores, &labels, 0.01)?, 2.0 / 3.0);
/// assert_eq!(deeptell_metrics::tpr_at_fpr(&scores, &labels, 0.34)?, 1.0);
/// # Ok::<(), deeptell_metrics::MetricsError>(())
/// ```
///
/// # Errors
///
/// `fpr` outside of `[0, 1]`, unequal lengths, no samples, a score that is not finite, or only one
/// class.
pub fn tpr_at_fpr(scores: &[f64], labels: &[bool], fpr: f64) -> Result<f64, MetricsError> {
    Ok(operating_point_at_fpr(scores, labels, fpr)?.true_positive_rate)
}

/// The threshold to use when at most a part `fpr` of the real samples may be flagged: choose it on
/// validation data and keep it for the test.
///
/// Of the thresholds whose false positive rate is at most `fpr` it is one with the highest true
/// positive rate, and of those the highest. It is the score of a fake, or, when no fake can be
/// flagged within the budget, the next number above all scores, which flags nothing.
///
/// ```
/// use deeptell_metrics::{confusion, operating_point_at_fpr};
///
/// let scores = [0.9, 0.8, 0.7, 0.6, 0.5, 0.4];
/// let labels = [true, true, false, true, false, false];
/// let point = operating_point_at_fpr(&scores, &labels, 0.1)?;
/// assert_eq!(point.threshold, 0.8);
/// assert_eq!(confusion(&scores, &labels, point.threshold)?.false_positives, 0);
/// # Ok::<(), deeptell_metrics::MetricsError>(())
/// ```
///
/// # Errors
///
/// `fpr` outside of `[0, 1]`, unequal lengths, no samples, a score that is not finite, or only one
/// class.
pub fn operating_point_at_fpr(
    scores: &[f64],
    labels: &[bool],
    fpr: f64,
) -> Result<OperatingPoint, MetricsError> {
    if !(0.0..=1.0).contains(&fpr) {
        return Err(MetricsError::InvalidSetting { name: "fpr", value: fpr, expected: "in [0, 1]" });
    }
    Ok(Ranking::new(scores, labels)?.operating_point_at_fpr(fpr))
}

impl Ranking {
    /// See [`equal_error_rate`].
    pub(crate) fn equal_error_rate(&self) -> EqualErrorRate {
        // False positive rate minus false negative rate. Exactly zero where they are equal in
        // integers, since then both are the same division.
        let excess = |step: &Step| {
            let missed = self.classes.n_fake - step.true_positives;
            self.false_positive_rate(step) - missed as f64 / self.classes.n_fake as f64
        };
        // The excess never falls, and it is 1 at the last step, which flags everything.
        let crossing = self.steps.partition_point(|step| excess(step) < 0.0);
        let nothing = Step { threshold: f64::INFINITY, false_positives: 0, true_positives: 0 };
        let after = &self.steps[crossing];
        let before = if crossing == 0 { &nothing } else { &self.steps[crossing - 1] };

        let (low, high) = (excess(before), excess(after));
        let (from, to) = (self.false_positive_rate(before), self.false_positive_rate(after));
        let rate = if high == 0.0 { to } else { from + (to - from) * (low / (low - high)) };
        let closer = if high <= -low { after } else { before };
        EqualErrorRate { rate, threshold: closer.threshold }
    }

    /// See [`operating_point_at_fpr`].
    pub(crate) fn operating_point_at_fpr(&self, fpr: f64) -> OperatingPoint {
        let within = self.steps.partition_point(|step| self.false_positive_rate(step) <= fpr);
        let found = self.steps[..within].last().map_or(0, |step| step.true_positives);
        if found == 0 {
            let threshold = self.steps[0].threshold.next_up();
            return OperatingPoint { threshold, false_positive_rate: 0.0, true_positive_rate: 0.0 };
        }
        let best = &self.steps[self.steps.partition_point(|step| step.true_positives < found)];
        OperatingPoint {
            threshold: best.threshold,
            false_positive_rate: self.false_positive_rate(best),
            true_positive_rate: self.true_positive_rate(best),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_error_rate_matches_known_curves() {
        let labels = [true, true, false, false];
        let perfect = equal_error_rate(&[4.0, 3.0, 2.0, 1.0], &labels).unwrap();
        assert_eq!(perfect, EqualErrorRate { rate: 0.0, threshold: 3.0 });
        let reversed = equal_error_rate(&[1.0, 2.0, 3.0, 4.0], &labels).unwrap();
        assert_eq!(reversed, EqualErrorRate { rate: 1.0, threshold: 3.0 });
        // One tie of all: the curve is the diagonal, met in the middle; the only score is the threshold.
        let blind = equal_error_rate(&[7.0; 4], &labels).unwrap();
        assert_eq!(blind, EqualErrorRate { rate: 0.5, threshold: 7.0 });
    }

    #[test]
    fn equal_error_rate_is_interpolated() {
        let labels = [true, true, false, false, false];
        // The excess is -1/6 at (1/3, 1/2) and 1/3 at (1/3, 1): a crossing on a vertical.
        let vertical = equal_error_rate(&[5.0, 3.0, 4.0, 2.0, 1.0], &labels).unwrap();
        assert!((vertical.rate - 1.0 / 3.0).abs() < 1e-15);
        assert_eq!(vertical.threshold, 4.0);
        // A tie makes a slope from (0, 1/2) with -1/2 to (1/3, 1) with 1/3: crossed at 3/5 of it.
        let sloped = equal_error_rate(&[5.0, 4.0, 4.0, 2.0, 1.0], &labels).unwrap();
        assert!((sloped.rate - 0.2).abs() < 1e-15);
        assert_eq!(sloped.threshold, 4.0);
    }

    #[test]
    fn nothing_is_flagged_below_the_smallest_false_positive_rate() {
        let scores = [0.9, 0.8, 0.1];
        let labels = [false, true, false];
        let point = operating_point_at_fpr(&scores, &labels, 0.2).unwrap();
        assert_eq!((point.false_positive_rate, point.true_positive_rate), (0.0, 0.0));
        assert!(point.threshold > 0.9 && point.threshold < 0.9 + 1e-12);
        assert_eq!(operating_point_at_fpr(&scores, &labels, 0.5).unwrap().threshold, 0.8);
    }

    #[test]
    fn false_positive_rate_equal_to_the_limit_is_allowed() {
        // 3 of 30 reals above the fake: a rate of 0.1 is "at most 0.1".
        let scores: Vec<f64> = (0..31).map(f64::from).collect();
        let labels: Vec<bool> = (0..31).map(|i| i == 27).collect();
        assert_eq!(tpr_at_fpr(&scores, &labels, 0.1).unwrap(), 1.0);
        assert_eq!(tpr_at_fpr(&scores, &labels, 0.099_999).unwrap(), 0.0);
    }

    #[test]
    fn rate_outside_0_to_1_is_refused() {
        for fpr in [-0.1, 1.1, f64::NAN] {
            let error = tpr_at_fpr(&[0.1, 0.2], &[true, false], fpr).unwrap_err();
            assert!(matches!(error, MetricsError::InvalidSetting { name: "fpr", .. }));
        }
    }
}
