//! Two nodes of Slurm on this machine.

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, bail, ensure};

use super::{OPTIONS, SHARDS, Trial, ancestor, family, kill};
use crate::process::{installed, output_of};
use crate::workspace::Workspace;

/// The configuration; words in capitals between `@` stand for what is only known now.
const CONFIGURATION: &str = include_str!("slurm.conf.in");
/// The nodes.
const NODES: [&str; 2] = ["n1", "n2"];

/// Submits the extraction, kills the program of one task and the node of another, and signals a third.
pub(super) fn run(workspace: &Workspace, trial: &Trial) -> Result<()> {
    let mut slurm = Slurm::start(trial)?;
    let mut submit = slurm.command("bash");
    submit.arg(workspace.root.join("deploy/slurm/submit.sh"));
    submit.args([&trial.data, &trial.out()]).args([SHARDS.to_string(), "2".to_owned()]).args(OPTIONS);
    let said = output_of(submit.current_dir(&trial.folder).env("DEEPTELL", &trial.program))?;
    trial.say(said.trim().lines().next().unwrap_or_default());
    let jobs: Vec<&str> = said.lines().filter_map(|line| line.split("job ").nth(1)).collect();
    let [array, merge] = jobs.as_slice() else { bail!("submit.sh said: {said}") };
    let merge = merge.split(',').next().unwrap_or(merge);

    // Of the two tasks that run at first, one loses its program and the other its node.
    let on = |slurm: &Slurm, node: &str| -> Result<Option<(usize, u32)>> {
        let running = output_of(slurm.command("squeue").args(["-h", "-t", "R", "-w", node, "-o", "%K"]))?;
        let shard = running.lines().next().and_then(|line| line.trim().parse::<usize>().ok());
        Ok(shard.and_then(|shard| Some((shard, trial.process(shard)?))))
    };
    let (first, process) = trial.wait("a task on the first node", || on(&slurm, NODES[0]))?;
    kill(process)?;
    trial.say(&format!("shard {first}, {} files done: deeptell killed", trial.done(first)));
    let (second, process) = trial.wait("a task on the second node", || on(&slurm, NODES[1]))?;
    // The daemon, and what keeps watch over the task, which is not a child of it.
    let watch = ancestor(process, "slurmstepd").context("the task has no slurmstepd")?;
    for process in [family(slurm.nodes[1].id()), family(watch)].concat() {
        // One that ends with its parent is none to worry about.
        let _ = kill(process);
    }
    slurm.nodes[1].wait()?;
    trial.say(&format!(
        "shard {second}, {} files done: the node killed, with all its processes",
        trial.done(second)
    ));
    let third =
        trial.wait("a third task", || Ok(on(&slurm, NODES[0])?.filter(|(shard, _)| *shard != first)))?.0;
    let job = format!("{array}_{third}");
    output_of(slurm.command("scancel").args(["--batch", "--signal=TERM", &job]))?;
    trial.say(&format!("shard {third}, {} files done: TERM to the script", trial.done(third)));
    trial.wait("the end of the second node", || Ok(slurm.states()?.contains("down").then_some(())))?;
    trial.say("Slurm has noticed the death of the node; it comes back");
    slurm.nodes[1] = slurm.node(NODES[1])?;

    trial.wait("the end of all jobs", || {
        let job = output_of(slurm.command("scontrol").args(["show", "job", merge]))?;
        if job.contains("JobState=COMPLETED") {
            return Ok(Some(()));
        }
        let is_waiting = ["PENDING", "RUNNING", "COMPLETING"]
            .iter()
            .any(|state| job.contains(&format!("JobState={state}")));
        ensure!(is_waiting, "the merge failed; see {} and\n{job}", trial.folder.display());
        Ok(None)
    })?;
    trial.say("merged");
    // What the tasks said, of all their tries.
    let mut resumed = 0;
    for shard in 0..SHARDS {
        let log = trial.folder.join(format!("deeptell-extract-{array}_{shard}.log"));
        let text = fs::read_to_string(&log).with_context(|| format!("cannot read {}", log.display()))?;
        for line in text.lines().filter(|line| line.starts_with("task ") || line.contains("already done")) {
            eprintln!("          {line}");
            resumed += usize::from(line.contains("already done"));
        }
    }
    ensure!(resumed >= 3, "only {resumed} tasks continued what an earlier try had done");
    Ok(())
}

/// The daemons; they end when this is dropped.
struct Slurm {
    configuration: PathBuf,
    folder: PathBuf,
    munge: Child,
    controller: Child,
    nodes: [Child; 2],
}

impl Slurm {
    /// Starts all of them, and waits until both nodes are idle.
    fn start(trial: &Trial) -> Result<Self> {
        let folder = trial.folder.join("daemons");
        for name in ["state", "spool", "munge"] {
            fs::create_dir_all(folder.join(name)).context("cannot make the folders of Slurm")?;
        }
        // The path of a socket is short.
        let socket = std::env::temp_dir().join(format!("deeptell-munge-{}", std::process::id()));
        let configuration = folder.join("slurm.conf");
        fs::write(&configuration, configured(&folder, &socket)?).context("cannot write slurm.conf")?;

        let key = folder.join("munge/key");
        fs::write(&key, random_bytes()).context("cannot write a key")?;
        output_of(Command::new("chmod").arg("600").arg(&key))?;
        let mut munge = Command::new(daemon("munged")?);
        munge.args(["--foreground", "--force"]);
        for (option, value) in [
            ("socket", socket),
            ("key-file", key),
            ("seed-file", folder.join("munge/seed")),
            ("log-file", folder.join("munge/log")),
            ("pid-file", folder.join("munge/pid")),
        ] {
            munge.arg(format!("--{option}={}", value.display()));
        }
        let munge = spawn(&mut munge, &folder.join("munged.out"))?;
        let mut controller = Command::new(daemon("slurmctld")?);
        controller.args(["-D", "-c", "-f"]).arg(&configuration).env("SLURM_CONF", &configuration);
        let controller = spawn(&mut controller, &folder.join("slurmctld.out"))?;
        let nodes = NODES.map(|node| start_node(node, &configuration, &folder));
        let [first, second] = nodes;
        let slurm = Self { configuration, folder, munge, controller, nodes: [first?, second?] };
        trial.wait("two idle nodes", || {
            Ok(slurm.states().is_ok_and(|states| states == "2 idle").then_some(()))
        })?;
        trial.say("two nodes of Slurm are idle");
        Ok(slurm)
    }

    /// How many nodes are in which state.
    fn states(&self) -> Result<String> {
        let mut ask = self.command("sinfo");
        let states = output_of(ask.args(["-h", "-o", "%D %t"]))?;
        Ok(states.trim().to_owned())
    }

    fn node(&self, name: &str) -> Result<Child> {
        start_node(name, &self.configuration, &self.folder)
    }

    /// A command that talks to this cluster.
    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.env("SLURM_CONF", &self.configuration);
        command
    }
}

impl Drop for Slurm {
    fn drop(&mut self) {
        let [first, second] = &mut self.nodes;
        for daemon in [first, second, &mut self.controller, &mut self.munge] {
            for process in family(daemon.id()) {
                let _ = kill(process);
            }
            let _ = daemon.wait();
        }
    }
}

fn start_node(name: &str, configuration: &Path, folder: &Path) -> Result<Child> {
    let mut node = Command::new(daemon("slurmd")?);
    node.args(["-D", "-N", name, "-f"]).arg(configuration).env("SLURM_CONF", configuration);
    spawn(&mut node, &folder.join(format!("slurmd-{name}.out")))
}

/// Starts a daemon that writes to this file.
fn spawn(command: &mut Command, log: &Path) -> Result<Child> {
    let file = fs::File::options().create(true).append(true).open(log).context("cannot write a log")?;
    let errors = file.try_clone().context("cannot write a log")?;
    command.stdin(Stdio::null()).stdout(file).stderr(errors);
    command.spawn().with_context(|| format!("cannot start {}", command.get_program().display()))
}

/// Where a daemon is: users have no folder of daemons on their path.
fn daemon(name: &str) -> Result<PathBuf> {
    let usual = Path::new("/usr/sbin").join(name);
    installed(name).or_else(|| usual.is_file().then_some(usual)).with_context(|| format!("no {name}"))
}

/// Whether all programs of Slurm are here.
pub(crate) fn is_installed() -> bool {
    ["munged", "slurmctld", "slurmd", "sbatch", "squeue"].into_iter().all(|name| daemon(name).is_ok())
}

/// The configuration for this machine and user.
fn configured(folder: &Path, socket: &Path) -> Result<String> {
    let word = |program: &str, argument: &str| {
        Ok::<_, anyhow::Error>(output_of(Command::new(program).arg(argument))?.trim().to_owned())
    };
    let mut text = CONFIGURATION
        .replace("@FOLDER@", &folder.display().to_string())
        .replace("@SOCKET@", &socket.display().to_string())
        .replace("@HOST@", &word("hostname", "-s")?)
        .replace("@USER@", &word("id", "-un")?);
    // Ports that are free now; held until all are known, so that they differ.
    let ports = [(); 4].map(|()| TcpListener::bind("127.0.0.1:0"));
    for (number, port) in ports.iter().enumerate() {
        let port = port.as_ref().map_err(|error| anyhow::anyhow!("no free port: {error}"))?;
        text = text.replace(&format!("@PORT{}@", number + 1), &port.local_addr()?.port().to_string());
    }
    Ok(text)
}

fn random_bytes() -> Vec<u8> {
    std::iter::repeat_with(|| fastrand::u8(..)).take(1024).collect()
}
