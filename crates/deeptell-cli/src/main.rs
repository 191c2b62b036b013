//! The `deeptell` program.

use std::process::ExitCode;

fn main() -> ExitCode {
    deeptell::run_if_decoder();
    deeptell_cli::run(std::env::args_os()).into()
}
