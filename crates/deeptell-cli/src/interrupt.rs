//! Ctrl-C and termination: the first asks the work to end well, the second ends the process.

use std::sync::atomic::{AtomicBool, Ordering};

use crate::output::note;

static STOP: AtomicBool = AtomicBool::new(false);

/// Starts to listen.
pub(crate) fn listen() -> anyhow::Result<()> {
    ctrlc::set_handler(|| {
        if STOP.swap(true, Ordering::Relaxed) {
            std::process::exit(130);
        }
        // Behind the ^C that the terminal shows.
        note!("");
        note!("stopping after the step under way; once more to stop at once");
    })?;
    Ok(())
}

/// Set once the user asked to stop.
pub(crate) fn flag() -> &'static AtomicBool {
    &STOP
}

/// Whether the user asked to stop.
pub(crate) fn requested() -> bool {
    STOP.load(Ordering::Relaxed)
}
