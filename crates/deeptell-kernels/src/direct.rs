//! Grouped convolution by flat loops over [`PlaneLayout`] buffers: depthwise layers, and
//! dense ones with few channels such as the first layer of a network.

use crate::activation::{Activation, Curve, Kernel};
use crate::planes::PlaneLayout;
use crate::vector::MAX_LANES;
use crate::{buffers, split};
use pulp::{Arch, Simd};
use rayon::prelude::*;
use std::array;
use std::iter::zip;
use std::ops::Range;

/// What one thread does of a backward pass.
struct Part<'a> {
    images: Range<usize>,
    /// The groups of channels.
    block: Range<usize>,
    /// Where the gradient of the input goes, one slice per image.
    slabs: Option<Vec<&'a mut [f32]>>,
}

/// The sizes of a grouped convolution.
#[derive(Debug)]
pub(crate) struct Direct {
    pub(crate) images: usize,
    pub(crate) groups: usize,
    /// Input and output channels of one group.
    pub(crate) inputs: usize,
    pub(crate) outputs: usize,
    pub(crate) layout: PlaneLayout,
}

/// Gradients of a convolution; `None` where the caller did not ask.
pub(crate) struct Gradients {
    pub(crate) input: Option<Vec<f32>>,
    pub(crate) weight: Option<Vec<f32>>,
}

impl Direct {
    fn taps(&self) -> usize {
        self.layout.offsets().len()
    }

    /// Weights of one group.
    fn weights_len(&self) -> usize {
        self.outputs * self.inputs * self.taps()
    }

    fn group_input_len(&self) -> usize {
        self.inputs * self.layout.input_len()
    }

    fn group_output_len(&self) -> usize {
        self.outputs * self.layout.output_len()
    }

    /// `activation(input * weight + bias)`
    pub(crate) fn forward(
        &self,
        input: &[f32],
        weight: &[f32],
        bias: Option<&[f32]>,
        activation: Activation,
    ) -> Vec<f32> {
        let arch = Arch::new();
        let (layout, groups) = (&self.layout, self.groups);
        let offsets: Vec<usize> = (0..self.inputs)
            .flat_map(|input| {
                let start = input * layout.packed_len();
                layout.offsets().iter().map(move |offset| start + offset)
            })
            .collect();
        let mut output = buffers::take(self.images * groups * self.group_output_len());
        output
            .par_chunks_mut(self.group_output_len())
            .zip(input.par_chunks(self.group_input_len()))
            .enumerate()
            .with_min_len(split::min_len(self.images * groups))
            .for_each_init(
                || {
                    (
                        vec![0.0; self.inputs * layout.packed_len()],
                        vec![0.0; self.outputs * layout.flat_len()],
                    )
                },
                |(packed, flat), (item, (output, input))| {
                    let group = item % groups;
                    let bias = bias.map(|bias| &bias[group * self.outputs..][..self.outputs]);
                    activation.dispatch(
                        arch,
                        Forward {
                            layout,
                            offsets: &offsets,
                            input,
                            weights: &weight[group * self.weights_len()..][..self.weights_len()],
                            bias,
                            packed,
                            flat,
                            output,
                        },
                    );
                },
            );
        output
    }

    /// Gradients for the input and the weight.
    pub(crate) fn backward(
        &self,
        input: Option<&[f32]>,
        weight: Option<&[f32]>,
        gradient: &[f32],
    ) -> Gradients {
        let (layout, groups) = (&self.layout, self.groups);
        // Either the groups or the images are spread over the threads, in a way that does
        // not depend on their number, so that the sums come out the same on any machine.
        let (parts, blocks) =
            if groups >= split::PARTS { (1, split::PARTS) } else { (split::PARTS.min(self.images), 1) };
        let arch = Arch::new();
        let back = BackTaps::new(self);
        let mut input_gradient = weight.map(|_| buffers::take(self.images * groups * self.group_input_len()));
        let mut slabs = input_gradient
            .as_deref_mut()
            .map(|data| split::image_slabs(data, self.images, groups, self.group_input_len(), parts, blocks));
        let items: Vec<_> = split::ranges(self.images, parts)
            .flat_map(|images| split::ranges(groups, blocks).map(move |groups| (images.clone(), groups)))
            .enumerate()
            .map(|(item, (images, block))| Part {
                images,
                block,
                slabs: slabs.as_mut().map(|s| std::mem::take(&mut s[item])),
            })
            .collect();
        let run = |Part { images, block, mut slabs }: Part| {
            let mut packed = vec![0.0; self.inputs * layout.packed_len()];
            let mut flat = vec![0.0; self.outputs * back.flat_len];
            let mut phases = vec![0.0; layout.packed_len()];
            let mut sums = Vec::with_capacity(block.len() * self.weights_len());
            let mut lanes = vec![0.0; self.weights_len() * MAX_LANES];
            for group in block.clone() {
                lanes.fill(0.0);
                for (row, image) in images.clone().enumerate() {
                    let item = image * groups + group;
                    let plane = |data, len| -> &[f32] {
                        let data: &[f32] = data;
                        &data[item * len..][..len]
                    };
                    let kernel = Backward {
                        layout,
                        back: &back,
                        gradient: plane(gradient, self.group_output_len()),
                        input: input.map(|input| plane(input, self.group_input_len())),
                        weights: weight.map(|w| &w[group * self.weights_len()..][..self.weights_len()]),
                        packed: &mut packed,
                        flat: &mut flat,
                        phases: &mut phases,
                        lanes: &mut lanes,
                        input_gradient: slabs.as_mut().map(|slabs| {
                            let start = (group - block.start) * self.group_input_len();
                            &mut slabs[row][start..][..self.group_input_len()]
                        }),
                    };
                    arch.dispatch(kernel);
                }
                if input.is_some() {
                    sums.extend(lanes.chunks_exact(MAX_LANES).map(|l| l.iter().sum::<f32>()));
                }
            }
            sums
        };
        let sums: Vec<Vec<f32>> = items.into_par_iter().map(run).collect();
        let weight_gradient = input.map(|_| {
            let mut total = sums[..blocks.min(sums.len())].concat();
            for part in sums.chunks(blocks).skip(1) {
                for (total, value) in zip(&mut total, part.iter().flatten()) {
                    *total += value;
                }
            }
            total
        });
        Gradients { input: input_gradient, weight: weight_gradient }
    }
}

/// One group of one image.
struct Forward<'a> {
    layout: &'a PlaneLayout,
    /// Where each input channel and tap lies in `packed`.
    offsets: &'a [usize],
    input: &'a [f32],
    weights: &'a [f32],
    bias: Option<&'a [f32]>,
    packed: &'a mut [f32],
    flat: &'a mut [f32],
    output: &'a mut [f32],
}

impl Kernel for Forward<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd, C: Curve>(mut self, simd: S) {
        let layout = self.layout;
        for (input, packed) in zip(
            self.input.chunks_exact(layout.input_len()),
            self.packed.chunks_exact_mut(layout.packed_len()),
        ) {
            layout.pack(simd, input, packed);
        }
        // Enough sums at once to hide the latency of the multiply-add unit and to use each
        // loaded vector for several channels, within the registers that there are.
        match (self.weights.len() == self.offsets.len(), S::F32_LANES >= 16) {
            (true, true) => self.correlate::<S, C, 1, 4>(simd),
            (true, false) => self.correlate::<S, C, 1, 8>(simd),
            (false, true) => self.correlate::<S, C, 4, 4>(simd),
            (false, false) => self.correlate::<S, C, 2, 4>(simd),
        }
        for (flat, output) in
            zip(self.flat.chunks_exact(layout.flat_len()), self.output.chunks_exact_mut(layout.output_len()))
        {
            layout.unflatten(simd, flat, output);
        }
    }
}

impl Forward<'_> {
    /// Fills `flat`, `N` vectors of `M` channels at a time; all channels before the next
    /// position, while the input is in the nearest cache.
    #[inline(always)]
    fn correlate<S: Simd, C: Curve, const M: usize, const N: usize>(&mut self, simd: S) {
        let channels = self.weights.len() / self.offsets.len();
        for start in (0..self.layout.flat_len()).step_by(N * S::F32_LANES) {
            let whole = channels - channels % M;
            for channel in (0..whole).step_by(M) {
                self.correlate_block::<S, C, M, N>(simd, start, channel);
            }
            for channel in whole..channels {
                self.correlate_block::<S, C, 1, N>(simd, start, channel);
            }
        }
    }

    #[inline(always)]
    fn correlate_block<S: Simd, C: Curve, const M: usize, const N: usize>(
        &mut self,
        simd: S,
        start: usize,
        channel: usize,
    ) {
        let taps = self.offsets.len();
        let weights: [&[f32]; M] = array::from_fn(|m| &self.weights[(channel + m) * taps..][..taps]);
        let init = array::from_fn(|m| {
            let bias = self.bias.map_or(0.0, |bias| bias[channel + m]);
            simd.splat_f32s(bias)
        });
        let sums = weighted_sums::<S, M, N>(
            simd,
            &self.packed[start..],
            self.offsets.iter().enumerate().map(
                #[inline(always)]
                |(tap, offset)| (*offset, array::from_fn(|m| weights[m][tap])),
            ),
            init,
        );
        for (m, sums) in sums.into_iter().enumerate() {
            let flat = &mut self.flat[(channel + m) * self.layout.flat_len() + start..];
            let (flat, _) = S::as_mut_simd_f32s(&mut flat[..N * S::F32_LANES]);
            for (flat, sum) in zip(flat, sums) {
                *flat = C::value(simd, sum);
            }
        }
    }
}

/// For `M` channels, `N` vectors of `init + sum of weight * data[offset ..]`.
#[inline(always)]
fn weighted_sums<S: Simd, const M: usize, const N: usize>(
    simd: S,
    data: &[f32],
    taps: impl Iterator<Item = (usize, [f32; M])>,
    init: [S::f32s; M],
) -> [[S::f32s; N]; M] {
    let mut sums = init.map(|init| [init; N]);
    for (offset, weights) in taps {
        let (values, _) = S::as_simd_f32s(&data[offset..][..N * S::F32_LANES]);
        for m in 0..M {
            let weight = simd.splat_f32s(weights[m]);
            for n in 0..N {
                sums[m][n] = simd.mul_add_e_f32s(values[n], weight, sums[m][n]);
            }
        }
    }
    sums
}

/// For each phase of the input: which outputs and weights flow back to it.
struct BackTaps {
    /// Floats of one flat output gradient with its leading zeros.
    flat_len: usize,
    /// Per phase: `(weight index within one input channel, offset in the flat gradients)`.
    phases: Vec<PhaseTaps>,
}

struct PhaseTaps {
    /// Index of the weight of the first input channel; the next channel is `taps` further.
    weights: Vec<usize>,
    offsets: Vec<usize>,
}

impl BackTaps {
    fn new(conv: &Direct) -> Self {
        let layout = &conv.layout;
        let flat_len = layout.front() + layout.phase_len();
        let phases = layout
            .phases()
            .iter()
            .map(|phase| {
                let (weights, offsets) = (0..conv.outputs)
                    .flat_map(|output| {
                        phase.taps.iter().map(move |&(tap, distance)| {
                            (
                                output * conv.inputs * conv.taps() + tap,
                                output * flat_len + layout.front() - distance,
                            )
                        })
                    })
                    .unzip();
                PhaseTaps { weights, offsets }
            })
            .collect();
        Self { flat_len, phases }
    }
}

/// One group of one image, backward.
struct Backward<'a> {
    layout: &'a PlaneLayout,
    back: &'a BackTaps,
    gradient: &'a [f32],
    input: Option<&'a [f32]>,
    weights: Option<&'a [f32]>,
    packed: &'a mut [f32],
    flat: &'a mut [f32],
    phases: &'a mut [f32],
    /// Weight gradients, one vector of partial sums for each weight.
    lanes: &'a mut [f32],
    input_gradient: Option<&'a mut [f32]>,
}

impl pulp::WithSimd for Backward<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(mut self, simd: S) {
        let layout = self.layout;
        for (gradient, flat) in zip(
            self.gradient.chunks_exact(layout.output_len()),
            self.flat.chunks_exact_mut(self.back.flat_len),
        ) {
            layout.flatten(simd, gradient, &mut flat[layout.front()..]);
        }
        if let Some(input) = self.input {
            for (input, packed) in
                zip(input.chunks_exact(layout.input_len()), self.packed.chunks_exact_mut(layout.packed_len()))
            {
                layout.pack(simd, input, packed);
            }
            self.weight_gradient(simd);
        }
        if let (Some(weights), Some(input_gradient)) = (self.weights, self.input_gradient.take()) {
            let channels = input_gradient.chunks_exact_mut(layout.input_len());
            for (channel, target) in channels.enumerate() {
                let weights = &weights[channel * layout.offsets().len()..];
                if S::F32_LANES >= 16 {
                    self.input_phases::<S, 4>(simd, weights);
                } else {
                    self.input_phases::<S, 8>(simd, weights);
                }
                layout.unpack(simd, self.phases, target);
            }
        }
    }
}

impl Backward<'_> {
    /// Fills `phases` with the gradient of one input channel.
    #[inline(always)]
    fn input_phases<S: Simd, const N: usize>(&mut self, simd: S, weights: &[f32]) {
        let phases = self.phases.chunks_exact_mut(self.layout.phase_len());
        for (taps, phase) in zip(&self.back.phases, phases) {
            for (block, target) in phase.chunks_exact_mut(N * S::F32_LANES).enumerate() {
                let start = block * N * S::F32_LANES;
                let [sums] = weighted_sums::<S, 1, N>(
                    simd,
                    &self.flat[start..],
                    zip(&taps.offsets, &taps.weights).map(
                        #[inline(always)]
                        |(offset, weight)| (*offset, [weights[*weight]]),
                    ),
                    [simd.splat_f32s(0.0)],
                );
                let (target, _) = S::as_mut_simd_f32s(target);
                for (target, sum) in zip(target, sums) {
                    *target = sum;
                }
            }
        }
    }

    /// Adds to `lanes`.
    #[inline(always)]
    fn weight_gradient<S: Simd>(&mut self, simd: S) {
        let outputs = self.flat.len() / self.back.flat_len;
        let taps = self.layout.offsets().len();
        let inputs = self.packed.len() / self.layout.packed_len();
        for input in 0..inputs {
            if outputs == 1 {
                // Both kernel sizes in use come out as few full groups: 9, and 13 + 12.
                for tap in (0..taps).step_by(13) {
                    match taps - tap {
                        9 => self.dot_taps::<S, 1, 9>(simd, 0, input, tap),
                        12 => self.dot_taps::<S, 1, 12>(simd, 0, input, tap),
                        13.. => self.dot_taps::<S, 1, 13>(simd, 0, input, tap),
                        rest => {
                            for tap in tap..tap + rest {
                                self.dot_taps::<S, 1, 1>(simd, 0, input, tap);
                            }
                        }
                    }
                }
                continue;
            }
            for output in (0..outputs).step_by(4) {
                for tap in (0..taps).step_by(3) {
                    if output + 4 <= outputs && tap + 3 <= taps {
                        self.dot_taps::<S, 4, 3>(simd, output, input, tap);
                        continue;
                    }
                    for output in output..outputs.min(output + 4) {
                        for tap in tap..taps.min(tap + 3) {
                            self.dot_taps::<S, 1, 1>(simd, output, input, tap);
                        }
                    }
                }
            }
        }
    }

    /// Adds the products of `M` output gradients with `T` shifted views of an input to `lanes`.
    #[inline(always)]
    fn dot_taps<S: Simd, const M: usize, const T: usize>(
        &mut self,
        simd: S,
        output: usize,
        input: usize,
        tap: usize,
    ) {
        let layout = self.layout;
        let (taps, flat_len) = (layout.offsets().len(), layout.flat_len());
        let inputs = self.packed.len() / layout.packed_len();
        let count = flat_len / S::F32_LANES;
        // All views are cut to one length that the compiler knows them to share.
        let gradients: [&[S::f32s]; M] = array::from_fn(|m| {
            let start = (output + m) * self.back.flat_len + layout.front();
            &S::as_simd_f32s(&self.flat[start..][..flat_len]).0[..count]
        });
        let views: [&[S::f32s]; T] = array::from_fn(|t| {
            let start = input * layout.packed_len() + layout.offsets()[tap + t];
            &S::as_simd_f32s(&self.packed[start..][..flat_len]).0[..count]
        });
        let mut sums = [[simd.splat_f32s(0.0); T]; M];
        for i in 0..count {
            for m in 0..M {
                for t in 0..T {
                    sums[m][t] = simd.mul_add_e_f32s(gradients[m][i], views[t][i], sums[m][t]);
                }
            }
        }
        for (m, sums) in sums.into_iter().enumerate() {
            let first = ((output + m) * inputs + input) * taps + tap;
            for (t, sum) in sums.into_iter().enumerate() {
                let lanes = &mut self.lanes[(first + t) * MAX_LANES..][..S::F32_LANES];
                let (lanes, _) = S::as_mut_simd_f32s(lanes);
                lanes[0] = simd.add_f32s(lanes[0], sum);
            }
        }
    }
}
