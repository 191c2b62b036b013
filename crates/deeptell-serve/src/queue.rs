//! The queue of files, and the workers that analyze them.

use std::collections::VecDeque;
use std::ops::ControlFlow;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use deeptell::Error;
use tempfile::TempPath;

use crate::app::App;
use crate::event::Event;
use crate::refusal::{Code, Refusal};
use crate::scans::{Scan, State};
use crate::upload_slots::UploadSlot;

/// A file in the queue. Dropping it deletes the file and then frees its slot.
pub(crate) struct Job {
    pub(crate) scan: Arc<Scan>,
    pub(crate) file: TempPath,
    pub(crate) slot: UploadSlot,
}

/// The queue.
#[derive(Default)]
pub(crate) struct Queue {
    line: Mutex<Line>,
    changed: Condvar,
}

#[derive(Default)]
struct Line {
    jobs: VecDeque<Job>,
    closed: bool,
}

impl Line {
    /// Updates how many files are ahead of each.
    fn renumber(&self) {
        for (ahead, job) in self.jobs.iter().enumerate() {
            job.scan.set(State::Waiting { ahead });
        }
    }
}

impl Queue {
    /// Appends a file; gives it back if the queue is closed.
    pub(crate) fn push(&self, job: Job) -> Result<(), Job> {
        let mut line = self.lock();
        if line.closed {
            return Err(job);
        }
        line.jobs.push_back(job);
        line.renumber();
        self.changed.notify_one();
        Ok(())
    }

    /// Waits for the next file; `None` if the queue is closed.
    fn take(&self) -> Option<Job> {
        let mut line = self.lock();
        loop {
            if line.closed {
                return None;
            }
            if let Some(job) = line.jobs.pop_front() {
                job.scan.set(State::STARTED);
                line.renumber();
                return Some(job);
            }
            line = self.changed.wait(line).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Removes the file of a scan, if it is still in the queue.
    pub(crate) fn remove(&self, id: &str) {
        let mut line = self.lock();
        line.jobs.retain(|job| job.scan.id != id);
        line.renumber();
    }

    /// Closes the queue and fails all scans in it. Returns how many there were.
    pub(crate) fn close(&self) -> usize {
        let mut line = self.lock();
        line.closed = true;
        self.changed.notify_all();
        let jobs = std::mem::take(&mut line.jobs);
        for job in &jobs {
            job.scan.set(State::Failed { error: Refusal::STOPPED });
        }
        jobs.len()
    }

    fn lock(&self) -> MutexGuard<'_, Line> {
        self.line.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Analyses one file after the other until the queue is closed.
pub(crate) fn work(app: &App) {
    while let Some(Job { scan, file, slot }) = app.queue.take() {
        let began = Instant::now();
        let outcome = analyze(app, &scan, &file, began);
        // The file is deleted and its slot free before the client learns the result.
        if let Err(error) = file.close() {
            app.tell(Event::Failed { detail: format!("cannot delete an upload: {error}") });
        }
        drop(slot);
        match outcome {
            Ok(found) => {
                let (bytes, verdict, took) = (scan.bytes, found.report.verdict, began.elapsed());
                app.tell(Event::Analysed { bytes, verdict, took });
                scan.complete(found);
            }
            Err(Ended::Cancelled) if app.is_stopping() => {
                scan.set(State::Failed { error: Refusal::STOPPED });
            }
            Err(Ended::Cancelled) => scan.set(State::Cancelled),
            Err(Ended::Failed(error)) => {
                app.tell(Event::Refused { bytes: scan.bytes, code: error.code.text() });
                scan.set(State::Failed { error });
            }
        }
        app.scans.note_finished(&scan);
    }
}

/// Why there is no report.
enum Ended {
    Cancelled,
    Failed(Refusal),
}

fn analyze(app: &App, scan: &Scan, file: &TempPath, began: Instant) -> Result<deeptell::Scan, Ended> {
    let limit = app.settings.analysis_time;
    let is_over = || scan.is_cancelled() || app.is_stopping() || began.elapsed() > limit;
    let mut on_progress = |progress: deeptell::Progress| {
        if is_over() {
            return ControlFlow::Break(());
        }
        scan.set(progress.into());
        ControlFlow::Continue(())
    };
    let options = app.settings.scan_options();
    let judge = || app.analyzer.analyse(file, &options, &mut on_progress);
    match catch_unwind(AssertUnwindSafe(judge)) {
        Ok(Ok(mut found)) => {
            // The report names the client's file, not its copy here.
            found.report.input.name.clone_from(&scan.name);
            found.report.input.path = None;
            Ok(found)
        }
        Ok(Err(Error::Cancelled)) if scan.is_cancelled() || app.is_stopping() => Err(Ended::Cancelled),
        Ok(Err(Error::Cancelled)) => Err(Ended::Failed(Refusal::analysis_too_long(limit))),
        Ok(Err(error)) => {
            let refusal = Refusal::of(&error);
            if refusal.code == Code::Internal {
                app.tell(Event::failed(&error));
            }
            Err(Ended::Failed(refusal))
        }
        Err(panic) => {
            let reason = panic
                .downcast_ref::<String>()
                .map(String::as_str)
                .or_else(|| panic.downcast_ref::<&str>().copied())
                .unwrap_or("no reason given");
            app.tell(Event::Failed { detail: format!("an analysis panicked: {reason}") });
            Err(Ended::Failed(Refusal::panicked()))
        }
    }
}
