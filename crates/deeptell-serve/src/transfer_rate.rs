//! How fast a transfer is.

use std::time::Duration;

use tokio::time::Instant;

/// Time over which a transfer is measured.
pub(crate) const WINDOW: Duration = Duration::from_secs(2);

/// Bytes per second below which a transfer is slow and gives way to others.
pub(crate) const LEAST_RATE: u64 = 16 << 10;

/// The speed of a transfer over the last seconds.
#[derive(Debug, Clone, Copy)]
pub(crate) struct TransferRate {
    /// Begin of the current window.
    since: Instant,
    /// Bytes in the current window.
    bytes: u64,
    /// Bytes per second in the window before.
    before: Option<f64>,
    /// Time of the last byte, or of the begin.
    pub(crate) last: Instant,
}

impl TransferRate {
    pub(crate) const fn new(now: Instant) -> Self {
        Self { since: now, bytes: 0, before: None, last: now }
    }

    /// Counts bytes that were just transferred.
    pub(crate) fn add(&mut self, bytes: usize, now: Instant) {
        if now >= self.settled() {
            *self = Self { since: now, bytes: 0, before: Some(self.current(now)), last: now };
        }
        self.bytes += bytes as u64;
        self.last = now;
    }

    /// Bytes per second over at least one whole window; `None` in the first one, and 0 for a transfer
    /// that has stopped.
    pub(crate) fn rate(&self, now: Instant) -> Option<f64> {
        if now.duration_since(self.last) >= WINDOW {
            Some(0.0)
        } else if now >= self.settled() {
            Some(self.current(now))
        } else {
            // The current window may be fast enough already.
            let least = self.bytes as f64 / WINDOW.as_secs_f64();
            self.before.map(|before| before.max(least))
        }
    }

    pub(crate) fn is_slow(&self, now: Instant) -> bool {
        self.rate(now).is_some_and(|rate| rate < LEAST_RATE as f64)
    }

    /// When the current window is complete.
    pub(crate) fn settled(&self) -> Instant {
        self.since + WINDOW
    }

    fn current(&self, now: Instant) -> f64 {
        self.bytes as f64 / now.duration_since(self.since).as_secs_f64()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn rate_is_unknown_in_the_first_window() {
        let begin = Instant::now();
        let mut transfer = TransferRate::new(begin);
        transfer.add(1, begin + SECOND);
        assert_eq!(transfer.rate(begin + SECOND), None);
        assert!(!transfer.is_slow(begin + SECOND));
        assert!(transfer.is_slow(begin + WINDOW));
    }

    #[test]
    fn fast_transfer_that_stalls_becomes_slow_after_a_window() {
        let begin = Instant::now();
        let mut transfer = TransferRate::new(begin);
        for step in 1..=30 {
            let now = begin + SECOND * step / 10;
            transfer.add(100_000, now);
            assert!(!transfer.is_slow(now), "{step}");
        }
        let stalled = begin + SECOND * 3;
        assert!(!transfer.is_slow(stalled + SECOND / 2), "the window is not complete yet");
        assert!(transfer.is_slow(stalled + 60 * SECOND));
        assert_eq!(transfer.last, stalled);
    }

    #[test]
    fn trickle_is_slow_and_steady_rate_is_not() {
        let begin = Instant::now();
        for (bytes, slow) in [(1, true), (LEAST_RATE as usize / 2, true), (2 * LEAST_RATE as usize, false)] {
            let mut transfer = TransferRate::new(begin);
            for second in 1..=20 {
                transfer.add(bytes, begin + SECOND * second);
            }
            assert_eq!(transfer.is_slow(begin + 20 * SECOND), slow, "{bytes} bytes per second");
        }
    }
}
