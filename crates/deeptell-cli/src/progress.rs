//! Progress of long work: a bar on a terminal, occasional lines elsewhere.

use std::io::IsTerminal as _;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use deeptell::text::printable;
use deeptell_eval::{EvalError, Observer};
use indicatif::{ProgressBar, ProgressStyle};

use crate::output::{alert, detail, note};
use crate::{interrupt, output};

/// Time between two lines where there is no terminal.
const PLAIN_INTERVAL: Duration = Duration::from_secs(15);

/// Progress of a task with a known number of steps, on standard error.
pub(crate) struct Progress {
    bar: Option<ProgressBar>,
    plain: Mutex<Plain>,
    title: String,
    unit: &'static str,
    total: u64,
}

struct Plain {
    done: u64,
    started: Instant,
    last: Instant,
}

impl Progress {
    /// Starts the task `title` with `total` steps, counted in `unit`.
    pub(crate) fn new(title: impl Into<String>, total: usize, unit: &'static str) -> Self {
        let title = title.into();
        let bar = (std::io::stderr().is_terminal() && !output::is_quiet()).then(|| {
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
        let plain = Mutex::new(Plain { done: 0, started: now, last: now });
        Self { bar, plain, title, unit, total: total as u64 }
    }

    /// Adds `steps`; `message` is shown after the bar.
    pub(crate) fn add(&self, steps: usize, message: &str) {
        let done = self.plain.lock().map_or(0, |mut plain| {
            plain.done += steps as u64;
            plain.done
        });
        self.set(done as usize, message);
    }

    /// Sets the number of steps done, at most the total.
    pub(crate) fn set(&self, done: usize, message: &str) {
        let done = (done as u64).min(self.total);
        if let Ok(mut plain) = self.plain.lock() {
            plain.done = done;
            if let Some(bar) = &self.bar {
                bar.set_position(done);
                bar.set_message(printable(message).into_owned());
            } else if plain.last.elapsed() >= PLAIN_INTERVAL {
                plain.last = Instant::now();
                let rate = plain.done as f64 / plain.started.elapsed().as_secs_f64();
                note!("{}: {}/{} {} ({rate:.1}/s) {message}", self.title, plain.done, self.total, self.unit);
            }
        }
    }

    /// Prints a warning above the bar.
    pub(crate) fn warn(&self, line: &str) {
        self.above(|| alert!("{line}"));
    }

    /// Prints a line above the bar with `--verbose`.
    pub(crate) fn detail(&self, line: &str) {
        self.above(|| detail!("{line}"));
    }

    fn above(&self, print: impl FnOnce()) {
        match &self.bar {
            Some(bar) => bar.suspend(print),
            None => print(),
        }
    }

    /// Ends the task and removes the bar.
    pub(crate) fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
        if let Ok(plain) = self.plain.lock() {
            let seconds = plain.started.elapsed().as_secs_f64();
            detail!("{}: {}/{} {} in {seconds:.2} s", self.title, plain.done, self.total, self.unit);
        }
    }
}

/// Shows the tasks of an evaluation, and stops them when the user asks.
#[derive(Default)]
pub(crate) struct Tasks {
    task: Option<Progress>,
}

impl Observer for Tasks {
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

/// `None` if the user stopped the work.
pub(crate) fn unless_stopped<T>(result: Result<T, EvalError>) -> Result<Option<T>, EvalError> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(EvalError::Stopped) => Ok(None),
        Err(error) => Err(error),
    }
}
