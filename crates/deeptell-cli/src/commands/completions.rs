use clap_complete::Shell;

use crate::{Outcome, output};

/// Print a script that completes the commands and options of deeptell in a shell.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  deeptell completions bash > ~/.local/share/bash-completion/completions/deeptell
  deeptell completions zsh > ~/.zfunc/_deeptell                 # with ~/.zfunc in $fpath
  deeptell completions fish > ~/.config/fish/completions/deeptell.fish")]
pub(crate) struct Args {
    /// Shell to write the script for.
    #[arg(value_enum)]
    shell: Shell,
}

pub(crate) fn run(args: &Args, mut command: clap::Command) -> anyhow::Result<Outcome> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut command, "deeptell", &mut script);
    output::write_document("-".as_ref(), &script)?;
    Ok(Outcome::Done)
}
