//! The time budget of a reader and the file handle that watches it.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use ffmpeg_next as ff;

use crate::VideoError;

/// Knows the file's name, how much time is left, how much may be read, and whether the disk failed.
///
/// Clones share their state: one lives in the reader, one in the byte source, one in the
/// interrupt callback.
#[derive(Debug, Clone)]
pub(crate) struct Guard {
    path: Arc<Path>,
    deadline: Duration,
    origin: Instant,
    /// Nanoseconds of the budget already spent by finished calls.
    spent: Arc<AtomicU64>,
    /// Start of the running call, in nanoseconds since `origin`; `IDLE` between calls.
    running_since: Arc<AtomicU64>,
    read_error: Arc<Mutex<Option<io::Error>>>,
    /// Bytes that may be read before the next [`Guard::allow_bytes`].
    bytes_left: Arc<AtomicU64>,
    /// Set by the caller to end the work early.
    stop: Option<Arc<AtomicBool>>,
}

const IDLE: u64 = u64::MAX;

/// The budget runs while this lives.
pub(crate) struct Running<'a>(&'a Guard);

impl Drop for Running<'_> {
    fn drop(&mut self) {
        let since = self.0.running_since.swap(IDLE, Ordering::Relaxed);
        self.0.spent.fetch_add(self.0.now().saturating_sub(since), Ordering::Relaxed);
    }
}

impl Guard {
    pub(crate) fn new(path: &Path, deadline: Duration) -> Self {
        Self {
            path: path.into(),
            deadline,
            origin: Instant::now(),
            spent: Arc::default(),
            running_since: Arc::new(AtomicU64::new(IDLE)),
            read_error: Arc::default(),
            bytes_left: Arc::new(AtomicU64::new(u64::MAX)),
            stop: None,
        }
    }

    /// The same, which the caller can end early.
    pub(crate) fn with_stop(self, stop: Option<Arc<AtomicBool>>) -> Self {
        Self { stop, ..self }
    }

    fn now(&self) -> u64 {
        self.origin.elapsed().as_nanos() as u64
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.path.to_path_buf()
    }

    /// Starts the budget's clock for one call.
    pub(crate) fn run(&self) -> Running<'_> {
        self.running_since.store(self.now(), Ordering::Relaxed);
        Running(self)
    }

    fn spent(&self) -> Duration {
        let since = self.running_since.load(Ordering::Relaxed);
        let running = if since == IDLE { 0 } else { self.now().saturating_sub(since) };
        Duration::from_nanos(self.spent.load(Ordering::Relaxed).saturating_add(running))
    }

    fn is_stopped(&self) -> bool {
        self.stop.as_ref().is_some_and(|stop| stop.load(Ordering::Relaxed))
    }

    /// Whether no more is to be done.
    pub(crate) fn expired(&self) -> bool {
        self.spent() > self.deadline || self.is_stopped()
    }

    /// Whether so much of the budget is gone that what can be left out should be.
    pub(crate) fn is_half_spent(&self) -> bool {
        self.spent() > self.deadline / 2
    }

    /// # Errors
    /// [`VideoError::Timeout`] when the budget is spent, [`VideoError::Stopped`] when the caller wants no more.
    pub(crate) fn check(&self) -> Result<(), VideoError> {
        if self.is_stopped() {
            return Err(VideoError::Stopped { path: self.path() });
        }
        if self.expired() {
            return Err(VideoError::Timeout { path: self.path(), deadline: self.deadline });
        }
        Ok(())
    }

    /// Sets how many bytes may be read from now on.
    pub(crate) fn allow_bytes(&self, bytes: u64) {
        self.bytes_left.store(bytes, Ordering::Relaxed);
    }

    /// Whether all bytes that [`Self::allow_bytes`] allowed were read.
    pub(crate) fn is_allowance_spent(&self) -> bool {
        self.bytes_left.load(Ordering::Relaxed) == 0
    }

    /// The cause of FFmpeg's error: the disk's, the deadline's, or what `otherwise` makes of its text.
    pub(crate) fn explain(
        &self,
        error: ff::Error,
        otherwise: impl FnOnce(PathBuf, String) -> VideoError,
    ) -> VideoError {
        if let Err(source) = self.take_read_error() {
            return VideoError::Io { path: self.path(), source };
        }
        if let Err(timeout) = self.check() {
            return timeout;
        }
        if error == (ff::Error::Other { errno: ff::error::ENOMEM }) {
            return VideoError::OutOfMemory { path: self.path() };
        }
        otherwise(self.path(), error.to_string())
    }

    /// The disk's failure, if one stopped FFmpeg.
    pub(crate) fn take_read_error(&self) -> io::Result<()> {
        self.read_error.lock().unwrap_or_else(PoisonError::into_inner).take().map_or(Ok(()), Err)
    }

    pub(crate) fn io(&self, source: io::Error) -> VideoError {
        VideoError::Io { path: self.path(), source }
    }
}

/// The bytes FFmpeg gets to see: one regular file or a part of it, read until the budget is spent.
///
/// Handles on one file do not disturb each other: each keeps its own place.
#[derive(Debug)]
pub(crate) struct GuardedFile {
    file: File,
    guard: Guard,
    bytes: Range<u64>,
    /// Where the next byte comes from, from the beginning of the file.
    at: u64,
}

impl GuardedFile {
    /// A second handle on `file`, at its beginning.
    pub(crate) fn new(file: &File, guard: &Guard) -> io::Result<Self> {
        Self::part(file, guard, 0..u64::MAX)
    }

    /// A second handle on `file` that sees these bytes alone, at the first of them.
    pub(crate) fn part(file: &File, guard: &Guard, bytes: Range<u64>) -> io::Result<Self> {
        Ok(Self { file: file.try_clone()?, guard: guard.clone(), at: bytes.start, bytes })
    }

    fn watched<T>(&self, action: impl FnOnce(&File) -> io::Result<T>) -> io::Result<T> {
        if self.guard.expired() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        action(&self.file).inspect_err(|error| {
            if error.kind() != io::ErrorKind::Interrupted {
                let copy =
                    error.raw_os_error().map_or_else(|| error.kind().into(), io::Error::from_raw_os_error);
                *self.guard.read_error.lock().unwrap_or_else(PoisonError::into_inner) = Some(copy);
            }
        })
    }
}

#[cfg(unix)]
fn read_at(file: &File, buffer: &mut [u8], at: u64) -> io::Result<usize> {
    std::os::unix::fs::FileExt::read_at(file, buffer, at)
}

#[cfg(not(unix))]
fn read_at(mut file: &File, buffer: &mut [u8], at: u64) -> io::Result<usize> {
    file.seek(SeekFrom::Start(at))?;
    file.read(buffer)
}

impl Read for GuardedFile {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = usize::try_from(self.bytes.end.saturating_sub(self.at)).unwrap_or(usize::MAX);
        let allowed = self.guard.bytes_left.load(Ordering::Relaxed);
        if allowed == 0 {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        let most = buffer.len().min(left).min(usize::try_from(allowed).unwrap_or(usize::MAX));
        let at = self.at;
        let read = self.watched(|file| read_at(file, &mut buffer[..most], at))?;
        self.at += read as u64;
        if allowed < u64::MAX {
            self.guard.bytes_left.store(allowed - read as u64, Ordering::Relaxed);
        }
        Ok(read)
    }
}

impl Seek for GuardedFile {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        // A container may point anywhere: a nonsensical offset is its fault, not the disk's.
        if self.guard.expired() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        let start = self.bytes.start;
        let place = match to {
            SeekFrom::Start(place) => place.checked_add(start),
            SeekFrom::Current(offset) => self.at.checked_add_signed(offset),
            SeekFrom::End(offset) => {
                let end = match self.bytes.end {
                    u64::MAX => self.file.seek(SeekFrom::End(0))?,
                    end => end,
                };
                end.checked_add_signed(offset)
            }
        };
        let place = place.filter(|place| (start..=i64::MAX as u64).contains(place));
        self.at = place.ok_or(io::ErrorKind::InvalidInput)?;
        Ok(self.at - start)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_of_a_file_begins_and_ends_like_a_file() {
        let mut file = tempfile::tempfile().unwrap();
        io::Write::write_all(&mut file, b"0123456789").unwrap();
        let guard = Guard::new(Path::new("clip.ts"), Duration::from_secs(9));
        let mut part = GuardedFile::part(&file, &guard, 3..7).unwrap();
        let mut text = String::new();
        part.read_to_string(&mut text).unwrap();
        assert_eq!(text, "3456");
        assert_eq!(part.seek(SeekFrom::End(0)).unwrap(), 4);
        assert_eq!(part.read(&mut [0; 4]).unwrap(), 0);
        assert_eq!(part.seek(SeekFrom::End(-1)).unwrap(), 3);
        assert_eq!(part.seek(SeekFrom::Current(-2)).unwrap(), 1);
        let mut two = [0; 2];
        part.read_exact(&mut two).unwrap();
        assert_eq!(&two, b"45");
        assert!(part.seek(SeekFrom::Current(-6)).is_err());
        assert!(part.seek(SeekFrom::Start(u64::MAX)).is_err());
    }

    #[test]
    fn no_more_is_read_than_allowed() {
        let mut file = tempfile::tempfile().unwrap();
        io::Write::write_all(&mut file, b"0123456789").unwrap();
        let guard = Guard::new(Path::new("clip.h264"), Duration::from_secs(9));
        let mut bytes = GuardedFile::new(&file, &guard).unwrap();
        guard.allow_bytes(4);
        assert_eq!((bytes.read(&mut [0; 8]).unwrap(), guard.is_allowance_spent()), (4, true));
        assert_eq!(bytes.read(&mut [0; 8]).unwrap_err().kind(), io::ErrorKind::FileTooLarge);
        guard.allow_bytes(u64::MAX);
        assert_eq!((bytes.read(&mut [0; 8]).unwrap(), guard.is_allowance_spent()), (6, false));
    }

    #[test]
    fn a_stop_ends_reading_at_once() {
        let stop = Arc::new(AtomicBool::new(false));
        let guard =
            Guard::new(Path::new("clip.mp4"), Duration::from_secs(9)).with_stop(Some(Arc::clone(&stop)));
        assert!(guard.check().is_ok() && !guard.expired());
        stop.store(true, Ordering::Relaxed);
        assert!(matches!(guard.check(), Err(VideoError::Stopped { .. })) && guard.expired());
    }

    #[test]
    fn time_between_calls_does_not_count() {
        let guard = Guard::new(Path::new("clip.mp4"), Duration::from_millis(40));
        drop(guard.run());
        std::thread::sleep(Duration::from_millis(60));
        assert!(guard.check().is_ok());
        let running = guard.run();
        std::thread::sleep(Duration::from_millis(60));
        assert!(matches!(guard.check(), Err(VideoError::Timeout { .. })));
        drop(running);
        assert!(guard.expired(), "a spent budget stays spent");
    }
}
