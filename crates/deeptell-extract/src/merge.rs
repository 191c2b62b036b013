//! Merges extractions.

use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::path::{Path, PathBuf};

use deeptell_data::{DataError, Sample, read_manifest};
use deeptell_files::{name_below, read_text_bounded};

use crate::crops::video_of;
use crate::settings::MAX_SETTINGS_BYTES;
use crate::status::{FAILURES, counted, read_failures};
use crate::{ExtractError, SETTINGS_FILE};

/// Several extractions, merged.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Merged {
    /// How many there were.
    pub manifests: usize,
    /// The crops of all of them.
    pub rows: Vec<Sample>,
    /// Names below the data set of the files that have crops.
    pub done: BTreeSet<String>,
    /// Paths below the data set of the files that failed.
    pub failed: BTreeSet<String>,
    /// Names of the files whose crops [`arrange_as`](Self::arrange_as) left out.
    pub left_out: BTreeSet<String>,
}

impl Merged {
    /// Checks that every file of a data set at `root` was tried.
    ///
    /// # Errors
    /// [`ExtractError::Absent`] when some are neither among the crops nor among the failures.
    pub fn accounts_for(&self, all: &[Sample], root: &Path) -> Result<(), ExtractError> {
        let is_absent = |sample: &&Sample| {
            let file = name_below(root, &sample.path);
            !self.done.contains(&file) && !self.failed.contains(&file)
        };
        let absent: Vec<&Sample> = all.iter().filter(is_absent).collect();
        if let [first, ..] = absent.as_slice() {
            return Err(ExtractError::Absent {
                root: root.to_path_buf(),
                absent: absent.len(),
                all: all.len(),
                first: first.path.clone(),
            });
        }
        Ok(())
    }

    /// Puts the crops into the order in which one extraction of a data set at `root` lists them. As that would, it
    /// leaves out the crops of files that are not in the data set.
    pub fn arrange_as(&mut self, all: &[Sample], root: &Path) {
        let names = all.iter().map(|sample| name_below(root, &sample.path));
        let places: HashMap<String, usize> = names.zip(0..).collect();
        let place = |row: &Sample| file_of(row).and_then(|file| places.get(&file).copied());
        self.rows.retain(|row| place(row).is_some());
        self.rows.sort_by_cached_key(place);
        for row in &mut self.rows {
            // Splits and sources may have been corrected since, and the data set moved.
            if let Some(sample) = place(row).and_then(|place| all.get(place)) {
                row.split = sample.split;
                row.source.clone_from(&sample.source);
                row.video = Some(video_of(sample));
            }
        }
        self.failed.retain(|file| places.contains_key(file));
        let (done, gone) =
            std::mem::take(&mut self.done).into_iter().partition(|file| places.contains_key(file));
        self.done = done;
        self.left_out = gone;
    }
}

/// What was merged, in a sentence.
impl fmt::Display for Merged {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let crops = counted(self.rows.len(), "crop");
        let manifests = counted(self.manifests, "manifest");
        write!(f, "{crops} from {manifests}, {} failed", counted(self.failed.len(), "file"))?;
        if let Some(first) = self.left_out.first() {
            let files = counted(self.left_out.len(), "file");
            write!(f, "; left out: crops of {files} that the data set does not have, such as {first}")?;
        }
        Ok(())
    }
}

/// The name below its data set of the file that a crop was cut from.
fn file_of(row: &Sample) -> Option<String> {
    Some(row.extra.get("file")?.as_str()?.to_owned())
}

/// Merges the manifests of several extractions, and checks that they fit together.
///
/// # Errors
/// For crops made with different settings, a crop that is listed twice, and a file of which two manifests hold
/// crops.
pub fn merge(manifests: &[PathBuf]) -> Result<Merged, ExtractError> {
    let mut rows: Vec<Sample> = Vec::new();
    let mut settings: Option<(PathBuf, toml::Table)> = None;
    let mut crop_in: HashMap<PathBuf, &Path> = HashMap::new();
    let mut file_in: HashMap<String, &Path> = HashMap::new();
    let mut failed = BTreeSet::new();
    for manifest in manifests {
        let folder = manifest.parent().unwrap_or(Path::new("."));
        let path = folder.join(SETTINGS_FILE);
        if path.is_file() {
            let text = read_text_bounded(&path, MAX_SETTINGS_BYTES).map_err(ExtractError::io(&path))?;
            let mut table: toml::Table = text.parse().map_err(|error| ExtractError::damaged(&path, error))?;
            // Parts differ in that, and are meant to; where a crop lies does not change it.
            table.remove("shard");
            table.remove("store");
            match &settings {
                Some((one, before)) if *before != table => {
                    return Err(ExtractError::SettingsDiffer { one: one.clone(), other: path });
                }
                _ => settings = Some((path.clone(), table)),
            }
        }
        failed.extend(read_failures(&folder.join(FAILURES))?.into_iter().map(|failure| failure.file));
        let mut files = BTreeSet::new();
        let rows_here = read_manifest(manifest).map_err(|source| match source {
            DataError::Line { .. } | DataError::NotAManifest { .. } if path.is_file() => {
                ExtractError::DamagedManifest(source)
            }
            source => source.into(),
        })?;
        for row in rows_here {
            let other = || manifest.clone();
            if let Some(one) = crop_in.insert(row.path.clone(), manifest) {
                return Err(ExtractError::ListedTwice {
                    crop: row.path,
                    one: one.to_path_buf(),
                    other: other(),
                });
            }
            let Some(file) = file_of(&row) else {
                return Err(ExtractError::NoFile { manifest: other(), crop: row.path });
            };
            files.insert(file);
            rows.push(row);
        }
        for file in files {
            if let Some(one) = file_in.insert(file.clone(), manifest) {
                let (one, other) = (one.to_path_buf(), manifest.clone());
                return Err(ExtractError::DoneTwice { file, one, other });
            }
        }
    }
    Ok(Merged {
        manifests: manifests.len(),
        rows,
        done: file_in.into_keys().collect(),
        failed,
        left_out: BTreeSet::new(),
    })
}

#[cfg(test)]
mod tests {
    use std::io;

    use deeptell_data::{Label, read_dataset, write_manifest};

    use super::*;

    #[test]
    fn manifests_that_fit_are_merged_and_others_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let part = |name: &str, crops: &[(&str, &str)], settings: &str, failed: &str| {
            std::fs::create_dir_all(at(name)).unwrap();
            let rows: Vec<Sample> = crops
                .iter()
                .map(|(crop, video)| {
                    let extra = [("file".to_owned(), format!("real/{video}").into())].into();
                    Sample::new(at(crop), Label::Real, *crop).extra(extra)
                })
                .collect();
            let manifest = at(name).join("manifest.jsonl");
            write_manifest(&manifest, &rows).unwrap();
            std::fs::write(at(name).join("extract.toml"), settings).unwrap();
            let lost = failed.split_whitespace().map(|name| {
                let file = format!("real/{name}");
                serde_json::json!({ "path": at(&file), "file": file, "error": "no face" }).to_string() + "\n"
            });
            std::fs::write(at(name).join("failures.jsonl"), lost.collect::<String>()).unwrap();
            manifest
        };
        for file in ["a.mp4", "b.mp4", "c.mp4"] {
            let path = at("set").join("real").join(file);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "").unwrap();
        }
        std::fs::create_dir_all(at("set").join("fake")).unwrap();
        let shard = |part| format!("frames = 10\n[shard]\npart = {part}\ncount = 2\n");
        let first = part("1", &[("a0.png", "a.mp4"), ("a1.png", "a.mp4")], &shard(0), "c.mp4");
        let second = part("2", &[("b0.png", "b.mp4")], &shard(1), "");
        let merge = |manifests: &[&PathBuf], data: Option<PathBuf>| {
            let manifests: Vec<PathBuf> = manifests.iter().map(|path| (*path).clone()).collect();
            let merged = merge(&manifests)?;
            if let Some(data) = data {
                merged.accounts_for(&read_dataset(&data).unwrap(), &data)?;
            }
            write_manifest(at("all.jsonl"), &merged.rows).unwrap();
            Ok::<_, ExtractError>(())
        };
        merge(&[&first, &second], Some(at("set"))).unwrap();
        assert_eq!(read_manifest(at("all.jsonl")).unwrap().len(), 3);

        let refused = |manifests: &[&PathBuf], data| merge(manifests, data).unwrap_err().to_string();
        assert!(refused(&[&first], Some(at("set"))).contains("1 of 3 files"));
        assert!(refused(&[&first, &first], None).contains("is listed in"));
        let same_video = part("3", &[("a2.png", "a.mp4")], "frames = 10", "");
        assert!(refused(&[&first, &same_video], None).contains("both hold crops of"));
        let unknown = at("5.jsonl");
        write_manifest(&unknown, &[Sample::new(at("e0.png"), Label::Real, "e")]).unwrap();
        assert!(refused(&[&first, &unknown], None).contains("the file it was cut from"));
        let stored = part("6", &[("s.tar/f0.png", "f.mp4")], "frames = 10\nstore = \"tar\"", "");
        merge(&[&first, &stored], None).unwrap();
        let other = part("4", &[("d0.png", "d.mp4")], "frames = 12", "");
        assert!(refused(&[&first, &other], None).contains("different settings"));
        let settings = std::fs::File::create(at("4").join("extract.toml")).unwrap();
        settings.set_len(2 * MAX_SETTINGS_BYTES).unwrap();
        let error = super::merge(&[other]).unwrap_err();
        assert!(
            matches!(&error, ExtractError::Io { source, .. } if source.kind() == io::ErrorKind::FileTooLarge)
        );
    }
}
