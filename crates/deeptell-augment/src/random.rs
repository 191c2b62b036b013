//! Random draws for augmentation and blending. None of them panics, whatever the settings.

use rand::{Rng, RngExt};

/// True with the given probability; one draw whatever the probability.
pub(crate) fn happens(rng: &mut impl Rng, probability: f64) -> bool {
    rng.random::<f64>() < probability
}

/// Uniform between the two numbers.
pub(crate) fn within(rng: &mut impl Rng, [low, high]: [f32; 2]) -> f32 {
    low + (high - low) * rng.random::<f32>()
}

/// Uniform from `-limit` to `limit`.
pub(crate) fn signed(rng: &mut impl Rng, limit: f32) -> f32 {
    within(rng, [-limit, limit])
}

/// An index, each as likely as its weight; the last where the weights say nothing.
pub(crate) fn weighted(rng: &mut impl Rng, weights: &[f64]) -> usize {
    let usable = |weight: f64| if weight.is_finite() { weight.max(0.0) } else { 0.0 };
    let total: f64 = weights.iter().copied().map(usable).sum();
    let mut left = rng.random::<f64>() * total;
    for (index, &weight) in weights.iter().enumerate() {
        left -= usable(weight);
        if left < 0.0 {
            return index;
        }
    }
    weights.len().saturating_sub(1)
}
