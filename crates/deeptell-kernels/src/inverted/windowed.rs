//! Convolutions whose window moves over rows: depthwise ones, and the first of a network.

use std::iter::zip;
use std::ops::Range;

use pulp::{Arch, Simd};

use super::ConvSource;
use crate::activation::{Activation, Curve, Kernel};
use crate::panel::{PANEL, padded, panels_of};

/// A depthwise convolution, or a dense one of few input channels, by a square odd window.
#[derive(Debug)]
pub(crate) struct Windowed {
    /// Input channels that each output sees: 1 in a depthwise convolution.
    pub(super) inputs: usize,
    pub(super) kernel: usize,
    pub(super) stride: usize,
    pub(super) panels: usize,
    /// `[panel][input channel][window row][window column][channel of the panel]`
    weights: Vec<f32>,
    bias: Vec<f32>,
    activation: Activation,
}

/// Rows of cells of which a window sees some; row `r` lies at slot `r % slots`.
#[derive(Debug, Clone, Copy)]
pub(super) struct Lines<'a> {
    pub(super) values: &'a [f32],
    pub(super) slots: usize,
    /// Floats of one row, with the zeros at both ends.
    pub(super) row_len: usize,
    /// Rows that there are; the window sees nothing beyond them.
    pub(super) height: usize,
}

impl Lines<'_> {
    /// Where row `row` starts in the plane (or panel) `plane`.
    fn start(&self, plane: usize, row: usize) -> usize {
        (plane * self.slots + row % self.slots) * self.row_len
    }
}

/// What one call computes.
pub(super) struct Part<'a> {
    /// Output panels; source (if depthwise), target and sums start with the first of them.
    pub(super) panels: Range<usize>,
    /// Output rows.
    pub(super) rows: Range<usize>,
    /// Output columns.
    pub(super) width: usize,
    pub(super) source: Lines<'a>,
    pub(super) target: &'a mut [f32],
    /// Floats from one panel of the target to the next.
    pub(super) target_panel: usize,
    /// Floats from one row of the target to the next.
    pub(super) target_row: usize,
    /// Rows that the target has room for; row `r` goes to slot `r % target_slots`.
    pub(super) target_slots: usize,
    /// To each panel's sums, its values are added; and the floats from one panel to the next.
    pub(super) sums: Option<(&'a mut [f32], usize)>,
}

impl Windowed {
    /// Whether the kernels know this window.
    pub(super) fn is_known(kernel: usize, stride: usize) -> bool {
        matches!((kernel, stride), (3 | 5, 1 | 2))
    }

    pub(super) fn new(source: &ConvSource) -> Self {
        let [outputs, inputs, kernel, _] = source.conv.shape;
        Self {
            inputs,
            kernel,
            stride: source.stride,
            panels: panels_of(outputs),
            weights: source.conv.packed(|tap| tap),
            bias: padded(&source.conv.bias),
            activation: source.activation,
        }
    }

    /// Zeros that the window sees on each side.
    pub(super) fn padding(&self) -> usize {
        self.kernel / 2
    }

    /// Cells of a side of `cells` cells after the convolution.
    pub(super) fn output(&self, cells: usize) -> usize {
        (cells + 2 * self.padding() - self.kernel) / self.stride + 1
    }

    /// The last row, and one more, that the window of output row `row` sees of `height` rows.
    pub(super) fn seen(&self, row: usize, height: usize) -> usize {
        (row * self.stride + self.kernel - self.padding()).min(height)
    }

    /// A depthwise convolution of panels.
    pub(super) fn run_depthwise(&self, arch: Arch, part: Part) {
        self.activation.dispatch(arch, Run::<true> { layer: self, part });
    }

    /// A dense convolution of planes: rows of single values.
    pub(super) fn run_dense(&self, arch: Arch, part: Part) {
        self.activation.dispatch(arch, Run::<false> { layer: self, part });
    }
}

struct Run<'a, const DEPTHWISE: bool> {
    layer: &'a Windowed,
    part: Part<'a>,
}

impl<const DEPTHWISE: bool> Kernel for Run<'_, DEPTHWISE> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd, C: Curve>(self, simd: S) {
        match (self.layer.kernel, self.layer.stride) {
            (3, 1) => self.windows::<S, C, 3, 1>(simd),
            (3, 2) => self.windows::<S, C, 3, 2>(simd),
            (5, 1) => self.windows::<S, C, 5, 1>(simd),
            (5, 2) => self.windows::<S, C, 5, 2>(simd),
            (kernel, stride) => unreachable!("a window of {kernel} that moves by {stride}"),
        }
    }
}

impl<const DEPTHWISE: bool> Run<'_, DEPTHWISE> {
    #[inline(always)]
    fn windows<S: Simd, C: Curve, const K: usize, const STRIDE: usize>(mut self, simd: S) {
        let vectors = PANEL / S::F32_LANES;
        for panel in self.part.panels.clone() {
            for row in self.part.rows.clone() {
                for vector in 0..vectors {
                    self.row::<S, C, K, STRIDE>(simd, panel, row, vector);
                }
            }
        }
    }

    /// All cells of a row, of one vector of channels.
    #[inline(always)]
    fn row<S: Simd, C: Curve, const K: usize, const STRIDE: usize>(
        &mut self,
        simd: S,
        panel: usize,
        row: usize,
        vector: usize,
    ) {
        let width = self.part.width;
        let mut total = simd.splat_f32s(0.0);
        let mut cell = 0;
        while cell + 14 <= width {
            total = simd.add_f32s(total, self.block::<S, C, K, STRIDE, 14>(simd, panel, row, vector, cell));
            cell += 14;
        }
        if cell + 7 <= width {
            total = simd.add_f32s(total, self.block::<S, C, K, STRIDE, 7>(simd, panel, row, vector, cell));
            cell += 7;
        }
        if cell + 4 <= width {
            total = simd.add_f32s(total, self.block::<S, C, K, STRIDE, 4>(simd, panel, row, vector, cell));
            cell += 4;
        }
        while cell < width {
            total = simd.add_f32s(total, self.block::<S, C, K, STRIDE, 1>(simd, panel, row, vector, cell));
            cell += 1;
        }
        if let Some((sums, pitch)) = &mut self.part.sums {
            let start = (panel - self.part.panels.start) * *pitch + vector * S::F32_LANES;
            let (sums, _) = S::as_mut_simd_f32s(&mut sums[start..][..S::F32_LANES]);
            sums[0] = simd.add_f32s(sums[0], total);
        }
    }

    /// `M` cells; returns the sum of their values.
    #[inline(always)]
    fn block<S: Simd, C: Curve, const K: usize, const STRIDE: usize, const M: usize>(
        &mut self,
        simd: S,
        panel: usize,
        row: usize,
        vector: usize,
        cell: usize,
    ) -> S::f32s {
        let (layer, part, lanes) = (self.layer, &mut self.part, S::F32_LANES);
        let (bias, _) = S::as_simd_f32s(&layer.bias[panel * PANEL + vector * lanes..][..lanes]);
        let mut sums = [bias[0]; M];
        let above = K / 2;
        let first = above.saturating_sub(row * STRIDE);
        let past = (part.source.height + above - row * STRIDE).min(K);
        let planes = if DEPTHWISE { 1 } else { layer.inputs };
        for plane in 0..planes {
            for ky in first..past {
                let taps = ((panel * planes + plane) * K + ky) * K;
                let weights = &layer.weights[taps * PANEL + vector * lanes..][..(K - 1) * PANEL + lanes];
                let from = if DEPTHWISE { panel - part.panels.start } else { plane };
                let start = part.source.start(from, row * STRIDE + ky - above);
                if DEPTHWISE {
                    let start = start + cell * STRIDE * PANEL + vector * lanes;
                    let len = ((M - 1) * STRIDE + K - 1) * PANEL + lanes;
                    let window = &part.source.values[start..][..len];
                    for kx in 0..K {
                        let (weight, _) = S::as_simd_f32s(&weights[kx * PANEL..][..lanes]);
                        for m in 0..M {
                            let (value, _) = S::as_simd_f32s(&window[(m * STRIDE + kx) * PANEL..][..lanes]);
                            sums[m] = simd.mul_add_e_f32s(value[0], weight[0], sums[m]);
                        }
                    }
                } else {
                    let window = &part.source.values[start + cell * STRIDE..][..(M - 1) * STRIDE + K];
                    for kx in 0..K {
                        let (weight, _) = S::as_simd_f32s(&weights[kx * PANEL..][..lanes]);
                        for m in 0..M {
                            let value = simd.splat_f32s(window[m * STRIDE + kx]);
                            sums[m] = simd.mul_add_e_f32s(value, weight[0], sums[m]);
                        }
                    }
                }
            }
        }
        let start = (panel - part.panels.start) * part.target_panel
            + row % part.target_slots * part.target_row
            + cell * PANEL
            + vector * lanes;
        let target = &mut part.target[start..][..(M - 1) * PANEL + lanes];
        let mut total = simd.splat_f32s(0.0);
        for (m, sum) in sums.into_iter().enumerate() {
            let value = C::value(simd, sum);
            let (target, _) = S::as_mut_simd_f32s(&mut target[m * PANEL..][..lanes]);
            target[0] = value;
            total = simd.add_f32s(total, value);
        }
        total
    }
}

/// `values[i] *= gate(logits[i])` for every cell of a panel, where the gate is the hard sigmoid
/// `min(max(v / 6 + 1/2, 0), 1)`.
pub(super) struct Gate<'a> {
    /// One panel of logits.
    pub(super) logits: &'a [f32],
    pub(super) values: &'a mut [f32],
}

impl pulp::WithSimd for Gate<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let (zero, one) = (simd.splat_f32s(0.0), simd.splat_f32s(1.0));
        let mut gates = [0.0; PANEL];
        let (logits, _) = S::as_simd_f32s(&self.logits[..PANEL]);
        let (vectors, _) = S::as_mut_simd_f32s(&mut gates);
        for (gate, v) in zip(&mut *vectors, logits) {
            let v = simd.mul_add_e_f32s(*v, simd.splat_f32s(1.0 / 6.0), simd.splat_f32s(0.5));
            // NaN passes through comparisons, as it does through Burn's own activation.
            let v = simd.select_f32s(simd.less_than_f32s(v, zero), zero, v);
            *gate = simd.select_f32s(simd.greater_than_f32s(v, one), one, v);
        }
        let (gates, _) = S::as_simd_f32s(&gates);
        let (values, _) = S::as_mut_simd_f32s(self.values);
        for cell in values.chunks_exact_mut(gates.len()) {
            for (value, gate) in zip(cell, gates) {
                *value = simd.mul_f32s(*value, *gate);
            }
        }
    }
}
