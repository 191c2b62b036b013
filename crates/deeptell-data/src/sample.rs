use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use deeptell_face::{Landmarks, Rect};
use serde::{Deserialize, Serialize};

use crate::{DataError, Extra};

/// Whether a face is genuine or manipulated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Label {
    /// Genuine: the negative class, 0.
    Real,
    /// Manipulated or generated: the positive class, 1.
    Fake,
}

impl Label {
    /// Whether this is the positive class of metrics.
    pub fn is_fake(self) -> bool {
        self == Self::Fake
    }
}

impl fmt::Display for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.is_fake() { "fake" } else { "real" })
    }
}

impl FromStr for Label {
    type Err = String;

    /// Reads `real` or `fake` in any case. Digits are refused: data sets disagree on which
    /// of them means real.
    fn from_str(text: &str) -> Result<Self, String> {
        match text.to_ascii_lowercase().as_str() {
            "real" => Ok(Self::Real),
            "fake" => Ok(Self::Fake),
            _ => Err(format!("label `{text}` must be `real` or `fake`")),
        }
    }
}

/// The split of a sample.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Split {
    /// To fit weights.
    Train,
    /// To choose checkpoint, threshold and calibration.
    #[serde(alias = "val")]
    Validation,
    /// To report figures, once.
    Test,
}

impl Split {
    /// The three splits in order.
    pub const ALL: [Self; 3] = [Self::Train, Self::Validation, Self::Test];
}

impl fmt::Display for Split {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Train => "train",
            Self::Validation => "validation",
            Self::Test => "test",
        })
    }
}

impl FromStr for Split {
    type Err = String;

    /// Reads `train`, `training`, `val`, `valid`, `validation`, `test` or `testing` in any case.
    fn from_str(text: &str) -> Result<Self, String> {
        match text.to_ascii_lowercase().as_str() {
            "train" | "training" => Ok(Self::Train),
            "val" | "valid" | "validation" => Ok(Self::Validation),
            "test" | "testing" => Ok(Self::Test),
            _ => Err(format!("split `{text}` must be `train`, `validation` or `test`")),
        }
    }
}

/// Whether a file holds one picture or a video.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Media {
    /// A still picture.
    Image,
    /// A video.
    Video,
}

impl Media {
    /// Decides by the extension, in any case; `None` for other files.
    pub fn of(path: &Path) -> Option<Self> {
        match path.extension()?.to_str()?.to_ascii_lowercase().as_str() {
            "jpg" | "jpeg" | "jpe" | "jfif" | "mpo" | "png" | "apng" | "bmp" | "dib" | "webp" | "avif" => {
                Some(Self::Image)
            }
            "mp4" | "m4v" | "mov" | "qt" | "3gp" | "3g2" | "f4v" | "lrv" | "insv" | "mkv" | "mk3d"
            | "webm" | "avi" | "divx" | "ts" | "m2ts" | "m2t" | "mts" | "trp" | "mpg" | "mpeg" | "mpe"
            | "m1v" | "m2v" | "vob" | "wmv" | "asf" | "flv" | "ogv" | "ogm" | "gif" | "ivf" | "obu"
            | "mjpg" | "mjpeg" | "h264" | "264" | "h265" | "265" | "hevc" => Some(Self::Video),
            _ => None,
        }
    }
}

/// One labeled video, picture or face crop: one row of the [manifest](crate::manifest).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Sample {
    /// The file, or the member of a shard: `crops-000000.tar/a_0.png`.
    pub path: PathBuf,
    /// Real or fake.
    pub label: Label,
    /// The recording this sample comes from, or for a fake the recording it was made from. All samples
    /// of a source must be in one split, because they are not independent.
    pub source: String,
    /// Its split, where one was assigned or the data set comes with one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub split: Option<Split>,
    /// The video this frame or crop was taken from; scores are averaged over it. A sample without one
    /// stands alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub video: Option<String>,
    /// Presentation time of the frame within its video, in seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pts_seconds: Option<f64>,
    /// The face, in pixels of the file at `path`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bbox: Option<Rect>,
    /// The landmarks of the face, in pixels of the file at `path`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub landmarks: Option<Landmarks>,
    /// The name of the face detector, for example `mtcnn`; in files `detector`.
    #[serde(rename = "detector", default, skip_serializing_if = "Option::is_none")]
    pub face_detector: Option<String>,
    /// How the fake was made, for example `FaceSwap` or `self-blend`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub method: Option<String>,
    /// The data set it belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dataset: Option<String>,
    /// The people in it, where known: the person filmed first, then whose face was put on.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub identities: Vec<String>,
    /// Additional values. Training never reads them. `deeptell eval` uses `track` to tell the people of
    /// a video apart, and `compression`, `codec`, `bbox_in_frame` and `original_width` for groups.
    #[serde(default, skip_serializing_if = "Extra::is_empty")]
    pub extra: Extra,
}

impl Sample {
    /// Sets [`path`](field@Self::path).
    #[must_use]
    pub fn path(self, path: PathBuf) -> Self {
        Self { path, ..self }
    }

    /// Sets [`split`](field@Self::split).
    #[must_use]
    pub fn split(self, split: Option<Split>) -> Self {
        Self { split, ..self }
    }

    /// Sets [`video`](field@Self::video).
    #[must_use]
    pub fn video(self, video: Option<String>) -> Self {
        Self { video, ..self }
    }

    /// Sets [`pts_seconds`](field@Self::pts_seconds).
    #[must_use]
    pub fn pts_seconds(self, pts_seconds: Option<f64>) -> Self {
        Self { pts_seconds, ..self }
    }

    /// Sets [`bbox`](field@Self::bbox).
    #[must_use]
    pub fn bbox(self, bbox: Option<Rect>) -> Self {
        Self { bbox, ..self }
    }

    /// Sets [`landmarks`](field@Self::landmarks).
    #[must_use]
    pub fn landmarks(self, landmarks: Option<Landmarks>) -> Self {
        Self { landmarks, ..self }
    }

    /// Sets [`face_detector`](field@Self::face_detector).
    #[must_use]
    pub fn face_detector(self, face_detector: Option<String>) -> Self {
        Self { face_detector, ..self }
    }

    /// Sets [`method`](field@Self::method).
    #[must_use]
    pub fn method(self, method: Option<String>) -> Self {
        Self { method, ..self }
    }

    /// Sets [`dataset`](field@Self::dataset).
    #[must_use]
    pub fn dataset(self, dataset: Option<String>) -> Self {
        Self { dataset, ..self }
    }

    /// Sets [`identities`](field@Self::identities).
    #[must_use]
    pub fn identities(self, identities: Vec<String>) -> Self {
        Self { identities, ..self }
    }

    /// Sets [`extra`](field@Self::extra).
    #[must_use]
    pub fn extra(self, extra: Extra) -> Self {
        Self { extra, ..self }
    }

    /// A sample with only the required fields set.
    pub fn new(path: impl Into<PathBuf>, label: Label, source: impl Into<String>) -> Self {
        Self {
            path: path.into(),
            label,
            source: source.into(),
            split: None,
            video: None,
            pts_seconds: None,
            bbox: None,
            landmarks: None,
            face_detector: None,
            method: None,
            dataset: None,
            identities: Vec::new(),
            extra: Extra::default(),
        }
    }

    /// Whether the file is a picture or a video, by its extension.
    pub fn media(&self) -> Option<Media> {
        Media::of(&self.path)
    }

    /// Checks the values: no empty path or source, no number that is not finite, no box without
    /// area.
    ///
    /// # Errors
    /// [`DataError::InvalidSample`] names the field.
    pub fn validate(&self) -> Result<(), DataError> {
        self.fault().map_or(Ok(()), |reason| {
            Err(DataError::InvalidSample { path: self.path.clone(), reason: reason.to_owned() })
        })
    }

    pub(crate) fn fault(&self) -> Option<&'static str> {
        if self.path.as_os_str().is_empty() {
            return Some("`path` must not be empty");
        }
        if self.source.trim().is_empty() {
            return Some("`source` must not be empty: it keeps related samples within one split");
        }
        if self.pts_seconds.is_some_and(|pts| !pts.is_finite()) {
            return Some("`pts_seconds` must be a finite number");
        }
        if self.bbox.is_some_and(|b| !b.is_finite() || b.x2 <= b.x1 || b.y2 <= b.y1) {
            return Some("`bbox` must be finite, with x1 < x2 and y1 < y2");
        }
        if self.landmarks.is_some_and(|l| !l.is_finite()) {
            return Some("`landmarks` must be finite numbers");
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_read_in_any_case_and_digits_are_refused() {
        assert_eq!("FAKE".parse(), Ok(Label::Fake));
        assert_eq!("Real".parse(), Ok(Label::Real));
        assert!("1".parse::<Label>().is_err());
        assert_eq!("val".parse(), Ok(Split::Validation));
        assert!("dev".parse::<Split>().is_err());
        for split in Split::ALL {
            assert_eq!(split.to_string().parse(), Ok(split));
        }
    }

    #[test]
    fn media_are_recognized_by_extension() {
        assert_eq!(Media::of(Path::new("a b/c.MP4")), Some(Media::Video));
        assert_eq!(Media::of(Path::new("c.JPeg")), Some(Media::Image));
        assert_eq!(Media::of(Path::new("notes.txt")), None);
        assert_eq!(Media::of(Path::new("mp4")), None);
    }

    #[test]
    fn validation_names_the_field() {
        let good = Sample::new("a.png", Label::Real, "a");
        assert!(good.validate().is_ok());
        let faults = [
            ("path", Sample { path: PathBuf::new(), ..good.clone() }),
            ("source", Sample { source: " ".into(), ..good.clone() }),
            ("pts_seconds", Sample { pts_seconds: Some(f64::NAN), ..good.clone() }),
            ("bbox", Sample { bbox: Some(Rect::new(5.0, 0.0, 5.0, 1.0)), ..good.clone() }),
        ];
        for (field, sample) in faults {
            let message = sample.validate().unwrap_err().to_string();
            assert!(message.contains(field), "{message}");
        }
    }
}
