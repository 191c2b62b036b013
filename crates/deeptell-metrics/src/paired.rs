//! Whether one detector is better than another on the same data.

use std::array;
use std::f64::consts::SQRT_2;
use std::hash::Hash;

use serde::Serialize;

use crate::MetricsError;
use crate::groups::GroupIndex;
use crate::input::{check_both_classes, check_column};
use crate::share::NORMAL_975;

/// Two detectors on the same samples.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[non_exhaustive]
pub struct AucComparison {
    /// The area under the ROC curve of the first and of the second, in `[0, 1]`.
    pub auc: [f64; 2],
    /// The second less the first, in `[-1, 1]`.
    pub difference: f64,
    /// Standard error of the difference, 0 or more.
    pub standard_error: f64,
    /// The 95% interval of the difference.
    pub ci95: [f64; 2],
    /// Probability of a difference at least this far from zero, to either side, if there were none;
    /// in `[0, 1]`. It is 1 where the two rank all samples alike.
    pub p_value: f64,
}

/// Compares the areas under the ROC curves of two detectors that scored the same samples.
///
/// The test of DeLong, DeLong and Clarke-Pearson ("Comparing the areas under two or more correlated
/// receiver operating characteristic curves", Biometrics 44, 1988), which knows that the two saw the
/// same samples, in the form of Obuchowski ("Nonparametric analysis of clustered ROC curve data",
/// Biometrics 53, 1997), which also knows that the samples of a group are alike. Pass the row numbers
/// as groups where samples are independent: then it is DeLong's. Groups may hold both classes. The
/// interval and the probability rest on the normal distribution, and so on some dozens of groups of
/// each class.
///
/// ```
/// use deeptell_metrics::compare_auc;
///
/// let labels = [true, true, true, false, false, false];
/// let (first, second) = ([0.9, 0.4, 0.6, 0.5, 0.3, 0.7], [0.9, 0.8, 0.6, 0.5, 0.3, 0.7]);
/// let rows: Vec<usize> = (0..6).collect();
/// let compared = compare_auc(&first, &second, &labels, &rows)?;
/// assert_eq!(compared.auc, [6.0 / 9.0, 8.0 / 9.0]);
/// assert!(compared.p_value > 0.05, "six samples prove nothing");
/// # Ok::<(), deeptell_metrics::MetricsError>(())
/// ```
///
/// # Errors
///
/// Unequal lengths, no samples, a score that is not finite, only one class, or a class in fewer than
/// two groups.
pub fn compare_auc<G: Hash + Eq>(
    first: &[f64],
    second: &[f64],
    labels: &[bool],
    groups: &[G],
) -> Result<AucComparison, MetricsError> {
    let counts = check_both_classes(first, labels)?;
    check_both_classes(second, labels)?;
    check_column(first, "groups", groups.len())?;
    let index = GroupIndex::new(groups);
    let group_count = index.first_rows.len();
    let placements = [placements(first, labels), placements(second, labels)];
    let n = [counts.n_real as f64, counts.n_fake as f64];
    let auc: [f64; 2] = array::from_fn(|detector| {
        let fakes = placements[detector].iter().zip(labels).filter(|(_, is_fake)| **is_fake);
        fakes.map(|(placement, _)| placement).sum::<f64>() / n[1]
    });

    // For each group, class and detector: how far its samples lie from the mean, summed.
    let mut sums = vec![[[0.0; 2]; 2]; group_count];
    let mut has = vec![[false; 2]; group_count];
    for (row, (&group, &is_fake)) in index.group_of_row.iter().zip(labels).enumerate() {
        has[group][usize::from(is_fake)] = true;
        for detector in 0..2 {
            sums[group][usize::from(is_fake)][detector] += placements[detector][row] - auc[detector];
        }
    }
    let with: [f64; 2] = array::from_fn(|class| has.iter().filter(|has| has[class]).count() as f64);
    if let Some(few) = with.iter().find(|groups| **groups < 2.0) {
        return Err(MetricsError::TooFewGroups { groups: *few as usize });
    }
    // Of the difference at once: the deviations of the second less those of the first.
    let (mut within, mut between) = ([0.0; 2], 0.0);
    for sums in &sums {
        let [real, fake] = sums.map(|of_class| of_class[1] - of_class[0]);
        within[0] += real * real;
        within[1] += fake * fake;
        between += real * fake;
    }
    let of_class = |class: usize| with[class] / (with[class] - 1.0) * within[class] / (n[class] * n[class]);
    let groups = group_count as f64;
    let covariance = groups / (groups - 1.0) * between / (n[0] * n[1]);
    let standard_error = (of_class(0) + of_class(1) + 2.0 * covariance).max(0.0).sqrt();
    let difference = auc[1] - auc[0];
    let reach = NORMAL_975 * standard_error;
    let p_value = if standard_error == 0.0 {
        f64::from(difference == 0.0)
    } else {
        libm::erfc((difference / standard_error).abs() / SQRT_2)
    };
    Ok(AucComparison {
        auc,
        difference,
        standard_error,
        ci95: [difference - reach, difference + reach],
        p_value,
    })
}

/// For each fake, the share of the reals that score lower; for each real, the share of the fakes that
/// score higher; ties count one half. O(n log n).
fn placements(scores: &[f64], labels: &[bool]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..scores.len()).collect();
    order.sort_unstable_by(|&a, &b| scores[a].total_cmp(&scores[b]));
    let fakes = labels.iter().filter(|&&is_fake| is_fake).count();
    let reals = labels.len() - fakes;
    let mut placements = vec![0.0; scores.len()];
    let (mut reals_below, mut fakes_below) = (0, 0);
    // `==`, not `total_cmp`: -0.0 and 0.0 are a tie.
    for tied in order.chunk_by(|&a, &b| scores[a] == scores[b]) {
        let tied_fakes = tied.iter().filter(|&&row| labels[row]).count();
        let tied_reals = tied.len() - tied_fakes;
        for &row in tied {
            placements[row] = if labels[row] {
                (reals_below as f64 + 0.5 * tied_reals as f64) / reals as f64
            } else {
                ((fakes - fakes_below - tied_fakes) as f64 + 0.5 * tied_fakes as f64) / fakes as f64
            };
        }
        reals_below += tied_reals;
        fakes_below += tied_fakes;
    }
    placements
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{BootstrapConfig, bootstrap_interval, roc_auc};

    /// Scores of two detectors, the second better; labels; groups of three rows.
    fn data(rows: usize) -> (Vec<f64>, Vec<f64>, Vec<bool>, Vec<usize>) {
        // Numbers in [0, 1) that any language makes alike.
        let noise = |seed: usize, row: usize| ((row * 7919 + seed * 104_729) * 31 % 10_007) as f64 / 10_007.0;
        let labels: Vec<bool> = (0..rows).map(|row| row * 5 % 7 < 3).collect();
        let shift = |row: usize, by: f64| if labels[row] { by } else { 0.0 };
        let first = (0..rows).map(|row| noise(1, row) + 0.4 * noise(3, row / 3) + shift(row, 0.2)).collect();
        let second = (0..rows).map(|row| noise(2, row) + 0.4 * noise(3, row / 3) + shift(row, 0.5)).collect();
        let groups = (0..rows).map(|row| row / 3).collect();
        (first, second, labels, groups)
    }

    #[test]
    fn independent_rows_match_delongs_test() {
        // From an independent implementation of the paper's equations 3 to 5 in numpy.
        let (first, second, labels, _) = data(60);
        let rows: Vec<usize> = (0..60).collect();
        let compared = compare_auc(&first, &second, &labels, &rows).unwrap();
        let expected = [
            0.638_009_049_773_755_6,
            0.831_447_963_800_905,
            0.103_628_785_851_991_38,
            0.061_950_155_488_443_06,
        ];
        let found = [compared.auc[0], compared.auc[1], compared.standard_error, compared.p_value];
        for (found, expected) in found.iter().zip(expected) {
            assert!((found - expected).abs() < 1e-9, "{found} is not {expected}");
        }
    }

    #[test]
    fn groups_agree_with_the_bootstrap_of_groups() {
        let (first, second, labels, groups) = data(600);
        let compared = compare_auc(&first, &second, &labels, &groups).unwrap();
        // The difference of the areas, by resampling rows of which both scores come along.
        let rows: Vec<f64> = (0..600).map(|row| row as f64).collect();
        let pick = |rows: &[f64], of: &[f64]| rows.iter().map(|row| of[*row as usize]).collect::<Vec<f64>>();
        let metric = |rows: &[f64], labels: &[bool]| {
            Ok(roc_auc(&pick(rows, &second), labels)? - roc_auc(&pick(rows, &first), labels)?)
        };
        let interval =
            bootstrap_interval(&rows, &labels, &groups, metric, &BootstrapConfig::default()).unwrap();
        let (width, expected) = (compared.ci95[1] - compared.ci95[0], interval.high - interval.low);
        assert!((width / expected - 1.0).abs() < 0.1, "{width} against {expected}");
        assert!((compared.ci95[0] - interval.low).abs() < 0.1 * expected);
        assert!(compared.p_value < 1e-3 && compared.difference > 0.05);
    }

    #[test]
    fn detector_compared_with_itself_has_no_difference() {
        let (first, _, labels, groups) = data(60);
        let compared = compare_auc(&first, &first, &labels, &groups).unwrap();
        assert_eq!((compared.difference, compared.standard_error, compared.p_value), (0.0, 0.0, 1.0));
        let other =
            compare_auc(&first, &first.iter().map(|s| s * 3.0 - 1.0).collect::<Vec<_>>(), &labels, &groups);
        assert_eq!(other.unwrap().p_value, 1.0, "only ranks count");
    }

    #[test]
    fn unequal_lengths_one_class_and_too_few_groups_are_refused() {
        let labels = [true, true, false, false];
        let scores = [0.9, 0.8, 0.1, 0.2];
        assert!(compare_auc(&scores, &scores[..3], &labels, &[0, 1, 2, 3]).is_err());
        assert!(compare_auc(&scores, &scores, &[true; 4], &[0, 1, 2, 3]).is_err());
        let lone = compare_auc(&scores, &scores, &labels, &[0, 0, 1, 2]);
        assert!(matches!(lone, Err(MetricsError::TooFewGroups { groups: 1 })));
    }
}
