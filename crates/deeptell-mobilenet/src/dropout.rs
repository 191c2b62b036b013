//! Dropout that is drawn before the pass that uses it.

use burn::tensor::{Device, Tensor};
use deeptell_weights::DropoutMask;

use crate::MobileNetV3;

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
        let positions = map_size.map(|[height, width]| images * height * width);
        Some(DropoutMask::draw(images, positions, hidden, self.dropout.prob, device))
    }

    /// [`forward`](Self::forward) in training with dropout as drawn before; without a mask it is drawn here.
    ///
    /// # Panics
    /// If the mask has another number of images.
    pub fn forward_with(&self, input: Tensor<4>, mask: Option<&DropoutMask>) -> Tensor<2> {
        self.classify_with(self.embed(input), mask.map(DropoutMask::images))
    }

    /// [`localize`](Self::localize) in training with dropout as drawn before; without a mask it is drawn here.
    ///
    /// # Panics
    /// If the mask has another number of images or positions, or none for positions.
    pub fn localize_with(&self, input: Tensor<4>, mask: Option<&DropoutMask>) -> (Tensor<2>, Tensor<4>) {
        #[expect(clippy::expect_used, reason = "documented")]
        let of_positions = mask.map(|mask| mask.positions().expect("a mask drawn with a map size"));
        self.localize_masked(input, of_positions, mask.map(DropoutMask::images))
    }
}
