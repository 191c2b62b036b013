//! Memory in which a decoding process leaves the pixels of one frame for its parent.
//!
//! A channel holds little: a frame would go through it in dozens of turns, each of which wakes the
//! other side. On Linux the process converts its pictures straight into anonymous memory that both
//! sides have as a file; the parent reads it like one, so that nothing the process does to it can
//! surprise the parent but with other pixels. Other systems use the channel, and so do frames that
//! are turned or larger than that memory.

use std::fs::File;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::buffer::spare_capacity;

/// Bytes for the ends of rows, which the scaler rounds up, of all but very narrow frames.
const EDGES: u64 = 1 << 20;
/// Most bytes that are set apart for a frame. None of them is taken before it is written to.
const MAX_BUFFER_BYTES: u64 = 256 << 20;

/// Memory for one frame: the parent's side.
#[derive(Debug)]
pub(crate) struct SharedPixels(File);

/// What the parent answers when it has taken a frame out.
pub(crate) const TAKEN: u8 = b'T';

impl SharedPixels {
    /// New memory for an RGB frame of up to `max_pixels`; `None` where the system has no anonymous files.
    ///
    /// # Errors
    /// If the system refuses, for example because it has no free descriptors.
    pub(crate) fn for_frames_up_to(max_pixels: u64) -> io::Result<Option<Self>> {
        #[cfg(target_os = "linux")]
        {
            use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, ftruncate, memfd_create};
            let memory = memfd_create("deeptell-pixels", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)?;
            ftruncate(&memory, max_pixels.saturating_mul(3).saturating_add(EDGES).min(MAX_BUFFER_BYTES))?;
            // Whoever holds it can fill it, and not make it larger.
            fcntl_add_seals(&memory, SealFlags::GROW | SealFlags::SHRINK | SealFlags::SEAL)?;
            Ok(Some(Self(memory.into())))
        }
        #[cfg(not(target_os = "linux"))]
        {
            let _ = (max_pixels, EDGES, MAX_BUFFER_BYTES);
            Ok(None)
        }
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

impl AsFd for SharedPixels {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// Memory for one frame: the side of the decoding process, where it is memory, until the process ends.
#[derive(Debug)]
pub(crate) struct MappedPixels(&'static mut [MaybeUninit<u8>]);

impl MappedPixels {
    /// # Errors
    /// When the system refuses.
    pub(crate) fn map(descriptor: &OwnedFd) -> io::Result<Self> {
        use rustix::mm::{MapFlags, ProtFlags, mmap};
        let length = usize::try_from(rustix::fs::fstat(descriptor)?.st_size)
            .map_err(|_| io::ErrorKind::InvalidData)?;
        #[expect(unsafe_code, reason = "there is no safe way to map memory")]
        // SAFETY: the address is the system's choice, so no other object lies there, and nothing unmaps
        // it. The file is sealed against shrinking. The other process that has it only reads, at times
        // when this one waits.
        let bytes = unsafe {
            let access = ProtFlags::READ | ProtFlags::WRITE;
            let start = mmap(std::ptr::null_mut(), length, access, MapFlags::SHARED, descriptor, 0)?;
            std::slice::from_raw_parts_mut(start.cast(), length)
        };
        Ok(Self(bytes))
    }

    pub(crate) fn length(&self) -> usize {
        self.0.len()
    }

    pub(crate) fn bytes(&mut self) -> &mut [MaybeUninit<u8>] {
        self.0
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn pixels_written_last_are_read() {
        let shared = SharedPixels::for_frames_up_to(1000).unwrap().unwrap();
        let mut mapped = MappedPixels::map(&shared.as_fd().try_clone_to_owned().unwrap()).unwrap();
        mapped.bytes()[..4].write_copy_of_slice(&[1, 2, 3, 4]);
        assert_eq!(shared.take(4).unwrap(), [1, 2, 3, 4]);
        mapped.bytes()[..2].write_copy_of_slice(&[7, 8]);
        assert_eq!(shared.take(3).unwrap(), [7, 8, 3]);
        assert!(shared.take(0).unwrap().is_empty());
        let beyond = mapped.length() + 1;
        assert_eq!(shared.take(beyond).unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
    }

    #[test]
    fn the_shared_buffer_cannot_be_resized() {
        let shared = SharedPixels::for_frames_up_to(u64::MAX).unwrap().unwrap();
        assert_eq!(shared.0.metadata().unwrap().len(), MAX_BUFFER_BYTES);
        assert!(shared.0.set_len(MAX_BUFFER_BYTES - 1).is_err());
        assert!(shared.0.set_len(MAX_BUFFER_BYTES + 1).is_err());
    }
}
