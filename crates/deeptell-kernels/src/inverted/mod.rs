//! A whole network of inverted residual blocks in one pass.
//!
//! Feature maps lie in panels of sixteen channels, `[panel][row][column][channel]` (the blocked
//! layout of Georganas et al. 2018, <https://arxiv.org/abs/1808.05567>, section II-A): whole
//! vectors for the depthwise windows, and neighboring cells at a fixed distance for the matrix
//! products. A block of MobileNetV3 never writes its widest map as a whole: some panels are
//! expanded into a buffer of the second-level cache, filtered from there, and the next panels
//! take their place. The first layer goes from row to row, straight into the first block.
//!
//! Some images go through the network together, block by block, so that the weights of the deep
//! blocks, which are larger than the maps there, are read once for all of them.

mod plan;
mod run;
mod source;
mod tile;
mod windowed;

use pulp::Arch;
use rayon::prelude::*;

use self::plan::Plan;
use self::tile::Pointwise;
use self::windowed::Windowed;
use crate::scratch::with_scratch;

pub(crate) use self::source::{BlockSource, ConvSource, misfit};

/// Images that go through the network together.
const GROUP: usize = 4;

/// What comes out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Output {
    /// The last map, `[images, channels, rows, columns]`.
    Features,
    /// The mean of each channel, `[images, channels]`.
    Means,
}

/// A network ready to run.
#[derive(Debug)]
pub(crate) struct Network {
    stem: Windowed,
    blocks: Vec<Block>,
    last: Pointwise,
}

#[derive(Debug)]
struct Block {
    expand: Option<Pointwise>,
    depthwise: Windowed,
    gate: Option<[Pointwise; 2]>,
    project: Pointwise,
    residual: bool,
}

impl Network {
    pub(crate) fn new(stem: &ConvSource, blocks: &[BlockSource], last: &ConvSource) -> Self {
        let block = |block: &BlockSource| Block {
            expand: block.expand.as_ref().map(Pointwise::new),
            depthwise: Windowed::new(&block.depthwise),
            gate: block.gate.as_ref().map(|gate| gate.each_ref().map(Pointwise::new)),
            project: Pointwise::new(&block.project),
            residual: block.residual,
        };
        Self {
            stem: Windowed::new(stem),
            blocks: blocks.iter().map(block).collect(),
            last: Pointwise::new(last),
        }
    }

    /// Channels that go in.
    pub(crate) fn inputs(&self) -> usize {
        self.stem.inputs
    }

    /// Channels, rows and columns of the last map for images of `size`.
    pub(crate) fn output(&self, size: [usize; 2]) -> [usize; 3] {
        let windows = std::iter::once(&self.stem).chain(self.blocks.iter().map(|block| &block.depthwise));
        let [rows, columns] = windows.fold(size, |size, window| size.map(|cells| window.output(cells)));
        [self.last.outputs, rows, columns]
    }

    /// The network on `images` images of `size` (rows, columns), `[image][channel][row][column]`.
    pub(crate) fn forward(&self, input: &[f32], images: usize, size: [usize; 2], output: Output) -> Vec<f32> {
        self.forward_on(Arch::new(), input, images, size, output)
    }

    /// The same with the instructions of `arch`.
    fn forward_on(
        &self,
        arch: Arch,
        input: &[f32],
        images: usize,
        size: [usize; 2],
        output: Output,
    ) -> Vec<f32> {
        let plan = Plan::new(self, size);
        let [channels, rows, columns] = self.output(size);
        let output_len = match output {
            Output::Features => channels * rows * columns,
            Output::Means => channels,
        };
        let input_len = self.inputs() * size[0] * size[1];
        let mut outputs = vec![0.0; images * output_len];
        let group = images.div_ceil(rayon::current_num_threads()).clamp(1, GROUP);
        outputs.par_chunks_mut(group * output_len).zip(input.par_chunks(group * input_len)).for_each(
            |(outputs, inputs)| {
                let images: Vec<&[f32]> = inputs.chunks_exact(input_len).collect();
                with_scratch(plan.scratch_len(images.len()), |scratch| {
                    plan.run(arch, &images, scratch, outputs, output);
                });
            },
        );
        outputs
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::activation::Activation;
    use crate::panel::ConvWeights;

    fn conv(shape: [usize; 4], stride: usize, activation: Activation) -> ConvSource {
        let value = |seed: usize| (seed * 7919 % 1013) as f32 / 506.0 - 1.0;
        let inputs: usize = shape[1..].iter().product();
        let weight = (0..shape[0] * inputs).map(|at| value(at + shape[0]) / (inputs as f32).sqrt());
        let bias = (0..shape[0]).map(|at| value(at + 3)).collect();
        ConvSource { conv: ConvWeights { weight: weight.collect(), shape, bias }, stride, activation }
    }

    /// Every instruction set that this machine has: the others must not differ from the best one.
    #[test]
    fn every_instruction_set_gives_the_same_values() {
        let block =
            |input: usize, inside: usize, output: usize, kernel: usize, stride: usize, first: bool| {
                let act = Activation::HardSwish;
                BlockSource {
                    expand: (!first).then(|| conv([inside, input, 1, 1], 1, Activation::Relu)),
                    depthwise: conv([inside, 1, kernel, kernel], stride, act),
                    gate: Some([
                        conv([7, inside, 1, 1], 1, Activation::Relu),
                        conv([inside, 7, 1, 1], 1, Activation::Identity),
                    ]),
                    project: conv([output, inside, 1, 1], 1, Activation::Identity),
                    residual: stride == 1 && input == output,
                }
            };
        let shrinking = [
            block(20, 20, 24, 3, 2, true),
            block(24, 70, 24, 5, 1, false),
            block(24, 50, 33, 3, 1, false),
            block(33, 65, 40, 5, 2, false),
        ];
        check_instruction_sets(&shrinking);
        // With a shortcut around the first block.
        let keeping =
            [block(20, 20, 20, 5, 1, true), block(20, 70, 20, 5, 2, false), block(20, 50, 40, 3, 1, false)];
        check_instruction_sets(&keeping);
    }

    fn check_instruction_sets(blocks: &[BlockSource]) {
        let stem = conv([20, 3, 3, 3], 2, Activation::HardSwish);
        let last = conv([50, 40, 1, 1], 1, Activation::HardSwish);
        assert_eq!(misfit(&stem, blocks, &last), None);
        let network = Network::new(&stem, blocks, &last);
        let (images, size) = (3, [67, 59]);
        let input: Vec<f32> =
            (0..images * 3 * size[0] * size[1]).map(|at| (at * 31 % 255) as f32 / 127.0 - 1.0).collect();
        let run = |arch| network.forward_on(arch, &input, images, size, Output::Features);
        let mut sets = vec![Arch::Scalar];
        #[cfg(any(target_arch = "x86", target_arch = "x86_64"))]
        {
            sets.extend(pulp::x86::V3::try_new().map(Arch::V3));
            sets.extend(pulp::x86::V4::try_new().map(Arch::V4));
        }
        let best = run(Arch::new());
        let size = best.iter().fold(0.0_f32, |size, value| size.max(value.abs()));
        assert!(size > 0.1, "a network that says something");
        for arch in sets {
            let apart = best.iter().zip(run(arch)).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
            assert!(apart < 1e-5 * size, "{arch:?}: {apart} apart, of {size}");
        }
    }
}
