//! Which moments of a video to sample.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::VideoError;

/// Which frames to take from a video.
///
/// A moment shows the frame with the greatest time at or before it, as a player would.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Sampling {
    /// This many frames, at the centers of as many equal intervals.
    ///
    /// All of them differ while the video has as many. Where several moments fall on one frame, as in
    /// a pause, one of them takes it, and the others take frames that no moment falls on, spread evenly
    /// over those. A video of fewer frames gives each at least once, and
    /// [`repeats_previous`](crate::Frame::repeats_previous) marks the repetitions.
    Uniform(usize),
    /// One frame at the start and then one at each interval, in seconds. When two moments fall on one frame it
    /// is given twice, and the second time [`repeats_previous`](crate::Frame::repeats_previous) says so.
    EverySeconds(f64),
    /// Like `Uniform`, but each moment takes the keyframe at or before it: times are approximate,
    /// and only a handful of frames need decoding.
    Keyframes(usize),
    /// Every frame, once.
    EveryFrame,
}

/// The moments of a [`Sampling`] on a stream's clock, in ascending order.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Moments {
    spread: Spread,
    count: u64,
    pub(crate) keyframes_only: bool,
}

#[derive(Debug, Clone, PartialEq)]
enum Spread {
    /// At the centers of equal intervals.
    Centers { start: i64, span: i64 },
    /// So many ticks apart.
    Steps { start: i64, span: i64, ticks: f64 },
    /// At these frames.
    Chosen(Vec<i64>),
    /// At all of these frames, some of them several times.
    Repeated(Arc<[i64]>),
    /// Whenever there is another frame.
    Every,
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
        let of = |spread, count, keyframes_only| Ok(Self { spread, count, keyframes_only });
        match sampling {
            Sampling::Uniform(count) => of(Spread::Centers { start, span }, count as u64, false),
            Sampling::Keyframes(count) => of(Spread::Centers { start, span }, count as u64, true),
            Sampling::EverySeconds(seconds) if seconds.is_finite() && seconds > 0.0 => {
                let ticks = seconds / tick_seconds;
                let count = ((span as f64 / ticks).ceil() as u64).max(1);
                of(Spread::Steps { start, span, ticks }, count, false)
            }
            Sampling::EverySeconds(seconds) => Err(VideoError::InvalidSampling {
                detail: format!("an interval of {seconds} seconds; it must be a positive, finite number"),
            }),
            Sampling::EveryFrame => of(Spread::Every, u64::MAX, false),
        }
    }

    /// No moments at all.
    #[cfg(feature = "ffmpeg")]
    pub(crate) fn none() -> Self {
        Self { spread: Spread::Centers { start: 0, span: 0 }, count: 0, keyframes_only: false }
    }

    /// The same moments, but with as many different frames as there are: of `frames`, their times in
    /// ascending order.
    pub(crate) fn with_different(self, frames: &Arc<[i64]>) -> Self {
        if !self.wants_different() || frames.is_empty() {
            return self;
        }
        if self.count > frames.len() as u64 {
            let untils = frames.iter().skip(1).copied().map(Some).chain([None]);
            let froms = [i64::MIN].into_iter().chain(frames.iter().skip(1).copied());
            let shows_all = froms.zip(untils).all(|(from, until)| self.any_in(0, from, until));
            return if shows_all {
                self
            } else {
                Self { spread: Spread::Repeated(Arc::clone(frames)), ..self }
            };
        }
        let shown = |moment| frames.partition_point(|time| *time <= moment).saturating_sub(1);
        let mut numbers: Vec<usize> = (0..self.count).map(|index| shown(self.at(index))).collect();
        numbers.dedup();
        let missing = self.count as usize - numbers.len();
        if missing == 0 {
            return self;
        }
        fill(&mut numbers, frames.len(), missing);
        Self { spread: Spread::Chosen(numbers.into_iter().map(|number| frames[number]).collect()), ..self }
    }

    /// Neighboring moments that may fall on one frame, as far as `starts` tells, which are times at which
    /// some of the frames begin, in ascending order.
    #[cfg(feature = "ffmpeg")]
    pub(crate) fn doubtful<'a>(&'a self, starts: &'a [i64]) -> impl Iterator<Item = (i64, i64)> + 'a {
        // Found one after the other: there may be as many moments as frames.
        let mut from = 0;
        (1..self.count).map(|index| (self.at(index - 1), self.at(index))).filter(move |(before, moment)| {
            from += starts[from..].partition_point(|start| start <= before);
            starts.get(from).is_none_or(|start| start > moment)
        })
    }

    /// Whether each moment should show another frame, as far as there are enough.
    pub(crate) fn wants_different(&self) -> bool {
        !matches!(self.spread, Spread::Steps { .. } | Spread::Every)
    }

    /// Whether some of them were put on frames because they fell into a gap between others.
    #[cfg(feature = "ffmpeg")]
    pub(crate) fn avoid_gaps(&self) -> bool {
        matches!(self.spread, Spread::Chosen(_) | Spread::Repeated(_))
    }

    /// Whether they are all frames, whose times need not be known before.
    #[cfg(feature = "ffmpeg")]
    pub(crate) fn is_every_frame(&self) -> bool {
        self.spread == Spread::Every
    }

    /// How many there are; for every frame, more than any video has.
    #[cfg(any(feature = "ffmpeg", test))]
    pub(crate) fn count(&self) -> u64 {
        self.count
    }

    /// Moment number `index` in ticks.
    pub(crate) fn get(&self, index: u64) -> Option<i64> {
        (index < self.count).then(|| self.at(index))
    }

    fn at(&self, index: u64) -> i64 {
        let share = |length: u64, part: u64, parts: u64| {
            (u128::from(length) * u128::from(part) / u128::from(parts.max(1))) as i64
        };
        match &self.spread {
            Spread::Centers { start, span } => {
                let whole = i128::from(*span) * (2 * i128::from(index) + 1);
                start.saturating_add((whole / (2 * i128::from(self.count.max(1)))) as i64)
            }
            Spread::Steps { start, span, ticks } => {
                let offset = (index as f64 * ticks).round() as i64;
                start.saturating_add(offset.min(span.saturating_sub(1)).max(0))
            }
            Spread::Chosen(times) => times.get(index as usize).copied().unwrap_or(i64::MAX),
            Spread::Repeated(times) => {
                times.get(share(times.len() as u64, index, self.count) as usize).copied().unwrap_or(i64::MAX)
            }
            Spread::Every => i64::MAX,
        }
    }

    /// The number of the first moment from number `first` on that does not come before `from`; their count
    /// if there is none.
    pub(crate) fn first_from(&self, first: u64, from: i64) -> u64 {
        let (mut low, mut high) = (first, self.count);
        while low < high {
            let middle = low + (high - low) / 2;
            if self.at(middle) < from { low = middle + 1 } else { high = middle }
        }
        low
    }

    /// Whether a moment from number `first` on lies in `[from, until)`; no end means for ever.
    pub(crate) fn any_in(&self, first: u64, from: i64, until: Option<i64>) -> bool {
        let moment = self.get(self.first_from(first, from));
        moment.is_some_and(|moment| until.is_none_or(|until| moment < until))
    }
}

/// Adds `missing` numbers under `count` to `numbers`, which ascend: spread evenly over those that are not
/// there yet, each run of which gets a share by its length.
fn fill(numbers: &mut Vec<usize>, count: usize, missing: usize) {
    let ends = numbers.iter().copied().chain([count]);
    let starts = [0].into_iter().chain(numbers.iter().map(|number| number + 1));
    let runs: Vec<(usize, usize)> = starts.zip(ends).map(|(from, until)| (from, until - from)).collect();
    // What is left of a run between its numbers, in parts of 2^-20 of a number.
    let gap = |length: usize, taken: usize| (length << 20) / (taken + 1);
    let mut taken = vec![0; runs.len()];
    let mut widest: BinaryHeap<_> =
        runs.iter().enumerate().map(|(run, (_, length))| (gap(*length, 0), Reverse(run))).collect();
    for _ in 0..missing {
        let Some((_, Reverse(run))) = widest.pop() else { break };
        if taken[run] < runs[run].1 {
            taken[run] += 1;
            widest.push((gap(runs[run].1, taken[run]), Reverse(run)));
        }
    }
    for ((from, length), taken) in runs.into_iter().zip(taken) {
        numbers.extend((0..taken).map(|index| from + length * (2 * index + 1) / (2 * taken)));
    }
    numbers.sort_unstable();
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn uniform_takes_interval_centers() {
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

    fn all(moments: &Moments) -> Vec<i64> {
        (0..moments.count()).map_while(|index| moments.get(index)).collect()
    }

    #[test]
    fn moments_in_a_pause_take_frames_from_elsewhere() {
        let uniform = |count, span| Moments::new(Sampling::Uniform(count), 0, span, 0.001).unwrap();
        // 24 frames of a second each, a pause of 1000 seconds, 24 more.
        let frames: Arc<[i64]> = (0..24).chain(1023..1047).map(|second| second * 1000).collect();
        let moments = uniform(12, 1_047_000).with_different(&frames);
        let chosen = all(&moments);
        assert!(
            chosen.is_sorted_by(|a, b| a < b) && chosen.iter().all(|time| frames.contains(time)),
            "{chosen:?}"
        );
        let early = chosen.iter().filter(|time| **time < 24_000).count();
        assert!((5..=7).contains(&early), "{chosen:?}");
        // Where no two fall on one frame, the moments are what they were.
        let even: Arc<[i64]> = (0..48).map(|second| second * 1000).collect();
        assert_eq!(uniform(12, 48_000).with_different(&even), uniform(12, 48_000));
    }

    #[test]
    fn moments_without_a_frame_between_them_are_found() {
        let moments = Moments::new(Sampling::Uniform(4), 0, 80, 0.001).unwrap();
        assert_eq!(all(&moments), [10, 30, 50, 70]);
        for (starts, doubtful) in [
            (&[0, 20, 40, 60][..], &[][..]),
            (&[0, 30, 50, 70, 79], &[]),
            (&[0, 11, 12, 13, 40, 60], &[]),
            (&[0, 20, 51, 60], &[(30, 50)]),
            (&[0, 10, 40], &[(10, 30), (50, 70)]),
            (&[], &[(10, 30), (30, 50), (50, 70)]),
        ] {
            assert_eq!(moments.doubtful(starts).collect::<Vec<_>>(), doubtful, "{starts:?}");
        }
    }

    #[test]
    fn each_of_too_few_frames_is_shown() {
        let frames: Arc<[i64]> = [0, 20_000, 55_000].into();
        let moments = Moments::new(Sampling::Uniform(12), 0, 55_083, 0.001).unwrap();
        assert_eq!(
            all(&moments.with_different(&frames))
                .into_iter()
                .collect::<std::collections::BTreeSet<_>>()
                .len(),
            3
        );
        let moments = Moments::new(Sampling::Uniform(usize::MAX), 0, 55_083, 0.001).unwrap();
        let moments = moments.with_different(&frames);
        assert!(moments.any_in(0, 55_000, None));
        assert_eq!(moments.get(0), Some(0));
    }

    #[test]
    fn missing_numbers_are_spread_over_the_free_ones() {
        let mut numbers = vec![7, 8];
        fill(&mut numbers, 16, 3);
        assert_eq!(numbers, [1, 5, 7, 8, 12]);
        let mut numbers = vec![];
        fill(&mut numbers, 4, 9);
        assert_eq!(numbers, [0, 1, 2, 3]);
    }

    proptest! {
        #[test]
        fn there_are_as_many_different_frames_as_there_can_be(
            gaps in prop::collection::vec(prop_oneof![1_i64..50, 5_000_i64..90_000], 0..60),
            count in 1_usize..80,
        ) {
            let mut frames = vec![10_i64];
            for gap in gaps {
                frames.push(frames[frames.len() - 1] + gap);
            }
            let span = frames[frames.len() - 1] - 10 + 40;
            let frames: Arc<[i64]> = frames.into();
            let moments = Moments::new(Sampling::Uniform(count), 10, span, 0.001).unwrap().with_different(&frames);
            let moments = all(&moments);
            prop_assert_eq!(moments.len(), count);
            prop_assert!(moments.is_sorted());
            let mut shown: Vec<usize> =
                moments.iter().map(|moment| frames.partition_point(|time| time <= moment).saturating_sub(1)).collect();
            shown.dedup();
            prop_assert_eq!(shown.len(), count.min(frames.len()));
        }

        #[test]
        fn any_in_agrees_with_a_search(count in 1_usize..40, first in 0_u64..40, from in -50_i64..400, length in 0_i64..60) {
            let moments = Moments::new(Sampling::Uniform(count), 10, 300, 0.01).unwrap();
            let searched = (first..count as u64).filter_map(|i| moments.get(i)).any(|t| t >= from && t < from + length);
            prop_assert_eq!(moments.any_in(first, from, Some(from + length)), searched);
        }
    }
}
