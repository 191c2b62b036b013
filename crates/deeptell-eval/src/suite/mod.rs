//! Suites: named sets of labeled crops that a detector is measured on together.

mod comparison;
mod faces;
mod page;
mod report;
mod scores;
mod shares;
mod spec;
mod text;
mod units;

pub use comparison::{SetComparison, SuiteComparison, compare_suites};
pub use faces::{FoundFace, FoundFaces};
pub use page::suite_page;
pub use report::{
    Coverage, GeneratorFigures, SetReport, SuiteReport, SuiteSummary, UnitLevel, WorstRow, report_suite,
};
pub use scores::{
    CropOutcome, CropScore, ScanOutcome, Scanning, ScoreOptions, ScoringTools, SetScores, SuiteScores,
    score_suite,
};
pub(crate) use scores::{Framing, score_listed};
pub(crate) use shares::verdict;
pub use shares::{AnswerShares, Share};
pub use spec::{Expected, Role, Suite, SuiteError, SuiteSet};
