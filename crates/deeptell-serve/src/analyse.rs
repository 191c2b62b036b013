//! The analysis of an uploaded file.

use std::ops::ControlFlow;
use std::path::Path;

use deeptell::{Detector, Error, Progress, Report, ScanOptions};

/// Analyses uploaded files: a [`Detector`], or a replacement in tests.
pub trait Analyse: Send + Sync {
    /// Analyses `file`, which must not be trusted. Calls `on_progress` before the first frame and
    /// after each; `Break` cancels the analysis.
    ///
    /// # Errors
    /// As [`Detector::scan_file_with`].
    fn analyse(
        &self,
        file: &Path,
        options: &ScanOptions,
        on_progress: &mut dyn FnMut(Progress) -> ControlFlow<()>,
    ) -> Result<Report, Error>;
}

impl Analyse for Detector {
    fn analyse(
        &self,
        file: &Path,
        options: &ScanOptions,
        on_progress: &mut dyn FnMut(Progress) -> ControlFlow<()>,
    ) -> Result<Report, Error> {
        self.scan_file_with(file, options, on_progress)
    }
}
