//! The interpreters of Python on this machine.

use std::collections::BTreeMap;
use std::env;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result};

use crate::process::{NotReady, output_of};

/// The oldest version 3.x that the wheel is for.
pub(super) const OLDEST_MINOR: u32 = 9;
/// With a bound for the names that are tried.
const VERSIONS: std::ops::Range<u32> = OLDEST_MINOR..30;
/// What an interpreter is asked.
const QUESTION: &str = "import sys; print(*sys.version_info[:2], sys.executable)";

/// One that runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Interpreter {
    pub(super) program: PathBuf,
    minor: u32,
}

impl Interpreter {
    /// What the oldest version is tested with.
    pub(super) const OLDEST: &str = "oldest";

    /// Which list of packages the tests take: the oldest `NumPy` has wheels for the oldest version alone.
    pub(super) fn requirements(&self) -> &'static str {
        if self.minor == OLDEST_MINOR { Self::OLDEST } else { "newest" }
    }

    pub(super) fn version(&self) -> String {
        format!("3.{}", self.minor)
    }

    /// Asks a program what it is; `None` for one that does not run, or is too old.
    fn of(program: &Path) -> Option<Self> {
        let mut command = Command::new(program);
        command.args(["-c", QUESTION]).stdin(Stdio::null()).stderr(Stdio::null());
        let output = command.output().ok().filter(|output| output.status.success())?;
        Self::read(&String::from_utf8(output.stdout).ok()?)
    }

    /// Reads the answer.
    fn read(answer: &str) -> Option<Self> {
        let mut words = answer.trim().splitn(3, ' ');
        let (major, minor, program) = (words.next()?, words.next()?.parse().ok()?, words.next()?);
        (major == "3" && VERSIONS.contains(&minor)).then(|| Self { program: program.into(), minor })
    }
}

/// The oldest interpreter and the newest, once if they are the same: of those `given`, or of those on the `PATH` and
/// among the versions of pyenv.
///
/// # Errors
/// When there is none, or one that is given is of no use.
pub(super) fn oldest_and_newest(given: &[PathBuf]) -> Result<Vec<Interpreter>> {
    let mut found = BTreeMap::new();
    if given.is_empty() {
        for program in candidates() {
            if let Some(interpreter) = Interpreter::of(&program) {
                found.entry(interpreter.minor).or_insert(interpreter);
            }
        }
    }
    for program in given {
        let answer = output_of(Command::new(program).args(["-c", QUESTION]))?;
        let interpreter = Interpreter::read(&answer).with_context(|| {
            format!("{} is not a CPython of version 3.{} or later", program.display(), VERSIONS.start)
        })?;
        found.insert(interpreter.minor, interpreter);
    }
    let ends = found.values().next().zip(found.values().next_back());
    let (oldest, newest) = ends.ok_or_else(|| {
        NotReady(format!(
            "the wheel is tested with Python 3.{} or later: install one, or name it with --python",
            VERSIONS.start
        ))
    })?;
    Ok(if oldest == newest { vec![oldest.clone()] } else { vec![oldest.clone(), newest.clone()] })
}

/// Programs that may be interpreters.
fn candidates() -> Vec<PathBuf> {
    let names = VERSIONS.map(|minor| format!("python3.{minor}"));
    let mut candidates: Vec<PathBuf> = names.chain(["python3".to_owned()]).map(PathBuf::from).collect();
    let home = || env::home_dir().map(|home| home.join(".pyenv"));
    let versions =
        env::var_os("PYENV_ROOT").map(PathBuf::from).or_else(home).map(|root| root.join("versions"));
    for version in versions.iter().flat_map(std::fs::read_dir).flatten().flatten() {
        candidates.push(version.path().join("bin/python3"));
    }
    candidates
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_a_version_and_a_program() {
        let interpreter = Interpreter::read("3 11 /opt/my python/bin/python3\n").unwrap();
        assert_eq!(interpreter.version(), "3.11");
        assert_eq!(interpreter.program, PathBuf::from("/opt/my python/bin/python3"));
        for other in ["2 7 /usr/bin/python", "3 8 /usr/bin/python", "3 11", "", "Python 3.11.2"] {
            assert_eq!(Interpreter::read(other), None, "{other}");
        }
    }

    #[test]
    fn the_oldest_packages_are_for_the_oldest_version_alone() {
        let of = |minor: u32| Interpreter::read(&format!("3 {minor} python")).unwrap().requirements();
        assert_eq!([9, 10, 13].map(of), ["oldest", "newest", "newest"]);
    }

    #[test]
    fn what_is_given_must_be_an_interpreter() {
        assert!(oldest_and_newest(&["no-such-python".into()]).is_err());
        assert!(oldest_and_newest(&["/bin/echo".into()]).is_err());
    }
}
