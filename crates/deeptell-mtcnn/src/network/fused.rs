use burn::module::Param;
use burn::nn::conv::Conv2d;
use burn::nn::{Linear, PRelu};
use burn::tensor::{Device, Tensor};
use deeptell_kernels::{ConvStack, StackLayer, supports};

use super::Networks;

/// The three networks for the CPU, each in one pass over its input.
///
/// Every network ends in one layer whose first output is the logit of a face (the difference of
/// the two that the softmax compares) and whose others are the corrections and landmarks.
#[derive(Debug, Clone)]
pub(crate) struct Fused {
    pub(crate) pnet: ConvStack,
    pub(crate) rnet: ConvStack,
    pub(crate) onet: ConvStack,
}

impl Fused {
    /// `None` on a device that the kernels do not run on.
    pub(crate) fn new(networks: &Networks, device: &Device) -> Option<Self> {
        supports(device).then(|| Self {
            pnet: ConvStack::new(&networks.pnet.layers()),
            rnet: ConvStack::new(&networks.rnet.layers()),
            onet: ConvStack::new(&networks.onet.layers()),
        })
    }
}

/// A convolution and its activation.
pub(super) fn convolution(layer: &Conv2d, activation: Option<&PRelu>, pool: Option<usize>) -> StackLayer {
    let weight = layer.weight.val();
    StackLayer { bias: bias(layer.bias.as_ref(), &weight), weight, slope: slope(activation), pool }
}

/// A dense layer over a feature map of `side` rows and columns, as a convolution whose window is
/// the map. Its inputs count columns, then rows, then channels.
pub(super) fn dense_over(layer: &Linear, side: usize, activation: &PRelu) -> StackLayer {
    let weight = layer.weight.val();
    let [inputs, outputs] = weight.dims();
    let weight = weight.reshape([side, side, inputs / (side * side), outputs]).permute([3, 2, 1, 0]);
    StackLayer {
        bias: bias(layer.bias.as_ref(), &weight),
        weight,
        slope: slope(Some(activation)),
        pool: None,
    }
}

/// The last layer: face against no face in one logit, then every output of `others`.
///
/// # Shapes
/// Of each pair, the weight is `[outputs, inputs]` and the bias `[outputs]`.
pub(super) fn last(face: (Tensor<2>, Tensor<1>), others: Vec<(Tensor<2>, Tensor<1>)>) -> StackLayer {
    let (weight, bias) = face;
    let mut weights = vec![weight.clone().narrow(0, 1, 1) - weight.narrow(0, 0, 1)];
    let mut biases = vec![bias.clone().narrow(0, 1, 1) - bias.narrow(0, 0, 1)];
    for (weight, bias) in others {
        weights.push(weight);
        biases.push(bias);
    }
    let weight = Tensor::cat(weights, 0);
    let [outputs, inputs] = weight.dims();
    StackLayer {
        weight: weight.reshape([outputs, inputs, 1, 1]),
        bias: Tensor::cat(biases, 0),
        slope: None,
        pool: None,
    }
}

/// Weight `[outputs, inputs]` and bias of a dense layer.
pub(super) fn of_linear(layer: &Linear) -> (Tensor<2>, Tensor<1>) {
    let weight = layer.weight.val().swap_dims(0, 1);
    let bias = bias(layer.bias.as_ref(), &weight);
    (weight, bias)
}

/// Weight `[outputs, inputs]` and bias of a 1x1 convolution.
pub(super) fn of_convolution(layer: &Conv2d) -> (Tensor<2>, Tensor<1>) {
    let weight = layer.weight.val();
    let bias = bias(layer.bias.as_ref(), &weight);
    let [outputs, inputs, ..] = weight.dims();
    (weight.reshape([outputs, inputs]), bias)
}

/// The bias of a layer of as many outputs as `weight` has rows; zeros where it has none.
fn bias<const D: usize>(bias: Option<&Param<Tensor<1>>>, weight: &Tensor<D>) -> Tensor<1> {
    bias.map_or_else(|| Tensor::zeros([weight.dims()[0]], &weight.device()), Param::val)
}

fn slope(activation: Option<&PRelu>) -> Option<Tensor<1>> {
    activation.map(|activation| activation.alpha.val())
}
