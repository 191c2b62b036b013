//! Crops of candidates put through a network in batches of bounded size.

use burn::tensor::{Tensor, TensorData};
use deeptell_face::RgbImage;
use deeptell_kernels::{ConvStack, RowSource as _, sigmoid};
use rayon::prelude::*;

use crate::cascade::Candidate;
use crate::cascade::resample::Resampled;
use crate::{Mtcnn, MtcnnError};

/// A network's output for one candidate's crop.
#[derive(Debug, Clone, Copy)]
pub(crate) struct CropOutput<const VALUES: usize> {
    /// Number of the candidate among those of its image.
    pub(crate) number: usize,
    pub(crate) candidate: Candidate,
    pub(crate) values: [f32; VALUES],
}

/// How crops are sent through a network.
pub(crate) struct Batches {
    /// For errors.
    pub(crate) network: &'static str,
    /// Side of the network's input, in pixels.
    pub(crate) side: usize,
    /// Crops in one forward pass.
    pub(crate) size: usize,
}

impl Mtcnn {
    /// Crops every candidate out of its image and sends all crops through a network: through `fused` where there is
    /// one, otherwise through `network` in batches that are read back together. A candidate without a pixel inside its
    /// image is left out.
    ///
    /// # Shapes
    /// Crops are `[batch, 3, side, side]` in `-1..=1`. The output is `[batch, VALUES]`, a
    /// probability first; that of `fused` begins with the logit instead.
    pub(crate) fn run_on_crops<const VALUES: usize>(
        &self,
        images: &[&RgbImage],
        candidates: &[Vec<Candidate>],
        batches: &Batches,
        fused: Option<&ConvStack>,
        network: impl Fn(Tensor<4>) -> Tensor<2>,
    ) -> Result<Vec<Vec<CropOutput<VALUES>>>, MtcnnError> {
        assert_eq!(images.len(), candidates.len(), "one list of candidates per image");
        let windows: Vec<_> = images
            .iter()
            .zip(candidates)
            .enumerate()
            .flat_map(|(index, (image, candidates))| {
                candidates.iter().enumerate().filter_map(move |(number, &candidate)| {
                    let window = candidate.window(image.width(), image.height())?;
                    Some((index, number, candidate, window))
                })
            })
            .collect();
        let mut outputs = vec![Vec::new(); images.len()];
        if windows.is_empty() {
            return Ok(outputs);
        }
        let side = batches.side;
        let crops: Vec<Resampled<'_>> = windows
            .iter()
            .map(|&(index, _, _, window)| Resampled::whole(images[index], window, [side, side]))
            .collect();
        let values = if let Some(fused) = fused {
            let mut values = fused.forward_rows(&crops, side, side);
            for logit in values.iter_mut().step_by(VALUES) {
                *logit = sigmoid(*logit);
            }
            values
        } else {
            let answers = crops.chunks(batches.size).map(|crops| network(self.batch(crops, side)));
            Tensor::cat(answers.collect(), 0)
                .try_into_vec_as::<f32>()
                .map_err(|source| MtcnnError::Device { network: batches.network, source })?
        };
        for (&(index, number, candidate, _), values) in windows.iter().zip(values.as_chunks().0) {
            outputs[index].push(CropOutput { number, candidate, values: *values });
        }
        Ok(outputs)
    }

    /// `crops` as a tensor, `[crops, 3, side, side]`.
    fn batch(&self, crops: &[Resampled<'_>], side: usize) -> Tensor<4> {
        let mut pixels = vec![0.0; crops.len() * side * side * 3];
        pixels.par_chunks_mut(side * side * 3).zip(crops).for_each(|(pixels, crop)| {
            for (row, target) in pixels.chunks_exact_mut(3 * side).enumerate() {
                crop.write_row(row, target);
            }
        });
        let shape = [crops.len(), side, side, 3];
        Tensor::<4>::from_data(TensorData::new(pixels, shape), &self.device).permute([0, 3, 1, 2])
    }
}
