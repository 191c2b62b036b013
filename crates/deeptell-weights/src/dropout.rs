use std::ops::Range;

use burn::tensor::{Device, Distribution, Tensor};

/// The hidden units of a classifier that a training step keeps, drawn before the pass that uses them.
///
/// In training, a network draws them itself, from the one random generator that all devices share. Replicas of a
/// network that share a batch run at the same time, so which of them would draw first depends on timing. They take
/// the parts of a mask that was drawn for the whole batch, and keep together what one network would have kept.
#[derive(Debug, Clone)]
pub struct DropoutMask {
    images: Tensor<2>,
    positions: Option<Tensor<2>>,
}

impl DropoutMask {
    /// A mask for a classifier of `hidden` units that drops each with `probability`, in `0..1`, drawn on `device`; if
    /// there are any, first for each of the `positions` of the last feature maps of all images, then for each image.
    pub fn draw(
        images: usize,
        positions: Option<usize>,
        hidden: usize,
        probability: f64,
        device: &Device,
    ) -> Self {
        let kept = 1.0 - probability;
        let draw = |rows| {
            Tensor::random([rows, hidden], Distribution::Bernoulli(kept), &device.clone().inner())
                * (1.0 / kept)
        };
        let positions = positions.map(draw);
        Self { images: draw(images), positions }
    }

    /// 0 for a dropped unit, else 1 over the probability of keeping one: `[images, hidden]`.
    pub fn images(&self) -> Tensor<2> {
        self.images.clone()
    }

    /// The same for each position of the last feature map: `[images * positions, hidden]`; `None` if none were drawn.
    pub fn positions(&self) -> Option<Tensor<2>> {
        self.positions.clone()
    }

    /// The rows of some of the images, on `device`.
    ///
    /// # Panics
    /// If the mask has fewer images.
    #[must_use]
    pub fn part(&self, images: Range<usize>, device: &Device) -> Self {
        let rows = |mask: &Tensor<2>, rows: Range<usize>| mask.clone().slice([rows]).to_device(device);
        let positions = self.positions.as_ref().map(|mask| {
            let each = mask.dims()[0] / self.images.dims()[0];
            rows(mask, images.start * each..images.end * each)
        });
        Self { images: rows(&self.images, images), positions }
    }
}
