//! Proper scoring rules of probabilities.

use crate::MetricsError;
use crate::input::check_probabilities;

/// The Brier score, in `[0, 1]`, lower is better: the mean squared distance of the probability of fake
/// from the label as 0 or 1. Always answering 0.5 scores 0.25.
///
/// Brier, "Verification of forecasts expressed in terms of probability", Monthly Weather Review 78
/// (1950), in the one-sided form that scikit-learn uses for two classes.
///
/// ```
/// let brier = deeptell_metrics::brier_score(&[0.9, 0.2], &[true, false])?;
/// assert!((brier - (0.01 + 0.04) / 2.0).abs() < 1e-12);
/// # Ok::<(), deeptell_metrics::MetricsError>(())
/// ```
///
/// # Errors
///
/// Unequal lengths, no samples, or a value that is not a probability. One class alone is enough.
pub fn brier_score(probabilities: &[f64], labels: &[bool]) -> Result<f64, MetricsError> {
    check_probabilities(probabilities, labels)?;
    let squared = |(&probability, &is_fake): (&f64, &bool)| {
        let target = f64::from(u8::from(is_fake));
        (probability - target).powi(2)
    };
    Ok(probabilities.iter().zip(labels).map(squared).sum::<f64>() / labels.len() as f64)
}

/// The logarithmic loss in nats, zero or above, lower is better: the mean of `-ln p`, where `p` is the
/// probability that was given to what the sample is. Always answering 0.5 scores `ln 2 = 0.693`.
///
/// `p` is clipped to `[f64::EPSILON, 1 - f64::EPSILON]` as in scikit-learn, so that one sample that was
/// wrong with certainty costs 36 nats and not infinity.
///
/// ```
/// let loss = deeptell_metrics::log_loss(&[0.9, 0.2], &[true, false])?;
/// assert!((loss + (0.9_f64.ln() + 0.8_f64.ln()) / 2.0).abs() < 1e-12);
/// # Ok::<(), deeptell_metrics::MetricsError>(())
/// ```
///
/// # Errors
///
/// Unequal lengths, no samples, or a value that is not a probability. One class alone is enough.
pub fn log_loss(probabilities: &[f64], labels: &[bool]) -> Result<f64, MetricsError> {
    check_probabilities(probabilities, labels)?;
    let surprise = |(&probability, &is_fake): (&f64, &bool)| {
        let given = if is_fake { probability } else { 1.0 - probability };
        -given.clamp(f64::EPSILON, 1.0 - f64::EPSILON).ln()
    };
    Ok(probabilities.iter().zip(labels).map(surprise).sum::<f64>() / labels.len() as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn certainty_and_error_cost_a_finite_amount() {
        let loss = log_loss(&[0.0, 1.0], &[true, false]).unwrap();
        assert!((loss + f64::EPSILON.ln()).abs() < 1e-9, "{loss}");
        assert_eq!(brier_score(&[0.0, 1.0], &[true, false]).unwrap(), 1.0);
    }

    #[test]
    fn logits_are_refused() {
        let expected = MetricsError::NotAProbability { index: 1, value: -2.5 };
        assert_eq!(brier_score(&[0.5, -2.5], &[true, false]), Err(expected.clone()));
        assert_eq!(log_loss(&[0.5, -2.5], &[true, false]), Err(expected));
    }
}
