use std::fs::{self, File, TryLockError};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Why a folder could not be locked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LockError {
    /// Another process holds the lock.
    #[error(
        "another deeptell is working in {}{}: wait until it ends, or use another folder",
        folder.display(), holder.as_deref().map_or_else(String::new, |holder| format!(" ({holder})"))
    )]
    Held {
        /// The folder.
        folder: PathBuf,
        /// Process and host, as the holder wrote them.
        holder: Option<String>,
    },
    /// The lock file cannot be written.
    #[error("cannot lock {}", path.display())]
    Io {
        /// The lock file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// How often a lock that is held is tried again, and after which time.
const TRIES: u32 = 5;
const BETWEEN_TRIES: Duration = Duration::from_millis(10);

/// A lock on a folder, held by one process at a time and released when dropped.
///
/// It is a file lock of the operating system on `deeptell.lock` in the folder, so it ends with the
/// process, however that ends. The file names the process and its host. On file systems without
/// locks every process gets one, so writes must be safe without it.
#[derive(Debug)]
pub struct FolderLock {
    path: PathBuf,
    /// Open for as long as the lock is held.
    file: File,
}

impl FolderLock {
    /// Name of the lock file.
    pub const FILE: &str = "deeptell.lock";

    /// Locks `folder`, which is created when it is not there.
    ///
    /// # Errors
    /// [`LockError::Held`] when another process works there, [`LockError::Io`].
    pub fn acquire(folder: &Path) -> Result<Self, LockError> {
        let path = folder.join(Self::FILE);
        let fail = |source| LockError::Io { path: path.clone(), source };
        fs::create_dir_all(folder).map_err(fail)?;
        let mut tries = 0;
        loop {
            let mut options = File::options();
            let mut file =
                options.read(true).write(true).create(true).truncate(false).open(&path).map_err(fail)?;
            match file.try_lock() {
                // A process that only asks whether it is held, holds it for a moment.
                Err(TryLockError::WouldBlock) if tries < TRIES => {
                    tries += 1;
                    std::thread::sleep(BETWEEN_TRIES);
                    continue;
                }
                Err(TryLockError::WouldBlock) => {
                    return Err(LockError::Held { folder: folder.to_path_buf(), holder: holder(&mut file) });
                }
                // The error is that of a file system without locks.
                Ok(()) | Err(TryLockError::Error(_)) => {}
            }
            // The holder before removes the file when it ends: then this is a lock on nothing.
            if !is_at(&file, &path).map_err(fail)? {
                continue;
            }
            let note = format!("process {} on host {}\n", std::process::id(), host());
            file.set_len(0).and_then(|()| file.write_all(note.as_bytes())).map_err(fail)?;
            return Ok(Self { path, file });
        }
    }

    /// Whether a process holds the lock on `folder`; never on file systems without locks.
    ///
    /// # Errors
    /// [`LockError::Io`].
    pub fn is_held(folder: &Path) -> Result<bool, LockError> {
        let path = folder.join(Self::FILE);
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            Err(source) => return Err(LockError::Io { path, source }),
        };
        Ok(matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock)))
    }
}

impl Drop for FolderLock {
    fn drop(&mut self) {
        // Removed while it is still held; whoever waited for it sees that it is gone. A file that
        // cannot be removed does not block others.
        if is_at(&self.file, &self.path).unwrap_or(false) {
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Whether `path` is the name of the open `file`, and not of another one that took its place.
///
/// Outside of Unix, whether there is a file of that name: an open one cannot be replaced there.
///
/// # Errors
/// An error of the file system.
#[cfg(unix)]
pub fn is_at(file: &File, path: &Path) -> io::Result<bool> {
    use std::os::unix::fs::MetadataExt as _;
    let id = |metadata: &fs::Metadata| (metadata.dev(), metadata.ino());
    match fs::metadata(path) {
        Ok(found) => Ok(id(&found) == id(&file.metadata()?)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// Whether there is a file of that name: Windows replaces none that is open.
///
/// # Errors
/// An error of the file system.
#[cfg(not(unix))]
pub fn is_at(_: &File, path: &Path) -> io::Result<bool> {
    path.try_exists()
}

/// The first line of a lock file, without what could disturb a terminal.
fn holder(file: &mut File) -> Option<String> {
    let mut text = String::new();
    file.take(200).read_to_string(&mut text).ok()?;
    let line: String = text.lines().next()?.chars().filter(|c| !c.is_control()).collect();
    (!line.is_empty()).then_some(line)
}

/// The name of this machine.
fn host() -> String {
    let name = ["/proc/sys/kernel/hostname", "/etc/hostname"].into_iter().find_map(|path| {
        let name = fs::read_to_string(path).ok()?;
        let name = name.trim();
        (!name.is_empty()).then(|| name.to_owned())
    });
    name.unwrap_or_else(|| "unknown".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_held_lock_is_refused_and_a_dropped_one_is_given_again() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path().join("out");
        let lock = FolderLock::acquire(&folder).unwrap();
        let refused = FolderLock::acquire(&folder).unwrap_err();
        let said = refused.to_string();
        assert!(matches!(refused, LockError::Held { .. }), "{said}");
        let process = format!("(process {} on host ", std::process::id());
        assert!(said.contains("another deeptell is working in") && said.contains(&process), "{said}");
        assert!(FolderLock::is_held(&folder).unwrap());
        drop(lock);
        assert!(!FolderLock::is_held(&folder).unwrap());
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 0);
        FolderLock::acquire(&folder).unwrap();
    }

    #[test]
    fn a_lock_file_left_by_a_killed_process_locks_nobody_out() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(FolderLock::FILE), "process 1 on host elsewhere, and more text")
            .unwrap();
        let _lock = FolderLock::acquire(folder.path()).unwrap();
        let text = fs::read_to_string(folder.path().join(FolderLock::FILE)).unwrap();
        assert!(text.starts_with(&format!("process {} on host ", std::process::id())), "{text}");
        assert_eq!(text.lines().count(), 1);
    }

    #[test]
    fn only_one_process_holds_the_lock_at_a_time() {
        let folder = tempfile::tempdir().unwrap();
        let working = std::sync::atomic::AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    let mut had = 0;
                    while had < 25 {
                        let Ok(lock) = FolderLock::acquire(folder.path()) else {
                            std::thread::yield_now();
                            continue;
                        };
                        assert_eq!(working.fetch_add(1, std::sync::atomic::Ordering::SeqCst), 0);
                        had += 1;
                        working.fetch_sub(1, std::sync::atomic::Ordering::SeqCst);
                        drop(lock);
                    }
                });
            }
        });
    }
}
