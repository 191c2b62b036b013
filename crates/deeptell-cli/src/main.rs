//! The `deeptell` command: scan, serve, faces, extract, merge, split, audit, preview, train, calibrate, eval,
//! compare, export, weights, devices.

mod commands;
mod dataset;
mod detector;
mod device;
mod found_faces;
mod interrupt;
mod isolation;
mod output;
mod progress;
mod provenance;
mod views;
mod which_split;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use output::note;

/// Finds manipulated faces in videos and pictures, and trains the network that does.
///
/// A verdict is a reason to look closer, never proof.
#[derive(Parser)]
#[command(name = "deeptell", version, max_term_width = 100, after_help = EXAMPLES)]
struct Cli {
    #[command(subcommand)]
    command: Command,

    /// Threads for decoding and arithmetic; 0 takes every core.
    #[arg(long, global = true, default_value_t = 0, value_name = "N")]
    threads: usize,
}

const EXAMPLES: &str = "\
Examples:
  deeptell scan interview.mp4
  deeptell scan clips/ --html report --json report.json
  deeptell serve
  deeptell extract dataset/ --out crops && deeptell split crops/manifest.jsonl --out split.jsonl
  deeptell train split.jsonl --init imagenet --out runs/first
  deeptell eval --manifest split.jsonl --model runs/first/detector.safetensors
  deeptell faces group.jpg --draw marked/

Exit codes:
  0  everything asked for was done
  1  some inputs failed, or `scan --fail-on` or `audit` found what it looks for; the rest was done
  2  wrong usage, or the command as a whole could not be done
  3  an evaluation lacks samples that it should rest on
  130  interrupted; long commands continue with --resume, or when run again";

#[derive(Subcommand)]
enum Command {
    Scan(commands::scan::Args),
    Serve(commands::serve::Args),
    Extract(commands::extract::Args),
    Merge(commands::merge::Args),
    Split(commands::split::Args),
    Audit(commands::audit::Args),
    Preview(commands::preview::Args),
    Train(commands::train::Args),
    Calibrate(commands::calibrate::Args),
    Eval(commands::eval::Args),
    Suite(commands::suite::Args),
    Compare(commands::compare::Args),
    Export(commands::export::Args),
    Faces(commands::faces::Args),
    Weights(commands::weights::Args),
    Devices(commands::devices::Args),
    Doctor(commands::doctor::Args),
}

/// How a command ended, short of an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Done,
    SomeFailed,
    /// The figures are there, but samples that they should rest on are missing.
    Incomplete,
    Interrupted,
}

fn main() -> ExitCode {
    deeptell::run_if_decoder();
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return refuse(&error),
    };
    match run(cli) {
        Ok(Outcome::Done) => ExitCode::SUCCESS,
        Ok(Outcome::SomeFailed) => ExitCode::from(1),
        Ok(Outcome::Incomplete) => ExitCode::from(3),
        Ok(Outcome::Interrupted) => {
            note!("interrupted");
            ExitCode::from(130)
        }
        Err(error) if output::is_unread(&error) => ExitCode::SUCCESS,
        Err(error) => {
            note!("error: {}", output::one_line(&error));
            ExitCode::from(2)
        }
    }
}

/// Prints the help that was asked for, or what is wrong with the arguments.
fn refuse(error: &clap::Error) -> ExitCode {
    let mut words: Vec<String> =
        std::env::args_os().map(|word| word.to_string_lossy().into_owned()).collect();
    words.retain(|word| word.contains(deeptell::is_invisible));
    if words.is_empty() {
        error.exit();
    }
    // The text quotes the arguments.
    let mut text = error.render().to_string();
    for word in words {
        text = text.replace(&word, &deeptell::printable(&word));
    }
    for line in text.trim_end().lines() {
        note!("{line}");
    }
    ExitCode::from(2)
}

fn run(cli: Cli) -> anyhow::Result<Outcome> {
    rayon::ThreadPoolBuilder::new().num_threads(cli.threads).build_global()?;
    interrupt::listen()?;
    match cli.command {
        Command::Scan(args) => commands::scan::run(&args),
        Command::Serve(args) => commands::serve::run(&args),
        Command::Extract(args) => commands::extract::run(&args),
        Command::Merge(args) => commands::merge::run(&args),
        Command::Split(args) => commands::split::run(&args),
        Command::Audit(args) => commands::audit::run(&args),
        Command::Preview(args) => commands::preview::run(&args),
        Command::Train(args) => commands::train::run(&args),
        Command::Calibrate(args) => commands::calibrate::run(&args),
        Command::Eval(args) => commands::eval::run(&args),
        Command::Suite(args) => commands::suite::run(&args),
        Command::Compare(args) => commands::compare::run(&args),
        Command::Export(args) => commands::export::run(&args),
        Command::Faces(args) => commands::faces::run(&args),
        Command::Weights(args) => commands::weights::run(&args),
        Command::Devices(args) => commands::devices::run(&args),
        Command::Doctor(args) => commands::doctor::run(&args),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    #[test]
    fn the_command_line_is_consistent() {
        super::Cli::command().debug_assert();
    }
}
