//! A process that was forked from one which computed already has none of its threads, and would wait for them for ever.

use std::sync::atomic::{AtomicU32, Ordering};

use pyo3::PyResult;
use pyo3::exceptions::PyRuntimeError;

/// The process that used the threads or the decoder first; 0 before that.
static USER: AtomicU32 = AtomicU32::new(0);

/// Notes that this process computes.
///
/// # Errors
/// When it is the copy of one that did.
pub(crate) fn enter() -> PyResult<()> {
    let this = std::process::id();
    match USER.compare_exchange(0, this, Ordering::Relaxed, Ordering::Relaxed) {
        Ok(_) => Ok(()),
        Err(user) if user == this => Ok(()),
        Err(_) => Err(PyRuntimeError::new_err(
            "this process was forked from one that had used deeptell, whose threads it lacks; start processes with \
             `spawn`: multiprocessing.get_context(\"spawn\"), or DataLoader(multiprocessing_context=\"spawn\")",
        )),
    }
}

/// Whether this process is such a copy.
pub(crate) fn is_forked() -> bool {
    let user = USER.load(Ordering::Relaxed);
    user != 0 && user != std::process::id()
}
