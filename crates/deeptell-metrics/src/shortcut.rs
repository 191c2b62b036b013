//! How well a label can be predicted from features that should not reveal it.

use std::hash::Hash;

use rand::SeedableRng;
use rand::seq::SliceRandom as _;
use rand_chacha::ChaCha8Rng;

use crate::groups::GroupIndex;
use crate::input::{check_both_classes, check_column};
use crate::{MetricsError, sigmoid};

/// Parts that the groups are divided into; each is scored by a fit to the others.
const FOLDS: usize = 5;
/// Strength of the penalty `RIDGE / 2 * |weights|^2` beside the summed loss: one sample's worth, which
/// keeps weights finite where the classes separate or two features are one.
const RIDGE: f64 = 1.0;
/// Newton's method doubles its digits at each step; more are never needed.
const STEPS: usize = 25;
/// The log odds of one step change by no more than this for standardized features: the fit is done.
const SMALL: f64 = 1e-8;

/// Scores each row by a logistic regression fitted to the rows of other groups: higher means more
/// likely fake. Their [`roc_auc`](crate::roc_auc) says how well the features alone predict the label;
/// 0.5 is chance.
///
/// `features` has one list per row, all of the same length. They are standardized and used with their
/// squares, so that a label which depends on a middle value is found too. Groups are divided at random
/// by `seed` into five parts. A score is relative to the mean of the part it was fitted to, so that the
/// parts can be ranked together; features that do not vary score 0 everywhere.
///
/// ```
/// use deeptell_metrics::{roc_auc, shortcut_scores};
///
/// // Fakes are saved by another program: their files are smaller.
/// let features: Vec<Vec<f64>> = (0..40).map(|i| vec![if i % 2 == 0 { 9.0 } else { 7.0 } + 0.01 * i as f64]).collect();
/// let is_fake: Vec<bool> = (0..40).map(|i| i % 2 == 1).collect();
/// let sources: Vec<usize> = (0..40).map(|i| i / 4).collect();
/// let scores = shortcut_scores(&features, &is_fake, &sources, 0)?;
/// assert_eq!(roc_auc(&scores, &is_fake)?, 1.0);
/// # Ok::<(), deeptell_metrics::MetricsError>(())
/// ```
///
/// # Errors
///
/// Unequal lengths, no samples, only one class, a feature that is not finite, fewer than two groups.
pub fn shortcut_scores<G: Hash + Eq>(
    features: &[Vec<f64>],
    labels: &[bool],
    groups: &[G],
    seed: u64,
) -> Result<Vec<f64>, MetricsError> {
    let mut scores = vec![0.0; features.len()];
    check_both_classes(&scores, labels)?;
    check_column(&scores, "groups", groups.len())?;
    let width = features.first().map_or(0, Vec::len);
    for (index, row) in features.iter().enumerate() {
        if row.len() != width {
            return Err(MetricsError::LengthMismatch {
                scores: width,
                column: "features in a row",
                actual: row.len(),
            });
        }
        if let Some(&value) = row.iter().find(|value| !value.is_finite()) {
            return Err(MetricsError::NotFinite { index, value });
        }
    }
    let index = GroupIndex::new(groups);
    let count = index.first_rows.len();
    if count < 2 {
        return Err(MetricsError::TooFewGroups { groups: count });
    }
    let mut order: Vec<usize> = (0..count).collect();
    order.shuffle(&mut ChaCha8Rng::seed_from_u64(seed));
    let mut fold_of_group = vec![0; count];
    for (place, &group) in order.iter().enumerate() {
        fold_of_group[group] = place % FOLDS;
    }
    for fold in 0..FOLDS.min(count) {
        let is_held_out = |row: usize| fold_of_group[index.group_of_row[row]] == fold;
        let (held_out, fitted): (Vec<usize>, Vec<usize>) =
            (0..features.len()).partition(|&row| is_held_out(row));
        let scale = Scale::of(&fitted, features, width);
        let inputs: Vec<Vec<f64>> = fitted.iter().map(|&row| scale.apply(&features[row])).collect();
        let targets: Vec<bool> = fitted.iter().map(|&row| labels[row]).collect();
        let weights = logistic_weights(&inputs, &targets, 2 * width);
        // A lone group can hold all of a class; then nothing is learned, and its scores stay 0.
        for row in held_out {
            scores[row] = dot(&weights[1..], &scale.apply(&features[row])[1..]);
        }
    }
    Ok(scores)
}

/// Mean and deviation of each feature, and the mean of its standardized square, which is 1 or 0.
struct Scale {
    means: Vec<f64>,
    deviations: Vec<f64>,
}

impl Scale {
    fn of(rows: &[usize], features: &[Vec<f64>], width: usize) -> Self {
        let count = rows.len().max(1) as f64;
        let mean = |value: &dyn Fn(usize) -> f64| rows.iter().map(|&row| value(row)).sum::<f64>() / count;
        let means: Vec<f64> = (0..width).map(|at| mean(&|row| features[row][at])).collect();
        let deviations =
            (0..width).map(|at| mean(&|row| (features[row][at] - means[at]).powi(2)).sqrt()).collect();
        Self { means, deviations }
    }

    /// 1 for the intercept, then each feature and its square, both of mean 0 on the rows of the fit.
    fn apply(&self, row: &[f64]) -> Vec<f64> {
        let mut input = Vec::with_capacity(1 + 2 * row.len());
        input.push(1.0);
        for ((value, mean), deviation) in row.iter().zip(&self.means).zip(&self.deviations) {
            // Rounding leaves a constant feature a deviation of its last digits.
            let varies = *deviation > 1e-9 * mean.abs().max(1e-300);
            // What no row of the fit came near must not outweigh everything.
            let standard = if varies { ((value - mean) / deviation).clamp(-5.0, 5.0) } else { 0.0 };
            input.extend([standard, if varies { standard * standard - 1.0 } else { 0.0 }]);
        }
        input
    }
}

/// The weights of a penalized logistic regression, the first of them the intercept, which goes
/// without penalty. Newton's method; Hastie, Tibshirani & Friedman, "The elements of statistical
/// learning", 2009, section 4.4.1.
fn logistic_weights(inputs: &[Vec<f64>], targets: &[bool], width: usize) -> Vec<f64> {
    let mut weights = vec![0.0; width + 1];
    if targets.iter().all(|&is_fake| is_fake) || targets.iter().all(|&is_fake| !is_fake) {
        return weights;
    }
    for _ in 0..STEPS {
        let mut gradient: Vec<f64> = weights.iter().map(|weight| -RIDGE * weight).collect();
        gradient[0] = 0.0;
        let mut hessian = vec![vec![0.0; width + 1]; width + 1];
        for (at, row) in hessian.iter_mut().enumerate() {
            // A little on the intercept, too, for a class that a step has all but lost.
            row[at] = if at == 0 { 1e-9 } else { RIDGE };
        }
        for (input, &is_fake) in inputs.iter().zip(targets) {
            let probability = sigmoid(dot(&weights, input));
            let error = f64::from(u8::from(is_fake)) - probability;
            let weight = probability * (1.0 - probability);
            for (at, &value) in input.iter().enumerate() {
                gradient[at] += error * value;
                let scaled = weight * value;
                for (sum, &other) in hessian[at][..=at].iter_mut().zip(input) {
                    *sum += scaled * other;
                }
            }
        }
        let step = solve(hessian, gradient);
        // Far from the answer, a step can overshoot where the loss is flat.
        let longest = step.iter().fold(0.0_f64, |most, value| most.max(value.abs()));
        let shorten = 1.0 / longest.max(1.0);
        for (weight, change) in weights.iter_mut().zip(&step) {
            *weight += shorten * change;
        }
        if longest < SMALL {
            break;
        }
    }
    weights
}

/// Solves for a symmetric positive definite matrix, of which the lower half is given: Cholesky.
fn solve(mut matrix: Vec<Vec<f64>>, mut right: Vec<f64>) -> Vec<f64> {
    let size = right.len();
    for row in 0..size {
        for column in 0..=row {
            let sum = matrix[row][column] - dot(&matrix[row][..column], &matrix[column][..column]);
            matrix[row][column] =
                if row == column { sum.max(1e-12).sqrt() } else { sum / matrix[column][column] };
        }
        right[row] = (right[row] - dot(&matrix[row][..row], &right[..row])) / matrix[row][row];
    }
    for row in (0..size).rev() {
        let below: f64 = (row + 1..size).map(|other| matrix[other][row] * right[other]).sum();
        right[row] = (right[row] - below) / matrix[row][row];
    }
    right
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

#[cfg(test)]
mod tests {
    use rand::RngExt as _;

    use super::*;
    use crate::{PlattScaling, roc_auc};

    /// Rows of `width` random features in `[-1, 1)`, labels by `is_fake`, four rows per group.
    fn auc(width: usize, is_fake: impl Fn(&[f64], &mut ChaCha8Rng) -> bool) -> f64 {
        let mut rng = ChaCha8Rng::seed_from_u64(4);
        let mut labels = Vec::new();
        let features: Vec<Vec<f64>> = (0..2000)
            .map(|_| {
                let row: Vec<f64> = (0..width).map(|_| rng.random_range(-1.0..1.0)).collect();
                labels.push(is_fake(&row, &mut rng));
                row
            })
            .collect();
        let groups: Vec<usize> = (0..2000).map(|row| row / 4).collect();
        roc_auc(&shortcut_scores(&features, &labels, &groups, 0).unwrap(), &labels).unwrap()
    }

    #[test]
    fn features_that_reveal_the_label_are_found() {
        assert!(auc(4, |row, _| row[2] + row[0] > 0.0) > 0.99);
        assert!(auc(4, |row, _| row[1].abs() < 0.4) > 0.95, "a middle value");
        let chance = auc(28, |_, rng| rng.random());
        assert!((0.46..0.54).contains(&chance), "{chance}");
    }

    #[test]
    fn constant_features_have_an_auc_of_one_half() {
        let features = vec![vec![224.1, 0.0]; 30];
        let labels: Vec<bool> = (0..30).map(|row| row % 3 == 0).collect();
        let groups: Vec<usize> = (0..30).map(|row| row / 2).collect();
        let scores = shortcut_scores(&features, &labels, &groups, 1).unwrap();
        assert_eq!(scores, [0.0; 30]);
        assert_eq!(roc_auc(&scores, &labels).unwrap(), 0.5);
    }

    #[test]
    fn memorized_groups_do_not_raise_the_auc() {
        // Each group has a feature of its own value and one label: only its own rows would tell.
        let mut rng = ChaCha8Rng::seed_from_u64(9);
        let values: Vec<(f64, bool)> = (0..300).map(|_| (rng.random(), rng.random())).collect();
        let features: Vec<Vec<f64>> = (0..3000).map(|row| vec![values[row / 10].0]).collect();
        let labels: Vec<bool> = (0..3000).map(|row| values[row / 10].1).collect();
        let groups: Vec<usize> = (0..3000).map(|row| row / 10).collect();
        let auc = roc_auc(&shortcut_scores(&features, &labels, &groups, 0).unwrap(), &labels).unwrap();
        assert!((0.4..0.6).contains(&auc), "{auc}");
    }

    #[test]
    fn shortcut_fit_agrees_with_platt_scaling() {
        let values: Vec<f64> = (0..200).map(|i| f64::from(i % 20) - 9.5).collect();
        let labels: Vec<bool> = (0..200).map(|i| (i * 7 + i / 20) % 20 < i % 20).collect();
        let inputs: Vec<Vec<f64>> = values.iter().map(|&value| vec![1.0, value]).collect();
        let weights = logistic_weights(&inputs, &labels, 1);
        let platt = PlattScaling::fit(&values, &labels).unwrap();
        // The penalties differ, by far less than this.
        assert!((weights[1] - platt.slope).abs() < 0.01 * platt.slope.abs(), "{weights:?} {platt:?}");
        assert!((weights[0] - platt.intercept).abs() < 0.02, "{weights:?} {platt:?}");
    }

    #[test]
    fn fit_ends_for_separated_classes_and_doubled_features() {
        let features: Vec<Vec<f64>> = (0..40).map(|i| vec![f64::from(i), f64::from(i)]).collect();
        let labels: Vec<bool> = (0..40).map(|i| i >= 20).collect();
        let groups: Vec<usize> = (0..40).map(|row| row % 10).collect();
        let scores = shortcut_scores(&features, &labels, &groups, 0).unwrap();
        assert!(scores.iter().all(|score| score.is_finite()));
        // The fits of the parts put the border in slightly different places.
        assert!(roc_auc(&scores, &labels).unwrap() > 0.99);
    }

    #[test]
    fn invalid_features_labels_and_groups_are_refused() {
        let fault = |features: &[Vec<f64>], labels: &[bool], groups: &[usize]| {
            shortcut_scores(features, labels, groups, 0).unwrap_err()
        };
        let two = [vec![1.0], vec![2.0]];
        assert!(matches!(fault(&two, &[true, true], &[0, 1]), MetricsError::OneClass { .. }));
        assert!(matches!(fault(&two, &[true, false], &[0]), MetricsError::LengthMismatch { .. }));
        assert!(matches!(fault(&two, &[true, false], &[3, 3]), MetricsError::TooFewGroups { .. }));
        let uneven = [vec![1.0], vec![2.0, 3.0]];
        assert!(matches!(fault(&uneven, &[true, false], &[0, 1]), MetricsError::LengthMismatch { .. }));
        let infinite = [vec![1.0], vec![f64::INFINITY]];
        assert!(matches!(
            fault(&infinite, &[true, false], &[0, 1]),
            MetricsError::NotFinite { index: 1, .. }
        ));
    }
}
