//! What a decoding process may still do once the file is open: compute, read the file, answer.

use std::io;
use std::time::Duration;

use rustix::process::{Resource, Rlimit, setrlimit};

use crate::Limits;
use crate::media::PictureJob;

/// What happens to a decoding process that asks the kernel for something else than decoding needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum OnForbidden {
    /// The call fails; calls that open a connection, start a program or touch another process kill.
    Refuse,
    /// Every such call kills the process.
    Kill,
}

/// What a program occupies before it decodes anything.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Baseline {
    mapped_bytes: u64,
    resident_bytes: u64,
}

impl Baseline {
    /// Of this process, which has loaded its libraries.
    ///
    /// # Errors
    /// When the system does not tell.
    pub(crate) fn measure() -> io::Result<Self> {
        #[cfg(target_os = "linux")]
        {
            let (mapped_bytes, resident_bytes) = linux::memory_in_use()?;
            Ok(Self { mapped_bytes, resident_bytes })
        }
        #[cfg(not(target_os = "linux"))]
        Ok(Self::default())
    }
}

/// What a process may take.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    /// Address space in bytes, the program included.
    address_space: u64,
    /// Seconds of computing.
    cpu_seconds: u64,
}

/// What a picture takes besides its pixels: buffers of the file, tables, the ends of memory that the allocator
/// keeps.
const BESIDE_PICTURE: u64 = 24 << 20;

impl Bounds {
    /// For a video, with `shared` bytes of memory that the process has been given to fill; `None` when the
    /// program alone takes more than it may.
    pub(super) fn of_video(limits: &Limits, baseline: Baseline, shared: u64) -> Option<Self> {
        let resident = baseline.resident_bytes.saturating_add(shared);
        let left = limits.memory_bytes.checked_sub(resident)?;
        Some(Self::new(baseline.mapped_bytes.saturating_add(shared).saturating_add(left), limits.deadline))
    }

    /// For a picture, whose limit is on decoding alone.
    pub(super) fn of_picture(job: &PictureJob, baseline: Baseline, shared: u64) -> Self {
        let memory = job.limits.max_memory_bytes.saturating_add(BESIDE_PICTURE);
        let mapped = baseline.mapped_bytes.saturating_add(shared);
        Self::new(mapped.saturating_add(memory), job.deadline)
    }

    /// For a process that only tries whether its walls hold.
    pub(super) fn of_probe(baseline: Baseline) -> Self {
        Self::new(baseline.mapped_bytes.saturating_add(16 << 20), Duration::from_secs(2))
    }

    fn new(address_space: u64, deadline: Duration) -> Self {
        // The deadline counts waiting, too, and comes first; this one is for a process that no longer listens.
        Self { address_space, cpu_seconds: deadline.as_secs().saturating_add(2) }
    }
}

/// Descriptors: the three standard ones, the file, its copies, the channel, the shared memory, and a few
/// to spare.
const MAX_DESCRIPTORS: u64 = 16;

/// Bounds this process for good.
///
/// # Errors
/// When a bound cannot be set; the file must not be decoded then.
pub(super) fn enter(bounds: Bounds, on_forbidden: OnForbidden) -> io::Result<()> {
    let bound = |resource, value| setrlimit(resource, Rlimit { current: Some(value), maximum: Some(value) });
    bound(Resource::Core, 0)?;
    // Answers go through sockets, pixels into memory: no file is written.
    bound(Resource::Fsize, 0)?;
    bound(Resource::Nofile, MAX_DESCRIPTORS)?;
    let seconds = bounds.cpu_seconds;
    setrlimit(Resource::Cpu, Rlimit { current: Some(seconds), maximum: Some(seconds.saturating_add(1)) })?;
    #[cfg(target_os = "linux")]
    {
        bound(Resource::As, bounds.address_space)?;
        linux::restrict_calls(on_forbidden)?;
    }
    #[cfg(not(target_os = "linux"))]
    let _ = (bounds.address_space, on_forbidden);
    Ok(())
}

#[cfg(target_os = "linux")]
mod linux {
    use std::collections::BTreeMap;
    use std::{env, fs, io, process};

    use seccompiler::{
        BpfProgram, SeccompAction, SeccompCmpArgLen as Length, SeccompCmpOp as Is, SeccompCondition,
        SeccompFilter, SeccompRule,
    };

    use super::OnForbidden;

    /// Bytes of address space and of memory that this process has.
    pub(super) fn memory_in_use() -> io::Result<(u64, u64)> {
        let status = fs::read_to_string("/proc/self/status")?;
        let field = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name))?;
            Some(line.trim().strip_suffix(" kB")?.parse::<u64>().ok()? << 10)
        };
        field("VmSize:").zip(field("VmRSS:")).ok_or_else(|| io::ErrorKind::InvalidData.into())
    }

    /// Calls that are harmless with any arguments.
    const ALLOWED: &[libc::c_long] = &[
        libc::SYS_read,
        libc::SYS_readv,
        libc::SYS_pread64,
        libc::SYS_write,
        libc::SYS_writev,
        libc::SYS_pwrite64,
        libc::SYS_lseek,
        libc::SYS_close,
        libc::SYS_fstat,
        libc::SYS_munmap,
        libc::SYS_mremap,
        libc::SYS_brk,
        libc::SYS_futex,
        libc::SYS_sched_yield,
        libc::SYS_sched_getaffinity,
        libc::SYS_clock_gettime,
        libc::SYS_clock_nanosleep,
        libc::SYS_nanosleep,
        libc::SYS_getrandom,
        libc::SYS_getpid,
        libc::SYS_gettid,
        libc::SYS_rt_sigaction,
        libc::SYS_rt_sigprocmask,
        libc::SYS_rt_sigreturn,
        libc::SYS_sigaltstack,
        libc::SYS_restart_syscall,
        libc::SYS_exit,
        libc::SYS_exit_group,
    ];

    /// Calls that decoding never makes and an intruder would.
    const HOSTILE: &[libc::c_long] = &[
        libc::SYS_socket,
        libc::SYS_socketpair,
        libc::SYS_connect,
        libc::SYS_bind,
        libc::SYS_listen,
        libc::SYS_execve,
        libc::SYS_execveat,
        libc::SYS_ptrace,
        libc::SYS_process_vm_readv,
        libc::SYS_process_vm_writev,
        libc::SYS_kill,
    ];

    fn invalid(error: impl std::error::Error) -> io::Error {
        io::Error::other(format!("cannot restrict system calls: {error}"))
    }

    fn rule(conditions: &[(u8, Is, u64)]) -> io::Result<Vec<SeccompRule>> {
        let conditions = conditions
            .iter()
            .map(|(argument, is, value)| {
                SeccompCondition::new(*argument, Length::Dword, is.clone(), *value).map_err(invalid)
            })
            .collect::<io::Result<_>>()?;
        Ok(vec![SeccompRule::new(conditions).map_err(invalid)?])
    }

    /// Makes the kernel refuse what decoding does not need: opening files, connections, programs,
    /// threads, memory that can be executed.
    pub(super) fn restrict_calls(on_forbidden: OnForbidden) -> io::Result<()> {
        let architecture = env::consts::ARCH.try_into().map_err(invalid)?;
        let install = |rules, otherwise, matched| -> io::Result<()> {
            let filter = SeccompFilter::new(rules, otherwise, matched, architecture).map_err(invalid)?;
            let program = BpfProgram::try_from(filter).map_err(invalid)?;
            seccompiler::apply_filter(&program).map_err(invalid)
        };

        let not_executable = [(2, Is::MaskedEq(libc::PROT_EXEC as u64), 0)];
        let mut rules: BTreeMap<i64, Vec<SeccompRule>> = ALLOWED.iter().map(|call| (*call, vec![])).collect();
        rules.insert(libc::SYS_mmap, rule(&not_executable)?);
        rules.insert(libc::SYS_mprotect, rule(&not_executable)?);
        // What allocators ask for. `statx` and `newfstatat` are not among the calls allowed: a filter cannot see
        // whether they name a file.
        let advices = [libc::MADV_DONTNEED, libc::MADV_FREE, libc::MADV_HUGEPAGE];
        let advices = advices.map(|advice| rule(&[(2, Is::Eq, advice as u64)]));
        rules.insert(libc::SYS_madvise, advices.into_iter().collect::<io::Result<Vec<_>>>()?.concat());
        let copy = rule(&[(1, Is::Eq, libc::F_DUPFD_CLOEXEC as u64)])?;
        // Rust's own check, in debug builds, that what it closes is open.
        let look = rule(&[(1, Is::Eq, libc::F_GETFD as u64)])?;
        rules.insert(libc::SYS_fcntl, [copy, look].concat());
        // Aborting: a signal to oneself.
        rules.insert(libc::SYS_tgkill, rule(&[(0, Is::Eq, u64::from(process::id()))])?);

        if on_forbidden == OnForbidden::Kill {
            return install(rules, SeccompAction::KillProcess, SeccompAction::Allow);
        }
        // The strictest of several filters wins. This one comes first: the other forbids to add one.
        let hostile = HOSTILE.iter().map(|call| (*call, vec![])).collect();
        install(hostile, SeccompAction::Allow, SeccompAction::KillProcess)?;
        install(rules, SeccompAction::Errno(libc::EPERM as u32), SeccompAction::Allow)
    }

    #[cfg(test)]
    mod tests {
        use super::*;
        use crate::Limits;
        use crate::isolation::probe::ForbiddenCall;

        /// What becomes of a process that enters the sandbox and then does `action`: its exit code,
        /// or the number of the signal that ended it, negative.
        #[expect(unsafe_code, reason = "a sandbox is for life: it takes a process of its own to try one")]
        fn fate(on_forbidden: OnForbidden, action: fn() -> i32) -> i32 {
            let baseline = super::super::Baseline::measure().unwrap();
            let bounds = super::super::Bounds::of_video(&Limits::untrusted(), baseline, 0).unwrap();
            // SAFETY: the child only allocates, makes system calls and leaves without unwinding.
            // glibc keeps its allocator usable in the child of a process with threads.
            unsafe {
                match libc::fork() {
                    0 => {
                        let code = match super::super::enter(bounds, on_forbidden) {
                            Ok(()) => action(),
                            Err(_) => 99,
                        };
                        libc::_exit(code)
                    }
                    child => {
                        let mut status = 0;
                        assert_eq!(libc::waitpid(child, &raw mut status, 0), child);
                        if libc::WIFSIGNALED(status) {
                            -libc::WTERMSIG(status)
                        } else {
                            libc::WEXITSTATUS(status)
                        }
                    }
                }
            }
        }

        #[expect(unsafe_code, reason = "system calls as an intruder would make them")]
        fn call(number: libc::c_long, arguments: [libc::c_long; 4]) -> i32 {
            let [a, b, c, d] = arguments;
            // SAFETY: pointers among the arguments are to static text, or null.
            let result = unsafe { libc::syscall(number, a, b, c, d) };
            if result >= 0 { 0 } else { io::Error::last_os_error().raw_os_error().unwrap_or(-1) }
        }

        fn open_a_file() -> i32 {
            let name = c"/etc/passwd".as_ptr() as libc::c_long;
            call(libc::SYS_openat, [libc::AT_FDCWD.into(), name, libc::O_RDONLY.into(), 0])
        }

        fn open_a_socket() -> i32 {
            call(libc::SYS_socket, [libc::AF_INET.into(), libc::SOCK_DGRAM.into(), 0, 0])
        }

        fn start_a_program() -> i32 {
            call(libc::SYS_execve, [c"/bin/true".as_ptr() as libc::c_long, 0, 0, 0])
        }

        fn start_a_process() -> i32 {
            call(libc::SYS_clone, [libc::SIGCHLD.into(), 0, 0, 0])
        }

        fn map_executable_memory() -> i32 {
            call(libc::SYS_mprotect, [0, 4096, libc::c_long::from(libc::PROT_EXEC), 0])
        }

        fn signal_its_parent() -> i32 {
            call(libc::SYS_kill, [1, 0, 0, 0])
        }

        fn fill_the_memory() -> i32 {
            let mut hoard = Vec::<u8>::new();
            let got_it = hoard.try_reserve_exact(700 << 20).is_ok();
            let fits = hoard.try_reserve_exact(100 << 20).is_ok();
            i32::from(got_it) + 2 * i32::from(!fits)
        }

        #[test]
        fn forbidden_calls_fail_whatever_their_arguments() {
            let (refuse, kill) = (OnForbidden::Refuse, OnForbidden::Kill);
            for action in [
                || ForbiddenCall::Open.attempt(),
                || ForbiddenCall::Stat.attempt(),
                || ForbiddenCall::Statx.attempt(),
                || ForbiddenCall::MemoryFile.attempt(),
                || ForbiddenCall::ExecutableMemory.attempt(),
                || ForbiddenCall::MemoryAdvice.attempt(),
                || ForbiddenCall::Fork.attempt(),
            ] {
                assert_eq!(fate(refuse, action), libc::EPERM);
                assert_eq!(fate(kill, action), -libc::SIGSYS);
            }
        }

        #[test]
        fn forbidden_calls_are_refused_or_end_the_process() {
            let (refuse, kill) = (OnForbidden::Refuse, OnForbidden::Kill);
            assert_eq!(fate(refuse, || 7), 7, "a quiet process lives");
            assert_eq!(fate(kill, || 7), 7);
            assert_eq!(fate(refuse, open_a_file), libc::EPERM);
            assert_eq!(fate(kill, open_a_file), -libc::SIGSYS);
            assert_eq!(fate(refuse, start_a_process), libc::EPERM);
            assert_eq!(fate(refuse, map_executable_memory), libc::EPERM);
            for action in [open_a_socket, start_a_program, signal_its_parent] {
                assert_eq!(fate(refuse, action), -libc::SIGSYS);
                assert_eq!(fate(kill, action), -libc::SIGSYS);
            }
            assert_eq!(fate(refuse, fill_the_memory), 0, "700 MiB are too much, 100 MiB are not");
        }
    }
}
