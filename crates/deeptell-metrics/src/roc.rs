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
    /// Share of the real samples flagged, in `[0, 1]`, never falling.
    pub false_positive_rate: Vec<f64>,
    /// Share of the fake samples flagged, in `[0, 1]`, never falling.
    pub true_positive_rate: Vec<f64>,
    /// A sample is flagged when its score is at least this; strictly falling.
    pub thresholds: Vec<f64>,
}

impl RocCurve {
    /// About `most` points of the curve, at most twice as many, for drawing and for documents. Of
    /// those that lie close together the first is kept, and the corners before long steps, so that
    /// the curve through the rest is off by less than `2 / most` along both axes together. `most`
    /// under 2 is taken as 2.
    ///
    /// ```
    /// let scores: Vec<f64> = (0..10_000).map(f64::from).collect();
    /// let labels: Vec<bool> = (0..10_000).map(|i| i * 7 % 10 < 3).collect();
    /// let curve = deeptell_metrics::roc_curve(&scores, &labels)?.thinned(100);
    /// assert!((50..=102).contains(&curve.thresholds.len()));
    /// # Ok::<(), deeptell_metrics::MetricsError>(())
    /// ```
    #[must_use]
    pub fn thinned(&self, most: usize) -> Self {
        let last = self.thresholds.len().saturating_sub(1);
        let apart = 2.0 / most.max(2) as f64;
        let along = |point: usize| self.false_positive_rate[point] + self.true_positive_rate[point];
        let mut kept = Vec::new();
        for point in 0..self.thresholds.len() {
            // A corner before a long step is kept, else the step would become a slope.
            let is_far = kept.last().is_none_or(|&before| along(point) - along(before) >= apart);
            let is_corner = point < last && along(point + 1) - along(point) >= apart;
            if is_far || is_corner || point == last {
                kept.push(point);
            }
        }
        let pick = |column: &[f64]| kept.iter().map(|&point| column[point]).collect();
        Self {
            false_positive_rate: pick(&self.false_positive_rate),
            true_positive_rate: pick(&self.true_positive_rate),
            thresholds: pick(&self.thresholds),
        }
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thinned_curve_keeps_its_ends_and_corners() {
        // Half of the fakes above all reals in one tie, the rest one by one.
        let scores: Vec<f64> = (0..2000).map(|i| if i < 500 { 9999.0 } else { f64::from(i) }).collect();
        let labels: Vec<bool> = (0..2000).map(|i| i < 500 || i % 3 == 0).collect();
        let curve = roc_curve(&scores, &labels).unwrap();
        let thin = curve.thinned(50);
        assert!(thin.thresholds.len() <= 53, "{}", thin.thresholds.len());
        assert_eq!((thin.false_positive_rate[0], thin.true_positive_rate[0]), (0.0, 0.0));
        assert_eq!((thin.false_positive_rate[1], thin.true_positive_rate[1]), (0.0, 0.5));
        assert_eq!(
            (thin.false_positive_rate.last(), thin.true_positive_rate.last()),
            (Some(&1.0), Some(&1.0))
        );
        for point in 0..thin.thresholds.len() {
            let at = curve.thresholds.iter().position(|t| *t == thin.thresholds[point]).unwrap();
            assert_eq!(thin.true_positive_rate[point], curve.true_positive_rate[at]);
        }
        assert_eq!(curve.thinned(100_000), curve);
    }
}
