//! Ctrl-C and termination: the first request stops cleanly, the second ends the process.

use std::sync::atomic::{AtomicBool, Ordering};

use crate::output::alert;

static STOP: AtomicBool = AtomicBool::new(false);

/// Installs the handler.
pub(crate) fn listen() -> anyhow::Result<()> {
    ctrlc::set_handler(|| {
        if STOP.swap(true, Ordering::Relaxed) {
            std::process::exit(130);
        }
        // After the ^C that the terminal shows.
        alert!("");
        alert!("stopping after the current step; press Ctrl-C again to stop immediately");
    })?;
    Ok(())
}

/// Set once the user has asked to stop.
pub(crate) fn flag() -> &'static AtomicBool {
    &STOP
}

/// Whether the user has asked to stop.
pub(crate) fn requested() -> bool {
    STOP.load(Ordering::Relaxed)
}
