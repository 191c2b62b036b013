use std::io::{self, Read, Seek, SeekFrom};

/// Reads a file by positions, a window of it at a time, so that steps from one header to the next do not cost a read
/// each.
///
/// ```
/// use std::io::Cursor;
///
/// use deeptell_files::ByteWindow;
///
/// let mut bytes = ByteWindow::new(Cursor::new(b"RIFF\x04\0\0\0WEBP"), 4096)?;
/// assert_eq!(bytes.at(8, 4)?, b"WEBP");
/// assert_eq!(bytes.exactly::<4>(4)?.map(u32::from_le_bytes), Some(4));
/// assert_eq!(bytes.exactly::<4>(10)?, None, "the file ends before");
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct ByteWindow<S> {
    source: S,
    capacity: usize,
    length: u64,
    window: Vec<u8>,
    /// Where the window begins.
    start: u64,
}

impl<S: Read + Seek> ByteWindow<S> {
    /// A window of `capacity` bytes over `source`.
    ///
    /// # Errors
    /// When the length of `source` cannot be found.
    pub fn new(mut source: S, capacity: usize) -> io::Result<Self> {
        let length = source.seek(SeekFrom::End(0))?;
        Ok(Self { source, capacity, length, window: Vec::new(), start: 0 })
    }

    /// Bytes of the file, when it was opened.
    pub fn length(&self) -> u64 {
        self.length
    }

    /// Up to `count` bytes from `at` on, no more than the capacity; fewer at the end of the file.
    ///
    /// # Errors
    /// When the source cannot be read.
    pub fn at(&mut self, at: u64, count: usize) -> io::Result<&[u8]> {
        let wanted = (count.min(self.capacity) as u64).min(self.length.saturating_sub(at));
        let end = at.saturating_add(wanted);
        if at < self.start || end > self.start + self.window.len() as u64 {
            self.source.seek(SeekFrom::Start(at))?;
            self.window.clear();
            self.source.by_ref().take(self.capacity as u64).read_to_end(&mut self.window)?;
            self.start = at;
        }
        let from = self.offset(at);
        let to = from.saturating_add(wanted as usize).min(self.window.len());
        Ok(&self.window[from..to])
    }

    /// `N` bytes from `at` on; `None` where the file ends before.
    ///
    /// # Errors
    /// As [`at`](Self::at).
    pub fn exactly<const N: usize>(&mut self, at: u64) -> io::Result<Option<[u8; N]>> {
        Ok(self.at(at, N)?.first_chunk().copied())
    }

    /// The bytes from `at` on that the window holds: at least `least`, or all up to the end of the file.
    ///
    /// # Errors
    /// As [`at`](Self::at).
    pub fn from(&mut self, at: u64, least: usize) -> io::Result<&[u8]> {
        let first = self.at(at, least)?.len();
        let from = self.offset(at);
        Ok(if first == 0 { &[] } else { &self.window[from..] })
    }

    /// Where `at` is in the window.
    fn offset(&self, at: u64) -> usize {
        usize::try_from(at - self.start).unwrap_or(usize::MAX).min(self.window.len())
    }
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;

    #[test]
    fn bytes_are_those_of_the_file_wherever_the_window_is() {
        let file: Vec<u8> = (0..=255).collect();
        let mut bytes = ByteWindow::new(Cursor::new(&file), 16).unwrap();
        assert_eq!(bytes.length(), 256);
        for at in [0, 100, 99, 115, 116, 250, 3, 255] {
            for count in [0, 1, 5, 16] {
                let expected = &file[at..file.len().min(at + count)];
                assert_eq!(bytes.at(at as u64, count).unwrap(), expected, "{count} from {at}");
            }
            assert!(file[at..].starts_with(bytes.from(at as u64, 4).unwrap()));
        }
        assert_eq!(bytes.at(10, 100).unwrap(), &file[10..26], "no more than the capacity");
        assert!(bytes.at(256, 4).unwrap().is_empty() && bytes.at(u64::MAX, 4).unwrap().is_empty());
        assert!(bytes.from(300, 4).unwrap().is_empty());
        assert_eq!(bytes.exactly::<4>(253).unwrap(), None);
    }
}
