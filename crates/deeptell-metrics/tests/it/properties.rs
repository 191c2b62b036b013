//! What must hold for any scores.

use deeptell_metrics::{
    BootstrapConfig, EvaluationConfig, MetricsError, PlattScaling, ScoreScale, TemperatureScaling,
    average_precision, bootstrap_interval, brier_score, equal_error_rate, evaluate,
    expected_calibration_error, log_loss, mean_by_group, reliability_bins, roc_auc, roc_curve, tpr_at_fpr,
};
use proptest::prelude::*;
use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

type Samples = (Vec<f64>, Vec<bool>);

fn has_both(labels: &[bool]) -> bool {
    labels.contains(&true) && labels.contains(&false)
}

/// Small whole numbers: many ties, and exact under the arithmetic of the tests.
fn tied_samples() -> impl Strategy<Value = Samples> {
    prop::collection::vec((-20_i32..20, any::<bool>()), 2..60)
        .prop_map(|rows| rows.into_iter().map(|(score, is_fake)| (f64::from(score), is_fake)).unzip())
        .prop_filter("both classes", |(_, labels): &Samples| has_both(labels))
}

/// Probabilities, numbers of any size, and any bit pattern with NaN and infinities among them.
fn any_samples() -> impl Strategy<Value = Samples> {
    fn rows(score: impl Strategy<Value = f64>) -> impl Strategy<Value = Vec<(f64, bool)>> {
        prop::collection::vec((score, any::<bool>()), 0..40)
    }
    let probabilities = rows(0.0..=1.0);
    let finite = rows(any::<f64>());
    let anything = rows(prop_oneof![20 => -10.0..10.0, 1 => prop::num::f64::ANY]);
    prop_oneof![probabilities, finite, anything].prop_map(|rows| rows.into_iter().unzip())
}

/// `count` samples of reals in [0, 1) and fakes in [0.3, 1.3): an AUC of 1 - 0.7^2 / 2 = 0.755.
fn overlapping(seed: u64, count: usize) -> Samples {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let sample = |row: usize| {
        let is_fake = row % 2 == 1;
        (rng.random::<f64>() + if is_fake { 0.3 } else { 0.0 }, is_fake)
    };
    (0..count).map(sample).unzip()
}

fn config(resamples: usize, seed: u64) -> BootstrapConfig {
    BootstrapConfig::default().resamples(resamples).seed(seed)
}

proptest! {
    #[test]
    fn auc_is_the_share_of_pairs_in_order((scores, labels) in tied_samples()) {
        let (mut won, mut pairs) = (0.0, 0.0);
        for (fake, _) in scores.iter().zip(&labels).filter(|(_, is_fake)| **is_fake) {
            for (real, _) in scores.iter().zip(&labels).filter(|(_, is_fake)| !**is_fake) {
                pairs += 1.0;
                won += if fake > real { 1.0 } else if fake == real { 0.5 } else { 0.0 };
            }
        }
        prop_assert_eq!(roc_auc(&scores, &labels).unwrap(), won / pairs);
    }

    #[test]
    fn auc_is_the_area_under_the_curve((scores, labels) in tied_samples()) {
        let curve = roc_curve(&scores, &labels).unwrap();
        let area: f64 = (1..curve.thresholds.len())
            .map(|i| {
                let width = curve.false_positive_rate[i] - curve.false_positive_rate[i - 1];
                width * f64::midpoint(curve.true_positive_rate[i], curve.true_positive_rate[i - 1])
            })
            .sum();
        prop_assert!((roc_auc(&scores, &labels).unwrap() - area).abs() < 1e-12);
    }

    #[test]
    fn curve_rises_from_0_to_1((scores, labels) in tied_samples()) {
        let curve = roc_curve(&scores, &labels).unwrap();
        for rate in [&curve.false_positive_rate, &curve.true_positive_rate] {
            prop_assert!(rate.is_sorted());
            prop_assert_eq!((rate[0], rate[rate.len() - 1]), (0.0, 1.0));
        }
        prop_assert!(curve.thresholds.is_sorted_by(|a, b| a > b));
    }

    #[test]
    fn ranking_metrics_are_invariant_under_monotone_transforms((scores, labels) in tied_samples()) {
        let transformed: Vec<f64> = scores.iter().map(|score| (score / 10.0).exp() - 3.0).collect();
        let figures = |scores: &[f64]| {
            (
                roc_auc(scores, &labels).unwrap(),
                average_precision(scores, &labels).unwrap(),
                equal_error_rate(scores, &labels).unwrap().rate,
                tpr_at_fpr(scores, &labels, 0.2).unwrap(),
            )
        };
        prop_assert_eq!(figures(&scores), figures(&transformed));
    }

    #[test]
    fn negated_scores_give_one_minus_auc_and_eer((scores, labels) in tied_samples()) {
        let negated: Vec<f64> = scores.iter().map(|score| -score).collect();
        let auc = roc_auc(&scores, &labels).unwrap();
        prop_assert!((roc_auc(&negated, &labels).unwrap() - (1.0 - auc)).abs() < 1e-15);
        let eer = equal_error_rate(&scores, &labels).unwrap().rate;
        prop_assert!((equal_error_rate(&negated, &labels).unwrap().rate - (1.0 - eer)).abs() < 1e-12);
    }

    #[test]
    fn swapping_the_classes_and_the_scores_changes_nothing((scores, labels) in tied_samples()) {
        let negated: Vec<f64> = scores.iter().map(|score| -score).collect();
        let swapped: Vec<bool> = labels.iter().map(|is_fake| !is_fake).collect();
        prop_assert_eq!(roc_auc(&scores, &labels).unwrap(), roc_auc(&negated, &swapped).unwrap());
    }

    #[test]
    fn the_order_of_rows_changes_nothing((scores, labels) in tied_samples(), seed in any::<u64>()) {
        let probabilities: Vec<f64> = scores.iter().map(|score| (score + 20.0) / 40.0).collect();
        let mut order: Vec<usize> = (0..scores.len()).collect();
        order.shuffle(&mut ChaCha8Rng::seed_from_u64(seed));
        let shuffled: Vec<f64> = order.iter().map(|&row| probabilities[row]).collect();
        let shuffled_labels: Vec<bool> = order.iter().map(|&row| labels[row]).collect();

        prop_assert_eq!(
            roc_curve(&probabilities, &labels).unwrap(),
            roc_curve(&shuffled, &shuffled_labels).unwrap()
        );
        for metric in [roc_auc, average_precision] {
            prop_assert_eq!(
                metric(&probabilities, &labels).unwrap(),
                metric(&shuffled, &shuffled_labels).unwrap()
            );
        }
        prop_assert_eq!(
            reliability_bins(&probabilities, &labels, 7).unwrap(),
            reliability_bins(&shuffled, &shuffled_labels, 7).unwrap()
        );
        for metric in [brier_score, log_loss] {
            let difference = metric(&probabilities, &labels).unwrap()
                - metric(&shuffled, &shuffled_labels).unwrap();
            prop_assert!(difference.abs() < 1e-12);
        }
    }

    #[test]
    fn any_input_gives_a_value_in_range_or_an_error(
        (scores, labels) in any_samples(),
        fpr in any::<f64>(),
        bins in any::<usize>(),
    ) {
        let fine = !scores.is_empty() && scores.iter().all(|score| score.is_finite());
        let ranked = fine && has_both(&labels);
        for metric in [roc_auc, average_precision] {
            let result = metric(&scores, &labels);
            prop_assert_eq!(result.is_ok(), ranked);
            prop_assert!(result.is_err() || (0.0..=1.0).contains(&result.unwrap()));
        }
        let rate = equal_error_rate(&scores, &labels).map(|eer| eer.rate);
        prop_assert_eq!(rate.is_ok(), ranked);
        prop_assert!(rate.is_err() || (0.0..=1.0).contains(&rate.unwrap()));
        prop_assert_eq!(tpr_at_fpr(&scores, &labels, fpr).is_ok(), ranked && (0.0..=1.0).contains(&fpr));

        let judged = fine && scores.iter().all(|score| (0.0..=1.0).contains(score));
        prop_assert_eq!(log_loss(&scores, &labels).is_ok(), judged);
        prop_assert_eq!(
            expected_calibration_error(&scores, &labels, bins).is_ok(),
            judged && bins > 0
        );
        prop_assert_eq!(mean_by_group(&scores, &labels, &labels).is_ok(), fine);
        if let Ok(scaling) = PlattScaling::fit(&scores, &labels) {
            prop_assert!(scaling.slope.is_finite() && scaling.intercept.is_finite());
        }
        if let Ok(scaling) = TemperatureScaling::fit(&scores, &labels) {
            prop_assert!(scaling.temperature > 0.0);
        }
    }

    #[test]
    fn calibration_errors_stay_within_bounds((scores, labels) in tied_samples(), bins in 1_usize..40) {
        let probabilities: Vec<f64> = scores.iter().map(|score| (score + 20.0) / 40.0).collect();
        let diagram = reliability_bins(&probabilities, &labels, bins).unwrap();
        prop_assert_eq!(diagram.iter().map(|bin| bin.count).sum::<usize>(), labels.len());
        for bin in &diagram {
            prop_assert!(bin.lower - 1e-12 <= bin.mean_probability);
            prop_assert!(bin.mean_probability <= bin.upper + 1e-12);
        }
        let ece = expected_calibration_error(&probabilities, &labels, bins).unwrap();
        // No binning sees more than the distance of every sample from its label.
        let farthest = probabilities.iter().zip(&labels).map(|(p, &is_fake)| {
            (p - f64::from(u8::from(is_fake))).abs()
        });
        prop_assert!(ece <= farthest.sum::<f64>() / labels.len() as f64 + 1e-12);
    }

    /// Whatever the logits, the fit converges; and no other slope and intercept nearby does better.
    #[test]
    fn calibration_finds_the_lowest_loss((scores, labels) in tied_samples()) {
        prop_assume!(scores.iter().any(|&score| score != scores[0]));
        let fitted = PlattScaling::fit(&scores, &labels).unwrap();
        let loss = |scaling: PlattScaling| {
            let probabilities: Vec<f64> = scores.iter().map(|&s| scaling.probability(s)).collect();
            log_loss(&probabilities, &labels).unwrap()
        };
        // Moving the intercept costs nothing in penalty, so any move raises the loss.
        for step in [-0.1, 0.1] {
            let moved = PlattScaling { intercept: fitted.intercept + step, ..fitted };
            prop_assert!(loss(moved) >= loss(fitted) - 1e-9);
        }
    }

    #[test]
    fn an_interval_is_ordered_and_depends_on_the_seed_alone(
        (scores, labels) in tied_samples(),
        seed in any::<u64>(),
        group_count in 2_usize..12,
    ) {
        let groups: Vec<usize> = (0..scores.len()).map(|row| row % group_count).collect();
        let interval = |seed| bootstrap_interval(&scores, &labels, &groups, roc_auc, &config(60, seed));
        let first = interval(seed).unwrap();
        prop_assert!(0.0 <= first.low && first.low <= first.high && first.high <= 1.0);
        prop_assert_eq!(first, interval(seed).unwrap());
        // The names of the groups mean nothing.
        let named: Vec<String> = groups.iter().map(|group| format!("video {group}")).collect();
        let renamed = bootstrap_interval(&scores, &labels, &named, roc_auc, &config(60, seed)).unwrap();
        prop_assert_eq!(first, renamed);
    }
}

#[test]
fn another_seed_draws_other_resamples() {
    let (scores, labels) = overlapping(1, 100);
    let rows: Vec<usize> = (0..100).collect();
    let interval = |seed| bootstrap_interval(&scores, &labels, &rows, roc_auc, &config(200, seed)).unwrap();
    assert_ne!(interval(1), interval(2));
}

/// The definition of a 95% interval, tried on 300 sets whose AUC is known: the interval holds the truth
/// in about 95% of them (the percentile bootstrap is a little narrow), and nearly always the estimate.
#[test]
fn intervals_cover_the_truth_as_often_as_they_claim() {
    let rows: Vec<usize> = (0..120).collect();
    let (mut covers_truth, mut covers_estimate) = (0, 0);
    for seed in 0..300 {
        let (scores, labels) = overlapping(seed, 120);
        let interval = bootstrap_interval(&scores, &labels, &rows, roc_auc, &config(300, seed)).unwrap();
        let within = |value: f64| (interval.low..=interval.high).contains(&value);
        covers_truth += u32::from(within(0.755));
        covers_estimate += u32::from(within(roc_auc(&scores, &labels).unwrap()));
    }
    assert!((270..=295).contains(&covers_truth), "{covers_truth} of 300");
    assert_eq!(covers_estimate, 300);
}

/// Eight copies of each row carry no more information than the row. By group the interval is exactly that
/// of the rows; by row it claims to know more.
#[test]
fn copied_rows_narrow_intervals_by_row_but_not_by_group() {
    let (scores, labels) = overlapping(3, 80);
    let rows: Vec<usize> = (0..80).collect();
    let copied_scores: Vec<f64> = scores.iter().flat_map(|&score| [score; 8]).collect();
    let copied_labels: Vec<bool> = labels.iter().flat_map(|&label| [label; 8]).collect();
    let by_source: Vec<usize> = rows.iter().flat_map(|&row| [row; 8]).collect();
    let by_copy: Vec<usize> = (0..640).collect();

    let single = bootstrap_interval(&scores, &labels, &rows, roc_auc, &config(500, 9)).unwrap();
    let copied = |groups: &[usize]| {
        bootstrap_interval(&copied_scores, &copied_labels, groups, roc_auc, &config(500, 9)).unwrap()
    };
    let (grouped, fooled) = (copied(&by_source), copied(&by_copy));
    assert_eq!(grouped, single);
    let ratio = (grouped.high - grouped.low) / (fooled.high - fooled.low);
    assert!((2.2..3.6).contains(&ratio), "about the square root of 8 wider, but {ratio}");
}

#[test]
fn a_report_of_one_class_is_an_error() {
    for scale in [ScoreScale::Probability, ScoreScale::Logit, ScoreScale::Arbitrary] {
        let config = EvaluationConfig::default().scale(scale);
        let error = evaluate(&[0.1, 0.2], &[true, true], &[1, 2], &config).unwrap_err();
        assert_eq!(error, MetricsError::OneClass { n_real: 0, n_fake: 2 });
    }
}
