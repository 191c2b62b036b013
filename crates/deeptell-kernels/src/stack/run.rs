//! Images through the layers, row by row.

use std::iter::zip;

use pulp::{Simd, WithSimd};

use super::RowSource;
use super::layer::{Layer, cell_stride};
use super::plan::{LayerSizes, Plan};
use super::row::{Runs, convolve_row, prelu};
use crate::panel::PANEL;

/// Takes the number of an image, the number of a row of its result, and that row.
pub(super) type Sink<'a> = dyn FnMut(usize, usize, &[f32]) + 'a;

/// Some images through the network, on this thread.
///
/// Without a type parameter, so that it is compiled with this crate and its optimization and not
/// with that of whoever has the images.
pub(super) struct Run<'a> {
    pub(super) plan: &'a Plan<'a>,
    pub(super) images: &'a [&'a dyn RowSource],
    pub(super) scratch: &'a mut [f32],
    pub(super) sink: &'a mut Sink<'a>,
}

impl WithSimd for Run<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { plan, images, scratch, sink } = self;
        let streamed = plan.dense_from;
        let has_dense = streamed < plan.layers.len();
        let (features, rest) = scratch.split_at_mut(images.len() * plan.features_len());
        let (input, rest) = rest.split_at_mut(plan.input_ring_len());
        let (output, mut rest) = rest.split_at_mut(plan.output_row_len());
        let mut rings = Vec::with_capacity(streamed);
        for index in 0..streamed {
            let [convolved, pooled] = plan.ring_lens(index);
            let (convolved, after) = rest.split_at_mut(convolved);
            let (pooled, after) = after.split_at_mut(pooled);
            rest = after;
            rings.push(Ring { convolved, pooled, convolved_done: 0, pooled_done: 0 });
        }
        for (number, &image) in images.iter().enumerate() {
            for ring in &mut rings {
                (ring.convolved_done, ring.pooled_done) = (0, 0);
            }
            let mut stream = Stream { plan, image, input, input_done: 0, rings: &mut rings };
            let last = streamed - 1;
            let rows = plan.sizes[last].pooled[0];
            if has_dense {
                // The last ring holds all rows: the first dense layer's window covers them.
                stream.advance(simd, last, rows);
                let len = plan.features_len();
                features[number * len..][..len].copy_from_slice(stream.rings[last].pooled);
                continue;
            }
            let layer = &plan.layers[last];
            let stride = cell_stride(layer.outputs);
            for row in 0..rows {
                stream.advance(simd, last, row + 1);
                let cells = stream.rings[last].pooled.chunks_exact(stride);
                for (output, cell) in zip(output.chunks_exact_mut(layer.outputs), cells) {
                    output.copy_from_slice(&cell[..layer.outputs]);
                }
                sink(number, row, output);
            }
        }
        if !has_dense {
            return;
        }
        let (mut source, mut source_len) = (&*features, plan.features_len());
        let mut source_stride = cell_stride(plan.layers[streamed - 1].outputs);
        for layer in &plan.layers[streamed..] {
            let stride = cell_stride(layer.outputs);
            let (target, after) = rest.split_at_mut(images.len() * stride);
            rest = after;
            let cells = (0..layer.kernel[0] * layer.kernel[1]).map(|cell| cell * source_stride);
            let runs = Runs::new(layer, cells, source_stride);
            convolve_row(
                simd,
                layer,
                source,
                source_len,
                &runs,
                images.len(),
                layer.slope.as_deref(),
                target,
                stride,
            );
            (source, source_len, source_stride) = (&*target, stride, stride);
        }
        let outputs = plan.layers[plan.layers.len() - 1].outputs;
        for (number, cell) in source.chunks_exact(source_len).take(images.len()).enumerate() {
            sink(number, 0, &cell[..outputs]);
        }
    }
}

/// The rows of one layer that are still needed; row `r` lies in slot `r % slots`.
struct Ring<'a> {
    convolved: &'a mut [f32],
    pooled: &'a mut [f32],
    /// Rows made so far.
    convolved_done: usize,
    pooled_done: usize,
}

/// One image on its way through the streamed layers.
struct Stream<'a, 'b> {
    plan: &'a Plan<'a>,
    image: &'a dyn RowSource,
    /// The rows of the image that are still needed; row `r` lies in slot `r % slots`.
    input: &'a mut [f32],
    /// Rows of the image made so far.
    input_done: usize,
    rings: &'a mut [Ring<'b>],
}

impl Stream<'_, '_> {
    /// Makes the rows of the image up to `rows`.
    fn advance_input(&mut self, rows: usize) {
        let (slots, len) = (self.plan.layers[0].kernel[0], self.plan.input_row_len());
        while self.input_done < rows {
            let slot = self.input_done % slots;
            self.image.write_row(self.input_done, &mut self.input[slot * len..][..len]);
            self.input_done += 1;
        }
    }

    /// Makes the rows of layer `index` up to `rows`.
    fn advance<S: Simd>(&mut self, simd: S, index: usize, rows: usize) {
        let (layer, sizes) = (&self.plan.layers[index], &self.plan.sizes[index]);
        while self.rings[index].pooled_done < rows {
            let row = self.rings[index].pooled_done;
            let seen = match layer.pool {
                Some(side) => (2 * row + side).min(sizes.convolved[0]),
                None => row + 1,
            };
            while self.rings[index].convolved_done < seen {
                let convolved = self.rings[index].convolved_done;
                match index.checked_sub(1) {
                    Some(before) => self.advance(simd, before, convolved + layer.kernel[0]),
                    None => self.advance_input(convolved + layer.kernel[0]),
                }
                simd.vectorize(ConvolveRow { stream: self, index, row: convolved });
                self.rings[index].convolved_done += 1;
            }
            if layer.pool.is_some() {
                simd.vectorize(PoolRow { layer, sizes, row, ring: &mut self.rings[index] });
            }
            self.rings[index].pooled_done += 1;
        }
    }
}

/// Row `row` of the convolution of layer `index`.
struct ConvolveRow<'a, 'b, 'c> {
    stream: &'a mut Stream<'b, 'c>,
    index: usize,
    row: usize,
}

impl WithSimd for ConvolveRow<'_, '_, '_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { stream, index, row } = self;
        let plan = stream.plan;
        let (layer, sizes) = (&plan.layers[index], &plan.sizes[index]);
        let (before, after) = stream.rings.split_at_mut(index);
        let ring = &mut after[0];
        let (source, stride, slots, row_len) = match before.last() {
            None => (&*stream.input, layer.inputs, layer.kernel[0], plan.input_row_len()),
            Some(ring) => {
                let before = &plan.sizes[index - 1];
                let stride = cell_stride(layer.inputs);
                (&*ring.pooled, stride, before.pooled_rows, before.pooled_len)
            }
        };
        let rows = (row..row + layer.kernel[0]).map(|row| row % slots * row_len);
        let cells = rows.flat_map(|start| (0..layer.kernel[1]).map(move |column| start + column * stride));
        let runs = Runs::new(layer, cells, stride);
        let (target, len, slots) = if layer.pool.is_some() {
            (&mut *ring.convolved, sizes.convolved_len, sizes.convolved_rows)
        } else {
            (&mut *ring.pooled, sizes.pooled_len, sizes.pooled_rows)
        };
        let target = &mut target[row % slots * len..][..len];
        let slope = layer.slope_of_convolution();
        let width = sizes.convolved[1];
        convolve_row(simd, layer, source, stride, &runs, width, slope, target, cell_stride(layer.outputs));
    }
}

/// Row `row` of the pool over the rows of the convolution.
struct PoolRow<'a, 'b> {
    layer: &'a Layer,
    sizes: &'a LayerSizes,
    row: usize,
    ring: &'a mut Ring<'b>,
}

impl WithSimd for PoolRow<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { layer, sizes, row, ring } = self;
        let Some(side) = layer.pool else { return };
        let stride = cell_stride(layer.outputs);
        let lines = 2 * row..(2 * row + side).min(sizes.convolved[0]);
        let target = &mut ring.pooled[row % sizes.pooled_rows * sizes.pooled_len..][..sizes.pooled_len];
        for (column, cell) in target.chunks_exact_mut(stride).enumerate() {
            let columns = 2 * column..(2 * column + side).min(sizes.convolved[1]);
            let (cell, _) = S::as_mut_simd_f32s(&mut cell[..layer.panels * PANEL]);
            for (vector, target) in cell.iter_mut().enumerate() {
                let mut most = simd.splat_f32s(f32::NEG_INFINITY);
                for line in lines.clone() {
                    let line = &ring.convolved[line % sizes.convolved_rows * sizes.convolved_len..];
                    for column in columns.clone() {
                        let start = column * stride + vector * S::F32_LANES;
                        let (value, _) = S::as_simd_f32s(&line[start..][..S::F32_LANES]);
                        most = simd.max_f32s(most, value[0]);
                    }
                }
                *target = most;
            }
            if let Some(slope) = layer.slope_of_pool() {
                let (slope, _) = S::as_simd_f32s(slope);
                for (value, slope) in zip(cell, slope) {
                    *value = prelu(simd, *value, *slope);
                }
            }
        }
    }
}
