//! Why a verdict is what it is.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::clock;
use crate::report::TimeRange;

/// One reason for a verdict, with its numbers. Its [`Display`](fmt::Display) form is an English sentence.
///
/// In the JSON of a report it is an object of its `code`, its fields and the sentence as `text`:
///
/// ```
/// use deeptell::Reason;
///
/// let reason = Reason::ScoreHigh { score: 0.93, threshold: 0.9 };
/// assert_eq!(reason.to_string(), "The score of 0.930 reaches 0.900, where this detector says fake.");
/// assert_eq!(reason.code(), "score_high");
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "code", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Reason {
    /// The score reaches the upper threshold.
    ScoreHigh {
        /// The score, in `0..=1`.
        score: f64,
        /// The upper threshold, in `0..=1`.
        threshold: f64,
    },
    /// The score lies between the thresholds.
    ScoreBetween {
        /// The score, in `0..=1`.
        score: f64,
        /// The lower threshold, in `0..=1`.
        low: f64,
        /// The upper threshold, in `0..=1`.
        high: f64,
    },
    /// The score is at or under the lower threshold.
    ScoreLow {
        /// The score, in `0..=1`.
        score: f64,
        /// The lower threshold, in `0..=1`.
        threshold: f64,
    },
    /// The face was seen in too few frames to judge it.
    FewFrames {
        /// Sampled frames that show it.
        seen: usize,
        /// Sampled frames in all.
        sampled: usize,
        /// Sampled frames that must show it.
        needed: usize,
    },
    /// The face is too small to judge it.
    SmallFace {
        /// Median width of its crops, in pixels of the frame.
        crop_width: f32,
        /// The narrowest that is judged.
        min_crop_width: f32,
    },
    /// The face is too blurred, or too strongly compressed, to judge it.
    BlurredFace {
        /// Median blur of its crops, in `0..=1`.
        blur: f32,
        /// The most blurred that is judged.
        max_blur: f32,
    },
    /// How the single frames relate to the score.
    Agreement {
        /// Frames that score over one half by themselves.
        over_half: usize,
        /// Sampled frames that show the person.
        frames: usize,
    },
    /// Which person the verdict rests on, and when they are seen.
    Person {
        /// [`Person::id`](crate::Person::id); in sentences and on pages people are numbered from 1.
        person: usize,
        /// When they are seen; empty for a picture.
        ranges: Vec<TimeRange>,
    },
    /// Other faces were seen that were too brief, too small or too blurred to be judged.
    OthersNotJudged {
        /// How many people they are.
        others: usize,
    },
    /// No face was found in any frame.
    NoFace {
        /// Sampled frames in all.
        sampled: usize,
    },
    /// Patterns were seen that resemble faces, but are not confirmed as such, and nothing else.
    PatternsNotJudged {
        /// How many.
        patterns: usize,
    },
    /// The face is not confirmed as one, so it does not count as a person.
    NotConfirmed,
}

impl Reason {
    /// The `code` in JSON.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::ScoreHigh { .. } => "score_high",
            Self::ScoreBetween { .. } => "score_between",
            Self::ScoreLow { .. } => "score_low",
            Self::FewFrames { .. } => "few_frames",
            Self::SmallFace { .. } => "small_face",
            Self::BlurredFace { .. } => "blurred_face",
            Self::Agreement { .. } => "agreement",
            Self::Person { .. } => "person",
            Self::OthersNotJudged { .. } => "others_not_judged",
            Self::NoFace { .. } => "no_face",
            Self::PatternsNotJudged { .. } => "patterns_not_judged",
            Self::NotConfirmed => "not_confirmed",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ScoreHigh { score, threshold } => {
                write!(f, "The score of {score:.3} reaches {threshold:.3}, where this detector says fake.")
            }
            Self::ScoreBetween { score, low, high } => {
                write!(f, "The score of {score:.3} lies between {low:.3} (real) and {high:.3} (fake).")
            }
            Self::ScoreLow { score, threshold } => {
                write!(
                    f,
                    "The score of {score:.3} is not over {threshold:.3}, up to where this detector says real."
                )
            }
            Self::FewFrames { seen, sampled, needed } => write!(
                f,
                "The face was seen in {seen} of {sampled} sampled frames; {needed} are needed to judge it."
            ),
            Self::SmallFace { crop_width, min_crop_width } => write!(
                f,
                "The face is about {crop_width:.0} pixels wide; under {min_crop_width:.0} this detector does not judge."
            ),
            Self::BlurredFace { blur, max_blur } => write!(
                f,
                "The face is blurred or strongly compressed ({blur:.2} of 1); over {max_blur:.2} this detector does \
                 not judge."
            ),
            Self::Agreement { over_half, frames } => {
                write!(f, "{over_half} of {frames} frames, each taken alone, score over one half.")
            }
            Self::Person { person, ranges } if ranges.is_empty() => {
                write!(f, "The verdict rests on person {}.", person + 1)
            }
            Self::Person { person, ranges } => {
                write!(f, "The verdict rests on person {}, seen {}.", person + 1, clock::ranges(ranges))
            }
            Self::OthersNotJudged { others: 1 } => {
                f.write_str("1 other face was too brief, too small or too blurred to be judged.")
            }
            Self::OthersNotJudged { others } => {
                write!(f, "{others} other faces were too brief, too small or too blurred to be judged.")
            }
            Self::NoFace { sampled: 1 } => f.write_str("No face was found, so there is nothing to judge."),
            Self::NoFace { sampled } => {
                write!(f, "No face was found in {sampled} sampled frames, so there is nothing to judge.")
            }
            Self::PatternsNotJudged { patterns: 1 } => {
                f.write_str("1 pattern that resembles a face is not clearly a face and not judged.")
            }
            Self::PatternsNotJudged { patterns } => {
                write!(f, "{patterns} patterns that resemble faces are not clearly a face and not judged.")
            }
            Self::NotConfirmed => f.write_str(
                "Not counted as a person: the face detector does not find this face again when it is mirrored, turned \
                 a little or shown at another size. Lettering, hands and prints look like faces for a moment.",
            ),
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use serde_json::json;

    use super::*;
    use crate::sentence;

    /// One of each kind.
    pub(crate) fn every_reason() -> Vec<Reason> {
        let range = TimeRange { first_pts_seconds: 0.0, last_pts_seconds: 1.5 };
        vec![
            Reason::ScoreHigh { score: 0.934_567, threshold: 0.9 },
            Reason::ScoreBetween { score: 0.5, low: 0.25, high: 0.75 },
            Reason::ScoreLow { score: 0.1, threshold: 0.25 },
            Reason::FewFrames { seen: 3, sampled: 12, needed: 4 },
            Reason::SmallFace { crop_width: 31.7, min_crop_width: 48.0 },
            Reason::BlurredFace { blur: 0.71, max_blur: 0.635 },
            Reason::Agreement { over_half: 2, frames: 5 },
            Reason::Person { person: 1, ranges: vec![range] },
            Reason::OthersNotJudged { others: 2 },
            Reason::NoFace { sampled: 12 },
            Reason::PatternsNotJudged { patterns: 1 },
            Reason::NotConfirmed,
        ]
    }

    #[test]
    fn json_has_code_numbers_and_sentence_and_is_read_back() {
        for reason in every_reason() {
            let json = serde_json::to_value(sentence::Said::of(&reason)).unwrap();
            assert_eq!((&json["code"], &json["text"]), (&reason.code().into(), &reason.to_string().into()));
            assert_eq!(serde_json::from_value::<Reason>(json).unwrap(), reason);
        }
        let few = Reason::FewFrames { seen: 3, sampled: 12, needed: 4 };
        assert_eq!(
            serde_json::to_value(sentence::Said::of(&few)).unwrap(),
            json!({
                "code": "few_frames", "seen": 3, "sampled": 12, "needed": 4,
                "text": "The face was seen in 3 of 12 sampled frames; 4 are needed to judge it.",
            })
        );
    }

    #[test]
    fn a_picture_names_the_person_without_times() {
        let reason = Reason::Person { person: 1, ranges: Vec::new() };
        assert_eq!(reason.to_string(), "The verdict rests on person 2.");
    }
}
