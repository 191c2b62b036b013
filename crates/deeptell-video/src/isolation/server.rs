//! The program that forks decoders.
//!
//! The *server* is the program that the parent starts. It loads FFmpeg, never sees a byte of a file, and forks a
//! *worker* for each.

use std::fs::File;
use std::io::{self, IoSliceMut, Read, Write};
use std::mem::MaybeUninit;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::process::ExitCode;

use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};
use rustix::process::{Pid, Signal, WaitOptions, kill_process, waitpid};

use super::privileges::{close_inherited_descriptors, drop_privileges};
use super::sandbox::{Baseline, OnForbidden};
use super::worker::{Descriptors, Origin, work};
use crate::decoder;
use crate::local::prepare_ffmpeg;

/// Fork a worker; its file, its channel and, on Linux, memory for its pixels come along. The answer is its number, or 0 and an error.
pub(crate) const START: u8 = b'S';
/// End a worker. The answer is [`EXITED`] and its code, or [`SIGNALLED`] and the signal.
pub(crate) const REAP: u8 = b'R';
pub(crate) const EXITED: i32 = 0;
pub(crate) const SIGNALLED: i32 = 1;
/// What a launcher says first.
pub(crate) const HELLO: Answer = Answer(0x7E11, 1);

/// Most descriptors that come with a request.
pub(crate) const MAX_DESCRIPTORS: usize = 3;
const REQUEST_BYTES: usize = 5;
pub(crate) const ANSWER_BYTES: usize = 8;

/// Two numbers, whose meaning depends on the question.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Answer(pub(crate) i32, pub(crate) i32);

impl Answer {
    pub(crate) fn from_bytes([a, b, c, d, e, f, g, h]: [u8; ANSWER_BYTES]) -> Self {
        Self(i32::from_le_bytes([a, b, c, d]), i32::from_le_bytes([e, f, g, h]))
    }

    fn to_bytes(self) -> [u8; ANSWER_BYTES] {
        let ([a, b, c, d], [e, f, g, h]) = (self.0.to_le_bytes(), self.1.to_le_bytes());
        [a, b, c, d, e, f, g, h]
    }
}

pub(crate) fn request(what: u8, process: i32) -> [u8; REQUEST_BYTES] {
    let [a, b, c, d] = process.to_le_bytes();
    [what, a, b, c, d]
}

/// The whole life of a program that a [`DecoderProcess`](crate::DecoderProcess) started.
///
/// Call it first thing in `main`, before any thread exists and any file is open, and return what it returns: it
/// closes every descriptor but the three standard ones. It fails at once when standard input is not the parent's socket.
#[must_use]
pub fn serve_decoding() -> ExitCode {
    serve(OnForbidden::Refuse)
}

/// As [`serve_decoding`], but any system call that decoding does not need ends the process, where
/// it would otherwise fail. For tests: a file that decodes here has opened no other.
#[must_use]
pub fn serve_decoding_strictly() -> ExitCode {
    serve(OnForbidden::Kill)
}

/// As [`serve_decoding`], with the code for the process to exit with.
pub(crate) fn serve_as_program() -> i32 {
    if try_to_serve(OnForbidden::Refuse).is_ok() { 0 } else { 2 }
}

fn serve(on_forbidden: OnForbidden) -> ExitCode {
    match try_to_serve(on_forbidden) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::from(2),
    }
}

fn try_to_serve(on_forbidden: OnForbidden) -> io::Result<()> {
    close_inherited_descriptors();
    ignore_signals_for_the_parent();
    let mut control = UnixStream::from(io::stdin().as_fd().try_clone_to_owned()?);
    // A worker must not find the launcher's socket among its standard streams.
    rustix::stdio::dup2_stdin(File::open("/dev/null")?)?;
    control.write_all(&HELLO.to_bytes())?;
    prepare_ffmpeg();
    load_character_sets();
    load_time_zone();
    decoder::warm_up();
    let baseline = Baseline::measure()?;
    let origin = Origin { baseline, on_forbidden, confinement: drop_privileges() };
    let mut workers: Vec<Pid> = Vec::new();
    let served = loop {
        match receive(&mut control) {
            Ok(Some((START, _, Some(descriptors)))) => {
                let answer = match fork() {
                    Ok(None) => {
                        drop(control);
                        leave(work(descriptors, &origin));
                    }
                    Ok(Some(worker)) => {
                        workers.push(worker);
                        Answer(worker.as_raw_nonzero().get(), 0)
                    }
                    Err(error) => Answer(0, error.raw_os_error().unwrap_or_default()),
                };
                drop(descriptors);
                if let Err(error) = control.write_all(&answer.to_bytes()) {
                    break Err(error);
                }
            }
            Ok(Some((REAP, process, _))) => {
                let known = workers.iter().position(|worker| worker.as_raw_nonzero().get() == process);
                let answer = known.map_or(Answer(EXITED, 0), |index| end(workers.swap_remove(index)));
                if let Err(error) = control.write_all(&answer.to_bytes()) {
                    break Err(error);
                }
            }
            Ok(None) => break Ok(()),
            Ok(Some(_)) => break Err(io::ErrorKind::InvalidData.into()),
            Err(error) => break Err(error),
        }
    };
    for worker in workers {
        end(worker);
    }
    served
}

/// Loads what names of television services are written in (ETSI EN 300 468, annex A).
///
/// FFmpeg's MPEG-TS demuxer converts them, and glibc loads each character set from a file when it
/// is first named. A worker cannot, and must not, open files.
fn load_character_sets() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    {
        let others = ["ISO6937", "UCS-2BE", "KSC_5601", "GB2312", "UTF-8", ""].map(str::to_owned);
        for name in others.into_iter().chain((1..=16).map(|part| format!("ISO-8859-{part}"))) {
            let Ok(name) = std::ffi::CString::new(name) else { continue };
            #[expect(unsafe_code, reason = "there is no safe way to load a character set")]
            // SAFETY: both names are text that ends with NUL. The converter, if there is one, stays
            // open for as long as the process lives: closing it would unload the set.
            let _ = unsafe { libc::iconv_open(c"UTF8".as_ptr(), name.as_ptr()) };
        }
    }
}

/// Loads the local time zone, which glibc reads from a file when a date first needs it.
#[expect(unsafe_code, reason = "there is no safe way to load the time zone")]
fn load_time_zone() {
    let epoch = 0;
    // SAFETY: an all-zero `tm` is a valid one, and both pointers are to live values.
    unsafe {
        let mut parts = std::mem::zeroed();
        libc::localtime_r(&raw const epoch, &raw mut parts);
    }
}

type Asked = (u8, i32, Option<Descriptors>);

/// The parent's next request, or `None` when there is no parent any more.
fn receive(control: &mut UnixStream) -> io::Result<Option<Asked>> {
    let mut bytes = [0; REQUEST_BYTES];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_DESCRIPTORS))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    let received =
        recvmsg(&*control, &mut [IoSliceMut::new(&mut bytes)], &mut ancillary, RecvFlags::empty())?.bytes;
    if received == 0 {
        return Ok(None);
    }
    control.read_exact(&mut bytes[received..])?;
    let mut descriptors = ancillary
        .drain()
        .filter_map(|message| match message {
            RecvAncillaryMessage::ScmRights(descriptors) => Some(descriptors),
            _ => None,
        })
        .flatten();
    let pair = descriptors.next().zip(descriptors.next());
    let descriptors = pair.map(|(file, channel)| Descriptors { file, channel, pixels: descriptors.next() });
    let [what, a, b, c, d] = bytes;
    Ok(Some((what, i32::from_le_bytes([a, b, c, d]), descriptors)))
}

/// Schedulers and init systems signal every process of a job. The parent decides what that means for files under way, and
/// ends this process and its workers when it wants to.
#[expect(unsafe_code, reason = "there is no safe way to ignore a signal")]
fn ignore_signals_for_the_parent() {
    for signal in [libc::SIGTERM, libc::SIGINT, libc::SIGHUP, libc::SIGQUIT] {
        // SAFETY: no handler runs, and the launcher has one thread.
        unsafe { libc::signal(signal, libc::SIG_IGN) };
    }
}

/// Splits this process; `None` in the new one.
#[expect(unsafe_code, reason = "there is no safe fork")]
fn fork() -> io::Result<Option<Pid>> {
    // SAFETY: the launcher has one thread (see `serve_decoding`), so no lock is held by a thread
    // that the child would lack.
    match unsafe { libc::fork() } {
        0 => Ok(None),
        child => Pid::from_raw(child).filter(|_| child > 0).map(Some).ok_or_else(io::Error::last_os_error),
    }
}

/// Ends this process without the destructors of its libraries: those of the launcher are not ours.
#[expect(unsafe_code, reason = "there is no safe immediate exit")]
fn leave(code: i32) -> ! {
    // SAFETY: nothing of this process outlives it.
    unsafe { libc::_exit(code) }
}

/// Kills a worker, if it still lives, and says how it ended.
fn end(worker: Pid) -> Answer {
    let _ = kill_process(worker, Signal::KILL);
    match waitpid(Some(worker), WaitOptions::empty()) {
        Ok(Some((_, status))) => match status.terminating_signal() {
            Some(signal) => Answer(SIGNALLED, signal),
            None => Answer(EXITED, status.exit_status().unwrap_or_default()),
        },
        _ => Answer(EXITED, 0),
    }
}
