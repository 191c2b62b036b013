use std::f64::consts::PI;

use serde::{Deserialize, Serialize};

use crate::TrainConfig;

/// How the learning rate falls after the warm-up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Schedule {
    /// Half a cosine down (Loshchilov and Hutter 2017, "SGDR", equation 5, without restarts).
    #[default]
    Cosine,
    /// The peak for three quarters of all steps, then a line down (Shiohara and Yamasaki 2022,
    /// section 4.1).
    FlatThenLinear,
}

/// Part of the steps after which [`Schedule::FlatThenLinear`] falls.
const FLAT: f64 = 0.75;

/// Linear warm-up from 0 to the peak, then down as the schedule says.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct LearningRate {
    /// Highest rate.
    pub peak: f64,
    /// Last rate over the highest, `0..=1`.
    pub last: f64,
    /// Share of the steps that warm up, `0..1`.
    pub warmup: f64,
    /// Number of steps in all.
    pub steps: usize,
    /// The way down.
    pub schedule: Schedule,
}

impl LearningRate {
    /// The rate in a run of this number of steps in all.
    pub fn new(config: &TrainConfig, steps: usize) -> Self {
        Self {
            peak: config.optimizer.learning_rate,
            last: config.schedule.final_learning_rate,
            warmup: config.schedule.warmup,
            steps,
            schedule: config.schedule.shape,
        }
    }

    /// The rate of step `step`, counted from 0; steps beyond the end keep the last rate.
    pub fn at(&self, step: usize) -> f64 {
        let warm = self.warmup * self.steps as f64;
        let done = step as f64 + 1.0;
        if done <= warm {
            return self.peak * done / warm;
        }
        let from = match self.schedule {
            Schedule::Cosine => warm,
            Schedule::FlatThenLinear => warm.max(FLAT * self.steps as f64),
        };
        let progress = ((done - from) / (self.steps as f64 - from).max(1.0)).clamp(0.0, 1.0);
        let left = match self.schedule {
            Schedule::Cosine => 0.5 * (1.0 + (PI * progress).cos()),
            Schedule::FlatThenLinear => 1.0 - progress,
        };
        self.peak * (self.last + (1.0 - self.last) * left)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cosine_schedule_warms_up_then_falls_to_last_rate() {
        let rate = LearningRate { peak: 1.0, last: 0.1, warmup: 0.1, steps: 100, schedule: Schedule::Cosine };
        assert!((rate.at(0) - 0.1).abs() < 1e-12);
        assert!((rate.at(9) - 1.0).abs() < 1e-12);
        assert!((rate.at(54) - 0.55).abs() < 1e-12);
        assert!((rate.at(99) - 0.1).abs() < 1e-12);
        assert_eq!(rate.at(500), rate.at(99));
        assert!((10..99).all(|s| rate.at(s + 1) < rate.at(s)));
    }

    #[test]
    fn flat_then_linear_schedule_holds_and_then_falls() {
        let schedule = Schedule::FlatThenLinear;
        let rate = LearningRate { peak: 1.0, last: 0.2, warmup: 0.1, steps: 100, schedule };
        assert!((rate.at(4) - 0.5).abs() < 1e-12);
        assert!((9..75).all(|step| rate.at(step) == 1.0));
        // Half of the way from step 75 to step 100.
        assert!((rate.at(86) - (0.2 + 0.8 * 13.0 / 25.0)).abs() < 1e-12);
        assert!((rate.at(99) - 0.2).abs() < 1e-12);
        assert_eq!(rate.at(500), rate.at(99));
    }

    #[test]
    fn schedule_accepts_one_step_and_no_warmup() {
        for schedule in [Schedule::Cosine, Schedule::FlatThenLinear] {
            let rate = LearningRate { peak: 2.0, last: 0.0, warmup: 0.0, steps: 1, schedule };
            assert!(rate.at(0).is_finite());
        }
    }
}
