//! The verdicts as a table.

use std::path::Path;

use deeptell::Report;

/// One row an input: a report, or why there is none.
///
/// # Errors
/// When the table cannot be made.
pub(super) fn csv<'a>(
    rows: impl Iterator<Item = (&'a Path, Result<&'a Report, &'a str>)>,
) -> anyhow::Result<Vec<u8>> {
    let mut table = csv::Writer::from_writer(Vec::new());
    table.write_record([
        "path",
        "verdict",
        "score",
        "people",
        "faces",
        "frames",
        "duration_seconds",
        "sha256",
        "reasons",
        "error",
    ])?;
    for (path, row) in rows {
        let path = path.display().to_string();
        match row {
            Ok(report) => {
                let or_empty = |value: Option<f64>| value.map_or_else(String::new, |v| v.to_string());
                let reasons: Vec<&str> = report.reasons.iter().map(|reason| reason.text.as_str()).collect();
                table.write_record([
                    path,
                    report.verdict.as_str().to_owned(),
                    or_empty(report.score),
                    report.tracks.len().to_string(),
                    report.observations.len().to_string(),
                    report.frames.len().to_string(),
                    or_empty(report.input.duration_seconds),
                    report.input.sha256.clone().unwrap_or_default(),
                    reasons.join(" "),
                    String::new(),
                ])?;
            }
            Err(error) => {
                let empty = ["", "", "", "", "", "", "", ""].map(str::to_owned);
                let cells = [path].into_iter().chain(empty).chain([error.to_owned()]);
                table.write_record(cells)?;
            }
        }
    }
    Ok(table.into_inner().map_err(csv::IntoInnerError::into_error)?)
}
