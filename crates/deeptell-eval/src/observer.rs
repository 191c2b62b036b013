/// Is informed of the progress of long work, and can stop it.
pub trait Observer {
    /// A task of `total` steps begins, counted in `unit`.
    fn begin(&mut self, task: &str, total: usize, unit: &'static str);

    /// `steps` more steps of the task are done.
    fn advance(&mut self, steps: usize);

    /// The task is done.
    fn end(&mut self);

    /// Whether the work should stop: it then ends with [`EvalError::Stopped`](crate::EvalError::Stopped).
    fn wants_stop(&self) -> bool;
}

/// Ignores progress and never stops the work.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoObserver;

impl Observer for NoObserver {
    fn begin(&mut self, _: &str, _: usize, _: &'static str) {}
    fn advance(&mut self, _: usize) {}
    fn end(&mut self) {}
    fn wants_stop(&self) -> bool {
        false
    }
}
