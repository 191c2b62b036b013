//! The parts under `done/`: one small manifest per input, `KEY.jsonl`, written once all its crops are
//! stored; or `KEY.failed` with the reason why it has none.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::io;
use std::path::{Component, Path, PathBuf};

use deeptell_data::{Sample, ShardIndex, read_manifest, write_manifest};
use deeptell_files::{read_bounded, write_whole};
use serde::{Deserialize, Serialize};

use crate::{ExtractError, Failure};

/// How the names of parts and of failures end.
pub(crate) const PART: &str = "jsonl";
pub(crate) const FAILED: &str = "failed";
/// Name of the file in the output folder that says how long the manifest is.
pub(crate) const STATE: &str = "extract.state.json";
/// The largest file of a failure that is read, in bytes.
pub(crate) const MAX_FAILURE_BYTES: u64 = 1 << 20;
/// Folder of crops that are files, and of archives, in the output folder.
pub(crate) const CROPS: &str = "crops";
pub(crate) const ARCHIVES: &str = "shards";

/// How long a manifest is, by which a copy that was cut off is found.
#[derive(Serialize, Deserialize)]
struct State {
    manifest_bytes: u64,
}

/// How many bytes the manifest of the output folder `out` has; `None` where no run has recorded it.
pub(crate) fn recorded_length(out: &Path) -> Option<u64> {
    let text = read_bounded(out.join(STATE), MAX_FAILURE_BYTES).ok()?;
    serde_json::from_slice::<State>(&text).ok().map(|state| state.manifest_bytes)
}

/// The parts of one output folder.
pub(crate) struct Parts {
    /// The output folder.
    out: PathBuf,
    /// Where the parts are.
    done: PathBuf,
}

impl Parts {
    pub(crate) fn open(out: &Path) -> Result<Self, ExtractError> {
        let done = out.join("done");
        fs::create_dir_all(&done).map_err(ExtractError::io(&done))?;
        Ok(Self { out: out.to_path_buf(), done })
    }

    pub(crate) fn path(&self, key: &str) -> PathBuf {
        self.done.join(format!("{key}.{PART}"))
    }

    fn failure_path(&self, key: &str) -> PathBuf {
        self.done.join(format!("{key}.{FAILED}"))
    }

    /// Why an input has no crops, as far as a run has tried it.
    pub(crate) fn failure(&self, key: &str) -> Result<Option<Failure>, ExtractError> {
        let path = self.failure_path(key);
        match read_bounded(&path, MAX_FAILURE_BYTES) {
            // Cut short by a power cut, or not written by us: it is tried again.
            Ok(text) => Ok(serde_json::from_slice(&text).ok()),
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::FileTooLarge) => {
                Ok(None)
            }
            Err(error) => Err(ExtractError::io(&path)(error)),
        }
    }

    /// Records that an input has no crops.
    pub(crate) fn write_failure(&self, key: &str, failure: &Failure) -> Result<(), ExtractError> {
        let path = self.failure_path(key);
        let mut text = serde_json::to_vec(failure).map_err(|error| ExtractError::damaged(&path, error))?;
        text.push(b'\n');
        write_whole(&path, &text).map_err(ExtractError::io(&path))
    }

    /// Forgets that an input failed.
    pub(crate) fn clear_failure(&self, key: &str) -> Result<(), ExtractError> {
        let path = self.failure_path(key);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(ExtractError::io(&path)(error)),
            _ => Ok(()),
        }
    }

    /// Records how many bytes `manifest` has.
    pub(crate) fn record_length(&self, manifest: &Path) -> Result<(), ExtractError> {
        let manifest_bytes = fs::metadata(manifest).map_err(ExtractError::io(manifest))?.len();
        let path = self.out.join(STATE);
        let text = serde_json::to_vec(&State { manifest_bytes })
            .map_err(|error| ExtractError::damaged(&path, error))?;
        write_whole(&path, &text).map_err(ExtractError::io(&path))
    }

    /// All parts, sorted.
    pub(crate) fn all(&self) -> Result<Vec<PathBuf>, ExtractError> {
        let mut parts = Vec::new();
        for entry in fs::read_dir(&self.done).map_err(ExtractError::io(&self.done))? {
            let path = entry.map_err(ExtractError::io(&self.done))?.path();
            if path.extension().is_some_and(|end| end == PART) {
                parts.push(path);
            }
        }
        parts.sort();
        Ok(parts)
    }

    /// The rows of a part. Crops lie where the output folder is now, which may have been moved;
    /// pictures that stay `in_place` where they were.
    pub(crate) fn read(&self, part: &Path, in_place: bool) -> Result<Vec<Sample>, ExtractError> {
        let mut rows = read_manifest(part)?;
        for row in rows.iter_mut().filter(|_| !in_place) {
            row.path = self.moved(&row.path).unwrap_or_else(|| row.path.clone());
        }
        Ok(rows)
    }

    /// Where a crop `crops/LABEL/NAME` or `shards/ARCHIVE/NAME` of this folder is; `None` for others.
    fn moved(&self, path: &Path) -> Option<PathBuf> {
        let folder = path.parent()?;
        let kind = folder.parent()?.file_name()?;
        let crop = self.out.join(kind).join(folder.file_name()?).join(path.file_name()?);
        (kind == CROPS || kind == ARCHIVES).then_some(crop)
    }

    pub(crate) fn write(&self, key: &str, rows: &[Sample]) -> Result<(), ExtractError> {
        Ok(write_manifest(self.path(key), rows)?)
    }

    /// Removes a part with the crops it names, as far as they are files of this folder.
    pub(crate) fn remove(&self, part: &Path, rows: &[Sample]) -> Result<(), ExtractError> {
        let crops = self.out.join(CROPS);
        // A part comes from disk, and may name anything: no `..` leads out of the folder.
        let is_inside = |path: &Path| {
            let below = path.strip_prefix(&crops);
            below.is_ok_and(|below| below.components().all(|part| matches!(part, Component::Normal(_))))
        };
        for row in rows.iter().filter(|row| is_inside(&row.path) && row.path.is_file()) {
            fs::remove_file(&row.path).map_err(ExtractError::io(&row.path))?;
        }
        fs::remove_file(part).map_err(ExtractError::io(part))
    }
}

/// Finds whether crops are there, and remembers the archives that were read.
#[derive(Default)]
pub(crate) struct Presence {
    /// The names of the members; `None` for an archive that is not there or not whole.
    archives: HashMap<PathBuf, Option<HashSet<String>>>,
}

impl Presence {
    /// Whether what every row names is there.
    pub(crate) fn has_all(&mut self, rows: &[Sample]) -> bool {
        rows.iter().all(|row| {
            let (Some(folder), Some(name)) = (row.path.parent(), row.path.file_name()) else { return false };
            if folder.extension().is_none_or(|end| end != "tar") || folder.is_dir() {
                return row.path.is_file();
            }
            let members = self
                .archives
                .entry(folder.to_path_buf())
                .or_insert_with(|| Some(ShardIndex::read(folder).ok()?.names().map(str::to_owned).collect()));
            members.as_ref().is_some_and(|members| members.contains(name.to_string_lossy().as_ref()))
        })
    }
}

#[cfg(test)]
mod tests {
    use deeptell_data::Label;

    use super::*;

    #[test]
    fn a_part_removes_its_own_crops_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let out = folder.path().join("out");
        let parts = Parts::open(&out).unwrap();
        let (mine, own) = (folder.path().join("mine.png"), out.join("crops/real/a.png"));
        fs::create_dir_all(out.join("crops/real")).unwrap();
        for file in [&mine, &own] {
            fs::write(file, "a picture").unwrap();
        }
        let named =
            [out.join("crops/../../mine.png"), mine.clone(), own.clone(), out.join("crops/real/gone.png")];
        let rows = named.map(|path| Sample::new(path, Label::Real, "a"));
        parts.write("0", &rows).unwrap();
        parts.remove(&parts.path("0"), &rows).unwrap();
        assert!(mine.is_file() && !own.exists() && !parts.path("0").exists());
    }
}
