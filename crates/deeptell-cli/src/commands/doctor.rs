use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::thread;

use burn::tensor::Device;
use deeptell::ModelFile;
use deeptell_network::Architecture;
use deeptell_video::{Exposure, LinkedFfmpeg, linked_ffmpeg};
use serde::Serialize;

use crate::output::say;
use crate::{Outcome, output};

/// Less free space than this is a warning.
const LITTLE_SPACE: u64 = 1 << 30;

/// Check the installation: FFmpeg, the sandbox, the model, the CPU, free disk space.
///
/// Exits with code 1 if something does not work. Warnings do not change the exit code.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  deeptell doctor
  deeptell doctor --json - | jq -r '.checks[] | select(.state != \"ok\") | .advice'
  deeptell doctor --model runs/first/detector.safetensors")]
pub(crate) struct Args {
    /// Model file to check [default: the shipped model].
    #[arg(long, value_name = "FILE")]
    model: Option<PathBuf>,
    /// Write the results as JSON; `-` is standard output.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

/// The document of `--json`.
#[derive(Debug, Serialize)]
struct Document {
    version: &'static str,
    /// What the program was built for, for example `linux x86_64`.
    platform: String,
    checks: Vec<Check>,
    ffmpeg: LinkedFfmpeg,
    sandbox: Sandbox,
    model: Option<ModelFacts>,
    processor: Processor,
    folders: Vec<Space>,
}

/// One finding.
#[derive(Debug, Serialize)]
struct Check {
    name: &'static str,
    state: State,
    /// What was found.
    found: String,
    /// What to do about it; empty when there is nothing to do.
    advice: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum State {
    Ok,
    Warning,
    Failed,
}

impl Check {
    fn ok(name: &'static str, found: impl Into<String>) -> Self {
        Self { name, state: State::Ok, found: found.into(), advice: String::new() }
    }

    fn but(self, state: State, advice: impl Into<String>) -> Self {
        Self { state, advice: advice.into(), ..self }
    }
}

/// How untrusted files are decoded.
#[derive(Debug, Default, Serialize)]
#[expect(clippy::struct_excessive_bools, reason = "each is an independent fact of the JSON document")]
struct Sandbox {
    /// A separate process decoded a test video.
    decodes: bool,
    /// Its system calls are filtered (seccomp).
    filters_calls: bool,
    /// It may not gain privileges.
    no_new_privileges: bool,
    /// It holds no capability of root.
    no_capabilities: bool,
}

#[derive(Debug, Serialize)]
struct ModelFacts {
    name: String,
    sha256: String,
    /// It is the model that ships.
    is_shipped: bool,
}

#[derive(Debug, Serialize)]
struct Processor {
    /// That this process may use.
    cores: usize,
    /// Threads that decode and compute.
    threads: usize,
    instruction_sets: Vec<&'static str>,
    /// In bytes, where known.
    memory: Option<u64>,
    /// In bytes, where known.
    memory_available: Option<u64>,
}

#[derive(Debug, Serialize)]
struct Space {
    purpose: &'static str,
    folder: PathBuf,
    /// In bytes, where known.
    free: Option<u64>,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<Outcome> {
    let ffmpeg = linked_ffmpeg();
    let (model_check, model) = check_model(args.model.as_deref());
    let (sandbox_check, sandbox) = check_sandbox();
    let processor = processor();
    let folders = folders();
    let mut checks = vec![check_ffmpeg(&ffmpeg), sandbox_check, model_check, check_processor(&processor)];
    checks.extend(folders.iter().map(check_space));
    let document = Document {
        version: deeptell::VERSION,
        platform: format!("{} {}", std::env::consts::OS, std::env::consts::ARCH),
        checks,
        ffmpeg,
        sandbox,
        model,
        processor,
        folders,
    };
    if let Some(target) = &args.json {
        output::write_json(&document, target)?;
    }
    if args.json.as_deref() != Some(Path::new("-")) {
        say!("deeptell {} on {}", document.version, document.platform);
        for check in &document.checks {
            let state = match check.state {
                State::Ok => "ok",
                State::Warning => "warning",
                State::Failed => "FAILED",
            };
            say!("{state:<8}{}: {}", check.name, check.found);
            if !check.advice.is_empty() {
                say!("        {}", check.advice);
            }
        }
    }
    let has_failed = document.checks.iter().any(|check| check.state == State::Failed);
    Ok(if has_failed { Outcome::SomeFailed } else { Outcome::Done })
}

fn check_ffmpeg(ffmpeg: &LinkedFfmpeg) -> Check {
    let found = format!("{} (libavcodec {})", ffmpeg.release, ffmpeg.libavcodec);
    let check = Check::ok("FFmpeg", found);
    match ffmpeg.magicyuv_heap_write {
        Exposure::Affected => check.but(
            State::Warning,
            "this release has CVE-2026-8461, a heap write in its MagicYUV decoder, unless your distribution \
             backported the fix. deeptell never uses that decoder, but other programs do: update FFmpeg to 5.1.10, \
             6.1.6, 7.1.5, 8.1.2 or later",
        ),
        _ => check,
    }
}

fn check_model(path: Option<&Path>) -> (Check, Option<ModelFacts>) {
    const NAME: &str = "model";
    let opened = crate::detector::model_file(path)
        .and_then(|file| Ok((file.sha256().to_owned(), file.load(&Device::flex())?)));
    let (sha256, model) = match opened {
        Ok(opened) => opened,
        Err(error) => {
            let check = Check::ok(NAME, output::one_line(&error));
            return (check.but(State::Failed, "download the model file again, or reinstall deeptell"), None);
        }
    };
    let is_shipped = ModelFile::shipped().is_ok_and(|shipped| shipped.sha256() == sha256);
    let facts = ModelFacts { name: model.card().name.clone(), sha256, is_shipped };
    (Check::ok(NAME, format!("{}, SHA-256 {}", facts.name, facts.sha256)), Some(facts))
}

fn check_processor(processor: &Processor) -> Check {
    let Processor { cores, threads, instruction_sets, memory, memory_available } = processor;
    let mut found = format!("{cores} cores, {threads} threads");
    if !instruction_sets.is_empty() {
        found.push_str(", ");
        found.push_str(&instruction_sets.join(" "));
    }
    if let Some((memory, available)) = memory.zip(*memory_available) {
        let _ = write!(found, ", {} of memory, {} available", size(memory), size(available));
    }
    let check = Check::ok("processor", found);
    if cfg!(target_arch = "x86_64") && !instruction_sets.contains(&"avx2") {
        return check.but(State::Warning, "without AVX2, scans take several times as long");
    }
    check
}

/// The instruction sets of this CPU that the kernels use.
fn instruction_sets() -> Vec<&'static str> {
    #[cfg(target_arch = "x86_64")]
    let known = [
        ("sse4.2", is_x86_feature_detected!("sse4.2")),
        ("avx", is_x86_feature_detected!("avx")),
        ("fma", is_x86_feature_detected!("fma")),
        ("avx2", is_x86_feature_detected!("avx2")),
        ("avx512f", is_x86_feature_detected!("avx512f")),
        ("avx512bw", is_x86_feature_detected!("avx512bw")),
        ("avx512vnni", is_x86_feature_detected!("avx512vnni")),
    ];
    #[cfg(target_arch = "aarch64")]
    let known = [
        ("neon", std::arch::is_aarch64_feature_detected!("neon")),
        ("dotprod", std::arch::is_aarch64_feature_detected!("dotprod")),
        ("fp16", std::arch::is_aarch64_feature_detected!("fp16")),
    ];
    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    let known: [(&str, bool); 0] = [];
    known.into_iter().filter(|(_, is_there)| *is_there).map(|(name, _)| name).collect()
}

fn processor() -> Processor {
    let meminfo = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let field = |name: &str| {
        let line = meminfo.lines().find_map(|line| line.strip_prefix(name))?;
        Some(line.trim().strip_suffix(" kB")?.parse::<u64>().ok()? << 10)
    };
    Processor {
        cores: thread::available_parallelism().map_or(1, usize::from),
        threads: rayon::current_num_threads(),
        instruction_sets: instruction_sets(),
        memory: field("MemTotal:"),
        memory_available: field("MemAvailable:"),
    }
}

/// Where deeptell writes.
fn folders() -> Vec<Space> {
    let space = |purpose, folder: PathBuf| Space { purpose, free: free_space(&folder), folder };
    let mut folders = vec![
        space("the current folder", std::env::current_dir().unwrap_or_else(|_| PathBuf::from("."))),
        space("temporary files and uploads", std::env::temp_dir()),
    ];
    let cache = crate::training::cached_imagenet(Architecture::MobileNetV3Small).ok();
    // It is made when the first file goes into it.
    let cache = cache.as_deref().and_then(|file| file.ancestors().skip(1).find(|folder| folder.is_dir()));
    folders.extend(cache.map(|cache| space("the cache of weights", cache.to_owned())));
    folders
}

fn check_space(space: &Space) -> Check {
    let Space { purpose, folder, free } = space;
    let name = "free space";
    match free {
        Some(free) => {
            let check = Check::ok(name, format!("{} for {purpose}, {}", size(*free), folder.display()));
            if *free < LITTLE_SPACE {
                check.but(State::Warning, "less than 1 GiB is free: long runs and uploads may fill the disk")
            } else {
                check
            }
        }
        None => Check::ok(name, format!("unknown for {purpose}, {}", folder.display())),
    }
}

#[cfg(unix)]
fn free_space(folder: &Path) -> Option<u64> {
    let facts = rustix::fs::statvfs(folder).ok()?;
    facts.f_frsize.checked_mul(facts.f_bavail)
}

#[cfg(not(unix))]
fn free_space(_: &Path) -> Option<u64> {
    None
}

/// A number of bytes, human-readable.
fn size(bytes: u64) -> String {
    let mib = bytes as f64 / f64::from(1 << 20);
    if mib < 1024.0 { format!("{mib:.0} MiB") } else { format!("{:.1} GiB", mib / 1024.0) }
}

#[cfg(not(unix))]
fn check_sandbox() -> (Check, Sandbox) {
    let check = Check::ok("sandbox", "none: separate decoder processes are not supported on this system");
    (check.but(State::Warning, "scan untrusted files on Linux, or in a virtual machine"), Sandbox::default())
}

/// Decodes a video in a separate process and inspects that process.
#[cfg(unix)]
fn check_sandbox() -> (Check, Sandbox) {
    const NAME: &str = "sandbox";
    let sandbox = match sandbox::try_out() {
        Ok(sandbox) => sandbox,
        Err(error) => {
            let check = Check::ok(NAME, output::one_line(&error));
            let advice =
                "files cannot be decoded in a separate process, so scans fail unless --trusted is given";
            return (check.but(State::Failed, advice), Sandbox::default());
        }
    };
    if !cfg!(target_os = "linux") {
        let check = Check::ok(NAME, "each file is decoded in a separate process");
        let advice = "this system does not restrict that process; Linux does";
        return (check.but(State::Warning, advice), sandbox);
    }
    let parts = [
        (sandbox.filters_calls, "system calls are filtered"),
        (sandbox.no_new_privileges, "no new privileges"),
        (sandbox.no_capabilities, "no capabilities"),
    ];
    let words = |wanted: bool| {
        let of = parts.iter().filter(|(is_there, _)| *is_there == wanted);
        of.map(|(_, words)| *words).collect::<Vec<_>>().join(", ")
    };
    let check = Check::ok(NAME, format!("each file is decoded in a separate process: {}", words(true)));
    let check = if sandbox.filters_calls && sandbox.no_new_privileges {
        if sandbox.no_capabilities {
            check
        } else {
            check.but(State::Warning, "the decoder holds capabilities: do not scan untrusted files as root")
        }
    } else {
        check.but(State::Failed, format!("not in force: {}; use a kernel with seccomp filters", words(false)))
    };
    (check, sandbox)
}

#[cfg(unix)]
mod sandbox {
    use anyhow::Context as _;
    use deeptell_video::{Limits, Sampling, VideoReader};

    use super::Sandbox;

    /// Eight grey pictures, ever brighter, in H.264: not every FFmpeg can write a video, but each must read this one.
    const CLIP: &[u8] = include_bytes!("doctor.mp4");

    /// Decodes a small video, and reads the status of the process that does it.
    pub(super) fn try_out() -> anyhow::Result<Sandbox> {
        let folder = tempfile::tempdir().context("cannot create a temporary folder")?;
        let path = folder.path().join("test.mp4");
        std::fs::write(&path, CLIP).context("cannot write to the folder of temporary files")?;
        let decoder = deeptell_video::DecoderProcess::this_program()?;
        let mut reader =
            VideoReader::options().limits(Limits::untrusted()).isolated_by(&decoder).open(&path)?;
        let mut frames = reader.sample(Sampling::Uniform(2));
        frames.next().context("the test video has no frame")??;
        let status = worker_status();
        Ok(Sandbox {
            decodes: true,
            filters_calls: field(&status, "Seccomp:") == Some("2"),
            no_new_privileges: field(&status, "NoNewPrivs:") == Some("1"),
            no_capabilities: field(&status, "CapEff:").is_some_and(|set| set.chars().all(|c| c == '0')),
        })
    }

    /// The `/proc` status of the decoder, a grandchild of this process; empty if there is none.
    fn worker_status() -> String {
        let folders = std::fs::read_dir("/proc").into_iter().flatten().flatten();
        let all: Vec<String> =
            folders.filter_map(|entry| std::fs::read_to_string(entry.path().join("status")).ok()).collect();
        let children = |parent: &str| -> Vec<&String> {
            all.iter().filter(|status| field(status, "PPid:") == Some(parent)).collect()
        };
        let launchers = children(&std::process::id().to_string());
        let worker =
            launchers.iter().filter_map(|launcher| field(launcher, "Pid:")).flat_map(children).next();
        worker.cloned().unwrap_or_default()
    }

    fn field<'a>(status: &'a str, name: &str) -> Option<&'a str> {
        status.lines().find_map(|line| line.strip_prefix(name)).map(str::trim)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_affected_ffmpeg_is_a_warning() {
        let mut ffmpeg = linked_ffmpeg();
        ffmpeg.magicyuv_heap_write = Exposure::Affected;
        let check = check_ffmpeg(&ffmpeg);
        assert_eq!(check.state, State::Warning);
        assert!(check.advice.contains("CVE-2026-8461") && check.advice.contains("8.1.2"), "{}", check.advice);
        ffmpeg.magicyuv_heap_write = Exposure::Fixed;
        assert_eq!(check_ffmpeg(&ffmpeg).state, State::Ok);
    }

    #[test]
    fn a_file_that_is_not_a_model_fails() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let (check, facts) = check_model(Some(file.path()));
        assert_eq!(check.state, State::Failed);
        assert!(facts.is_none());
        let (check, facts) = check_model(None);
        assert_eq!((check.state, facts.unwrap().is_shipped), (State::Ok, true));
    }

    #[test]
    fn sizes_are_printed_in_binary_units() {
        assert_eq!((size(5 << 20).as_str(), size(3 << 29).as_str()), ("5 MiB", "1.5 GiB"));
        let full = Space { purpose: "x", folder: "y".into(), free: Some(5) };
        assert_eq!(check_space(&full).state, State::Warning);
    }
}
