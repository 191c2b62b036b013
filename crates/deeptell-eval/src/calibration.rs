//! From a trained network to a detector: calibration and thresholds from validation crops.

use deeptell::{
    Calibration, Criteria, CropLevel, FaceDetectorId, Levels, Measure, Model, ModelCard, Normalization,
    PersonScoring, Thresholds, View,
};
use deeptell_data::Sample;
use deeptell_face::blur_effect;
use deeptell_metrics::{
    BinaryReport, EvaluationConfig, MetricsError, PlattScaling, ScoreScale, evaluate, operating_point_at_fpr,
    roc_auc,
};

use deeptell_train::TrainConfig;
use rayon::prelude::*;

use crate::{Distortion, EvalError, Watch, labels, per_crop};

/// Faces narrower than this were hardly in the training material.
const MIN_CROP_WIDTH: f32 = 48.0;
/// Sampled frames that must show a person before a verdict rests on them.
const MIN_FRAMES: usize = 3;

/// A card whose scores mean nothing yet: for a network that comes from training.
pub fn uncalibrated(name: &str, trained_on: &str, config: &TrainConfig, views: Vec<View>) -> ModelCard {
    let thresholds = Thresholds { low: 0.25, high: 0.75 };
    ModelCard {
        format_version: ModelCard::FORMAT_VERSION,
        name: name.to_owned(),
        summary: format!("{} on single face crops: real, or manipulated.", config.architecture.title()),
        architecture: config.architecture,
        normalization: Normalization::default(),
        face_detector: FaceDetectorId::new("mtcnn"),
        crop: config.crop,
        views,
        levels: Levels {
            crop: CropLevel { calibration: Calibration::default(), thresholds },
            person: Criteria {
                scoring: PersonScoring::default(),
                thresholds,
                min_frames: MIN_FRAMES,
                min_crop_width: MIN_CROP_WIDTH,
                max_blur: 1.0,
            },
        },
        out_of_distribution: None,
        trained_on: trained_on.to_owned(),
        seed: Some(config.seed),
        measures: Vec::new(),
        limits: [
            "It judges faces; a generated voice, background or caption passes unseen.",
            "It knows the manipulations of its training data; others may look real to it.",
            "Strong compression, blur and small faces hide the traces it looks for.",
            "Figures on the validation split flatter it: the epoch, the calibration and the thresholds were \
             chosen there.",
        ]
        .map(str::to_owned)
        .to_vec(),
    }
}

/// What calibration on validation crops gave.
#[derive(Debug, Clone)]
pub struct Calibrated {
    /// The card with calibration, thresholds and measures.
    pub card: ModelCard,
    /// Figures on those crops, which flatter.
    pub figures: BinaryReport,
    /// The calibrated probability of each crop.
    pub probabilities: Vec<f64>,
}

/// `model` with calibration, thresholds and measures from `validation`.
///
/// The threshold of likely fake holds for the crops as they are and under each of the usual distortions: a genuine face
/// must not become a fake because somebody sent it on.
///
/// # Errors
/// [`EvalError::Calibration`] when the scores do not rise towards fakes, [`EvalError::Stopped`], and those of reading
/// and scoring a crop.
pub fn calibrate(
    model: &Model,
    validation: &[&Sample],
    watch: &mut dyn Watch,
) -> Result<Calibrated, EvalError> {
    let seen = per_crop("calibrating", model, validation, watch, |crops| {
        let blurs = crops.par_iter().map(blur_effect).collect::<Vec<_>>();
        Ok(model.logits(crops)?.into_iter().zip(blurs).collect())
    })?;
    let (logits, blurs): (Vec<f64>, Vec<f32>) = seen.into_iter().unzip();
    let mut distorted = Vec::new();
    for distortion in Distortion::USUAL {
        let logits = per_crop("calibrating, distorted", model, validation, watch, |crops| {
            let crops: Result<Vec<_>, _> = crops.par_iter().map(|crop| distortion.apply(crop)).collect();
            Ok(model.logits(&crops?)?)
        })?;
        distorted.push((distortion, logits));
    }
    let labels = labels(validation);
    let scaling = PlattScaling::fit(&logits, &labels).map_err(EvalError::Calibration)?;
    let probabilities: Vec<f64> = logits.iter().map(|&logit| scaling.probability(logit)).collect();
    let sources: Vec<&str> = validation.iter().map(|sample| sample.source.as_str()).collect();
    let config = EvaluationConfig { scale: ScoreScale::Probability, ..EvaluationConfig::default() };
    let figures = evaluate(&probabilities, &labels, &sources, &config)?;
    let mut thresholds = thresholds(&probabilities, &labels)?;
    let measure = |name: &str, value, low, high| Measure { name: name.to_owned(), value, low, high };
    let mut under = Vec::new();
    for (distortion, logits) in &distorted {
        let probabilities: Vec<f64> = logits.iter().map(|&logit| scaling.probability(logit)).collect();
        thresholds.high = thresholds.high.max(upper_threshold(&probabilities, &labels)?);
        let auc = roc_auc(&probabilities, &labels)?;
        under.push(measure(&format!("AUC-ROC, validation split, {distortion}"), auc, None, None));
    }
    let [low, high] = figures.auc_ci95.map_or([None, None], |ends| ends.map(Some));
    let card = ModelCard {
        levels: Levels {
            crop: CropLevel {
                calibration: Calibration { slope: scaling.slope, intercept: scaling.intercept },
                thresholds,
            },
            person: Criteria {
                scoring: PersonScoring::default(),
                thresholds,
                min_frames: MIN_FRAMES,
                min_crop_width: MIN_CROP_WIDTH,
                max_blur: blurriest(blurs),
            },
        },
        measures: [
            vec![
                measure("AUC-ROC, single crops, validation split", figures.auc, low, high),
                measure("average precision, validation split", figures.ap, None, None),
                measure("equal error rate, validation split", figures.eer, None, None),
            ],
            under,
        ]
        .concat(),
        ..model.card().clone()
    };
    Ok(Calibrated { card, figures, probabilities })
}

/// Likely fake where, with 95% confidence, at most 1% of real crops like those of validation would be; likely real
/// where at most 10% of the fakes of validation would be; both moved apart when they touch.
fn thresholds(probabilities: &[f64], labels: &[bool]) -> Result<Thresholds, MetricsError> {
    let high = upper_threshold(probabilities, labels)?;
    // The same question with the classes swapped: which score do at most 10% of fakes stay under?
    let flipped: Vec<f64> = probabilities.iter().map(|p| 1.0 - p).collect();
    let swapped: Vec<bool> = labels.iter().map(|fake| !fake).collect();
    let low = 1.0 - operating_point_at_fpr(&flipped, &swapped, 0.10)?.threshold;
    let low = low.clamp(0.001, 0.5).min(high - 0.001);
    Ok(Thresholds { low, high })
}

/// Where, with 95% confidence, at most 1% of reals like these would be.
fn upper_threshold(probabilities: &[f64], labels: &[bool]) -> Result<f64, MetricsError> {
    let reals = labels.iter().filter(|fake| !**fake).count();
    let high = match false_alarms_allowed(reals, 0.01, 0.05) {
        // Half an alarm more: the rate must not be lost to rounding.
        Some(alarms) => {
            operating_point_at_fpr(probabilities, labels, (alarms as f64 + 0.5) / reals as f64)?.threshold
        }
        // Too few to be that sure of anything: over all of them.
        None => probabilities
            .iter()
            .zip(labels)
            .filter(|(_, fake)| !**fake)
            .map(|(p, _)| p.next_up())
            .fold(0.5, f64::max),
    };
    // Not lowered to where people would rather have it: the rate is a promise.
    Ok(high.clamp(0.5, 1.0))
}

/// The largest number of false alarms among `reals` after which a true rate over `rate` is still less likely than
/// `doubt` (the exact upper limit of Clopper and Pearson 1934); `None` when not even 0 is that convincing.
fn false_alarms_allowed(reals: usize, rate: f64, doubt: f64) -> Option<usize> {
    let mut of_exactly = (1.0 - rate).powi(reals as i32);
    let mut of_at_most = of_exactly;
    let mut allowed = None;
    for alarms in 0..reals {
        if of_at_most > doubt {
            break;
        }
        allowed = Some(alarms);
        of_exactly *= (reals - alarms) as f64 / (alarms + 1) as f64 * rate / (1.0 - rate);
        of_at_most += of_exactly;
    }
    allowed
}

/// The blur that 99% of the crops stay under: beyond it, calibration and thresholds rest on nothing.
fn blurriest(mut blurs: Vec<f32>) -> f32 {
    blurs.sort_by(f32::total_cmp);
    let place = (blurs.len() * 99 / 100).min(blurs.len().saturating_sub(1));
    blurs.get(place).map_or(1.0, |&blur| (blur * 1000.0).ceil() / 1000.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_blurriest_crop_of_a_hundred_is_left_out() {
        let blurs: Vec<f32> = (0..200).rev().map(|i| i as f32 / 200.0).collect();
        assert_eq!(blurriest(blurs), 0.99);
        assert_eq!(blurriest(vec![0.25]), 0.25);
        assert_eq!(blurriest(vec![]), 1.0);
    }

    #[test]
    fn few_reals_prove_no_low_rate() {
        // The rule of three: without any alarm, 3 / n is the limit.
        assert_eq!(false_alarms_allowed(298, 0.01, 0.05), None);
        assert_eq!(false_alarms_allowed(299, 0.01, 0.05), Some(0));
        // Tables of the exact limit: 7 of 1412 are at most 0.93%, 8 of 1412 1.02%.
        assert_eq!(false_alarms_allowed(1412, 0.01, 0.05), Some(7));
        assert_eq!(false_alarms_allowed(0, 0.01, 0.05), None);
    }

    #[test]
    fn thresholds_leave_room_between_them() {
        let labels: Vec<bool> = (0..200).map(|i| i >= 100).collect();
        let overlapping: Vec<f64> =
            (0..200).map(|i| (i % 100) as f64 / 200.0 + f64::from(i >= 100) * 0.3).collect();
        let c = thresholds(&overlapping, &labels).unwrap();
        let flagged = overlapping.iter().zip(&labels).filter(|(p, fake)| !**fake && **p >= c.high).count();
        assert!(flagged <= 1, "{flagged} of 100 real crops flagged");
        assert!(c.low < c.high);
        let apart: Vec<f64> = labels.iter().map(|&fake| if fake { 0.9 } else { 0.1 }).collect();
        let c = thresholds(&apart, &labels).unwrap();
        assert!(0.0 < c.low && c.low < c.high && c.high < 1.0);
    }
}
