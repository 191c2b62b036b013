//! Scans: unfinished ones, and the latest of the finished.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use axum::body::Bytes;
use deeptell::{Evidence, Progress, Report, Verdict, html};
use serde::Serialize;
use tokio::sync::watch;

use crate::refusal::Refusal;

/// The scan of one uploaded file.
pub(crate) struct Scan {
    /// 32 hexadecimal digits that cannot be guessed: whoever knows them may read the report.
    pub(crate) id: String,
    /// The display name of the file, from the client.
    pub(crate) name: String,
    pub(crate) bytes: u64,
    state: watch::Sender<State>,
    found: OnceLock<deeptell::Scan>,
    /// The report as JSON and as a page, once somebody has asked for it: shared by all answers, so that many
    /// clients that read slowly take no more memory than one.
    report_json: OnceLock<Bytes>,
    report_html: OnceLock<Bytes>,
    cancelled: AtomicBool,
}

impl Scan {
    pub(crate) fn new(name: String, bytes: u64) -> Result<Self, getrandom::Error> {
        let mut random = [0; 16];
        getrandom::fill(&mut random)?;
        Ok(Self {
            id: deeptell_files::hexadecimal(&random),
            name,
            bytes,
            state: watch::Sender::new(State::Waiting { ahead: 0 }),
            found: OnceLock::new(),
            report_json: OnceLock::new(),
            report_html: OnceLock::new(),
            cancelled: AtomicBool::new(false),
        })
    }

    /// Subscribes to the state.
    pub(crate) fn watch(&self) -> watch::Receiver<State> {
        self.state.subscribe()
    }

    /// Changes the state, unless it is final.
    pub(crate) fn set(&self, new: State) {
        self.state.send_if_modified(|state| {
            let moves = !state.is_final() && *state != new;
            if moves {
                *state = new;
            }
            moves
        });
    }

    /// Stores what the scan found and sets [`State::Done`].
    pub(crate) fn complete(&self, found: deeptell::Scan) {
        let pictures = found.evidence.as_ref().map(PictureCounts::from).unwrap_or_default();
        let done = State::Done { verdict: found.report.verdict, score: found.report.score, pictures };
        // A scan runs once, so there is nothing yet.
        let _ = self.found.set(found);
        self.set(done);
    }

    pub(crate) fn report(&self) -> Option<&Report> {
        self.found.get().map(|found| &found.report)
    }

    /// The pictures that go with the report.
    pub(crate) fn evidence(&self) -> Option<&Evidence> {
        self.found.get()?.evidence.as_ref()
    }

    /// The report as JSON, and as a page. Writing the page takes a moment.
    pub(crate) fn report_json(&self) -> Option<Bytes> {
        // Texts and finite numbers alone: there is nothing that JSON cannot represent.
        let write = |report| serde_json::to_vec_pretty(report).unwrap_or_default().into();
        self.report().map(|report| self.report_json.get_or_init(|| write(report)).clone())
    }

    pub(crate) fn report_html(&self) -> Option<Bytes> {
        self.report()
            .map(|report| self.report_html.get_or_init(|| html::page(report, self.evidence()).into()).clone())
    }

    /// Asks the analysis to end early.
    pub(crate) fn cancel(&self) {
        self.cancelled.store(true, Ordering::Relaxed);
    }

    pub(crate) fn is_cancelled(&self) -> bool {
        self.cancelled.load(Ordering::Relaxed)
    }

    /// The scan with this state, as JSON.
    pub(crate) fn document(&self, state: &State) -> String {
        let document = Document { id: &self.id, name: &self.name, bytes: self.bytes, state };
        // Texts and finite numbers alone: there is nothing that JSON cannot represent.
        serde_json::to_string(&document).unwrap_or_default()
    }
}

/// The state of a scan. In JSON, the field `state` names the variant.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub(crate) enum State {
    /// The file is in the queue.
    Waiting {
        /// Files ahead of it.
        ahead: usize,
    },
    /// The file is being analyzed.
    Running {
        /// Frames analyzed so far.
        frames_done: usize,
        /// Frames to analyze, if known; there may turn out to be fewer.
        frames_total: Option<usize>,
        /// Faces found so far.
        faces: usize,
    },
    /// There is a report.
    Done {
        /// The verdict.
        verdict: Verdict,
        /// Probability in `0..=1` that the decisive face is manipulated; `None` without a face.
        score: Option<f64>,
        /// Number of pictures in the report, of each kind.
        pictures: PictureCounts,
    },
    /// The scan ended without a report.
    Failed {
        /// Why.
        error: Refusal,
    },
    /// The scan was cancelled or removed. Only event streams that were open already see this.
    Cancelled,
}

impl State {
    /// The first running state.
    pub(crate) const STARTED: Self = Self::Running { frames_done: 0, frames_total: None, faces: 0 };

    /// Whether no other state follows.
    pub(crate) fn is_final(&self) -> bool {
        matches!(self, Self::Done { .. } | Self::Failed { .. } | Self::Cancelled)
    }
}

impl From<Progress> for State {
    fn from(Progress { frames_done, frames_total, faces, .. }: Progress) -> Self {
        Self::Running { frames_done, frames_total, faces }
    }
}

/// Numbers of pictures that go with a report.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub(crate) struct PictureCounts {
    frames: usize,
    faces: usize,
    heat: usize,
}

impl From<&Evidence> for PictureCounts {
    fn from(evidence: &Evidence) -> Self {
        let Evidence { frames, faces, heat, .. } = evidence;
        Self { frames: frames.len(), faces: faces.len(), heat: heat.len() }
    }
}

/// The JSON document of a scan.
#[derive(Debug, Serialize)]
pub(crate) struct Document<'a> {
    pub(crate) id: &'a str,
    pub(crate) name: &'a str,
    pub(crate) bytes: u64,
    #[serde(flatten)]
    pub(crate) state: &'a State,
}

/// All scans that can be asked for.
pub(crate) struct Scans {
    kept: Mutex<Kept>,
    /// How many finished scans are kept.
    history: usize,
}

#[derive(Default)]
struct Kept {
    by_id: HashMap<String, Arc<Scan>>,
    /// Ids of finished scans, oldest first.
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

    /// Removes a scan.
    pub(crate) fn forget(&self, id: &str) -> Option<Arc<Scan>> {
        let mut kept = self.lock();
        kept.finished.retain(|finished| finished != id);
        kept.by_id.remove(id)
    }

    /// Records that a scan is finished, and removes the oldest ones beyond the history.
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
    fn ids_are_random() {
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
        // The first one is still running: it stays, however old.
        for scan in &all[1..] {
            scans.note_finished(scan);
        }
        let known: Vec<bool> = all.iter().map(|scan| scans.get(&scan.id).is_some()).collect();
        assert_eq!(known, [true, false, true, true]);

        assert!(scans.forget(&all[2].id).is_some());
        assert!(scans.forget(&all[2].id).is_none());
        scans.note_finished(&all[0]);
        assert!(scans.get(&all[0].id).is_some() && scans.get(&all[3].id).is_some());
        // A scan that was removed while it was running does not come back when it ends.
        scans.note_finished(&all[2]);
        assert!(scans.get(&all[2].id).is_none() && scans.get(&all[3].id).is_some());
    }

    #[test]
    fn final_state_does_not_change() {
        let scan = scan("clip.mp4");
        let states = scan.watch();
        scan.set(State::STARTED);
        scan.set(State::Failed { error: Refusal::STOPPED });
        scan.set(State::STARTED);
        assert!(matches!(*states.borrow(), State::Failed { .. }));
        let document: serde_json::Value = serde_json::from_str(&scan.document(&states.borrow())).unwrap();
        assert_eq!(document["state"], "failed");
        assert_eq!(document["error"]["code"], "stopped");
        assert_eq!((document["name"].as_str(), document["bytes"].as_u64()), (Some("clip.mp4"), Some(1)));
    }
}
