//! Logistic regression on a few features, with a weight for each sample.

use crate::MetricsError;
use crate::input::{check_both_classes, check_column};
use crate::probability::log_loss_of_logit;
use crate::scaling::sigmoid;

/// Strength of the ridge penalty `RIDGE / 2 * coefficient^2` on the coefficients of the standardized features, beside a
/// mean loss: it keeps them finite where the classes separate perfectly.
const RIDGE: f64 = 1e-5;

/// Newton's method needs about ten steps; many more mean that it does not converge.
const MOST_STEPS: usize = 100;

/// A logistic model: the probability of fake is the sigmoid of `intercept` plus the sum of each coefficient times its
/// feature.
#[derive(Debug, Clone, PartialEq)]
pub struct LogisticModel {
    /// Added to the sum.
    pub intercept: f64,
    /// One per feature.
    pub coefficients: Vec<f64>,
}

impl LogisticModel {
    /// Fits a model to samples with these features (one row per sample, all of the same length) by Newton's method. A
    /// sample counts in proportion to its weight. A feature that does not vary gets the coefficient 0.
    ///
    /// ```
    /// use deeptell_metrics::LogisticModel;
    ///
    /// let rows = [[-2.0, 5.0], [-1.0, 1.0], [0.5, 4.0], [1.0, 2.0], [2.0, 5.0], [3.0, 1.0]].map(Vec::from);
    /// let labels = [false, false, true, false, true, true];
    /// let model = LogisticModel::fit(&rows, &labels, &[1.0; 6])?;
    /// assert!(model.coefficients[0] > 0.0);
    /// assert!(model.probability(&[3.0, 3.0]) > 0.8 && model.probability(&[-3.0, 3.0]) < 0.2);
    /// # Ok::<(), deeptell_metrics::MetricsError>(())
    /// ```
    ///
    /// # Errors
    /// No samples, rows of different lengths, a feature or a weight that is not finite, a weight below 0, only one
    /// class, or no convergence.
    pub fn fit(rows: &[Vec<f64>], labels: &[bool], weights: &[f64]) -> Result<Self, MetricsError> {
        check_both_classes(weights, labels)?;
        check_column(weights, "feature rows", rows.len())?;
        let count = rows[0].len();
        for (index, row) in rows.iter().enumerate() {
            if row.len() != count {
                return Err(MetricsError::LengthMismatch {
                    scores: count,
                    column: "features",
                    actual: row.len(),
                });
            }
            if let Some(&value) = row.iter().find(|value| !value.is_finite()) {
                return Err(MetricsError::NotFinite { index, value });
            }
        }
        if let Some(&value) = weights.iter().find(|weight| **weight < 0.0) {
            return Err(MetricsError::InvalidSetting { name: "weight", value, expected: "0 or more" });
        }
        let total: f64 = weights.iter().sum();
        if total <= 0.0 {
            return Err(MetricsError::InvalidSetting {
                name: "sum of the weights",
                value: total,
                expected: "above 0",
            });
        }
        let shares: Vec<f64> = weights.iter().map(|weight| weight / total).collect();
        let scales: Vec<Scale> = (0..count).map(|feature| Scale::of(rows, &shares, feature)).collect();
        // A leading 1 for the intercept, then the standardized features.
        let inputs: Vec<Vec<f64>> = rows
            .iter()
            .map(|row| {
                std::iter::once(1.0).chain(row.iter().zip(&scales).map(|(x, s)| s.apply(*x))).collect()
            })
            .collect();
        let penalties: Vec<f64> = std::iter::once(0.0).chain(vec![RIDGE; count]).collect();
        let solution = newton(&inputs, labels, &shares, &penalties)?;
        let coefficients: Vec<f64> =
            solution[1..].iter().zip(&scales).map(|(value, scale)| value * scale.factor).collect();
        let shift: f64 = coefficients.iter().zip(&scales).map(|(value, scale)| value * scale.mean).sum();
        Ok(Self { intercept: solution[0] - shift, coefficients })
    }

    /// The logit of a sample with these features.
    ///
    /// # Panics
    /// When there are not as many features as in the fit.
    pub fn logit(&self, features: &[f64]) -> f64 {
        assert_eq!(features.len(), self.coefficients.len(), "the model has another number of features");
        self.intercept + self.coefficients.iter().zip(features).map(|(a, b)| a * b).sum::<f64>()
    }

    /// The probability of fake of a sample with these features, in `0..=1`.
    ///
    /// # Panics
    /// As [`logit`](Self::logit).
    pub fn probability(&self, features: &[f64]) -> f64 {
        sigmoid(self.logit(features))
    }
}

/// How a feature is brought to mean 0 and deviation 1.
struct Scale {
    mean: f64,
    /// 0 for a feature that does not vary.
    factor: f64,
}

impl Scale {
    fn of(rows: &[Vec<f64>], shares: &[f64], feature: usize) -> Self {
        let values = || rows.iter().zip(shares).map(|(row, share)| (row[feature], share));
        let mean: f64 = values().map(|(value, share)| value * share).sum();
        let variance: f64 = values().map(|(value, share)| (value - mean).powi(2) * share).sum();
        let deviation = variance.sqrt();
        let varies = deviation > 1e-9 * mean.abs().max(1.0);
        Self { mean, factor: if varies { deviation.recip() } else { 0.0 } }
    }

    fn apply(&self, value: f64) -> f64 {
        (value - self.mean) * self.factor
    }
}

/// The coefficients that minimize the logarithmic loss, each sample weighted by its share of 1, plus `penalty / 2 *
/// coefficient^2` for each coefficient. There is at least one sample, and all have as many inputs as there are
/// penalties.
pub(crate) fn newton(
    inputs: &[Vec<f64>],
    labels: &[bool],
    shares: &[f64],
    penalties: &[f64],
) -> Result<Vec<f64>, MetricsError> {
    let count = penalties.len();
    let penalty = |place: usize| penalties[place];
    let loss = |solution: &[f64]| -> f64 {
        let data: f64 = inputs
            .iter()
            .zip(labels)
            .zip(shares)
            .map(|((input, is_fake), share)| {
                let logit: f64 = input.iter().zip(solution).map(|(x, b)| x * b).sum();
                share * log_loss_of_logit(logit, *is_fake)
            })
            .sum();
        data + solution.iter().enumerate().map(|(i, b)| 0.5 * penalty(i) * b * b).sum::<f64>()
    };
    let mut solution = vec![0.0; count];
    let mut current = loss(&solution);
    for _ in 0..MOST_STEPS {
        let mut gradient: Vec<f64> = solution.iter().enumerate().map(|(i, b)| penalty(i) * b).collect();
        let mut hessian: Vec<Vec<f64>> = (0..count)
            .map(|i| (0..count).map(|j| if i == j { penalty(i) + 1e-12 } else { 0.0 }).collect())
            .collect();
        for ((input, is_fake), share) in inputs.iter().zip(labels).zip(shares) {
            let probability = sigmoid(input.iter().zip(&solution).map(|(x, b)| x * b).sum());
            let residual = share * (probability - f64::from(*is_fake));
            let curvature = share * probability * (1.0 - probability);
            for (i, row) in hessian.iter_mut().enumerate() {
                gradient[i] += residual * input[i];
                let factor = curvature * input[i];
                for (sum, other) in row[..=i].iter_mut().zip(input) {
                    *sum += factor * other;
                }
            }
        }
        if gradient.iter().all(|g| g.abs() < 1e-10) {
            return Ok(solution);
        }
        let step = solve(hessian, gradient)?;
        // Halved until the loss falls: far from the optimum a whole step may overshoot.
        let mut reach = 1.0;
        loop {
            let next: Vec<f64> = solution.iter().zip(&step).map(|(b, s)| b - reach * s).collect();
            let found = loss(&next);
            if found < current {
                (solution, current) = (next, found);
                break;
            }
            reach *= 0.5;
            if reach < 1e-6 {
                // No step helps: this is the optimum to rounding.
                return Ok(solution);
            }
        }
    }
    Err(MetricsError::NotConverged { reason: format!("{MOST_STEPS} Newton steps were not enough") })
}

/// The `x` of `matrix x = right`, by Cholesky's method; of the symmetric matrix, the lower triangle is read.
fn solve(mut matrix: Vec<Vec<f64>>, mut right: Vec<f64>) -> Result<Vec<f64>, MetricsError> {
    let n = right.len();
    for i in 0..n {
        for j in 0..=i {
            let dot: f64 = (0..j).map(|k| matrix[i][k] * matrix[j][k]).sum();
            let rest = matrix[i][j] - dot;
            if i == j {
                if rest.is_nan() || rest <= 0.0 {
                    let reason = "the features are linearly dependent".to_owned();
                    return Err(MetricsError::NotConverged { reason });
                }
                matrix[i][i] = rest.sqrt();
            } else {
                matrix[i][j] = rest / matrix[j][j];
            }
        }
    }
    for i in 0..n {
        let dot: f64 = (0..i).map(|k| matrix[i][k] * right[k]).sum();
        right[i] = (right[i] - dot) / matrix[i][i];
    }
    for i in (0..n).rev() {
        let dot: f64 = (i + 1..n).map(|k| matrix[k][i] * right[k]).sum();
        right[i] = (right[i] - dot) / matrix[i][i];
    }
    Ok(right)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::PlattScaling;

    fn noise(i: usize) -> f64 {
        ((i * 7919 + 13) * 31 % 10_007) as f64 / 10_007.0
    }

    #[test]
    fn equal_weights_agree_with_platt_scaling() {
        let logits: Vec<f64> = (0..200).map(|i| 4.0 * noise(i) - 2.0).collect();
        let labels: Vec<bool> = (0..200).map(|i| noise(i) + 0.8 * noise(i + 500) > 0.9).collect();
        let rows: Vec<Vec<f64>> = logits.iter().map(|&logit| vec![logit]).collect();
        let model = LogisticModel::fit(&rows, &labels, &[3.0; 200]).unwrap();
        let platt = PlattScaling::fit(&logits, &labels).unwrap();
        assert!((model.coefficients[0] / platt.slope - 1.0).abs() < 1e-3, "{model:?} {platt:?}");
        assert!((model.intercept - platt.intercept).abs() < 1e-2, "{model:?} {platt:?}");
    }

    #[test]
    fn weight_equals_copies_of_the_sample() {
        let rows: Vec<Vec<f64>> = (0..40).map(|i| vec![noise(i), noise(i + 99)]).collect();
        let labels: Vec<bool> = (0..40).map(|i| noise(i) + noise(i + 300) > 1.0).collect();
        let weights: Vec<f64> = (0..40).map(|i| (i % 3 + 1) as f64).collect();
        let copies = || (0..40).flat_map(|i| std::iter::repeat_n(i, i % 3 + 1));
        let copied = LogisticModel::fit(
            &copies().map(|i| rows[i].clone()).collect::<Vec<_>>(),
            &copies().map(|i| labels[i]).collect::<Vec<_>>(),
            &vec![1.0; copies().count()],
        );
        let (weighted, copied) = (LogisticModel::fit(&rows, &labels, &weights).unwrap(), copied.unwrap());
        for (a, b) in weighted.coefficients.iter().zip(&copied.coefficients) {
            assert!((a - b).abs() < 1e-6, "{weighted:?} {copied:?}");
        }
    }

    #[test]
    fn separated_classes_and_constant_features_stay_finite() {
        let rows: Vec<Vec<f64>> = (0..20).map(|i| vec![f64::from(i), 7.0]).collect();
        let labels: Vec<bool> = (0..20).map(|i| i >= 10).collect();
        let model = LogisticModel::fit(&rows, &labels, &[1.0; 20]).unwrap();
        assert_eq!(model.coefficients[1], 0.0);
        assert!(model.coefficients[0] > 0.5 && model.coefficients[0] < 100.0, "{model:?}");
        assert!(LogisticModel::fit(&rows, &[true; 20], &[1.0; 20]).is_err());
        assert!(LogisticModel::fit(&rows, &labels, &[0.0; 20]).is_err());
        assert!(LogisticModel::fit(&[], &[], &[]).is_err());
    }
}
