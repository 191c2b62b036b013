use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use sha2::{Digest, Sha256};

/// SHA-256 of bytes in memory, in hexadecimal.
pub fn sha256(bytes: &[u8]) -> String {
    hexadecimal(&Sha256::digest(bytes))
}

/// SHA-256 of everything `source` gives, in hexadecimal, read in constant memory.
///
/// # Errors
/// An error of `source`.
pub fn sha256_of_reader(source: impl Read) -> io::Result<String> {
    Ok(sha256_while(source, || true)?.unwrap_or_default())
}

/// As [`sha256_of_reader`], but asks every few MiB whether to continue, and returns `None` if not: a
/// sparse file can have terabytes.
///
/// # Errors
/// An error of `source`.
pub fn sha256_while(
    mut source: impl Read,
    mut is_wanted: impl FnMut() -> bool,
) -> io::Result<Option<String>> {
    const BLOCKS_BETWEEN: usize = 16;
    let mut hash = Sha256::new();
    let mut block = vec![0; 1 << 18];
    let mut reads = 0;
    loop {
        match source.read(&mut block) {
            Ok(0) => return Ok(Some(hexadecimal(&hash.finalize()))),
            Ok(read) => hash.update(&block[..read]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
        reads += 1;
        if reads % BLOCKS_BETWEEN == 0 && !is_wanted() {
            return Ok(None);
        }
    }
}

/// SHA-256 of the bytes of a file, in hexadecimal, read in constant memory.
///
/// # Errors
/// When the file cannot be opened or read.
pub fn sha256_of_file(path: impl AsRef<Path>) -> io::Result<String> {
    sha256_of_reader(File::open(path)?)
}

/// Two lower-case hexadecimal digits per byte.
pub fn hexadecimal(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digit = |value: u8| char::from(DIGITS[usize::from(value & 15)]);
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(*byte)]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digests_are_those_of_the_standard() {
        // FIPS 180-4 examples: "abc", and a million times "a".
        let abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(sha256(b"abc"), abc);
        let million = "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0";
        assert_eq!(sha256_of_reader(io::repeat(b'a').take(1_000_000)).unwrap(), million);
        assert_eq!(hexadecimal(&[0, 9, 10, 255]), "00090aff");
    }

    #[test]
    fn an_endless_source_is_read_for_as_long_as_wanted() {
        let mut asked = 0;
        let hash = sha256_while(io::repeat(0), || {
            asked += 1;
            asked < 3
        });
        assert_eq!((hash.unwrap(), asked), (None, 3));
    }

    #[test]
    fn a_file_that_is_not_there_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(sha256_of_file(folder.path().join("none")).unwrap_err().kind(), io::ErrorKind::NotFound);
    }
}
