//! Finds the videos and pictures that somebody names on a command line.

use std::collections::HashSet;
use std::io::{self, BufRead, Read as _};
use std::path::{MAIN_SEPARATOR_STR, Path, PathBuf, is_separator};

use glob::{GlobError, MatchOptions, Pattern, PatternError};
use walkdir::{DirEntry, WalkDir};

use crate::folder::reason;
use crate::{DataError, FolderContents, HiddenFiles, Media, Unreadable};

/// The characters that make a name a pattern.
const WILD: [char; 3] = ['*', '?', '['];

/// Videos and pictures named by files, folders, patterns and lists.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct MediaInputs {
    /// Files, and paths without one; each path once.
    pub items: Vec<MediaInput>,
    /// Files in folders, or matched by patterns, that are neither videos nor pictures.
    pub left_out: Vec<PathBuf>,
}

/// A video or picture, or a path without one.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct MediaInput {
    /// The path, as it was given or found.
    pub path: PathBuf,
    /// Why there is nothing to read there.
    pub fault: Option<String>,
}

impl MediaInputs {
    /// The files among `inputs` and the videos and pictures in folders among them, each once. `-` reads paths from
    /// `listed`, one per line. A pattern like `clips/**/*.mp4` that is not itself the name of a file is expanded.
    ///
    /// A folder, link or pattern without any file becomes an item with a fault and does not end the search.
    ///
    /// ```
    /// use deeptell_data::MediaInputs;
    ///
    /// let folder = tempfile::tempdir()?;
    /// std::fs::write(folder.path().join("a.mp4"), "")?;
    /// let found = MediaInputs::find(&[folder.path().to_owned()], std::io::empty())?;
    /// assert_eq!(found.items[0].path, folder.path().join("a.mp4"));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`DataError::EmptyList`] and [`DataError::NoMedia`] if there is nothing at all, [`DataError::List`] if the list
    /// cannot be read.
    pub fn find(inputs: &[PathBuf], listed: impl BufRead) -> Result<Self, DataError> {
        let mut listed = Some(listed);
        let mut found = Self::default();
        let mut empty = Vec::new();
        for input in inputs {
            if input == Path::new("-") {
                let Some(lines) = listed.take() else { continue };
                for line in Lines(lines) {
                    let line = line.map_err(DataError::List)?;
                    let line = line.strip_suffix(b"\r").unwrap_or(&line);
                    if !line.trim_ascii().is_empty() {
                        found.add(&path_of(line), &mut empty);
                    }
                }
            } else {
                found.add(input, &mut empty);
            }
        }
        if found.items.is_empty() {
            let mut empty = empty.into_iter();
            let Some((path, reason)) = empty.next() else { return Err(DataError::EmptyList) };
            return Err(DataError::NoMedia { path, reason, others: empty.len(), left_out: found.left_out });
        }
        for (path, reason) in empty {
            found.items.push(MediaInput { path, fault: Some(reason) });
        }
        let mut seen = HashSet::new();
        found.items.retain(|input| seen.insert(input.path.clone()));
        Ok(found)
    }

    /// Adds the files of `input`; if there are none, adds it to `empty` with the reason.
    fn add(&mut self, input: &Path, empty: &mut Vec<(PathBuf, String)>) {
        if input.is_dir() {
            let contents = FolderContents::read(input, HiddenFiles::Include);
            if contents.media.is_empty() && contents.unreadable.is_empty() {
                empty.push((input.to_owned(), "contains no video and no picture".to_owned()));
            }
            self.items.extend(contents.media.into_iter().map(|path| MediaInput { path, fault: None }));
            let unreadable = contents.unreadable.into_iter();
            self.items.extend(unreadable.map(|it| MediaInput { path: it.path, fault: Some(it.reason) }));
            self.left_out.extend(contents.left_out);
            return;
        }
        let text = input.to_str().filter(|_| input.symlink_metadata().is_err());
        if text.is_some_and(is_address) {
            let fault = "deeptell does not download files: download it, then scan the file";
            self.items.push(MediaInput { path: input.to_owned(), fault: Some(fault.to_owned()) });
        } else if let Some(pattern) = text.filter(|text| text.contains(WILD)) {
            self.add_matches(pattern, empty);
        } else {
            self.items.push(MediaInput { path: input.to_owned(), fault: None });
        }
    }

    fn add_matches(&mut self, pattern: &str, empty: &mut Vec<(PathBuf, String)>) {
        // Two stars match folders alone; at the end they are meant to match what is in them.
        let below = (pattern == "**" || pattern.ends_with("/**")).then(|| format!("{pattern}/*"));
        let matches = match matches(below.as_deref().unwrap_or(pattern)) {
            Ok(matches) => matches,
            Err(error) => {
                empty.push((pattern.into(), format!("is not a valid file pattern: {error}")));
                return;
            }
        };
        if matches.is_empty() {
            empty.push((pattern.into(), "matches no video and no picture".to_owned()));
        }
        for found in matches {
            match found {
                Ok(path) if Media::of(&path).is_none() => self.left_out.push(path),
                Ok(path) => self.items.push(MediaInput { path, fault: None }),
                Err(Unreadable { path, reason }) => self.items.push(MediaInput { path, fault: Some(reason) }),
            }
        }
    }
}

/// The files that a pattern matches, in the order of their names, and what cannot be read there.
fn matches(pattern: &str) -> Result<Vec<Result<PathBuf, Unreadable>>, PatternError> {
    let parts: Vec<&str> = pattern.split(is_separator).collect();
    let Some(stars) = parts.iter().position(|part| *part == "**") else {
        let found = glob::glob(pattern)?.map(|found| found.map_err(|error| unreadable_match(&error)));
        return Ok(found.filter(|found| !found.as_ref().is_ok_and(|path| path.is_dir())).collect());
    };
    // From two stars on the folders are walked here: `glob` would follow links in circles.
    let below = Pattern::new(&parts[stars..].join("/"))?;
    let options = MatchOptions { require_literal_separator: true, ..MatchOptions::new() };
    let top = parts[..stars].join(MAIN_SEPARATOR_STR);
    let mut found = Vec::new();
    let roots: Vec<PathBuf> = match top.as_str() {
        "" if stars == 0 => vec![".".into()],
        "" => vec![MAIN_SEPARATOR_STR.into()],
        top if top.contains(WILD) => {
            let (roots, unreadable): (Vec<_>, Vec<_>) = glob::glob(top)?.partition(Result::is_ok);
            found.extend(
                unreadable.into_iter().filter_map(Result::err).map(|error| Err(unreadable_match(&error))),
            );
            roots.into_iter().flatten().collect()
        }
        top => vec![top.into()],
    };
    let mut seen = HashSet::new();
    for root in roots.iter().filter(|root| root.is_dir()) {
        // A folder that links lead to by several ways is entered once.
        let is_new = |entry: &DirEntry| {
            !entry.file_type().is_dir() || entry.path().canonicalize().map_or(true, |real| seen.insert(real))
        };
        let walk = WalkDir::new(root).follow_links(true).sort_by_file_name().into_iter();
        for entry in walk.filter_entry(is_new) {
            match entry {
                Ok(entry) if entry.file_type().is_dir() => {}
                Ok(entry) => {
                    let path = entry.path().strip_prefix(root).unwrap_or(entry.path());
                    if below.matches_path_with(path, options) {
                        found.push(Ok(if stars == 0 { path.to_owned() } else { entry.into_path() }));
                    }
                }
                Err(error) => {
                    let path = error.path().unwrap_or(root).to_owned();
                    let reason = reason(&path, &error);
                    found.push(Err(Unreadable { path, reason }));
                }
            }
        }
    }
    Ok(found)
}

fn unreadable_match(error: &GlobError) -> Unreadable {
    Unreadable { path: error.path().to_owned(), reason: format!("cannot be read: {}", error.error().kind()) }
}

/// The longest line of a list, in bytes; no system has longer paths.
const MAX_LINE: u64 = 1 << 16;

/// The lines of a list, up to the first that is too long.
struct Lines<R>(R);

impl<R: BufRead> Iterator for Lines<R> {
    type Item = io::Result<Vec<u8>>;

    fn next(&mut self) -> Option<Self::Item> {
        let mut line = Vec::new();
        match self.0.by_ref().take(MAX_LINE).read_until(b'\n', &mut line) {
            Ok(0) => None,
            Ok(_) if line.last() == Some(&b'\n') => {
                line.pop();
                Some(Ok(line))
            }
            Ok(length) if length as u64 == MAX_LINE => {
                let reason = format!("a line has more than {MAX_LINE} bytes, which no path has");
                Some(Err(io::Error::new(io::ErrorKind::InvalidData, reason)))
            }
            Ok(_) => Some(Ok(line)),
            Err(error) => Some(Err(error)),
        }
    }
}

/// The path on a line of a list.
#[cfg(unix)]
fn path_of(line: &[u8]) -> PathBuf {
    use std::os::unix::ffi::OsStrExt as _;
    PathBuf::from(std::ffi::OsStr::from_bytes(line))
}

#[cfg(not(unix))]
fn path_of(line: &[u8]) -> PathBuf {
    PathBuf::from(String::from_utf8_lossy(line).into_owned())
}

/// Whether the text is a URL such as `https://host/clip.mp4`, of any scheme (RFC 3986, 3.1).
fn is_address(text: &str) -> bool {
    text.split_once("://").is_some_and(|(scheme, _)| {
        scheme.starts_with(|c: char| c.is_ascii_alphabetic())
            && scheme.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.'))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn find(inputs: &[PathBuf], listed: &[u8]) -> Result<MediaInputs, DataError> {
        MediaInputs::find(inputs, listed)
    }

    fn names(found: &MediaInputs) -> Vec<&str> {
        let good = found.items.iter().filter(|input| input.fault.is_none());
        good.map(|input| input.path.file_name().unwrap().to_str().unwrap()).collect()
    }

    fn faults(found: &MediaInputs) -> Vec<String> {
        let bad = found.items.iter().filter_map(|input| Some((input, input.fault.as_ref()?)));
        bad.map(|(input, fault)| format!("{}: {fault}", input.path.display())).collect()
    }

    fn some_files() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("deep")).unwrap();
        for name in ["b.mp4", "a.PNG", "notes.txt", "deep/c.mp4"] {
            std::fs::write(folder.path().join(name), b"").unwrap();
        }
        folder
    }

    #[test]
    fn folders_are_searched_and_each_file_is_found_once() {
        let folder = some_files();
        let twice = [folder.path().to_owned(), folder.path().join("b.mp4")];
        let found = find(&twice, b"").unwrap();
        assert_eq!(names(&found), ["a.PNG", "b.mp4", "c.mp4"]);
        assert_eq!(found.left_out, [folder.path().join("notes.txt")]);
    }

    #[test]
    fn an_empty_folder_is_an_error_alone_and_a_fault_beside_others() {
        let (folder, empty) = (some_files(), tempfile::tempdir().unwrap());
        std::fs::write(empty.path().join("a.heic"), b"").unwrap();
        let error = find(&[empty.path().to_owned()], b"").unwrap_err().to_string();
        assert!(error.contains("no video and no picture") && error.contains("1 .heic"), "{error}");
        let both = find(&[empty.path().to_owned(), folder.path().join("b.mp4")], b"").unwrap();
        assert_eq!((names(&both), faults(&both).len()), (vec!["b.mp4"], 1));
        let pattern = find(&[folder.path().join("*.gif"), folder.path().join("b.mp4")], b"").unwrap();
        assert_eq!((names(&pattern), faults(&pattern).len()), (vec!["b.mp4"], 1));
        assert!(find(&["-".into()], b"\n").unwrap_err().to_string().contains("list of files is empty"));
    }

    #[test]
    fn a_line_that_is_not_a_path_ends_a_list() {
        let zeros = io::BufReader::new(io::repeat(0));
        let error = MediaInputs::find(&["-".into()], zeros).unwrap_err();
        assert!(
            matches!(&error, DataError::List(source) if source.kind() == io::ErrorKind::InvalidData),
            "{error}"
        );
        let folder = some_files();
        let clip = folder.path().join("b.mp4").display().to_string();
        assert_eq!(names(&find(&["-".into()], clip.as_bytes()).unwrap()), ["b.mp4"]);
    }

    #[cfg(unix)]
    #[test]
    fn a_pattern_does_not_follow_a_link_in_circles() {
        let folder = some_files();
        let link = |to: &str, name: &str| std::os::unix::fs::symlink(to, folder.path().join(name)).unwrap();
        // With two ways round, the ways are as many as there are sequences of the two.
        link("..", "deep/up");
        link(".", "self");
        let found = find(&[folder.path().join("**/*.mp4")], b"").unwrap();
        assert_eq!(names(&found), ["b.mp4", "c.mp4"]);
        assert!(faults(&found).iter().all(|fault| fault.contains("leads back to")), "{found:?}");
        let pattern = format!("{}*/**/*.mp4", folder.path().display());
        assert_eq!(names(&find(&[pattern.into()], b"").unwrap()), ["b.mp4", "c.mp4"]);
    }

    #[test]
    fn urls_are_faults() {
        for address in
            ["https://video.example/clip.mp4", "s3://bucket/a*.mp4", "rtsp://10.0.0.1/", "FILE:///a"]
        {
            let found = find(&[address.into()], b"").unwrap();
            assert!(faults(&found)[0].contains("download"), "{address}: {found:?}");
        }
        for path in ["clip.mp4", "C://x.mp4x", "a b://x", "://x", "dir//x.mp4"] {
            assert_eq!(is_address(path), path == "C://x.mp4x", "{path}");
        }
    }

    #[test]
    fn patterns_are_expanded() {
        let folder = some_files();
        let matched = |pattern: &str| find(&[folder.path().join(pattern)], b"");
        assert_eq!(names(&matched("*.mp4").unwrap()), ["b.mp4"]);
        assert_eq!(names(&matched("**/*.mp4").unwrap()), ["b.mp4", "c.mp4"]);
        assert_eq!(names(&matched("**").unwrap()), ["a.PNG", "b.mp4", "c.mp4"]);
        assert_eq!(names(&matched("deep/**").unwrap()), ["c.mp4"]);
        let all = matched("*").unwrap();
        assert_eq!(names(&all), ["a.PNG", "b.mp4"], "neither folders nor texts");
        assert_eq!(all.left_out, [folder.path().join("notes.txt")]);
        assert!(matched("*.gif").unwrap_err().to_string().contains("matches no video"));
        // A file may have a star in its name.
        #[cfg(unix)]
        {
            std::fs::write(folder.path().join("odd[1].mp4"), b"").unwrap();
            assert_eq!(names(&matched("odd[1].mp4").unwrap()), ["odd[1].mp4"]);
        }
    }

    #[cfg(unix)]
    #[test]
    fn a_bad_link_is_a_fault_in_folders_and_patterns() {
        let folder = some_files();
        let link = |to: &str, name: &str| std::os::unix::fs::symlink(to, folder.path().join(name)).unwrap();
        link("nowhere", "readme");
        link("..", "deep/up");
        let found = find(&[folder.path().to_owned()], b"").unwrap();
        assert_eq!(names(&found), ["a.PNG", "b.mp4", "c.mp4"]);
        assert_eq!(faults(&found).len(), 2, "{:?}", faults(&found));
        let matched = find(&[folder.path().join("**/*.mp4")], b"").unwrap();
        assert!(names(&matched).contains(&"c.mp4"), "{matched:?}");
    }

    #[test]
    fn paths_are_read_from_standard_input() {
        let folder = some_files();
        let list = format!("{0}/b.mp4\r\n\n{0}/deep\n", folder.path().display());
        let inputs = [PathBuf::from("-"), folder.path().join("a.PNG"), PathBuf::from("-")];
        assert_eq!(names(&find(&inputs, list.as_bytes()).unwrap()), ["b.mp4", "c.mp4", "a.PNG"]);
        #[cfg(unix)]
        assert_eq!(find(&["-".into()], b"a\xff.mp4\n").unwrap().items.len(), 1, "names need not be UTF-8");
    }
}
