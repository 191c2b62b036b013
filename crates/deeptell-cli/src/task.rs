//! What a command needs to be one of many tasks of a scheduler.

use deeptell_extract::{AllowedFailures, Shard, ShardChoice};

use crate::{Outcome, interrupt};

/// Options of one task of many.
#[derive(Debug, clap::Args)]
pub(crate) struct TaskArgs {
    #[command(flatten)]
    pub(crate) shard: ShardChoice,
    /// Exit with code 0 although files failed, if they are at most this share of all; without a share,
    /// however many they are. Failures are reported as usual.
    #[arg(
        long,
        value_name = "SHARE",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "100%"
    )]
    allow_failures: Option<AllowedFailures>,
    /// Exit as soon as the process that started this one exits.
    #[arg(long)]
    end_with_parent: bool,
}

impl TaskArgs {
    /// The shard to process; `None` for everything. From now on the process obeys `--end-with-parent`.
    pub(crate) fn begin(&self) -> anyhow::Result<Option<Shard>> {
        if self.end_with_parent {
            interrupt::end_with_parent()?;
        }
        Ok(self.shard.resolve(|name| std::env::var(name).ok())?)
    }

    /// The outcome when `failed` of `files` failed.
    pub(crate) fn outcome(&self, failed: usize, files: usize) -> Outcome {
        let is_done = failed == 0 || self.allow_failures.is_some_and(|allowed| allowed.covers(failed, files));
        if is_done { Outcome::Done } else { Outcome::SomeFailed }
    }
}
