//! Where the results of a scan go.

use std::path::{Path, PathBuf};

use deeptell_extract::{Shard, ShardChoice, ShardError};

/// The files and the folder to write.
#[derive(clap::Args)]
pub(super) struct Targets {
    /// Write all reports as one JSON document; `-` is standard output.
    #[arg(long, value_name = "FILE")]
    pub(super) json: Option<PathBuf>,
    /// Write each report as one line of JSON as soon as its file is scanned; `-` is standard output.
    #[arg(long, value_name = "FILE")]
    pub(super) jsonl: Option<PathBuf>,
    /// Skip files that the --jsonl file has a report of already.
    ///
    /// A report counts if the same version and model made it with the same options, and the file has
    /// not changed since. Lines about other files are kept.
    #[arg(long, requires = "jsonl")]
    pub(super) resume: bool,
    /// Write the verdicts as a CSV table; `-` is standard output.
    #[arg(long, value_name = "FILE")]
    pub(super) csv: Option<PathBuf>,
    /// Write a self-contained HTML page per input, and an index, into this folder.
    #[arg(long, value_name = "DIR")]
    pub(super) html: Option<PathBuf>,
}

impl Targets {
    /// The same with the index of the shard in each name that has a place for it.
    pub(super) fn of_shard(&self, task: ShardChoice, shard: Option<Shard>) -> Result<Self, ShardError> {
        let named = |path: &Option<PathBuf>| path.as_ref().map(|path| task.output(path, shard)).transpose();
        Ok(Self {
            json: named(&self.json)?,
            jsonl: named(&self.jsonl)?,
            resume: self.resume,
            csv: named(&self.csv)?,
            html: named(&self.html)?,
        })
    }

    /// Whether a document is written to standard output, so that nothing else may be.
    ///
    /// # Errors
    /// If there are several.
    pub(super) fn takes_standard_output(&self) -> anyhow::Result<bool> {
        let documents = [("--json", &self.json), ("--jsonl", &self.jsonl), ("--csv", &self.csv)];
        let taken: Vec<&str> = documents
            .into_iter()
            .filter(|(_, target)| target.as_deref() == Some(Path::new("-")))
            .map(|(option, _)| option)
            .collect();
        if self.resume && taken.contains(&"--jsonl") {
            anyhow::bail!("--resume needs --jsonl with the path of a file, not `-`");
        }
        match taken.as_slice() {
            [] => Ok(false),
            [_] => Ok(true),
            several => anyhow::bail!(
                "only one document can be written to standard output: name a file for {}",
                several.join(" and ")
            ),
        }
    }
}
