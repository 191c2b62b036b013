//! Which files a scan is about.

use std::collections::HashSet;
use std::io::BufRead;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use deeptell_data::Media;

/// The files among `inputs`, and the videos and pictures in folders among them, each once. `-` takes paths from
/// `listed`, one a line; a pattern like `clips/**/*.mp4` that names no file itself stands for those it matches.
///
/// # Errors
/// When a folder cannot be listed or holds nothing to scan, a pattern is malformed or matches nothing, or the list
/// cannot be read.
pub(super) fn files(inputs: &[PathBuf], listed: impl BufRead) -> anyhow::Result<Vec<PathBuf>> {
    let mut listed = Some(listed);
    let mut found = Vec::new();
    for input in inputs {
        if input == Path::new("-") {
            let Some(lines) = listed.take() else { continue };
            for line in lines.lines() {
                let line = line.context("cannot read the list of files from standard input")?;
                if !line.trim().is_empty() {
                    add(&mut found, Path::new(line.trim_end_matches('\r')))?;
                }
            }
        } else {
            add(&mut found, input)?;
        }
    }
    let mut seen = HashSet::new();
    found.retain(|path| seen.insert(path.clone()));
    Ok(found)
}

fn add(found: &mut Vec<PathBuf>, input: &Path) -> anyhow::Result<()> {
    if input.is_dir() {
        return add_folder(found, input);
    }
    let pattern = input.to_str().filter(|text| text.contains(['*', '?', '[']) && !input.exists());
    let Some(pattern) = pattern else {
        found.push(input.to_owned());
        return Ok(());
    };
    let before = found.len();
    for path in glob::glob(pattern).with_context(|| format!("{pattern} is no pattern for files"))? {
        let path = path.with_context(|| format!("cannot list what {pattern} matches"))?;
        if path.is_dir() || Media::of(&path).is_none() {
            continue;
        }
        found.push(path);
    }
    if found.len() == before {
        anyhow::bail!("{pattern} matches no video and no picture");
    }
    Ok(())
}

fn add_folder(found: &mut Vec<PathBuf>, folder: &Path) -> anyhow::Result<()> {
    let before = found.len();
    for entry in walkdir::WalkDir::new(folder).follow_links(true).sort_by_file_name() {
        let entry = entry.with_context(|| format!("cannot list {}", folder.display()))?;
        if entry.file_type().is_file() && Media::of(entry.path()).is_some() {
            found.push(entry.into_path());
        }
    }
    if found.len() == before {
        anyhow::bail!("{} holds no video and no picture", folder.display());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(found: &[PathBuf]) -> Vec<&str> {
        found.iter().map(|path| path.file_name().unwrap().to_str().unwrap()).collect()
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
    fn folders_are_searched_and_nothing_comes_twice() {
        let folder = some_files();
        let twice = [folder.path().to_owned(), folder.path().join("b.mp4")];
        assert_eq!(names(&files(&twice, &b""[..]).unwrap()), ["a.PNG", "b.mp4", "c.mp4"]);
        let empty = tempfile::tempdir().unwrap();
        assert!(files(&[empty.path().to_owned()], &b""[..]).is_err());
    }

    #[test]
    fn patterns_stand_for_what_they_match() {
        let folder = some_files();
        let matched = |pattern: &str| files(&[folder.path().join(pattern)], &b""[..]);
        assert_eq!(names(&matched("*.mp4").unwrap()), ["b.mp4"]);
        assert_eq!(names(&matched("**/*.mp4").unwrap()), ["b.mp4", "c.mp4"]);
        assert_eq!(names(&matched("*").unwrap()), ["a.PNG", "b.mp4"], "neither folders nor texts");
        assert!(matched("*.gif").unwrap_err().to_string().contains("matches no video"));
        // A file may have a star in its name.
        #[cfg(unix)]
        {
            std::fs::write(folder.path().join("odd[1].mp4"), b"").unwrap();
            assert_eq!(names(&matched("odd[1].mp4").unwrap()), ["odd[1].mp4"]);
        }
    }

    #[test]
    fn a_list_may_come_from_standard_input() {
        let folder = some_files();
        let list = format!("{0}/b.mp4\r\n\n{0}/deep\n", folder.path().display());
        let inputs = [PathBuf::from("-"), folder.path().join("a.PNG"), PathBuf::from("-")];
        assert_eq!(names(&files(&inputs, list.as_bytes()).unwrap()), ["b.mp4", "c.mp4", "a.PNG"]);
    }
}
