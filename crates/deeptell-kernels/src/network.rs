//! [`ConvStack`]: a network as a value, made once and run on any number of images.

use std::sync::Arc;

use burn::backend::Dispatch;
use burn::tensor::Tensor;

use crate::extension::InferenceKernels;
use crate::panel::ConvWeights;
use crate::stack::{LayerSource, RowSource, Stack};
use crate::{check_channels, check_tensor, values};

/// A layer of a [`ConvStack`]: an unpadded convolution of stride 1, a `PReLU`, a max pool.
///
/// A dense layer is one whose window covers all of its input.
#[derive(Debug, Clone)]
pub struct StackLayer {
    /// `[channels_out, channels_in, kernel_height, kernel_width]`
    pub weight: Tensor<4>,
    /// `[channels_out]`
    pub bias: Tensor<1>,
    /// The factor of each channel's negative values, `[channels_out]` (`PReLU`, He et al. 2015,
    /// <https://arxiv.org/abs/1502.01852>, equation 1); `None` for no activation.
    pub slope: Option<Tensor<1>>,
    /// Side of a max pool's square window, at least 1. It moves by 2, and the size of its result
    /// is rounded up: the last window may reach over the edge.
    pub pool: Option<usize>,
}

/// A network of small dense convolutions for inference, with its weights in the order the
/// kernels read them.
///
/// Sizes of images are free as long as every layer's window fits. No feature map is ever stored
/// as a whole, so the memory of a forward pass grows with the width of the images only.
///
/// ```
/// use burn::tensor::{Device, Tensor};
/// use deeptell_kernels::{ConvStack, StackLayer};
///
/// let device = Device::flex();
/// let mean = StackLayer {
///     weight: Tensor::full([1, 3, 1, 1], 1.0 / 3.0, &device),
///     bias: Tensor::zeros([1], &device),
///     slope: None,
///     pool: Some(2),
/// };
/// let stack = ConvStack::new(&[mean]);
/// // Channels last: a gray image of 5 rows and 4 columns.
/// let y = stack.forward(Tensor::full([1, 5, 4, 3], 0.25, &device));
/// assert_eq!(y.dims(), [1, 3, 2, 1]);
/// ```
#[derive(Debug, Clone)]
pub struct ConvStack {
    stack: Arc<Stack>,
}

impl ConvStack {
    /// Prepares the network; later changes of the tensors do not reach it.
    ///
    /// # Panics
    ///
    /// If there is no layer, the shapes do not fit each other, a dimension or a pool is zero, or
    /// a tensor is not `f32` on a device that [`supports`](crate::supports) accepts.
    pub fn new(layers: &[StackLayer]) -> Self {
        assert!(!layers.is_empty(), "ConvStack: a network needs a layer");
        let mut channels = layers[0].weight.dims()[1];
        let mut sources = Vec::with_capacity(layers.len());
        for (index, layer) in layers.iter().enumerate() {
            let shape = layer.weight.dims();
            check_tensor("ConvStack", "a weight", &layer.weight);
            check_channels("ConvStack", "a bias", &layer.bias, shape[0]);
            if let Some(slope) = &layer.slope {
                check_channels("ConvStack", "a slope", slope, shape[0]);
            }
            assert!(
                shape.iter().all(|size| *size > 0) && layer.pool != Some(0),
                "ConvStack: no dimension may be zero, got weight {shape:?} and pool {:?} in layer {index}",
                layer.pool
            );
            assert!(
                shape[1] == channels,
                "ConvStack: layer {index} takes {} channels, but gets {channels}",
                shape[1]
            );
            channels = shape[0];
            sources.push(LayerSource {
                conv: ConvWeights { weight: values(&layer.weight), shape, bias: values(&layer.bias) },
                slope: layer.slope.as_ref().map(values),
                pool: layer.pool,
            });
        }
        Self { stack: Arc::new(Stack::new(&sources)) }
    }

    /// Rows, columns and channels of the result for images of `height` rows and `width` columns,
    /// or `None` when such an image is smaller than a layer's window.
    pub fn output(&self, height: usize, width: usize) -> Option<[usize; 3]> {
        self.stack.output([height, width])
    }

    /// Runs the network.
    ///
    /// # Shapes
    ///
    /// - `x`: `[batch, height, width, channels_in]`, channels last
    /// - output: `[batch, rows, columns, channels_out]`, sizes as [`output`](Self::output) says
    ///
    /// # Panics
    ///
    /// If `x` has another number of channels, no image or one too small, records gradients, or is
    /// not `f32` on a device that [`supports`](crate::supports) accepts.
    pub fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let [batch, height, width, channels] = x.dims();
        check_tensor("ConvStack", "the input", &x);
        assert!(!x.device().is_autodiff(), "ConvStack: there is no backward pass; call `inner()` first");
        assert!(batch > 0, "ConvStack: at least one image is needed");
        assert!(
            channels == self.stack.inputs() && self.output(height, width).is_some(),
            "ConvStack: an input of {:?} does not fit; {} channels are needed, and every window must fit",
            x.dims(),
            self.stack.inputs()
        );
        Tensor::from_dispatch(Dispatch::conv_stack(x.into_dispatch(), Arc::clone(&self.stack)))
    }

    /// Runs the network on images of `height` rows and `width` columns that are made row by row,
    /// so that neither they nor any feature map exist as a whole.
    ///
    /// The result is `[images, rows, columns, channels_out]`, sizes as [`output`](Self::output)
    /// says.
    ///
    /// # Panics
    ///
    /// If such an image is too small.
    pub fn forward_rows<R: RowSource>(&self, images: &[R], height: usize, width: usize) -> Vec<f32> {
        self.check_size(height, width);
        let images: Vec<_> = images.iter().map(|image| image as &dyn RowSource).collect();
        self.stack.forward_rows(&images, [height, width])
    }

    /// [`forward_rows`](Self::forward_rows) for one image, on the calling thread. Not even the
    /// result exists as a whole: `sink` gets each of its rows, `[columns, channels_out]`, with its
    /// number.
    ///
    /// # Panics
    ///
    /// If the image is too small.
    pub fn stream_rows<R: RowSource>(
        &self,
        image: &R,
        height: usize,
        width: usize,
        mut sink: impl FnMut(usize, &[f32]),
    ) {
        self.check_size(height, width);
        self.stack.stream_rows(image, [height, width], &mut sink);
    }

    fn check_size(&self, height: usize, width: usize) {
        assert!(
            self.output(height, width).is_some(),
            "ConvStack: every window must fit into an image, and one does not fit into {height}x{width} cells"
        );
    }
}
