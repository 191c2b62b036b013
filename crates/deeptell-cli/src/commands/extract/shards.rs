//! Crops in tar archives: `shards/crops-000000.tar` and so on.
//!
//! The crops of one input follow each other in one archive, and its part under `done/` is written
//! while nothing else is added. So whatever a kill leaves behind the last crop that a part names
//! belongs to no part, and can be cut off.

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use anyhow::Context as _;
use deeptell_data::{Sample, ShardWriter, read_manifest};

/// The archives of one extraction, of which one is open.
pub(super) struct Shards {
    folder: PathBuf,
    /// An archive ends before it grows beyond this, unless one input alone does.
    most_bytes: u64,
    open: Mutex<Open>,
}

struct Open {
    /// Number of the next archive.
    next: usize,
    shard: Option<ShardWriter>,
}

impl Shards {
    /// Begins, or goes on where an interrupted run stopped; `done` holds the parts of the inputs
    /// whose crops must be there.
    pub(super) fn open(folder: PathBuf, done: &Path, most_bytes: u64) -> anyhow::Result<Self> {
        fs::create_dir_all(&folder).with_context(|| format!("cannot create {}", folder.display()))?;
        let mut next = 0;
        let mut interrupted = None;
        for entry in fs::read_dir(&folder).with_context(|| format!("cannot read {}", folder.display()))? {
            let name = entry?.file_name();
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
                interrupted = Some(number);
            }
        }
        let shard = interrupted.map(|number| recover(&shard_path(&folder, number), done)).transpose()?;
        Ok(Self { folder, most_bytes, open: Mutex::new(Open { next, shard }) })
    }

    /// Adds the crops of one input, each picture with its row as JSON, and calls `finish` with the
    /// rows, whose paths then lead into the archive; before, they are the names of the members.
    ///
    /// Where `finish` fails, the crops are taken out again.
    pub(super) fn add(
        &self,
        rows: &mut [Sample],
        pictures: &[Vec<u8>],
        finish: impl FnOnce(&[Sample]) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        let names: Vec<(String, String)> = rows
            .iter()
            .map(|row| {
                (row.path.display().to_string(), row.path.with_extension("json").display().to_string())
            })
            .collect();
        let notes = rows.iter().map(serde_json::to_vec).collect::<Result<Vec<_>, _>>()?;
        let size = |bytes: &Vec<u8>| bytes.len().next_multiple_of(512) as u64 + 512;
        let bytes: u64 = pictures.iter().chain(&notes).map(size).sum();

        // What the lock guards is whole between any two statements that can fail.
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if open.shard.as_ref().is_some_and(|shard| shard.bytes() + bytes > self.most_bytes)
            && let Some(full) = open.shard.take()
        {
            full.finish()?;
        }
        let shard = if let Some(shard) = open.shard.take() {
            shard
        } else {
            let number = open.next;
            open.next += 1;
            ShardWriter::create(shard_path(&self.folder, number))?
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

    /// Ends the archive that is open: now every crop can be read.
    pub(super) fn finish(&self) -> anyhow::Result<()> {
        let shard = self.open.lock().unwrap_or_else(PoisonError::into_inner).shard.take();
        shard.map(ShardWriter::finish).transpose()?;
        Ok(())
    }
}

fn shard_path(folder: &Path, number: usize) -> PathBuf {
    folder.join(format!("crops-{number:06}.tar"))
}

/// Keeps the crops of an unfinished archive that parts name. A part whose crops did not all reach
/// the disk, as after a power cut, goes: its input is done again.
fn recover(path: &Path, done: &Path) -> anyhow::Result<ShardWriter> {
    let whole: HashSet<String> = ShardWriter::whole_members(path)?.into_iter().collect();
    let mut wanted = HashSet::new();
    for entry in fs::read_dir(done).with_context(|| format!("cannot read {}", done.display()))? {
        let part = entry?.path();
        if part.extension().is_none_or(|end| end != "jsonl") {
            continue;
        }
        let mut members = HashSet::new();
        for row in read_manifest(&part)? {
            if let Ok(member) = row.path.strip_prefix(path) {
                members.insert(member.display().to_string());
                members.insert(member.with_extension("json").display().to_string());
            }
        }
        if members.is_subset(&whole) {
            wanted.extend(members);
        } else {
            fs::remove_file(&part).with_context(|| format!("cannot remove {}", part.display()))?;
        }
    }
    Ok(ShardWriter::reopen(path, |member| wanted.contains(member))?)
}

#[cfg(test)]
mod tests {
    use deeptell_data::{Label, ShardIndex, read_contents, write_manifest};

    use super::*;

    /// Adds an input of two crops.
    fn add(shards: &Shards, folder: &Path, key: &str) -> anyhow::Result<()> {
        let mut rows: Vec<Sample> =
            (0..2).map(|i| Sample::new(format!("{key}-{i}.png"), Label::Real, key)).collect();
        let pictures = vec![key.as_bytes().repeat(100); 2];
        shards.add(&mut rows, &pictures, |rows| {
            Ok(write_manifest(folder.join("done").join(format!("{key}.jsonl")), rows)?)
        })
    }

    fn open(folder: &Path) -> Shards {
        bounded(folder, 1 << 20)
    }

    fn bounded(folder: &Path, most_bytes: u64) -> Shards {
        fs::create_dir_all(folder.join("done")).unwrap();
        Shards::open(folder.join("shards"), &folder.join("done"), most_bytes).unwrap()
    }

    fn names(folder: &Path, number: usize) -> Vec<String> {
        let index = ShardIndex::read(shard_path(&folder.join("shards"), number)).unwrap();
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
    fn what_a_kill_leaves_is_gone_on_with() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        let shards = open(folder);
        add(&shards, folder, "a").unwrap();
        let partial = folder.join("shards/crops-000000.tar.partial");
        let one = fs::read(&partial).unwrap();
        add(&shards, folder, "b").unwrap();
        let two = fs::read(&partial).unwrap();
        fs::remove_file(folder.join("done/b.jsonl")).unwrap();
        // Killed within the crops of the second input, and between them and its part.
        for length in [one.len(), one.len() + 700, two.len() - 1, two.len()] {
            fs::write(&partial, &two[..length]).unwrap();
            let shards = open(folder);
            assert!(folder.join("done/a.jsonl").is_file());
            assert_eq!(shards.open.lock().unwrap().shard.as_ref().unwrap().bytes(), one.len() as u64);
        }
        // A power cut can keep the part and lose the crops.
        fs::write(&partial, &one[..one.len() - 600]).unwrap();
        let shards = open(folder);
        assert!(!folder.join("done/a.jsonl").exists(), "its crops are lost, so it is done again");
        add(&shards, folder, "a").unwrap();
        shards.finish().unwrap();
        assert_eq!(names(folder, 0).len(), 4);
    }

    #[test]
    fn crops_without_a_part_are_taken_out_again() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        let shards = open(folder);
        add(&shards, folder, "a").unwrap();
        let mut rows = [Sample::new("b-0.png", Label::Real, "b")];
        let failed = shards.add(&mut rows, &[vec![1; 50]], |_| anyhow::bail!("disk full"));
        assert!(failed.is_err());
        shards.finish().unwrap();
        assert_eq!(names(folder, 0), ["a-0.json", "a-0.png", "a-1.json", "a-1.png"]);
    }
}
