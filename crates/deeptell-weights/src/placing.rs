//! Putting tensors of a file into a module of Burn.
//!
//! `burn_store` can do the same, but asks each parameter for its value first, and so computes the random values that
//! the tensors of the file replace. That takes longer than all the rest of loading a small network.

use std::collections::HashMap;

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param};
use burn::tensor::{DType, Tensor, TensorData};

/// A float tensor of a module, as files describe it.
#[derive(Debug)]
pub(crate) struct Slot {
    /// Path in the module.
    path: String,
    /// The path with the last name as PyTorch has it.
    pub(crate) name: String,
    /// As PyTorch has it: the weights of a linear layer are transposed.
    pub(crate) shape: Vec<usize>,
    is_transposed: bool,
}

/// Where a walk through a module is.
#[derive(Debug, Default)]
struct Position {
    names: Vec<String>,
    containers: Vec<String>,
}

impl Position {
    fn enter(&mut self, name: &str, container: &str) {
        self.names.push(name.to_owned());
        self.containers.push(container.to_owned());
    }

    fn exit(&mut self) {
        self.names.pop();
        self.containers.pop();
    }

    fn path(&self) -> String {
        self.names.join(".")
    }

    fn slot(&self, mut shape: Vec<usize>) -> Slot {
        let path = self.path();
        let (parent, last) =
            path.rsplit_once('.').map_or(("", path.as_str()), |(parent, last)| (parent, last));
        let theirs = match last {
            "gamma" => "weight",
            "beta" => "bias",
            other => other,
        };
        let name = if parent.is_empty() { theirs.to_owned() } else { format!("{parent}.{theirs}") };
        let is_module =
            |container: &&String| container.starts_with("Struct:") || container.starts_with("Enum:");
        let module = self.containers.iter().rev().find(is_module);
        let is_transposed =
            last == "weight" && shape.len() == 2 && module.is_some_and(|module| module == "Struct:Linear");
        if is_transposed {
            shape.reverse();
        }
        Slot { path, name, shape, is_transposed }
    }
}

/// The float tensors of a module, in its order. None of them is computed.
pub(crate) fn slots<M: Module>(module: &M) -> Vec<Slot> {
    let mut listing = Listing::default();
    module.visit(&mut listing);
    listing.slots
}

#[derive(Default)]
struct Listing {
    position: Position,
    slots: Vec<Slot>,
}

impl ModuleVisitor for Listing {
    fn enter_module(&mut self, name: &str, container_type: &str) {
        self.position.enter(name, container_type);
    }

    fn exit_module(&mut self, _: &str, _: &str) {
        self.position.exit();
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        self.slots.push(self.position.slot(param.lazy_shape().to_vec()));
    }
}

/// Tensors on their way into a module, by their paths in it.
#[derive(Default)]
pub(crate) struct Placing {
    position: Position,
    values: HashMap<String, TensorData>,
}

impl Placing {
    /// Lets `values`, as many as the shape of the slot says, go there.
    pub(crate) fn add(&mut self, slot: &Slot, values: &[f32]) {
        let data = match slot.shape[..] {
            [rows, columns] if slot.is_transposed => {
                TensorData::new(transposed(values, rows, columns), [columns, rows])
            }
            _ => TensorData::new(values.to_vec(), slot.shape.clone()),
        };
        self.values.insert(slot.path.clone(), data);
    }

    /// Replaces the tensors of the module that were added, and returns how many were not found in it.
    pub(crate) fn apply<M: Module>(mut self, module: &mut M) -> usize {
        *module = module.clone().map(&mut self);
        self.values.len()
    }
}

impl ModuleMapper for Placing {
    fn enter_module(&mut self, name: &str, container_type: &str) {
        self.position.enter(name, container_type);
    }

    fn exit_module(&mut self, _: &str, _: &str) {
        self.position.exit();
    }

    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let Some(data) = self.values.remove(&self.position.path()) else { return param };
        let (id, device) = (param.id, param.lazy_device());
        param.transform_for_load(Tensor::from_data(data, (&device, DType::F32)), id)
    }
}

/// - values: `[rows, columns]`
/// - result: `[columns, rows]`
fn transposed(values: &[f32], rows: usize, columns: usize) -> Vec<f32> {
    /// Rows and columns at a time, so that what is read and written stays in the cache.
    const BLOCK: usize = 16;
    let mut result = vec![0.0; rows * columns];
    for top in (0..rows).step_by(BLOCK) {
        for left in (0..columns).step_by(BLOCK) {
            for row in top..(top + BLOCK).min(rows) {
                for column in left..(left + BLOCK).min(columns) {
                    result[column * rows + row] = values[row * columns + column];
                }
            }
        }
    }
    result
}

#[cfg(test)]
mod tests {
    use burn::nn::{BatchNorm, BatchNormConfig, Linear, LinearConfig};
    use burn::tensor::Device;

    use super::*;

    #[derive(Module, Debug)]
    struct Toy {
        layers: Vec<Linear>,
        norm: BatchNorm,
    }

    #[test]
    fn tensors_go_to_their_places_and_nothing_else_is_computed() {
        let device = Device::flex();
        let linear = || LinearConfig::new(2, 3).init(&device);
        let mut toy = Toy { layers: vec![linear(), linear()], norm: BatchNormConfig::new(3).init(&device) };
        let found = slots(&toy);
        let listed: Vec<(&str, &[usize])> =
            found.iter().map(|slot| (slot.name.as_str(), slot.shape.as_slice())).collect();
        assert_eq!(
            listed,
            [
                ("layers.0.weight", &[3, 2][..]),
                ("layers.0.bias", &[3]),
                ("layers.1.weight", &[3, 2]),
                ("layers.1.bias", &[3]),
                ("norm.weight", &[3]),
                ("norm.bias", &[3]),
                ("norm.running_mean", &[3]),
                ("norm.running_var", &[3]),
            ]
        );
        let mut placing = Placing::default();
        placing.add(&found[2], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
        placing.add(&found[6], &[7.0, 8.0, 9.0]);
        assert_eq!(placing.apply(&mut toy), 0);
        assert!(!toy.layers[0].weight.is_initialized() && toy.layers[1].weight.is_initialized());
        let values = |tensor: TensorData| tensor.try_into_vec::<f32>().unwrap();
        assert_eq!(toy.layers[1].weight.dims(), [2, 3]);
        assert_eq!(values(toy.layers[1].weight.val().into_data()), [1.0, 3.0, 5.0, 2.0, 4.0, 6.0]);
        assert_eq!(values(toy.norm.running_mean.value().into_data()), [7.0, 8.0, 9.0]);

        let mut stray = Placing::default();
        let slot =
            Slot { path: "nowhere".into(), name: "nowhere".into(), shape: vec![1], is_transposed: false };
        stray.add(&slot, &[1.0]);
        assert_eq!(stray.apply(&mut toy), 1);
    }

    #[test]
    fn blocks_are_transposed_to_the_last_row_and_column() {
        let values: Vec<f32> = (0..17 * 35).map(|i| i as f32).collect();
        let turned = transposed(&values, 17, 35);
        assert_eq!((turned[1], turned[17], turned[17 * 35 - 1]), (35.0, 1.0, 594.0));
        assert_eq!(transposed(&turned, 35, 17), values);
    }
}
