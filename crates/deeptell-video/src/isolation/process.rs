//! The parent's handle on the server of decoders and on each worker.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, IoSlice, Read, Write};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};

use super::pixels::{SharedPixels, TAKEN};
use super::server::{self, Answer, HELLO, REAP, START};
use crate::VideoError;
use crate::program::{self, IsolationError};

/// Makes glibc take memory in large pieces and keep it. Each process begins without any, and asking the kernel for it
/// page by page would cost as much as decoding a picture or two. Ignored by other C libraries.
const MEMORY_TUNING: &str = "glibc.malloc.hugetlb=1:glibc.malloc.mmap_threshold=67108864:\
                             glibc.malloc.trim_threshold=134217728:glibc.malloc.top_pad=16777216";
/// Environment variables that the program inherits: library paths and the time zone.
const KEPT_VARIABLES: [&str; 3] = ["LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "TZ"];
/// How long the server, which never touches a video, may take for an answer.
const SERVER_PATIENCE: Duration = Duration::from_secs(10);
/// How long it may take to end when nobody needs it any more, before it is killed.
const END_PATIENCE: Duration = Duration::from_millis(500);
/// How often a caller that waits looks whether it is to stop.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// How much longer than the deadline a decoding process may stay silent.
const GRACE: Duration = Duration::from_secs(2);

/// A program that decodes each file in a separate, sandboxed process.
///
/// FFmpeg is a large C library that parses untrusted input. In a separate process, a crash affects one file, and an
/// exploit gains little: the process has the open file and a channel to its parent, but neither the environment nor the
/// other open files of its caller, and it drops all privileges before it reads the first byte. On Linux it cannot open
/// files, look them up by name, open connections or start programs (seccomp, and where the kernel supports them also
/// Landlock and separate namespaces). It has no capabilities, its memory is limited by
/// [`Limits::memory_bytes`](crate::Limits::memory_bytes) and its time by the deadline. On other Unix systems there is the
/// separate process with its time limit, but no seccomp and no memory limit; on other systems there is no such process.
/// [`attempt`](Self::attempt) tests whether the restrictions hold.
///
/// The program is started on first use, once for all clones, and forks for each file, so that FFmpeg is loaded only once.
/// After a process exits abnormally, the program is started again for the next file: another fork would have the same
/// memory layout, which an attacker could go on guessing. Several threads can read files at the same time. The program and
/// its processes end with the last clone.
///
/// Usually the program is a copy of your own ([`this_program`](Self::this_program)), whose `main` begins with
/// [`run_if_decoder`](crate::run_if_decoder). Another one must call [`serve_decoding`](crate::serve_decoding) before
/// anything else.
#[derive(Debug, Clone)]
pub struct DecoderProcess {
    program: PathBuf,
    arguments: Vec<OsString>,
    /// The server that makes the next worker.
    current: Arc<Mutex<Option<Arc<Server>>>>,
}

impl DecoderProcess {
    /// This program, started once more, or what was [set](Self::set_this_program) in its place; nothing is started
    /// yet.
    ///
    /// # Errors
    /// [`IsolationError::NotPrepared`] when neither [`run_if_decoder`](crate::run_if_decoder) nor
    /// [`set_this_program`](Self::set_this_program) was called,
    /// [`IsolationError::UnknownProgram`] when the operating system does not say where this program is.
    pub fn this_program() -> Result<Self, IsolationError> {
        if let Some(named) = program::NAMED.get() {
            return Ok(named.clone());
        }
        if !program::is_prepared() {
            return Err(IsolationError::NotPrepared);
        }
        let program = std::env::current_exe().map_err(IsolationError::UnknownProgram)?;
        Ok(Self::new(program).arg(program::WORD))
    }

    /// Makes this what [`this_program`](Self::this_program) returns from now on, for code that does not own the program
    /// that it runs in, such as an extension module of Python. The first call counts, for the life of the process.
    ///
    /// ```no_run
    /// use deeptell_video::DecoderProcess;
    ///
    /// // A program whose `main` calls `serve_decoding`.
    /// DecoderProcess::new("/usr/lib/viewer/decoder").set_this_program();
    /// ```
    pub fn set_this_program(self) {
        program::NAMED.get_or_init(|| self);
    }

    /// Names the program; nothing is started yet.
    pub fn new(program: impl Into<PathBuf>) -> Self {
        Self { program: program.into(), arguments: Vec::new(), current: Arc::default() }
    }

    /// Adds an argument for the program.
    #[must_use]
    pub fn arg(mut self, argument: impl Into<OsString>) -> Self {
        self.arguments.push(argument.into());
        self.current = Arc::default();
        self
    }

    fn current(&self) -> MutexGuard<'_, Option<Arc<Server>>> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The server, and whether it was started just now.
    fn server(&self) -> io::Result<(Arc<Server>, bool)> {
        let mut current = self.current();
        if let Some(server) = &*current {
            return Ok((Arc::clone(server), false));
        }
        let server = Arc::new(Server::launch(&self.program, &self.arguments)?);
        *current = Some(Arc::clone(&server));
        Ok((server, true))
    }

    /// Has the next worker come from another server. Workers of this one may finish.
    fn replace(&self, server: &Arc<Server>) {
        let mut current = self.current();
        if current.as_ref().is_some_and(|current| Arc::ptr_eq(current, server)) {
            *current = None;
        }
    }

    /// A process that has `file` and `pixels` open and waits for its request.
    pub(super) fn start(&self, file: &File, pixels: Option<SharedPixels>) -> io::Result<Worker> {
        let (server, is_new) = self.server()?;
        let (ours, theirs) = UnixStream::pair()?;
        let started = match server.start(file, &theirs, pixels.as_ref()) {
            Err(_) if !is_new => {
                // Somebody killed or stopped the server: a new one may do.
                self.replace(&server);
                let (server, _) = self.server()?;
                server.start(file, &theirs, pixels.as_ref()).map(|answer| (server, answer))
            }
            answer => answer.map(|answer| (server, answer)),
        };
        let (server, Answer(process, problem)) = started?;
        if process <= 0 {
            return Err(io::Error::from_raw_os_error(problem));
        }
        Ok(Worker { process, channel: ours, pixels, server, decoder: self.clone(), stop: None })
    }

    /// As [`Self::start`], with the error for the file at `path`.
    pub(super) fn start_for(&self, path: &Path, file: &File, max_pixels: u64) -> Result<Worker, VideoError> {
        let started = SharedPixels::for_frames_up_to(max_pixels).and_then(|pixels| self.start(file, pixels));
        started.map_err(|source| {
            let path = path.to_owned();
            if is_gone(&source) {
                VideoError::DecoderKilled { path, reason: "was killed while it started".to_owned() }
            } else {
                VideoError::NoDecoderProcess { path, program: self.program.clone(), source }
            }
        })
    }
}

/// Whether the other end of a channel is gone.
fn is_gone(error: &io::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionReset, UnexpectedEof};
    matches!(error.kind(), UnexpectedEof | BrokenPipe | ConnectionReset)
}

/// The running program: it forks workers, and says how they ended.
#[derive(Debug)]
pub(super) struct Server(Mutex<Running>);

#[derive(Debug)]
struct Running {
    child: Child,
    /// None once the server has failed to answer.
    control: Option<UnixStream>,
}

impl Server {
    fn launch(program: &Path, arguments: &[OsString]) -> io::Result<Self> {
        let (ours, theirs) = UnixStream::pair()?;
        ours.set_read_timeout(Some(SERVER_PATIENCE))?;
        ours.set_write_timeout(Some(SERVER_PATIENCE))?;
        let kept = KEPT_VARIABLES.iter().filter_map(|name| Some((name, std::env::var_os(name)?)));
        let child = Command::new(program)
            .args(arguments)
            .stdin(Stdio::from(OwnedFd::from(theirs)))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            // A decoder must not see keys and tokens of the caller.
            .env_clear()
            .envs(kept)
            .env("GLIBC_TUNABLES", MEMORY_TUNING)
            // An interrupt from the terminal is for the parent, which ends this process if it wants to.
            .process_group(0)
            .spawn()?;
        let mut running = Running { child, control: Some(ours) };
        match running.answer() {
            Ok(HELLO) => Ok(Self(Mutex::new(running))),
            // A program that is not a decoder exits by itself.
            Err(error) if is_gone(&error) && running.is_killed_within(END_PATIENCE) => Err(error),
            _ => Err(io::Error::new(io::ErrorKind::InvalidData, "this is not a decoder of this version")),
        }
    }

    fn start(&self, file: &File, channel: &UnixStream, pixels: Option<&SharedPixels>) -> io::Result<Answer> {
        self.ask(|running| running.start(file, channel, pixels))
    }

    /// Ends a worker and says how it ended: [`server::EXITED`] and its code, or [`server::SIGNALLED`] and the
    /// signal.
    fn reap(&self, process: i32) -> io::Result<Answer> {
        self.ask(|running| {
            running.control()?.write_all(&server::request(REAP, process))?;
            running.answer()
        })
    }

    /// One question and its answer. A server that does not answer is killed: what it would say later could be
    /// taken for the answer to another question.
    fn ask(&self, question: impl FnOnce(&mut Running) -> io::Result<Answer>) -> io::Result<Answer> {
        let mut running = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        question(&mut running).inspect_err(|_| {
            running.control = None;
            let _ = running.child.kill();
        })
    }
}

impl Running {
    fn control(&mut self) -> io::Result<&mut UnixStream> {
        self.control.as_mut().ok_or_else(|| io::ErrorKind::NotConnected.into())
    }

    /// Whether a signal ends the process in this time.
    fn is_killed_within(&mut self, time: Duration) -> bool {
        let until = Instant::now() + time;
        loop {
            match self.child.try_wait() {
                Ok(Some(status)) => return status.signal().is_some(),
                Ok(None) if Instant::now() < until => std::thread::sleep(Duration::from_millis(1)),
                _ => return false,
            }
        }
    }

    fn answer(&mut self) -> io::Result<Answer> {
        let mut bytes = [0; server::ANSWER_BYTES];
        self.control()?.read_exact(&mut bytes)?;
        Ok(Answer::from_bytes(bytes))
    }

    /// Asks for a process and hands over its descriptors.
    fn start(
        &mut self,
        file: &File,
        channel: &UnixStream,
        pixels: Option<&SharedPixels>,
    ) -> io::Result<Answer> {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(server::MAX_DESCRIPTORS))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        let descriptors: Vec<_> =
            [file.as_fd(), channel.as_fd()].into_iter().chain(pixels.map(AsFd::as_fd)).collect();
        if !control.push(SendAncillaryMessage::ScmRights(&descriptors)) {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        let request = server::request(START, 0);
        let sent = sendmsg(self.control()?, &[IoSlice::new(&request)], &mut control, SendFlags::empty())?;
        if sent == request.len() { self.answer() } else { Err(io::ErrorKind::WriteZero.into()) }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // The server ends when nobody can ask it any more, unless it stands still.
        self.control = None;
        let until = Instant::now() + END_PATIENCE;
        while matches!(self.child.try_wait(), Ok(None)) {
            if Instant::now() >= until {
                let _ = self.child.kill();
                let _ = self.child.wait();
                return;
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

/// One decoding process; it does not outlive this.
pub(super) struct Worker {
    process: i32,
    pub(super) channel: UnixStream,
    pixels: Option<SharedPixels>,
    server: Arc<Server>,
    decoder: DecoderProcess,
    /// Set by the caller to end the work early.
    stop: Option<Arc<AtomicBool>>,
}

/// How a process ended.
pub(super) enum Ending {
    Exited(i32),
    Signalled(i32),
    Unknown,
}

impl Worker {
    /// The same, which the caller can end early.
    pub(super) fn stopped_by(mut self, stop: Option<Arc<AtomicBool>>) -> Self {
        self.stop = stop;
        self
    }

    fn is_stopped(&self) -> bool {
        self.stop.as_ref().is_some_and(|stop| stop.load(Ordering::Relaxed))
    }

    /// Ends the process, if it has not ended, and says how it ended.
    fn reap(&mut self) -> Ending {
        match std::mem::take(&mut self.process) {
            0 => Ending::Unknown,
            process => match self.server.reap(process) {
                Ok(Answer(server::EXITED, code)) => Ending::Exited(code),
                Ok(Answer(_, signal)) => Ending::Signalled(signal),
                Err(_) => {
                    self.decoder.replace(&self.server);
                    Ending::Unknown
                }
            },
        }
    }

    /// The signal that ended the process, if the caller made it do something that it is killed for.
    pub(super) fn end_expecting_a_signal(mut self) -> Option<i32> {
        match self.reap() {
            Ending::Signalled(signal) => Some(signal),
            _ => None,
        }
    }

    /// Why a process did not answer, or sent an invalid answer.
    pub(super) fn explain(mut self, error: &io::Error, path: &Path, deadline: Duration) -> VideoError {
        let path = path.to_owned();
        if self.is_stopped() {
            return VideoError::Stopped { path };
        }
        let timeout = VideoError::Timeout { path: path.clone(), deadline };
        if matches!(error.kind(), io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock) {
            return timeout;
        }
        let ending = self.reap();
        let reason = match ending {
            Ending::Signalled(libc::SIGXCPU) => return timeout,
            _ if error.kind() == io::ErrorKind::InvalidData => {
                self.decoder.replace(&self.server);
                "sent an invalid message".to_owned()
            }
            Ending::Signalled(signal) => match signal {
                libc::SIGSEGV | libc::SIGBUS | libc::SIGILL | libc::SIGFPE => {
                    format!("crashed (signal {signal})")
                }
                libc::SIGSYS => "was stopped at a system call that decoding does not need".to_owned(),
                libc::SIGABRT => {
                    format!("gave up (signal {signal}): out of memory, or its memory was damaged")
                }
                _ => format!("was killed (signal {signal})"),
            },
            Ending::Exited(code) => format!("ended early (exit code {code})"),
            Ending::Unknown => "was lost with its launcher".to_owned(),
        };
        self.after(&ending);
        // The file is not to blame: it cannot make the process send a signal, nor reach the launcher.
        let from_outside = matches!(
            ending,
            Ending::Unknown
                | Ending::Signalled(
                    libc::SIGKILL | libc::SIGTERM | libc::SIGHUP | libc::SIGINT | libc::SIGQUIT
                )
        );
        if from_outside && error.kind() != io::ErrorKind::InvalidData {
            VideoError::DecoderKilled { path, reason }
        } else {
            VideoError::DecoderDied { path, reason }
        }
    }

    /// Replaces the server if this process ended abnormally and not because of us.
    fn after(&self, ending: &Ending) {
        let is_bad = match ending {
            Ending::Exited(code) => *code != 0,
            Ending::Signalled(signal) => !matches!(*signal, libc::SIGKILL | libc::SIGXCPU),
            Ending::Unknown => true,
        };
        if is_bad {
            self.decoder.replace(&self.server);
        }
    }

    /// Reads from the process for so long.
    pub(super) fn watched<T>(
        &self,
        time: Duration,
        read: impl FnOnce(&mut Watched<'_>) -> io::Result<T>,
    ) -> io::Result<T> {
        let start = Instant::now();
        // A time beyond the clock's end is none.
        let until = start.checked_add(time).unwrap_or_else(|| start + Duration::from_hours(24));
        read(&mut Watched { worker: self, until })
    }

    /// Reads from the process while its `deadline` lasts, of which `waited` has been spent already.
    pub(super) fn receive<T>(
        &self,
        deadline: Duration,
        waited: &mut Duration,
        read: impl FnOnce(&mut Watched<'_>) -> io::Result<T>,
    ) -> io::Result<T> {
        let start = Instant::now();
        let received = self.watched(deadline.saturating_add(GRACE).saturating_sub(*waited), read);
        *waited += start.elapsed();
        received
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        if self.process > 0 {
            let ending = self.reap();
            self.after(&ending);
        }
    }
}

/// A reader's end of a channel, which gives up when the time has come.
pub(super) struct Watched<'a> {
    worker: &'a Worker,
    until: Instant,
}

impl Watched<'_> {
    /// The pixels of a frame whose head has come.
    pub(super) fn pixels(&mut self, length: usize, is_shared: bool) -> io::Result<Vec<u8>> {
        if is_shared {
            let shared = self.worker.pixels.as_ref().ok_or(io::ErrorKind::InvalidData)?;
            let bytes = shared.take(length)?;
            // A process that is gone will be noticed where the next answer fails to come.
            let _ = (&self.worker.channel).write_all(&[TAKEN]);
            return Ok(bytes);
        }
        let mut bytes = Vec::new();
        bytes.try_reserve_exact(length).map_err(|_| io::ErrorKind::OutOfMemory)?;
        self.take(length as u64).read_to_end(&mut bytes)?;
        Ok(bytes)
    }
}

impl Read for Watched<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let mut channel = &self.worker.channel;
        loop {
            let left = self.until.saturating_duration_since(Instant::now());
            if left.is_zero() || self.worker.is_stopped() {
                return Err(io::ErrorKind::TimedOut.into());
            }
            let patience = if self.worker.stop.is_some() { left.min(LOOK_EVERY) } else { left };
            channel.set_read_timeout(Some(patience))?;
            match channel.read(buffer) {
                Err(error) if matches!(error.kind(), io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock) => {
                }
                read => return read,
            }
        }
    }
}
