//! How far an extraction is, on one machine or on several.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt;
use std::fs;
use std::io::{self, Read as _, Seek as _, SeekFrom};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use deeptell_data::Sample;
use deeptell_files::{FolderLock, name_below, read_bounded, read_text_bounded};
use serde::Serialize;

use crate::parts::{FAILED, MAX_FAILURE_BYTES, PART, recorded_length};
use crate::settings::MAX_SETTINGS_BYTES;
use crate::shard::{MAX_SHARDS, PLACE};
use crate::store::key;
use crate::{ExtractError, Failure, FailureReason, SETTINGS_FILE, Settings, Shard, ShardChoice};

/// Name of the manifest and of the list of failures in an output folder.
pub(crate) const MANIFEST: &str = "manifest.jsonl";
pub(crate) const FAILURES: &str = "failures.jsonl";
/// The largest list of failures that is read, in bytes: millions of files.
const MAX_FAILURES_BYTES: u64 = 1 << 30;

/// How far an extraction is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Status {
    /// The output folder, or the folder of those of the shards.
    #[serde(serialize_with = "deeptell_files::serialize_path")]
    pub folder: PathBuf,
    /// Whether nothing is missing. Files that failed are not missing.
    pub is_finished: bool,
    /// Files with crops.
    pub done: usize,
    /// Files that failed, by reason.
    pub failed: BTreeMap<FailureReason, usize>,
    /// Files that no run has tried yet; unknown without the data set.
    pub waiting: Option<usize>,
    /// The last change of anything, in seconds since 1970, UTC.
    pub changed_unix_seconds: Option<u64>,
    /// Indices of the shards to submit again, as for Slurm's `--array`: `3,17-19`. Empty when there are
    /// none.
    pub resubmit: String,
    /// How many shards the data set has; `None` when it is not divided.
    pub count: Option<u64>,
    /// Every shard, in order; for a folder of one shard, that one, and one for an extraction that is not
    /// divided.
    pub shards: Vec<ShardStatus>,
}

/// How far one shard is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct ShardStatus {
    /// Its index, from 0; 0 also when the data set is not divided.
    pub index: u64,
    /// Its output folder; `None` for one that has not begun.
    #[serde(serialize_with = "deeptell_files::serialize_optional_path")]
    pub folder: Option<PathBuf>,
    /// Where it stands.
    pub state: ShardState,
    /// Files with crops.
    pub done: usize,
    /// Files that failed, by reason.
    pub failed: BTreeMap<FailureReason, usize>,
    /// Files that no run has tried yet; unknown without the data set.
    pub waiting: Option<usize>,
    /// The last change, in seconds since 1970, UTC.
    pub changed_unix_seconds: Option<u64>,
}

/// Where a shard stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum ShardState {
    /// It has no folder.
    NotBegun,
    /// It has files to do, or no whole manifest, and no process works on it.
    Unfinished,
    /// A process works on it. On file systems without locks it counts as unfinished.
    Running,
    /// Its manifest is written and not cut off; where the data set is known, every file of it was tried.
    Finished,
}

impl ShardState {
    const ALL: [Self; 4] = [Self::Finished, Self::Running, Self::Unfinished, Self::NotBegun];
}

impl fmt::Display for ShardState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotBegun => "not begun",
            Self::Unfinished => "unfinished",
            Self::Running => "running",
            Self::Finished => "finished",
        })
    }
}

impl Status {
    /// Looks into `folder`: the output folder of an extraction or of a shard, or the folder that those of
    /// all shards are in, under any name. `data` is the data set and its [root](crate::root_of); without it, what
    /// is waiting is not known.
    ///
    /// Changes nothing, and may be called while shards are running.
    ///
    /// # Errors
    /// [`ExtractError::NoExtraction`], [`ExtractError::OtherDivision`] and [`ExtractError::SameShard`] for
    /// folders that do not belong together, [`ExtractError::Damaged`], [`ExtractError::Io`].
    pub fn read(folder: &Path, data: Option<(&[Sample], &Path)>) -> Result<Self, ExtractError> {
        let Division { count, indices, folders } = Division::of(folder)?;
        let shard_count = count.unwrap_or(1);
        let mut keys: Option<HashMap<u64, Vec<String>>> = data.map(|_| HashMap::new());
        if let (Some(keys), Some((samples, root))) = (&mut keys, data) {
            for sample in samples {
                let name = name_below(root, &sample.path);
                keys.entry(Shard::of(&name, shard_count).part).or_default().push(key(&name));
            }
        }
        let mut shards = Vec::new();
        for index in indices {
            let of_data = keys.as_ref().map(|keys| keys.get(&index).map_or(&[][..], Vec::as_slice));
            shards.push(ShardStatus::read(index, folders.get(&index), of_data)?);
        }
        let mut failed = BTreeMap::new();
        for (reason, files) in shards.iter().flat_map(|shard| &shard.failed) {
            *failed.entry(*reason).or_insert(0) += files;
        }
        let again = |shard: &&ShardStatus| {
            matches!(shard.state, ShardState::NotBegun | ShardState::Unfinished) && count.is_some()
        };
        let again: Vec<u64> = shards.iter().filter(again).map(|shard| shard.index).collect();
        Ok(Self {
            folder: folder.to_path_buf(),
            is_finished: shards.iter().all(|shard| shard.state == ShardState::Finished),
            done: shards.iter().map(|shard| shard.done).sum(),
            failed,
            waiting: shards.iter().map(|shard| shard.waiting).sum(),
            changed_unix_seconds: shards.iter().filter_map(|shard| shard.changed_unix_seconds).max(),
            resubmit: ranges(&again),
            count,
            shards,
        })
    }

    /// How to finish what is not running, in words; empty when nothing is left to be run.
    pub fn advice(&self) -> String {
        let Some(count) = self.count else {
            let is_left = self.shards.iter().any(|shard| shard.state == ShardState::Unfinished);
            return if is_left { "run the extraction again".to_owned() } else { String::new() };
        };
        let first = self.resubmit.split([',', '-']).next().unwrap_or_default();
        if first.is_empty() {
            return String::new();
        }
        let shards = if first == self.resubmit { "shard" } else { "shards" };
        format!(
            "run {shards} {again} of {count} again: --array={again} for Slurm, `kubectl replace --force` of the Job for \
             Kubernetes, --shard-index {first} --shards {count} by hand",
            again = self.resubmit
        )
    }
}

/// The text of `deeptell status`.
impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(count) = self.count {
            let states = ShardState::ALL.into_iter().filter_map(|state| {
                let shards = self.shards.iter().filter(|shard| shard.state == state).count();
                (shards > 0).then(|| format!("{shards} {state}"))
            });
            writeln!(f, "{}: {}", counted(count as usize, "shard"), states.collect::<Vec<_>>().join(", "))?;
        } else if let [shard] = self.shards.as_slice() {
            writeln!(f, "{}", shard.state)?;
        }
        writeln!(f, "files: {}", files(self.done, &self.failed, self.waiting))?;
        if let Some(changed) = self.changed_unix_seconds {
            writeln!(f, "last change: {} ago", age(changed))?;
        }
        let left = self.shards.iter().filter(|shard| shard.state != ShardState::Finished);
        let left: Vec<&ShardStatus> = left.collect();
        if self.count.is_some() {
            for shard in left.iter().take(SHOWN) {
                write!(f, "  shard {}: {}", shard.index, shard.state)?;
                if shard.folder.is_some() {
                    write!(f, ", {}", files(shard.done, &shard.failed, shard.waiting))?;
                }
                if let Some(changed) = shard.changed_unix_seconds {
                    write!(f, ", last change {} ago", age(changed))?;
                }
                writeln!(f)?;
            }
            if left.len() > SHOWN {
                writeln!(f, "  and {} more", left.len() - SHOWN)?;
            }
        }
        let advice = self.advice();
        if !advice.is_empty() {
            writeln!(f, "to finish, {advice}; files that are done are kept")?;
        }
        Ok(())
    }
}

/// Shards that are listed one by one.
const SHOWN: usize = 20;

/// Files that are done, failed and waiting, in words.
fn files(done: usize, failed: &BTreeMap<FailureReason, usize>, waiting: Option<usize>) -> String {
    let reasons: Vec<String> = failed.iter().map(|(reason, files)| format!("{files} {reason}")).collect();
    let mut parts = vec![format!("{done} done"), format!("{} failed", failed.values().sum::<usize>())];
    if !reasons.is_empty() {
        parts[1] = format!("{} ({})", parts[1], reasons.join(", "));
    }
    parts.extend(waiting.map(|waiting| format!("{waiting} waiting")));
    parts.join(", ")
}

/// A number of things, in words.
pub(crate) fn counted(count: usize, one: &str) -> String {
    format!("{count} {one}{}", if count == 1 { "" } else { "s" })
}

/// The time since then, in words.
fn age(unix_seconds: u64) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.as_secs());
    let seconds = now.saturating_sub(unix_seconds);
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7200 => format!("{} min", seconds / 60),
        7200..172_800 => format!("{} h", seconds / 3600),
        _ => format!("{} days", seconds / 86_400),
    }
}

/// Numbers in ascending order as a list of ranges: `3,17-19`.
pub(crate) fn ranges(numbers: &[u64]) -> String {
    let mut ranges: Vec<(u64, u64)> = Vec::new();
    for &number in numbers {
        match ranges.last_mut() {
            Some((_, last)) if *last + 1 == number => *last = number,
            _ => ranges.push((number, number)),
        }
    }
    let words = ranges.iter().map(
        |&(first, last)| {
            if first == last { first.to_string() } else { format!("{first}-{last}") }
        },
    );
    words.collect::<Vec<_>>().join(",")
}

/// Which output folders belong together.
struct Division {
    /// How many shards the data set has; `None` when it is not divided.
    count: Option<u64>,
    /// The shards to examine.
    indices: Range<u64>,
    /// The output folders by their shard, as far as they have begun.
    folders: BTreeMap<u64, PathBuf>,
}

impl Division {
    /// What is at `folder`, or in it.
    fn of(folder: &Path) -> Result<Self, ExtractError> {
        let none = || ExtractError::NoExtraction { folder: folder.to_path_buf() };
        if let Some(settings) = settings_of(folder)? {
            let count = settings.shard.map(|shard| shard.count);
            let index = settings.shard.map_or(0, |shard| shard.part);
            let folders = [(index, folder.to_path_buf())].into();
            return Ok(Self { count, indices: index..index + 1, folders });
        }
        if !folder.is_dir() {
            return Err(none());
        }
        let mut entries = Vec::new();
        for entry in fs::read_dir(folder).map_err(ExtractError::io(folder))? {
            entries.push(entry.map_err(ExtractError::io(folder))?.path());
        }
        entries.sort();
        let mut folders: BTreeMap<u64, PathBuf> = BTreeMap::new();
        let mut first: Option<(u64, PathBuf)> = None;
        for path in entries {
            let Some(settings) = settings_of(&path)? else { continue };
            let Some(shard) = settings.shard else { return Err(ExtractError::NotAShard { folder: path }) };
            let (count, one) = first.get_or_insert_with(|| (shard.count, path.clone()));
            if *count != shard.count {
                return Err(ExtractError::OtherDivision { one: one.clone(), other: path });
            }
            if let Some(one) = folders.insert(shard.part, path.clone()) {
                return Err(ExtractError::SameShard { index: shard.part, one, other: path });
            }
        }
        let (count, _) = first.ok_or_else(none)?;
        Ok(Self { count: Some(count), indices: 0..count, folders })
    }
}

/// The output folder of a shard, as [`ShardChoice::output`] names it. It must not lie beside shards of another division.
///
/// # Errors
/// As [`ShardChoice::output`]; [`ExtractError::OtherCount`] when a folder that `template` also names is of another number of
/// shards, [`ExtractError::Io`].
pub fn folder_of_shard(
    choice: &ShardChoice,
    template: &Path,
    shard: Option<Shard>,
) -> Result<PathBuf, ExtractError> {
    let folder = choice.output(template, shard)?;
    let name = template.file_name().map(|name| name.to_string_lossy());
    let (Some((before, after)), Some(shard), Some(parent)) = (
        name.as_ref().and_then(|name| name.split_once(PLACE)),
        shard,
        folder.parent().filter(|it| it.is_dir()),
    ) else {
        return Ok(folder);
    };
    let is_shard = |name: &str| {
        let index = name.strip_prefix(before).and_then(|name| name.strip_suffix(after));
        index.is_some_and(|index| index.parse::<u64>().is_ok())
    };
    for entry in fs::read_dir(parent).map_err(ExtractError::io(parent))? {
        let other = entry.map_err(ExtractError::io(parent))?.path();
        if !other.file_name().is_some_and(|name| is_shard(&name.to_string_lossy())) {
            continue;
        }
        // A damaged folder, or one being written, is reported by its own run.
        let Ok(Some(Settings { shard: Some(Shard { count, .. }), .. })) = settings_of(&other) else {
            continue;
        };
        if count != shard.count {
            return Err(ExtractError::OtherCount { other, before: count, now: shard.count });
        }
        // With many shards, reading all of their settings would take long.
        break;
    }
    Ok(folder)
}

/// The settings of an output folder; `None` for other folders.
fn settings_of(folder: &Path) -> Result<Option<Settings>, ExtractError> {
    let path = folder.join(SETTINGS_FILE);
    match fs::metadata(&path) {
        Ok(found) if found.is_file() => {}
        // A folder that may not be looked into may be a shard.
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
            return Err(ExtractError::io(&path)(error));
        }
        _ => return Ok(None),
    }
    let text = read_text_bounded(&path, MAX_SETTINGS_BYTES).map_err(ExtractError::io(&path))?;
    let settings: Settings =
        toml::from_str(&text).map_err(|error| ExtractError::damaged(&path, error.message()))?;
    if settings.shard.is_some_and(|shard| shard.part >= shard.count || shard.count > MAX_SHARDS) {
        return Err(ExtractError::damaged(&path, "no such shard"));
    }
    Ok(Some(settings))
}

impl ShardStatus {
    /// How far the shard in `folder` is, if it has begun. `of_data` are the keys of its files.
    fn read(index: u64, folder: Option<&PathBuf>, of_data: Option<&[String]>) -> Result<Self, ExtractError> {
        let Some(folder) = folder else {
            return Ok(Self {
                index,
                folder: None,
                state: ShardState::NotBegun,
                done: 0,
                failed: BTreeMap::new(),
                waiting: of_data.map(<[_]>::len),
                changed_unix_seconds: None,
            });
        };
        let is_running = FolderLock::is_held(folder)?;
        let Outcomes { done, failed } = Outcomes::read(folder)?;
        let mut reasons = BTreeMap::new();
        let mut count = |reason: FailureReason| *reasons.entry(reason).or_insert(0) += 1;
        let (done, waiting) = if let Some(keys) = of_data {
            let mut waiting = 0;
            let mut done_of_data = 0;
            for key in keys {
                if done.contains(key) {
                    done_of_data += 1;
                } else if let Some(reason) = failed.get(key) {
                    count(*reason);
                } else {
                    waiting += 1;
                }
            }
            (done_of_data, Some(waiting))
        } else {
            let failed = failed.iter().filter(|(key, _)| !done.contains(*key));
            failed.for_each(|(_, reason)| count(*reason));
            (done.len(), None)
        };
        let manifest = folder.join(MANIFEST);
        let state = if is_running {
            ShardState::Running
        } else if is_whole(folder)? && waiting.unwrap_or(0) == 0 {
            ShardState::Finished
        } else {
            ShardState::Unfinished
        };
        let changed =
            [manifest, folder.join("done"), folder.join(SETTINGS_FILE)].into_iter().filter_map(|path| {
                let changed = path.metadata().ok()?.modified().ok()?;
                Some(changed.duration_since(UNIX_EPOCH).ok()?.as_secs())
            });
        Ok(Self {
            index,
            state,
            done,
            failed: reasons,
            waiting,
            changed_unix_seconds: changed.max(),
            folder: Some(folder.clone()),
        })
    }
}

/// Whether the manifest of `folder` is there, as long as when it was written, and ends with a whole line.
fn is_whole(folder: &Path) -> Result<bool, ExtractError> {
    let manifest = folder.join(MANIFEST);
    if !manifest.is_file() {
        return Ok(false);
    }
    let recorded = recorded_length(folder).unwrap_or(0);
    let last_byte = || {
        let mut file = fs::File::open(&manifest)?;
        let length = file.metadata()?.len();
        if length == 0 || length < recorded {
            return Ok(None);
        }
        file.seek(SeekFrom::End(-1))?;
        let mut last = [0];
        file.read_exact(&mut last)?;
        Ok(Some(last[0]))
    };
    Ok(last_byte().map_err(ExtractError::io(&manifest))? == Some(b'\n'))
}

/// The results of the files that were tried, by their keys.
#[derive(Default)]
struct Outcomes {
    done: HashSet<String>,
    failed: HashMap<String, FailureReason>,
}

impl Outcomes {
    fn read(folder: &Path) -> Result<Self, ExtractError> {
        let mut outcomes = Self::default();
        // Earlier versions listed failures, and recorded them nowhere else.
        for failure in read_failures(&folder.join(FAILURES))? {
            outcomes.failed.insert(key(&failure.file), failure.reason);
        }
        let done = folder.join("done");
        if !done.is_dir() {
            return Ok(outcomes);
        }
        for entry in fs::read_dir(&done).map_err(ExtractError::io(&done))? {
            let path = entry.map_err(ExtractError::io(&done))?.path();
            let Some(key) = path.file_stem().map(|key| key.to_string_lossy().into_owned()) else { continue };
            if path.extension().is_some_and(|end| end == PART) {
                outcomes.done.insert(key);
            } else if path.extension().is_some_and(|end| end == FAILED) {
                // Another process may be removing it, or have written half of it: then it is waiting.
                let failure = read_bounded(&path, MAX_FAILURE_BYTES).ok();
                let failure = failure.and_then(|text| serde_json::from_slice(&text).ok());
                outcomes.failed.extend(failure.map(|failure: Failure| (key, failure.reason)));
            }
        }
        Ok(outcomes)
    }
}

/// The rows of a list of failures; none where there is no list.
pub(crate) fn read_failures(path: &Path) -> Result<Vec<Failure>, ExtractError> {
    if !path.is_file() {
        return Ok(Vec::new());
    }
    let text = read_text_bounded(path, MAX_FAILURES_BYTES).map_err(ExtractError::io(path))?;
    let row = |line: &str| {
        serde_json::from_str(line).map_err(|error| ExtractError::DamagedFailures {
            path: path.to_path_buf(),
            reason: error.to_string(),
        })
    };
    text.lines().map(row).collect()
}

/// The manifests of the extraction in `folder`, in the order of its shards, once all of them are
/// finished. Arguments are those of [`Status::read`].
///
/// # Errors
/// [`ExtractError::Unfinished`], which says how to finish it; others as [`Status::read`].
pub fn finished_manifests(
    folder: &Path,
    data: Option<(&[Sample], &Path)>,
) -> Result<Vec<PathBuf>, ExtractError> {
    let status = Status::read(folder, data)?;
    if !status.is_finished {
        return Err(ExtractError::Unfinished(Box::new(status)));
    }
    let folders = status.shards.into_iter().filter_map(|shard| shard.folder);
    Ok(folders.map(|folder| folder.join(MANIFEST)).collect())
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;
    use crate::parts::Parts;

    #[test]
    fn files_that_are_too_large_are_refused_or_ignored() {
        let folder = tempfile::tempdir().unwrap();
        let sparse = |name: &str, max: u64| {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::File::create(path).unwrap().set_len(2 * max).unwrap();
        };
        let is_too_large = |error: &ExtractError| match error {
            ExtractError::Io { source, .. } => source.kind() == io::ErrorKind::FileTooLarge,
            _ => false,
        };
        sparse(SETTINGS_FILE, MAX_SETTINGS_BYTES);
        let error = Status::read(folder.path(), None).unwrap_err();
        assert!(is_too_large(&error), "{error}");
        sparse("done/0123456789ab.failed", MAX_FAILURE_BYTES);
        assert!(Outcomes::read(folder.path()).unwrap().failed.is_empty(), "it is tried again");
        assert!(Parts::open(folder.path()).unwrap().failure("0123456789ab").unwrap().is_none());
        sparse(FAILURES, MAX_FAILURES_BYTES);
        let error = read_failures(&folder.path().join(FAILURES)).unwrap_err();
        assert!(is_too_large(&error), "{error}");
    }

    #[test]
    fn numbers_are_written_as_slurm_reads_them() {
        assert_eq!(ranges(&[]), "");
        assert_eq!(ranges(&[3]), "3");
        assert_eq!(ranges(&[0, 1, 2, 5, 7, 8]), "0-2,5,7-8");
    }
}
