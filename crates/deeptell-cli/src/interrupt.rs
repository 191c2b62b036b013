//! Ctrl-C and termination: the first request stops cleanly, the second ends the process.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::output::alert;

static STOP: AtomicBool = AtomicBool::new(false);

/// Time in which further signals are the same request: a scheduler signals a process and its group, and scripts pass on
/// what they get.
const ONE_REQUEST: Duration = Duration::from_millis(500);

/// Installs the handler.
pub(crate) fn listen() -> anyhow::Result<()> {
    let first = OnceLock::new();
    ctrlc::set_handler(move || {
        let first: &Instant = first.get_or_init(Instant::now);
        if STOP.swap(true, Ordering::Relaxed) {
            if first.elapsed() > ONE_REQUEST {
                std::process::exit(130);
            }
            return;
        }
        // After the ^C that the terminal shows.
        alert!("");
        alert!("stopping after the current step; press Ctrl-C again to stop immediately");
    })?;
    Ok(())
}

/// Ends this process when the one that started it has ended, however that ended.
#[cfg(unix)]
pub(crate) fn end_with_parent() -> anyhow::Result<()> {
    use std::os::unix::process::parent_id;
    let parent = parent_id();
    // Asked for, rather than by a signal of the system: that follows the thread which started this process.
    std::thread::Builder::new().name("parent".to_owned()).spawn(move || {
        while parent_id() == parent {
            std::thread::sleep(Duration::from_millis(200));
        }
        alert!("the process that started this one has ended");
        std::process::exit(130);
    })?;
    Ok(())
}

/// Processes of this system do not know who started them.
#[cfg(not(unix))]
pub(crate) fn end_with_parent() -> anyhow::Result<()> {
    anyhow::bail!("--end-with-parent is not available on this system: leave it out");
}

/// Set once the user has asked to stop.
pub(crate) fn flag() -> &'static AtomicBool {
    &STOP
}

/// Whether the user has asked to stop.
pub(crate) fn requested() -> bool {
    STOP.load(Ordering::Relaxed)
}
