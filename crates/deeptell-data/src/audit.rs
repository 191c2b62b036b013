use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use crate::groups::SplitSet;
use crate::{DataError, Label, Sample, Split, Unreadable, sha256_of_contents};

/// Something that two splits must not share.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum CrossingKind {
    /// The same file.
    Path,
    /// Files with the same bytes.
    Content,
    /// Near-duplicate pictures, found by [`near_duplicates`](crate::near_duplicates).
    NearDuplicate,
    /// The same recording.
    Source,
    /// The same video.
    Video,
    /// The same person.
    Identity,
}

impl fmt::Display for CrossingKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Path => "path",
            Self::Content => "content",
            Self::NearDuplicate => "near-duplicate",
            Self::Source => "source",
            Self::Video => "video",
            Self::Identity => "identity",
        })
    }
}

/// Something found in more than one split.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Crossing {
    /// What kind of thing.
    pub kind: CrossingKind,
    /// Which one: a path, a name, or the SHA-256 of the content in hexadecimal.
    pub key: String,
    /// Where it was found, at least two.
    pub splits: Vec<Split>,
    /// How many samples have it.
    pub samples: usize,
}

impl fmt::Display for Crossing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let splits: Vec<_> = self.splits.iter().map(Split::to_string).collect();
        write!(f, "{} `{}` in {}", self.kind, self.key, splits.join(" and "))
    }
}

/// The result of an audit.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct AuditReport {
    /// Samples that were checked (those with a split).
    pub samples: usize,
    /// Samples without a split, which cannot leak.
    pub unassigned: usize,
    /// Everything that is in several splits, by kind and name.
    pub crossings: Vec<Crossing>,
    /// Identical files with different labels, one list per content: one of the labels is wrong.
    /// Found by [`audit_contents`] only.
    pub contradictions: Vec<Vec<PathBuf>>,
    /// Files that cannot be read. Found by [`audit_contents`] only.
    pub unreadable: Vec<Unreadable>,
}

impl AuditReport {
    /// Whether nothing was found.
    pub fn is_clean(&self) -> bool {
        self.crossings.is_empty() && self.contradictions.is_empty() && self.unreadable.is_empty()
    }

    /// The number of crossings of one kind.
    pub fn count(&self, kind: CrossingKind) -> usize {
        self.crossings.iter().filter(|crossing| crossing.kind == kind).count()
    }

    /// Turns findings into an error, for callers that must not continue with them.
    ///
    /// # Errors
    /// [`DataError::Leak`] with this report unless it [is clean](Self::is_clean).
    pub fn into_result(self) -> Result<(), DataError> {
        if self.is_clean() { Ok(()) } else { Err(DataError::Leak(Box::new(self))) }
    }
}

impl fmt::Display for AuditReport {
    /// One sentence: how many findings, and the first of them.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_clean() {
            return write!(f, "nothing crosses the splits of {} samples", self.samples);
        }
        let mut parts = Vec::new();
        if let Some(first) = self.crossings.first() {
            parts.push(format!("{} crossings, the first: {first}", self.crossings.len()));
        }
        if let Some(first) = self.contradictions.first() {
            let names: Vec<_> = first.iter().map(|path| path.display().to_string()).collect();
            parts.push(format!(
                "{} contents labeled both real and fake, the first: {}",
                self.contradictions.len(),
                names.join(", ")
            ));
        }
        if let Some(Unreadable { path, reason }) = self.unreadable.first() {
            let count = self.unreadable.len();
            parts.push(format!("{count} files cannot be read, the first: {}: {reason}", path.display()));
        }
        f.write_str(&parts.join("; "))
    }
}

/// Finds paths, sources, videos and people that are in more than one split.
///
/// ```
/// use deeptell_data::{CrossingKind, Label, Sample, Split, audit};
///
/// let sample = |path, split| Sample::new(path, Label::Real, "one recording").split(Some(split));
/// let report = audit(&[sample("a.png", Split::Train), sample("b.png", Split::Test)]);
/// assert_eq!(report.count(CrossingKind::Source), 1);
/// assert!(report.into_result().is_err());
/// ```
pub fn audit(samples: &[Sample]) -> AuditReport {
    let mut tally = Tally::default();
    for sample in samples {
        let Some(split) = sample.split else { continue };
        tally.add(CrossingKind::Path, sample.path.display().to_string(), split);
        tally.add(CrossingKind::Source, sample.source.clone(), split);
        if let Some(video) = &sample.video {
            tally.add(CrossingKind::Video, video.clone(), split);
        }
        for person in &sample.identities {
            tally.add(CrossingKind::Identity, person.clone(), split);
        }
    }
    let assigned = samples.iter().filter(|sample| sample.split.is_some()).count();
    AuditReport {
        samples: assigned,
        unassigned: samples.len() - assigned,
        crossings: tally.crossings(),
        contradictions: Vec::new(),
        unreadable: Vec::new(),
    }
}

/// As [`audit`], and also reads every file, to find identical files with different names and files
/// that cannot be read.
pub fn audit_contents(samples: &[Sample]) -> AuditReport {
    audit_contents_while(samples, || true).unwrap_or_else(|| audit(samples))
}

/// As [`audit_contents`], but asks between pieces of some MiB whether the report is still wanted;
/// `None` when not.
pub fn audit_contents_while(samples: &[Sample], mut is_wanted: impl FnMut() -> bool) -> Option<AuditReport> {
    let mut is_stopped = false;
    let mut hashes: BTreeMap<&Path, Option<String>> = BTreeMap::new();
    let mut unreadable = Vec::new();
    let mut tally = Tally::default();
    let mut labels: BTreeMap<String, BTreeMap<Label, &Path>> = BTreeMap::new();
    for sample in samples {
        let hash = hashes.entry(&sample.path).or_insert_with(|| {
            match sha256_of_contents(&sample.path, &mut is_wanted) {
                Ok(hash) => {
                    is_stopped = hash.is_none();
                    hash
                }
                Err(error) => {
                    unreadable.push(Unreadable::new(&sample.path, &error));
                    None
                }
            }
        });
        if is_stopped || !is_wanted() {
            return None;
        }
        let Some(hash) = hash.clone() else { continue };
        if let Some(split) = sample.split {
            tally.add(CrossingKind::Content, hash.clone(), split);
        }
        labels.entry(hash).or_default().entry(sample.label).or_insert(&sample.path);
    }
    let mut report = audit(samples);
    report.crossings.extend(tally.crossings());
    report.crossings.sort_by(|a, b| (a.kind, &a.key).cmp(&(b.kind, &b.key)));
    report.contradictions = labels
        .into_values()
        .filter(|files| files.len() > 1)
        .map(|files| files.into_values().map(Path::to_path_buf).collect())
        .collect();
    report.unreadable = unreadable;
    Some(report)
}

#[derive(Default)]
struct Tally(BTreeMap<(CrossingKind, String), (SplitSet, usize)>);

impl Tally {
    fn add(&mut self, kind: CrossingKind, key: String, split: Split) {
        let (splits, samples) = self.0.entry((kind, key)).or_default();
        splits.insert(split);
        *samples += 1;
    }

    fn crossings(self) -> Vec<Crossing> {
        self.0
            .into_iter()
            .map(|((kind, key), (splits, samples))| Crossing { kind, key, splits: splits.splits(), samples })
            .filter(|crossing| crossing.splits.len() > 1)
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(path: &Path, label: Label, source: &str, split: Option<Split>) -> Sample {
        Sample { split, ..Sample::new(path, label, source) }
    }

    #[test]
    fn an_audit_of_separate_splits_is_clean() {
        let samples = [
            sample(Path::new("a"), Label::Real, "a", Some(Split::Train)),
            sample(Path::new("b"), Label::Fake, "a", Some(Split::Train)),
            sample(Path::new("c"), Label::Real, "c", Some(Split::Test)),
            sample(Path::new("d"), Label::Real, "a", None),
        ];
        let report = audit(&samples);
        assert!(report.is_clean());
        assert_eq!((report.samples, report.unassigned), (3, 1));
        assert!(report.into_result().is_ok());
    }

    #[test]
    fn every_kind_of_crossing_is_found_and_named() {
        let person = |sample: Sample| Sample { identities: vec!["anna".into()], ..sample };
        let video = |sample: Sample| Sample { video: Some("v".into()), ..sample };
        let split = |path, source, split| sample(Path::new(path), Label::Real, source, Some(split));
        let samples = [
            split("same", "s1", Split::Train),
            split("same", "s2", Split::Test),
            split("p1", "shared", Split::Train),
            split("p2", "shared", Split::Validation),
            split("p3", "shared", Split::Test),
            person(split("p4", "s4", Split::Train)),
            person(split("p5", "s5", Split::Test)),
            video(split("p6", "s6", Split::Train)),
            video(split("p7", "s7", Split::Test)),
        ];
        let report = audit(&samples);
        let found: Vec<_> = report.crossings.iter().map(|c| (c.kind, c.key.as_str(), c.samples)).collect();
        assert_eq!(
            found,
            [
                (CrossingKind::Path, "same", 2),
                (CrossingKind::Source, "shared", 3),
                (CrossingKind::Video, "v", 2),
                (CrossingKind::Identity, "anna", 2),
            ]
        );
        assert_eq!(report.crossings[1].splits, Split::ALL);
        let message = report.into_result().unwrap_err().to_string();
        assert!(
            message.contains("4 crossings") && message.contains("path `same` in train and test"),
            "{message}"
        );
    }

    #[test]
    fn equal_bytes_are_found_under_other_names() {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str, bytes: &str| {
            let path = folder.path().join(name);
            std::fs::write(&path, bytes).unwrap();
            path
        };
        let (a, b, c) = (file("a", "one"), file("b", "one"), file("c", "two"));
        let clean = [
            sample(&a, Label::Real, "a", Some(Split::Train)),
            sample(&b, Label::Real, "b", Some(Split::Train)),
            sample(&c, Label::Fake, "c", Some(Split::Test)),
        ];
        assert!(audit_contents(&clean).is_clean());

        let crossing = [clean[0].clone(), sample(&b, Label::Fake, "b", Some(Split::Test))];
        let report = audit_contents(&crossing);
        assert_eq!(report.count(CrossingKind::Content), 1);
        assert_eq!(report.crossings[0].key, deeptell_files::sha256_of_file(&a).unwrap());
        assert_eq!(report.contradictions, [vec![a.clone(), b]]);

        let none = ["none", "nothing"].map(|name| folder.path().join(name));
        let missing = [&none[0], &a, &none[1], &none[0]].map(|path| sample(path, Label::Real, "n", None));
        let report = audit_contents(&missing);
        assert!(!report.is_clean());
        assert_eq!(report.unreadable.iter().map(|file| &file.path).collect::<Vec<_>>(), [&none[0], &none[1]]);
        let said = report.to_string();
        assert!(said.starts_with("2 files cannot be read, the first: ") && said.contains("none: "), "{said}");
    }

    #[test]
    fn hashing_stops_when_it_is_no_longer_wanted() {
        let file = tempfile::NamedTempFile::new().unwrap();
        // Nothing but a hole: reading it to the end would take hours.
        file.as_file().set_len(1 << 43).unwrap();
        let mut left = 3;
        let mut is_wanted = || {
            left -= 1;
            left > 0
        };
        assert_eq!(sha256_of_contents(file.path(), &mut is_wanted).unwrap(), None);
        let sparse = sample(file.path(), Label::Real, "a", None);
        assert_eq!(audit_contents_while(&[sparse.clone(), sparse], &mut is_wanted), None);
    }
}
