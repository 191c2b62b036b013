//! The scripts of `deploy/slurm`, with commands of Slurm that only write down how they were called.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use super::{clip, fails, path, succeeds};

/// A data set, and a folder of commands that write down their words.
struct Cluster {
    folder: tempfile::TempDir,
}

impl Cluster {
    fn new() -> Self {
        let cluster = Self { folder: tempfile::tempdir().unwrap() };
        for label in ["real", "fake"] {
            fs::create_dir_all(cluster.at("set").join(label)).unwrap();
            for person in ["orl-s01", "orl-s02", "orl-s03"] {
                let name = format!("{label}/{person}.mp4");
                fs::copy(clip(&name), cluster.at("set").join(&name)).unwrap();
            }
        }
        fs::create_dir(cluster.at("bin")).unwrap();
        // As sbatch --parsable, which prints the number of the job.
        for command in ["scontrol", "sbatch"] {
            let script =
                format!("#!/bin/sh\necho {command} \"$@\" >> '{}'\necho 17\n", path(&cluster.at("calls")));
            cluster.command(command, &script);
        }
        // As squeue --noheader --format=%F, which prints the number of a job once for each of its tasks.
        let queue = cluster.at("queue");
        cluster.command("squeue", &format!("#!/bin/sh\ncat '{}' 2> /dev/null || true\n", path(&queue)));
        cluster
    }

    fn command(&self, name: &str, script: &str) {
        fs::write(self.at("bin").join(name), script).unwrap();
        fs::set_permissions(self.at("bin").join(name), PermissionsExt::from_mode(0o755)).unwrap();
    }

    fn at(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn script(&self, name: &str, words: &[&str]) -> Command {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/slurm").join(name);
        let mut command = Command::new("bash");
        command.arg(script).args(words).current_dir(self.folder.path()).stdin(Stdio::null());
        let search = std::env::var("PATH").unwrap();
        command.env("PATH", format!("{}:{search}", self.at("bin").display()));
        command.env("DEEPTELL", env!("CARGO_BIN_EXE_deeptell"));
        command
    }

    /// A task of an array of two, as Slurm starts it.
    fn task(&self, index: &str) -> Command {
        let words = ["set", "out", "2", "--frames", "2", "--min-probability", "0.8"];
        let mut command = self.script("extract.sbatch", &words);
        command.envs([
            ("SLURM_JOB_ID", "18"),
            ("SLURM_ARRAY_TASK_ID", index),
            ("SLURM_ARRAY_TASK_MAX", "1"),
            ("SLURM_CPUS_PER_TASK", "1"),
        ]);
        command
    }

    /// What the commands of Slurm were called with since the last time.
    fn calls(&self) -> Vec<String> {
        let calls = fs::read_to_string(self.at("calls")).unwrap_or_default();
        let _ = fs::remove_file(self.at("calls"));
        calls.lines().map(str::to_owned).collect()
    }
}

fn said(output: &Output) -> String {
    [String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr)].concat()
}

#[test]
fn slurm_tasks_are_submitted_resumed_and_merged() {
    let cluster = Cluster::new();
    let submit = |shards: &str| {
        let output =
            cluster.script("submit.sh", &["set", "out", shards, "1", "--frames", "2"]).output().unwrap();
        assert!(output.status.success(), "{}", said(&output));
        cluster.calls()
    };
    let [array, merge] = <[String; 2]>::try_from(submit("2")).unwrap();
    let extract = "deploy/slurm/extract.sbatch set out 2 --frames 2";
    let (name, words) = array.split_once(" --array=").unwrap();
    assert!(name.starts_with("sbatch --parsable --job-name=deeptell-"), "{array}");
    assert!(words.starts_with("0-1%1 ") && words.ends_with(extract), "{array}");
    let name = name.rsplit_once(' ').unwrap().1;
    let program = env!("CARGO_BIN_EXE_deeptell");
    assert!(merge.contains(&format!("--dependency=afterok:17 --kill-on-invalid-dep=yes {name} ")), "{merge}");
    assert!(merge.ends_with(&format!("--wrap {program} merge out --data set ")), "{merge}");

    let output = cluster.task("1").output().unwrap();
    assert!(output.status.success(), "{}", said(&output));
    assert!(said(&output).contains("task 1 on ?, restart 0: exit code 0"));
    assert!(submit("2")[0].contains("--array=0%1 "), "only the shard that is missing");
    let output = cluster.task("0").output().unwrap();
    assert!(output.status.success(), "{}", said(&output));
    let calls = submit("2");
    assert!(calls.len() == 1 && !calls[0].contains("--dependency"), "{calls:?}");
    assert!(
        succeeds(&["merge", path(&cluster.at("out")), "--data", path(&cluster.at("set"))])
            .contains("12 crops")
    );

    // Wrong options fail the task for good, and an array that does not fit as well.
    let output = cluster.task("2").output().unwrap();
    assert_eq!(output.status.code(), Some(2), "{}", said(&output));
    assert!(said(&output).contains("submit with --array=0-1") && cluster.calls().is_empty());
}

#[test]
fn slurm_tasks_are_not_submitted_a_second_time() {
    let cluster = Cluster::new();
    let refused = |shards: &str| {
        let output = cluster.script("submit.sh", &["set", "out", shards, "1"]).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{}", said(&output));
        assert!(cluster.calls().is_empty());
        said(&output)
    };
    fs::write(cluster.at("queue"), "17\n17\n18\n").unwrap();
    let queued = refused("2");
    assert!(queued.contains("jobs for out are in the queue: 17 18. Wait"), "{queued}");
    assert!(queued.contains("scancel --name=deeptell-"), "{queued}");
    fs::remove_file(cluster.at("queue")).unwrap();

    // Not as a job.
    let output = cluster.task("1").output().unwrap();
    assert!(output.status.success(), "{}", said(&output));
    let lock = deeptell_files::FolderLock::acquire(&cluster.at("out/1")).unwrap();
    let running = refused("2");
    assert!(running.contains("shards are running in out"), "{running}");
    drop(lock);
    let other = refused("4");
    assert!(other.contains("out has 2 shards: pass 2 in place of 4"), "{other}");
    let (set, out) = (cluster.at("set"), cluster.at("out/{shard}"));
    let words = ["extract", path(&set), "--shard-index", "3", "--shards", "4", "--out", path(&out)];
    let messages = fails(2, &words);
    assert!(messages.contains("is one of 2 shards") && messages.contains("pass --shards 2"), "{messages}");
}

#[test]
fn slurm_tasks_that_are_signalled_or_killed_are_requeued() {
    let cluster = Cluster::new();
    let done = || {
        let entries = fs::read_dir(cluster.at("out/0/done")).into_iter().flatten().flatten();
        entries.filter(|entry| entry.path().extension().is_some_and(|end| end == "jsonl")).count()
    };
    // Takes a while.
    let frames = ["set", "out", "1", "--frames", "60", "--min-probability", "0.8"];
    let task = |restarts: &str| {
        let mut command = cluster.script("extract.sbatch", &frames);
        command.envs([
            ("SLURM_JOB_ID", "18"),
            ("SLURM_ARRAY_TASK_ID", "0"),
            ("SLURM_RESTART_COUNT", restarts),
        ]);
        command.env("SLURM_CPUS_PER_TASK", "1").stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    };
    let until = |files: usize| {
        let began = std::time::Instant::now();
        while done() < files {
            assert!(began.elapsed() < Duration::from_secs(50), "no file was done");
            std::thread::sleep(Duration::from_millis(5));
        }
    };
    let signal = |signal: &str, process: &str| {
        assert!(Command::new("kill").args([signal, process]).status().unwrap().success());
    };
    let running = task("0");
    until(1);
    signal("-TERM", &running.id().to_string());
    let output = running.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130), "{}", said(&output));
    assert_eq!(cluster.calls(), ["scontrol requeue 18"]);
    let before = done();
    assert!((1..6).contains(&before) && !cluster.at("out/0/deeptell.lock").exists());

    // The program is killed, as for its memory, in the first try and in the last.
    for (restarts, calls) in [("1", 1), ("3", 0)] {
        let before = done();
        let running = task(restarts);
        until(before + 1);
        let lock = fs::read_to_string(cluster.at("out/0/deeptell.lock")).unwrap();
        signal("-KILL", lock.split(' ').nth(1).unwrap());
        let output = running.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(137), "{}", said(&output));
        assert_eq!(cluster.calls().len(), calls);
    }
    let output = task("3").wait_with_output().unwrap();
    assert!(output.status.success(), "{}", said(&output));
    assert_eq!(done(), 6);
}

#[test]
fn the_arguments_of_the_kubernetes_job_are_those_of_the_program() {
    let cluster = Cluster::new();
    let words = |manifest: &str| -> Vec<String> {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/kubernetes").join(manifest);
        let text = fs::read_to_string(file).unwrap();
        let (_, args) = text.split_once("args:").unwrap();
        let (args, _) = args.split_once("resources:").unwrap();
        // In lines that begin with a dash, or in brackets.
        let words = args
            .split(['\n', ',', '[', ']'])
            .map(|word| word.split('#').next().unwrap().trim().trim_start_matches("- ").to_owned());
        let words = words.filter(|word| !word.is_empty());
        let here = |word: String| {
            word.replace("/data", path(&cluster.at("set"))).replace("/crops", path(&cluster.at("out")))
        };
        words.map(here).collect()
    };
    let run = |words: &[String], index: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_deeptell"));
        command.args(words).env("JOB_COMPLETION_INDEX", index).stdin(Stdio::null()).output().unwrap()
    };
    let output = run(&words("extract.yaml"), "63");
    assert!(output.status.success(), "{}", said(&output));
    assert!(cluster.at("out/63/manifest.jsonl").exists());
    let output = run(&words("merge.yaml"), "0");
    assert!(
        output.status.code() == Some(2) && said(&output).contains("run shards 0-62 of 64"),
        "{}",
        said(&output)
    );
}
