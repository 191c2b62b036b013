use burn::module::Module;
use burn::nn::conv::{Conv2d, Conv2dConfig};
use burn::nn::pool::{MaxPool2d, MaxPool2dConfig};
use burn::nn::{PRelu, PReluConfig};
use burn::tensor::{Bool, Device, Tensor};
use deeptell_kernels::StackLayer;

use super::fused;

/// One row of a network's table: an unpadded convolution of stride 1, a `PReLU` with one
/// slope per channel and, in most rows, a max pool of stride 2.
pub(super) struct Row {
    pub(super) channels: usize,
    pub(super) kernel: usize,
    /// Side of the pool's window.
    pub(super) pool: Option<usize>,
}

/// Shorthand that keeps the tables readable.
pub(super) const fn row(channels: usize, kernel: usize, pool: Option<usize>) -> Row {
    Row { channels, kernel, pool }
}

/// The convolutional part of a network: the rows of its table in turn.
#[derive(Module, Debug)]
pub(super) struct Trunk {
    blocks: Vec<Block>,
}

#[derive(Module, Debug)]
struct Block {
    convolution: Conv2d,
    activation: PRelu,
    pool: Option<MaxPool2d>,
}

/// Below every value of a feature map, and so far from the end of f32 that what the following
/// layers make of it (in cells that are not read) stays finite.
const COVERED: f32 = -1e20;

impl Block {
    fn convolved(&self, x: Tensor<4>) -> Tensor<4> {
        self.activation.forward(self.convolution.forward(x))
    }

    fn pooled(&self, x: Tensor<4>) -> Tensor<4> {
        match &self.pool {
            Some(pool) => pool.forward(x),
            None => x,
        }
    }
}

impl Trunk {
    /// The trunk of `rows`, for RGB input.
    pub(super) fn new(rows: &[Row], device: &Device) -> Self {
        let mut channels_in = 3;
        let blocks = rows
            .iter()
            .map(|row| {
                let channels = [std::mem::replace(&mut channels_in, row.channels), row.channels];
                Block {
                    convolution: Conv2dConfig::new(channels, [row.kernel; 2]).init(device),
                    activation: PReluConfig::new().with_num_parameters(row.channels).init(device),
                    // Caffe, where the networks were trained, rounds the size of a pool up.
                    pool: row.pool.map(|side| {
                        MaxPool2dConfig::new([side; 2]).with_strides([2, 2]).with_ceil_mode(true).init()
                    }),
                }
            })
            .collect();
        Self { blocks }
    }

    /// # Shapes
    /// - input: `[batch, 3, height, width]`
    /// - output: `[batch, channels of the last row, smaller height, smaller width]`
    pub(super) fn forward(&self, images: Tensor<4>) -> Tensor<4> {
        self.blocks.iter().fold(images, |x, block| block.pooled(block.convolved(x)))
    }

    /// [`forward`](Self::forward) with the values that `mask` covers taken out of the first
    /// block before it pools.
    ///
    /// # Shapes
    /// - mask: `[1, 1, height, width]` of the first convolution's result
    pub(super) fn forward_masked(&self, images: Tensor<4>, mask: Tensor<4, Bool>) -> Tensor<4> {
        let mut mask = Some(mask);
        self.blocks.iter().fold(images, |x, block| {
            let x = block.convolved(x);
            let x = match mask.take() {
                Some(mask) => {
                    let shape = x.dims();
                    x.mask_fill(mask.expand(shape), COVERED)
                }
                None => x,
            };
            block.pooled(x)
        })
    }

    /// The same for the fused kernels.
    pub(super) fn layers(&self) -> Vec<StackLayer> {
        let pool = |block: &Block| block.pool.as_ref().map(|pool| pool.kernel_size[0]);
        self.blocks
            .iter()
            .map(|block| fused::convolution(&block.convolution, Some(&block.activation), pool(block)))
            .collect()
    }

    /// [`forward`](Self::forward), flattened for a dense layer in the order width, height,
    /// channel that the dense weights expect (Caffe's column-major heritage).
    ///
    /// # Shapes
    /// - input: `[batch, 3, height, width]`
    /// - output: `[batch, features]`
    pub(super) fn features(&self, images: Tensor<4>) -> Tensor<2> {
        self.forward(images).swap_dims(1, 3).flatten(1, 3)
    }
}
