/// A weights file whose content is known by its hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KnownFile {
    /// File name as published.
    pub name: &'static str,
    /// SHA-256 of the content, lower-case hexadecimal.
    pub sha256: &'static str,
    /// What it is and where it comes from.
    pub origin: &'static str,
}

/// Files that `deeptell weights import` recognises.
pub const KNOWN_FILES: &[KnownFile] = &[KnownFile {
    name: "mobilenet_v3_small-047dcff4.pth",
    sha256: "047dcff4addef86ea5bc2eff13c9614dc11f47ab1160d0a71a25e7db994f4e1f",
    origin: "torchvision MobileNet_V3_Small_Weights.IMAGENET1K_V1 (BSD-3-Clause), \
             https://download.pytorch.org/models/mobilenet_v3_small-047dcff4.pth",
}];
