use std::io;
use std::path::{Path, PathBuf};

use deeptell::WeightsError;
use deeptell_data::{DataError, Label};
use deeptell_face::FaceError;
use deeptell_metrics::MetricsError;
use deeptell_train::TrainError;
use deeptell_video::VideoError;

/// Why an evaluation or a calibration could not be done.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EvalError {
    /// The [`Observer`](crate::Observer) asked to stop.
    #[error("stopped before the end")]
    Stopped,
    /// The model could not be read or run.
    #[error(transparent)]
    Model(#[from] deeptell::Error),
    /// Weights could not be read, or do not fit the network.
    #[error(transparent)]
    Weights(#[from] WeightsError),
    /// The data set could not be read.
    #[error(transparent)]
    Data(#[from] DataError),
    /// A crop could not be read or cut.
    #[error(transparent)]
    Crop(#[from] TrainError),
    /// FFmpeg could not compress a picture.
    #[error(transparent)]
    Distortion(#[from] VideoError),
    /// The scores allow no such figure.
    #[error(transparent)]
    Metrics(#[from] MetricsError),
    /// No calibration fits the scores.
    #[error("the validation scores cannot be calibrated: train longer, or on more data")]
    Calibration(#[source] MetricsError),
    /// The scores do not rise towards fakes.
    #[error(
        "the scores are not higher for fakes than for real samples, so they cannot be calibrated: train longer, or on more data"
    )]
    Unlearnt,
    /// A crop has no score, where all must have one.
    #[error("{} cannot be scored: {why}", path.display())]
    MissingCrop {
        /// The crop, or the data that could not be listed.
        path: PathBuf,
        /// Why.
        why: String,
    },
    /// The face detector failed.
    #[error("the face detector failed")]
    Faces(#[source] FaceError),
    /// The crops come from several face detectors, whose framing differs.
    #[error(
        "the crops come from the face detectors {}: a model is for the boxes of one, so extract all crops with the same",
        names.join(" and ")
    )]
    FaceDetectors {
        /// Their names.
        names: Vec<String>,
    },
    /// Scores could not be written as JSON.
    #[error("cannot write scores as JSON")]
    Json(#[from] serde_json::Error),
    /// A suite or its scores could not be read.
    #[error(transparent)]
    Suite(#[from] crate::SuiteError),
    /// A folder is not one of a training run, or a file in it cannot be read.
    #[error("{} {what}", path.display())]
    Run {
        /// The folder or the file.
        path: PathBuf,
        /// What is wrong.
        what: &'static str,
        /// Why.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A training run ended before its first epoch.
    #[error("the run in {} has no epoch: train it further", folder.display())]
    NoEpoch {
        /// The folder of the run.
        folder: PathBuf,
    },
    /// A result could not be written, or its file not be read.
    #[error("cannot access {}: check the disk and the permissions", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// No data set or method of this name can be left out.
    #[error("there is no `{name}` to leave out; there are {}", known.join(", "))]
    UnknownFold {
        /// The name.
        name: String,
        /// The names that exist.
        known: Vec<String>,
    },
    /// Two tables of scores have no set in common.
    #[error("the suites {first} and {second} have no set in common: score the same suite with both models")]
    OtherSuite {
        /// Name of the first suite.
        first: String,
        /// Name of the second.
        second: String,
    },
    /// Crops of one person in one video have two labels.
    #[error(
        "{} is {first_label} and {} is {second_label}, but both are of `{video}`: correct the label, or give the videos different \
         names", first.display(), second.display()
    )]
    MixedVideo {
        /// A crop of the video.
        first: PathBuf,
        /// Its label.
        first_label: Label,
        /// A crop of the same video.
        second: PathBuf,
        /// Its label, another one.
        second_label: Label,
        /// Name of the video.
        video: String,
    },
    /// A table of scores could not be read.
    #[error("cannot read {}: it must be a table that `deeptell eval --scores` writes", path.display())]
    ScoreTable {
        /// The table.
        path: PathBuf,
        /// What the reader said.
        source: csv::Error,
    },
    /// A row of a table of scores is not usable.
    #[error("{}: {reason}", path.display())]
    ScoreRow {
        /// The table.
        path: PathBuf,
        /// What is wrong, with the crop.
        reason: String,
    },
    /// A table of another detector's scores could not be read.
    #[error("cannot read {}: it must be a CSV table with the columns `path` and `probability`, or `path` and `logit`", path.display())]
    OtherTable {
        /// The table.
        path: PathBuf,
        /// What the reader said.
        source: csv::Error,
    },
    /// A table of another detector's scores disagrees with the data about a label.
    #[error("{} is {said} in {} and {label} in the data: correct one of them", file.display(), table.display())]
    OtherLabel {
        /// The table.
        table: PathBuf,
        /// The file.
        file: PathBuf,
        /// Its label in the table.
        said: Label,
        /// Its label in the data.
        label: Label,
    },
    /// A table of another detector's scores lacks samples.
    #[error("{} has no score of {count} of {of} samples: {names}; score them, or pass --incomplete to measure the others", table.display())]
    Unscored {
        /// The table.
        table: PathBuf,
        /// Number of samples without a score.
        count: usize,
        /// Number of samples.
        of: usize,
        /// The first of them.
        names: String,
    },
    /// A table of another detector's scores has files that the data does not list.
    #[error("{} has scores of {count} files that the data does not list: {names}; name files as the data does, or pass --incomplete to leave them out", table.display())]
    UnknownRows {
        /// The table.
        table: PathBuf,
        /// Number of such files.
        count: usize,
        /// The first of them.
        names: String,
    },
    /// A table of scores could not be written.
    #[error("cannot write the table of scores")]
    WriteScores(#[source] csv::Error),
    /// Two tables of scores do not list the same crops.
    #[error("{} has no score of the crop {crop}: score the same crops with both models", path.display())]
    MissingScore {
        /// The table without it.
        path: PathBuf,
        /// Path of the crop.
        crop: String,
    },
    /// Two tables of scores disagree about a label.
    #[error("{crop} is {first} in one table and {second} in the other: correct one of them")]
    Labels {
        /// Path of the crop.
        crop: String,
        /// Its label in the first table.
        first: Label,
        /// Its label in the second.
        second: Label,
    },
}

impl EvalError {
    /// For `map_err`: the error of the file at `path`.
    pub(crate) fn file(path: &Path) -> impl FnOnce(io::Error) -> Self + use<> {
        let path = path.to_owned();
        |source| Self::File { path, source }
    }
}
