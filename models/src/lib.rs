//! The model that ships with deeptell.
//!
//! A separate package, so that the weights are in the folder `models` of the repository and are
//! embedded from there. `manifest.toml` has the SHA-256 of each file; the `.md` beside each is its
//! model card.
//!
//! ```
//! let detector = deeptell_models::DEEPTELL_MNV3S;
//! assert_eq!(detector.file, "deeptell-mnv3s.safetensors");
//! assert!(detector.card.starts_with("# deeptell-mnv3s"));
//! ```

use std::iter::zip;

/// A weights file and its card, embedded in the program.
#[derive(Debug, Clone, Copy)]
pub struct ShippedModel {
    /// Name of the file in this folder.
    pub file: &'static str,
    /// First the first ones of every two bytes of the file, then the second ones. Those with the exponents of the
    /// numbers compress well when they are together.
    planes: &'static [u8],
    /// The model card for people, in Markdown.
    pub card: &'static str,
}

impl ShippedModel {
    /// The whole file: safetensors with a machine-readable card in its header.
    #[must_use]
    pub fn bytes(&self) -> Vec<u8> {
        let (first, second) = self.planes.split_at(self.planes.len().div_ceil(2));
        let mut bytes = vec![0; self.planes.len()];
        for (pair, (first, second)) in zip(bytes.as_chunks_mut().0, zip(first, second)) {
            *pair = [*first, *second];
        }
        if let (Some(last), true) = (first.last(), first.len() > second.len()) {
            bytes[self.planes.len() - 1] = *last;
        }
        bytes
    }
}

/// MobileNetV3-Small that distinguishes manipulated faces from genuine ones: the default model.
pub const DEEPTELL_MNV3S: ShippedModel = ShippedModel {
    file: "deeptell-mnv3s.safetensors",
    planes: include_bytes!(concat!(env!("OUT_DIR"), "/deeptell-mnv3s.planes")),
    card: include_str!("../deeptell-mnv3s.md"),
};

/// SHA-256 and card of every file here, as TOML.
pub const MANIFEST: &str = include_str!("../manifest.toml");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_embedded_bytes_are_those_of_the_file() {
        assert!(DEEPTELL_MNV3S.bytes() == include_bytes!("../deeptell-mnv3s.safetensors"));
        for planes in [&[][..], &[1], &[1, 2], &[1, 3, 2], &[1, 3, 2, 4]] {
            let expected: Vec<u8> = (1..=planes.len() as u8).collect();
            assert_eq!(ShippedModel { planes, ..DEEPTELL_MNV3S }.bytes(), expected);
        }
    }
}

/// Compiles the example of the README.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
