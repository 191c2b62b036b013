//! Gives the program the git revision it is built from.

use std::path::Path;
use std::process::Command;

fn main() {
    println!("cargo::rerun-if-env-changed=DEEPTELL_REVISION");
    let revision = std::env::var("DEEPTELL_REVISION").ok().or_else(revision);
    println!("cargo::rustc-env=DEEPTELL_REVISION={}", revision.unwrap_or_default());
}

/// The revision of the checkout this is built in, with `+` appended when files of it were changed; `None` outside of
/// one, as in a package from a registry.
fn revision() -> Option<String> {
    let git = |arguments: &[&str]| {
        let output = Command::new("git").args(arguments).output().ok()?;
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    // The checkout of something else may lie around a package.
    git(&["ls-files", "--error-unmatch", "build.rs"])?;
    let head = git(&["rev-parse", "HEAD"])?;
    let log = git(&["rev-parse", "--path-format=absolute", "--git-path", "logs/HEAD"])?;
    // The crates, for changes that are not committed.
    for path in [log.as_str(), ".."] {
        if Path::new(path).exists() {
            println!("cargo::rerun-if-changed={path}");
        }
    }
    let is_clean = git(&["--no-optional-locks", "status", "--porcelain", "--untracked-files=no"])?.is_empty();
    Some(if is_clean { head } else { format!("{head}+") })
}
