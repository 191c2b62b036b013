//! Damaged files: whatever is in them, reading ends with weights or with an error.

use std::path::Path;

use deeptell_weights::{StoredDtype, Weights};

use crate::little;
use crate::onnx::little_model;
use crate::pth::{pth, row_major};

/// Reads a file as the program does, and from memory.
fn replay(bytes: &[u8], path: &Path) {
    std::fs::write(path, bytes).unwrap();
    let _ = Weights::read(path);
    let _ = Weights::from_bytes(bytes, path);
    let _ = Weights::notes(bytes, path);
}

/// A sound file of each format.
fn sound() -> [Vec<u8>; 3] {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("sound.pth");
    pth(&little().tensors, &path, row_major);
    let mut noted = little();
    noted.metadata.insert("note".into(), "sound".into());
    [noted.to_bytes(StoredDtype::F16).unwrap(), little_model(), std::fs::read(path).unwrap()]
}

#[test]
fn truncated_and_corrupted_files_never_panic() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("damaged");
    for bytes in sound() {
        std::fs::write(&path, &bytes).unwrap();
        assert_eq!(Weights::read(&path).unwrap().tensors, little().tensors);
        for at in 0..bytes.len() {
            replay(&bytes[..at], &path);
            let mut changed = bytes.clone();
            for value in [0, 0x7f, 0xff, bytes[at] ^ 1] {
                changed[at] = value;
                replay(&changed, &path);
            }
        }
    }
}

#[test]
fn corpus_files_never_panic() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus");
    let folder = tempfile::tempdir().unwrap();
    let mut count = 0;
    for entry in std::fs::read_dir(corpus).unwrap() {
        replay(&std::fs::read(entry.unwrap().path()).unwrap(), &folder.path().join("found"));
        count += 1;
    }
    assert!(count >= 6, "{count} files");
}
