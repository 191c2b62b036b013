//! Starting other programs, and the errors that come of it.

use std::env;
use std::fmt;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

/// The machine is not ready and only its owner can change that; ends xtask with exit code 2.
#[derive(Debug)]
pub(crate) struct NotReady(pub(crate) String);

impl fmt::Display for NotReady {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl std::error::Error for NotReady {}

/// Runs one step of a task with the terminal's output as its own and no input, and returns how long it took.
///
/// # Errors
/// When the program cannot start or does not succeed; the error names the step.
pub(crate) fn run_step(step: &str, command: &mut Command) -> Result<Duration> {
    eprintln!("\n==> {step}: {}", display(command));
    let start = Instant::now();
    let status = command
        .stdin(Stdio::null())
        .status()
        .with_context(|| format!("step `{step}`: cannot start {}", command.get_program().display()))?;
    if !status.success() {
        bail!("step `{step}` failed ({status})");
    }
    Ok(start.elapsed())
}

/// Runs a program quietly and returns its standard output; its standard error stays visible.
///
/// # Errors
/// When the program cannot start, does not succeed, or writes something other than UTF-8.
pub(crate) fn output_of(command: &mut Command) -> Result<String> {
    let output = command
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .with_context(|| format!("cannot start {}", command.get_program().display()))?;
    if !output.status.success() {
        bail!("`{}` failed ({})", display(command), output.status);
    }
    String::from_utf8(output.stdout).with_context(|| format!("`{}` wrote no UTF-8", display(command)))
}

/// Whether a program starts, says nothing we need, and succeeds.
pub(crate) fn succeeds(command: &mut Command) -> bool {
    let silenced = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    silenced.status().is_ok_and(|status| status.success())
}

/// Whether `program` is a file in one of the folders of `PATH`.
pub(crate) fn is_installed(program: &str) -> bool {
    installed(program).is_some()
}

/// Where `program` lies in the folders of `PATH`.
pub(crate) fn installed(program: &str) -> Option<PathBuf> {
    let file = format!("{program}{}", env::consts::EXE_SUFFIX);
    let path = env::var_os("PATH")?;
    env::split_paths(&path).map(|folder| folder.join(&file)).find(|path| path.is_file())
}

/// The cargo that started xtask.
pub(crate) fn cargo() -> Command {
    Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
}

/// The command as one would type it, with the program's folder left out.
pub(crate) fn display(command: &Command) -> String {
    let program = std::path::Path::new(command.get_program());
    let name = program.file_name().unwrap_or(program.as_os_str());
    std::iter::once(name)
        .chain(command.get_args())
        .map(|word| {
            let word = word.to_string_lossy();
            if word.contains(char::is_whitespace) { format!("'{word}'") } else { word.into_owned() }
        })
        .collect::<Vec<_>>()
        .join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failing_step_is_named_in_its_error() {
        let error = run_step("doomed", &mut Command::new("false")).unwrap_err();
        assert!(error.to_string().contains("`doomed`"), "{error}");
    }

    #[test]
    fn a_program_that_is_not_there_is_an_error_with_its_name() {
        let error = run_step("ghost", &mut Command::new("no-such-program")).unwrap_err();
        assert!(format!("{error:#}").contains("no-such-program"), "{error:#}");
        assert!(!is_installed("no-such-program"));
        assert!(!succeeds(&mut Command::new("no-such-program")));
    }

    #[test]
    fn output_is_captured_whole() {
        let version = output_of(cargo().arg("--version")).unwrap();
        assert!(version.starts_with("cargo "), "{version}");
    }

    #[test]
    fn a_command_is_shown_as_typed() {
        let mut command = Command::new("/usr/bin/env");
        command.args(["one", "two three"]);
        assert_eq!(display(&command), "env one 'two three'");
    }
}
