//! Which frames a stretch of packets will show, known before any of them is decoded.

use std::collections::BTreeMap;
use std::ops::Bound::{Excluded, Unbounded};

/// Presentation times of the packets read so far, in display order.
#[derive(Debug, Default)]
pub(crate) struct Timeline {
    /// Presentation time in ticks, and whether the packet is a keyframe.
    frames: BTreeMap<i64, bool>,
    /// Frames forgotten at the front.
    passed: u64,
    /// The count lost its beginning in a jump.
    adrift: bool,
}

impl Timeline {
    /// Forgets everything after a jump to an unknown place.
    pub(crate) fn jumped(&mut self) {
        *self = Self { adrift: true, ..Self::default() };
    }

    /// Adds a frame; `false` when one with this time is there already.
    pub(crate) fn add(&mut self, pts: i64, is_key: bool) -> bool {
        self.frames.insert(pts, is_key).is_none()
    }

    /// The frame on screen at `time`, or else the first one.
    pub(crate) fn shown_at(&self, time: i64) -> Option<i64> {
        let (pts, _) = self.frames.range(..=time).next_back().or_else(|| self.frames.first_key_value())?;
        Some(*pts)
    }

    /// The last keyframe at or before `time`, or else the first one.
    pub(crate) fn keyframe_at(&self, time: i64) -> Option<i64> {
        let mut keys = self.frames.iter().filter(|(_, is_key)| **is_key).map(|(pts, _)| *pts);
        let earlier = self.frames.range(..=time).rev().find(|(_, is_key)| **is_key).map(|(pts, _)| *pts);
        earlier.or_else(|| keys.next())
    }

    /// The frame that follows `pts` on screen, as far as known.
    pub(crate) fn after(&self, pts: i64) -> Option<i64> {
        self.frames.range((Excluded(pts), Unbounded)).next().map(|(pts, _)| *pts)
    }

    /// Forgets the frames before `pts`, which stay counted.
    pub(crate) fn forget_before(&mut self, pts: i64) {
        let kept = self.frames.split_off(&pts);
        self.passed += self.frames.len() as u64;
        self.frames = kept;
    }

    /// Number of the frame at `pts`, counted in display order from the start of the stream.
    pub(crate) fn index_of(&self, pts: i64) -> Option<u64> {
        (!self.adrift).then(|| self.passed + self.frames.range(..pts).count() as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// I0 P3 B1 B2 I6 B4 B5 in decoding order, ten ticks per frame.
    fn timeline() -> Timeline {
        let mut timeline = Timeline::default();
        for (pts, is_key) in
            [(0, true), (30, false), (10, false), (20, false), (60, true), (40, false), (50, false)]
        {
            assert!(timeline.add(pts, is_key));
        }
        timeline
    }

    #[test]
    fn frame_at_finds_the_frame_on_screen() {
        let timeline = timeline();
        assert_eq!(timeline.shown_at(0), Some(0));
        assert_eq!(timeline.shown_at(9), Some(0));
        assert_eq!(timeline.shown_at(25), Some(20));
        assert_eq!(timeline.shown_at(999), Some(60));
        assert_eq!(timeline.shown_at(-5), Some(0));
        assert_eq!(timeline.keyframe_at(59), Some(0));
        assert_eq!(timeline.keyframe_at(60), Some(60));
        assert_eq!(timeline.after(20), Some(30));
        assert_eq!(timeline.after(60), None);
    }

    #[test]
    fn frame_numbers_are_kept_until_a_jump() {
        let mut timeline = timeline();
        timeline.forget_before(30);
        assert_eq!(timeline.index_of(30), Some(3));
        assert_eq!(timeline.index_of(60), Some(6));
        assert!(!timeline.add(30, false), "a second frame with the same time");
        timeline.jumped();
        assert!(timeline.add(90, true));
        assert_eq!(timeline.index_of(90), None);
        assert_eq!(timeline.shown_at(95), Some(90));
    }
}
