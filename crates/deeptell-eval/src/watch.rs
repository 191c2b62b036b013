/// Follows long work, and can stop it.
pub trait Watch {
    /// A task of `total` steps begins, counted in `unit`.
    fn begin(&mut self, task: &str, total: usize, unit: &'static str);

    /// So many more steps of the task are done.
    fn advance(&mut self, steps: usize);

    /// The task is done.
    fn end(&mut self);

    /// Whether the work should stop: it then ends with [`EvalError::Stopped`](crate::EvalError::Stopped).
    fn wants_stop(&self) -> bool;
}

/// Watches nothing and never stops the work.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoWatch;

impl Watch for NoWatch {
    fn begin(&mut self, _: &str, _: usize, _: &'static str) {}
    fn advance(&mut self, _: usize) {}
    fn end(&mut self) {}
    fn wants_stop(&self) -> bool {
        false
    }
}
