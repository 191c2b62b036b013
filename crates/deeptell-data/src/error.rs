use std::io;
use std::path::{Path, PathBuf};

use crate::{AuditReport, Label, Layout, Split, Unreadable};

/// Errors of data sets.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DataError {
    /// An I/O error: no such file, no permission, disk full.
    #[error("cannot access {}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },

    /// A line of a manifest, a table or a list is invalid.
    #[error("{}, line {line}: {reason}", path.display())]
    Line {
        /// The file that holds the line.
        path: PathBuf,
        /// Number of the line, from 1.
        line: u64,
        /// What is wrong and what is expected.
        reason: String,
    },
    /// A metadata or split file is invalid.
    #[error("{}: {reason}", path.display())]
    Metadata {
        /// The file.
        path: PathBuf,
        /// What is wrong and what is expected.
        reason: String,
    },
    /// The first line of a manifest is not its header.
    #[error(
        "{} is not a deeptell manifest: its first line must be {}",
        path.display(), crate::manifest::HEADER_LINE
    )]
    NotAManifest {
        /// The file.
        path: PathBuf,
    },
    /// The manifest was written by a newer deeptell.
    #[error("{} has manifest version {version}, and this deeptell reads version 1: update deeptell", path.display())]
    ManifestVersion {
        /// The file.
        path: PathBuf,
        /// The version its header states.
        version: u64,
    },
    /// A sample holds a value that no manifest may hold.
    #[error("sample {}: {reason}", path.display())]
    InvalidSample {
        /// The path of the sample.
        path: PathBuf,
        /// Which field, and what it must be.
        reason: String,
    },
    /// A list names the same sample twice.
    #[error("{}, line {line}: {} is listed twice; remove one of the two", listing.display(), path.display())]
    Duplicate {
        /// The manifest, table or list.
        listing: PathBuf,
        /// Line of the second mention, from 1.
        line: u64,
        /// The sample named twice.
        path: PathBuf,
    },
    /// A list names files that are not there.
    #[error(
        "{} of {listed} files listed in {} are missing, the first is {}; \
         complete the data set, or continue without them",
        missing.len(), listing.display(), first(missing)
    )]
    MissingFiles {
        /// The table, list or metadata file (or the root of the data set when there are several).
        listing: PathBuf,
        /// How many files it names.
        listed: usize,
        /// The ones that are missing.
        missing: Vec<PathBuf>,
    },
    /// Files or folders of a data set cannot be read.
    #[error(
        "{}: {}; this is the first of {count} files or folders of the data set that cannot be read: repair or remove them",
        first.path.display(), first.reason
    )]
    Unreadable {
        /// The first of them.
        first: Unreadable,
        /// How many there are.
        count: usize,
    },
    /// A list of files has no line with a path.
    #[error("the list of files is empty: pass one path per line")]
    EmptyList,
    /// A list of files cannot be read.
    #[error("cannot read the list of files")]
    List(#[source] io::Error),
    /// No input names a video or a picture.
    #[error("{} {reason}{}{}", path.display(), skipped(left_out), more_inputs(*others))]
    NoMedia {
        /// The first input.
        path: PathBuf,
        /// What it lacks.
        reason: String,
        /// How many other inputs have no files either.
        others: usize,
        /// Files of other kinds that were found.
        left_out: Vec<PathBuf>,
    },
    /// No known layout fits the folder.
    #[error(
        "{} has no layout that deeptell knows; expected folders named `real` and `fake`, the folders of \
         Celeb-DF, FaceForensics++, DFDC or DeepfakeBench, or a table `index.csv` with the columns file, split, label; \
         a manifest describes anything else",
        root.display()
    )]
    UnknownLayout {
        /// The folder.
        root: PathBuf,
    },
    /// The folder was read as a layout it does not have.
    #[error("{} is not a {layout} data set: {expected}", root.display())]
    LayoutMismatch {
        /// The folder.
        root: PathBuf,
        /// The layout asked for.
        layout: Layout,
        /// What that layout must have.
        expected: &'static str,
    },
    /// Two folders on the way to a file contradict each other.
    #[error(
        "{}: the names of its folders say both real and fake; rename one of them, or list the files in a manifest",
        path.display()
    )]
    AmbiguousFolder {
        /// The file or folder.
        path: PathBuf,
    },
    /// A shard that a path goes through is missing.
    #[error(
        "the shard {}, which should contain {member}, is missing; copy the shards together with their manifest",
        shard.display()
    )]
    NoShard {
        /// The shard.
        shard: PathBuf,
        /// The member looked for.
        member: String,
    },
    /// A shard does not hold what a path says.
    #[error(
        "the shard {} does not contain {member}; it or the manifest is from another run: use a shard and a manifest of \
         the same run",
        shard.display()
    )]
    NotInShard {
        /// The shard.
        shard: PathBuf,
        /// The member looked for.
        member: String,
    },
    /// A shard ends before its end mark.
    #[error(
        "the shard {} is truncated after {whole} complete members; copy it again, or run its extraction \
         again",
        shard.display()
    )]
    TruncatedShard {
        /// The shard.
        shard: PathBuf,
        /// How many members lie before the cut.
        whole: usize,
    },
    /// The unfinished file of a shard is not the one that was begun.
    #[error(
        "the shard {} was removed while it was being written, by another deeptell; run again",
        shard.display()
    )]
    ShardTaken {
        /// The shard.
        shard: PathBuf,
    },
    /// A shard cannot be understood.
    #[error("the shard {} cannot be read: {reason}", shard.display())]
    DamagedShard {
        /// The shard.
        shard: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// The name of a member leads out of its shard.
    #[error(
        "`{member}` leads out of the shard {}; members must have relative names without `..`",
        shard.display()
    )]
    OutsideShard {
        /// The shard.
        shard: PathBuf,
        /// The name.
        member: String,
    },
    /// A picture cannot be decoded.
    #[error("cannot read the picture {}", path.display())]
    Picture {
        /// The file, or the member of a shard.
        path: PathBuf,
        /// What is wrong with it.
        source: deeptell_face::PictureError,
    },
    /// There is nothing to read.
    #[error("{} has no image or video that belongs to the data set: check the path", root.display())]
    Empty {
        /// The folder.
        root: PathBuf,
    },

    /// The settings of a split are invalid.
    #[error("split settings: {reason}")]
    InvalidSplit {
        /// Which setting, and what it must be.
        reason: String,
    },
    /// A split would have no sample of a class.
    #[error(
        "{groups} independent groups of {label} samples are too few to put one in every split ({split} \
         has none); add sources, set the share of a split to 0, or group the samples by source alone"
    )]
    TooFewSources {
        /// A split left without.
        split: Split,
        /// The class it lacks.
        label: Label,
        /// How many groups hold that class.
        groups: usize,
    },
    /// Something that must stay within one split is in several.
    #[error("the splits leak: {0}")]
    Leak(Box<AuditReport>),
}

impl DataError {
    pub(crate) fn io(path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_path_buf();
        move |source| Self::Io { path, source }
    }

    pub(crate) fn line(path: &Path, line: u64, reason: impl Into<String>) -> Self {
        Self::Line { path: path.to_path_buf(), line, reason: reason.into() }
    }

    pub(crate) fn metadata(path: &Path, reason: impl Into<String>) -> Self {
        Self::Metadata { path: path.to_path_buf(), reason: reason.into() }
    }
}

/// What was found instead of videos and pictures, as the end of a sentence.
fn skipped(files: &[PathBuf]) -> String {
    if files.is_empty() {
        return String::new();
    }
    format!(" (skipped: {})", crate::count_by_extension(files))
}

fn more_inputs(count: usize) -> String {
    if count == 0 { String::new() } else { format!("; {count} other inputs have no files either") }
}

fn first(paths: &[PathBuf]) -> String {
    paths.first().map_or_else(String::new, |path| path.display().to_string())
}
