//! Agreement with scikit-learn, from `tests/data/goldens.json` as written by `scripts/make_goldens.py`.

use deeptell_metrics::{
    PlattScaling, TemperatureScaling, average_precision, brier_score, confusion, equal_error_rate,
    expected_calibration_error, log_loss, operating_point_at_fpr, roc_auc, roc_curve, tpr_at_fpr,
};
use serde::Deserialize;

#[derive(Deserialize)]
struct Goldens {
    rankings: Vec<Ranking>,
    calibrations: Vec<Calibration>,
}

#[derive(Deserialize)]
struct Ranking {
    name: String,
    scores: Vec<f64>,
    labels: Vec<bool>,
    roc_auc: f64,
    average_precision: f64,
    roc: Roc,
    equal_error_rate: f64,
    tpr_at_fpr: Vec<(f64, f64)>,
    confusion: Confusion,
    probability: Option<Probability>,
}

/// `thresholds` without the infinite first one, which JSON cannot say.
#[derive(Deserialize)]
struct Roc {
    fpr: Vec<f64>,
    tpr: Vec<f64>,
    thresholds: Vec<f64>,
}

/// `counts` are true positives, false positives, true negatives, false negatives.
#[derive(Deserialize)]
struct Confusion {
    threshold: f64,
    counts: [usize; 4],
    balanced_accuracy: f64,
}

#[derive(Deserialize)]
struct Probability {
    brier: f64,
    log_loss: f64,
    ece: Vec<(usize, f64)>,
}

#[derive(Deserialize)]
struct Calibration {
    name: String,
    logits: Vec<f64>,
    labels: Vec<bool>,
    slope: f64,
    intercept: f64,
    temperature: f64,
}

fn goldens() -> Goldens {
    let goldens: Goldens = serde_json::from_str(include_str!("../data/goldens.json")).unwrap();
    assert_eq!((goldens.rankings.len(), goldens.calibrations.len()), (20, 4));
    goldens
}

/// Within `tolerance`, relative for numbers above 1.
#[track_caller]
fn assert_close(ours: f64, theirs: f64, tolerance: f64, what: &str) {
    let error = (ours - theirs).abs() / theirs.abs().max(1.0);
    assert!(error <= tolerance, "{what}: {ours} and not {theirs} ({error:e})");
}

#[track_caller]
fn assert_all_close(ours: &[f64], theirs: &[f64], what: &str) {
    assert_eq!(ours.len(), theirs.len(), "{what}");
    for (index, (ours, theirs)) in ours.iter().zip(theirs).enumerate() {
        assert_close(*ours, *theirs, 1e-12, &format!("{what} {index}"));
    }
}

#[test]
fn ranking_metrics_match_scikit_learn() {
    for case in goldens().rankings {
        let Ranking { name, scores, labels, .. } = &case;
        assert_close(roc_auc(scores, labels).unwrap(), case.roc_auc, 1e-12, name);
        assert_close(average_precision(scores, labels).unwrap(), case.average_precision, 1e-12, name);
        assert_close(equal_error_rate(scores, labels).unwrap().rate, case.equal_error_rate, 1e-12, name);
        for &(fpr, tpr) in &case.tpr_at_fpr {
            assert_close(tpr_at_fpr(scores, labels, fpr).unwrap(), tpr, 1e-12, &format!("{name} at {fpr}"));
        }
    }
}

#[test]
fn roc_points_match_scikit_learn() {
    for case in goldens().rankings {
        let curve = roc_curve(&case.scores, &case.labels).unwrap();
        assert_all_close(&curve.false_positive_rate, &case.roc.fpr, &case.name);
        assert_all_close(&curve.true_positive_rate, &case.roc.tpr, &case.name);
        assert_eq!(curve.thresholds[0], f64::INFINITY);
        assert_all_close(&curve.thresholds[1..], &case.roc.thresholds, &case.name);
    }
}

#[test]
fn confusion_matches_scikit_learn() {
    for case in goldens().rankings {
        let ours = confusion(&case.scores, &case.labels, case.confusion.threshold).unwrap();
        let counts = [ours.true_positives, ours.false_positives, ours.true_negatives, ours.false_negatives];
        assert_eq!(counts, case.confusion.counts, "{}", case.name);
        let balanced = ours.balanced_accuracy().unwrap();
        assert_close(balanced, case.confusion.balanced_accuracy, 1e-12, &case.name);
    }
}

#[test]
fn operating_point_has_its_rates_at_its_threshold() {
    for case in goldens().rankings {
        for (fpr, _) in case.tpr_at_fpr {
            let point = operating_point_at_fpr(&case.scores, &case.labels, fpr).unwrap();
            let counts = confusion(&case.scores, &case.labels, point.threshold).unwrap();
            assert_eq!(counts.false_positive_rate(), Some(point.false_positive_rate), "{}", case.name);
            assert_eq!(counts.true_positive_rate(), Some(point.true_positive_rate), "{}", case.name);
            assert!(point.false_positive_rate <= fpr, "{}", case.name);
        }
    }
}

#[test]
fn probability_metrics_match_scikit_learn() {
    let mut compared = 0;
    for Ranking { name, scores, labels, probability, .. } in goldens().rankings {
        let Some(theirs) = probability else { continue };
        assert_close(brier_score(&scores, &labels).unwrap(), theirs.brier, 1e-12, &name);
        assert_close(log_loss(&scores, &labels).unwrap(), theirs.log_loss, 1e-12, &name);
        for (bins, ece) in theirs.ece {
            let ours = expected_calibration_error(&scores, &labels, bins).unwrap();
            assert_close(ours, ece, 1e-12, &format!("{name}, {bins} bins"));
        }
        compared += 1;
    }
    assert_eq!(compared, 14);
}

/// Two optimizers stop at two points; they differ by far less than calibration can tell.
#[test]
fn calibrations_match_scikit_learn() {
    for Calibration { name, logits, labels, slope, intercept, temperature } in goldens().calibrations {
        let platt = PlattScaling::fit(&logits, &labels).unwrap();
        assert_close(platt.slope, slope, 1e-8, &name);
        assert_close(platt.intercept, intercept, 1e-8, &name);
        let scaling = TemperatureScaling::fit(&logits, &labels).unwrap();
        assert_close(scaling.temperature, temperature, 1e-8, &name);
    }
}
