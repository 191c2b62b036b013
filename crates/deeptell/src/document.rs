//! Many reports as one document.

use std::path::Path;

use serde::Serialize;

use crate::{Report, SCHEMA_VERSION};

/// Reports of several files, and why others have none: what `deeptell scan --json` writes.
#[derive(Debug, Clone, Serialize)]
#[non_exhaustive]
pub struct ScanDocument<'a> {
    /// Version of the report format.
    pub schema_version: u32,
    /// The reports.
    pub reports: Vec<&'a Report>,
    /// The files without one.
    pub failures: Vec<ScanFailure<'a>>,
}

/// A file that could not be scanned.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct ScanFailure<'a> {
    /// The file.
    #[serde(serialize_with = "deeptell_files::serialize_path")]
    pub path: &'a Path,
    /// Why.
    pub error: &'a str,
}

impl<'a> ScanDocument<'a> {
    /// A row per file, with its report or why there is none, as for [`verdict_table`](crate::verdict_table).
    pub fn new(rows: impl IntoIterator<Item = (&'a Path, Result<&'a Report, &'a str>)>) -> Self {
        let mut document = Self { schema_version: SCHEMA_VERSION, reports: Vec::new(), failures: Vec::new() };
        for (path, row) in rows {
            match row {
                Ok(report) => document.reports.push(report),
                Err(error) => document.failures.push(ScanFailure { path, error }),
            }
        }
        document
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_without_a_report_is_a_failure() {
        let document = ScanDocument::new([(Path::new("a.mp4"), Err("cannot be read"))]);
        let json = serde_json::to_string(&document).unwrap();
        assert_eq!(
            json,
            r#"{"schema_version":2,"reports":[],"failures":[{"path":"a.mp4","error":"cannot be read"}]}"#
        );
    }
}
