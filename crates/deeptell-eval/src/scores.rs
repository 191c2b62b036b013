//! Tables of scores: what `eval --scores` writes and `compare` reads.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};

use deeptell::text::csv_cell;
use deeptell_data::{Label, Sample, open_table, parse_number};
use deeptell_metrics::{AucComparison, MetricsError, compare_auc, roc_auc};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};

use crate::EvalError;

/// A line of a table of scores; further columns are ignored.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ScoreRow {
    /// Path of the crop, as the manifest has it.
    pub path: String,
    /// Its label.
    pub label: Label,
    /// Its source.
    pub source: String,
    /// Calibrated probability that it is a fake, in `0..=1`. A table may have decimal commas.
    #[serde(deserialize_with = "number")]
    pub probability: f64,
}

/// A cell of a table as a number, with a decimal point or comma.
fn number<'de, D: Deserializer<'de>>(cell: D) -> Result<f64, D::Error> {
    let text = String::deserialize(cell)?;
    parse_number(&text).ok_or_else(|| D::Error::custom(format!("`{text}` is not a number")))
}

/// Two tables of scores of the same crops.
#[derive(Debug, Clone, Serialize)]
#[non_exhaustive]
pub struct ScoreComparison {
    /// The first table.
    #[serde(serialize_with = "deeptell_files::serialize_path")]
    pub first: PathBuf,
    /// The second table.
    #[serde(serialize_with = "deeptell_files::serialize_path")]
    pub second: PathBuf,
    /// Number of crops.
    pub crops: usize,
    /// Whether the second ranks better.
    #[serde(flatten)]
    pub comparison: Comparison,
}

/// The areas under the ROC curves of two tables, with an interval of their difference where there are sources enough.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(untagged)]
#[non_exhaustive]
pub enum Comparison {
    /// Each class has at least two sources.
    Interval(AucComparison),
    /// A class has fewer than two sources, so nothing can be said of the difference in others.
    Point {
        /// AUC-ROC of the first and of the second, in `0..=1`.
        auc: [f64; 2],
        /// The second less the first.
        difference: f64,
    },
}

/// The bytes of a table with the probability of each crop, as CSV, safe in spreadsheets and terminals as [`csv_cell`]
/// says.
///
/// # Errors
/// [`EvalError::WriteScores`] when memory runs out.
pub fn write_scores(samples: &[&Sample], probabilities: &[f64]) -> Result<Vec<u8>, EvalError> {
    let mut table = csv::Writer::from_writer(Vec::new());
    table
        .write_record(["path", "label", "source", "video", "probability"])
        .map_err(EvalError::WriteScores)?;
    for (sample, probability) in samples.iter().zip(probabilities) {
        let row = [
            csv_cell(&sample.path.display().to_string()),
            sample.label.to_string(),
            csv_cell(&sample.source),
            csv_cell(sample.video.as_deref().unwrap_or_default()),
            probability.to_string(),
        ];
        table.write_record(row).map_err(EvalError::WriteScores)?;
    }
    table.into_inner().map_err(|error| EvalError::WriteScores(error.into_error().into()))
}

/// Reads a table of scores as [`write_scores`] or a spreadsheet saves it: see [`open_table`]. A crop may be listed
/// once, and at least one must be.
///
/// # Errors
/// [`EvalError::Data`] when it cannot be read, [`EvalError::ScoreTable`] and [`EvalError::ScoreRow`].
pub fn read_scores(path: &Path) -> Result<Vec<ScoreRow>, EvalError> {
    let fault = |source| EvalError::ScoreTable { path: path.to_owned(), source };
    let table = open_table(path)?;
    let rows: Vec<ScoreRow> = table.into_deserialize().collect::<Result<_, _>>().map_err(fault)?;
    if rows.is_empty() {
        let reason = "there are no rows: write it again with --scores".to_owned();
        return Err(EvalError::ScoreRow { path: path.to_owned(), reason });
    }
    let mut seen = HashSet::new();
    for row in &rows {
        if !seen.insert(row.path.as_str()) {
            let reason = format!("there are two scores of {}", row.path);
            return Err(EvalError::ScoreRow { path: path.to_owned(), reason });
        }
    }
    Ok(rows)
}

/// Compares two tables of scores of the same crops, in any order.
///
/// # Errors
/// As [`read_scores`], [`EvalError::MissingScore`] and [`EvalError::Labels`] when the tables do not fit, and
/// [`EvalError::Metrics`] when a class is missing.
pub fn compare_scores(first_path: &Path, second_path: &Path) -> Result<ScoreComparison, EvalError> {
    let (first, second) = (read_scores(first_path)?, read_scores(second_path)?);
    let missing =
        |path: &Path, crop: &str| EvalError::MissingScore { path: path.to_owned(), crop: crop.to_owned() };
    let mut other: HashMap<&str, &ScoreRow> = second.iter().map(|row| (row.path.as_str(), row)).collect();
    let mut of_second = Vec::with_capacity(first.len());
    for row in &first {
        let twin = other.remove(row.path.as_str()).ok_or_else(|| missing(second_path, &row.path))?;
        if twin.label != row.label {
            return Err(EvalError::Labels { crop: row.path.clone(), first: row.label, second: twin.label });
        }
        of_second.push(twin.probability);
    }
    if let Some(crop) = other.keys().min() {
        return Err(missing(first_path, crop));
    }
    let of_first: Vec<f64> = first.iter().map(|row| row.probability).collect();
    let labels: Vec<bool> = first.iter().map(|row| row.label.is_fake()).collect();
    let sources: Vec<&str> = first.iter().map(|row| row.source.as_str()).collect();
    Ok(ScoreComparison {
        first: first_path.to_owned(),
        second: second_path.to_owned(),
        crops: first.len(),
        comparison: match compare_auc(&of_first, &of_second, &labels, &sources) {
            Ok(comparison) => Comparison::Interval(comparison),
            Err(MetricsError::TooFewGroups { .. }) => {
                let auc = [roc_auc(&of_first, &labels)?, roc_auc(&of_second, &labels)?];
                Comparison::Point { auc, difference: auc[1] - auc[0] }
            }
            Err(error) => return Err(error.into()),
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_cell_is_a_formula_or_has_control_characters() {
        let sample = Sample::new("=a.png", Label::Real, "@b\u{1b}").video(Some("+c".to_owned()));
        let table = String::from_utf8(write_scores(&[&sample], &[0.5]).unwrap()).unwrap();
        assert_eq!(table.lines().nth(1), Some("'=a.png,real,'@b\\u{1b},'+c,0.5"));
    }

    #[test]
    fn tables_of_spreadsheets_are_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("scores.csv");
        let text = "path;label;source;video;probability\n1.png;fake;a;v;0,75\n2.png;real;b;v;0.25\n";
        let utf16: Vec<u8> =
            [0xFEFF].into_iter().chain(text.encode_utf16()).flat_map(u16::to_le_bytes).collect();
        for bytes in [text.as_bytes(), &utf16] {
            std::fs::write(&path, bytes).unwrap();
            let rows = read_scores(&path).unwrap();
            assert_eq!(rows.iter().map(|row| row.probability).collect::<Vec<_>>(), [0.75, 0.25]);
        }
        std::fs::write(&path, text.replace("0,75", "much")).unwrap();
        assert!(matches!(read_scores(&path).unwrap_err(), EvalError::ScoreTable { .. }));
    }

    #[test]
    fn one_source_of_a_class_has_no_interval() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("scores.csv");
        std::fs::write(&path, "path;label;source;probability\n0;real;a;0,1\n1;fake;b;0,9\n2;real;c;0,4\n")
            .unwrap();
        let compared = compare_scores(&path, &path).unwrap();
        assert_eq!(compared.comparison, Comparison::Point { auc: [1.0; 2], difference: 0.0 });
    }

    #[test]
    fn tables_are_matched_by_path_and_unmatched_rows_are_named() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, rows: &str| {
            let path = folder.path().join(name);
            std::fs::write(&path, format!("path,label,source,video,probability\n{rows}")).unwrap();
            path
        };
        let first = write("a.csv", "1,fake,s,,0.9\n2,fake,t,,0.3\n3,real,u,,0.5\n4,real,v,,0.1\n");
        let second = write("b.csv", "4,real,v,,0.2\n3,real,u,,0.1\n2,fake,t,,0.8\n1,fake,s,,0.7\n");
        let compared = compare_scores(&first, &second).unwrap();
        let Comparison::Interval(comparison) = compared.comparison else { panic!("{compared:?}") };
        assert_eq!((comparison.auc, compared.crops), ([0.75, 1.0], 4));

        let refused = |rows: &str| compare_scores(&first, &write("c.csv", rows)).unwrap_err();
        assert!(refused("1,fake,s,,0.9\n").to_string().contains("no score of the crop 2"));
        assert!(refused("1,real,s,,0.9\n2,fake,t,,0.3\n").to_string().contains("1 is fake in one table"));
        assert!(matches!(refused("1,maybe,s,,0.9\n"), EvalError::ScoreTable { .. }));
        assert!(matches!(refused("1,fake,s,,x\n"), EvalError::ScoreTable { .. }));
        assert!(refused("1,fake,s,,0.9\n1,fake,s,,0.9\n").to_string().contains("two scores of 1"));
        assert!(refused("").to_string().contains("c.csv: there are no rows"));
        let more = std::fs::read_to_string(&second).unwrap().split_once('\n').unwrap().1.to_owned()
            + "5,real,v,,0.2\n";
        assert!(refused(&more).to_string().contains("no score of the crop 5"));
    }

    #[test]
    fn a_written_table_reads_back() {
        let samples = [Sample::new("a.png", Label::Real, "a"), Sample::new("b, c.png", Label::Fake, "b")];
        let samples: Vec<&Sample> = samples.iter().collect();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("scores.csv");
        std::fs::write(&path, write_scores(&samples, &[0.25, 0.75]).unwrap()).unwrap();
        let rows = read_scores(&path).unwrap();
        assert_eq!(
            (rows[1].path.as_str(), rows[1].label, rows[1].probability),
            ("b, c.png", Label::Fake, 0.75)
        );
    }
}
