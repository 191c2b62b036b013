use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

/// The bytes of a file of at most `max` bytes. More are not read: a sparse file can have terabytes.
///
/// ```
/// use deeptell_files::read_bounded;
///
/// let folder = tempfile::tempdir()?;
/// let path = folder.path().join("settings.toml");
/// std::fs::write(&path, "frames = 12")?;
/// assert_eq!(read_bounded(&path, 1 << 20)?, b"frames = 12");
/// assert!(read_bounded(&path, 4).is_err());
/// # Ok::<(), std::io::Error>(())
/// ```
///
/// # Errors
/// When the file cannot be read, and [`io::ErrorKind::FileTooLarge`].
pub fn read_bounded(path: impl AsRef<Path>, max: u64) -> io::Result<Vec<u8>> {
    let too_large = || {
        let reason = format!("it is larger than {}, the most that such a file may have", size(max));
        io::Error::new(io::ErrorKind::FileTooLarge, reason)
    };
    let file = File::open(path)?;
    if file.metadata()?.len() > max {
        return Err(too_large());
    }
    // The file may grow meanwhile, and a pipe has no size.
    let mut bytes = Vec::new();
    file.take(max.saturating_add(1)).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > max { Err(too_large()) } else { Ok(bytes) }
}

/// As [`read_bounded`], for text in UTF-8.
///
/// # Errors
/// As [`read_bounded`], and [`io::ErrorKind::InvalidData`] for other text.
pub fn read_text_bounded(path: impl AsRef<Path>, max: u64) -> io::Result<String> {
    String::from_utf8(read_bounded(path, max)?)
        .map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "it is not text in UTF-8"))
}

/// The size of a regular file, in bytes. Devices and pipes have no size, and reading them may never end.
///
/// # Errors
/// When there is no such file, and [`io::ErrorKind::InvalidInput`] when it is of another kind.
pub fn regular_file_size(path: impl AsRef<Path>) -> io::Result<u64> {
    let facts = path.as_ref().metadata()?;
    if facts.is_file() {
        Ok(facts.len())
    } else {
        Err(io::Error::new(io::ErrorKind::InvalidInput, "it is not a regular file"))
    }
}

/// The number of the line, from 1, that the byte at `offset` of `text` is in.
pub fn line_at(text: &str, offset: usize) -> usize {
    text.bytes().take(offset).filter(|byte| *byte == b'\n').count() + 1
}

/// Whether both paths lead to one file that exists, by whatever names and links.
pub fn is_same_file(one: &Path, other: &Path) -> bool {
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt as _;
        let id = |path: &Path| path.metadata().ok().map(|facts| (facts.dev(), facts.ino()));
        id(one).is_some_and(|one| Some(one) == id(other))
    }
    #[cfg(not(unix))]
    {
        let real = |path: &Path| path.canonicalize().ok();
        real(one).is_some_and(|one| Some(one) == real(other))
    }
}

/// A limit in the largest unit that it is a whole number of.
fn size(bytes: u64) -> String {
    match bytes {
        _ if bytes.is_multiple_of(1 << 30) => format!("{} GiB", bytes >> 30),
        _ if bytes.is_multiple_of(1 << 20) => format!("{} MiB", bytes >> 20),
        _ => format!("{bytes} bytes"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sparse_file_is_refused_without_being_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("sparse");
        File::create(&path).unwrap().set_len(1 << 40).unwrap();
        let error = read_bounded(&path, 1 << 20).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::FileTooLarge);
        assert!(error.to_string().contains("larger than 1 MiB"), "{error}");
        File::create(&path).unwrap().set_len(1 << 20).unwrap();
        assert_eq!(read_bounded(&path, 1 << 20).unwrap().len(), 1 << 20);
    }

    #[test]
    fn text_in_another_encoding_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("text");
        std::fs::write(&path, b"\xff").unwrap();
        assert_eq!(read_text_bounded(&path, 9).unwrap_err().kind(), io::ErrorKind::InvalidData);
    }

    #[test]
    fn only_regular_files_have_a_size() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        std::fs::write(&path, "abc").unwrap();
        assert_eq!(regular_file_size(&path).unwrap(), 3);
        assert_eq!(regular_file_size(folder.path()).unwrap_err().kind(), io::ErrorKind::InvalidInput);
        #[cfg(unix)]
        assert_eq!(regular_file_size("/dev/zero").unwrap_err().kind(), io::ErrorKind::InvalidInput);
    }

    #[test]
    fn lines_are_counted_from_1() {
        assert_eq!([0, 2, 3, 99].map(|offset| line_at("a\n\nb", offset)), [1, 2, 3, 3]);
    }

    #[test]
    fn links_to_one_file_are_the_same_file() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        std::fs::write(at("a"), "").unwrap();
        std::fs::write(at("b"), "").unwrap();
        std::fs::hard_link(at("a"), at("c")).unwrap();
        assert!(is_same_file(&at("a"), &at("c")) && is_same_file(&at("a"), &at("./a")));
        assert!(!is_same_file(&at("a"), &at("b")) && !is_same_file(&at("none"), &at("none")));
    }
}
