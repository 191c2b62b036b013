//! Histograms of the scores of each class.

use serde::{Deserialize, Serialize};

use crate::MetricsError;
use crate::input::check_probabilities;

/// How many samples of each class fall into each of equally wide bins over `[0, 1]`.
///
/// Bin `i` of `n` holds probabilities from `i / n` to under `(i + 1) / n`; the last one also 1.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScoreHistogram {
    /// Real samples of each bin.
    pub real: Vec<usize>,
    /// Fake samples of each bin.
    pub fake: Vec<usize>,
}

/// Counts the samples of each class by their probability.
///
/// ```
/// let counts = deeptell_metrics::score_histogram(&[0.9, 1.0, 0.5, 0.1], &[true, true, false, false], 2)?;
/// assert_eq!((counts.real, counts.fake), (vec![1, 1], vec![0, 2]));
/// # Ok::<(), deeptell_metrics::MetricsError>(())
/// ```
///
/// # Errors
///
/// `bins` of zero, unequal lengths, no samples, or a value that is not a probability. One class alone can
/// be counted too.
pub fn score_histogram(
    probabilities: &[f64],
    labels: &[bool],
    bins: usize,
) -> Result<ScoreHistogram, MetricsError> {
    check_probabilities(probabilities, labels)?;
    if bins == 0 {
        return Err(MetricsError::InvalidSetting { name: "bins", value: 0.0, expected: "at least 1" });
    }
    let mut counts = ScoreHistogram { real: vec![0; bins], fake: vec![0; bins] };
    for (&probability, &is_fake) in probabilities.iter().zip(labels) {
        let bin = ((probability * bins as f64) as usize).min(bins - 1);
        let class = if is_fake { &mut counts.fake } else { &mut counts.real };
        class[bin] += 1;
    }
    Ok(counts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_sample_is_in_one_bin() {
        let probabilities: Vec<f64> = (0..=100).map(|i| f64::from(i) / 100.0).collect();
        let labels: Vec<bool> = (0..=100).map(|i| i % 3 == 0).collect();
        let counts = score_histogram(&probabilities, &labels, 7).unwrap();
        assert_eq!(counts.fake.iter().sum::<usize>(), 34);
        assert_eq!(counts.real.iter().sum::<usize>(), 67);
        let ends = score_histogram(&[0.0, 1.0, 0.25], &[false, true, true], 4).unwrap();
        assert_eq!((ends.real, ends.fake), (vec![1, 0, 0, 0], vec![0, 1, 0, 1]));
    }

    #[test]
    fn invalid_bins_and_scores_are_named() {
        let none = score_histogram(&[0.5], &[true], 0).unwrap_err();
        assert!(matches!(none, MetricsError::InvalidSetting { name: "bins", .. }));
        assert!(matches!(score_histogram(&[1.5], &[true], 2), Err(MetricsError::NotAProbability { .. })));
    }
}
