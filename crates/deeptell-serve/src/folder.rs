//! The folder for uploads.

use std::fs::File;
use std::io;
use std::path::Path;

use tempfile::TempDir;

const PREFIX: &str = "deeptell-serve-";

/// A folder that only this user can open. Dropping it deletes it with everything in it.
///
/// A server that is killed cannot delete its folder. It holds a lock on the folder as long as it
/// runs, so the next server of this user finds abandoned folders and deletes them.
#[derive(Debug)]
pub(crate) struct PrivateFolder {
    folder: TempDir,
    /// Held until the end.
    _lock: Option<File>,
}

impl PrivateFolder {
    /// Creates a folder in `parent`, and deletes those that killed servers left there.
    pub(crate) fn new(parent: &Path) -> io::Result<Self> {
        let mut builder = tempfile::Builder::new();
        builder.prefix(PREFIX);
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            builder.permissions(std::fs::Permissions::from_mode(0o700));
        }
        let folder = builder.tempdir_in(parent)?;
        #[cfg(unix)]
        let lock = {
            // On file systems without locks, the folder is still deleted at the end.
            let lock = File::open(folder.path()).ok().filter(|folder| folder.try_lock().is_ok());
            abandoned::delete(parent, folder.path());
            lock
        };
        #[cfg(not(unix))]
        let lock = None;
        Ok(Self { folder, _lock: lock })
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }
}

#[cfg(unix)]
mod abandoned {
    use std::fs::{self, File};
    use std::os::unix::fs::MetadataExt as _;
    use std::path::Path;
    use std::time::Duration;

    use super::PREFIX;

    /// A server locks its new folder in less than this.
    const TIME_TO_LOCK: Duration = Duration::from_secs(10);

    /// Deletes the folders in `parent` that are like `ours` and not locked. A folder that cannot be
    /// deleted stays: the server starts anyway.
    pub(super) fn delete(parent: &Path, ours: &Path) {
        let (Ok(entries), Ok(own)) = (fs::read_dir(parent), fs::symlink_metadata(ours)) else { return };
        for entry in entries.flatten() {
            let path = entry.path();
            let is_like_ours = entry.file_name().to_string_lossy().starts_with(PREFIX) && path != ours;
            // Of the entry itself: links are not followed.
            let Some(found) = is_like_ours.then(|| fs::symlink_metadata(&path).ok()).flatten() else {
                continue;
            };
            let age = found.modified().ok().and_then(|made| made.elapsed().ok());
            if found.is_dir()
                && found.uid() == own.uid()
                && age.is_some_and(|age| age > TIME_TO_LOCK)
                && File::open(&path).is_ok_and(|folder| folder.try_lock().is_ok())
            {
                let _ = fs::remove_dir_all(&path);
            }
        }
    }
}

#[cfg(all(test, unix))]
mod tests {
    use std::fs;
    use std::time::{Duration, SystemTime};

    use super::*;

    #[test]
    fn folders_of_killed_servers_are_deleted_and_nothing_else() {
        let parent = tempfile::tempdir().unwrap();
        let at = |name: &str| parent.path().join(name);
        for name in ["deeptell-serve-dead", "deeptell-serve-young", "holiday"] {
            fs::create_dir(at(name)).unwrap();
            fs::write(at(name).join("upload"), "secret").unwrap();
        }
        fs::write(at("deeptell-serve-file"), "no folder").unwrap();
        std::os::unix::fs::symlink(at("holiday"), at("deeptell-serve-link")).unwrap();
        let living = PrivateFolder::new(parent.path()).unwrap();
        for folder in [&at("deeptell-serve-dead"), &at("holiday"), living.path()] {
            let old = SystemTime::now() - Duration::from_hours(1);
            File::open(folder).unwrap().set_modified(old).unwrap();
        }

        let next = PrivateFolder::new(parent.path()).unwrap();
        assert!(!at("deeptell-serve-dead").exists(), "nobody held it");
        assert!(living.path().exists() && next.path().exists(), "these are in use");
        assert!(at("deeptell-serve-young/upload").exists(), "it may not have been locked yet");
        assert!(at("holiday/upload").exists() && at("deeptell-serve-file").exists());

        let left = living.path().to_owned();
        drop((living, next));
        assert!(!left.exists());
    }
}
