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

/// A weights file and its card, embedded in the program.
#[derive(Debug, Clone, Copy)]
pub struct ShippedModel {
    /// Name of the file in this folder.
    pub file: &'static str,
    /// The whole file: safetensors with a machine-readable card in its header.
    pub bytes: &'static [u8],
    /// The model card for people, in Markdown.
    pub card: &'static str,
}

/// MobileNetV3-Small that distinguishes manipulated faces from genuine ones: the default model.
pub const DEEPTELL_MNV3S: ShippedModel = ShippedModel {
    file: "deeptell-mnv3s.safetensors",
    bytes: include_bytes!("../deeptell-mnv3s.safetensors"),
    card: include_str!("../deeptell-mnv3s.md"),
};

/// SHA-256 and card of every file here, as TOML.
pub const MANIFEST: &str = include_str!("../manifest.toml");

/// Compiles the example of the README.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
