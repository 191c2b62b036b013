//! Calibration and thresholds of crops and of people.

use std::str::FromStr;

use deeptell_metrics::{PlattScaling, sigmoid};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Aggregation, Criteria};

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
    pub(super) fn are_possible(self) -> bool {
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
        let Self { slope, intercept } = *self;
        PlattScaling { slope, intercept }.probability(logit)
    }
}

/// How the frames of a person become one probability.
///
/// In JSON `{"aggregate": "mean"}` or `{"logistic": {"intercept": ..., "mean_logit": ..., ...}}`.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum PersonScoring {
    /// A summary of the calibrated probabilities of the crops, as in files of format 1.
    Aggregate(Aggregation),
    /// A logistic model of the person as a whole.
    Logistic(PersonCalibration),
}

impl PersonScoring {
    /// The probability that a person is manipulated, from whichever of the two it needs: the calibrated probabilities of
    /// the crops, or the features of the person. `None` when there are none.
    pub fn probability(
        &self,
        crops: impl FnOnce() -> Vec<f64>,
        person: impl FnOnce() -> Option<PersonFeatures>,
    ) -> Option<f64> {
        match self {
            Self::Aggregate(aggregation) => aggregation.combine(&crops()),
            Self::Logistic(calibration) => Some(calibration.probability(&person()?)),
        }
    }
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

    pub(super) fn coefficients(&self) -> [f64; 6] {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thresholds_are_two_numbers_in_order() {
        assert_eq!("0.3:0.7".parse(), Ok(Thresholds { low: 0.3, high: 0.7 }));
        for text in ["0.7:0.3", "0.5:0.5", "0.5", "-0.1:1", "0:1.1", "nan:1", "0:nan", "a:b", "0:inf", ""] {
            assert_eq!(text.parse::<Thresholds>(), Err(ThresholdsError), "{text}");
        }
    }

    #[test]
    fn calibration_matches_the_formula() {
        assert_eq!(Calibration::default().probability(0.0), 0.5);
        let calibration = Calibration { slope: 2.0, intercept: -1.0 };
        assert!((calibration.probability(0.5) - 0.5).abs() < 1e-15);
        assert!((calibration.probability(1.0) - 0.731_058_578_630_005).abs() < 1e-12);
        assert_eq!(calibration.probability(0.3).to_bits(), sigmoid(2.0 * 0.3 - 1.0).to_bits());
        assert_eq!(calibration.probability(1e300), 1.0);
        assert_eq!(calibration.probability(-1e300), 0.0);
    }

    #[test]
    fn person_features_and_calibration_match_hand_computation() {
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
}
