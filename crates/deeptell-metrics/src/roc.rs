//! The receiver operating characteristic and the area under it.
//!
//! Fawcett, "An introduction to ROC analysis", Pattern Recognition Letters 27 (2006), algorithms 1
//! and 2; "The meaning and use of the area under a receiver operating characteristic (ROC) curve",
//! Radiology 143 (1982), pages 29 to 36, for the area as a rank statistic.

use serde::Serialize;

use crate::MetricsError;
use crate::ranking::Ranking;

/// Every operating point of a detector, from flagging nothing to flagging everything.
///
/// The three columns have the same length: one point per distinct score, after a first point
/// `(0, 0)` that flags nothing and whose threshold is infinite (JSON has no infinity: `serde_json`
/// writes it as `null`). No point is left out, as with scikit-learn's `drop_intermediate=False`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RocCurve {
    /// Part of the real samples flagged, in `[0, 1]`, never falling.
    pub false_positive_rate: Vec<f64>,
    /// Part of the fake samples flagged, in `[0, 1]`, never falling.
    pub true_positive_rate: Vec<f64>,
    /// A sample is flagged when its score is at least this; strictly falling.
    pub thresholds: Vec<f64>,
}

/// The ROC curve of `scores`.
///
/// ```
/// let curve = deeptell_metrics::roc_curve(&[0.9, 0.4, 0.4, 0.1], &[true, true, false, false])?;
/// assert_eq!(curve.false_positive_rate, [0.0, 0.0, 0.5, 1.0]);
/// assert_eq!(curve.true_positive_rate, [0.0, 0.5, 1.0, 1.0]);
/// assert_eq!(curve.thresholds, [f64::INFINITY, 0.9, 0.4, 0.1]);
/// # Ok::<(), deeptell_metrics::MetricsError>(())
/// ```
///
/// # Errors
///
/// Unequal lengths, no samples, a score that is not finite, or only one class.
pub fn roc_curve(scores: &[f64], labels: &[bool]) -> Result<RocCurve, MetricsError> {
    let ranking = Ranking::new(scores, labels)?;
    let mut curve = RocCurve {
        false_positive_rate: vec![0.0],
        true_positive_rate: vec![0.0],
        thresholds: vec![f64::INFINITY],
    };
    for step in &ranking.steps {
        curve.false_positive_rate.push(ranking.false_positive_rate(step));
        curve.true_positive_rate.push(ranking.true_positive_rate(step));
        curve.thresholds.push(step.threshold);
    }
    Ok(curve)
}

/// The area under the ROC curve, in `[0, 1]`: the probability that a random fake scores higher than a
/// random real one, a tie counting one half (the Mann-Whitney statistic).
///
/// The pairs are counted in integers, so that the only rounding is that of the final division.
///
/// ```
/// let auc = deeptell_metrics::roc_auc(&[0.9, 0.4, 0.4, 0.1], &[true, true, false, false])?;
/// assert_eq!(auc, 3.5 / 4.0); // four pairs, one of them a tie
/// # Ok::<(), deeptell_metrics::MetricsError>(())
/// ```
///
/// # Errors
///
/// Unequal lengths, no samples, a score that is not finite, or only one class.
pub fn roc_auc(scores: &[f64], labels: &[bool]) -> Result<f64, MetricsError> {
    Ok(Ranking::new(scores, labels)?.roc_auc())
}

impl Ranking {
    /// See [`roc_auc`].
    pub(crate) fn roc_auc(&self) -> f64 {
        let (mut half_pairs, mut above) = (0_u128, (0, 0));
        for step in &self.steps {
            let (reals_above, fakes_above) = above;
            let reals = (step.false_positives - reals_above) as u128;
            half_pairs += reals * (step.true_positives + fakes_above) as u128;
            above = (step.false_positives, step.true_positives);
        }
        let pairs = self.classes.n_real as u128 * self.classes.n_fake as u128;
        half_pairs as f64 / (2 * pairs) as f64
    }
}
