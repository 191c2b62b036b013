//! Scores of labeled samples, and the document and the page of their figures.

use std::path::{Path, PathBuf};

use deeptell::{Dtype, Model};
use deeptell_data::Sample;
use deeptell_face::FaceDetector;
use deeptell_metrics::EvaluationConfig;
use serde::Serialize;

use crate::suite::{CropOutcome, CropScore};
use crate::{
    Distortion, EvalError, Evaluation, NO_TEST, Observer, ScoreTable, Scorer, Subject, evaluate,
    find_largest_faces, page, probabilities, score_samples, some_of, write_scores,
};

/// Least probability of a face in a picture that is known to show one. Lower than in a scan.
const LEAST_PROBABILITY: f32 = 0.8;

/// Labeled samples of one data set with the score of each.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Measurement {
    /// What gave the scores.
    pub scorer: Scorer,
    /// The table that the scores of another detector are from.
    pub scores_from: Option<PathBuf>,
    /// Manifest or folder of the data set.
    pub data: PathBuf,
    /// The split that was measured; `None` for a data set without splits.
    pub split: Option<String>,
    /// The samples.
    pub samples: Vec<Sample>,
    /// Their scores, in the same order.
    pub crops: Vec<CropScore>,
    /// What the crops went through first.
    pub distortion: Option<Distortion>,
    /// Pictures that were used whole because no face was found; `None` if no faces were detected.
    pub faces_not_found: Option<usize>,
    /// Files that the data set lists and that are missing.
    pub files_missing: usize,
    /// Names of the samples that were left out because they have no score.
    pub unscored: Vec<String>,
    /// How many of them have none because the other detector found no face.
    pub no_face: usize,
    /// Names in the table that the data does not list.
    pub unknown: Vec<String>,
}

impl Measurement {
    fn new(scorer: Scorer, data: &Path, samples: Vec<Sample>, crops: Vec<CropScore>) -> Self {
        Self {
            scorer,
            scores_from: None,
            data: data.to_owned(),
            split: None,
            samples,
            crops,
            distortion: None,
            faces_not_found: None,
            files_missing: 0,
            unscored: Vec::new(),
            no_face: 0,
            unknown: Vec::new(),
        }
    }

    /// Scores samples with a model, each after a loss of quality where there is one. With a face detector, each
    /// picture is cut around its largest face first; pictures without a face are used whole, and counted.
    ///
    /// # Errors
    /// As [`find_largest_faces`] and [`score_samples`].
    pub fn with_model(
        model: &Model,
        mut samples: Vec<Sample>,
        data: &Path,
        faces: Option<&dyn FaceDetector>,
        distortion: Option<Distortion>,
        observer: &mut dyn Observer,
    ) -> Result<Self, EvalError> {
        let missing = faces
            .map(|faces| find_largest_faces(&mut samples, faces, LEAST_PROBABILITY, observer))
            .transpose()?;
        let crops = score_samples(model, &samples.iter().collect::<Vec<_>>(), distortion, observer)?;
        let scorer = model.info().clone().into();
        Ok(Self { distortion, faces_not_found: missing, ..Self::new(scorer, data, samples, crops) })
    }

    /// Takes the scores of those samples that `takes` says yes to from the table of another detector, which may also
    /// have those of the others. Unless `allow_missing`, every one needs a score, and every score a sample.
    ///
    /// # Errors
    /// As [`ScoreTable::crops`] and [`ScoreTable::check_complete`].
    pub fn from_table(
        table: &mut ScoreTable,
        samples: &[Sample],
        data: &Path,
        takes: impl Fn(&Sample) -> bool,
        allow_missing: bool,
    ) -> Result<Self, EvalError> {
        let crops = table.crops(&samples.iter().collect::<Vec<_>>(), data, None)?;
        let taken = samples.iter().cloned().zip(crops).filter(|(sample, _)| takes(sample));
        let (given, unscored): (Vec<_>, Vec<_>) =
            taken.partition(|(_, crop)| matches!(crop.outcome, CropOutcome::Given { .. }));
        if !allow_missing {
            let crops: Vec<CropScore> = given.iter().chain(&unscored).map(|(_, crop)| crop.clone()).collect();
            table.check_complete(&crops)?;
        }
        let (samples, crops) = given.into_iter().unzip();
        Ok(Self {
            scores_from: Some(table.path().to_owned()),
            no_face: unscored.iter().filter(|(_, crop)| crop.outcome == CropOutcome::NoFace).count(),
            unscored: unscored.iter().map(|(sample, _)| sample.path.display().to_string()).collect(),
            unknown: table.unknown().into_iter().map(str::to_owned).collect(),
            ..Self::new(Scorer::Table(table.info().clone()), data, samples, crops)
        })
    }

    /// What was left out because the data and the table of scores do not match, in a sentence each.
    pub fn left_out(&self) -> Vec<String> {
        let of = self.samples.len() + self.unscored.len();
        let both = [
            (&self.unknown, "scores of files that the data does not list".to_owned()),
            (&self.unscored, format!("of {of} samples without a score")),
        ];
        let named = both.into_iter().filter(|(names, _)| !names.is_empty());
        named.map(|(names, what)| format!("left out: {} {what}: {}", names.len(), some_of(names))).collect()
    }

    /// The probability of each sample as a table, which [`compare_scores`](crate::compare_scores) reads.
    ///
    /// # Errors
    /// When a sample has no score.
    pub fn scores(&self) -> Result<Vec<u8>, EvalError> {
        let samples: Vec<&Sample> = self.samples.iter().collect();
        write_scores(&samples, &probabilities(&self.crops, &self.scorer.levels())?)
    }

    /// The figures.
    ///
    /// # Errors
    /// As [`evaluate`].
    pub fn evaluate(&self, config: &EvaluationConfig) -> Result<EvaluationDocument, EvalError> {
        let samples: Vec<&Sample> = self.samples.iter().collect();
        let evaluation = evaluate(&samples, &self.crops, &self.scorer.levels(), config)?;
        let some = |count: usize| (count > 0).then_some(count);
        let sha256 = Some(self.scorer.sha256().to_owned());
        let (model, seed) = match &self.scorer {
            Scorer::Model(model) => (Some(model), model.card.seed),
            Scorer::Table(_) => (None, None),
        };
        let (model_sha256, scores_sha256) = if model.is_some() { (sha256, None) } else { (None, sha256) };
        Ok(EvaluationDocument {
            model: self.scorer.name().to_owned(),
            model_sha256,
            scores_from: self.scores_from.clone(),
            scores_sha256,
            model_seed: seed,
            dtype: model.map_or(Dtype::F32, |model| model.dtype),
            data: self.data.clone(),
            split: self.split.clone(),
            distortion: self.distortion.map(|distortion| distortion.to_string()),
            faces_not_found: self.faces_not_found,
            files_missing: some(self.files_missing),
            scores_missing: some(self.unscored.len()),
            no_face: some(self.no_face),
            evaluation,
        })
    }

    /// The figures as a self-contained HTML page. On samples that are not for tests, the page warns that they may be
    /// too good.
    pub fn page(&self, document: &EvaluationDocument, is_test: bool) -> String {
        let left_out = [
            (self.files_missing, "listed files are missing"),
            (self.unscored.len(), "samples have no score"),
        ];
        let left_out = left_out.iter().filter(|(count, _)| *count > 0);
        let left_out: Vec<String> = left_out.map(|(count, what)| format!("{count} {what}")).collect();
        let data = self.data.display();
        let subject = Subject {
            scorer: &self.scorer,
            data: match left_out.as_slice() {
                [] => data.to_string(),
                left_out => format!("{data} ({})", left_out.join(", ")),
            },
            split: self.split.as_deref(),
            caution: (!is_test).then_some(NO_TEST),
            distortion: document.distortion.clone(),
            faces_not_found: self.faces_not_found,
            run: None,
        };
        page(&subject, &document.evaluation)
    }
}

/// The figures of a [`Measurement`], with what was measured, as `deeptell eval` prints them.
#[derive(Debug, Serialize)]
#[non_exhaustive]
pub struct EvaluationDocument {
    /// Name of the model or of the table.
    pub model: String,
    /// SHA-256 of the model file; absent for another detector.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model_sha256: Option<String>,
    /// The table that the scores of another detector are from.
    #[serde(
        skip_serializing_if = "Option::is_none",
        serialize_with = "deeptell_files::serialize_optional_path"
    )]
    pub scores_from: Option<PathBuf>,
    /// SHA-256 of that table.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scores_sha256: Option<String>,
    /// Of the run that trained the model.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model_seed: Option<u64>,
    /// What the model computed in, where it was not f32.
    #[serde(rename = "precision", skip_serializing_if = "Dtype::is_full")]
    pub dtype: Dtype,
    /// Manifest or folder of the data set.
    #[serde(serialize_with = "deeptell_files::serialize_path")]
    pub data: PathBuf,
    /// The split that was measured; absent for a data set without splits.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub split: Option<String>,
    /// What the crops went through first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub distortion: Option<String>,
    /// Pictures that were taken whole because no face was found, if faces were detected.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub faces_not_found: Option<usize>,
    /// Files that the data set lists but that are missing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub files_missing: Option<usize>,
    /// Samples that were left out because the table has no score of them, for all reasons.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scores_missing: Option<usize>,
    /// Those of them in which the other detector found no face.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub no_face: Option<usize>,
    /// The figures.
    #[serde(flatten)]
    pub evaluation: Evaluation,
}
