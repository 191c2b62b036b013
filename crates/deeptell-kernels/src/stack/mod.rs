//! A whole small network in one pass: unpadded convolutions with `PReLU` and max pooling.
//!
//! Feature maps are kept channels last, with the channels of a cell in whole vectors. A block
//! of the convolution keeps the sums of several cells and several vectors of output channels in
//! registers; each weight vector is loaded once for all cells of the block, and each input
//! value is spread over the lanes. Maps of any width, down to a single cell, fill the vectors,
//! and pooling is a maximum of whole vectors.
//!
//! Rows are produced on demand: a layer computes a row as soon as the next one asks for it, and
//! keeps no more rows than the next one's window is high. So a large image streams through all
//! layers inside the second-level cache, and no feature map exists as a whole.

mod layer;
mod plan;
mod row;
mod run;

use pulp::Arch;
use rayon::prelude::*;

use self::layer::Layer;
use self::plan::Plan;
use self::run::Run;
use crate::scratch::with_scratch;

pub(crate) use self::layer::LayerSource;

/// An image whose rows are made when the network asks for them.
///
/// Each row is asked for once, from the first to the last, so what a row is made from, like the
/// pixels of a larger image that it averages, passes through the caches once.
pub trait RowSource: Sync {
    /// Writes row `row` to `target`: columns times channels floats, channels last.
    fn write_row(&self, row: usize, target: &mut [f32]);
}

/// An image that lies in memory as a whole.
struct Stored<'a>(&'a [f32]);

impl RowSource for Stored<'_> {
    fn write_row(&self, row: usize, target: &mut [f32]) {
        target.copy_from_slice(&self.0[row * target.len()..][..target.len()]);
    }
}

/// Images whose dense layers run together, so that each weight is read once for all of them.
const BATCH: usize = 8;

/// A network ready to run: the weights in the order the inner loop reads them.
#[derive(Debug)]
pub(crate) struct Stack {
    layers: Vec<Layer>,
}

impl Stack {
    pub(crate) fn new(layers: &[LayerSource]) -> Self {
        Self { layers: layers.iter().map(Layer::new).collect() }
    }

    /// Channels that go in.
    pub(crate) fn inputs(&self) -> usize {
        self.layers[0].inputs
    }

    /// Rows, columns and channels that come out; `None` when an image is too small.
    pub(crate) fn output(&self, mut size: [usize; 2]) -> Option<[usize; 3]> {
        let mut channels = 0;
        for layer in &self.layers {
            size = layer.pooled(layer.convolved(size)?);
            channels = layer.outputs;
        }
        Some([size[0], size[1], channels])
    }

    /// The network on `images` images of `size` (rows, columns), channels last.
    ///
    /// # Panics
    /// When an image is too small, or `input` has another length.
    pub(crate) fn forward(&self, input: &[f32], images: usize, size: [usize; 2]) -> Vec<f32> {
        let input_len = size[0] * size[1] * self.inputs();
        assert_eq!(input.len(), images * input_len, "size of the images");
        let images: Vec<_> = input.chunks_exact(input_len).map(Stored).collect();
        let images: Vec<_> = images.iter().map(|image| image as &dyn RowSource).collect();
        self.forward_rows(&images, size)
    }

    /// The network on images of `size` (rows, columns) that are made row by row.
    ///
    /// # Panics
    /// When an image is too small.
    pub(crate) fn forward_rows(&self, images: &[&dyn RowSource], size: [usize; 2]) -> Vec<f32> {
        let plan = Plan::new(&self.layers, size);
        let (rows, row_len) = (plan.sizes[plan.sizes.len() - 1].pooled[0], plan.output_row_len());
        let output_len = rows * row_len;
        let mut output = vec![0.0; images.len() * output_len];
        let arch = Arch::new();
        let batch = images.len().div_ceil(rayon::current_num_threads()).clamp(1, BATCH);
        output.par_chunks_mut(batch * output_len).zip(images.par_chunks(batch)).for_each(
            |(output, images)| {
                let mut sink = |image: usize, row: usize, values: &[f32]| {
                    output[image * output_len + row * row_len..][..row_len].copy_from_slice(values);
                };
                with_scratch(plan.scratch_len(images.len()), |scratch| {
                    arch.dispatch(Run { plan: &plan, images, scratch, sink: &mut sink });
                });
            },
        );
        output
    }

    /// The network on one image of `size`, on this thread: `sink` gets each row of the result as
    /// soon as it is complete.
    ///
    /// # Panics
    /// When the image is too small.
    pub(crate) fn stream_rows(
        &self,
        image: &dyn RowSource,
        size: [usize; 2],
        sink: &mut dyn FnMut(usize, &[f32]),
    ) {
        let plan = Plan::new(&self.layers, size);
        let mut sink = |_: usize, row: usize, values: &[f32]| sink(row, values);
        with_scratch(plan.scratch_len(1), |scratch| {
            Arch::new().dispatch(Run { plan: &plan, images: &[image], scratch, sink: &mut sink });
        });
    }
}
