use std::io::Cursor;
use std::path::Path;

use deeptell_data::Sample;
use deeptell_face::{Face, RgbImage};
use image::ImageFormat;
use image::codecs::jpeg::JpegEncoder;

use crate::frames::Frame;
use crate::{ExtractError, Format, InPlace, Settings};

/// Quality of JPEG crops, of 100.
const QUALITY: u8 = 95;

/// Cuts the faces of one input, and keeps rows and encoded crops until all of them can be stored
/// together.
pub(crate) struct CropWriter<'a> {
    sample: &'a Sample,
    settings: &'a Settings,
    /// Of the face detector.
    face_detector: &'a str,
    /// What the names of the crops begin with.
    name: String,
    /// Name of the input below its data set.
    file: String,
    /// SHA-256 of the input; unknown where that would take too long.
    hash: Option<String>,
    /// Bytes of the input; unknown for a member of a shard.
    bytes: Option<u64>,
    frames: usize,
    rows: Vec<Sample>,
    pictures: Vec<Vec<u8>>,
}

/// The crops of one input.
pub(crate) struct Crops {
    /// Their paths are file names, unless pictures stay in place.
    pub(crate) rows: Vec<Sample>,
    /// The files, one per row; none when pictures stay in place.
    pub(crate) pictures: Vec<Vec<u8>>,
}

impl<'a> CropWriter<'a> {
    /// For `sample`, which is `file` below its data set and has the digest `hash`; `key` distinguishes
    /// its crops from those of every other input.
    pub(crate) fn new(
        sample: &'a Sample,
        settings: &'a Settings,
        face_detector: &'a str,
        key: &str,
        file: String,
        hash: Option<String>,
    ) -> Self {
        Self {
            sample,
            settings,
            face_detector,
            name: format!("{}-{key}", safe_stem(&sample.path)),
            file,
            hash,
            bytes: length_of(sample),
            frames: 0,
            rows: Vec::new(),
            pictures: Vec::new(),
        }
    }

    /// Takes the next frame with the face that was found in it, if one was.
    pub(crate) fn take(&mut self, frame: &Frame, face: Option<&Face>) -> Result<(), ExtractError> {
        let number = self.frames;
        self.frames += 1;
        let Some(face) = face else { return Ok(()) };
        let mut row = self.row(&frame.image, face)?;
        if self.settings.in_place.is_none() {
            let crop = self.settings.crop.cut(&frame.image, face.bbox, Some(&face.landmarks))?;
            self.pictures.push(encode(&crop, self.settings.format)?);
            row.path = format!("{}-{number:04}.{}", self.name, self.settings.format.extension()).into();
        }
        row.pts_seconds = frame.pts_seconds;
        row.extra.insert("frame_index", serde_json::json!(frame.index));
        row.extra.insert("file", self.file.as_str());
        if let Some(hash) = &self.hash {
            row.extra.insert("file_sha256", hash.as_str());
        }
        if let Some(bytes) = self.bytes {
            row.extra.insert("file_bytes", bytes);
        }
        self.rows.push(row);
        Ok(())
    }

    /// The crops, each with the warnings of its video.
    ///
    /// # Errors
    /// [`ExtractError::NoFace`].
    pub(crate) fn finish(mut self, warnings: &[String]) -> Result<Crops, ExtractError> {
        if self.rows.is_empty() {
            return Err(ExtractError::NoFace { frames: self.frames });
        }
        if !warnings.is_empty() {
            for row in &mut self.rows {
                row.extra.insert("warnings", warnings.to_vec());
            }
        }
        Ok(Crops { rows: self.rows, pictures: self.pictures })
    }

    /// What the manifest says about a face, its time aside; landmarks are in pixels of the file
    /// that the row is going to name.
    fn row(&self, image: &RgbImage, face: &Face) -> Result<Sample, ExtractError> {
        let mut extra = self.sample.extra.clone();
        let (bbox, landmarks) = match self.settings.in_place {
            Some(InPlace::Box) => (Some(face.bbox), face.landmarks),
            Some(InPlace::Landmarks) => (None, face.landmarks),
            None => {
                extra.insert("bbox_in_frame", serde_json::json!(face.bbox));
                extra.insert("landmarks_in_frame", serde_json::json!(face.landmarks));
                extra.insert("frame_size", serde_json::json!([image.width(), image.height()]));
                let image_from_crop = self.settings.crop.image_from_crop(face.bbox, Some(&face.landmarks))?;
                let crop_from_image = image_from_crop.inverse().ok_or(ExtractError::TooSmall)?;
                (None, face.landmarks.map(|point| crop_from_image.apply(point)))
            }
        };
        extra.insert("face_probability", face.probability);
        Ok(self
            .sample
            .clone()
            .video(Some(video_of(self.sample)))
            .bbox(bbox)
            .landmarks(Some(landmarks))
            .face_detector(Some(self.face_detector.to_owned()))
            .extra(extra))
    }
}

/// The video that crops of an input belong to: its own, or the input itself.
pub(crate) fn video_of(sample: &Sample) -> String {
    sample.video.clone().unwrap_or_else(|| sample.path.display().to_string())
}

/// How many bytes the file has; unknown for a member of a shard.
pub(crate) fn length_of(sample: &Sample) -> Option<u64> {
    sample.path.metadata().ok().map(|metadata| metadata.len())
}

fn encode(crop: &RgbImage, format: Format) -> Result<Vec<u8>, ExtractError> {
    let mut bytes = Cursor::new(Vec::new());
    match format {
        Format::Png => crop.write_to(&mut bytes, ImageFormat::Png)?,
        Format::Jpeg => crop.write_with_encoder(JpegEncoder::new_with_quality(&mut bytes, QUALITY))?,
    }
    Ok(bytes.into_inner())
}

/// The file name without extension, safe on every system, of at most 60 characters and 180 bytes.
fn safe_stem(path: &Path) -> String {
    let safe = |c: char| if c.is_alphanumeric() || matches!(c, '-' | '_') { c } else { '_' };
    let mut bytes = 0;
    let fits = |c: &char| {
        bytes += c.len_utf8();
        bytes <= 180
    };
    deeptell_files::stem(path).chars().map(safe).take(60).take_while(fits).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_crops_are_safe_and_short() {
        assert_eq!(safe_stem(Path::new("a/b c.d-1_é.mp4")), "b_c_d-1_é");
        assert_eq!(safe_stem(Path::new(&"x".repeat(300))).len(), 60);
        assert!(safe_stem(Path::new(&"\u{20000}".repeat(90))).len() <= 180);
    }
}
