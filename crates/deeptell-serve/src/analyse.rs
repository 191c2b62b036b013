//! The analysis of an uploaded file.

use std::ops::ControlFlow;
use std::path::Path;

use deeptell::{Detector, Error, Progress, Scan, ScanOptions};

/// Analyses uploaded files: a [`Detector`], or a replacement in tests.
///
/// A detector decodes them as its [`Decoding`](deeptell::Decoding) says: by default in a process of its own.
pub trait Analyse: Send + Sync {
    /// Analyses `file`, which must not be trusted. Calls `on_progress` before the first frame and
    /// after each; `Break` cancels the analysis.
    ///
    /// # Errors
    /// As [`Detector::scan_with`].
    fn analyse(
        &self,
        file: &Path,
        options: &ScanOptions,
        on_progress: &mut dyn FnMut(Progress) -> ControlFlow<()>,
    ) -> Result<Scan, Error>;
}

impl Analyse for Detector {
    fn analyse(
        &self,
        file: &Path,
        options: &ScanOptions,
        on_progress: &mut dyn FnMut(Progress) -> ControlFlow<()>,
    ) -> Result<Scan, Error> {
        self.scan_with(file, options, on_progress)
    }
}
