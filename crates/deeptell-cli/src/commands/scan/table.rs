//! The verdicts as a table.

use std::path::Path;

use deeptell::{Report, printable};

/// One row per input: its report, or why there is none.
///
/// # Errors
/// If the table cannot be made.
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
        let path = text_cell(&path.display().to_string());
        match row {
            Ok(report) => {
                let or_empty = |value: Option<f64>| value.map_or_else(String::new, |v| v.to_string());
                let reasons: Vec<String> = report.reasons.iter().map(ToString::to_string).collect();
                table.write_record([
                    path,
                    report.verdict.as_str().to_owned(),
                    or_empty(report.score),
                    report.confirmed_people().count().to_string(),
                    report.observations.len().to_string(),
                    report.frames.len().to_string(),
                    or_empty(report.input.duration_seconds),
                    report.input.sha256.clone().unwrap_or_default(),
                    text_cell(&reasons.join(" ")),
                    String::new(),
                ])?;
            }
            Err(error) => {
                let empty = ["", "", "", "", "", "", "", ""].map(str::to_owned);
                let cells = [path].into_iter().chain(empty).chain([text_cell(error)]);
                table.write_record(cells)?;
            }
        }
    }
    Ok(table.into_inner().map_err(csv::IntoInnerError::into_error)?)
}

/// A text cell that is safe in spreadsheets and terminals: control and formatting characters are
/// [escaped](printable), and text that would start a formula, also after spaces, is prefixed with `'`.
fn text_cell(text: &str) -> String {
    let text = printable(text);
    let is_formula = text.trim_start().starts_with(['=', '+', '-', '@', '＝', '＋', '－', '＠', '%', '|']);
    if is_formula { format!("'{text}") } else { text.into_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn file_names_are_never_formulas() {
        for name in ["=cmd|calc!A0.mp4", "+1.mp4", "-1.mp4", "@sum.mp4", " =x.mp4", "＝x.mp4", "|x"] {
            assert_eq!(text_cell(name), format!("'{name}"));
        }
        assert_eq!(text_cell("\t=x.mp4"), r"\t=x.mp4");
        assert_eq!(text_cell("\r=x.mp4"), r"\r=x.mp4");
        for name in ["clips/a=b.mp4", "./-.mp4", "a-b.mp4", "'a.mp4"] {
            assert_eq!(text_cell(name), name);
        }
        let rows = [(Path::new("=x\ny.mp4"), Err("=broken"))].into_iter();
        let table = String::from_utf8(csv(rows).unwrap()).unwrap();
        assert_eq!(table.lines().nth(1), Some(r"'=x\ny.mp4,,,,,,,,,'=broken"));
    }
}
