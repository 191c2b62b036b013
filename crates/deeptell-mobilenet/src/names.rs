//! Tensor names: torchvision's `state_dict` against the fields of [`MobileNetV3`](crate::MobileNetV3).
//!
//! torchvision numbers the layers of a block by position, so the numbers depend on which of
//! the optional layers a block has; here each has its name.

use deeptell_weights::Names;

use crate::Variant;

/// The names of a network's tensors: torchvision's in files, and those of its module.
pub fn names(variant: Variant) -> Names {
    Names::new(variant.name(), prefixes(variant))
        .with_backbone(["features."])
        .with_optional(["classifier.0."])
}

/// Pairs of prefixes, torchvision's and ours, that end where the tensor's own name starts.
fn prefixes(variant: Variant) -> Vec<(String, String)> {
    let blocks = variant.table().blocks;
    let mut pairs = Vec::new();
    let mut convolution = |theirs: String, ours: String| {
        pairs.push((format!("{theirs}.0."), format!("{ours}.convolution.")));
        pairs.push((format!("{theirs}.1."), format!("{ours}.norm.")));
    };
    convolution("features.0".into(), "stem".into());
    let mut gates = Vec::new();
    for (i, block) in blocks.iter().enumerate() {
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
    convolution(format!("features.{}", blocks.len() + 1), "last".into());
    pairs.extend(gates);
    pairs.push(("classifier.0.".into(), "hidden.".into()));
    pairs.push(("classifier.3.".into(), "classifier.".into()));
    pairs
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(variant: Variant, pairs: &[(&str, &str)]) {
        let names = names(variant);
        for &(ours, theirs) in pairs {
            assert_eq!(names.stored(ours).as_deref(), Some(theirs));
            assert_eq!(names.in_module(theirs).as_deref(), Some(ours));
        }
        assert_eq!(names.stored("trunk.weight"), None);
    }

    #[test]
    fn optional_layers_shift_the_numbers() {
        check(
            Variant::Small,
            &[
                ("stem.convolution.weight", "features.0.0.weight"),
                ("blocks.0.depthwise.norm.running_var", "features.1.block.0.1.running_var"),
                ("blocks.0.squeeze_excite.fc1.bias", "features.1.block.1.fc1.bias"),
                ("blocks.0.project.convolution.weight", "features.1.block.2.0.weight"),
                ("blocks.1.project.norm.bias", "features.2.block.2.1.bias"),
                ("blocks.10.project.norm.weight", "features.11.block.3.1.weight"),
                ("last.norm.bias", "features.12.1.bias"),
                ("hidden.weight", "classifier.0.weight"),
                ("classifier.bias", "classifier.3.bias"),
            ],
        );
        check(
            Variant::Large,
            &[
                ("blocks.0.project.convolution.weight", "features.1.block.1.0.weight"),
                ("blocks.3.squeeze_excite.fc2.weight", "features.4.block.2.fc2.weight"),
                ("blocks.14.project.norm.weight", "features.15.block.3.1.weight"),
                ("last.norm.bias", "features.16.1.bias"),
            ],
        );
        assert_eq!(names(Variant::Small).in_module("features.13.0.weight"), None);
    }
}
