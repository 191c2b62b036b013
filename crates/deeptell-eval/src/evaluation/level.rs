//! The figures of one list of scores: crops, people, or videos.

use std::collections::HashSet;

use deeptell::Thresholds;
use deeptell_metrics::{
    BinaryReport, BootstrapConfig, EvaluationConfig, MetricsError, ReliabilityBin, RocBand, RocCurve,
    ScoreHistogram, ThreeWay, bootstrap_intervals, evaluate, reliability_bins, roc_band, roc_curve,
    score_histogram, three_way,
};
use serde::Serialize;

/// Bars of the histogram of scores.
const BARS: usize = 20;
/// About as many points of the ROC curve are kept.
const CURVE_POINTS: usize = 200;

/// Figures, curves and answers of one level.
#[derive(Debug, Serialize)]
#[non_exhaustive]
pub struct Level {
    #[serde(flatten)]
    /// Ranking and calibration.
    pub figures: BinaryReport,
    /// What the thresholds of the model make of the scores.
    pub answers: AnswerRates,
    /// In bins of the width of those of `ece`.
    pub reliability: Vec<ReliabilityBin>,
    /// Scores by class.
    pub histogram: ScoreHistogram,
    /// Thinned: see [`RocCurve::thinned`].
    pub roc: RocCurve,
    /// The 95% interval of the curve, at each false positive rate by itself.
    pub roc_band_ci95: Option<RocBand>,
}

/// How often the model gives each answer at its thresholds.
#[derive(Debug, Serialize)]
#[non_exhaustive]
pub struct AnswerRates {
    /// Up to here: likely real.
    pub low: f64,
    /// From here on: likely fake.
    pub high: f64,
    #[serde(flatten)]
    /// Counts by class and answer.
    pub counts: ThreeWay,
    /// Share of the reals called likely fake.
    pub false_alarm_rate: Rate,
    /// Share of the fakes called likely fake.
    pub detection_rate: Rate,
    /// Share of the fakes called likely real.
    pub miss_rate: Rate,
    /// Share of the reals called likely real.
    pub clearing_rate: Rate,
}

/// A share of one class, with its 95% interval.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Rate {
    /// The part, in `0..=1`.
    pub value: f64,
    /// By resampling sources; absent with fewer than two.
    pub ci95: Option<[f64; 2]>,
}

impl Level {
    /// # Errors
    /// As [`evaluate`], and thresholds that leave no room.
    pub(crate) fn measured(
        scores: &[f64],
        labels: &[bool],
        sources: &[&str],
        thresholds: Thresholds,
        config: &EvaluationConfig,
    ) -> Result<Self, MetricsError> {
        let figures = evaluate(scores, labels, sources, config)?;
        let bootstrap = BootstrapConfig::default().resamples(config.resamples).seed(config.seed);
        let roc_band_ci95 = match roc_band(scores, labels, sources, &bootstrap) {
            Ok(band) => Some(band),
            Err(MetricsError::TooFewGroups { .. }) => None,
            Err(error) => return Err(error),
        };
        Ok(Self {
            answers: AnswerRates::measured(scores, labels, sources, thresholds, &bootstrap)?,
            reliability: reliability_bins(scores, labels, config.bins)?,
            histogram: score_histogram(scores, labels, BARS)?,
            roc: roc_curve(scores, labels)?.thinned(CURVE_POINTS),
            roc_band_ci95,
            figures,
        })
    }
}

impl AnswerRates {
    pub(crate) fn measured(
        scores: &[f64],
        labels: &[bool],
        sources: &[&str],
        thresholds: Thresholds,
        bootstrap: &BootstrapConfig,
    ) -> Result<Self, MetricsError> {
        let rates = |scores: &[f64], labels: &[bool]| {
            let ThreeWay { real, fake, .. } = three_way(scores, labels, thresholds.low, thresholds.high)?;
            let part = |count: usize, total: usize| count as f64 / total.max(1) as f64;
            Ok([
                part(real.likely_fake, real.total()),
                part(fake.likely_fake, fake.total()),
                part(fake.likely_real, fake.total()),
                part(real.likely_real, real.total()),
            ])
        };
        let values = rates(scores, labels)?;
        let intervals = match bootstrap_intervals(scores, labels, sources, rates, bootstrap) {
            Ok(intervals) => Some(intervals.map(|interval| [interval.low, interval.high])),
            Err(MetricsError::TooFewGroups { .. }) => None,
            Err(error) => return Err(error),
        };
        let of_class = |fake: bool| -> usize {
            let of_class = sources.iter().zip(labels).filter(|(_, is_fake)| **is_fake == fake);
            of_class.map(|(source, _)| source).collect::<HashSet<_>>().len()
        };
        let groups = [of_class(false), of_class(true)];
        let rate = |index: usize, class: usize| Rate {
            value: values[index],
            ci95: intervals.map(|intervals| widened(values[index], intervals[index], groups[class])),
        };
        Ok(Self {
            low: thresholds.low,
            high: thresholds.high,
            counts: three_way(scores, labels, thresholds.low, thresholds.high)?,
            false_alarm_rate: rate(0, 0),
            detection_rate: rate(1, 1),
            miss_rate: rate(2, 1),
            clearing_rate: rate(3, 0),
        })
    }
}

/// Replaces the bootstrap interval where none or all were counted, and it would have no width, by the exact limit for
/// as many independent samples as there are groups (Clopper and Pearson 1934).
fn widened(value: f64, ci95: [f64; 2], groups: usize) -> [f64; 2] {
    let unseen = 1.0 - 0.025_f64.powf(1.0 / groups.max(1) as f64);
    if value == 0.0 {
        [0.0, unseen]
    } else if value == 1.0 {
        [1.0 - unseen, 1.0]
    } else {
        ci95
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::evaluation::tests::{LEVELS, quick};

    #[test]
    fn answer_rates_match_hand_count() {
        let scores = [0.1, 0.2, 0.5, 0.8, 0.9, 0.75, 0.4, 0.2];
        let labels = [false, false, false, false, true, true, true, true];
        let sources = ["a", "b", "c", "d", "a", "b", "c", "d"];
        let level = Level::measured(&scores, &labels, &sources, LEVELS.crop.thresholds, &quick()).unwrap();
        let AnswerRates { false_alarm_rate, detection_rate, miss_rate, clearing_rate, .. } = level.answers;
        let values = [false_alarm_rate, detection_rate, miss_rate, clearing_rate].map(|rate| rate.value);
        assert_eq!(values, [0.25, 0.5, 0.25, 0.5]);
        for rate in [false_alarm_rate, detection_rate, miss_rate, clearing_rate] {
            let [low, high] = rate.ci95.unwrap();
            assert!(low < rate.value && rate.value < high, "{rate:?}");
        }
        assert_eq!(level.histogram.real.iter().chain(&level.histogram.fake).sum::<usize>(), 8);
        assert_eq!(level.roc_band_ci95.unwrap().low.len(), 101);
    }

    #[test]
    fn rates_of_0_and_1_have_exact_intervals() {
        let none = widened(0.0, [0.0, 0.0], 300);
        // The table of the exact limit: 0 of 300 is at most 1.22%.
        assert!((none[1] - 0.012_22).abs() < 1e-4, "{none:?}");
        assert!((widened(1.0, [1.0, 1.0], 1)[0] - 0.025).abs() < 1e-12);
        assert_eq!(widened(0.5, [0.4, 0.6], 10), [0.4, 0.6]);
    }
}
