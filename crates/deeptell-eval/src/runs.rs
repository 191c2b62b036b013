//! Comparison of training runs.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{self, Write as _};
use std::path::{Path, PathBuf};

use deeptell_files::{read_bounded, read_text_bounded};
use deeptell_metrics::AucComparison;
use deeptell_train::{EpochRecord, TrainConfig, read_history};
use serde::Serialize;
use serde_json::Value;

use crate::{Comparison, EvalError, compare_scores};

type BoxedError = Box<dyn std::error::Error + Send + Sync>;

/// What is wrong with a folder that is not one of a run.
/// The largest `config.toml` of a run.
const MAX_CONFIG_BYTES: u64 = 1 << 20;
/// The largest document of a run.
const MAX_DOCUMENT_BYTES: u64 = 1 << 28;

const NO_EPOCH: &str = "is not a run folder with a finished epoch";

/// Figures of `metrics.json`, by their names there and in the table.
const FIGURES: [(&str, &str); 5] =
    [("auc", "AUC"), ("ap", "AP"), ("eer", "EER"), ("tpr_at_fpr_1pct", "TPR at 1% FPR"), ("ece", "ECE")];

/// What the folder of a training run contains.
#[derive(Debug, Serialize)]
#[non_exhaustive]
pub struct RunSummary {
    /// The folder.
    #[serde(serialize_with = "deeptell_files::serialize_path")]
    pub run: PathBuf,
    /// Whether it finished and wrote a detector.
    pub finished: bool,
    /// Git revision of the program.
    pub revision: Option<String>,
    /// Result of the audit of the splits.
    pub audit: Option<String>,
    /// Finished epochs.
    pub epochs: usize,
    /// The best of them, counted from 1.
    pub best_epoch: usize,
    /// AUC-ROC of the best epoch during training, before calibration; without an interval.
    pub best_validation_auc: f64,
    /// Wall time of all epochs.
    pub minutes: f64,
    /// Figures of the finished detector on the validation split, by name.
    pub validation: BTreeMap<&'static str, RunFigure>,
    /// Against the first run, where both scored the same validation crops.
    pub against_first: Option<AucComparison>,
    /// Every setting, nested names joined by dots.
    #[serde(skip)]
    settings: BTreeMap<String, String>,
}

/// A figure of a run.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[non_exhaustive]
pub struct RunFigure {
    /// Its value.
    pub value: f64,
    /// Its 95% interval, by source.
    pub ci95: Option<[f64; 2]>,
}

/// Training runs side by side. `Display` gives a table with one column per run.
#[derive(Debug, Serialize)]
#[non_exhaustive]
pub struct RunComparison {
    /// The runs, in the given order.
    pub runs: Vec<RunSummary>,
    /// Settings that are not the same in all runs: name, then one value per run.
    pub settings_that_differ: BTreeMap<String, Vec<String>>,
}

/// Compares the runs in these folders; the first is the one that others are tested against.
///
/// # Errors
/// [`EvalError::Run`] for a folder without a finished epoch or with a file that cannot be read.
pub fn compare_runs(folders: &[PathBuf]) -> Result<RunComparison, EvalError> {
    RunComparison::read(folders)
}

impl RunComparison {
    fn read(folders: &[PathBuf]) -> Result<Self, EvalError> {
        let mut runs =
            folders.iter().map(|folder| RunSummary::read(folder)).collect::<Result<Vec<_>, _>>()?;
        let scores: Vec<PathBuf> = folders.iter().map(|folder| folder.join("validation.csv")).collect();
        for (run, table) in runs.iter_mut().zip(&scores).skip(1) {
            // Runs with other validation crops are not an error; they are only not compared.
            let compared = table.is_file() && scores[0].is_file();
            run.against_first =
                compared.then(|| compare_scores(&scores[0], table).ok()).flatten().and_then(|d| {
                    match d.comparison {
                        Comparison::Interval(comparison) => Some(comparison),
                        Comparison::Point { .. } => None,
                    }
                });
        }
        let names: BTreeSet<&String> = runs.iter().flat_map(|run| run.settings.keys()).collect();
        let settings_that_differ = names
            .into_iter()
            .map(|name| {
                let absent = || "(absent)".to_owned();
                let values: Vec<String> =
                    runs.iter().map(|run| run.settings.get(name).cloned().unwrap_or_else(absent)).collect();
                (name.clone(), values)
            })
            .filter(|(_, values)| values.iter().any(|value| *value != values[0]))
            .collect();
        Ok(Self { runs, settings_that_differ })
    }

    fn to_text(&self) -> String {
        let mut rows: Vec<Vec<String>> = Vec::new();
        let mut row = |name: &str, value: &dyn Fn(&RunSummary) -> String| {
            rows.push([name.to_owned()].into_iter().chain(self.runs.iter().map(value)).collect());
        };
        row("run", &|run| run.run.display().to_string());
        row("state", &|run| if run.finished { "finished" } else { "not finished" }.to_owned());
        row("best epoch", &|run| format!("{} of {}", run.best_epoch, run.epochs));
        row("minutes", &|run| format!("{:.1}", run.minutes));
        for (key, name) in FIGURES {
            row(name, &|run| match (run.validation.get(key), key) {
                (Some(figure), _) => figure.to_text(),
                (None, "auc") => format!("{:.4}", run.best_validation_auc),
                (None, _) => String::new(),
            });
        }
        row("AUC - first run", &|run| {
            run.against_first.map_or_else(String::new, |compared| {
                let [low, high] = compared.ci95;
                format!("{:+.4} [{low:+.4}, {high:+.4}], p {:.3}", compared.difference, compared.p_value)
            })
        });
        row("revision", &|run| {
            let revision = run.revision.as_deref().unwrap_or_default();
            let dirty = if revision.ends_with('+') { "+" } else { "" };
            format!("{}{dirty}", revision.chars().take(10).collect::<String>())
        });
        row("audit", &|run| run.audit.clone().unwrap_or_default());
        rows.retain(|row| row[1..].iter().any(|value| !value.is_empty()));
        for (name, values) in &self.settings_that_differ {
            rows.push([name].into_iter().chain(values).cloned().collect());
        }

        let columns = self.runs.len() + 1;
        let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
        let widths: Vec<usize> = (0..columns).map(width).collect();
        rows.iter().fold(String::new(), |mut text, row| {
            let mut line = String::new();
            for (value, width) in row.iter().zip(&widths) {
                let _ = write!(line, "{value:width$}  ");
            }
            let _ = writeln!(text, "{}", line.trim_end());
            text
        })
    }
}

impl fmt::Display for RunComparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_text())
    }
}

impl RunSummary {
    fn read(folder: &Path) -> Result<Self, EvalError> {
        let fault = |path: &Path, what: &'static str, source: BoxedError| EvalError::Run {
            path: path.to_owned(),
            what,
            source,
        };
        let history = read_history(&folder.join("history.jsonl"))
            .map_err(|error| fault(folder, NO_EPOCH, error.into()))?;
        // The first of the best, as training chooses.
        let better = |best: Option<&'_ EpochRecord>, record: &EpochRecord| {
            best.is_none_or(|best| record.validation_auc > best.validation_auc)
        };
        let mut best: Option<&EpochRecord> = None;
        for record in &history {
            if better(best, record) {
                best = Some(record);
            }
        }
        let best = best.ok_or_else(|| fault(folder, NO_EPOCH, "its history is empty".into()))?;
        let path = folder.join("config.toml");
        let text = read_text_bounded(&path, MAX_CONFIG_BYTES)
            .map_err(|error| fault(&path, "cannot be read", error.into()))?;
        let config: toml::Value = toml::from_str(&TrainConfig::with_tables(&text))
            .map_err(|error| fault(&path, "is not valid TOML", error.into()))?;
        let mut settings = BTreeMap::new();
        flatten("", &config, &mut settings);
        let metrics = document(&folder.join("metrics.json"))?.unwrap_or_default();
        let audit = document(&folder.join("audit.json"))?.unwrap_or_default();
        let provenance = document(&folder.join("provenance.json"))?.unwrap_or_default();
        let word = |value: &Value| value.as_str().map(str::to_owned);
        Ok(Self {
            run: folder.to_owned(),
            finished: folder.join("detector.safetensors").is_file() && metrics.is_object(),
            revision: word(&provenance["revision"]),
            audit: word(&audit["verdict"]),
            epochs: history.len(),
            best_epoch: best.epoch,
            best_validation_auc: best.validation_auc,
            minutes: history.iter().map(|record| record.seconds).sum::<f64>() / 60.0,
            validation: FIGURES
                .into_iter()
                .filter_map(|(key, _)| Some((key, RunFigure::of(&metrics["validation"], key)?)))
                .collect(),
            against_first: None,
            settings,
        })
    }
}

impl RunFigure {
    fn of(figures: &Value, key: &str) -> Option<Self> {
        let end = |index: usize| figures[format!("{key}_ci95")][index].as_f64();
        Some(Self { value: figures[key].as_f64()?, ci95: end(0).zip(end(1)).map(|(low, high)| [low, high]) })
    }

    fn to_text(self) -> String {
        let interval = self.ci95.map_or_else(String::new, |[low, high]| format!(" [{low:.4}, {high:.4}]"));
        format!("{:.4}{interval}", self.value)
    }
}

/// A JSON file, where it exists.
fn document(path: &Path) -> Result<Option<Value>, EvalError> {
    if !path.is_file() {
        return Ok(None);
    }
    let fault = |what, source: BoxedError| EvalError::Run { path: path.to_owned(), what, source };
    let bytes =
        read_bounded(path, MAX_DOCUMENT_BYTES).map_err(|error| fault("cannot be read", error.into()))?;
    let document = serde_json::from_slice(&bytes);
    Ok(Some(document.map_err(|error| fault("is not valid JSON", error.into()))?))
}

/// Settings by their full names.
fn flatten(name: &str, value: &toml::Value, settings: &mut BTreeMap<String, String>) {
    match value {
        toml::Value::Table(table) => {
            for (key, value) in table {
                let inner = if name.is_empty() { key.clone() } else { format!("{name}.{key}") };
                flatten(&inner, value, settings);
            }
        }
        toml::Value::String(text) => {
            settings.insert(name.to_owned(), text.clone());
        }
        other => {
            settings.insert(name.to_owned(), other.to_string());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A run folder with the files of `train` that `compare` reads.
    fn folder(at: &Path, config: &TrainConfig, aucs: &[f64], scores: Option<[f64; 4]>) -> PathBuf {
        let write = |name: &str, text: &str| {
            std::fs::create_dir_all(at).unwrap();
            std::fs::write(at.join(name), text).unwrap();
        };
        write("config.toml", &config.to_toml().unwrap_or_default());
        let lines: Vec<String> = aucs
            .iter()
            .zip(1..)
            .map(|(auc, epoch)| {
                format!(
                    r#"{{"epoch":{epoch},"train_loss":0.5,"validation_loss":0.5,"validation_auc":{auc},"learning_rate":0.1,"samples":9,"seconds":90}}"#
                )
            })
            .collect();
        write("history.jsonl", &lines.join("\n"));
        if let Some(scores) = scores {
            write("detector.safetensors", "");
            write("metrics.json", r#"{"validation":{"auc":0.9123,"auc_ci95":[0.9,0.92],"ece":0.012}}"#);
            write("provenance.json", r#"{"revision":"0123456789abcdef+"}"#);
            write("audit.json", r#"{"clean":true,"verdict":"nothing crosses"}"#);
            let rows = ["1,real", "2,real", "3,fake", "4,fake"].iter().zip(scores);
            let rows: Vec<String> = rows.map(|(row, score)| format!("{row},s{score},,{score}")).collect();
            let rows: Vec<String> =
                rows.iter().enumerate().map(|(i, row)| row.replacen(",s", &format!(",s{i}x"), 1)).collect();
            write("validation.csv", &format!("path,label,source,video,probability\n{}\n", rows.join("\n")));
        }
        at.to_owned()
    }

    #[test]
    fn runs_are_compared_and_differing_settings_listed() {
        let root = tempfile::tempdir().unwrap();
        let config = TrainConfig::default();
        let mut other = TrainConfig::default();
        (other.seed, other.loss.pos_weight) = (9, Some(0.5));
        let folders = [
            folder(&root.path().join("a"), &config, &[0.8, 0.9, 0.9], Some([0.1, 0.6, 0.5, 0.9])),
            folder(&root.path().join("b"), &other, &[0.7], Some([0.1, 0.2, 0.5, 0.9])),
            folder(&root.path().join("c"), &config, &[0.65], None),
        ];
        let table = compare_runs(&folders).unwrap();
        assert_eq!(table.settings_that_differ.keys().collect::<Vec<_>>(), ["loss.pos_weight", "seed"]);
        assert_eq!(table.settings_that_differ["loss.pos_weight"], ["(absent)", "0.5", "(absent)"]);
        assert_eq!(
            (table.runs[0].best_epoch, table.runs[0].finished, table.runs[2].finished),
            (2, true, false)
        );
        assert_eq!(table.runs[1].against_first.unwrap().difference, 0.25);
        assert!(table.runs[2].against_first.is_none());

        let text = table.to_text();
        for line in
            ["minutes", "4.5", "0.9123 [0.9000, 0.9200]", "0.6500", "0123456789+", "+0.2500 [", "2 of 3"]
        {
            assert!(text.contains(line), "{line} is not in\n{text}");
        }
        let written = serde_json::to_value(&table).unwrap();
        assert_eq!(written["runs"][0]["validation"]["auc"]["ci95"][1], 0.92);
    }

    #[test]
    fn a_folder_without_a_run_is_an_error_with_its_path() {
        let root = tempfile::tempdir().unwrap();
        let error = compare_runs(&[root.path().to_owned()]).unwrap_err().to_string();
        assert!(
            error.contains("is not a run folder") && error.contains(&*root.path().to_string_lossy()),
            "{error}"
        );
    }
}
