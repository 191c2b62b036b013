//! The model card: what a model file says about itself.

use std::str::FromStr;

use deeptell_face::{FaceCrop, FaceDetectorId};
use deeptell_metrics::sigmoid;
use deeptell_network::{Architecture, Normalization};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Aggregation, Criteria, ModelError, View};

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

/// Calibration and thresholds at each level at which something is judged.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct Levels {
    /// One face in one frame.
    pub crop: CropLevel,
    /// One person over all frames that show them: what verdicts rest on.
    pub person: Criteria,
}

impl Levels {
    /// Both levels.
    pub const fn new(crop: CropLevel, person: Criteria) -> Self {
        Self { crop, person }
    }
}

/// How one crop is judged.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct CropLevel {
    /// From the network's logit to a probability.
    pub calibration: Calibration,
    /// Where the probability of one crop says real or fake.
    pub thresholds: Thresholds,
}

impl CropLevel {
    /// Both parts.
    pub const fn new(calibration: Calibration, thresholds: Thresholds) -> Self {
        Self { calibration, thresholds }
    }
}

/// Where a probability says real, where it says fake; between them it says neither.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Thresholds {
    /// Likely real at or under this; in `0..=1`.
    pub low: f64,
    /// Likely fake at or over this; in `0..=1`, over `low`.
    pub high: f64,
}

/// Text that is not two thresholds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected two numbers from 0 to 1, the lower one first, such as 0.3:0.7")]
pub struct ThresholdsError;

impl FromStr for Thresholds {
    type Err = ThresholdsError;

    /// Reads `LOW:HIGH`, for example `0.3:0.7`.
    fn from_str(text: &str) -> Result<Self, ThresholdsError> {
        let (low, high) = text.split_once(':').ok_or(ThresholdsError)?;
        let number = |text: &str| text.parse().map_err(|_| ThresholdsError);
        let thresholds = Self { low: number(low)?, high: number(high)? };
        if thresholds.are_possible() { Ok(thresholds) } else { Err(ThresholdsError) }
    }
}

impl Thresholds {
    fn are_possible(self) -> bool {
        0.0 <= self.low && self.low < self.high && self.high <= 1.0
    }
}

/// Platt scaling (Platt 1999): `probability = sigmoid(slope * logit + intercept)`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Calibration {
    /// Factor on the logit; positive.
    pub slope: f64,
    /// Added after it.
    pub intercept: f64,
}

impl Default for Calibration {
    /// The plain sigmoid.
    fn default() -> Self {
        Self { slope: 1.0, intercept: 0.0 }
    }
}

impl Calibration {
    /// The probability in `0..=1` of a manipulated face for a logit of the network.
    pub fn probability(&self, logit: f64) -> f64 {
        sigmoid(self.slope * logit + self.intercept)
    }
}

/// How the frames of a person become one probability.
///
/// In JSON `{"aggregate": "mean"}` or `{"logistic": {"intercept": ..., "mean_logit": ..., ...}}`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum PersonScoring {
    /// A summary of the calibrated probabilities of the crops, as in files of format 1.
    Aggregate(Aggregation),
    /// A logistic model of the person as a whole.
    Logistic(PersonCalibration),
}

impl Default for PersonScoring {
    /// The mean of the crops' probabilities.
    fn default() -> Self {
        Self::Aggregate(Aggregation::Mean)
    }
}

/// A logistic model of one person over all frames: the probability is the sigmoid of `intercept`
/// plus the sum of each coefficient times its feature ([`PersonFeatures`]). A coefficient of 0, the
/// default, leaves its feature out.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct PersonCalibration {
    /// Added to the sum.
    pub intercept: f64,
    /// Coefficient of [`PersonFeatures::mean_logit`]; positive.
    pub mean_logit: f64,
    /// Coefficient of [`PersonFeatures::log_frames`].
    #[serde(default)]
    pub log_frames: f64,
    /// Coefficient of [`PersonFeatures::logit_deviation`].
    #[serde(default)]
    pub logit_deviation: f64,
    /// Coefficient of [`PersonFeatures::log2_face_width`].
    #[serde(default)]
    pub log2_face_width: f64,
    /// Coefficient of [`PersonFeatures::blur`].
    #[serde(default)]
    pub blur: f64,
}

impl PersonCalibration {
    /// The calibrated logit: its sigmoid is the probability.
    pub fn logit(&self, features: &PersonFeatures) -> f64 {
        self.intercept
            + self.mean_logit * features.mean_logit
            + self.log_frames * features.log_frames
            + self.logit_deviation * features.logit_deviation
            + self.log2_face_width * features.log2_face_width
            + self.blur * features.blur
    }

    /// The probability in `0..=1` that this person is manipulated.
    pub fn probability(&self, features: &PersonFeatures) -> f64 {
        sigmoid(self.logit(features))
    }

    fn coefficients(&self) -> [f64; 6] {
        let Self { intercept, mean_logit, log_frames, logit_deviation, log2_face_width, blur } = *self;
        [intercept, mean_logit, log_frames, logit_deviation, log2_face_width, blur]
    }
}

/// What a [`PersonCalibration`] knows about a person.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct PersonFeatures {
    /// Mean over the frames of the network's logit, each already averaged over the card's views.
    pub mean_logit: f64,
    /// Natural logarithm of the number of frames that show the person.
    pub log_frames: f64,
    /// Standard deviation of the logits over the frames; 0 for a single one.
    pub logit_deviation: f64,
    /// Base-2 logarithm of the median side of the person's crops, in pixels of the frame
    /// ([`Person::median_crop_width`](crate::Person::median_crop_width)).
    pub log2_face_width: f64,
    /// Median blur of the crops, in `0..=1` ([`Person::median_blur`](crate::Person::median_blur)).
    pub blur: f64,
}

impl PersonFeatures {
    /// The features of a person whose frames have these logits; `None` when there is no frame.
    ///
    /// `median_crop_width` is in pixels and counts as 1 when it is less, `median_blur` is in `0..=1`.
    pub fn new(logits: &[f64], median_crop_width: f32, median_blur: f32) -> Option<Self> {
        if logits.is_empty() {
            return None;
        }
        let frames = logits.len() as f64;
        let mean_logit = logits.iter().sum::<f64>() / frames;
        let variance = logits.iter().map(|logit| (logit - mean_logit).powi(2)).sum::<f64>() / frames;
        Some(Self {
            mean_logit,
            log_frames: frames.ln(),
            logit_deviation: variance.sqrt(),
            log2_face_width: f64::from(median_crop_width.max(1.0)).log2(),
            blur: median_blur.into(),
        })
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
    /// Largest [`FaceCrop::scale`].
    pub const MAX_SCALE: f32 = 10.0;
    /// Largest size of the card's JSON, in bytes.
    pub const MAX_BYTES: usize = 256 * 1024;
    /// Longest text of a card, in bytes.
    const MAX_TEXT: usize = 8192;
    /// Longest list of a card, views aside.
    const MAX_LIST: usize = 1024;
    /// Largest number of a card that has no closer bound: beyond, arithmetic loses its sense.
    const MAX_NUMBER: f64 = 1e6;

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

    fn fault(&self) -> Option<&'static str> {
        let number = |value: f64| value.is_finite() && value.abs() <= Self::MAX_NUMBER;
        let text = |text: &str| text.len() <= Self::MAX_TEXT;
        let Criteria { scoring, thresholds, min_frames, min_crop_width, max_blur } = self.levels.person;
        let Calibration { slope, intercept } = self.levels.crop.calibration;
        let Normalization { mean, deviation } = self.normalization;
        let FaceDetectorId { name: detector, settings, .. } = &self.face_detector;
        let logistic = match scoring {
            PersonScoring::Aggregate(_) => None,
            PersonScoring::Logistic(calibration) => Some(calibration),
        };
        let ends = |m: &Measure| [Some(m.value), m.low, m.high].into_iter().flatten().all(number);
        let faults = [
            (self.format_version != Self::FORMAT_VERSION, "`format_version` is not 2"),
            (self.name.is_empty(), "`name` is empty"),
            (self.name.len() > 256, "`name` is longer than 256 bytes"),
            (
                !(text(&self.summary) && text(&self.trained_on)),
                "`summary` or `trained_on` is longer than 8 KiB",
            ),
            (
                !mean.iter().all(|value| (0.0..=1.0).contains(value)),
                "`normalization.mean` has a value that is not in 0..=1",
            ),
            (
                !deviation.iter().all(|value| (0.001..=10.0).contains(value)),
                "`normalization.deviation` has a value that is not in 0.001..=10",
            ),
            (
                detector.is_empty() || detector.len() > 64,
                "`face_detector.name` is empty or longer than 64 bytes",
            ),
            (settings.len() > 64, "`face_detector.settings` has more than 64 entries"),
            (!(32..=1024).contains(&self.crop.size), "`crop.size` is not in 32..=1024 pixels"),
            (
                !(self.crop.scale > 0.0 && self.crop.scale <= Self::MAX_SCALE),
                "`crop.scale` is not a positive number of at most 10",
            ),
            (self.views.is_empty(), "`views` is empty"),
            (self.views.len() > Self::MAX_VIEWS, "`views` has more than 64 entries"),
            (!self.views.iter().all(|view| view.is_possible()), "`views` has a zoom that is not in 1..=4"),
            (
                !(number(slope) && slope > 0.0),
                "`levels.crop.calibration.slope` is not a positive number of at most a million",
            ),
            (!number(intercept), "`levels.crop.calibration.intercept` is not a number of at most a million"),
            (
                !self.levels.crop.thresholds.are_possible(),
                "`levels.crop.thresholds` needs 0 <= low < high <= 1",
            ),
            (!thresholds.are_possible(), "`levels.person.thresholds` needs 0 <= low < high <= 1"),
            (
                logistic.is_some_and(|calibration| !calibration.coefficients().into_iter().all(number)),
                "`levels.person.scoring` has a coefficient that is not a number of at most a million",
            ),
            (
                logistic.is_some_and(|calibration| calibration.mean_logit <= 0.0),
                "`levels.person.scoring.logistic.mean_logit` is not positive",
            ),
            (!(1..=10_000).contains(&min_frames), "`levels.person.min_frames` is not in 1..=10000"),
            (
                !(0.0..=65536.0).contains(&min_crop_width),
                "`levels.person.min_crop_width` is not in 0..=65536 pixels",
            ),
            (!(0.0..=1.0).contains(&max_blur), "`levels.person.max_blur` is not in 0..=1"),
            (
                self.out_of_distribution.is_some_and(|model| !(number(model.limit) && model.limit > 0.0)),
                "`out_of_distribution.limit` is not a positive number of at most a million",
            ),
            (
                self.out_of_distribution.is_some_and(|model| model.rank > OutOfDistribution::MAX_RANK),
                "`out_of_distribution.rank` is over 256",
            ),
            (self.measures.len() > Self::MAX_LIST, "`measures` has more than 1024 entries"),
            (
                !self.measures.iter().all(|measure| text(&measure.name) && ends(measure)),
                "`measures` has a name longer than 8 KiB or a figure that is not a number of at most a million",
            ),
            (self.limits.len() > Self::MAX_LIST, "`limits` has more than 1024 entries"),
            (!self.limits.iter().all(|limit| text(limit)), "`limits` has a text longer than 8 KiB"),
        ];
        faults.into_iter().find_map(|(found, fault)| found.then_some(fault))
    }
}

/// What decides how to read the rest of a card.
#[derive(Deserialize)]
struct Form {
    #[serde(default = "first_version")]
    format_version: u64,
    architecture: Option<String>,
}

fn first_version() -> u64 {
    1
}

/// Format 1: one calibration and one pair of thresholds; only MobileNetV3-Small, MTCNN and
/// ImageNet's normalisation existed.
#[derive(Deserialize)]
struct CardV1 {
    name: String,
    summary: String,
    trained_on: String,
    seed: Option<u64>,
    crop: FaceCrop,
    #[serde(default = "one_view")]
    views: Vec<View>,
    calibration: Calibration,
    criteria: CriteriaV1,
    measures: Vec<Measure>,
    limits: Vec<String>,
}

#[derive(Deserialize)]
struct CriteriaV1 {
    low: f64,
    high: f64,
    aggregation: Aggregation,
    min_frames: usize,
    min_crop_width: f32,
    #[serde(default = "any_blur")]
    max_blur: f32,
}

fn one_view() -> Vec<View> {
    vec![View::WHOLE]
}

fn any_blur() -> f32 {
    1.0
}

impl From<CardV1> for ModelCard {
    fn from(card: CardV1) -> Self {
        let CriteriaV1 { low, high, aggregation, min_frames, min_crop_width, max_blur } = card.criteria;
        let thresholds = Thresholds { low, high };
        Self {
            format_version: Self::FORMAT_VERSION,
            name: card.name,
            summary: card.summary,
            architecture: Architecture::MobileNetV3Small,
            normalization: Normalization::default(),
            face_detector: FaceDetectorId::new("mtcnn"),
            crop: card.crop,
            views: card.views,
            levels: Levels {
                crop: CropLevel { calibration: card.calibration, thresholds },
                person: Criteria {
                    scoring: PersonScoring::Aggregate(aggregation),
                    thresholds,
                    min_frames,
                    min_crop_width,
                    max_blur,
                },
            },
            out_of_distribution: None,
            heat_maps: HeatMapMethod::default(),
            trained_on: card.trained_on,
            seed: card.seed,
            measures: card.measures,
            limits: card.limits,
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

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
    fn thresholds_are_two_numbers_in_order() {
        assert_eq!("0.3:0.7".parse(), Ok(Thresholds { low: 0.3, high: 0.7 }));
        for text in ["0.7:0.3", "0.5:0.5", "0.5", "-0.1:1", "0:1.1", "nan:1", "0:nan", "a:b", "0:inf", ""] {
            assert_eq!(text.parse::<Thresholds>(), Err(ThresholdsError), "{text}");
        }
    }

    #[test]
    fn calibration_by_hand() {
        assert_eq!(Calibration::default().probability(0.0), 0.5);
        let calibration = Calibration { slope: 2.0, intercept: -1.0 };
        assert!((calibration.probability(0.5) - 0.5).abs() < 1e-15);
        assert!((calibration.probability(1.0) - 0.731_058_578_630_005).abs() < 1e-12);
        assert_eq!(calibration.probability(1e300), 1.0);
        assert_eq!(calibration.probability(-1e300), 0.0);
    }

    #[test]
    fn person_features_and_calibration_by_hand() {
        let features = PersonFeatures::new(&[1.0, 3.0], 64.0, 0.5).unwrap();
        let expected = PersonFeatures {
            mean_logit: 2.0,
            log_frames: 2_f64.ln(),
            logit_deviation: 1.0,
            log2_face_width: 6.0,
            blur: 0.5,
        };
        assert_eq!(features, expected);
        assert_eq!(PersonFeatures::new(&[], 64.0, 0.5), None);
        assert_eq!(PersonFeatures::new(&[1.0], 0.0, 0.5).unwrap().log2_face_width, 0.0);
        let calibration = PersonCalibration {
            intercept: -10.0,
            mean_logit: 2.0,
            log_frames: 1.0,
            logit_deviation: -1.0,
            log2_face_width: 1.0,
            blur: 2.0,
        };
        let logit = -10.0 + 4.0 + 2_f64.ln() - 1.0 + 6.0 + 1.0;
        assert!((calibration.logit(&features) - logit).abs() < 1e-12);
        assert!((calibration.probability(&features) - 2.0 / 3.0).abs() < 1e-12);
    }

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

    /// Asserts that a change makes a card unusable, in memory and as JSON, and that the fault names `word`.
    fn refused(word: &str, change: impl FnOnce(&mut ModelCard)) {
        let mut card = card();
        change(&mut card);
        let fault = card.fault().unwrap_or_else(|| panic!("{word} is not refused"));
        assert!(fault.contains(word), "{word}: {fault}");
        assert!(card.to_json().is_err());
        let json = serde_json::to_string(&card).unwrap();
        assert!(ModelCard::from_json(&json).is_err(), "{word}");
    }

    #[test]
    fn values_that_no_detector_can_work_with_are_named() {
        assert_eq!(card().fault(), None);
        refused("format_version", |c| c.format_version = 1);
        refused("name", |c| c.name.clear());
        refused("name", |c| c.name = "x".repeat(257));
        refused("summary", |c| c.summary = "x".repeat(8193));
        refused("normalization.mean", |c| c.normalization.mean[1] = 1.5);
        refused("normalization.deviation", |c| c.normalization.deviation[2] = 0.0);
        refused("face_detector.name", |c| c.face_detector.name.clear());
        refused("face_detector.settings", |c| {
            c.face_detector.settings = (0..65).map(|i| (i.to_string(), String::new())).collect();
        });
        refused("crop.size", |c| c.crop.size = 4096);
        refused("crop.scale", |c| c.crop.scale = 1e30);
        refused("crop.scale", |c| c.crop.scale = 0.0);
        refused("views", |c| c.views.clear());
        refused("views", |c| c.views = vec![View::WHOLE; 65]);
        refused("zoom", |c| c.views[0].zoom = 0.0);
        refused("slope", |c| c.levels.crop.calibration.slope = 0.0);
        refused("slope", |c| c.levels.crop.calibration.slope = 1e300);
        refused("intercept", |c| c.levels.crop.calibration.intercept = f64::NAN);
        refused("levels.crop.thresholds", |c| c.levels.crop.thresholds = Thresholds { low: 0.7, high: 0.7 });
        refused("levels.person.thresholds", |c| c.levels.person.thresholds.high = f64::NAN);
        refused("min_frames", |c| c.levels.person.min_frames = 0);
        refused("min_frames", |c| c.levels.person.min_frames = usize::MAX);
        refused("min_crop_width", |c| c.levels.person.min_crop_width = f32::INFINITY);
        refused("max_blur", |c| c.levels.person.max_blur = 1.5);
        let logistic = |mean_logit, blur| {
            PersonScoring::Logistic(PersonCalibration { mean_logit, blur, ..PersonCalibration::default() })
        };
        refused("coefficient", |c| c.levels.person.scoring = logistic(1.0, 1e9));
        refused("mean_logit", |c| c.levels.person.scoring = logistic(-1.0, 0.0));
        refused("out_of_distribution.limit", |c| {
            c.out_of_distribution = Some(OutOfDistribution { limit: 0.0, rank: 0 });
        });
        refused("out_of_distribution.rank", |c| {
            c.out_of_distribution = Some(OutOfDistribution { limit: 1.0, rank: 100_000 });
        });
        refused("measures", |c| c.measures[0].value = f64::NAN);
        refused("measures", |c| c.measures = vec![c.measures[0].clone(); 1025]);
        refused("limits", |c| c.limits = vec![String::new(); 1025]);
        refused("limits", |c| c.limits = vec!["x".repeat(8193)]);
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
