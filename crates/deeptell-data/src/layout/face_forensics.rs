use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use super::{Layout, Listing, Walk, folders_in, read_json, stem};
use crate::{DataError, Label, Sample, Split};

const FOLDERS: [(&str, Label); 2] =
    [("original_sequences", Label::Real), ("manipulated_sequences", Label::Fake)];
const SPLIT_FILES: [(&str, Split); 3] =
    [("train.json", Split::Train), ("val.json", Split::Validation), ("test.json", Split::Test)];
/// How strongly videos are compressed; other folders beside these hold no samples.
const COMPRESSIONS: [&str; 4] = ["raw", "c0", "c23", "c40"];
/// The part of the set made by Google with paid actors, with names of its own.
const ACTORS: [&str; 2] = ["actors", "DeepFakeDetection"];

pub(super) fn is_at(root: &Path) -> bool {
    FOLDERS.iter().any(|(name, _)| root.join(name).is_dir())
}

pub(super) fn scan(root: &Path) -> Result<Listing, DataError> {
    if !is_at(root) {
        return Err(DataError::LayoutMismatch {
            root: root.to_path_buf(),
            layout: Layout::FaceForensics,
            expected: "it has neither `original_sequences` nor `manipulated_sequences`",
        });
    }
    let (mut samples, mut walk) = (Vec::new(), Walk::default());
    for (folder, label) in FOLDERS.map(|(name, label)| (root.join(name), label)) {
        if !folder.is_dir() {
            continue;
        }
        for set in folders_in(&folder)? {
            for compression in folders_in(&set)? {
                if !COMPRESSIONS.contains(&name_of(&compression).as_str()) {
                    walk.left_out.push(compression);
                    continue;
                }
                for path in walk.media_below(&compression) {
                    samples.push(sample(path, &compression, &name_of(&set), label)?);
                }
            }
        }
    }
    let (splits, listed_in) = read_splits(root)?;
    let mut unseen: BTreeSet<&str> = splits.keys().map(String::as_str).collect();
    for sample in &mut samples {
        let video = sample.source.strip_prefix("ff++/").unwrap_or_default();
        if let Some(split) = splits.get(video) {
            sample.split = Some(*split);
            unseen.remove(video);
        }
    }
    let missing =
        unseen.iter().map(|id| root.join("original_sequences/youtube").join(format!("{id}.mp4"))).collect();
    let (listed_in, listed) = match listed_in {
        Some(folder) => (folder, splits.len()),
        None => (root.to_path_buf(), samples.len()),
    };
    Ok(walk.listing(listed_in, listed, samples, missing))
}

fn name_of(path: &Path) -> String {
    path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}

fn sample(path: PathBuf, compression: &Path, set: &str, label: Label) -> Result<Sample, DataError> {
    let level = name_of(compression);
    let inside: Vec<String> = path
        .strip_prefix(compression)
        .unwrap_or(&path)
        .iter()
        .map(|part| part.to_string_lossy().into_owned())
        .collect();
    // videos/NAME.mp4 or frames/NAME/0000.png
    let name = match inside.as_slice() {
        [_, name, _] => name.clone(),
        _ => stem(&path),
    };
    let (source, identities) = if ACTORS.contains(&set) { actors(&name, label) } else { pair(&name, label) }
        .ok_or_else(|| {
            let reason = format!("`{name}` is not a video name of FaceForensics++ {set}");
            DataError::InvalidSample { path: path.clone(), reason }
        })?;
    Ok(Sample {
        video: Some(format!("ff++/{set}/{level}/{name}")),
        method: label.is_fake().then(|| set.to_owned()),
        dataset: Some("FaceForensics++".to_owned()),
        identities,
        extra: [("compression".to_owned(), level.into())].into(),
        ..Sample::new(path, label, source)
    })
}

/// `071` is a video, `071_054` is video 071 with the face of video 054. One person per video.
pub(super) fn pair(name: &str, label: Label) -> Option<(String, Vec<String>)> {
    let ids: Vec<&str> = name.split('_').collect();
    let expected = if label.is_fake() { 2 } else { 1 };
    let known = ids.len() == expected && ids.iter().all(|id| !id.is_empty());
    known.then(|| (format!("ff++/{}", ids[0]), ids.iter().map(|id| format!("ff++/{id}")).collect()))
}

/// `01__walking` is actor 01, `01_02__walking__ABCDEFGH` is that scene with the face of actor 02.
pub(super) fn actors(name: &str, label: Label) -> Option<(String, Vec<String>)> {
    let mut parts = name.split("__");
    let (people, scene) = (parts.next()?, parts.next()?);
    let people: Vec<&str> = people.split('_').collect();
    let expected = if label.is_fake() { 2 } else { 1 };
    let known = people.len() == expected && people.iter().all(|person| !person.is_empty());
    known.then(|| {
        (format!("dfd/{}__{scene}", people[0]), people.iter().map(|person| format!("dfd/{person}")).collect())
    })
}

/// The split of every video named in the official lists of pairs, and where they were found.
fn read_splits(root: &Path) -> Result<(BTreeMap<String, Split>, Option<PathBuf>), DataError> {
    let mut splits = BTreeMap::new();
    let mut folder_found = None;
    for folder in [root.join("splits"), root.to_path_buf()] {
        for (name, split) in SPLIT_FILES {
            let path = folder.join(name);
            if !path.is_file() {
                continue;
            }
            for id in read_json::<Vec<[String; 2]>>(&path)?.into_iter().flatten() {
                if splits.get(&id).is_some_and(|other| *other != split) {
                    return Err(DataError::metadata(&path, format!("video {id} is in another split too")));
                }
                splits.insert(id, split);
            }
            folder_found = Some(folder.clone());
        }
        if folder_found.is_some() {
            break;
        }
    }
    Ok((splits, folder_found))
}

#[cfg(test)]
mod tests {
    use super::super::testing::{find, read, tree, write};
    use super::super::{read_layout, scan_layout};
    use super::*;
    use crate::audit;

    const FILES: [&str; 7] = [
        "original_sequences/youtube/c23/videos/071.mp4",
        "original_sequences/youtube/c23/videos/054.mp4",
        "original_sequences/actors/raw/videos/01__walking outside.mp4",
        "manipulated_sequences/Deepfakes/c23/videos/071_054.mp4",
        "manipulated_sequences/Deepfakes/c40/videos/071_054.mp4",
        "manipulated_sequences/FaceSwap/c23/frames/054_071/0003.png",
        "manipulated_sequences/DeepFakeDetection/raw/videos/01_02__walking outside__YVGY8LOK.mp4",
    ];

    #[test]
    fn paths_give_methods_compressions_sources_and_people() {
        let root = tree(&FILES);
        let samples = read(&root, Layout::FaceForensics);
        assert_eq!(samples.len(), FILES.len());
        let real = find(&samples, &root, FILES[0]);
        assert_eq!((real.label, real.source.as_str(), &real.method), (Label::Real, "ff++/071", &None));
        assert_eq!(real.identities, ["ff++/071"]);
        let fake = find(&samples, &root, FILES[4]);
        assert_eq!(
            (fake.label, fake.source.as_str(), fake.method.as_deref()),
            (Label::Fake, "ff++/071", Some("Deepfakes"))
        );
        assert_eq!(fake.identities, ["ff++/071", "ff++/054"]);
        assert_eq!(fake.extra.get("compression").unwrap(), "c40");
        let frame = find(&samples, &root, FILES[5]);
        assert_eq!(
            (frame.source.as_str(), frame.video.as_deref()),
            ("ff++/054", Some("ff++/FaceSwap/c23/054_071"))
        );
        let actor = find(&samples, &root, FILES[2]);
        let swapped = find(&samples, &root, FILES[6]);
        assert_eq!(actor.source, "dfd/01__walking outside");
        assert_eq!(swapped.source, actor.source);
        assert_eq!(swapped.identities, ["dfd/01", "dfd/02"]);
        assert!(samples.iter().all(|s| s.split.is_none()));
    }

    #[test]
    fn official_splits_apply_to_both_orders_of_a_pair() {
        for folder in ["", "splits/"] {
            let root = tree(&FILES);
            write(root.path(), &format!("{folder}train.json"), r#"[["071", "054"]]"#);
            write(root.path(), &format!("{folder}test.json"), "[]");
            let samples = read(&root, Layout::FaceForensics);
            assert_eq!(find(&samples, &root, FILES[3]).split, Some(Split::Train));
            assert_eq!(find(&samples, &root, FILES[5]).split, Some(Split::Train));
            assert_eq!(find(&samples, &root, FILES[6]).split, None);
            assert!(audit(&samples).is_clean());
        }
    }

    #[test]
    fn masks_and_models_are_not_fakes() {
        let companions = [
            "manipulated_sequences/Deepfakes/masks/videos/071_054.mp4",
            "manipulated_sequences/Deepfakes/models/071_054/preview.png",
            "manipulated_sequences/Deepfakes/c23/masks/071_054/0003.png",
            "original_sequences/youtube/landmarks/071/0003.png",
            "original_sequences/youtube/C23 copy/videos/071.mp4",
        ];
        let root = tree(&[&FILES[..], &companions].concat());
        let listing = scan_layout(root.path(), Layout::FaceForensics).unwrap();
        assert_eq!(listing.samples.len(), FILES.len());
        let folders = [
            "manipulated_sequences/Deepfakes/c23/masks",
            "manipulated_sequences/Deepfakes/masks",
            "manipulated_sequences/Deepfakes/models",
            "original_sequences/youtube/C23 copy",
            "original_sequences/youtube/landmarks",
        ];
        assert_eq!(listing.left_out, folders.map(|folder| root.path().join(folder)));
    }

    #[test]
    fn damaged_pair_lists_and_misnamed_videos_are_errors() {
        let root = tree(&FILES);
        write(root.path(), "train.json", r#"[["071", "054"]]"#);
        write(root.path(), "val.json", r#"[["071", "900"]]"#);
        assert!(matches!(read_layout(root.path(), Layout::FaceForensics), Err(DataError::Metadata { .. })));
        write(root.path(), "val.json", r#"[["900", "901"]]"#);
        assert_eq!(scan_layout(root.path(), Layout::FaceForensics).unwrap().missing.len(), 2);
        write(root.path(), "val.json", r#"{"071": "054"}"#);
        assert!(matches!(read_layout(root.path(), Layout::FaceForensics), Err(DataError::Metadata { .. })));

        let misnamed = tree(&["manipulated_sequences/Deepfakes/c23/videos/071.mp4"]);
        let error = read_layout(misnamed.path(), Layout::FaceForensics).unwrap_err();
        assert!(matches!(error, DataError::InvalidSample { .. }), "{error}");
    }
}
