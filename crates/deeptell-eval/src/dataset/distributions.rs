use std::collections::BTreeMap;
use std::fmt;

use deeptell_data::{Label, PictureFacts, Sample};
use serde::Serialize;

use crate::face_width;

/// Number of values per property in the text; the JSON document has all.
const SHOWN: usize = 6;

/// What the samples of each class consist of. Where the classes differ, a network may learn that difference.
#[derive(Debug, PartialEq, Serialize)]
pub(super) struct Distributions {
    /// By name of a property, then by its value.
    counts: BTreeMap<&'static str, BTreeMap<String, Count>>,
    /// By name of a quantity.
    quantiles: BTreeMap<&'static str, Quantiles>,
}

#[derive(Debug, Default, PartialEq, Serialize)]
struct Count {
    real: usize,
    fake: usize,
}

/// The 5%, 50% and 95% quantiles of each class; absent for one that has no value.
#[derive(Debug, PartialEq, Serialize)]
struct Quantiles {
    real: Option<[f64; 3]>,
    fake: Option<[f64; 3]>,
}

impl Distributions {
    /// Of all samples, and of the pictures among them.
    pub(super) fn of(samples: &[Sample], pictures: &[(&Sample, PictureFacts)]) -> Self {
        let mut counts: BTreeMap<_, BTreeMap<String, Count>> = BTreeMap::new();
        let mut count = |property, value: String, label| {
            let count = counts.entry(property).or_default().entry(value).or_default();
            *(if label == Label::Fake { &mut count.fake } else { &mut count.real }) += 1;
        };
        for sample in samples {
            for property in ["codec", "compression"] {
                if let Some(value) = sample.extra.get(property) {
                    let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
                    count(property, value, sample.label);
                }
            }
            if let Some(method) = &sample.method {
                count("method", method.clone(), sample.label);
            }
        }
        let mut widths = Vec::new();
        let mut sizes = Vec::new();
        for (sample, facts) in pictures {
            count("format", facts.format.to_owned(), sample.label);
            count("size", format!("{}x{}", facts.width, facts.height), sample.label);
            sizes.push((sample.label, facts.bytes as f64 / 1000.0));
            widths.extend(face_width(sample).map(|width| (sample.label, width)));
        }
        let quantiles = [("face width, px", widths), ("file, kB", sizes)]
            .into_iter()
            .filter(|(_, values)| !values.is_empty())
            .map(|(name, values)| {
                let of = |label| quantiles(values.iter().filter(|v| v.0 == label).map(|v| v.1).collect());
                (name, Quantiles { real: of(Label::Real), fake: of(Label::Fake) })
            })
            .collect();
        Self { counts, quantiles }
    }
}

impl fmt::Display for Distributions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (property, values) in &self.counts {
            writeln!(f, "{property:<28}{:>10}{:>10}", "real", "fake")?;
            let mut values: Vec<_> = values.iter().collect();
            values.sort_by_key(|(_, count)| std::cmp::Reverse(count.real + count.fake));
            for (value, Count { real, fake }) in values.iter().take(SHOWN) {
                writeln!(f, "  {value:<26}{real:>10}{fake:>10}")?;
            }
            if values.len() > SHOWN {
                writeln!(f, "  and {} more", values.len() - SHOWN)?;
            }
        }
        for (quantity, Quantiles { real, fake }) in &self.quantiles {
            let text = |quantiles: &Option<[f64; 3]>| {
                quantiles.map_or_else(
                    || "none".to_owned(),
                    |[low, middle, high]| format!("{middle:.0} ({low:.0} to {high:.0})"),
                )
            };
            writeln!(f, "{quantity:<20}real {:<22}fake {}", text(real), text(fake))?;
        }
        Ok(())
    }
}

fn quantiles(mut values: Vec<f64>) -> Option<[f64; 3]> {
    values.sort_by(f64::total_cmp);
    let last = values.len().checked_sub(1)?;
    Some([0.05, 0.5, 0.95].map(|share| values[(share * last as f64).round() as usize]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_among_the_values() {
        assert_eq!(quantiles(vec![]), None);
        assert_eq!(quantiles(vec![3.0]), Some([3.0; 3]));
        assert_eq!(quantiles((0..=100).rev().map(f64::from).collect()), Some([5.0, 50.0, 95.0]));
    }

    #[test]
    fn real_and_fake_are_counted_separately() {
        let sample = |label, codec: &str| {
            let mut sample = Sample::new("x.mp4", label, "s");
            sample.extra.insert("codec", codec);
            sample
        };
        let samples = [
            sample(Label::Real, "h264"),
            sample(Label::Fake, "h264"),
            sample(Label::Fake, "vp9"),
            Sample::new("y.png", Label::Fake, "s").method(Some("FaceSwap".into())),
        ];
        let found = Distributions::of(&samples, &[]);
        assert_eq!(found.counts["codec"]["h264"], Count { real: 1, fake: 1 });
        assert_eq!(found.counts["codec"]["vp9"], Count { real: 0, fake: 1 });
        assert_eq!(found.counts["method"]["FaceSwap"], Count { real: 0, fake: 1 });
        assert!(found.quantiles.is_empty());
    }
}
