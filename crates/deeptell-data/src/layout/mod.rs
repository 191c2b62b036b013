//! Layouts of public data sets.

mod celeb_df;
mod crop_table;
mod deepfake_bench;
mod dfdc;
mod face_forensics;
mod folders;

use std::collections::{BTreeSet, HashSet};
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use deeptell_files::{name_below, read_text_bounded, stem};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

pub use crop_table::scan_crop_table;

use crate::manifest::read_manifest;
use crate::{DataError, FolderContents, HiddenFiles, Sample};

/// The layout of a data set on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Layout {
    /// Folders whose names say real or fake, of videos or of pictures.
    ///
    /// A folder counts as real when a word of its name is `real`, `original`, `pristine` or
    /// `authentic` (or a plural), as fake when its name contains `fake`, `synthe`, `manipulat` or
    /// `forge`; words are separated by anything but letters. It may lie in a folder named after
    /// a split (`train/real`, `val/fake`), and that split is kept.
    ///
    /// Sources: a file is its own source, named by its path below the class folder without the
    /// extension, so that `real/x.mp4` and `fake/x.mp4` share one. Pictures in a sub-folder are
    /// taken for frames of one recording, named by that sub-folder. File names are not guessed
    /// at: where several files of one folder come from one recording (`x_01.png`, `x_02.png`,
    /// or a fake with another name than its original), say so in a `sources.csv` at the
    /// root, with the columns `file` (path below the root) and `source`.
    Folders,
    /// Celeb-DF v1 and v2 (Li et al., CVPR 2020): `Celeb-real`, `YouTube-real`,
    /// `Celeb-synthesis` and `List_of_testing_videos.txt`.
    ///
    /// The list has no header and writes 1 for real. Listed videos are the official test split
    /// and all others train; without the list nothing is assigned. The people of `id1_id0_0007`
    /// are id1 (filmed) and id0 (the face put on), its source is `id1_0007`. The official test
    /// split shares people with the rest, as an [audit](crate::audit()) will say.
    CelebDf,
    /// `FaceForensics++` (Rössler et al., ICCV 2019) with `DeepFakeDetection`:
    /// `original_sequences/SET/COMPRESSION/videos/NNN.mp4`,
    /// `manipulated_sequences/METHOD/COMPRESSION/videos/TTT_SSS.mp4`, and optionally the official
    /// `train.json`, `val.json` and `test.json` at the root or in `splits`.
    ///
    /// COMPRESSION is `raw`, `c0`, `c23` or `c40`; other folders beside them, such as `masks` and `models`, are
    /// left out. Frames in `frames/NAME/` or `images/NAME/` are read too. Source is the target video; the
    /// people are the two videos of the pair (or the two actors of `DeepFakeDetection`). The
    /// compression is in `extra`.
    FaceForensics,
    /// Deepfake Detection Challenge (Dolhansky et al. 2020): `metadata.json` beside the videos, at
    /// the root or in folders below it.
    ///
    /// Source is the video itself, or `original` for a fake. Its `split` is kept. The test part says
    /// `is_fake` instead of `label` and names no originals: each of its videos is its own source, in
    /// the test split. Parts without a list that can be read are reported, and the others are read.
    Dfdc,
    /// `DeepfakeBench` (Yan et al., `NeurIPS` 2023): lists `DATASET.json`, at the root or in
    /// `dataset_json`, that nest data set, class, split, optionally compression, and video, each
    /// with its label and its frames as paths below the root.
    ///
    /// Sources and people are those of the data set's own names for `FaceForensics++`,
    /// `DeepFakeDetection` and Celeb-DF; elsewhere each video is its own source. The class of a fake
    /// is its method.
    DeepfakeBench,
    /// Crops with a table `index.csv` or `metadata.csv`: columns `file`, `split`, `label` and
    /// optionally `source`, `video`, `method` and `frame`, any others kept in `extra`; the files at
    /// `SPLIT/LABEL/FILE`, or at `FILE` below the root.
    ///
    /// Without a `source` each file is its own. Rows with one `video` are frames of that video; a
    /// name that videos of several labels or methods have gets both before it. A number in `frame`
    /// becomes `frame_index` in `extra`.
    CropTable,
}

impl fmt::Display for Layout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Folders => "real and fake folders",
            Self::CelebDf => "Celeb-DF",
            Self::FaceForensics => "FaceForensics++",
            Self::Dfdc => "DFDC",
            Self::DeepfakeBench => "DeepfakeBench",
            Self::CropTable => "crop table",
        })
    }
}

/// The samples of a data set, and listed files that are missing.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Listing {
    /// The file that names the files, or the root of the data set.
    pub listed_in: PathBuf,
    /// How many files it names; where nothing is listed, how many there are.
    pub listed: usize,
    /// The samples whose files exist, in the order of the list or of their paths.
    pub samples: Vec<Sample>,
    /// Files that a list names and that do not exist.
    pub missing: Vec<PathBuf>,
    /// Folders that come with the data set and hold no samples, such as masks, sorted.
    pub left_out: Vec<PathBuf>,
    /// Files in the folders of its samples that are neither videos nor pictures of a kind that is read.
    pub other_kinds: Vec<PathBuf>,
    /// What could not be read, such as links that lead nowhere.
    pub unreadable: Vec<Unreadable>,
}

/// A file or folder of a data set that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Unreadable {
    /// The file or folder.
    pub path: PathBuf,
    /// Why.
    pub reason: String,
}

impl Unreadable {
    /// For `error` met while `path` was read.
    pub fn new(path: &Path, error: &DataError) -> Self {
        let reason = match error {
            DataError::Io { source, .. } => source.to_string(),
            DataError::Picture { source, .. } => source.to_string(),
            other => other.to_string(),
        };
        Self { path: path.to_path_buf(), reason }
    }
}

impl Listing {
    fn new(listed_in: PathBuf) -> Self {
        Self {
            listed_in,
            listed: 0,
            samples: Vec::new(),
            missing: Vec::new(),
            left_out: Vec::new(),
            other_kinds: Vec::new(),
            unreadable: Vec::new(),
        }
    }

    /// Moves samples whose names below `root` are not Unicode to what cannot be read: no manifest can contain them,
    /// and names that are changed to fit may be those of other files.
    fn leave_out_unwritable(&mut self, root: &Path) {
        let is_writable = |path: &Path| path.strip_prefix(root).unwrap_or(path).to_str().is_some();
        for sample in self.samples.extract_if(.., |sample| !is_writable(&sample.path)) {
            let reason = "its name is not Unicode, which no manifest can contain: rename it".to_owned();
            self.unreadable.push(Unreadable { path: sample.path, reason });
        }
    }

    /// The samples, if no file is missing and everything could be read.
    ///
    /// # Errors
    /// [`DataError::Unreadable`], [`DataError::MissingFiles`].
    pub fn complete(self) -> Result<Vec<Sample>, DataError> {
        if let Some(first) = self.unreadable.first() {
            let (first, count) = (first.clone(), self.unreadable.len());
            return Err(DataError::Unreadable { first, count });
        }
        if self.missing.is_empty() {
            return Ok(self.samples);
        }
        Err(DataError::MissingFiles { listing: self.listed_in, listed: self.listed, missing: self.missing })
    }
}

type Check = fn(&Path) -> Result<bool, DataError>;

/// Detects the layout of a folder from its contents.
///
/// # Errors
/// [`DataError::UnknownLayout`]; [`DataError::Io`] when there is no such folder.
pub fn detect_layout(root: impl AsRef<Path>) -> Result<Layout, DataError> {
    let root = root.as_ref();
    fs::read_dir(root).map_err(DataError::io(root))?;
    let checks: [(Layout, Check); 6] = [
        (Layout::CropTable, |root| Ok(crop_table::table_of(root).is_some())),
        (Layout::DeepfakeBench, |root| Ok(!deepfake_bench::lists(root)?.is_empty())),
        (Layout::CelebDf, |root| Ok(celeb_df::is_at(root))),
        (Layout::FaceForensics, |root| Ok(face_forensics::is_at(root))),
        (Layout::Dfdc, |root| Ok(!dfdc::metadata_files(root)?.is_empty())),
        (Layout::Folders, folders::is_at),
    ];
    for (layout, is_at) in checks {
        if is_at(root)? {
            return Ok(layout);
        }
    }
    Err(DataError::UnknownLayout { root: root.to_path_buf() })
}

/// Reads a data set, which must be complete.
///
/// ```
/// use deeptell_data::{Label, Layout, detect_layout, read_layout};
///
/// let root = tempfile::tempdir()?;
/// for file in ["real/anna.mp4", "fake/anna.mp4"] {
///     let path = root.path().join(file);
///     std::fs::create_dir_all(path.parent().unwrap())?;
///     std::fs::write(path, "")?;
/// }
/// assert_eq!(detect_layout(&root)?, Layout::Folders);
/// let samples = read_layout(&root, Layout::Folders)?;
/// assert_eq!(samples[0].label, Label::Fake);
/// assert_eq!(samples[0].source, samples[1].source);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// As [`scan_layout`]; [`DataError::MissingFiles`] when a list names files that are not there.
pub fn read_layout(root: impl AsRef<Path>, layout: Layout) -> Result<Vec<Sample>, DataError> {
    scan_layout(root, layout)?.complete()
}

/// Reads a data set and reports missing files, and those whose names are not Unicode, which no manifest can contain.
///
/// # Errors
/// [`DataError::LayoutMismatch`] when the folder has another layout, [`DataError::Empty`] when
/// nothing belongs to the data set, [`DataError::Line`], [`DataError::Metadata`] and
/// [`DataError::Duplicate`] for faults in its lists, [`DataError::AmbiguousFolder`],
/// [`DataError::Io`].
pub fn scan_layout(root: impl AsRef<Path>, layout: Layout) -> Result<Listing, DataError> {
    let root = root.as_ref();
    fs::read_dir(root).map_err(DataError::io(root))?;
    let mut listing = match layout {
        Layout::Folders => folders::scan(root),
        Layout::CelebDf => celeb_df::scan(root),
        Layout::FaceForensics => face_forensics::scan(root),
        Layout::Dfdc => dfdc::scan(root),
        Layout::DeepfakeBench => deepfake_bench::scan(root),
        Layout::CropTable => crop_table::scan(root),
    }?;
    listing.leave_out_unwritable(root);
    if listing.samples.is_empty() && listing.missing.is_empty() {
        listing.complete()?;
        return Err(DataError::Empty { root: root.to_path_buf() });
    }
    Ok(listing)
}

/// Reads a manifest, or a folder in any known layout, which must be complete.
///
/// # Errors
/// As [`read_manifest`], [`detect_layout`] and [`read_layout`].
pub fn read_dataset(path: impl AsRef<Path>) -> Result<Vec<Sample>, DataError> {
    scan_dataset(path)?.complete()
}

/// Reads a manifest, or a folder in any known layout, and reports missing files.
///
/// Whether the files of a manifest exist is not checked.
///
/// # Errors
/// As [`read_manifest`], [`detect_layout`] and [`scan_layout`].
pub fn scan_dataset(path: impl AsRef<Path>) -> Result<Listing, DataError> {
    let path = path.as_ref();
    if path.is_dir() {
        return scan_layout(path, detect_layout(path)?);
    }
    let samples = read_manifest(path)?;
    let (listed_in, listed) = (path.to_path_buf(), samples.len());
    Ok(Listing { listed, samples, ..Listing::new(listed_in) })
}

/// Whether the name of a folder says that it holds no samples but what public sets bring with
/// them: masks of the manipulated region, landmarks, weights.
fn is_companion(name: &str) -> bool {
    let name = name.to_lowercase();
    let mut words = name.split(|c: char| !c.is_alphanumeric());
    name == "models" || words.any(|word| matches!(word, "mask" | "masks" | "landmark" | "landmarks"))
}

/// A walk through the folders of a data set, and what it meets besides samples.
#[derive(Debug, Default)]
struct Walk {
    left_out: Vec<PathBuf>,
    other_kinds: Vec<PathBuf>,
    unreadable: Vec<Unreadable>,
}

impl Walk {
    /// All videos and pictures below a folder, sorted. Links are followed; hidden files and folders of
    /// masks are skipped. A missing folder has none.
    fn media_below(&mut self, folder: &Path) -> Vec<PathBuf> {
        if !folder.is_dir() {
            return Vec::new();
        }
        let contents = FolderContents::read_where(folder, HiddenFiles::Skip, |name| !is_companion(name));
        self.left_out.extend(contents.unwanted);
        self.other_kinds.extend(contents.left_out);
        self.unreadable.extend(contents.unreadable);
        contents.media
    }

    /// What was found, in a listing.
    fn listing(
        self,
        listed_in: PathBuf,
        listed: usize,
        samples: Vec<Sample>,
        missing: Vec<PathBuf>,
    ) -> Listing {
        let Self { mut left_out, other_kinds, unreadable } = self;
        left_out.sort();
        Listing { listed_in, listed, samples, missing, left_out, other_kinds, unreadable }
    }
}

/// Sorted folders directly below `folder`.
fn folders_in(folder: &Path) -> Result<Vec<PathBuf>, DataError> {
    let mut found = BTreeSet::new();
    for entry in fs::read_dir(folder).map_err(DataError::io(folder))? {
        let path = entry.map_err(DataError::io(folder))?.path();
        if path.is_dir() {
            found.insert(path);
        }
    }
    Ok(found.into_iter().collect())
}

/// The largest list of files or metadata of a data set, in bytes.
const MAX_LIST_BYTES: u64 = 1 << 28;

fn read_text(path: &Path) -> Result<String, DataError> {
    read_text_bounded(path, MAX_LIST_BYTES).map_err(DataError::io(path))
}

fn read_json<T: DeserializeOwned>(path: &Path) -> Result<T, DataError> {
    let text = read_text(path)?;
    serde_json::from_str(text.trim_start_matches('\u{feff}'))
        .map_err(|error| DataError::metadata(path, error.to_string()))
}

/// Refuses a second mention of a file in a list.
struct OnlyOnce<'a> {
    listing: &'a Path,
    seen: HashSet<PathBuf>,
}

impl<'a> OnlyOnce<'a> {
    fn new(listing: &'a Path) -> Self {
        Self { listing, seen: HashSet::new() }
    }

    fn admit(&mut self, path: &Path, line: u64) -> Result<(), DataError> {
        if self.seen.insert(path.to_path_buf()) {
            return Ok(());
        }
        Err(DataError::Duplicate { listing: self.listing.to_path_buf(), line, path: path.to_path_buf() })
    }
}

#[cfg(test)]
mod testing {
    use std::fs;
    use std::path::Path;

    use tempfile::TempDir;

    use super::{Layout, read_layout};
    use crate::Sample;

    /// A folder with these files, each holding its own name.
    pub(super) fn tree(files: &[&str]) -> TempDir {
        let root = tempfile::tempdir().unwrap();
        for file in files {
            write(root.path(), file, file);
        }
        root
    }

    pub(super) fn write(root: &Path, file: &str, text: &str) {
        let path = root.join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    /// The sample of a file, which must be there once.
    pub(super) fn find<'a>(samples: &'a [Sample], root: &TempDir, file: &str) -> &'a Sample {
        let found: Vec<_> = samples.iter().filter(|s| s.path == root.path().join(file)).collect();
        assert_eq!(found.len(), 1, "{file} among {:?}", samples.iter().map(|s| &s.path).collect::<Vec<_>>());
        found[0]
    }

    pub(super) fn read(root: &TempDir, layout: Layout) -> Vec<Sample> {
        read_layout(root.path(), layout).unwrap()
    }
}

#[cfg(test)]
mod tests {
    use super::testing::{tree, write};
    use super::*;
    use crate::{Label, write_manifest};

    #[test]
    fn each_layout_is_recognized() {
        let cases: [(&[&str], Layout); 6] = [
            (&["real/a.mp4", "fake/b.mp4"], Layout::Folders),
            (&["train/real/a.png", "train/fake/a.png"], Layout::Folders),
            (&["Celeb-real/id0_0000.mp4", "Celeb-synthesis/id0_id1_0000.mp4"], Layout::CelebDf),
            (&["original_sequences/youtube/c23/videos/000.mp4"], Layout::FaceForensics),
            (&["metadata.json", "a.mp4"], Layout::Dfdc),
            (&["dfdc_train_part_0/metadata.json", "dfdc_train_part_0/a.mp4"], Layout::Dfdc),
        ];
        for (files, layout) in cases {
            assert_eq!(detect_layout(tree(files).path()).unwrap(), layout, "{files:?}");
        }
        let table = tree(&["train/real/a.jpg"]);
        write(table.path(), "index.csv", "file,split,label\na.jpg,train,real\n");
        assert_eq!(detect_layout(table.path()).unwrap(), Layout::CropTable);
    }

    #[test]
    fn a_table_about_something_else_does_not_mislead() {
        let root = tree(&["real/a.mp4", "fake/a.mp4"]);
        write(root.path(), "metadata.csv", "id,age\n1,30\n");
        assert_eq!(detect_layout(root.path()).unwrap(), Layout::Folders);
    }

    #[test]
    fn a_folder_without_a_known_layout_is_refused() {
        let root = tree(&["holiday/beach.mp4"]);
        assert!(matches!(detect_layout(root.path()), Err(DataError::UnknownLayout { .. })));
        assert!(matches!(detect_layout(root.path().join("none")), Err(DataError::Io { .. })));
        for layout in
            [Layout::Folders, Layout::CelebDf, Layout::FaceForensics, Layout::Dfdc, Layout::CropTable]
        {
            let error = scan_layout(root.path(), layout).unwrap_err();
            assert!(matches!(error, DataError::LayoutMismatch { .. }), "{layout}: {error}");
        }
        let empty = tree(&["real/notes.txt", "fake/notes.txt"]);
        assert!(matches!(scan_layout(empty.path(), Layout::Folders), Err(DataError::Empty { .. })));
    }

    #[cfg(unix)]
    #[test]
    fn a_bad_link_is_named_and_the_rest_is_listed() {
        let root = tree(&["real/a.mp4", "fake/a.mp4"]);
        let link = |target: &str, name: &str| {
            std::os::unix::fs::symlink(target, root.path().join(name)).unwrap();
            root.path().join(name)
        };
        let links = [link("no/such.mp4", "fake/b.mp4"), link("../fake", "fake/loop")];
        let listing = scan_dataset(root.path()).unwrap();
        assert_eq!(listing.samples.len(), 2);
        let mut named: Vec<_> = listing.unreadable.iter().map(|unread| unread.path.clone()).collect();
        named.sort();
        assert_eq!(named, links);
        let error = read_dataset(root.path()).unwrap_err().to_string();
        assert!(error.contains("b.mp4") && error.contains("2 files or folders"), "{error}");
    }

    #[cfg(unix)]
    #[test]
    fn a_name_that_is_not_unicode_is_reported_and_the_rest_is_listed() {
        use std::ffi::OsStr;
        use std::os::unix::ffi::OsStrExt as _;
        let root = tree(&["real/a.mp4", "fake/a.mp4"]);
        // Both would be `caf?.mp4` if their names were changed to fit.
        let odd = [&b"fake/caf\xe9.mp4"[..], b"fake/caf\xe8.mp4"].map(|name| {
            let path = root.path().join(OsStr::from_bytes(name));
            fs::write(&path, "").unwrap();
            path
        });
        let listing = scan_dataset(root.path()).unwrap();
        assert_eq!(listing.samples.len(), 2);
        let mut named: Vec<_> = listing.unreadable.iter().map(|unread| unread.path.clone()).collect();
        named.sort_unstable_by(|one, other| other.cmp(one));
        assert_eq!(named, odd);
        assert!(listing.unreadable[0].reason.contains("rename it"));
        write_manifest(root.path().join("m.jsonl"), &listing.samples).unwrap();
        // One that lies elsewhere says why it cannot be written.
        let elsewhere = root.path().join(OsStr::from_bytes(b"d\xff/a.mp4"));
        let sample = Sample::new(elsewhere, Label::Real, "a");
        let error = write_manifest(root.path().join("m.jsonl"), &[sample]).unwrap_err().to_string();
        assert!(error.contains("not Unicode") && error.contains("rename"), "{error}");
        // Nothing is left.
        for file in ["real/a.mp4", "fake/a.mp4"] {
            fs::remove_file(root.path().join(file)).unwrap();
        }
        assert!(matches!(scan_dataset(root.path()), Err(DataError::Unreadable { count: 2, .. })));
    }

    #[test]
    fn a_data_set_is_read_from_a_folder_or_a_manifest() {
        let root = tree(&["real/a.mp4", "fake/a.mp4", ".hidden/real/b.mp4"]);
        let samples = read_dataset(root.path()).unwrap();
        assert_eq!(samples.iter().map(|s| s.label).collect::<Vec<_>>(), [Label::Fake, Label::Real]);
        let manifest = root.path().join("set.jsonl");
        write_manifest(&manifest, &samples).unwrap();
        assert_eq!(read_dataset(&manifest).unwrap(), samples);
    }
}
