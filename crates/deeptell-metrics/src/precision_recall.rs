//! The area under the precision-recall curve.

use crate::MetricsError;
use crate::ranking::Ranking;

/// Average precision, in `(0, 1]`: the precision at every threshold, weighted by how much the recall
/// grows there, `sum (R_n - R_(n-1)) P_n`.
///
/// This is the step-wise sum of scikit-learn's `average_precision_score`. It does not interpolate
/// between points, which would be optimistic (Davis & Goadrich, "The relationship between
/// precision-recall and ROC curves", ICML 2006). Random scores have an average precision equal to the
/// share of fakes, so figures of sets with different shares cannot be compared.
///
/// ```
/// let ap = deeptell_metrics::average_precision(&[0.9, 0.7, 0.4, 0.1], &[true, false, true, false])?;
/// assert!((ap - (0.5 * 1.0 + 0.5 * 2.0 / 3.0)).abs() < 1e-12);
/// # Ok::<(), deeptell_metrics::MetricsError>(())
/// ```
///
/// # Errors
///
/// Unequal lengths, no samples, a score that is not finite, or only one class.
pub fn average_precision(scores: &[f64], labels: &[bool]) -> Result<f64, MetricsError> {
    Ok(Ranking::new(scores, labels)?.average_precision())
}

impl Ranking {
    /// See [`average_precision`].
    pub(crate) fn average_precision(&self) -> f64 {
        let (mut sum, mut found_above) = (0.0, 0);
        for step in &self.steps {
            let flagged = step.true_positives + step.false_positives;
            let precision = step.true_positives as f64 / flagged as f64;
            sum += (step.true_positives - found_above) as f64 * precision;
            found_above = step.true_positives;
        }
        sum / self.classes.n_fake as f64
    }
}
