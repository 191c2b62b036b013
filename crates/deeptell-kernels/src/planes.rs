//! The flat layout in which a convolution window becomes one-dimensional.
//!
//! A feature map with stride `s` is split into `s * s` *phases*: phase `(a, b)` holds the
//! zero-padded rows `a, a + s, ..` and columns `b, b + s, ..`. All phases share one row
//! pitch, and so does the output. Then the output at flat position `i` is the sum over the
//! taps of `weight[tap] * packed[offset[tap] + i]`: every tap is a one-dimensional loop
//! without row ends, whatever the stride. Positions between the end of an output row and
//! the pitch come out as garbage and are skipped when rows are copied out.
//!
//! The zeros right of a row are the zeros left of the next one, which keeps the pitch short.

use crate::vector::{self, Gap};
use pulp::Simd;

/// Flat lengths are multiples of this many floats, so that the loops need no tails.
pub(crate) const BLOCK: usize = 64;

/// Where one feature map of a convolution lies in flat buffers.
#[derive(Debug)]
pub(crate) struct PlaneLayout {
    input: [usize; 2],
    output: [usize; 2],
    stride: usize,
    pitch: usize,
    flat_len: usize,
    phase_len: usize,
    packed_len: usize,
    front: usize,
    covers_input: bool,
    phases: Vec<Phase>,
    offsets: Vec<usize>,
}

/// The rows and columns of the input that share one remainder modulo the stride.
#[derive(Debug)]
pub(crate) struct Phase {
    /// Where the phase starts in the packed buffer.
    start: usize,
    /// The first cell of the phase, relative to `start`, that holds input.
    first_cell: usize,
    /// The first input row and column of the phase, and how many of each are ever read.
    first: [usize; 2],
    count: [usize; 2],
    /// The taps (row-major index into the kernel) that read this phase, and the flat
    /// distance of each from the position of the output.
    pub(crate) taps: Vec<(usize, usize)>,
}

/// One axis of one phase.
struct PhaseAxis {
    /// Padding cells before the first input cell.
    lead: usize,
    first: usize,
    count: usize,
    /// Cells that some tap reads.
    reach: usize,
}

impl PhaseAxis {
    fn new(phase: usize, input: usize, output: usize, kernel: usize, stride: usize, padding: usize) -> Self {
        let lead = padding.saturating_sub(phase).div_ceil(stride);
        let first = phase + lead * stride - padding;
        let taps = kernel.saturating_sub(phase).div_ceil(stride);
        let reach = if taps == 0 { 0 } else { output + taps - 1 };
        let count = input.saturating_sub(first).div_ceil(stride).min(reach.saturating_sub(lead));
        Self { lead, first, count, reach }
    }
}

impl PlaneLayout {
    /// The layout for a window of `kernel` cells that moves by `stride` over an `input`
    /// with `padding` zeros on each side.
    ///
    /// The window must fit the padded input, and `stride` must not be zero.
    pub(crate) fn new(input: [usize; 2], kernel: [usize; 2], stride: usize, padding: usize) -> Self {
        let output = [0, 1].map(|axis| (input[axis] + 2 * padding - kernel[axis]) / stride + 1);
        let axes = [0, 1].map(|axis| {
            (0..stride)
                .map(|phase| PhaseAxis::new(phase, input[axis], output[axis], kernel[axis], stride, padding))
                .collect::<Vec<_>>()
        });
        let [rows, columns] = &axes;
        // A row may only share its zeros: its input ends before the next row starts, and what
        // is read beyond lies within the leading zeros of the next row.
        let pitch = columns
            .iter()
            .map(|axis| (axis.lead + axis.count).max(axis.reach.saturating_sub(axis.lead)))
            .fold(output[1], usize::max);
        let distance = |tap: [usize; 2]| (tap[0] / stride) * pitch + tap[1] / stride;
        let last = [kernel[0] - 1, kernel[1] - 1];
        let front = distance(last);
        let flat_len = ((output[0] - 1) * pitch + output[1]).next_multiple_of(BLOCK);
        let phase_len = (front + flat_len).next_multiple_of(BLOCK);

        let mut phases = Vec::with_capacity(stride * stride);
        let mut offsets = vec![0; kernel[0] * kernel[1]];
        for (a, row) in rows.iter().enumerate() {
            for (b, column) in columns.iter().enumerate() {
                let start = phases.len() * phase_len;
                let mut taps = Vec::new();
                for y in (a..kernel[0]).step_by(stride) {
                    for x in (b..kernel[1]).step_by(stride) {
                        let tap = y * kernel[1] + x;
                        offsets[tap] = start + distance([y, x]);
                        taps.push((tap, distance([y, x])));
                    }
                }
                phases.push(Phase {
                    start,
                    first_cell: row.lead * pitch + column.lead,
                    first: [row.first, column.first],
                    count: [row.count, column.count],
                    taps,
                });
            }
        }
        let covered: usize = phases.iter().map(|p| p.count[0] * p.count[1]).sum();
        Self {
            input,
            output,
            stride,
            pitch,
            flat_len,
            phase_len,
            packed_len: phases.len() * phase_len,
            front,
            covers_input: covered == input[0] * input[1],
            phases,
            offsets,
        }
    }

    /// Height and width of the output.
    pub(crate) fn output(&self) -> [usize; 2] {
        self.output
    }

    /// Cells of one input feature map.
    pub(crate) fn input_len(&self) -> usize {
        self.input[0] * self.input[1]
    }

    /// Cells of one output feature map.
    pub(crate) fn output_len(&self) -> usize {
        self.output[0] * self.output[1]
    }

    /// Floats in a packed input, all phases.
    pub(crate) fn packed_len(&self) -> usize {
        self.packed_len
    }

    /// Floats in a flat output.
    pub(crate) fn flat_len(&self) -> usize {
        self.flat_len
    }

    /// Floats in one phase.
    pub(crate) fn phase_len(&self) -> usize {
        self.phase_len
    }

    /// Zeros needed before a flat output gradient so that the taps can look back.
    pub(crate) fn front(&self) -> usize {
        self.front
    }

    /// Flat offset of each tap in the packed input, in the order of the weights.
    pub(crate) fn offsets(&self) -> &[usize] {
        &self.offsets
    }

    /// The phases, in the order of the packed input.
    pub(crate) fn phases(&self) -> &[Phase] {
        &self.phases
    }

    /// Copies a feature map into its phases. `packed` starts as zeros and only its cells
    /// that hold input ever become something else, so it can be used again without clearing.
    #[inline(always)]
    pub(crate) fn pack<S: Simd>(&self, simd: S, input: &[f32], packed: &mut [f32]) {
        for phase in self.phases.iter().filter(|phase| phase.count[1] > 0) {
            let packed = &mut packed[phase.start + phase.first_cell..];
            if self.stride == 1 {
                let pitch = [self.input[1], self.pitch];
                let [rows, width] = phase.count;
                vector::copy_rows(simd, input, packed, pitch, width, rows, Gap::Zero);
                continue;
            }
            for row in 0..phase.count[0] {
                let y = phase.first[0] + row * self.stride;
                let source = &input[y * self.input[1]..][phase.first[1]..self.input[1]];
                let target = &mut packed[row * self.pitch..][..phase.count[1]];
                if self.stride == 2 {
                    take_every_second(source, target);
                } else {
                    for (target, source) in target.iter_mut().zip(source.iter().step_by(self.stride)) {
                        *target = *source;
                    }
                }
            }
        }
    }

    /// Copies phases back into a feature map; cells that no tap reads become zero.
    #[inline(always)]
    pub(crate) fn unpack<S: Simd>(&self, simd: S, packed: &[f32], map: &mut [f32]) {
        let width = self.input[1];
        if self.stride == 1 {
            // One phase, and its taps reach every cell.
            let packed = &packed[self.phases[0].first_cell..];
            let pitch = [self.pitch, width];
            vector::copy_rows(simd, packed, map, pitch, width, self.input[0], Gap::None);
            return;
        }
        if !self.covers_input {
            map.fill(0.0);
        }
        if self.stride == 2 {
            for pair in self.phases.chunks_exact(2) {
                // The phase whose columns start at zero comes first in the row.
                let (even, odd) =
                    if pair[0].first[1] == 0 { (&pair[0], &pair[1]) } else { (&pair[1], &pair[0]) };
                let even_cells = &packed[even.start + even.first_cell..];
                let odd_cells = &packed[odd.start + odd.first_cell..];
                for row in 0..even.count[0] {
                    let y = even.first[0] + row * 2;
                    let target = &mut map[y * width..][..width];
                    interleave(
                        &even_cells[row * self.pitch..][..even.count[1]],
                        &odd_cells[row * self.pitch..][..odd.count[1]],
                        target,
                    );
                }
            }
            return;
        }
        for phase in self.phases.iter().filter(|phase| phase.count[1] > 0) {
            let packed = &packed[phase.start + phase.first_cell..];
            for row in 0..phase.count[0] {
                let y = phase.first[0] + row * self.stride;
                let source = &packed[row * self.pitch..][..phase.count[1]];
                let target = &mut map[y * width..][phase.first[1]..width];
                for (target, source) in target.iter_mut().step_by(self.stride).zip(source) {
                    *target = *source;
                }
            }
        }
    }

    /// Copies the rows of an output feature map into a flat one that starts as zeros.
    #[inline(always)]
    pub(crate) fn flatten<S: Simd>(&self, simd: S, map: &[f32], flat: &mut [f32]) {
        let [rows, width] = self.output;
        vector::copy_rows(simd, map, flat, [width, self.pitch], width, rows, Gap::Zero);
    }

    /// Copies the rows of a flat output into a feature map.
    #[inline(always)]
    pub(crate) fn unflatten<S: Simd>(&self, simd: S, flat: &[f32], map: &mut [f32]) {
        let [rows, width] = self.output;
        vector::copy_rows(simd, flat, map, [self.pitch, width], width, rows, Gap::None);
    }
}

/// `target[i] = source[2 * i]`
#[inline(always)]
fn take_every_second(source: &[f32], target: &mut [f32]) {
    for (target, source) in target.iter_mut().zip(source.chunks_exact(2)) {
        *target = source[0];
    }
    if target.len() > source.len() / 2 {
        target[source.len() / 2] = source[source.len() - 1];
    }
}

/// `target[2 * i] = even[i]`, `target[2 * i + 1] = odd[i]`; cells beyond both stay.
#[inline(always)]
fn interleave(even: &[f32], odd: &[f32], target: &mut [f32]) {
    for ((target, even), odd) in target.chunks_exact_mut(2).zip(even).zip(odd) {
        target[0] = *even;
        target[1] = *odd;
    }
    let pairs = even.len().min(odd.len());
    for (i, value) in even.iter().enumerate().skip(pairs) {
        target[2 * i] = *value;
    }
    for (i, value) in odd.iter().enumerate().skip(pairs) {
        target[2 * i + 1] = *value;
    }
}
