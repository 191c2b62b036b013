//! The time budget of a reader and the file handle that watches it.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use ffmpeg_next as ff;

use crate::VideoError;

/// Knows the file's name, how much time is left and whether the disk failed.
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
        }
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

    pub(crate) fn expired(&self) -> bool {
        self.spent() > self.deadline
    }

    /// Whether so much of the budget is gone that what can be left out should be.
    pub(crate) fn is_half_spent(&self) -> bool {
        self.spent() > self.deadline / 2
    }

    /// # Errors
    /// [`VideoError::Timeout`] when the budget is spent.
    pub(crate) fn check(&self) -> Result<(), VideoError> {
        if self.expired() {
            return Err(VideoError::Timeout { path: self.path(), deadline: self.deadline });
        }
        Ok(())
    }

    /// The error behind FFmpeg's: the disk's, the deadline's, or what `otherwise` makes of its text.
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

/// The bytes FFmpeg gets to see: one regular file, read until the budget is spent.
#[derive(Debug)]
pub(crate) struct GuardedFile {
    file: File,
    guard: Guard,
}

impl GuardedFile {
    /// A second handle on `file`, at its beginning.
    pub(crate) fn new(file: &File, guard: &Guard) -> io::Result<Self> {
        let mut file = file.try_clone()?;
        file.rewind()?;
        Ok(Self { file, guard: guard.clone() })
    }

    fn watched<T>(&mut self, action: impl FnOnce(&mut File) -> io::Result<T>) -> io::Result<T> {
        if self.guard.expired() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        action(&mut self.file).inspect_err(|error| {
            if error.kind() != io::ErrorKind::Interrupted {
                let copy =
                    error.raw_os_error().map_or_else(|| error.kind().into(), io::Error::from_raw_os_error);
                *self.guard.read_error.lock().unwrap_or_else(PoisonError::into_inner) = Some(copy);
            }
        })
    }
}

impl Read for GuardedFile {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.watched(|file| file.read(buffer))
    }
}

impl Seek for GuardedFile {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        // A container may point anywhere: a nonsensical offset is its fault, not the disk's.
        if self.guard.expired() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        self.file.seek(to)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_between_calls_is_free() {
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
