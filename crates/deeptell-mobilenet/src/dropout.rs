//! Dropout that is drawn before the pass that uses it.

use std::ops::Range;

use burn::tensor::{Device, Distribution, Tensor};

use crate::MobileNetV3;

/// The hidden units of the classifier that a training step keeps.
///
/// In training, [`MobileNetV3::forward`] draws them itself, from the one random generator that all devices share.
/// Replicas of a network that share a batch run at the same time, so which of them would draw first depends on
/// timing. They take the parts of a mask that was drawn for the whole batch, and keep together what one network
/// would have kept.
#[derive(Debug, Clone)]
pub struct DropoutMask {
    /// 0 for a dropped unit, else 1 over the probability of keeping one: `[images, hidden]`.
    images: Tensor<2>,
    /// The same for each position of the last feature map: `[images * positions, hidden]`.
    positions: Option<Tensor<2>>,
}

impl DropoutMask {
    /// The rows of some of the images, on `device`.
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

impl MobileNetV3 {
    /// Draws the dropout of one training step on `device`, in the order in which
    /// [`forward`](Self::forward) draws it, or with `map_size`, rows and columns of the last feature map,
    /// [`localize`](Self::localize). `None` for a network without dropout.
    pub fn draw_dropout(
        &self,
        images: usize,
        map_size: Option<[usize; 2]>,
        device: &Device,
    ) -> Option<DropoutMask> {
        if self.dropout.prob == 0.0 || !self.dropout.training.is_enabled() {
            return None;
        }
        let [_, hidden] = self.hidden.weight.dims();
        let kept = 1.0 - self.dropout.prob;
        let draw = |rows| {
            Tensor::random([rows, hidden], Distribution::Bernoulli(kept), &device.clone().inner())
                * (1.0 / kept)
        };
        let positions = map_size.map(|[height, width]| draw(images * height * width));
        Some(DropoutMask { images: draw(images), positions })
    }

    /// [`forward`](Self::forward) in training with dropout as drawn before; without a mask it is drawn here.
    ///
    /// # Panics
    /// If the mask has another number of images.
    pub fn forward_with(&self, input: Tensor<4>, mask: Option<&DropoutMask>) -> Tensor<2> {
        self.classify_with(self.embed(input), mask.map(|mask| mask.images.clone()))
    }

    /// [`localize`](Self::localize) in training with dropout as drawn before; without a mask it is drawn here.
    ///
    /// # Panics
    /// If the mask has another number of images or positions, or none for positions.
    pub fn localize_with(&self, input: Tensor<4>, mask: Option<&DropoutMask>) -> (Tensor<2>, Tensor<4>) {
        #[expect(clippy::expect_used, reason = "documented")]
        let of_positions = mask.map(|mask| mask.positions.clone().expect("a mask drawn with a map size"));
        self.localize_masked(input, of_positions, mask.map(|mask| mask.images.clone()))
    }
}
