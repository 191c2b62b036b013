//! The rules about what sources may contain. ARCHITECTURE.md explains them.

use std::path::Path;

use anyhow::{Context, Result};

use crate::invariants::{BACKEND_CRATES, BACKENDS};

/// The source of a crate that writes to the terminal: there, control characters are escaped.
const TERMINAL_SOURCE: &str = "output.rs";

/// Every place where a library crate chooses a device, as a sentence each: whoever calls it does. Feature
/// unification can make a backend available that no manifest of the crate names.
///
/// # Errors
/// When a file of `crates`, the folder of all crates, cannot be read.
pub(crate) fn device_breaches(crates: &Path) -> Result<Vec<String>> {
    let mut breaches = Vec::new();
    for_each_source(crates, |name, path, text| {
        if BACKEND_CRATES.contains(&name) {
            return;
        }
        breaches.extend(
            chosen_devices(text)
                .into_iter()
                .map(|(line, device)| format!("2: {}:{line} chooses the device `{device}`", path.display())),
        );
    })?;
    breaches.sort();
    Ok(breaches)
}

/// Every place where a crate writes to the terminal past the functions that escape control characters, as a
/// sentence each: names of files and texts of other programs may hold them. Clippy watches `println!` and the like.
///
/// # Errors
/// When a file of `crates`, the folder of all crates, cannot be read.
pub(crate) fn terminal_breaches(crates: &Path) -> Result<Vec<String>> {
    let mut breaches = Vec::new();
    for_each_source(crates, |name, path, text| {
        if path.ends_with(Path::new(name).join("src").join(TERMINAL_SOURCE)) {
            return;
        }
        for (number, line) in code_lines(text) {
            let is_written = ["stdout()", "stderr()"].iter().any(|stream| {
                line.match_indices(stream)
                    // `use_stderr()` only asks.
                    .filter(|(at, _)| !line[..*at].ends_with('_'))
                    .any(|(at, _)| !line[at + stream.len()..].starts_with(".is_terminal()"))
            });
            let is_allowed = ["print_stdout", "print_stderr"].iter().any(|lint| line.contains(lint));
            if is_written || is_allowed {
                breaches.push(format!(
                    "7: {}:{number} writes to the terminal, which only {TERMINAL_SOURCE} may",
                    path.display()
                ));
            }
        }
    })?;
    breaches.sort();
    Ok(breaches)
}

/// Calls `look` with the crate's name, the path and the text of each source of `crates`.
fn for_each_source(crates: &Path, mut look: impl FnMut(&str, &Path, &str)) -> Result<()> {
    for folder in entries(crates)? {
        let name = folder.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let mut waiting = vec![folder.join("src")];
        while let Some(path) = waiting.pop() {
            if path.is_dir() {
                waiting.extend(entries(&path)?);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = std::fs::read_to_string(&path)
                    .with_context(|| format!("cannot read {}", path.display()))?;
                look(&name, &path, &text);
            }
        }
    }
    Ok(())
}

/// The lines of a source outside of comments and of the tests at its end, each with its number.
fn code_lines(source: &str) -> impl Iterator<Item = (usize, &str)> {
    let code = (1..).zip(source.lines()).take_while(|(_, line)| line.trim() != "#[cfg(test)]");
    code.filter(|(_, line)| !line.trim_start().starts_with("//"))
}

/// What is in a folder that exists, in order of names; nothing for one that does not.
fn entries(folder: &Path) -> Result<Vec<std::path::PathBuf>> {
    if !folder.is_dir() {
        return Ok(Vec::new());
    }
    let reading = || format!("cannot list {}", folder.display());
    let mut entries = Vec::new();
    for entry in std::fs::read_dir(folder).with_context(reading)? {
        entries.push(entry.with_context(reading)?.path());
    }
    entries.sort();
    Ok(entries)
}

/// The devices of burn that a source names outside of comments and of the tests at its end, each with its line.
fn chosen_devices(source: &str) -> Vec<(usize, String)> {
    code_lines(source)
        .flat_map(|(number, line)| {
            line.match_indices("Device::").filter_map(move |(at, beginning)| {
                let rest = &line[at + beginning.len()..];
                let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
                let chosen = BACKENDS.contains(&&rest[..end]) || &rest[..end] == "default";
                chosen.then(|| (number, format!("Device::{}", &rest[..end])))
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_that_a_library_chooses_is_found_in_its_sources() {
        let source = "//! let device = Device::flex();\nfn load() -> Model {\n    read(&Device::flex())\n}\n\
                      fn is_cpu(device: &Device) -> bool {\n    *device == Device::default()\n}\n\
                      #[cfg(test)]\nmod tests {\n    fn device() -> Device { Device::flex() }\n}\n";
        let expected = [(3, "Device::flex".to_owned()), (6, "Device::default".to_owned())];
        assert_eq!(chosen_devices(source), expected);
        assert!(chosen_devices("Device::is_autodiff(&device); MyDevice::flexible()").is_empty());

        let folder = std::env::temp_dir().join(format!("deeptell-xtask-devices-{}", std::process::id()));
        for name in ["deeptell-mtcnn", "deeptell-cli"] {
            std::fs::create_dir_all(folder.join(name).join("src/deep")).unwrap();
            std::fs::write(folder.join(name).join("src/deep/a.rs"), source).unwrap();
        }
        let breaches = device_breaches(&folder).unwrap();
        std::fs::remove_dir_all(&folder).unwrap();
        assert_eq!(breaches.len(), 2, "the program may: {breaches:?}");
        assert!(breaches[0].contains("deeptell-mtcnn") && breaches[0].contains(":3"), "{breaches:?}");
    }

    #[test]
    fn what_writes_to_the_terminal_is_found() {
        let folder = std::env::temp_dir().join(format!("deeptell-xtask-terminal-{}", std::process::id()));
        let source = "// stderr()\nlet bar = stderr().is_terminal() && error.use_stderr();\nlet _ = writeln!(io::stderr(), \"{name}\");\n\
                      #![expect(clippy::print_stderr)]\n#[cfg(test)]\nmod tests { fn f() { io::stdout(); } }\n";
        std::fs::create_dir_all(folder.join("deeptell-cli/src/commands")).unwrap();
        for file in ["output.rs", "commands/train.rs"] {
            std::fs::write(folder.join("deeptell-cli/src").join(file), source).unwrap();
        }
        let breaches = terminal_breaches(&folder).unwrap();
        std::fs::remove_dir_all(&folder).unwrap();
        assert_eq!(breaches.len(), 2, "{breaches:?}");
        assert!(breaches[0].contains("train.rs:3") && breaches[1].contains("train.rs:4"), "{breaches:?}");
        let ours = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("crates");
        assert_eq!(terminal_breaches(&ours).unwrap(), Vec::<String>::new());
    }
}
