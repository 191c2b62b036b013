//! From single faces to a verdict: aggregation over frames, thresholds, reasons.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::report::rounded;
use crate::{
    Levels, Observation, Person, PersonFeatures, PersonScoring, Reason, Thresholds, TimeRange, Verdict,
};

/// How a person is judged: their score, its thresholds, and when there is too little to judge.
///
/// Chosen on validation data together with the weights, and kept in the model file
/// ([`Levels::person`](crate::Levels::person)).
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct Criteria {
    /// How a person's frames become one score.
    pub scoring: PersonScoring,
    /// Where that score is [`Verdict::LikelyReal`] and [`Verdict::LikelyFake`].
    pub thresholds: Thresholds,
    /// A face seen in fewer sampled frames is not judged. In inputs that have fewer (a picture has one
    /// frame) every frame must show it.
    pub min_frames: usize,
    /// A face whose median crop is narrower than this many pixels is not judged.
    pub min_crop_width: f32,
    /// A face whose median [blur](deeptell_face::blur_effect) is over this is not judged; in
    /// `0..=1`, and 1 judges all.
    pub max_blur: f32,
}

impl Criteria {
    /// Criteria by which every person is judged, however few and small their crops are.
    pub const fn new(scoring: PersonScoring, thresholds: Thresholds) -> Self {
        Self { scoring, thresholds, min_frames: 1, min_crop_width: 0.0, max_blur: 1.0 }
    }
}

/// How the probabilities of a person's frames become one score; in JSON in `snake_case`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Aggregation {
    /// The plain mean.
    #[default]
    Mean,
}

impl Aggregation {
    /// One score from the frames' probabilities, each in `0..=1`; `None` when there are none.
    ///
    /// ```
    /// use deeptell::Aggregation;
    ///
    /// assert_eq!(Aggregation::Mean.combine(&[0.25, 0.75]), Some(0.5));
    /// assert_eq!(Aggregation::Mean.combine(&[]), None);
    /// ```
    pub fn combine(self, probabilities: &[f64]) -> Option<f64> {
        match self {
            Self::Mean => mean(probabilities),
        }
    }
}

/// What [`Criteria::judge`] concludes.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Judgement {
    /// The answer.
    pub verdict: Verdict,
    /// Score of the decisive person; `None` without a face.
    pub score: Option<f64>,
    /// [`Person::id`] of the one that the verdict rests on; `None` without a face.
    pub decisive_person: Option<usize>,
    /// Why, most important first.
    pub reasons: Vec<Reason>,
    /// One entry per person, in order of their numbers.
    pub people: Vec<Person>,
}

impl Criteria {
    /// Judges every person and the whole input.
    ///
    /// A person is judged by their score against the thresholds if they were seen often and large
    /// enough, else they are inconclusive. The input's verdict is that of the highest score among
    /// the judgeable people: one manipulated person makes a manipulated video. If nobody is
    /// judgeable, the highest score of all is named and the verdict is inconclusive; so it is where
    /// the judgeable people look real, and one who is too small or too blurred, yet was seen often
    /// enough, scores as fake ones do. Without any face it is [`Verdict::NoFace`].
    ///
    /// `observations` must be in order of frames; `sampled_frames` counts all sampled frames, also those without a face.
    /// They must be all that the input has: [`judge_sample`](Self::judge_sample) is for a part of them.
    pub fn judge(&self, observations: &[Observation], sampled_frames: usize) -> Judgement {
        self.judge_sample(observations, sampled_frames, Some(sampled_frames as u64))
    }

    /// [`judge`](Self::judge) for frames sampled from an input of `input_frames`; `None` where it is
    /// unknown how many there are, but they are many.
    ///
    /// [`min_frames`](Self::min_frames) holds whatever the number of sampled frames, as long as the
    /// input has that many: a video of which only a few frames could be seen is not judged by them.
    pub fn judge_sample(
        &self,
        observations: &[Observation],
        sampled_frames: usize,
        input_frames: Option<u64>,
    ) -> Judgement {
        let available = input_frames.and_then(|frames| usize::try_from(frames).ok()).unwrap_or(usize::MAX);
        let needed_frames = self.min_frames.min(available);
        let people = self.judge_people(observations, sampled_frames, needed_frames);
        let by_score = |a: &&Person, b: &&Person| a.score.total_cmp(&b.score).then(b.id.cmp(&a.id));
        let decisive = people.iter().max_by(|a, b| a.judgeable.cmp(&b.judgeable).then(by_score(a, b)));
        // `LikelyReal` is a claim about every face, so any suspicious one blocks it.
        let suspect = |person: &&Person| {
            !person.judgeable && person.frames >= needed_frames && person.score >= self.thresholds.high
        };
        let decisive = match decisive {
            Some(person) if person.verdict == Verdict::LikelyReal => {
                people.iter().filter(suspect).max_by(by_score).or(Some(person))
            }
            other => other,
        };
        let Some(decisive) = decisive else {
            return Judgement {
                verdict: Verdict::NoFace,
                score: None,
                decisive_person: None,
                reasons: vec![Reason::NoFace { sampled: sampled_frames }],
                people,
            };
        };
        let mut reasons = decisive.reasons.clone();
        if sampled_frames > 1 || people.len() > 1 {
            let ranges = if sampled_frames > 1 { decisive.ranges.clone() } else { Vec::new() };
            reasons.push(Reason::Person { person: decisive.id, ranges });
        }
        let others = people.iter().filter(|person| !person.judgeable && person.id != decisive.id).count();
        if others > 0 {
            reasons.push(Reason::OthersNotJudged { others });
        }
        Judgement {
            verdict: decisive.verdict,
            score: Some(decisive.score),
            decisive_person: Some(decisive.id),
            reasons,
            people,
        }
    }

    fn judge_people(
        &self,
        observations: &[Observation],
        sampled_frames: usize,
        needed_frames: usize,
    ) -> Vec<Person> {
        let mut of_person: BTreeMap<usize, Vec<&Observation>> = BTreeMap::new();
        for observation in observations {
            of_person.entry(observation.person).or_default().push(observation);
        }
        let judged = |(id, seen): (&usize, &Vec<&Observation>)| {
            self.judge_person(*id, seen, sampled_frames, needed_frames)
        };
        of_person.iter().filter_map(judged).collect()
    }

    /// One person; `None` if nothing was observed of them.
    fn judge_person(
        &self,
        id: usize,
        observations: &[&Observation],
        sampled_frames: usize,
        needed_frames: usize,
    ) -> Option<Person> {
        let probabilities: Vec<f64> = observations.iter().map(|o| o.fake_probability).collect();
        let frames = observations.len();
        let over_half = probabilities.iter().filter(|&&p| p > 0.5).count();
        let median_crop_width = median(observations.iter().map(|o| o.crop_width).collect())?;
        let median_blur = median(observations.iter().map(|o| o.blur).collect())?;
        let features = || {
            let logits: Vec<f64> = observations.iter().map(|o| o.logit).collect();
            PersonFeatures::new(&logits, median_crop_width, median_blur)
        };
        let score = rounded(self.scoring.probability(|| probabilities.clone(), features)?);
        let times = || observations.iter().map(|o| o.pts_seconds);

        let brief = frames < needed_frames;
        let small = median_crop_width < self.min_crop_width;
        let blurred = median_blur > self.max_blur;
        let mut reasons = Vec::new();
        if brief {
            reasons.push(Reason::FewFrames { seen: frames, sampled: sampled_frames, needed: needed_frames });
        }
        if small {
            let min_crop_width = self.min_crop_width;
            reasons.push(Reason::SmallFace { crop_width: median_crop_width, min_crop_width });
        }
        if blurred {
            reasons.push(Reason::BlurredFace { blur: median_blur, max_blur: self.max_blur });
        }
        let judgeable = !brief && !small && !blurred;
        let (by_score, because) = self.by_score(score);
        reasons.push(because);
        if frames > 1 {
            reasons.push(Reason::Agreement { over_half, frames });
        }

        Some(Person {
            id,
            verdict: if judgeable { by_score } else { Verdict::Inconclusive },
            score,
            is_confirmed: true,
            judgeable,
            frames,
            share_over_half: rounded(over_half as f64 / frames as f64),
            spread: rounded(standard_deviation(&probabilities)),
            median_crop_width,
            median_blur,
            first_pts_seconds: times().fold(f64::INFINITY, f64::min),
            last_pts_seconds: times().fold(f64::NEG_INFINITY, f64::max),
            ranges: ranges(observations),
            reasons,
        })
    }

    /// The verdict of the thresholds alone.
    fn by_score(&self, score: f64) -> (Verdict, Reason) {
        let Thresholds { low, high } = self.thresholds;
        if score >= high {
            (Verdict::LikelyFake, Reason::ScoreHigh { score, threshold: high })
        } else if score <= low {
            (Verdict::LikelyReal, Reason::ScoreLow { score, threshold: low })
        } else {
            (Verdict::Inconclusive, Reason::ScoreBetween { score, low, high })
        }
    }
}

impl Levels {
    /// How an input with this number of sampled frames is judged: a picture, which has one, at the level of crops, a
    /// video at that of people. What keeps a face from being judged is the same.
    pub fn criteria(&self, sampled_frames: usize) -> Criteria {
        if sampled_frames > 1 {
            return self.person;
        }
        Criteria {
            scoring: PersonScoring::Aggregate(Aggregation::Mean),
            thresholds: self.crop.thresholds,
            ..self.person
        }
    }
}

/// Runs of sampled frames with the face.
fn ranges(observations: &[&Observation]) -> Vec<TimeRange> {
    let of_run = |run: &[&Observation]| TimeRange {
        first_pts_seconds: run[0].pts_seconds,
        last_pts_seconds: run[run.len() - 1].pts_seconds,
    };
    observations.chunk_by(|a, b| b.frame <= a.frame + 1).map(of_run).collect()
}

fn mean(values: &[f64]) -> Option<f64> {
    (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
}

fn standard_deviation(values: &[f64]) -> f64 {
    let Some(middle) = mean(values) else { return 0.0 };
    let squares: f64 = values.iter().map(|v| (v - middle).powi(2)).sum();
    (squares / values.len() as f64).sqrt()
}

/// The middle value, or the mean of the two in the middle.
fn median(mut values: Vec<f32>) -> Option<f32> {
    values.sort_by(f32::total_cmp);
    let upper = *values.get(values.len() / 2)?;
    Some(if values.len() % 2 == 1 { upper } else { 0.5 * (values[values.len() / 2 - 1] + upper) })
}

#[cfg(test)]
mod tests {
    use deeptell_face::{Landmarks, Point, Rect};

    use super::*;
    use crate::{Calibration, CropLevel, PersonCalibration};

    const CRITERIA: Criteria = Criteria {
        scoring: PersonScoring::Aggregate(Aggregation::Mean),
        thresholds: Thresholds { low: 0.3, high: 0.7 },
        min_frames: 3,
        min_crop_width: 48.0,
        max_blur: 0.6,
    };

    fn observation(person: usize, frame: usize, crop_width: f32, fake_probability: f64) -> Observation {
        Observation {
            frame,
            pts_seconds: 0.5 * frame as f64,
            person,
            bbox: Rect::new(0.0, 0.0, crop_width, crop_width),
            detection_probability: 0.99,
            landmarks: Landmarks::from_points([Point::new(1.0, 1.0); 5]),
            crop_width,
            blur: 0.4,
            logit: (fake_probability / (1.0 - fake_probability)).ln(),
            fake_probability,
        }
    }

    fn person(person: usize, crop_width: f32, probabilities: &[f64]) -> Vec<Observation> {
        let of_frame = |(frame, &p)| observation(person, frame, crop_width, p);
        probabilities.iter().enumerate().map(of_frame).collect()
    }

    fn codes(reasons: &[Reason]) -> Vec<&'static str> {
        reasons.iter().map(Reason::code).collect()
    }

    #[test]
    fn thresholds_are_inclusive_on_both_sides() {
        let verdict = |p| CRITERIA.judge(&person(0, 100.0, &[p; 4]), 4).verdict;
        assert_eq!(verdict(0.7), Verdict::LikelyFake);
        assert_eq!(verdict(0.699), Verdict::Inconclusive);
        assert_eq!(verdict(0.301), Verdict::Inconclusive);
        assert_eq!(verdict(0.3), Verdict::LikelyReal);
    }

    #[test]
    fn few_frames_of_a_long_video_are_not_judged() {
        for (input_frames, verdict) in [
            (Some(2), Verdict::LikelyReal),
            (Some(3), Verdict::Inconclusive),
            (Some(48), Verdict::Inconclusive),
            (None, Verdict::Inconclusive),
        ] {
            let judged = CRITERIA.judge_sample(&person(0, 100.0, &[0.1; 2]), 2, input_frames);
            assert_eq!(judged.verdict, verdict, "2 of {input_frames:?}");
            let says_so = codes(&judged.reasons).contains(&"few_frames");
            assert_eq!(says_so, verdict == Verdict::Inconclusive, "{:?}", judged.reasons);
        }
        assert_eq!(CRITERIA.judge(&person(0, 100.0, &[0.1; 2]), 2).verdict, Verdict::LikelyReal);
    }

    #[test]
    fn figures_of_a_person_match_hand_computation() {
        let judged = CRITERIA.judge(&person(0, 100.0, &[0.2, 0.4, 0.9]), 8);
        let person = &judged.people[0];
        assert_eq!((person.score, person.frames, person.judgeable), (0.5, 3, true));
        assert_eq!(person.share_over_half, 0.333_333);
        // Variance: (0.09 + 0.01 + 0.16) / 3.
        assert!((person.spread - (0.26f64 / 3.0).sqrt()).abs() < 1e-6);
        assert_eq!((person.first_pts_seconds, person.last_pts_seconds), (0.0, 1.0));
        assert_eq!(judged.score, Some(0.5));
        assert_eq!(codes(&judged.reasons), ["score_between", "agreement", "person"]);
        assert_eq!(
            judged.reasons[2].to_string(),
            "The verdict rests on person 1, seen from 0:00.0 to 0:01.0."
        );
        assert!(judged.reasons[1].to_string().starts_with("1 of 3 frames"), "{:?}", judged.reasons);
    }

    #[test]
    fn a_person_is_named_with_every_time_range() {
        let mut seen = person(0, 100.0, &[0.8; 10]);
        seen.retain(|o| ![3, 4, 8].contains(&o.frame));
        seen.push(observation(1, 3, 100.0, 0.1));
        seen.sort_by_key(|o| o.frame);
        let judged = CRITERIA.judge(&seen, 10);
        let ranges: Vec<_> =
            judged.people[0].ranges.iter().map(|r| (r.first_pts_seconds, r.last_pts_seconds)).collect();
        assert_eq!(ranges, [(0.0, 1.0), (2.5, 3.5), (4.5, 4.5)]);
        let named = judged.reasons.iter().find(|r| r.code() == "person").unwrap();
        assert_eq!(
            named.to_string(),
            "The verdict rests on person 1, seen from 0:00.0 to 0:01.0, from 0:02.5 to 0:03.5 and at 0:04.5."
        );
        // Two people in a picture: the number is all that there is to say.
        let pair = [observation(0, 0, 100.0, 0.1), observation(1, 0, 100.0, 0.9)];
        let judged = CRITERIA.judge(&pair, 1);
        assert!(judged.reasons.iter().any(|r| r.to_string() == "The verdict rests on person 2."));
    }

    #[test]
    fn without_a_face_there_is_no_score() {
        let judged = CRITERIA.judge(&[], 12);
        assert_eq!((judged.verdict, judged.score, judged.decisive_person), (Verdict::NoFace, None, None));
        assert!(judged.people.is_empty());
        assert_eq!(codes(&judged.reasons), ["no_face"]);
        assert!(judged.reasons[0].to_string().contains("12"));
    }

    #[test]
    fn one_manipulated_person_decides() {
        let mut seen = person(0, 100.0, &[0.1; 5]);
        seen.extend(person(1, 100.0, &[0.9; 5]));
        let judged = CRITERIA.judge(&seen, 5);
        assert_eq!((judged.verdict, judged.decisive_person), (Verdict::LikelyFake, Some(1)));
        assert_eq!(judged.people[0].verdict, Verdict::LikelyReal);
    }

    #[test]
    fn a_glimpse_does_not_outvote_a_person() {
        let mut seen = person(0, 100.0, &[0.1; 6]);
        seen.push(observation(1, 3, 100.0, 0.99));
        let judged = CRITERIA.judge(&seen, 6);
        assert_eq!((judged.verdict, judged.decisive_person), (Verdict::LikelyReal, Some(0)));
        assert_eq!(judged.people[1].verdict, Verdict::Inconclusive);
        assert_eq!(judged.people[1].reasons[0].code(), "few_frames");
        assert_eq!(judged.reasons.last().unwrap().code(), "others_not_judged");
    }

    #[test]
    fn nothing_is_likely_real_beside_a_blurred_face_that_scores_as_fake() {
        let mut seen = person(0, 100.0, &[0.1; 5]);
        seen.extend(person(1, 100.0, &[0.9; 5]).into_iter().map(|o| Observation { blur: 0.9, ..o }));
        let judged = CRITERIA.judge(&seen, 5);
        assert_eq!((judged.verdict, judged.decisive_person), (Verdict::Inconclusive, Some(1)));
        assert_eq!(judged.score, Some(0.9));
        assert_eq!(judged.reasons[0].code(), "blurred_face");
        // One in the middle between the thresholds does not put the others in doubt.
        for observation in &mut seen[5..] {
            observation.fake_probability = 0.5;
        }
        let judged = CRITERIA.judge(&seen, 5);
        assert_eq!((judged.verdict, judged.decisive_person), (Verdict::LikelyReal, Some(0)));
        // And a fake that can be judged is one, whoever else is there.
        seen.extend(person(2, 100.0, &[0.8; 5]));
        assert_eq!(CRITERIA.judge(&seen, 5).verdict, Verdict::LikelyFake);
    }

    #[test]
    fn small_faces_are_inconclusive_however_sure_the_network_is() {
        let judged = CRITERIA.judge(&person(0, 40.0, &[0.99; 6]), 6);
        assert_eq!((judged.verdict, judged.score), (Verdict::Inconclusive, Some(0.99)));
        assert_eq!(judged.reasons[0].code(), "small_face");
        // The median counts: two small ones of five do not matter.
        let mut mixed = person(0, 100.0, &[0.99; 5]);
        mixed[0].crop_width = 10.0;
        mixed[1].crop_width = 10.0;
        assert_eq!(CRITERIA.judge(&mixed, 5).verdict, Verdict::LikelyFake);
    }

    #[test]
    fn blurred_faces_are_inconclusive_however_sure_the_network_is() {
        let mut blurred = person(0, 100.0, &[0.99; 6]);
        for observation in &mut blurred {
            observation.blur = 0.7;
        }
        let judged = CRITERIA.judge(&blurred, 6);
        assert_eq!((judged.verdict, judged.score), (Verdict::Inconclusive, Some(0.99)));
        assert_eq!(judged.reasons[0].code(), "blurred_face");
        assert_eq!(judged.people[0].median_blur, 0.7);
        // The median counts here too, and the bound itself is still judged.
        for observation in &mut blurred[..4] {
            observation.blur = 0.6;
        }
        assert_eq!(CRITERIA.judge(&blurred, 6).verdict, Verdict::LikelyFake);
    }

    #[test]
    fn a_fake_shot_contradicts_a_genuine_one_but_not_a_glimpse() {
        let mut seen = person(0, 100.0, &[0.9; 4]);
        seen.extend(person(1, 100.0, &[0.1; 4]));
        seen.extend(person(2, 100.0, &[0.5; 4]));
        seen.extend(person(3, 100.0, &[0.1; 1]));
        let people = CRITERIA.judge(&seen, 4).people;
        let contradictions =
            |one: usize| people.iter().map(|two| people[one].contradicts(two)).collect::<Vec<_>>();
        assert_eq!(contradictions(0), [false, true, true, false]);
        assert_eq!(contradictions(1), [true, false, false, false]);
        assert_eq!(contradictions(3), [false; 4]);
    }

    #[test]
    fn a_picture_is_judged_at_the_level_of_crops_and_a_video_at_that_of_people() {
        let levels = Levels {
            crop: CropLevel {
                calibration: Calibration { slope: 1.0, intercept: 0.0 },
                thresholds: Thresholds { low: 0.1, high: 0.95 },
            },
            person: CRITERIA,
        };
        let seen = person(0, 100.0, &[0.8; 4]);
        assert_eq!(levels.criteria(4).judge(&seen, 4).verdict, Verdict::LikelyFake);
        assert_eq!(levels.criteria(1).judge(&seen[..1], 1).verdict, Verdict::Inconclusive);
        // What keeps a face from being judged is the same.
        assert_eq!(levels.criteria(1).judge(&person(0, 20.0, &[0.99]), 1).verdict, Verdict::Inconclusive);
    }

    #[test]
    fn a_picture_needs_one_frame() {
        let judged = CRITERIA.judge(&person(0, 100.0, &[0.8]), 1);
        assert_eq!(judged.verdict, Verdict::LikelyFake);
        assert_eq!(codes(&judged.reasons), ["score_high"]);
    }

    #[test]
    fn equal_scores_name_the_first_person() {
        let mut seen = person(0, 100.0, &[0.5; 3]);
        seen.extend(person(1, 100.0, &[0.5; 3]));
        assert_eq!(CRITERIA.judge(&seen, 3).decisive_person, Some(0));
    }

    #[test]
    fn a_logistic_model_scores_the_person_by_logits_frames_width_and_blur() {
        let calibration = PersonCalibration {
            intercept: -1.0,
            mean_logit: 1.0,
            log_frames: 1.0,
            ..PersonCalibration::default()
        };
        let criteria = Criteria { scoring: PersonScoring::Logistic(calibration), ..CRITERIA };
        let score =
            |criteria: Criteria, seen: &[Observation]| criteria.judge(seen, seen.len()).score.unwrap();
        // Logits of 0: the sigmoid of -1 + ln 4.
        let seen = person(0, 64.0, &[0.5; 4]);
        assert!((score(criteria, &seen) - 4.0 / (4.0 + 1_f64.exp())).abs() < 1e-6);
        assert!(score(criteria, &seen[..1]) < score(criteria, &seen));
        let wide = PersonCalibration { log2_face_width: 0.5, blur: -2.0, ..calibration };
        let wide = Criteria { scoring: PersonScoring::Logistic(wide), ..CRITERIA };
        let logit = -1.0 + 4_f64.ln() + 3.0 - 0.8;
        assert!((score(wide, &seen) - 1.0 / (1.0 + (-logit).exp())).abs() < 1e-6);
    }

    #[test]
    fn medians_match_hand_computation() {
        assert_eq!(median(vec![]), None);
        assert_eq!(median(vec![3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(vec![4.0, 1.0, 2.0, 3.0]), Some(2.5));
    }
}
