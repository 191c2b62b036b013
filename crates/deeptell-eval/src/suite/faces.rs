//! A cache of detected faces.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use deeptell_face::{Landmarks, Rect};
use serde::{Deserialize, Serialize};

use super::SuiteError;

/// A face in a picture, in its pixels.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct FoundFace {
    /// Its box.
    pub bbox: Rect,
    /// Its eyes, nose and mouth corners.
    pub landmarks: Landmarks,
}

/// Faces by picture.
#[derive(Debug, Clone, Default)]
pub struct FoundFaces {
    face_detector: String,
    faces: HashMap<PathBuf, Entry>,
    /// Whether there are faces that the file does not have.
    is_new: bool,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Entry {
    path: PathBuf,
    /// Size of the file, so that another picture of the same name is searched again.
    bytes: u64,
    face: Option<FoundFace>,
}

#[derive(Serialize, Deserialize)]
struct Header {
    schema: String,
    #[serde(rename = "finder")]
    face_detector: String,
}

const SCHEMA: &str = "deeptell-found-faces-1";

impl FoundFaces {
    /// An empty cache for a face detector of this name; faces of other detectors are not used.
    pub fn new(face_detector: impl Into<String>) -> Self {
        Self { face_detector: face_detector.into(), ..Self::default() }
    }

    /// The faces in `path`, JSON Lines that [`to_bytes`](Self::to_bytes) made; none when there is no such file, or when
    /// another face detector found them. A byte order mark is passed over, and a last line that was cut off is dropped.
    ///
    /// # Errors
    /// [`SuiteError`] when the file cannot be read or is something else.
    pub fn read(path: &Path, face_detector: impl Into<String>) -> Result<Self, SuiteError> {
        let mut found = Self::new(face_detector);
        let bytes = match deeptell_files::read_bounded(path, 1 << 30) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(found),
            Err(source) => return Err(SuiteError::Io { path: path.to_owned(), source }),
        };
        let fault = |line: usize, reason: String| SuiteError::Faces { path: path.to_owned(), line, reason };
        let text = bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(&bytes);
        let mut lines = text.split_inclusive(|byte| *byte == b'\n').zip(1..);
        let Some((first, _)) = lines.next() else { return Ok(found) };
        match serde_json::from_slice::<Header>(first) {
            Ok(header) if header.schema == SCHEMA && header.face_detector == found.face_detector => {}
            Ok(header) if header.schema == SCHEMA => return Ok(found),
            Err(_) if is_cut_off(first, b"{\"schema\":\"deeptell-found-faces") => return Ok(found),
            _ => return Err(fault(1, "the header is missing".to_owned())),
        }
        for (line, number) in lines.filter(|(line, _)| !line.trim_ascii().is_empty()) {
            let entry: Entry = match serde_json::from_slice(line) {
                Ok(entry) => entry,
                Err(_) if is_cut_off(line, b"{\"path\":") => {
                    // Without that line, the file is written again.
                    found.is_new = true;
                    break;
                }
                Err(error) => return Err(fault(number, error.to_string())),
            };
            found.faces.insert(entry.path.clone(), entry);
        }
        Ok(found)
    }

    /// All faces as JSON Lines, in order of their paths.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut entries: Vec<&Entry> = self.faces.values().collect();
        entries.sort_by(|a, b| a.path.cmp(&b.path));
        let header = Header { schema: SCHEMA.to_owned(), face_detector: self.face_detector.clone() };
        let mut lines = vec![serde_json::to_string(&header).unwrap_or_default()];
        lines.extend(entries.iter().filter_map(|entry| serde_json::to_string(entry).ok()));
        let mut text = lines.join("\n");
        text.push('\n');
        text.into_bytes()
    }

    /// Whether faces were added since they were read.
    pub fn has_new(&self) -> bool {
        self.is_new
    }

    /// The cached result for a picture: `None` if it was not searched yet, otherwise its face, if it has one.
    #[expect(
        clippy::option_option,
        reason = "not searched yet, without a face, and with one are three cases"
    )]
    pub(super) fn get(&self, path: &Path) -> Option<Option<FoundFace>> {
        let entry = self.faces.get(path)?;
        (size_of(path) == Some(entry.bytes)).then_some(entry.face)
    }

    pub(super) fn insert(&mut self, path: &Path, face: Option<FoundFace>) {
        let bytes = size_of(path).unwrap_or(0);
        self.faces.insert(path.to_owned(), Entry { path: path.to_owned(), bytes, face });
        self.is_new = true;
    }
}

/// Whether a line has no end, and begins as all lines of its kind do.
fn is_cut_off(line: &[u8], beginning: &[u8]) -> bool {
    !line.ends_with(b"\n") && (line.starts_with(beginning) || beginning.starts_with(line))
}

/// Size of the file, or of the shard that the path goes through.
fn size_of(path: &Path) -> Option<u64> {
    let file = |path: &Path| std::fs::metadata(path).ok().filter(std::fs::Metadata::is_file);
    path.ancestors().find_map(file).map(|metadata| metadata.len())
}

#[cfg(test)]
mod tests {
    use deeptell_face::Point;

    use super::*;

    #[test]
    fn faces_are_reused_unless_the_picture_or_face_detector_changed() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        std::fs::write(at("a.png"), "1").unwrap();
        std::fs::write(at("b.png"), "22").unwrap();
        let face = FoundFace {
            bbox: Rect::new(1.0, 2.0, 30.5, 40.25),
            landmarks: Landmarks::from_points([Point::new(3.0, 4.0); 5]),
        };
        let mut found = FoundFaces::read(&at("faces.jsonl"), "m").unwrap();
        assert_eq!((found.get(&at("a.png")), found.has_new()), (None, false));
        found.insert(&at("a.png"), Some(face));
        found.insert(&at("b.png"), None);
        assert!(found.has_new());
        std::fs::write(at("faces.jsonl"), found.to_bytes()).unwrap();

        let again = FoundFaces::read(&at("faces.jsonl"), "m").unwrap();
        assert_eq!((again.get(&at("a.png")), again.get(&at("b.png"))), (Some(Some(face)), Some(None)));
        assert!(!again.has_new());
        // Damaged as editors and kills do.
        let whole = found.to_bytes();
        let rows = |bytes: &[u8]| bytes.split(|byte| *byte == b'\n').count() - 1;
        std::fs::write(at("faces.jsonl"), [b"\xEF\xBB\xBF", &whole[..]].concat()).unwrap();
        let marked = FoundFaces::read(&at("faces.jsonl"), "m").unwrap();
        assert_eq!((marked.get(&at("b.png")), marked.has_new()), (Some(None), false));
        for length in 0..whole.len() {
            std::fs::write(at("faces.jsonl"), &whole[..length]).unwrap();
            let cut = FoundFaces::read(&at("faces.jsonl"), "m").unwrap_or_else(|e| panic!("{length}: {e}"));
            assert!(cut.faces.len() + 1 >= rows(&whole[..length]), "{length} bytes");
            assert!(cut.faces.len() < rows(&whole), "{length} bytes");
        }
        std::fs::write(at("faces.jsonl"), &whole).unwrap();
        std::fs::write(at("a.png"), "another").unwrap();
        assert_eq!(again.get(&at("a.png")), None);
        assert_eq!(FoundFaces::read(&at("faces.jsonl"), "n").unwrap().get(&at("b.png")), None);
        let header = whole.split(|byte| *byte == b'\n').next().unwrap();
        for other in [&b"x"[..], b"path,score\na,1\n", b"{}\n", &[header, b"\ndear diary\n"].concat()] {
            std::fs::write(at("faces.jsonl"), other).unwrap();
            assert!(matches!(FoundFaces::read(&at("faces.jsonl"), "m"), Err(SuiteError::Faces { .. })));
        }
    }
}
