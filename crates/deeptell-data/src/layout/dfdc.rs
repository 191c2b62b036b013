use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::{Layout, Listing, folders_in, read_json};
use crate::{DataError, Label, Sample, Split};

const NAME: &str = "metadata.json";

/// One entry of `metadata.json`; the file name of the video is its key.
#[derive(Deserialize)]
struct Entry {
    label: String,
    split: Option<String>,
    original: Option<String>,
}

/// `metadata.json` at the root, or in the folders directly below it.
pub(super) fn metadata_files(root: &Path) -> Result<Vec<PathBuf>, DataError> {
    let own = root.join(NAME);
    if own.is_file() {
        return Ok(vec![own]);
    }
    Ok(folders_in(root)?.into_iter().map(|part| part.join(NAME)).filter(|path| path.is_file()).collect())
}

pub(super) fn scan(root: &Path) -> Result<Listing, DataError> {
    let files = metadata_files(root)?;
    if files.is_empty() {
        return Err(DataError::LayoutMismatch {
            root: root.to_path_buf(),
            layout: Layout::Dfdc,
            expected: "there is no `metadata.json` in it or in a folder directly below it",
        });
    }
    let listed_in = if let [only] = files.as_slice() { only.clone() } else { root.to_path_buf() };
    let mut listing = Listing::new(listed_in);
    for file in files {
        let Entries(entries) = read_json(&file)?;
        let folder = file.parent().unwrap_or(root);
        listing.listed += entries.len();
        for (name, entry) in entries {
            let path = folder.join(&name);
            let sample = sample(path, &name, &entry)
                .map_err(|reason| DataError::metadata(&file, format!("{name}: {reason}")))?;
            if sample.path.is_file() {
                listing.samples.push(sample);
            } else {
                listing.missing.push(sample.path);
            }
        }
    }
    Ok(listing)
}

fn sample(path: PathBuf, name: &str, entry: &Entry) -> Result<Sample, String> {
    let label = entry.label.parse::<Label>()?;
    let source = match (label, entry.original.as_deref().filter(|original| !original.is_empty())) {
        (Label::Real, _) => name,
        (Label::Fake, Some(original)) => original,
        (Label::Fake, None) => return Err("a fake must name its `original`".to_owned()),
    };
    let split = entry.split.as_deref().map(str::parse::<Split>).transpose()?;
    Ok(Sample {
        split,
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
    fn several_parts_are_one_data_set() {
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
