//! Dividing the work among machines.

use std::path::{Path, PathBuf};
use std::str::FromStr;

use deeptell_files::{name_below, sha256};
use serde::{Deserialize, Serialize};

/// One shard of a data set, for one of several machines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shard {
    /// From 0.
    pub part: u64,
    /// How many machines there are.
    pub count: u64,
}

impl FromStr for Shard {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let numbers = text.split_once('/').and_then(|(part, count)| {
            let (part, count) = (part.parse::<u64>().ok()?, count.parse::<u64>().ok()?);
            ((1..=count).contains(&part) && count <= MAX_SHARDS).then(|| Self { part: part - 1, count })
        });
        numbers.ok_or_else(|| {
            format!("expected PART/COUNT, such as 1/3, 2/3 and 3/3, and at most {MAX_SHARDS} shards")
        })
    }
}

impl Shard {
    /// Whether the file, which is below `root`, belongs to this shard.
    pub fn takes(self, root: &Path, path: &Path) -> bool {
        Self::of(&name_below(root, path), self.count) == self
    }

    /// The shard, one of `count`, of the file of this name, by which all machines know it.
    ///
    /// # Panics
    /// If `count` is 0.
    pub fn of(name: &str, count: u64) -> Self {
        let hash = sha256(name.as_bytes());
        // Sixteen hexadecimal digits always are a number.
        let hash = u64::from_str_radix(&hash[..16], 16).unwrap_or_default();
        Self { part: hash % count, count }
    }
}

/// Which shard to process, as the options of a program say.
///
/// ```
/// use deeptell_extract::{ShardChoice, TaskIndex};
///
/// let mut choice = ShardChoice::default();
/// (choice.shard_index, choice.shards) = (Some(TaskIndex::Auto), Some(64));
/// let variable = |name: &str| (name == "SLURM_ARRAY_TASK_ID").then(|| "7".to_owned());
/// assert_eq!(choice.resolve(variable)?.map(|shard| shard.part), Some(7));
/// # Ok::<(), deeptell_extract::ShardError>(())
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[cfg_attr(feature = "clap", derive(clap::Args))]
#[non_exhaustive]
pub struct ShardChoice {
    /// Process only shard PART of COUNT, numbered from 1. Files are assigned by a hash of their path,
    /// which for data sets begins below the data set, so that all machines agree.
    #[cfg_attr(feature = "clap", arg(long, value_name = "PART/COUNT"))]
    pub shard: Option<Shard>,
    /// Process only the shard of this index, from 0. `auto` takes the index of a task of an array from
    /// Slurm, Kubernetes, AWS Batch, Cloud Run, PBS or Grid Engine.
    #[cfg_attr(
        feature = "clap",
        arg(long, value_name = "auto|INDEX", requires = "shards", conflicts_with = "shard")
    )]
    pub shard_index: Option<TaskIndex>,
    /// Number of shards. Tasks that are submitted again must use the same number.
    #[cfg_attr(
        feature = "clap",
        arg(long, value_name = "COUNT", requires = "shard_index", value_parser = clap::value_parser!(u64).range(1..=1_000_000))
    )]
    pub shards: Option<u64>,
}

impl ShardChoice {
    /// The shard; `None` where everything is to be processed. `variable` gives the variables of the
    /// environment, of which [`TaskIndex::Auto`] needs some.
    ///
    /// # Errors
    /// When there is no such shard, or the environment names none.
    pub fn resolve(&self, variable: impl Fn(&str) -> Option<String>) -> Result<Option<Shard>, ShardError> {
        let (Some(index), Some(count)) = (self.shard_index, self.shards) else { return Ok(self.shard) };
        let part = match index {
            TaskIndex::Auto => index_of_task(count, variable)?,
            TaskIndex::Number(index) if index >= count => return Err(ShardError::Beyond { index, count }),
            TaskIndex::Number(index) => index,
        };
        Ok(Some(Shard { part, count }))
    }

    /// The path of an output of this shard: [`path_of_shard`].
    ///
    /// # Errors
    /// As [`path_of_shard`], and [`ShardError::OneName`] when all tasks of an array, which run the same command, would
    /// write the same file.
    pub fn output(&self, path: &Path, shard: Option<Shard>) -> Result<PathBuf, ShardError> {
        let is_array =
            self.shard_index == Some(TaskIndex::Auto) && shard.is_some_and(|shard| shard.count > 1);
        if is_array && path != Path::new("-") && !path.to_string_lossy().contains(PLACE) {
            return Err(ShardError::OneName { path: path.to_owned() });
        }
        path_of_shard(path, shard)
    }
}

/// Where the index of a shard comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TaskIndex {
    /// From the scheduler of which this process is a task.
    Auto,
    /// From the user.
    Number(u64),
}

impl FromStr for TaskIndex {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "auto" {
            return Ok(Self::Auto);
        }
        text.parse().map(Self::Number).map_err(|_| "expected `auto`, or a number from 0".to_owned())
    }
}

/// `path` with the index of the shard in place of each `{shard}`.
///
/// # Errors
/// [`ShardError::NoShard`] when there is no shard to name, [`ShardError::NotUnicode`].
pub fn path_of_shard(path: &Path, shard: Option<Shard>) -> Result<PathBuf, ShardError> {
    let text = path.to_string_lossy();
    if !text.contains(PLACE) {
        return Ok(path.to_owned());
    }
    let path = || path.to_owned();
    let Some(shard) = shard else { return Err(ShardError::NoShard { path: path() }) };
    if text.contains(char::REPLACEMENT_CHARACTER) {
        return Err(ShardError::NotUnicode { path: path() });
    }
    Ok(text.replace(PLACE, &shard.part.to_string()).into())
}

/// The largest number of shards.
pub(crate) const MAX_SHARDS: u64 = 1_000_000;

/// What stands for the index of a shard in paths.
pub(crate) const PLACE: &str = "{shard}";

/// Why it is not known which shard to process.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ShardError {
    /// There are fewer shards.
    #[error("there is no shard {index}: --shards {count} has the indices 0 to {}", count - 1)]
    Beyond {
        /// The index.
        index: u64,
        /// How many shards there are.
        count: u64,
    },
    /// No scheduler has set an index.
    #[error(
        "no scheduler says which task this is (none of {} is set): submit the command as an array, or pass the index, as \
         in --shard-index 0",
        variables()
    )]
    NoIndex,
    /// The scheduler has set something other than a number.
    #[error("{variable} is `{value}`, which is not a number: pass the index, as in --shard-index 0")]
    NotANumber {
        /// The variable.
        variable: &'static str,
        /// What it holds.
        value: String,
    },
    /// The array has tasks without a shard.
    #[error(
        "{variable} is {value}, which does not fit --shards {count}: for {scheduler}, submit with {array}"
    )]
    OtherArray {
        /// The scheduler.
        scheduler: &'static str,
        /// The variable.
        variable: &'static str,
        /// What it holds.
        value: u64,
        /// How many shards there are.
        count: u64,
        /// What a fitting array is submitted with.
        array: String,
    },
    /// All shards would write the same file.
    #[error("{}: every shard would write this: put {PLACE} into the name, as in scan-{PLACE}.jsonl", path.display())]
    OneName {
        /// The path.
        path: PathBuf,
    },
    /// A path names the shard where there is none.
    #[error("{}: {PLACE} needs a shard: pass --shard-index and --shards, or --shard", path.display())]
    NoShard {
        /// The path.
        path: PathBuf,
    },
    /// A path in which the shard is named is not Unicode.
    #[error("{}: a path with {PLACE} must be Unicode: rename the folder", path.display())]
    NotUnicode {
        /// The path.
        path: PathBuf,
    },
}

/// A scheduler that numbers the tasks of an array.
struct Scheduler {
    name: &'static str,
    /// The variable with the index of a task.
    index: &'static str,
    /// The index of the first task of a whole array.
    first: u64,
    /// The variable that says where the array ends.
    end: Option<End>,
    /// What an array is submitted with; `LAST` and `COUNT` stand for numbers.
    array: &'static str,
}

/// A variable that says where an array ends.
enum End {
    /// The highest index.
    Last(&'static str),
    /// The number of tasks; all of them always run.
    Count(&'static str),
}

/// The schedulers, in the order in which they are looked for.
///
/// The number of tasks says nothing about the number of shards: of 64 tasks, two may be submitted again.
const SCHEDULERS: [Scheduler; 7] = [
    Scheduler {
        name: "Slurm",
        index: "SLURM_ARRAY_TASK_ID",
        first: 0,
        end: Some(End::Last("SLURM_ARRAY_TASK_MAX")),
        array: "--array=0-LAST",
    },
    Scheduler {
        name: "Kubernetes",
        index: "JOB_COMPLETION_INDEX",
        first: 0,
        end: None,
        array: "`completions: COUNT`",
    },
    Scheduler {
        name: "AWS Batch",
        index: "AWS_BATCH_JOB_ARRAY_INDEX",
        first: 0,
        end: Some(End::Count("AWS_BATCH_JOB_ARRAY_SIZE")),
        array: "--array-properties size=COUNT",
    },
    Scheduler {
        name: "Cloud Run",
        index: "CLOUD_RUN_TASK_INDEX",
        first: 0,
        end: Some(End::Count("CLOUD_RUN_TASK_COUNT")),
        array: "--tasks COUNT",
    },
    Scheduler { name: "PBS", index: "PBS_ARRAY_INDEX", first: 0, end: None, array: "-J 0-LAST" },
    Scheduler { name: "Torque", index: "PBS_ARRAYID", first: 0, end: None, array: "-t 0-LAST" },
    Scheduler {
        name: "Grid Engine",
        index: "SGE_TASK_ID",
        first: 1,
        end: Some(End::Last("SGE_TASK_LAST")),
        array: "-t 1-LAST",
    },
];

/// The names of the variables that hold an index.
fn variables() -> String {
    SCHEDULERS.map(|scheduler| scheduler.index).join(", ")
}

/// The index of the shard among `count` that this task is for.
fn index_of_task(count: u64, variable: impl Fn(&str) -> Option<String>) -> Result<u64, ShardError> {
    // Grid Engine sets `undefined` outside of arrays.
    let value = |name: &str| variable(name).filter(|value| !value.is_empty() && value != "undefined");
    let found = SCHEDULERS.iter().find_map(|scheduler| Some((scheduler, value(scheduler.index)?)));
    let Some((scheduler, text)) = found else { return Err(ShardError::NoIndex) };
    let Scheduler { name, index, first, end, array } = scheduler;
    let number = |variable: &'static str, text: String| {
        text.parse::<u64>().map_err(|_| ShardError::NotANumber { variable, value: text })
    };
    let last = first + count - 1;
    let misfit = |variable, value| {
        let array = array.replace("LAST", &last.to_string()).replace("COUNT", &count.to_string());
        Err(ShardError::OtherArray { scheduler: name, variable, value, count, array })
    };
    match end {
        Some(End::Last(variable)) => {
            if let Some(text) = value(variable) {
                let end = number(variable, text)?;
                if end > last {
                    return misfit(variable, end);
                }
            }
        }
        Some(End::Count(variable)) => {
            if let Some(text) = value(variable) {
                let tasks = number(variable, text)?;
                if tasks != count {
                    return misfit(variable, tasks);
                }
            }
        }
        None => {}
    }
    let task = number(index, text)?;
    if !(*first..=last).contains(&task) {
        return misfit(index, task);
    }
    Ok(task - first)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_is_in_one_shard_wherever_the_data_set_lies() {
        let shards: Vec<Shard> = (1..=3).map(|part| format!("{part}/3").parse().unwrap()).collect();
        let mut counts = [0; 3];
        for number in 0..300 {
            let takers = |root: &str| {
                let path = Path::new(root).join("real").join(format!("{number}.mp4"));
                let takes = |shard: &Shard| shard.takes(Path::new(root), &path);
                shards.iter().map(takes).collect::<Vec<_>>()
            };
            let takes = takers("/data/set");
            assert_eq!(takes, takers("elsewhere"));
            assert_eq!(takes.iter().filter(|takes| **takes).count(), 1);
            counts[takes.iter().position(|takes| *takes).unwrap()] += 1;
        }
        assert!(counts.iter().all(|count| (70..130).contains(count)), "{counts:?}");
        for wrong in ["", "1", "0/3", "4/3", "1/0", "a/b", "1/2/3", "-1/3"] {
            assert!(wrong.parse::<Shard>().is_err(), "{wrong}");
        }
    }

    fn choice(index: &str, count: u64) -> ShardChoice {
        ShardChoice { shard: None, shard_index: Some(index.parse().unwrap()), shards: Some(count) }
    }

    /// The shard of a task in which these variables are set.
    fn auto(count: u64, variables: &[(&str, &str)]) -> Result<u64, ShardError> {
        let known = |name: &str| {
            variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
        };
        Ok(choice("auto", count).resolve(known)?.unwrap().part)
    }

    #[test]
    fn an_index_counts_from_0_and_a_part_from_1() {
        let none = |_: &str| None;
        let both = ShardChoice { shard: Some("3/64".parse().unwrap()), ..ShardChoice::default() };
        assert_eq!(both.resolve(none).unwrap(), choice("2", 64).resolve(none).unwrap());
        assert_eq!(ShardChoice::default().resolve(none).unwrap(), None);
        let beyond = choice("64", 64).resolve(none).unwrap_err();
        assert!(beyond.to_string().contains("--shards 64 has the indices 0 to 63"), "{beyond}");
        for wrong in ["", "one", "-1", "1.5"] {
            assert!(wrong.parse::<TaskIndex>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn tasks_of_an_array_must_not_write_the_same_file() {
        let shard = |count| Some(Shard { part: 1, count });
        let array = ShardChoice { shard_index: Some(TaskIndex::Auto), shards: Some(4), shard: None };
        let refused = array.output(Path::new("all.jsonl"), shard(4)).unwrap_err();
        assert!(refused.to_string().contains("scan-{shard}.jsonl"), "{refused}");
        assert_eq!(array.output(Path::new("{shard}.jsonl"), shard(4)).unwrap(), Path::new("1.jsonl"));
        assert_eq!(array.output(Path::new("-"), shard(4)).unwrap(), Path::new("-"));
        assert_eq!(array.output(Path::new("all.jsonl"), shard(1)).unwrap(), Path::new("all.jsonl"));
        // Where the user numbers the shards, each command can name a file of its own.
        let numbered = choice("1", 4);
        assert_eq!(numbered.output(Path::new("second.jsonl"), shard(4)).unwrap(), Path::new("second.jsonl"));
    }

    #[test]
    fn the_index_of_each_scheduler_is_read() {
        assert_eq!(auto(64, &[("SLURM_ARRAY_TASK_ID", "7"), ("SLURM_ARRAY_TASK_MAX", "63")]).unwrap(), 7);
        assert_eq!(auto(64, &[("JOB_COMPLETION_INDEX", "0")]).unwrap(), 0);
        assert_eq!(
            auto(64, &[("AWS_BATCH_JOB_ARRAY_INDEX", "63"), ("AWS_BATCH_JOB_ARRAY_SIZE", "64")]).unwrap(),
            63
        );
        assert_eq!(auto(64, &[("CLOUD_RUN_TASK_INDEX", "5"), ("CLOUD_RUN_TASK_COUNT", "64")]).unwrap(), 5);
        assert_eq!(auto(64, &[("PBS_ARRAY_INDEX", "12")]).unwrap(), 12);
        assert_eq!(auto(64, &[("PBS_ARRAYID", "12")]).unwrap(), 12);
        // Grid Engine counts from 1, also when only some tasks are submitted again.
        assert_eq!(auto(64, &[("SGE_TASK_ID", "1"), ("SGE_TASK_LAST", "64")]).unwrap(), 0);
        assert_eq!(
            auto(64, &[("SGE_TASK_ID", "9"), ("SGE_TASK_FIRST", "7"), ("SGE_TASK_LAST", "12")]).unwrap(),
            8
        );
        // Two tasks of 64 that are submitted again are the same shards as before.
        let again = [
            ("SLURM_ARRAY_TASK_ID", "12"),
            ("SLURM_ARRAY_TASK_COUNT", "2"),
            ("SLURM_ARRAY_TASK_MIN", "7"),
            ("SLURM_ARRAY_TASK_MAX", "12"),
        ];
        assert_eq!(auto(64, &again).unwrap(), 12);
        // A task of no array, on machines of Grid Engine.
        assert!(matches!(auto(64, &[("SGE_TASK_ID", "undefined")]), Err(ShardError::NoIndex)));
    }

    #[test]
    fn a_wrong_array_is_refused_by_each_of_its_tasks() {
        let said = |count, variables: &[_]| auto(count, variables).unwrap_err().to_string();
        let none = said(64, &[("HOME", "/root")]);
        assert!(none.contains("--shard-index 0") && none.contains("CLOUD_RUN_TASK_INDEX"), "{none}");
        // From 1 to 64: without the error, nobody would notice that no task does shard 0.
        let from_one = [("SLURM_ARRAY_TASK_ID", "1"), ("SLURM_ARRAY_TASK_MAX", "64")];
        let from_one = said(64, &from_one);
        assert!(
            from_one.contains("SLURM_ARRAY_TASK_MAX is 64") && from_one.contains("--array=0-63"),
            "{from_one}"
        );
        let long = said(8, &[("CLOUD_RUN_TASK_INDEX", "0"), ("CLOUD_RUN_TASK_COUNT", "9")]);
        assert!(long.contains("CLOUD_RUN_TASK_COUNT is 9") && long.contains("--tasks 8"), "{long}");
        let beyond = said(8, &[("PBS_ARRAY_INDEX", "8")]);
        assert!(beyond.contains("PBS_ARRAY_INDEX is 8") && beyond.contains("-J 0-7"), "{beyond}");
        let zero = said(8, &[("SGE_TASK_ID", "0")]);
        assert!(zero.contains("SGE_TASK_ID is 0") && zero.contains("-t 1-8"), "{zero}");
        let text = said(8, &[("JOB_COMPLETION_INDEX", "a"), ("SGE_TASK_ID", "1")]);
        assert!(text.contains("JOB_COMPLETION_INDEX is `a`"), "{text}");
    }

    #[test]
    fn the_number_of_the_shard_goes_into_paths() {
        let shard = Some("8/64".parse().unwrap());
        let path = |path: &str, shard| path_of_shard(Path::new(path), shard);
        assert_eq!(path("parts/{shard}", shard).unwrap(), Path::new("parts/7"));
        assert_eq!(path("{shard}/{shard}.jsonl", shard).unwrap(), Path::new("7/7.jsonl"));
        assert_eq!(path("parts", shard).unwrap(), Path::new("parts"));
        assert_eq!(path("parts", None).unwrap(), Path::new("parts"));
        let said = path("parts/{shard}", None).unwrap_err().to_string();
        assert!(said.contains("parts/{shard}") && said.contains("--shard-index"), "{said}");
    }
}
