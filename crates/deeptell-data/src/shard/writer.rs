use std::fs::File;
use std::io::{Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

use super::{END, member_name};
use crate::DataError;

/// Writes a shard, one group of members at a time.
///
/// The file is called `NAME.tar.partial` until [`finish`](Self::finish) gives it the name
/// `NAME.tar`: whoever sees that name sees a whole shard. A writer only ever writes to a file that it
/// created, so that two processes cannot tear one; after a crash,
/// [`ShardIndex::read_unfinished`](crate::ShardIndex::read_unfinished) lists what can be copied into another shard.
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
    /// [`DataError::Io`]; [`DataError::ShardTaken`] if the unfinished file was removed.
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
