//! One row of a convolution: sums of several cells and several panels in registers.

use std::array;

use pulp::{Simd, WithSimd};

use super::layer::Layer;
use crate::panel::PANEL;

/// Where a window's values lie: `starts.len()` runs of `len` neighboring floats.
pub(super) struct Runs {
    starts: Vec<usize>,
    len: usize,
}

impl Runs {
    /// `cells`: where the cells of the window at the first position start, in reading order.
    pub(super) fn new(layer: &Layer, cells: impl Iterator<Item = usize>, stride: usize) -> Self {
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
pub(super) fn convolve_row<S: Simd>(
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
    // The inner loop knows the distance of neighboring cells where it can: all cells of a
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
                        target[vector] = prelu(simd, *sum, slope[vector]);
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

/// `PReLU`: `v` where it is not negative, `slope * v` elsewhere.
#[inline(always)]
pub(super) fn prelu<S: Simd>(simd: S, v: S::f32s, slope: S::f32s) -> S::f32s {
    let negative = simd.less_than_f32s(v, simd.splat_f32s(0.0));
    simd.select_f32s(negative, simd.mul_f32s(v, slope), v)
}
