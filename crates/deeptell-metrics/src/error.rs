//! Errors of metrics.

/// Why a metric could not be computed.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum MetricsError {
    // The data: the caller passes other slices.
    /// There are no samples.
    #[error("there are no samples; pass at least one score")]
    Empty,
    /// The columns do not have one value per sample.
    #[error("there are {scores} scores but {actual} {column}; pass one for each score")]
    LengthMismatch {
        /// Number of scores.
        scores: usize,
        /// The column that does not fit: `labels` or `groups`.
        column: &'static str,
        /// Number of values in that column.
        actual: usize,
    },
    /// A score is NaN or infinite.
    #[error("score {index} is {value}; every score must be a finite number")]
    NotFinite {
        /// Position of the score.
        index: usize,
        /// The score.
        value: f64,
    },
    /// A score that has to be a probability is not one.
    #[error("score {index} is {value}, not a probability in [0, 1]; calibrate logits first")]
    NotAProbability {
        /// Position of the score.
        index: usize,
        /// The score.
        value: f64,
    },
    /// The metric compares real with fake, and one of them is missing.
    #[error("the metric needs both classes, but there are {n_real} real and {n_fake} fake samples")]
    OneClass {
        /// Number of real samples.
        n_real: usize,
        /// Number of fake samples.
        n_fake: usize,
    },
    /// A group whose mean is asked for holds real and fake samples.
    #[error(
        "samples {first} and {other} belong to one group but one is real and the other fake; \
         group them more finely, e.g. by video and not by source"
    )]
    MixedGroup {
        /// Position of the first sample of the group.
        first: usize,
        /// Position of the first sample of that group with the other label.
        other: usize,
    },
    /// Resampling groups needs groups to choose from.
    #[error("an interval needs at least 2 groups to resample, but there is {groups}")]
    TooFewGroups {
        /// Number of distinct groups.
        groups: usize,
    },

    // The settings: the caller passes another value.
    /// A setting is out of its range.
    #[error("{name} is {value}, but must be {expected}")]
    InvalidSetting {
        /// The name of the setting.
        name: &'static str,
        /// Its value.
        value: f64,
        /// What is allowed, in words.
        expected: &'static str,
    },

    // The numbers: there is no useful answer.
    /// The metric given to the bootstrap returned NaN or an infinity for a resample.
    #[error("the metric returned {value} for a resample; it must return a finite number or an error")]
    NotFiniteMetric {
        /// What it returned.
        value: f64,
    },
    /// All logits are equal, so no slope can be fitted.
    #[error("all {count} logits are {value}; calibration needs logits that differ")]
    ConstantLogits {
        /// Number of logits.
        count: usize,
        /// The value they share.
        value: f64,
    },
    /// The logits do not rise from real to fake, so no positive temperature fits them.
    #[error("the best slope of the logits is {slope}; a temperature needs logits that rise towards fake")]
    NoTemperature {
        /// The slope that fits best, zero or below.
        slope: f64,
    },
    /// The optimizer of the calibration gave up.
    #[error("calibration did not converge: {reason}; check the logits for extreme values")]
    NotConverged {
        /// What the optimizer said.
        reason: String,
    },
}
