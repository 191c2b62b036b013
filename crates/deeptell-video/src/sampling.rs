//! Which moments of a video to look at.

use serde::{Deserialize, Serialize};

use crate::VideoError;

/// Which frames to take from a video.
///
/// A moment shows the frame with the greatest time at or before it, as a player would. When two
/// moments fall on one frame it is given twice, and the second time
/// [`repeats_previous`](crate::Frame::repeats_previous) says so.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub enum Sampling {
    /// This many frames, at the centres of as many equal intervals.
    Uniform(usize),
    /// One frame at the start and then every so many seconds.
    EverySeconds(f64),
    /// Like `Uniform`, but each moment takes the keyframe at or before it: times are approximate,
    /// and only a handful of frames need decoding.
    Keyframes(usize),
}

/// The moments of a [`Sampling`] on a stream's clock, in ascending order.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Moments {
    start: i64,
    span: i64,
    count: u64,
    /// Ticks between moments when they are given in seconds; interval centres otherwise.
    step_ticks: Option<f64>,
    pub(crate) keyframes_only: bool,
}

impl Moments {
    /// Lays `sampling` over `span` ticks from `start`, with ticks of `tick_seconds`.
    ///
    /// # Errors
    /// [`VideoError::InvalidSampling`] when the interval is not a positive number of seconds.
    pub(crate) fn new(
        sampling: Sampling,
        start: i64,
        span: i64,
        tick_seconds: f64,
    ) -> Result<Self, VideoError> {
        let centres = |count: usize, keyframes_only| Self {
            start,
            span,
            count: count as u64,
            step_ticks: None,
            keyframes_only,
        };
        match sampling {
            Sampling::Uniform(count) => Ok(centres(count, false)),
            Sampling::Keyframes(count) => Ok(centres(count, true)),
            Sampling::EverySeconds(seconds) if seconds.is_finite() && seconds > 0.0 => {
                let step = seconds / tick_seconds;
                let count = ((span as f64 / step).ceil() as u64).max(1);
                Ok(Self { start, span, count, step_ticks: Some(step), keyframes_only: false })
            }
            Sampling::EverySeconds(seconds) => Err(VideoError::InvalidSampling {
                detail: format!("an interval of {seconds} seconds; give a positive, finite number"),
            }),
        }
    }

    /// No moments at all.
    pub(crate) fn none() -> Self {
        Self { start: 0, span: 0, count: 0, step_ticks: None, keyframes_only: false }
    }

    pub(crate) fn count(&self) -> u64 {
        self.count
    }

    /// The moment number `index`, if there are that many.
    pub(crate) fn get(&self, index: u64) -> Option<i64> {
        (index < self.count).then(|| self.at(index))
    }

    fn at(&self, index: u64) -> i64 {
        let offset = match self.step_ticks {
            Some(step) => ((index as f64 * step).round() as i64).min(self.span.saturating_sub(1)).max(0),
            None => {
                (i128::from(self.span) * (2 * i128::from(index) + 1) / (2 * i128::from(self.count))) as i64
            }
        };
        self.start.saturating_add(offset)
    }

    /// Whether a moment from number `first` on lies in `[from, until)`; no end means for ever.
    pub(crate) fn any_in(&self, first: u64, from: i64, until: Option<i64>) -> bool {
        let (mut low, mut high) = (first, self.count);
        while low < high {
            let middle = low + (high - low) / 2;
            if self.at(middle) < from { low = middle + 1 } else { high = middle }
        }
        self.get(low).is_some_and(|moment| until.is_none_or(|until| moment < until))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn uniform_takes_interval_centres() {
        let moments = Moments::new(Sampling::Uniform(4), 100, 80, 0.01).unwrap();
        let all: Vec<_> = (0..4).map_while(|i| moments.get(i)).collect();
        assert_eq!(all, [110, 130, 150, 170]);
        assert_eq!(moments.get(4), None);
    }

    #[test]
    fn seconds_start_at_the_start_and_stay_inside() {
        let moments = Moments::new(Sampling::EverySeconds(0.4), 0, 100, 0.01).unwrap();
        let all: Vec<_> = (0..9).map_while(|i| moments.get(i)).collect();
        assert_eq!(all, [0, 40, 80]);
        let sparse = Moments::new(Sampling::EverySeconds(1e9), 5, 100, 0.01).unwrap();
        assert_eq!((sparse.count(), sparse.get(0)), (1, Some(5)));
    }

    #[test]
    fn a_nonsensical_interval_is_refused() {
        for seconds in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            let refused = Moments::new(Sampling::EverySeconds(seconds), 0, 100, 0.01);
            assert!(matches!(refused, Err(VideoError::InvalidSampling { .. })), "{seconds}");
        }
    }

    proptest! {
        #[test]
        fn any_in_agrees_with_a_search(count in 1_usize..40, first in 0_u64..40, from in -50_i64..400, length in 0_i64..60) {
            let moments = Moments::new(Sampling::Uniform(count), 10, 300, 0.01).unwrap();
            let searched = (first..count as u64).filter_map(|i| moments.get(i)).any(|t| t >= from && t < from + length);
            prop_assert_eq!(moments.any_in(first, from, Some(from + length)), searched);
        }
    }
}
