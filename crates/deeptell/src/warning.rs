//! Non-fatal warnings of a scan.

use std::fmt;

use deeptell_face::{TrailingMedia, TrailingMediaKind};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Something to know about a scan that still gave a report. Its [`Display`](fmt::Display) form is an English sentence.
///
/// In the JSON of a report it is an object of its `code`, its fields and the sentence as `text`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "code", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Warning {
    /// Some frames show more faces than [`ScanOptions::max_faces_per_frame`](crate::ScanOptions::max_faces_per_frame),
    /// of which the largest were judged.
    CrowdedFrames {
        /// How many frames.
        frames: usize,
        /// Sampled frames in all.
        sampled: usize,
        /// Faces of each that were judged.
        max_faces: usize,
    },
    /// Faces that could not be cut out of their frames as the model needs them were not judged.
    UncutFaces {
        /// How many.
        faces: usize,
    },
    /// The model was trained and calibrated on faces that were found by another face detector, or with other settings:
    /// its thresholds may not hold.
    OtherFaceDetector {
        /// Name of the face detector that the model was calibrated with; if it is the same, also the settings that differ.
        calibrated: String,
        /// The same of the one that found the faces.
        used: String,
    },
    /// The file is too long to be hashed in the time allowed, so the report has no SHA-256.
    NotHashed {
        /// The time allowed, in seconds.
        seconds: u64,
    },
    /// After the picture, the file also contains a video or another picture, which was not scanned: motion photos and
    /// bursts do.
    PictureFollowed {
        /// What follows.
        content: TrailingMediaKind,
        /// Its first byte, counted from the beginning of the file.
        at: u64,
        /// Bytes from there to the end of the file.
        bytes: u64,
    },
    /// The video is damaged, cut short or ambiguous. In JSON it has no `code` of its own, but that of the
    /// [warning](deeptell_video::Warning) of the video reader.
    #[serde(untagged)]
    Video(deeptell_video::Warning),
}

impl Warning {
    /// The `code` in JSON.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::CrowdedFrames { .. } => "crowded_frames",
            Self::UncutFaces { .. } => "uncut_faces",
            Self::OtherFaceDetector { .. } => "other_face_detector",
            Self::NotHashed { .. } => "not_hashed",
            Self::PictureFollowed { .. } => "picture_followed",
            Self::Video(warning) => warning.code(),
        }
    }
}

impl From<TrailingMedia> for Warning {
    fn from(trailing: TrailingMedia) -> Self {
        Self::PictureFollowed { content: trailing.kind, at: trailing.at, bytes: trailing.bytes }
    }
}

impl From<deeptell_video::Warning> for Warning {
    fn from(warning: deeptell_video::Warning) -> Self {
        match warning {
            deeptell_video::Warning::PictureFollowed(trailing) => trailing.into(),
            warning => Self::Video(warning),
        }
    }
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::CrowdedFrames { frames, sampled, max_faces } => write!(
                f,
                "{frames} of {sampled} frames show more than {max_faces} faces; only the largest {max_faces} of each \
                 were judged."
            ),
            Self::UncutFaces { faces } => {
                write!(f, "{faces} of the faces found could not be set upright and were not judged.")
            }
            Self::OtherFaceDetector { calibrated, used } => write!(
                f,
                "The faces were found by {used}, but the model was calibrated on those of {calibrated}: its thresholds \
                 may not hold."
            ),
            Self::NotHashed { seconds } => write!(
                f,
                "The file is too long to be hashed within {seconds} seconds: this report has no SHA-256."
            ),
            Self::PictureFollowed { content, at, bytes } => TrailingMedia::new(*content, *at, *bytes).fmt(f),
            Self::Video(warning) => warning.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use deeptell_video::{PartFault, StreamLabel, Warning as VideoWarning};
    use serde_json::json;

    use super::*;
    use crate::sentence::Said;

    #[test]
    fn json_has_code_numbers_and_sentence_and_is_read_back() {
        let other = json!({"index": 2, "codec": "h264", "width": 640, "height": 360});
        let other: StreamLabel = serde_json::from_value(other).unwrap();
        for warning in [
            Warning::CrowdedFrames { frames: 2, sampled: 12, max_faces: 4 },
            Warning::UncutFaces { faces: 1 },
            Warning::OtherFaceDetector { calibrated: "mtcnn".to_owned(), used: "yunet".to_owned() },
            Warning::NotHashed { seconds: 20 },
            Warning::PictureFollowed { content: TrailingMediaKind::Video, at: 100, bytes: 20 },
            Warning::PictureFollowed { content: TrailingMediaKind::Picture, at: 100, bytes: 20 },
            VideoWarning::CorruptPackets { count: 3 }.into(),
            VideoWarning::DamagedFrame { pts_seconds: 1.25 }.into(),
            VideoWarning::Truncated { declared_seconds: 9.5, found_seconds: 3.25 }.into(),
            VideoWarning::CutShort { present_bytes: 7, total_bytes: Some(10) }.into(),
            VideoWarning::CutShort { present_bytes: 7, total_bytes: None }.into(),
            VideoWarning::BytesAfterEnd { bytes: 9, is_video: true }.into(),
            VideoWarning::PictureFollowed(TrailingMedia::new(TrailingMediaKind::Picture, 7, 9)).into(),
            VideoWarning::OtherStreams { sampled: 0, others: vec![other] }.into(),
            VideoWarning::ClockJumps { count: 1 }.into(),
            VideoWarning::TimesReplaced { count: 2 }.into(),
            VideoWarning::PartLeftOut { part: 2, reason: PartFault::Damaged }.into(),
            VideoWarning::ClockUnchecked.into(),
            VideoWarning::DurationMismatch { declared_seconds: 9.5, found_seconds: 3.25 }.into(),
        ] {
            let json = serde_json::to_value(Said::of(&warning)).unwrap();
            assert_eq!((&json["code"], &json["text"]), (&warning.code().into(), &warning.to_string().into()));
            assert_eq!(serde_json::from_value::<Warning>(json).unwrap(), warning);
        }
        let damaged = Warning::from(VideoWarning::CorruptPackets { count: 3 });
        assert_eq!(
            serde_json::to_value(Said::of(&damaged)).unwrap(),
            json!({
                "code": "corrupt_packets", "count": 3,
                "text": "The file is damaged in 3 places; what could be decoded was used.",
            })
        );
    }
}
