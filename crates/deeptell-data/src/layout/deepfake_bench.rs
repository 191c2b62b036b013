use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::{Layout, Listing, OnlyOnce, celeb_df, face_forensics, read_json};
use crate::manifest::resolve;
use crate::{DataError, Label, Sample, Split};

/// Where `DeepfakeBench` keeps its lists, below the root of the frames.
const FOLDER: &str = "dataset_json";

/// Data set, class, split, and then videos, or compressions that hold videos.
type List = BTreeMap<String, BTreeMap<String, BTreeMap<String, BTreeMap<String, Inner>>>>;

#[derive(Deserialize)]
#[serde(
    untagged,
    expecting = "expected a video, with `label` and `frames`, or a compression that holds videos"
)]
enum Inner {
    Video(Video),
    Compression(BTreeMap<String, Video>),
}

#[derive(Deserialize)]
struct Video {
    label: String,
    frames: Vec<String>,
}

/// The JSON files at the root and in `dataset_json` that look like lists.
pub(super) fn lists(root: &Path) -> Result<Vec<PathBuf>, DataError> {
    let mut found = Vec::new();
    for folder in [root.to_path_buf(), root.join(FOLDER)] {
        if !folder.is_dir() {
            continue;
        }
        for entry in fs::read_dir(&folder).map_err(DataError::io(&folder))? {
            let path = entry.map_err(DataError::io(&folder))?.path();
            if path.extension().is_some_and(|extension| extension == "json")
                && read_json::<List>(&path).is_ok()
            {
                found.push(path);
            }
        }
    }
    found.sort();
    Ok(found)
}

pub(super) fn scan(root: &Path) -> Result<Listing, DataError> {
    let lists = lists(root)?;
    if lists.is_empty() {
        return Err(DataError::LayoutMismatch {
            root: root.to_path_buf(),
            layout: Layout::DeepfakeBench,
            expected: "there is no list of DeepfakeBench (DATASET.json) in it or in `dataset_json` below it",
        });
    }
    let listed_in = if let [only] = lists.as_slice() { only.clone() } else { root.to_path_buf() };
    let mut listing = Listing::new(listed_in);
    for file in lists {
        let mut once = OnlyOnce::new(&file);
        for (dataset, classes) in read_json::<List>(&file)? {
            for (class, splits) in classes {
                for (split, inner) in splits {
                    let split =
                        split.parse::<Split>().map_err(|reason| DataError::metadata(&file, reason))?;
                    for (name, inner) in inner {
                        let videos = match inner {
                            Inner::Video(video) => vec![(None, name, video)],
                            Inner::Compression(videos) => videos
                                .into_iter()
                                .map(|(video, of)| (Some(name.clone()), video, of))
                                .collect(),
                        };
                        for (compression, name, video) in videos {
                            let listed =
                                ListedVideo { dataset: &dataset, class: &class, split, compression, name };
                            listed.list(root, &file, &video, &mut once, &mut listing)?;
                        }
                    }
                }
            }
        }
    }
    Ok(listing)
}

/// Where a video stands in a list.
struct ListedVideo<'a> {
    dataset: &'a str,
    class: &'a str,
    split: Split,
    compression: Option<String>,
    name: String,
}

impl ListedVideo<'_> {
    fn list(
        &self,
        root: &Path,
        file: &Path,
        video: &Video,
        once: &mut OnlyOnce,
        listing: &mut Listing,
    ) -> Result<(), DataError> {
        let fault = |reason: String| DataError::metadata(file, format!("{}: {reason}", self.name));
        let label = label_of(self.class).map_err(fault)?;
        if label_of(&video.label).map_err(fault)? != label {
            return Err(fault(format!("is listed under {} and labeled {}", self.class, video.label)));
        }
        let (source, identities) = self.people(label);
        for frame in &video.frames {
            let path = resolve(root, Path::new(frame));
            // There are no lines to name in JSON of one line.
            once.admit(&path, 0)?;
            listing.listed += 1;
            if !path.is_file() {
                listing.missing.push(path);
                continue;
            }
            let level =
                self.compression.iter().map(|level| ("compression".to_owned(), level.as_str().into()));
            listing.samples.push(Sample {
                split: Some(self.split),
                video: Some(format!("{}/{}/{}", self.dataset, self.class, self.name)),
                method: label.is_fake().then(|| self.class.to_owned()),
                dataset: Some(self.dataset.to_owned()),
                identities: identities.clone(),
                extra: level.collect(),
                ..Sample::new(path, label, source.clone())
            });
        }
        Ok(())
    }

    /// The source and the people, where the names of the data set say so; else each video is its own.
    fn people(&self, label: Label) -> (String, Vec<String>) {
        let known = if self.class.starts_with("FF-") {
            face_forensics::pair(&self.name, label)
        } else if self.class.starts_with("DFD_") {
            face_forensics::actors(&self.name, label)
        } else if self.class.starts_with("CelebDF") {
            Some(celeb_df::people(&self.name, label))
        } else {
            None
        };
        known.unwrap_or_else(|| (format!("{}/{}", self.dataset, self.name), Vec::new()))
    }
}

/// `FF-real` and `CelebDFv2_real` are real; `DFDC_Fake` and the methods of `FaceForensics++` are fake.
fn label_of(class: &str) -> Result<Label, String> {
    let lower = class.to_ascii_lowercase();
    if lower.contains("real") {
        return Ok(Label::Real);
    }
    let is_method = ["FF-DF", "FF-F2F", "FF-FS", "FF-NT", "FF-SH", "FF-FH"].contains(&class);
    if lower.contains("fake") || is_method {
        return Ok(Label::Fake);
    }
    Err(format!("class `{class}` says neither real nor fake"))
}

#[cfg(test)]
mod tests {
    use super::super::testing::{find, read, tree, write};
    use super::super::{detect_layout, read_layout, scan_layout};
    use super::*;

    const FILES: [&str; 4] = [
        "FaceForensics++/original_sequences/youtube/c23/frames/071/000.png",
        "FaceForensics++/manipulated_sequences/Deepfakes/c23/frames/071_054/000.png",
        "Celeb-DF-v2/Celeb-real/frames/id1_0007/012.png",
        "Celeb-DF-v2/Celeb-synthesis/frames/id1_id0_0007/012.png",
    ];

    fn bench() -> tempfile::TempDir {
        let root = tree(&FILES);
        // Backslashes, and compressions between split and video.
        write(
            root.path(),
            "dataset_json/FaceForensics++.json",
            r#"{"FaceForensics++": {
                "FF-real": {"train": {"c23": {"071": {"label": "FF-real", "frames":
                    ["FaceForensics++\\original_sequences\\youtube\\c23\\frames\\071\\000.png"]}}}},
                "FF-DF": {"train": {"c23": {"071_054": {"label": "FF-DF", "frames":
                    ["FaceForensics++\\manipulated_sequences\\Deepfakes\\c23\\frames\\071_054\\000.png"]}}}}}}"#,
        );
        write(
            root.path(),
            "dataset_json/Celeb-DF-v2.json",
            r#"{"Celeb-DF-v2": {
                "CelebDFv2_real": {"test": {"id1_0007": {"label": "CelebDFv2_real", "frames":
                    ["Celeb-DF-v2/Celeb-real/frames/id1_0007/012.png"]}}},
                "CelebDFv2_fake": {"test": {"id1_id0_0007": {"label": "CelebDFv2_fake", "frames":
                    ["Celeb-DF-v2/Celeb-synthesis/frames/id1_id0_0007/012.png"]}}}}}"#,
        );
        root
    }

    #[test]
    fn lists_with_and_without_compressions_are_read() {
        let root = bench();
        assert_eq!(detect_layout(root.path()).unwrap(), Layout::DeepfakeBench);
        let samples = read(&root, Layout::DeepfakeBench);
        assert_eq!(samples.len(), 4);
        let fake = find(&samples, &root, FILES[1]);
        assert_eq!(
            (fake.label, fake.split, fake.source.as_str()),
            (Label::Fake, Some(Split::Train), "ff++/071")
        );
        assert_eq!((fake.method.as_deref(), fake.identities.len()), (Some("FF-DF"), 2));
        assert_eq!(fake.extra.get("compression").unwrap(), "c23");
        assert_eq!(find(&samples, &root, FILES[0]).source, fake.source);
        let (real, fake) = (find(&samples, &root, FILES[2]), find(&samples, &root, FILES[3]));
        assert_eq!((real.label, real.split), (Label::Real, Some(Split::Test)));
        assert_eq!((&real.source, real.method.as_deref()), (&fake.source, None));
        assert!(fake.identities.contains(&real.identities[0]));
        assert_eq!(fake.video.as_deref(), Some("Celeb-DF-v2/CelebDFv2_fake/id1_id0_0007"));
    }

    #[test]
    fn incomplete_repeated_and_mislabeled_videos_are_reported() {
        let one = |class: &str, label: &str, frames: &str| {
            let root = tree(&["a/0.png"]);
            let list = format!(
                r#"{{"X": {{"{class}": {{"val": {{"v": {{"label": "{label}", "frames": {frames}}}}}}}}}}}"#
            );
            write(root.path(), "X.json", &list);
            (scan_layout(root.path(), Layout::DeepfakeBench), root)
        };
        let (listing, _root) = one("X_real", "X_real", r#"["a/0.png", "a/1.png"]"#);
        let listing = listing.unwrap();
        assert_eq!((listing.listed, listing.samples.len(), listing.missing.len()), (2, 1, 1));
        assert_eq!(
            (listing.samples[0].split, listing.samples[0].source.as_str()),
            (Some(Split::Validation), "X/v")
        );
        let (twice, _root) = one("X_real", "X_real", r#"["a/0.png", "a\\0.png"]"#);
        assert!(matches!(twice, Err(DataError::Duplicate { .. })));
        for (class, label, said) in
            [("X_real", "X_fake", "labeled X_fake"), ("X", "X", "neither real nor fake")]
        {
            let (refused, _root) = one(class, label, r#"["a/0.png"]"#);
            assert!(refused.unwrap_err().to_string().contains(said), "{class} {label}");
        }
        let none = tree(&["a.json"]);
        assert!(matches!(
            read_layout(none.path(), Layout::DeepfakeBench),
            Err(DataError::LayoutMismatch { .. })
        ));
    }
}
