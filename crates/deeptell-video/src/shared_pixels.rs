//! Memory in which a decoding process leaves the pixels of one frame for its parent.
//!
//! A channel holds little: a frame would go through it in dozens of turns, each of which wakes the
//! other side. On Linux the pixels go into anonymous memory that both sides have as a file; the
//! parent reads it like one, so that nothing the process does to it can surprise the parent but with
//! other pixels. Other systems use the channel.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::FileExt;

use rustix::buffer::spare_capacity;

/// Room for one frame.
#[derive(Debug)]
pub(crate) struct SharedPixels(File);

/// What the parent answers when it has taken a frame out.
pub(crate) const TAKEN: u8 = b'T';

impl SharedPixels {
    /// Fresh room; `None` where the system has no anonymous files.
    ///
    /// # Errors
    /// When the system refuses, for example for want of descriptors.
    pub(crate) fn new() -> io::Result<Option<Self>> {
        #[cfg(target_os = "linux")]
        {
            use rustix::fs::{MemfdFlags, memfd_create};
            let memory = memfd_create("deeptell-pixels", MemfdFlags::CLOEXEC)?;
            Ok(Some(Self(memory.into())))
        }
        #[cfg(not(target_os = "linux"))]
        Ok(None)
    }

    /// Puts a frame in the place of the last one.
    pub(crate) fn put(&self, pixels: &[u8]) -> io::Result<()> {
        self.0.write_all_at(pixels, 0)
    }

    /// The first `length` bytes.
    ///
    /// # Errors
    /// When there are fewer.
    pub(crate) fn take(&self, length: usize) -> io::Result<Vec<u8>> {
        let mut pixels = Vec::new();
        pixels.try_reserve_exact(length).map_err(|_| io::ErrorKind::OutOfMemory)?;
        while pixels.len() < length {
            let offset = pixels.len() as u64;
            match rustix::io::pread(&self.0, spare_capacity(&mut pixels), offset) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        pixels.truncate(length);
        Ok(pixels)
    }
}

impl From<OwnedFd> for SharedPixels {
    fn from(descriptor: OwnedFd) -> Self {
        Self(descriptor.into())
    }
}

impl AsFd for SharedPixels {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn what_was_put_in_last_is_taken_out() {
        let shared = SharedPixels::new().unwrap().unwrap();
        shared.put(&[1, 2, 3, 4]).unwrap();
        shared.put(&[7, 8]).unwrap();
        assert_eq!(shared.take(3).unwrap(), [7, 8, 3]);
        assert!(shared.take(0).unwrap().is_empty());
        assert_eq!(shared.take(5).unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
    }
}
