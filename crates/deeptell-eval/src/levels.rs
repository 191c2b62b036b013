//! Calibration and thresholds of single crops and of people, from validation crops of several domains.

use std::collections::{BTreeMap, HashMap};

use deeptell::{
    Calibration, Criteria, CropLevel, Levels, Measure, PersonCalibration, PersonFeatures, PersonScoring,
    Thresholds,
};
use deeptell_metrics::{
    LogisticModel, MetricsError, expected_calibration_error, log_loss_of_logit, roc_auc, sigmoid,
};
use serde::Serialize;

use crate::EvalError;
use crate::person::Evidence;
use crate::suite::{CropScore, Share};

/// Number of sampled frames that must show a person for a verdict.
const MIN_FRAMES: usize = 3;
/// At most this share of the genuine is called likely fake.
const FALSE_ALARMS: f64 = 0.01;
/// At most this share of the manipulated is called likely real.
const MISSES: f64 = 0.05;
/// What the bounds of all domains together may fail by chance.
const DOUBT: f64 = 0.05;
/// Bins of equal width of the calibration error.
const ECE_BINS: usize = 10;
/// A feature of a person is used when it lowers the logarithmic loss on domains that the fit did not see by this part.
const LEAST_GAIN: f64 = 0.01;
/// Bins of a risk curve.
const RISK_BINS: usize = 8;

/// The validation crops of one domain.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct Domain<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its crops.
    pub crops: &'a [CropScore],
}

impl<'a> Domain<'a> {
    /// The crops of the domain of this name.
    pub fn new(name: &'a str, crops: &'a [CropScore]) -> Self {
        Self { name, crops }
    }
}

/// The result of a calibration on several domains.
#[derive(Debug, Clone, Serialize)]
#[non_exhaustive]
pub struct FittedLevels {
    /// For the model's card.
    pub levels: Levels,
    /// Features of a person that are used beside the mean logit.
    pub person_features: Vec<&'static str>,
    /// Single crops, one entry per domain.
    pub crops: Vec<DomainFigures>,
    /// People, one entry per domain.
    pub people: Vec<DomainFigures>,
    /// How often verdicts on people are wrong, by blur.
    pub risk_by_blur: Vec<RiskBin>,
    /// How often verdicts on people are wrong, by the width of the crop in its frame.
    pub risk_by_width: Vec<RiskBin>,
}

/// Figures of a fitted level on one domain of its validation data.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct DomainFigures {
    /// The domain.
    pub domain: String,
    /// Genuine units.
    pub n_real: usize,
    /// Manipulated units.
    pub n_fake: usize,
    /// Absent where a class is missing.
    pub auc: Option<f64>,
    /// Expected calibration error, each class counting half; absent where a class is missing.
    pub ece: Option<f64>,
    /// Share of the genuine that is called likely fake.
    pub genuine_likely_fake: Option<Share>,
    /// Share of the genuine that is called likely real.
    pub genuine_likely_real: Option<Share>,
    /// Share of the manipulated that is called likely fake.
    pub manipulated_likely_fake: Option<Share>,
    /// Share of the manipulated that is called likely real.
    pub manipulated_likely_real: Option<Share>,
}

/// One stretch of a risk curve.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[non_exhaustive]
pub struct RiskBin {
    /// Least value in it.
    pub from: f64,
    /// Greatest value in it.
    pub to: f64,
    /// Share of the genuine that is called likely fake.
    pub genuine_likely_fake: Option<Share>,
    /// Share of the manipulated that is called likely real.
    pub manipulated_likely_real: Option<Share>,
}

impl RiskBin {
    /// Whether verdicts are wrong more often here than allowed, with 95% confidence.
    pub fn is_excessive(&self) -> bool {
        let exceeds = |share: Option<Share>, most: f64| share.is_some_and(|share| share.ci95[0] > most);
        exceeds(self.genuine_likely_fake, FALSE_ALARMS) || exceeds(self.manipulated_likely_real, MISSES)
    }
}

/// A crop, or a person.
#[derive(Debug, Clone)]
struct Unit {
    domain: usize,
    is_fake: bool,
    features: PersonFeatures,
    blur: f64,
    width: Option<f64>,
}

/// Fits calibration and thresholds of both levels.
///
/// Each domain counts equally in the calibration, whatever its size, and each class counts half. "Likely fake" starts
/// at the score that at most 1% of the genuine samples of the worst domain reach and, with 95% confidence, at most 1%
/// of those of all domains together; "likely real" ends where the same holds for 5% of the manipulated samples. The
/// bound of all domains together also holds for each list of their `distorted` crops. In a domain with too few samples
/// to show such a rate, a normal distribution of their logits must keep to it as well.
///
/// The level of people is that of videos: it rests on the domains whose crops name a video, and on all domains only
/// where those lack a class. Pictures are judged by the level of crops.
///
/// # Errors
/// [`EvalError::Calibration`] when the scores do not rise towards fakes, or when a class is missing.
pub fn fit_levels(domains: &[Domain<'_>], distorted: &[Vec<Domain<'_>>]) -> Result<FittedLevels, EvalError> {
    let crops = units(domains, false);
    let people = units(domains, true);

    let crop_model = fit(&crops, &[], domains.len()).map_err(EvalError::Calibration)?;
    let (person_model, features) = fit_person(&people, domains.len()).map_err(EvalError::Calibration)?;
    if crop_model.coefficients[0] <= 0.0 || person_model.coefficients[0] <= 0.0 {
        return Err(EvalError::Unlearnt);
    }
    let calibration = Calibration { slope: crop_model.coefficients[0], intercept: crop_model.intercept };
    let scoring = person_calibration(&person_model, &features);

    let score_crop = |unit: &Unit| calibration.probability(unit.features.mean_logit);
    let score_person = |unit: &Unit| scoring.probability(&unit.features);
    let under = |of_people: bool| -> Vec<Vec<Unit>> {
        distorted.iter().map(|domains| units(domains, of_people)).collect()
    };
    let crop_thresholds = thresholds(&crops, &under(false), domains.len(), &score_crop);
    let person_thresholds = thresholds(&people, &under(true), domains.len(), &score_person);

    let by_blur = risk_curve(&people, &|unit| Some(unit.blur), &score_person, person_thresholds);
    let by_width = risk_curve(&people, &|unit| unit.width, &score_person, person_thresholds);
    let mut person = Criteria::new(PersonScoring::Logistic(scoring), person_thresholds);
    person.min_frames = MIN_FRAMES;
    person.min_crop_width =
        by_width.iter().take_while(|bin| bin.is_excessive()).last().map_or(0.0, |bin| bin.to) as f32;
    person.max_blur =
        by_blur.iter().rev().take_while(|bin| bin.is_excessive()).last().map_or(1.0, |bin| bin.from) as f32;
    let levels = Levels::new(CropLevel::new(calibration, crop_thresholds), person);
    Ok(FittedLevels {
        crops: figures(domains, &crops, &score_crop, crop_thresholds)?,
        people: figures(domains, &people, &score_person, person_thresholds)?,
        levels,
        person_features: features.iter().map(|feature| feature.name()).collect(),
        risk_by_blur: by_blur,
        risk_by_width: by_width,
    })
}

impl FittedLevels {
    /// The figures for the model's card.
    pub fn measures(&self) -> Vec<Measure> {
        let mut measures = Vec::new();
        let mut add = |name: String, value: f64, ends: Option<[f64; 2]>| {
            measures.push(Measure::new(name, value).with_interval(ends));
        };
        for (level, rows) in [("single crops", &self.crops), ("people", &self.people)] {
            for row in rows {
                let of = |what: &str| format!("{what}, {level}, validation of {}", row.domain);
                if let Some(auc) = row.auc {
                    add(of("AUC-ROC"), auc, None);
                }
                if let Some(ece) = row.ece {
                    add(of("calibration error"), ece, None);
                }
                for (what, share) in [
                    ("genuine called likely fake", row.genuine_likely_fake),
                    ("genuine called likely real", row.genuine_likely_real),
                    ("manipulated called likely fake", row.manipulated_likely_fake),
                    ("manipulated called likely real", row.manipulated_likely_real),
                ] {
                    if let Some(share) = share {
                        add(of(what), share.value, Some(share.ci95));
                    }
                }
            }
        }
        measures
    }
}

/// Features of a person beside the mean logit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Feature {
    Frames,
    Deviation,
    Width,
    Blur,
}

impl Feature {
    const ALL: [Self; 4] = [Self::Frames, Self::Deviation, Self::Width, Self::Blur];

    fn name(self) -> &'static str {
        match self {
            Self::Frames => "log_frames",
            Self::Deviation => "logit_deviation",
            Self::Width => "log2_face_width",
            Self::Blur => "blur",
        }
    }

    fn of(self, features: &PersonFeatures) -> f64 {
        match self {
            Self::Frames => features.log_frames,
            Self::Deviation => features.logit_deviation,
            Self::Width => features.log2_face_width,
            Self::Blur => features.blur,
        }
    }
}

fn row(unit: &Unit, extra: &[Feature]) -> Vec<f64> {
    std::iter::once(unit.features.mean_logit)
        .chain(extra.iter().map(|feature| feature.of(&unit.features)))
        .collect()
}

/// One weight per unit: each domain counts equally within a class, and each class counts half.
fn weights(units: &[Unit], domains: usize) -> Vec<f64> {
    let mut counts = vec![[0_usize; 2]; domains];
    for unit in units {
        counts[unit.domain][usize::from(unit.is_fake)] += 1;
    }
    let with = [0, 1].map(|class| counts.iter().filter(|counts| counts[class] > 0).count().max(1));
    units
        .iter()
        .map(|unit| {
            let class = usize::from(unit.is_fake);
            0.5 / (with[class] * counts[unit.domain][class]) as f64
        })
        .collect()
}

fn fit(units: &[Unit], extra: &[Feature], domains: usize) -> Result<LogisticModel, MetricsError> {
    let rows: Vec<Vec<f64>> = units.iter().map(|unit| row(unit, extra)).collect();
    let labels: Vec<bool> = units.iter().map(|unit| unit.is_fake).collect();
    LogisticModel::fit(&rows, &labels, &weights(units, domains))
}

/// The model of people with those features that lower the loss on domains that the fit did not see.
fn fit_person(units: &[Unit], domains: usize) -> Result<(LogisticModel, Vec<Feature>), MetricsError> {
    let mut chosen: Vec<Feature> = Vec::new();
    if let Some(mut best) = left_out_loss(units, &chosen, domains)? {
        loop {
            let mut next = None;
            for feature in Feature::ALL.into_iter().filter(|feature| !chosen.contains(feature)) {
                // The width of a face is not known everywhere; half of a feature is none.
                if feature == Feature::Width && units.iter().any(|unit| unit.width.is_none()) {
                    continue;
                }
                let with = [chosen.as_slice(), &[feature]].concat();
                if let Some(loss) = left_out_loss(units, &with, domains)?
                    && loss < best * (1.0 - LEAST_GAIN)
                {
                    best = loss;
                    next = Some(feature);
                }
            }
            let Some(feature) = next else { break };
            chosen.push(feature);
        }
    }
    Ok((fit(units, &chosen, domains)?, chosen))
}

/// The weighted logarithmic loss on each domain of a model of the others; `None` where the others lack a class.
fn left_out_loss(units: &[Unit], extra: &[Feature], domains: usize) -> Result<Option<f64>, MetricsError> {
    let mut loss = 0.0;
    let weights = weights(units, domains);
    for left_out in 0..domains {
        let rest: Vec<Unit> = units.iter().filter(|unit| unit.domain != left_out).cloned().collect();
        let model = match fit(&rest, extra, domains) {
            Ok(model) => model,
            Err(MetricsError::OneClass { .. } | MetricsError::Empty) => return Ok(None),
            Err(error) => return Err(error),
        };
        for (unit, weight) in units.iter().zip(&weights).filter(|(unit, _)| unit.domain == left_out) {
            let logit = model.logit(&row(unit, extra));
            loss += weight * log_loss_of_logit(logit, unit.is_fake);
        }
    }
    Ok(Some(loss))
}

fn person_calibration(model: &LogisticModel, features: &[Feature]) -> PersonCalibration {
    let mut calibration = PersonCalibration::default();
    calibration.intercept = model.intercept;
    calibration.mean_logit = model.coefficients[0];
    for (feature, &coefficient) in features.iter().zip(&model.coefficients[1..]) {
        match feature {
            Feature::Frames => calibration.log_frames = coefficient,
            Feature::Deviation => calibration.logit_deviation = coefficient,
            Feature::Width => calibration.log2_face_width = coefficient,
            Feature::Blur => calibration.blur = coefficient,
        }
    }
    calibration
}

/// One unit per crop, or one per person and video. People are those of videos, unless a class has no videos.
fn units(domains: &[Domain<'_>], of_people: bool) -> Vec<Unit> {
    let has_videos = |is_fake: bool| {
        domains
            .iter()
            .flat_map(|domain| domain.crops)
            .any(|crop| crop.label.is_fake() == is_fake && crop.video.is_some() && crop.logit().is_some())
    };
    let of_videos = of_people && has_videos(false) && has_videos(true);
    let mut units = Vec::new();
    for (domain, Domain { crops, .. }) in domains.iter().enumerate() {
        let mut number_of: HashMap<String, usize> = HashMap::new();
        let mut groups: Vec<Vec<&CropScore>> = Vec::new();
        let usable = |crop: &CropScore| crop.logit().is_some() && (!of_videos || crop.video.is_some());
        for (place, crop) in crops.iter().enumerate().filter(|(_, crop)| usable(crop)) {
            let key = if of_people { crop.person_key() } else { place.to_string() };
            let number = *number_of.entry(key).or_insert(groups.len());
            if number == groups.len() {
                groups.push(Vec::new());
            }
            groups[number].push(crop);
        }
        units.extend(groups.iter().filter_map(|crops| Unit::of(domain, crops)));
    }
    units
}

impl Unit {
    fn of(domain: usize, crops: &[&CropScore]) -> Option<Self> {
        let Evidence { features, blur, width } = Evidence::of(crops)?;
        Some(Self { domain, is_fake: crops.first()?.label.is_fake(), features, blur, width })
    }
}

fn thresholds(
    units: &[Unit],
    distorted: &[Vec<Unit>],
    domains: usize,
    score: &dyn Fn(&Unit) -> f64,
) -> Thresholds {
    let of_class = |units: &[Unit], fake: bool, domain: Option<usize>| -> Vec<f64> {
        let wanted = units
            .iter()
            .filter(|unit| unit.is_fake == fake && domain.is_none_or(|domain| unit.domain == domain));
        // Of fakes the low scores are the wrong ones, so they are turned round.
        wanted.map(|unit| if fake { 1.0 - score(unit) } else { score(unit) }).collect()
    };
    let bound = |fake: bool, Rate { rate, normal }: Rate| -> f64 {
        let of_domain = (0..domains).map(|domain| {
            let scores = of_class(units, fake, Some(domain));
            let allowed = (rate * scores.len() as f64).floor() as usize;
            // Too few scores for such a rare error: the highest of them does not bound the next one.
            let tail = if allowed == 0 { normal_bound(&scores, normal) } else { 0.0 };
            over_all_but(scores, allowed).max(tail)
        });
        let pooled = std::iter::once(units).chain(distorted.iter().map(Vec::as_slice)).map(|units| {
            let scores = of_class(units, fake, None);
            // Too few for this confidence: over all of them.
            let allowed = errors_allowed(scores.len(), rate, DOUBT).unwrap_or(0);
            over_all_but(scores, allowed)
        });
        of_domain.chain(pooled).fold(0.5, f64::max).min(1.0)
    };
    // Neither is moved to a rounder number: the rates would not hold.
    let high = bound(false, Rate { rate: FALSE_ALARMS, normal: 2.326 });
    let low = 1.0 - bound(true, Rate { rate: MISSES, normal: 1.645 });
    Thresholds { low: low.min(high - 0.001).max(0.0), high }
}

/// A rate of errors, and the number of standard deviations that this share of a normal distribution exceeds.
#[derive(Clone, Copy)]
struct Rate {
    rate: f64,
    normal: f64,
}

/// The score that lies `deviations` standard deviations above the mean of their logits; 0 for fewer than two.
fn normal_bound(scores: &[f64], deviations: f64) -> f64 {
    let count = scores.len() as f64;
    if scores.len() < 2 {
        return 0.0;
    }
    let logits: Vec<f64> = scores
        .iter()
        .map(|score| score.clamp(1e-12, 1.0 - 1e-12))
        .map(|score| (score / (1.0 - score)).ln())
        .collect();
    let mean = logits.iter().sum::<f64>() / count;
    let variance = logits.iter().map(|logit| (logit - mean).powi(2)).sum::<f64>() / (count - 1.0);
    sigmoid(mean + deviations * variance.sqrt())
}

/// The least number that at most `allowed` of the scores reach; 0 when there are no more.
fn over_all_but(mut scores: Vec<f64>, allowed: usize) -> f64 {
    scores.sort_by(|a, b| b.total_cmp(a));
    scores.get(allowed).map_or(0.0, |score| score.next_up())
}

/// The largest number of errors among `cases` after which a true rate over `rate` is still less likely than `doubt`
/// (the exact upper limit of Clopper and Pearson 1934); `None` when not even 0 errors are few enough.
pub(crate) fn errors_allowed(cases: usize, rate: f64, doubt: f64) -> Option<usize> {
    let mut of_exactly = (1.0 - rate).powi(cases as i32);
    let mut of_at_most = of_exactly;
    let mut allowed = None;
    for errors in 0..cases {
        if of_at_most > doubt {
            break;
        }
        allowed = Some(errors);
        of_exactly *= (cases - errors) as f64 / (errors + 1) as f64 * rate / (1.0 - rate);
        of_at_most += of_exactly;
    }
    allowed
}

/// Shares of wrong verdicts by a quantity, in bins of as many units each.
fn risk_curve(
    units: &[Unit],
    quantity: &dyn Fn(&Unit) -> Option<f64>,
    score: &dyn Fn(&Unit) -> f64,
    thresholds: Thresholds,
) -> Vec<RiskBin> {
    let mut known: Vec<(f64, &Unit)> =
        units.iter().filter_map(|unit| Some((quantity(unit)?, unit))).collect();
    known.sort_by(|a, b| a.0.total_cmp(&b.0));
    known
        .chunks(known.len().div_ceil(RISK_BINS).max(1))
        .map(|bin| {
            let share = |fake: bool, is_wrong: &dyn Fn(f64) -> bool| {
                let scores =
                    || bin.iter().filter(|(_, unit)| unit.is_fake == fake).map(|(_, unit)| score(unit));
                let of = scores().count();
                (of > 0).then(|| Share::of(scores().filter(|score| is_wrong(*score)).count(), of, of))
            };
            RiskBin {
                from: bin[0].0,
                to: bin[bin.len() - 1].0,
                genuine_likely_fake: share(false, &|score| score >= thresholds.high),
                manipulated_likely_real: share(true, &|score| score <= thresholds.low),
            }
        })
        .collect()
}

fn figures(
    domains: &[Domain<'_>],
    units: &[Unit],
    score: &dyn Fn(&Unit) -> f64,
    thresholds: Thresholds,
) -> Result<Vec<DomainFigures>, MetricsError> {
    let mut rows = Vec::with_capacity(domains.len());
    for (number, domain) in domains.iter().enumerate() {
        let own: Vec<(f64, bool)> = units
            .iter()
            .filter(|unit| unit.domain == number)
            .map(|unit| (score(unit), unit.is_fake))
            .collect();
        let (scores, labels): (Vec<f64>, Vec<bool>) = own.iter().copied().unzip();
        let n_fake = labels.iter().filter(|fake| **fake).count();
        let n_real = labels.len() - n_fake;
        let has_both = n_real > 0 && n_fake > 0;
        let share = |fake: bool, says: &dyn Fn(f64) -> bool| {
            let of = if fake { n_fake } else { n_real };
            let count = own.iter().filter(|(score, is_fake)| *is_fake == fake && says(*score)).count();
            (of > 0).then(|| Share::of(count, of, of))
        };
        rows.push(DomainFigures {
            domain: domain.name.to_owned(),
            n_real,
            n_fake,
            auc: has_both.then(|| roc_auc(&scores, &labels)).transpose()?,
            ece: has_both.then(|| balanced_ece(&scores, &labels)).transpose()?,
            genuine_likely_fake: share(false, &|score| score >= thresholds.high),
            genuine_likely_real: share(false, &|score| score <= thresholds.low),
            manipulated_likely_fake: share(true, &|score| score >= thresholds.high),
            manipulated_likely_real: share(true, &|score| score <= thresholds.low),
        });
    }
    Ok(rows)
}

/// The calibration error as if both classes were of one size, as the calibration takes them to be.
fn balanced_ece(scores: &[f64], labels: &[bool]) -> Result<f64, MetricsError> {
    let n_fake = labels.iter().filter(|fake| **fake).count();
    let n_real = labels.len() - n_fake;
    if n_fake == n_real {
        return expected_calibration_error(scores, labels, ECE_BINS);
    }
    // By bin: weight, weighted score, weighted fakes.
    let mut bins: BTreeMap<usize, [f64; 3]> = BTreeMap::new();
    for (score, is_fake) in scores.iter().zip(labels) {
        let weight = 0.5 / if *is_fake { n_fake } else { n_real } as f64;
        let bin = ((score * ECE_BINS as f64) as usize).min(ECE_BINS - 1);
        let sums = bins.entry(bin).or_default();
        sums[0] += weight;
        sums[1] += weight * score;
        sums[2] += if *is_fake { weight } else { 0.0 };
    }
    Ok(bins.values().map(|[_, score, fakes]| (score - fakes).abs()).sum())
}

#[cfg(test)]
mod tests {
    use deeptell_data::Label;

    use super::*;
    use crate::suite::CropOutcome;

    fn noise(i: usize) -> f64 {
        ((i * 7919 + 13) * 31 % 10_007) as f64 / 10_007.0
    }

    /// Crops of `count` videos of `frames` frames each, half of them fakes, logits about `shift` apart.
    fn crops(count: usize, frames: usize, center: f64, shift: f64, seed: usize) -> Vec<CropScore> {
        (0..count)
            .flat_map(|video| {
                let is_fake = video % 2 == 1;
                let middle =
                    center + if is_fake { shift } else { -shift } + 4.0 * (noise(video + seed) - 0.5);
                (0..frames).map(move |frame| CropScore {
                    path: format!("{seed}-{video}-{frame}.png").into(),
                    label: if is_fake { Label::Fake } else { Label::Real },
                    source: format!("{seed}-{video}"),
                    video: Some(format!("{video}.mp4")),
                    person: None,
                    method: None,
                    crop_width: Some(100.0 + video as f64),
                    outcome: CropOutcome::Scored {
                        logit: middle + noise(video * 31 + frame + seed) - 0.5,
                        blur: noise(video + 7) as f32,
                        whole: false,
                    },
                })
            })
            .collect()
    }

    #[test]
    fn thresholds_hold_in_the_worst_domain() {
        let (easy, hard) = (crops(800, 1, 0.0, 1.5, 1), crops(400, 4, 1.0, 1.5, 2));
        let domains = [Domain { name: "easy", crops: &easy }, Domain { name: "hard", crops: &hard }];
        let fitted = fit_levels(&domains, &[]).unwrap();
        for row in fitted.crops.iter().chain(&fitted.people) {
            assert!(row.genuine_likely_fake.unwrap().value <= 0.01, "{row:?}");
            assert!(row.manipulated_likely_real.unwrap().value <= 0.05, "{row:?}");
        }
        assert_eq!((fitted.people[1].n_real, fitted.people[1].n_fake), (200, 200));
        assert_eq!(fitted.crops[1].n_real, 800);
        // Without the hard domain, whose scores are one higher, less is asked of the network's logit.
        let alone = fit_levels(&domains[..1], &[]).unwrap();
        let least_logit = |fitted: &FittedLevels| {
            let CropLevel { calibration, thresholds, .. } = fitted.levels.crop;
            ((thresholds.high / (1.0 - thresholds.high)).ln() - calibration.intercept) / calibration.slope
        };
        assert!(
            least_logit(&alone) + 0.3 < least_logit(&fitted),
            "{} {}",
            least_logit(&alone),
            least_logit(&fitted)
        );
    }

    #[test]
    fn domains_count_equally_whatever_their_size() {
        let (one, two) = (crops(400, 1, -1.0, 1.0, 1), crops(400, 1, 1.0, 1.0, 2));
        let both = |two: &[CropScore]| {
            let domains = [Domain { name: "one", crops: &one }, Domain { name: "two", crops: two }];
            fit_levels(&domains, &[]).unwrap().levels.crop.calibration
        };
        let tripled = [two.clone(), two.clone(), two.clone()].concat();
        let (a, b) = (both(&two), both(&tripled));
        assert!((a.intercept - b.intercept).abs() < 1e-6 && (a.slope - b.slope).abs() < 1e-6, "{a:?} {b:?}");
    }

    #[test]
    fn distorted_genuine_crops_raise_the_threshold_of_likely_fake() {
        let clean = crops(1600, 1, 0.0, 1.5, 1);
        let worse: Vec<CropScore> = crops(1600, 1, 0.7, 1.5, 1);
        let domain = |crops| Domain { name: "a", crops };
        let plain = fit_levels(&[domain(&clean)], &[]).unwrap().levels.crop.thresholds;
        let strict = fit_levels(&[domain(&clean)], &[vec![domain(&worse)]]).unwrap().levels.crop.thresholds;
        assert!(strict.high > plain.high, "{strict:?} {plain:?}");
    }

    #[test]
    fn threshold_exceeds_the_highest_score_of_a_small_domain() {
        let scores: Vec<f64> = (0..24).map(|i| sigmoid(f64::from(i) / 10.0 - 1.15)).collect();
        let highest = scores.iter().copied().fold(0.0, f64::max);
        let bound = normal_bound(&scores, 2.326);
        // The logits have a mean of 0 and a standard deviation of 0.707.
        assert!((bound - sigmoid(2.326 * 0.5_f64.sqrt())).abs() < 1e-4, "{bound}");
        assert!(bound > highest);
        assert_eq!((normal_bound(&scores[..1], 2.326), normal_bound(&[], 2.326)), (0.0, 0.0));

        let (large, few) = (crops(1600, 1, 0.0, 1.5, 1), crops(40, 1, 2.0, 1.5, 2));
        let domains = [Domain { name: "large", crops: &large }, Domain { name: "few", crops: &few }];
        let fitted = fit_levels(&domains, &[]).unwrap();
        let calibration = fitted.levels.crop.calibration;
        let highest = few
            .iter()
            .filter(|crop| !crop.label.is_fake())
            .filter_map(CropScore::logit)
            .map(|logit| calibration.probability(logit))
            .fold(0.0, f64::max);
        assert!(fitted.levels.crop.thresholds.high > highest + 0.001, "{:?} {highest}", fitted.levels.crop);
    }

    #[test]
    fn person_level_uses_videos_where_they_have_both_classes() {
        let videos = crops(800, 4, 0.0, 1.5, 1);
        // Pictures whose genuine and manipulated overlap widely.
        let pictures: Vec<CropScore> =
            crops(800, 1, 0.0, 0.3, 2).into_iter().map(|crop| CropScore { video: None, ..crop }).collect();
        let domains =
            [Domain { name: "videos", crops: &videos }, Domain { name: "pictures", crops: &pictures }];
        let (both, alone) = (fit_levels(&domains, &[]).unwrap(), fit_levels(&domains[..1], &[]).unwrap());
        assert_eq!(both.levels.person, alone.levels.person);
        let least_logit = |CropLevel { calibration, thresholds, .. }: CropLevel| {
            ((thresholds.high / (1.0 - thresholds.high)).ln() - calibration.intercept) / calibration.slope
        };
        assert!(least_logit(both.levels.crop) > least_logit(alone.levels.crop));
        assert_eq!((both.people[1].n_real, both.people[1].auc, both.crops[1].n_real), (0, None, 400));
        // Without videos of one class, pictures are all there is.
        let genuine: Vec<CropScore> = videos.iter().filter(|crop| !crop.label.is_fake()).cloned().collect();
        let domains =
            [Domain { name: "videos", crops: &genuine }, Domain { name: "pictures", crops: &pictures }];
        assert_eq!(fit_levels(&domains, &[]).unwrap().people[1].n_fake, 400);
    }

    #[test]
    fn scores_that_fall_towards_fakes_are_refused() {
        let upside_down = crops(200, 1, 0.0, -1.0, 1);
        let fitted = fit_levels(&[Domain { name: "a", crops: &upside_down }], &[]);
        assert!(matches!(fitted, Err(EvalError::Unlearnt)), "{fitted:?}");
    }

    #[test]
    fn risk_is_excessive_only_with_confidence() {
        let unit = |blur: f64, is_fake: bool, logit: f64| Unit {
            domain: 0,
            is_fake,
            features: PersonFeatures::new(&[logit], 100.0, blur as f32).unwrap(),
            blur,
            width: None,
        };
        let score = |unit: &Unit| sigmoid(unit.features.mean_logit);
        let thresholds = Thresholds { low: 0.1, high: 0.9 };
        // Over 0.75 one genuine of four is called fake.
        let units: Vec<Unit> = (0..800)
            .map(|i| unit(f64::from(i) / 800.0, i % 2 == 1, if i >= 600 && i % 8 == 0 { 5.0 } else { 0.0 }))
            .collect();
        let curve = risk_curve(&units, &|unit| Some(unit.blur), &score, thresholds);
        let excessive: Vec<bool> = curve.iter().map(RiskBin::is_excessive).collect();
        assert_eq!(excessive, [false, false, false, false, false, false, true, true]);
        assert_eq!((curve[6].from, curve[7].to), (0.75, 799.0 / 800.0));
    }

    #[test]
    fn too_few_cases_allow_no_number_of_errors() {
        // The rule of three: without any alarm, 3 / n is the limit.
        assert_eq!(errors_allowed(298, 0.01, 0.05), None);
        assert_eq!(errors_allowed(299, 0.01, 0.05), Some(0));
        // Tables of the exact limit: 7 of 1412 are at most 0.93%, 8 of 1412 1.02%.
        assert_eq!(errors_allowed(1412, 0.01, 0.05), Some(7));
        assert_eq!(errors_allowed(0, 0.01, 0.05), None);
    }
}
