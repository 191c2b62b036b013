//! The checks of `deploy/`: scripts and manifests for schedulers, which are not run for that.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::check::where_installed;
use crate::process::run_step;

/// The folder, from the root of the workspace.
const FOLDER: &str = "deploy";

/// The oldest Kubernetes with every field of the manifests, and the newest that the validator knows.
const KUBERNETES: [&str; 2] = ["1.29", "1.37"];

/// Parses every file without running it.
const PARSE_PYTHON: &str = "import ast, sys; [ast.parse(open(name).read(), name) for name in sys.argv[1:]]";

/// Checks the syntax of scripts, and more where the tools are installed: shell with shellcheck, manifests against the
/// schemas of Kubernetes.
///
/// # Errors
/// When a check fails, or a file is of no kind that is checked.
pub(crate) fn check(step: &str) -> Result<()> {
    let Files { shell, python, manifests } = Files::find(Path::new(FOLDER))?;
    let command = |program: &str, words: &[&str], files: &[PathBuf]| {
        let mut command = Command::new(program);
        command.args(words).args(files);
        command
    };
    for script in &shell {
        run_step(step, Command::new("bash").arg("-n").arg(script))?;
    }
    let shellcheck = "apt-get install shellcheck";
    where_installed(step, "shellcheck", shellcheck, &mut command("shellcheck", &[], &shell))?;
    let parse = &mut command("python3", &["-c", PARSE_PYTHON], &python);
    where_installed(step, "python3", "apt-get install python3", parse)?;
    for version in KUBERNETES {
        let words = ["--strict", "-k", version];
        let validate = &mut command("kubernetes-validate", &words, &manifests);
        where_installed(step, "kubernetes-validate", "pip install kubernetes-validate", validate)?;
    }
    Ok(())
}

/// The files of the folder by how they are checked.
#[derive(Debug, Default, PartialEq)]
struct Files {
    shell: Vec<PathBuf>,
    python: Vec<PathBuf>,
    manifests: Vec<PathBuf>,
}

impl Files {
    /// Every file in the folders of `root`, each of which is for one scheduler.
    fn find(root: &Path) -> Result<Self> {
        let mut found = Self::default();
        for folder in entries(root)? {
            for file in entries(&folder)? {
                let kind = match file.extension().and_then(|end| end.to_str()) {
                    Some("sh" | "sbatch") => &mut found.shell,
                    Some("py") => &mut found.python,
                    Some("yaml") => &mut found.manifests,
                    // Python's own.
                    _ if file.ends_with("__pycache__") => continue,
                    _ => bail!(
                        "{} is of no kind that is checked: add it to xtask/src/deploy.rs",
                        file.display()
                    ),
                };
                kind.push(file);
            }
        }
        Ok(found)
    }
}

fn entries(folder: &Path) -> Result<Vec<PathBuf>> {
    let reading = || format!("cannot list {}", folder.display());
    let mut entries = Vec::new();
    for entry in fs::read_dir(folder).with_context(reading)? {
        entries.push(entry.with_context(reading)?.path());
    }
    entries.sort();
    Ok(entries)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_is_checked() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(FOLDER);
        let found = Files::find(&root).unwrap();
        assert!(
            !found.shell.is_empty() && !found.python.is_empty() && !found.manifests.is_empty(),
            "{found:?}"
        );
    }
}
