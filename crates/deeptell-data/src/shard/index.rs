use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::ops::Range;
use std::path::{Path, PathBuf};

use super::{BLOCK, END, ShardWriter, member_name};
use crate::DataError;

/// Longest name that is accepted, in bytes.
const LONGEST_EXTENSION: u64 = 1 << 20;

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
/// it, but does not distinguish a cut from damage.
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
            let first = "this is not an uncompressed tar archive";
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
