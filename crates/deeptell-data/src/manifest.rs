//! The manifest: a data set as JSON Lines.
//!
//! The first line is the header, [`HEADER_LINE`]; every other line is one [`Sample`] as a JSON
//! object. `path`, `label` (`"real"` or `"fake"`) and `source` are required, every other field
//! of [`Sample`] may be left out. Paths are relative to the folder of the manifest or absolute,
//! with `/` between folders; a `\` is understood where no file has it in its name. Blank lines
//! are skipped. A path may go through a shard, an uncompressed tar archive, as if it were a
//! folder: `shards/crops-000000.tar/a_0.png` (see [`ShardIndex`](crate::ShardIndex)). An unknown
//! field is an error: a misspelled `split` must not go unnoticed. Other values belong in the object
//! `extra`.
//!
//! ```text
//! {"schema":"deeptell-manifest","version":1}
//! {"path":"crops/a_0.png","label":"real","source":"a","split":"train","video":"a.mp4","pts_seconds":0.5}
//! {"path":"crops/b_0.png","label":"fake","source":"a","method":"FaceSwap","extra":{"compression":"c23"}}
//! ```

use std::collections::HashSet;
use std::fs::File;
use std::io::{BufRead, BufReader, BufWriter, Read, Write};
use std::path::{Path, PathBuf, absolute};

use deeptell_files::WholeFile;
use serde::Deserialize;

use crate::extra::last_in_row;
use crate::{DataError, Sample};

/// The first line of every manifest of this version.
pub const HEADER_LINE: &str = r#"{"schema":"deeptell-manifest","version":1}"#;

const SCHEMA: &str = "deeptell-manifest";
const VERSION: u64 = 1;

/// Longest row that is accepted, in bytes, so that a file without line breaks does not fill memory.
const LONGEST_LINE: u64 = 1 << 20;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    schema: String,
    version: u64,
}

/// Reads a manifest row by row, in constant memory.
///
/// Rows come with their paths resolved against the folder of the manifest. An error about one
/// row does not end the iteration; an error of the file does.
#[derive(Debug)]
pub struct ManifestReader<R = BufReader<File>> {
    input: R,
    path: PathBuf,
    folder: PathBuf,
    line: u64,
    ended: bool,
    /// The line read last, and what of it is parsed by name.
    bytes: Vec<u8>,
    row: String,
}

/// A gigabyte is read in larger pieces than the standard library's.
const BUFFER: usize = 1 << 16;

impl ManifestReader {
    /// Opens a manifest and checks its header.
    ///
    /// # Errors
    /// [`DataError::Io`], [`DataError::NotAManifest`], [`DataError::ManifestVersion`].
    pub fn open(path: impl AsRef<Path>) -> Result<Self, DataError> {
        let path = path.as_ref();
        let file = File::open(path).map_err(DataError::io(path))?;
        Self::new(BufReader::with_capacity(BUFFER, file), path)
    }
}

impl<R: BufRead> ManifestReader<R> {
    /// Reads from memory or a stream; `path` names it in errors and its folder resolves
    /// relative paths.
    ///
    /// # Errors
    /// As [`open`](ManifestReader::open).
    pub fn new(input: R, path: impl Into<PathBuf>) -> Result<Self, DataError> {
        let path = path.into();
        let folder = path.parent().map(Path::to_path_buf).unwrap_or_default();
        let mut reader =
            Self { input, path, folder, line: 0, ended: false, bytes: Vec::new(), row: String::new() };
        reader.next_line().transpose()?;
        let first = reader.text()?;
        let header = serde_json::from_str::<Header>(first.trim_start_matches('\u{feff}'));
        match header {
            Ok(header) if header.schema != SCHEMA => Err(DataError::NotAManifest { path: reader.path }),
            Ok(Header { version, .. }) if version != VERSION => {
                Err(DataError::ManifestVersion { path: reader.path, version })
            }
            Ok(_) => Ok(reader),
            Err(_) => Err(DataError::NotAManifest { path: reader.path }),
        }
    }

    /// Number of the line read last, from 1.
    pub fn line(&self) -> u64 {
        self.line
    }

    /// Reads a line into `bytes`; `None` at the end.
    fn next_line(&mut self) -> Option<Result<(), DataError>> {
        self.bytes.clear();
        if self.ended {
            return None;
        }
        self.line += 1;
        match (&mut self.input).take(LONGEST_LINE + 1).read_until(b'\n', &mut self.bytes) {
            Ok(0) => {
                self.ended = true;
                None
            }
            Ok(read) if read as u64 > LONGEST_LINE => {
                self.ended = true;
                let reason = "longer than 1 MiB: this is not a row of a manifest";
                Some(Err(DataError::line(&self.path, self.line, reason)))
            }
            Ok(_) => Some(Ok(())),
            Err(error) => {
                self.ended = true;
                Some(Err(DataError::io(&self.path)(error)))
            }
        }
    }

    fn text(&self) -> Result<&str, DataError> {
        std::str::from_utf8(&self.bytes)
            .map_err(|_| DataError::line(&self.path, self.line, "not UTF-8; save the manifest as UTF-8"))
    }

    /// The sample in the line; `None` where it is blank.
    fn parse(&mut self) -> Option<Result<Sample, DataError>> {
        let mut row = std::mem::take(&mut self.row);
        let sample = self.text().and_then(|text| {
            let text = text.trim();
            if text.is_empty() {
                return Ok(None);
            }
            let fail = |reason: &dyn ToString| DataError::line(&self.path, self.line, reason.to_string());
            let mut sample = match quickly(text, &mut row) {
                Some(sample) => sample,
                None => serde_json::from_str(text).map_err(|error| fail(&reason_without_line(&error)))?,
            };
            if let Some(fault) = sample.fault() {
                return Err(fail(&fault));
            }
            sample.path = resolve(&self.folder, &sample.path);
            Ok(Some(sample))
        });
        self.row = row;
        sample.transpose()
    }
}

/// Parses a row without making values of `extra`; `None` where that cannot be done, which an error
/// may be the reason of. `rest` is for the row without them.
fn quickly(text: &str, rest: &mut String) -> Option<Sample> {
    let (extra, range) = last_in_row(text)?;
    rest.clear();
    rest.push_str(&text[..range.start]);
    rest.push_str("{}");
    rest.push_str(&text[range.end..]);
    let mut sample: Sample = serde_json::from_str(rest).ok()?;
    sample.extra = extra;
    Some(sample)
}

impl<R: BufRead> Iterator for ManifestReader<R> {
    type Item = Result<Sample, DataError>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Err(error) = self.next_line()? {
                return Some(Err(error));
            }
            if let Some(sample) = self.parse() {
                return Some(sample);
            }
        }
    }
}

/// `serde_json` counts lines within the one line it sees; the column is what helps.
fn reason_without_line(error: &serde_json::Error) -> String {
    let message = error.to_string();
    message.replace(" at line 1 column ", " at column ")
}

/// A path as a list gives it, relative to `folder`; `\` separates folders unless a file
/// has it in its name.
pub(crate) fn resolve(folder: &Path, listed: &Path) -> PathBuf {
    let path = folder.join(listed);
    match listed.to_str() {
        Some(text) if text.contains('\\') && !path.exists() => folder.join(text.replace('\\', "/")),
        _ => path,
    }
}

/// Reads a whole manifest.
///
/// # Errors
/// As [`ManifestReader`]; [`DataError::Duplicate`] when two rows have the same path, time and box.
pub fn read_manifest(path: impl AsRef<Path>) -> Result<Vec<Sample>, DataError> {
    let path = path.as_ref();
    let mut reader = ManifestReader::open(path)?;
    let mut samples = Vec::new();
    let mut lines = Vec::new();
    while let Some(sample) = reader.next().transpose()? {
        samples.push(sample);
        lines.push(reader.line());
    }
    let mut seen = HashSet::with_capacity(samples.len());
    for (sample, line) in samples.iter().zip(lines) {
        let corners = sample.bbox.map(|b| [b.x1, b.y1, b.x2, b.y2].map(f32::to_bits));
        if !seen.insert((&sample.path, sample.pts_seconds.map(f64::to_bits), corners)) {
            let (listing, path) = (path.to_path_buf(), sample.path.clone());
            return Err(DataError::Duplicate { listing, line, path });
        }
    }
    Ok(samples)
}

/// Writes a manifest row by row.
///
/// Paths below the folder of the manifest are written relative to it, so that the folder can be
/// moved; others are written in full. The manifest is there once it is [finished](Self::finish),
/// whole; until then, a manifest of that name stays as it was.
#[derive(Debug)]
pub struct ManifestWriter {
    output: BufWriter<WholeFile>,
    path: PathBuf,
    folder: PathBuf,
}

impl ManifestWriter {
    /// Begins a manifest, creates the folders it lies in and writes the header.
    ///
    /// # Errors
    /// [`DataError::Io`].
    pub fn create(path: impl AsRef<Path>) -> Result<Self, DataError> {
        let path = path.as_ref();
        let fail = || DataError::io(path);
        let absolute_path = absolute(path).map_err(fail())?;
        let folder = absolute_path.parent().map(Path::to_path_buf).unwrap_or_default();
        let mut output = BufWriter::new(WholeFile::create(path).map_err(fail())?);
        writeln!(output, "{HEADER_LINE}").map_err(fail())?;
        Ok(Self { output, path: path.to_path_buf(), folder })
    }

    /// Writes one row.
    ///
    /// # Errors
    /// [`DataError::InvalidSample`] for a row that could not be read back, [`DataError::Io`].
    pub fn write(&mut self, sample: &Sample) -> Result<(), DataError> {
        sample.validate()?;
        let mut row = sample.clone();
        row.path = self.portable(&sample.path)?;
        let line = serde_json::to_string(&row).map_err(|error| DataError::InvalidSample {
            path: sample.path.clone(),
            reason: if row.path.to_str().is_none() {
                "its path is not Unicode, which no manifest can contain: rename the file or its folder"
                    .to_owned()
            } else {
                error.to_string()
            },
        })?;
        writeln!(self.output, "{line}").map_err(DataError::io(&self.path))
    }

    /// Gives the manifest its name, after it has reached the disk.
    ///
    /// # Errors
    /// [`DataError::Io`].
    pub fn finish(self) -> Result<(), DataError> {
        let file = self.output.into_inner().map_err(|error| DataError::io(&self.path)(error.into_error()))?;
        file.finish().map_err(DataError::io(&self.path))
    }

    fn portable(&self, path: &Path) -> Result<PathBuf, DataError> {
        let full = absolute(path).map_err(DataError::io(path))?;
        let shown = full.strip_prefix(&self.folder).unwrap_or(&full);
        if cfg!(windows) {
            return Ok(shown.to_string_lossy().replace('\\', "/").into());
        }
        Ok(shown.to_path_buf())
    }
}

/// Writes `samples` as a manifest, replacing the file.
///
/// ```
/// use deeptell_data::{Label, Sample, read_manifest, write_manifest};
///
/// let folder = tempfile::tempdir()?;
/// let manifest = folder.path().join("set.jsonl");
/// let samples = [Sample::new(folder.path().join("crops/a.png"), Label::Real, "a")];
/// write_manifest(&manifest, &samples)?;
/// assert!(std::fs::read_to_string(&manifest)?.contains(r#""path":"crops/a.png""#));
/// assert_eq!(read_manifest(&manifest)?, samples);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// As [`ManifestWriter`].
pub fn write_manifest(path: impl AsRef<Path>, samples: &[Sample]) -> Result<(), DataError> {
    let mut writer = ManifestWriter::create(path)?;
    for sample in samples {
        writer.write(sample)?;
    }
    writer.finish()
}

#[cfg(test)]
mod tests {
    use deeptell_face::{Landmarks, Point, Rect};

    use super::*;
    use crate::{Label, Split};

    fn read(text: &str) -> Result<Vec<Sample>, DataError> {
        ManifestReader::new(text.as_bytes(), "set/m.jsonl")?.collect()
    }

    fn with_header(rows: &str) -> String {
        format!("{HEADER_LINE}\n{rows}")
    }

    fn full_sample(path: PathBuf) -> Sample {
        Sample {
            split: Some(Split::Validation),
            video: Some("v 1.mp4".into()),
            pts_seconds: Some(1.0 / 3.0),
            bbox: Some(Rect::new(0.1, -2.5, 30.0, 40.7)),
            landmarks: Some(Landmarks::from_points(
                [1.0, 2.0, 3.0, 4.0, 5.5].map(|v| Point::new(v, v * 0.1)),
            )),
            face_detector: Some("mtcnn".into()),
            method: Some("self-blend".into()),
            dataset: Some("sample".into()),
            identities: vec!["a".into(), "b".into()],
            extra: [("width".to_owned(), serde_json::json!(185))].into(),
            ..Sample::new(path, Label::Fake, "src \"1\"")
        }
    }

    #[test]
    fn a_written_manifest_is_read_back() {
        let folder = tempfile::tempdir().unwrap();
        let samples = [
            full_sample(folder.path().join("with space/ünï.png")),
            Sample::new("/elsewhere/b.mp4", Label::Real, "b"),
        ];
        let path = folder.path().join("m.jsonl");
        write_manifest(&path, &samples).unwrap();
        assert_eq!(read_manifest(&path).unwrap(), samples);
        assert!(std::fs::read_to_string(&path).unwrap().contains(r#""detector":"mtcnn""#));

        // The folder moves, and the relative path with it.
        let moved = tempfile::tempdir().unwrap();
        std::fs::copy(&path, moved.path().join("m.jsonl")).unwrap();
        let again = read_manifest(moved.path().join("m.jsonl")).unwrap();
        assert_eq!(again[0].path, moved.path().join("with space/ünï.png"));
        assert_eq!(again[1].path, Path::new("/elsewhere/b.mp4"));
    }

    #[test]
    fn rows_are_tolerant_of_blank_lines_line_ends_and_backslashes() {
        let rows =
            "\r\n{\"path\":\"real\\\\a.png\",\"label\":\"real\",\"source\":\"a\",\"split\":\"val\"}\r\n\n";
        let samples = read(&format!("\u{feff}{}", with_header(rows))).unwrap();
        assert_eq!(samples.len(), 1);
        assert_eq!(samples[0].path, Path::new("set/real/a.png"));
        assert_eq!(samples[0].split, Some(Split::Validation));
    }

    #[test]
    fn extra_values_are_kept_wherever_they_are_in_a_row() {
        for row in [
            r#"{"path":"a.png","label":"real","source":"a","extra":{"n":[1,{"x":"}"}],"s":"\"é"}}"#,
            r#"{"extra" : {"s":"\"é", "n":[1,{"x":"}"}] },"path":"a.png","label":"real","source":"a"}"#,
            r#"{"path":"a.png","label":"real","source":"a","\u0065xtra":{"n":[1,{"x":"}"}],"s":"\"é"}}"#,
        ] {
            let sample = read(&with_header(row)).unwrap().remove(0);
            assert_eq!(sample.extra.get("n").unwrap(), serde_json::json!([1, {"x": "}"}]));
            assert_eq!(sample.extra.get("s").unwrap(), "\"é");
            assert_eq!(sample.extra.values().len(), 2);
        }
        let nested = r#"{"path":"a.png","label":"real","source":"a","extra":{"extra":{"a":1}}}"#;
        let nested = read(&with_header(nested)).unwrap().remove(0);
        assert_eq!(nested.extra.get("extra").unwrap(), serde_json::json!({"a": 1}));
        let elsewhere = r#"{"path":"a.png","label":"real","source":"a","bbox":{"x1":0,"y1":0,"x2":1,"y2":1,"extra":{"a":1}}}"#;
        assert!(read(&with_header(elsewhere)).unwrap().remove(0).extra.is_empty());
        let none = read(&with_header(r#"{"path":"a.png","label":"real","source":"a","extra":{ }}"#)).unwrap();
        assert_eq!(none, [Sample::new("set/a.png", Label::Real, "a")]);
    }

    #[test]
    fn a_bad_row_is_an_error_with_its_line() {
        let good = r#"{"path":"a.png","label":"real","source":"a"}"#;
        let bad = [
            r#"{"path":"a.png","lable":"real","source":"a"}"#,
            r#"{"path":"a.png","label":"real"}"#,
            r#"{"path":"a.png","label":"real","source":""}"#,
            r#"{"path":"a.png","label":1,"source":"a"}"#,
            r#"{"path":"a.png","label":"real","source":"a","splt":"train"}"#,
            r#"{"path":"a.png","label":"real""#,
            r#"{"path":"a.png","label":"real","source":"a","extra":{"a":}}"#,
            r#"{"path":"a.png","label":"real","source":"a","extra":{"a":1},"splt":"train"}"#,
            r#"{"path":"a.png","label":"real","source":"a","extra":[]}"#,
            r#"{"path":"a.png","label":"real","source":"a","extra":{},"extra":{}}"#,
            r#"{"path":"a.png","label":"real","source":"a","bbox":{"x1":4,"y1":0,"x2":3,"y2":9}}"#,
        ];
        for row in bad {
            let text = with_header(&format!("{good}\n\n{row}\n{good}\n"));
            let rows: Vec<_> = ManifestReader::new(text.as_bytes(), "m.jsonl").unwrap().collect();
            assert_eq!(rows.len(), 3, "the rows around it are still read");
            assert!(matches!(rows[1], Err(DataError::Line { line: 4, .. })), "{row}: {:?}", rows[1]);
            assert!(rows[0].is_ok() && rows[2].is_ok());
        }
    }

    #[test]
    fn the_header_is_required_and_its_version_checked() {
        assert!(matches!(read(""), Err(DataError::NotAManifest { .. })));
        let row = r#"{"path":"a.png","label":"real","source":"a"}"#;
        assert!(matches!(read(row), Err(DataError::NotAManifest { .. })));
        let newer = HEADER_LINE.replace('1', "2");
        assert!(matches!(read(&newer), Err(DataError::ManifestVersion { version: 2, .. })));
        assert_eq!(read(HEADER_LINE).unwrap(), []);
        assert!(matches!(ManifestReader::open("no/such.jsonl"), Err(DataError::Io { .. })));
    }

    #[test]
    fn a_file_without_line_breaks_ends_with_an_error() {
        let text = with_header(&"x".repeat(3 << 20));
        let rows: Vec<_> = ManifestReader::new(text.as_bytes(), "m.jsonl").unwrap().collect();
        assert!(matches!(rows[..], [Err(DataError::Line { line: 2, .. })]));
    }

    #[test]
    fn the_same_face_twice_is_an_error_and_another_frame_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("m.jsonl");
        let row =
            |pts| Sample { pts_seconds: pts, ..Sample::new(folder.path().join("a.mp4"), Label::Real, "a") };
        write_manifest(&path, &[row(None), row(Some(1.0)), row(Some(2.0))]).unwrap();
        assert_eq!(read_manifest(&path).unwrap().len(), 3);
        write_manifest(&path, &[row(Some(1.0)), row(Some(2.0)), row(Some(1.0))]).unwrap();
        assert!(matches!(read_manifest(&path), Err(DataError::Duplicate { line: 4, .. })));
    }

    #[test]
    fn a_row_that_could_not_be_read_back_is_not_written() {
        let folder = tempfile::tempdir().unwrap();
        let broken = Sample { pts_seconds: Some(f64::INFINITY), ..Sample::new("a.png", Label::Real, "a") };
        let result = write_manifest(folder.path().join("m.jsonl"), &[broken]);
        assert!(matches!(result, Err(DataError::InvalidSample { .. })));
    }
}
