use std::path::Path;

use serde::{Serialize as _, Serializer};

/// The path of a file below `folder`, with `/` between names on every system; the whole path when
/// it lies elsewhere.
///
/// ```
/// use std::path::Path;
///
/// let name = deeptell_files::name_below(Path::new("set"), Path::new("set/real/a.mp4"));
/// assert_eq!(name, "real/a.mp4");
/// ```
pub fn name_below(folder: &Path, path: &Path) -> String {
    let below = path.strip_prefix(folder).unwrap_or(path);
    below.iter().map(|part| part.to_string_lossy()).collect::<Vec<_>>().join("/")
}

/// The name of a file without its extension; empty for a path without a file name.
pub fn stem(path: &Path) -> String {
    path.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default()
}

/// Writes a path as text into a document for people, where bytes that are not Unicode become `U+FFFD`: for
/// `#[serde(serialize_with = "deeptell_files::serialize_path")]`. Without it, such a path makes the document an error.
///
/// # Errors
/// Those of the serializer.
pub fn serialize_path<P: AsRef<Path>, S: Serializer>(path: &P, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&path.as_ref().display())
}

/// As [`serialize_path`], for a path that may be missing.
///
/// # Errors
/// Those of the serializer.
pub fn serialize_optional_path<P: AsRef<Path>, S: Serializer>(
    path: &Option<P>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    path.as_ref().map(|path| path.as_ref().display().to_string()).serialize(serializer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_relative_to_the_folder() {
        let below = |folder: &str, path: &str| name_below(Path::new(folder), Path::new(path));
        assert_eq!(below("/data/set", "/data/set/real/a b.mp4"), "real/a b.mp4");
        assert_eq!(below("", "real/a.mp4"), "real/a.mp4");
        assert_eq!(below("./set", "./set/real/a.mp4"), "real/a.mp4");
        assert_eq!(below("/data/set", "elsewhere/a.mp4"), "elsewhere/a.mp4");
        assert_eq!(stem(Path::new("a/b.c.mp4")), "b.c");
        assert_eq!(stem(Path::new("/")), "");
    }
}
