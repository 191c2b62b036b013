//! Progress of long work: a bar on a terminal, a line now and then elsewhere.

use std::io::IsTerminal as _;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use deeptell::printable;
use deeptell_eval::{EvalError, Watch};
use indicatif::{ProgressBar, ProgressStyle};

use crate::interrupt;
use crate::output::note;

/// Seconds between two lines where there is no terminal.
const PLAIN_INTERVAL: Duration = Duration::from_secs(15);

/// One piece of work with a known number of steps; on standard error.
pub(crate) struct Progress {
    bar: Option<ProgressBar>,
    plain: Mutex<Plain>,
    title: String,
    unit: &'static str,
    total: u64,
}

struct Plain {
    done: u64,
    began: Instant,
    last: Instant,
}

impl Progress {
    /// Begins `title`, `total` steps counted in `unit`.
    pub(crate) fn new(title: impl Into<String>, total: usize, unit: &'static str) -> Self {
        let title = title.into();
        let bar = std::io::stderr().is_terminal().then(|| {
            let template = format!(
                "{{prefix:<12}} {{wide_bar:.cyan/blue}} {{pos}}/{{len}} {unit}  {{per_sec}}  {{eta}}  {{msg}}"
            );
            let style = ProgressStyle::with_template(&template)
                .unwrap_or_else(|_| ProgressStyle::default_bar())
                .progress_chars("━╸─");
            let bar = ProgressBar::new(total as u64).with_style(style).with_prefix(title.clone());
            bar.enable_steady_tick(Duration::from_millis(200));
            bar
        });
        let now = Instant::now();
        let plain = Mutex::new(Plain { done: 0, began: now, last: now });
        Self { bar, plain, title, unit, total: total as u64 }
    }

    /// Adds `steps`; `message` is shown behind the bar.
    pub(crate) fn add(&self, steps: usize, message: &str) {
        let done = self.plain.lock().map_or(0, |mut plain| {
            plain.done += steps as u64;
            plain.done
        });
        self.set(done as usize, message);
    }

    /// Sets the number of steps done; more than there are stands for all.
    pub(crate) fn set(&self, done: usize, message: &str) {
        let done = (done as u64).min(self.total);
        if let Some(bar) = &self.bar {
            bar.set_position(done);
            bar.set_message(printable(message).into_owned());
            return;
        }
        if let Ok(mut plain) = self.plain.lock() {
            plain.done = done;
            if plain.last.elapsed() >= PLAIN_INTERVAL {
                plain.last = Instant::now();
                let rate = plain.done as f64 / plain.began.elapsed().as_secs_f64();
                note!("{}: {}/{} {} ({rate:.1}/s) {message}", self.title, plain.done, self.total, self.unit);
            }
        }
    }

    /// Prints a line above the bar.
    pub(crate) fn say(&self, line: &str) {
        match &self.bar {
            Some(bar) => bar.suspend(|| note!("{line}")),
            None => note!("{line}"),
        }
    }

    /// Ends the work and takes the bar away.
    pub(crate) fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

/// Shows the tasks of an evaluation one after the other, and stops them when the user asks.
#[derive(Default)]
pub(crate) struct Tasks {
    task: Option<Progress>,
}

impl Watch for Tasks {
    fn begin(&mut self, task: &str, total: usize, unit: &'static str) {
        self.task = Some(Progress::new(task, total, unit));
    }

    fn advance(&mut self, steps: usize) {
        if let Some(task) = &self.task {
            task.add(steps, "");
        }
    }

    fn end(&mut self) {
        if let Some(task) = self.task.take() {
            task.finish();
        }
    }

    fn wants_stop(&self) -> bool {
        interrupt::requested()
    }
}

/// `None` for work that the user stopped.
pub(crate) fn unless_stopped<T>(result: Result<T, EvalError>) -> Result<Option<T>, EvalError> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(EvalError::Stopped) => Ok(None),
        Err(error) => Err(error),
    }
}
