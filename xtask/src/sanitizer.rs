//! `cargo xtask sanitize` and `cargo xtask fuzz`: the crates with unsafe code under AddressSanitizer.
//!
//! The pinned toolchain ships the sanitizer's run-time library but offers the flag to nightly compilers only;
//! `RUSTC_BOOTSTRAP` lifts that, so both run with the compiler that the product is built with. What others built stays
//! uninstrumented: the standard library and the system's FFmpeg.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::process::{NotReady, cargo, is_installed, output_of, run_step};
use crate::setup;
use crate::workspace::Workspace;

/// The only crates that may hold unsafe code.
const UNSAFE_CRATES: [&str; 2] = ["deeptell-kernels", "deeptell-video"];

/// Tests that a sanitized program cannot pass, each with its reason.
const LEFT_OUT: [(&str, &str); 2] = [
    (
        "forbidden_calls_are_refused_or_end_the_process",
        "the sanitizer ends a process that is refused memory, and the test asks what it does then",
    ),
    (
        "the_pixel_limit_holds_during_the_survey",
        "the sanitizer itself needs more than the 44 MiB that it allows",
    ),
];

/// What the fuzzer adds to the sanitizer: coverage to be guided by (cargo-fuzz's flags).
const COVERAGE: &str = "--cfg fuzzing -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
    -Cllvm-args=-sanitizer-coverage-trace-compares -Cdebug-assertions -Ccodegen-units=1";

/// The package that links the fuzz targets with libFuzzer, a workspace of its own.
const FUZZ: &str = "fuzz/libfuzzer";

/// The fuzz targets, and whether they need what takes long to build.
const TARGETS: [(&str, bool); 13] = [
    ("video", false),
    ("times", false),
    ("picture", false),
    ("wire", false),
    ("manifest", false),
    ("shard", false),
    ("table", false),
    ("lists", false),
    ("extraction", false),
    ("weights", true),
    ("model", true),
    ("report", true),
    ("suite", true),
];

/// The target that is a whole server: its test runs for as long as it is asked to.
const HTTP: &str = "http";

/// Where the fuzzer keeps what it finds.
const FOUND: &str = "target/fuzz";

/// Builds of both; apart, because the flags change every crate.
const TARGET: &str = "target/sanitize";

/// Runs the tests of the crates with unsafe code under AddressSanitizer.
///
/// # Errors
/// [`NotReady`] where the toolchain cannot; another error when a test fails or the sanitizer finds something.
pub(crate) fn test(_: &Workspace) -> Result<()> {
    setup::ensure()?;
    let mut tests = sanitized("")?;
    tests.args(["test", "--lib", "--bins", "--tests", "--no-fail-fast"]);
    tests.args(UNSAFE_CRATES.iter().flat_map(|name| ["--package", name]));
    tests.args(["--target", &host()?, "--target-dir", TARGET, "--"]);
    for (test, reason) in LEFT_OUT {
        eprintln!("left out: {test}, because {reason}");
        tests.args(["--skip", test]);
    }
    run_step("tests under AddressSanitizer", &mut tests)?;
    println!("\nAddressSanitizer found nothing in {}.", UNSAFE_CRATES.join(" and "));
    Ok(())
}

/// Fuzzes one target or all for some seconds each, from its corpus and what earlier runs found worth keeping.
///
/// # Errors
/// [`NotReady`] for a target that there is not, and where the toolchain cannot; another error when an input
/// crashes, leaks or hangs.
pub(crate) fn fuzz(workspace: &Workspace, target: Option<&str>, seconds: u64) -> Result<()> {
    let chosen: Vec<(&str, bool)> =
        TARGETS.into_iter().filter(|(name, _)| target.is_none_or(|wanted| wanted == *name)).collect();
    let is_http = target.is_none_or(|wanted| wanted == HTTP);
    if chosen.is_empty() && !is_http {
        let names: Vec<&str> = TARGETS.iter().map(|(name, _)| *name).chain([HTTP]).collect();
        let complaint = format!("there is no such target; there are {}", names.join(", "));
        return Err(NotReady(complaint).into());
    }
    setup::ensure()?;
    for needs_networks in [false, true] {
        let of_build: Vec<&str> =
            chosen.iter().filter(|(_, needs)| *needs == needs_networks).map(|(name, _)| *name).collect();
        if of_build.is_empty() {
            continue;
        }
        let program = build_fuzzer(needs_networks)?;
        for name in of_build {
            run_fuzzer(workspace, &program, name, seconds)?;
        }
    }
    if is_http {
        let mut test = cargo();
        test.args(["test", "--package", "deeptell-serve", "--test", "it", "replay", "--", "--nocapture"]);
        test.env("DEEPTELL_FUZZ_SECONDS", seconds.to_string());
        run_step("fuzzing http", &mut test)?;
    }
    println!("\nNo input did harm in {seconds} s a target.");
    Ok(())
}

/// Builds the fuzzer, for some of the targets or for all.
fn build_fuzzer(with_networks: bool) -> Result<PathBuf> {
    if !is_installed("c++") {
        return Err(NotReady(
            "the fuzzer's run-time library is C++: install a compiler for it (g++)".to_owned(),
        )
        .into());
    }
    let host = host()?;
    let mut build = sanitized(COVERAGE)?;
    build.args(["build", "--release", "--manifest-path", &format!("{FUZZ}/Cargo.toml"), "--bin", "fuzz"]);
    build.args(["--target", &host, "--target-dir", TARGET]);
    if with_networks {
        build.args(["--features", "networks"]);
    }
    run_step("build", &mut build)?;
    Ok(Path::new(TARGET).join(host).join("release/fuzz"))
}

fn run_fuzzer(workspace: &Workspace, program: &Path, name: &str, seconds: u64) -> Result<()> {
    let (kept, artifacts) = (format!("{FOUND}/{name}"), format!("{FOUND}/artifacts/{name}/"));
    for folder in [&kept, &artifacts] {
        fs::create_dir_all(folder).with_context(|| format!("cannot make the folder {folder}"))?;
    }
    let mut fuzzer = Command::new(program);
    fuzzer.env("DEEPTELL_FUZZ_TARGET", name).arg(&kept).args(corpus(&workspace.root, name)?);
    fuzzer.args(["-max_len=200000", "-rss_limit_mb=2048", "-timeout=30", "-print_final_stats=1"]);
    fuzzer.arg(format!("-max_total_time={seconds}")).arg(format!("-artifact_prefix={artifacts}"));
    run_step(&format!("fuzzing {name}"), &mut fuzzer)
        .with_context(|| format!("the input that did it lies in {artifacts}; see fuzz/README.md"))?;
    Ok(())
}

/// The folders that a target starts from, as its source names them.
fn corpus(root: &Path, name: &str) -> Result<Vec<PathBuf>> {
    let source = root.join("fuzz/src/lib.rs");
    let text = fs::read_to_string(&source).with_context(|| format!("cannot read {}", source.display()))?;
    let named = text.split_once(&format!("name: \"{name}\"")).map(|(_, rest)| rest);
    let list = named.and_then(|rest| rest.split_once("&[")?.1.split_once(']'));
    let (list, _) = list.with_context(|| format!("{} names no target {name}", source.display()))?;
    let places = list.split('"').skip(1).step_by(2).map(|place| root.join(place));
    // libFuzzer takes folders.
    Ok(places.filter(|place| place.is_dir()).collect())
}

/// Cargo, set to build for AddressSanitizer with `flags` besides.
fn sanitized(flags: &str) -> Result<Command> {
    let runtime = runtime()?;
    if !runtime.iter().any(|file| is_address_sanitizer(file)) {
        let host = host()?;
        return Err(NotReady(format!(
            "this Rust toolchain has no AddressSanitizer for {host}: it comes with those for Linux on x86-64 and Arm \
             (glibc) and for macOS"
        ))
        .into());
    }
    let mut command = cargo();
    command.env("RUSTC_BOOTSTRAP", "1").env("RUSTFLAGS", format!("-Zsanitizer=address {flags}").trim_end());
    Ok(command)
}

/// The triple of this machine. Named to cargo, it keeps the flags from build scripts and procedural macros.
pub(crate) fn host() -> Result<String> {
    let version = output_of(rustc().arg("-vV"))?;
    let host = version.lines().find_map(|line| line.strip_prefix("host: "));
    host.map(str::to_owned).context("`rustc -vV` names no host")
}

/// The files of the toolchain's library folder for this machine.
fn runtime() -> Result<Vec<String>> {
    let sysroot = output_of(rustc().args(["--print", "sysroot"]))?;
    let folder = PathBuf::from(sysroot.trim()).join("lib/rustlib").join(host()?).join("lib");
    let entries = fs::read_dir(&folder).with_context(|| format!("cannot read {}", folder.display()))?;
    Ok(entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned()).collect())
}

fn rustc() -> Command {
    Command::new(env::var_os("RUSTC").unwrap_or_else(|| "rustc".into()))
}

/// `librustc-stable_rt.asan.a` on Linux, `librustc-stable_rt.asan.dylib` on macOS.
fn is_address_sanitizer(file: &str) -> bool {
    file.starts_with("librustc") && (file.ends_with("_rt.asan.a") || file.ends_with("_rt.asan.dylib"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_address_sanitizer_is_recognized_as_one() {
        for file in ["librustc-stable_rt.asan.a", "librustc-nightly_rt.asan.dylib"] {
            assert!(is_address_sanitizer(file), "{file}");
        }
        for file in ["librustc-stable_rt.lsan.a", "librustc-stable_rt.hwasan.a", "libstd-0123.rlib", "asan.a"]
        {
            assert!(!is_address_sanitizer(file), "{file}");
        }
    }

    #[test]
    fn every_target_is_known_and_has_a_corpus() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        for (name, _) in TARGETS {
            assert!(!corpus(root, name).unwrap().is_empty(), "{name}");
        }
        let source = fs::read_to_string(root.join("fuzz/src/lib.rs")).unwrap();
        assert_eq!(source.matches("name: \"").count(), TARGETS.len());
        let readme = fs::read_to_string(root.join("fuzz/README.md")).unwrap();
        let names = TARGETS.iter().map(|(name, _)| *name).chain([HTTP]);
        for name in names {
            assert!(readme.contains(&format!("`{name}`")), "{name}");
        }
    }

    #[test]
    fn exactly_the_crates_with_unsafe_code_are_sanitized() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
        let mut found: Vec<String> = fs::read_dir(root.join("crates"))
            .unwrap()
            .flatten()
            .filter(|entry| mentions(&entry.path().join("src"), "unsafe {"))
            .map(|entry| entry.file_name().to_string_lossy().into_owned())
            .collect();
        found.sort();
        assert_eq!(found, UNSAFE_CRATES);
    }

    fn mentions(folder: &Path, word: &str) -> bool {
        fs::read_dir(folder).into_iter().flatten().flatten().any(|entry| {
            let path = entry.path();
            if path.is_dir() {
                return mentions(&path, word);
            }
            let rust = path.extension().is_some_and(|extension| extension == "rs");
            rust && fs::read_to_string(path).is_ok_and(|text| text.contains(word))
        })
    }
}
