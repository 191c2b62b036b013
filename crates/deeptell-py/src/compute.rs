//! Where a detector computes, and how its work is interrupted.

use std::ops::ControlFlow;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Condvar, Mutex, PoisonError};
use std::thread::{self, ThreadId};
use std::time::Duration;

use deeptell::{Error, Progress};
use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;
use rayon::{ThreadPool, ThreadPoolBuilder};

use crate::errors::{self, OptionError};

/// How often a thread that waits looks for Ctrl-C.
const PATIENCE: Duration = Duration::from_millis(100);

/// Has the handlers of signals called, Ctrl-C's among them, and returns what they raise. On threads other than the main
/// one, none are.
#[expect(clippy::redundant_closure_for_method_calls, reason = "the method alone is not for every lifetime")]
pub(crate) fn check_signals() -> PyResult<()> {
    Python::attach(|py| py.check_signals())
}

/// What is called with the progress of some work.
pub(crate) type OnProgress<'a> = &'a mut dyn FnMut(Progress) -> ControlFlow<()>;

/// The threads that a detector computes with.
pub(crate) enum Threads {
    /// The calling one and those of the process, one per core.
    Shared,
    /// Some of its own, for one piece of work at a time: two that share few threads would wait within each other.
    Own { pool: ThreadPool, lock: ComputeLock },
}

impl Threads {
    pub(crate) fn new(count: Option<i64>) -> PyResult<Self> {
        let Some(count) = count else { return Ok(Self::Shared) };
        let fail = |expected: &str| {
            OptionError::new_err(format!("the option `threads` is {count}, but must be {expected}"))
        };
        let threads = usize::try_from(count).ok().filter(|&threads| (1..=1024).contains(&threads));
        let threads = threads.ok_or_else(|| fail("1 to 1024, or None for one per core"))?;
        let pool = ThreadPoolBuilder::new().num_threads(threads).build();
        let pool = pool.map_err(|error| fail(&format!("fewer: {error}")))?;
        Ok(Self::Own { pool, lock: ComputeLock::default() })
    }

    /// Does `work` without holding the interpreter's lock. `progress` is called on this thread, and so are the handlers
    /// of signals; what they raise ends the work and is raised.
    pub(crate) fn run<T: Send>(
        &self,
        py: Python<'_>,
        progress: Option<&Py<PyAny>>,
        work: impl FnOnce(OnProgress<'_>) -> Result<T, Error> + Send,
    ) -> PyResult<T> {
        let mut listener = Listener { progress, raised: None };
        let done = py.detach(|| match self {
            Self::Shared => Ok(work(&mut |at| listener.hear(at))),
            Self::Own { pool, lock } => {
                let _guard = lock.wait(&mut listener)?;
                Ok(run_in(pool, &mut listener, work))
            }
        });
        // What ended the work is why it ended.
        match listener.raised {
            Some(raised) => Err(raised),
            None => done.and_then(|done| done.map_err(errors::of_deeptell)),
        }
    }
}

/// Does `work` in `pool`, while this thread hears of its progress.
fn run_in<T: Send>(
    pool: &ThreadPool,
    listener: &mut Listener<'_>,
    work: impl FnOnce(OnProgress<'_>) -> Result<T, Error> + Send,
) -> Result<T, Error> {
    enum Event<T> {
        Progress(Progress),
        Done(T),
    }
    let (tell, told) = mpsc::channel();
    let (answer, answered) = mpsc::channel();
    pool.in_place_scope(|scope| {
        scope.spawn(move |_| {
            let done = work(&mut |at| {
                if tell.send(Event::Progress(at)).is_err() {
                    return ControlFlow::Break(());
                }
                answered.recv().unwrap_or(ControlFlow::Break(()))
            });
            // The caller waits for this, or is gone.
            let _ = tell.send(Event::Done(done));
        });
        loop {
            match told.recv_timeout(PATIENCE) {
                Ok(Event::Progress(at)) => {
                    // Gone with the work, where that failed.
                    let _ = answer.send(listener.hear(at));
                }
                Ok(Event::Done(done)) => return done,
                Err(RecvTimeoutError::Timeout) => listener.look(),
                // The work panicked; the scope panics in turn.
                Err(RecvTimeoutError::Disconnected) => return Err(Error::Cancelled),
            }
        }
    })
}

/// The caller of some work: it may want to know, and it may have enough.
pub(crate) struct Listener<'a> {
    progress: Option<&'a Py<PyAny>>,
    /// What ends the work.
    raised: Option<PyErr>,
}

impl Listener<'_> {
    fn hear(&mut self, at: Progress) -> ControlFlow<()> {
        self.look();
        if let (None, Some(progress)) = (&self.raised, self.progress) {
            let called = Python::attach(|py| {
                progress.call1(py, (at.frames_done, at.frames_total, at.faces)).map(drop)
            });
            self.raised = called.err();
        }
        if self.raised.is_some() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }

    /// Looks for Ctrl-C.
    fn look(&mut self) {
        if self.raised.is_none() {
            self.raised = check_signals().err();
        }
    }
}

/// One piece of work at a time.
#[derive(Default)]
pub(crate) struct ComputeLock {
    holder: Mutex<Option<ThreadId>>,
    is_free: Condvar,
}

impl ComputeLock {
    /// Waits for the others.
    fn wait(&self, listener: &mut Listener<'_>) -> PyResult<ComputeGuard<'_>> {
        let this = thread::current().id();
        let mut holder = self.holder.lock().unwrap_or_else(PoisonError::into_inner);
        while let Some(thread) = *holder {
            if thread == this {
                return Err(PyRuntimeError::new_err(
                    "a detector with threads of its own does one thing at a time: `progress` cannot call the detector \
                     that it is called by",
                ));
            }
            let waited = self.is_free.wait_timeout(holder, PATIENCE);
            holder = waited.unwrap_or_else(PoisonError::into_inner).0;
            // Not while this lock is held: the holder of the other may need it to end.
            let free = holder.is_none();
            drop(holder);
            if !free {
                listener.look();
                if let Some(raised) = listener.raised.take() {
                    return Err(raised);
                }
            }
            holder = self.holder.lock().unwrap_or_else(PoisonError::into_inner);
        }
        *holder = Some(this);
        Ok(ComputeGuard(self))
    }
}

struct ComputeGuard<'a>(&'a ComputeLock);

impl Drop for ComputeGuard<'_> {
    fn drop(&mut self) {
        *self.0.holder.lock().unwrap_or_else(PoisonError::into_inner) = None;
        self.0.is_free.notify_one();
    }
}
