//! Crops of candidates put through a network in batches of bounded size.

use burn::tensor::{Tensor, TensorData};
use deeptell_image::RgbImage;
use rayon::prelude::*;

use crate::resample::resample_part;
use crate::{Candidate, Mtcnn, MtcnnError};

/// What a network says of one candidate's crop.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Verdict<const VALUES: usize> {
    pub(crate) candidate: Candidate,
    pub(crate) values: [f32; VALUES],
}

/// How crops are shown to a network.
pub(crate) struct Batches {
    /// For errors.
    pub(crate) network: &'static str,
    /// Side of the network's input, in pixels.
    pub(crate) side: usize,
    /// Crops in one forward pass.
    pub(crate) size: usize,
}

impl Mtcnn {
    /// Crops every candidate out of its image, whatever the image, and runs `network` over all
    /// of them. A candidate without a pixel inside its image is left out.
    ///
    /// # Shapes
    /// `network` takes `[batch, 3, side, side]` in `-1..=1` and gives `[batch, VALUES]`.
    pub(crate) fn judge<const VALUES: usize>(
        &self,
        images: &[RgbImage],
        candidates: &[Vec<Candidate>],
        batches: &Batches,
        network: impl Fn(Tensor<4>) -> Tensor<2>,
    ) -> Result<Vec<Vec<Verdict<VALUES>>>, MtcnnError> {
        assert_eq!(images.len(), candidates.len(), "one list of candidates an image");
        let crops: Vec<_> = images
            .iter()
            .zip(candidates)
            .enumerate()
            .flat_map(|(index, (image, candidates))| {
                candidates.iter().filter_map(move |&candidate| {
                    let window = candidate.window(image.width(), image.height())?;
                    Some((index, candidate, window))
                })
            })
            .collect();
        let mut verdicts = vec![Vec::new(); images.len()];
        if crops.is_empty() {
            return Ok(verdicts);
        }
        let side = batches.side;
        let outputs = crops
            .chunks(batches.size)
            .map(|chunk| {
                let mut pixels = vec![0.0; chunk.len() * 3 * side * side];
                pixels.par_chunks_mut(3 * side * side).zip(chunk).for_each(
                    |(planes, &(index, _, window))| {
                        resample_part(&images[index], window, [side, side], 0..side, 0..side, planes);
                    },
                );
                let shape = [chunk.len(), 3, side, side];
                network(Tensor::from_data(TensorData::new(pixels, shape), &self.device))
            })
            .collect();
        let values = Tensor::cat(outputs, 0)
            .try_into_vec_as::<f32>()
            .map_err(|source| MtcnnError::Device { network: batches.network, source })?;
        for (&(index, candidate, _), values) in crops.iter().zip(values.as_chunks().0) {
            verdicts[index].push(Verdict { candidate, values: *values });
        }
        Ok(verdicts)
    }
}
