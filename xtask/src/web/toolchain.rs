//! A compiler for WebAssembly: the target of rustup, or Debian's compiler packages where rustup's server cannot be
//! reached.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};

use super::TRIPLE;
use crate::process::{NotReady, cargo, output_of, run_step, succeeds};
use crate::setup;

/// Debian's packages, unpacked: nothing is installed.
const FOLDER: &str = "target/wasm-toolchain";
/// The file that tells that all is there.
const READY: &str = "ready";
/// The compiler that Debian's browsers are built with: newer than that of the release. Built from sources, because
/// Debian has no standard library for this target.
const COMPILER: &str = "rustc-web";
/// What the compiler loads and a plain system lacks; its LLVM is asked for.
const LIBRARIES: [&str; 5] =
    ["libgit2-1.5", "libmbedtls14", "libmbedx509-1", "libmbedcrypto7", "libhttp-parser2.9"];

/// What builds for the target.
pub(crate) enum Toolchain {
    /// The one that built xtask.
    Ours,
    /// Debian's, in a folder.
    Unpacked(PathBuf),
}

impl Toolchain {
    /// The command `cargo`.
    pub(crate) fn cargo(&self) -> Command {
        let Self::Unpacked(folder) = self else { return cargo() };
        let root = folder.join("root/usr");
        // By its path: rustup's cargo would take the compiler that rust-toolchain.toml names.
        let mut cargo = Command::new(root.join("bin/cargo"));
        let libraries = root.join(format!("lib/{}-linux-gnu", env::consts::ARCH));
        let known = env::var_os("LD_LIBRARY_PATH")
            .into_iter()
            .flat_map(|path| env::split_paths(&path).collect::<Vec<_>>());
        let libraries = env::join_paths([libraries].into_iter().chain(known)).unwrap_or_default();
        cargo.env("LD_LIBRARY_PATH", libraries);
        cargo.env("RUSTC", root.join("bin/rustc"));
        cargo.env("CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER", folder.join("wasm-ld"));
        // The standard library is built with the rest, which a release compiler does only when told so.
        cargo.env("RUSTC_BOOTSTRAP", "1").env("CARGO_UNSTABLE_BUILD_STD", "std,panic_abort");
        for set_by_rustup in ["RUSTUP_TOOLCHAIN", "CARGO", "RUSTC_WRAPPER"] {
            cargo.env_remove(set_by_rustup);
        }
        cargo
    }
}

/// Whether the compiler that built xtask has the standard library of the target.
pub(crate) fn is_target_there() -> bool {
    let compiler = || Command::new(env::var_os("RUSTC").unwrap_or_else(|| "rustc".into()));
    let folder = output_of(compiler().args(["--print", "target-libdir", "--target", TRIPLE]));
    folder.is_ok_and(|folder| Path::new(folder.trim()).is_dir())
}

/// Finds or fetches one.
///
/// # Errors
/// [`NotReady`] where neither rustup nor apt can give one.
pub(crate) fn ready() -> Result<Toolchain> {
    let absolute = |path: &str| Ok::<_, anyhow::Error>(env::current_dir()?.join(path));
    if is_target_there() {
        return Ok(Toolchain::Ours);
    }
    let folder = absolute(FOLDER)?;
    if folder.join(READY).is_file() {
        return Ok(Toolchain::Unpacked(folder));
    }
    eprintln!("The compiler lacks the target {TRIPLE}; asking rustup for it.");
    if succeeds(Command::new("rustup").args(["target", "add", TRIPLE])) {
        return Ok(Toolchain::Ours);
    }
    if !setup::has_apt() {
        let message = format!("run `rustup target add {TRIPLE}`, then the same command again");
        return Err(NotReady(message).into());
    }
    eprintln!("rustup cannot: Debian's compiler packages take its place, unpacked into {FOLDER}.");
    unpack(&folder)?;
    Ok(Toolchain::Unpacked(folder))
}

fn unpack(folder: &Path) -> Result<()> {
    let (archives, root) = (folder.join("archives"), folder.join("root"));
    for path in [&archives, &root] {
        fs::create_dir_all(path).with_context(|| format!("cannot make {}", path.display()))?;
    }
    if !succeeds(Command::new("apt-cache").args(["show", COMPILER])) {
        run_step("package lists", Command::new("apt-get").args(["update", "-qq"]))?;
    }
    let policy = output_of(Command::new("apt-cache").args(["policy", COMPILER]))?;
    let version =
        candidate(&policy).context("apt has no rustc-web: is bookworm-security among its sources?")?;
    let release: String = version.splitn(3, '.').take(2).collect::<Vec<_>>().join(".");
    let library = format!("libstd-rust-web-{release}");
    let depends = output_of(Command::new("apt-cache").args(["depends", &library]))?;
    let llvm = llvm_of(&depends).context("rustc-web depends on no libllvm")?;
    let exact = [COMPILER, "cargo-web", &library, "libstd-rust-web-dev", "rust-web-src"];
    let mut packages: Vec<String> = exact.iter().map(|name| format!("{name}={version}")).collect();
    packages.extend([format!("libllvm{llvm}"), format!("lld-{llvm}")]);
    packages.extend(LIBRARIES.map(str::to_owned));
    run_step(
        "packages",
        Command::new("apt-get").current_dir(&archives).args(["download", "-qq"]).args(packages),
    )?;
    let entries = fs::read_dir(&archives).with_context(|| format!("cannot read {}", archives.display()))?;
    for archive in entries.flatten() {
        // Of the compiler's sources only the library is needed, and no manuals.
        let unpack = r#"dpkg-deb --fsys-tarfile "$0" | tar -x -C "$1" --exclude './usr/src/*/compiler' --exclude './usr/src/*/src/*' --exclude './usr/share/*'"#;
        run_step("unpack", Command::new("sh").args(["-euc", unpack]).arg(archive.path()).arg(&root))?;
    }
    fs::remove_dir_all(&archives).with_context(|| format!("cannot remove {}", archives.display()))?;
    // The linker does the job that its name says.
    link(&root.join(format!("usr/lib/llvm-{llvm}/bin/lld")), &folder.join("wasm-ld"))?;
    fs::write(folder.join(READY), &version).context("cannot note that the compiler is ready")
}

#[cfg(unix)]
fn link(file: &Path, name: &Path) -> Result<()> {
    let _ = fs::remove_file(name);
    std::os::unix::fs::symlink(file, name).with_context(|| format!("cannot link {}", name.display()))
}

#[cfg(not(unix))]
fn link(_: &Path, _: &Path) -> Result<()> {
    Err(NotReady("Debian's compiler can stand in on Debian only".to_owned()).into())
}

/// The version that `apt-cache policy` would install.
fn candidate(policy: &str) -> Option<String> {
    let line = policy.lines().find_map(|line| line.trim().strip_prefix("Candidate: "))?;
    (line != "(none)").then(|| line.to_owned())
}

/// The number of the LLVM that `apt-cache depends` names.
fn llvm_of(depends: &str) -> Option<String> {
    let name = depends.lines().find_map(|line| line.trim().strip_prefix("Depends: libllvm"))?;
    let number: String = name.chars().take_while(char::is_ascii_digit).collect();
    (!number.is_empty()).then_some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_from_what_apt_prints() {
        let policy =
            "rustc-web:\n  Installed: (none)\n  Candidate: 1.96.0+dfsg1-1~deb12u1\n  Version table:\n";
        assert_eq!(candidate(policy).as_deref(), Some("1.96.0+dfsg1-1~deb12u1"));
        assert_eq!(candidate("rustc-web:\n  Candidate: (none)\n"), None);
        let depends = "libstd-rust-web-1.96\n  Depends: libc6\n  Depends: libllvm22\n  Depends: zlib1g\n";
        assert_eq!(llvm_of(depends).as_deref(), Some("22"));
        assert_eq!(llvm_of("  Depends: libc6\n"), None);
    }
}
