//! `cargo xtask cuda`: a build of `deeptell` for NVIDIA GPUs.
//!
//! Burn's CUDA backend compiles through LLVM. The build script of `tracel-llvm-bundler` fetches one from GitHub; where
//! that cannot be reached, Debian's LLVM 22 is put where the script looks. It differs by a version from the one the
//! script would fetch: the program links with it and runs, but was not yet tried on a GPU.

use std::env;
use std::fs;
use std::net::{TcpStream, ToSocketAddrs};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};

use crate::devices::TARGET;
use crate::process::{NotReady, cargo, output_of, run_step};
use crate::setup;
use crate::workspace::Workspace;

/// Debian's LLVM that stands in.
const SYSTEM_LLVM: &str = "/usr/lib/llvm-22";

/// The crate whose build script wants an LLVM.
const BUNDLER: &str = "tracel-llvm-bundler";

/// Builds the program with the feature `cuda`, and puts beside it the LLVM that it loads.
///
/// # Errors
/// [`NotReady`] where no LLVM can be had; another error when the build fails.
pub(crate) fn build(workspace: &Workspace) -> Result<()> {
    setup::ensure()?;
    let lock = fs::read_to_string("Cargo.lock").context("cannot read Cargo.lock")?;
    let version = locked_version(&lock, BUNDLER)
        .with_context(|| format!("Cargo.lock has no {BUNDLER}: did Burn change how it compiles for CUDA?"))?;
    let bundle = bundle_folder(version)?;
    if !bundle.join(INSTALLED).exists() {
        if is_reachable("github.com:443") {
            eprintln!("The build will fetch LLVM from GitHub, once.");
        } else {
            stand_in(&bundle, version)?;
        }
    }

    let mut build = cargo();
    build.args([
        "rustc",
        "--release",
        "--package",
        "deeptell-cli",
        "--bin",
        "deeptell",
        "--features",
        "cuda",
    ]);
    build.args(["--target-dir", TARGET]);
    if cfg!(target_os = "linux") {
        // The program looks for libLLVM in its own folder first.
        build.args(["--", "-Clink-arg=-Wl,-rpath,$ORIGIN"]);
    }
    run_step("build", &mut build)?;
    let program =
        workspace.root.join(TARGET).join("release").join(format!("deeptell{}", env::consts::EXE_SUFFIX));
    if let Some(library) = shared_llvm(&bundle)? {
        let name = library.file_name().context("libLLVM has no name")?;
        let beside = program.with_file_name(name);
        fs::copy(&library, &beside)
            .with_context(|| format!("cannot copy {} to {}", library.display(), beside.display()))?;
        println!("\nTake {} along: the program loads it from its own folder.", beside.display());
    }
    println!("\nBuilt {}; it takes --device cuda.", program.display());
    Ok(())
}

/// The file that tells the build script that its LLVM is there.
const INSTALLED: &str = ".tracel-llvm-installed";

/// Where the build script looks for its LLVM: the user's data folder.
fn bundle_folder(version: &str) -> Result<PathBuf> {
    let named = env::var_os("XDG_DATA_HOME").map(PathBuf::from).filter(|path| path.is_absolute());
    let home = || env::var_os("HOME").map(|home| PathBuf::from(home).join(".local/share"));
    let data = named.or_else(home).context("HOME is not set")?;
    Ok(data.join("tracel").join(format!("tracel-llvm-{version}")))
}

/// Lets Debian's LLVM answer for the one that cannot be fetched.
fn stand_in(bundle: &Path, version: &str) -> Result<()> {
    eprintln!("GitHub cannot be reached, from where the build would fetch LLVM: Debian's takes its place.");
    if !setup::has_apt() {
        return Err(NotReady(format!(
            "on a machine with internet, fetch https://github.com/tracel-ai/tracel-llvm/releases/download/v{version}/\
             linux-x64.tar.xz (linux-AArch64.tar.xz on Arm), unpack it to {}, make an empty file {INSTALLED} in it, \
             then run the same command again",
            bundle.display()
        ))
        .into());
    }
    setup::ensure_llvm()?;
    let tool = bundle.join("bin/llvm-config");
    let folder = bundle.join("bin");
    fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    fs::write(&tool, llvm_config(version)).with_context(|| format!("cannot write {}", tool.display()))?;
    make_executable(&tool)?;
    let installed = bundle.join(INSTALLED);
    fs::write(&installed, "").with_context(|| format!("cannot write {}", installed.display()))?;
    eprintln!("It answers from {}; delete that folder to have LLVM fetched again.", bundle.display());
    Ok(())
}

/// Answers what the build script asks as if the fetched LLVM did, with one shared library for the static ones.
fn llvm_config(version: &str) -> String {
    let release = version.split('-').next().unwrap_or(version);
    format!(
        r#"#!/bin/sh
# Made by `cargo xtask cuda`.
for question; do case $question in
  --libs|--libnames) echo; exit;;
  --system-libs) echo -lLLVM-22; exit;;
  --libdir) echo {SYSTEM_LLVM}/lib; exit;;
  --includedir) echo {SYSTEM_LLVM}/include; exit;;
  --version) echo {release}; exit;;
  --cflags|--cxxflags) {SYSTEM_LLVM}/bin/llvm-config "$question"; exit;;
  --prefix) echo {SYSTEM_LLVM}; exit;;
esac; done
"#
    )
}

#[cfg(unix)]
fn make_executable(file: &Path) -> Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    let permissions = fs::Permissions::from_mode(0o755);
    fs::set_permissions(file, permissions)
        .with_context(|| format!("cannot make {} executable", file.display()))
}

#[cfg(not(unix))]
fn make_executable(_: &Path) -> Result<()> {
    Err(NotReady("LLVM can stand in on Debian only".to_owned()).into())
}

/// The shared LLVM that the program loads; `None` where LLVM is linked into it.
fn shared_llvm(bundle: &Path) -> Result<Option<PathBuf>> {
    let libraries =
        output_of(std::process::Command::new(bundle.join("bin/llvm-config")).arg("--system-libs"))?;
    if !libraries.contains("-lLLVM") {
        return Ok(None);
    }
    let folder = Path::new(SYSTEM_LLVM).join("lib");
    let entries = fs::read_dir(&folder).with_context(|| format!("cannot read {}", folder.display()))?;
    let found = entries.flatten().map(|entry| entry.path()).find(|path| is_loaded_llvm(path));
    found.map(Some).with_context(|| format!("there is no libLLVM.so.22.* in {}", folder.display()))
}

/// The name that the loader looks for, `libLLVM.so.22.1`, and not one of the linker's.
fn is_loaded_llvm(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("libLLVM.so.22."))
}

/// The version of a package in the text of Cargo.lock.
fn locked_version<'a>(lock: &'a str, package: &str) -> Option<&'a str> {
    let mut lines = lock.lines();
    lines.find(|line| *line == format!("name = \"{package}\""))?;
    lines.next()?.strip_prefix("version = \"")?.strip_suffix('"')
}

fn is_reachable(address: &str) -> bool {
    let mut addresses = address.to_socket_addrs().into_iter().flatten();
    addresses.any(|address| TcpStream::connect_timeout(&address, Duration::from_secs(5)).is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_is_that_of_the_lock_file() {
        let lock = "[[package]]\nname = \"a\"\nversion = \"1.0.0\"\n\n[[package]]\nname = \"b\"\nversion = \"2.1.0-4\"\n";
        assert_eq!(locked_version(lock, "b"), Some("2.1.0-4"));
        assert_eq!(locked_version(lock, "c"), None);
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        let lock = fs::read_to_string(root.join("Cargo.lock")).unwrap();
        assert!(locked_version(&lock, BUNDLER).is_some_and(|version| version.contains('-')));
    }

    #[test]
    #[cfg(unix)]
    fn the_stand_in_answers_as_the_build_script_asks() {
        let tool = env::temp_dir().join(format!("deeptell-llvm-config-{}", std::process::id()));
        fs::write(&tool, llvm_config("23.1.0-4")).unwrap();
        let ask = |question: &str| {
            output_of(std::process::Command::new("sh").arg(&tool).args(["--link-static", question])).unwrap()
        };
        assert_eq!(ask("--version"), "23.1.0\n");
        assert_eq!(ask("--libs"), "\n", "no static library");
        assert_eq!(ask("--system-libs"), "-lLLVM-22\n");
        assert_eq!(ask("--libdir"), "/usr/lib/llvm-22/lib\n");
        fs::remove_file(&tool).unwrap();
    }

    #[test]
    fn only_the_llvm_library_with_its_full_version_is_accepted() {
        assert!(is_loaded_llvm(Path::new("/usr/lib/llvm-22/lib/libLLVM.so.22.1")));
        for name in ["libLLVM.so", "libLLVM-22.so", "libLLVM-22.so.1", "libLLVMCore.a"] {
            assert!(!is_loaded_llvm(Path::new(name)), "{name}");
        }
    }
}
