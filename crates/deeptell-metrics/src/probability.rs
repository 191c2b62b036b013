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

/// The logarithmic loss of one sample in nats, zero or above: `-ln(sigmoid(logit))` of a fake, and
/// `-ln(1 - sigmoid(logit))` of a real one, without overflow or cancellation for logits of any size.
///
/// ```
/// use deeptell_metrics::log_loss_of_logit;
///
/// assert_eq!(log_loss_of_logit(0.0, true), 2.0_f64.ln());
/// assert_eq!(log_loss_of_logit(1000.0, false), 1000.0);
/// ```
pub fn log_loss_of_logit(logit: f64, is_fake: bool) -> f64 {
    let signed = if is_fake { logit } else { -logit };
    // ln(1 + exp(-signed)).
    (-signed.abs()).exp().ln_1p() + (-signed).max(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sigmoid;

    #[test]
    fn loss_of_a_logit_equals_that_of_its_probability() {
        for logit in [-20.0, -3.5, -1e-9, 0.0, 0.25, 7.0, 20.0] {
            for is_fake in [true, false] {
                let expected = log_loss(&[sigmoid(logit)], &[is_fake]).unwrap();
                let loss = log_loss_of_logit(logit, is_fake);
                assert!((loss - expected).abs() <= 1e-6 * expected, "{logit} {is_fake}: {loss} {expected}");
            }
        }
        assert_eq!(log_loss_of_logit(-800.0, true), 800.0);
        assert_eq!(log_loss_of_logit(800.0, true), 0.0);
        // The number that training, calibration and the fits had before they shared this function.
        assert_eq!(log_loss_of_logit(1.25, false).to_bits(), (1.25 + (-1.25_f64).exp().ln_1p()).to_bits());
    }

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
