use burn::tensor::Device;
use deeptell_data::Sample;
use deeptell_face::FaceCrop;
use deeptell_network::{Network, Normalization, normalize};

use crate::TrainError;
use crate::batch::Loader;
use crate::order::Unit;

/// Pictures per forward pass; more are not faster on a CPU.
const BATCH: usize = 32;

/// The network's logit for each sample, in order; higher means more likely fake.
///
/// `network` has one output and is on `device`, which must not be an autodiff device; fold it first
/// for speed. `progress` is called with the number of samples done.
///
/// # Errors
/// [`TrainError`] when a picture cannot be read or cut, or a logit is not finite.
pub fn predict(
    network: &Network,
    samples: &[&Sample],
    crop: &FaceCrop,
    device: &Device,
    progress: impl FnMut(usize),
) -> Result<Vec<f64>, TrainError> {
    let Scores { logits, unreadable } = score(network, samples, crop, device, progress)?;
    match unreadable.into_iter().next() {
        Some(error) => Err(error),
        None => Ok(logits.into_iter().flatten().collect()),
    }
}

/// The scores of samples.
pub(crate) struct Scores {
    /// The logit of each sample, in order; `None` where its picture cannot be read.
    pub(crate) logits: Vec<Option<f64>>,
    /// Why pictures cannot be read: [`TrainError::Picture`].
    pub(crate) unreadable: Vec<TrainError>,
}

/// As [`predict`], but continues after a picture that cannot be read.
pub(crate) fn score(
    network: &Network,
    samples: &[&Sample],
    crop: &FaceCrop,
    device: &Device,
    mut progress: impl FnMut(usize),
) -> Result<Scores, TrainError> {
    let mut scores = Scores { logits: vec![None; samples.len()], unreadable: Vec::new() };
    std::thread::scope(|scope| {
        let loader = Loader { samples, crop, training: None };
        let batches = loader.batches(scope, (0..samples.len()).map(Unit::Single).collect(), BATCH);
        for (number, batch) in batches.into_iter().enumerate() {
            let batch = batch?;
            scores.unreadable.extend(batch.unreadable);
            progress(samples.len().min((number + 1) * BATCH));
            if batch.units.is_empty() {
                continue;
            }
            let input = normalize(&batch.images, &Normalization::IMAGENET, device)?;
            let values = rayon::scope(|_| network.forward(input).try_into_vec_as::<f32>())
                .map_err(|e| TrainError::Device { reason: e.to_string() })?;
            for (unit, value) in batch.units.iter().zip(&values) {
                if !value.is_finite() {
                    let first = samples[unit.first()].path.clone();
                    let (value, batch) = (f64::from(*value), number + 1);
                    return Err(TrainError::NotFinite { what: "a score", value, epoch: 0, batch, first });
                }
                scores.logits[unit.first()] = Some(f64::from(*value));
            }
        }
        Ok(scores)
    })
}
