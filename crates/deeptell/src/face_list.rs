//! The faces of files as a list.

use std::fmt;
use std::path::PathBuf;

#[cfg(feature = "ffmpeg")]
use deeptell_face::RgbImage;
use deeptell_face::{Face, Point, Rect};
#[cfg(feature = "ffmpeg")]
use deeptell_video::{Frame, VideoError};
use serde::Serialize;

use crate::text::printable;

/// What was found in one file. In text, a line per file or frame, and one per face; nothing for a file that could not
/// be read.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct FileFaces {
    /// The file.
    #[serde(serialize_with = "deeptell_files::serialize_path")]
    pub file: PathBuf,
    /// Its faces.
    #[serde(flatten)]
    pub list: FaceList,
}

/// The faces of one file, or why it could not be read.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum FaceList {
    /// Of a picture.
    Faces(Vec<FaceEntry>),
    /// Of the frames of a video.
    Frames(Vec<FrameFaces>),
    /// Why there are none.
    Error(String),
}

/// The faces of a frame.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct FrameFaces {
    /// When it is shown, in seconds from the start.
    pub seconds: f64,
    /// Its faces.
    pub faces: Vec<FaceEntry>,
}

/// A face in a [`FaceList`]; coordinates in pixels of the picture or frame.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct FaceEntry {
    /// Number of its track, the same in all frames of a video; absent in pictures.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub track: Option<u64>,
    /// Left, top, right and bottom.
    #[serde(rename = "box")]
    pub bbox: [f32; 4],
    /// How sure the face detector is, `0..=1`.
    pub score: f32,
    /// [`Landmarks`](crate::Landmarks), each x and y.
    pub landmarks: [[f32; 2]; 5],
}

impl FaceList {
    /// Those of a picture.
    pub fn of_picture(faces: &[Face]) -> Self {
        Self::Faces(faces.iter().map(|face| FaceEntry::new(face, None)).collect())
    }

    /// Those that `find` finds in the frames of a video, with the numbers of their tracks where it has them. Frames that
    /// repeat the one before are left out. `look` gets each frame with its number, from 0, and its faces.
    ///
    /// # Errors
    /// The first error of `frames`, `find` or `look`.
    #[cfg(feature = "ffmpeg")]
    pub fn of_frames<E: From<VideoError>>(
        frames: impl IntoIterator<Item = Result<Frame, VideoError>>,
        mut find: impl FnMut(&RgbImage) -> Result<Vec<(Option<u64>, Face)>, E>,
        mut look: impl FnMut(usize, RgbImage, &[Face]) -> Result<(), E>,
    ) -> Result<Self, E> {
        let mut list = Vec::new();
        for frame in frames {
            let frame = frame?;
            if frame.repeats_previous {
                continue;
            }
            let found = find(&frame.image)?;
            let entries = found.iter().map(|(track, face)| FaceEntry::new(face, *track)).collect();
            let faces: Vec<Face> = found.into_iter().map(|(_, face)| face).collect();
            look(list.len(), frame.image, &faces)?;
            list.push(FrameFaces::new(frame.pts_seconds, entries));
        }
        Ok(Self::Frames(list))
    }
}

impl FrameFaces {
    /// The faces of the frame that is shown `seconds` seconds from the start.
    pub fn new(seconds: f64, faces: Vec<FaceEntry>) -> Self {
        Self { seconds, faces }
    }
}

impl FaceEntry {
    /// A face, with the number of its track if it has one.
    pub fn new(face: &Face, track: Option<u64>) -> Self {
        let Rect { x1, y1, x2, y2 } = face.bbox;
        let landmarks = face.landmarks.points().map(|Point { x, y }| [x, y]);
        Self { track, bbox: [x1, y1, x2, y2], score: face.probability, landmarks }
    }
}

/// A line without its end.
impl fmt::Display for FaceEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [x1, y1, x2, y2] = self.bbox;
        write!(f, "{x1:.0},{y1:.0} to {x2:.0},{y2:.0}  score {:.3}", self.score)?;
        self.track.map_or(Ok(()), |track| write!(f, "  track {track}"))
    }
}

impl FileFaces {
    /// The faces of `file`.
    pub fn new(file: impl Into<PathBuf>, list: FaceList) -> Self {
        Self { file: file.into(), list }
    }
}

impl fmt::Display for FileFaces {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let file = self.file.display().to_string();
        let file = printable(&file);
        match &self.list {
            FaceList::Error(_) => Ok(()),
            FaceList::Faces(faces) => {
                write!(f, "{file}: ")?;
                write_faces(faces, f)
            }
            FaceList::Frames(frames) => {
                writeln!(f, "{file}: {} frames", frames.len())?;
                for FrameFaces { seconds, faces } in frames {
                    write!(f, "  {seconds:.2} s: ")?;
                    write_faces(faces, f)?;
                }
                Ok(())
            }
        }
    }
}

/// The number of faces, and a line for each.
fn write_faces(faces: &[FaceEntry], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    match faces.len() {
        0 => writeln!(f, "no face"),
        1 => writeln!(f, "1 face"),
        count => writeln!(f, "{count} faces"),
    }?;
    faces.iter().try_for_each(|face| writeln!(f, "  - {face}"))
}

#[cfg(test)]
mod tests {
    use deeptell_face::Landmarks;

    use super::*;

    fn face() -> Face {
        Face {
            bbox: Rect::new(1.0, 2.0, 3.0, 4.0),
            probability: 0.5,
            landmarks: Landmarks::from_points([Point::new(1.5, 2.5); 5]),
        }
    }

    #[test]
    fn json_has_the_documented_form() {
        let of = |list| serde_json::json!(FileFaces::new("a.jpg", list));
        let faces = of(FaceList::Faces(vec![FaceEntry::new(&face(), None)]));
        let points = [[1.5, 2.5]; 5];
        let expected = serde_json::json!({"box": [1.0, 2.0, 3.0, 4.0], "score": 0.5, "landmarks": points});
        assert_eq!(faces, serde_json::json!({"file": "a.jpg", "faces": [expected]}));
        let error = of(FaceList::Error("broken".to_owned()));
        assert_eq!(error, serde_json::json!({"file": "a.jpg", "error": "broken"}));
    }

    #[test]
    fn text_has_a_line_per_frame_and_face() {
        let frames = vec![
            FrameFaces::new(0.0, Vec::new()),
            FrameFaces::new(0.5, vec![FaceEntry::new(&face(), Some(7))]),
        ];
        let text = FileFaces::new("a\nb.mp4", FaceList::Frames(frames)).to_string();
        let expected = "a\\nb.mp4: 2 frames\n  0.00 s: no face\n  0.50 s: 1 face\n  \
                        - 1,2 to 3,4  score 0.500  track 7\n";
        assert_eq!(text, expected);
    }
}
