//! What a scan looks at.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::Error;

/// Options of a scan.
///
/// ```
/// let thorough = deeptell::ScanOptions { frames: 32, ..Default::default() };
/// assert!(thorough.check().is_ok());
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
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
    /// The file comes from a stranger: narrow bounds on what it may be and cost
    /// ([`Limits::untrusted`](deeptell_video::Limits::untrusted)).
    pub untrusted: bool,
    /// Keep thumbnails for the HTML page.
    pub pictures: bool,
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
            untrusted: false,
            pictures: true,
            sha256: true,
        }
    }
}

impl ScanOptions {
    /// Most frames that one scan may sample.
    pub const MAX_FRAMES: usize = 10_000;

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
