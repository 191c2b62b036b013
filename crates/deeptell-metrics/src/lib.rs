//! Metrics of binary detectors, with confidence intervals.
//!
//! ROC curve and AUC, average precision, equal error rate, operating points, calibration, and bootstrap
//! intervals that resample whole groups, because many frames of one video are not many independent
//! samples. [`evaluate`] computes the usual figures and returns a [`BinaryReport`]; each figure also has
//! its own function.
//!
//! ```
//! use deeptell_metrics::{EvaluationConfig, evaluate};
//!
//! // Six frames of four videos: the probability that each is fake, what it is, where it is from.
//! let probabilities = [0.9, 0.8, 0.35, 0.1, 0.3, 0.6];
//! let is_fake = [true, true, true, false, false, false];
//! let videos = ["a", "a", "b", "c", "c", "d"];
//!
//! let report = evaluate(&probabilities, &is_fake, &videos, &EvaluationConfig::default())?;
//! assert_eq!((report.n_real, report.n_fake, report.n_groups), (3, 3, 4));
//! assert!((report.auc - 8.0 / 9.0).abs() < 1e-12);
//! # Ok::<(), deeptell_metrics::MetricsError>(())
//! ```
//!
//! # Conventions
//!
//! - A label is `true` for a fake. Fake is the positive class: a *true positive* is a fake that was
//!   flagged, a *false positive* is a real one that was flagged.
//! - A higher score means more likely fake. A sample is flagged when `score >= threshold`.
//! - Scores of the ranking metrics (ROC, AUC, average precision, EER, TPR at an FPR) may be any finite
//!   numbers, logits or probabilities. Probability metrics (Brier, log loss, ECE) need `[0, 1]`.
//! - Equal scores are one operating point: no result depends on the order of the rows.
//! - Invalid input (NaN, no samples, one class where two are needed) is a [`MetricsError`].
//! - Definitions, and so results, are those of scikit-learn where it has the metric.

mod bootstrap;
mod confusion;
mod error;
mod groups;
mod histogram;
mod input;
mod logistic;
mod operating_point;
mod paired;
mod precision_recall;
mod probability;
mod ranking;
mod reliability;
mod report;
mod roc;
mod roc_band;
mod scaling;
mod share;
mod shortcut;
mod three_way;

pub use bootstrap::{BootstrapConfig, Interval, bootstrap_interval, bootstrap_intervals};
pub use confusion::{Confusion, confusion};
pub use error::MetricsError;
pub use groups::{GroupMeans, mean_by_group};
pub use histogram::{ScoreHistogram, score_histogram};
pub use logistic::LogisticModel;
pub use operating_point::{
    EqualErrorRate, OperatingPoint, equal_error_rate, operating_point_at_fpr, tpr_at_fpr,
};
pub use paired::{AucComparison, compare_auc};
pub use precision_recall::average_precision;
pub use probability::{brier_score, log_loss, log_loss_of_logit};
pub use reliability::{ReliabilityBin, expected_calibration_error, reliability_bins};
pub use report::{BinaryReport, EvaluationConfig, Figure, ScoreScale, evaluate};
pub use roc::{RocCurve, roc_auc, roc_curve};
pub use roc_band::{RocBand, roc_band};
pub use scaling::{PlattScaling, TemperatureScaling, sigmoid};
pub use share::{NORMAL_975, wilson_interval};
pub use shortcut::shortcut_scores;
pub use three_way::{Answers, ThreeWay, three_way};

/// Compiles the example of the README.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
