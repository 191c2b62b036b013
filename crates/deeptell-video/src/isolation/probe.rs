//! Tests the restrictions: a decoding process tries what it must not be able to do.

use std::fmt;
use std::io;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::privileges::Confinement;
use super::process::DecoderProcess;
use super::wire::{self, Reply, Request};

/// How long the process may take to answer.
const PATIENCE: Duration = Duration::from_secs(20);

/// A system call that no decoding process may make.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub enum ForbiddenCall {
    /// Open a file.
    Open,
    /// Ask for the size and times of a file by its name (`newfstatat`).
    Stat,
    /// The same by `statx`.
    Statx,
    /// Make an anonymous file, which could be run.
    MemoryFile,
    /// Make memory executable.
    ExecutableMemory,
    /// Give advice about memory that decoders never give.
    MemoryAdvice,
    /// Start another process.
    Fork,
    /// Start a program.
    Exec,
    /// Open a network connection.
    Socket,
    /// Attach to another process.
    Trace,
    /// Send a signal to another process.
    Signal,
}

impl ForbiddenCall {
    /// Every one of them.
    pub const ALL: [Self; 11] = [
        Self::Open,
        Self::Stat,
        Self::Statx,
        Self::MemoryFile,
        Self::ExecutableMemory,
        Self::MemoryAdvice,
        Self::Fork,
        Self::Exec,
        Self::Socket,
        Self::Trace,
        Self::Signal,
    ];

    /// Makes the call: 0, or the number of the error.
    pub(super) fn attempt(self) -> i32 {
        #[cfg(target_os = "linux")]
        {
            self.attempt_on_linux()
        }
        #[cfg(not(target_os = "linux"))]
        libc::ENOSYS
    }

    #[cfg(target_os = "linux")]
    fn attempt_on_linux(self) -> i32 {
        let here = libc::c_long::from(libc::AT_FDCWD);
        let file = c"/etc/passwd".as_ptr() as libc::c_long;
        let program = c"/bin/true".as_ptr() as libc::c_long;
        let mut answer = [0_u64; 64];
        let place = answer.as_mut_ptr() as libc::c_long;
        match self {
            Self::Open => call(libc::SYS_openat, [here, file, libc::O_RDONLY.into(), 0, 0]),
            Self::Stat => call(libc::SYS_newfstatat, [here, file, place, libc::AT_EMPTY_PATH.into(), 0]),
            Self::Statx => call(libc::SYS_statx, [here, file, libc::AT_EMPTY_PATH.into(), 0x7FF, place]),
            Self::MemoryFile => call(libc::SYS_memfd_create, [c"probe".as_ptr() as libc::c_long, 0, 0, 0, 0]),
            Self::ExecutableMemory => {
                // No memory lies there, so nothing changes where the call is allowed.
                call(libc::SYS_mprotect, [0, 0, libc::PROT_EXEC.into(), 0, 0])
            }
            Self::MemoryAdvice => call(libc::SYS_madvise, [0, 0, libc::MADV_HWPOISON.into(), 0, 0]),
            Self::Fork => call(libc::SYS_clone, [libc::SIGCHLD.into(), 0, 0, 0, 0]),
            Self::Exec => call(libc::SYS_execve, [program, 0, 0, 0, 0]),
            Self::Socket => call(libc::SYS_socket, [libc::AF_INET.into(), libc::SOCK_DGRAM.into(), 0, 0, 0]),
            Self::Trace => call(libc::SYS_ptrace, [libc::PTRACE_ATTACH.into(), 1, 0, 0, 0]),
            Self::Signal => call(libc::SYS_kill, [1, 0, 0, 0, 0]),
        }
    }
}

/// A system call as an intruder would make it: 0, or the number of the error.
#[cfg(target_os = "linux")]
#[expect(unsafe_code, reason = "the calls are made past every library")]
fn call(number: libc::c_long, arguments: [libc::c_long; 5]) -> i32 {
    let [a, b, c, d, e] = arguments;
    // SAFETY: pointers among the arguments are to static text, to room for 512 bytes that lives until the
    // caller returns, or null. A process that could fork or start a program does nothing else afterwards.
    let result = unsafe { libc::syscall(number, a, b, c, d, e) };
    if result >= 0 { 0 } else { io::Error::last_os_error().raw_os_error().unwrap_or(-1) }
}

impl fmt::Display for ForbiddenCall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Open => "open a file",
            Self::Stat => "look a file up by name (newfstatat)",
            Self::Statx => "look a file up by name (statx)",
            Self::MemoryFile => "make an anonymous file",
            Self::ExecutableMemory => "make memory executable",
            Self::MemoryAdvice => "poison memory",
            Self::Fork => "start a process",
            Self::Exec => "start a program",
            Self::Socket => "open a network connection",
            Self::Trace => "attach to another process",
            Self::Signal => "signal another process",
        })
    }
}

/// What became of an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum CallOutcome {
    /// The call failed with this error number.
    Refused(i32),
    /// The process was killed for it.
    Killed,
    /// The call succeeded: the sandbox is not effective.
    Allowed,
}

impl DecoderProcess {
    /// Makes a decoding process, restricted as for an untrusted file, try a call that it must not be able to make.
    ///
    /// ```no_run
    /// use deeptell_video::{CallOutcome, DecoderProcess, ForbiddenCall};
    ///
    /// let decoder = DecoderProcess::new("deeptell-decoder");
    /// for call in ForbiddenCall::ALL {
    ///     assert_ne!(decoder.attempt(call)?, CallOutcome::Allowed, "a decoder could {call}");
    /// }
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Errors
    /// When no process can be started, or when it does not answer. On systems without a filter of system calls
    /// no attempt is made, and the outcome is that there is no such call.
    pub fn attempt(&self, call: ForbiddenCall) -> io::Result<CallOutcome> {
        match self.ask_worker(&Request::Attempt(call)) {
            Ok(Reply::Attempted(0)) => Ok(CallOutcome::Allowed),
            Ok(Reply::Attempted(error)) => Ok(CallOutcome::Refused(error)),
            Ok(_) => Err(io::ErrorKind::InvalidData.into()),
            Err((_, Some(libc::SIGSYS))) => Ok(CallOutcome::Killed),
            Err((error, _)) => Err(error),
        }
    }

    /// The restrictions of decoding processes besides their filter of system calls.
    ///
    /// # Errors
    /// When no process can be started, or when it does not answer.
    pub fn confinement(&self) -> io::Result<Confinement> {
        match self.ask_worker(&Request::Describe) {
            Ok(Reply::Described(confinement)) => Ok(confinement),
            Ok(_) => Err(io::ErrorKind::InvalidData.into()),
            Err((error, _)) => Err(error),
        }
    }

    /// What a process answers to a request without a file; or why it does not, and the signal that ended it.
    fn ask_worker(&self, request: &Request) -> Result<Reply, (io::Error, Option<i32>)> {
        // Every worker gets a file; this one shows nothing.
        let file = std::fs::File::open("/dev/null").map_err(|error| (error, None))?;
        let mut worker = self.start(&file, None).map_err(|error| (error, None))?;
        let answer = wire::send(&mut worker.channel, request)
            .and_then(|()| worker.watched(PATIENCE, |channel| wire::receive(channel)));
        answer.map_err(|error| (error, worker.end_expecting_a_signal()))
    }
}
