//! The operations as extensions of Burn's Flex backend, and their backward passes.

use crate::activation::Activation;
use crate::direct::{Direct, Gradients};
use crate::inverted::{Network, Output};
use crate::normalize::{Maps, Parameters};
use crate::planes::PlaneLayout;
use crate::pointwise::Pointwise;
use crate::stack::Stack;
use crate::{ConvGeometry, buffers, pool};
use burn::backend::autodiff::checkpoint::base::Checkpointer;
use burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy;
use burn::backend::autodiff::grads::Gradients as Tape;
use burn::backend::autodiff::ops::{Backward, Ops, OpsKind};
use burn::backend::autodiff::{Autodiff, NodeId};
use burn::backend::tensor::FloatTensor;
use burn::backend::{Backend, Flex, backend_extension};
use burn::tensor::{Bytes, DType, Shape};
use burn_flex::{FlexTensor, Layout};
use std::sync::Arc;

/// What [`crate::conv2d`] and its relatives need of a backend.
#[backend_extension(Flex, Autodiff)]
pub(crate) trait TrainingKernels: Backend {
    /// Convolution of `[n, c, h, w]` by `[o, c / groups, k, k]`.
    fn small_conv2d(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        geometry: ConvGeometry,
    ) -> FloatTensor<Self>;

    /// Output, mean and biased variance.
    fn normalize_activate(
        x: FloatTensor<Self>,
        gamma: FloatTensor<Self>,
        beta: FloatTensor<Self>,
        epsilon: f64,
        activation: Activation,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>);
}

/// What only inference uses; there is no backward pass.
#[backend_extension(Flex)]
pub(crate) trait InferenceKernels: Backend {
    /// Convolution, bias and activation.
    fn small_conv2d_bias_activation(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        bias: FloatTensor<Self>,
        geometry: ConvGeometry,
        activation: Activation,
    ) -> FloatTensor<Self>;

    /// Maxima of two by two cells of `[n, c, h, w]`.
    fn max_pool_by_two(x: FloatTensor<Self>) -> FloatTensor<Self>;

    /// A whole network on `[n, h, w, c]`.
    fn conv_stack(x: FloatTensor<Self>, stack: Arc<Stack>) -> FloatTensor<Self>;

    /// A whole network on `[n, c, h, w]`.
    fn inverted_residuals(x: FloatTensor<Self>, network: Arc<Network>, output: Output) -> FloatTensor<Self>;
}

/// The tensor with its cells in order and nothing else in its buffer.
fn contiguous(tensor: FlexTensor) -> FlexTensor {
    let whole = tensor.is_contiguous()
        && tensor.layout().start_offset() == 0
        && tensor.storage::<f32>().len() == tensor.layout().num_elements();
    if whole { tensor } else { tensor.to_contiguous() }
}

/// Drops the tensor, and keeps its memory if nobody else holds it.
fn recycle(tensor: FlexTensor) {
    if tensor.is_unique()
        && let Ok(data) = tensor.into_data().try_into_vec()
    {
        buffers::give(data);
    }
}

fn tensor(data: Vec<f32>, shape: Shape) -> FlexTensor {
    FlexTensor::new(Bytes::from_elems(data), Layout::contiguous(shape), DType::F32)
}

/// The two algorithms, chosen by the shape of the layer.
enum Conv {
    Pointwise(Pointwise),
    Direct(Direct),
}

impl Conv {
    fn new(x: [usize; 4], weight: [usize; 4], geometry: ConvGeometry) -> Self {
        let [images, inputs, height, width] = x;
        let [outputs, group_inputs, kernel_height, kernel_width] = weight;
        let ConvGeometry { stride, padding, groups } = geometry;
        if [kernel_height, kernel_width, stride, groups] == [1; 4] && padding == 0 {
            return Self::Pointwise(Pointwise { images, inputs, outputs, plane: height * width });
        }
        Self::Direct(Direct {
            images,
            groups,
            inputs: group_inputs,
            outputs: outputs / groups,
            layout: PlaneLayout::new([height, width], [kernel_height, kernel_width], stride, padding),
        })
    }

    fn output(&self, x: [usize; 4]) -> Shape {
        match self {
            Self::Pointwise(conv) => Shape::from([x[0], conv.outputs, x[2], x[3]]),
            Self::Direct(conv) => {
                let [height, width] = conv.layout.output();
                Shape::from([x[0], conv.groups * conv.outputs, height, width])
            }
        }
    }

    fn forward(&self, x: &[f32], weight: &[f32], bias: Option<&[f32]>, activation: Activation) -> Vec<f32> {
        match self {
            Self::Pointwise(conv) => conv.forward(x, weight, bias, activation),
            Self::Direct(conv) => conv.forward(x, weight, bias, activation),
        }
    }

    fn backward(&self, x: Option<&[f32]>, weight: Option<&[f32]>, gradient: &[f32]) -> Gradients {
        match self {
            Self::Pointwise(conv) => conv.backward(x, weight, gradient),
            Self::Direct(conv) => conv.backward(x, weight, gradient),
        }
    }
}

fn convolve(
    x: FlexTensor,
    weight: FlexTensor,
    bias: Option<FlexTensor>,
    geometry: ConvGeometry,
    activation: Activation,
) -> FlexTensor {
    let (x, weight, bias) = (contiguous(x), contiguous(weight), bias.map(contiguous));
    let dims = x.layout().shape().dims();
    let conv = Conv::new(dims, weight.layout().shape().dims(), geometry);
    let output =
        conv.forward(x.storage(), weight.storage(), bias.as_ref().map(FlexTensor::storage), activation);
    recycle(x);
    tensor(output, conv.output(dims))
}

impl InferenceKernels for Flex {
    fn small_conv2d_bias_activation(
        x: FlexTensor,
        weight: FlexTensor,
        bias: FlexTensor,
        geometry: ConvGeometry,
        activation: Activation,
    ) -> FlexTensor {
        convolve(x, weight, Some(bias), geometry, activation)
    }

    fn max_pool_by_two(x: FlexTensor) -> FlexTensor {
        let x = contiguous(x);
        let [images, channels, height, width] = x.layout().shape().dims();
        let output = pool::halved(x.storage(), images * channels, [height, width]);
        recycle(x);
        tensor(output, Shape::from([images, channels, height / 2, width / 2]))
    }

    fn conv_stack(x: FlexTensor, stack: Arc<Stack>) -> FlexTensor {
        let x = contiguous(x);
        let [images, height, width, _] = x.layout().shape().dims();
        #[expect(clippy::expect_used, reason = "the public function has checked the size")]
        let [rows, columns, channels] = stack.output([height, width]).expect("images of a fitting size");
        let output = stack.forward(x.storage(), images, [height, width]);
        tensor(output, Shape::from([images, rows, columns, channels]))
    }

    fn inverted_residuals(x: FlexTensor, network: Arc<Network>, output: Output) -> FlexTensor {
        let x = contiguous(x);
        let [images, _, height, width] = x.layout().shape().dims();
        let result = network.forward(x.storage(), images, [height, width], output);
        let [channels, rows, columns] = network.output([height, width]);
        let shape = match output {
            Output::Features => Shape::from([images, channels, rows, columns]),
            Output::Means => Shape::from([images, channels]),
        };
        tensor(result, shape)
    }
}

impl TrainingKernels for Flex {
    fn small_conv2d(x: FlexTensor, weight: FlexTensor, geometry: ConvGeometry) -> FlexTensor {
        convolve(x, weight, None, geometry, Activation::Identity)
    }

    fn normalize_activate(
        x: FlexTensor,
        gamma: FlexTensor,
        beta: FlexTensor,
        epsilon: f64,
        activation: Activation,
    ) -> (FlexTensor, FlexTensor, FlexTensor) {
        let (x, gamma, beta) = (contiguous(x), contiguous(gamma), contiguous(beta));
        let maps = maps(&x);
        let (output, mean, variance) =
            maps.normalize(x.storage(), gamma.storage(), beta.storage(), epsilon, activation);
        let channels = Shape::from([maps.channels]);
        let shape = x.layout().shape().clone();
        recycle(x);
        (tensor(output, shape), tensor(mean, channels.clone()), tensor(variance, channels))
    }
}

fn maps(x: &FlexTensor) -> Maps {
    let [images, channels, height, width] = x.layout().shape().dims();
    Maps { images, channels, plane: height * width }
}

#[derive(Debug)]
struct ConvBackward;

impl Backward<Flex, 2> for ConvBackward {
    type State = (NodeId, NodeId, ConvGeometry);

    fn backward(self, ops: Ops<Self::State, 2>, tape: &mut Tape, checkpoints: &mut Checkpointer) {
        let [x_node, weight_node] = ops.parents;
        let gradient = contiguous(tape.consume::<Flex>(&ops.node));
        let (x, weight, geometry) = ops.state;
        let x = contiguous(checkpoints.retrieve_node_output(x));
        let weight = contiguous(checkpoints.retrieve_node_output(weight));
        let (x_shape, weight_shape) = (x.layout().shape().clone(), weight.layout().shape().clone());
        let gradients = Conv::new(x_shape.dims(), weight_shape.dims(), geometry).backward(
            weight_node.is_some().then(|| x.storage()),
            x_node.is_some().then(|| weight.storage()),
            gradient.storage(),
        );
        recycle(gradient);
        recycle(x);
        if let (Some(node), Some(gradient)) = (x_node, gradients.input) {
            tape.register::<Flex>(node.id, tensor(gradient, x_shape));
        }
        if let (Some(node), Some(gradient)) = (weight_node, gradients.weight) {
            tape.register::<Flex>(node.id, tensor(gradient, weight_shape));
        }
    }
}

#[derive(Debug)]
struct NormalizeBackward;

/// The inputs of a normalization and the statistics that its forward pass found.
#[derive(Debug, Clone)]
struct NormalizeState {
    x: NodeId,
    gamma: NodeId,
    beta: NodeId,
    mean: FlexTensor,
    variance: FlexTensor,
    epsilon: f64,
    activation: Activation,
}

impl Backward<Flex, 3> for NormalizeBackward {
    type State = NormalizeState;

    fn backward(self, ops: Ops<Self::State, 3>, tape: &mut Tape, checkpoints: &mut Checkpointer) {
        let [x_node, gamma_node, beta_node] = ops.parents;
        let mut gradient = contiguous(tape.consume::<Flex>(&ops.node));
        let state = ops.state;
        let x = contiguous(checkpoints.retrieve_node_output(state.x));
        let gamma = contiguous(checkpoints.retrieve_node_output(state.gamma));
        let beta = contiguous(checkpoints.retrieve_node_output(state.beta));
        let parameters = Parameters {
            gamma: gamma.storage(),
            beta: beta.storage(),
            mean: state.mean.storage(),
            variance: state.variance.storage(),
            epsilon: state.epsilon,
        };
        let maps = maps(&x);
        // In place where nobody else holds the gradient, otherwise on a copy.
        let gradients =
            maps.normalize_backward(x.storage(), &parameters, gradient.storage_mut(), state.activation);
        recycle(x);
        let channels = Shape::from([maps.channels]);
        if let Some(node) = x_node {
            tape.register::<Flex>(node.id, gradient);
        }
        if let Some(node) = gamma_node {
            tape.register::<Flex>(node.id, tensor(gradients.gamma, channels.clone()));
        }
        if let Some(node) = beta_node {
            tape.register::<Flex>(node.id, tensor(gradients.beta, channels));
        }
    }
}

impl<C: CheckpointStrategy> TrainingKernels for Autodiff<Flex, C> {
    fn small_conv2d(
        x: FloatTensor<Self>,
        weight: FloatTensor<Self>,
        geometry: ConvGeometry,
    ) -> FloatTensor<Self> {
        match ConvBackward.prepare::<C>([x.node(), weight.node()]).compute_bound().stateful() {
            OpsKind::Tracked(mut prep) => {
                let state = (prep.checkpoint(&x), prep.checkpoint(&weight), geometry);
                let output = Flex::small_conv2d(x.into_primitive(), weight.into_primitive(), geometry);
                prep.finish(state, output)
            }
            OpsKind::UnTracked(prep) => {
                prep.finish(Flex::small_conv2d(x.into_primitive(), weight.into_primitive(), geometry))
            }
        }
    }

    fn normalize_activate(
        x: FloatTensor<Self>,
        gamma: FloatTensor<Self>,
        beta: FloatTensor<Self>,
        epsilon: f64,
        activation: Activation,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>) {
        let prepared =
            NormalizeBackward.prepare::<C>([x.node(), gamma.node(), beta.node()]).compute_bound().stateful();
        let run = |x: FloatTensor<Self>, gamma: FloatTensor<Self>, beta: FloatTensor<Self>| {
            Flex::normalize_activate(
                x.into_primitive(),
                gamma.into_primitive(),
                beta.into_primitive(),
                epsilon,
                activation,
            )
        };
        let (output, mean, variance) = match prepared {
            OpsKind::Tracked(mut prep) => {
                let nodes = [&x, &gamma, &beta].map(|tensor| prep.checkpoint(tensor));
                let (output, mean, variance) = run(x, gamma, beta);
                let state = NormalizeState {
                    x: nodes[0],
                    gamma: nodes[1],
                    beta: nodes[2],
                    mean: mean.clone(),
                    variance: variance.clone(),
                    epsilon,
                    activation,
                };
                (prep.finish(state, output), mean, variance)
            }
            OpsKind::UnTracked(prep) => {
                let (output, mean, variance) = run(x, gamma, beta);
                (prep.finish(output), mean, variance)
            }
        };
        (output, FloatTensor::<Self>::new(mean), FloatTensor::<Self>::new(variance))
    }
}
