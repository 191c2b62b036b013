//! The shares of the answers.

use std::collections::BTreeSet;

use deeptell::{Thresholds, Verdict};
use deeptell_metrics::wilson_interval;
use serde::Serialize;

use super::units::Unit;

/// The answers for one class, at the thresholds of this level.
#[derive(Debug, Clone, Copy, Serialize)]
#[non_exhaustive]
pub struct AnswerShares {
    /// Share that is called likely fake.
    pub likely_fake: Share,
    /// Share that is called likely real.
    pub likely_real: Share,
}

/// A share with its 95% interval (Wilson's, for as many independent cases as there are sources).
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Share {
    /// How many.
    pub count: usize,
    /// Of how many.
    pub of: usize,
    /// The share, in `0..=1`.
    pub value: f64,
    /// Its interval.
    pub ci95: [f64; 2],
}

/// What these thresholds make of a score.
pub(crate) fn verdict(thresholds: Thresholds, score: f64) -> Verdict {
    if score >= thresholds.high {
        Verdict::LikelyFake
    } else if score <= thresholds.low {
        Verdict::LikelyReal
    } else {
        Verdict::Inconclusive
    }
}

impl AnswerShares {
    pub(super) fn of<'u, 's: 'u>(
        units: impl Iterator<Item = &'u Unit<'s>>,
        thresholds: Thresholds,
    ) -> Option<Self> {
        let units: Vec<&Unit<'_>> = units.collect();
        if units.is_empty() {
            return None;
        }
        let sources = units.iter().map(|unit| unit.source).collect::<BTreeSet<_>>().len();
        let share = |wanted: Verdict| {
            let says =
                |unit: &&&Unit<'_>| unit.verdict.unwrap_or_else(|| verdict(thresholds, unit.score)) == wanted;
            Share::of(units.iter().filter(says).count(), units.len(), sources)
        };
        Some(Self { likely_fake: share(Verdict::LikelyFake), likely_real: share(Verdict::LikelyReal) })
    }
}

impl Share {
    /// `count` of `of` cases, of which `independent` are independent.
    pub(crate) fn of(count: usize, of: usize, independent: usize) -> Self {
        let value = count as f64 / of.max(1) as f64;
        Self { count, of, value, ci95: wilson_interval(value, independent as f64) }
    }
}
