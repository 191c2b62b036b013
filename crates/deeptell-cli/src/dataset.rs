//! Reading of data sets, for every command that takes one.

use std::path::Path;

use deeptell_data::{Listing, Sample, scan_dataset};

use crate::output::note;
use crate::{Outcome, output};

/// Paths that are printed of each kind.
const SHOWN: usize = 5;

/// What is asked of a data set.
#[derive(Debug, Clone, Copy, clap::Args)]
pub(crate) struct DatasetArgs {
    /// Go on without the files that the data set's lists name and that are not there.
    #[arg(long)]
    incomplete: bool,
}

/// The samples of a data set.
pub(crate) struct Dataset {
    pub(crate) samples: Vec<Sample>,
    /// How a command ends that does all it was asked with them: something of the data set may have been unreadable.
    pub(crate) outcome: Outcome,
}

impl DatasetArgs {
    /// Reads a manifest, or a folder in a layout deeptell knows; says what is missing, left out or unreadable.
    ///
    /// # Errors
    /// As [`scan_dataset`], and where files are missing that must be there.
    pub(crate) fn read(self, path: &Path) -> anyhow::Result<Dataset> {
        self.take(scan_dataset(path)?)
    }

    /// As [`read`](Self::read), of what was found already.
    pub(crate) fn take(self, found: Listing) -> anyhow::Result<Dataset> {
        for folder in &found.left_out {
            note!("left out: {}: it holds no samples of the data set", folder.display());
        }
        for unreadable in &found.unreadable {
            note!("unreadable: {}: {}", unreadable.path.display(), unreadable.reason);
        }
        if !found.other_kinds.is_empty() {
            note!("{}", output::words_on_left_out(&found.other_kinds));
        }
        let outcome = if found.unreadable.is_empty() { Outcome::Done } else { Outcome::SomeFailed };
        let Listing { listed_in, listed, samples, missing, .. } = found;
        if missing.is_empty() {
            return Ok(Dataset { samples, outcome });
        }
        let count =
            format!("{} of {listed} files listed in {} are missing", missing.len(), listed_in.display());
        if !self.incomplete {
            anyhow::bail!(
                "{count}, the first is {}: complete the data set, or pass --incomplete to go on without them",
                missing[0].display()
            );
        }
        if samples.is_empty() {
            anyhow::bail!("{count}, and there are no others: nothing can be done");
        }
        note!("{count}; going on with the {} files that are there", samples.len());
        for path in missing.iter().take(SHOWN) {
            note!("  missing: {}", path.display());
        }
        if missing.len() > SHOWN {
            note!("  and {} more", missing.len() - SHOWN);
        }
        Ok(Dataset { samples, outcome })
    }
}
