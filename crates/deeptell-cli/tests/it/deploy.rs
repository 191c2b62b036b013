//! The scripts of `deploy/slurm`, with commands of Slurm that only write down how they were called.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use deeptell_data::Media;

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
        let [calls, words, state] = ["calls", "words", "state"].map(|name| cluster.at(name));
        // As sbatch --parsable, which prints the number of the job.
        let sbatch = format!(
            "#!/bin/sh\necho sbatch \"$@\" >> '{}'\nprintf '%s\\n' \"$@\" > '{}'\necho 17\n",
            path(&calls),
            path(&words)
        );
        cluster.command("sbatch", &sbatch);
        // As scontrol --oneliner show job, which fails while the controller does not answer.
        let scontrol = format!(
            "#!/bin/sh\nif [ \"$2\" = show ]; then\n    cat '{}'\nelse\n    echo scontrol \"$@\" >> '{}'\nfi\n",
            path(&state),
            path(&calls)
        );
        cluster.command("scontrol", &scontrol);
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
            ("SLURM_ARRAY_JOB_ID", "18"),
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
    assert!(merge.contains(&format!("--dependency=afterok:17 --kill-on-invalid-dep=yes {name} ")), "{merge}");
    assert!(merge.ends_with("deploy/slurm/merge.sbatch set out"), "{merge}");

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
fn slurm_tasks_that_are_signaled_or_killed_are_requeued() {
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
            // As in the last task of an array, whose number is that of the array.
            ("SLURM_JOB_ID", "18"),
            ("SLURM_ARRAY_JOB_ID", "18"),
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
    assert_eq!(cluster.calls(), ["scontrol requeue 18_0"]);
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

/// A program that writes down its words and ends with this exit code, and the task that calls it.
fn task_of(cluster: &Cluster, code: &str, words: &[&str]) -> Command {
    let script =
        format!("#!/bin/sh\nprintf '%s\\n' \"$@\" > '{}'\nexit {code}\n", path(&cluster.at("words")));
    cluster.command("program", &script);
    let mut command = cluster.script("extract.sbatch", &[&["set", "out", "2"], words].concat());
    command.env("DEEPTELL", cluster.at("bin/program")).env("SLURM_CPUS_PER_TASK", "4");
    command.envs([("SLURM_JOB_ID", "19"), ("SLURM_ARRAY_JOB_ID", "18"), ("SLURM_ARRAY_TASK_ID", "1")]);
    command
}

#[test]
fn slurm_tasks_that_are_cancelled_or_would_fail_again_are_not_requeued() {
    let cluster = Cluster::new();
    let requeued = [String::from("scontrol requeue 18_1")];
    let ends = |code: &str| {
        let output = task_of(&cluster, code, &[]).output().unwrap();
        assert_eq!(output.status.code().unwrap().to_string(), code, "{}", said(&output));
        (cluster.calls(), said(&output))
    };
    // The controller does not answer.
    assert_eq!(ends("137").0, requeued);
    for state in ["RUNNING", "CANCELLED", "COMPLETING"] {
        let job = format!("JobId=19 ArrayJobId=18 JobName=a JobState={state} Reason=None Requeue=1\n");
        fs::write(cluster.at("state"), job).unwrap();
        for code in ["130", "137", "143"] {
            let (calls, said) = ends(code);
            if state == "RUNNING" {
                assert_eq!(calls, requeued, "{code}");
            } else {
                assert!(
                    calls.is_empty() && said.contains("Slurm ends task 1: it is not put back"),
                    "{state} {code}: {said}"
                );
            }
        }
    }
    fs::write(cluster.at("state"), "JobId=19 JobState=RUNNING Reason=None\n").unwrap();
    for code in ["0", "1", "2", "126"] {
        assert!(ends(code).0.is_empty(), "{code}");
    }
    let output = task_of(&cluster, "0", &[]).env("DEEPTELL", "no-such-program").output().unwrap();
    assert_eq!(output.status.code(), Some(127), "{}", said(&output));
    assert!(
        said(&output).contains("cannot run no-such-program on this node: install it"),
        "{}",
        said(&output)
    );
    assert!(cluster.calls().is_empty());
}

#[test]
fn options_replace_those_that_the_slurm_task_has() {
    let cluster = Cluster::new();
    let words = |options: &[&str]| {
        let output = task_of(&cluster, "0", options).output().unwrap();
        assert!(output.status.success(), "{}", said(&output));
        let words = fs::read_to_string(cluster.at("words")).unwrap();
        words.lines().skip(8).map(str::to_owned).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(words(&[]), "--allow-failures --threads 4");
    assert_eq!(words(&["--store", "tar"]), "--allow-failures --threads 4 --store tar");
    for options in ["--threads 2", "--threads=2", "-j 2", "-j2", "-qj2"] {
        let options: Vec<&str> = options.split(' ').collect();
        assert_eq!(words(&options), format!("--allow-failures {}", options.join(" ")));
    }
    for option in ["--allow-failures", "--allow-failures=5%"] {
        assert_eq!(words(&[option]), format!("--threads 4 {option}"));
    }
    // As the program takes them.
    let mut command = cluster.task("1");
    let output = command.args(["--allow-failures=5%", "--threads=2"]).output().unwrap();
    assert!(output.status.success(), "{}", said(&output));
}

#[test]
fn slurm_paths_may_have_spaces_and_letters_beyond_ascii() {
    let cluster = Cluster::new();
    fs::rename(cluster.at("set"), cluster.at("dáta set")).unwrap();
    let output =
        cluster.script("submit.sh", &["dáta set", "öut x", "1", "1"]).env("LC_ALL", "C").output().unwrap();
    assert!(output.status.success(), "{}", said(&output));
    let words = fs::read_to_string(cluster.at("words")).unwrap();
    let words: Vec<&str> = words.lines().collect();
    let [.., script, data, out] = words[..] else { panic!("{words:?}") };
    assert!(script.ends_with("deploy/slurm/merge.sbatch"), "{words:?}");

    let mut task =
        cluster.script("extract.sbatch", &[data, out, "1", "--frames", "2", "--min-probability", "0.8"]);
    task.envs([("SLURM_JOB_ID", "18"), ("SLURM_ARRAY_JOB_ID", "18"), ("SLURM_ARRAY_TASK_ID", "0")]);
    for mut command in [task, cluster.script("merge.sbatch", &[data, out])] {
        let output = command.env("LC_ALL", "C").output().unwrap();
        assert!(output.status.success(), "{}", said(&output));
    }
    assert!(cluster.at("öut x/manifest.jsonl").exists());
}

#[test]
fn slurm_scripts_refuse_what_cannot_work() {
    let cluster = Cluster::new();
    let refuses = |name: &str, words: &[&str], message: &str| {
        let mut command = cluster.script(name, words);
        let output = command.env_remove("SLURM_ARRAY_TASK_ID").output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{words:?}: {}", said(&output));
        assert!(said(&output).contains(message), "{words:?}: {}", said(&output));
        assert!(cluster.calls().is_empty());
    };
    fs::write(cluster.at("file"), "").unwrap();
    refuses("submit.sh", &["set", "out", "2"], "./submit.sh DATA OUT SHARDS AT_ONCE");
    refuses("submit.sh", &["--", "set", "out", "2", "1"], "leave out --");
    refuses("submit.sh", &["set", "out", "2", "1", "--", "--store", "tar"], "leave out --");
    refuses("submit.sh", &["--store", "tar", "set", "out", "2", "1"], "DATA must be a folder or a manifest");
    refuses("submit.sh", &["set", "", "2", "1"], "OUT must be a folder");
    refuses("submit.sh", &["set", "file", "2", "1"], "OUT must be a folder, and file is a file");
    refuses("submit.sh", &["none", "out", "2", "1"], "there is no data set none");
    refuses("submit.sh", &["set", "out", "0", "1"], "must be numbers from 1: '0'");
    refuses("extract.sbatch", &[], "usage: sbatch --array=");
    refuses("extract.sbatch", &["set", "out", "2"], "this is not a task of an array");
    refuses("merge.sbatch", &["set"], "usage: sbatch merge.sbatch DATA OUT");

    let mut command = cluster.script("submit.sh", &["set", "out", "2", "1"]);
    let output = command.env("DEEPTELL", "no-such-program").output().unwrap();
    assert_eq!(output.status.code(), Some(2), "{}", said(&output));
    assert!(said(&output).contains("no program no-such-program") && said(&output).contains("DEEPTELL"));

    // Whole, not of shards.
    let (set, whole) = (cluster.at("set"), cluster.at("whole"));
    succeeds(&["extract", path(&set), "--out", path(&whole), "--frames", "1", "--min-probability", "0.8"]);
    refuses("submit.sh", &["set", "whole", "2", "1"], "is not divided into shards: choose another folder");

    cluster.command(
        "squeue",
        "#!/bin/sh\necho 'slurm_load_jobs error: Unable to contact controller' >&2\nexit 1\n",
    );
    refuses("submit.sh", &["set", "out", "2", "1"], "squeue failed");
}

#[test]
fn all_shards_are_submitted_into_a_folder_with_only_logs() {
    let cluster = Cluster::new();
    fs::create_dir_all(cluster.at("out/logs")).unwrap();
    fs::write(cluster.at("out/logs/deeptell-extract-17_0.log"), "").unwrap();
    fs::write(cluster.at("out/notes.txt"), "").unwrap();
    let output = cluster.script("submit.sh", &["set", "out", "2", "1"]).output().unwrap();
    assert!(output.status.success(), "{}", said(&output));
    let calls = cluster.calls();
    assert!(calls.len() == 2 && calls[0].contains(" --array=0-1%1 "), "{calls:?}");
}

#[test]
fn the_ray_scripts_take_every_file_that_the_program_takes() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let read = |file: &str| fs::read_to_string(root.join(file)).unwrap();
    let between = |text: &str, begin: &str, end: &str| {
        text.split_once(begin).unwrap().1.split_once(end).unwrap().0.to_owned()
    };
    let known = between(&read("crates/deeptell-data/src/sample.rs"), "path.extension()?", "_ => None");
    let known: BTreeSet<String> = known.split('"').skip(1).step_by(2).map(|end| format!(".{end}")).collect();
    let taken = between(&read("deploy/ray/scan.py"), "SUFFIXES = set(", ".split()").replace('"', "");
    let taken: BTreeSet<String> = taken.split_whitespace().map(str::to_owned).collect();
    assert!(taken.len() > 40 && taken.iter().all(|end| Media::of(Path::new(&format!("A{end}"))).is_some()));
    assert_eq!(taken, known);
    assert!(read("deploy/ray/scan_data.py").contains("from scan import files_below"));
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
