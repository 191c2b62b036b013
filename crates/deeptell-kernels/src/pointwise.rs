//! 1x1 convolution: one matrix product an image.

use crate::activation::{Activation, Curve, Kernel};
use crate::direct::Gradients;
use crate::matrix::{Into, Matrix, multiply};
use crate::{buffers, split, vector};
use pulp::{Arch, Simd};
use rayon::prelude::*;
use std::iter::zip;

/// The sizes of a 1x1 convolution.
#[derive(Debug)]
pub(crate) struct Pointwise {
    pub(crate) images: usize,
    pub(crate) inputs: usize,
    pub(crate) outputs: usize,
    /// Cells of one feature map.
    pub(crate) plane: usize,
}

impl Pointwise {
    /// `activation(input * weight + bias)`
    pub(crate) fn forward(
        &self,
        input: &[f32],
        weight: &[f32],
        bias: Option<&[f32]>,
        activation: Activation,
    ) -> Vec<f32> {
        let arch = Arch::new();
        let mut output = buffers::take(self.images * self.outputs * self.plane);
        // Few images: the output channels are shared out too.
        let threads = rayon::current_num_threads();
        let blocks = threads.div_ceil(self.images).min(self.outputs);
        let rows = self.outputs.div_ceil(blocks);
        output
            .par_chunks_mut(self.outputs * self.plane)
            .zip(input.par_chunks(self.inputs * self.plane))
            .for_each(|(output, input)| {
                let input = Matrix::new(input, self.inputs, self.plane);
                output
                    .par_chunks_mut(rows * self.plane)
                    .zip(weight.par_chunks(rows * self.inputs))
                    .enumerate()
                    .for_each(|(block, (output, weight))| {
                        let weight = Matrix::new(weight, weight.len() / self.inputs, self.inputs);
                        multiply(weight, input, output, Into::Replace);
                        if let Some(bias) = bias {
                            let bias = &bias[block * rows..];
                            activation.dispatch(arch, Finish { output, bias, plane: self.plane });
                        }
                    });
            });
        output
    }

    /// Gradients for the input and the weight.
    pub(crate) fn backward(
        &self,
        input: Option<&[f32]>,
        weight: Option<&[f32]>,
        gradient: &[f32],
    ) -> Gradients {
        let mut input_gradient = weight.map(|_| buffers::take(self.images * self.inputs * self.plane));
        let mut slabs = input_gradient
            .as_deref_mut()
            .map(|data| split::image_slabs(data, self.images, 1, self.inputs * self.plane, split::PARTS, 1));
        let items: Vec<_> = split::ranges(self.images, split::PARTS)
            .enumerate()
            .map(|(item, images)| (images, slabs.as_mut().map(|s| std::mem::take(&mut s[item]))))
            .collect();
        let sums: Vec<Vec<f32>> = items
            .into_par_iter()
            .map(|(images, mut slabs)| {
                let mut sum = vec![0.0; input.map_or(0, |_| self.outputs * self.inputs)];
                for (row, image) in images.enumerate() {
                    let gradient =
                        &gradient[image * self.outputs * self.plane..][..self.outputs * self.plane];
                    let gradient = Matrix::new(gradient, self.outputs, self.plane);
                    if let (Some(weight), Some(slabs)) = (weight, &mut slabs) {
                        let weight = Matrix::new(weight, self.outputs, self.inputs);
                        multiply(weight.transposed(), gradient, slabs[row], Into::Replace);
                    }
                    if let Some(input) = input {
                        let input = &input[image * self.inputs * self.plane..][..self.inputs * self.plane];
                        let input = Matrix::new(input, self.inputs, self.plane);
                        multiply(gradient, input.transposed(), &mut sum, Into::Add);
                    }
                }
                sum
            })
            .collect();
        let weight_gradient = input.map(|_| {
            let mut total = vec![0.0; self.outputs * self.inputs];
            for sum in &sums {
                for (total, value) in zip(&mut total, sum) {
                    *total += value;
                }
            }
            total
        });
        Gradients { input: input_gradient, weight: weight_gradient }
    }
}

/// `activation(output + bias)` in place, one bias a feature map.
struct Finish<'a> {
    output: &'a mut [f32],
    bias: &'a [f32],
    plane: usize,
}

impl Kernel for Finish<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd, C: Curve>(self, simd: S) {
        for (output, bias) in zip(self.output.chunks_exact_mut(self.plane), self.bias) {
            let bias = simd.splat_f32s(*bias);
            vector::update_in_place(
                simd,
                output,
                #[inline(always)]
                |v| C::value(simd, simd.add_f32s(v, bias)),
            );
        }
    }
}
