//! Messages and documents for the user.
//!
//! Everything that is written to a terminal passes through this module: file names and texts of
//! other programs may contain control characters, which are [escaped](deeptell::text::printable).

use std::io::{self, Write as _};
use std::path::Path;
use std::sync::atomic::{AtomicU8, Ordering};

use anyhow::Context as _;
use deeptell::text::{printable, printable_json};
use serde::Serialize;

/// How much is printed on standard error.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub(crate) enum Verbosity {
    /// Warnings and errors.
    Quiet,
    /// Also progress and notes.
    Normal,
    /// Also details: the model, the device, how long each step takes.
    Verbose,
}

static VERBOSITY: AtomicU8 = AtomicU8::new(Verbosity::Normal as u8);

/// Sets how much is printed from now on.
pub(crate) fn set_verbosity(verbosity: Verbosity) {
    VERBOSITY.store(verbosity as u8, Ordering::Relaxed);
}

fn prints(level: Verbosity) -> bool {
    VERBOSITY.load(Ordering::Relaxed) >= level as u8
}

/// Whether only warnings and errors are printed.
pub(crate) fn is_quiet() -> bool {
    !prints(Verbosity::Normal)
}

/// An error and its causes on one line.
pub(crate) fn one_line(error: &anyhow::Error) -> String {
    printable(&deeptell_files::error_chain(error.as_ref())).into_owned()
}

/// An error about a file, with its path unless the error names it already.
pub(crate) fn about(path: &Path, error: &str) -> String {
    let path = path.display().to_string();
    let is_named = error.contains(&path) || error.contains(&*printable(&path));
    if is_named { error.to_owned() } else { format!("{path}: {error}") }
}

/// Like `println!` for one line, but returns an error instead of panicking if standard output is
/// closed, and escapes control characters.
macro_rules! say {
    ($($argument:tt)*) => {
        $crate::output::line(format_args!($($argument)*))?
    };
}
pub(crate) use say;

/// Prints a line on standard error unless `--quiet` is given: progress and notes.
macro_rules! note {
    ($($argument:tt)*) => {
        $crate::output::message($crate::output::Verbosity::Normal, format_args!($($argument)*))
    };
}
pub(crate) use note;

/// Prints a warning or an error on standard error.
macro_rules! alert {
    ($($argument:tt)*) => {
        $crate::output::message($crate::output::Verbosity::Quiet, format_args!($($argument)*))
    };
}
pub(crate) use alert;

/// Prints a line on standard error if `--verbose` is given.
macro_rules! detail {
    ($($argument:tt)*) => {
        $crate::output::message($crate::output::Verbosity::Verbose, format_args!($($argument)*))
    };
}
pub(crate) use detail;

/// Writes a line to standard output.
pub(crate) fn line(text: std::fmt::Arguments<'_>) -> anyhow::Result<()> {
    Ok(writeln!(io::stdout(), "{}", printable(&text.to_string()))?)
}

/// Writes what is still buffered to standard output.
pub(crate) fn flush() -> anyhow::Result<()> {
    Ok(io::stdout().flush()?)
}

/// Standard output, for text whose control characters are escaped already.
pub(crate) fn standard_output() -> Box<dyn io::Write + Send> {
    Box::new(io::stdout())
}

/// Writes the lines of a text to standard output.
pub(crate) fn lines(text: &impl std::fmt::Display) -> anyhow::Result<()> {
    for line in text.to_string().lines() {
        say!("{line}");
    }
    Ok(())
}

/// Writes a line to standard error if messages of this level are printed; failures are ignored.
pub(crate) fn message(level: Verbosity, text: std::fmt::Arguments<'_>) {
    if prints(level) {
        let _ = writeln!(io::stderr(), "{}", printable(&text.to_string()));
    }
}

/// Whether the command failed because its output was closed, as under `| head`.
pub(crate) fn is_unread(error: &anyhow::Error) -> bool {
    let broken = |e: &io::Error| e.kind() == io::ErrorKind::BrokenPipe;
    error.chain().filter_map(|cause| cause.downcast_ref()).any(broken)
}

/// Writes `document` as JSON to `target`: a file, or standard output for `-`.
pub(crate) fn write_json(document: &impl Serialize, target: &Path) -> anyhow::Result<()> {
    let mut text = serde_json::to_string_pretty(document)?;
    text.push('\n');
    write_document(target, printable_json(&text).as_bytes())
}

/// As [`write_json`], with each list on one line, which keeps columns of numbers readable.
pub(crate) fn write_figures(document: &impl Serialize, target: &Path) -> anyhow::Result<()> {
    write_document(target, printable_json(&deeptell_eval::to_json(document)?).as_bytes())
}

/// Writes `content` to `target`: a file, or standard output for `-`.
pub(crate) fn write_document(target: &Path, content: &[u8]) -> anyhow::Result<()> {
    if target == Path::new("-") {
        return Ok(io::stdout().write_all(content)?);
    }
    write_file(target, content)
}

/// Writes a file atomically, and creates its folder if needed.
pub(crate) fn write_file(path: &Path, content: &[u8]) -> anyhow::Result<()> {
    deeptell_files::write_whole(path, content).with_context(|| format!("cannot write {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_cause_is_printed_once() {
        let inner = || anyhow::Error::new(io::Error::other("disk on fire"));
        let error = inner().context("cannot write x").context("saving");
        assert_eq!(one_line(&error), "saving: cannot write x: disk on fire");
        // Libraries that print their cause themselves.
        let error = inner().context("cannot write x: disk on fire");
        assert_eq!(one_line(&error), "cannot write x: disk on fire");
        // A cause whose words occur earlier in the text is still printed.
        let error = inner().context("disk on fire, or so it says, at 5");
        assert_eq!(one_line(&error), "disk on fire, or so it says, at 5: disk on fire");
    }

    #[test]
    fn line_breaks_in_file_names_are_escaped() {
        let error = anyhow::anyhow!("cannot read a\nb.mp4: likely real\u{1b}[2J");
        assert_eq!(one_line(&error), r"cannot read a\nb.mp4: likely real\u{1b}[2J");
    }
}
