//! The scans that a server knows: unfinished ones, and the latest of the finished.

use std::collections::{HashMap, VecDeque};
use std::fmt::Write as _;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use deeptell::{Pictures, Progress, Report, Verdict};
use serde::Serialize;
use tokio::sync::watch;

use crate::failure::Failure;

/// One uploaded file and what becomes of it.
pub(crate) struct Scan {
    /// 32 hexadecimal digits that nobody can guess: who knows them may see the report.
    pub(crate) id: String,
    /// What its sender called the file.
    pub(crate) name: String,
    pub(crate) bytes: u64,
    state: watch::Sender<State>,
    report: OnceLock<Report>,
    cancelled: AtomicBool,
}

impl Scan {
    pub(crate) fn new(name: String, bytes: u64) -> Result<Self, getrandom::Error> {
        let mut random = [0; 16];
        getrandom::fill(&mut random)?;
        let id = random.iter().fold(String::new(), |mut id, byte| {
            let _ = write!(id, "{byte:02x}");
            id
        });
        Ok(Self {
            id,
            name,
            bytes,
            state: watch::Sender::new(State::Waiting { ahead: 0 }),
            report: OnceLock::new(),
            cancelled: AtomicBool::new(false),
        })
    }

    /// To follow the state from now on.
    pub(crate) fn watch(&self) -> watch::Receiver<State> {
        self.state.subscribe()
    }

    /// Moves on; a final state stays.
    pub(crate) fn set(&self, new: State) {
        self.state.send_if_modified(|state| {
            let moves = !state.is_final() && *state != new;
            if moves {
                *state = new;
            }
            moves
        });
    }

    /// Keeps the report and moves to [`State::Done`].
    pub(crate) fn complete(&self, report: Report) {
        let pictures = (&report.pictures).into();
        let done = State::Done { verdict: report.verdict, score: report.score, pictures };
        // A scan runs once, so there is none yet.
        let _ = self.report.set(report);
        self.set(done);
    }

    pub(crate) fn report(&self) -> Option<&Report> {
        self.report.get()
    }

    /// Asks the analysis to end early.
    pub(crate) fn cancel(&self) {
        self.cancelled.store(true, Ordering::Relaxed);
    }

    pub(crate) fn is_cancelled(&self) -> bool {
        self.cancelled.load(Ordering::Relaxed)
    }

    /// The document about it, as JSON.
    pub(crate) fn document(&self, state: &State) -> String {
        let document = Document { id: &self.id, name: &self.name, bytes: self.bytes, state };
        // Texts and finite numbers alone: there is nothing that JSON cannot say.
        serde_json::to_string(&document).unwrap_or_default()
    }
}

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

/// The scans that a server knows.
pub(crate) struct Scans {
    kept: Mutex<Kept>,
    /// How many finished ones to keep.
    history: usize,
}

#[derive(Default)]
struct Kept {
    by_id: HashMap<String, Arc<Scan>>,
    /// The oldest first. Names of forgotten scans may linger until they come to the front.
    finished: VecDeque<String>,
}

impl Scans {
    pub(crate) fn new(history: usize) -> Self {
        Self { kept: Mutex::default(), history }
    }

    pub(crate) fn insert(&self, scan: &Arc<Scan>) {
        self.lock().by_id.insert(scan.id.clone(), Arc::clone(scan));
    }

    pub(crate) fn get(&self, id: &str) -> Option<Arc<Scan>> {
        self.lock().by_id.get(id).cloned()
    }

    /// Takes a scan out; whoever still listens to it learns that.
    pub(crate) fn forget(&self, id: &str) -> Option<Arc<Scan>> {
        let mut kept = self.lock();
        kept.finished.retain(|finished| finished != id);
        kept.by_id.remove(id)
    }

    /// Notes that a scan is over, and lets go of the oldest ones beyond the history.
    pub(crate) fn note_finished(&self, scan: &Scan) {
        let mut kept = self.lock();
        if !kept.by_id.contains_key(&scan.id) {
            return;
        }
        kept.finished.push_back(scan.id.clone());
        while kept.finished.len() > self.history {
            if let Some(oldest) = kept.finished.pop_front() {
                kept.by_id.remove(&oldest);
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scan(name: &str) -> Arc<Scan> {
        Arc::new(Scan::new(name.to_owned(), 1).unwrap())
    }

    #[test]
    fn names_cannot_be_guessed_from_others() {
        let (a, b) = (scan("a"), scan("a"));
        assert_ne!(a.id, b.id);
        for id in [&a.id, &b.id] {
            assert!(id.len() == 32 && id.bytes().all(|b| b.is_ascii_hexdigit()), "{id}");
        }
    }

    #[test]
    fn only_the_latest_finished_scans_are_kept() {
        let scans = Scans::new(2);
        let all: Vec<_> = ["a", "b", "c", "d"].map(scan).into();
        for scan in &all {
            scans.insert(scan);
        }
        // The first is still at work: it stays, however old.
        for scan in &all[1..] {
            scans.note_finished(scan);
        }
        let known: Vec<bool> = all.iter().map(|scan| scans.get(&scan.id).is_some()).collect();
        assert_eq!(known, [true, false, true, true]);

        assert!(scans.forget(&all[2].id).is_some());
        assert!(scans.forget(&all[2].id).is_none());
        scans.note_finished(&all[0]);
        assert!(scans.get(&all[0].id).is_some() && scans.get(&all[3].id).is_some());
        // What was forgotten at work does not come back when it ends.
        scans.note_finished(&all[2]);
        assert!(scans.get(&all[2].id).is_none() && scans.get(&all[3].id).is_some());
    }

    #[test]
    fn a_final_state_stays() {
        let scan = scan("clip.mp4");
        let states = scan.watch();
        scan.set(State::STARTED);
        scan.set(State::Failed { error: Failure::stopped() });
        scan.set(State::STARTED);
        assert!(matches!(*states.borrow(), State::Failed { .. }));
        let document: serde_json::Value = serde_json::from_str(&scan.document(&states.borrow())).unwrap();
        assert_eq!(document["state"], "failed");
        assert_eq!(document["error"]["code"], "stopped");
        assert_eq!((document["name"].as_str(), document["bytes"].as_u64()), (Some("clip.mp4"), Some(1)));
    }
}
