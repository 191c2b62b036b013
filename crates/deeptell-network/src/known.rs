use crate::{Architecture, KNOWN_FILES};

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
