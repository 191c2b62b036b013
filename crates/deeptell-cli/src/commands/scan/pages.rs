//! One HTML page per input.

use std::path::{Path, PathBuf};

use deeptell::html::{self, IndexEntry};
use deeptell::{Evidence, Report};

use crate::output;

/// Where the pages of a scan go.
pub(super) struct Pages<'a> {
    folder: &'a Path,
    /// One file name per input.
    names: Vec<String>,
}

impl<'a> Pages<'a> {
    /// Pages for `inputs` in `folder`. Their names depend on the inputs only, so the same scan writes the same files.
    pub(super) fn new(folder: &'a Path, inputs: &[PathBuf]) -> Self {
        Self { folder, names: html::page_names(inputs) }
    }

    /// Writes the page of input number `input`.
    ///
    /// # Errors
    /// If it cannot be written.
    pub(super) fn write(
        &self,
        input: usize,
        report: &Report,
        evidence: Option<&Evidence>,
    ) -> anyhow::Result<()> {
        let page = html::page(report, evidence);
        output::write_file(&self.folder.join(&self.names[input]), page.as_bytes())
    }

    /// Whether the page of input number `input` exists.
    pub(super) fn has(&self, input: usize) -> bool {
        self.folder.join(&self.names[input]).is_file()
    }

    /// The page to open first: the only one, or an index of all, which this writes.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(super) fn start(
        &self,
        inputs: &[PathBuf],
        results: &[Result<Report, String>],
    ) -> anyhow::Result<PathBuf> {
        if let ([Ok(_)], [name]) = (results, self.names.as_slice()) {
            return Ok(self.folder.join(name));
        }
        let shown: Vec<String> = inputs.iter().map(|path| path.display().to_string()).collect();
        let entries: Vec<IndexEntry<'_>> = results
            .iter()
            .enumerate()
            .map(|(input, result)| match result {
                Ok(report) => IndexEntry::Scanned { report, href: &self.names[input] },
                Err(error) => IndexEntry::Failed { name: &shown[input], error },
            })
            .collect();
        let index = self.folder.join("index.html");
        output::write_file(&index, html::index(&entries).as_bytes())?;
        Ok(index)
    }
}
