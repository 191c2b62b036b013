//! The TOML file that describes a suite.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::path::{Path, PathBuf};

use deeptell_data::{DataError, Sample, Split, read_dataset, scan_dataset};
use deeptell_files::line_at;
use serde::{Deserialize, Serialize};

/// Named sets of labeled crops.
///
/// ```
/// use deeptell_eval::{Role, Suite};
///
/// let suite = Suite::parse(r#"
///     name = "quick"
///
///     [[set]]
///     name = "swaps"
///     data = "crops/manifest.jsonl"
///     split = "test"
///     methods = ["FaceSwap"]
///     expect = { real = 120, fake = 118 }
///
///     [[set]]
///     name = "press photographs"
///     data = "press"
///     role = "genuine"
///     detect = true
/// "#, "suites".as_ref())?;
/// assert_eq!(suite.sets[1].role, Role::Genuine);
/// assert_eq!(suite.sets[0].data, std::path::Path::new("suites/crops/manifest.jsonl"));
/// # Ok::<(), deeptell_eval::SuiteError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Suite {
    /// Name of the suite.
    pub name: String,
    /// The sets, in the order of the table.
    #[serde(rename = "set")]
    pub sets: Vec<SuiteSet>,
}

/// One row of the table: which samples of which data.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct SuiteSet {
    /// Name of the set, unique in the suite.
    pub name: String,
    /// A manifest, or a data set folder; in the file relative to its folder.
    pub data: PathBuf,
    /// The domain that it belongs to in calibration, with other sets of the same domain; its own when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub domain: Option<String>,
    /// Only samples of this split; all when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub split: Option<Split>,
    /// Only files below this folder of the data set's folder.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub folder: Option<PathBuf>,
    /// Only samples of these data sets (`dataset` in the manifest); all when empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub datasets: Vec<String>,
    /// Of the fakes only those made by these methods; all when empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub methods: Vec<String>,
    /// Maximum number of samples per class, approximately: whole sources, always the same ones.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sample: Option<usize>,
    /// Which classes the set has.
    #[serde(default)]
    pub role: Role,
    /// Whether to detect the face in each picture and crop it as the model requires, instead of using the whole
    /// picture.
    #[serde(default)]
    pub detect: bool,
    /// Whether to scan whole videos or pictures, and use the verdict of the scan.
    #[serde(default)]
    pub scan: bool,
    /// With `detect`: whether to use a picture without a detected face whole. Otherwise it is counted but not scored.
    #[serde(default)]
    pub whole_without_face: bool,
    /// Methods of this set that the detector was not trained on: leave-one-generator-out. Their figures are shown apart
    /// from those of the others.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub left_out: Vec<String>,
    /// Sets whose genuine crops a set of one class is measured against.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub against: Vec<String>,
    /// The expected number of samples; by default, as many as the data lists.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expect: Option<Expected>,
}

/// Which classes a set has; in TOML in lower case.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Role {
    /// Genuine and manipulated samples.
    #[default]
    Both,
    /// Genuine samples only; others are skipped.
    Genuine,
    /// Manipulated samples only; others are skipped.
    Manipulated,
}

/// Numbers of samples.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Expected {
    /// Genuine ones.
    #[serde(default)]
    pub real: usize,
    /// Manipulated ones.
    #[serde(default)]
    pub fake: usize,
}

/// Why a suite could not be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SuiteError {
    /// The file could not be read.
    #[error("cannot read {}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The file is not valid TOML, or has a field that suites do not have.
    #[error("this is not a suite: line {line}: {reason}")]
    Toml {
        /// Number of the line, from 1.
        line: usize,
        /// What is wrong with it.
        reason: String,
    },
    /// Two sets have one name.
    #[error("two sets are called `{name}`: rename one of them")]
    SameName {
        /// The name.
        name: String,
    },
    /// The suite has no set.
    #[error("the suite `{name}` has no set: add a [[set]] with a name and data")]
    Empty {
        /// Name of the suite.
        name: String,
    },
    /// A set is measured against one that the suite does not have.
    #[error(
        "the set `{set}` is measured against `{against}`, which is not a set of the suite: correct `against`"
    )]
    UnknownSet {
        /// Name of the set.
        set: String,
        /// The name that is missing.
        against: String,
    },
    /// A file of found faces is not one.
    #[error("{}, line {line}: this is not a file of found faces: {reason}; delete it, and the faces are detected again", path.display())]
    Faces {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What is wrong.
        reason: String,
    },
    /// A file of saved scores is not one.
    #[error("{}, line {line}: this is not a file of suite scores: {reason}; write it again with --scores", path.display())]
    Scores {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What is wrong.
        reason: String,
    },
}

/// The largest file of a suite.
const MAX_BYTES: u64 = 1 << 22;

impl Suite {
    /// Reads a suite from a TOML file; its paths are relative to the file's folder.
    ///
    /// # Errors
    /// [`SuiteError`].
    pub fn read(path: &Path) -> Result<Self, SuiteError> {
        let text = deeptell_files::read_text_bounded(path, MAX_BYTES)
            .map_err(|source| SuiteError::Io { path: path.to_owned(), source })?;
        Self::parse(&text, path.parent().unwrap_or(Path::new("")))
    }

    /// Reads a suite from TOML text; its paths are relative to `folder`.
    ///
    /// # Errors
    /// [`SuiteError`].
    pub fn parse(text: &str, folder: &Path) -> Result<Self, SuiteError> {
        let mut suite: Self = toml::from_str(text).map_err(|error| SuiteError::Toml {
            line: line_at(text, error.span().map_or(0, |span| span.start)),
            reason: error.message().to_owned(),
        })?;
        for set in &mut suite.sets {
            set.data = folder.join(&set.data);
        }
        suite.check()?;
        Ok(suite)
    }

    fn check(&self) -> Result<(), SuiteError> {
        if self.sets.is_empty() {
            return Err(SuiteError::Empty { name: self.name.clone() });
        }
        let mut names = HashSet::new();
        if let Some(set) = self.sets.iter().find(|set| !names.insert(set.name.as_str())) {
            return Err(SuiteError::SameName { name: set.name.clone() });
        }
        for set in &self.sets {
            if let Some(against) = set.against.iter().find(|name| !names.contains(name.as_str())) {
                return Err(SuiteError::UnknownSet { set: set.name.clone(), against: against.clone() });
            }
        }
        Ok(())
    }
}

impl SuiteSet {
    /// The samples of the set, in the order of the data.
    ///
    /// # Errors
    /// As [`read_dataset`].
    pub fn samples(&self) -> Result<Vec<Sample>, DataError> {
        Ok(self.of_this_set(read_dataset(&self.data)?))
    }

    /// As [`samples`](Self::samples), but what cannot be read of a folder is named beside the rest.
    pub(crate) fn readable_samples(&self) -> Result<(Vec<Sample>, Option<String>), DataError> {
        let mut listing = scan_dataset(&self.data)?;
        let unreadable = std::mem::take(&mut listing.unreadable);
        let count = unreadable.len();
        let fault =
            unreadable.into_iter().next().map(|first| DataError::Unreadable { first, count }.to_string());
        Ok((self.of_this_set(listing.complete()?), fault))
    }

    fn of_this_set(&self, mut samples: Vec<Sample>) -> Vec<Sample> {
        let root = if self.data.is_dir() {
            self.data.as_path()
        } else {
            self.data.parent().unwrap_or(Path::new(""))
        };
        samples.retain(|sample| self.takes(sample, root));
        if let Some(most) = self.sample {
            samples = subset(samples, most);
        }
        samples
    }

    fn takes(&self, sample: &Sample, root: &Path) -> bool {
        let is_fake = sample.label.is_fake();
        let of_class = match self.role {
            Role::Both => true,
            Role::Genuine => !is_fake,
            Role::Manipulated => is_fake,
        };
        of_class
            && self.split.is_none_or(|split| sample.split == Some(split))
            && self.folder.as_ref().is_none_or(|folder| sample.path.starts_with(root.join(folder)))
            && (self.datasets.is_empty()
                || sample.dataset.as_ref().is_some_and(|dataset| self.datasets.contains(dataset)))
            && (self.methods.is_empty()
                || !is_fake
                || word(sample.method.as_ref(), sample, "method")
                    .is_some_and(|method| self.methods.contains(&method)))
    }
}

/// A field of the sample or, where a table of crops has it, a value of `extra`.
pub(super) fn word(field: Option<&String>, sample: &Sample, name: &str) -> Option<String> {
    field.cloned().or_else(|| match sample.extra.get(name)? {
        serde_json::Value::String(text) => Some(text),
        serde_json::Value::Number(number) => Some(number.to_string()),
        _ => None,
    })
}

/// Whole sources until each class has `most` samples, or there are no more. Which ones follows from their names alone,
/// so a larger subset holds the smaller one.
fn subset(samples: Vec<Sample>, most: usize) -> Vec<Sample> {
    let mut of_source: BTreeMap<&str, [usize; 2]> = BTreeMap::new();
    for sample in &samples {
        of_source.entry(&sample.source).or_default()[usize::from(sample.label.is_fake())] += 1;
    }
    let mut sources: Vec<(u64, &str, [usize; 2])> =
        of_source.into_iter().map(|(source, counts)| (scattered(source), source, counts)).collect();
    sources.sort_unstable();
    let mut taken = [0; 2];
    let mut chosen: BTreeSet<String> = BTreeSet::new();
    for (_, source, counts) in sources {
        if (0..2).any(|class| counts[class] > 0 && taken[class] < most) {
            (0..2).for_each(|class| taken[class] += counts[class]);
            chosen.insert(source.to_owned());
        }
    }
    samples.into_iter().filter(|sample| chosen.contains(&sample.source)).collect()
}

/// A number that follows from the name and nothing else (FNV-1a, with a final mix so that near names lie far apart).
fn scattered(name: &str) -> u64 {
    let hash = name.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    let hash = (hash ^ (hash >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    hash ^ (hash >> 33)
}

#[cfg(test)]
mod tests {
    use deeptell_data::Label;

    use super::*;

    #[test]
    fn invalid_suites_are_refused() {
        let parse = |text: &str| Suite::parse(text, Path::new("")).unwrap_err();
        let set = "[[set]]\nname = \"a\"\ndata = \"x\"\n";
        assert!(matches!(parse(&format!("name = \"s\"\n{set}{set}")), SuiteError::SameName { .. }));
        assert!(matches!(parse("name = \"s\"\nset = []"), SuiteError::Empty { .. }));
        assert!(parse(&format!("name = \"s\"\n{set}splt = \"val\"")).to_string().contains("splt"));
        let error = parse(&format!("name = \"s\"\n{set}against = [\"b\"]"));
        assert!(error.to_string().contains("`b`, which is not a set"), "{error}");
    }

    #[test]
    fn methods_filter_fakes_and_roles_filter_classes() {
        let set = |more: &str| {
            let text = format!("name = \"s\"\n[[set]]\nname = \"a\"\ndata = \"x\"\n{more}");
            Suite::parse(&text, Path::new("")).unwrap().sets.remove(0)
        };
        let real = Sample::new("x/f/1.png", Label::Real, "1").dataset(Some("d".into()));
        let swap = Sample::new("x/f/2.png", Label::Fake, "2").method(Some("swap".into()));
        let mut mouth = Sample::new("x/g/3.png", Label::Fake, "3");
        mouth.extra.insert("method", "mouth");
        let taken = |set: &SuiteSet| [&real, &swap, &mouth].map(|sample| set.takes(sample, Path::new("x")));
        assert_eq!(taken(&set("")), [true; 3]);
        assert_eq!(taken(&set("methods = [\"mouth\"]")), [true, false, true]);
        assert_eq!(taken(&set("methods = [\"mouth\"]\nrole = \"manipulated\"")), [false, false, true]);
        assert_eq!(taken(&set("role = \"genuine\"")), [true, false, false]);
        assert_eq!(taken(&set("folder = \"f\"")), [true, true, false]);
        assert_eq!(taken(&set("datasets = [\"d\"]")), [true, false, false]);
        assert_eq!(taken(&set("split = \"test\"")), [false; 3]);
    }

    #[test]
    fn subset_has_whole_sources_and_contains_smaller_ones() {
        let all: Vec<Sample> = (0..60)
            .map(|i| {
                let label = if i % 3 == 0 { Label::Fake } else { Label::Real };
                Sample::new(format!("{i}"), label, format!("s{}", i / 6))
            })
            .collect();
        let small = subset(all.clone(), 8);
        assert_eq!(small.len(), 6 * 4, "8 fakes, 2 per source");
        let larger = subset(all.clone(), 12);
        assert!(small.iter().all(|sample| larger.contains(sample)) && larger.len() > small.len());
        assert_eq!(subset(all.clone(), 1000), all);
    }
}
