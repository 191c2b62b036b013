use std::collections::HashMap;
use std::path::Path;

use super::{Layout, Listing, OnlyOnce, Walk, folders_in, is_companion, name_below, stem};
use crate::manifest::resolve;
use crate::{DataError, Label, Media, Sample, Split, open_table};

/// What the name of a folder says of the files in it; `None` when it says nothing, or both.
fn label_of(name: &str) -> Option<Label> {
    let name = name.to_lowercase();
    let words = || name.split(|c: char| !c.is_alphabetic());
    let denied = words().any(|word| matches!(word, "no" | "non" | "not" | "un"));
    let real = words().any(|word| {
        matches!(
            word,
            "real"
                | "reals"
                | "original"
                | "originals"
                | "pristine"
                | "pristines"
                | "authentic"
                | "authentics"
        )
    });
    let fake = ["fake", "synthe", "manipulat", "forge"].iter().any(|part| name.contains(part));
    match (real, fake) {
        _ if denied => None,
        (true, false) => Some(Label::Real),
        (false, true) => Some(Label::Fake),
        _ => None,
    }
}

/// What the name of a class folder says; a folder of masks is none.
fn class_of(name: &str) -> Option<Label> {
    label_of(name).filter(|_| !is_companion(name))
}

fn name_of(path: &Path) -> String {
    path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}

pub(super) fn is_at(root: &Path) -> Result<bool, DataError> {
    Ok(!class_folders(root, &mut Vec::new())?.is_empty())
}

struct ClassFolder {
    path: std::path::PathBuf,
    label: Label,
    split: Option<Split>,
}

/// Class folders at the root, and in folders there that are named after a split; those that hold masks of a class are
/// added to `left_out`.
fn class_folders(root: &Path, left_out: &mut Vec<std::path::PathBuf>) -> Result<Vec<ClassFolder>, DataError> {
    let mut found = Vec::new();
    let mut classify = |path: std::path::PathBuf, split: Option<Split>| {
        let name = name_of(&path);
        match class_of(&name) {
            Some(label) => found.push(ClassFolder { path, label, split }),
            None if label_of(&name).is_some() => left_out.push(path),
            None => {}
        }
    };
    for path in folders_in(root)? {
        if label_of(&name_of(&path)).is_none()
            && let Ok(split) = name_of(&path).parse::<Split>()
        {
            for path in folders_in(&path)? {
                classify(path, Some(split));
            }
        } else {
            classify(path, None);
        }
    }
    Ok(found)
}

pub(super) fn scan(root: &Path) -> Result<Listing, DataError> {
    let mut walk = Walk::default();
    let folders = class_folders(root, &mut walk.left_out)?;
    if folders.is_empty() {
        return Err(DataError::LayoutMismatch {
            root: root.to_path_buf(),
            layout: Layout::Folders,
            expected: "it has no folder whose name says real or fake",
        });
    }
    let table = root.join("sources.csv");
    let mut sources = if table.is_file() { read_sources(root, &table)? } else { HashMap::new() };
    let listed = sources.len();
    let mut samples = Vec::new();
    for folder in folders {
        for path in walk.media_below(&folder.path) {
            let inside = path.strip_prefix(&folder.path).unwrap_or(&path);
            let parent = inside.parent().unwrap_or(Path::new(""));
            if parent.iter().any(|name| label_of(&name.to_string_lossy()).is_some_and(|l| l != folder.label))
            {
                return Err(DataError::AmbiguousFolder { path });
            }
            let frames_of = (Media::of(&path) == Some(Media::Image) && !parent.as_os_str().is_empty())
                .then(|| name_below(&folder.path, &folder.path.join(parent)));
            let source = sources.remove(&path).unwrap_or_else(|| {
                frames_of
                    .clone()
                    .unwrap_or_else(|| name_below(&folder.path, &folder.path.join(parent).join(stem(&path))))
            });
            // Frames of one folder are one video; the same name in another class is another one.
            let video = frames_of.map(|name| name_below(root, &folder.path.join(name)));
            samples.push(Sample { split: folder.split, video, ..Sample::new(path, folder.label, source) });
        }
    }
    let mut missing: Vec<_> = sources.into_keys().filter(|path| !path.is_file()).collect();
    missing.sort();
    let (listed_in, listed) =
        if missing.is_empty() { (root.to_path_buf(), samples.len()) } else { (table, listed) };
    Ok(walk.listing(listed_in, listed, samples, missing))
}

/// `sources.csv`: the source of each file that has another than its name.
fn read_sources(root: &Path, table: &Path) -> Result<HashMap<std::path::PathBuf, String>, DataError> {
    #[derive(serde::Deserialize)]
    struct Row {
        file: std::path::PathBuf,
        source: String,
    }
    let mut reader = open_table(table)?;
    let mut once = OnlyOnce::new(table);
    let mut sources = HashMap::new();
    for (row, line) in reader.deserialize::<Row>().zip(2..) {
        let row = row.map_err(|error| DataError::line(table, line, error.to_string()))?;
        if row.source.is_empty() {
            return Err(DataError::line(table, line, "`source` must not be empty"));
        }
        let path = resolve(root, &row.file);
        once.admit(&path, line)?;
        sources.insert(path, row.source);
    }
    Ok(sources)
}

#[cfg(test)]
mod tests {
    use super::super::testing::{find, read, tree, write};
    use super::super::{read_layout, scan_layout};
    use super::*;

    #[test]
    fn names_of_folders_are_understood() {
        for name in [
            "real",
            "Real",
            "REAL_videos",
            "Celeb-real",
            "youtube real",
            "original",
            "originals",
            "training_real",
        ] {
            assert_eq!(label_of(name), Some(Label::Real), "{name}");
        }
        for name in [
            "fake",
            "Fakes",
            "DeepFakes",
            "Celeb-synthesis",
            "manipulated_sequences",
            "forged",
            "StyleGAN_synthetic",
        ] {
            assert_eq!(label_of(name), Some(Label::Fake), "{name}");
        }
        for name in ["unreal", "realms", "real_and_fake", "not_fake", "non-manipulated", "videos", ""] {
            assert_eq!(label_of(name), None, "{name}");
        }
    }

    #[test]
    fn equal_names_share_a_source_and_others_do_not() {
        let root = tree(&["real/a.mp4", "real/b c.MOV", "fake/a.mp4", "fake/z.mkv", "fake/readme.txt"]);
        let samples = read(&root, Layout::Folders);
        assert_eq!(samples.len(), 4);
        assert_eq!(find(&samples, &root, "real/a.mp4").source, "a");
        assert_eq!(find(&samples, &root, "fake/a.mp4").source, "a");
        assert_eq!(find(&samples, &root, "fake/a.mp4").label, Label::Fake);
        assert_eq!(find(&samples, &root, "real/b c.MOV").source, "b c");
        assert!(samples.iter().all(|s| s.split.is_none() && s.video.is_none()));
    }

    #[test]
    fn pictures_in_a_sub_folder_are_frames_of_one_video() {
        let root =
            tree(&["real/v1/0.png", "real/v1/1.png", "fake/v1/0.png", "real/loose.png", "real/clips/x.mp4"]);
        let samples = read(&root, Layout::Folders);
        let of = |file| find(&samples, &root, file);
        assert_eq!(of("real/v1/0.png").source, "v1");
        assert_eq!(of("real/v1/1.png").source, "v1");
        assert_eq!(of("fake/v1/0.png").source, "v1");
        assert_eq!(of("real/v1/0.png").video.as_deref(), Some("real/v1"));
        assert_eq!(of("fake/v1/0.png").video.as_deref(), Some("fake/v1"));
        assert_eq!(of("real/loose.png").source, "loose");
        assert_eq!(of("real/clips/x.mp4").source, "clips/x");
    }

    #[test]
    fn masks_are_neither_real_nor_fake() {
        let root = tree(&[
            "real/a.png",
            "fake/a.png",
            "fake/masks/a.png",
            "fake/v1/mask/0.png",
            "fake_masks/a.png",
            "test/fake mask/b.png",
            "models/a.png",
        ]);
        let listing = scan_layout(root.path(), Layout::Folders).unwrap();
        assert_eq!(listing.samples.len(), 2);
        let folders = ["fake/masks", "fake/v1/mask", "fake_masks", "test/fake mask"];
        assert_eq!(listing.left_out, folders.map(|folder| root.path().join(folder)));
    }

    #[test]
    fn splits_in_folders_are_kept() {
        let root = tree(&["train/real/a.png", "Valid/fake/b.png", "test/real/c.png"]);
        let samples = read(&root, Layout::Folders);
        assert_eq!(find(&samples, &root, "train/real/a.png").split, Some(Split::Train));
        assert_eq!(find(&samples, &root, "Valid/fake/b.png").split, Some(Split::Validation));
        assert_eq!(find(&samples, &root, "test/real/c.png").split, Some(Split::Test));
    }

    #[test]
    fn a_table_of_sources_overrides_names() {
        let root = tree(&["real/a_1.png", "real/a 2.png", "fake/x.png"]);
        write(root.path(), "sources.csv", "file,source\nreal/a_1.png,a\nreal\\a 2.png, a\nfake/x.png,a\n");
        assert!(read(&root, Layout::Folders).iter().all(|s| s.source == "a"));

        write(root.path(), "sources.csv", "file,source\nreal/gone.png,a\n");
        let listing = scan_layout(root.path(), Layout::Folders).unwrap();
        assert_eq!((listing.samples.len(), listing.missing.len()), (3, 1));
        assert!(matches!(read_layout(root.path(), Layout::Folders), Err(DataError::MissingFiles { .. })));

        write(root.path(), "sources.csv", "file,source\nfake/x.png,a\nfake/x.png,b\n");
        let error = read_layout(root.path(), Layout::Folders).unwrap_err();
        assert!(matches!(error, DataError::Duplicate { line: 3, .. }), "{error}");

        write(root.path(), "sources.csv", "file,sauce\nfake/x.png,a\n");
        let error = read_layout(root.path(), Layout::Folders).unwrap_err();
        assert!(
            matches!(error, DataError::Line { line: 2, .. }) && error.to_string().contains("source"),
            "{error}"
        );
    }

    #[test]
    fn a_table_of_sources_may_come_from_a_spreadsheet() {
        let root = tree(&["real/a_1.png", "fake/x;y.png"]);
        let table = "\u{feff}sep=;\r\nfile;source\r\nreal\\a_1.png;a\r\n\"fake/x;y.png\";a\r\n";
        write(root.path(), "sources.csv", table);
        assert!(read(&root, Layout::Folders).iter().all(|s| s.source == "a"));
        let wide: Vec<u8> = table.encode_utf16().flat_map(u16::to_le_bytes).collect();
        std::fs::write(root.path().join("sources.csv"), wide).unwrap();
        assert!(read(&root, Layout::Folders).iter().all(|s| s.source == "a"));
    }

    #[cfg(unix)]
    #[test]
    fn a_link_to_the_folder_of_both_classes_is_not_followed() {
        let root = tree(&["real/a.png", "fake/b.png"]);
        std::os::unix::fs::symlink("..", root.path().join("real/up")).unwrap();
        let found = scan_layout(root.path(), Layout::Folders).unwrap();
        assert_eq!(found.samples.len(), 2);
        assert_eq!(found.unreadable.len(), 1);
        assert!(found.unreadable[0].reason.contains("leads back to"), "{:?}", found.unreadable);
    }

    #[test]
    fn folders_that_contradict_each_other_are_an_error() {
        let root = tree(&["real/a.png", "fake/original/a.png"]);
        assert!(matches!(read_layout(root.path(), Layout::Folders), Err(DataError::AmbiguousFolder { .. })));
    }
}
