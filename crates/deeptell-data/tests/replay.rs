//! Files that once broke a parser, or were made to: each is read to its end, and means what its name says.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking, in its helper functions too")]

use std::fs;
use std::path::{Path, PathBuf};

use deeptell_data::{DataError, ManifestReader, ShardIndex, ShardWriter};

fn corpus(kind: &str) -> Vec<(String, PathBuf)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus").join(kind);
    let mut files: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap())
        .map(|entry| (entry.file_name().into_string().unwrap(), entry.path()))
        .collect();
    files.sort();
    assert!(files.len() > 20, "{} files in the corpus of {kind}", files.len());
    files
}

/// Every prefix of some lengths, and every single changed byte of small files.
fn variants(bytes: &[u8]) -> impl Iterator<Item = Vec<u8>> + '_ {
    let step = (bytes.len() / 64).max(1);
    let cut = (0..=bytes.len()).step_by(step).map(|length| bytes[..length].to_vec());
    let changed = (0..bytes.len()).step_by(step).flat_map(|at| {
        [0, b'{', 0x80, 0xff].map(|byte| {
            let mut changed = bytes.to_vec();
            changed[at] = byte;
            changed
        })
    });
    cut.chain(changed)
}

/// The first error of a manifest; a manifest is read to its end whatever it holds.
fn read_manifest(bytes: &[u8]) -> Result<usize, DataError> {
    let rows: Vec<_> = ManifestReader::new(bytes, "set/m.jsonl")?.collect();
    assert!(rows.len() <= bytes.len());
    for row in rows.iter().flatten() {
        // Values of `extra` are parsed only when asked for.
        let _ = row.extra.values();
    }
    rows.into_iter().collect::<Result<Vec<_>, _>>().map(|rows| rows.len())
}

#[test]
fn manifests_are_read_or_refused() {
    for (name, path) in corpus("manifest") {
        let bytes = fs::read(path).unwrap();
        let read = read_manifest(&bytes);
        assert_eq!(read.is_ok(), name.starts_with("good-"), "{name}: {read:?}");
        if bytes.len() < 4096 {
            for variant in variants(&bytes) {
                let _ = read_manifest(&variant);
            }
        }
    }
}

/// Reads a shard with all its members, which lie within the file.
fn read_shard(path: &Path) -> Result<usize, DataError> {
    let length = fs::metadata(path).unwrap().len();
    let index = ShardIndex::read(path)?;
    for name in index.names() {
        let name_is_safe =
            !name.is_empty() && !name.starts_with('/') && name.split('/').all(|part| part != "..");
        assert!(name_is_safe, "{name}");
        assert!(index.contents(name)?.len() as u64 <= length);
    }
    Ok(index.names().len())
}

#[test]
fn shards_are_read_or_refused() {
    let folder = tempfile::tempdir().unwrap();
    let copy = folder.path().join("copy.tar");
    let unfinished = ShardWriter::unfinished(&copy);
    for (name, path) in corpus("shard") {
        let read = read_shard(&path);
        assert_eq!(read.is_ok(), name.starts_with("good-"), "{name}: {read:?}");
        for variant in variants(&fs::read(&path).unwrap()) {
            fs::write(&copy, &variant).unwrap();
            let read = read_shard(&copy);
            // What a killed writer left: never more than what is whole.
            fs::write(&unfinished, &variant).unwrap();
            if let (Ok(members), Ok(whole)) = (read, ShardIndex::read_unfinished(&copy)) {
                assert_eq!(whole.names().len(), members, "{name}");
            }
        }
    }
}
