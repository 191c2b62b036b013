//! What a scan examines.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::Error;

/// Options of a scan.
///
/// ```
/// let thorough = deeptell::ScanOptions::default().frames(32).min_face(24.0);
/// assert_eq!(thorough.frames, 32);
/// assert!(thorough.check().is_ok());
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
#[non_exhaustive]
pub struct ScanOptions {
    /// How many frames to sample from a video, spread evenly over it.
    pub frames: usize,
    /// Faces smaller than this many pixels (height, after scaling down) are not looked for;
    /// at least 12. Halving it makes face detection about four times as much work.
    pub min_face: f32,
    /// Faces that the face detector is less sure of are left out; in `0..=1`.
    pub min_detection_probability: f32,
    /// Of each frame only this many faces are judged, the largest first.
    pub max_faces_per_frame: usize,
    /// Frames and pictures whose longer side is over this many pixels are scaled down first;
    /// `None` takes them as they are.
    pub max_side: Option<u32>,
    /// Which stream of a video to sample, numbered from 0 among all streams of the file; `None` takes
    /// the one that players show.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stream: Option<u32>,
    /// How many faces go through the network at once.
    pub batch: usize,
    /// Also draw what the verdict rests on, for people ([`Evidence`](crate::Evidence)): thumbnails of frames and faces,
    /// and heat maps, which take another pass of the network over each face.
    pub evidence: bool,
    /// Hash the file.
    pub sha256: bool,
}

impl Default for ScanOptions {
    fn default() -> Self {
        Self {
            frames: 12,
            min_face: 40.0,
            min_detection_probability: 0.9,
            max_faces_per_frame: 4,
            max_side: Some(1920),
            stream: None,
            batch: 16,
            evidence: false,
            sha256: true,
        }
    }
}

impl ScanOptions {
    /// Most frames that one scan may sample.
    pub const MAX_FRAMES: usize = 10_000;

    /// Samples this number of frames from a video. See [`frames`](field@Self::frames).
    #[must_use]
    pub fn frames(self, frames: usize) -> Self {
        Self { frames, ..self }
    }

    /// Looks for faces of at least this many pixels. See [`min_face`](field@Self::min_face).
    #[must_use]
    pub fn min_face(self, min_face: f32) -> Self {
        Self { min_face, ..self }
    }

    /// Leaves out faces that the face detector is less sure of. See
    /// [`min_detection_probability`](field@Self::min_detection_probability).
    #[must_use]
    pub fn min_detection_probability(self, min_detection_probability: f32) -> Self {
        Self { min_detection_probability, ..self }
    }

    /// Judges at most this many faces of each frame. See [`max_faces_per_frame`](field@Self::max_faces_per_frame).
    #[must_use]
    pub fn max_faces_per_frame(self, max_faces_per_frame: usize) -> Self {
        Self { max_faces_per_frame, ..self }
    }

    /// Scales larger frames and pictures down first, or takes them as they are. See [`max_side`](field@Self::max_side).
    #[must_use]
    pub fn max_side(self, max_side: Option<u32>) -> Self {
        Self { max_side, ..self }
    }

    /// Samples this stream of a video, or the one that players show. See [`stream`](field@Self::stream).
    #[must_use]
    pub fn stream(self, stream: Option<u32>) -> Self {
        Self { stream, ..self }
    }

    /// Sends up to this many faces through the network at once. See [`batch`](field@Self::batch).
    #[must_use]
    pub fn batch(self, batch: usize) -> Self {
        Self { batch, ..self }
    }

    /// Draws what the verdict rests on, or does not. See [`evidence`](field@Self::evidence).
    #[must_use]
    pub fn evidence(self, evidence: bool) -> Self {
        Self { evidence, ..self }
    }

    /// Hashes the file, or does not. See [`sha256`](field@Self::sha256).
    #[must_use]
    pub fn sha256(self, sha256: bool) -> Self {
        Self { sha256, ..self }
    }

    /// Checks every field; a scan does so first.
    ///
    /// # Errors
    /// [`Error::Option`] with the name of the first field that is out of range.
    pub fn check(&self) -> Result<(), Error> {
        let fail = |option, value: String, expected| Err(Error::Option { option, value, expected });
        if !(1..=Self::MAX_FRAMES).contains(&self.frames) {
            return fail("frames", self.frames.to_string(), "1 to 10000 frames");
        }
        if !(self.min_face.is_finite() && self.min_face >= 12.0) {
            return fail("min_face", self.min_face.to_string(), "12 pixels or more");
        }
        if !(0.0..=1.0).contains(&self.min_detection_probability) {
            let value = self.min_detection_probability.to_string();
            return fail("min_detection_probability", value, "a probability from 0 to 1");
        }
        if self.max_faces_per_frame == 0 {
            return fail("max_faces_per_frame", "0".to_owned(), "1 face or more");
        }
        if let Some(side) = self.max_side.filter(|&side| side < 64) {
            return fail("max_side", side.to_string(), "64 pixels or more, or no limit");
        }
        if !(1..=1024).contains(&self.batch) {
            return fail("batch", self.batch.to_string(), "1 to 1024 faces");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_out_of_range_are_named() {
        let good = ScanOptions::default();
        assert!(good.check().is_ok());
        let bad = [
            ("frames", ScanOptions { frames: 0, ..good.clone() }),
            ("min_face", ScanOptions { min_face: f32::NAN, ..good.clone() }),
            ("min_detection_probability", ScanOptions { min_detection_probability: 1.5, ..good.clone() }),
            ("max_faces_per_frame", ScanOptions { max_faces_per_frame: 0, ..good.clone() }),
            ("max_side", ScanOptions { max_side: Some(10), ..good.clone() }),
            ("batch", ScanOptions { batch: 0, ..good.clone() }),
        ];
        for (name, options) in bad {
            assert!(matches!(options.check(), Err(Error::Option { option, .. }) if option == name), "{name}");
        }
    }

    #[test]
    fn missing_fields_take_their_defaults() {
        let options: ScanOptions = serde_json::from_str(r#"{"frames": 5}"#).unwrap();
        assert_eq!(options, ScanOptions { frames: 5, ..ScanOptions::default() });
    }
}
