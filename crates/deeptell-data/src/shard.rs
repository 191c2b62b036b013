//! Shards: many small files in one tar archive, as in WebDataset.
//!
//! A shard is an uncompressed tar archive. Members that belong together share a key, which is
//! their name up to the first dot, and lie side by side: `KEY.png` and `KEY.json`. A path names a
//! member as if the shard were a folder, `crops-000000.tar/KEY.png`, in manifests too;
//! [`read_contents`](crate::read_contents) understands both. Nothing is ever unpacked to disk.

use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom, Write as _};
use std::ops::Range;
use std::path::{Component, Path, PathBuf};

use crate::DataError;

/// Tar archives are made of blocks of this many bytes.
const BLOCK: u64 = 512;
/// Longest name that is accepted, in bytes.
const LONGEST_EXTENSION: u64 = 1 << 20;
/// Two blocks of zeros end an archive.
const END: [u8; 2 * BLOCK as usize] = [0; 2 * BLOCK as usize];

/// The position of each member of a shard, read once from the headers, so that any member can be read
/// alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShardIndex {
    path: PathBuf,
    /// Name and bytes of each member, by name.
    members: Vec<(Box<str>, Range<u64>)>,
}

impl ShardIndex {
    /// Reads the headers of a shard, and nothing of its members.
    ///
    /// Of members with the same name the last counts, as in `tar`; folders and links are ignored.
    ///
    /// # Errors
    /// [`DataError::TruncatedShard`] unless the archive ends with its end mark,
    /// [`DataError::DamagedShard`], [`DataError::OutsideShard`] for a member whose name leads out
    /// of the archive, [`DataError::Io`].
    pub fn read(path: impl AsRef<Path>) -> Result<Self, DataError> {
        let path = path.as_ref();
        let whole = scan(path, &File::open(path).map_err(DataError::io(path))?)?;
        if !whole.has_end {
            return Err(DataError::TruncatedShard { shard: path.to_path_buf(), whole: whole.members.len() });
        }
        Ok(Self::of(path.to_path_buf(), whole))
    }

    /// Reads what is whole of a shard that a [`ShardWriter`] for `path` did not finish, in the file
    /// [`unfinished`](ShardWriter::unfinished). Nothing is changed, so its writer may still be at work.
    ///
    /// # Errors
    /// As [`read`](Self::read), without [`DataError::TruncatedShard`].
    pub fn read_unfinished(path: impl AsRef<Path>) -> Result<Self, DataError> {
        let partial = ShardWriter::unfinished(path.as_ref());
        let file = File::open(&partial).map_err(DataError::io(&partial))?;
        // A file without anything, or cut in its first header, has no members.
        let length = file.metadata().map_err(DataError::io(&partial))?.len();
        let members = if length < BLOCK { Vec::new() } else { scan(&partial, &file)?.members };
        Ok(Self::of(partial, Scan { members, has_end: false }))
    }

    fn of(path: PathBuf, whole: Scan) -> Self {
        let mut members = whole.members;
        // Of equal names the last now comes first; the sort keeps that, and the rest goes.
        members.reverse();
        members.sort_by(|a, b| a.0.cmp(&b.0));
        members.dedup_by(|a, b| a.0 == b.0);
        members.shrink_to_fit();
        Self { path, members }
    }

    /// Whether the shard has a member of that name.
    pub fn has(&self, member: &str) -> bool {
        self.members.binary_search_by(|(name, _)| name.as_ref().cmp(member)).is_ok()
    }

    /// The names of the members, sorted.
    pub fn names(&self) -> impl ExactSizeIterator<Item = &str> {
        self.members.iter().map(|(name, _)| name.as_ref())
    }

    /// The bytes of one member.
    ///
    /// # Errors
    /// [`DataError::NotInShard`], [`DataError::Io`]; [`DataError::TruncatedShard`] when the file
    /// became shorter since.
    pub fn contents(&self, member: &str) -> Result<Vec<u8>, DataError> {
        let file = File::open(&self.path).map_err(DataError::io(&self.path))?;
        self.contents_from(&file, member)
    }

    /// As [`contents`](Self::contents), from the shard opened already.
    pub(crate) fn contents_from(&self, mut file: &File, member: &str) -> Result<Vec<u8>, DataError> {
        let fail = || DataError::io(&self.path);
        let at = self
            .members
            .binary_search_by(|(name, _)| name.as_ref().cmp(member))
            .map_err(|_| DataError::NotInShard { shard: self.path.clone(), member: member.to_owned() })?;
        let Range { start, end } = self.members[at].1;
        file.seek(SeekFrom::Start(start)).map_err(fail())?;
        // The size was checked against the file, so no header can ask for all memory.
        let mut bytes = Vec::with_capacity((end - start) as usize);
        let read = file.take(end - start).read_to_end(&mut bytes).map_err(fail())?;
        if (read as u64) < end - start {
            return Err(DataError::TruncatedShard { shard: self.path.clone(), whole: at });
        }
        Ok(bytes)
    }
}

/// What is whole in a shard.
struct Scan {
    /// In the order of the archive.
    members: Vec<(Box<str>, Range<u64>)>,
    /// Whether the end mark follows the last of them.
    has_end: bool,
}

/// Goes from header to header until the end, or until the file is cut. The `tar` crate could do
/// it, but does not tell a cut from damage.
fn scan(path: &Path, file: &File) -> Result<Scan, DataError> {
    let fail = || DataError::io(path);
    let damaged =
        |reason: &str| DataError::DamagedShard { shard: path.to_path_buf(), reason: reason.to_owned() };
    let length = file.metadata().map_err(fail())?.len();
    let read = |range: Range<u64>| {
        let mut file = file;
        let mut bytes = Vec::new();
        file.seek(SeekFrom::Start(range.start))?;
        file.take(range.end - range.start).read_to_end(&mut bytes).map(|_| bytes)
    };
    let mut members = Vec::new();
    // What extension headers say of the member after them.
    let (mut long_name, mut long_size) = (None, None);
    let mut at = 0;
    let has_end = loop {
        let block = read(at..at + BLOCK).map_err(fail())?;
        if block.iter().all(|byte| *byte == 0) {
            break read(at..at + END.len() as u64).map_err(fail())? == END;
        }
        if block.len() < BLOCK as usize {
            break false;
        }
        let header = tar::Header::from_byte_slice(&block);
        if !has_its_sum(header) {
            let first = "it is no uncompressed tar archive";
            return Err(damaged(if at == 0 { first } else { "a header does not have its checksum" }));
        }
        let kind = header.entry_type();
        let is_extension = kind.is_gnu_longname() || kind.is_gnu_longlink() || kind.is_pax_local_extensions();
        let size = header.entry_size().map_err(|_| damaged("a header has no size"))?;
        let size = if is_extension { size } else { long_size.take().unwrap_or(size) };
        let start = at + BLOCK;
        let Some(stop) = start.checked_add(size).filter(|stop| *stop <= length) else { break false };
        if is_extension && size > LONGEST_EXTENSION {
            return Err(damaged("a name is longer than 1 MiB"));
        }
        if kind.is_gnu_longname() {
            let name = read(start..stop).map_err(fail())?;
            long_name = Some(name.split(|byte| *byte == 0).next().unwrap_or_default().to_vec());
        } else if kind.is_pax_local_extensions() {
            let text = read(start..stop).map_err(fail())?;
            for extension in tar::PaxExtensions::new(&text) {
                let extension = extension.map_err(|_| damaged("a pax header cannot be understood"))?;
                match extension.key_bytes() {
                    b"path" => long_name = Some(extension.value_bytes().to_vec()),
                    b"size" => long_size = extension.value().ok().and_then(|size| size.parse().ok()),
                    _ => {}
                }
            }
        } else if kind.is_gnu_sparse() {
            return Err(damaged("it holds a sparse file; pack it without --sparse"));
        } else if !is_extension {
            let name = long_name.take().unwrap_or_else(|| header.path_bytes().into_owned());
            if kind.is_file() {
                let name = std::str::from_utf8(&name).map_err(|_| damaged("a name is not UTF-8"))?;
                members.push((member_name(path, Path::new(name))?.into(), start..stop));
            }
        }
        at = stop.next_multiple_of(BLOCK);
    };
    Ok(Scan { members, has_end })
}

/// POSIX 1003.1, ustar: the sum of the bytes of a header, its own field taken as spaces.
fn has_its_sum(header: &tar::Header) -> bool {
    let sum = |range: Range<usize>| header.as_bytes()[range].iter().map(|byte| u32::from(*byte)).sum::<u32>();
    header.cksum().is_ok_and(|stated| stated == sum(0..148) + 8 * u32::from(b' ') + sum(156..512))
}

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

/// Writes a shard, one group of members at a time.
///
/// The file is called `NAME.tar.partial` until [`finish`](Self::finish) gives it the name
/// `NAME.tar`: whoever sees that name sees a whole shard. A writer only ever writes to a file that it
/// created, so that two processes cannot tear one; after a crash,
/// [`ShardIndex::read_unfinished`] tells what can be copied into another shard.
#[derive(Debug)]
pub struct ShardWriter {
    file: File,
    path: PathBuf,
    partial: PathBuf,
    bytes: u64,
}

impl ShardWriter {
    /// Starts the shard that will be at `path`.
    ///
    /// # Errors
    /// [`DataError::Io`], of the kind [`AlreadyExists`](std::io::ErrorKind::AlreadyExists) where there is
    /// such a shard, or a writer began one.
    pub fn create(path: impl Into<PathBuf>) -> Result<Self, DataError> {
        let path = path.into();
        let partial = Self::unfinished(&path);
        let file = File::create_new(&partial).map_err(DataError::io(&partial))?;
        let writer = Self { file, path, partial, bytes: 0 };
        // In this order: a writer that finishes in between has removed its unfinished file.
        if writer.path.exists() {
            std::fs::remove_file(&writer.partial).map_err(DataError::io(&writer.partial))?;
            let source = std::io::ErrorKind::AlreadyExists.into();
            return Err(DataError::Io { path: writer.path, source });
        }
        Ok(writer)
    }

    /// The file that a shard at `path` is until it is finished.
    pub fn unfinished(path: &Path) -> PathBuf {
        let mut name = path.as_os_str().to_owned();
        name.push(".partial");
        name.into()
    }

    /// The path of the shard once it is finished.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// How many bytes it has so far.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Adds members, given by name and content, together.
    ///
    /// # Errors
    /// [`DataError::OutsideShard`] for a name that leads out of the archive, [`DataError::Io`].
    pub fn append<'a>(
        &mut self,
        members: impl IntoIterator<Item = (&'a str, &'a [u8])>,
    ) -> Result<(), DataError> {
        let mut archive = tar::Builder::new(Vec::new());
        for (name, contents) in members {
            let name = member_name(&self.path, Path::new(name))?;
            let mut header = tar::Header::new_gnu();
            header.set_size(contents.len() as u64);
            // The same crops make the same bytes: no owner, no time.
            header.set_mode(0o644);
            header.set_mtime(0);
            archive.append_data(&mut header, &name, contents).map_err(DataError::io(&self.partial))?;
        }
        let blocks = archive.into_inner().map_err(DataError::io(&self.partial))?;
        // Each call writes an end mark, which only the last one needs.
        let blocks = &blocks[..blocks.len() - END.len()];
        if let Err(source) = self.file.write_all(blocks) {
            // A full disk must not leave half a member amid the others.
            self.cut_to(self.bytes)?;
            return Err(DataError::Io { path: self.partial.clone(), source });
        }
        self.bytes += blocks.len() as u64;
        Ok(())
    }

    /// Takes back what was added since the shard had this many [`bytes`](Self::bytes).
    ///
    /// # Errors
    /// [`DataError::Io`].
    pub fn cut_to(&mut self, bytes: u64) -> Result<(), DataError> {
        let bytes = bytes.min(self.bytes);
        self.file.set_len(bytes).map_err(DataError::io(&self.partial))?;
        self.file.seek(SeekFrom::Start(bytes)).map_err(DataError::io(&self.partial))?;
        self.bytes = bytes;
        Ok(())
    }

    /// Writes the end mark, syncs to disk, and renames the file to the shard's name.
    ///
    /// # Errors
    /// [`DataError::Io`]; [`DataError::ShardTaken`] when somebody removed the unfinished file.
    pub fn finish(mut self) -> Result<PathBuf, DataError> {
        let ended = self.file.write_all(&END).and_then(|()| self.file.sync_all());
        ended.map_err(DataError::io(&self.partial))?;
        if !deeptell_files::is_at(&self.file, &self.partial).map_err(DataError::io(&self.partial))? {
            return Err(DataError::ShardTaken { shard: self.path });
        }
        std::fs::rename(&self.partial, &self.path).map_err(DataError::io(&self.path))?;
        Ok(self.path)
    }
}

#[cfg(test)]
mod tests {
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
    fn every_member_is_read_alone_and_tar_agrees() {
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
    fn of_a_shard_cut_anywhere_the_whole_members_are_read() {
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

        // Somebody takes the writer for dead, and begins anew.
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

        // An archive that somebody else made.
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
    fn of_equal_names_the_last_counts() {
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
