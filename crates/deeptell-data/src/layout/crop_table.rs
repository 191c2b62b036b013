use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use csv::StringRecord;

use super::{Layout, Listing, OnlyOnce, stem};
use crate::manifest::resolve;
use crate::{DataError, Label, Sample, Split, open_table};

/// The first table at the root that has the columns of one.
pub(super) fn table_of(root: &Path) -> Option<PathBuf> {
    ["index.csv", "metadata.csv"].into_iter().map(|name| root.join(name)).find(|path| {
        open_table(path)
            .is_ok_and(|mut table| table.headers().is_ok_and(|header| Columns::find(header).is_ok()))
    })
}

pub(super) fn scan(root: &Path) -> Result<Listing, DataError> {
    let table = table_of(root).ok_or_else(|| DataError::LayoutMismatch {
        root: root.to_path_buf(),
        layout: Layout::CropTable,
        expected: "it has no `index.csv` or `metadata.csv` with the columns file, split and label",
    })?;
    scan_crop_table(&table, root)
}

/// Where the columns stand; others are extra.
struct Columns {
    file: usize,
    split: usize,
    label: usize,
    source: Option<usize>,
    video: Option<usize>,
    method: Option<usize>,
    frame: Option<usize>,
}

impl Columns {
    fn find(header: &StringRecord) -> Result<Self, String> {
        let find = |name: &str| header.iter().position(|column| column == name);
        let need = |name: &str| find(name).ok_or_else(|| format!("the table has no column `{name}`"));
        Ok(Self {
            file: need("file")?,
            split: need("split")?,
            label: need("label")?,
            source: find("source"),
            video: find("video"),
            method: find("method"),
            frame: find("frame"),
        })
    }
}

/// Reads a crop table whose files lie below another folder than the table.
///
/// See [`Layout::CropTable`] for the columns.
///
/// # Errors
/// [`DataError::Line`] for a row that cannot be understood, [`DataError::Duplicate`],
/// [`DataError::Metadata`] for a table without the columns, [`DataError::Io`].
pub fn scan_crop_table(table: impl AsRef<Path>, root: impl AsRef<Path>) -> Result<Listing, DataError> {
    let (table, root) = (table.as_ref(), root.as_ref());
    let mut reader = open_table(table)?;
    let header = reader.headers().map_err(|error| DataError::metadata(table, error.to_string()))?.clone();
    let columns = Columns::find(&header).map_err(|reason| DataError::metadata(table, reason))?;
    let mut once = OnlyOnce::new(table);
    let listed_in = table.to_path_buf();
    let mut listing = Listing::new(listed_in);
    for record in reader.records() {
        let record = record.map_err(|error| {
            let line = error.position().map_or(1, csv::Position::line);
            DataError::line(table, line, error.to_string())
        })?;
        let line = record.position().map_or(1, csv::Position::line);
        let sample = sample(root, &header, &columns, &record)
            .map_err(|reason| DataError::line(table, line, reason))?;
        once.admit(&sample.path, line)?;
        listing.listed += 1;
        if sample.path.is_file() {
            listing.samples.push(sample);
        } else {
            listing.missing.push(sample.path);
        }
    }
    tell_videos_apart(&mut listing.samples);
    Ok(listing)
}

/// Fakes often have the name of the video they were made from: a name that stands for several videos
/// gets their label and method before it.
fn tell_videos_apart(samples: &mut [Sample]) {
    let mut named: BTreeMap<String, BTreeSet<(Label, Option<String>)>> = BTreeMap::new();
    for sample in samples.iter() {
        if let Some(video) = &sample.video {
            named.entry(video.clone()).or_default().insert((sample.label, sample.method.clone()));
        }
    }
    named.retain(|_, kinds| kinds.len() > 1);
    for sample in samples {
        if let Some(video) = sample.video.as_mut().filter(|video| named.contains_key(*video)) {
            let method = sample.method.as_ref().map(|method| format!("{method}/")).unwrap_or_default();
            *video = format!("{}/{method}{video}", sample.label);
        }
    }
}

fn sample(
    root: &Path,
    header: &StringRecord,
    columns: &Columns,
    record: &StringRecord,
) -> Result<Sample, String> {
    let file = &record[columns.file];
    if file.is_empty() {
        return Err("`file` must not be empty".to_owned());
    }
    let label = record[columns.label].parse::<Label>()?;
    let split = record[columns.split].parse::<Split>()?;
    let in_folders = Path::new(&record[columns.split]).join(&record[columns.label]).join(file);
    let nested = resolve(root, &in_folders);
    let flat = resolve(root, Path::new(file));
    let path = if !nested.is_file() && flat.is_file() { flat } else { nested };
    let source = match columns.source {
        Some(column) if record[column].is_empty() => return Err("`source` must not be empty".to_owned()),
        Some(column) => record[column].to_owned(),
        None => stem(Path::new(&file.replace('\\', "/"))),
    };
    let value =
        |column: Option<usize>| column.map(|column| &record[column]).filter(|value| !value.is_empty());
    let frame = value(columns.frame).and_then(|frame| frame.parse::<u64>().ok());
    let known = [
        Some(columns.file),
        Some(columns.split),
        Some(columns.label),
        columns.source,
        columns.video,
        columns.method,
        columns.frame.filter(|_| frame.is_some()),
    ];
    let extra = header
        .iter()
        .zip(record)
        .enumerate()
        .filter(|(column, (_, value))| !known.contains(&Some(*column)) && !value.is_empty())
        .map(|(_, (name, value))| {
            let number = value.parse::<serde_json::Number>().map(serde_json::Value::Number);
            (name.to_owned(), number.unwrap_or_else(|_| value.into()))
        })
        .chain(frame.map(|frame| ("frame_index".to_owned(), frame.into())))
        .collect();
    Ok(Sample {
        split: Some(split),
        video: value(columns.video).map(str::to_owned),
        method: value(columns.method).map(str::to_owned),
        extra,
        ..Sample::new(path, label, source)
    })
}

#[cfg(test)]
mod tests {
    use super::super::testing::{find, read, tree, write};
    use super::super::{read_layout, scan_layout};
    use super::*;

    const TABLE: &str = "file,split,label,source,original_width\n\
        aa.jpg,train,real,aa.mp4,185\n\
        \"b b.jpg\",train,fake,aa.mp4,185\n\
        cc.jpg,val,real,cc.mp4,\n";

    #[test]
    fn rows_become_samples_with_their_columns() {
        let root = tree(&["train/real/aa.jpg", "train/fake/b b.jpg", "val/real/cc.jpg"]);
        write(root.path(), "index.csv", TABLE);
        let samples = read(&root, Layout::CropTable);
        assert_eq!(samples.len(), 3);
        let fake = find(&samples, &root, "train/fake/b b.jpg");
        assert_eq!(
            (fake.label, fake.split, fake.source.as_str()),
            (Label::Fake, Some(Split::Train), "aa.mp4")
        );
        assert_eq!(fake.extra.get("original_width").unwrap(), 185);
        let last = find(&samples, &root, "val/real/cc.jpg");
        assert_eq!(last.split, Some(Split::Validation));
        assert!(last.extra.is_empty());
    }

    #[test]
    fn backslashes_are_separators_and_the_source_is_optional() {
        let root = tree(&["crops/a.png", "crops/b.png"]);
        write(
            root.path(),
            "metadata.csv",
            "label,file,split\nreal,crops/a.png,train\nfake,crops\\b.png,test\n",
        );
        let samples = read(&root, Layout::CropTable);
        assert_eq!(find(&samples, &root, "crops/a.png").source, "a");
        assert_eq!(find(&samples, &root, "crops/b.png").source, "b");
    }

    #[test]
    fn rows_of_one_video_belong_together() {
        let root = tree(&["a0.png", "a1.png", "b0.png", "c0.png", "d0.png"]);
        write(
            root.path(),
            "index.csv",
            "file,split,label,source,video,method,frame\n\
             a0.png,train,real,s,v1.mp4,,0\n\
             a1.png,train,real,s,v1.mp4,,30\n\
             b0.png,train,fake,s,v1.mp4,FaceSwap,0\n\
             c0.png,train,fake,s,v2.mp4,FaceSwap,first\n\
             d0.png,train,fake,s,,,\n",
        );
        let samples = read(&root, Layout::CropTable);
        let of = |file| find(&samples, &root, file);
        assert_eq!(of("a0.png").video.as_deref(), Some("real/v1.mp4"));
        assert_eq!(of("a1.png").video.as_deref(), Some("real/v1.mp4"));
        assert_eq!(of("b0.png").video.as_deref(), Some("fake/FaceSwap/v1.mp4"));
        assert_eq!(of("b0.png").method.as_deref(), Some("FaceSwap"));
        assert_eq!(of("c0.png").video.as_deref(), Some("v2.mp4"));
        assert_eq!(of("a1.png").extra.get("frame_index").unwrap(), 30);
        assert_eq!(of("c0.png").extra.get("frame").unwrap(), "first");
        assert_eq!((&of("d0.png").video, &of("d0.png").method), (&None, &None));
        assert!(of("d0.png").extra.is_empty());
    }

    #[test]
    fn the_table_may_come_from_a_spreadsheet() {
        let root = tree(&["train/real/aa.jpg"]);
        let table = "\u{feff}file;split;label;source\r\naa.jpg;train;real;\"a;b\"\r\n";
        write(root.path(), "index.csv", table);
        assert_eq!(read(&root, Layout::CropTable)[0].source, "a;b");
        let wide: Vec<u8> = table.encode_utf16().flat_map(u16::to_le_bytes).collect();
        std::fs::write(root.path().join("index.csv"), wide).unwrap();
        assert_eq!(super::super::detect_layout(root.path()).unwrap(), Layout::CropTable);
        assert_eq!(read(&root, Layout::CropTable).len(), 1);
    }

    #[test]
    fn the_table_may_be_in_another_folder() {
        let root = tree(&["train/real/aa.jpg"]);
        let other = tree(&[]);
        write(other.path(), "t.csv", TABLE);
        let listing = scan_crop_table(other.path().join("t.csv"), root.path()).unwrap();
        assert_eq!((listing.samples.len(), listing.missing.len()), (1, 2));
        let error = listing.complete().unwrap_err();
        assert!(matches!(error, DataError::MissingFiles { listed: 3, .. }), "{error}");
    }

    #[test]
    fn faults_are_errors_with_their_line() {
        let root = tree(&["train/real/aa.jpg"]);
        let good = "aa.jpg,train,real,aa.mp4\n";
        let faults = [
            "aa.jpg,train,1,aa.mp4\n",
            "aa.jpg,dev,real,aa.mp4\n",
            ",train,real,x\n",
            "b.jpg,train,real,\n",
            "b.jpg\n",
        ];
        for fault in faults {
            write(root.path(), "index.csv", &format!("file,split,label,source\n{good}{fault}"));
            let error = scan_layout(root.path(), Layout::CropTable).unwrap_err();
            assert!(matches!(error, DataError::Line { line: 3, .. }), "{fault}: {error:?}");
        }
        write(root.path(), "index.csv", &format!("file,split,label,source\n{good}{good}"));
        let error = read_layout(root.path(), Layout::CropTable).unwrap_err();
        assert!(matches!(error, DataError::Duplicate { line: 3, .. }), "{error}");

        write(root.path(), "t.csv", "file,label\naa.jpg,real\n");
        let error = scan_crop_table(root.path().join("t.csv"), root.path()).unwrap_err();
        assert!(
            matches!(error, DataError::Metadata { .. }) && error.to_string().contains("split"),
            "{error}"
        );
    }
}
