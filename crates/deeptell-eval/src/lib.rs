//! Evaluation, calibration and thresholds of face manipulation detectors.
//!
//! [`score_samples`] scores labeled face crops with a [`Model`](deeptell::Model), [`evaluate`] turns the scores into
//! figures with intervals at crop, person and video level, and [`page`] draws them as one HTML file. [`calibrate`] fits
//! the calibration and the thresholds of a model. [`Distortion`] reduces the quality of crops by a fixed amount, to
//! measure the effect. [`leave_one_out`] divides samples for measuring what training makes of material that it has not
//! seen, [`EndedRun`] makes a model file and a report of a training run, [`compare_runs`] puts runs side by side, and
//! [`inspect_dataset`] looks for leaks and shortcuts in a data set. [`fit_localization`] trains the layer that heat
//! maps come from.
//!
//! Nothing here prints. Long work reports to an [`Observer`], which can also stop it.
//!
//! ```
//! use deeptell::{Aggregation, Calibration, Criteria, CropLevel, Levels, PersonScoring, Thresholds};
//! use deeptell_data::{Label, Sample};
//! use deeptell_eval::{CropScore, evaluate};
//! use deeptell_metrics::EvaluationConfig;
//!
//! let samples: Vec<Sample> = (0..8)
//!     .map(|i| Sample::new(format!("{i}.png"), if i % 2 == 1 { Label::Fake } else { Label::Real }, format!("person {i}")))
//!     .collect();
//! let samples: Vec<&Sample> = samples.iter().collect();
//! let logits = [-2.0, 2.0, -1.0, 1.5, 0.5, 1.0, -2.0, -0.5];
//! let crops: Vec<CropScore> =
//!     samples.iter().zip(logits).map(|(sample, logit)| CropScore::scored(sample, logit, 0.4)).collect();
//! let thresholds = Thresholds { low: 0.3, high: 0.75 };
//! let person = Criteria::new(PersonScoring::Aggregate(Aggregation::Mean), thresholds);
//! let levels = Levels::new(CropLevel::new(Calibration::default(), thresholds), person);
//! let found = evaluate(&samples, &crops, &levels, &EvaluationConfig::default())?;
//! assert_eq!(found.crops.figures.auc, 15.0 / 16.0);
//! # Ok::<(), deeptell_eval::EvalError>(())
//! ```

mod calibration;
mod dataset;
mod distortion;
mod error;
mod evaluation;
mod json;
mod leave_one_out;
mod levels;
mod localization;
mod measurement;
mod observer;
mod person;
mod runs;
mod score_table;
mod scorer;
mod scores;
mod scoring;
mod suite;
mod training;

pub use calibration::{
    Calibrated, calibrate, calibrate_on_suite, face_detector_of, uncalibrated, validation_of,
};
pub use dataset::{CrossingReport, DatasetReport, Shortcut, SplitCounts, UnreadableFile, inspect_dataset};
pub use distortion::Distortion;
pub use error::EvalError;
pub use evaluation::page::{CHOSEN_HERE, NO_TEST, Subject, Training, page};
pub use evaluation::{
    AnswerRates, Breakdown, Evaluation, Level, Part, Rate, evaluate, face_width, probabilities,
};
pub use json::to_json;
pub use leave_one_out::{
    Fold, FoldFigures, FoldTraining, Folds, LeaveOneOutReport, LeaveOut, Skipped, leave_one_out,
};
pub use levels::{Domain, DomainFigures, FittedLevels, RiskBin, fit_levels};
pub use localization::{LocalizationFigures, LocalizationReport, fit_localization, measure_localization};
pub use measurement::{EvaluationDocument, Measurement};
pub use observer::{NoObserver, Observer};
pub use runs::{RunComparison, RunFigure, RunSummary, compare_runs};
pub use score_table::{ScoreTable, some_of};
pub use scorer::{Scorer, TableInfo};
pub use scores::{Comparison, ScoreComparison, ScoreRow, compare_scores, read_scores, write_scores};
pub use scoring::{find_largest_faces, readable, score_samples};
pub use suite::{
    AnswerShares, Coverage, CropOutcome, CropScore, Expected, FoundFace, FoundFaces, GeneratorFigures, Role,
    ScanOutcome, Scanning, ScoreOptions, ScoringTools, SetComparison, SetReport, SetScores, Share, Suite,
    SuiteComparison, SuiteError, SuiteReport, SuiteScores, SuiteSet, SuiteSummary, UnitLevel, WorstRow,
    compare_suites, report_suite, score_suite, suite_page,
};
pub use training::{EndedRun, FinishedRun, RUN_FILES, SplitAudit, best_epoch, start_from};

/// Compiles the example of the README.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
