//! What gave scores: a model of deeptell, or another detector.

use deeptell::{Aggregation, Calibration, Criteria, CropLevel, Levels, ModelInfo, PersonScoring, Thresholds};
use serde::{Deserialize, Serialize};

/// What gave scores.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged, expecting = "what gave the scores is neither a model of deeptell nor a table of scores")]
#[non_exhaustive]
pub enum Scorer {
    /// A model of deeptell, with its calibration and thresholds.
    Model(Box<ModelInfo>),
    /// Another detector, of which there is only a table of scores.
    Table(TableInfo),
}

/// A table of another detector's scores.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct TableInfo {
    /// Name of the detector: that of the file, without its extension.
    pub name: String,
    /// SHA-256 of the file in lower-case hexadecimal.
    pub sha256: String,
    /// Where its scores say real and fake.
    pub thresholds: Thresholds,
}

impl TableInfo {
    /// Real below one half, and fake from there on: the thresholds of a detector that names none.
    pub const HALF: Thresholds = Thresholds { low: 0.5_f64.next_down(), high: 0.5 };

    /// The scores are used as they are: those of a person are averaged, and all levels have the same thresholds.
    pub fn levels(&self) -> Levels {
        Levels::new(
            CropLevel::new(Calibration::default(), self.thresholds),
            Criteria::new(PersonScoring::Aggregate(Aggregation::Mean), self.thresholds),
        )
    }
}

impl Scorer {
    /// Its name.
    pub fn name(&self) -> &str {
        match self {
            Self::Model(model) => &model.card.name,
            Self::Table(table) => &table.name,
        }
    }

    /// SHA-256 of the model file or of the table, in lower-case hexadecimal.
    pub fn sha256(&self) -> &str {
        match self {
            Self::Model(model) => &model.sha256,
            Self::Table(table) => &table.sha256,
        }
    }

    /// Calibration and thresholds of its scores.
    pub fn levels(&self) -> Levels {
        match self {
            Self::Model(model) => model.card.levels.clone(),
            Self::Table(table) => table.levels(),
        }
    }

    /// Number of views that a score averages, where it is known.
    pub fn views(&self) -> Option<usize> {
        match self {
            Self::Model(model) => Some(model.card.views.len()),
            Self::Table(_) => None,
        }
    }
}

impl From<ModelInfo> for Scorer {
    fn from(model: ModelInfo) -> Self {
        Self::Model(Box::new(model))
    }
}
