//! Reads data sets, for every command that takes one.

use std::path::Path;

use deeptell_data::{Listing, Sample, scan_dataset};

use crate::Outcome;
use crate::output::{alert, note};

/// Number of missing paths that are printed.
const SHOWN: usize = 5;

/// Options for reading a data set.
#[derive(Debug, Clone, Copy, clap::Args)]
pub(crate) struct DatasetArgs {
    /// Continue without files that the data set lists but that are missing.
    #[arg(long)]
    incomplete: bool,
}

/// The samples of a data set.
pub(crate) struct Dataset {
    pub(crate) samples: Vec<Sample>,
    /// Outcome of a command that succeeds with these samples: parts of the data set may have been unreadable.
    pub(crate) outcome: Outcome,
    /// Number of listed files that are missing, with `--incomplete`.
    pub(crate) missing: usize,
}

impl DatasetArgs {
    /// Whether to continue with what there is.
    pub(crate) fn is_incomplete(self) -> bool {
        self.incomplete
    }

    /// Reads a manifest, or a folder in a known layout; prints what is missing, left out or unreadable.
    ///
    /// # Errors
    /// As [`scan_dataset`], and if files are missing without `--incomplete`.
    pub(crate) fn read(self, path: &Path) -> anyhow::Result<Dataset> {
        self.take(scan_dataset(path)?)
    }

    /// As [`read`](Self::read), for a listing.
    pub(crate) fn take(self, found: Listing) -> anyhow::Result<Dataset> {
        for folder in &found.left_out {
            note!("left out: {}: this folder holds no samples", folder.display());
        }
        for unreadable in &found.unreadable {
            alert!("unreadable: {}: {}", unreadable.path.display(), unreadable.reason);
        }
        if !found.other_kinds.is_empty() {
            note!("{}", deeptell_data::note_on_skipped(&found.other_kinds));
        }
        let outcome = if found.unreadable.is_empty() { Outcome::Done } else { Outcome::SomeFailed };
        let Listing { listed_in, listed, samples, missing, .. } = found;
        if missing.is_empty() {
            return Ok(Dataset { samples, outcome, missing: 0 });
        }
        let count =
            format!("{} of {listed} files listed in {} are missing", missing.len(), listed_in.display());
        if !self.incomplete {
            anyhow::bail!(
                "{count}, the first is {}: complete the data set, or pass --incomplete to continue without them",
                missing[0].display()
            );
        }
        if samples.is_empty() {
            anyhow::bail!("{count}, and the data set has no other files: complete it");
        }
        alert!("{count}; continuing with the other {} files", samples.len());
        for path in missing.iter().take(SHOWN) {
            alert!("  missing: {}", path.display());
        }
        if missing.len() > SHOWN {
            alert!("  and {} more", missing.len() - SHOWN);
        }
        Ok(Dataset { samples, outcome, missing: missing.len() })
    }
}
