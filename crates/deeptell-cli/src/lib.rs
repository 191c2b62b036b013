//! The `deeptell` program as a function, [`run`]: arguments, progress, messages and exit codes.
//!
//! `main` calls it, and so does the command `deeptell` of the Python package. Everything else that the program can do
//! is in the crates that it is made of.

// Compiles the example of the README.
#![cfg_attr(doctest, doc = include_str!("../README.md"))]

mod cache;
mod commands;
mod dataset;
mod detector;
mod device;
mod face_detector;
mod found_faces;
mod help;
mod interrupt;
mod isolation;
mod model_args;
mod output;
mod progress;
mod provenance;
mod task;
mod training;
mod views;
mod which_split;

use std::ffi::OsString;

use clap::{CommandFactory as _, FromArgMatches as _, Parser, Subcommand};

use output::{Verbosity, alert};

/// Detect manipulated faces in videos and pictures, and train models that do.
///
/// A verdict is a reason to look closer, never proof.
#[derive(Parser)]
#[command(name = "deeptell", version, max_term_width = 100, after_help = EXAMPLES)]
struct Cli {
    #[command(subcommand)]
    command: Command,

    /// Number of threads for decoding and arithmetic [default: one per core].
    #[arg(short = 'j', long, global = true, value_name = "N", help_heading = "Global options")]
    threads: Option<usize>,

    /// Print details on standard error: the model, the device, how long each step takes.
    #[arg(short, long, global = true, help_heading = "Global options")]
    verbose: bool,

    /// Print only warnings and errors on standard error, no progress and no notes.
    #[arg(short, long, global = true, conflicts_with = "verbose", help_heading = "Global options")]
    quiet: bool,
}

const EXAMPLES: &str = "\
Examples:
  deeptell scan interview.mp4
  deeptell scan clips/ --html report --json report.json
  deeptell serve
  deeptell extract dataset/ -o crops && deeptell split crops/manifest.jsonl -o split.jsonl
  deeptell train split.jsonl --init imagenet -o runs/first
  deeptell eval --manifest split.jsonl --model runs/first/detector.safetensors
  deeptell faces group.jpg --draw marked/

Exit codes:
  0    success
  1    some inputs failed, or `scan --fail-on` or `audit` found something; everything else was done.
       `status`: something is missing
  2    wrong usage, or the command could not be carried out
  3    samples are missing from an evaluation
  130  interrupted by Ctrl-C or SIGTERM; long commands continue when run again, or with --resume

`deeptell COMMAND --help` describes a command, with examples.";

#[derive(Subcommand)]
enum Command {
    Scan(commands::scan::Args),
    Serve(commands::serve::Args),
    Extract(commands::extract::Args),
    Status(commands::status::Args),
    Merge(commands::merge::Args),
    Split(commands::split::Args),
    Audit(commands::audit::Args),
    Preview(commands::preview::Args),
    Train(commands::train::Args),
    LeaveOneOut(commands::leave_one_out::Args),
    Calibrate(commands::calibrate::Args),
    Eval(commands::eval::Args),
    Suite(commands::suite::Args),
    Compare(commands::compare::Args),
    Export(commands::export::Args),
    Faces(commands::faces::Args),
    Weights(commands::weights::Args),
    Devices(commands::devices::Args),
    Doctor(commands::doctor::Args),
    Completions(commands::completions::Args),
    Man(commands::man::Args),
}

/// How a command ended, other than with an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Done,
    SomeFailed,
    /// The figures are complete except for missing samples.
    Incomplete,
    Interrupted,
}

/// Runs the program with the words of a command line, of which the first is its own name, and returns its exit code.
///
/// It is for processes that do nothing else: it sets the number of threads and the answer to Ctrl-C for the whole
/// process, which a process can do once, prints, and may end the process when Ctrl-C is pressed a second time. Files are
/// decoded in copies of the program, so the process must be prepared for that ([`deeptell::run_if_decoder`]) or have
/// named another program that decodes.
pub fn run(words: impl IntoIterator<Item = OsString>) -> u8 {
    let words: Vec<OsString> = words.into_iter().collect();
    let parsed = command().try_get_matches_from(&words).and_then(|matches| Cli::from_arg_matches(&matches));
    let cli = match parsed {
        Ok(cli) => cli,
        Err(error) => return refuse(&error, &words),
    };
    provenance::record_command(&words);
    let outcome = perform(cli).and_then(|outcome| {
        output::flush()?;
        Ok(outcome)
    });
    match outcome {
        Ok(Outcome::Done) => 0,
        Ok(Outcome::SomeFailed) => 1,
        Ok(Outcome::Incomplete) => 3,
        Ok(Outcome::Interrupted) => {
            alert!("interrupted");
            130
        }
        Err(error) if output::is_unread(&error) => 0,
        Err(error) => {
            alert!("error: {}", output::one_line(&error));
            2
        }
    }
}

/// Prints the requested help, or the error in the arguments, and returns the exit code.
fn refuse(error: &clap::Error, words: &[OsString]) -> u8 {
    let mut words: Vec<String> = words.iter().map(|word| word.to_string_lossy().into_owned()).collect();
    words.retain(|word| word.contains(deeptell::text::is_invisible));
    if words.is_empty() {
        // Nobody is left to tell when this fails.
        let _ = error.print();
        return u8::try_from(error.exit_code()).unwrap_or(2);
    }
    // The text quotes the arguments.
    let mut text = error.render().to_string();
    for word in words {
        text = text.replace(&word, &deeptell::text::printable(&word));
    }
    for line in text.trim_end().lines() {
        alert!("{line}");
    }
    2
}

fn command() -> clap::Command {
    help::with_groups(Cli::command())
}

fn perform(cli: Cli) -> anyhow::Result<Outcome> {
    output::set_verbosity(match (cli.quiet, cli.verbose) {
        (true, _) => Verbosity::Quiet,
        (false, true) => Verbosity::Verbose,
        (false, false) => Verbosity::Normal,
    });
    rayon::ThreadPoolBuilder::new().num_threads(cli.threads.unwrap_or(0)).build_global()?;
    interrupt::listen()?;
    match cli.command {
        Command::Scan(args) => commands::scan::run(&args),
        Command::Serve(args) => commands::serve::run(&args),
        Command::Extract(args) => commands::extract::run(&args),
        Command::Status(args) => commands::status::run(&args),
        Command::Merge(args) => commands::merge::run(&args),
        Command::Split(args) => commands::split::run(&args),
        Command::Audit(args) => commands::audit::run(&args),
        Command::Preview(args) => commands::preview::run(&args),
        Command::Train(args) => commands::train::run(&args),
        Command::LeaveOneOut(args) => commands::leave_one_out::run(&args),
        Command::Calibrate(args) => commands::calibrate::run(&args),
        Command::Eval(args) => commands::eval::run(&args),
        Command::Suite(args) => commands::suite::run(&args),
        Command::Compare(args) => commands::compare::run(&args),
        Command::Export(args) => commands::export::run(&args),
        Command::Faces(args) => commands::faces::run(&args),
        Command::Weights(args) => commands::weights::run(&args),
        Command::Devices(args) => commands::devices::run(&args),
        Command::Doctor(args) => commands::doctor::run(&args),
        Command::Completions(args) => commands::completions::run(&args, command()),
        Command::Man(args) => commands::man::run(&args, Cli::command()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        command().debug_assert();
    }

    #[test]
    fn earlier_option_names_still_work() {
        for line in [
            "scan a.mp4 --threads 2 --precision bf16",
            "serve --precision f16",
            "train a.jsonl --out run --precision f16",
            "eval --crops a --precision f32",
            "suite a.toml --precision f32",
            "export --format safetensors --out b --precision full",
            "faces a.jpg --min-face-part 0.1 --turned",
        ] {
            let words = ["deeptell"].into_iter().chain(line.split(' '));
            let matches = command().try_get_matches_from(words);
            assert!(matches.is_ok(), "{line}: {}", matches.unwrap_err());
        }
    }
}
