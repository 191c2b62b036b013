use std::f64::consts::PI;

/// Linear warm-up from 0 to the peak, then half a cosine down (Loshchilov and Hutter 2017,
/// "SGDR", equation 5, without restarts).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LearningRate {
    /// Highest rate.
    pub peak: f64,
    /// Last rate over the highest, `0..=1`.
    pub last: f64,
    /// Share of the steps that warm up, `0..1`.
    pub warmup: f64,
    /// Number of steps in all.
    pub steps: usize,
}

impl LearningRate {
    /// The rate of step `step`, counted from 0; steps beyond the end keep the last rate.
    pub fn at(&self, step: usize) -> f64 {
        let warm = self.warmup * self.steps as f64;
        let done = step as f64 + 1.0;
        if done <= warm {
            return self.peak * done / warm;
        }
        let rest = (self.steps as f64 - warm).max(1.0);
        let progress = ((done - warm) / rest).min(1.0);
        let cosine = 0.5 * (1.0 + (PI * progress).cos());
        self.peak * (self.last + (1.0 - self.last) * cosine)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn climbs_then_falls_to_the_last_rate() {
        let rate = LearningRate { peak: 1.0, last: 0.1, warmup: 0.1, steps: 100 };
        assert!((rate.at(0) - 0.1).abs() < 1e-12);
        assert!((rate.at(9) - 1.0).abs() < 1e-12);
        assert!((rate.at(54) - 0.55).abs() < 1e-12);
        assert!((rate.at(99) - 0.1).abs() < 1e-12);
        assert_eq!(rate.at(500), rate.at(99));
        assert!((10..99).all(|s| rate.at(s + 1) < rate.at(s)));
    }

    #[test]
    fn one_step_and_no_warmup_are_fine() {
        let rate = LearningRate { peak: 2.0, last: 0.0, warmup: 0.0, steps: 1 };
        assert!(rate.at(0).is_finite());
    }
}
