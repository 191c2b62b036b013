use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

/// How the temporary name of a file that is being written ends; it begins with a dot.
const LEFTOVER: &str = ".partial";

/// Writes `content` to `path` atomically, and creates missing folders.
///
/// The content is written to a temporary file beside `path`, synced to disk, and renamed. A crash
/// leaves either the old or the new file, and two processes that write the same path do not mix.
/// If `path` exists and is not a regular file, such as a pipe, it is written to directly.
///
/// # Errors
/// An error of the file system; `path` is then unchanged.
pub fn write_whole(path: impl AsRef<Path>, content: &[u8]) -> io::Result<()> {
    let mut file = WholeFile::create(path)?;
    file.write_all(content)?;
    file.finish()
}

/// A file that appears under its name when [`finish`](Self::finish) is called. If it is dropped before,
/// no file is left. See [`write_whole`].
#[derive(Debug)]
pub struct WholeFile {
    output: Output,
    path: PathBuf,
}

#[derive(Debug)]
enum Output {
    Beside(NamedTempFile),
    /// A pipe or a device.
    Direct(File),
}

impl WholeFile {
    /// Starts a file that will be at `path`, and creates missing folders.
    ///
    /// # Errors
    /// When a folder or the temporary file cannot be created.
    pub fn create(path: impl AsRef<Path>) -> io::Result<Self> {
        let path = path.as_ref();
        let found = fs::metadata(path).ok();
        let is_special = found.as_ref().is_some_and(|found| !found.is_file() && !found.is_dir());
        // A link stays: what it leads to is replaced.
        let is_link = found.is_some_and(|found| found.is_file())
            && fs::symlink_metadata(path).is_ok_and(|link| link.is_symlink());
        let path = if is_link { fs::canonicalize(path)? } else { path.to_path_buf() };
        let output = if is_special {
            Output::Direct(File::options().write(true).open(&path)?)
        } else {
            let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
            let folder = folder.unwrap_or(Path::new("."));
            fs::create_dir_all(folder)?;
            let name = path.file_name().ok_or(io::ErrorKind::InvalidFilename)?.to_string_lossy();
            // Names have at most 255 bytes; these are for people who find a leftover.
            let shown: String = name.chars().take(40).collect();
            let prefix = format!(".{shown}.");
            let mut builder = tempfile::Builder::new();
            builder.prefix(&prefix).suffix(LEFTOVER).rand_bytes(8);
            #[cfg(unix)]
            builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
            Output::Beside(builder.tempfile_in(folder)?)
        };
        Ok(Self { output, path })
    }

    /// Syncs the content to the disk and gives the file its name.
    ///
    /// # Errors
    /// An error of the file system; no file is left then.
    pub fn finish(self) -> io::Result<()> {
        match self.output {
            Output::Beside(file) => {
                file.as_file().sync_all()?;
                file.persist(&self.path).map(drop).map_err(|error| error.error)
            }
            Output::Direct(mut file) => file.flush(),
        }
    }
}

impl Write for WholeFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &mut self.output {
            Output::Beside(file) => file.write(bytes),
            Output::Direct(file) => file.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match &mut self.output {
            Output::Beside(file) => file.flush(),
            Output::Direct(file) => file.flush(),
        }
    }
}

/// Removes temporary files that killed processes left in `folder`, but not in folders below it.
///
/// Use it only for a folder that no other process writes to, for example under a
/// [`FolderLock`](crate::FolderLock). A folder that does not exist has none.
///
/// # Errors
/// When the folder cannot be read or a file cannot be removed.
pub fn remove_leftovers(folder: &Path) -> io::Result<()> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    for entry in entries {
        let entry = entry?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if name.starts_with('.') && name.ends_with(LEFTOVER) && entry.file_type()?.is_file() {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(unix)]
    #[test]
    fn a_link_stays_and_leads_to_the_new_content() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::write(at("file"), "old").unwrap();
        std::os::unix::fs::symlink("file", at("link")).unwrap();
        write_whole(at("link"), b"new").unwrap();
        assert!(fs::symlink_metadata(at("link")).unwrap().is_symlink());
        assert_eq!(fs::read_to_string(at("file")).unwrap(), "new");
    }

    fn names(folder: &Path) -> Vec<String> {
        let mut names: Vec<_> = fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn a_file_appears_when_it_is_finished_and_replaces_the_old_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a/b.txt");
        write_whole(&path, b"old").unwrap();
        let mut file = WholeFile::create(&path).unwrap();
        file.write_all(b"new").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"old");
        file.finish().unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"new");
        drop(WholeFile::create(&path).unwrap());
        assert_eq!(names(path.parent().unwrap()), ["b.txt"]);
    }

    #[test]
    fn writers_of_one_path_do_not_mix() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        std::thread::scope(|scope| {
            for letter in b'a'..=b'h' {
                let path = &path;
                scope.spawn(move || {
                    for _ in 0..20 {
                        write_whole(path, &vec![letter; 10_000]).unwrap();
                        let read = fs::read(path).unwrap();
                        assert!(read.len() == 10_000 && read.iter().all(|byte| *byte == read[0]));
                    }
                });
            }
        });
        assert_eq!(names(folder.path()), ["a"]);
    }

    #[test]
    fn a_failed_write_leaves_the_old_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("folder");
        fs::create_dir_all(path.join("below")).unwrap();
        assert!(write_whole(&path, b"new").is_err());
        assert!(write_whole(path.join(".."), b"new").is_err());
        assert_eq!(names(folder.path()), ["folder"]);
    }

    #[cfg(unix)]
    #[test]
    fn files_get_the_usual_permissions() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        let mode = |name: &str| fs::metadata(folder.path().join(name)).unwrap().permissions().mode();
        fs::write(folder.path().join("plain"), "").unwrap();
        write_whole(folder.path().join("whole"), b"").unwrap();
        assert_eq!(mode("whole"), mode("plain"));
        write_whole("/dev/null", b"a device is written to, and not replaced").unwrap();
        assert!(!fs::metadata("/dev/null").unwrap().is_file());
    }

    #[test]
    fn leftovers_of_killed_processes_can_be_removed() {
        let folder = tempfile::tempdir().unwrap();
        let name = "n".repeat(200);
        let left = WholeFile::create(folder.path().join(&name)).unwrap();
        let Output::Beside(file) = left.output else { panic!("not beside") };
        file.keep().unwrap();
        write_whole(folder.path().join("a.partial"), b"").unwrap();
        assert_eq!(names(folder.path()).len(), 2);
        remove_leftovers(folder.path()).unwrap();
        assert_eq!(names(folder.path()), ["a.partial"]);
        remove_leftovers(&folder.path().join("none")).unwrap();
    }
}
