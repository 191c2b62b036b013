use burn::tensor::Device;
use deeptell_data::Sample;
use deeptell_face::FaceCrop;
use deeptell_mobilenet::{MobileNetV3Small, normalize};

use crate::TrainError;
use crate::batch::Loader;
use crate::order::Unit;

/// Pictures a forward pass; more gain nothing on a CPU.
const BATCH: usize = 32;

/// The network's logit for each sample, in order; higher means more likely fake.
///
/// `network` has one output and lies on `device`, which is no autodiff device; fold it first
/// for speed. `progress` hears how many samples are done.
///
/// # Errors
/// [`TrainError`] when a picture cannot be read or cut, or a logit is not finite.
pub fn predict(
    network: &MobileNetV3Small,
    samples: &[&Sample],
    crop: &FaceCrop,
    device: &Device,
    mut progress: impl FnMut(usize),
) -> Result<Vec<f64>, TrainError> {
    let mut logits = Vec::with_capacity(samples.len());
    std::thread::scope(|scope| {
        let loader = Loader { samples, crop, training: None };
        for batch in loader.batches(scope, (0..samples.len()).map(Unit::Single).collect(), BATCH) {
            let batch = batch?;
            let input = normalize(&batch.images, device)?;
            let values = rayon::scope(|_| network.forward(input).try_into_vec_as::<f32>())
                .map_err(|e| TrainError::Device { reason: e.to_string() })?;
            for (unit, value) in batch.units.iter().zip(&values) {
                if !value.is_finite() {
                    let first = samples[unit.first()].path.clone();
                    let value = f64::from(*value);
                    let batch = logits.len() / BATCH + 1;
                    return Err(TrainError::NotFinite { what: "a score", value, epoch: 0, batch, first });
                }
            }
            logits.extend(values.into_iter().map(f64::from));
            progress(logits.len());
        }
        Ok(logits)
    })
}
