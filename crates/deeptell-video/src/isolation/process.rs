//! Decoding in processes that can do nothing else: the parent's side.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, IoSlice, Read, Write};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use image::RgbImage;
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};

use super::pixels::{SharedPixels, TAKEN};
use super::server::{self, Answer, HELLO, REAP, START};
use super::wire::{self, Reply};
use crate::local::Job;
use crate::sampling::Moments;
use crate::{Frame, Sampling, VideoError, VideoInfo, Warning};

/// Has glibc take memory in large pieces and keep it: each process begins with none, and would else
/// ask the kernel for it page by page, at the cost of decoding a picture or two. Other C libraries pay
/// no heed.
const MEMORY_TUNING: &str = "glibc.malloc.hugetlb=1:glibc.malloc.mmap_threshold=67108864:\
                             glibc.malloc.trim_threshold=134217728:glibc.malloc.top_pad=16777216";
/// How long the launcher, which never touches a video, may take for an answer.
const LAUNCHER_PATIENCE: Duration = Duration::from_secs(30);
/// How much longer than the deadline a decoding process may stay silent.
const GRACE: Duration = Duration::from_secs(2);

/// A program that decodes for us, each file in a process of its own.
///
/// FFmpeg is a large C program that parses what strangers send. Behind this wall a crash costs one
/// file and a takeover finds nothing to take: the process starts with the open file and a channel
/// to its parent, and gives up everything else before it looks at the first byte. On Linux it may
/// no longer open files or connections or start programs (seccomp), its memory ends at
/// [`Limits::memory_bytes`](crate::Limits::memory_bytes) and its time at the deadline. On other
/// Unix systems the process and its time limit are there, without seccomp and the memory limit;
/// elsewhere there is no such process.
///
/// The program is started on first use and once for all clones: it forks for each file, so that
/// loading FFmpeg is paid for once. Files can be read from several threads at once. It ends with
/// the last clone, and its processes end with it.
///
/// The program must call [`serve_decoding`](crate::serve_decoding) before anything else. Usually
/// it is your own, started with a word that means this:
///
/// ```no_run
/// use deeptell_video::{DecoderProcess, Limits, Sampling, VideoReader, serve_decoding};
///
/// fn main() -> Result<std::process::ExitCode, Box<dyn std::error::Error>> {
///     if std::env::args().nth(1).as_deref() == Some("decode-for-parent") {
///         return Ok(serve_decoding());
///     }
///     let decoder = DecoderProcess::new(std::env::current_exe()?).arg("decode-for-parent");
///     let options = VideoReader::options().limits(Limits::untrusted()).isolated_by(&decoder);
///     for frame in options.open("upload.mp4")?.sample(Sampling::Uniform(12)) {
///         println!("{} s", frame?.pts_seconds);
///     }
///     Ok(std::process::ExitCode::SUCCESS)
/// }
/// ```
#[derive(Debug, Clone)]
pub struct DecoderProcess {
    program: PathBuf,
    arguments: Vec<OsString>,
    running: Arc<Mutex<Option<Running>>>,
}

#[derive(Debug)]
struct Running {
    child: Child,
    control: Option<UnixStream>,
}

impl Drop for Running {
    fn drop(&mut self) {
        // The launcher ends when nobody can ask it any more. It is ours to bury.
        self.control = None;
        let _ = self.child.wait();
    }
}

impl DecoderProcess {
    /// Names the program; nothing is started yet.
    pub fn new(program: impl Into<PathBuf>) -> Self {
        Self { program: program.into(), arguments: Vec::new(), running: Arc::default() }
    }

    /// Adds an argument for the program.
    #[must_use]
    pub fn arg(mut self, argument: impl Into<OsString>) -> Self {
        self.arguments.push(argument.into());
        self.running = Arc::default();
        self
    }

    fn launch(&self) -> io::Result<Running> {
        let (ours, theirs) = UnixStream::pair()?;
        ours.set_read_timeout(Some(LAUNCHER_PATIENCE))?;
        let child = Command::new(&self.program)
            .args(&self.arguments)
            .stdin(Stdio::from(OwnedFd::from(theirs)))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .env("GLIBC_TUNABLES", MEMORY_TUNING)
            // An interrupt from the terminal is for the parent, which decides what becomes of us.
            .process_group(0)
            .spawn()?;
        let mut running = Running { child, control: Some(ours) };
        match running.answer() {
            Ok(HELLO) => Ok(running),
            _ => Err(io::Error::new(io::ErrorKind::InvalidData, "it is no decoder of this version")),
        }
    }

    /// A process that has `file` and `pixels` open and waits for its job on the stream.
    fn start(&self, file: &File, pixels: Option<&SharedPixels>) -> io::Result<(i32, UnixStream)> {
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        let (ours, theirs) = UnixStream::pair()?;
        let is_new = running.is_none();
        if is_new {
            *running = Some(self.launch()?);
        }
        let mut started = running
            .as_mut()
            .map_or(Err(io::ErrorKind::NotFound.into()), |launcher| launcher.start(file, &theirs, pixels));
        if started.is_err() && !is_new {
            // Somebody killed the launcher: a new one may do.
            *running = None;
            started = running.insert(self.launch()?).start(file, &theirs, pixels);
        }
        let Answer(process, problem) = started?;
        if process <= 0 { Err(io::Error::from_raw_os_error(problem)) } else { Ok((process, ours)) }
    }

    /// Ends a process and says how it ended: [`server::EXITED`] and its code, or
    /// [`server::SIGNALLED`] and the signal.
    fn reap(&self, process: i32) -> io::Result<Answer> {
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        running.as_mut().ok_or(io::ErrorKind::NotFound)?.ask(REAP, process)
    }
}

impl Running {
    fn control(&mut self) -> io::Result<&mut UnixStream> {
        self.control.as_mut().ok_or_else(|| io::ErrorKind::NotConnected.into())
    }

    fn answer(&mut self) -> io::Result<Answer> {
        let mut bytes = [0; server::ANSWER_BYTES];
        self.control()?.read_exact(&mut bytes)?;
        Ok(Answer::from_bytes(bytes))
    }

    fn ask(&mut self, what: u8, process: i32) -> io::Result<Answer> {
        self.control()?.write_all(&server::request(what, process))?;
        self.answer()
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

/// One decoding process; it does not outlive this.
struct Worker {
    process: i32,
    channel: UnixStream,
    pixels: Option<SharedPixels>,
    decoder: DecoderProcess,
}

impl Drop for Worker {
    fn drop(&mut self) {
        if self.process > 0 {
            let _ = self.decoder.reap(self.process);
        }
    }
}

impl Worker {
    /// How the process ended, which is no news if it has not.
    fn ending(mut self) -> Ending {
        let process = std::mem::take(&mut self.process);
        match self.decoder.reap(process) {
            Ok(Answer(server::EXITED, code)) => Ending::Exited(code),
            Ok(Answer(_, signal)) => Ending::Signalled(signal),
            Err(_) => Ending::Unknown,
        }
    }
}

enum Ending {
    Exited(i32),
    Signalled(i32),
    Unknown,
}

/// A reader's end of a channel, which gives up when the time has come.
struct Watched<'a> {
    worker: &'a Worker,
    until: Instant,
}

impl Watched<'_> {
    /// The pixels of a frame whose head has come.
    fn pixels(&mut self, length: usize, is_shared: bool) -> io::Result<Vec<u8>> {
        if is_shared {
            let shared = self.worker.pixels.as_ref().ok_or(io::ErrorKind::InvalidData)?;
            let bytes = shared.take(length)?;
            // A process that is gone will be noticed where the next answer fails to come.
            let _ = (&self.worker.channel).write_all(&[TAKEN]);
            return Ok(bytes);
        }
        let mut bytes = Vec::with_capacity(length);
        self.take(length as u64).read_to_end(&mut bytes)?;
        Ok(bytes)
    }
}

impl Read for Watched<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = self.until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        let mut channel = &self.worker.channel;
        channel.set_read_timeout(Some(left))?;
        channel.read(buffer)
    }
}

/// A file read in another process.
pub(crate) struct RemoteReader {
    file: File,
    path: PathBuf,
    job: Job,
    decoder: DecoderProcess,
    /// None when the next sampling needs a new process.
    worker: Option<Worker>,
    /// Time spent waiting for the process.
    waited: Duration,
    pub(crate) info: VideoInfo,
    pub(crate) warnings: Vec<Warning>,
}

impl RemoteReader {
    pub(crate) fn open(
        file: File,
        path: &Path,
        job: Job,
        decoder: DecoderProcess,
    ) -> Result<Self, VideoError> {
        let mut waited = Duration::ZERO;
        let (worker, info, warnings) = begin(&file, path, &job, &decoder, &mut waited)?;
        let path = path.to_owned();
        Ok(Self { file, path, job, decoder, worker: Some(worker), waited, info, warnings })
    }

    /// A process that waits for a sampling.
    fn worker(&mut self) -> Result<&mut Worker, VideoError> {
        let worker = match self.worker.take() {
            Some(worker) => worker,
            None => begin(&self.file, &self.path, &self.job, &self.decoder, &mut self.waited)?.0,
        };
        Ok(self.worker.insert(worker))
    }

    fn receive<T>(&mut self, read: impl FnOnce(&mut Watched<'_>) -> io::Result<T>) -> Result<T, VideoError> {
        let Some(worker) = &self.worker else {
            let reason = "is gone".to_owned();
            return Err(VideoError::DecoderDied { path: self.path.clone(), reason });
        };
        let received = watch(worker, &self.job, &mut self.waited, read);
        received.map_err(|error| match self.worker.take() {
            Some(worker) => explain(worker, &error, &self.path, &self.job),
            None => VideoError::Io { path: self.path.clone(), source: error },
        })
    }
}

/// Reads from a process while its time lasts.
fn watch<T>(
    worker: &Worker,
    job: &Job,
    waited: &mut Duration,
    read: impl FnOnce(&mut Watched<'_>) -> io::Result<T>,
) -> io::Result<T> {
    let start = Instant::now();
    let left = job.limits.deadline.saturating_add(GRACE).saturating_sub(*waited);
    // A deadline beyond the clock's end is none.
    let until = start.checked_add(left).unwrap_or_else(|| start + Duration::from_hours(24));
    let received = read(&mut Watched { worker, until });
    *waited += start.elapsed();
    received
}

/// What became of a process whose answer failed to come.
fn explain(worker: Worker, error: &io::Error, path: &Path, job: &Job) -> VideoError {
    let path = path.to_owned();
    let timeout = VideoError::Timeout { path: path.clone(), deadline: job.limits.deadline };
    if matches!(error.kind(), io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock) {
        return timeout;
    }
    let reason = match worker.ending() {
        Ending::Signalled(libc::SIGXCPU) => return timeout,
        _ if error.kind() == io::ErrorKind::InvalidData => "sent nonsense".to_owned(),
        Ending::Signalled(signal) => match signal {
            libc::SIGSEGV | libc::SIGBUS | libc::SIGILL | libc::SIGFPE => {
                format!("crashed (signal {signal})")
            }
            libc::SIGSYS => "was stopped at a system call that decoding does not need".to_owned(),
            libc::SIGABRT => format!("gave up (signal {signal}): out of memory, or its memory was damaged"),
            _ => format!("was killed (signal {signal})"),
        },
        Ending::Exited(code) => format!("ended early (exit code {code})"),
        Ending::Unknown => "was lost with its launcher".to_owned(),
    };
    VideoError::DecoderDied { path, reason }
}

fn begin(
    file: &File,
    path: &Path,
    job: &Job,
    decoder: &DecoderProcess,
    waited: &mut Duration,
) -> Result<(Worker, VideoInfo, Vec<Warning>), VideoError> {
    let no_process = |source| VideoError::NoDecoderProcess {
        path: path.to_owned(),
        program: decoder.program.clone(),
        source,
    };
    let pixels = SharedPixels::for_frames_up_to(job.limits.max_pixels).map_err(no_process)?;
    let (process, channel) = decoder.start(file, pixels.as_ref()).map_err(no_process)?;
    let mut worker = Worker { process, channel, pixels, decoder: decoder.clone() };
    let opened = wire::send(&mut worker.channel, job)
        .and_then(|()| watch(&worker, job, waited, |channel| wire::receive(channel)));
    match opened {
        Ok(Reply::Opened { info, warnings }) => Ok((worker, info, warnings)),
        Ok(Reply::Failed(failure)) => Err(failure.about(path)),
        Ok(_) => Err(explain(worker, &io::ErrorKind::InvalidData.into(), path, job)),
        Err(error) => Err(explain(worker, &error, path, job)),
    }
}

/// The frames of one sampling, decoded elsewhere.
pub(crate) struct RemoteFrames<'a> {
    reader: &'a mut RemoteReader,
    sampling: Sampling,
    state: State,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Waiting,
    Running,
    Finished,
}

impl<'a> RemoteFrames<'a> {
    pub(crate) fn new(reader: &'a mut RemoteReader, sampling: Sampling) -> Self {
        Self { reader, sampling, state: State::Waiting }
    }

    fn advance(&mut self) -> Result<Option<Frame>, VideoError> {
        if self.state == State::Waiting {
            // JSON has no word for some numbers; the process would refuse them anyway.
            Moments::new(self.sampling, 0, 1, 1.0)?;
            let sampling = self.sampling;
            let worker = self.reader.worker()?;
            if let Err(error) = wire::send(&mut worker.channel, &sampling) {
                let reader = &mut *self.reader;
                let ended =
                    reader.worker.take().map(|worker| explain(worker, &error, &reader.path, &reader.job));
                return Err(ended.unwrap_or(VideoError::Io { path: reader.path.clone(), source: error }));
            }
            self.state = State::Running;
        }
        loop {
            match self.reader.receive(|channel| wire::receive(channel))? {
                Reply::Warnings(warnings) => self.reader.warnings = warnings,
                Reply::End => {
                    self.state = State::Finished;
                    return Ok(None);
                }
                Reply::Failed(failure) => {
                    self.state = State::Finished;
                    return Err(failure.about(&self.reader.path));
                }
                Reply::Frame(head) => {
                    let (width, height) = (head.width, head.height);
                    let pixels = u64::from(width) * u64::from(height);
                    if pixels > self.reader.job.limits.max_pixels || !head.pts_seconds.is_finite() {
                        return self.reader.receive(|_| Err(io::ErrorKind::InvalidData.into()));
                    }
                    let bytes =
                        self.reader.receive(|from| from.pixels(pixels as usize * 3, head.is_shared))?;
                    let Some(image) = RgbImage::from_raw(width, height, bytes) else {
                        return self.reader.receive(|_| Err(io::ErrorKind::UnexpectedEof.into()));
                    };
                    let (index, repeats_previous) = (head.index, head.repeats_previous);
                    return Ok(Some(Frame { image, pts_seconds: head.pts_seconds, index, repeats_previous }));
                }
                Reply::Opened { .. } => {
                    return self.reader.receive(|_| Err(io::ErrorKind::InvalidData.into()));
                }
            }
        }
    }
}

impl Iterator for RemoteFrames<'_> {
    type Item = Result<Frame, VideoError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.state == State::Finished {
            return None;
        }
        let frame = self.advance().transpose();
        if !matches!(frame, Some(Ok(_))) {
            if self.state != State::Finished {
                self.reader.worker = None;
            }
            self.state = State::Finished;
        }
        frame
    }
}

impl Drop for RemoteFrames<'_> {
    fn drop(&mut self) {
        if self.state == State::Running {
            // Frames that nobody will fetch are on their way.
            self.reader.worker = None;
        }
    }
}
