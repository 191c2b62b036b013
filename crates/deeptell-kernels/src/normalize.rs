//! Batch normalization with the statistics of the batch, fused with the activation.

use crate::activation::{Activation, Curve, Kernel};
use crate::{buffers, split, vector};
use pulp::{Arch, Simd};
use rayon::prelude::*;
use std::ops::Range;

/// The sizes of a `[images, channels, plane]` tensor.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Maps {
    pub(crate) images: usize,
    pub(crate) channels: usize,
    pub(crate) plane: usize,
}

/// The map from one channel to its normalized values: `(v - mean) * scale + shift`.
#[derive(Debug, Clone, Copy)]
struct Affine {
    mean: f32,
    scale: f32,
    shift: f32,
}

/// Gradients of a normalization; the one for the input is written in place.
pub(crate) struct ParameterGradients {
    pub(crate) gamma: Vec<f32>,
    pub(crate) beta: Vec<f32>,
}

impl Maps {
    /// The feature map of one channel of one image.
    fn plane<'a>(&self, data: &'a [f32], image: usize, channel: usize) -> &'a [f32] {
        &data[(image * self.channels + channel) * self.plane..][..self.plane]
    }

    /// Runs `work` on blocks of channels in parallel. It gets the channels and, for each
    /// image, their part of `data`; the results come back in the order of the channels.
    fn for_channel_blocks<R: Send>(
        &self,
        data: &mut [f32],
        work: impl Fn(Range<usize>, Vec<&mut [f32]>) -> Vec<R> + Sync,
    ) -> Vec<R> {
        let blocks = split::PARTS.min(self.channels);
        let slabs = split::image_slabs(data, self.images, self.channels, self.plane, 1, blocks);
        let results: Vec<Vec<R>> = split::ranges(self.channels, blocks)
            .zip(slabs)
            .collect::<Vec<_>>()
            .into_par_iter()
            .map(|(channels, slabs)| work(channels, slabs))
            .collect();
        results.into_iter().flatten().collect()
    }

    /// `activation(normalized input * gamma + beta)`, with the mean and the biased variance
    /// of each channel.
    pub(crate) fn normalize(
        &self,
        input: &[f32],
        gamma: &[f32],
        beta: &[f32],
        epsilon: f64,
        activation: Activation,
    ) -> (Vec<f32>, Vec<f32>, Vec<f32>) {
        let arch = Arch::new();
        let mut output = buffers::take(input.len());
        let moments = self.for_channel_blocks(&mut output, |channels, mut slabs| {
            channels
                .enumerate()
                .map(|(row, channel)| {
                    let (mean, variance) = arch.dispatch(Moments { maps: *self, channel, input });
                    let scale = f64::from(gamma[channel]) / (variance + epsilon).sqrt();
                    activation.dispatch(
                        arch,
                        Apply {
                            maps: *self,
                            channel,
                            row,
                            input,
                            affine: Affine { mean: mean as f32, scale: scale as f32, shift: beta[channel] },
                            slabs: &mut slabs,
                        },
                    );
                    (mean as f32, variance as f32)
                })
                .collect()
        });
        let (mean, variance) = moments.into_iter().unzip();
        (output, mean, variance)
    }

    /// Replaces `gradient` (for the output) by the gradient for the input.
    pub(crate) fn normalize_backward(
        &self,
        input: &[f32],
        parameters: &Parameters<'_>,
        gradient: &mut [f32],
        activation: Activation,
    ) -> ParameterGradients {
        let arch = Arch::new();
        let gradients = self.for_channel_blocks(gradient, |channels, mut slabs| {
            channels
                .enumerate()
                .map(|(row, channel)| {
                    activation.dispatch(
                        arch,
                        Backward { maps: *self, channel, row, input, parameters, slabs: &mut slabs },
                    )
                })
                .collect()
        });
        let (gamma, beta) = gradients.into_iter().unzip();
        ParameterGradients { gamma, beta }
    }
}

/// What the backward pass needs of the forward pass, one value per channel.
pub(crate) struct Parameters<'a> {
    pub(crate) gamma: &'a [f32],
    pub(crate) beta: &'a [f32],
    pub(crate) mean: &'a [f32],
    pub(crate) variance: &'a [f32],
    pub(crate) epsilon: f64,
}

/// Mean and biased variance of a channel.
struct Moments<'a> {
    maps: Maps,
    channel: usize,
    input: &'a [f32],
}

impl pulp::WithSimd for Moments<'_> {
    type Output = (f64, f64);

    /// Each feature map is summed in f32 while it lies in the cache, and the
    /// maps are joined in f64: Chan, Golub and `LeVeque` 1979, "Updating
    /// formulae and a pairwise algorithm for computing sample variances", equation 1.5.
    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> (f64, f64) {
        let size = self.maps.plane as f64;
        let (mut count, mut mean, mut squares) = (0.0, 0.0, 0.0);
        for image in 0..self.maps.images {
            let plane = self.maps.plane(self.input, image, self.channel);
            let plane_mean = vector::sum(simd, plane) / plane.len() as f32;
            let deviation = f64::from(vector::squared_deviation(simd, plane, plane_mean));
            let step = f64::from(plane_mean) - mean;
            let total = count + size;
            mean += step * size / total;
            squares += deviation + step * step * count * size / total;
            count = total;
        }
        (mean, squares / count)
    }
}

/// Writes the normalized and activated channel.
struct Apply<'a, 'b> {
    maps: Maps,
    channel: usize,
    row: usize,
    input: &'a [f32],
    affine: Affine,
    slabs: &'a mut [&'b mut [f32]],
}

impl Kernel for Apply<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd, C: Curve>(self, simd: S) {
        let mean = simd.splat_f32s(self.affine.mean);
        let scale = simd.splat_f32s(self.affine.scale);
        let shift = simd.splat_f32s(self.affine.shift);
        let size = self.maps.plane;
        for (image, slab) in self.slabs.iter_mut().enumerate() {
            vector::map(
                simd,
                self.maps.plane(self.input, image, self.channel),
                &mut slab[self.row * size..][..size],
                #[inline(always)]
                |v| C::value(simd, simd.mul_add_e_f32s(simd.sub_f32s(v, mean), scale, shift)),
            );
        }
    }
}

/// Replaces the gradient of one channel; returns the gradients for gamma and beta.
struct Backward<'a, 'b> {
    maps: Maps,
    channel: usize,
    row: usize,
    input: &'a [f32],
    parameters: &'a Parameters<'a>,
    slabs: &'a mut [&'b mut [f32]],
}

impl Kernel for Backward<'_, '_> {
    type Output = (f32, f32);

    #[inline(always)]
    fn run<S: Simd, C: Curve>(self, simd: S) -> (f32, f32) {
        let p = self.parameters;
        let inverse = 1.0 / (f64::from(p.variance[self.channel]) + p.epsilon).sqrt();
        let scale = f64::from(p.gamma[self.channel]) * inverse;
        let mean = simd.splat_f32s(p.mean[self.channel]);
        let scale_all = simd.splat_f32s(scale as f32);
        let shift = simd.splat_f32s(p.beta[self.channel]);
        let size = self.maps.plane;
        let rows = self.row * size..(self.row + 1) * size;

        // Sums of the gradient before the activation, and of its product with the distance
        // from the mean. Lanes past the end of a map have gradient zero and add nothing.
        let (mut plain, mut moment) = (0.0, 0.0);
        for (image, slab) in self.slabs.iter().enumerate() {
            let mut sums = [simd.splat_f32s(0.0); 2];
            vector::for_each_pair(
                simd,
                self.maps.plane(self.input, image, self.channel),
                &slab[rows.clone()],
                #[inline(always)]
                |input, gradient| {
                    let distance = simd.sub_f32s(input, mean);
                    let v = simd.mul_add_e_f32s(distance, scale_all, shift);
                    let inner = C::pull_back(simd, v, gradient);
                    sums[0] = simd.add_f32s(sums[0], inner);
                    sums[1] = simd.mul_add_e_f32s(inner, distance, sums[1]);
                },
            );
            plain += f64::from(simd.reduce_sum_f32s(sums[0]));
            moment += f64::from(simd.reduce_sum_f32s(sums[1]));
        }

        // Ioffe and Szegedy 2015 (https://arxiv.org/abs/1502.03167), section 3, with the
        // three terms of the gradient for the input collected into one expression.
        let count = (self.maps.images * size) as f64;
        let constant = simd.splat_f32s((scale * plain / count) as f32);
        let linear = simd.splat_f32s((scale * inverse * inverse * moment / count) as f32);
        for (image, slab) in self.slabs.iter_mut().enumerate() {
            vector::update(
                simd,
                self.maps.plane(self.input, image, self.channel),
                &mut slab[rows.clone()],
                #[inline(always)]
                |input, gradient| {
                    let distance = simd.sub_f32s(input, mean);
                    let v = simd.mul_add_e_f32s(distance, scale_all, shift);
                    let inner = C::pull_back(simd, v, gradient);
                    let slope = simd.mul_add_e_f32s(distance, linear, constant);
                    simd.sub_f32s(simd.mul_f32s(inner, scale_all), slope)
                },
            );
        }
        ((moment * inverse) as f32, plain as f32)
    }
}
