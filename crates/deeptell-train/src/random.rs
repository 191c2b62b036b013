//! Random numbers, of which each purpose has its own.

use rand::{Rng as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use sha2::{Digest as _, Sha256};

/// A random generator for one purpose, so that different purposes do not share random numbers.
pub(crate) fn generator(seed: u64, purpose: &str, index: [u64; 2]) -> ChaCha8Rng {
    let mut hash = Sha256::new();
    hash.update(seed.to_le_bytes());
    hash.update(purpose.as_bytes());
    hash.update(index[0].to_le_bytes());
    hash.update(index[1].to_le_bytes());
    ChaCha8Rng::from_seed(hash.finalize().into())
}

/// A seed for one purpose, for generators that are seeded with a number.
pub(crate) fn seed(seed: u64, purpose: &str, index: u64) -> u64 {
    generator(seed, purpose, [index, 0]).next_u64()
}
