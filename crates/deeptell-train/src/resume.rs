//! Whether a run can be continued.

use std::fmt::Write as _;
use std::path::Path;

use deeptell_data::Sample;
use deeptell_files::sha256;

use crate::checkpoint::State;
use crate::{TrainConfig, TrainError};

/// Settings that may change when a run is resumed.
const FREE: [&str; 2] = ["epochs = ", "replicas = "];

/// Refuses to continue a run under other settings or on other samples, naming what differs. It may
/// get more epochs and another number of replicas.
pub(crate) fn check(config: &TrainConfig, now: &State, saved: &State, run: &Path) -> Result<(), TrainError> {
    let refuse = |reason: String| Err(TrainError::Resume { path: run.to_owned(), reason });
    if config.epochs < saved.epoch {
        return refuse(format!(
            "it has {} epochs, and {} are asked for: ask for as many or more",
            saved.epoch, config.epochs
        ));
    }
    let settings = |state: &State| -> Vec<String> {
        let text = TrainConfig::with_tables(&state.config);
        let fixed = |line: &&str| !FREE.iter().any(|free| line.starts_with(free));
        text.lines().filter(fixed).map(str::to_owned).collect()
    };
    let (settings_now, settings_saved) = (settings(now), settings(saved));
    if settings_now != settings_saved {
        let line = settings_now
            .iter()
            .zip(&settings_saved)
            .find(|(now, saved)| now != saved)
            .map_or_else(String::new, |(now, saved)| format!(" (`{now}` where it was `{saved}`)"));
        return refuse(format!("it began with another configuration{line}; use its own config.toml"));
    }
    if now.samples != saved.samples {
        return refuse("it began with other samples; use the same manifest, or another folder".into());
    }
    Ok(())
}

/// SHA-256 over path, label, source and split of all samples.
pub(crate) fn fingerprint(samples: &[Sample]) -> String {
    let mut rows = String::new();
    for sample in samples {
        let split = sample.split.map(|s| s.to_string());
        let _ = writeln!(rows, "{}\t{}\t{}\t{split:?}", sample.path.display(), sample.label, sample.source);
    }
    sha256(rows.as_bytes())
}
