//! The table of a suite.

use std::collections::{BTreeMap, BTreeSet};

use deeptell::Levels;
use deeptell_data::Label;
use deeptell_metrics::{BootstrapConfig, MetricsError, bootstrap_interval, roc_auc};
use serde::Serialize;

use super::scores::{CropOutcome, SetScores, SuiteScores};
use super::shares::{AnswerShares, Share};
use super::spec::Role;
use super::units::{Kind, Unit, genuine_of, thresholds, units};
use crate::EvalError;

/// Reasons for missing crops that are listed in full; more are counted.
const REASONS: usize = 3;

/// The table of a suite.
#[derive(Debug, Clone, Serialize)]
#[non_exhaustive]
pub struct SuiteReport {
    /// Name of the suite.
    pub suite: String,
    /// Name of the model, or of another detector.
    pub model: String,
    /// SHA-256 of its file, or of the table of its scores.
    pub model_sha256: String,
    /// Number of views a score is averaged over; absent for another detector.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub views: Option<usize>,
    /// Whether every sample that should have been scored was.
    pub complete: bool,
    /// One entry per set, in their order.
    pub sets: Vec<SetReport>,
    /// Over all sets.
    pub summary: SuiteSummary,
}

/// The row of one set.
#[derive(Debug, Clone, Serialize)]
#[non_exhaustive]
pub struct SetReport {
    /// Name of the set.
    pub name: String,
    /// What was scored, and what not.
    pub coverage: Coverage,
    /// Names of the sets whose genuine crops the AUC takes in.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub against: Vec<String>,
    /// Every crop by itself.
    pub crops: UnitLevel,
    /// The crops of one person in one video together; absent where no crop names a video.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub people: Option<UnitLevel>,
    /// The people of one video together: the highest score counts; absent where no crop names a video.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub videos: Option<UnitLevel>,
    /// The methods by which its fakes were made, in the order of their names; empty where none is named.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub generators: Vec<GeneratorFigures>,
}

/// The fakes of one method against all genuine samples of a set, and of those that it is measured against. At the level
/// at which verdicts are given: videos where there are some, otherwise crops.
#[derive(Debug, Clone, Serialize)]
#[non_exhaustive]
pub struct GeneratorFigures {
    /// The method.
    pub generator: String,
    /// Whether the detector was not trained on it, as the suite says.
    pub left_out: bool,
    /// Genuine units that its fakes are measured against.
    pub n_real: usize,
    /// Its fakes.
    pub n_fake: usize,
    /// Absent where a class is missing.
    pub auc: Option<f64>,
    /// Its 95% interval, by resampling whole sources.
    pub auc_ci95: Option<[f64; 2]>,
    /// The answers for its fakes.
    pub manipulated: Option<AnswerShares>,
}

/// Which samples of a set were scored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Coverage {
    /// How many there should be.
    pub expected: usize,
    /// How many the data lists.
    pub listed: usize,
    /// How many have a score.
    pub scored: usize,
    /// Of those, how many were taken whole because no face was found.
    pub taken_whole: usize,
    /// In how many no face was found.
    pub no_face: usize,
    /// How many could not be read, or are not listed though they are expected.
    pub missing: usize,
    /// Why some are missing.
    pub why: Vec<String>,
}

impl Coverage {
    /// Whether nothing is missing.
    pub fn is_complete(&self) -> bool {
        self.missing == 0 && self.why.is_empty()
    }
}

/// The figures of one level: crops, people or videos.
#[derive(Debug, Clone, Serialize)]
#[non_exhaustive]
pub struct UnitLevel {
    /// Genuine ones of the set itself.
    pub n_real: usize,
    /// Manipulated ones of the set itself.
    pub n_fake: usize,
    /// Number of sources of the set itself.
    pub n_sources: usize,
    /// Absent where a class is missing.
    pub auc: Option<f64>,
    /// Its 95% interval, by resampling whole sources.
    pub auc_ci95: Option<[f64; 2]>,
    /// The answers for genuine ones.
    pub genuine: Option<AnswerShares>,
    /// The answers for manipulated ones.
    pub manipulated: Option<AnswerShares>,
}

/// Means over the sets, and the worst sets. Each set counts equally, at its highest level: videos if it has some,
/// otherwise crops.
#[derive(Debug, Clone, Serialize)]
#[non_exhaustive]
pub struct SuiteSummary {
    /// Mean AUC of the sets with both classes, single crops.
    pub auc_crops: Option<f64>,
    /// Mean AUC of the sets with both classes, at their highest level.
    pub auc: Option<f64>,
    /// Number of sets with both classes.
    pub sets_with_auc: usize,
    /// Mean share of the genuine that is called likely fake.
    pub genuine_likely_fake: Option<f64>,
    /// Mean share of the genuine that is called likely real.
    pub genuine_likely_real: Option<f64>,
    /// Mean share of the manipulated that is called likely fake.
    pub manipulated_likely_fake: Option<f64>,
    /// Mean share of the manipulated that is called likely real.
    pub manipulated_likely_real: Option<f64>,
    /// Of all genuine units together, the share that is called likely fake.
    pub all_genuine_likely_fake: Option<Share>,
    /// Mean AUC of the generators that the training may have seen.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub auc_generators: Option<f64>,
    /// Mean AUC of the generators that the training left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub auc_left_out_generators: Option<f64>,
    /// The worst sets, one per figure.
    pub worst: Vec<WorstRow>,
}

/// The worst set in one figure.
#[derive(Debug, Clone, Serialize)]
#[non_exhaustive]
pub struct WorstRow {
    /// The figure, in words.
    pub figure: &'static str,
    /// Name of the set.
    pub set: String,
    /// Its value.
    pub value: f64,
}

/// Makes the table from scores, without running the model.
///
/// # Errors
/// [`EvalError::Metrics`] when a figure cannot be computed.
pub fn report_suite(scores: &SuiteScores, resamples: usize) -> Result<SuiteReport, EvalError> {
    let bootstrap = BootstrapConfig::default().resamples(resamples);
    let levels = &scores.model.levels();
    let mut sets = Vec::with_capacity(scores.sets.len());
    for (spec, set) in scores.suite.sets.iter().zip(&scores.sets) {
        let opponents: Vec<&SetScores> = scores
            .suite
            .sets
            .iter()
            .zip(&scores.sets)
            .filter(|(other, _)| spec.against.contains(&other.name))
            .map(|(_, set)| set)
            .collect();
        let level = |kind: Kind| level(set, &opponents, kind, levels, &bootstrap);
        let has_videos = set.has_videos();
        let judged = if has_videos { Kind::Videos } else { Kind::Crops };
        sets.push(SetReport {
            name: spec.name.clone(),
            coverage: coverage(
                set,
                spec.expect.map(|expected| match spec.role {
                    Role::Both => [expected.real, expected.fake],
                    Role::Genuine => [expected.real, 0],
                    Role::Manipulated => [0, expected.fake],
                }),
            ),
            against: spec.against.clone(),
            crops: level(Kind::Crops)?,
            people: has_videos.then(|| level(Kind::People)).transpose()?,
            videos: has_videos.then(|| level(Kind::Videos)).transpose()?,
            generators: generators(set, &opponents, &spec.left_out, judged, levels, &bootstrap)?,
        });
    }
    Ok(SuiteReport {
        suite: scores.suite.name.clone(),
        model: scores.model.name().to_owned(),
        model_sha256: scores.model.sha256().to_owned(),
        views: scores.model.views(),
        complete: sets.iter().all(|set| set.coverage.is_complete()),
        summary: SuiteSummary::of(&sets),
        sets,
    })
}

impl SetReport {
    /// The level that a verdict would be given at: videos where there are some, else crops.
    pub fn judged(&self) -> &UnitLevel {
        self.videos.as_ref().unwrap_or(&self.crops)
    }
}

fn coverage(set: &SetScores, expect: Option<[usize; 2]>) -> Coverage {
    let listed = set.crops.len();
    let of_class = |label: Label| set.crops.iter().filter(|crop| crop.label == label).count();
    let found = [of_class(Label::Real), of_class(Label::Fake)];
    let mut reasons: BTreeMap<String, usize> = BTreeMap::new();
    let mut coverage = Coverage {
        expected: expect.map_or(listed, |[real, fake]| real + fake),
        listed,
        scored: 0,
        taken_whole: 0,
        no_face: 0,
        missing: 0,
        why: Vec::new(),
    };
    for crop in &set.crops {
        match &crop.outcome {
            CropOutcome::Scored { whole, .. } => {
                coverage.scored += 1;
                coverage.taken_whole += usize::from(*whole);
            }
            CropOutcome::Given { .. } | CropOutcome::Scanned(_) => coverage.scored += 1,
            CropOutcome::NoFace => coverage.no_face += 1,
            CropOutcome::Missing { why } => {
                coverage.missing += 1;
                *reasons.entry(why.clone()).or_default() += 1;
            }
        }
    }
    if let Some(expected) = expect.filter(|expected| *expected != found) {
        coverage.missing += (0..2).map(|class| expected[class].saturating_sub(found[class])).sum::<usize>();
        coverage.why.push(format!(
            "{} real and {} fake are listed, {} and {} are expected",
            found[0], found[1], expected[0], expected[1]
        ));
    }
    coverage.why.extend(set.fault.clone());
    if listed == 0 && set.fault.is_none() {
        coverage.why.push("no sample is in the set".to_owned());
    }
    let more = reasons.len().saturating_sub(REASONS);
    coverage.why.extend(reasons.into_keys().take(REASONS));
    if more > 0 {
        coverage.why.push(format!("and {more} more reasons"));
    }
    coverage
}

fn level(
    set: &SetScores,
    opponents: &[&SetScores],
    kind: Kind,
    levels: &Levels,
    bootstrap: &BootstrapConfig,
) -> Result<UnitLevel, EvalError> {
    let own = units(set, kind, levels);
    let of_class = |fake: bool| own.iter().filter(move |unit| unit.is_fake == fake);
    let (n_real, n_fake) = (of_class(false).count(), of_class(true).count());
    let others = genuine_of(opponents, kind, levels);
    let both: Vec<&Unit<'_>> = own.iter().chain(&others).collect();
    let (auc, auc_ci95) = auc(&both, bootstrap)?;
    let thresholds = thresholds(levels, kind);
    Ok(UnitLevel {
        n_real,
        n_fake,
        n_sources: own.iter().map(|unit| unit.source).collect::<BTreeSet<_>>().len(),
        auc,
        auc_ci95,
        genuine: AnswerShares::of(of_class(false), thresholds),
        manipulated: AnswerShares::of(of_class(true), thresholds),
    })
}

fn generators(
    set: &SetScores,
    opponents: &[&SetScores],
    left_out: &[String],
    kind: Kind,
    levels: &Levels,
    bootstrap: &BootstrapConfig,
) -> Result<Vec<GeneratorFigures>, EvalError> {
    let own = units(set, kind, levels);
    let others = genuine_of(opponents, kind, levels);
    let genuine: Vec<&Unit<'_>> = own.iter().chain(&others).filter(|unit| !unit.is_fake).collect();
    // One that the suite names and the data does not have is in the table, too: its name may be misspelled.
    let of_data =
        set.crops.iter().filter(|crop| crop.label.is_fake()).filter_map(|crop| crop.method.as_deref());
    let names: BTreeSet<&str> = of_data.chain(left_out.iter().map(String::as_str)).collect();
    names
        .into_iter()
        .map(|name| {
            let fakes: Vec<&Unit<'_>> =
                own.iter().filter(|unit| unit.is_fake && unit.method == Some(name)).collect();
            let both: Vec<&Unit<'_>> = genuine.iter().chain(&fakes).copied().collect();
            let (auc, auc_ci95) = auc(&both, bootstrap)?;
            Ok(GeneratorFigures {
                generator: name.to_owned(),
                left_out: left_out.iter().any(|left_out| left_out == name),
                n_real: genuine.len(),
                n_fake: fakes.len(),
                auc,
                auc_ci95,
                manipulated: AnswerShares::of(fakes.into_iter(), thresholds(levels, kind)),
            })
        })
        .collect()
}

/// A figure with its interval.
type WithInterval = (Option<f64>, Option<[f64; 2]>);

fn auc(units: &[&Unit<'_>], bootstrap: &BootstrapConfig) -> Result<WithInterval, MetricsError> {
    let scores: Vec<f64> = units.iter().map(|unit| unit.score).collect();
    let labels: Vec<bool> = units.iter().map(|unit| unit.is_fake).collect();
    let sources: Vec<&str> = units.iter().map(|unit| unit.source).collect();
    let auc = match roc_auc(&scores, &labels) {
        Ok(auc) => auc,
        Err(MetricsError::OneClass { .. } | MetricsError::Empty) => return Ok((None, None)),
        Err(error) => return Err(error),
    };
    match bootstrap_interval(&scores, &labels, &sources, roc_auc, bootstrap) {
        Ok(interval) => Ok((Some(auc), Some([interval.low, interval.high]))),
        Err(MetricsError::TooFewGroups { .. }) => Ok((Some(auc), None)),
        Err(error) => Err(error),
    }
}

pub(super) fn mean(values: impl Iterator<Item = f64>) -> Option<f64> {
    let values: Vec<f64> = values.collect();
    (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
}

impl SuiteSummary {
    fn of(sets: &[SetReport]) -> Self {
        let genuine = || sets.iter().filter_map(|set| Some((set, set.judged().genuine?)));
        let manipulated = || sets.iter().filter_map(|set| Some((set, set.judged().manipulated?)));
        let aucs = || sets.iter().filter_map(|set| Some((set, set.judged().auc?)));
        let mut worst = Vec::new();
        let mut note = |figure: &'static str, found: Option<(&SetReport, f64)>| {
            worst.extend(found.map(|(set, value)| WorstRow { figure, set: set.name.clone(), value }));
        };
        let by_value = |a: &(&SetReport, f64), b: &(&SetReport, f64)| a.1.total_cmp(&b.1);
        note("lowest AUC", aucs().min_by(by_value));
        note(
            "genuine called likely fake",
            genuine().map(|(set, shares)| (set, shares.likely_fake.value)).max_by(by_value),
        );
        note(
            "manipulated called likely real",
            manipulated().map(|(set, shares)| (set, shares.likely_real.value)).max_by(by_value),
        );
        note(
            "manipulated called likely fake, lowest",
            manipulated().map(|(set, shares)| (set, shares.likely_fake.value)).min_by(by_value),
        );
        let alarms: [usize; 2] = genuine().fold([0, 0], |[count, of], (_, shares)| {
            [count + shares.likely_fake.count, of + shares.likely_fake.of]
        });
        let of_generators = |left_out: bool| {
            let all = sets.iter().flat_map(|set| &set.generators);
            mean(all.filter(|generator| generator.left_out == left_out).filter_map(|generator| generator.auc))
        };
        let sources: usize = genuine().map(|(set, _)| set.judged().n_sources).sum();
        Self {
            auc_crops: mean(sets.iter().filter_map(|set| set.crops.auc)),
            auc: mean(aucs().map(|(_, auc)| auc)),
            sets_with_auc: aucs().count(),
            genuine_likely_fake: mean(genuine().map(|(_, shares)| shares.likely_fake.value)),
            genuine_likely_real: mean(genuine().map(|(_, shares)| shares.likely_real.value)),
            manipulated_likely_fake: mean(manipulated().map(|(_, shares)| shares.likely_fake.value)),
            manipulated_likely_real: mean(manipulated().map(|(_, shares)| shares.likely_real.value)),
            all_genuine_likely_fake: (alarms[1] > 0).then(|| Share::of(alarms[0], alarms[1], sources)),
            auc_generators: of_generators(false),
            auc_left_out_generators: of_generators(true),
            worst,
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use deeptell::Verdict;

    use super::*;
    use crate::evaluation::page::tests::model;
    use crate::suite::{CropScore, ScanOutcome, Suite};

    pub(crate) fn crop(name: &str, label: Label, video: Option<&str>, outcome: CropOutcome) -> CropScore {
        CropScore {
            path: name.into(),
            label,
            source: name.split('-').next().unwrap_or_default().to_owned(),
            video: video.map(str::to_owned),
            person: None,
            method: None,
            crop_width: None,
            outcome,
        }
    }

    pub(crate) fn scored(logit: f64) -> CropOutcome {
        CropOutcome::Scored { logit, blur: 0.5, whole: false }
    }

    /// Thresholds are 0.3 and 0.7, and probabilities the plain sigmoid of the logits.
    pub(crate) fn scores(sets: &str, crops: Vec<Vec<CropScore>>) -> SuiteScores {
        let suite = Suite::parse(&format!("name = \"s\"\n{sets}"), "".as_ref()).unwrap();
        let model = model("m").into();
        let sets = crops.into_iter().map(|crops| SetScores { fault: None, crops }).collect();
        SuiteScores { suite, model, sets }
    }

    pub(crate) const VIDEOS: &str = "[[set]]\nname = \"videos\"\ndata = \"x\"\n";

    fn two_videos() -> Vec<CropScore> {
        vec![
            crop("a-1", Label::Real, Some("a"), scored(2.0)),
            crop("a-2", Label::Real, Some("a"), scored(-3.0)),
            crop("b-1", Label::Fake, Some("b"), scored(3.0)),
            crop("b-2", Label::Fake, Some("b"), scored(-0.5)),
        ]
    }

    #[test]
    fn figures_of_crops_and_videos_match_hand_count() {
        let report = report_suite(&scores(VIDEOS, vec![two_videos()]), 20).unwrap();
        let set = &report.sets[0];
        assert_eq!(set.crops.auc, Some(0.75));
        // Means of 0.46 and 0.67: ordered, and both between the thresholds.
        assert_eq!(set.videos.as_ref().unwrap().auc, Some(1.0));
        let [genuine, manipulated] = [set.crops.genuine.unwrap(), set.crops.manipulated.unwrap()];
        assert_eq!((genuine.likely_fake.count, genuine.likely_real.count), (1, 1));
        assert_eq!((manipulated.likely_fake.count, manipulated.likely_real.count), (1, 0));
        let judged = set.judged().genuine.unwrap();
        assert_eq!((judged.likely_fake.count, judged.likely_real.count, judged.likely_real.of), (0, 0, 1));
        assert!(report.complete && report.summary.auc == Some(1.0) && report.summary.auc_crops == Some(0.75));
        let text = report.to_string();
        assert!(text.contains("videos") && text.contains("4/4"), "{text}");
        let html = crate::suite_page(&report);
        assert!(html.contains("0.750") && !html.contains("<script"));
    }

    #[test]
    fn a_set_of_one_class_is_measured_against_the_genuine_of_another() {
        let sets = "[[set]]\nname = \"photos\"\ndata = \"x\"\nrole = \"genuine\"\n\
                    [[set]]\nname = \"generated\"\ndata = \"y\"\nrole = \"manipulated\"\nagainst = [\"photos\"]\n";
        let photos =
            vec![crop("p", Label::Real, None, scored(0.0)), crop("q", Label::Real, None, scored(2.0))];
        let generated = vec![crop("g", Label::Fake, None, scored(1.0))];
        let report = report_suite(&scores(sets, vec![photos, generated]), 20).unwrap();
        assert_eq!((report.sets[0].crops.auc, report.sets[1].crops.auc), (None, Some(0.5)));
        assert_eq!((report.sets[1].crops.n_real, report.sets[1].crops.n_fake), (0, 1));
        assert!(report.sets[1].crops.genuine.is_none());
    }

    #[test]
    fn unscored_samples_are_counted_and_make_the_table_incomplete() {
        let sets = "[[set]]\nname = \"a\"\ndata = \"x\"\nexpect = { real = 2, fake = 2 }\n";
        let crops = vec![
            crop("p", Label::Real, None, scored(0.0)),
            crop("q", Label::Real, None, CropOutcome::NoFace),
            crop("r", Label::Fake, None, CropOutcome::Missing { why: "torn".to_owned() }),
        ];
        let report = report_suite(&scores(sets, vec![crops]), 20).unwrap();
        let coverage = &report.sets[0].coverage;
        assert_eq!((coverage.expected, coverage.listed, coverage.scored), (4, 3, 1));
        assert_eq!((coverage.no_face, coverage.missing), (1, 2));
        assert!(
            coverage.why.iter().any(|why| why == "torn") && coverage.why[0].contains("2 and 2 are expected")
        );
        assert!(!report.complete);
        // A face that is not there is an answer.
        let found = vec![vec![crop("q", Label::Real, None, CropOutcome::NoFace)]];
        assert!(report_suite(&scores(VIDEOS, found), 20).unwrap().complete);
    }

    #[test]
    fn coverage_table_gives_reasons() {
        let sets = "[[set]]\nname = \"a\"\ndata = \"x\"\nexpect = { real = 2, fake = 1 }\n";
        let crops = vec![
            crop("p", Label::Real, None, scored(0.0)),
            crop("q", Label::Real, None, CropOutcome::NoFace),
            crop("r", Label::Fake, None, CropOutcome::Missing { why: "torn".to_owned() }),
        ];
        let report = report_suite(&scores(sets, vec![crops]), 20).unwrap();
        let text = report.to_string();
        let (_, table) = text.split_once("Coverage, incomplete:").unwrap();
        let rows: Vec<Vec<&str>> =
            table.trim().lines().map(|line| line.split_whitespace().collect()).collect();
        assert_eq!(rows[0].join(" "), "set expected listed scored of them whole no face missing why");
        assert_eq!(rows[1], ["a", "3", "3", "1", "0", "1", "1", "torn"]);
        let html = crate::suite_page(&report);
        assert!(html.contains("Coverage, incomplete") && html.contains("<td>torn</td>"), "{html}");
    }

    #[test]
    fn generators_left_out_of_the_training_are_shown_apart() {
        let sets = "[[set]]\nname = \"a\"\ndata = \"x\"\nleft_out = [\"new\", \"typo\"]\n";
        let fake = |name: &str, method: &str, logit: f64| CropScore {
            method: Some(method.to_owned()),
            ..crop(name, Label::Fake, None, scored(logit))
        };
        let crops = vec![
            crop("p", Label::Real, None, scored(-1.0)),
            crop("q", Label::Real, None, scored(1.0)),
            fake("r", "old", 3.0),
            fake("s", "old", 2.0),
            fake("t", "new", 0.0),
        ];
        let report = report_suite(&scores(sets, vec![crops]), 20).unwrap();
        let [new, old, typo] = &report.sets[0].generators[..] else { panic!("{report:?}") };
        assert_eq!((new.generator.as_str(), new.left_out, new.n_real, new.n_fake), ("new", true, 2, 1));
        assert_eq!((new.auc, new.manipulated.unwrap().likely_fake.count), (Some(0.5), 0));
        assert_eq!(
            (old.auc, old.left_out, old.manipulated.unwrap().likely_fake.count),
            (Some(1.0), false, 2)
        );
        assert_eq!((typo.n_fake, typo.auc), (0, None));
        let summary = &report.summary;
        assert_eq!((summary.auc_generators, summary.auc_left_out_generators), (Some(1.0), Some(0.5)));
        let text = report.to_string();
        let (seen, left_out) = text.split_once("Generators that the training left out:").unwrap();
        assert!(seen.contains("old") && !seen.contains("new") && left_out.contains("typo"), "{text}");
        let html = crate::suite_page(&report);
        assert!(html.contains("Generators that the training left out") && html.contains("<td>old</td>"));
    }

    #[test]
    fn a_scan_is_judged_by_its_verdict() {
        let found = |verdict| CropOutcome::Scanned(ScanOutcome { verdict, score: 0.9, people: Some(1) });
        let crops = vec![
            crop("a", Label::Real, None, found(Verdict::Inconclusive)),
            crop("b", Label::Real, None, found(Verdict::LikelyFake)),
        ];
        let report = report_suite(&scores(VIDEOS, vec![crops]), 20).unwrap();
        let genuine = report.sets[0].judged().genuine.unwrap();
        assert_eq!((genuine.likely_fake.count, genuine.likely_fake.of), (1, 2));
        assert_eq!(report.sets[0].coverage.scored, 2);
    }

    #[test]
    fn saved_scores_give_the_same_table() {
        let before = scores(VIDEOS, vec![two_videos()]);
        let bytes = before.to_bytes().unwrap();
        assert!(SuiteScores::is_saved(&bytes));
        let after = SuiteScores::from_bytes(&bytes, "s".as_ref()).unwrap();
        let json = |scores: &SuiteScores| serde_json::to_string(&report_suite(scores, 20).unwrap()).unwrap();
        assert_eq!(json(&before), json(&after));
        let cut = &bytes[..bytes.len() - 10];
        let error = SuiteScores::from_bytes(cut, "s".as_ref()).unwrap_err();
        assert!(error.to_string().contains("line 5"), "{error}");
    }
}
