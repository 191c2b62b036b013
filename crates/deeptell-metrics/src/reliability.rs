//! Reliability diagrams and the expected calibration error.

use serde::{Deserialize, Serialize};

use crate::MetricsError;
use crate::input::check_probabilities;

/// One bin of a reliability diagram.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct ReliabilityBin {
    /// The bin holds probabilities above this (the first one also 0 itself).
    pub lower: f64,
    /// The bin holds probabilities up to and including this.
    pub upper: f64,
    /// Number of samples in the bin, at least 1.
    pub count: usize,
    /// Mean probability of fake that was predicted, in `[lower, upper]`.
    pub mean_probability: f64,
    /// Share that is fake, in `[0, 1]`.
    pub fake_fraction: f64,
}

/// The reliability diagram: `bins` bins of equal width over `[0, 1]`, in rising order, without those
/// that are empty.
///
/// # Errors
///
/// `bins` of zero, unequal lengths, no samples, or a value that is not a probability. One class alone is
/// enough.
pub fn reliability_bins(
    probabilities: &[f64],
    labels: &[bool],
    bins: usize,
) -> Result<Vec<ReliabilityBin>, MetricsError> {
    check_probabilities(probabilities, labels)?;
    if bins == 0 {
        return Err(MetricsError::InvalidSetting { name: "bins", value: 0.0, expected: "at least 1" });
    }
    let edge = |index: usize| index as f64 / bins as f64;
    let mut samples: Vec<(f64, bool)> = probabilities.iter().copied().zip(labels.iter().copied()).collect();
    samples.sort_unstable_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));

    let mut diagram = Vec::new();
    let mut rest = samples.as_slice();
    while let Some(&(probability, _)) = rest.first() {
        let index = bin_of(probability, bins);
        let (bin, after) = rest.split_at(rest.partition_point(|&(p, _)| p <= edge(index + 1)));
        let count = bin.len();
        let fakes = bin.iter().filter(|(_, is_fake)| *is_fake).count();
        diagram.push(ReliabilityBin {
            lower: edge(index),
            upper: edge(index + 1),
            count,
            mean_probability: bin.iter().map(|(p, _)| p).sum::<f64>() / count as f64,
            fake_fraction: fakes as f64 / count as f64,
        });
        rest = after;
    }
    Ok(diagram)
}

/// The bin of a probability: the first whose upper edge is not below it.
fn bin_of(probability: f64, bins: usize) -> usize {
    // The product may be off by a rounding; the comparison with the edges decides.
    let near = (probability * bins as f64) as usize;
    let first = near.saturating_sub(1);
    (first..bins).find(|index| probability <= (index + 1) as f64 / bins as f64).unwrap_or(bins - 1)
}

/// The expected calibration error, in `[0, 1]`, lower is better: the distance between what was predicted
/// and what was found, averaged over the bins of [`reliability_bins`] by their number of samples.
///
/// Guo et al., "On calibration of modern neural networks", ICML 2017, equation 3, with the probability
/// of fake as the confidence and being fake as the outcome. That is the two-class form of Naeini et al.,
/// "Obtaining well calibrated probabilities using Bayesian binning", AAAI 2015; it also sees errors that
/// cancel between the classes, which the confidence of the predicted class hides. Guo et al. use 15
/// bins. With few samples the figure is biased upwards.
///
/// ```
/// let probabilities = [0.75, 0.75, 0.75, 0.75];
/// let labels = [true, true, true, false];
/// assert_eq!(deeptell_metrics::expected_calibration_error(&probabilities, &labels, 15)?, 0.0);
/// # Ok::<(), deeptell_metrics::MetricsError>(())
/// ```
///
/// # Errors
///
/// `bins` of zero, unequal lengths, no samples, or a value that is not a probability. One class alone is
/// enough.
pub fn expected_calibration_error(
    probabilities: &[f64],
    labels: &[bool],
    bins: usize,
) -> Result<f64, MetricsError> {
    let diagram = reliability_bins(probabilities, labels, bins)?;
    let gap = |bin: &ReliabilityBin| bin.count as f64 * (bin.mean_probability - bin.fake_fraction).abs();
    Ok(diagram.iter().map(gap).sum::<f64>() / labels.len() as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_edge_belongs_to_the_bin_below() {
        for bins in [1, 2, 3, 7, 10, 15, 49] {
            assert_eq!(bin_of(0.0, bins), 0);
            assert_eq!(bin_of(1.0, bins), bins - 1);
            for index in 0..bins {
                let edge = (index + 1) as f64 / bins as f64;
                assert_eq!(bin_of(edge, bins), index, "{index} of {bins}");
                if index + 1 < bins {
                    assert_eq!(bin_of(edge.next_up(), bins), index + 1, "{index} of {bins}");
                }
            }
        }
    }

    #[test]
    fn diagram_matches_hand_computed_bins() {
        let diagram = reliability_bins(&[0.9, 0.1, 0.5, 0.7], &[true, false, true, false], 2).unwrap();
        let expected = [
            ReliabilityBin { lower: 0.0, upper: 0.5, count: 2, mean_probability: 0.3, fake_fraction: 0.5 },
            ReliabilityBin { lower: 0.5, upper: 1.0, count: 2, mean_probability: 0.8, fake_fraction: 0.5 },
        ];
        assert_eq!(diagram, expected);
        let ece = expected_calibration_error(&[0.9, 0.1, 0.5, 0.7], &[true, false, true, false], 2).unwrap();
        assert!((ece - 0.25).abs() < 1e-15);
    }

    #[test]
    fn many_bins_are_accepted_and_none_is_refused() {
        let ece = expected_calibration_error(&[0.25, 1.0], &[false, true], usize::MAX).unwrap();
        assert!((ece - 0.125).abs() < 1e-15);
        let error = expected_calibration_error(&[0.25], &[true], 0).unwrap_err();
        assert!(matches!(error, MetricsError::InvalidSetting { name: "bins", .. }));
    }
}
