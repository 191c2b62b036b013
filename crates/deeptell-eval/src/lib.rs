//! Evaluation, calibration and thresholds of face manipulation detectors.
//!
//! [`per_crop`] scores labelled face crops with a [`Model`](deeptell::Model), [`evaluate`] turns the scores into
//! figures with intervals at crop, person and video level, and [`page`] draws them as one HTML file. [`calibrate`] fits
//! the calibration and the thresholds of a model. [`Distortion`] is a loss of quality at a fixed strength, to measure
//! what it costs.
//!
//! Nothing here prints: long work reports to a [`Watch`], which can also stop it.
//!
//! ```
//! use deeptell::{Aggregation, Criteria};
//! use deeptell_data::{Label, Sample};
//! use deeptell_eval::evaluate;
//! use deeptell_metrics::EvaluationConfig;
//!
//! let samples: Vec<Sample> = (0..8)
//!     .map(|i| Sample::new(format!("{i}.png"), if i % 2 == 1 { Label::Fake } else { Label::Real }, format!("person {i}")))
//!     .collect();
//! let samples: Vec<&Sample> = samples.iter().collect();
//! let probabilities = [0.1, 0.9, 0.2, 0.8, 0.6, 0.7, 0.1, 0.4];
//! let criteria = Criteria {
//!     low: 0.3, high: 0.75, aggregation: Aggregation::Mean, min_frames: 1, min_crop_width: 0.0, max_blur: 1.0,
//! };
//! let found = evaluate(&samples, &probabilities, &criteria, &EvaluationConfig::default())?;
//! assert_eq!(found.crops.figures.auc, 15.0 / 16.0);
//! # Ok::<(), deeptell_eval::EvalError>(())
//! ```

mod calibration;
mod distortion;
mod error;
mod evaluation;
mod scores;
mod scoring;
mod watch;

pub use calibration::{Calibrated, calibrate, uncalibrated};
pub use distortion::Distortion;
pub use error::EvalError;
pub use evaluation::page::{CHOSEN_HERE, NO_TEST, Subject, Training, page};
pub use evaluation::{AnswerRates, Breakdown, Evaluation, Level, Part, Rate, evaluate, face_width};
pub use scores::{ScoreComparison, ScoreRow, compare_scores, read_scores, write_scores};
pub use scoring::{labels, per_crop};
pub use watch::{NoWatch, Watch};
