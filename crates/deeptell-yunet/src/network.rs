//! The network: backbone, feature pyramid, heads.

use burn::tensor::activation::relu;
use burn::tensor::module::{conv2d, max_pool2d};
use burn::tensor::ops::{ConvOptions, MaxPoolOptions};
use burn::tensor::{Device, Tensor, TensorData};
use deeptell_kernels::{Activation, ConvGeometry, conv2d_bias_activation, max_pool_2x2, supports};
use deeptell_weights::{NamedTensor, WeightsError};

use crate::decode::OUTPUTS;
use crate::weights::Tensors;

/// What errors call the network.
pub(crate) const NETWORK: &str = "YuNet";

/// Blocks of the backbone: a stem, then five of two units.
pub(crate) const BLOCKS: usize = 6;

/// The blocks whose result is halved in size; the last three are the levels of the pyramid.
pub(crate) const POOLED: [usize; 4] = [0, 2, 3, 4];

/// Names and outputs of the heads of a level, in the order of their channels.
pub(crate) const HEADS: [(&str, usize); 4] = [("cls", 1), ("bbox", 4), ("obj", 1), ("kps", 10)];

/// Channels of a layer at most; published networks have 64.
const MAX_CHANNELS: usize = 1024;

/// YuNet with its weights on a device. Widths are those of the weights.
#[derive(Debug, Clone)]
pub(crate) struct Network {
    stem: Convolution,
    blocks: Vec<Vec<Unit>>,
    /// From the finest level to the coarsest.
    laterals: Vec<Unit>,
    /// In YuNet-n, a unit before the heads of each level.
    shared: Vec<Unit>,
    /// The four heads of each level as one.
    heads: Vec<Unit>,
}

/// A convolution with bias and activation.
#[derive(Debug, Clone)]
struct Convolution {
    weight: Tensor<4>,
    bias: Tensor<1>,
    geometry: ConvGeometry,
    activation: Activation,
    /// Whether the kernels of `deeptell-kernels` run on the device.
    fused: bool,
}

/// A depthwise separable convolution: 1x1, then depthwise 3x3.
#[derive(Debug, Clone)]
struct Unit {
    pointwise: Convolution,
    depthwise: Convolution,
}

impl Network {
    /// The network with these weights.
    ///
    /// # Errors
    /// [`WeightsError`] names the first tensor that is missing or does not fit the others.
    pub(crate) fn new(tensors: Tensors<'_>, device: &Device) -> Result<Self, WeightsError> {
        let maker = Maker { tensors, device, fused: supports(device) };
        let stem = maker.convolution("backbone.model0.conv1", [3, 3], 2, false, Activation::Relu)?;
        let mut width = stem.outputs();
        let (first, outputs) = maker.unit("backbone.model0.conv2", width, None)?;
        width = outputs;
        let mut blocks = vec![vec![first]];
        let mut widths = Vec::new();
        for block in 1..BLOCKS {
            let mut units = Vec::new();
            for unit in ["conv1", "conv2"] {
                let (unit, outputs) = maker.unit(&format!("backbone.model{block}.{unit}"), width, None)?;
                width = outputs;
                units.push(unit);
            }
            blocks.push(units);
            widths.push(width);
        }
        // The levels are the last three blocks. Each lateral unit's result is added to the level below.
        let levels = &widths[widths.len() - 3..];
        let (mut laterals, mut shared, mut heads) = (Vec::new(), Vec::new(), Vec::new());
        for (level, &width) in levels.iter().enumerate() {
            let below = level.checked_sub(1).map(|finer| levels[finer]);
            let (lateral, mut width) = maker.unit(&format!("neck.lateral_convs.{level}"), width, below)?;
            laterals.push(lateral);
            let name = format!("bbox_head.multi_level_share_convs.{level}.0");
            if tensors.has(&format!("{name}.conv1.weight")) {
                let (unit, outputs) = maker.unit(&name, width, None)?;
                width = outputs;
                shared.push(unit);
            }
            heads.push(maker.heads(level, width)?);
        }
        if !shared.is_empty() && shared.len() < levels.len() {
            let level = (0..levels.len()).find(|level| {
                !tensors.has(&format!("bbox_head.multi_level_share_convs.{level}.0.conv1.weight"))
            });
            let name = format!("bbox_head.multi_level_share_convs.{}.0.conv1.weight", level.unwrap_or(0));
            return Err(WeightsError::MissingTensor { name, network: NETWORK });
        }
        Ok(Self { stem, blocks, laterals, shared, heads })
    }

    /// The outputs for each of the three grids, finest first.
    ///
    /// # Shapes
    /// - `x`: `[batch, 3, height, width]`, blue, green and red in `0..=255`; both sides multiples of 32
    /// - output for cells of `s` pixels: `[batch, 16, height / s, width / s]`, channels as in
    ///   [`Grid`](crate::decode::Grid)
    pub(crate) fn forward(&self, x: Tensor<4>) -> Vec<Tensor<4>> {
        let mut x = self.stem.forward(x);
        let mut levels = Vec::new();
        for (number, block) in self.blocks.iter().enumerate() {
            x = block.iter().fold(x, |x, unit| unit.forward(x));
            if number >= BLOCKS - 3 {
                levels.push(x.clone());
            }
            if POOLED.contains(&number) {
                x = if self.stem.fused {
                    max_pool_2x2(x)
                } else {
                    max_pool2d(x, MaxPoolOptions::new([2, 2]))
                };
            }
        }
        let mut outputs = Vec::new();
        let mut coarser: Option<Tensor<4>> = None;
        for level in (0..levels.len()).rev() {
            let x = match coarser {
                None => levels[level].clone(),
                Some(coarser) => levels[level].clone() + doubled(coarser),
            };
            let x = self.laterals[level].forward(x);
            let before_heads = match self.shared.get(level) {
                Some(unit) => unit.forward(x.clone()),
                None => x.clone(),
            };
            outputs.push(self.heads[level].forward(before_heads));
            coarser = Some(x);
        }
        outputs.reverse();
        outputs
    }

    /// The same network, computed with Burn's own operations.
    #[cfg(test)]
    pub(crate) fn unfused(&self) -> Self {
        let mut plain = self.clone();
        plain.stem.fused = false;
        let units = plain.blocks.iter_mut().flatten();
        let others = plain.laterals.iter_mut().chain(&mut plain.shared).chain(&mut plain.heads);
        for unit in units.chain(others) {
            unit.pointwise.fused = false;
            unit.depthwise.fused = false;
        }
        plain
    }
}

impl Unit {
    fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        self.depthwise.forward(self.pointwise.forward(x))
    }
}

impl Convolution {
    fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let (weight, bias) = (self.weight.clone(), self.bias.clone());
        if self.fused {
            return conv2d_bias_activation(x, weight, bias, self.geometry, self.activation);
        }
        let ConvGeometry { stride, padding, groups } = self.geometry;
        let options = ConvOptions::new([stride; 2], [padding; 2], [1; 2], groups);
        let y = conv2d(x, weight, Some(bias), options);
        if self.activation == Activation::Relu { relu(y) } else { y }
    }

    fn outputs(&self) -> usize {
        self.weight.dims()[0]
    }
}

/// Each cell as two by two.
fn doubled(x: Tensor<4>) -> Tensor<4> {
    let [batch, channels, height, width] = x.dims();
    let x: Tensor<6> = x.reshape([batch, channels, height, 1, width, 1]);
    x.repeat(&[1, 1, 1, 2, 1, 2]).reshape([batch, channels, 2 * height, 2 * width])
}

/// Makes layers of stored tensors.
#[derive(Clone, Copy)]
struct Maker<'a> {
    tensors: Tensors<'a>,
    device: &'a Device,
    fused: bool,
}

impl Maker<'_> {
    /// A unit for `inputs` channels, and its outputs; `outputs` where they must be as many.
    fn unit(self, name: &str, inputs: usize, outputs: Option<usize>) -> Result<(Unit, usize), WeightsError> {
        let weight = format!("{name}.conv1.weight");
        if let Some(outputs) = outputs {
            self.tensors.get(&weight, &[outputs, inputs, 1, 1])?;
        }
        let pointwise =
            self.convolution(&format!("{name}.conv1"), [inputs, 1], 1, false, Activation::Identity)?;
        let outputs = pointwise.outputs();
        let depthwise = self.convolution(&format!("{name}.conv2"), [1, 3], 1, true, Activation::Relu)?;
        self.tensors.get(&format!("{name}.conv2.weight"), &[outputs, 1, 3, 3])?;
        Ok((Unit { pointwise, depthwise }, outputs))
    }

    /// The heads of a level as one unit.
    fn heads(self, level: usize, inputs: usize) -> Result<Unit, WeightsError> {
        let (mut pointwise, mut depthwise) = ((Vec::new(), Vec::new()), (Vec::new(), Vec::new()));
        for (head, outputs) in HEADS {
            let name = format!("bbox_head.multi_level_{head}.{level}");
            let part = |part: &str, shape: &[usize]| {
                self.tensors.get(&format!("{name}.{part}"), shape).map(|tensor| tensor.values.to_vec())
            };
            pointwise.0.extend(part("conv1.weight", &[outputs, inputs, 1, 1])?);
            pointwise.1.extend(part("conv1.bias", &[outputs])?);
            depthwise.0.extend(part("conv2.weight", &[outputs, 1, 3, 3])?);
            depthwise.1.extend(part("conv2.bias", &[outputs])?);
        }
        let layer = |(weight, bias): (Vec<f32>, Vec<f32>), [inputs, side]: [usize; 2], groups| Convolution {
            weight: self.tensor(weight, [OUTPUTS, inputs, side, side]),
            bias: self.tensor(bias, [OUTPUTS]),
            geometry: ConvGeometry { stride: 1, padding: side / 2, groups },
            activation: Activation::Identity,
            fused: self.fused,
        };
        Ok(Unit { pointwise: layer(pointwise, [inputs, 1], 1), depthwise: layer(depthwise, [1, 3], OUTPUTS) })
    }

    /// A convolution whose weight is `[outputs, inputs, side, side]`.
    fn convolution(
        self,
        name: &str,
        [inputs, side]: [usize; 2],
        stride: usize,
        depthwise: bool,
        activation: Activation,
    ) -> Result<Convolution, WeightsError> {
        let weight = format!("{name}.weight");
        // A layer without outputs, or with more than any published one, is not of this network.
        let outputs = self.tensors.outputs(&weight)?.clamp(1, MAX_CHANNELS);
        let shape = [outputs, inputs, side, side];
        let values = |tensor: &NamedTensor| tensor.values.to_vec();
        let weight = values(self.tensors.get(&weight, &shape)?);
        let bias = values(self.tensors.get(&format!("{name}.bias"), &[outputs])?);
        Ok(Convolution {
            weight: self.tensor(weight, shape),
            bias: self.tensor(bias, [outputs]),
            geometry: ConvGeometry { stride, padding: side / 2, groups: if depthwise { outputs } else { 1 } },
            activation,
            fused: self.fused,
        })
    }

    fn tensor<const D: usize>(self, values: Vec<f32>, shape: [usize; D]) -> Tensor<D> {
        Tensor::from_data(TensorData::new(values, shape), self.device)
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::Distribution;
    use deeptell_weights::Weights;

    use super::*;
    use crate::YuNetWeights;

    /// Random weights of the given widths, under the names of the network.
    fn random(widths: [usize; BLOCKS], has_shared: bool) -> YuNetWeights {
        let mut random = fastrand::Rng::with_seed(9);
        let mut weights = Weights::default();
        let mut layer = |name: String, shape: [usize; 4]| {
            let [outputs, inputs, height, width] = shape;
            let scale = (6.0 / (inputs * height * width) as f32).sqrt();
            let mut values = |count: usize| (0..count).map(|_| scale * (2.0 * random.f32() - 1.0)).collect();
            let values = [values(shape.iter().product()), values(outputs)];
            for (part, (shape, values)) in
                ["weight", "bias"].into_iter().zip([shape.to_vec(), vec![outputs]].into_iter().zip(values))
            {
                weights.tensors.push(NamedTensor { name: format!("{name}.{part}"), shape, values });
            }
        };
        layer("backbone.model0.conv1".to_owned(), [widths[0], 3, 3, 3]);
        let mut units = vec![("backbone.model0.conv2".to_owned(), [widths[0]; 2])];
        for block in 1..BLOCKS {
            let (before, after) = (widths[block - 1], widths[block]);
            units.push((format!("backbone.model{block}.conv1"), [before; 2]));
            units.push((format!("backbone.model{block}.conv2"), [before, after]));
        }
        let width = widths[5];
        for level in 0..3 {
            units.push((format!("neck.lateral_convs.{level}"), [width; 2]));
            if has_shared {
                units.push((format!("bbox_head.multi_level_share_convs.{level}.0"), [width; 2]));
            }
            for (head, outputs) in HEADS {
                units.push((format!("bbox_head.multi_level_{head}.{level}"), [width, outputs]));
            }
        }
        for (name, [inputs, outputs]) in units {
            layer(format!("{name}.conv1"), [outputs, inputs, 1, 1]);
            layer(format!("{name}.conv2"), [outputs, 1, 3, 3]);
        }
        weights.tensors.sort_by(|a, b| a.name.cmp(&b.name));
        YuNetWeights::from_bytes(&weights.to_bytes(deeptell_weights::StoredDtype::F32).unwrap(), "random")
            .unwrap()
    }

    fn assert_close(found: &Tensor<4>, wanted: &Tensor<4>) {
        assert_eq!(found.dims(), wanted.dims());
        let largest = wanted.clone().abs().max().into_scalar::<f32>();
        let difference = (found.clone() - wanted.clone()).abs().max().into_scalar::<f32>();
        assert!(difference <= 1e-4 * largest, "{difference} of {largest}");
    }

    #[test]
    fn kernels_agree_with_burn() {
        let device = Device::flex();
        for (widths, has_shared) in [([16, 64, 64, 64, 64, 64], true), ([16, 32, 64, 64, 64, 64], false)] {
            let weights = random(widths, has_shared);
            let network = Network::new(weights.tensors(), &device).unwrap();
            let x = Tensor::<4>::random([1, 3, 96, 160], Distribution::Uniform(0.0, 1.0), &device);
            let (found, wanted) = (network.forward(x.clone()), network.unfused().forward(x));
            for (stride, (found, wanted)) in [8, 16, 32].into_iter().zip(found.iter().zip(&wanted)) {
                assert_eq!(found.dims(), [1, OUTPUTS, 96 / stride, 160 / stride]);
                assert_close(found, wanted);
            }
        }
    }

    #[test]
    fn levels_are_doubled_cell_by_cell() {
        let x = Tensor::<4>::from_data([[[[1.0, 2.0], [3.0, 4.0]]]], &Device::flex());
        let rows: [[f32; 4]; 4] =
            [[1.0, 1.0, 2.0, 2.0], [1.0, 1.0, 2.0, 2.0], [3.0, 3.0, 4.0, 4.0], [3.0, 3.0, 4.0, 4.0]];
        doubled(x).into_data().assert_eq(&TensorData::from([[rows]]), true);
    }
}
