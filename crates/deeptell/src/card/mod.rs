//! The model card: what a model file says about itself.

mod bounds;
mod formats;
mod levels;

use deeptell_face::{FaceCrop, FaceDetectorId};
use deeptell_network::{Architecture, Normalization};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{ModelError, View};
use formats::{CardV1, Form};
pub use levels::{
    Calibration, CropLevel, Levels, PersonCalibration, PersonFeatures, PersonScoring, Thresholds,
    ThresholdsError,
};

/// The machine-readable model card: all that a detector needs besides its weights, and what people
/// should know about it. It travels inside the model file.
///
/// This is format 2. Cards of format 1, which had one calibration and one pair of thresholds for
/// everything, are read as if both [levels](Levels) had been given them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct ModelCard {
    /// Version of the card's form: [`ModelCard::FORMAT_VERSION`] in every card that was read, as
    /// older ones are brought up to date.
    pub format_version: u32,
    /// Name of the model, for example `deeptell-mnv3s`.
    pub name: String,
    /// One sentence on what it does.
    pub summary: String,
    /// The network that the weights belong to.
    pub architecture: Architecture,
    /// How pixels become the network's input.
    pub normalization: Normalization,
    /// What found the faces that it was trained and calibrated on; without settings when they were not
    /// recorded.
    pub face_detector: FaceDetectorId,
    /// How faces were cut for training, and so must be cut for it.
    pub crop: FaceCrop,
    /// Test-time augmentation: the views of a crop that the logit is averaged over; 1 to
    /// [`ModelCard::MAX_VIEWS`].
    pub views: Vec<View>,
    /// Calibration and thresholds of single crops and of people.
    pub levels: Levels,
    /// How unlike the training data a crop may be; absent when the file has no model of that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub out_of_distribution: Option<OutOfDistribution>,
    /// How the parts of a crop that indicate manipulation are found.
    #[serde(default, skip_serializing_if = "HeatMapMethod::is_default")]
    pub heat_maps: HeatMapMethod,
    /// What it was trained on, and how, in a sentence or two.
    pub trained_on: String,
    /// Seed of the training run; absent in files that do not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seed: Option<u64>,
    /// How well it does, on which data.
    pub measures: Vec<Measure>,
    /// What it cannot do, one sentence each.
    pub limits: Vec<String>,
}

/// How the [`HeatMap`](crate::HeatMap)s of a model are made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum HeatMapMethod {
    /// Grad-CAM ([`Network::class_activation`](crate::Network::class_activation)): what raises the score. Every network
    /// has it.
    #[default]
    ClassActivation,
    /// The estimated share of each cell that is manipulated, by a layer of the model file that was trained on pictures
    /// whose manipulated parts are known ([`ModelFile::with_localization`](crate::ModelFile::with_localization)).
    Localization,
}

impl HeatMapMethod {
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes fields by reference")]
    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// How unlike the training data a crop may be before its score means nothing.
///
/// The distance is that of Mahalanobis between the crop's embedding `x` and the mean `m` of the
/// training data: `sqrt(sum(p * (x - m)^2) + |F (x - m)|^2)`. The tensors lie in the model file, in
/// 32-bit floats: `m` under [`MEAN`](Self::MEAN), the diagonal `p` under
/// [`PRECISION`](Self::PRECISION), and, where `rank` is not 0, `F` under [`FACTOR`](Self::FACTOR).
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct OutOfDistribution {
    /// Crops farther from the training data than this are out of distribution; positive.
    pub limit: f64,
    /// Rows of the low-rank part of the inverse covariance, at most [`Self::MAX_RANK`]; 0 when the
    /// diagonal is all of it.
    #[serde(default)]
    pub rank: usize,
}

impl OutOfDistribution {
    /// A limit, without a low-rank part.
    pub const fn new(limit: f64) -> Self {
        Self { limit, rank: 0 }
    }

    /// Tensor of the mean embedding: `[channels]`.
    pub const MEAN: &str = "ood.mean";
    /// Tensor of the diagonal of the inverse covariance, no entry negative: `[channels]`.
    pub const PRECISION: &str = "ood.precision";
    /// Tensor of the low-rank part of the inverse covariance, `F` of `F' F`: `[rank, channels]`.
    pub const FACTOR: &str = "ood.factor";
    /// Most rows of the low-rank part.
    pub const MAX_RANK: usize = 256;
}

/// One measured figure of a model card.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct Measure {
    /// What was measured and on what, for example `AUC-ROC, DFDC faces, validation sources`.
    pub name: String,
    /// The figure.
    pub value: f64,
    /// Lower end of its 95% interval, where there is one.
    pub low: Option<f64>,
    /// Upper end of its 95% interval.
    pub high: Option<f64>,
}

impl Measure {
    /// A figure without an interval.
    pub fn new(name: impl Into<String>, value: f64) -> Self {
        Self { name: name.into(), value, low: None, high: None }
    }

    /// The same figure with the ends of its 95% interval, where there is one.
    #[must_use]
    pub fn with_interval(self, ends: Option<[f64; 2]>) -> Self {
        let [low, high] = ends.map_or([None, None], |ends| ends.map(Some));
        Self { low, high, ..self }
    }
}

impl ModelCard {
    /// The version of the card's form that this crate writes; it reads this one and those before.
    pub const FORMAT_VERSION: u32 = 2;
    /// Most views of a crop.
    pub const MAX_VIEWS: usize = 64;
    /// Largest `scale` of a [`FaceCrop`].
    pub const MAX_SCALE: f32 = 10.0;
    /// Largest size of the card's JSON, in bytes.
    pub const MAX_BYTES: usize = 256 * 1024;

    /// The card of a model of this architecture that scores whole crops of MTCNN's faces, framed as by
    /// [`FaceCrop::default`]. Its texts and lists are empty.
    pub fn new(name: impl Into<String>, architecture: Architecture, levels: Levels) -> Self {
        Self {
            format_version: Self::FORMAT_VERSION,
            name: name.into(),
            summary: String::new(),
            architecture,
            normalization: Normalization::default(),
            face_detector: FaceDetectorId::new("mtcnn"),
            crop: FaceCrop::default(),
            views: vec![View::WHOLE],
            levels,
            out_of_distribution: None,
            heat_maps: HeatMapMethod::default(),
            trained_on: String::new(),
            seed: None,
            measures: Vec::new(),
            limits: Vec::new(),
        }
    }

    /// Reads the JSON of a card, of any format known, and checks every bound.
    ///
    /// # Errors
    /// [`ModelError::FormatVersion`] and [`ModelError::Architecture`] for what only a newer deeptell
    /// can know, [`ModelError::Card`] when it is not such JSON, [`ModelError::CardValue`] when a
    /// value is out of bounds.
    pub fn from_json(json: &str) -> Result<Self, ModelError> {
        if json.len() > Self::MAX_BYTES {
            return Err(ModelError::CardValue("the card is longer than 256 KiB"));
        }
        let form: Form = serde_json::from_str(json).map_err(ModelError::Card)?;
        let card = match form.format_version {
            0 => {
                return Err(ModelError::CardValue(
                    "`format_version` is 0, which no version of deeptell writes",
                ));
            }
            1 => serde_json::from_str::<CardV1>(json).map_err(ModelError::Card)?.into(),
            2 => {
                if let Some(name) = form.architecture {
                    name.parse::<Architecture>()?;
                }
                serde_json::from_str::<Self>(json).map_err(ModelError::Card)?
            }
            found => return Err(ModelError::FormatVersion { found, newest: Self::FORMAT_VERSION }),
        };
        card.check()?;
        Ok(card)
    }

    /// The card as JSON on one line.
    ///
    /// # Errors
    /// [`ModelError::CardValue`] when a value is out of bounds.
    pub fn to_json(&self) -> Result<String, ModelError> {
        self.check()?;
        let json = serde_json::to_string(self).map_err(ModelError::Card)?;
        if json.len() > Self::MAX_BYTES {
            return Err(ModelError::CardValue("the card is longer than 256 KiB"));
        }
        Ok(json)
    }

    /// Checks every bound.
    ///
    /// # Errors
    /// [`ModelError::CardValue`] names the first value that no detector can work with.
    pub fn check(&self) -> Result<(), ModelError> {
        self.fault().map_or(Ok(()), |fault| Err(ModelError::CardValue(fault)))
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::Criteria;

    /// A card for tests, with round numbers.
    pub(crate) fn card() -> ModelCard {
        ModelCard {
            format_version: 2,
            name: "test-model".to_owned(),
            summary: "A model for tests.".to_owned(),
            architecture: Architecture::MobileNetV3Small,
            normalization: Normalization::default(),
            face_detector: FaceDetectorId::new("mtcnn"),
            crop: FaceCrop::default(),
            views: vec![View::WHOLE],
            levels: Levels {
                crop: CropLevel {
                    calibration: Calibration::default(),
                    thresholds: Thresholds { low: 0.25, high: 0.75 },
                },
                person: Criteria {
                    scoring: PersonScoring::default(),
                    thresholds: Thresholds { low: 0.25, high: 0.75 },
                    min_frames: 3,
                    min_crop_width: 40.0,
                    max_blur: 1.0,
                },
            },
            out_of_distribution: None,
            heat_maps: HeatMapMethod::default(),
            trained_on: "Nothing at all.".to_owned(),
            seed: Some(7),
            measures: vec![Measure { name: "AUC".to_owned(), value: 0.5, low: Some(0.4), high: Some(0.6) }],
            limits: vec!["It knows nothing.".to_owned()],
        }
    }

    /// The same as a program of format 1 wrote it.
    const FORMAT_1: &str = r#"{
        "name": "test-model", "summary": "A model for tests.", "trained_on": "Nothing at all.", "seed": 7,
        "crop": {"size": 224, "scale": 1.0, "align": false},
        "calibration": {"slope": 1.0, "intercept": 0.0},
        "criteria": {"low": 0.25, "high": 0.75, "aggregation": "mean", "min_frames": 3, "min_crop_width": 40.0},
        "measures": [{"name": "AUC", "value": 0.5, "low": 0.4, "high": 0.6}],
        "limits": ["It knows nothing."]
    }"#;

    #[test]
    fn a_card_survives_json() {
        let mut full = card();
        full.levels.person.scoring = PersonScoring::Logistic(PersonCalibration {
            intercept: 0.5,
            mean_logit: 1.5,
            blur: -2.0,
            ..PersonCalibration::default()
        });
        full.out_of_distribution = Some(OutOfDistribution { limit: 30.0, rank: 4 });
        full.face_detector = FaceDetectorId::new("mtcnn").with("min_face", 40);
        full.heat_maps = HeatMapMethod::Localization;
        for card in [card(), full] {
            assert_eq!(ModelCard::from_json(&card.to_json().unwrap()).unwrap(), card);
        }
        let json = r#"{"logistic": {"intercept": 0.0, "mean_logit": 1.0, "frame_rate": 2.0}}"#;
        assert!(
            serde_json::from_str::<PersonScoring>(json).is_err(),
            "an unknown feature cannot be left out"
        );
    }

    #[test]
    fn a_card_of_format_1_gives_both_levels_its_thresholds() {
        assert_eq!(ModelCard::from_json(FORMAT_1).unwrap(), card());
    }

    #[test]
    fn cards_of_a_newer_deeptell_are_refused_with_a_way_out() {
        let mut json = serde_json::to_value(card()).unwrap();
        json["architecture"] = "mobilenet-v9".into();
        let error = ModelCard::from_json(&json.to_string()).unwrap_err();
        assert!(
            matches!(&error, ModelError::Architecture(unknown) if unknown.name == "mobilenet-v9"),
            "{error}"
        );
        for word in ["mobilenet-v3-small", "newer"] {
            assert!(error.to_string().contains(word), "{error}");
        }
        // The version decides first: its architectures and fields are not known.
        json["format_version"] = 3.into();
        let error = ModelCard::from_json(&json.to_string()).unwrap_err();
        assert!(matches!(error, ModelError::FormatVersion { found: 3, newest: 2 }), "{error}");
        assert!(error.to_string().contains("newer"), "{error}");
        json["format_version"] = 0.into();
        let error = ModelCard::from_json(&json.to_string()).unwrap_err();
        assert!(matches!(error, ModelError::CardValue(_)), "{error}");
    }

    #[test]
    fn a_card_of_any_length_is_refused_before_it_is_read() {
        let long = format!("{}{FORMAT_1}", " ".repeat(ModelCard::MAX_BYTES));
        assert!(
            matches!(ModelCard::from_json(&long), Err(ModelError::CardValue(fault)) if fault.contains("KiB"))
        );
    }

    #[test]
    fn damaged_cards_end_in_an_error_or_in_a_card_that_can_be_used() {
        let sound = [card().to_json().unwrap(), FORMAT_1.to_owned()];
        for json in sound {
            for at in 0..json.len() {
                let _ = ModelCard::from_json(&json[..at]);
                for byte in ["0", "9", "-", "\"", "{", "]", "e", " "] {
                    let changed = format!("{}{byte}{}", &json[..at], &json[at + 1..]);
                    if let Ok(card) = ModelCard::from_json(&changed) {
                        assert_eq!(card.fault(), None, "{changed}");
                    }
                }
            }
        }
        for json in ["", "null", "[]", "{}", "3", r#"{"format_version": -1}"#, r#"{"format_version": 1e400}"#]
        {
            assert!(ModelCard::from_json(json).is_err(), "{json}");
        }
        assert!(ModelCard::from_json(&"[".repeat(200_000)).is_err());
    }
}
