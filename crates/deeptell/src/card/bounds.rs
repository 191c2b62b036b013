//! Which values a card may have.

use deeptell_face::FaceDetectorId;
use deeptell_network::Normalization;

use super::{Calibration, CropLevel, Measure, ModelCard, OutOfDistribution, PersonScoring};
use crate::Criteria;

impl ModelCard {
    /// Longest text of a card, in bytes.
    const MAX_TEXT: usize = 8192;
    /// Longest name, and longest value, of a setting of the face detector, in bytes.
    const MAX_SETTING: usize = 256;
    /// Longest list of a card, views aside.
    const MAX_LIST: usize = 1024;
    /// Largest number of a card that has no closer bound: larger values would lose precision.
    const MAX_NUMBER: f64 = 1e6;

    pub(super) fn fault(&self) -> Option<&'static str> {
        let mut checks = self
            .text_checks()
            .into_iter()
            .chain(self.input_checks())
            .chain(crop_checks(&self.levels.crop))
            .chain(person_checks(&self.levels.person))
            .chain(distribution_checks(self.out_of_distribution))
            .chain(self.list_checks());
        checks.find_map(|(found, fault)| found.then_some(fault))
    }

    fn text_checks(&self) -> [Check; 4] {
        [
            (self.format_version != Self::FORMAT_VERSION, "`format_version` is not 2"),
            (self.name.is_empty(), "`name` is empty"),
            (self.name.len() > 256, "`name` is longer than 256 bytes"),
            (
                !(is_text(&self.summary) && is_text(&self.trained_on)),
                "`summary` or `trained_on` is longer than 8 KiB",
            ),
        ]
    }

    /// What becomes of a picture before the network sees it.
    fn input_checks(&self) -> [Check; 10] {
        let Normalization { mean, deviation } = self.normalization;
        let FaceDetectorId { name: detector, settings, .. } = &self.face_detector;
        [
            (
                !mean.iter().all(|value| (0.0..=1.0).contains(value)),
                "`normalization.mean` has a value that is not in 0..=1",
            ),
            (
                !deviation.iter().all(|value| (0.001..=10.0).contains(value)),
                "`normalization.deviation` has a value that is not in 0.001..=10",
            ),
            (
                detector.is_empty() || detector.len() > 64,
                "`face_detector.name` is empty or longer than 64 bytes",
            ),
            (settings.len() > 64, "`face_detector.settings` has more than 64 entries"),
            (
                settings.iter().any(|(name, value)| name.len().max(value.len()) > Self::MAX_SETTING),
                "`face_detector.settings` has a name or value longer than 256 bytes",
            ),
            (!(32..=1024).contains(&self.crop.size), "`crop.size` is not in 32..=1024 pixels"),
            (
                !(self.crop.scale > 0.0 && self.crop.scale <= Self::MAX_SCALE),
                "`crop.scale` is not a positive number of at most 10",
            ),
            (self.views.is_empty(), "`views` is empty"),
            (self.views.len() > Self::MAX_VIEWS, "`views` has more than 64 entries"),
            (!self.views.iter().all(|view| view.is_possible()), "`views` has a zoom that is not in 1..=4"),
        ]
    }

    fn list_checks(&self) -> [Check; 4] {
        let ends = |m: &Measure| [Some(m.value), m.low, m.high].into_iter().flatten().all(is_number);
        [
            (self.measures.len() > Self::MAX_LIST, "`measures` has more than 1024 entries"),
            (
                !self.measures.iter().all(|measure| is_text(&measure.name) && ends(measure)),
                "`measures` has a name longer than 8 KiB or a figure that is not a number of at most a million",
            ),
            (self.limits.len() > Self::MAX_LIST, "`limits` has more than 1024 entries"),
            (!self.limits.iter().all(|limit| is_text(limit)), "`limits` has a text longer than 8 KiB"),
        ]
    }
}

/// Whether a value is out of bounds, and what to say then.
type Check = (bool, &'static str);

fn is_number(value: f64) -> bool {
    value.is_finite() && value.abs() <= ModelCard::MAX_NUMBER
}

fn is_text(text: &str) -> bool {
    text.len() <= ModelCard::MAX_TEXT
}

fn crop_checks(level: &CropLevel) -> [Check; 3] {
    let Calibration { slope, intercept } = level.calibration;
    [
        (
            !(is_number(slope) && slope > 0.0),
            "`levels.crop.calibration.slope` is not a positive number of at most a million",
        ),
        (!is_number(intercept), "`levels.crop.calibration.intercept` is not a number of at most a million"),
        (!level.thresholds.are_possible(), "`levels.crop.thresholds` needs 0 <= low < high <= 1"),
    ]
}

fn person_checks(level: &Criteria) -> [Check; 6] {
    let Criteria { scoring, thresholds, min_frames, min_crop_width, max_blur } = *level;
    let logistic = match scoring {
        PersonScoring::Aggregate(_) => None,
        PersonScoring::Logistic(calibration) => Some(calibration),
    };
    [
        (!thresholds.are_possible(), "`levels.person.thresholds` needs 0 <= low < high <= 1"),
        (
            logistic.is_some_and(|calibration| !calibration.coefficients().into_iter().all(is_number)),
            "`levels.person.scoring` has a coefficient that is not a number of at most a million",
        ),
        (
            logistic.is_some_and(|calibration| calibration.mean_logit <= 0.0),
            "`levels.person.scoring.logistic.mean_logit` is not positive",
        ),
        (!(1..=10_000).contains(&min_frames), "`levels.person.min_frames` is not in 1..=10000"),
        (
            !(0.0..=65536.0).contains(&min_crop_width),
            "`levels.person.min_crop_width` is not in 0..=65536 pixels",
        ),
        (!(0.0..=1.0).contains(&max_blur), "`levels.person.max_blur` is not in 0..=1"),
    ]
}

fn distribution_checks(model: Option<OutOfDistribution>) -> [Check; 2] {
    [
        (
            model.is_some_and(|model| !(is_number(model.limit) && model.limit > 0.0)),
            "`out_of_distribution.limit` is not a positive number of at most a million",
        ),
        (
            model.is_some_and(|model| model.rank > OutOfDistribution::MAX_RANK),
            "`out_of_distribution.rank` is over 256",
        ),
    ]
}

#[cfg(test)]
mod tests {
    use super::super::tests::card;
    use super::super::{PersonCalibration, Thresholds};
    use super::*;
    use crate::View;

    /// Asserts that a change makes a card unusable, in memory and as JSON, and that the fault names `word`.
    fn refused(word: &str, change: impl FnOnce(&mut ModelCard)) {
        let mut card = card();
        change(&mut card);
        let fault = card.fault().unwrap_or_else(|| panic!("{word} is not refused"));
        assert!(fault.contains(word), "{word}: {fault}");
        assert!(card.to_json().is_err());
        let json = serde_json::to_string(&card).unwrap();
        assert!(ModelCard::from_json(&json).is_err(), "{word}");
    }

    #[test]
    fn card_values_out_of_bounds_are_named() {
        assert_eq!(card().fault(), None);
        refused("format_version", |c| c.format_version = 1);
        refused("name", |c| c.name.clear());
        refused("name", |c| c.name = "x".repeat(257));
        refused("summary", |c| c.summary = "x".repeat(8193));
        refused("normalization.mean", |c| c.normalization.mean[1] = 1.5);
        refused("normalization.deviation", |c| c.normalization.deviation[2] = 0.0);
        refused("face_detector.name", |c| c.face_detector.name.clear());
        refused("face_detector.settings", |c| {
            c.face_detector.settings = (0..65).map(|i| (i.to_string(), String::new())).collect();
        });
        for (name, value) in [("x".repeat(257), String::new()), (String::new(), "x".repeat(257))] {
            refused("face_detector.settings", |c| c.face_detector.settings = [(name, value)].into());
        }
        refused("crop.size", |c| c.crop.size = 4096);
        refused("crop.scale", |c| c.crop.scale = 1e30);
        refused("crop.scale", |c| c.crop.scale = 0.0);
        refused("views", |c| c.views.clear());
        refused("views", |c| c.views = vec![View::WHOLE; 65]);
        refused("zoom", |c| c.views[0].zoom = 0.0);
        refused("slope", |c| c.levels.crop.calibration.slope = 0.0);
        refused("slope", |c| c.levels.crop.calibration.slope = 1e300);
        refused("intercept", |c| c.levels.crop.calibration.intercept = f64::NAN);
        refused("levels.crop.thresholds", |c| c.levels.crop.thresholds = Thresholds { low: 0.7, high: 0.7 });
        refused("levels.person.thresholds", |c| c.levels.person.thresholds.high = f64::NAN);
        refused("min_frames", |c| c.levels.person.min_frames = 0);
        refused("min_frames", |c| c.levels.person.min_frames = usize::MAX);
        refused("min_crop_width", |c| c.levels.person.min_crop_width = f32::INFINITY);
        refused("max_blur", |c| c.levels.person.max_blur = 1.5);
        let logistic = |mean_logit, blur| {
            PersonScoring::Logistic(PersonCalibration { mean_logit, blur, ..PersonCalibration::default() })
        };
        refused("coefficient", |c| c.levels.person.scoring = logistic(1.0, 1e9));
        refused("mean_logit", |c| c.levels.person.scoring = logistic(-1.0, 0.0));
        refused("out_of_distribution.limit", |c| {
            c.out_of_distribution = Some(OutOfDistribution { limit: 0.0, rank: 0 });
        });
        refused("out_of_distribution.rank", |c| {
            c.out_of_distribution = Some(OutOfDistribution { limit: 1.0, rank: 100_000 });
        });
        refused("measures", |c| c.measures[0].value = f64::NAN);
        refused("measures", |c| c.measures = vec![c.measures[0].clone(); 1025]);
        refused("limits", |c| c.limits = vec![String::new(); 1025]);
        refused("limits", |c| c.limits = vec!["x".repeat(8193)]);
    }
}
