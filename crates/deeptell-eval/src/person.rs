//! One score for a person from the crops that show them.

use deeptell::{Levels, PersonFeatures};

use deeptell_data::Sample;
use serde_json::Value;

use crate::suite::{CropOutcome, CropScore};

/// The name of the person within the video, where the manifest has one: `extra.track`.
pub(crate) fn person_name(sample: &Sample) -> Option<String> {
    match sample.extra.get("track")? {
        Value::String(name) => Some(name.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

/// What the crops of one person say together.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Evidence {
    pub(crate) features: PersonFeatures,
    /// Median blur, in `0..=1`.
    pub(crate) blur: f64,
    /// Median side of the crops in their frames, in pixels, where it is known.
    pub(crate) width: Option<f64>,
}

impl Evidence {
    /// `None` when no crop has a logit.
    pub(crate) fn of(crops: &[&CropScore]) -> Option<Self> {
        let logits: Vec<f64> = crops.iter().filter_map(|crop| crop.logit()).collect();
        let blurs = crops.iter().filter_map(|crop| match crop.outcome {
            CropOutcome::Scored { blur, .. } => Some(f64::from(blur)),
            _ => None,
        });
        let blur = median(blurs.collect())?;
        let width = median(crops.iter().filter_map(|crop| crop.crop_width).collect());
        let features = PersonFeatures::new(&logits, width.unwrap_or(1.0) as f32, blur as f32)?;
        Some(Self { features, blur, width })
    }
}

/// The score of a person as a scan would give it; `None` when no crop has one.
pub(crate) fn person_score(levels: &Levels, crops: &[&CropScore]) -> Option<f64> {
    let probabilities = || crops.iter().filter_map(|crop| crop.probability(levels)).collect();
    levels.person.scoring.probability(probabilities, || Some(Evidence::of(crops)?.features))
}

fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let upper = *values.get(values.len() / 2)?;
    Some(if values.len() % 2 == 1 { upper } else { 0.5 * (values[values.len() / 2 - 1] + upper) })
}
