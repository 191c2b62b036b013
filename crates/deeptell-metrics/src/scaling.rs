//! Calibration of logits to probabilities, with one or two parameters fitted on validation data.
//!
//! Both fits are logistic regressions on one feature.

use serde::{Deserialize, Serialize};

use crate::MetricsError;
use crate::input::check_both_classes;
use crate::logistic::newton;

/// Strength of the ridge penalty `RIDGE / 2 * slope^2` on the slope of the standardized logits, beside the summed
/// loss. It is negligible for a hundred samples, but keeps the slope finite where the classes separate perfectly.
const RIDGE: f64 = 1e-3;

/// Largest gradient of the mean loss at a fit that counts as converged.
const GRADIENT_TOLERANCE: f64 = 1e-7;

/// The logistic function `1 / (1 + exp(-logit))`, in `[0, 1]`.
///
/// ```
/// assert_eq!(deeptell_metrics::sigmoid(0.0), 0.5);
/// assert_eq!(deeptell_metrics::sigmoid(-1000.0), 0.0);
/// ```
pub fn sigmoid(logit: f64) -> f64 {
    1.0 / (1.0 + (-logit).exp())
}

/// Platt scaling: the probability of fake is `sigmoid(slope * logit + intercept)`.
///
/// Platt, "Probabilistic outputs for support vector machines", 1999. Platt guards against perfectly
/// separated data by softened targets; here a slight ridge penalty on the slope does (1e-3 for logits of
/// standard deviation 1), so the logarithmic loss on the fitted data is lowest to within that.
///
/// ```
/// use deeptell_metrics::PlattScaling;
///
/// let logits = [-3.0, -1.0, 0.5, 1.0, 2.0, 4.0];
/// let labels = [false, false, true, false, true, true];
/// let scaling = PlattScaling::fit(&logits, &labels)?;
/// assert!(scaling.probability(4.0) > 0.9 && scaling.probability(-3.0) < 0.1);
/// # Ok::<(), deeptell_metrics::MetricsError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct PlattScaling {
    /// Factor of the logit. Zero or below means that the logits did not rise from real to fake: the
    /// detector was no better than chance on the data of the fit.
    pub slope: f64,
    /// Added to the scaled logit.
    pub intercept: f64,
}

impl PlattScaling {
    /// Fits both parameters to logits of known samples, which should not be those that the detector
    /// was trained on.
    ///
    /// # Errors
    ///
    /// Unequal lengths, no samples, a logit that is not finite, only one class, logits that are all
    /// equal, or an optimizer that did not converge.
    pub fn fit(logits: &[f64], labels: &[bool]) -> Result<Self, MetricsError> {
        check_both_classes(logits, labels)?;
        if logits.iter().all(|&logit| logit == logits[0]) {
            return Err(MetricsError::ConstantLogits { count: logits.len(), value: logits[0] });
        }
        // Standardized, so that the optimizer and the penalty see one scale whatever the logits are.
        let n = logits.len() as f64;
        let mean = logits.iter().map(|logit| logit / n).sum::<f64>();
        let centered: Vec<f64> = logits.iter().map(|logit| logit - mean).collect();
        let deviation = root_mean_square(&centered)?;
        let standardized: Vec<f64> = centered.iter().map(|logit| logit / deviation).collect();
        let line = Line::fit(&standardized, labels, true)?;
        let slope = line.slope / deviation;
        Ok(Self { slope, intercept: line.intercept - slope * mean })
    }

    /// The probability of fake, in `[0, 1]`.
    pub fn probability(&self, logit: f64) -> f64 {
        sigmoid(self.slope * logit + self.intercept)
    }
}

/// Temperature scaling: the probability of fake is `sigmoid(logit / temperature)`.
///
/// Guo et al., "On calibration of modern neural networks", ICML 2017, section 4.2. It changes the confidence
/// of a detector but never its verdict at 0.5.
///
/// ```
/// use deeptell_metrics::TemperatureScaling;
///
/// // Overconfident: a logit of 8 means 99.97%, but one of four is wrong.
/// let logits = [8.0, 8.0, 8.0, -8.0, -8.0, -8.0, -8.0, 8.0];
/// let labels = [true, true, true, true, false, false, false, false];
/// let scaling = TemperatureScaling::fit(&logits, &labels)?;
/// assert!((scaling.probability(8.0) - 0.75).abs() < 1e-3);
/// # Ok::<(), deeptell_metrics::MetricsError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct TemperatureScaling {
    /// What logits are divided by, above zero. Above 1, the detector was overconfident.
    pub temperature: f64,
}

impl TemperatureScaling {
    /// Fits the temperature to logits of known samples, which should not be those that the detector was
    /// trained on.
    ///
    /// # Errors
    ///
    /// Unequal lengths, no samples, a logit that is not finite, only one class, logits that are all zero
    /// or do not rise from real to fake, or an optimizer that did not converge.
    pub fn fit(logits: &[f64], labels: &[bool]) -> Result<Self, MetricsError> {
        check_both_classes(logits, labels)?;
        if logits.iter().all(|&logit| logit == 0.0) {
            return Err(MetricsError::ConstantLogits { count: logits.len(), value: 0.0 });
        }
        let scale = root_mean_square(logits)?;
        let scaled: Vec<f64> = logits.iter().map(|logit| logit / scale).collect();
        let slope = Line::fit(&scaled, labels, false)?.slope / scale;
        if slope <= 0.0 {
            return Err(MetricsError::NoTemperature { slope });
        }
        Ok(Self { temperature: 1.0 / slope })
    }

    /// The probability of fake, in `[0, 1]`.
    pub fn probability(&self, logit: f64) -> f64 {
        sigmoid(logit / self.temperature)
    }
}

/// `log odds of fake = slope * feature + intercept`.
struct Line {
    slope: f64,
    intercept: f64,
}

impl Line {
    /// Logistic regression with the penalty of [`RIDGE`] on the slope.
    fn fit(feature: &[f64], labels: &[bool], with_intercept: bool) -> Result<Self, MetricsError> {
        let samples = feature.len() as f64;
        let row = |value: &f64| if with_intercept { vec![*value, 1.0] } else { vec![*value] };
        let rows: Vec<Vec<f64>> = feature.iter().map(row).collect();
        let penalties = [RIDGE / samples, 0.0];
        let penalties = &penalties[..rows.first().map_or(0, Vec::len)];
        let solution = newton(&rows, labels, &vec![samples.recip(); feature.len()], penalties)?;
        let line = Self { slope: solution[0], intercept: solution.get(1).copied().unwrap_or(0.0) };
        // Newton's method also ends where rounding stops it.
        let [by_slope, by_intercept] = line.gradient(feature, labels);
        let steepness = if with_intercept { by_slope.hypot(by_intercept) } else { by_slope.abs() };
        if steepness <= GRADIENT_TOLERANCE {
            Ok(line)
        } else {
            Err(MetricsError::NotConverged { reason: format!("the gradient is still {steepness:e}") })
        }
    }

    /// The gradient of the penalized logarithmic loss, divided by the number of samples, by slope and by
    /// intercept.
    fn gradient(&self, feature: &[f64], labels: &[bool]) -> [f64; 2] {
        let mut gradient = [RIDGE * self.slope, 0.0];
        for (&value, &is_fake) in feature.iter().zip(labels) {
            let error = sigmoid(self.slope * value + self.intercept) - f64::from(u8::from(is_fake));
            gradient[0] += error * value;
            gradient[1] += error;
        }
        gradient.map(|sum| sum / feature.len() as f64)
    }
}

/// The square root of the mean of the squares: what logits are divided by before a fit.
fn root_mean_square(values: &[f64]) -> Result<f64, MetricsError> {
    let n = values.len() as f64;
    let root = values.iter().map(|value| value * value / n).sum::<f64>().sqrt();
    if root.is_normal() {
        Ok(root)
    } else {
        Err(MetricsError::NotConverged { reason: format!("the spread of the logits is {root}") })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mean_probability_equals_the_share_of_fakes() {
        let logits = [-2.0, -1.5, -0.5, 0.0, 0.25, 1.0, 3.0];
        let labels = [false, false, true, false, false, true, true];
        let scaling = PlattScaling::fit(&logits, &labels).unwrap();
        let mean = logits.iter().map(|&logit| scaling.probability(logit)).sum::<f64>() / 7.0;
        assert!((mean - 3.0 / 7.0).abs() < 1e-9, "{mean}");
    }

    #[test]
    fn the_rare_class_does_not_flip_the_sign() {
        let logits = [-2.0, -1.0, 0.5, 1.0, 2.0, 0.0];
        let mostly_fake = PlattScaling::fit(&logits, &[false, true, true, true, true, true]).unwrap();
        let mostly_real = PlattScaling::fit(&logits, &[false, false, false, false, true, false]).unwrap();
        assert!(mostly_fake.slope > 0.0 && mostly_real.slope > 0.0);
        assert!(mostly_fake.probability(0.0) > 0.5 && mostly_real.probability(0.0) < 0.5);
    }

    #[test]
    fn perfect_separation_stays_finite() {
        let logits = [-1e6, -2e6, 1e6, 3e6];
        let labels = [false, false, true, true];
        let scaling = PlattScaling::fit(&logits, &labels).unwrap();
        assert!(scaling.slope.is_finite() && scaling.slope > 0.0);
        assert!(scaling.probability(1e6) > 0.9 && scaling.probability(-1e6) < 0.1);
        assert!(TemperatureScaling::fit(&logits, &labels).unwrap().temperature > 0.0);
    }

    #[test]
    fn uninformative_logits_are_errors() {
        let labels = [true, false, true];
        assert_eq!(
            PlattScaling::fit(&[1.5; 3], &labels),
            Err(MetricsError::ConstantLogits { count: 3, value: 1.5 })
        );
        assert_eq!(
            TemperatureScaling::fit(&[0.0; 3], &labels),
            Err(MetricsError::ConstantLogits { count: 3, value: 0.0 })
        );
        assert!(matches!(
            TemperatureScaling::fit(&[-1.0, 1.0, -2.0], &labels),
            Err(MetricsError::NoTemperature { slope }) if slope < 0.0
        ));
        assert!(matches!(
            PlattScaling::fit(&[1e200, -1e200, 1.0], &labels),
            Err(MetricsError::NotConverged { .. })
        ));
        assert!(matches!(
            PlattScaling::fit(&[1.0, 2.0], &[true, true]),
            Err(MetricsError::OneClass { n_real: 0, n_fake: 2 })
        ));
    }
}
