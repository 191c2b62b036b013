//! Bootstrap bands of ROC curves.

use std::hash::Hash;

use serde::{Deserialize, Serialize};

use crate::ranking::Ranking;
use crate::{BootstrapConfig, MetricsError, bootstrap_intervals};

/// False positive rates at which a [`RocBand`] is given: 0, 0.01, ... 1.
const POINTS: usize = 101;

/// A band around a ROC curve: at each false positive rate, the interval of the true positive rate.
///
/// The interval holds for each rate by itself; the whole curve may leave the band somewhere. The
/// three columns have the same length.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RocBand {
    /// Where, in `[0, 1]`, rising.
    pub false_positive_rate: Vec<f64>,
    /// Lower end of the true positive rate there, in `[0, 1]`.
    pub low: Vec<f64>,
    /// Upper end of the true positive rate there, in `[0, 1]`.
    pub high: Vec<f64>,
}

/// The percentile bootstrap band of the ROC curve at 101 even false positive rates, resampling whole
/// groups: vertical averaging (Fawcett, "An introduction to ROC analysis", Pattern Recognition Letters
/// 27, 2006, algorithm 3) with quantiles in place of means. Between two points of a curve its true
/// positive rate is interpolated linearly.
///
/// ```
/// use deeptell_metrics::{BootstrapConfig, roc_band};
///
/// let scores = [0.9, 0.8, 0.3, 0.6, 0.4, 0.2];
/// let labels = [true, true, true, false, false, false];
/// let band = roc_band(&scores, &labels, &[0, 1, 2, 3, 4, 5], &BootstrapConfig::default())?;
/// assert_eq!((band.low[100], band.high[100]), (1.0, 1.0));
/// assert!(band.low[0] < 2.0 / 3.0 && 2.0 / 3.0 < band.high[0]);
/// # Ok::<(), deeptell_metrics::MetricsError>(())
/// ```
///
/// # Errors
///
/// Those of [`bootstrap_interval`](crate::bootstrap_interval), and only one class.
pub fn roc_band<G: Hash + Eq>(
    scores: &[f64],
    labels: &[bool],
    groups: &[G],
    config: &BootstrapConfig,
) -> Result<RocBand, MetricsError> {
    let rates: [f64; POINTS] = std::array::from_fn(|point| point as f64 / (POINTS - 1) as f64);
    let curve = |scores: &[f64], labels: &[bool]| {
        let ranking = Ranking::new(scores, labels)?;
        Ok(rates.map(|rate| ranking.interpolated_true_positive_rate(rate)))
    };
    let intervals = bootstrap_intervals(scores, labels, groups, curve, config)?;
    Ok(RocBand {
        false_positive_rate: rates.to_vec(),
        low: intervals.iter().map(|interval| interval.low).collect(),
        high: intervals.iter().map(|interval| interval.high).collect(),
    })
}

impl Ranking {
    /// The height of the ROC curve over `rate`; where it climbs there, the top.
    fn interpolated_true_positive_rate(&self, rate: f64) -> f64 {
        let within = self.steps.partition_point(|step| self.false_positive_rate(step) <= rate);
        let (from, height) = match within.checked_sub(1).map(|last| &self.steps[last]) {
            Some(step) => (self.false_positive_rate(step), self.true_positive_rate(step)),
            None => (0.0, 0.0),
        };
        // The last step flags everything, so only a rate of 1 has nothing after it.
        let Some(after) = self.steps.get(within) else { return height };
        let part = (rate - from) / (self.false_positive_rate(after) - from);
        height + part * (self.true_positive_rate(after) - height)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heights_match_a_known_curve() {
        // (0, 0), (0, 1/2), a tie to (1/2, 1), (1, 1).
        let ranking = Ranking::new(&[0.9, 0.4, 0.4, 0.1], &[true, true, false, false]).unwrap();
        let heights = [0.0, 0.25, 0.5, 0.75, 1.0].map(|rate| ranking.interpolated_true_positive_rate(rate));
        assert_eq!(heights, [0.5, 0.75, 1.0, 1.0, 1.0]);
        let slope = Ranking::new(&[0.5; 4], &[true, true, false, false]).unwrap();
        assert_eq!(slope.interpolated_true_positive_rate(0.3), 0.3);
    }

    #[test]
    fn band_contains_the_curve_and_is_wider_for_groups() {
        let scores: Vec<f64> = (0..200).map(|row| f64::from(row * 7919 % 1009) / 1009.0).collect();
        let labels: Vec<bool> =
            scores.iter().enumerate().map(|(row, s)| s + f64::from(row as u32 % 5) * 0.2 > 0.9).collect();
        let rows: Vec<usize> = (0..200).collect();
        let config = BootstrapConfig { resamples: 300, ..Default::default() };
        let band = roc_band(&scores, &labels, &rows, &config).unwrap();
        let ranking = Ranking::new(&scores, &labels).unwrap();
        for (point, &rate) in band.false_positive_rate.iter().enumerate() {
            let height = ranking.interpolated_true_positive_rate(rate);
            assert!(band.low[point] <= height && height <= band.high[point], "at {rate}");
        }
        assert!(band.low.is_sorted() && band.high.is_sorted());
        let width =
            |band: &RocBand| band.high.iter().zip(&band.low).map(|(high, low)| high - low).sum::<f64>();
        let doubled = |column: &[f64]| [column, column].concat();
        let twice = roc_band(
            &doubled(&scores),
            &[&labels[..], &labels].concat(),
            &[&rows[..], &rows].concat(),
            &config,
        );
        // The same groups, each with its rows twice: no more certainty.
        assert!((width(&twice.unwrap()) / width(&band) - 1.0).abs() < 1e-9);
    }
}
