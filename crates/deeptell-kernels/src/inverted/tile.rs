//! Pointwise convolution of maps in panels, as a matrix product whose sums stay in registers.

use std::array;
use std::iter::zip;
use std::ops::Range;

use pulp::{Arch, Simd};

use super::ConvSource;
use crate::activation::{Activation, Curve, Kernel};
use crate::panel::{PANEL, padded, panels_of};

/// A 1x1 convolution with its weights in the order the inner loop reads them.
#[derive(Debug)]
pub(crate) struct Pointwise {
    inputs: usize,
    pub(super) outputs: usize,
    pub(super) panels: usize,
    /// `[output panel][input channel][channel of the panel]`
    weights: Vec<f32>,
    bias: Vec<f32>,
    activation: Activation,
}

/// Distances in a map, in floats.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pitch {
    pub(super) panel: usize,
    pub(super) row: usize,
}

/// What one call computes: `rows` rows of `width` cells.
pub(super) struct Tile<'a> {
    /// Output panels; the target starts with the first of them.
    pub(super) panels: Range<usize>,
    pub(super) rows: usize,
    pub(super) width: usize,
    pub(super) source: &'a [f32],
    pub(super) from: Pitch,
    pub(super) target: &'a mut [f32],
    pub(super) to: Pitch,
    /// Added to the result; lies as the target does.
    pub(super) shortcut: Option<&'a [f32]>,
}

impl Pointwise {
    pub(super) fn new(source: &ConvSource) -> Self {
        let [outputs, inputs, ..] = source.conv.shape;
        Self {
            inputs,
            outputs,
            panels: panels_of(outputs),
            weights: source.conv.packed(|input| input),
            bias: padded(&source.conv.bias),
            activation: source.activation,
        }
    }

    /// `activation(source * weight + bias) + shortcut`
    pub(super) fn run(&self, arch: Arch, tile: Tile) {
        self.activation.dispatch(arch, Run { layer: self, tile });
    }
}

struct Run<'a> {
    layer: &'a Pointwise,
    tile: Tile<'a>,
}

impl Kernel for Run<'_> {
    type Output = ();

    /// As many panels and cells at once as the registers hold sums for. Sides of 224 pixels
    /// shrink to multiples of seven cells all the way down.
    #[inline(always)]
    fn run<S: Simd, C: Curve>(mut self, simd: S) {
        let Range { start: mut panel, end } = self.tile.panels;
        while panel < end {
            panel += match (S::F32_LANES, end - panel) {
                (16, 3 | 5..) => self.panels::<S, C, 1, 3, 7>(simd, panel),
                (16, 2 | 4) => self.panels::<S, C, 1, 2, 14>(simd, panel),
                (16, _) => self.panels::<S, C, 1, 1, 14>(simd, panel),
                (8, _) => self.panels::<S, C, 2, 1, 4>(simd, panel),
                (4, _) => self.panels::<S, C, 4, 1, 4>(simd, panel),
                _ => self.panels::<S, C, PANEL, 1, 1>(simd, panel),
            };
        }
    }
}

impl Run<'_> {
    /// All cells of `N` panels of `P` vectors, `M` cells at a time. Returns `N`.
    #[inline(always)]
    fn panels<S: Simd, C: Curve, const P: usize, const N: usize, const M: usize>(
        &mut self,
        simd: S,
        panel: usize,
    ) -> usize {
        let width = self.tile.width;
        for row in 0..self.tile.rows {
            let mut cell = 0;
            while cell + M <= width {
                self.block::<S, C, P, N, M>(simd, panel, row, cell);
                cell += M;
            }
            if M > 7 && cell + 7 <= width {
                self.block::<S, C, P, N, 7>(simd, panel, row, cell);
                cell += 7;
            }
            if M > 4 && cell + 4 <= width {
                self.block::<S, C, P, N, 4>(simd, panel, row, cell);
                cell += 4;
            }
            if M > 2 && cell + 2 <= width {
                self.block::<S, C, P, N, 2>(simd, panel, row, cell);
                cell += 2;
            }
            while cell < width {
                self.block::<S, C, P, N, 1>(simd, panel, row, cell);
                cell += 1;
            }
        }
        N
    }

    /// `M` cells from `cell` of `N` panels from `panel`.
    #[inline(always)]
    fn block<S: Simd, C: Curve, const P: usize, const N: usize, const M: usize>(
        &mut self,
        simd: S,
        panel: usize,
        row: usize,
        cell: usize,
    ) {
        let (layer, tile) = (self.layer, &mut self.tile);
        let (bias, _) = S::as_simd_f32s(&layer.bias[panel * PANEL..][..N * PANEL]);
        let mut sums: [[[S::f32s; P]; N]; M] = [array::from_fn(|n| array::from_fn(|p| bias[n * P + p])); M];
        let len = layer.inputs * PANEL;
        let weights: [&[[S::f32s; P]]; N] = array::from_fn(|n| {
            let (weights, _) = S::as_simd_f32s(&layer.weights[(panel + n) * len..][..len]);
            weights.as_chunks().0
        });
        let source = &tile.source[row * tile.from.row + cell * PANEL..];
        for (number, first) in (0..layer.inputs).step_by(PANEL).enumerate() {
            let channels = (layer.inputs - first).min(PANEL);
            let (cells, _) = source[number * tile.from.panel..][..M * PANEL].as_chunks::<PANEL>();
            let weights: [&[[S::f32s; P]]; N] = array::from_fn(|n| &weights[n][first..][..channels]);
            for i in 0..channels {
                let weights: [[S::f32s; P]; N] = array::from_fn(|n| weights[n][i]);
                for m in 0..M {
                    let value = simd.splat_f32s(cells[m][i]);
                    for n in 0..N {
                        for p in 0..P {
                            sums[m][n][p] = simd.mul_add_e_f32s(value, weights[n][p], sums[m][n][p]);
                        }
                    }
                }
            }
        }
        let first = (panel - tile.panels.start) * tile.to.panel + row * tile.to.row + cell * PANEL;
        let starts: [usize; N] = array::from_fn(|n| first + n * tile.to.panel);
        for (n, start) in starts.into_iter().enumerate() {
            let (target, _) = S::as_mut_simd_f32s(&mut tile.target[start..][..M * PANEL]);
            let target = target.as_chunks_mut::<P>().0;
            if let Some(shortcut) = tile.shortcut {
                let (shortcut, _) = S::as_simd_f32s(&shortcut[start..][..M * PANEL]);
                for (m, (target, shortcut)) in zip(target, shortcut.as_chunks::<P>().0).enumerate() {
                    for p in 0..P {
                        target[p] = simd.add_f32s(C::value(simd, sums[m][n][p]), shortcut[p]);
                    }
                }
            } else {
                for (m, target) in target.iter_mut().enumerate() {
                    for p in 0..P {
                        target[p] = C::value(simd, sums[m][n][p]);
                    }
                }
            }
        }
    }
}
