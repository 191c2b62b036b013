//! Suites: named sets of labelled crops that a detector is measured on together.

mod faces;
mod page;
mod report;
mod scores;
mod spec;
mod text;

pub use faces::{FoundFace, FoundFaces};
pub use page::suite_page;
pub(crate) use report::verdict;
pub use report::{
    AnswerShares, Coverage, GeneratorFigures, SetComparison, SetReport, Share, SuiteComparison, SuiteReport,
    SuiteSummary, UnitLevel, WorstRow, compare_suites, report_suite,
};
pub use scores::{
    CropOutcome, CropScore, Instruments, ScanOutcome, Scanning, Scoring, SetScores, SuiteScores, score_suite,
};
pub(crate) use scores::{Framing, chain, score_listed};
pub use spec::{Expected, Role, Suite, SuiteError, SuiteSet};
