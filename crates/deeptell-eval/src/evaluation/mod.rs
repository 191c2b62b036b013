//! The figures of a detector on labeled crops: of single crops, of people in videos, of whole videos, and of groups
//! by fields of the manifest.

mod breakdown;
mod chart;
mod level;
pub(crate) mod page;

use std::collections::{BTreeSet, HashMap};

use deeptell::Levels;
use deeptell_data::Sample;
use deeptell_metrics::{EvaluationConfig, MetricsError};
use serde::Serialize;

use crate::person::{person_name, person_score};
use crate::{CropScore, EvalError};

pub use breakdown::{Breakdown, Part, face_width};
pub use level::{AnswerRates, Level, Rate};

/// Everything measured on one list of crops. Intervals resample whole sources.
#[derive(Debug, Serialize)]
#[non_exhaustive]
pub struct Evaluation {
    /// Number of videos that the crops say they are from.
    #[serde(rename = "n_videos")]
    pub videos_named: usize,
    /// Every crop by itself.
    #[serde(flatten)]
    pub crops: Level,
    /// The crops of one person in one video together, where the manifest names people (`extra.track`).
    #[serde(rename = "tracks", skip_serializing_if = "Option::is_none")]
    pub people: Option<Level>,
    /// The crops of one video together, where the manifest names videos. Of several people the highest score counts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub videos: Option<Level>,
    /// Figures of single crops, grouped by fields of the manifest.
    pub groups: Vec<Breakdown>,
}

/// Samples that are judged together.
struct Unit<'a> {
    rows: Vec<usize>,
    source: &'a str,
    is_fake: bool,
    score: f64,
}

/// Measures everything. `crops` are the samples with their scores, as
/// [`score_samples`](crate::score_samples) or a [`ScoreTable`](crate::ScoreTable) gives them.
///
/// # Errors
/// When a class is missing, a crop has no score, or one video or person holds both classes.
pub fn evaluate(
    samples: &[&Sample],
    crops: &[CropScore],
    levels: &Levels,
    config: &EvaluationConfig,
) -> Result<Evaluation, EvalError> {
    let probabilities = &probabilities(crops, levels)?;
    let labels: Vec<bool> = samples.iter().map(|s| s.label.is_fake()).collect();
    let sources: Vec<&str> = samples.iter().map(|s| s.source.as_str()).collect();
    let level = |units: &[Unit<'_>]| {
        let scores: Vec<f64> = units.iter().map(|unit| unit.score).collect();
        let labels: Vec<bool> = units.iter().map(|unit| unit.is_fake).collect();
        let sources: Vec<&str> = units.iter().map(|unit| unit.source).collect();
        Level::measured(&scores, &labels, &sources, levels.person.thresholds, config)
    };
    let has_videos = samples.iter().any(|s| s.video.is_some());
    let has_people = samples.iter().any(|s| person_name(s).is_some());
    let people = if has_people || has_videos { people(samples, crops, levels)? } else { Vec::new() };
    let videos = if has_videos { videos(samples, &people) } else { Vec::new() };
    Ok(Evaluation {
        videos_named: samples.iter().filter_map(|s| s.video.as_deref()).collect::<BTreeSet<_>>().len(),
        crops: Level::measured(probabilities, &labels, &sources, levels.crop.thresholds, config)?,
        people: has_people.then(|| level(&people)).transpose()?,
        videos: has_videos.then(|| level(&videos)).transpose()?,
        groups: breakdown::breakdowns(samples, probabilities, levels.crop.thresholds, config)?,
    })
}

/// The calibrated probability of each crop.
///
/// # Errors
/// [`EvalError::MissingCrop`] when one has no score.
pub fn probabilities(crops: &[CropScore], levels: &Levels) -> Result<Vec<f64>, EvalError> {
    let of = |crop: &CropScore| {
        crop.probability(levels).ok_or_else(|| EvalError::MissingCrop {
            path: crop.path.clone(),
            why: "it has no score".to_owned(),
        })
    };
    crops.iter().map(of).collect()
}

/// The video of a sample; one without is judged alone.
fn video(sample: &Sample) -> String {
    sample.video.clone().unwrap_or_else(|| sample.path.display().to_string())
}

/// One unit per person and video, scored as in a scan.
fn people<'a>(
    samples: &[&'a Sample],
    crops: &[CropScore],
    levels: &Levels,
) -> Result<Vec<Unit<'a>>, EvalError> {
    let rows = grouped(samples.iter().map(|sample| (video(sample), person_name(sample))));
    rows.into_iter()
        .map(|rows| {
            let first = samples[rows[0]];
            if let Some(other) = rows.iter().map(|&row| samples[row]).find(|s| s.label != first.label) {
                return Err(EvalError::MixedVideo {
                    first: first.path.clone(),
                    first_label: first.label,
                    second: other.path.clone(),
                    second_label: other.label,
                    video: video(first),
                });
            }
            let crops: Vec<&CropScore> = rows.iter().map(|&row| &crops[row]).collect();
            let score = person_score(levels, &crops).ok_or(MetricsError::Empty)?;
            Ok(Unit { rows, source: &first.source, is_fake: first.label.is_fake(), score })
        })
        .collect()
}

/// One unit per video, with the highest score among its people, and fake if one of them is.
fn videos<'a>(samples: &[&'a Sample], people: &[Unit<'a>]) -> Vec<Unit<'a>> {
    let members = grouped(people.iter().map(|person| video(samples[person.rows[0]])));
    members
        .into_iter()
        .map(|members| {
            let of_video = || members.iter().map(|&person| &people[person]);
            Unit {
                rows: of_video().flat_map(|person| person.rows.iter().copied()).collect(),
                source: people[members[0]].source,
                is_fake: of_video().any(|person| person.is_fake),
                score: of_video().map(|person| person.score).fold(f64::NEG_INFINITY, f64::max),
            }
        })
        .collect()
}

/// Row numbers by key, in the order in which the keys first appear.
fn grouped<K: std::hash::Hash + Eq>(keys: impl Iterator<Item = K>) -> Vec<Vec<usize>> {
    let mut number_of = HashMap::new();
    let mut groups: Vec<Vec<usize>> = Vec::new();
    for (row, key) in keys.enumerate() {
        let number = *number_of.entry(key).or_insert(groups.len());
        if number == groups.len() {
            groups.push(Vec::new());
        }
        groups[number].push(row);
    }
    groups
}

#[cfg(test)]
pub(crate) mod tests {
    use deeptell::{Aggregation, Calibration, Criteria, CropLevel, PersonScoring, Thresholds};
    use deeptell_data::Label;

    use super::*;

    const THRESHOLDS: Thresholds = Thresholds { low: 0.3, high: 0.7 };
    pub(crate) const LEVELS: Levels = Levels::new(
        CropLevel::new(Calibration { slope: 1.0, intercept: 0.0 }, THRESHOLDS),
        Criteria::new(PersonScoring::Aggregate(Aggregation::Mean), THRESHOLDS),
    );

    pub(crate) fn quick() -> EvaluationConfig {
        EvaluationConfig::default().resamples(50)
    }

    /// The samples with the logits of these probabilities.
    pub(crate) fn scored(samples: &[&Sample], probabilities: &[f64]) -> Vec<CropScore> {
        let of = |(sample, p): (&&Sample, &f64)| CropScore::scored(sample, (p / (1.0 - p)).ln(), 0.5);
        samples.iter().zip(probabilities).map(of).collect()
    }

    fn sample(label: Label, source: &str, video: &str, person: Option<u64>) -> Sample {
        let extra = person.map(|person| ("track".to_owned(), person.into())).into_iter().collect();
        Sample::new(format!("{video}-{person:?}"), label, source).video(Some(video.to_owned())).extra(extra)
    }

    #[test]
    fn score_of_a_video_is_the_highest_of_its_people() {
        let samples = [
            sample(Label::Real, "a", "a.mp4", Some(0)),
            sample(Label::Fake, "a", "a.mp4", Some(1)),
            sample(Label::Fake, "a", "a.mp4", Some(1)),
            sample(Label::Real, "b", "b.mp4", Some(0)),
            sample(Label::Real, "b", "b.mp4", Some(0)),
        ];
        let samples: Vec<&Sample> = samples.iter().collect();
        let found =
            evaluate(&samples, &scored(&samples, &[0.2, 0.9, 0.5, 0.6, 0.2]), &LEVELS, &quick()).unwrap();
        let (people, videos) = (found.people.unwrap(), found.videos.unwrap());
        assert_eq!((people.figures.n_real, people.figures.n_fake), (2, 1));
        assert_eq!((videos.figures.n_real, videos.figures.n_fake), (1, 1));
        // Scores 0.2, 0.7, 0.4 of the people, 0.7 and 0.4 of the videos.
        assert_eq!((people.answers.counts.fake.likely_fake, people.answers.counts.real.likely_real), (1, 1));
        assert_eq!((videos.figures.auc, found.crops.figures.auc), (1.0, 5.0 / 6.0));
        assert_eq!((found.crops.figures.n_groups, found.videos_named), (2, 2));
    }

    #[test]
    fn unnamed_crops_have_no_other_level_and_mixed_videos_are_refused() {
        let plain = [Sample::new("a", Label::Real, "a"), Sample::new("b", Label::Fake, "b")];
        let plain: Vec<&Sample> = plain.iter().collect();
        let found = evaluate(&plain, &scored(&plain, &[0.1, 0.9]), &LEVELS, &quick()).unwrap();
        assert!(found.people.is_none() && found.videos.is_none() && found.groups.is_empty());
        let json = serde_json::to_value(&found).unwrap();
        assert_eq!(
            (json["auc"].as_f64(), json["roc"]["false_positive_rate"][0].as_f64()),
            (Some(1.0), Some(0.0))
        );

        let mixed = [sample(Label::Real, "a", "a.mp4", None), sample(Label::Fake, "a", "a.mp4", None)];
        let mixed: Vec<&Sample> = mixed.iter().collect();
        let error =
            evaluate(&mixed, &scored(&mixed, &[0.1, 0.9]), &LEVELS, &quick()).unwrap_err().to_string();
        assert!(error.contains("both are of `a.mp4`"), "{error}");
    }
}
