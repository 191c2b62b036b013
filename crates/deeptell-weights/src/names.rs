//! The two names of a tensor.

/// The names of a network's tensors: as files store them, and as its Burn module has them.
///
/// Files follow PyTorch's `state_dict`. Names are translated by prefix, so that one pair covers all
/// tensors of a layer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Names {
    network: &'static str,
    /// In files, in the module.
    pairs: Vec<(String, String)>,
    backbone: Vec<&'static str>,
    optional: Vec<&'static str>,
}

impl Names {
    /// Names of `network`, which errors call it by, from pairs of beginnings: that in files, then
    /// that in the module, each up to where the tensor's own name starts.
    ///
    /// The first pair must be of a layer with a `weight`: by it a network is found in a file that
    /// holds it under a prefix such as `module.`.
    pub fn new(network: &'static str, pairs: impl IntoIterator<Item = (String, String)>) -> Self {
        Self { network, pairs: pairs.into_iter().collect(), backbone: Vec::new(), optional: Vec::new() }
    }

    /// Beginnings, in files, of the tensors that make the backbone.
    #[must_use]
    pub fn with_backbone(self, beginnings: impl IntoIterator<Item = &'static str>) -> Self {
        Self { backbone: beginnings.into_iter().collect(), ..self }
    }

    /// Beginnings, in files, of tensors that come along with the backbone where a file has them.
    #[must_use]
    pub fn with_optional(self, beginnings: impl IntoIterator<Item = &'static str>) -> Self {
        Self { optional: beginnings.into_iter().collect(), ..self }
    }

    /// What errors call the network.
    pub fn network(&self) -> &'static str {
        self.network
    }

    /// The name in files of a tensor of the module; `None` when the module has no such tensor.
    pub fn stored(&self, in_module: &str) -> Option<String> {
        self.pairs.iter().find_map(|(stored, own)| {
            in_module.strip_prefix(own.as_str()).map(|rest| format!("{stored}{rest}"))
        })
    }

    /// The name in the module of a tensor of a file; `None` when it is not of this network.
    pub fn in_module(&self, stored: &str) -> Option<String> {
        self.pairs
            .iter()
            .find_map(|(theirs, own)| stored.strip_prefix(theirs.as_str()).map(|rest| format!("{own}{rest}")))
    }

    /// Whether a tensor of a file belongs to this network.
    pub fn knows(&self, stored: &str) -> bool {
        self.pairs.iter().any(|(theirs, _)| stored.starts_with(theirs.as_str()))
    }

    /// The tensor that every file of this network has.
    pub(crate) fn first(&self) -> String {
        self.pairs.first().map_or_else(String::new, |(stored, _)| format!("{stored}weight"))
    }

    pub(crate) fn is_backbone(&self, stored: &str) -> bool {
        self.backbone.iter().any(|beginning| stored.starts_with(beginning))
    }

    /// The optional beginning that a name has.
    pub(crate) fn optional(&self, stored: &str) -> Option<&'static str> {
        self.optional.iter().find(|beginning| stored.starts_with(**beginning)).copied()
    }
}

/// Whether a tensor of a file can be a weight or a running statistic, judged by its name: graphs
/// and checkpoints hold constants, counters and the state of an optimizer besides.
pub(crate) fn is_parameter(name: &str) -> bool {
    matches!(
        name.rsplit('.').next(),
        Some("weight" | "bias" | "running_mean" | "running_var" | "gamma" | "beta")
    )
}

/// PyTorch counts batches in each `BatchNorm`; nothing here needs the count.
pub(crate) fn is_counter(name: &str) -> bool {
    name.ends_with(".num_batches_tracked")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_translated_by_their_beginnings() {
        let pairs = [("features.0.0.", "stem.convolution."), ("classifier.3.", "classifier.")];
        let names = Names::new("toy", pairs.map(|(stored, own)| (stored.to_owned(), own.to_owned())))
            .with_backbone(["features."])
            .with_optional(["classifier.0."]);
        assert_eq!(names.stored("stem.convolution.weight").as_deref(), Some("features.0.0.weight"));
        assert_eq!(names.in_module("classifier.3.bias").as_deref(), Some("classifier.bias"));
        assert_eq!((names.stored("trunk.weight"), names.in_module("features.1.0.weight")), (None, None));
        assert!(names.knows("features.0.0.bias") && !names.knows("features.0"));
        assert_eq!(names.first(), "features.0.0.weight");
        assert!(names.is_backbone("features.9") && !names.is_backbone("classifier.3.bias"));
        assert_eq!(names.optional("classifier.0.bias"), Some("classifier.0."));
    }

    #[test]
    fn parameters_are_recognized_by_name() {
        for name in ["features.0.0.weight", "a.running_var", "bias"] {
            assert!(is_parameter(name), "{name}");
        }
        for name in ["onnx::Reshape_1", "a.num_batches_tracked", "optimizer.state.0.exp_avg", ""] {
            assert!(!is_parameter(name), "{name}");
        }
    }
}
