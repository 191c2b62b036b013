//! Damaged copies, the same in each run.

use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;

/// Changes bytes at random, the same in each run.
#[derive(Debug)]
pub struct Damage(ChaCha8Rng);

impl Damage {
    /// Numbers that follow from `seed`.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(ChaCha8Rng::seed_from_u64(seed))
    }

    /// The next number, below `limit`, which is not 0.
    pub fn below(&mut self, limit: usize) -> usize {
        self.0.random_range(0..limit)
    }

    /// A copy with one to four faults: bytes changed, removed, doubled or exchanged for numbers at the
    /// edge of what fits, the end cut, or the end of another file.
    #[must_use]
    pub fn copy(&mut self, bytes: &[u8], other: &[u8]) -> Vec<u8> {
        let mut bytes = bytes.to_vec();
        for _ in 0..=self.below(4) {
            if bytes.is_empty() {
                break;
            }
            let at = self.below(bytes.len());
            let end = (at + 1 + self.below(64)).min(bytes.len());
            match self.below(8) {
                0 => bytes.truncate(at),
                1 => bytes[at] ^= 1 << self.below(8),
                2 => bytes[at] = self.below(256) as u8,
                3 => drop(bytes.drain(at..end)),
                4 => {
                    let part = bytes[at..end].to_vec();
                    bytes.splice(at..at, part);
                }
                5 => {
                    let edge = [0, 1, 0x7F, 0x80, 0xFF][self.below(5)];
                    let end = (at + [1, 2, 4, 8][self.below(4)]).min(bytes.len());
                    bytes[at..end].fill(edge);
                }
                6 => {
                    let number = ["-1", "1e999", "18446744073709551616", "null", "\u{0}"][self.below(5)];
                    bytes.splice(at..end, number.bytes());
                }
                _ => {
                    bytes.truncate(at);
                    bytes.extend_from_slice(&other[self.below(other.len().max(1)).min(other.len())..]);
                }
            }
        }
        bytes
    }
}
