//! From a trained network to a detector: calibration and thresholds from validation crops.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use deeptell::{
    Calibration, Criteria, CropLevel, Levels, Measure, Model, ModelCard, PersonScoring, Thresholds, View,
};
use deeptell_data::{Sample, Split};
use deeptell_extract::recorded_face_detector;
use deeptell_face::{FaceDetector, FaceDetectorId};
use deeptell_metrics::{BinaryReport, EvaluationConfig, MetricsError, ScoreScale, evaluate, roc_auc};
use deeptell_train::TrainConfig;

use crate::levels::{Domain, FittedLevels, fit_levels};
use crate::suite::{
    CropOutcome, CropScore, FoundFaces, Framing, ScanOutcome, Scanning, ScoreOptions, ScoringTools, Suite,
    SuiteScores, score_listed, score_suite,
};
use crate::{Distortion, EvalError, Observer};

/// Faces narrower than this were hardly in the training material.
const MIN_CROP_WIDTH: f32 = 48.0;
/// Number of sampled frames that must show a person for a verdict.
const MIN_FRAMES: usize = 3;

/// What a sample without a data set belongs to.
const UNNAMED: &str = "validation";

/// The face detector that made the boxes of `samples`, `None` where they do not name one; with its settings if the crops
/// [lie in folders that record them](recorded_face_detector).
///
/// # Errors
/// [`EvalError::FaceDetectors`] if they name several.
pub fn face_detector_of<'a>(
    samples: impl IntoIterator<Item = &'a Sample>,
) -> Result<Option<FaceDetectorId>, EvalError> {
    // Manifests of the first version have the crate and its version.
    let name = |detector: &'a str| if detector.starts_with("deeptell-mtcnn") { "mtcnn" } else { detector };
    let samples: Vec<(&str, &Path)> = samples
        .into_iter()
        .filter_map(|sample| Some((name(sample.face_detector.as_deref()?), sample.path.as_path())))
        .collect();
    let Some(name) = the_only(samples.iter().map(|(name, _)| *name))? else { return Ok(None) };
    let recorded = recorded_face_detector(samples.iter().map(|(_, path)| *path));
    Ok(Some(recorded.filter(|id| id.name == name).unwrap_or_else(|| FaceDetectorId::new(name))))
}

/// The face detector of a suite whose crops are scored: `faces` where a set asks for detection, elsewhere what
/// extraction folders record. Without settings if they are not the same everywhere.
fn face_detector_of_suite(
    scores: &SuiteScores,
    faces: &dyn FaceDetector,
) -> Result<Option<FaceDetectorId>, EvalError> {
    let sets = scores.suite.sets.iter().zip(&scores.sets);
    let ids: BTreeSet<Option<FaceDetectorId>> = sets
        .map(|(spec, set)| {
            if spec.detect {
                return Some(faces.id());
            }
            recorded_face_detector(set.crops.iter().map(|crop| crop.path.as_path()))
        })
        .collect();
    let name = the_only(ids.iter().flatten().map(|id| id.name.as_str()))?.map(str::to_owned);
    let is_one = ids.len() == 1;
    let id = ids.into_iter().flatten().next();
    Ok(if is_one { id } else { name.map(FaceDetectorId::new) })
}

/// The one name of a face detector among `names`, if any.
fn the_only<'a>(names: impl Iterator<Item = &'a str>) -> Result<Option<&'a str>, EvalError> {
    let names: BTreeSet<&str> = names.collect();
    if names.len() > 1 {
        return Err(EvalError::FaceDetectors { names: names.into_iter().map(str::to_owned).collect() });
    }
    Ok(names.into_iter().next())
}

/// The samples of the split `validation`. Those without a data set belong to one that is called like `data`.
pub fn validation_of(samples: Vec<Sample>, data: &Path) -> Vec<Sample> {
    let name = data.file_stem().map(|name| name.to_string_lossy().into_owned());
    let of_split = samples.into_iter().filter(|sample| sample.split == Some(Split::Validation));
    let named = |sample: Sample| {
        let dataset = sample.dataset.clone().or_else(|| name.clone());
        sample.dataset(dataset)
    };
    of_split.map(named).collect()
}

/// A card whose scores mean nothing yet: for a network that comes from training on `samples`.
///
/// # Errors
/// As [`face_detector_of`].
pub fn uncalibrated(
    name: &str,
    trained_on: &str,
    config: &TrainConfig,
    views: Vec<View>,
    samples: &[Sample],
) -> Result<ModelCard, EvalError> {
    // No probability is under the one or over the other: nothing is judged.
    let thresholds = Thresholds { low: 0.0, high: 1.0 };
    let mut person = Criteria::new(PersonScoring::default(), thresholds);
    (person.min_frames, person.min_crop_width) = (MIN_FRAMES, MIN_CROP_WIDTH);
    let levels = Levels::new(CropLevel::new(Calibration::default(), thresholds), person);
    let mut card = ModelCard::new(name, config.architecture, levels);
    card.summary = format!("{} on single face crops: real, or manipulated.", config.architecture.title());
    card.crop = config.crop;
    card.views = views;
    trained_on.clone_into(&mut card.trained_on);
    card.seed = Some(config.seed);
    card.limits = [
        "It judges faces; a generated voice, background or caption passes unseen.",
        "It knows the manipulations of its training data; others may look real to it.",
        "Strong compression, blur and small faces hide the traces it looks for.",
        "Figures on the validation split are optimistic: the epoch, the calibration and the thresholds were \
             chosen there.",
    ]
    .map(str::to_owned)
    .to_vec();
    card.face_detector = face_detector_of(samples)?.unwrap_or(card.face_detector);
    Ok(card)
}

/// What calibration on validation crops gave.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Calibrated {
    /// The card with calibration, thresholds and measures.
    pub card: ModelCard,
    /// Figures of single crops, which are optimistic.
    pub figures: BinaryReport,
    /// Every crop with its score, in their order.
    pub crops: Vec<CropScore>,
    /// What the levels do on each domain, and how risky verdicts are.
    pub fitted: FittedLevels,
    /// Losses of quality under which the thresholds were not tested, because this build cannot apply them.
    pub left_out: Vec<Distortion>,
}

/// `model` with calibration, thresholds and measures from `validation`, whose domains are its data sets
/// ([`Sample::dataset`]).
///
/// The threshold of likely fake holds for the crops as they are and under each of the usual distortions: a genuine face
/// must not become a fake because it was recompressed. Those that this build cannot apply are left out. See
/// [`fit_levels`].
///
/// # Errors
/// [`EvalError::Calibration`] and [`EvalError::Unlearnt`] when the scores do not rise towards fakes,
/// [`EvalError::MissingCrop`] when a crop cannot be read, [`EvalError::FaceDetectors`] when the crops are of several
/// face detectors, and [`EvalError::Stopped`].
pub fn calibrate(
    model: &Model,
    validation: &[&Sample],
    observer: &mut dyn Observer,
) -> Result<Calibrated, EvalError> {
    let names: BTreeSet<&str> = validation.iter().map(|sample| domain_of(sample)).collect();
    let names: Vec<String> = names.into_iter().map(str::to_owned).collect();
    let framing = Framing { detect: false, whole_without_face: false };
    let lists: Vec<(Framing, Vec<Sample>)> = names
        .iter()
        .map(|name| {
            let of_domain = validation.iter().filter(|sample| domain_of(sample) == name);
            (framing, of_domain.map(|sample| (*sample).clone()).collect())
        })
        .collect();
    let mut score = |distortion: Option<Distortion>| {
        let options = ScoreOptions { distortion, genuine_only: false };
        let crops = score_listed(&lists, model, options, None, &mut FoundFaces::default(), observer)?;
        Ok::<_, EvalError>(names.iter().cloned().zip(crops).collect::<Vec<_>>())
    };
    let clean = score(None)?;
    let distorted: Vec<_> = usual_losses(Distortion::is_available)
        .map(|distortion| Ok((distortion, score(Some(distortion))?)))
        .collect::<Result<_, EvalError>>()?;

    // Back in the order of the samples.
    let mut of_domain: BTreeMap<&str, std::slice::Iter<'_, CropScore>> =
        clean.iter().map(|(name, crops)| (name.as_str(), crops.iter())).collect();
    let in_order = validation
        .iter()
        .filter_map(|sample| of_domain.get_mut(domain_of(sample)).and_then(Iterator::next))
        .cloned()
        .collect();
    let mut found = calibrated(model.card(), &clean, &distorted, in_order)?;
    if let Some(face_detector) = face_detector_of(validation.iter().copied())? {
        found.card.face_detector = face_detector;
    }
    Ok(found)
}

/// `model` with calibration, thresholds and measures from a suite, each set of which is a domain; sets that name one
/// [domain](crate::SuiteSet::domain) are taken together.
///
/// # Errors
/// As [`calibrate`], [`EvalError::MissingCrop`] also when data cannot be listed, and those of [`score_suite`].
pub fn calibrate_on_suite(
    model: &Model,
    suite: &Suite,
    faces: &dyn FaceDetector,
    known: &mut FoundFaces,
    observer: &mut dyn Observer,
) -> Result<Calibrated, EvalError> {
    let tools = ScoringTools { model, faces, scanner: &NoScanner };
    let mut score = |distortion: Option<Distortion>| {
        let options = ScoreOptions { distortion, genuine_only: false };
        score_suite(suite, tools, options, known, observer)
    };
    let scores = score(None)?;
    let face_detector = face_detector_of_suite(&scores, faces)?;
    let clean = by_domain(&scores)?;
    let distorted: Vec<_> = usual_losses(Distortion::is_available)
        .map(|distortion| Ok((distortion, by_domain(&score(Some(distortion))?)?)))
        .collect::<Result<_, EvalError>>()?;
    let in_order = clean.iter().flat_map(|(_, crops)| crops).cloned().collect();
    let mut found = calibrated(model.card(), &clean, &distorted, in_order)?;
    found.card.face_detector = face_detector.unwrap_or(found.card.face_detector);
    Ok(found)
}

/// Those that this build can apply.
fn usual_losses(is_available: fn(Distortion) -> bool) -> impl Iterator<Item = Distortion> {
    Distortion::USUAL.into_iter().filter(move |distortion| is_available(*distortion))
}

/// The name of a domain and its crops.
type Named = (String, Vec<CropScore>);

/// The crops of a suite by domain, each crop once.
fn by_domain(scores: &SuiteScores) -> Result<Vec<Named>, EvalError> {
    let mut domains: Vec<Named> = Vec::new();
    let mut seen = BTreeSet::new();
    for (spec, set) in scores.suite.sets.iter().zip(&scores.sets) {
        if let Some(why) = &set.fault {
            return Err(EvalError::MissingCrop { path: spec.data.clone(), why: why.clone() });
        }
        let name = spec.domain.as_ref().unwrap_or(&spec.name);
        let number = domains.iter().position(|(known, _)| known == name).unwrap_or_else(|| {
            domains.push((name.clone(), Vec::new()));
            domains.len() - 1
        });
        for crop in &set.crops {
            if seen.insert((number, crop.path.clone())) {
                domains[number].1.push(crop.clone());
            }
        }
    }
    Ok(domains)
}

fn calibrated(
    card: &ModelCard,
    clean: &[Named],
    distorted: &[(Distortion, Vec<Named>)],
    crops: Vec<CropScore>,
) -> Result<Calibrated, EvalError> {
    // Thresholds rest on all crops: none may be left out unseen.
    for crop in
        clean.iter().chain(distorted.iter().flat_map(|(_, domains)| domains)).flat_map(|(_, crops)| crops)
    {
        if let CropOutcome::Missing { why } = &crop.outcome {
            return Err(EvalError::MissingCrop { path: crop.path.clone(), why: why.clone() });
        }
    }
    let under: Vec<Vec<Domain<'_>>> = distorted.iter().map(|(_, domains)| borrowed(domains)).collect();
    let fitted = fit_levels(&borrowed(clean), &under)?;
    let scored: Vec<&CropScore> = crops.iter().filter(|crop| crop.logit().is_some()).collect();
    let calibration = fitted.levels.crop.calibration;
    let probabilities: Vec<f64> =
        scored.iter().filter_map(|crop| crop.logit()).map(|logit| calibration.probability(logit)).collect();
    let labels: Vec<bool> = scored.iter().map(|crop| crop.label.is_fake()).collect();
    let sources: Vec<&str> = scored.iter().map(|crop| crop.source.as_str()).collect();
    let config = EvaluationConfig::default().scale(ScoreScale::Probability);
    let figures = evaluate(&probabilities, &labels, &sources, &config)?;

    let measure = |name: &str, value, ends: Option<[f64; 2]>| Measure::new(name, value).with_interval(ends);
    let mut measures = vec![
        measure("AUC-ROC, single crops, validation split", figures.auc, figures.auc_ci95),
        measure("average precision, validation split", figures.ap, None),
        measure("equal error rate, validation split", figures.eer, None),
    ];
    for (distortion, domains) in distorted {
        let auc = auc_of(domains)?;
        measures.push(measure(&format!("AUC-ROC, validation split, {distortion}"), auc, None));
    }
    measures.extend(fitted.measures());
    let mut card = card.clone();
    card.levels.clone_from(&fitted.levels);
    card.measures = measures;
    let is_tested = |usual: &Distortion| distorted.iter().any(|(distortion, _)| distortion == usual);
    let left_out = Distortion::USUAL.into_iter().filter(|usual| !is_tested(usual)).collect();
    Ok(Calibrated { card, figures, crops, fitted, left_out })
}

fn borrowed(domains: &[Named]) -> Vec<Domain<'_>> {
    domains.iter().map(|(name, crops)| Domain { name, crops }).collect()
}

fn auc_of(domains: &[Named]) -> Result<f64, MetricsError> {
    let scored =
        || domains.iter().flat_map(|(_, crops)| crops).filter_map(|crop| Some((crop, crop.logit()?)));
    let logits: Vec<f64> = scored().map(|(_, logit)| logit).collect();
    let labels: Vec<bool> = scored().map(|(crop, _)| crop.label.is_fake()).collect();
    roc_auc(&logits, &labels)
}

fn domain_of(sample: &Sample) -> &str {
    sample.dataset.as_deref().unwrap_or(UNNAMED)
}

/// For suites whose files are crops.
struct NoScanner;

impl Scanning for NoScanner {
    fn scan(&self, _: &Path) -> Result<Option<ScanOutcome>, Box<dyn std::error::Error + Send + Sync>> {
        Err("calibration takes crops, not files to scan".into())
    }
}

#[cfg(test)]
mod tests {
    use deeptell_data::Label;

    use super::*;

    #[test]
    fn losses_that_cannot_be_applied_are_left_out() {
        let without_encoder = |distortion: Distortion| !matches!(distortion, Distortion::H264(_));
        let left: Vec<Distortion> = usual_losses(without_encoder).collect();
        assert_eq!(left, Distortion::USUAL[1..]);
        assert!(
            Distortion::USUAL.iter().all(|usual| usual.is_available()),
            "the FFmpeg of the tests has libx264"
        );
    }

    #[test]
    fn a_card_has_the_settings_of_the_face_detector_that_folders_record() {
        let folder = tempfile::tempdir().unwrap();
        let record = |name: &str, min_face: u32| {
            let text = format!(
                "frames = 1\nface = 'largest'\nmin_face = {min_face}.0\nmin_probability = 0.9\nformat = 'png'\n\
                 [crop]\nsize = 64\nscale = 1.0\nalign = false\n\
                 [face_detector]\nname = 'mtcnn'\nsettings = {{ min_face = '{min_face}' }}\n"
            );
            std::fs::create_dir(folder.path().join(name)).unwrap();
            std::fs::write(folder.path().join(name).join("extract.toml"), text).unwrap();
        };
        record("one", 40);
        record("same", 40);
        record("other", 20);
        let of = |folders: &[&str], name: &str| {
            let sample = |of: &&str| {
                Sample::new(folder.path().join(of).join("crops/real/a.png"), Label::Real, "a")
                    .face_detector(Some(name.to_owned()))
            };
            let samples: Vec<Sample> = folders.iter().map(sample).collect();
            face_detector_of(&samples).unwrap().unwrap().to_string()
        };
        assert_eq!(of(&["one", "same"], "mtcnn"), "mtcnn (min_face 40)");
        assert_eq!(of(&["one", "other"], "mtcnn"), "mtcnn", "several settings are none");
        assert_eq!(of(&["one", "moved"], "mtcnn"), "mtcnn", "some are not known");
        assert_eq!(of(&["one"], "yunet"), "yunet", "another one found these");
    }

    #[test]
    fn card_names_the_face_detector_of_its_crops() {
        let sample = |detector: Option<&str>| {
            Sample::new("a.png", Label::Real, "a").face_detector(detector.map(str::to_owned))
        };
        let card = |detectors: &[Option<&str>]| {
            let samples: Vec<Sample> = detectors.iter().copied().map(sample).collect();
            uncalibrated("m", "x", &TrainConfig::default(), vec![View::WHOLE], &samples)
        };
        let name = |detectors: &[Option<&str>]| card(detectors).unwrap().face_detector.name;
        assert_eq!(name(&[None, Some("yunet"), Some("yunet")]), "yunet");
        assert_eq!(name(&[Some("deeptell-mtcnn 0.1.0"), Some("mtcnn")]), "mtcnn");
        assert_eq!(name(&[None]), "mtcnn", "the one that crops were always made with");
        let error = card(&[Some("yunet"), Some("mtcnn")]).unwrap_err().to_string();
        assert!(error.contains("mtcnn and yunet"), "{error}");
    }
}
