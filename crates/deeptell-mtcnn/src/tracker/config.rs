use serde::{Deserialize, Serialize};

use crate::MtcnnError;

/// Settings of a [`Tracker`](crate::Tracker).
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct TrackerConfig {
    /// Frames from one search of the whole frame to the next; at least 1. New faces appear with
    /// a search.
    pub key_interval: usize,
    /// Probability, in `0..=1`, below which a face counts as lost and the whole frame is searched
    /// at once.
    pub min_probability: f32,
    /// Frames that a track without a face waits for its face to come back.
    pub max_missed: usize,
    /// Mean change of brightness from one frame to the next, in `0..=1`, from which on the second
    /// begins another scene, where all tracks end; above 0.
    pub scene_cut: f32,
    /// Smooth boxes and landmarks over time.
    pub smooth: bool,
}

impl Default for TrackerConfig {
    fn default() -> Self {
        Self { key_interval: 5, min_probability: 0.4, max_missed: 25, scene_cut: 0.12, smooth: true }
    }
}

impl TrackerConfig {
    /// Sets [`key_interval`](field@Self::key_interval).
    #[must_use]
    pub fn key_interval(self, key_interval: usize) -> Self {
        Self { key_interval, ..self }
    }

    /// Sets [`min_probability`](field@Self::min_probability).
    #[must_use]
    pub fn min_probability(self, min_probability: f32) -> Self {
        Self { min_probability, ..self }
    }

    /// Sets [`max_missed`](field@Self::max_missed).
    #[must_use]
    pub fn max_missed(self, max_missed: usize) -> Self {
        Self { max_missed, ..self }
    }

    /// Sets [`scene_cut`](field@Self::scene_cut).
    #[must_use]
    pub fn scene_cut(self, scene_cut: f32) -> Self {
        Self { scene_cut, ..self }
    }

    /// Sets [`smooth`](field@Self::smooth).
    #[must_use]
    pub fn smooth(self, smooth: bool) -> Self {
        Self { smooth, ..self }
    }

    /// # Errors
    /// [`MtcnnError::Setting`] names the first setting that is out of its range.
    pub(super) fn validate(&self) -> Result<(), MtcnnError> {
        let fail = |setting, value, expected| Err(MtcnnError::Setting { setting, value, expected });
        if self.key_interval == 0 {
            return fail("key_interval", 0.0, "at least 1 frame");
        }
        if !(0.0..=1.0).contains(&self.min_probability) {
            return fail("min_probability", f64::from(self.min_probability), "between 0 and 1");
        }
        if !(self.scene_cut > 0.0 && self.scene_cut <= 1.0) {
            return fail("scene_cut", f64::from(self.scene_cut), "above 0 and at most 1");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn validate_names_the_invalid_setting() {
        let default = TrackerConfig::default();
        assert!(default.validate().is_ok());
        let faults = [
            ("key_interval", TrackerConfig { key_interval: 0, ..default }),
            ("min_probability", TrackerConfig { min_probability: f32::NAN, ..default }),
            ("min_probability", TrackerConfig { min_probability: 1.5, ..default }),
            ("scene_cut", TrackerConfig { scene_cut: 0.0, ..default }),
            ("scene_cut", TrackerConfig { scene_cut: f32::NAN, ..default }),
        ];
        for (name, config) in faults {
            let error = config.validate().unwrap_err();
            assert!(matches!(error, MtcnnError::Setting { setting, .. } if setting == name), "{error}");
        }
    }
}
