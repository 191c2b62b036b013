//! Shards: many small files in one tar archive, as in WebDataset.
//!
//! A shard is an uncompressed tar archive. Members that belong together share a key, which is
//! their name up to the first dot, and lie side by side: `KEY.png` and `KEY.json`. A path names a
//! member as if the shard were a folder, `crops-000000.tar/KEY.png`, in manifests too;
//! [`read_contents`](crate::read_contents) understands both. Nothing is ever unpacked to disk.

mod index;
mod writer;

use std::path::{Component, Path};

use crate::DataError;

pub use index::ShardIndex;
pub use writer::ShardWriter;

/// Tar archives are made of blocks of this many bytes.
const BLOCK: u64 = 512;
/// Two blocks of zeros end an archive.
const END: [u8; 2 * BLOCK as usize] = [0; 2 * BLOCK as usize];

/// The shard and the member that a path goes through a shard to, `None` where it is the path of a
/// file.
///
/// # Errors
/// [`DataError::OutsideShard`] when the rest of the path leads out of the shard.
pub(crate) fn through_shard(path: &Path) -> Result<Option<(&Path, String)>, DataError> {
    let is_shard = |path: &&Path| path.extension().is_some_and(|end| end.eq_ignore_ascii_case("tar"));
    // A folder may have any name.
    let Some(shard) = path.ancestors().skip(1).filter(is_shard).find(|shard| !shard.is_dir()) else {
        return Ok(None);
    };
    let member = path.strip_prefix(shard).unwrap_or(path);
    Ok(Some((shard, member_name(shard, member)?)))
}

/// The name of a member with `/` between its parts and no `.` part.
fn member_name(shard: &Path, member: &Path) -> Result<String, DataError> {
    let outside = || DataError::OutsideShard {
        shard: shard.to_path_buf(),
        member: member.to_string_lossy().into_owned(),
    };
    let mut name = String::new();
    for part in member.components() {
        match part {
            Component::Normal(part) => {
                if !name.is_empty() {
                    name.push('/');
                }
                name.push_str(&part.to_string_lossy());
            }
            Component::CurDir => {}
            _ => return Err(outside()),
        }
    }
    if name.is_empty() { Err(outside()) } else { Ok(name) }
}

#[cfg(test)]
mod tests {
    use std::fs::File;

    use super::*;

    fn long_name() -> String {
        format!("{}.png", "n".repeat(180))
    }

    /// Three pairs, one of them with a name that does not fit a plain header.
    fn write(path: &Path) {
        let mut shard = ShardWriter::create(path).unwrap();
        shard.append([("a.png", &b"picture a"[..]), ("a.json", b"{}")]).unwrap();
        shard.append([(long_name().as_str(), &[7; 1000][..])]).unwrap();
        shard.append([("b.png", &[1; 512][..]), ("b.json", b"")]).unwrap();
        shard.finish().unwrap();
    }

    #[test]
    fn members_are_read_by_name_and_tar_lists_the_same() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("s.tar");
        write(&path);
        let index = ShardIndex::read(&path).unwrap();
        let long = long_name();
        assert_eq!(index.names().collect::<Vec<_>>(), ["a.json", "a.png", "b.json", "b.png", long.as_str()]);
        assert_eq!(index.contents(&long).unwrap(), [7; 1000]);
        assert_eq!(index.contents("a.png").unwrap(), b"picture a");
        assert_eq!(index.contents("b.json").unwrap(), b"");
        let mut archive = tar::Archive::new(File::open(&path).unwrap());
        let names: Vec<_> =
            archive.entries().unwrap().map(|e| e.unwrap().path().unwrap().display().to_string()).collect();
        assert_eq!(names, ["a.png", "a.json", long.as_str(), "b.png", "b.json"], "groups stay together");
        assert!(matches!(index.contents("c.png"), Err(DataError::NotInShard { .. })));
    }

    #[test]
    fn a_shard_cut_anywhere_is_an_error_and_never_a_shorter_shard() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("s.tar");
        write(&path);
        let whole = std::fs::read(&path).unwrap();
        let mut seen = Vec::new();
        for length in (0..whole.len()).step_by(100).chain([512, 1024, whole.len() - 512, whole.len() - 1]) {
            std::fs::write(&path, &whole[..length]).unwrap();
            let Err(DataError::TruncatedShard { whole, .. }) = ShardIndex::read(&path) else {
                panic!("{length}: {:?}", ShardIndex::read(&path));
            };
            seen.push(whole);
        }
        assert!((0..=5).all(|count| seen.contains(&count)), "{seen:?}");

        let index = {
            std::fs::write(&path, &whole).unwrap();
            ShardIndex::read(&path).unwrap()
        };
        std::fs::write(&path, &whole[..600]).unwrap();
        assert!(matches!(index.contents("b.png"), Err(DataError::TruncatedShard { .. })));
        std::fs::write(&path, [b'x'; 4096]).unwrap();
        assert!(matches!(ShardIndex::read(&path), Err(DataError::DamagedShard { .. })));
    }

    #[test]
    fn complete_members_of_a_truncated_shard_are_read() {
        let folder = tempfile::tempdir().unwrap();
        let (path, cut) = (folder.path().join("s.tar"), folder.path().join("t.tar"));
        write(&path);
        let bytes = std::fs::read(&path).unwrap();
        let whole = ShardIndex::read(&path).unwrap();
        let mut counts = Vec::new();
        for length in (0..=bytes.len()).step_by(97) {
            std::fs::write(ShardWriter::unfinished(&cut), &bytes[..length]).unwrap();
            let index = ShardIndex::read_unfinished(&cut).unwrap();
            for name in index.names() {
                assert_eq!(index.contents(name).unwrap(), whole.contents(name).unwrap(), "cut at {length}");
            }
            counts.push(index.names().len());
        }
        assert!(counts.is_sorted() && (0..=5).all(|count| counts.contains(&count)), "{counts:?}");
        assert!(matches!(
            ShardIndex::read_unfinished(folder.path().join("u.tar")),
            Err(DataError::Io { .. })
        ));
    }

    #[test]
    fn a_shard_belongs_to_the_writer_that_began_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("s.tar");
        let is_refused = || {
            let refused = ShardWriter::create(&path);
            matches!(refused, Err(DataError::Io { source, .. }) if source.kind() == std::io::ErrorKind::AlreadyExists)
        };
        let mut first = ShardWriter::create(&path).unwrap();
        first.append([("a", &b"a"[..])]).unwrap();
        assert!(is_refused(), "begun");
        first.finish().unwrap();
        assert!(is_refused(), "finished");
        assert!(!ShardWriter::unfinished(&path).exists());
        assert_eq!(ShardIndex::read(&path).unwrap().contents("a").unwrap(), b"a");

        // Another process assumes that the writer is dead, and starts from the beginning.
        std::fs::remove_file(&path).unwrap();
        let silent = ShardWriter::create(&path).unwrap();
        std::fs::remove_file(ShardWriter::unfinished(&path)).unwrap();
        let mut second = ShardWriter::create(&path).unwrap();
        second.append([("b", &b"b"[..])]).unwrap();
        let taken = silent.finish();
        assert_eq!(matches!(taken, Err(DataError::ShardTaken { .. })), cfg!(unix), "{taken:?}");
        second.finish().unwrap();
        assert!(ShardIndex::read(&path).unwrap().has("b"));
    }

    #[test]
    fn no_name_leads_out_of_a_shard() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("s.tar");
        let mut shard = ShardWriter::create(&path).unwrap();
        for name in ["../a.png", "/a.png", "b/../../a.png", "", "."] {
            let refused = shard.append([(name, &b"x"[..])]);
            assert!(matches!(refused, Err(DataError::OutsideShard { .. })), "{name}");
            let lookup = path.join("x").join("..").join(name);
            assert!(
                matches!(through_shard(&lookup), Err(DataError::OutsideShard { .. }) | Ok(None)),
                "{name}"
            );
        }
        assert_eq!(shard.bytes(), 0);
        assert!(matches!(
            through_shard(Path::new("s.tar/../secret.png")),
            Err(DataError::OutsideShard { .. })
        ));

        // An archive made by another program.
        let mut header = tar::Header::new_gnu();
        header.as_old_mut().name[..8].copy_from_slice(b"../a.png");
        header.set_size(0);
        header.set_cksum();
        let mut archive = tar::Builder::new(File::create(&path).unwrap());
        archive.append(&header, &b""[..]).unwrap();
        archive.finish().unwrap();
        assert!(matches!(ShardIndex::read(&path), Err(DataError::OutsideShard { .. })));
    }

    #[test]
    fn the_last_of_members_with_the_same_name_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("s.tar");
        let mut shard = ShardWriter::create(&path).unwrap();
        shard.append([("a", &b"old"[..]), ("b", b"b"), ("a", b"new")]).unwrap();
        shard.finish().unwrap();
        let index = ShardIndex::read(&path).unwrap();
        assert_eq!(index.names().len(), 2);
        assert_eq!(index.contents("a").unwrap(), b"new");
    }
}
