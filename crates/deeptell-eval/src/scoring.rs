use deeptell::Model;
use deeptell_data::Sample;

use crate::suite::{CropOutcome, CropScore, FoundFaces, Framing, Scoring, score_listed};
use crate::{Distortion, EvalError, Watch};

/// Scores crops, cut as the model's card asks, each after a loss of quality where there is one.
///
/// # Errors
/// [`EvalError::MissingCrop`] when one cannot be read or cut, [`EvalError::Stopped`], and when the model cannot compute.
pub fn score_samples(
    model: &Model,
    samples: &[&Sample],
    distortion: Option<Distortion>,
    watch: &mut dyn Watch,
) -> Result<Vec<CropScore>, EvalError> {
    let framing = Framing { detect: false, whole_without_face: false };
    let list = samples.iter().map(|sample| (*sample).clone()).collect();
    let scoring = Scoring { distortion, genuine_only: false };
    let scored = score_listed(&[(framing, list)], model, scoring, None, &mut FoundFaces::default(), watch)?;
    let scored: Vec<CropScore> = scored.into_iter().flatten().collect();
    for crop in &scored {
        if let CropOutcome::Missing { why } = &crop.outcome {
            return Err(EvalError::MissingCrop { path: crop.path.clone(), why: why.clone() });
        }
    }
    Ok(scored)
}
