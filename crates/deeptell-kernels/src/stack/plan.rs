//! What a network needs for one size of input.

use super::layer::{Layer, cell_stride};

/// The sizes of one layer for one size of input.
#[derive(Debug)]
pub(super) struct LayerSizes {
    pub(super) convolved: [usize; 2],
    pub(super) pooled: [usize; 2],
    /// Rows of the convolution that are kept: those one pool window sees.
    pub(super) convolved_rows: usize,
    /// Rows of the result that are kept: those the next layer's window sees.
    pub(super) pooled_rows: usize,
    /// Floats of one row of the convolution.
    pub(super) convolved_len: usize,
    /// Floats of one row of the result.
    pub(super) pooled_len: usize,
}

/// The sizes of all layers for one size of input.
pub(super) struct Plan<'a> {
    pub(super) layers: &'a [Layer],
    pub(super) sizes: Vec<LayerSizes>,
    pub(super) input: [usize; 2],
    /// The first of the layers that make a single cell; they run over several images at once.
    pub(super) dense_from: usize,
}

impl<'a> Plan<'a> {
    pub(super) fn new(layers: &'a [Layer], input: [usize; 2]) -> Self {
        let mut size = input;
        let mut sizes: Vec<LayerSizes> = Vec::with_capacity(layers.len());
        for (index, layer) in layers.iter().enumerate() {
            let convolved = layer.convolved(size);
            #[expect(clippy::expect_used, reason = "the caller has checked the size")]
            let convolved = convolved.expect("an image at least as large as the windows");
            let pooled = layer.pooled(convolved);
            let stride = cell_stride(layer.outputs);
            sizes.push(LayerSizes {
                convolved,
                pooled,
                convolved_rows: layer.pool.unwrap_or(0),
                pooled_rows: layers.get(index + 1).map_or(1, |next| next.kernel[0]),
                convolved_len: convolved[1] * stride,
                pooled_len: pooled[1] * stride,
            });
            size = pooled;
        }
        let single = |layer: &LayerSizes| layer.convolved == [1, 1];
        let dense = sizes.iter().rev().take_while(|layer| single(layer)).count();
        let dense_from = (sizes.len() - dense).max(1);
        Self { layers, sizes, input, dense_from }
    }

    /// Floats of a layer's rows of the convolution and of the result.
    pub(super) fn ring_lens(&self, index: usize) -> [usize; 2] {
        let sizes = &self.sizes[index];
        [sizes.convolved_rows * sizes.convolved_len, sizes.pooled_rows * sizes.pooled_len]
    }

    /// Floats of the features one image hands to the dense layers.
    pub(super) fn features_len(&self) -> usize {
        self.ring_lens(self.dense_from - 1)[1]
    }

    /// Floats of one row of the image.
    pub(super) fn input_row_len(&self) -> usize {
        self.input[1] * self.layers[0].inputs
    }

    /// Floats of the rows of the image that the first layer's window sees.
    pub(super) fn input_ring_len(&self) -> usize {
        self.layers[0].kernel[0] * self.input_row_len()
    }

    /// Floats of one row of the result, its channels without a gap.
    pub(super) fn output_row_len(&self) -> usize {
        let last = self.layers.len() - 1;
        self.sizes[last].pooled[1] * self.layers[last].outputs
    }

    /// Floats of working memory for `batch` images at once.
    pub(super) fn scratch_len(&self, batch: usize) -> usize {
        let rings: usize = (0..self.dense_from).flat_map(|index| self.ring_lens(index)).sum();
        let dense: usize =
            self.layers[self.dense_from..].iter().map(|layer| batch * cell_stride(layer.outputs)).sum();
        self.input_ring_len() + rings + batch * self.features_len() + dense + self.output_row_len()
    }
}
