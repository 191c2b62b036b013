//! `cargo xtask cluster`: the scripts of `deploy/` on a real Slurm or Ray of two nodes on this machine, with a
//! program, a worker and a node killed in the middle; the result must be that of one undisturbed run.

mod ray;
mod slurm;

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use crate::process::{run_step, succeeds};
use crate::sample::SAMPLE;
use crate::setup;
use crate::workspace::{Program, Workspace};

pub(crate) use slurm::is_installed as has_slurm;

/// What `cargo xtask cluster` was asked for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Request {
    pub(crate) engine: Engine,
    /// The program, if it is not to be built.
    pub(crate) program: Option<PathBuf>,
}

/// What runs the tasks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Engine {
    Slurm,
    Ray,
}

impl Engine {
    pub(crate) const ALL: [Self; 2] = [Self::Slurm, Self::Ray];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Slurm => "slurm",
            Self::Ray => "ray",
        }
    }
}

/// How many shards the sample is divided into.
const SHARDS: usize = 4;
/// More frames than by default, so that there is time to kill.
const OPTIONS: [&str; 2] = ["--frames", "48"];
/// The longest that anything may take: Slurm waits two minutes before it runs a task again.
const PATIENCE: Duration = Duration::from_mins(8);

/// One extraction that is to be disturbed.
struct Trial {
    program: PathBuf,
    data: PathBuf,
    /// Where everything is made.
    folder: PathBuf,
    began: Instant,
}

/// Runs it, and compares.
///
/// # Errors
/// When the cluster cannot be started, or the result is another one than that of an undisturbed run.
pub(crate) fn run(workspace: &Workspace, request: &Request) -> Result<()> {
    match request.engine {
        Engine::Slurm => setup::ensure_for_slurm()?,
        Engine::Ray => setup::ensure()?,
    }
    let program = match &request.program {
        Some(program) => program.clone(),
        None => workspace.build(Program::Deeptell)?,
    };
    let program = fs::canonicalize(&program).with_context(|| format!("no program {}", program.display()))?;
    let folder = workspace.root.join("target/cluster").join(request.engine.name());
    if folder.exists() {
        fs::remove_dir_all(&folder).with_context(|| format!("cannot remove {}", folder.display()))?;
    }
    fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let data = workspace.root.join(SAMPLE);
    let trial = Trial { program, data, folder, began: Instant::now() };
    let mut alone = Command::new(&trial.program);
    alone.args(["--quiet", "extract"]).arg(&trial.data).arg("--out").arg(trial.alone()).args(OPTIONS);
    run_step("alone", &mut alone)?;
    match request.engine {
        Engine::Slurm => slurm::run(workspace, &trial)?,
        Engine::Ray => ray::run(workspace, &trial)?,
    }
    trial.compare()
}

impl Trial {
    fn alone(&self) -> PathBuf {
        self.folder.join("alone")
    }

    fn out(&self) -> PathBuf {
        self.folder.join("out")
    }

    /// Prints what happens, and when.
    fn say(&self, what: &str) {
        eprintln!("{:6.1} s  {what}", self.began.elapsed().as_secs_f64());
    }

    /// How many files of a shard are done.
    fn done(&self, shard: usize) -> usize {
        let entries = fs::read_dir(self.out().join(shard.to_string()).join("done")).into_iter().flatten();
        entries.flatten().filter(|entry| entry.path().extension().is_some_and(|end| end == "jsonl")).count()
    }

    /// The process that works on a shard, once some files of it are done and while it is running.
    fn process(&self, shard: usize) -> Option<u32> {
        let folder = self.out().join(shard.to_string());
        let is_finished = folder.join("manifest.jsonl").exists();
        let lock = fs::read_to_string(folder.join("deeptell.lock")).ok()?;
        // "process 17 on host name"
        let process = lock.split(' ').nth(1)?.parse().ok()?;
        (self.done(shard) >= 2 && !is_finished).then_some(process)
    }

    /// Waits until there is a value.
    fn wait<T>(&self, what: &str, mut value: impl FnMut() -> Result<Option<T>>) -> Result<T> {
        let began = Instant::now();
        loop {
            if let Some(value) = value()? {
                return Ok(value);
            }
            ensure!(
                began.elapsed() < PATIENCE,
                "{what} did not come within {} minutes; see {}",
                PATIENCE.as_secs() / 60,
                self.folder.display()
            );
            sleep(Duration::from_millis(50));
        }
    }

    /// Compares the merged manifest and every crop with those of the undisturbed run.
    fn compare(&self) -> Result<()> {
        let (alone, out) = (self.alone(), self.out());
        let read = |folder: &Path| {
            let path = folder.join("manifest.jsonl");
            fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))
        };
        let (expected, merged) = (read(&alone)?, read(&out)?);
        let without_shards = (0..SHARDS).fold(merged.clone(), |text, shard| {
            text.replace(&format!("{{\"path\":\"{shard}/"), "{\"path\":\"")
        });
        ensure!(without_shards == expected, "the merged manifest differs from that of one run");
        let mut crops = 0;
        for (one, other) in merged.lines().zip(expected.lines()).skip(1) {
            let [here, there] = [(&out, one), (&alone, other)].map(|(folder, row)| {
                let row: Value = serde_json::from_str(row).context("a row is not JSON")?;
                let path = folder.join(row["path"].as_str().context("a row has no path")?);
                fs::read(&path).with_context(|| format!("cannot read {}", path.display()))
            });
            ensure!(here? == there?, "a crop differs: {one}");
            crops += 1;
        }
        let mut left = Vec::new();
        let mut pictures = 0;
        for file in files_below(&out)? {
            let name = file.file_name().unwrap_or_default().to_string_lossy();
            pictures += usize::from(name.ends_with(".png"));
            if name.ends_with(".partial") || name == "deeptell.lock" {
                left.push(file.clone());
            }
        }
        ensure!(pictures == crops, "{pictures} pictures for {crops} rows");
        ensure!(left.is_empty(), "something is left: {left:?}");
        println!(
            "{crops} of {crops} rows and crops equal those of one undisturbed run, byte for byte; {:.0} s",
            self.began.elapsed().as_secs_f64()
        );
        Ok(())
    }
}

/// Every file below a folder.
fn files_below(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).with_context(|| format!("cannot list {}", folder.display()))? {
        let path = entry?.path();
        if path.is_dir() {
            files.extend(files_below(&path)?);
        } else {
            files.push(path);
        }
    }
    Ok(files)
}

/// Ends a process as the system does when there is no memory.
fn kill(process: u32) -> Result<()> {
    if !succeeds(Command::new("kill").args(["-KILL", &process.to_string()])) {
        bail!("cannot kill process {process}: it has ended");
    }
    Ok(())
}

/// The process that started this one; `None` if it has ended.
fn parent(process: u32) -> Option<u32> {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    // The name of the program, in brackets, may hold anything.
    stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()
}

/// The nearest process of this name among those that started this one, directly or not.
fn ancestor(process: u32, name: &str) -> Option<u32> {
    let above = std::iter::successors(parent(process), |process| parent(*process));
    let is_named = |process: &u32| {
        fs::read_to_string(format!("/proc/{process}/comm")).is_ok_and(|found| found.trim() == name)
    };
    above.take_while(|process| *process > 1).find(is_named)
}

/// A process with all that it started, directly or not, which are still running; itself first.
fn family(process: u32) -> Vec<u32> {
    let mut children: HashMap<u32, Vec<u32>> = HashMap::new();
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Some(id) = entry.file_name().to_str().and_then(|name| name.parse().ok()) else { continue };
        if let Some(parent) = parent(id) {
            children.entry(parent).or_default().push(id);
        }
    }
    let mut family = vec![process];
    let mut next = 0;
    while let Some(parent) = family.get(next) {
        family.extend(children.remove(parent).unwrap_or_default());
        next += 1;
    }
    family
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(target_os = "linux")]
    #[test]
    fn the_family_of_a_process_includes_its_grandchildren() {
        let mut parent = Command::new("sh").args(["-c", "sleep 60 & sleep 60; true"]).spawn().unwrap();
        let began = Instant::now();
        while family(parent.id()).len() < 3 {
            assert!(began.elapsed() < Duration::from_secs(10), "{:?}", family(parent.id()));
        }
        let youngest = *family(parent.id()).last().unwrap();
        assert_eq!(ancestor(youngest, "sh"), Some(parent.id()));
        assert_eq!(ancestor(youngest, "no such program"), None);
        for process in family(parent.id()) {
            kill(process).unwrap();
        }
        parent.wait().unwrap();
    }
}
