//! Feature maps that are used again instead of being returned to the system.
//!
//! A training step makes and drops hundreds of megabytes in feature maps of a few sizes.
//! Fresh memory costs a page fault for every 4 KiB, which takes longer than most of the
//! kernels need for the same cells.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Shorter buffers come from the allocator without a fault anyway.
const MIN_LEN: usize = 1 << 12;

/// The most floats that are kept: 1 GiB.
const MAX_TOTAL: usize = 1 << 28;

/// Buffers nobody uses, the oldest first.
#[derive(Debug, Default)]
struct Free {
    buffers: VecDeque<Vec<f32>>,
    total: usize,
}

static FREE: Mutex<Free> = Mutex::new(Free { buffers: VecDeque::new(), total: 0 });

/// The list is whole between any two statements that could panic.
fn free() -> MutexGuard<'static, Free> {
    FREE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A buffer of `len` floats whose content is left over from earlier use.
pub(crate) fn take(len: usize) -> Vec<f32> {
    if len >= MIN_LEN {
        let mut free = free();
        // The newest is the likeliest to be in a cache.
        let found = free.buffers.iter().rposition(|buffer| buffer.len() == len);
        if let Some(buffer) = found.and_then(|found| free.buffers.remove(found)) {
            free.total -= len;
            return buffer;
        }
    }
    vec![0.0; len]
}

/// Keeps a buffer for later.
pub(crate) fn give(buffer: Vec<f32>) {
    if !(MIN_LEN..=MAX_TOTAL).contains(&buffer.len()) {
        return;
    }
    let mut free = free();
    free.total += buffer.len();
    free.buffers.push_back(buffer);
    while free.total > MAX_TOTAL {
        let Some(oldest) = free.buffers.pop_front() else { break };
        free.total -= oldest.len();
    }
}

/// Returns the memory of all unused buffers to the system.
///
/// The kernels keep up to 1 GiB of feature maps for their next call. Call this when training
/// is over and the process goes on.
pub fn release_buffers() {
    *free() = Free::default();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_comes_back_for_its_own_length_only() {
        // A length that no other test uses: the list belongs to the whole process.
        let len = MIN_LEN + 77;
        give(vec![1.0; len]);
        assert_eq!(take(len + 1), vec![0.0; len + 1]);
        assert_eq!(take(len), vec![1.0; len]);
        assert_eq!(take(len), vec![0.0; len]);
    }
}
