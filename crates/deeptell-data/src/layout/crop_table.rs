use std::fs::File;
use std::path::{Path, PathBuf};

use csv::StringRecord;

use super::{Layout, Listing, OnlyOnce, stem};
use crate::manifest::resolve;
use crate::{DataError, Label, Sample, Split};

/// The first table at the root that has the columns of one.
pub(super) fn table_of(root: &Path) -> Option<PathBuf> {
    ["index.csv", "metadata.csv"].into_iter().map(|name| root.join(name)).find(|path| {
        File::open(path).is_ok_and(|file| {
            let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::All).from_reader(file);
            reader.headers().is_ok_and(|header| Columns::find(header).is_ok())
        })
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
}

impl Columns {
    fn find(header: &StringRecord) -> Result<Self, String> {
        let find =
            |name: &str| header.iter().position(|column| column.trim_start_matches('\u{feff}') == name);
        let need = |name: &str| find(name).ok_or_else(|| format!("the table has no column `{name}`"));
        Ok(Self { file: need("file")?, split: need("split")?, label: need("label")?, source: find("source") })
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
    let file = File::open(table).map_err(DataError::io(table))?;
    let mut reader = csv::ReaderBuilder::new().trim(csv::Trim::All).from_reader(file);
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
    Ok(listing)
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
    let known = [Some(columns.file), Some(columns.split), Some(columns.label), columns.source];
    let extra = header
        .iter()
        .zip(record)
        .enumerate()
        .filter(|(column, (_, value))| !known.contains(&Some(*column)) && !value.is_empty())
        .map(|(_, (name, value))| {
            let number = value.parse::<serde_json::Number>().map(serde_json::Value::Number);
            (name.to_owned(), number.unwrap_or_else(|_| value.into()))
        })
        .collect();
    Ok(Sample { split: Some(split), extra, ..Sample::new(path, label, source) })
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
    fn rows_and_files_meet() {
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
    fn paths_from_the_root_other_separators_and_no_source() {
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
    fn the_table_may_lie_elsewhere() {
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
