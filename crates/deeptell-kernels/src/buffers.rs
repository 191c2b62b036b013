//! A pool of feature maps, so that layers reuse memory instead of returning it to the system.
//!
//! A training step allocates and drops hundreds of megabytes of feature maps in a few sizes.
//! Fresh memory costs a page fault per 4 KiB, which takes longer than most of the kernels need
//! for the same cells.
//!
//! The layer-by-layer kernels use the pool. [`ConvStack`](crate::ConvStack) and
//! [`InvertedResidualStack`](crate::InvertedResidualStack) store no feature maps and do not.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Minimum length of a pooled buffer: the allocator serves shorter ones without a page fault.
const MIN_LEN: usize = 1 << 12;

/// Cap of the pool in floats unless [`keep_buffers`] raises it: 64 MiB, about the feature maps of one layer-by-layer
/// inference pass of a mobile network over 16 images; 4 MiB in a browser, whose memory never shrinks.
const DEFAULT_CAP: usize = if cfg!(target_arch = "wasm32") { 1 << 20 } else { 1 << 24 };

/// Unused buffers, oldest first.
#[derive(Debug)]
struct Pool {
    buffers: VecDeque<Vec<f32>>,
    /// Floats in `buffers`.
    total: usize,
    /// The cap in floats of each living [`KeptBuffers`].
    raised: Vec<usize>,
}

static POOL: Mutex<Pool> = Mutex::new(Pool::new());

/// The pool is consistent between any two statements that could panic.
fn pool() -> MutexGuard<'static, Pool> {
    POOL.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Pool {
    const fn new() -> Self {
        Self { buffers: VecDeque::new(), total: 0, raised: Vec::new() }
    }

    fn cap(&self) -> usize {
        self.raised.iter().copied().fold(DEFAULT_CAP, usize::max)
    }

    /// A buffer of exactly `len` floats. The newest one is the most likely to be in a cache.
    fn take(&mut self, len: usize) -> Option<Vec<f32>> {
        let found = self.buffers.iter().rposition(|buffer| buffer.len() == len)?;
        let buffer = self.buffers.remove(found)?;
        self.total -= len;
        Some(buffer)
    }

    fn give(&mut self, buffer: Vec<f32>) {
        if (MIN_LEN..=self.cap()).contains(&buffer.len()) {
            self.total += buffer.len();
            self.buffers.push_back(buffer);
            self.trim();
        }
    }

    /// Frees the oldest buffers beyond the cap.
    fn trim(&mut self) {
        let cap = self.cap();
        while self.total > cap {
            let Some(oldest) = self.buffers.pop_front() else { break };
            self.total -= oldest.len();
        }
    }

    /// Removes one cap of `len` floats. Once none is left, all buffers are freed.
    fn lower(&mut self, len: usize) {
        if let Some(found) = self.raised.iter().position(|cap| *cap == len) {
            self.raised.swap_remove(found);
        }
        if self.raised.is_empty() {
            self.buffers = VecDeque::new();
            self.total = 0;
        }
        self.trim();
    }
}

/// A buffer of `len` floats with unspecified content.
pub(crate) fn take(len: usize) -> Vec<f32> {
    let pooled = if len >= MIN_LEN { pool().take(len) } else { None };
    pooled.unwrap_or_else(|| vec![0.0; len])
}

/// Returns a buffer to the pool.
pub(crate) fn give(buffer: Vec<f32>) {
    pool().give(buffer);
}

/// Raises the memory that the kernels keep for their next call to `bytes`, until the returned
/// value is dropped.
///
/// The kernels keep at most 64 MiB of unused feature maps, which is what one inference pass
/// needs. A training step reuses far more: hold this value during training. The cap belongs to the
/// process; of several values the largest counts. Dropping the last one frees all that was kept.
///
/// ```
/// let kept = deeptell_kernels::keep_buffers(1 << 30);
/// // ... training steps ...
/// drop(kept);
/// ```
pub fn keep_buffers(bytes: usize) -> KeptBuffers {
    let cap = bytes / size_of::<f32>();
    pool().raised.push(cap);
    KeptBuffers { cap }
}

/// Keeps the raised cap of [`keep_buffers`] in force while it lives.
#[derive(Debug)]
#[must_use = "the cap falls back as soon as this is dropped"]
pub struct KeptBuffers {
    cap: usize,
}

impl Drop for KeptBuffers {
    fn drop(&mut self) {
        pool().lower(self.cap);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn take_returns_a_given_buffer_of_the_same_length_only() {
        // A length that no other test uses: the pool belongs to the whole process.
        let len = MIN_LEN + 77;
        give(vec![1.0; len]);
        assert_eq!(take(len + 1), vec![0.0; len + 1]);
        assert_eq!(take(len), vec![1.0; len]);
        assert_eq!(take(len), vec![0.0; len]);
    }

    #[test]
    fn pool_keeps_the_newest_buffers_up_to_the_default_cap() {
        let mut pool = Pool::new();
        let len = DEFAULT_CAP / 4;
        for number in 0..9 {
            pool.give(vec![number as f32; len]);
        }
        assert_eq!((pool.total, pool.buffers.len()), (DEFAULT_CAP, 4));
        assert_eq!(pool.take(len).unwrap()[0], 8.0);
        // Too large to keep, and too small to be worth it.
        pool.give(vec![0.0; DEFAULT_CAP + 1]);
        pool.give(vec![0.0; MIN_LEN - 1]);
        assert_eq!(pool.total, DEFAULT_CAP - len);
    }

    #[test]
    fn raised_cap_holds_until_its_last_holder_is_gone() {
        let mut pool = Pool::new();
        let len = DEFAULT_CAP / 2;
        pool.raised.extend([3 * len, 4 * len]);
        for _ in 0..9 {
            pool.give(vec![0.0; len]);
        }
        assert_eq!(pool.total, 4 * len);
        pool.lower(4 * len);
        assert_eq!(pool.total, 3 * len);
        pool.lower(3 * len);
        assert_eq!((pool.total, pool.cap()), (0, DEFAULT_CAP));
    }

    #[test]
    fn dropping_kept_buffers_removes_its_cap() {
        let bytes = 4 * (DEFAULT_CAP + 12_345);
        let kept = keep_buffers(bytes);
        assert_eq!(pool().cap(), DEFAULT_CAP + 12_345);
        drop(kept);
        assert!(!pool().raised.contains(&(DEFAULT_CAP + 12_345)));
    }
}
