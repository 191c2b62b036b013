use std::path::Path;

use crate::WeightsError;

/// A published weights file, identified by its hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KnownFile {
    /// File name as published.
    pub name: &'static str,
    /// SHA-256 of the content, lower-case hexadecimal, or as much of its beginning as the publisher gives: torchvision
    /// puts eight digits into the file's name.
    pub sha256: &'static str,
    /// What it is and where it comes from.
    pub origin: &'static str,
}

impl KnownFile {
    /// The file of `published` that the file at `path` is, by the SHA-256 of its content in lower-case hexadecimal;
    /// `None` if it is another one.
    ///
    /// # Errors
    /// [`WeightsError::OtherContent`] for a file that has the name of a published one and other content.
    pub fn of<'a>(
        path: &Path,
        sha256: &str,
        published: impl IntoIterator<Item = &'a Self> + Clone,
    ) -> Result<Option<&'a Self>, WeightsError> {
        if let Some(known) = published.clone().into_iter().find(|known| sha256.starts_with(known.sha256)) {
            return Ok(Some(known));
        }
        let name = path.file_name();
        match published.into_iter().find(|known| name == Some(known.name.as_ref())) {
            None => Ok(None),
            Some(known) => Err(WeightsError::OtherContent {
                path: path.to_owned(),
                found: sha256.to_owned(),
                published: known.sha256,
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILES: [KnownFile; 2] = [
        KnownFile { name: "a-00ff.pth", sha256: "00ff", origin: "a" },
        KnownFile { name: "b.onnx", sha256: "1234", origin: "b" },
    ];

    #[test]
    fn a_file_is_known_by_its_hash_and_refused_under_the_name_of_another() {
        let of = |name: &str, sha256: &str| {
            KnownFile::of(Path::new("folder").join(name).as_path(), sha256, &FILES)
        };
        assert_eq!(of("renamed.pth", "00ff17").unwrap(), Some(&FILES[0]));
        assert_eq!(of("other.pth", "77").unwrap(), None);
        let error = of("b.onnx", "77").unwrap_err();
        assert!(error.to_string().contains("b.onnx") && error.to_string().contains("1234"), "{error}");
    }
}
