//! What a step minimizes.

use std::ops::Range;

use burn::tensor::{Device, Tensor, TensorData};
use deeptell_network::{DropoutMask, Network, Normalization, normalize};
use image::GrayImage;

use crate::batch::Batch;
use crate::loss::{known_share, localization_loss};
use crate::masked::{STRIDE, cell_shares};
use crate::{LossConfig, TrainError, binary_cross_entropy_with_logits};

/// The loss of some pictures of a batch as a function of the network.
pub(crate) struct Objective {
    input: Tensor<4>,
    targets: Tensor<2>,
    pos_weight: f64,
    localization: Option<Localization>,
    /// Of the batch, the pictures that these are; the loss is multiplied by it. `None` for all.
    share: Option<f64>,
}

/// The second loss, on where pictures are manipulated.
struct Localization {
    shares: Tensor<4>,
    known: Tensor<4>,
    /// Share of the batch's pictures whose targets are known.
    known_share: Tensor<1>,
    weight: f64,
}

impl Objective {
    /// The loss of these pictures of the batch, so that the losses of all parts of a batch add up to that of the
    /// whole. The tensors are on `device`.
    pub(crate) fn new(
        batch: &Batch,
        pictures: Range<usize>,
        config: &LossConfig,
        pos_weight: f64,
        device: &Device,
    ) -> Result<Self, TrainError> {
        let (count, all) = (pictures.len(), batch.images.len());
        let input = normalize(&batch.images[pictures.clone()], &Normalization::IMAGENET, device)?;
        let smooth = config.label_smoothing as f32;
        let target = |&fake: &bool| if fake { 1.0 - 0.5 * smooth } else { 0.5 * smooth };
        let targets: Vec<f32> = batch.fakes[pictures.clone()].iter().map(target).collect();
        let targets = Tensor::from_data(TensorData::new(targets, [count, 1]), device);
        let localization = (config.localization_weight > 0.0).then(|| {
            let (shares, known) =
                localization_targets(&batch.masks[pictures], batch.images[0].width(), device);
            let known_share = known_share(known_pictures(&batch.masks, device));
            Localization { shares, known, known_share, weight: config.localization_weight }
        });
        let share = (count < all).then(|| count as f64 / all as f64);
        Ok(Self { input, targets, pos_weight, localization, share })
    }

    /// The loss; dropout is drawn here or taken from a mask.
    pub(crate) fn loss(&self, network: &Network, mask: Option<&DropoutMask>) -> Tensor<1> {
        let of_logits =
            |logits| binary_cross_entropy_with_logits(logits, self.targets.clone(), self.pos_weight);
        let loss = match &self.localization {
            None => of_logits(network.forward_with(self.input.clone(), mask)),
            Some(Localization { shares, known, known_share, weight }) => {
                let (logits, map) = network.localize_with(self.input.clone(), mask);
                let of_map = localization_loss(map, shares.clone(), known.clone(), known_share.clone());
                of_logits(logits) + of_map * *weight
            }
        };
        match self.share {
            None => loss,
            Some(share) => loss * share,
        }
    }

    /// How many pictures it is about.
    pub(crate) fn pictures(&self) -> usize {
        self.targets.dims()[0]
    }

    /// Part of the batch, in `0..=1`.
    pub(crate) fn share(&self) -> f64 {
        self.share.unwrap_or(1.0)
    }

    /// Rows and columns of the last feature map, if the loss is about it, too.
    pub(crate) fn map_size(&self) -> Option<[usize; 2]> {
        self.localization.as_ref().map(|localization| {
            let [_, _, height, width] = localization.shares.dims();
            [height, width]
        })
    }
}

/// The targets of [`localization_loss`] for square pictures of `side` pixels, and which of them are known.
fn localization_targets(masks: &[Option<GrayImage>], side: u32, device: &Device) -> (Tensor<4>, Tensor<4>) {
    let (images, cells) = (masks.len(), side.div_ceil(STRIDE) as usize);
    let of_picture = |mask: &Option<GrayImage>| match mask {
        Some(mask) => cell_shares(mask),
        None => vec![0.0; cells * cells],
    };
    let shares: Vec<f32> = masks.iter().flat_map(of_picture).collect();
    let shares = Tensor::from_data(TensorData::new(shares, [images, 1, cells, cells]), device);
    (shares, known_pictures(masks, device))
}

/// 1 for a picture with a mask, else 0: `[N, 1, 1, 1]`.
fn known_pictures(masks: &[Option<GrayImage>], device: &Device) -> Tensor<4> {
    let known: Vec<f32> = masks.iter().map(|mask| if mask.is_some() { 1.0 } else { 0.0 }).collect();
    Tensor::from_data(TensorData::new(known, [masks.len(), 1, 1, 1]), device)
}

#[cfg(test)]
mod tests {
    use image::Luma;

    use super::*;

    #[test]
    fn localization_targets_are_shares_of_cells() {
        let device = Device::flex();
        // The left half of the first cell, and all of the narrower last column of cells.
        let inside = |x, y| x < 16 && y < 32 || x >= 64;
        let mask = GrayImage::from_fn(80, 80, |x, y| Luma([if inside(x, y) { 255 } else { 0 }]));
        let (shares, known) = localization_targets(&[None, Some(mask)], 80, &device);
        assert_eq!(shares.dims(), [2, 1, 3, 3]);
        let shares = shares.try_into_vec_as::<f32>().unwrap();
        assert_eq!(shares[..9], [0.0; 9]);
        assert_eq!(shares[9..], [0.5, 0.0, 1.0, 0.0, 0.0, 1.0, 0.0, 0.0, 1.0]);
        assert_eq!(known.try_into_vec_as::<f32>().unwrap(), [0.0, 1.0]);
    }
}
