use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::{fs, io};

use serde::Deserialize;

use super::{Layout, Listing, folders_in, read_json};
use crate::{DataError, FolderContents, HiddenFiles, Label, Media, Sample, Split, Unreadable};

const NAME: &str = "metadata.json";

/// One entry of `metadata.json`; the file name of the video is its key.
#[derive(Deserialize)]
struct Entry {
    label: Option<String>,
    /// Stands in the test part in place of `label`.
    is_fake: Option<Flag>,
    split: Option<String>,
    original: Option<String>,
}

#[derive(Deserialize)]
#[serde(untagged, expecting = "`is_fake` must be 0, 1, true or false")]
enum Flag {
    Word(bool),
    Number(u8),
}

impl Flag {
    fn label(&self) -> Result<Label, String> {
        match self {
            Self::Word(true) | Self::Number(1) => Ok(Label::Fake),
            Self::Word(false) | Self::Number(0) => Ok(Label::Real),
            Self::Number(other) => Err(format!("`is_fake` is {other}; it must be 0 or 1")),
        }
    }
}

/// `metadata.json` at the root, or in the folders directly below it.
pub(super) fn metadata_files(root: &Path) -> Result<Vec<PathBuf>, DataError> {
    let own = root.join(NAME);
    if own.is_file() {
        return Ok(vec![own]);
    }
    Ok(folders_in(root)?.into_iter().map(|part| part.join(NAME)).filter(|path| path.is_file()).collect())
}

/// The lists, and the folders beside them whose videos no list names.
fn parts(root: &Path) -> Result<(Vec<PathBuf>, Vec<Unreadable>), DataError> {
    let own = root.join(NAME);
    if own.is_file() {
        return Ok((vec![own], Vec::new()));
    }
    let (mut lists, mut faults) = (Vec::new(), Vec::new());
    let mut entries = fs::read_dir(root)
        .and_then(|entries| {
            entries.map(|entry| entry.map(|entry| entry.path())).collect::<io::Result<Vec<_>>>()
        })
        .map_err(DataError::io(root))?;
    entries.sort();
    for part in entries {
        let list = part.join(NAME);
        match fs::metadata(&part)
            .and_then(|found| if found.is_dir() { fs::metadata(&list) } else { Ok(found) })
        {
            Ok(_) if list.is_file() => lists.push(list),
            Err(error) if error.kind() == io::ErrorKind::NotFound && part.is_dir() => {
                let contents = FolderContents::read(&part, HiddenFiles::Skip);
                if contents.media.iter().any(|path| Media::of(path) == Some(Media::Video)) {
                    let reason = format!("there is no `{NAME}` in it, so nothing says what its videos are");
                    faults.push(Unreadable { path: part, reason });
                }
            }
            Err(error) => faults.push(Unreadable { path: part, reason: error.to_string() }),
            Ok(_) => {}
        }
    }
    Ok((lists, faults))
}

pub(super) fn scan(root: &Path) -> Result<Listing, DataError> {
    let (files, faults) = parts(root)?;
    if files.is_empty() {
        return Err(DataError::LayoutMismatch {
            root: root.to_path_buf(),
            layout: Layout::Dfdc,
            expected: "there is no `metadata.json` in it or in a folder directly below it",
        });
    }
    let listed_in = if let [only] = files.as_slice() { only.clone() } else { root.to_path_buf() };
    let mut listing = Listing::new(listed_in);
    listing.unreadable = faults;
    let mut first_error = None;
    for file in files {
        let entries = match read_json(&file) {
            Ok(Entries(entries)) => entries,
            Err(error) => {
                listing.unreadable.push(Unreadable::new(&file, &error));
                first_error.get_or_insert(error);
                continue;
            }
        };
        let folder = file.parent().unwrap_or(root);
        listing.listed += entries.len();
        for (name, entry) in entries {
            let path = folder.join(&name);
            match sample(path.clone(), &name, &entry) {
                Ok(sample) if sample.path.is_file() => listing.samples.push(sample),
                Ok(sample) => listing.missing.push(sample.path),
                Err(reason) => {
                    let reason = format!("{NAME} beside it: {reason}");
                    first_error.get_or_insert(DataError::metadata(&file, format!("{name}: {reason}")));
                    listing.unreadable.push(Unreadable { path, reason });
                }
            }
        }
    }
    match first_error {
        // Nothing to continue with.
        Some(error) if listing.samples.is_empty() => Err(error),
        _ => Ok(listing),
    }
}

fn sample(path: PathBuf, name: &str, entry: &Entry) -> Result<Sample, String> {
    let label = match (&entry.label, &entry.is_fake) {
        (Some(label), None) => label.parse::<Label>()?,
        (None, Some(flag)) => flag.label()?,
        (None, None) => return Err("it has neither `label` nor `is_fake`".to_owned()),
        (Some(_), Some(_)) => return Err("it has both `label` and `is_fake`; keep one of them".to_owned()),
    };
    let original = entry.original.as_deref().filter(|original| !original.is_empty());
    let is_test = entry.is_fake.is_some();
    let source = match (label, original) {
        (Label::Fake, Some(original)) => original,
        (Label::Fake, None) if !is_test => return Err("a fake must name its `original`".to_owned()),
        _ => name,
    };
    let split = entry.split.as_deref().map(str::parse::<Split>).transpose()?;
    Ok(Sample {
        split: split.or(is_test.then_some(Split::Test)),
        video: Some(name.to_owned()),
        dataset: Some("DFDC".to_owned()),
        ..Sample::new(path, label, source)
    })
}

/// The object of `metadata.json`, in which a video must not occur twice: a plain map would
/// silently keep the last.
struct Entries(BTreeMap<String, Entry>);

impl<'de> Deserialize<'de> for Entries {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;

        impl<'de> serde::de::Visitor<'de> for Visitor {
            type Value = Entries;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object from file names to objects with `label`, `split` and `original`")
            }

            fn visit_map<A: serde::de::MapAccess<'de>>(self, mut map: A) -> Result<Entries, A::Error> {
                let mut entries = BTreeMap::new();
                while let Some((name, entry)) = map.next_entry::<String, Entry>()? {
                    if entries.contains_key(&name) {
                        return Err(serde::de::Error::custom(format!("{name} is listed a second time")));
                    }
                    entries.insert(name, entry);
                }
                Ok(Entries(entries))
            }
        }

        deserializer.deserialize_map(Visitor)
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{find, read, tree, write};
    use super::super::{read_layout, scan_layout};
    use super::*;

    const METADATA: &str = r#"{
        "a.mp4": {"label": "FAKE", "split": "train", "original": "b.mp4"},
        "b.mp4": {"label": "REAL", "split": "train"},
        "c d.mp4": {"label": "REAL", "split": "train", "original": null}
    }"#;

    #[test]
    fn fakes_belong_to_their_original() {
        let root = tree(&["dfdc_train_part_3/a.mp4", "dfdc_train_part_3/b.mp4", "dfdc_train_part_3/c d.mp4"]);
        write(root.path(), "dfdc_train_part_3/metadata.json", METADATA);
        let samples = read(&root, Layout::Dfdc);
        assert_eq!(samples.len(), 3);
        let fake = find(&samples, &root, "dfdc_train_part_3/a.mp4");
        assert_eq!(
            (fake.label, fake.source.as_str(), fake.split),
            (Label::Fake, "b.mp4", Some(Split::Train))
        );
        assert_eq!(find(&samples, &root, "dfdc_train_part_3/b.mp4").source, "b.mp4");
        assert_eq!(find(&samples, &root, "dfdc_train_part_3/c d.mp4").label, Label::Real);
    }

    #[test]
    fn several_parts_form_one_data_set() {
        let root = tree(&["p0/a.mp4", "p1/b.mp4"]);
        write(
            root.path(),
            "p0/metadata.json",
            r#"{"a.mp4": {"label": "FAKE", "split": "train", "original": "b.mp4"}}"#,
        );
        write(root.path(), "p1/metadata.json", r#"{"b.mp4": {"label": "REAL", "split": "train"}}"#);
        let samples = read(&root, Layout::Dfdc);
        assert_eq!(samples[0].source, samples[1].source);
    }

    #[test]
    fn labels_of_the_test_part_are_read() {
        let root = tree(&["a.mp4", "b.mp4", "c.mp4"]);
        let list = r#"{
            "a.mp4": {"augmentations": {}, "cluster": 3, "is_fake": 1},
            "b.mp4": {"is_fake": 0},
            "c.mp4": {"is_fake": false}
        }"#;
        write(root.path(), "metadata.json", list);
        let samples = read(&root, Layout::Dfdc);
        let a = find(&samples, &root, "a.mp4");
        assert_eq!((a.label, a.source.as_str(), a.split), (Label::Fake, "a.mp4", Some(Split::Test)));
        assert_eq!(find(&samples, &root, "b.mp4").label, Label::Real);
        assert_eq!(find(&samples, &root, "c.mp4").label, Label::Real);
    }

    #[test]
    fn invalid_flags_name_the_accepted_values() {
        let root = tree(&["a.mp4"]);
        write(root.path(), "metadata.json", r#"{"a.mp4": {"is_fake": "yes"}}"#);
        let Err(error) = scan_layout(root.path(), Layout::Dfdc) else { panic!("read") };
        let error = error.to_string();
        assert!(
            error.contains("`is_fake` must be 0, 1, true or false") && !error.contains("variant"),
            "{error}"
        );
    }

    #[test]
    fn parts_that_cannot_be_read_are_named_and_the_others_are_read() {
        let root = tree(&["p0/a.mp4", "p1/b.mp4", "p2/c.mp4", "p4/notes.txt", "p5/d.mp4", "p5/e.mp4"]);
        write(root.path(), "p0/metadata.json", r#"{"a.mp4": {"label": "REAL"}}"#);
        write(root.path(), "p1/metadata.json", r#"{"b.mp4": {"label": "RE"#);
        write(root.path(), "p5/metadata.json", r#"{"d.mp4": {"label": "REAL"}, "e.mp4": {"is_fake": 2}}"#);
        let mut faulty = vec!["p1/metadata.json", "p2", "p5/e.mp4"];
        #[cfg(unix)]
        {
            std::os::unix::fs::symlink("nowhere", root.path().join("p3")).unwrap();
            faulty.push("p3");
        }
        let listing = scan_layout(root.path(), Layout::Dfdc).unwrap();
        assert_eq!(listing.samples.len(), 2);
        let mut named: Vec<_> = listing.unreadable.iter().map(|unread| unread.path.clone()).collect();
        named.sort();
        faulty.sort_unstable();
        assert_eq!(named, faulty.iter().map(|name| root.path().join(name)).collect::<Vec<_>>());
        assert!(listing.complete().is_err());
    }

    #[test]
    fn missing_videos_are_counted() {
        let root = tree(&["b.mp4"]);
        write(root.path(), "metadata.json", METADATA);
        let listing = scan_layout(root.path(), Layout::Dfdc).unwrap();
        assert_eq!((listing.samples.len(), listing.missing.len()), (1, 2));
        let error = listing.complete().unwrap_err();
        assert!(matches!(error, DataError::MissingFiles { listed: 3, .. }), "{error}");
    }

    #[test]
    fn faults_in_the_metadata_are_errors() {
        let faults = [
            (r#"{"a.mp4": {"label": "FAKE", "split": "train"}}"#, "original"),
            (r#"{"a.mp4": {"label": "MAYBE"}}"#, "MAYBE"),
            (r#"{"a.mp4": {"lable": "REAL"}}"#, "label"),
            (r#"{"a.mp4": {"label": "REAL", "split": "somewhere"}}"#, "somewhere"),
            (r#"{"a.mp4": {"label": "REAL"}, "a.mp4": {"label": "FAKE", "original": "b"}}"#, "second time"),
            (r#"["a.mp4"]"#, "object"),
            ("{", "EOF"),
        ];
        for (text, word) in faults {
            let root = tree(&["a.mp4"]);
            write(root.path(), "metadata.json", text);
            let error = read_layout(root.path(), Layout::Dfdc).unwrap_err();
            assert!(
                matches!(error, DataError::Metadata { .. }) && error.to_string().contains(word),
                "{error}"
            );
        }
    }
}
