//! Checkpoints after each epoch, and resuming from them.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use burn::module::Module as _;
use burn::optim::ModuleOptimizer;
use burn::store::RecordError;
use deeptell_network::Network;
use serde::{Deserialize, Serialize};

use crate::average::Average;
use crate::loss_scale::LossScale;
use crate::{EpochRecord, TrainError};

/// Progress of a run after its last finished epoch.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct State {
    /// Finished epochs.
    pub(crate) epoch: usize,
    /// Epoch and validation AUC of the best one so far.
    pub(crate) best: Option<(usize, f64)>,
    /// Updates of the moving average.
    pub(crate) average_updates: usize,
    /// The configuration as TOML; a run can only be resumed with the same one, but for epochs and replicas.
    pub(crate) config: String,
    /// SHA-256 over the samples; a run can only be resumed with the same ones.
    pub(crate) samples: String,
    pub(crate) history: Vec<EpochRecord>,
    /// Pictures that could not be read, and why.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) unreadable: BTreeMap<PathBuf, String>,
    /// Where the dtype needs one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) loss_scale: Option<LossScale>,
}

const NETWORK: &str = "network.bpk";
const AVERAGE: &str = "average.bpk";
const OPTIMIZER: &str = "optimizer.bpk";
const STATE: &str = "state.json";

/// The folder of the last checkpoint: `last`, or `last.old` when a crash fell between the two
/// renames that replace it.
pub(crate) fn find(run: &Path) -> Option<PathBuf> {
    ["last", "last.old"].map(|name| run.join(name)).into_iter().find(|p| p.join(STATE).is_file())
}

/// Whether the run folder holds a finished epoch that [`Start::Resume`](crate::Start::Resume) can
/// continue from.
pub fn has_checkpoint(run: &Path) -> bool {
    find(run).is_some()
}

pub(crate) fn save(
    run: &Path,
    network: &Network,
    average: Option<&Network>,
    optimizer: &ModuleOptimizer,
    state: &State,
) -> Result<(), TrainError> {
    let (last, partial, old) = (run.join("last"), run.join("last.partial"), run.join("last.old"));
    for stale in [&partial, &old] {
        // `last.old` goes only while `last` is whole; see `find`.
        if stale.exists() && (stale == &partial || last.join(STATE).is_file()) {
            fs::remove_dir_all(stale).map_err(TrainError::io(stale))?;
        }
    }
    fs::create_dir_all(&partial).map_err(TrainError::io(&partial))?;
    let record = |name: &str, result: Result<(), RecordError>| {
        result.map_err(|e| TrainError::Checkpoint { path: partial.join(name), reason: e.to_string() })
    };
    record(NETWORK, network.clone().save_file(partial.join(NETWORK)))?;
    if let Some(average) = average {
        record(AVERAGE, average.clone().save_file(partial.join(AVERAGE)))?;
    }
    record(OPTIMIZER, optimizer.save(partial.join(OPTIMIZER)))?;
    let text = serde_json::to_string_pretty(state)
        .map_err(|e| TrainError::Checkpoint { path: partial.join(STATE), reason: e.to_string() })?;
    write_whole(&partial.join(STATE), &text)?;
    // The renames must not reach the disk before what they name.
    for name in [NETWORK, AVERAGE, OPTIMIZER] {
        let path = partial.join(name);
        match File::options().write(true).open(&path).and_then(|file| file.sync_all()) {
            Err(error) if name == AVERAGE && error.kind() == io::ErrorKind::NotFound => {}
            synced => synced.map_err(TrainError::io(&path))?,
        }
    }
    if last.exists() {
        fs::rename(&last, &old).map_err(TrainError::io(&last))?;
    }
    fs::rename(&partial, &last).map_err(TrainError::io(&partial))?;
    if old.exists() {
        fs::remove_dir_all(&old).map_err(TrainError::io(&old))?;
    }
    Ok(())
}

pub(crate) fn load_state(folder: &Path) -> Result<State, TrainError> {
    let path = folder.join(STATE);
    let text = deeptell_files::read_text_bounded(&path, 1 << 20).map_err(TrainError::io(&path))?;
    serde_json::from_str(&text).map_err(|e| TrainError::Checkpoint { path, reason: e.to_string() })
}

/// Puts a checkpoint's weights and moments into a fresh network and optimizer.
pub(crate) fn load(
    folder: &Path,
    network: Network,
    optimizer: ModuleOptimizer,
    state: &State,
    average_decay: Option<f64>,
) -> Result<(Network, ModuleOptimizer, Option<Average>), TrainError> {
    let damaged = |name: &str, error: RecordError| match error {
        // Its text lists every tensor.
        RecordError::Validation(_) => TrainError::CheckpointLayout { path: folder.join(name) },
        RecordError::Io(reason) => TrainError::Checkpoint { path: folder.join(name), reason },
    };
    let average = match average_decay {
        Some(decay) => {
            let averaged =
                network.valid().try_load_file(folder.join(AVERAGE)).map_err(|e| damaged(AVERAGE, e))?;
            Some(Average::new(&averaged, decay, state.average_updates))
        }
        None => None,
    };
    let network = network.try_load_file(folder.join(NETWORK)).map_err(|e| damaged(NETWORK, e))?;
    let optimizer = optimizer.load(folder.join(OPTIMIZER)).map_err(|e| damaged(OPTIMIZER, e))?;
    Ok((network, optimizer, average))
}

/// Writes `text` to `path` whole or not at all.
pub(crate) fn write_whole(path: &Path, text: &str) -> Result<(), TrainError> {
    deeptell_files::write_whole(path, text.as_bytes()).map_err(TrainError::io(path))
}
