mod distributions;

use std::collections::BTreeSet;
use std::path::PathBuf;

use clap::ValueEnum as _;
use deeptell_data::{
    AuditReport, CrossingKind, Label, Media, PictureFacts, Sample, Split, Trace, Unreadable,
    audit_contents_while, near_duplicates, read_facts,
};
use deeptell_metrics::{BootstrapConfig, bootstrap_interval, roc_auc, shortcut_scores};
use rayon::prelude::*;
use serde::Serialize;

use self::distributions::Distributions;

use crate::dataset::{Dataset, DatasetArgs};
use crate::output::say;
use crate::progress::Progress;
use crate::which_split::WhichSplit;
use crate::{Outcome, interrupt, output};

/// Number of findings that are printed; the JSON document has all.
const SHOWN: usize = 20;

/// Check a data set for leaks between splits, and for shortcuts to the label.
///
/// Reads every file. Exits with code 1 if a file cannot be read; if a path, a content, a
/// near-duplicate picture (recompressed, resized, brightened), a source, a video or a person is in
/// two splits; or if identical files are labelled both real and fake.
///
/// Also prints what each class consists of, and how well the label can be predicted from resolution,
/// format, file size, JPEG tables and the four corners of each picture alone: the AUC-ROC of a
/// logistic regression, fitted to some sources and measured on the others. Far from 0.5, a network may
/// learn that instead of faces.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  deeptell audit split.jsonl
  deeptell audit split.jsonl --split validation --json audit.json")]
pub(crate) struct Args {
    /// Manifest, or data set folder in a layout that deeptell knows.
    data: PathBuf,
    #[command(flatten)]
    dataset: DatasetArgs,
    /// Split to check for shortcuts; leaks are always checked for in all splits.
    #[arg(long, value_enum, default_value_t = WhichSplit::All)]
    split: WhichSplit,
    /// Number of bootstrap resamples for the intervals.
    #[arg(long, default_value_t = 1000, value_name = "N")]
    resamples: usize,
    /// Also write the findings as JSON.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

#[derive(Serialize)]
struct Document {
    data: PathBuf,
    samples: usize,
    /// Without a split, which cannot leak.
    unassigned: usize,
    splits: Vec<Balance>,
    is_clean: bool,
    crossings: Vec<Finding>,
    /// Files with the same bytes and different labels.
    contradictions: Vec<Vec<PathBuf>>,
    /// Files that are damaged or not there.
    unreadable: Vec<Unread>,
    /// What real and fake pictures consist of, over all splits.
    distributions: Distributions,
    /// Which split `shortcuts` are of.
    shortcuts_in: String,
    shortcuts: Vec<Shortcut>,
}

#[derive(Serialize)]
struct Unread {
    path: PathBuf,
    reason: String,
}

#[derive(Serialize)]
struct Balance {
    split: Split,
    real: usize,
    fake: usize,
    sources: usize,
}

#[derive(Serialize)]
struct Finding {
    kind: String,
    key: String,
    splits: Vec<Split>,
    samples: usize,
}

/// How well the label can be predicted without the face.
#[derive(Serialize)]
struct Shortcut {
    from: String,
    /// 0.5 is chance.
    auc: f64,
    /// By source.
    ci95: [f64; 2],
}

pub(crate) fn run(args: &Args) -> anyhow::Result<Outcome> {
    let Dataset { samples, outcome, .. } = args.dataset.read(&args.data)?;
    let Some(mut report) = audit_contents_while(&samples, || !interrupt::requested()) else {
        return Ok(Outcome::Interrupted);
    };
    let Some((pictures, damaged)) = pictures(&samples) else { return Ok(Outcome::Interrupted) };
    for file in damaged {
        if !report.unreadable.iter().any(|known| known.path == file.path) {
            report.unreadable.push(file);
        }
    }
    let seen: Vec<_> = pictures.iter().map(|(sample, facts)| (*sample, facts.fingerprint.clone())).collect();
    report.crossings.extend(near_duplicates(&seen));
    let splits: Vec<Balance> = Split::ALL
        .into_iter()
        .map(|split| balance(&samples, split))
        .filter(|b| b.real + b.fake > 0)
        .collect();
    say!("{} samples, {} of them without a split", samples.len(), report.unassigned);
    say!("{:<12}{:>10}{:>10}{:>10}", "split", "real", "fake", "sources");
    for Balance { split, real, fake, sources } in &splits {
        say!("{:<12}{real:>10}{fake:>10}{sources:>10}", split.to_string());
    }
    print_findings(&report)?;
    let distributions = Distributions::of(&samples, &pictures);
    distributions.print()?;
    let shortcuts = shortcuts(&pictures, args)?;
    let is_clean = report.is_clean();
    if let Some(json) = &args.json {
        let document = Document {
            data: args.data.clone(),
            samples: samples.len(),
            unassigned: report.unassigned,
            splits,
            is_clean,
            crossings: report
                .crossings
                .into_iter()
                .map(|c| Finding {
                    kind: c.kind.to_string(),
                    key: c.key,
                    splits: c.splits,
                    samples: c.samples,
                })
                .collect(),
            contradictions: report.contradictions,
            unreadable: report
                .unreadable
                .into_iter()
                .map(|Unreadable { path, reason }| Unread { path, reason })
                .collect(),
            distributions,
            shortcuts_in: args
                .split
                .to_possible_value()
                .map_or_else(String::new, |v| v.get_name().to_owned()),
            shortcuts,
        };
        output::write_json(&document, json)?;
    }
    Ok(if is_clean { outcome } else { Outcome::SomeFailed })
}

fn balance(samples: &[Sample], split: Split) -> Balance {
    let of_split = || samples.iter().filter(move |sample| sample.split == Some(split));
    let count = |label: Label| of_split().filter(|sample| sample.label == label).count();
    let sources: BTreeSet<&str> = of_split().map(|sample| sample.source.as_str()).collect();
    Balance { split, real: count(Label::Real), fake: count(Label::Fake), sources: sources.len() }
}

fn print_findings(report: &AuditReport) -> anyhow::Result<()> {
    if !report.unreadable.is_empty() {
        say!("{} files cannot be read:", report.unreadable.len());
    }
    for Unreadable { path, reason } in &report.unreadable {
        say!("  {}: {reason}", path.display());
    }
    if report.crossings.is_empty() && report.contradictions.is_empty() {
        say!("nothing is in two splits, and no file has two labels");
        return Ok(());
    }
    let kinds = [
        CrossingKind::Path,
        CrossingKind::Content,
        CrossingKind::Likeness,
        CrossingKind::Source,
        CrossingKind::Video,
        CrossingKind::Identity,
    ];
    let counts: Vec<String> = kinds
        .into_iter()
        .map(|kind| (kind, report.count(kind)))
        .filter(|(_, count)| *count > 0)
        .map(|(kind, count)| format!("{count} by {kind}"))
        .collect();
    if !counts.is_empty() {
        say!("the splits leak: {}", counts.join(", "));
    }
    for crossing in report.crossings.iter().take(SHOWN) {
        say!("  {crossing}, {} samples", crossing.samples);
    }
    if report.crossings.len() > SHOWN {
        say!("  and {} more", report.crossings.len() - SHOWN);
    }
    for files in report.contradictions.iter().take(SHOWN) {
        let names: Vec<String> = files.iter().map(|file| file.display().to_string()).collect();
        say!("  identical files with different labels: {}", names.join(", "));
    }
    Ok(())
}

/// The samples whose pictures can be read, with what those say, and the pictures that cannot.
type Pictures<'a> = (Vec<(&'a Sample, PictureFacts)>, Vec<Unreadable>);

/// Reads every picture among the samples; `None` when interrupted.
fn pictures(samples: &[Sample]) -> Option<Pictures<'_>> {
    let pictures: Vec<&Sample> =
        samples.iter().filter(|sample| sample.media() == Some(Media::Image)).collect();
    let progress = Progress::new("reading pictures", pictures.len(), "pictures");
    let read: Vec<_> = pictures
        .par_iter()
        .filter(|_| !interrupt::requested())
        .map(|&sample| {
            let facts = read_facts(&sample.path).map_err(|error| Unreadable::new(&sample.path, &error));
            progress.add(1, "");
            (sample, facts)
        })
        .collect();
    if interrupt::requested() {
        return None;
    }
    progress.finish();
    let (mut facts, mut damaged) = (Vec::new(), Vec::new());
    for (sample, read) in read {
        match read {
            Ok(read) => facts.push((sample, read)),
            Err(unreadable) => damaged.push(unreadable),
        }
    }
    Some((facts, damaged))
}

/// What the label follows from, in the pictures of the split.
fn shortcuts(pictures: &[(&Sample, PictureFacts)], args: &Args) -> anyhow::Result<Vec<Shortcut>> {
    let pictures: Vec<_> = pictures.iter().filter(|(sample, _)| args.split.takes(sample.split)).collect();
    let labels: Vec<bool> = pictures.iter().map(|(sample, _)| sample.label == Label::Fake).collect();
    let sources: Vec<&str> = pictures.iter().map(|(sample, _)| sample.source.as_str()).collect();
    let distinct: BTreeSet<&str> = sources.iter().copied().collect();
    if distinct.len() < 2 || !labels.contains(&true) || !labels.contains(&false) {
        say!("shortcuts were not checked: that needs real and fake pictures from at least two sources");
        return Ok(Vec::new());
    }
    say!("how well {} labels can be predicted without the face (AUC-ROC; 0.5 is chance)", pictures.len());
    let config = BootstrapConfig { resamples: args.resamples, ..BootstrapConfig::default() };
    let mut shortcuts = Vec::new();
    for (at, trace) in Trace::ALL.into_iter().enumerate() {
        let features: Vec<Vec<f64>> = pictures.iter().map(|(_, facts)| facts.traces[at].clone()).collect();
        let scores = shortcut_scores(&features, &labels, &sources, 0)?;
        let auc = roc_auc(&scores, &labels)?;
        let interval = bootstrap_interval(&scores, &labels, &sources, roc_auc, &config)?;
        say!("  {:<20}{auc:.3} [{:.3}, {:.3}]", trace.to_string(), interval.low, interval.high);
        shortcuts.push(Shortcut { from: trace.to_string(), auc, ci95: [interval.low, interval.high] });
    }
    Ok(shortcuts)
}
