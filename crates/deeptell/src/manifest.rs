//! `manifest.toml`, which lies beside model files and says what they must be.

use std::io;
use std::path::Path;

use serde::Deserialize;

use crate::ModelError;

/// The list of model files in a folder.
///
/// ```toml
/// [[model]]
/// file = "deeptell-mnv3s.safetensors"
/// sha256 = "…64 hexadecimal digits…"
/// card = "deeptell-mnv3s.md"
/// ```
#[derive(Debug, Deserialize)]
pub(crate) struct Manifest {
    /// One entry per file.
    #[serde(default, rename = "model")]
    models: Vec<ManifestEntry>,
}

/// One file of a [`Manifest`]; what else the entry says is for people.
#[derive(Debug, Deserialize)]
struct ManifestEntry {
    /// File name, without a folder.
    file: String,
    /// SHA-256 of the whole file, in hexadecimal.
    sha256: String,
}

impl Manifest {
    /// Its file name.
    const FILE: &str = "manifest.toml";

    fn parse_at(text: &str, path: &Path) -> Result<Self, ModelError> {
        toml::from_str(text).map_err(|error: toml::de::Error| ModelError::Manifest {
            path: path.to_owned(),
            problem: error.to_string(),
        })
    }

    /// What the manifest beside `model` says about it; `None` when there is no manifest or it
    /// does not name the file.
    pub(crate) fn expected_sha256(model: &Path) -> Result<Option<String>, ModelError> {
        let path = model.with_file_name(Self::FILE);
        let fail = |problem: String| ModelError::Manifest { path: path.clone(), problem };
        let text = match deeptell_files::read_text_bounded(&path, 1 << 20) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(fail(error.to_string())),
        };
        let manifest = Self::parse_at(&text, &path)?;
        let named = |entry: &ManifestEntry| model.file_name().is_some_and(|name| name == entry.file.as_str());
        Ok(manifest.models.into_iter().find(named).map(|entry| entry.sha256))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn manifests_are_read_by_name() {
        let folder = tempfile::tempdir().unwrap();
        let model = folder.path().join("a.safetensors");
        assert_eq!(Manifest::expected_sha256(&model).unwrap(), None);

        let text = "[[model]]\nfile = \"b.safetensors\"\nsha256 = \"00\"\n\n\
                    [[model]]\nfile = \"a.safetensors\"\nsha256 = \"11\"\ncard = \"a.md\"\n";
        std::fs::write(folder.path().join(Manifest::FILE), text).unwrap();
        assert_eq!(Manifest::expected_sha256(&model).unwrap().as_deref(), Some("11"));
        assert_eq!(Manifest::expected_sha256(&folder.path().join("c.safetensors")).unwrap(), None);

        std::fs::write(folder.path().join(Manifest::FILE), "[[model]]\nfile = 3\n").unwrap();
        assert!(matches!(Manifest::expected_sha256(&model), Err(ModelError::Manifest { .. })));
    }
}
