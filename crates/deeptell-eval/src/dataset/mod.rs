//! What a data set consists of: leaks between its splits, and shortcuts to the label.

mod distributions;

use std::collections::BTreeSet;
use std::fmt;
use std::path::PathBuf;

use deeptell_data::{
    AuditReport, CrossingKind, Label, Media, PictureFacts, Sample, Split, Trace, Unreadable,
    audit_contents_while, near_duplicates, read_facts,
};
use deeptell_metrics::{BootstrapConfig, bootstrap_interval, roc_auc, shortcut_scores};
use rayon::prelude::*;
use serde::Serialize;

use self::distributions::Distributions;
use crate::{EvalError, Observer};

/// Number of findings of a kind in the text; the JSON document has all.
const SHOWN: usize = 20;
/// Pictures that are read between two questions whether to stop.
const BATCH: usize = 256;

/// What [`inspect_dataset`] found. `Display` gives it as text of several lines.
#[derive(Debug, Serialize)]
#[non_exhaustive]
pub struct DatasetReport {
    /// Number of samples.
    pub samples: usize,
    /// Samples without a split, which cannot leak.
    pub unassigned: usize,
    /// The splits that have samples.
    pub splits: Vec<SplitCounts>,
    /// Whether nothing crosses splits, no file has two labels and every file can be read.
    pub is_clean: bool,
    /// What is in more than one split.
    pub crossings: Vec<CrossingReport>,
    /// Files with the same bytes and different labels.
    pub contradictions: Vec<Vec<PathBuf>>,
    /// Files that are damaged or missing.
    pub unreadable: Vec<UnreadableFile>,
    distributions: Distributions,
    /// The split that `shortcuts` are of, or `all`.
    pub shortcuts_in: String,
    /// How well each trace predicts the label; empty when that could not be measured.
    pub shortcuts: Vec<Shortcut>,
    #[serde(skip)]
    pictures: usize,
    #[serde(skip)]
    crossing_counts: Vec<String>,
}

/// A file that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct UnreadableFile {
    /// The file.
    pub path: PathBuf,
    /// Why.
    pub reason: String,
}

/// The size of one split.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct SplitCounts {
    /// The split.
    pub split: Split,
    /// Genuine samples.
    pub real: usize,
    /// Manipulated samples.
    pub fake: usize,
    /// Distinct sources.
    pub sources: usize,
}

impl SplitCounts {
    /// Counts the samples of a split.
    pub fn of(split: Split, samples: &[Sample]) -> Self {
        let within = || samples.iter().filter(|sample| sample.split == Some(split));
        let fake = within().filter(|sample| sample.label.is_fake()).count();
        let sources = within().map(|sample| sample.source.as_str()).collect::<BTreeSet<_>>().len();
        Self { split, real: within().count() - fake, fake, sources }
    }
}

/// Something that is in more than one split.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct CrossingReport {
    /// What kind of thing, for example `source`.
    pub kind: String,
    /// Which one.
    pub key: String,
    /// The splits that it is in.
    pub splits: Vec<Split>,
    /// Samples that have it.
    pub samples: usize,
    #[serde(skip)]
    text: String,
}

/// How well the label can be predicted without the face.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Shortcut {
    /// What it is predicted from.
    pub from: String,
    /// AUC-ROC of a logistic regression, in `0..=1`; 0.5 is chance.
    pub auc: f64,
    /// Its 95% interval, by source.
    pub ci95: [f64; 2],
}

/// Reads every file of a data set, and looks for leaks between splits, wrong labels and shortcuts.
///
/// Leaks are looked for in all splits; shortcuts in the pictures of `split`, or in all. Their intervals have
/// `resamples` bootstrap samples.
///
/// # Errors
/// [`EvalError::Stopped`], and [`EvalError::Metrics`] if `resamples` is out of range.
pub fn inspect_dataset(
    samples: &[Sample],
    split: Option<Split>,
    resamples: usize,
    observer: &mut dyn Observer,
) -> Result<DatasetReport, EvalError> {
    let mut report = audit_contents_while(samples, || !observer.wants_stop()).ok_or(EvalError::Stopped)?;
    let pictures = read_pictures(samples, &mut report, observer)?;
    let seen: Vec<_> =
        pictures.iter().map(|(sample, facts)| (*sample, facts.perceptual_hash.clone())).collect();
    report.crossings.extend(near_duplicates(&seen));
    let of_split: Vec<_> = pictures
        .iter()
        .filter(|(sample, _)| split.is_none() || sample.split == split)
        .map(|(sample, facts)| (*sample, facts))
        .collect();
    let shortcuts = shortcuts(&of_split, resamples)?;
    let splits = Split::ALL.map(|split| SplitCounts::of(split, samples)).into_iter();
    Ok(DatasetReport {
        samples: samples.len(),
        unassigned: report.unassigned,
        splits: splits.filter(|counts| counts.real + counts.fake > 0).collect(),
        is_clean: report.is_clean(),
        distributions: Distributions::of(samples, &pictures),
        shortcuts_in: split.map_or_else(|| "all".to_owned(), |split| split.to_string()),
        shortcuts,
        pictures: of_split.len(),
        crossing_counts: crossing_counts(&report),
        crossings: report
            .crossings
            .into_iter()
            .map(|crossing| CrossingReport {
                text: crossing.to_string(),
                kind: crossing.kind.to_string(),
                key: crossing.key,
                splits: crossing.splits,
                samples: crossing.samples,
            })
            .collect(),
        contradictions: report.contradictions,
        unreadable: report
            .unreadable
            .into_iter()
            .map(|Unreadable { path, reason, .. }| UnreadableFile { path, reason })
            .collect(),
    })
}

/// Reads every picture among the samples; those that cannot be read are added to `report`.
fn read_pictures<'a>(
    samples: &'a [Sample],
    report: &mut AuditReport,
    observer: &mut dyn Observer,
) -> Result<Vec<(&'a Sample, PictureFacts)>, EvalError> {
    let pictures: Vec<&Sample> =
        samples.iter().filter(|sample| sample.media() == Some(Media::Image)).collect();
    observer.begin("reading pictures", pictures.len(), "pictures");
    let mut facts = Vec::with_capacity(pictures.len());
    for batch in pictures.chunks(BATCH) {
        if observer.wants_stop() {
            return Err(EvalError::Stopped);
        }
        let read: Vec<_> = batch.par_iter().map(|&sample| (sample, read_facts(&sample.path))).collect();
        for (sample, read) in read {
            match read {
                Ok(read) => facts.push((sample, read)),
                Err(_) if report.unreadable.iter().any(|known| known.path == sample.path) => {}
                Err(error) => report.unreadable.push(Unreadable::new(&sample.path, &error)),
            }
        }
        observer.advance(batch.len());
    }
    observer.end();
    Ok(facts)
}

fn crossing_counts(report: &AuditReport) -> Vec<String> {
    let kinds = [
        CrossingKind::Path,
        CrossingKind::Content,
        CrossingKind::NearDuplicate,
        CrossingKind::Source,
        CrossingKind::Video,
        CrossingKind::Identity,
    ];
    let counts = kinds.into_iter().map(|kind| (kind, report.count(kind)));
    counts.filter(|(_, count)| *count > 0).map(|(kind, count)| format!("{count} by {kind}")).collect()
}

/// What predicts the label in these pictures; empty if nothing does.
fn shortcuts(pictures: &[(&Sample, &PictureFacts)], resamples: usize) -> Result<Vec<Shortcut>, EvalError> {
    let labels: Vec<bool> = pictures.iter().map(|(sample, _)| sample.label == Label::Fake).collect();
    let sources: Vec<&str> = pictures.iter().map(|(sample, _)| sample.source.as_str()).collect();
    let distinct: BTreeSet<&str> = sources.iter().copied().collect();
    if distinct.len() < 2 || !labels.contains(&true) || !labels.contains(&false) {
        return Ok(Vec::new());
    }
    let config = BootstrapConfig::default().resamples(resamples);
    let mut shortcuts = Vec::new();
    for (at, trace) in Trace::ALL.into_iter().enumerate() {
        let features: Vec<Vec<f64>> = pictures.iter().map(|(_, facts)| facts.traces[at].clone()).collect();
        let scores = shortcut_scores(&features, &labels, &sources, 0)?;
        let auc = roc_auc(&scores, &labels)?;
        let interval = bootstrap_interval(&scores, &labels, &sources, roc_auc, &config)?;
        shortcuts.push(Shortcut { from: trace.to_string(), auc, ci95: [interval.low, interval.high] });
    }
    Ok(shortcuts)
}

impl fmt::Display for DatasetReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} samples, {} of them without a split", self.samples, self.unassigned)?;
        writeln!(f, "{:<12}{:>10}{:>10}{:>10}", "split", "real", "fake", "sources")?;
        for SplitCounts { split, real, fake, sources } in &self.splits {
            writeln!(f, "{:<12}{real:>10}{fake:>10}{sources:>10}", split.to_string())?;
        }
        self.write_findings(f)?;
        write!(f, "{}", self.distributions)?;
        if self.shortcuts.is_empty() {
            return writeln!(
                f,
                "shortcuts were not checked: that needs real and fake pictures from at least two sources"
            );
        }
        let pictures = self.pictures;
        writeln!(f, "how well {pictures} labels can be predicted without the face (AUC-ROC; 0.5 is chance)")?;
        for Shortcut { from, auc, ci95: [low, high] } in &self.shortcuts {
            writeln!(f, "  {from:<20}{auc:.3} [{low:.3}, {high:.3}]")?;
        }
        Ok(())
    }
}

impl DatasetReport {
    fn write_findings(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.unreadable.is_empty() {
            writeln!(f, "{} files cannot be read:", self.unreadable.len())?;
        }
        for UnreadableFile { path, reason } in &self.unreadable {
            writeln!(f, "  {}: {reason}", path.display())?;
        }
        if self.crossings.is_empty() && self.contradictions.is_empty() {
            return writeln!(f, "nothing is in two splits, and no file has two labels");
        }
        if !self.crossing_counts.is_empty() {
            writeln!(f, "the splits leak: {}", self.crossing_counts.join(", "))?;
        }
        for CrossingReport { text, samples, .. } in self.crossings.iter().take(SHOWN) {
            writeln!(f, "  {text}, {samples} samples")?;
        }
        if self.crossings.len() > SHOWN {
            writeln!(f, "  and {} more", self.crossings.len() - SHOWN)?;
        }
        for files in self.contradictions.iter().take(SHOWN) {
            let names: Vec<String> = files.iter().map(|file| file.display().to_string()).collect();
            writeln!(f, "  identical files with different labels: {}", names.join(", "))?;
        }
        Ok(())
    }
}
