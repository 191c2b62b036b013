//! Crops in tar archives: `shards/crops-000000.tar` and so on.
//!
//! The crops of one input follow each other in one archive, and its part under `done/` is written
//! while nothing else is added. A run writes to archives that it began and to no others. What a
//! killed run left unfinished is copied into an archive of the next one, as far as a part names it.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use deeptell_data::{DataError, Sample, ShardIndex, ShardWriter, write_manifest};

use crate::ExtractError;
use crate::parts::Parts;

/// The archives of one run, of which one is open.
pub(crate) struct Archives {
    folder: PathBuf,
    /// An archive ends before it grows beyond this, unless one input alone does.
    most_bytes: u64,
    open: Mutex<Open>,
}

struct Open {
    /// Number of the next archive, unless another run takes it.
    next: usize,
    shard: Option<ShardWriter>,
}

impl Archives {
    /// Begins, and saves what interrupted runs left: the crops that `parts` name. Parts whose crops
    /// did not all reach the disk, as after a power cut, are removed.
    pub(crate) fn open(folder: PathBuf, parts: &Parts, most_bytes: u64) -> Result<Self, ExtractError> {
        fs::create_dir_all(&folder).map_err(ExtractError::io(&folder))?;
        let mut next = 0;
        let mut unfinished = Vec::new();
        for entry in fs::read_dir(&folder).map_err(ExtractError::io(&folder))? {
            let name = entry.map_err(ExtractError::io(&folder))?.file_name();
            let Some(name) = name.to_str().and_then(|name| name.strip_prefix("crops-")) else { continue };
            let (name, is_partial) = match name.strip_suffix(".partial") {
                Some(name) => (name, true),
                None => (name, false),
            };
            let Some(number) = name.strip_suffix(".tar").and_then(|name| name.parse::<usize>().ok()) else {
                continue;
            };
            next = next.max(number + 1);
            if is_partial {
                unfinished.push(archive_path(&folder, number));
            }
        }
        let archives = Self { folder, most_bytes, open: Mutex::new(Open { next, shard: None }) };
        unfinished.sort();
        archives.save(&unfinished, parts)?;
        Ok(archives)
    }

    /// Copies the crops that parts name out of `unfinished` archives, and removes these.
    fn save(&self, unfinished: &[PathBuf], parts: &Parts) -> Result<(), ExtractError> {
        if unfinished.is_empty() {
            return Ok(());
        }
        let mut indices = HashMap::new();
        for path in unfinished {
            indices.insert(path.as_path(), ShardIndex::read_unfinished(path)?);
        }
        for part in parts.all()? {
            let mut rows = parts.read(&part, false)?;
            let archive = rows.first().and_then(|row| row.path.parent().map(Path::to_path_buf));
            let Some(index) = archive.as_deref().and_then(|archive| indices.get(archive)) else { continue };
            let pictures: Result<Vec<_>, DataError> = rows
                .iter_mut()
                .map(|row| {
                    row.path = row.path.file_name().map(PathBuf::from).unwrap_or_default();
                    index.contents(&row.path.to_string_lossy())
                })
                .collect();
            match pictures {
                Ok(pictures) => self.add(&mut rows, &pictures, |rows| Ok(write_manifest(&part, rows)?))?,
                Err(DataError::NotInShard { .. } | DataError::TruncatedShard { .. }) => {
                    fs::remove_file(&part).map_err(ExtractError::io(&part))?;
                }
                Err(error) => return Err(error.into()),
            }
        }
        // Only once the crops are safe.
        self.finish()?;
        for path in unfinished {
            let path = ShardWriter::unfinished(path);
            fs::remove_file(&path).map_err(ExtractError::io(&path))?;
        }
        Ok(())
    }

    /// Adds the crops of one input, each picture with its row as JSON, and calls `finish` with the
    /// rows, whose paths then lead into the archive; before, they are the names of the members.
    ///
    /// Where `finish` fails, the crops are taken out again.
    pub(crate) fn add(
        &self,
        rows: &mut [Sample],
        pictures: &[Vec<u8>],
        finish: impl FnOnce(&[Sample]) -> Result<(), ExtractError>,
    ) -> Result<(), ExtractError> {
        let names: Vec<(String, String)> = rows
            .iter()
            .map(|row| {
                (row.path.display().to_string(), row.path.with_extension("json").display().to_string())
            })
            .collect();
        let notes = rows.iter().map(serde_json::to_vec).collect::<Result<Vec<_>, _>>();
        let notes = notes.map_err(|error| ExtractError::damaged(&self.folder, error))?;
        let size = |bytes: &Vec<u8>| bytes.len().next_multiple_of(512) as u64 + 512;
        let bytes: u64 = pictures.iter().chain(&notes).map(size).sum();

        // What the lock guards is whole between any two statements that can fail.
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if open.shard.as_ref().is_some_and(|shard| shard.bytes() + bytes > self.most_bytes)
            && let Some(full) = open.shard.take()
        {
            full.finish()?;
        }
        let shard = match open.shard.take() {
            Some(shard) => shard,
            None => self.begin(&mut open.next)?,
        };
        let shard = open.shard.insert(shard);
        let before = shard.bytes();
        let members = names.iter().zip(pictures.iter().zip(&notes)).flat_map(
            |((picture_name, notes_name), (picture, notes))| {
                [(picture_name.as_str(), picture.as_slice()), (notes_name.as_str(), notes.as_slice())]
            },
        );
        shard.append(members)?;
        for row in rows.iter_mut() {
            row.path = shard.path().join(&row.path);
        }
        let finished = finish(rows);
        if finished.is_err() {
            shard.cut_to(before)?;
        }
        finished
    }

    /// Starts an archive with the next free number.
    fn begin(&self, next: &mut usize) -> Result<ShardWriter, ExtractError> {
        loop {
            let path = archive_path(&self.folder, *next);
            *next += 1;
            match ShardWriter::create(path) {
                Err(DataError::Io { source, .. }) if source.kind() == io::ErrorKind::AlreadyExists => {}
                created => return Ok(created?),
            }
        }
    }

    /// Ends the archive that is open: now every crop can be read.
    pub(crate) fn finish(&self) -> Result<(), ExtractError> {
        let shard = self.open.lock().unwrap_or_else(PoisonError::into_inner).shard.take();
        shard.map(ShardWriter::finish).transpose()?;
        Ok(())
    }
}

fn archive_path(folder: &Path, number: usize) -> PathBuf {
    folder.join(format!("crops-{number:06}.tar"))
}

#[cfg(test)]
mod tests {
    use deeptell_data::{Label, read_contents, read_manifest};

    use super::*;
    use crate::parts::Presence;

    /// Adds an input of two crops.
    fn add(shards: &Archives, folder: &Path, key: &str) -> Result<(), ExtractError> {
        let mut rows: Vec<Sample> =
            (0..2).map(|i| Sample::new(format!("{key}-{i}.png"), Label::Real, key)).collect();
        let pictures = vec![key.as_bytes().repeat(100); 2];
        shards.add(&mut rows, &pictures, |rows| {
            Ok(write_manifest(folder.join("done").join(format!("{key}.jsonl")), rows)?)
        })
    }

    fn open(folder: &Path) -> Archives {
        bounded(folder, 1 << 20)
    }

    fn bounded(folder: &Path, most_bytes: u64) -> Archives {
        let parts = Parts::open(folder).unwrap();
        Archives::open(folder.join("shards"), &parts, most_bytes).unwrap()
    }

    fn names(folder: &Path, number: usize) -> Vec<String> {
        let index = ShardIndex::read(archive_path(&folder.join("shards"), number)).unwrap();
        index.names().map(str::to_owned).collect()
    }

    #[test]
    fn an_archive_ends_before_it_grows_too_large_and_groups_stay_whole() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        let shards = bounded(folder, 5 << 10);
        for key in ["a", "b", "c"] {
            add(&shards, folder, key).unwrap();
        }
        shards.finish().unwrap();
        // Two crops with their rows are four members of two blocks: 4 KiB.
        for (number, key) in ["a", "b", "c"].into_iter().enumerate() {
            assert_eq!(
                names(folder, number),
                ["0.json", "0.png", "1.json", "1.png"].map(|n| format!("{key}-{n}"))
            );
        }
        let row = read_manifest(folder.join("done/b.jsonl")).unwrap().remove(0);
        assert_eq!(read_contents(row.path).unwrap(), b"b".repeat(100));
        // Further inputs go into a further archive: those that are finished stay as they are.
        let shards = open(folder);
        add(&shards, folder, "d").unwrap();
        shards.finish().unwrap();
        assert_eq!(names(folder, 3).len(), 4);
    }

    #[test]
    fn crops_of_a_killed_run_are_copied_into_an_archive_of_the_next() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        let shards = open(folder);
        add(&shards, folder, "a").unwrap();
        let partial = folder.join("shards/crops-000000.tar.partial");
        let one = fs::read(&partial).unwrap();
        let part_a = fs::read(folder.join("done/a.jsonl")).unwrap();
        add(&shards, folder, "b").unwrap();
        let two = fs::read(&partial).unwrap();
        drop(shards);
        // Killed within the crops of the second input, and between them and its part.
        for length in [one.len(), one.len() + 700, two.len() - 1, two.len()] {
            fs::remove_dir_all(folder.join("shards")).unwrap();
            fs::remove_dir_all(folder.join("done")).unwrap();
            fs::create_dir_all(folder.join("shards")).unwrap();
            fs::create_dir_all(folder.join("done")).unwrap();
            fs::write(folder.join("done/a.jsonl"), &part_a).unwrap();
            fs::write(&partial, &two[..length]).unwrap();
            open(folder);
            let rows = read_manifest(folder.join("done/a.jsonl")).unwrap();
            assert_eq!(names(folder, 1), ["a-0.json", "a-0.png", "a-1.json", "a-1.png"]);
            assert!(Presence::default().has_all(&rows), "{rows:?}");
            assert_eq!(fs::read_dir(folder.join("shards")).unwrap().count(), 1, "nothing else is left");
        }
        // A power cut can keep the part and lose the crops.
        fs::write(folder.join("done/a.jsonl"), &part_a).unwrap();
        fs::write(&partial, &one[..one.len() - 1600]).unwrap();
        let shards = open(folder);
        assert!(!folder.join("done/a.jsonl").exists(), "its crops are lost, so it is done again");
        add(&shards, folder, "a").unwrap();
        shards.finish().unwrap();
        assert_eq!(names(folder, 2).len(), 4);
    }

    /// On a file system without locks, a run may take another for dead: it then damages no crop of the other.
    #[test]
    fn two_runs_at_once_damage_no_archive() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        let silent = open(folder);
        add(&silent, folder, "a").unwrap();
        let other = open(folder);
        add(&other, folder, "b").unwrap();
        add(&silent, folder, "c").unwrap();
        other.finish().unwrap();
        assert!(matches!(silent.finish(), Err(ExtractError::Data(DataError::ShardTaken { .. }))));
        let mut presence = Presence::default();
        let mut is_whole =
            |key: &str| presence.has_all(&read_manifest(folder.join(format!("done/{key}.jsonl"))).unwrap());
        assert!(is_whole("a") && is_whole("b"));
        assert!(!is_whole("c"), "a rerun does it again");
    }

    #[test]
    fn crops_whose_part_cannot_be_written_are_removed() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        let shards = open(folder);
        add(&shards, folder, "a").unwrap();
        let mut rows = [Sample::new("b-0.png", Label::Real, "b")];
        let failed = shards.add(&mut rows, &[vec![1; 50]], |_| Err(ExtractError::CropsGone));
        assert!(failed.is_err());
        shards.finish().unwrap();
        assert_eq!(names(folder, 0), ["a-0.json", "a-0.png", "a-1.json", "a-1.png"]);
    }
}
