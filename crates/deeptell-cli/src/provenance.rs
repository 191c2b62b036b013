//! Records which code and command made a result.

use std::ffi::OsString;
use std::sync::OnceLock;
use std::time::{SystemTime, UNIX_EPOCH};

use serde::Serialize;

static COMMAND: OnceLock<Vec<String>> = OnceLock::new();

/// Sets what [`Provenance::command`] will be. The first call counts.
pub(crate) fn record_command(words: &[OsString]) {
    COMMAND.get_or_init(|| words.iter().map(|word| word.to_string_lossy().into_owned()).collect());
}

/// Written beside the results of long commands.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Provenance {
    /// Version of deeptell.
    pub(crate) deeptell: &'static str,
    /// Git revision of the build, with `+` appended if files had been changed; absent for builds outside of a repository.
    pub(crate) revision: Option<&'static str>,
    /// The command line.
    pub(crate) command: Vec<String>,
    /// Start of the command, in seconds since 1970, UTC.
    pub(crate) unix_seconds: u64,
    /// Cores of the machine.
    pub(crate) cores: usize,
}

impl Provenance {
    pub(crate) fn now() -> Self {
        Self {
            deeptell: env!("CARGO_PKG_VERSION"),
            revision: revision(),
            command: COMMAND.get().cloned().unwrap_or_default(),
            unix_seconds: SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs()),
            cores: std::thread::available_parallelism().map_or(1, usize::from),
        }
    }
}

/// Revision of the build; absent for builds outside of a checkout.
fn revision() -> Option<&'static str> {
    Some(env!("DEEPTELL_REVISION")).filter(|revision| !revision.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_revision_is_a_commit_hash_or_absent() {
        let hash = |text: &str| text.len() == 40 && text.chars().all(|c| c.is_ascii_hexdigit());
        assert!(revision().is_none_or(|revision| hash(revision.trim_end_matches('+'))), "{:?}", revision());
    }
}
