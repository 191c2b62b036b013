use std::fs;
use std::path::PathBuf;

use anyhow::Context as _;

use crate::Outcome;
use crate::output::say;

/// Write the manual pages of deeptell and of each command.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  deeptell man ~/.local/share/man/man1                     # then: man deeptell-scan")]
pub(crate) struct Args {
    /// Folder for the pages; created if missing.
    #[arg(value_name = "DIR")]
    folder: PathBuf,
}

pub(crate) fn run(args: &Args, command: clap::Command) -> anyhow::Result<Outcome> {
    let folder = args.folder.display();
    fs::create_dir_all(&args.folder).with_context(|| format!("cannot make the folder {folder}"))?;
    // A page for `deeptell help scan` would only say again what the one of `deeptell scan` says.
    clap_mangen::generate_to(command.disable_help_subcommand(true), &args.folder)
        .with_context(|| format!("cannot write the manual pages to {folder}"))?;
    say!("the manual pages are in {folder}");
    Ok(Outcome::Done)
}
