//! `cargo xtask hostile`: the program on several hundred files that were made to harm it.
//!
//! The files are damaged copies of the sample's clips, in further containers where `ffmpeg` is
//! installed, and pictures and lists made here. Each is scanned by a process of its own, which must end
//! in time, with an exit code that a scan has, within the memory that is promised, and leave nothing
//! behind. Where `strace` is installed, some are watched: no file that another names is opened, and no
//! socket.

mod files;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::process::is_installed;
use crate::workspace::{Program, Workspace};

/// Most memory of one process, in MiB.
const MOST_MEMORY: u64 = 300;
/// Longest time for a file: the deadline of decoding is 20 seconds, and machines may be busy.
const MOST_TIME: Duration = Duration::from_mins(1);
/// One file of so many is watched with `strace`, and each that names another.
const WATCHED: usize = 10;

/// What `cargo xtask hostile` was asked for.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Request {
    /// The program, if it is not to be built.
    pub(crate) program: Option<PathBuf>,
    /// Damaged copies of each clip and picture.
    pub(crate) copies: Option<usize>,
}

/// What one run came to.
struct Run {
    seconds: f64,
    mebibytes: u64,
    fault: Option<String>,
    is_judged: bool,
}

/// Figures of one kind of file.
#[derive(Default)]
struct Tally {
    files: usize,
    judged: usize,
    watched: usize,
    seconds: f64,
    mebibytes: u64,
}

/// Makes the files, runs the program on each and prints a table.
///
/// # Errors
/// When a file did harm; the error names the first, and where they all are.
pub(crate) fn run(workspace: &Workspace, request: &Request) -> Result<()> {
    let program = match &request.program {
        Some(program) => {
            fs::canonicalize(program).with_context(|| format!("no program {}", program.display()))?
        }
        None => fs::canonicalize(workspace.build(Program::Deeptell)?)?,
    };
    let folder = std::env::temp_dir().join(format!("deeptell-hostile-{}", std::process::id()));
    let inputs = folder.join("inputs");
    fs::create_dir_all(&inputs).with_context(|| format!("cannot make {}", inputs.display()))?;
    // Under a name of its own, processes that stay behind can be told from others.
    let own = folder.join("deeptell-under-test");
    fs::copy(&program, &own).context("cannot copy the program")?;
    let all = files::make(&workspace.root, &inputs, request.copies.unwrap_or(5))?;
    let can_watch = is_installed("strace");
    eprintln!("{} files in {}; watched with strace: {can_watch}", all.len(), inputs.display());

    let mut tallies: BTreeMap<&str, Tally> = BTreeMap::new();
    let mut faults = Vec::new();
    for (number, hostile) in all.iter().enumerate() {
        let is_watched = can_watch && (hostile.names_another || number % WATCHED == 0);
        let run = try_file(&own, &folder, &hostile.path, is_watched)?;
        let tally = tallies.entry(hostile.kind).or_default();
        tally.files += 1;
        tally.judged += usize::from(run.is_judged);
        tally.watched += usize::from(is_watched);
        tally.seconds = tally.seconds.max(run.seconds);
        tally.mebibytes = tally.mebibytes.max(run.mebibytes);
        if let Some(fault) = run.fault {
            eprintln!("{}: {fault}", hostile.path.display());
            faults.push(format!("{}: {fault}", hostile.path.display()));
        }
    }
    sleep(Duration::from_secs(3));
    let left = processes_of(&own);
    if !left.is_empty() {
        faults.push(format!("processes are left: {left:?}"));
    }
    println!("\n{:<22}{:>7}{:>9}{:>9}{:>12}{:>10}", "kind", "files", "judged", "watched", "slowest s", "MiB");
    for (kind, tally) in &tallies {
        let Tally { files, judged, watched, seconds, mebibytes } = tally;
        println!("{kind:<22}{files:>7}{judged:>9}{watched:>9}{seconds:>12.1}{mebibytes:>10}");
    }
    println!("{} files, {} faults", all.len(), faults.len());
    if let Some(first) = faults.first() {
        bail!("{} faults, the first: {first}; the files are in {}", faults.len(), inputs.display());
    }
    fs::remove_dir_all(&folder).with_context(|| format!("cannot remove {}", folder.display()))
}

/// Scans one file.
fn try_file(program: &Path, folder: &Path, file: &Path, is_watched: bool) -> Result<Run> {
    let (temporary, errors, calls) = (folder.join("tmp"), folder.join("errors"), folder.join("calls"));
    fs::create_dir_all(&temporary)?;
    let mut command = if is_watched {
        let mut strace = Command::new("strace");
        strace.args(["-f", "-qq", "-e", "trace=open,openat,openat2,socket,connect,execve", "-o"]);
        strace.arg(&calls).arg(program);
        strace
    } else {
        Command::new(program)
    };
    command
        .args(["scan", "--frames", "4", "--threads", "1", "--json"])
        .arg(folder.join("report.json"))
        .arg(file);
    command.env("TMPDIR", &temporary).current_dir(folder);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(fs::File::create(&errors)?);
    let start = Instant::now();
    let mut child = command.spawn().with_context(|| format!("cannot start {}", program.display()))?;
    let (mut mebibytes, mut fault) = (0, None);
    let status = loop {
        mebibytes = mebibytes.max(memory_of(child.id()));
        if let Some(status) = child.try_wait()? {
            break status;
        }
        if start.elapsed() > MOST_TIME {
            fault = Some(format!("it did not end within {} s", MOST_TIME.as_secs()));
            child.kill()?;
            break child.wait()?;
        }
        sleep(Duration::from_millis(5));
    };
    let said = fs::read(&errors)?;
    let said = String::from_utf8_lossy(&said);
    let left: Vec<_> = fs::read_dir(&temporary)?.flatten().map(|entry| entry.path()).collect();
    if fault.is_none() {
        fault = match status.code() {
            Some(0 | 1) if said.contains("panicked at") => Some(format!("a panic: {said}")),
            Some(0 | 1) if !left.is_empty() => Some(format!("it left {left:?}")),
            Some(0 | 1) if !is_watched && mebibytes > MOST_MEMORY => Some(format!("it took {mebibytes} MiB")),
            Some(0 | 1) => is_watched.then(|| forbidden_call(&calls, folder)).transpose()?.flatten(),
            _ => Some(format!("{status}: {said}")),
        };
    }
    for left in left {
        if left.is_dir() { fs::remove_dir_all(left)? } else { fs::remove_file(left)? }
    }
    let seconds = start.elapsed().as_secs_f64();
    Ok(Run {
        seconds,
        mebibytes: if is_watched { 0 } else { mebibytes },
        fault,
        is_judged: status.code() == Some(0),
    })
}

/// A call among those recorded that no scan may make.
fn forbidden_call(calls: &Path, folder: &Path) -> Result<Option<String>> {
    let text = fs::read(calls).with_context(|| format!("cannot read {}", calls.display()))?;
    let text = String::from_utf8_lossy(&text);
    let named = folder.join("inputs").join(files::NAMED).display().to_string();
    let mut programs = 0;
    for line in text.lines() {
        // A call by a process in the sandbox, which refuses it, is a fault of what asked for it, too.
        let is_forbidden = line.contains(&named)
            || line.contains(files::NAMED)
            || line.contains("socket(")
            || line.contains("connect(");
        programs += usize::from(line.contains("execve("));
        if is_forbidden {
            return Ok(Some(format!("it called {line}")));
        }
    }
    // Itself, and itself once more as the decoder.
    Ok((programs > 2).then(|| format!("it started {programs} programs")))
}

/// The most memory that the process, or one below it, ever had resident, in MiB.
fn memory_of(process: u32) -> u64 {
    let Ok(status) = fs::read_to_string(format!("/proc/{process}/status")) else { return 0 };
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let own = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse::<u64>().ok()).unwrap_or(0) / 1024;
    let below = fs::read_to_string(format!("/proc/{process}/task/{process}/children")).unwrap_or_default();
    let below = below.split_whitespace().filter_map(|child| child.parse().ok());
    below.map(memory_of).max().unwrap_or(0).max(own)
}

/// The processes that run this program.
fn processes_of(program: &Path) -> Vec<String> {
    let Ok(entries) = fs::read_dir("/proc") else { return Vec::new() };
    let is_it = |path: &PathBuf| fs::read_link(path.join("exe")).is_ok_and(|exe| exe == program);
    let found = entries.flatten().map(|entry| entry.path()).filter(is_it);
    found.map(|path| path.display().to_string()).collect()
}
