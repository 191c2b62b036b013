//! Bootstrap intervals of metrics.

use std::hash::Hash;

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use crate::MetricsError;
use crate::groups::GroupIndex;
use crate::input::{check_column, check_scores};

/// How to draw the resamples and what to take from them.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct BootstrapConfig {
    /// How many resamples to evaluate, at least 1. The ends of a 95% interval need a thousand or more.
    pub resamples: usize,
    /// The share of the resamples that the interval covers, in `(0, 1)`.
    pub confidence: f64,
    /// Seed of the `ChaCha8` generator. The same seed and rows give the same interval on every machine.
    pub seed: u64,
}

impl Default for BootstrapConfig {
    /// 2,000 resamples, 95%, seed 0.
    fn default() -> Self {
        Self { resamples: 2000, confidence: 0.95, seed: 0 }
    }
}

/// A percentile interval.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Interval {
    /// The lower end, in the unit of the metric.
    pub low: f64,
    /// The upper end, in the unit of the metric.
    pub high: f64,
    /// Number of resamples that the interval is made of.
    pub resamples: usize,
    /// Number of further draws that were thrown away because they lacked a class. When this is not
    /// small against `resamples`, a class has so few groups that the interval should not be trusted.
    pub redrawn: usize,
}

/// The percentile bootstrap interval of one metric, resampling whole groups.
///
/// Each resample draws as many groups as there are, with replacement, and takes all rows of each (Efron
/// & Tibshirani, "An introduction to the bootstrap", 1993, section 13.3 and, for clusters, Field & Welsh,
/// "Bootstrapping clustered data", JRSS B 69, 2007). Rows of one video or source are alike; drawing
/// them one by one would claim a certainty that the data does not give. Pass the row numbers as groups
/// where rows are independent.
///
/// A resample that lacks a class which the data has is drawn again and counted in
/// [`Interval::redrawn`]. At most half of all draws are, whatever the groups. The ends are
/// quantiles with linear interpolation (numpy's default). A metric that has the same value in every
/// resample, such as the AUC of a perfect separation, gets an interval of width 0.
///
/// `metric` gets the rows of a resample sorted by falling score, which makes a metric that sorts fast.
///
/// ```
/// use deeptell_metrics::{BootstrapConfig, bootstrap_interval, roc_auc};
///
/// let scores = [0.9, 0.8, 0.3, 0.6, 0.4, 0.2, 0.1, 0.5];
/// let labels = [true, true, true, true, false, false, false, false];
/// let videos = [1, 1, 2, 2, 3, 3, 4, 4];
/// let interval = bootstrap_interval(&scores, &labels, &videos, roc_auc, &BootstrapConfig::default())?;
/// assert!(interval.low < 0.875 && 0.875 < interval.high);
/// # Ok::<(), deeptell_metrics::MetricsError>(())
/// ```
///
/// # Errors
///
/// Unequal lengths, no samples, a score that is not finite, fewer than two groups, a setting out of its
/// range, a metric that returns a value that is not finite, or the error of the metric itself.
pub fn bootstrap_interval<G: Hash + Eq>(
    scores: &[f64],
    labels: &[bool],
    groups: &[G],
    metric: impl Fn(&[f64], &[bool]) -> Result<f64, MetricsError>,
    config: &BootstrapConfig,
) -> Result<Interval, MetricsError> {
    let metrics = |scores: &[f64], labels: &[bool]| metric(scores, labels).map(|value| [value]);
    let [interval] = bootstrap_intervals(scores, labels, groups, metrics, config)?;
    Ok(interval)
}

/// The intervals of several metrics from the same resamples: as [`bootstrap_interval`], drawn and sorted
/// once.
///
/// # Errors
///
/// Those of [`bootstrap_interval`].
pub fn bootstrap_intervals<G: Hash + Eq, const N: usize>(
    scores: &[f64],
    labels: &[bool],
    groups: &[G],
    metrics: impl Fn(&[f64], &[bool]) -> Result<[f64; N], MetricsError>,
    config: &BootstrapConfig,
) -> Result<[Interval; N], MetricsError> {
    config.check()?;
    let mut resampler = Resampler::new(scores, labels, groups, config.seed)?;

    let mut values: [Vec<f64>; N] = std::array::from_fn(|_| Vec::with_capacity(config.resamples));
    for _ in 0..config.resamples {
        let (scores, labels) = resampler.draw();
        for (column, value) in values.iter_mut().zip(metrics(scores, labels)?) {
            if !value.is_finite() {
                return Err(MetricsError::NotFiniteMetric { value });
            }
            column.push(value);
        }
    }

    let tail = (1.0 - config.confidence) / 2.0;
    Ok(values.map(|mut column| {
        column.sort_unstable_by(f64::total_cmp);
        Interval {
            low: quantile(&column, tail),
            high: quantile(&column, 1.0 - tail),
            resamples: config.resamples,
            redrawn: resampler.redrawn,
        }
    }))
}

impl BootstrapConfig {
    /// Sets [`resamples`](field@Self::resamples).
    #[must_use]
    pub fn resamples(self, resamples: usize) -> Self {
        Self { resamples, ..self }
    }

    /// Sets [`confidence`](field@Self::confidence).
    #[must_use]
    pub fn confidence(self, confidence: f64) -> Self {
        Self { confidence, ..self }
    }

    /// Sets [`seed`](field@Self::seed).
    #[must_use]
    pub fn seed(self, seed: u64) -> Self {
        Self { seed, ..self }
    }

    fn check(&self) -> Result<(), MetricsError> {
        if self.resamples == 0 {
            let expected = "at least 1";
            return Err(MetricsError::InvalidSetting { name: "resamples", value: 0.0, expected });
        }
        if !(self.confidence > 0.0 && self.confidence < 1.0) {
            let expected = "between 0 and 1, e.g. 0.95";
            return Err(MetricsError::InvalidSetting {
                name: "confidence",
                value: self.confidence,
                expected,
            });
        }
        Ok(())
    }
}

/// The rows by falling score, and the buffers of one resample of them.
struct Resampler {
    rows: Vec<Row>,
    has_real: bool,
    has_fake: bool,
    /// How often each group is in the current draw.
    multiplicity: Vec<usize>,
    scores: Vec<f64>,
    labels: Vec<bool>,
    redrawn: usize,
    rng: ChaCha8Rng,
}

struct Row {
    score: f64,
    is_fake: bool,
    group: usize,
}

impl Resampler {
    fn new<G: Hash + Eq>(
        scores: &[f64],
        labels: &[bool],
        groups: &[G],
        seed: u64,
    ) -> Result<Self, MetricsError> {
        let classes = check_scores(scores, labels)?;
        check_column(scores, "groups", groups.len())?;
        let index = GroupIndex::new(groups);
        let group_count = index.first_rows.len();
        if group_count < 2 {
            return Err(MetricsError::TooFewGroups { groups: group_count });
        }
        let mut rows: Vec<Row> = scores
            .iter()
            .zip(labels)
            .zip(index.group_of_row)
            .map(|((&score, &is_fake), group)| Row { score, is_fake, group })
            .collect();
        rows.sort_by(|a, b| b.score.total_cmp(&a.score));
        Ok(Self {
            has_real: classes.n_real > 0,
            has_fake: classes.n_fake > 0,
            multiplicity: vec![0; group_count],
            scores: Vec::with_capacity(rows.len()),
            labels: Vec::with_capacity(rows.len()),
            rows,
            redrawn: 0,
            rng: ChaCha8Rng::seed_from_u64(seed),
        })
    }

    /// Draws until every class of the data is there.
    ///
    /// A draw fails at most half of the time: in the worst case one group holds all of a class, which
    /// (1 - 1/n)^n of the draws miss, and for two groups the same holds of the other class.
    fn draw(&mut self) -> (&[f64], &[bool]) {
        loop {
            self.draw_once();
            let complete = (!self.has_fake || self.labels.contains(&true))
                && (!self.has_real || self.labels.contains(&false));
            if complete {
                return (&self.scores, &self.labels);
            }
            self.redrawn += 1;
        }
    }

    fn draw_once(&mut self) {
        let group_count = self.multiplicity.len();
        self.multiplicity.fill(0);
        for _ in 0..group_count {
            self.multiplicity[self.rng.random_range(0..group_count)] += 1;
        }
        self.scores.clear();
        self.labels.clear();
        for row in &self.rows {
            for _ in 0..self.multiplicity[row.group] {
                self.scores.push(row.score);
                self.labels.push(row.is_fake);
            }
        }
    }
}

/// The quantile `part`, in `[0, 1]`, of sorted values: linear between the two nearest (type 7 of Hyndman
/// & Fan, "Sample quantiles in statistical packages", The American Statistician 50, 1996).
fn quantile(sorted: &[f64], part: f64) -> f64 {
    let position = part * (sorted.len() - 1) as f64;
    let below = sorted[position.floor() as usize];
    let above = sorted[position.ceil() as usize];
    below + (above - below) * position.fract()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{brier_score, roc_auc};

    #[test]
    fn quantiles_match_hand_computed_values() {
        let sorted = [1.0, 2.0, 4.0, 8.0];
        assert_eq!(quantile(&sorted, 0.0), 1.0);
        assert_eq!(quantile(&sorted, 1.0), 8.0);
        assert_eq!(quantile(&sorted, 0.5), 3.0);
        assert_eq!(quantile(&sorted, 0.75), 5.0);
        assert_eq!(quantile(&[3.0], 0.975), 3.0);
    }

    #[test]
    fn a_resample_holds_whole_groups_and_both_classes() {
        let scores = [0.1, 0.2, 0.3, 0.4, 0.5];
        let labels = [true, false, false, false, false];
        let groups = ["a", "b", "b", "c", "c"];
        let mut resampler = Resampler::new(&scores, &labels, &groups, 1).unwrap();
        for _ in 0..200 {
            let (drawn, _) = resampler.draw();
            let count = |score: f64| drawn.iter().filter(|&&s| s == score).count();
            assert!(count(0.1) >= 1);
            assert_eq!(count(0.2), count(0.3));
            assert_eq!(count(0.4), count(0.5));
            assert_eq!(count(0.1) + count(0.2) + count(0.4), 3);
            assert!(drawn.is_sorted_by(|a, b| a >= b));
        }
        // The only fake is missed by (2/3)^3 of the draws, and (1/3)^3 hold nothing else: one in three.
        assert!((60..150).contains(&resampler.redrawn), "{}", resampler.redrawn);
    }

    #[test]
    fn one_class_has_an_interval_where_its_metric_has_a_value() {
        let scores = [0.1, 0.2, 0.3];
        let labels = [false; 3];
        let config = BootstrapConfig::default();
        let interval = bootstrap_interval(&scores, &labels, &[1, 2, 3], brier_score, &config).unwrap();
        assert!(interval.low < interval.high && interval.redrawn == 0);
        let error = bootstrap_interval(&scores, &labels, &[1, 2, 3], roc_auc, &config).unwrap_err();
        assert_eq!(error, MetricsError::OneClass { n_real: 3, n_fake: 0 });
    }

    #[test]
    fn invalid_bootstrap_settings_are_named() {
        let interval = |groups: &[u8], config: BootstrapConfig| {
            bootstrap_interval(&[0.1, 0.2], &[false, true], groups, roc_auc, &config).unwrap_err()
        };
        let good = BootstrapConfig::default();
        assert_eq!(interval(&[1, 1], good), MetricsError::TooFewGroups { groups: 1 });
        assert!(matches!(interval(&[1], good), MetricsError::LengthMismatch { column: "groups", .. }));
        let none = BootstrapConfig { resamples: 0, ..good };
        assert!(matches!(interval(&[1, 2], none), MetricsError::InvalidSetting { name: "resamples", .. }));
        for confidence in [0.0, 1.0, 95.0, f64::NAN] {
            let error = interval(&[1, 2], BootstrapConfig { confidence, ..good });
            assert!(matches!(error, MetricsError::InvalidSetting { name: "confidence", .. }));
        }
        let infinite = |_: &[f64], _: &[bool]| Ok(f64::INFINITY);
        let error = bootstrap_interval(&[0.1, 0.2], &[false, true], &[1, 2], infinite, &good);
        assert_eq!(error, Err(MetricsError::NotFiniteMetric { value: f64::INFINITY }));
    }
}
