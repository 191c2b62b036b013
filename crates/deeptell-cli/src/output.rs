//! Words and documents for the user.

use std::io::Write as _;
use std::path::Path;

use anyhow::Context as _;
use serde::Serialize;

/// An error and its causes on one line, without saying anything twice.
pub(crate) fn one_line(error: &anyhow::Error) -> String {
    let mut text = String::new();
    for cause in error.chain() {
        let part = cause.to_string();
        if text.contains(&part) {
            continue;
        }
        if !text.is_empty() {
            text.push_str(": ");
        }
        text.push_str(&part);
    }
    text
}

/// Like `println!`, but a reader that has gone away is an error to return and not a panic.
macro_rules! say {
    ($($argument:tt)*) => {
        $crate::output::line(format_args!($($argument)*))?
    };
}
pub(crate) use say;

/// Writes a line to standard output.
pub(crate) fn line(text: std::fmt::Arguments<'_>) -> anyhow::Result<()> {
    Ok(writeln!(std::io::stdout(), "{text}")?)
}

/// Whether the command ended because nobody reads its output any more, as under `| head`.
pub(crate) fn is_unread(error: &anyhow::Error) -> bool {
    let broken = |e: &std::io::Error| e.kind() == std::io::ErrorKind::BrokenPipe;
    error.chain().filter_map(|cause| cause.downcast_ref()).any(broken)
}

/// Writes `document` as JSON to `target`: a file, or standard output for `-`.
pub(crate) fn write_json(document: &impl Serialize, target: &Path) -> anyhow::Result<()> {
    let mut text = serde_json::to_string_pretty(document)?;
    text.push('\n');
    write_document(target, text.as_bytes())
}

/// Writes `content` to `target`: a file, or standard output for `-`.
pub(crate) fn write_document(target: &Path, content: &[u8]) -> anyhow::Result<()> {
    if target == Path::new("-") {
        return Ok(std::io::stdout().write_all(content)?);
    }
    write_file(target, content)
}

/// Writes a file, with the folders it lies in, whole or not at all.
pub(crate) fn write_file(path: &Path, content: &[u8]) -> anyhow::Result<()> {
    let write = || {
        if let Some(folder) = path.parent().filter(|f| !f.as_os_str().is_empty()) {
            std::fs::create_dir_all(folder)?;
        }
        let mut beside = path.as_os_str().to_owned();
        beside.push(".partial");
        std::fs::write(&beside, content)?;
        std::fs::rename(&beside, path)
    };
    write().with_context(|| format!("cannot write {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn causes_are_said_once() {
        let inner = std::io::Error::other("disk on fire");
        let error = anyhow::Error::new(inner).context("cannot write x").context("saving: cannot write x");
        assert_eq!(one_line(&error), "saving: cannot write x: disk on fire");
    }
}
