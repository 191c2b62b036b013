//! What a command needs to be one of many tasks of a scheduler.

use deeptell_extract::{Shard, ShardChoice};

/// Options of one task of many.
#[derive(Debug, clap::Args)]
pub(crate) struct TaskArgs {
    #[command(flatten)]
    shard: ShardChoice,
}

impl TaskArgs {
    /// The shard to process; `None` for everything.
    pub(crate) fn shard(&self) -> anyhow::Result<Option<Shard>> {
        Ok(self.shard.resolve(|name| std::env::var(name).ok())?)
    }
}
