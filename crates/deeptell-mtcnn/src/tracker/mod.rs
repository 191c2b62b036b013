//! Following faces through a video.

mod config;
mod smooth;

use deeptell_face::{
    Face, FaceError, FaceTracker, Overlap, RgbImage, Thumbnail, link_faces, non_maximum_suppression,
};
use serde::{Deserialize, Serialize};

pub use config::TrackerConfig;
use smooth::Smoother;

use crate::cascade::Candidate;
use crate::{Mtcnn, MtcnnError};

/// Overlap, over the smaller box, above which two tracks are on the same face.
const SAME_FACE: f32 = 0.7;
/// Weight of the newest step in the mean that says how a face moves.
const STEP_WEIGHT: f32 = 0.5;
/// Steps for which a missed face is assumed to keep moving.
const MAX_STEPS: usize = 5;

/// Follows faces through the frames of a video, at a fraction of the cost of searching each frame.
///
/// It takes every frame of a video, or every second one: faces must move by a fraction of their
/// size from one to the next.
///
/// The whole cascade searches key frames only: the first, every [`key_interval`](TrackerConfig::key_interval)-th, the
/// first of another scene, and any frame in which a face is lost. Between them, O-Net alone runs at the predicted
/// position of each face, corrects its box and finds its landmarks. Each face has the number of its track, which it
/// keeps if it is missed for a while and comes back.
///
/// ```
/// use burn::tensor::Device;
/// use deeptell_face::RgbImage;
/// use deeptell_mtcnn::{FoundBy, KeyFrame, Mtcnn, Tracker, TrackerConfig};
///
/// let mtcnn = Mtcnn::pretrained(&Device::flex())?;
/// let mut tracker = Tracker::new(mtcnn, TrackerConfig::default())?;
/// let frame = RgbImage::from_pixel(96, 64, image::Rgb([90, 120, 150]));
/// assert_eq!(tracker.follow(&frame)?.found_by, FoundBy::Cascade(KeyFrame::First));
/// assert_eq!(tracker.follow(&frame)?.found_by, FoundBy::OutputNetwork);
/// # Ok::<(), deeptell_mtcnn::MtcnnError>(())
/// ```
#[derive(Debug, Clone)]
pub struct Tracker {
    mtcnn: Mtcnn,
    config: TrackerConfig,
    tracks: Vec<Track>,
    tracks_so_far: u64,
    /// Frames since the last key frame.
    since_key: usize,
    last_frame: Option<Thumbnail>,
}

/// What a [`Tracker`] found in one frame.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct TrackedFrame {
    /// The faces, the largest first.
    pub faces: Vec<TrackedFace>,
    /// How they were found.
    pub found_by: FoundBy,
}

/// A face of a [`TrackedFrame`].
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct TrackedFace {
    /// Number of the face's track, from 0 in order of first appearance.
    pub track: u64,
    /// Box and landmarks, smoothed over time if the settings say so, in pixels.
    pub face: Face,
    /// Box and landmarks as the network gave them for this frame alone.
    pub unsmoothed: Face,
}

/// How the faces of a frame were found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum FoundBy {
    /// The whole frame was searched.
    Cascade(KeyFrame),
    /// O-Net alone ran, at the position of each face predicted from its motion.
    OutputNetwork,
}

/// Why a frame was searched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum KeyFrame {
    /// It is the first one.
    First,
    /// It begins another scene: all tracks end.
    SceneCut,
    /// The interval between key frames is over.
    Interval,
    /// A face was not found where it was predicted. Faces found in a single frame only do not count.
    Lost,
}

/// One face through time.
#[derive(Debug, Clone)]
struct Track {
    number: u64,
    /// As last found.
    face: Face,
    smooth: Face,
    smoother: Smoother,
    /// Pixels that the face moves by from one frame to the next, across and down.
    motion: (f32, f32),
    /// Frames since the face was last found.
    missed: usize,
    /// Whether it was found in more than one frame.
    is_confirmed: bool,
}

impl Track {
    fn new(number: u64, face: Face) -> Self {
        Self {
            number,
            face,
            smooth: face,
            smoother: Smoother::new(&face),
            motion: (0.0, 0.0),
            missed: 0,
            is_confirmed: false,
        }
    }

    /// The face as predicted for the next frame from its motion.
    fn expected(&self) -> Face {
        let steps = (1 + self.missed).min(MAX_STEPS) as f32;
        let (dx, dy) = (steps * self.motion.0, steps * self.motion.1);
        self.face.translated(dx, dy)
    }

    fn found(&mut self, face: Face) {
        let (from, to) = (self.face.bbox.center(), face.bbox.center());
        let frames = (1 + self.missed) as f32;
        let weight = if self.is_confirmed { STEP_WEIGHT } else { 1.0 };
        self.motion.0 += weight * ((to.x - from.x) / frames - self.motion.0);
        self.motion.1 += weight * ((to.y - from.y) / frames - self.motion.1);
        if self.missed > 0 {
            // Where it was before says nothing about how it moves now.
            self.smoother = Smoother::new(&face);
        }
        self.smooth = self.smoother.add(&face);
        (self.face, self.missed, self.is_confirmed) = (face, 0, true);
    }
}

impl FaceTracker for Tracker {
    fn next_faces(&mut self, frame: &RgbImage) -> Result<Vec<(u64, Face)>, FaceError> {
        Ok(self.follow(frame)?.faces.iter().map(|tracked| (tracked.track, tracked.face)).collect())
    }
}

impl Tracker {
    /// A tracker that has seen no frame yet.
    ///
    /// # Errors
    /// [`MtcnnError::Setting`] names the first setting that is out of its range.
    pub fn new(mtcnn: Mtcnn, config: TrackerConfig) -> Result<Self, MtcnnError> {
        config.validate()?;
        Ok(Self { mtcnn, config, tracks: Vec::new(), tracks_so_far: 0, since_key: 0, last_frame: None })
    }

    /// The settings the tracker was made with.
    pub fn config(&self) -> &TrackerConfig {
        &self.config
    }

    /// Takes the next frame.
    ///
    /// # Errors
    /// [`MtcnnError::Device`] when the device fails; the tracker then ignores the frame.
    pub fn follow(&mut self, frame: &RgbImage) -> Result<TrackedFrame, MtcnnError> {
        let thumbnail = Thumbnail::of(frame);
        let change = self.last_frame.as_ref().map(|last| last.change(&thumbnail));
        let reason = match change {
            None => Some(KeyFrame::First),
            Some(change) if change >= self.config.scene_cut => Some(KeyFrame::SceneCut),
            Some(_) if self.since_key + 1 >= self.config.key_interval => Some(KeyFrame::Interval),
            Some(_) => None,
        };
        let found_by = match reason {
            Some(reason) => {
                self.search(frame, reason)?;
                FoundBy::Cascade(reason)
            }
            None => self.find_again(frame)?,
        };
        self.last_frame = Some(thumbnail);
        let mut faces: Vec<TrackedFace> = self
            .tracks
            .iter()
            .filter(|track| track.missed == 0)
            .map(|track| TrackedFace {
                track: track.number,
                face: if self.config.smooth { track.smooth } else { track.face },
                unsmoothed: track.face,
            })
            .collect();
        faces.sort_by(|a, b| b.face.bbox.area().total_cmp(&a.face.bbox.area()));
        Ok(TrackedFrame { faces, found_by })
    }

    /// Searches the whole frame and links what is there to the tracks.
    fn search(&mut self, frame: &RgbImage, reason: KeyFrame) -> Result<(), MtcnnError> {
        let faces = self.mtcnn.detect(frame)?;
        self.since_key = 0;
        if reason == KeyFrame::SceneCut {
            self.tracks.clear();
        }
        let lasts: Vec<Face> = self.tracks.iter().map(Track::expected).collect();
        let links = link_faces(&lasts, &faces, |_, _| Some(0.0));
        for (track, number) in self.tracks.iter_mut().zip(0..) {
            match links.iter().position(|link| *link == Some(number)) {
                Some(face) => track.found(faces[face]),
                None => track.missed += 1,
            }
        }
        self.tracks.retain(|track| track.missed <= self.config.max_missed);
        for (face, link) in faces.into_iter().zip(links) {
            if link.is_none() {
                self.tracks.push(Track::new(self.tracks_so_far, face));
                self.tracks_so_far += 1;
            }
        }
        Ok(())
    }

    /// Runs O-Net where each face is predicted; searches the frame when one of them is not there.
    fn find_again(&mut self, frame: &RgbImage) -> Result<FoundBy, MtcnnError> {
        let followed: Vec<&Track> = self.tracks.iter().filter(|track| track.missed == 0).collect();
        let places = followed.iter().map(|track| Candidate {
            bbox: track.expected().bbox.to_square(),
            probability: track.face.probability,
        });
        let mut found = self.mtcnn.inspect(frame, places.collect())?;
        let is_there = |face: &Face| face.probability >= self.config.min_probability && face.bbox.is_finite();
        for face in &mut found {
            *face = face.filter(is_there);
        }
        let is_lost = found.iter().zip(&followed).any(|(face, track)| face.is_none() && track.is_confirmed);
        let faces: Vec<Face> = found.iter().flatten().copied().collect();
        if is_lost || are_two_on_one_face(&faces) {
            self.search(frame, KeyFrame::Lost)?;
            return Ok(FoundBy::Cascade(KeyFrame::Lost));
        }
        self.since_key += 1;
        let mut found = found.into_iter();
        for track in &mut self.tracks {
            let face = if track.missed == 0 { found.next().flatten() } else { None };
            match face {
                Some(face) => track.found(face),
                None => track.missed += 1,
            }
        }
        self.tracks.retain(|track| track.missed <= self.config.max_missed);
        Ok(FoundBy::OutputNetwork)
    }
}

/// Whether two tracks are on the same face.
fn are_two_on_one_face(faces: &[Face]) -> bool {
    let (boxes, scores): (Vec<_>, Vec<_>) = faces.iter().map(|face| (face.bbox, face.probability)).unzip();
    non_maximum_suppression(&boxes, &scores, SAME_FACE, Overlap::Minimum).len() < faces.len()
}
