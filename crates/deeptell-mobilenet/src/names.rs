//! Tensor names: torchvision's `state_dict` against the fields of [`MobileNetV3Small`].
//!
//! torchvision numbers the layers of a block by position, so the numbers depend on which of
//! the optional layers a block has; here each has its name.
//!
//! [`MobileNetV3Small`]: crate::MobileNetV3Small

use crate::architecture::BLOCKS;

/// Pairs of prefixes, torchvision's and ours, that end where the tensor's own name starts.
fn prefixes() -> Vec<(String, String)> {
    let mut pairs = Vec::new();
    let mut convolution = |theirs: String, ours: String| {
        pairs.push((format!("{theirs}.0."), format!("{ours}.convolution.")));
        pairs.push((format!("{theirs}.1."), format!("{ours}.norm.")));
    };
    convolution("features.0".into(), "stem".into());
    let mut gates = Vec::new();
    for (i, block) in BLOCKS.iter().enumerate() {
        let mut position = 0;
        let mut next = || {
            position += 1;
            format!("features.{}.block.{}", i + 1, position - 1)
        };
        if block.expanded != block.input {
            convolution(next(), format!("blocks.{i}.expand"));
        }
        convolution(next(), format!("blocks.{i}.depthwise"));
        if block.squeeze_excite {
            gates.push((format!("{}.", next()), format!("blocks.{i}.squeeze_excite.")));
        }
        convolution(next(), format!("blocks.{i}.project"));
    }
    convolution(format!("features.{}", BLOCKS.len() + 1), "last".into());
    pairs.extend(gates);
    pairs.push(("classifier.0.".into(), "hidden.".into()));
    pairs.push(("classifier.3.".into(), "classifier.".into()));
    pairs
}

/// A translation table between the two ways to name a tensor.
pub(crate) struct Names {
    pairs: Vec<(String, String)>,
}

impl Names {
    pub(crate) fn new() -> Self {
        Self { pairs: prefixes() }
    }

    /// torchvision's name for one of our tensors; `None` for a name that is not ours.
    pub(crate) fn to_torchvision(&self, ours: &str) -> Option<String> {
        self.pairs.iter().find_map(|(t, o)| ours.strip_prefix(o.as_str()).map(|rest| format!("{t}{rest}")))
    }

    /// Our name for one of torchvision's tensors; `None` for a name that is not in this network.
    pub(crate) fn of_torchvision(&self, theirs: &str) -> Option<String> {
        self.pairs.iter().find_map(|(t, o)| theirs.strip_prefix(t.as_str()).map(|rest| format!("{o}{rest}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn optional_layers_shift_the_numbers() {
        let names = Names::new();
        let pairs = [
            ("stem.convolution.weight", "features.0.0.weight"),
            ("blocks.0.depthwise.norm.running_var", "features.1.block.0.1.running_var"),
            ("blocks.0.squeeze_excite.fc1.bias", "features.1.block.1.fc1.bias"),
            ("blocks.0.project.convolution.weight", "features.1.block.2.0.weight"),
            ("blocks.1.project.norm.bias", "features.2.block.2.1.bias"),
            ("blocks.10.project.norm.weight", "features.11.block.3.1.weight"),
            ("last.norm.bias", "features.12.1.bias"),
            ("hidden.weight", "classifier.0.weight"),
            ("classifier.bias", "classifier.3.bias"),
        ];
        for (ours, theirs) in pairs {
            assert_eq!(names.to_torchvision(ours).as_deref(), Some(theirs));
            assert_eq!(names.of_torchvision(theirs).as_deref(), Some(ours));
        }
        assert_eq!(names.of_torchvision("features.13.0.weight"), None);
        assert_eq!(names.to_torchvision("trunk.weight"), None);
    }
}
