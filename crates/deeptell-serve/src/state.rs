//! How far a scan has come, as the interface tells it.

use deeptell::{Pictures, Progress, Verdict};
use serde::Serialize;

use crate::failure::Failure;

/// How far a scan has come. In JSON the field `state` names the kind.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub(crate) enum State {
    /// The file is here, and others come first.
    Waiting {
        /// How many.
        ahead: usize,
    },
    /// It is being looked at.
    Running {
        /// Frames looked at so far.
        frames_done: usize,
        /// Frames to look at, where it is known; there may turn out to be fewer.
        frames_total: Option<usize>,
        /// Faces found so far.
        faces: usize,
    },
    /// There is a report.
    Done {
        /// The answer in one word.
        verdict: Verdict,
        /// Probability in `0..=1` that the decisive face is manipulated.
        score: Option<f64>,
        /// How many pictures the report has, of each kind.
        pictures: PictureCounts,
    },
    /// There will be no report.
    Failed {
        /// Why not.
        error: Failure,
    },
    /// It was cancelled or forgotten; seen by those who were listening.
    Cancelled,
}

impl State {
    /// Just begun.
    pub(crate) const STARTED: Self = Self::Running { frames_done: 0, frames_total: None, faces: 0 };

    /// Whether nothing more will happen.
    pub(crate) fn is_final(&self) -> bool {
        matches!(self, Self::Done { .. } | Self::Failed { .. } | Self::Cancelled)
    }
}

impl From<Progress> for State {
    fn from(Progress { frames_done, frames_total, faces }: Progress) -> Self {
        Self::Running { frames_done, frames_total, faces }
    }
}

/// How many pictures a report has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub(crate) struct PictureCounts {
    frames: usize,
    faces: usize,
    heat: usize,
}

impl From<&Pictures> for PictureCounts {
    fn from(pictures: &Pictures) -> Self {
        let Pictures { frames, faces, heat } = pictures;
        Self { frames: frames.len(), faces: faces.len(), heat: heat.len() }
    }
}

/// The document about one scan.
#[derive(Debug, Serialize)]
pub(crate) struct Document<'a> {
    pub(crate) id: &'a str,
    pub(crate) name: &'a str,
    pub(crate) bytes: u64,
    #[serde(flatten)]
    pub(crate) state: &'a State,
}
