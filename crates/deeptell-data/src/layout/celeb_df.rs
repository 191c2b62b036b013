use std::collections::HashSet;
use std::path::{Path, PathBuf};

use super::{Layout, Listing, OnlyOnce, Walk, read_text, stem};
use crate::manifest::resolve;
use crate::{DataError, Label, Sample, Split};

const FOLDERS: [(&str, Label); 3] =
    [("Celeb-real", Label::Real), ("YouTube-real", Label::Real), ("Celeb-synthesis", Label::Fake)];
const TEST_LIST: &str = "List_of_testing_videos.txt";

pub(super) fn is_at(root: &Path) -> bool {
    ["Celeb-real", "Celeb-synthesis"].iter().any(|name| root.join(name).is_dir())
}

pub(super) fn scan(root: &Path) -> Result<Listing, DataError> {
    if !is_at(root) {
        return Err(DataError::LayoutMismatch {
            root: root.to_path_buf(),
            layout: Layout::CelebDf,
            expected: "it has neither `Celeb-real` nor `Celeb-synthesis`",
        });
    }
    let (mut samples, mut walk) = (Vec::new(), Walk::default());
    for (folder, label) in FOLDERS {
        for path in walk.media_below(&root.join(folder)) {
            samples.push(sample(path, folder, label));
        }
    }
    let list = root.join(TEST_LIST);
    if !list.is_file() {
        let listed = samples.len();
        return Ok(walk.listing(root.to_path_buf(), listed, samples, Vec::new()));
    }
    let tested = read_test_list(root, &list)?;
    let names: HashSet<&Path> = tested.iter().map(PathBuf::as_path).collect();
    for sample in &mut samples {
        let split = if names.contains(sample.path.as_path()) { Split::Test } else { Split::Train };
        sample.split = Some(split);
    }
    let missing = tested.iter().filter(|path| !path.is_file()).cloned().collect();
    Ok(walk.listing(list, tested.len(), samples, missing))
}

fn sample(path: PathBuf, folder: &str, label: Label) -> Sample {
    let name = stem(&path);
    let (source, identities) = people(&name, label);
    Sample {
        video: Some(format!("celeb-df/{folder}/{name}")),
        dataset: Some("Celeb-DF".to_owned()),
        identities,
        ..Sample::new(path, label, source)
    }
}

/// Source and people. `id1_0007` is person id1; `id1_id0_0007` is clip 7 of id1 with the face of
/// id0; `00170` says nothing.
pub(super) fn people(name: &str, label: Label) -> (String, Vec<String>) {
    let parts: Vec<&str> = name.split('_').collect();
    let is_person = |part: &str| part.strip_prefix("id").is_some_and(|n| n.parse::<u32>().is_ok());
    let (people, clip) = match (label, parts.as_slice()) {
        (Label::Real, [person, _]) if is_person(person) => (vec![*person], name.to_owned()),
        (Label::Fake, [target, donor, clip]) if is_person(target) && is_person(donor) => {
            (vec![*target, *donor], format!("{target}_{clip}"))
        }
        _ => (Vec::new(), name.to_owned()),
    };
    let identities = people.into_iter().map(|person| format!("celeb-df/{person}")).collect();
    (format!("celeb-df/{clip}"), identities)
}

/// Lines of a digit, 1 for real and 0 for fake, and a path below the root. No header.
fn read_test_list(root: &Path, list: &Path) -> Result<Vec<PathBuf>, DataError> {
    let text = read_text(list)?;
    let mut once = OnlyOnce::new(list);
    let mut paths = Vec::new();
    for (row, line) in text.trim_start_matches('\u{feff}').lines().map(str::trim).zip(1..) {
        if row.is_empty() {
            continue;
        }
        let (label, name) = match row.split_once(char::is_whitespace) {
            Some(("1", name)) => (Label::Real, name.trim()),
            Some(("0", name)) => (Label::Fake, name.trim()),
            _ => {
                let expected =
                    "expected `1 FOLDER/VIDEO` for a real video or `0 FOLDER/VIDEO` for a fake one";
                return Err(DataError::line(list, line, expected));
            }
        };
        let folder = name.split(['/', '\\']).next().unwrap_or_default();
        match FOLDERS.iter().find(|(known, _)| *known == folder) {
            Some((_, expected)) if *expected == label => {}
            Some((_, expected)) => {
                let reason =
                    format!("says {label}, but {folder} holds {expected} videos (1 means real here)");
                return Err(DataError::line(list, line, reason));
            }
            None => {
                let reason = format!("`{folder}` is not a folder of Celeb-DF");
                return Err(DataError::line(list, line, reason));
            }
        }
        let path = resolve(root, Path::new(name));
        once.admit(&path, line)?;
        paths.push(path);
    }
    Ok(paths)
}

#[cfg(test)]
mod tests {
    use super::super::testing::{find, read, tree, write};
    use super::super::{read_layout, scan_layout};
    use super::*;
    use crate::{CrossingKind, audit};

    const FILES: [&str; 5] = [
        "Celeb-real/id0_0001.mp4",
        "Celeb-real/id1_0007.mp4",
        "YouTube-real/00170.mp4",
        "Celeb-synthesis/id1_id0_0007.mp4",
        "Celeb-synthesis/id0_id1_0001.mp4",
    ];

    #[test]
    fn file_names_give_labels_sources_and_people() {
        let root = tree(&FILES);
        let samples = read(&root, Layout::CelebDf);
        assert_eq!(samples.len(), 5);
        let fake = find(&samples, &root, "Celeb-synthesis/id1_id0_0007.mp4");
        assert_eq!((fake.label, fake.source.as_str()), (Label::Fake, "celeb-df/id1_0007"));
        assert_eq!(fake.identities, ["celeb-df/id1", "celeb-df/id0"]);
        let real = find(&samples, &root, "Celeb-real/id1_0007.mp4");
        assert_eq!((real.label, &real.source), (Label::Real, &fake.source));
        assert_eq!(real.identities, ["celeb-df/id1"]);
        let tube = find(&samples, &root, "YouTube-real/00170.mp4");
        assert_eq!((tube.label, tube.source.as_str()), (Label::Real, "celeb-df/00170"));
        assert!(tube.identities.is_empty());
        assert!(samples.iter().all(|s| s.split.is_none()), "no list, no split");
    }

    #[test]
    fn the_list_has_no_header_and_1_means_real() {
        let root = tree(&FILES);
        let list = "1 YouTube-real/00170.mp4\r\n0 Celeb-synthesis\\id1_id0_0007.mp4\r\n\r\n";
        write(root.path(), TEST_LIST, list);
        let samples = read(&root, Layout::CelebDf);
        let split = |file| find(&samples, &root, file).split;
        assert_eq!(split("YouTube-real/00170.mp4"), Some(Split::Test));
        assert_eq!(split("Celeb-synthesis/id1_id0_0007.mp4"), Some(Split::Test));
        assert_eq!(split("Celeb-real/id1_0007.mp4"), Some(Split::Train));
        assert!(audit(&samples).count(CrossingKind::Identity) > 0, "the official split shares people");
    }

    #[test]
    fn faults_in_the_list_are_errors_with_their_line() {
        let good = "1 YouTube-real/00170.mp4";
        for bad in [
            "0 YouTube-real/00170.mp4",
            "YouTube-real/00170.mp4",
            "2 Celeb-real/id0_0001.mp4",
            "1 Other/a.mp4",
            "1",
        ] {
            let root = tree(&FILES);
            write(root.path(), TEST_LIST, &format!("1 Celeb-real/id0_0001.mp4\n{bad}\n"));
            let error = read_layout(root.path(), Layout::CelebDf).unwrap_err();
            assert!(matches!(error, DataError::Line { line: 2, .. }), "{bad}: {error}");
        }
        let root = tree(&FILES);
        write(root.path(), TEST_LIST, &format!("{good}\n{good}\n"));
        let error = read_layout(root.path(), Layout::CelebDf).unwrap_err();
        assert!(matches!(error, DataError::Duplicate { line: 2, .. }), "{error}");
    }

    #[test]
    fn missing_test_videos_are_counted_and_named() {
        let root = tree(&FILES);
        write(root.path(), TEST_LIST, "1 YouTube-real/00170.mp4\n1 YouTube-real/00999.mp4\n");
        let listing = scan_layout(root.path(), Layout::CelebDf).unwrap();
        assert_eq!(listing.missing, [root.path().join("YouTube-real/00999.mp4")]);
        let message = listing.complete().unwrap_err().to_string();
        assert!(message.contains("00999.mp4") && message.contains("1 of 2 files"), "{message}");
    }
}
