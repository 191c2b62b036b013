//! Finds the videos and pictures below a folder, in the same way for every command.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use walkdir::WalkDir;

use crate::{Media, Unreadable};

/// The files below a folder.
///
/// Links are followed. What cannot be read is recorded and does not end the search.
///
/// ```
/// use deeptell_data::{FolderContents, HiddenFiles};
///
/// let folder = tempfile::tempdir()?;
/// for name in ["a.mp4", "b.JPG", "c.heic"] {
///     std::fs::write(folder.path().join(name), "")?;
/// }
/// let contents = FolderContents::read(folder.path(), HiddenFiles::Skip);
/// assert_eq!(contents.media, ["a.mp4", "b.JPG"].map(|name| folder.path().join(name)));
/// assert_eq!(contents.left_out, [folder.path().join("c.heic")]);
/// assert!(contents.unreadable.is_empty());
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Default)]
#[non_exhaustive]
pub struct FolderContents {
    /// Videos and pictures by their [extension](Media::of), in the order of their names.
    pub media: Vec<PathBuf>,
    /// Files of any other kind, in the same order.
    pub left_out: Vec<PathBuf>,
    /// Folders that the caller did not want, in the same order.
    pub unwanted: Vec<PathBuf>,
    /// What could not be read, in the same order.
    pub unreadable: Vec<Unreadable>,
}

/// Whether names that begin with a dot count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HiddenFiles {
    /// They count like any other.
    Include,
    /// Neither such files nor such folders count.
    Skip,
}

impl FolderContents {
    /// Lists `folder` and the folders below it.
    pub fn read(folder: &Path, hidden: HiddenFiles) -> Self {
        Self::read_where(folder, hidden, |_| true)
    }

    /// As [`read`](Self::read), but does not enter folders below `folder` whose name is not `wanted`.
    pub fn read_where(folder: &Path, hidden: HiddenFiles, wanted: impl Fn(&str) -> bool) -> Self {
        let mut contents = Self::default();
        let mut unwanted = Vec::new();
        let mut above = Vec::new();
        let real = folder.canonicalize().ok();
        let enters = |entry: &walkdir::DirEntry| {
            if entry.depth() == 0 {
                return true;
            }
            if hidden == HiddenFiles::Skip && is_hidden(entry.file_name()) {
                return false;
            }
            let is_wanted = !entry.file_type().is_dir() || wanted(&entry.file_name().to_string_lossy());
            if !is_wanted {
                unwanted.push(entry.path().to_path_buf());
            }
            // A link to a folder above the one that is listed; `walkdir` knows only those below it.
            if is_wanted && entry.path_is_symlink() && entry.file_type().is_dir() {
                let target = entry.path().canonicalize().ok();
                if let (Some(real), Some(target)) = (&real, target)
                    && real.starts_with(&target)
                {
                    let reason = format!("a link that leads back to {}, not followed", target.display());
                    above.push(Unreadable { path: entry.path().to_path_buf(), reason });
                    return false;
                }
            }
            is_wanted
        };
        let walk = WalkDir::new(folder).follow_links(true).sort_by_file_name().into_iter();
        for entry in walk.filter_entry(enters) {
            let entry = match entry {
                Ok(entry) => entry,
                Err(error) => {
                    let path = error.path().unwrap_or(folder).to_path_buf();
                    let is_skipped = hidden == HiddenFiles::Skip && error.depth() > 0;
                    if !(is_skipped && path.file_name().is_some_and(is_hidden)) {
                        let reason = reason(&path, &error);
                        contents.unreadable.push(Unreadable { path, reason });
                    }
                    continue;
                }
            };
            if entry.file_type().is_dir() {
                continue;
            }
            let (is_file, path) = (entry.file_type().is_file(), entry.into_path());
            if Media::of(&path).is_none() || is_file && is_note_of_macos(&path) {
                contents.left_out.push(path);
            } else if is_file {
                contents.media.push(path);
            } else {
                let reason = "a pipe, socket or device, not a file".to_owned();
                contents.unreadable.push(Unreadable { path, reason });
            }
        }
        contents.unwanted = unwanted;
        contents.unreadable.extend(above);
        contents.unreadable.sort_by(|a, b| a.path.cmp(&b.path));
        contents
    }
}

fn is_hidden(name: &std::ffi::OsStr) -> bool {
    name.as_encoded_bytes().starts_with(b".")
}

/// Whether a file only keeps what macOS notes about another one (`AppleDouble`), as on disks that are shared with other
/// systems: the name is `._` and that of the other file. A file that cannot be read does not count.
fn is_note_of_macos(path: &Path) -> bool {
    let mut magic = [0; 4];
    let is_one = |mut file: File| file.read_exact(&mut magic).is_ok() && magic == [0, 5, 0x16, 7];
    has_name_of_note(path) && File::open(path).is_ok_and(is_one)
}

fn has_name_of_note(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"._"))
}

/// What `walkdir` says, in words.
pub(crate) fn reason(path: &Path, error: &walkdir::Error) -> String {
    if let Some(ancestor) = error.loop_ancestor() {
        return format!("a link that leads back to {}, not followed", ancestor.display());
    }
    let kind = error.io_error().map_or(io::ErrorKind::Other, io::Error::kind);
    let is_link = path.symlink_metadata().is_ok_and(|metadata| metadata.is_symlink());
    // A link to itself fails with a kind that cannot be named yet.
    if is_link && kind != io::ErrorKind::PermissionDenied {
        return "a link that leads nowhere".to_owned();
    }
    format!("cannot be read: {kind}")
}

/// A note about files that were skipped because they are neither videos nor readable pictures.
pub fn note_on_skipped(files: &[PathBuf]) -> String {
    let count = match files.len() {
        1 => "skipped 1 file of another kind".to_owned(),
        several => format!("skipped {several} files of other kinds"),
    };
    let is_photo = |file: &PathBuf| {
        let extension = file.extension().map(|extension| extension.to_string_lossy().to_lowercase());
        extension.is_some_and(|extension| matches!(extension.as_str(), "heic" | "heif" | "tif" | "tiff"))
    };
    let advice = if files.iter().any(is_photo) {
        "; to include HEIC and TIFF pictures, convert them to PNG"
    } else {
        ""
    };
    format!("{count}: {}{advice}", count_by_extension(files))
}

/// How many files of which extensions `files` are, the most frequent first, for one line of a
/// message: `3 .heic, 1 .mxf, 1 without extension`. Names at most eight extensions.
pub fn count_by_extension(files: &[PathBuf]) -> String {
    const SHOWN: usize = 8;
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for file in files {
        let extension = file.extension().map(|extension| extension.to_string_lossy().to_lowercase());
        // No extension has a dot.
        let note = has_name_of_note(file).then(|| "._".to_owned());
        *counts.entry(note.or(extension).unwrap_or_default()).or_default() += 1;
    }
    let mut counts: Vec<(String, usize)> = counts.into_iter().collect();
    counts.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    let rest: usize = counts.iter().skip(SHOWN).map(|(_, count)| count).sum();
    counts.truncate(SHOWN);
    let mut text = String::new();
    for (extension, count) in counts {
        let separator = if text.is_empty() { "" } else { ", " };
        let _ = match extension.as_str() {
            "" => write!(text, "{separator}{count} without extension"),
            "._" => write!(text, "{separator}{count} ._* of macOS"),
            extension => write!(text, "{separator}{count} .{extension}"),
        };
    }
    if rest > 0 {
        let _ = write!(text, ", {rest} others");
    }
    text
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn names(folder: &Path, paths: &[PathBuf]) -> Vec<String> {
        paths.iter().map(|path| path.strip_prefix(folder).unwrap().display().to_string()).collect()
    }

    fn folder_with(files: &[&str]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for file in files {
            let path = folder.path().join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "").unwrap();
        }
        folder
    }

    #[test]
    fn every_file_is_either_media_or_left_out() {
        let files = [
            "a.MTS",
            "b.jfif",
            "c.avif",
            "d.m2ts",
            "e.ogv",
            "deep/f.mp4",
            "g.heic",
            "h.tif",
            "i.mpo",
            "notes",
        ];
        let folder = folder_with(&files);
        let contents = FolderContents::read(folder.path(), HiddenFiles::Skip);
        let media = ["a.MTS", "b.jfif", "c.avif", "d.m2ts", "deep/f.mp4", "e.ogv", "i.mpo"];
        assert_eq!(names(folder.path(), &contents.media), media);
        assert_eq!(names(folder.path(), &contents.left_out), ["g.heic", "h.tif", "notes"]);
    }

    #[test]
    fn notes_of_macos_are_left_out_and_what_is_named_like_them_is_not() {
        let folder = folder_with(&["a.mp4", "._b.mp4", "__MACOSX/._c.jpg", "._short.png"]);
        for note in ["._b.mp4", "__MACOSX/._c.jpg"] {
            fs::write(folder.path().join(note), b"\0\x05\x16\x07\0\x02\0\0Mac OS X        ").unwrap();
        }
        let contents = FolderContents::read(folder.path(), HiddenFiles::Include);
        assert_eq!(names(folder.path(), &contents.media), ["._short.png", "a.mp4"]);
        assert_eq!(contents.left_out.len(), 2);
        assert_eq!(note_on_skipped(&contents.left_out), "skipped 2 files of other kinds: 2 ._* of macOS");
    }

    #[test]
    fn hidden_files_count_on_request() {
        let folder = folder_with(&["a.mp4", ".b.mp4", ".git/c.mp4"]);
        let count = |hidden| FolderContents::read(folder.path(), hidden).media.len();
        assert_eq!((count(HiddenFiles::Skip), count(HiddenFiles::Include)), (1, 3));
    }

    #[cfg(unix)]
    #[test]
    fn bad_links_and_pipes_are_reported_and_the_walk_continues() {
        use std::os::unix::fs::symlink;
        let folder = folder_with(&["a.mp4", "sub/b.mp4", "z.mp4"]);
        let at = |name: &str| folder.path().join(name);
        symlink("nowhere", at("dangling.mp4")).unwrap();
        symlink("itself", at("itself")).unwrap();
        symlink("..", at("sub/up")).unwrap();
        symlink("nowhere", at(".hidden.mp4")).unwrap();
        let _socket = std::os::unix::net::UnixListener::bind(at("socket.mp4")).unwrap();
        let contents = FolderContents::read(folder.path(), HiddenFiles::Skip);
        assert_eq!(names(folder.path(), &contents.media), ["a.mp4", "sub/b.mp4", "z.mp4"]);
        let faults: Vec<String> =
            contents.unreadable.iter().map(|it| format!("{}: {}", it.path.display(), it.reason)).collect();
        let expected = [
            ("dangling.mp4", "nowhere"),
            ("itself", "nowhere"),
            ("socket.mp4", "socket"),
            ("sub/up", "back to"),
        ];
        assert_eq!(faults.len(), expected.len(), "{faults:?}");
        for (fault, (name, reason)) in faults.iter().zip(expected) {
            assert!(fault.contains(name) && fault.contains(reason), "{fault}");
        }
        let all = FolderContents::read(folder.path(), HiddenFiles::Include);
        assert_eq!(all.unreadable.len(), 5);
    }

    #[cfg(unix)]
    #[test]
    fn an_unreadable_folder_is_reported_and_the_walk_continues() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = folder_with(&["a.mp4", "private/b.mp4", "z.mp4"]);
        let private = folder.path().join("private");
        fs::set_permissions(&private, fs::Permissions::from_mode(0o0)).unwrap();
        // The superuser can read it nevertheless.
        let is_readable = fs::read_dir(&private).is_ok();
        let contents = FolderContents::read(folder.path(), HiddenFiles::Skip);
        fs::set_permissions(&private, fs::Permissions::from_mode(0o700)).unwrap();
        if is_readable {
            assert_eq!(contents.media.len(), 3);
        } else {
            assert_eq!(names(folder.path(), &contents.media), ["a.mp4", "z.mp4"]);
            assert_eq!(contents.unreadable[0].path, private);
            assert!(contents.unreadable[0].reason.ends_with("permission denied"));
        }
        let absent = FolderContents::read(&folder.path().join("none"), HiddenFiles::Skip);
        assert_eq!((absent.media.len(), absent.unreadable.len()), (0, 1));
    }

    #[test]
    fn left_out_files_are_counted_by_extension() {
        let files = ["a.HEIC", "b.heic", "c.tif", "README"].map(PathBuf::from);
        assert_eq!(count_by_extension(&files), "2 .heic, 1 without extension, 1 .tif");
        let many: Vec<PathBuf> = (0..10).map(|n| PathBuf::from(format!("a.{n}"))).collect();
        assert!(count_by_extension(&many).ends_with("1 .7, 2 others"));
        let note = note_on_skipped(&files);
        assert!(note.starts_with("skipped 4 files of other kinds: 2 .heic, "), "{note}");
        assert!(note.ends_with("convert them to PNG") && !note_on_skipped(&many).contains("PNG"), "{note}");
    }
}
