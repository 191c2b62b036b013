//! What a training run starts from, and what is made of it when it has ended.

use std::fmt;
use std::path::{Path, PathBuf};

use deeptell::text::printable_json;
use deeptell::{Device, Levels, Model, ModelCard, ModelFile, ModelInfo, StoredDtype, Weights};
use deeptell_data::{Sample, Split, audit};
use deeptell_files::{read_text_bounded, sha256_of_file, write_whole};
use deeptell_metrics::EvaluationConfig;
use deeptell_network::{Network, NetworkConfig};
use deeptell_train::{Run, Start, TrainConfig};
use serde::Serialize;

use crate::{
    CHOSEN_HERE, Calibrated, Distortion, EvalError, Evaluation, Observer, SplitCounts, Subject, Training,
    calibrate, evaluate, page, probabilities, score_samples, to_json, write_scores,
};

/// Names of the files that a training writes into the folder of its run, beside its checkpoints.
pub const RUN_FILES: [&str; 12] = [
    "audit.json",
    "best.safetensors",
    "config.toml",
    "detector.safetensors",
    "history.jsonl",
    "history.svg",
    "metrics.json",
    "provenance.json",
    "report.html",
    "skipped.jsonl",
    "start.json",
    "validation.csv",
];

/// What a training starts from, by the file at `path`: of a model file or a checkpoint the whole network, of other
/// weights all but the classifier.
///
/// # Errors
/// If the file has no weights.
pub fn start_from(path: &Path) -> Result<Start, EvalError> {
    let weights = Weights::read(path)?;
    Ok(if weights.metadata.contains_key(ModelFile::CARD_KEY) {
        Start::Network(ModelFile::read(path)?.weights().clone())
    } else if weights.metadata.contains_key("deeptell.epoch") {
        Start::Network(weights)
    } else {
        Start::Backbone(weights)
    })
}

/// The revision in the `provenance.json` of a run, if it has one.
fn revision_of(folder: &Path) -> Option<String> {
    let text = read_text_bounded(folder.join("provenance.json"), 1 << 20).ok()?;
    let known: serde_json::Value = serde_json::from_str(&text).ok()?;
    Some(known["revision"].as_str()?.to_owned())
}

/// `audit.json` of a run: the audit of its data when it started.
#[derive(Debug, Clone, Serialize)]
#[non_exhaustive]
pub struct SplitAudit {
    /// Nothing is in two splits.
    pub clean: bool,
    /// In a sentence.
    pub verdict: String,
    /// What must not be in two splits.
    pub checked: [&'static str; 4],
    /// All samples.
    pub samples: usize,
    /// Samples without a split, which are not used.
    pub unassigned: usize,
    /// Training, validation and test.
    pub splits: [SplitCounts; 3],
}

impl SplitAudit {
    /// The audit of `samples`.
    ///
    /// # Errors
    /// [`EvalError::Data`] if something is in two splits.
    pub fn of(samples: &[Sample]) -> Result<Self, EvalError> {
        let audited = audit(samples);
        let found = Self {
            clean: audited.is_clean(),
            verdict: audited.to_string(),
            checked: ["path", "source", "video", "identity"],
            samples: audited.samples,
            unassigned: audited.unassigned,
            splits: Split::ALL.map(|split| SplitCounts::of(split, samples)),
        };
        audited.into_result()?;
        Ok(found)
    }
}

/// The weights of the best epoch of the run in `folder`, and a model of them as they are stored, which is what users
/// load.
///
/// # Errors
/// If the weights cannot be read, or are not of the network that the card names.
pub fn best_epoch(folder: &Path, card: ModelCard, device: &Device) -> Result<(Network, Model), EvalError> {
    let mut network = NetworkConfig::new(card.architecture, 1).init(device);
    network.load(&Weights::read(folder.join("best.safetensors"))?)?;
    let stored = ModelFile::new(&network, card)?.encode(StoredDtype::F16)?;
    let model = ModelFile::from_bytes(&stored, "best.safetensors")?.load(device)?;
    Ok((network, model))
}

/// A training run that has ended, to be [finished](Self::finish).
#[derive(Debug)]
#[non_exhaustive]
pub struct EndedRun<'a> {
    /// Its folder.
    pub folder: &'a Path,
    /// Its configuration.
    pub config: &'a TrainConfig,
    /// Its history.
    pub run: &'a Run,
    /// The card of its model, [not calibrated](crate::uncalibrated) yet.
    pub card: ModelCard,
    /// The samples of the split `validation` whose pictures can be read.
    pub validation: &'a [&'a Sample],
    /// What the report calls the data.
    pub data: String,
    /// [`SplitAudit::verdict`].
    pub audit: String,
}

impl<'a> EndedRun<'a> {
    /// The run of `config` in `folder`; see the fields.
    pub fn new(
        folder: &'a Path,
        config: &'a TrainConfig,
        run: &'a Run,
        card: ModelCard,
        validation: &'a [&'a Sample],
        data: impl Into<String>,
        audit: impl Into<String>,
    ) -> Self {
        Self { folder, config, run, card, validation, data: data.into(), audit: audit.into() }
    }
}

/// What finishing a run gave.
#[derive(Debug)]
#[non_exhaustive]
pub struct FinishedRun {
    /// The model file with calibration and thresholds; `None` if the scores cannot be calibrated.
    pub model: Option<PathBuf>,
    /// The page with the figures.
    pub report: PathBuf,
    /// The best epoch, from 1.
    pub best_epoch: usize,
    /// Its figures on the validation split, which are optimistic.
    pub figures: Evaluation,
    /// Losses of quality under which the thresholds were not tested, because this build cannot apply them.
    pub left_out: Vec<Distortion>,
}

/// The best epoch and its AUC-ROC, on one line without its end.
impl fmt::Display for FinishedRun {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let figures = &self.figures.crops.figures;
        write!(f, "best epoch {}: validation AUC {:.4}", self.best_epoch, figures.auc)?;
        figures.auc_ci95.map_or(Ok(()), |[low, high]| write!(f, " [{low:.4}, {high:.4}]"))
    }
}

/// `metrics.json`: the figures of the best epoch on the split it was chosen on.
#[derive(Serialize)]
struct Metrics<'a> {
    split: &'static str,
    seed: u64,
    best_epoch: usize,
    epochs: usize,
    /// Wall time of all epochs.
    minutes: f64,
    audit: &'a str,
    validation: &'a Evaluation,
    /// Of the model file; absent when the scores cannot be calibrated, as is the model file.
    levels: Option<&'a Levels>,
    /// Of the model file, or of the best checkpoint where there is none.
    model_sha256: &'a str,
}

impl EndedRun<'_> {
    /// Calibrates the best epoch on the validation split, sets thresholds there, and writes the model file
    /// `detector.safetensors`, then the figures: `metrics.json`, `validation.csv` and `report.html`. No file has
    /// thresholds that were not fitted: without a calibration there is no model file, and one of an earlier end of the
    /// run is removed.
    ///
    /// # Errors
    /// If the weights of the best epoch cannot be read, a crop cannot be scored, or a file cannot be written;
    /// [`EvalError::Stopped`], after which nothing has been written.
    pub fn finish(self, device: &Device, observer: &mut dyn Observer) -> Result<FinishedRun, EvalError> {
        let Self { folder, config, run, card, validation, data, audit } = self;
        let Some((best, _)) = run.best else { return Err(EvalError::NoEpoch { folder: folder.to_owned() }) };
        let model_file = folder.join("detector.safetensors");
        let (network, model) = best_epoch(folder, card.clone(), device)?;
        let calibrated = match calibrate(&model, validation, observer) {
            Err(EvalError::Calibration(_) | EvalError::Unlearnt) => None,
            found => Some(found?),
        };
        let is_calibrated = calibrated.is_some();
        let mut losses = Vec::new();
        let (card, crops, sha256) = if let Some(Calibrated { card, crops, left_out, .. }) = calibrated {
            losses = left_out;
            let sha256 = ModelFile::new(&network, card.clone())?.write(&model_file, StoredDtype::F16)?;
            (card, crops, sha256)
        } else {
            // A model file from an earlier end of this run would be taken for the new one.
            if model_file.exists() {
                std::fs::remove_file(&model_file).map_err(EvalError::file(&model_file))?;
            }
            let crops = score_samples(&model, validation, None, observer)?;
            let best = folder.join("best.safetensors");
            (card, crops, sha256_of_file(&best).map_err(EvalError::file(&best))?)
        };
        let figures = evaluate(validation, &crops, &card.levels, &EvaluationConfig::default())?;
        let metrics = Metrics {
            split: "validation",
            seed: config.seed,
            best_epoch: best,
            epochs: run.history.len(),
            minutes: run.history.iter().map(|record| record.seconds).sum::<f64>() / 60.0,
            audit: &audit,
            validation: &figures,
            levels: is_calibrated.then_some(&card.levels),
            model_sha256: &sha256,
        };
        let write = |name: &str, content: &[u8]| {
            let path = folder.join(name);
            write_whole(&path, content).map_err(EvalError::file(&path))?;
            Ok::<_, EvalError>(path)
        };
        write("metrics.json", printable_json(&to_json(&metrics)?).as_bytes())?;
        write("validation.csv", &write_scores(validation, &probabilities(&crops, &card.levels)?)?)?;
        let subject = Subject {
            scorer: &ModelInfo::new(sha256, card).into(),
            data,
            split: Some("validation"),
            caution: Some(if is_calibrated { CHOSEN_HERE } else { NOT_CALIBRATED }),
            distortion: None,
            faces_not_found: None,
            run: Some(Training {
                history: &run.history,
                best_epoch: best,
                revision: revision_of(folder),
                audit,
            }),
        };
        let report = write("report.html", page(&subject, &figures).as_bytes())?;
        let model = is_calibrated.then_some(model_file);
        Ok(FinishedRun { model, report, best_epoch: best, figures, left_out: losses })
    }
}

/// Says on the page of a run without a model file why there are no thresholds.
const NOT_CALIBRATED: [&str; 2] = [
    "No detector was written",
    "The validation scores do not separate real from fake well enough to be calibrated. The figures are those of the raw \
     scores, without thresholds.",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn revision_is_read_where_there_is_one() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(revision_of(folder.path()), None);
        std::fs::write(folder.path().join("provenance.json"), r#"{"revision":"c0ffee"}"#).unwrap();
        assert_eq!(revision_of(folder.path()).as_deref(), Some("c0ffee"));
    }
}
