//! One clock out of one that jumps: where the parts of a joined file begin, and what to add to their
//! times.
//!
//! Recordings that are joined as bytes (segments of a live stream, breaks for advertisements, a
//! camera that restarts) have times that start again, fall back or leap ahead. The parts follow
//! each other on screen all the same, in the order in which they stand in the file.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use ffmpeg_next::Packet;

use crate::demuxer::{StreamFacts, is_shown};

/// A gap between two packets that is longer than this is a jump, where the container's clock may jump:
/// FFmpeg's own program draws the line there, too.
const MAX_GAP_SECONDS: f64 = 10.0;
/// Frames that may be decoded before one that is shown earlier, in H.264 and HEVC.
const MAX_REORDERED_FRAMES: usize = 16;

/// The times of one packet, in ticks.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Stamp {
    pub(crate) pts: Option<i64>,
    pub(crate) dts: Option<i64>,
    /// How long its frame is shown; 0 when unknown.
    pub(crate) duration: i64,
    pub(crate) is_key: bool,
    pub(crate) is_shown: bool,
}

impl Stamp {
    pub(crate) fn of(packet: &Packet) -> Self {
        Self {
            pts: packet.pts(),
            dts: packet.dts(),
            duration: packet.duration().max(0),
            is_key: packet.is_key(),
            is_shown: is_shown(packet),
        }
    }

    /// When its frame is shown, as far as known.
    pub(crate) fn time(&self) -> Option<i64> {
        self.pts.or(self.dts)
    }
}

/// Packets whose times are on one clock.
#[derive(Debug, Clone, Copy)]
struct Part {
    /// Number of its first packet.
    first: u64,
    /// The clock leaps ahead to it, which may be a pause in the recording.
    is_ahead: bool,
    /// Times of the first frame shown and of the last one.
    extent: Option<(i64, i64)>,
}

/// Finds the parts, packet by packet.
#[derive(Debug)]
pub(crate) struct ClockWatch {
    /// The container's clock may leap ahead without a pause.
    may_leap: bool,
    gap: i64,
    packets: u64,
    last: Option<i64>,
    parts: Vec<Part>,
    /// The latest times of frames in the last part: one more than may be decoded before a frame that is
    /// shown earlier.
    latest: BinaryHeap<Reverse<i64>>,
}

impl ClockWatch {
    pub(crate) fn new(facts: &StreamFacts) -> Self {
        Self::with_gap(facts.clock_may_jump, ((MAX_GAP_SECONDS / facts.tick_seconds) as i64).max(1))
    }

    fn with_gap(may_leap: bool, gap: i64) -> Self {
        let parts = vec![Part { first: 0, is_ahead: false, extent: None }];
        Self { may_leap, gap, packets: 0, last: None, parts, latest: BinaryHeap::new() }
    }

    /// Takes the next packet in decoding order; the number of the part that it belongs to, and
    /// whether it is the first of a new one.
    pub(crate) fn accept(&mut self, stamp: &Stamp) -> (usize, bool) {
        let mut is_new = false;
        if let Some(now) = stamp.dts.or(stamp.pts) {
            let is_ahead = self.last.is_some_and(|last| now.saturating_sub(last) > self.gap);
            is_new = is_ahead || self.is_restart(now, stamp);
            if is_new {
                self.parts.push(Part { first: self.packets, is_ahead, extent: None });
                self.latest.clear();
            }
            self.last = Some(now);
        }
        self.packets += 1;
        (self.parts.len() - 1, is_new)
    }

    fn is_restart(&self, now: i64, stamp: &Stamp) -> bool {
        let shown_until = self.parts.last().and_then(|part| part.extent).map(|(_, last)| last);
        let (Some(last), Some(shown_until), Some(time)) = (self.last, shown_until, stamp.time()) else {
            return false;
        };
        // No decoder holds back so many frames: this one belongs to another beginning.
        let is_earlier = self.latest.len() > MAX_REORDERED_FRAMES
            && self.latest.peek().is_some_and(|Reverse(earliest)| time < *earliest);
        now < last && (stamp.is_key && time <= shown_until || is_earlier)
    }

    /// Counts a frame of a part.
    pub(crate) fn count(&mut self, part: usize, time: i64) {
        if part + 1 == self.parts.len() {
            self.latest.push(Reverse(time));
            if self.latest.len() > MAX_REORDERED_FRAMES + 1 {
                self.latest.pop();
            }
        }
        let Some(part) = self.parts.get_mut(part) else { return };
        let (first, last) = part.extent.unwrap_or((time, time));
        part.extent = Some((first.min(time), last.max(time)));
    }

    /// The clock, now that all packets have been seen. A frame lasts `frame_ticks` before the next part.
    pub(crate) fn finish(self, frame_ticks: i64) -> Clock {
        // A clock that falls back is not trusted with long pauses either.
        let jumps = self.may_leap || self.parts.iter().skip(1).any(|part| !part.is_ahead);
        let mut shifts = Vec::new();
        let mut end: Option<i64> = None;
        let mut ticks = 0;
        for part in &self.parts {
            if let Some((first, last)) = part.extent {
                if let Some(end) = end.filter(|_| jumps) {
                    ticks = end.saturating_sub(first);
                }
                end = Some(last.saturating_add(ticks).saturating_add(frame_ticks));
            }
            shifts.push(Shift { first: part.first, ticks });
        }
        let jumps = if jumps { self.parts.len() as u64 - 1 } else { 0 };
        Clock { shifts, jumps, damaged_joints: 0 }
    }
}

/// What to add to the times of the packets from one on.
#[derive(Debug, Clone, Copy)]
struct Shift {
    /// Number of the first packet.
    first: u64,
    ticks: i64,
}

/// A stream's clock, without its jumps.
#[derive(Debug, Clone, Default)]
pub(crate) struct Clock {
    /// One for each part.
    shifts: Vec<Shift>,
    /// How often the stream's own clock jumps.
    pub(crate) jumps: u64,
    /// Packets that the demuxer takes for damaged because another file was joined on behind them.
    pub(crate) damaged_joints: u64,
}

impl Clock {
    /// What to add to the times in a part.
    pub(crate) fn shift_of(&self, part: usize) -> i64 {
        self.shifts.get(part).map_or(0, |shift| shift.ticks)
    }
}

/// Sets packets right, which come in order from the first one on.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct ClockCursor {
    packets: u64,
    part: usize,
    last_dts: Option<i64>,
}

impl ClockCursor {
    /// Puts the next packet's times on `clock`.
    pub(crate) fn correct(&mut self, clock: &Clock, packet: &mut Packet) {
        if clock.jumps == 0 {
            return;
        }
        while clock.shifts.get(self.part + 1).is_some_and(|next| next.first <= self.packets) {
            self.part += 1;
        }
        self.packets += 1;
        let ticks = clock.shift_of(self.part);
        packet.set_pts(packet.pts().map(|pts| pts.saturating_add(ticks)));
        // A part may need its first packets longer before they are shown than the one before it did.
        let dts = packet.dts().map(|dts| dts.saturating_add(ticks));
        let dts = dts.map(|dts| self.last_dts.map_or(dts, |last| dts.max(last)));
        packet.set_dts(dts);
        self.last_dts = dts.or(self.last_dts);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Ticks of a millisecond, frames of 40.
    fn watch(may_leap: bool) -> ClockWatch {
        ClockWatch::with_gap(may_leap, 10_000)
    }

    /// The times of the frames on the clock without jumps, and how many there were.
    fn unwrapped(may_leap: bool, stamps: &[Stamp]) -> (Vec<i64>, u64) {
        let mut watch = watch(may_leap);
        let mut parts = Vec::new();
        for stamp in stamps {
            let (part, _) = watch.accept(stamp);
            if let Some(time) = stamp.time() {
                watch.count(part, time);
            }
            parts.push(part);
        }
        let clock = watch.finish(40);
        let times =
            stamps.iter().zip(parts).filter_map(|(stamp, part)| Some(stamp.time()? + clock.shift_of(part)));
        (times.collect(), clock.jumps)
    }

    /// A part of `count` frames from `start`, the first a keyframe, `delay` frames decoded ahead.
    fn part(start: i64, count: i64, delay: i64) -> Vec<Stamp> {
        (0..count)
            .map(|n| Stamp {
                pts: Some(start + n * 40),
                dts: Some(start + (n - delay) * 40),
                duration: 40,
                is_key: n == 0,
                is_shown: true,
            })
            .collect()
    }

    #[test]
    fn parts_follow_each_other_whatever_their_clocks_say() {
        for starts in
            [&[100_000, 9_000_000][..], &[0, 0], &[9_000_000, 100], &[0, 0, 0, 0], &[5000, 0, 900_000, 4000]]
        {
            let stamps: Vec<Stamp> =
                starts.iter().enumerate().flat_map(|(n, start)| part(*start, 48, n as i64 % 3)).collect();
            let (times, jumps) = unwrapped(true, &stamps);
            let expected: Vec<i64> = (0..stamps.len() as i64).map(|n| starts[0] + n * 40).collect();
            assert_eq!(times, expected, "{starts:?}");
            assert_eq!(jumps, starts.len() as u64 - 1, "{starts:?}");
        }
    }

    #[test]
    fn pauses_are_kept_where_clocks_do_not_leap() {
        let stamps = [part(0, 48, 2), part(60_000, 48, 2)].concat();
        let (times, jumps) = unwrapped(false, &stamps);
        assert_eq!((times[48], jumps), (60_000, 0));
        // Short ones everywhere.
        let stamps = [part(0, 48, 2), part(9_000, 48, 2)].concat();
        let (times, jumps) = unwrapped(true, &stamps);
        assert_eq!((times[48], jumps), (9_000, 0));
        // But not beside a clock that falls back.
        let stamps = [part(0, 48, 2), part(60_000, 48, 2), part(0, 48, 2)].concat();
        let (times, jumps) = unwrapped(false, &stamps);
        assert_eq!((times[48], times[96], jumps), (48 * 40, 96 * 40, 2));
    }

    #[test]
    fn disorder_is_no_jump() {
        // One decoding time is a frame late.
        let mut stamps = part(0, 48, 2);
        stamps[20].dts = stamps[22].dts;
        assert_eq!(unwrapped(true, &stamps).1, 0);
        // No decoding times, and frames that are decoded ahead.
        let mut stamps = part(0, 48, 0);
        for stamp in &mut stamps {
            stamp.dts = None;
        }
        stamps.swap(3, 6);
        stamps.swap(13, 15);
        let (times, jumps) = unwrapped(true, &stamps);
        assert_eq!((times[6], jumps), (120, 0));
    }

    #[test]
    fn reordering_over_long_pauses_is_no_jump() {
        // Shown at 0, 20 and 55 seconds, decoded in another order, with decoding times that were made up.
        let stamp =
            |pts, dts, is_key| Stamp { pts: Some(pts), dts: Some(dts), duration: 40, is_key, is_shown: true };
        let stamps = [stamp(0, 0, true), stamp(55_000, 55_000, false), stamp(20_000, 20_000, false)];
        let (times, jumps) = unwrapped(false, &stamps);
        assert_eq!((times, jumps), (vec![0, 55_000, 20_000], 0));
    }

    #[test]
    fn a_part_may_begin_between_keyframes() {
        let mut second = part(0, 48, 2);
        second[0].is_key = false;
        let (times, jumps) = unwrapped(true, &[part(0, 48, 2), second].concat());
        assert_eq!((times[48], times[95], jumps), (48 * 40, 95 * 40, 1));
    }

    proptest! {
        #[test]
        fn times_rise_over_any_parts(starts in prop::collection::vec(0_i64..1 << 33, 1..9), length in 14_i64..60) {
            let stamps: Vec<Stamp> = starts.iter().flat_map(|start| part(*start, length, 2)).collect();
            let (times, _) = unwrapped(true, &stamps);
            prop_assert!(times.is_sorted_by(|a, b| a < b), "{:?}", times);
        }

        #[test]
        fn no_times_overflow(stamps in prop::collection::vec((any::<i64>(), any::<i64>(), any::<i64>(), any::<bool>()), 0..60)) {
            let stamps: Vec<Stamp> = stamps
                .into_iter()
                .map(|(pts, dts, duration, is_key)| {
                    Stamp { pts: Some(pts), dts: Some(dts), duration: duration.max(0), is_key, is_shown: true }
                })
                .collect();
            let mut watch = watch(true);
            for stamp in &stamps {
                let (part, _) = watch.accept(stamp);
                watch.count(part, stamp.pts.unwrap_or(0));
            }
            let clock = watch.finish(40);
            prop_assert_eq!(clock.jumps + 1, clock.shifts.len() as u64);
        }
    }
}
