//! Intervals of shares.

/// The 97.5% quantile of the normal distribution: half the width of a 95% interval, in standard errors.
pub const NORMAL_975: f64 = 1.959_963_984_540_054;

/// The 95% interval of a share, in `0..=1`, that `n` independent cases showed (Wilson, "Probable inference, the law of
/// succession, and statistical inference", 1927).
///
/// ```
/// let [low, high] = deeptell_metrics::wilson_interval(0.1, 100.0);
/// assert!((low - 0.0552).abs() < 1e-4 && (high - 0.1744).abs() < 1e-4);
/// ```
pub fn wilson_interval(share: f64, n: f64) -> [f64; 2] {
    const Z: f64 = NORMAL_975;
    let n = n.max(1.0);
    let center = share + Z * Z / (2.0 * n);
    let reach = Z * (share * (1.0 - share) / n + Z * Z / (4.0 * n * n)).sqrt();
    let scale = 1.0 + Z * Z / n;
    [((center - reach) / scale).max(0.0), ((center + reach) / scale).min(1.0)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wilson_interval_matches_hand_computed_values() {
        let [low, high] = wilson_interval(0.1, 100.0);
        assert!((low - 0.0552).abs() < 1e-4 && (high - 0.1744).abs() < 1e-4, "{low} {high}");
        assert_eq!(wilson_interval(0.0, 10.0)[0], 0.0);
    }
}
