//! All the usual figures of one set of scores.

use std::hash::Hash;

use serde::{Deserialize, Serialize};

use crate::groups::GroupIndex;
use crate::input::{ClassCounts, check_both_classes, check_column, check_probabilities};
use crate::ranking::Ranking;
use crate::{
    BootstrapConfig, MetricsError, bootstrap_intervals, brier_score, expected_calibration_error, log_loss,
    sigmoid,
};

/// What the scores given to [`evaluate`] are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ScoreScale {
    /// Probabilities of fake, in `[0, 1]`.
    #[default]
    Probability,
    /// Log odds of fake: ranked as they are, and converted to probabilities by [`sigmoid`].
    Logit,
    /// Any number that is higher for fakes: ranked only.
    Arbitrary,
}

/// Settings of [`evaluate`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct EvaluationConfig {
    /// What the scores are.
    pub scale: ScoreScale,
    /// Bins of the expected calibration error, at least 1.
    pub bins: usize,
    /// Bootstrap resamples, at least 1.
    pub resamples: usize,
    /// Seed of the bootstrap.
    pub seed: u64,
}

impl Default for EvaluationConfig {
    /// Probabilities, 15 bins (Guo et al., 2017), 2,000 resamples, seed 0.
    fn default() -> Self {
        let BootstrapConfig { resamples, seed, .. } = BootstrapConfig::default();
        Self { scale: ScoreScale::Probability, bins: 15, resamples, seed }
    }
}

impl EvaluationConfig {
    /// Sets [`scale`](field@Self::scale).
    #[must_use]
    pub fn scale(self, scale: ScoreScale) -> Self {
        Self { scale, ..self }
    }

    /// Sets [`bins`](field@Self::bins).
    #[must_use]
    pub fn bins(self, bins: usize) -> Self {
        Self { bins, ..self }
    }

    /// Sets [`resamples`](field@Self::resamples).
    #[must_use]
    pub fn resamples(self, resamples: usize) -> Self {
        Self { resamples, ..self }
    }

    /// Sets [`seed`](field@Self::seed).
    #[must_use]
    pub fn seed(self, seed: u64) -> Self {
        Self { seed, ..self }
    }
}

/// The result of [`evaluate`]. Each `_ci95` is the 95% bootstrap interval `[low, high]` by group, or `None`
/// if there is only one group to resample.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct BinaryReport {
    /// Number of real samples.
    pub n_real: usize,
    /// Number of fake samples.
    pub n_fake: usize,
    /// Number of groups that were resampled.
    pub n_groups: usize,
    /// Area under the ROC curve: [`roc_auc`](crate::roc_auc).
    pub auc: f64,
    /// Interval of `auc`.
    pub auc_ci95: Option<[f64; 2]>,
    /// Average precision: [`average_precision`](crate::average_precision).
    pub ap: f64,
    /// Interval of `ap`.
    pub ap_ci95: Option<[f64; 2]>,
    /// Equal error rate: [`equal_error_rate`](crate::equal_error_rate).
    pub eer: f64,
    /// Interval of `eer`.
    pub eer_ci95: Option<[f64; 2]>,
    /// True positive rate when at most 1% of the reals are flagged: [`tpr_at_fpr`](crate::tpr_at_fpr).
    pub tpr_at_fpr_1pct: f64,
    /// Interval of `tpr_at_fpr_1pct`.
    pub tpr_at_fpr_1pct_ci95: Option<[f64; 2]>,
    /// Expected calibration error, [`expected_calibration_error`]; `None` for [`ScoreScale::Arbitrary`].
    pub ece: Option<f64>,
    /// [`brier_score`]; `None` for [`ScoreScale::Arbitrary`].
    pub brier: Option<f64>,
    /// [`log_loss`] in nats; `None` for [`ScoreScale::Arbitrary`].
    pub log_loss: Option<f64>,
    /// Resamples that were drawn again because they lacked a class (see [`Interval`](crate::Interval)).
    pub bootstrap_redrawn: usize,
    /// The settings that made the report.
    pub config: EvaluationConfig,
}

/// A figure of a [`BinaryReport`], with the words that pages and tables have for it.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct Figure {
    /// In full, for example `Average precision`.
    pub name: &'static str,
    /// For the heading of a column, for example `AP`.
    pub heading: &'static str,
    /// The figure; `None` where the scores have none.
    pub value: Option<f64>,
    /// Its 95% interval, where there is one.
    pub ci95: Option<[f64; 2]>,
}

impl BinaryReport {
    /// The figures that a page shows, in its order; the first is the main one.
    pub fn figures(&self) -> Vec<Figure> {
        let figure = |name, heading, value, ci95| Figure { name, heading, value, ci95 };
        vec![
            figure("AUC-ROC", "AUC-ROC", Some(self.auc), self.auc_ci95),
            figure("Average precision", "AP", Some(self.ap), self.ap_ci95),
            figure("Equal error rate", "EER", Some(self.eer), self.eer_ci95),
            figure(
                "Fakes found at 1% false alarms",
                "Found at 1% false alarms",
                Some(self.tpr_at_fpr_1pct),
                self.tpr_at_fpr_1pct_ci95,
            ),
            figure("Calibration error (ECE)", "ECE", self.ece, None),
        ]
    }
}

/// Computes every figure of a [`BinaryReport`] from one score, label and group per sample.
///
/// `groups` says which samples are not independent of each other, usually by source identity or source
/// video; pass the row numbers if all are independent. To evaluate videos instead of frames, average first
/// with [`mean_by_group`](crate::mean_by_group).
///
/// ```
/// use deeptell_metrics::{EvaluationConfig, ScoreScale, evaluate};
///
/// let logits = [2.5, 1.0, -0.5, 0.5, -1.0, -3.0];
/// let labels = [true, true, true, false, false, false];
/// let sources = ["ann", "bob", "cyd", "ann", "bob", "cyd"];
/// let config = EvaluationConfig::default().scale(ScoreScale::Logit);
/// let report = evaluate(&logits, &labels, &sources, &config)?;
/// let [low, high] = report.auc_ci95.expect("three groups");
/// assert!(low <= report.auc && report.auc <= high);
/// # Ok::<(), deeptell_metrics::MetricsError>(())
/// ```
///
/// # Errors
///
/// Unequal lengths, no samples, a score that is not finite (or no probability, where
/// [`ScoreScale::Probability`] says so), only one class, or a setting out of its range.
pub fn evaluate<G: Hash + Eq>(
    scores: &[f64],
    labels: &[bool],
    groups: &[G],
    config: &EvaluationConfig,
) -> Result<BinaryReport, MetricsError> {
    let ClassCounts { n_real, n_fake } = check_both_classes(scores, labels)?;
    check_column(scores, "groups", groups.len())?;
    let n_groups = GroupIndex::new(groups).first_rows.len();

    let probabilities = match config.scale {
        ScoreScale::Probability => {
            check_probabilities(scores, labels)?;
            Some(scores.to_vec())
        }
        ScoreScale::Logit => Some(scores.iter().map(|&logit| sigmoid(logit)).collect()),
        ScoreScale::Arbitrary => None,
    };
    let calibration = probabilities
        .map(|probabilities| {
            Ok::<_, MetricsError>((
                expected_calibration_error(&probabilities, labels, config.bins)?,
                brier_score(&probabilities, labels)?,
                log_loss(&probabilities, labels)?,
            ))
        })
        .transpose()?;

    let [auc, ap, eer, tpr_at_fpr_1pct] = ranking_figures(scores, labels)?;
    let bootstrap = BootstrapConfig { resamples: config.resamples, confidence: 0.95, seed: config.seed };
    let intervals = match bootstrap_intervals(scores, labels, groups, ranking_figures, &bootstrap) {
        Ok(intervals) => Some(intervals),
        Err(MetricsError::TooFewGroups { .. }) => None,
        Err(error) => return Err(error),
    };
    let [auc_ci95, ap_ci95, eer_ci95, tpr_at_fpr_1pct_ci95] = match intervals {
        Some(intervals) => intervals.map(|interval| Some([interval.low, interval.high])),
        None => [None; 4],
    };

    Ok(BinaryReport {
        n_real,
        n_fake,
        n_groups,
        auc,
        auc_ci95,
        ap,
        ap_ci95,
        eer,
        eer_ci95,
        tpr_at_fpr_1pct,
        tpr_at_fpr_1pct_ci95,
        ece: calibration.map(|(ece, _, _)| ece),
        brier: calibration.map(|(_, brier, _)| brier),
        log_loss: calibration.map(|(_, _, log_loss)| log_loss),
        bootstrap_redrawn: intervals.map_or(0, |[interval, ..]| interval.redrawn),
        config: *config,
    })
}

/// AUC, average precision, equal error rate, and the true positive rate at 1% false positives.
fn ranking_figures(scores: &[f64], labels: &[bool]) -> Result<[f64; 4], MetricsError> {
    let ranking = Ranking::new(scores, labels)?;
    Ok([
        ranking.roc_auc(),
        ranking.average_precision(),
        ranking.equal_error_rate().rate,
        ranking.operating_point_at_fpr(0.01).true_positive_rate,
    ])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{average_precision, bootstrap_interval, equal_error_rate, roc_auc, tpr_at_fpr};

    const PROBABILITIES: [f64; 8] = [0.95, 0.8, 0.7, 0.3, 0.75, 0.4, 0.2, 0.05];
    const LABELS: [bool; 8] = [true, true, true, true, false, false, false, false];
    const GROUPS: [u8; 8] = [1, 2, 3, 4, 1, 2, 3, 4];

    #[test]
    fn report_has_the_values_of_the_public_metrics() {
        let config = EvaluationConfig { resamples: 300, seed: 5, ..Default::default() };
        let report = evaluate(&PROBABILITIES, &LABELS, &GROUPS, &config).unwrap();
        assert_eq!((report.n_real, report.n_fake, report.n_groups), (4, 4, 4));
        assert_eq!(report.auc, roc_auc(&PROBABILITIES, &LABELS).unwrap());
        assert_eq!(report.ap, average_precision(&PROBABILITIES, &LABELS).unwrap());
        assert_eq!(report.eer, equal_error_rate(&PROBABILITIES, &LABELS).unwrap().rate);
        assert_eq!(report.tpr_at_fpr_1pct, tpr_at_fpr(&PROBABILITIES, &LABELS, 0.01).unwrap());
        assert_eq!(report.brier, Some(brier_score(&PROBABILITIES, &LABELS).unwrap()));
        let bootstrap = BootstrapConfig { resamples: 300, seed: 5, confidence: 0.95 };
        let interval = bootstrap_interval(&PROBABILITIES, &LABELS, &GROUPS, roc_auc, &bootstrap).unwrap();
        assert_eq!(report.auc_ci95, Some([interval.low, interval.high]));
        assert_eq!(report.bootstrap_redrawn, interval.redrawn);
        let figures = report.figures();
        assert_eq!((figures[0].value, figures[0].ci95), (Some(report.auc), report.auc_ci95));
        assert_eq!((figures[4].heading, figures[4].value), ("ECE", report.ece));
    }

    #[test]
    fn logits_and_their_probabilities_agree() {
        let logits = PROBABILITIES.map(|p| (p / (1.0 - p)).ln());
        let config = EvaluationConfig { resamples: 50, ..Default::default() };
        let by_probability = evaluate(&PROBABILITIES, &LABELS, &GROUPS, &config).unwrap();
        let config = EvaluationConfig { scale: ScoreScale::Logit, ..config };
        let by_logit = evaluate(&logits, &LABELS, &GROUPS, &config).unwrap();
        assert_eq!(by_logit.auc_ci95, by_probability.auc_ci95);
        assert!((by_logit.ece.unwrap() - by_probability.ece.unwrap()).abs() < 1e-12);
        assert!((by_logit.log_loss.unwrap() - by_probability.log_loss.unwrap()).abs() < 1e-12);
    }

    #[test]
    fn arbitrary_scores_have_no_calibration_and_one_group_no_interval() {
        let config = EvaluationConfig { scale: ScoreScale::Arbitrary, ..Default::default() };
        let scores = PROBABILITIES.map(|p| 100.0 * p);
        let report = evaluate(&scores, &LABELS, &[0; 8], &config).unwrap();
        assert_eq!((report.ece, report.brier, report.log_loss), (None, None, None));
        assert_eq!((report.auc_ci95, report.n_groups), (None, 1));
        let refused = evaluate(&scores, &LABELS, &GROUPS, &EvaluationConfig::default());
        assert!(matches!(refused, Err(MetricsError::NotAProbability { index: 0, .. })));
    }

    #[test]
    fn report_round_trips_through_json() {
        let report = evaluate(&PROBABILITIES, &LABELS, &GROUPS, &EvaluationConfig::default()).unwrap();
        let json = serde_json::to_value(&report).unwrap();
        assert_eq!(json["n_real"], 4);
        assert_eq!(json["auc_ci95"].as_array().unwrap().len(), 2);
        assert_eq!(json["config"]["scale"], "probability");
        let back: BinaryReport = serde_json::from_str(&json.to_string()).unwrap();
        assert_eq!(back.config, report.config);
        assert!((back.auc - report.auc).abs() < 1e-12);
    }
}
