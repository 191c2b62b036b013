//! Finds the weights of YuNet in the graph of an ONNX file.
//!
//! Exporters fold the batch normalizations into the convolutions and number the results, so that most weights have no
//! telling names. They are found by following the graph from its outputs, whose names are fixed, to its input; an
//! operator that YuNet does not have there is an error.

use std::path::Path;

use deeptell_weights::onnx::{Model, Node};
use deeptell_weights::{NamedTensor, WeightsError};

use crate::YuNetError;
use crate::decode::STRIDES;
use crate::network::{BLOCKS, HEADS, NETWORK, POOLED};

/// The tensors of the network, under the names that [`Network`](crate::network::Network) reads.
pub(crate) fn tensors(model: &Model<'_>, origin: &Path) -> Result<Vec<NamedTensor>, YuNetError> {
    let mut walk = Walk { model, origin, tensors: Vec::new() };
    walk.network()?;
    Ok(walk.tensors)
}

/// What a convolution must be.
#[derive(Debug, Clone, Copy)]
struct Kind {
    title: &'static str,
    side: i64,
    stride: i64,
    /// Whether each channel is convolved alone.
    depthwise: bool,
}

const STEM: Kind = Kind { title: "a 3x3 convolution of stride 2", side: 3, stride: 2, depthwise: false };
const POINTWISE: Kind = Kind { title: "a 1x1 convolution", side: 1, stride: 1, depthwise: false };
const DEPTHWISE: Kind = Kind { title: "a depthwise 3x3 convolution", side: 3, stride: 1, depthwise: true };

impl Kind {
    fn fits(self, node: &Node<'_>, weight: &NamedTensor) -> bool {
        let integers =
            |name, default: &[i64]| node.integers.get(name).map_or_else(|| default.to_vec(), Clone::clone);
        let pad = self.side / 2;
        let groups =
            if self.depthwise { weight.shape.first().map_or(1, |&outputs| outputs as i64) } else { 1 };
        node.operator == "Conv"
            && integers("kernel_shape", &[self.side; 2]) == [self.side; 2]
            && integers("strides", &[1, 1]) == [self.stride; 2]
            && integers("pads", &[0; 4]) == [pad; 4]
            && integers("dilations", &[1, 1]) == [1, 1]
            && integers("group", &[1]) == [groups]
            && weight.shape.get(2..) == Some([self.side as usize; 2].as_slice())
    }
}

struct Walk<'m, 'a> {
    model: &'m Model<'a>,
    origin: &'m Path,
    tensors: Vec<NamedTensor>,
}

impl<'m, 'a> Walk<'m, 'a> {
    /// Adds the tensors of the whole network.
    fn network(&mut self) -> Result<(), YuNetError> {
        let mut features = Vec::new();
        for (level, stride) in STRIDES.into_iter().enumerate() {
            features.push(self.head(level, stride)?);
        }
        let [near, middle, far] = features.as_slice() else { return Ok(()) };
        // With shared convolutions, what the heads start from is behind one more unit.
        let is_lateral = |walk: &Self, unit: &str| -> Result<bool, YuNetError> {
            let input = walk.behind_unit(unit)?;
            Ok(walk.model.maker(input).is_some_and(|node| node.operator == "Add"))
        };
        let (near, middle, far) = if is_lateral(self, near)? {
            (*near, *middle, *far)
        } else {
            let shared = |level| format!("bbox_head.multi_level_share_convs.{level}.0");
            (
                self.unit(near, &shared(0), true)?,
                self.unit(middle, &shared(1), true)?,
                self.unit(far, &shared(2), true)?,
            )
        };
        let mut stages = [""; 3];
        let mut lateral = near;
        for (level, below) in [(0, middle), (1, far)] {
            let sum = self.unit(lateral, &format!("neck.lateral_convs.{level}"), true)?;
            let node = self.expect(sum, "Add", "a sum")?;
            let [one, other] = node.inputs.as_slice() else {
                return Err(self.other(sum, "a sum of two tensors"));
            };
            let is_resized =
                |name: &str| self.model.maker(name).is_some_and(|node| node.operator == "Resize");
            let (stage, resized) = if is_resized(one) { (other, one) } else { (one, other) };
            let resize = self.expect(resized, "Resize", "a resize of the coarser level")?;
            if resize.inputs.first() != Some(&below) {
                return Err(self.other(resized, "a resize of the coarser level"));
            }
            stages[level] = stage;
            lateral = below;
        }
        stages[2] = self.unit(far, "neck.lateral_convs.2", true)?;

        let mut at = stages[2];
        for block in (1..BLOCKS).rev() {
            if let Some(level) = block.checked_sub(BLOCKS - STRIDES.len())
                && at != stages[level]
            {
                return Err(self.other(stages[level], "the last layer of its block"));
            }
            at = self.unit(at, &format!("backbone.model{block}.conv2"), true)?;
            at = self.unit(at, &format!("backbone.model{block}.conv1"), true)?;
            if POOLED.contains(&(block - 1)) {
                let node = self.expect(at, "MaxPool", "a 2x2 maximum of stride 2")?;
                let is_two = |name| node.integers.get(name).is_some_and(|sides| *sides == [2, 2]);
                if !is_two("kernel_shape") || !is_two("strides") {
                    return Err(self.other(at, "a 2x2 maximum of stride 2"));
                }
                at = self.input(at, node)?;
            }
        }
        at = self.unit(at, "backbone.model0.conv2", true)?;
        at = self.input(at, self.expect(at, "Relu", "a ReLU")?)?;
        at = self.convolution(at, "backbone.model0.conv1", STEM)?;
        if self.model.maker(at).is_some() {
            return Err(self.other(at, "nothing, because it is the input"));
        }
        Ok(())
    }

    /// Adds the tensors of the four outputs of a level, and returns what they start from.
    fn head(&mut self, level: usize, stride: usize) -> Result<&'a str, YuNetError> {
        let mut start = None;
        for (head, _) in HEADS {
            let output = format!("{head}_{stride}");
            let has_sigmoid = matches!(head, "cls" | "obj");
            let mut at = self.made(&output, "the output of a head")?;
            let mut sigmoids = 0;
            let last = loop {
                match at.operator {
                    "Sigmoid" => sigmoids += 1,
                    "Reshape" | "Transpose" => {}
                    _ => break at,
                }
                let input = self.input(&output, at)?;
                at = self.made(input, "a 3x3 convolution")?;
            };
            if sigmoids != usize::from(has_sigmoid) {
                return Err(self.other(&output, if has_sigmoid { "a sigmoid" } else { "no sigmoid" }));
            }
            let last = last.outputs.first().copied().unwrap_or_default();
            let from = self.unit(last, &format!("bbox_head.multi_level_{head}.{level}"), false)?;
            if *start.get_or_insert(from) != from {
                return Err(self.other(last, "the same features as the other heads"));
            }
        }
        start.ok_or_else(|| self.other("cls_8", "a head"))
    }

    /// Adds the tensors of the unit that makes `tensor`, and returns its input.
    fn unit(&mut self, tensor: &'a str, name: &str, relu: bool) -> Result<&'a str, YuNetError> {
        let made = if relu { self.input(tensor, self.expect(tensor, "Relu", "a ReLU")?)? } else { tensor };
        let middle = self.convolution(made, &format!("{name}.conv2"), DEPTHWISE)?;
        self.convolution(middle, &format!("{name}.conv1"), POINTWISE)
    }

    /// The input of the unit that makes `tensor`.
    fn behind_unit(&self, tensor: &'a str) -> Result<&'a str, YuNetError> {
        let made = self.input(tensor, self.expect(tensor, "Relu", "a ReLU")?)?;
        let middle = self.input(made, self.expect(made, "Conv", DEPTHWISE.title)?)?;
        self.input(middle, self.expect(middle, "Conv", POINTWISE.title)?)
    }

    /// Adds weight and bias of the convolution that makes `tensor`, and returns its input.
    fn convolution(&mut self, tensor: &'a str, name: &str, kind: Kind) -> Result<&'a str, YuNetError> {
        let node = self.expect(tensor, "Conv", kind.title)?;
        let [input, weight, bias] = node.inputs.as_slice() else {
            return Err(self.other(tensor, "a convolution with a bias"));
        };
        let stored = |stored: &str, name: String| -> Result<NamedTensor, YuNetError> {
            let found = self.model.tensor(stored)?;
            let found = found
                .ok_or_else(|| WeightsError::MissingTensor { name: stored.to_owned(), network: NETWORK })?;
            Ok(NamedTensor { name, ..found })
        };
        let weight = stored(weight, format!("{name}.weight"))?;
        if !kind.fits(node, &weight) {
            return Err(self.other(tensor, kind.title));
        }
        let bias = stored(bias, format!("{name}.bias"))?;
        self.tensors.extend([weight, bias]);
        Ok(input)
    }

    /// The node that makes `tensor`.
    fn made(&self, tensor: &str, expected: &'static str) -> Result<&'m Node<'a>, YuNetError> {
        self.model.maker(tensor).ok_or_else(|| self.other(tensor, expected))
    }

    /// The node that makes `tensor`, of this operator.
    fn expect(
        &self,
        tensor: &str,
        operator: &str,
        expected: &'static str,
    ) -> Result<&'m Node<'a>, YuNetError> {
        let node = self.made(tensor, expected)?;
        if node.operator == operator { Ok(node) } else { Err(self.other(tensor, expected)) }
    }

    /// The first input of the node that makes `tensor`.
    fn input(&self, tensor: &str, node: &Node<'a>) -> Result<&'a str, YuNetError> {
        node.inputs.first().copied().ok_or_else(|| self.other(tensor, "an operator with an input"))
    }

    fn other(&self, tensor: &str, expected: &'static str) -> YuNetError {
        let found = self.model.maker(tensor).map_or("nothing", |node| node.operator);
        let short = |text: &str| text.chars().take(64).collect();
        YuNetError::OtherNetwork {
            path: self.origin.to_owned(),
            tensor: short(tensor),
            expected,
            found: short(found),
        }
    }
}
