//! Two nodes of Ray on this machine.

use std::path::Path;
use std::process::Command;

use anyhow::Result;

use super::{OPTIONS, SHARDS, Trial};
use crate::peers::environment;
use crate::process::run_step;
use crate::workspace::Workspace;

/// The packages, and the script that starts the cluster and kills.
const FOLDER: &str = "xtask/src/cluster";

/// Extracts with `deploy/ray/extract.py` while a worker and a node are killed.
pub(super) fn run(workspace: &Workspace, trial: &Trial) -> Result<()> {
    let folder = workspace.root.join(FOLDER);
    let python = environment(&folder.join("requirements.txt"), Path::new("target/cluster/python"))?;
    let mut command = Command::new(python);
    command.arg(folder.join("two_nodes.py")).arg(workspace.root.join("deploy/ray/extract.py"));
    command.args([&trial.data, &trial.out()]).arg(SHARDS.to_string()).args(OPTIONS);
    run_step("ray", command.env("DEEPTELL", &trial.program).env("CPUS_PER_TASK", "1")).map(drop)
}
