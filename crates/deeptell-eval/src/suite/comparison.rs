//! Two models over one suite.

use std::collections::HashMap;

use deeptell_metrics::{AucComparison, MetricsError, NORMAL_975, compare_auc};
use serde::Serialize;

use super::report::mean;
use super::scores::{SetScores, SuiteScores};
use super::shares::{AnswerShares, Share};
use super::units::{Kind, Unit, genuine_of, thresholds, units};
use crate::EvalError;

/// Two models over one suite.
#[derive(Debug, Clone, Serialize)]
#[non_exhaustive]
pub struct SuiteComparison {
    /// Name of the suite.
    pub suite: String,
    /// SHA-256 of the two models, or of tables of other detectors' scores.
    pub models: [String; 2],
    /// One entry per set that both have.
    pub sets: Vec<SetComparison>,
    /// Mean difference of the AUC over the sets with both classes, the second less the first.
    pub auc_difference: Option<f64>,
    /// Its 95% interval, taking sets for independent.
    pub auc_difference_ci95: Option<[f64; 2]>,
    /// Mean share of the genuine that each calls likely fake.
    pub genuine_likely_fake: [Option<f64>; 2],
    /// Mean share of the manipulated that each calls likely fake.
    pub manipulated_likely_fake: [Option<f64>; 2],
}

/// Two models on one set, at the level that a verdict would be given at.
#[derive(Debug, Clone, Serialize)]
#[non_exhaustive]
pub struct SetComparison {
    /// Name of the set.
    pub name: String,
    /// Units that both scored.
    pub units: usize,
    /// DeLong's test for samples clustered by source; absent where a class is missing.
    pub auc: Option<AucComparison>,
    /// Genuine units that each calls likely fake.
    pub genuine_likely_fake: [Option<Share>; 2],
    /// Manipulated units that each calls likely fake.
    pub manipulated_likely_fake: [Option<Share>; 2],
}

/// Compares two models by their scores of one suite: on each set the units that both scored.
///
/// # Errors
/// [`EvalError::OtherSuite`] when no set has the same name, and [`EvalError::Metrics`].
pub fn compare_suites(first: &SuiteScores, second: &SuiteScores) -> Result<SuiteComparison, EvalError> {
    let mut sets = Vec::new();
    for (number, spec) in first.suite.sets.iter().enumerate() {
        let Some(twin) = second.suite.sets.iter().position(|set| set.name == spec.name) else { continue };
        let pair = [(first, number), (second, twin)];
        let has_videos = pair.iter().all(|(scores, set)| scores.sets[*set].has_videos());
        let kind = if has_videos { Kind::Videos } else { Kind::Crops };
        let [one, two] = pair.map(|(scores, set)| {
            let levels = scores.model.levels();
            let mut all = units(&scores.sets[set], kind, &levels);
            let against = scores.suite.sets.iter().zip(&scores.sets);
            let against = against.filter(|(other, _)| scores.suite.sets[set].against.contains(&other.name));
            let own = all.len();
            let against: Vec<&SetScores> = against.map(|(_, set)| set).collect();
            all.extend(genuine_of(&against, kind, &levels));
            (all, own)
        });
        sets.push(SetComparison::of(&spec.name, (&one.0, one.1), (&two.0, two.1), kind, [first, second])?);
    }
    if sets.is_empty() {
        return Err(EvalError::OtherSuite {
            first: first.suite.name.clone(),
            second: second.suite.name.clone(),
        });
    }
    let compared: Vec<&AucComparison> = sets.iter().filter_map(|set| set.auc.as_ref()).collect();
    let auc_difference = mean(compared.iter().map(|auc| auc.difference));
    let variance: f64 = compared.iter().map(|auc| auc.standard_error.powi(2)).sum();
    let reach = NORMAL_975 * variance.sqrt() / compared.len().max(1) as f64;
    let shares = |of: fn(&SetComparison) -> [Option<Share>; 2]| {
        [0, 1].map(|model| mean(sets.iter().filter_map(|set| of(set)[model]).map(|share| share.value)))
    };
    Ok(SuiteComparison {
        suite: first.suite.name.clone(),
        models: [first, second].map(|scores| scores.model.sha256().to_owned()),
        auc_difference,
        auc_difference_ci95: auc_difference.map(|difference| [difference - reach, difference + reach]),
        genuine_likely_fake: shares(|set| set.genuine_likely_fake),
        manipulated_likely_fake: shares(|set| set.manipulated_likely_fake),
        sets,
    })
}

impl SetComparison {
    fn of(
        name: &str,
        (one, own_one): (&[Unit<'_>], usize),
        (two, own_two): (&[Unit<'_>], usize),
        kind: Kind,
        scores: [&SuiteScores; 2],
    ) -> Result<Self, EvalError> {
        let of_second: HashMap<&str, f64> = two.iter().map(|unit| (unit.key.as_str(), unit.score)).collect();
        let pairs: Vec<(&Unit<'_>, f64)> =
            one.iter().filter_map(|unit| Some((unit, *of_second.get(unit.key.as_str())?))).collect();
        let first: Vec<f64> = pairs.iter().map(|(unit, _)| unit.score).collect();
        let second: Vec<f64> = pairs.iter().map(|(_, score)| *score).collect();
        let labels: Vec<bool> = pairs.iter().map(|(unit, _)| unit.is_fake).collect();
        let sources: Vec<&str> = pairs.iter().map(|(unit, _)| unit.source).collect();
        let auc = match compare_auc(&first, &second, &labels, &sources) {
            Ok(compared) => Some(compared),
            Err(MetricsError::OneClass { .. } | MetricsError::Empty | MetricsError::TooFewGroups { .. }) => {
                None
            }
            Err(error) => return Err(error.into()),
        };
        let shares = |fake: bool| {
            [(&one[..own_one], scores[0]), (&two[..own_two], scores[1])].map(|(units, scores)| {
                let of_class = units.iter().filter(|unit| unit.is_fake == fake);
                AnswerShares::of(of_class, thresholds(&scores.model.levels(), kind))
                    .map(|shares| shares.likely_fake)
            })
        };
        Ok(Self {
            name: name.to_owned(),
            units: pairs.len(),
            auc,
            genuine_likely_fake: shares(false),
            manipulated_likely_fake: shares(true),
        })
    }
}

#[cfg(test)]
mod tests {
    use deeptell_data::Label;

    use super::*;
    use crate::suite::report::tests::{VIDEOS, crop, scored, scores};
    use crate::suite::{CropOutcome, CropScore};

    #[test]
    fn two_models_are_compared_on_what_both_scored() {
        let shifted = |by: f64| -> Vec<CropScore> {
            (0..40)
                .map(|i| {
                    let label = if i % 2 == 0 { Label::Real } else { Label::Fake };
                    let noise = f64::from(i * 7 % 20) / 4.0 - 2.5;
                    let logit = if i % 2 == 0 { noise } else { noise + by };
                    crop(&format!("{i}-x"), label, None, scored(logit))
                })
                .collect()
        };
        let first = scores(VIDEOS, vec![shifted(0.5)]);
        let mut second = scores(VIDEOS, vec![shifted(3.0)]);
        second.sets[0].crops[0].outcome = CropOutcome::NoFace;
        let compared = compare_suites(&first, &second).unwrap();
        let auc = compared.sets[0].auc.unwrap();
        assert_eq!(compared.sets[0].units, 39);
        assert!(auc.difference > 0.2 && auc.p_value < 0.01, "{auc:?}");
        assert_eq!(compared.auc_difference, Some(auc.difference));
        assert!(compared.to_string().contains("mean of the sets"));
        let other = scores("[[set]]\nname = \"else\"\ndata = \"x\"\n", vec![vec![]]);
        assert!(matches!(compare_suites(&first, &other), Err(EvalError::OtherSuite { .. })));
    }
}
