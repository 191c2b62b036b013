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

use pulp::{Arch, Simd, WithSimd};
use rayon::prelude::*;
use std::array;
use std::iter::zip;

use crate::scratch::with_scratch;

/// Output channels that share a block of the weights; a multiple of every vector's lanes.
const PANEL: usize = 16;

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

/// One layer as the caller has it.
#[derive(Debug)]
pub(crate) struct LayerSource {
    /// `[outputs, inputs, kernel_height, kernel_width]`, row by row.
    pub(crate) weight: Vec<f32>,
    pub(crate) shape: [usize; 4],
    pub(crate) bias: Vec<f32>,
    /// Factor for negative values, one a channel; `None` leaves the values as they are.
    pub(crate) slope: Option<Vec<f32>>,
    /// Side of the maximum's window, which moves by two.
    pub(crate) pool: Option<usize>,
}

#[derive(Debug)]
struct Layer {
    inputs: usize,
    outputs: usize,
    kernel: [usize; 2],
    pool: Option<usize>,
    panels: usize,
    /// Panel by panel, for each window row, window column and input channel: the weights of the
    /// panel's output channels.
    weights: Vec<f32>,
    /// Whole panels, zero behind the last channel.
    bias: Vec<f32>,
    slope: Option<Vec<f32>>,
    /// No slope is negative: then the activation keeps the order of values, and applying it
    /// after the pool gives the same bits for less work.
    rising: bool,
}

/// Floats from one cell to the next in a map of `channels` channels.
///
/// A power of two: the inner loop is compiled for a few of them.
fn cell_stride(channels: usize) -> usize {
    channels.div_ceil(PANEL).next_power_of_two() * PANEL
}

impl Layer {
    fn new(source: &LayerSource) -> Self {
        let [outputs, inputs, height, width] = source.shape;
        let panels = outputs.div_ceil(PANEL);
        let taps = height * width;
        let mut weights = vec![0.0; panels * taps * inputs * PANEL];
        for output in 0..outputs {
            for input in 0..inputs {
                for tap in 0..taps {
                    let row = (output / PANEL * taps + tap) * inputs + input;
                    weights[row * PANEL + output % PANEL] =
                        source.weight[(output * inputs + input) * taps + tap];
                }
            }
        }
        let padded = |values: &[f32]| {
            let mut padded = values.to_vec();
            padded.resize(panels * PANEL, 0.0);
            padded
        };
        Self {
            inputs,
            outputs,
            kernel: [height, width],
            pool: source.pool,
            panels,
            weights,
            bias: padded(&source.bias),
            slope: source.slope.as_deref().map(padded),
            rising: source.slope.as_ref().is_none_or(|slope| slope.iter().all(|slope| *slope >= 0.0)),
        }
    }

    /// Rows and columns before the pool; `None` when the window does not fit.
    fn convolved(&self, [height, width]: [usize; 2]) -> Option<[usize; 2]> {
        let side = |cells: usize, kernel: usize| (cells + 1).checked_sub(kernel).filter(|cells| *cells > 0);
        Some([side(height, self.kernel[0])?, side(width, self.kernel[1])?])
    }

    /// Rows and columns after the pool, which rounds up: the last window may reach over the
    /// edge, but does not start beyond it.
    fn pooled(&self, convolved: [usize; 2]) -> [usize; 2] {
        match self.pool {
            Some(side) => {
                convolved.map(|cells| (cells.saturating_sub(side).div_ceil(2) + 1).min(cells.div_ceil(2)))
            }
            None => convolved,
        }
    }

    /// Applied where the row of the convolution is written.
    fn slope_of_convolution(&self) -> Option<&[f32]> {
        self.slope.as_deref().filter(|_| self.pool.is_none() || !self.rising)
    }

    /// Applied where the row of the pool is written.
    fn slope_of_pool(&self) -> Option<&[f32]> {
        self.slope.as_deref().filter(|_| self.pool.is_some() && self.rising)
    }
}

/// The sizes of one layer for one size of input.
#[derive(Debug)]
struct Place {
    convolved: [usize; 2],
    pooled: [usize; 2],
    /// Rows of the convolution that are kept: those one pool window sees.
    convolved_rows: usize,
    /// Rows of the result that are kept: those the next layer's window sees.
    pooled_rows: usize,
    /// Floats of one row of the convolution.
    convolved_len: usize,
    /// Floats of one row of the result.
    pooled_len: usize,
}

/// The sizes of all layers for one size of input.
struct Plan<'a> {
    layers: &'a [Layer],
    places: Vec<Place>,
    input: [usize; 2],
    /// The first of the layers that make a single cell; they run over several images at once.
    dense_from: usize,
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
        let (rows, row_len) = (plan.places[plan.places.len() - 1].pooled[0], plan.output_row_len());
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

impl<'a> Plan<'a> {
    fn new(layers: &'a [Layer], input: [usize; 2]) -> Self {
        let mut size = input;
        let mut places: Vec<Place> = Vec::with_capacity(layers.len());
        for (index, layer) in layers.iter().enumerate() {
            let convolved = layer.convolved(size);
            #[expect(clippy::expect_used, reason = "the caller has checked the size")]
            let convolved = convolved.expect("an image at least as large as the windows");
            let pooled = layer.pooled(convolved);
            let stride = cell_stride(layer.outputs);
            places.push(Place {
                convolved,
                pooled,
                convolved_rows: layer.pool.unwrap_or(0),
                pooled_rows: layers.get(index + 1).map_or(1, |next| next.kernel[0]),
                convolved_len: convolved[1] * stride,
                pooled_len: pooled[1] * stride,
            });
            size = pooled;
        }
        let single = |place: &Place| place.convolved == [1, 1];
        let dense = places.iter().rev().take_while(|place| single(place)).count();
        let dense_from = (places.len() - dense).max(1);
        Self { layers, places, input, dense_from }
    }

    /// Floats of a layer's rows of the convolution and of the result.
    fn ring_lens(&self, index: usize) -> [usize; 2] {
        let place = &self.places[index];
        [place.convolved_rows * place.convolved_len, place.pooled_rows * place.pooled_len]
    }

    /// Floats of the features one image hands to the dense layers.
    fn features_len(&self) -> usize {
        self.ring_lens(self.dense_from - 1)[1]
    }

    /// Floats of one row of the image.
    fn input_row_len(&self) -> usize {
        self.input[1] * self.layers[0].inputs
    }

    /// Floats of the rows of the image that the first layer's window sees.
    fn input_ring_len(&self) -> usize {
        self.layers[0].kernel[0] * self.input_row_len()
    }

    /// Floats of one row of the result, its channels without a gap.
    fn output_row_len(&self) -> usize {
        let last = self.layers.len() - 1;
        self.places[last].pooled[1] * self.layers[last].outputs
    }

    fn scratch_len(&self, batch: usize) -> usize {
        let rings: usize = (0..self.dense_from).flat_map(|index| self.ring_lens(index)).sum();
        let dense: usize =
            self.layers[self.dense_from..].iter().map(|layer| batch * cell_stride(layer.outputs)).sum();
        self.input_ring_len() + rings + batch * self.features_len() + dense + self.output_row_len()
    }
}

/// Takes the number of an image, the number of a row of its result, and that row.
type Sink<'a> = dyn FnMut(usize, usize, &[f32]) + 'a;

/// Some images through the network, on this thread.
///
/// Without a type parameter, so that it is compiled with this crate and its optimisation and not
/// with that of whoever has the images.
struct Run<'a> {
    plan: &'a Plan<'a>,
    images: &'a [&'a dyn RowSource],
    scratch: &'a mut [f32],
    sink: &'a mut Sink<'a>,
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
            let rows = plan.places[last].pooled[0];
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
        let (layer, place) = (&self.plan.layers[index], &self.plan.places[index]);
        while self.rings[index].pooled_done < rows {
            let row = self.rings[index].pooled_done;
            let seen = match layer.pool {
                Some(side) => (2 * row + side).min(place.convolved[0]),
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
                simd.vectorize(PoolRow { layer, place, row, ring: &mut self.rings[index] });
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
        let (layer, place) = (&plan.layers[index], &plan.places[index]);
        let (before, after) = stream.rings.split_at_mut(index);
        let ring = &mut after[0];
        let (source, stride, slots, row_len) = match before.last() {
            None => (&*stream.input, layer.inputs, layer.kernel[0], plan.input_row_len()),
            Some(ring) => {
                let before = &plan.places[index - 1];
                let stride = cell_stride(layer.inputs);
                (&*ring.pooled, stride, before.pooled_rows, before.pooled_len)
            }
        };
        let rows = (row..row + layer.kernel[0]).map(|row| row % slots * row_len);
        let cells = rows.flat_map(|start| (0..layer.kernel[1]).map(move |column| start + column * stride));
        let runs = Runs::new(layer, cells, stride);
        let (target, len, slots) = if layer.pool.is_some() {
            (&mut *ring.convolved, place.convolved_len, place.convolved_rows)
        } else {
            (&mut *ring.pooled, place.pooled_len, place.pooled_rows)
        };
        let target = &mut target[row % slots * len..][..len];
        let slope = layer.slope_of_convolution();
        let width = place.convolved[1];
        convolve_row(simd, layer, source, stride, &runs, width, slope, target, cell_stride(layer.outputs));
    }
}

/// Row `row` of the pool over the rows of the convolution.
struct PoolRow<'a, 'b> {
    layer: &'a Layer,
    place: &'a Place,
    row: usize,
    ring: &'a mut Ring<'b>,
}

impl WithSimd for PoolRow<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { layer, place, row, ring } = self;
        let Some(side) = layer.pool else { return };
        let stride = cell_stride(layer.outputs);
        let lines = 2 * row..(2 * row + side).min(place.convolved[0]);
        let target = &mut ring.pooled[row % place.pooled_rows * place.pooled_len..][..place.pooled_len];
        for (column, cell) in target.chunks_exact_mut(stride).enumerate() {
            let columns = 2 * column..(2 * column + side).min(place.convolved[1]);
            let (cell, _) = S::as_mut_simd_f32s(&mut cell[..layer.panels * PANEL]);
            for (vector, target) in cell.iter_mut().enumerate() {
                let mut most = simd.splat_f32s(f32::NEG_INFINITY);
                for line in lines.clone() {
                    let line = &ring.convolved[line % place.convolved_rows * place.convolved_len..];
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
                    *value = bent(simd, *value, *slope);
                }
            }
        }
    }
}

/// `PReLU`: `v` where it is not negative, `slope * v` elsewhere.
#[inline(always)]
fn bent<S: Simd>(simd: S, v: S::f32s, slope: S::f32s) -> S::f32s {
    let negative = simd.less_than_f32s(v, simd.splat_f32s(0.0));
    simd.select_f32s(negative, simd.mul_f32s(v, slope), v)
}

/// Where a window's values lie: `starts.len()` runs of `len` neighbouring floats.
struct Runs {
    starts: Vec<usize>,
    len: usize,
}

impl Runs {
    /// `cells`: where the cells of the window at the first position start, in reading order.
    fn new(layer: &Layer, cells: impl Iterator<Item = usize>, stride: usize) -> Self {
        if layer.inputs != stride {
            return Self { starts: cells.collect(), len: layer.inputs };
        }
        // No gap between the cells of a row: they are one run.
        Self { starts: cells.step_by(layer.kernel[1]).collect(), len: layer.kernel[1] * layer.inputs }
    }
}

/// `width` cells of a convolution: `source` moves by `stride` from one to the next.
#[inline(always)]
#[expect(clippy::too_many_arguments, reason = "one call for rows of cells and for rows of images")]
fn convolve_row<S: Simd>(
    simd: S,
    layer: &Layer,
    source: &[f32],
    stride: usize,
    runs: &Runs,
    width: usize,
    slope: Option<&[f32]>,
    target: &mut [f32],
    target_stride: usize,
) {
    let row = Row { layer, source, stride, runs, width, slope, target, target_stride };
    // The inner loop knows the distance of neighbouring cells where it can: all cells of a
    // block then share one address register.
    match stride {
        3 => simd.vectorize(StridedRow::<3>(row)),
        16 => simd.vectorize(StridedRow::<16>(row)),
        32 => simd.vectorize(StridedRow::<32>(row)),
        64 => simd.vectorize(StridedRow::<64>(row)),
        _ => simd.vectorize(StridedRow::<0>(row)),
    }
}

/// A row whose stride is `STRIDE`, or any where that is 0.
struct StridedRow<'a, const STRIDE: usize>(Row<'a>);

impl<const STRIDE: usize> WithSimd for StridedRow<'_, STRIDE> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        self.0.panels::<S, STRIDE>(simd);
    }
}

struct Row<'a> {
    layer: &'a Layer,
    source: &'a [f32],
    stride: usize,
    runs: &'a Runs,
    width: usize,
    slope: Option<&'a [f32]>,
    target: &'a mut [f32],
    target_stride: usize,
}

impl Row<'_> {
    /// All panels, as many at once as the registers hold sums for.
    #[inline(always)]
    fn panels<S: Simd, const STRIDE: usize>(mut self, simd: S) {
        let panels = self.layer.panels;
        let mut panel = 0;
        while panel < panels {
            panel += match (S::F32_LANES, panels - panel) {
                (16, 4..) => self.cells::<S, STRIDE, 1, 4, 4>(simd, panel),
                (16, 3) => self.cells::<S, STRIDE, 1, 3, 8>(simd, panel),
                (16, 2) => self.cells::<S, STRIDE, 1, 2, 8>(simd, panel),
                (16, _) => self.cells::<S, STRIDE, 1, 1, 16>(simd, panel),
                (8, _) => self.cells::<S, STRIDE, 2, 1, 4>(simd, panel),
                (4, _) => self.cells::<S, STRIDE, 4, 1, 4>(simd, panel),
                _ => self.scalar_cells::<S>(simd, panel),
            };
        }
    }

    /// All cells of `N` panels of `P` vectors, `M` cells at a time. Returns `N`.
    #[inline(always)]
    fn cells<S: Simd, const STRIDE: usize, const P: usize, const N: usize, const M: usize>(
        &mut self,
        simd: S,
        panel: usize,
    ) -> usize {
        let mut cell = 0;
        while cell + M <= self.width {
            self.block::<S, STRIDE, P, N, M>(simd, panel, cell);
            cell += M;
        }
        if M > 8 && cell + 8 <= self.width {
            self.block::<S, STRIDE, P, N, 8>(simd, panel, cell);
            cell += 8;
        }
        if M > 4 && cell + 4 <= self.width {
            self.block::<S, STRIDE, P, N, 4>(simd, panel, cell);
            cell += 4;
        }
        if cell + 2 <= self.width {
            self.block::<S, STRIDE, P, N, 2>(simd, panel, cell);
            cell += 2;
        }
        if cell < self.width {
            self.block::<S, STRIDE, P, N, 1>(simd, panel, cell);
        }
        N
    }

    /// `M` cells from `cell` of `N` panels from `panel`.
    #[inline(always)]
    fn block<S: Simd, const STRIDE: usize, const P: usize, const N: usize, const M: usize>(
        &mut self,
        simd: S,
        panel: usize,
        cell: usize,
    ) {
        let stride = if STRIDE == 0 { self.stride } else { STRIDE };
        let (bias, _) = S::as_simd_f32s(&self.layer.bias[panel * PANEL..][..N * PANEL]);
        let mut sums: [[[S::f32s; P]; N]; M] = [array::from_fn(|n| array::from_fn(|p| bias[n * P + p])); M];
        let panel_len = self.runs.starts.len() * self.runs.len * PANEL;
        let panels: [&[[S::f32s; P]]; N] = array::from_fn(|n| {
            let (weights, _) = S::as_simd_f32s(&self.layer.weights[(panel + n) * panel_len..][..panel_len]);
            weights.as_chunks().0
        });
        for (run, start) in self.runs.starts.iter().enumerate() {
            let len = self.runs.len;
            // All views are cut to one length that the compiler knows them to share.
            let values: [&[f32]; M] = array::from_fn(|m| &self.source[start + (cell + m) * stride..][..len]);
            let weights: [&[[S::f32s; P]]; N] = array::from_fn(|n| &panels[n][run * len..][..len]);
            for i in 0..len {
                let weights: [[S::f32s; P]; N] = array::from_fn(|n| weights[n][i]);
                for m in 0..M {
                    let value = simd.splat_f32s(values[m][i]);
                    for n in 0..N {
                        for p in 0..P {
                            sums[m][n][p] = simd.mul_add_e_f32s(value, weights[n][p], sums[m][n][p]);
                        }
                    }
                }
            }
        }
        for (m, sums) in sums.iter().enumerate() {
            let target = &mut self.target[(cell + m) * self.target_stride + panel * PANEL..][..N * PANEL];
            let (target, _) = S::as_mut_simd_f32s(target);
            match self.slope {
                Some(slope) => {
                    let (slope, _) = S::as_simd_f32s(&slope[panel * PANEL..][..N * PANEL]);
                    for (vector, sum) in sums.iter().flatten().enumerate() {
                        target[vector] = bent(simd, *sum, slope[vector]);
                    }
                }
                None => {
                    for (vector, sum) in sums.iter().flatten().enumerate() {
                        target[vector] = *sum;
                    }
                }
            }
        }
    }

    /// One panel on a machine without vectors, a cell at a time.
    #[inline(always)]
    fn scalar_cells<S: Simd>(&mut self, simd: S, panel: usize) -> usize {
        for cell in 0..self.width {
            self.block::<S, 0, PANEL, 1, 1>(simd, panel, cell);
        }
        1
    }
}
