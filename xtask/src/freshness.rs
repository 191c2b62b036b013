//! Knowing that a step need not run again: same arguments, same bytes in, output still there.

use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// A digest of a step's arguments and of all its input files, folders included with everything below them.
///
/// It guards against work done twice, not against an adversary: 64 bits suffice.
///
/// # Errors
/// When an input is missing or cannot be read.
pub(crate) fn fingerprint(arguments: &[String], inputs: &[PathBuf]) -> Result<u64> {
    let mut hasher = DefaultHasher::new();
    arguments.hash(&mut hasher);
    for input in inputs {
        digest(input, &mut hasher)?;
    }
    Ok(hasher.finish())
}

fn digest(path: &Path, hasher: &mut DefaultHasher) -> Result<()> {
    let unreadable = || format!("cannot read {}", path.display());
    path.hash(hasher);
    if path.is_dir() {
        let entries = fs::read_dir(path).with_context(unreadable)?;
        let mut entries = entries
            .map(|entry| Ok(entry?.path()))
            .collect::<std::io::Result<Vec<_>>>()
            .with_context(unreadable)?;
        entries.sort();
        for entry in entries {
            digest(&entry, hasher)?;
        }
    } else {
        fs::read(path).with_context(unreadable)?.hash(hasher);
    }
    Ok(())
}

/// The fingerprints of the steps that have succeeded, one small file each.
pub(crate) struct Stamps {
    pub(crate) folder: PathBuf,
}

impl Stamps {
    /// Whether `step` last succeeded with this fingerprint.
    pub(crate) fn hold(&self, step: &str, fingerprint: u64) -> bool {
        fs::read_to_string(self.folder.join(step)).is_ok_and(|stamp| stamp == format!("{fingerprint:016x}"))
    }

    /// Notes that `step` has succeeded with this fingerprint.
    ///
    /// # Errors
    /// When the stamp cannot be written.
    pub(crate) fn put(&self, step: &str, fingerprint: u64) -> Result<()> {
        let file = self.folder.join(step);
        fs::create_dir_all(&self.folder)
            .and_then(|()| fs::write(&file, format!("{fingerprint:016x}")))
            .with_context(|| format!("cannot write {}", file.display()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A folder of its own for one test, removed at the end.
    struct Folder(PathBuf);

    impl Folder {
        fn new(name: &str) -> Self {
            let path = std::env::temp_dir().join(format!("xtask-{name}-{}", std::process::id()));
            fs::create_dir_all(&path).unwrap();
            Self(path)
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            drop(fs::remove_dir_all(&self.0));
        }
    }

    #[test]
    fn a_fingerprint_changes_with_arguments_contents_and_names() {
        let folder = Folder::new("fingerprint");
        let inputs = [folder.0.clone()];
        let arguments = ["scan".to_owned()];
        fs::create_dir(folder.0.join("real")).unwrap();
        fs::write(folder.0.join("real/a.mp4"), "frames").unwrap();

        let first = fingerprint(&arguments, &inputs).unwrap();
        assert_eq!(fingerprint(&arguments, &inputs).unwrap(), first);
        assert_ne!(fingerprint(&["eval".to_owned()], &inputs).unwrap(), first);

        fs::write(folder.0.join("real/a.mp4"), "Frames").unwrap();
        let second = fingerprint(&arguments, &inputs).unwrap();
        assert_ne!(second, first);

        fs::rename(folder.0.join("real/a.mp4"), folder.0.join("real/b.mp4")).unwrap();
        assert_ne!(fingerprint(&arguments, &inputs).unwrap(), second);
    }

    #[test]
    fn a_missing_input_is_an_error_with_its_path() {
        let error = fingerprint(&[], &[PathBuf::from("no/such/input")]).unwrap_err();
        assert!(error.to_string().contains("no/such/input"), "{error}");
    }

    #[test]
    fn a_stamp_holds_for_its_step_and_fingerprint_alone() {
        let folder = Folder::new("stamps");
        let stamps = Stamps { folder: folder.0.join("stamps") };
        assert!(!stamps.hold("train", 7));
        stamps.put("train", 7).unwrap();
        assert!(stamps.hold("train", 7));
        assert!(!stamps.hold("train", 8));
        assert!(!stamps.hold("eval", 7));
    }
}
