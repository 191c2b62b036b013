//! What judges an uploaded file.

use std::ops::ControlFlow;
use std::path::Path;

use deeptell::{Detector, Error, Progress, Report, ScanOptions};

/// What judges an uploaded file: a [`Detector`], or something that stands in for one.
pub trait Analyse: Send + Sync {
    /// Judges `file`, which a stranger may have made, and calls `on_progress` before the first
    /// frame and after each; `Break` cancels.
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
