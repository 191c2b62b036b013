//! `cargo xtask setup`: the system packages that the build needs, and those of the tests.
//!
//! FFmpeg's libraries do the decoding, libclang reads their headers while the bindings are built, and pkg-config
//! tells where the libraries lie. The tests of the web page need Chromium besides, which is large: it is installed
//! for `cargo xtask test` alone. All else comes from the package registry.

use std::env;
use std::fs;
use std::io::{IsTerminal, stdin};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::process::{NotReady, display, installed, is_installed, succeeds};

/// Something the build or the tests need, and the Debian packages that bring it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Need {
    Compiler,
    PkgConfig,
    FfmpegLibraries,
    Libclang,
    Browser,
    Llvm,
    FfmpegTools,
    Slurm,
}

impl Need {
    const BUILD: [Self; 4] = [Self::Compiler, Self::PkgConfig, Self::FfmpegLibraries, Self::Libclang];
    const TESTS: [Self; 1] = [Self::Browser];
    const CUDA: [Self; 1] = [Self::Llvm];
    const FFMPEG: [Self; 4] = [Self::Compiler, Self::PkgConfig, Self::Libclang, Self::FfmpegTools];

    fn name(self) -> &'static str {
        match self {
            Self::Compiler => "a C compiler",
            Self::PkgConfig => "pkg-config",
            Self::FfmpegLibraries => "the development files of FFmpeg",
            Self::Libclang => "libclang",
            Self::Browser => "Chromium",
            Self::Llvm => "LLVM 22",
            Self::FfmpegTools => "the tools that build FFmpeg and pack wheels",
            Self::Slurm => "Slurm",
        }
    }

    fn debian_packages(self) -> &'static [&'static str] {
        match self {
            Self::Compiler => &["gcc", "libc6-dev"],
            Self::PkgConfig => &["pkg-config"],
            Self::FfmpegLibraries => {
                &["libavcodec-dev", "libavformat-dev", "libavutil-dev", "libswscale-dev"]
            }
            Self::Libclang => &["libclang-dev"],
            // Letters to draw come with it only as a recommendation.
            Self::Browser => &["chromium", "fonts-dejavu-core"],
            Self::Llvm => &["libllvm22", "llvm-22-dev"],
            Self::Slurm => &["slurm-wlm", "munge"],
            Self::FfmpegTools => &["advancecomp", "make", "meson", "nasm", "ninja-build", "tar", "xz-utils"],
        }
    }

    fn is_met(self, debian: bool) -> bool {
        match self {
            Self::Compiler => is_installed("cc"),
            Self::PkgConfig => is_installed("pkg-config"),
            Self::FfmpegLibraries => succeeds(Command::new("pkg-config").args([
                "--exists",
                "libavcodec",
                "libavformat",
                "libavutil",
                "libswscale",
            ])),
            Self::Libclang if env::var_os("LIBCLANG_PATH").is_some() => true,
            // The library alone is not enough: it needs its own headers, which only the -dev package pulls in.
            Self::Libclang if debian => has_debian_libclang(),
            Self::Libclang => libclang_folders().iter().any(|folder| holds_libclang(folder)),
            Self::Browser => browser().is_some(),
            Self::Llvm => Path::new("/usr/lib/llvm-22/bin/llvm-config").is_file(),
            Self::Slurm => crate::cluster::has_slurm(),
            Self::FfmpegTools => {
                // The assembler of x86; others have theirs in the compiler.
                let assembler = cfg!(target_arch = "x86_64").then_some("nasm");
                let tools = ["advzip", "make", "meson", "ninja", "tar", "xz"].into_iter().chain(assembler);
                tools.into_iter().all(is_installed)
            }
        }
    }
}

/// What to type where we do not install by ourselves: system, and the commands for the build, the browser and the
/// tools that build FFmpeg and pack wheels.
const BY_HAND: [(&str, &str, &str, &str); 3] = [
    (
        "Fedora",
        "sudo dnf install gcc pkgconf-pkg-config clang-devel ffmpeg-free-devel",
        "sudo dnf install chromium",
        "sudo dnf install advancecomp make meson nasm ninja-build tar xz",
    ),
    (
        "Arch",
        "sudo pacman -S --needed gcc pkgconf clang ffmpeg",
        "sudo pacman -S --needed chromium",
        "sudo pacman -S --needed advancecomp make meson nasm ninja tar xz",
    ),
    (
        "macOS with Homebrew",
        "brew install pkgconf llvm ffmpeg",
        "brew install --cask chromium",
        "brew install advancecomp make meson nasm ninja xz",
    ),
];

/// Makes sure that the build has what it needs; silent and quick when it has.
///
/// # Errors
/// [`NotReady`] where only the user can install the missing packages; another error when apt fails.
pub(crate) fn ensure() -> Result<()> {
    ensure_all(&Need::BUILD)
}

/// Makes sure that the tests have what they need: what the build needs, and a browser.
///
/// # Errors
/// As [`ensure`].
pub(crate) fn ensure_for_tests() -> Result<()> {
    ensure_all(&[Need::BUILD.as_slice(), &Need::TESTS].concat())
}

/// Makes sure that Debian's LLVM is there, which a CUDA build can do with; see [`has_apt`].
///
/// # Errors
/// As [`ensure`].
pub(crate) fn ensure_llvm() -> Result<()> {
    ensure_all(&Need::CUDA)
}

/// Makes sure that what the static FFmpeg and a program that links it are built with is there. The FFmpeg of the
/// system is not needed.
///
/// # Errors
/// As [`ensure`].
pub(crate) fn ensure_for_ffmpeg() -> Result<()> {
    ensure_all(&Need::FFMPEG)
}

/// Makes sure that Slurm is there, and what the build needs.
///
/// # Errors
/// As [`ensure`]; [`NotReady`] where there is no apt.
pub(crate) fn ensure_for_slurm() -> Result<()> {
    if !has_apt() && !Need::Slurm.is_met(false) {
        return Err(NotReady("install slurmctld, slurmd and munged, then run this again".to_owned()).into());
    }
    ensure_all(&[Need::BUILD.as_slice(), &[Need::Slurm]].concat())
}

/// Whether packages are installed with apt here.
pub(crate) fn has_apt() -> bool {
    is_debian(&fs::read_to_string("/etc/os-release").unwrap_or_default())
}

/// The browser that the tests of the web page drive: the one that `DEEPTELL_BROWSER` names, else an installed one.
pub(crate) fn browser() -> Option<PathBuf> {
    let names = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"];
    let applications = [
        "/Applications/Chromium.app/Contents/MacOS/Chromium",
        "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
    ];
    let named = env::var_os("DEEPTELL_BROWSER").map(PathBuf::from);
    named
        .or_else(|| names.iter().find_map(|name| installed(name)))
        .or_else(|| applications.iter().map(PathBuf::from).find(|path| path.is_file()))
}

fn ensure_all(needs: &[Need]) -> Result<()> {
    let debian = has_apt();
    let missing = missing(needs, debian);
    if missing.is_empty() {
        return Ok(());
    }
    let names = missing.iter().map(|need| need.name()).collect::<Vec<_>>().join(", ");
    if !debian {
        return Err(NotReady(advice(&names, &missing)).into());
    }
    eprintln!("Missing on this machine: {names}");
    install_with_apt(&missing)?;
    let still = self::missing(needs, debian);
    if let Some(need) = still.first() {
        bail!("apt is done, but {} still cannot be found", need.name());
    }
    Ok(())
}

fn missing(needs: &[Need], debian: bool) -> Vec<Need> {
    needs.iter().copied().filter(|need| !need.is_met(debian)).collect()
}

fn advice(names: &str, missing: &[Need]) -> String {
    let width = BY_HAND.iter().map(|(system, ..)| system.len()).max().unwrap_or(0);
    let lacks = |needs: &[Need]| missing.iter().any(|need| needs.contains(need));
    let commands = BY_HAND.map(|(system, build, browser, tools)| {
        let build = lacks(&Need::BUILD).then_some(build);
        let browser = lacks(&Need::TESTS).then_some(browser);
        let tools = lacks(&[Need::FfmpegTools]).then_some(tools);
        let commands: Vec<&str> = build.into_iter().chain(browser).chain(tools).collect();
        format!("  {system:width$}  {}", commands.join(" && "))
    });
    format!(
        "this machine lacks {names}. Install, then run the same command again:\n{}\n\
         On another system: FFmpeg 5.1 or newer with headers, libclang and pkg-config; for the tests, Chromium.",
        commands.join("\n")
    )
}

/// Whether an `os-release` file describes Debian or one of its descendants, and so a system with apt.
fn is_debian(os_release: &str) -> bool {
    os_release
        .lines()
        .filter_map(|line| line.strip_prefix("ID=").or_else(|| line.strip_prefix("ID_LIKE=")))
        .flat_map(|value| value.trim_matches('"').split_whitespace())
        .any(|id| id == "debian" || id == "ubuntu")
}

fn install_with_apt(missing: &[Need]) -> Result<()> {
    let packages: Vec<&str> = missing.iter().flat_map(|need| need.debian_packages()).copied().collect();
    let update = ["apt-get", "update"].as_slice();
    let install: Vec<&str> =
        ["apt-get", "install", "--yes", "--no-install-recommends"].into_iter().chain(packages).collect();

    let root = Root::find(&format!("{} && {}", update.join(" "), install.join(" ")))?;
    if !run_as(root, update)? {
        eprintln!("apt-get update did not succeed; trying with the package lists that are here");
    }
    if !run_as(root, &install)? {
        bail!("step `setup` failed: apt could not install the packages; its own message is above");
    }
    Ok(())
}

/// How this user becomes root.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Root {
    Already,
    Sudo,
}

impl Root {
    /// Never lets sudo wait for a password nobody knows is wanted.
    fn find(by_hand: &str) -> Result<Self> {
        let user = Command::new("id").arg("-u").output().context("cannot start `id`")?;
        if user.stdout.trim_ascii() == b"0" {
            return Ok(Self::Already);
        }
        if !is_installed("sudo") {
            return Err(NotReady(format!("there is no sudo here; as root, run: {by_hand}")).into());
        }
        if succeeds(Command::new("sudo").args(["-n", "true"])) {
            return Ok(Self::Sudo);
        }
        if !stdin().is_terminal() {
            let reason = "sudo wants a password and there is no terminal to ask on";
            return Err(NotReady(format!("{reason}; as root, run: {by_hand}")).into());
        }
        eprintln!("sudo will now ask for your password, to run: {by_hand}");
        Ok(Self::Sudo)
    }
}

/// Runs a command as root, the terminal staying connected for sudo's question alone.
fn run_as(root: Root, words: &[&str]) -> Result<bool> {
    let mut command = match root {
        Root::Already => {
            let mut command = Command::new(words[0]);
            command.args(&words[1..]).env("DEBIAN_FRONTEND", "noninteractive").stdin(Stdio::null());
            command
        }
        Root::Sudo => {
            let mut command = Command::new("sudo");
            command.args(["env", "DEBIAN_FRONTEND=noninteractive"]).args(words);
            command
        }
    };
    eprintln!("\n==> setup: {}", display(&command));
    let status = command.status().with_context(|| format!("cannot start {}", display(&command)))?;
    Ok(status.success())
}

fn has_debian_libclang() -> bool {
    let query = Command::new("dpkg-query")
        .args(["--show", "--showformat=${db:Status-Status}\n", "libclang-dev", "libclang-[0-9]*-dev"])
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .output();
    query.is_ok_and(|output| output.stdout.split(|&byte| byte == b'\n').any(|line| line == b"installed"))
}

/// The folders in which the bindings' generator looks for libclang.
fn libclang_folders() -> Vec<PathBuf> {
    let mut folders: Vec<PathBuf> = [
        "/usr/lib",
        "/usr/lib64",
        "/usr/local/lib",
        "/opt/homebrew/opt/llvm/lib",
        "/usr/local/opt/llvm/lib",
        "/Library/Developer/CommandLineTools/usr/lib",
        "/Applications/Xcode.app/Contents/Developer/Toolchains/XcodeDefault.xctoolchain/usr/lib",
    ]
    .map(PathBuf::from)
    .to_vec();
    // Versioned ones: /usr/lib/llvm-19/lib, /usr/lib64/llvm19/lib.
    for parent in ["/usr/lib", "/usr/lib64"] {
        let versions = fs::read_dir(parent).into_iter().flatten().flatten();
        folders.extend(
            versions
                .filter(|entry| entry.file_name().to_string_lossy().starts_with("llvm"))
                .map(|entry| entry.path().join("lib")),
        );
    }
    folders
}

fn holds_libclang(folder: &Path) -> bool {
    fs::read_dir(folder)
        .into_iter()
        .flatten()
        .flatten()
        .any(|entry| is_libclang(&entry.file_name().to_string_lossy()))
}

/// `libclang.so`, `libclang.so.18`, `libclang-14.so.1`, `libclang.dylib`; not `libclang-cpp.so` nor `libclang.a`.
fn is_libclang(file: &str) -> bool {
    let Some(rest) = file.strip_prefix("libclang") else { return false };
    let rest = rest.strip_prefix('-').map_or(rest, |version| {
        version.trim_start_matches(|character: char| character.is_ascii_digit() || character == '.')
    });
    let rest = rest.strip_prefix('.').unwrap_or(rest);
    rest == "dylib" || rest == "so" || rest.starts_with("so.")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debian_and_its_derivatives_are_recognized() {
        assert!(is_debian("PRETTY_NAME=\"Debian GNU/Linux 12\"\nID=debian\n"));
        assert!(is_debian("ID=ubuntu\nID_LIKE=debian\n"));
        assert!(is_debian("ID=linuxmint\nID_LIKE=\"ubuntu debian\"\n"));
    }

    #[test]
    fn other_systems_get_advice_with_the_packages_needed() {
        assert!(!is_debian("NAME=\"Fedora Linux\"\nID=fedora\nVARIANT_ID=debian-like\n"));
        assert!(!is_debian("ID=arch\n"));
        assert!(!is_debian(""));
        let build = advice("libclang", &[Need::Libclang]);
        for word in ["libclang", "dnf install gcc", "pacman -S", "brew install"] {
            assert!(build.contains(word), "{word}");
        }
        assert!(!build.contains("chromium") && !build.contains("meson"), "{build}");
        let tools = advice("tools", &[Need::FfmpegTools]);
        assert!(tools.contains("dnf install advancecomp make meson") && !tools.contains("gcc"), "{tools}");
        let browser = advice("Chromium", &[Need::Browser]);
        assert!(browser.contains("dnf install chromium") && !browser.contains("gcc"), "{browser}");
    }

    #[test]
    fn only_libclang_itself_is_recognized_as_libclang() {
        for file in ["libclang.so", "libclang.so.18", "libclang-14.so", "libclang-14.so.1", "libclang.dylib"]
        {
            assert!(is_libclang(file), "{file}");
        }
        for file in
            ["libclang-cpp.so", "libclang-cpp.so.14", "libclang.a", "libclangAST.so", "libc.so", "clang"]
        {
            assert!(!is_libclang(file), "{file}");
        }
    }

    #[test]
    fn every_need_has_debian_packages() {
        for need in Need::BUILD.into_iter().chain(Need::TESTS).chain(Need::CUDA).chain(Need::FFMPEG) {
            assert!(!need.debian_packages().is_empty(), "{}", need.name());
        }
    }
}
