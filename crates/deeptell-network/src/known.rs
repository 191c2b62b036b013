use crate::Architecture;

/// A published weights file, identified by its hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KnownFile {
    /// File name as published.
    pub name: &'static str,
    /// The network whose weights it holds.
    pub architecture: Architecture,
    /// SHA-256 of the content, lower-case hexadecimal, or as much of its beginning as the publisher
    /// gives: torchvision puts eight digits into the file's name.
    pub sha256: &'static str,
    /// What it is and where it comes from.
    pub origin: &'static str,
}

/// Files that `deeptell weights import` recognises.
pub const KNOWN_FILES: &[KnownFile] = &[
    KnownFile {
        name: "mobilenet_v3_small-047dcff4.pth",
        architecture: Architecture::MobileNetV3Small,
        sha256: "047dcff4addef86ea5bc2eff13c9614dc11f47ab1160d0a71a25e7db994f4e1f",
        origin: "torchvision MobileNet_V3_Small_Weights.IMAGENET1K_V1 (BSD-3-Clause), \
                 https://download.pytorch.org/models/mobilenet_v3_small-047dcff4.pth",
    },
    KnownFile {
        name: "mobilenet_v3_large-8738ca79.pth",
        architecture: Architecture::MobileNetV3Large,
        sha256: "8738ca79",
        origin: "torchvision MobileNet_V3_Large_Weights.IMAGENET1K_V1 (BSD-3-Clause), \
                 https://download.pytorch.org/models/mobilenet_v3_large-8738ca79.pth",
    },
    KnownFile {
        name: "mobilenet_v3_large-5c1a4163.pth",
        architecture: Architecture::MobileNetV3Large,
        sha256: "5c1a4163",
        origin: "torchvision MobileNet_V3_Large_Weights.IMAGENET1K_V2 (BSD-3-Clause), \
                 https://download.pytorch.org/models/mobilenet_v3_large-5c1a4163.pth",
    },
];

impl KnownFile {
    /// The file whose content has this SHA-256, in lower-case hexadecimal.
    pub fn with_sha256(sha256: &str) -> Option<&'static Self> {
        KNOWN_FILES.iter().find(|known| sha256.starts_with(known.sha256))
    }

    /// The file that is published under this name.
    pub fn named(name: &str) -> Option<&'static Self> {
        KNOWN_FILES.iter().find(|known| known.name == name)
    }
}
