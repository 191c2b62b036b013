//! The processor, the memory and the disks.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::thread;

use serde::Serialize;

use super::{Check, CheckState};

/// Less free space than this is a warning.
const LITTLE_SPACE: u64 = 1 << 30;

/// The processor and the memory of this machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Processor {
    /// Cores that this process may use.
    pub cores: usize,
    /// Threads that decode and compute.
    pub threads: usize,
    /// Those that the kernels use, for example `avx2`.
    pub instruction_sets: Vec<&'static str>,
    /// In bytes, where known.
    pub memory: Option<u64>,
    /// In bytes, where known.
    pub memory_available: Option<u64>,
}

/// Free space in a folder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct FreeSpace {
    /// What is written there.
    pub purpose: &'static str,
    /// The folder.
    #[serde(serialize_with = "deeptell_files::serialize_path")]
    pub folder: PathBuf,
    /// In bytes, where known.
    pub free: Option<u64>,
}

impl Processor {
    /// Of this machine, as the operating system says.
    pub(super) fn this() -> Self {
        let meminfo = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
        let field = |name: &str| {
            let line = meminfo.lines().find_map(|line| line.strip_prefix(name))?;
            Some(line.trim().strip_suffix(" kB")?.parse::<u64>().ok()? << 10)
        };
        Self {
            cores: thread::available_parallelism().map_or(1, usize::from),
            threads: rayon::current_num_threads(),
            instruction_sets: instruction_sets(),
            memory: field("MemTotal:"),
            memory_available: field("MemAvailable:"),
        }
    }

    pub(super) fn check(&self) -> Check {
        let Self { cores, threads, instruction_sets, memory, memory_available } = self;
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
            return check.but(CheckState::Warning, "without AVX2, scans take several times as long");
        }
        check
    }
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

impl FreeSpace {
    pub(super) fn of(purpose: &'static str, folder: PathBuf) -> Self {
        Self { purpose, free: free_space(&folder), folder }
    }

    pub(super) fn check(&self) -> Check {
        let Self { purpose, folder, free } = self;
        let name = "free space";
        match free {
            Some(free) => {
                let check = Check::ok(name, format!("{} for {purpose}, {}", size(*free), folder.display()));
                if *free < LITTLE_SPACE {
                    let advice = "less than 1 GiB is free: long runs and uploads may fill the disk";
                    check.but(CheckState::Warning, advice)
                } else {
                    check
                }
            }
            None => Check::ok(name, format!("unknown for {purpose}, {}", folder.display())),
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_printed_in_binary_units() {
        assert_eq!((size(5 << 20).as_str(), size(3 << 29).as_str()), ("5 MiB", "1.5 GiB"));
        let full = FreeSpace { purpose: "x", folder: "y".into(), free: Some(5) };
        assert_eq!(full.check().state, CheckState::Warning);
    }
}
