//! The bytes that a path leads to, whether it is a file or a member of a [shard](crate::ShardIndex).

use std::collections::HashMap;
use std::fs::{File, Metadata};
use std::io::Cursor;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::SystemTime;

use deeptell_face::{Picture, PictureLimits, RgbImage};
use deeptell_files::{sha256, sha256_while};

use crate::shard::through_shard;
use crate::{DataError, ShardIndex};

/// The indices of the shards read so far, with file attributes that show whether a file has changed
/// since. Shards are closed between reads, so their number is not limited; an index takes about a
/// hundred bytes per member.
static INDICES: RwLock<Option<Indices>> = RwLock::new(None);

type Indices = HashMap<PathBuf, (Stamp, Arc<ShardIndex>)>;

/// What changes when a file does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp {
    length: u64,
    modified: Option<SystemTime>,
}

impl Stamp {
    fn of(metadata: &Metadata) -> Self {
        Self { length: metadata.len(), modified: metadata.modified().ok() }
    }
}

/// The bytes of a file, or of the member of a shard that the path goes through:
/// `crops-000000.tar/KEY.png`.
///
/// Any number of threads may read at once. The first read from a shard goes through its headers,
/// later ones go straight to the member.
///
/// ```
/// use deeptell_data::{ShardWriter, read_contents};
///
/// let folder = tempfile::tempdir()?;
/// let mut shard = ShardWriter::create(folder.path().join("crops.tar"))?;
/// shard.append([("a.png", &b"a picture"[..]), ("a.json", b"{}")])?;
/// let shard = shard.finish()?;
/// assert_eq!(read_contents(shard.join("a.png"))?, b"a picture");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// [`DataError::Io`]; for a shard also [`DataError::NoShard`], [`DataError::NotInShard`],
/// [`DataError::TruncatedShard`], [`DataError::DamagedShard`], [`DataError::OutsideShard`].
pub fn read_contents(path: impl AsRef<Path>) -> Result<Vec<u8>, DataError> {
    let path = path.as_ref();
    let Some((shard, member)) = through_shard(path)? else {
        return std::fs::read(path).map_err(DataError::io(path));
    };
    let file = File::open(shard).map_err(|source| {
        if source.kind() == std::io::ErrorKind::NotFound {
            DataError::NoShard { shard: shard.to_path_buf(), member: member.clone() }
        } else {
            DataError::Io { path: shard.to_path_buf(), source }
        }
    })?;
    let stamp = Stamp::of(&file.metadata().map_err(DataError::io(shard))?);
    index_of(shard, stamp)?.contents_from(&file, &member)
}

/// SHA-256 in hexadecimal of what [`read_contents`] reads, in constant memory for a file. Asks every few MiB whether to
/// continue, and returns `None` if not: a sparse file can have terabytes.
///
/// # Errors
/// As [`read_contents`].
pub fn sha256_of_contents(
    path: impl AsRef<Path>,
    is_wanted: impl FnMut() -> bool,
) -> Result<Option<String>, DataError> {
    let path = path.as_ref();
    if through_shard(path)?.is_some() {
        return Ok(Some(sha256(&read_contents(path)?)));
    }
    File::open(path).and_then(|file| sha256_while(file, is_wanted)).map_err(DataError::io(path))
}

fn index_of(shard: &Path, stamp: Stamp) -> Result<Arc<ShardIndex>, DataError> {
    let known = |indices: &Option<Indices>| {
        let (at, index) = indices.as_ref()?.get(shard)?;
        (*at == stamp).then(|| Arc::clone(index))
    };
    // A map of finished indices is right even if a thread died while it held the lock.
    if let Some(index) = known(&INDICES.read().unwrap_or_else(PoisonError::into_inner)) {
        return Ok(index);
    }
    // One thread makes the index while the others, who will need it too, wait.
    let mut indices = INDICES.write().unwrap_or_else(PoisonError::into_inner);
    if let Some(index) = known(&indices) {
        return Ok(index);
    }
    let index = Arc::new(ShardIndex::read(shard)?);
    indices.get_or_insert_default().insert(shard.to_path_buf(), (stamp, Arc::clone(&index)));
    Ok(index)
}

/// Decodes the picture at a path, in a file or in a shard, upright as its EXIF data say. Its kind is determined by
/// its bytes, not by its name.
///
/// # Errors
/// As [`read_contents`]; [`DataError::Picture`] when the bytes cannot be decoded.
pub fn read_picture(path: impl AsRef<Path>) -> Result<RgbImage, DataError> {
    let path = path.as_ref();
    Ok(decode(path, &read_contents(path)?)?.image)
}

/// The picture that was read from `path`.
pub(crate) fn decode(path: &Path, bytes: &[u8]) -> Result<Picture, DataError> {
    deeptell_face::read_picture(Cursor::new(bytes), &PictureLimits::default())
        .map_err(|source| DataError::Picture { path: path.to_path_buf(), source })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ShardWriter;

    fn shard(path: &Path, members: &[(&str, &[u8])]) {
        let _ = std::fs::remove_file(path);
        let mut shard = ShardWriter::create(path).unwrap();
        shard.append(members.iter().copied()).unwrap();
        shard.finish().unwrap();
    }

    #[test]
    fn a_path_leads_to_a_file_or_into_a_shard() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        std::fs::write(at("a.png"), "file").unwrap();
        std::fs::create_dir(at("folder.tar")).unwrap();
        std::fs::write(at("folder.tar/a.png"), "in a folder").unwrap();
        shard(&at("s.TAR"), &[("real/a.png", b"in a shard")]);
        assert_eq!(read_contents(at("a.png")).unwrap(), b"file");
        assert_eq!(read_contents(at("folder.tar/a.png")).unwrap(), b"in a folder");
        assert_eq!(read_contents(at("s.TAR/real/a.png")).unwrap(), b"in a shard");
        assert_eq!(read_contents(at("s.TAR/./real/a.png")).unwrap(), b"in a shard");

        let fault = |name: &str| read_contents(at(name)).unwrap_err();
        assert!(matches!(fault("b.png"), DataError::Io { .. }));
        assert!(matches!(fault("none.tar/b.png"), DataError::NoShard { .. }));
        assert!(matches!(fault("s.TAR/b.png"), DataError::NotInShard { .. }));
        assert!(matches!(fault("s.TAR/../a.png"), DataError::OutsideShard { .. }));
        let bytes = std::fs::read(at("s.TAR")).unwrap();
        std::fs::write(at("s.TAR"), &bytes[..600]).unwrap();
        assert!(matches!(fault("s.TAR/real/a.png"), DataError::TruncatedShard { .. }));
    }

    #[test]
    fn files_and_members_of_shards_have_the_published_digest() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        std::fs::write(at("a.png"), "abc").unwrap();
        shard(&at("s.tar"), &[("a.png", b"abc")]);
        // FIPS 180-2, appendix B.1.
        let expected = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        for name in ["a.png", "s.tar/a.png"] {
            assert_eq!(sha256_of_contents(at(name), || true).unwrap().as_deref(), Some(expected), "{name}");
        }
    }

    #[test]
    fn many_threads_read_the_same_and_a_changed_shard_is_read_anew() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("s.tar");
        let names: Vec<String> = (0..200).map(|i| format!("{i:03}.png")).collect();
        let members: Vec<(&str, &[u8])> = names.iter().map(|name| (name.as_str(), name.as_bytes())).collect();
        shard(&path, &members);
        std::thread::scope(|scope| {
            for thread in 0..8 {
                let (names, path) = (&names, &path);
                scope.spawn(move || {
                    for i in 0..200 {
                        let name = &names[(i * 7 + thread * 31) % 200];
                        assert_eq!(read_contents(path.join(name)).unwrap(), name.as_bytes());
                    }
                });
            }
        });
        shard(&path, &[("000.png", b"another")]);
        assert_eq!(read_contents(path.join("000.png")).unwrap(), b"another");
        assert!(matches!(read_contents(path.join("001.png")), Err(DataError::NotInShard { .. })));
    }

    #[test]
    fn pictures_are_recognized_by_their_bytes() {
        let folder = tempfile::tempdir().unwrap();
        let picture = RgbImage::from_fn(9, 5, |x, y| image::Rgb([x as u8, y as u8, 7]));
        let mut bytes = Cursor::new(Vec::new());
        picture.write_to(&mut bytes, image::ImageFormat::Png).unwrap();
        let path = folder.path().join("s.tar");
        shard(&path, &[("a.jpg", bytes.get_ref()), ("b.jpg", b"no picture")]);
        assert_eq!(read_picture(path.join("a.jpg")).unwrap(), picture);
        assert!(matches!(read_picture(path.join("b.jpg")), Err(DataError::Picture { .. })));
    }
}
