//! What a model file says about itself.

use deeptell_face::FaceCrop;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Criteria, View};

/// The machine-readable model card: all that a detector needs besides its weights, and what
/// people should know about it. Travels inside the model file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ModelCard {
    /// Name of the model, for example `deeptell-mnv3s`.
    pub name: String,
    /// One sentence on what it does.
    pub summary: String,
    /// What it was trained on, and how, in a sentence or two.
    pub trained_on: String,
    /// Seed of the training run; absent in files that do not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seed: Option<u64>,
    /// How faces were cut for training, and so must be cut for it.
    pub crop: FaceCrop,
    /// The looks at a crop that the logit is averaged over; files that do not say have one.
    #[serde(default = "one_view")]
    pub views: Vec<View>,
    /// From the network's logit to a probability.
    pub calibration: Calibration,
    /// Thresholds and the conditions for a verdict.
    pub criteria: Criteria,
    /// How well it does, on which data.
    pub measures: Vec<Measure>,
    /// What it cannot do, one sentence each.
    pub limits: Vec<String>,
}

impl ModelCard {
    /// Names the first field that no detector can work with.
    pub(crate) fn fault(&self) -> Option<&'static str> {
        let Criteria { low, high, min_frames, min_crop_width, max_blur, .. } = self.criteria;
        let Calibration { slope, intercept } = self.calibration;
        let faults = [
            (self.name.is_empty(), "`name` is empty"),
            (!(1..=4096).contains(&self.crop.size), "`crop.size` is not in 1..=4096 pixels"),
            (
                !(self.crop.scale.is_finite() && self.crop.scale > 0.0),
                "`crop.scale` is not a positive number",
            ),
            (self.views.is_empty(), "`views` is empty"),
            (!self.views.iter().all(|view| view.is_possible()), "`views` has a zoom that is not in 1..=4"),
            (!(slope.is_finite() && slope > 0.0), "`calibration.slope` is not a positive number"),
            (!intercept.is_finite(), "`calibration.intercept` is not a number"),
            (!(0.0 <= low && low < high && high <= 1.0), "`criteria` needs 0 <= low < high <= 1"),
            (min_frames == 0, "`criteria.min_frames` is 0"),
            (!(min_crop_width.is_finite() && min_crop_width >= 0.0), "`criteria.min_crop_width` is negative"),
            (!(0.0..=1.0).contains(&max_blur), "`criteria.max_blur` is not in 0..=1"),
        ];
        faults.into_iter().find_map(|(found, fault)| found.then_some(fault))
    }
}

fn one_view() -> Vec<View> {
    vec![View::WHOLE]
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
        1.0 / (1.0 + (-(self.slope * logit + self.intercept)).exp())
    }
}

/// One measured figure of a model card.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
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

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::Aggregation;

    /// A card for tests, with round numbers.
    pub(crate) fn card() -> ModelCard {
        ModelCard {
            name: "test-model".to_owned(),
            summary: "A model for tests.".to_owned(),
            trained_on: "Nothing at all.".to_owned(),
            seed: Some(7),
            crop: FaceCrop::default(),
            views: vec![View::WHOLE],
            calibration: Calibration::default(),
            criteria: Criteria {
                low: 0.25,
                high: 0.75,
                aggregation: Aggregation::Mean,
                min_frames: 3,
                min_crop_width: 40.0,
                max_blur: 1.0,
            },
            measures: vec![Measure { name: "AUC".to_owned(), value: 0.5, low: Some(0.4), high: Some(0.6) }],
            limits: vec!["It knows nothing.".to_owned()],
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
    fn a_card_that_does_not_tell_its_views_has_one() {
        let mut json = serde_json::to_value(card()).unwrap();
        json.as_object_mut().unwrap().remove("views").unwrap();
        assert_eq!(serde_json::from_value::<ModelCard>(json).unwrap(), card());
    }

    #[test]
    fn cards_that_cannot_work_are_named() {
        assert_eq!(card().fault(), None);
        let mut swapped = card();
        std::mem::swap(&mut swapped.criteria.low, &mut swapped.criteria.high);
        assert!(swapped.fault().unwrap().contains("criteria"));
        let mut flat = card();
        flat.calibration.slope = 0.0;
        assert!(flat.fault().unwrap().contains("slope"));
        let mut blind = card();
        blind.views.clear();
        assert!(blind.fault().unwrap().contains("views"));
        let mut inside_out = card();
        inside_out.views[0].zoom = 0.0;
        assert!(inside_out.fault().unwrap().contains("zoom"));
        let mut nan = card();
        nan.criteria.high = f64::NAN;
        assert!(nan.fault().unwrap().contains("criteria"));
    }
}
