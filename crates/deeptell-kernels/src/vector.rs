//! Loops over slices in whole vectors with a masked last one.

use pulp::Simd;
use std::iter::zip;

/// The widest vector of any instruction set, in floats.
pub(crate) const MAX_LANES: usize = 16;

const LANE_INDEX: [f32; MAX_LANES] =
    [0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0, 10.0, 11.0, 12.0, 13.0, 14.0, 15.0];

/// `output[i] = f(input[i])`; both slices have the same length.
#[inline(always)]
pub(crate) fn map<S: Simd>(simd: S, input: &[f32], output: &mut [f32], f: impl Fn(S::f32s) -> S::f32s) {
    let (input, input_tail) = S::as_simd_f32s(input);
    let (output, output_tail) = S::as_mut_simd_f32s(output);
    for (output, input) in zip(output, input) {
        *output = f(*input);
    }
    if !input_tail.is_empty() {
        simd.partial_store_f32s(output_tail, f(simd.partial_load_f32s(input_tail)));
    }
}

/// `f(left[i], right[i])` in order; both slices have the same length, and the lanes past
/// their end are zero.
#[inline(always)]
pub(crate) fn for_each_pair<S: Simd>(
    simd: S,
    left: &[f32],
    right: &[f32],
    mut f: impl FnMut(S::f32s, S::f32s),
) {
    let (left, left_tail) = S::as_simd_f32s(left);
    let (right, right_tail) = S::as_simd_f32s(right);
    for (left, right) in zip(left, right) {
        f(*left, *right);
    }
    if !left_tail.is_empty() {
        f(simd.partial_load_f32s(left_tail), simd.partial_load_f32s(right_tail));
    }
}

/// `target[i] = f(input[i], target[i])`; both slices have the same length.
#[inline(always)]
pub(crate) fn update<S: Simd>(
    simd: S,
    input: &[f32],
    target: &mut [f32],
    f: impl Fn(S::f32s, S::f32s) -> S::f32s,
) {
    let (input, input_tail) = S::as_simd_f32s(input);
    let (target, target_tail) = S::as_mut_simd_f32s(target);
    for (target, input) in zip(target, input) {
        *target = f(*input, *target);
    }
    if !input_tail.is_empty() {
        let value = f(simd.partial_load_f32s(input_tail), simd.partial_load_f32s(target_tail));
        simd.partial_store_f32s(target_tail, value);
    }
}

/// What [`copy_rows`] leaves after the end of each row.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Gap {
    /// Zeros, for up to a vector; the start of the next row comes later and replaces them.
    Zero,
    /// There are no gaps: each row starts where the one before ends.
    None,
}

/// Copies rows of `width` cells from `source` to `target`, first to last, where they start
/// every `pitch[0]` and `pitch[1]` cells.
///
/// Rows of feature maps are a few cells long, so they are moved as whole vectors that spill
/// over their end; masked access only serves the ends of the slices.
#[inline(always)]
pub(crate) fn copy_rows<S: Simd>(
    simd: S,
    source: &[f32],
    target: &mut [f32],
    pitch: [usize; 2],
    width: usize,
    rows: usize,
    gap: Gap,
) {
    let whole = width - width % S::F32_LANES;
    let rest = width - whole;
    let (lanes, _) = S::as_simd_f32s(&LANE_INDEX[..S::F32_LANES]);
    let inside = simd.less_than_f32s(lanes[0], simd.splat_f32s(rest as f32));
    for row in 0..rows {
        let source = &source[row * pitch[0]..];
        let target = &mut target[row * pitch[1]..];
        let (vectors, _) = S::as_simd_f32s(&source[..whole]);
        let (targets, _) = S::as_mut_simd_f32s(&mut target[..whole]);
        targets.copy_from_slice(vectors);
        if rest == 0 {
            continue;
        }
        let (source, target) = (&source[whole..], &mut target[whole..]);
        if source.len() < S::F32_LANES || target.len() < S::F32_LANES {
            simd.partial_store_f32s(&mut target[..rest], simd.partial_load_f32s(&source[..rest]));
            continue;
        }
        let (value, _) = S::as_simd_f32s(&source[..S::F32_LANES]);
        let (target, _) = S::as_mut_simd_f32s(&mut target[..S::F32_LANES]);
        target[0] = match gap {
            Gap::Zero => simd.select_f32s(inside, value[0], simd.splat_f32s(0.0)),
            Gap::None => value[0],
        };
    }
}

/// The sum of the slice.
#[inline(always)]
pub(crate) fn sum<S: Simd>(simd: S, input: &[f32]) -> f32 {
    let zero = simd.splat_f32s(0.0);
    let (whole, tail) = S::as_simd_f32s(input);
    let (quads, rest) = pulp::as_arrays::<4, _>(whole);
    let mut sums = [zero; 4];
    for quad in quads {
        for (sum, v) in zip(&mut sums, quad) {
            *sum = simd.add_f32s(*sum, *v);
        }
    }
    for (sum, v) in zip(&mut sums, rest) {
        *sum = simd.add_f32s(*sum, *v);
    }
    if !tail.is_empty() {
        sums[3] = simd.add_f32s(sums[3], simd.partial_load_f32s(tail));
    }
    let total = simd.add_f32s(simd.add_f32s(sums[0], sums[1]), simd.add_f32s(sums[2], sums[3]));
    simd.reduce_sum_f32s(total)
}

/// The sum of squared distances from `center`.
#[inline(always)]
pub(crate) fn squared_deviation<S: Simd>(simd: S, input: &[f32], center: f32) -> f32 {
    let zero = simd.splat_f32s(0.0);
    let center_all = simd.splat_f32s(center);
    let (whole, tail) = S::as_simd_f32s(input);
    let (quads, rest) = pulp::as_arrays::<4, _>(whole);
    let mut sums = [zero; 4];
    for quad in quads {
        for (sum, v) in zip(&mut sums, quad) {
            let distance = simd.sub_f32s(*v, center_all);
            *sum = simd.mul_add_e_f32s(distance, distance, *sum);
        }
    }
    for (sum, v) in zip(&mut sums, rest) {
        let distance = simd.sub_f32s(*v, center_all);
        *sum = simd.mul_add_e_f32s(distance, distance, *sum);
    }
    if !tail.is_empty() {
        // Lanes past the end hold zero in both operands, so they add nothing.
        let center_tail = simd.partial_load_f32s(&[center; MAX_LANES][..tail.len()]);
        let distance = simd.sub_f32s(simd.partial_load_f32s(tail), center_tail);
        sums[3] = simd.mul_add_e_f32s(distance, distance, sums[3]);
    }
    let total = simd.add_f32s(simd.add_f32s(sums[0], sums[1]), simd.add_f32s(sums[2], sums[3]));
    simd.reduce_sum_f32s(total)
}

/// `target[i] = f(target[i])`
#[inline(always)]
pub(crate) fn update_in_place<S: Simd>(simd: S, target: &mut [f32], f: impl Fn(S::f32s) -> S::f32s) {
    let (target, tail) = S::as_mut_simd_f32s(target);
    for target in target {
        *target = f(*target);
    }
    if !tail.is_empty() {
        let value = f(simd.partial_load_f32s(tail));
        simd.partial_store_f32s(tail, value);
    }
}
