//! The result of a scan as plain data, and its JSON form.

use std::fmt;

use deeptell_face::{FaceDetectorId, Landmarks, Rect};
use deeptell_network::Dtype;
use schemars::JsonSchema;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};

use crate::reason::Reason;
use crate::sentence::{self, Said};
use crate::text::printable;
use crate::warning::Warning;
use crate::{ModelCard, ReportError, ScanOptions};

/// Version of the report's JSON form. It increases when a field changes its meaning or is removed, but not for new
/// fields or new kinds of reasons and warnings.
pub const SCHEMA_VERSION: u32 = 2;

/// The JSON Schema (draft 2020-12) of a [`Report`]'s JSON form, as text.
///
/// It is made from the types and ships as `schema/report.json` beside this crate's sources.
pub const REPORT_SCHEMA: &str = include_str!("../schema/report.json");

/// The result of one scan of one input.
///
/// The same input, model and options give the same report, byte for byte: nothing in it
/// depends on the clock or the machine. Scores and times are rounded to a millionth, so that
/// JSON keeps them exactly.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct Report {
    /// [`SCHEMA_VERSION`].
    #[serde(deserialize_with = "known_version")]
    pub schema_version: u32,
    /// Version of this crate that made the report.
    pub deeptell_version: String,
    /// The answer in one word.
    pub verdict: Verdict,
    /// Probability in `0..=1` that the decisive face is manipulated; `None` without a face.
    pub score: Option<f64>,
    /// [`Person::id`] of the person the verdict rests on; `None` without a face.
    pub decisive_person: Option<usize>,
    /// Why the verdict is what it is, most important first.
    #[serde(serialize_with = "sentence::serialize")]
    #[schemars(with = "Vec<Said<Reason>>")]
    pub reasons: Vec<Reason>,
    /// The file, or what is known of the frames.
    pub input: InputFacts,
    /// The sampled frames, in order of time.
    pub frames: Vec<FrameFacts>,
    /// The people seen, as far as position and appearance distinguish them, in order of first appearance. Faces that are
    /// not [confirmed](Person::is_confirmed) come last.
    pub people: Vec<Person>,
    /// Every face that was judged, in order of time.
    pub observations: Vec<Observation>,
    /// Non-fatal problems: damaged data, faces that were skipped.
    #[serde(serialize_with = "sentence::serialize")]
    #[schemars(with = "Vec<Said<Warning>>")]
    pub warnings: Vec<Warning>,
    /// The model that gave the scores.
    pub model: ModelInfo,
    /// The face detector, with its settings. Reports of earlier versions do not name it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub face_detector: Option<FaceDetectorId>,
    /// The options of the scan.
    pub options: ScanOptions,
}

impl Report {
    /// Reads a report from its JSON form.
    ///
    /// # Errors
    /// [`ReportError::SchemaVersion`] for a report of another [`SCHEMA_VERSION`], [`ReportError::Json`] for anything
    /// that is not a report.
    pub fn from_json(document: &[u8]) -> Result<Self, ReportError> {
        #[derive(Deserialize)]
        struct Version {
            schema_version: u64,
        }
        let Version { schema_version: found } = serde_json::from_slice(document)?;
        if found != u64::from(SCHEMA_VERSION) {
            return Err(ReportError::SchemaVersion { found });
        }
        Ok(serde_json::from_slice(document)?)
    }

    /// The observations of one person, in order of time, each with its place in
    /// [`observations`](Self::observations).
    pub fn observations_of(&self, person: usize) -> impl Iterator<Item = (usize, &Observation)> {
        self.observations.iter().enumerate().filter(move |(_, o)| o.person == person)
    }

    /// The people without the faces that are not [confirmed](Person::is_confirmed).
    pub fn confirmed_people(&self) -> impl Iterator<Item = &Person> {
        self.people.iter().filter(|person| person.is_confirmed)
    }

    /// The person that the verdict rests on.
    pub fn decisive(&self) -> Option<&Person> {
        let id = self.decisive_person?;
        self.people.iter().find(|person| person.id == id)
    }
}

/// A report of another version lacks fields, or uses them differently.
fn known_version<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u32, D::Error> {
    let found = u64::deserialize(deserializer)?;
    if found == u64::from(SCHEMA_VERSION) {
        Ok(SCHEMA_VERSION)
    } else {
        Err(D::Error::custom(ReportError::SchemaVersion { found }))
    }
}

/// The answer in one word.
///
/// In JSON: `likely_real`, `inconclusive`, `likely_fake`, `no_face`. There will be no others, so that a program that
/// acts on verdicts can handle each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// The score is at or under the model's lower threshold.
    LikelyReal,
    /// The score is between the thresholds, or faces are too few or too small to be judged.
    Inconclusive,
    /// The score is at or over the model's upper threshold.
    LikelyFake,
    /// No face was found, so there is nothing to judge. Not a probability.
    NoFace,
}

impl Verdict {
    /// The name in JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::LikelyReal => "likely_real",
            Self::Inconclusive => "inconclusive",
            Self::LikelyFake => "likely_fake",
            Self::NoFace => "no_face",
        }
    }
}

/// The verdict with its score, and a line for each reason and warning.
impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.verdict)?;
        if let Some(score) = self.score {
            write!(f, "  score {score:.3}")?;
        }
        for reason in &self.reasons {
            write!(f, "\n  - {}", printable(&reason.to_string()))?;
        }
        for warning in &self.warnings {
            write!(f, "\n  ! {}", printable(&warning.to_string()))?;
        }
        Ok(())
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::LikelyReal => "likely real",
            Self::Inconclusive => "inconclusive",
            Self::LikelyFake => "likely fake",
            Self::NoFace => "no face found",
        })
    }
}

/// What was scanned.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct InputFacts {
    /// File name without its folder, or the name the caller gave. Not to be trusted: show it
    /// escaped.
    pub name: String,
    /// The path as it was given; `None` for pixels from memory.
    pub path: Option<String>,
    /// Video, image, or frames from the caller.
    pub kind: InputKind,
    /// SHA-256 of the whole file in lower-case hexadecimal; `None` for pixels from memory or
    /// when [`ScanOptions::sha256`] is off.
    pub sha256: Option<String>,
    /// Size of the file.
    pub bytes: Option<u64>,
    /// Container or image format, for example `mov,mp4,m4a,3gp,3g2,mj2` or `png`.
    pub container: Option<String>,
    /// Video codec, for example `h264`.
    pub codec: Option<String>,
    /// Width as shown, in pixels, before any scaling down.
    pub width: Option<u32>,
    /// Height as shown, in pixels, before any scaling down.
    pub height: Option<u32>,
    /// Length of the video.
    pub duration_seconds: Option<f64>,
    /// Average frame rate of the video.
    pub frames_per_second: Option<f64>,
    /// Frames in the whole video, where the container says so.
    pub frame_count: Option<u64>,
    /// What decoded the frames, where that is not deeptell itself, for example `browser`: its pixels differ slightly,
    /// and so do scores.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub decoder: Option<String>,
}

/// Kinds of input; in JSON in `snake_case`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum InputKind {
    /// A video file.
    Video,
    /// A picture.
    Image,
    /// Frames that the caller decoded.
    Frames,
}

/// A sampled frame.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct FrameFacts {
    /// Number of the frame within the whole video, from 0, where it is known.
    pub index: Option<u64>,
    /// When it is shown, in seconds from the start; 0 for a picture.
    pub pts_seconds: f64,
    /// Width of the frame as it was judged, in pixels: the space of the boxes.
    pub width: u32,
    /// Height of the frame as it was judged, in pixels.
    pub height: u32,
    /// Faces found in it, also those that [`ScanOptions::max_faces_per_frame`] left out.
    pub faces: usize,
}

/// One face in one frame.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct Observation {
    /// Which of [`Report::frames`], from 0.
    pub frame: usize,
    /// When that frame is shown, in seconds from the start.
    pub pts_seconds: f64,
    /// [`Person::id`] of the person it belongs to.
    pub person: usize,
    /// The face's box, in pixels of the frame.
    pub bbox: Rect,
    /// Probability of a face, by the face detector, in `0..=1`.
    pub detection_probability: f32,
    /// Eyes, nose and mouth corners, in pixels of the frame.
    pub landmarks: Landmarks,
    /// Side of the square that was cut out, in pixels of the frame: how much detail there was.
    pub crop_width: f32,
    /// How blurred the cut-out is, from 0, sharp, to 1 ([`deeptell_face::blur_effect`]); a face that
    /// had to be enlarged is blurred too.
    pub blur: f32,
    /// Logit of the network, unbounded; higher means more likely fake.
    pub logit: f64,
    /// Calibrated probability that this face is manipulated, in `0..=1`.
    pub fake_probability: f64,
}

/// One person: faces linked across frames, and across the cuts between them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct Person {
    /// Number of the person, from 0, in order of first appearance.
    pub id: usize,
    /// The verdict on this person alone; never [`Verdict::NoFace`].
    pub verdict: Verdict,
    /// Probability in `0..=1` that this person's face is manipulated, made from all frames as
    /// [`Criteria::scoring`](crate::Criteria::scoring) says.
    pub score: f64,
    /// Whether the face is confirmed. Lettering, a hand or a print that the face detector took for a face is not: it is
    /// listed after the people and never judged.
    pub is_confirmed: bool,
    /// Whether it was seen often and large enough to be judged.
    pub judgeable: bool,
    /// In how many of the sampled frames the face was seen.
    pub frames: usize,
    /// Share of those frames whose own probability is over one half, in `0..=1`.
    pub share_over_half: f64,
    /// Standard deviation of the frames' probabilities.
    pub spread: f64,
    /// Median of [`Observation::crop_width`], in pixels.
    pub median_crop_width: f32,
    /// Median of [`Observation::blur`].
    pub median_blur: f32,
    /// Time of the first sampled frame with this face, in seconds.
    pub first_pts_seconds: f64,
    /// Time of the last one.
    pub last_pts_seconds: f64,
    /// When it is seen, in order of time. A range ends before the first sampled frame without this
    /// face; one in a single frame begins and ends at its time.
    pub ranges: Vec<TimeRange>,
    /// Why the verdict is what it is.
    #[serde(serialize_with = "sentence::serialize")]
    #[schemars(with = "Vec<Said<Reason>>")]
    pub reasons: Vec<Reason>,
}

impl Person {
    /// Whether each can be judged and just one of them is likely fake. Put together, a person who
    /// is manipulated in one shot and genuine in another would come out as the mean of both.
    pub fn contradicts(&self, other: &Self) -> bool {
        let is_fake = |person: &Self| person.verdict == Verdict::LikelyFake;
        self.judgeable && other.judgeable && is_fake(self) != is_fake(other)
    }
}

/// From one sampled frame to another, both of them included.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct TimeRange {
    /// Time of the first frame, in seconds.
    pub first_pts_seconds: f64,
    /// Time of the last one.
    pub last_pts_seconds: f64,
}

/// The model that gave the scores.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[non_exhaustive]
pub struct ModelInfo {
    /// SHA-256 of the model file in lower-case hexadecimal.
    pub sha256: String,
    /// What the file says about itself.
    pub card: ModelCard,
    /// The number format that it computed in: `f32`, `bf16` or `f16`; absent for `f32`.
    #[serde(rename = "precision", default, skip_serializing_if = "Dtype::is_full")]
    #[schemars(with = "String")]
    pub dtype: Dtype,
}

impl ModelInfo {
    /// A model that computes in `f32`, with the SHA-256 of its file in lower-case hexadecimal.
    pub fn new(sha256: impl Into<String>, card: ModelCard) -> Self {
        Self { sha256: sha256.into(), card, dtype: Dtype::F32 }
    }
}

/// A number as the report keeps it: rounded to a millionth, which survives JSON exactly.
pub(crate) fn rounded(value: f64) -> f64 {
    (value * 1e6).round() / 1e6
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reason::tests::every_reason;

    #[test]
    fn verdicts_have_stable_names() {
        for verdict in [Verdict::LikelyReal, Verdict::Inconclusive, Verdict::LikelyFake, Verdict::NoFace] {
            let json = serde_json::to_string(&verdict).unwrap();
            assert_eq!(json, format!("\"{}\"", verdict.as_str()));
            assert_eq!(serde_json::from_str::<Verdict>(&json).unwrap(), verdict);
        }
        assert_eq!(format!("{:>14}|", Verdict::LikelyFake), "   likely fake|");
    }

    #[test]
    fn the_schema_that_ships_is_that_of_the_types() {
        let made = serde_json::to_value(schemars::schema_for!(Report)).unwrap();
        let ships: serde_json::Value = serde_json::from_str(REPORT_SCHEMA).unwrap();
        assert!(
            made == ships,
            "run `cargo run -p deeptell --example report_schema > crates/deeptell/schema/report.json`"
        );
        for field in ["schema_version", "verdict", "score", "reasons", "people", "observations", "model"] {
            assert!(ships["properties"][field].is_object(), "{field}");
            assert!(
                ships["required"].as_array().unwrap().contains(&field.into()) || field == "score",
                "{field}"
            );
        }
        let codes = |list: &str| -> Vec<String> {
            let kinds = ships["$defs"][list]["oneOf"].as_array().unwrap();
            kinds
                .iter()
                .map(|kind| kind["properties"]["code"]["const"].as_str().unwrap().to_owned())
                .collect()
        };
        let every: Vec<String> = every_reason().iter().map(|reason| reason.code().to_owned()).collect();
        assert_eq!(codes("Reason"), every);
        for list in ["Reason", "Warning"] {
            assert!(ships["$defs"][list]["required"].as_array().unwrap().contains(&"text".into()), "{list}");
        }
    }

    #[test]
    fn reports_of_another_schema_are_refused_with_what_to_do() {
        for version in [1_u64, 3, 1 << 40] {
            let other = format!(r#"{{"schema_version": {version}, "tracks": []}}"#);
            let error = Report::from_json(other.as_bytes()).unwrap_err();
            assert!(matches!(error, ReportError::SchemaVersion { found } if found == version), "{error:?}");
            let todo = if version == 1 { "scan the file again" } else { "use a newer deeptell" };
            assert!(error.to_string().contains(todo), "{error}");
            let plain = serde_json::from_str::<Report>(&other).unwrap_err().to_string();
            assert!(plain.contains(&error.to_string()), "{plain}");
        }
        for other in ["", "[]", "{}", r#"{"schema_version": 2}"#, r#"{"schema_version": "2"}"#] {
            let error = Report::from_json(other.as_bytes()).unwrap_err();
            assert!(matches!(error, ReportError::Json(_)), "{other}: {error:?}");
        }
    }

    #[test]
    fn rounding_survives_json() {
        for value in [0.1 + 0.2, 1.0 / 3.0, 12.345_678_912, 0.999_999_96] {
            let kept = rounded(value);
            let back: f64 = serde_json::from_str(&serde_json::to_string(&kept).unwrap()).unwrap();
            assert_eq!(back, kept);
            assert!((kept - value).abs() <= 5e-7);
        }
    }
}
