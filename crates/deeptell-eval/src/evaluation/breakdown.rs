//! Figures of single crops, grouped by fields of the manifest.

use std::collections::{BTreeMap, BTreeSet};

use deeptell::Thresholds;
use deeptell_data::Sample;
use deeptell_metrics::{
    BootstrapConfig, EvaluationConfig, MetricsError, bootstrap_interval, roc_auc, three_way,
};
use serde::Serialize;
use serde_json::Value;

/// Bounds of the ranges of face widths, in pixels.
const WIDTHS: [u32; 6] = [48, 64, 96, 128, 192, 256];

/// Where the manifest says nothing.
const UNSAID: &str = "not said";

/// One way to divide the crops.
#[derive(Debug, Serialize)]
#[non_exhaustive]
pub struct Breakdown {
    /// What the crops differ in: `method`, `dataset`, `compression`, `codec` or `face_width`.
    pub by: &'static str,
    /// Whether the reals are the same in every part: the fakes of one method against all reals.
    pub all_reals: bool,
    /// One entry per value, in order of the values.
    pub parts: Vec<Part>,
}

/// The crops of one part.
#[derive(Debug, Serialize)]
#[non_exhaustive]
pub struct Part {
    /// What the crops of the part have in common.
    pub name: String,
    /// Number of real crops.
    pub n_real: usize,
    /// Number of fake crops.
    pub n_fake: usize,
    /// Number of sources.
    pub n_groups: usize,
    /// Absent where a class is missing.
    pub auc: Option<f64>,
    /// Its 95% interval by source.
    pub auc_ci95: Option<[f64; 2]>,
    /// Reals called likely fake.
    pub real_likely_fake: usize,
    /// Fakes called likely fake.
    pub fake_likely_fake: usize,
}

/// What puts crops into parts.
type Key = fn(&Sample) -> Option<String>;

/// Every division in which the crops are in at least two parts.
pub(crate) fn breakdowns(
    samples: &[&Sample],
    probabilities: &[f64],
    thresholds: Thresholds,
    config: &EvaluationConfig,
) -> Result<Vec<Breakdown>, MetricsError> {
    let keys: [(&'static str, Key); 5] = [
        ("method", |sample| sample.method.clone()),
        ("dataset", |sample| sample.dataset.clone()),
        ("compression", |sample| word(sample, "compression")),
        ("codec", |sample| word(sample, "codec")),
        ("face_width", |sample| face_width(sample).map(range)),
    ];
    let mut found = Vec::new();
    for (by, key) in keys {
        let all_reals = by == "method";
        let mut rows: BTreeMap<String, Vec<usize>> = BTreeMap::new();
        let mut reals = Vec::new();
        for (row, sample) in samples.iter().enumerate() {
            if all_reals && !sample.label.is_fake() {
                reals.push(row);
                continue;
            }
            rows.entry(key(sample).unwrap_or_else(|| UNSAID.to_owned())).or_default().push(row);
        }
        if rows.len() < 2 {
            continue;
        }
        let mut parts = Vec::with_capacity(rows.len());
        for (name, mut rows) in rows {
            rows.extend(&reals);
            parts.push(part(name, &rows, samples, probabilities, thresholds, config)?);
        }
        // Ranges by their bounds, and what is not known last.
        parts.sort_by_key(|part| (part.name == UNSAID, lower_bound(&part.name)));
        found.push(Breakdown { by, all_reals, parts });
    }
    Ok(found)
}

fn part(
    name: String,
    rows: &[usize],
    samples: &[&Sample],
    probabilities: &[f64],
    thresholds: Thresholds,
    config: &EvaluationConfig,
) -> Result<Part, MetricsError> {
    let scores: Vec<f64> = rows.iter().map(|&row| probabilities[row]).collect();
    let labels: Vec<bool> = rows.iter().map(|&row| samples[row].label.is_fake()).collect();
    let sources: Vec<&str> = rows.iter().map(|&row| samples[row].source.as_str()).collect();
    let answers = three_way(&scores, &labels, thresholds.low, thresholds.high)?;
    let bootstrap = BootstrapConfig::default().resamples(config.resamples).seed(config.seed);
    let auc = match roc_auc(&scores, &labels) {
        Ok(auc) => Some(auc),
        Err(MetricsError::OneClass { .. }) => None,
        Err(error) => return Err(error),
    };
    let interval = auc.map(|_| bootstrap_interval(&scores, &labels, &sources, roc_auc, &bootstrap));
    let auc_ci95 = match interval.transpose() {
        Ok(interval) => interval.map(|interval| [interval.low, interval.high]),
        Err(MetricsError::TooFewGroups { .. }) => None,
        Err(error) => return Err(error),
    };
    Ok(Part {
        name,
        n_real: answers.real.total(),
        n_fake: answers.fake.total(),
        n_groups: sources.iter().collect::<BTreeSet<_>>().len(),
        auc,
        auc_ci95,
        real_likely_fake: answers.real.likely_fake,
        fake_likely_fake: answers.fake.likely_fake,
    })
}

/// A value of `extra` as a word.
fn word(sample: &Sample, name: &str) -> Option<String> {
    match sample.extra.get(name)? {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

/// Width of the face in the picture or frame that the crop was taken from, in pixels: of its box, or of a crop before
/// it was scaled.
pub fn face_width(sample: &Sample) -> Option<f64> {
    let in_frame = sample.extra.get("bbox_in_frame");
    let corner = |name: &str| in_frame.as_ref()?.get(name)?.as_f64();
    let of_box = corner("x2").zip(corner("x1")).map(|(x2, x1)| x2 - x1);
    of_box
        .or_else(|| sample.bbox.map(|b| f64::from(b.x2 - b.x1)))
        .or_else(|| sample.extra.get("original_width")?.as_f64())
}

/// The range of [`WIDTHS`] that a width is in, in words.
fn range(width: f64) -> String {
    let above = WIDTHS.partition_point(|&bound| f64::from(bound) <= width);
    match (above.checked_sub(1).map(|below| WIDTHS[below]), WIDTHS.get(above)) {
        (Some(from), Some(to)) => format!("{from} to {} px", to - 1),
        (Some(from), None) => format!("{from} px and more"),
        (None, _) => format!("under {} px", WIDTHS[0]),
    }
}

/// What ranges are sorted by; 0 for all other names, which stay in their order.
fn lower_bound(name: &str) -> u32 {
    let is_range = name.ends_with(" px") || name.ends_with(" px and more");
    if is_range { name.split(' ').next().and_then(|first| first.parse().ok()).unwrap_or(0) } else { 0 }
}

#[cfg(test)]
mod tests {
    use deeptell_data::Label;
    use deeptell_face::Rect;

    use super::*;
    use crate::evaluation::tests::{LEVELS, quick};

    #[test]
    fn fakes_of_a_method_are_compared_with_all_reals() {
        let fake = |method: &str, source: &str| {
            Sample::new(format!("{method}{source}"), Label::Fake, source).method(Some(method.to_owned()))
        };
        let samples = [
            Sample::new("a", Label::Real, "a"),
            Sample::new("b", Label::Real, "b"),
            fake("swap", "a"),
            fake("swap", "b"),
            fake("mouth", "a"),
        ];
        let samples: Vec<&Sample> = samples.iter().collect();
        let found =
            breakdowns(&samples, &[0.1, 0.8, 0.9, 0.9, 0.5], LEVELS.crop.thresholds, &quick()).unwrap();
        assert_eq!((found.len(), found[0].by, found[0].all_reals), (1, "method", true));
        let [mouth, swap] = &found[0].parts[..] else { panic!("{found:?}") };
        assert_eq!((mouth.name.as_str(), mouth.n_real, mouth.n_fake, mouth.auc), ("mouth", 2, 1, Some(0.5)));
        assert_eq!((swap.auc, swap.real_likely_fake, swap.fake_likely_fake), (Some(1.0), 1, 2));
        assert!(swap.auc_ci95.is_some());
    }

    #[test]
    fn width_ranges_rise_and_may_lack_a_class() {
        let sample = |label, width: f32, name: &str| {
            Sample::new(name, label, name).bbox(Some(Rect::new(0.0, 0.0, width, 50.0)))
        };
        let samples = [
            sample(Label::Real, 128.0, "a"),
            sample(Label::Fake, 127.0, "b"),
            sample(Label::Real, 100.0, "c"),
            sample(Label::Real, 20.0, "d"),
            sample(Label::Fake, 900.0, "e"),
            Sample::new("f", Label::Fake, "f"),
        ];
        let samples: Vec<&Sample> = samples.iter().collect();
        let found = breakdowns(&samples, &[0.5; 6], LEVELS.crop.thresholds, &quick()).unwrap();
        let names: Vec<&str> = found[0].parts.iter().map(|part| part.name.as_str()).collect();
        assert_eq!(names, ["under 48 px", "96 to 127 px", "128 to 191 px", "256 px and more", "not said"]);
        assert_eq!((found[0].parts[0].auc, found[0].parts[1].auc), (None, Some(0.5)));
    }

    #[test]
    fn manifest_without_fields_has_no_breakdowns() {
        let samples = [Sample::new("a", Label::Real, "a"), Sample::new("b", Label::Fake, "b")];
        let samples: Vec<&Sample> = samples.iter().collect();
        assert!(breakdowns(&samples, &[0.1, 0.9], LEVELS.crop.thresholds, &quick()).unwrap().is_empty());
    }
}
