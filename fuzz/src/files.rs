//! Files of data sets and extractions.

use std::cell::RefCell;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use deeptell_data::{
    DataError, Layout, ManifestReader, ShardIndex, ShardWriter, open_table, parse_number, scan_crop_table,
    scan_layout,
};
use deeptell_extract::{CropStorage, Settings, Store, StoreContext};
use deeptell_face::{Face, FaceDetector, FaceDetectorId, FaceError, RgbImage};
use deeptell_video::VideoReader;
use tempfile::TempDir;

/// Calls `look` with a folder that stays the same from call to call.
pub(crate) fn in_folder<T>(look: impl FnOnce(&Path) -> T) -> T {
    thread_local! {
        static FOLDER: RefCell<TempDir> = RefCell::new(tempfile::tempdir().expect("there is room for a folder"));
    }
    FOLDER.with_borrow(|folder| look(folder.path()))
}

pub(crate) fn write(folder: &Path, name: &str, bytes: &[u8]) -> PathBuf {
    let path = folder.join(name);
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent).expect("there is room for a folder");
    }
    fs::write(&path, bytes).expect("there is room for a file");
    path
}

/// Reads the bytes as a manifest to its end.
pub(crate) fn manifest(bytes: &[u8]) {
    let Ok(reader) = ManifestReader::new(bytes, "set/m.jsonl") else { return };
    let mut rows = 0;
    for row in reader {
        rows += 1;
        if let Ok(row) = row {
            // Values of `extra` are parsed only when asked for.
            let _ = row.extra.values();
            assert!(row.validate().is_ok(), "{row:?}");
        }
    }
    assert!(rows <= bytes.len());
}

/// Reads the bytes as a tar archive with all its members, and as one that is not finished.
pub(crate) fn shard(bytes: &[u8]) {
    let all = |path: &Path| -> Result<usize, DataError> {
        let index = ShardIndex::read(path)?;
        for name in index.names() {
            let is_inside =
                !name.is_empty() && !name.starts_with('/') && name.split('/').all(|part| part != "..");
            assert!(is_inside, "{name}");
            assert!(index.contents(name)?.len() <= bytes.len());
        }
        Ok(index.names().len())
    };
    in_folder(|folder| {
        let path = write(folder, "copy.tar", bytes);
        let members = all(&path);
        fs::write(ShardWriter::unfinished(&path), bytes).expect("there is room for a file");
        if let (Ok(members), Ok(whole)) = (members, ShardIndex::read_unfinished(&path)) {
            assert_eq!(whole.names().len(), members);
        }
    });
}

/// Reads the bytes as a table, and as one of crops.
pub(crate) fn table(bytes: &[u8]) {
    in_folder(|folder| {
        let path = write(folder, "table.csv", bytes);
        if let Ok(mut table) = open_table(&path) {
            for record in table.records().flatten() {
                let _: Vec<_> = record.iter().map(parse_number).collect();
            }
        }
        let _ = scan_crop_table(&path, folder);
    });
}

/// Reads the bytes as the list of each kind of data set, which the first of them chooses.
pub(crate) fn lists(bytes: &[u8]) {
    let Some((kind, bytes)) = bytes.split_first() else { return };
    let (layout, list, others): (Layout, &str, &[&str]) = match kind % 5 {
        0 => (Layout::Dfdc, "metadata.json", &["a.mp4", "b.mp4"]),
        1 => (Layout::DeepfakeBench, "Set.json", &["a.png", "b.png"]),
        2 => (
            Layout::FaceForensics,
            "splits/train.json",
            &[
                "original_sequences/youtube/c23/videos/000.mp4",
                "manipulated_sequences/FaceSwap/c23/videos/000_001.mp4",
            ],
        ),
        3 => (
            Layout::CelebDf,
            "List_of_testing_videos.txt",
            &["Celeb-real/id0_0000.mp4", "Celeb-synthesis/id0_id1_0000.mp4", "YouTube-real/00000.mp4"],
        ),
        _ => (Layout::Folders, "sources.csv", &["real/a.mp4", "fake/a.mp4"]),
    };
    in_folder(|folder| {
        let folder = folder.join(layout.to_string());
        if !folder.is_dir() {
            for other in others {
                write(&folder, other, b"");
            }
        }
        write(&folder, list, bytes);
        if let Ok(listing) = scan_layout(&folder, layout) {
            assert!(listing.samples.iter().all(|sample| !sample.path.as_os_str().is_empty()));
        }
    });
}

/// Finds nothing: the targets extract from nothing.
#[derive(Debug)]
struct Nobody;

impl FaceDetector for Nobody {
    fn id(&self) -> FaceDetectorId {
        FaceDetectorId::new("nobody")
    }

    fn detect(&self, images: &[&RgbImage]) -> Result<Vec<Vec<Face>>, FaceError> {
        Ok(images.iter().map(|_| Vec::new()).collect())
    }
}

/// Goes on with an extraction that left the bytes: as one of its parts, as an archive that was not
/// finished, or as its settings, which the first of them chooses.
pub(crate) fn extraction(bytes: &[u8]) {
    let Some((kind, bytes)) = bytes.split_first() else { return };
    let mut settings = Settings::default();
    (settings.frames, settings.min_face, settings.min_probability) = (4, 20.0, 0.5);
    settings.store = if kind & 1 == 0 { CropStorage::Files } else { CropStorage::Tar };
    let folder = tempfile::tempdir().expect("there is room for a folder");
    let (out, set) = (folder.path().join("out"), folder.path().join("set"));
    let name = match kind >> 1 & 3 {
        0 | 1 => "done/000000000000.jsonl",
        2 => "extract.toml",
        _ => "shards/crops-000000.tar.partial",
    };
    write(&out, name, bytes);
    let outside = write(folder.path(), "crops/real/mine.png", b"somebody's");
    let context = StoreContext::new(&Nobody, VideoReader::options()).tar_bytes(1 << 20);
    if let Ok(store) = Store::open(&out, &set, settings, context) {
        let _ = store.run(&[], &AtomicBool::new(false), |_| {});
    }
    assert!(outside.is_file(), "a file outside of the folder was removed");
}
