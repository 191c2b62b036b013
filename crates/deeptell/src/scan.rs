//! What a scan gives.

use crate::{Evidence, Report};

/// What a scan found: the report, and the pictures that go with it if they were asked for.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Scan {
    /// The verdict and its basis, as plain data.
    pub report: Report,
    /// Pictures for people; `None` unless [`ScanOptions::evidence`](crate::ScanOptions::evidence) is set.
    pub evidence: Option<Evidence>,
}
