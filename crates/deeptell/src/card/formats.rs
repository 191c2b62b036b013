//! The JSON of cards, of this format and of earlier ones.

use deeptell_face::{FaceCrop, FaceDetectorId};
use deeptell_network::{Architecture, Normalization};
use serde::Deserialize;

use super::{Calibration, CropLevel, HeatMapMethod, Levels, Measure, ModelCard, PersonScoring, Thresholds};
use crate::{Aggregation, Criteria, View};

/// What decides how to read the rest of a card.
#[derive(Deserialize)]
pub(super) struct Form {
    #[serde(default = "first_version")]
    pub(super) format_version: u64,
    pub(super) architecture: Option<String>,
}

fn first_version() -> u64 {
    1
}

/// Format 1: one calibration and one pair of thresholds; only MobileNetV3-Small, MTCNN and
/// ImageNet's normalization existed.
#[derive(Deserialize)]
pub(super) struct CardV1 {
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
