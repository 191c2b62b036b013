use deeptell::Model;
use deeptell_data::Sample;
use deeptell_face::RgbImage;
use rayon::prelude::*;

use crate::{EvalError, Watch};

/// Crops that are in memory, and go through the network, at a time.
const BATCH: usize = 32;

/// What `judge` says of each crop, cut as the model's card asks; `judge` takes a batch of crops and returns as many
/// values. The task is reported to `watch` in crops.
///
/// # Errors
/// [`EvalError::Crop`] when a picture cannot be read or cut, [`EvalError::Stopped`], and those of `judge`.
pub fn per_crop<T>(
    task: &str,
    model: &Model,
    samples: &[&Sample],
    watch: &mut dyn Watch,
    judge: impl Fn(&[RgbImage]) -> Result<Vec<T>, EvalError>,
) -> Result<Vec<T>, EvalError> {
    watch.begin(task, samples.len(), "crops");
    let mut values = Vec::with_capacity(samples.len());
    for batch in samples.chunks(BATCH) {
        if watch.wants_stop() {
            return Err(EvalError::Stopped);
        }
        let crops = batch
            .par_iter()
            .map(|sample| deeptell_train::load_crop(sample, &model.card().crop))
            .collect::<Result<Vec<_>, _>>()?;
        values.extend(judge(&crops)?);
        watch.advance(batch.len());
    }
    watch.end();
    Ok(values)
}

/// Whether each sample is a fake.
pub fn labels(samples: &[&Sample]) -> Vec<bool> {
    samples.iter().map(|sample| sample.label.is_fake()).collect()
}
