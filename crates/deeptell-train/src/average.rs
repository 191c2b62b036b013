//! A moving average of the weights (Polyak and Juditsky 1992; Izmailov et al. 2018).

use std::collections::HashMap;

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param, ParamId};
use burn::tensor::Tensor;
use deeptell_network::Network;

/// `average <- decay * average + (1 - decay) * weights`, running statistics included.
///
/// Early on the decay is held below `(1 + n) / (10 + n)` at update n, so that the average
/// forgets the initial weights quickly.
pub(crate) struct Average {
    decay: f64,
    updates: usize,
    flat: HashMap<ParamId, Tensor<1>>,
}

impl Average {
    /// Starts from `network`, which must not be on an autodiff device.
    pub(crate) fn new(network: &Network, decay: f64, updates: usize) -> Self {
        let mut flat = Flatten::default();
        network.visit(&mut flat);
        Self { decay, updates, flat: flat.0 }
    }

    pub(crate) fn updates(&self) -> usize {
        self.updates
    }

    /// Moves towards `network`, which must not be on an autodiff device.
    pub(crate) fn update(&mut self, network: &Network) {
        self.updates += 1;
        let n = self.updates as f64;
        let decay = self.decay.min((1.0 + n) / (10.0 + n));
        let mut current = Flatten::default();
        network.visit(&mut current);
        for (id, value) in current.0 {
            if let Some(average) = self.flat.remove(&id) {
                self.flat.insert(id, average * decay + value * (1.0 - decay));
            }
        }
    }

    /// A network with the averaged weights; `network` gives everything else.
    pub(crate) fn network(&self, network: Network) -> Network {
        network.map(&mut Restore(&self.flat))
    }
}

#[derive(Default)]
struct Flatten(HashMap<ParamId, Tensor<1>>);

impl ModuleVisitor for Flatten {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        self.0.insert(param.id, param.val().reshape([-1]));
    }
}

struct Restore<'a>(&'a HashMap<ParamId, Tensor<1>>);

impl ModuleMapper for Restore<'_> {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        match self.0.get(&param.id) {
            Some(average) => {
                let average = average.clone();
                param.map(|old| average.reshape(old.dims()))
            }
            None => param,
        }
    }
}
