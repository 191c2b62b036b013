//! Verdicts as a table.

use std::borrow::Cow;
use std::path::Path;

use crate::Report;
use crate::text::csv_cell;

const COLUMNS: &str = "path,verdict,score,people,faces,frames,duration_seconds,sha256,reasons,error";

/// Verdicts as CSV, with a header: a row per file, with its report or why there is none.
///
/// Cells are safe in spreadsheets and terminals: control and formatting characters are
/// [escaped](crate::text::printable), and text that would start a formula is prefixed with `'`.
pub fn verdict_table<'a>(rows: impl IntoIterator<Item = (&'a Path, Result<&'a Report, &'a str>)>) -> String {
    let mut table = format!("{COLUMNS}\n");
    for (path, row) in rows {
        let path = csv_cell(&path.display().to_string());
        let cells = match row {
            Ok(report) => {
                let or_empty = |value: Option<f64>| value.map_or_else(String::new, |v| v.to_string());
                let reasons: Vec<String> = report.reasons.iter().map(ToString::to_string).collect();
                [
                    path,
                    report.verdict.as_str().to_owned(),
                    or_empty(report.score),
                    report.confirmed_people().count().to_string(),
                    report.observations.len().to_string(),
                    report.frames.len().to_string(),
                    or_empty(report.input.duration_seconds),
                    report.input.sha256.clone().unwrap_or_default(),
                    csv_cell(&reasons.join(" ")),
                    String::new(),
                ]
            }
            Err(error) => {
                let mut cells = [const { String::new() }; 10];
                (cells[0], cells[9]) = (path, csv_cell(error));
                cells
            }
        };
        table.push_str(&cells.each_ref().map(|cell| quoted(cell)).join(","));
        table.push('\n');
    }
    table
}

/// A cell as RFC 4180 writes it.
fn quoted(cell: &str) -> Cow<'_, str> {
    if cell.contains([',', '"', '\r', '\n']) {
        Cow::Owned(format!("\"{}\"", cell.replace('"', "\"\"")))
    } else {
        Cow::Borrowed(cell)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formulas_and_line_breaks_in_names_are_escaped() {
        let rows = [(Path::new("=x\ny.mp4"), Err("=broken"))].into_iter();
        assert_eq!(verdict_table(rows), format!("{COLUMNS}\n{}\n", r"'=x\ny.mp4,,,,,,,,,'=broken"));
    }

    #[test]
    fn commas_and_quotes_are_quoted() {
        let rows = [(Path::new("a,b.mp4"), Err("it says \"no\""))];
        let row = "\"a,b.mp4\",,,,,,,,,\"it says \"\"no\"\"\"\n";
        assert_eq!(verdict_table(rows).split_once('\n').map(|(_, row)| row), Some(row));
    }
}
