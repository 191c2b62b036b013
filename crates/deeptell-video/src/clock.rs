//! One clock out of one that jumps: where the parts of a joined file begin, and what to add to their
//! times.
//!
//! Recordings that are joined as bytes (segments of a live stream, breaks for advertisements, a
//! camera that restarts) have times that start again, fall back or leap ahead. The parts follow
//! each other on screen all the same, in the order in which they stand in the file.
//!
//! A time that leaps away and returns at once is damage, not a jump: it is replaced before the parts are found, see
//! [`replace_strays`]. A clock that falls back every few packets is not used, and frames are counted instead.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::ops::Range;

use ffmpeg_next::Packet;

use crate::demuxer::{StreamFacts, is_shown};

/// A gap between two packets that is longer than this is a jump, where the container's clock may jump:
/// FFmpeg's own program draws the line there, too.
const MAX_GAP_SECONDS: f64 = 10.0;
/// Frames that may be decoded before one that is shown earlier, in H.264 and HEVC.
const MAX_REORDERED_FRAMES: usize = 16;
/// As many as encoders use of them.
const USUAL_REORDERED_FRAMES: usize = 4;
/// Decoding times that leap by the longest gap divided by this, and return, are damage.
const SHORT_LEAPS: i64 = 10;
/// The longest run of packets whose times are taken for damaged; a longer one is a part.
const MAX_STRAYS: usize = 16;
/// At most one packet in this many has a damaged time.
const MAX_STRAYED_SHARE: usize = 3;
/// A clock that falls back at least `MIN_FALLS` times, and more than once in `PACKETS_PER_FALL` packets, is not used.
const MIN_FALLS: u64 = 3;
const PACKETS_PER_FALL: u64 = 12;

/// The times of one packet, in ticks.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Stamp {
    pub(crate) pts: Option<i64>,
    pub(crate) dts: Option<i64>,
    /// How long its frame is shown; 0 when unknown.
    pub(crate) duration: i64,
    pub(crate) is_key: bool,
    pub(crate) is_shown: bool,
    /// The demuxer takes it for damaged.
    pub(crate) is_corrupt: bool,
}

impl Stamp {
    pub(crate) fn of(packet: &Packet) -> Self {
        Self {
            pts: packet.pts(),
            dts: packet.dts(),
            duration: packet.duration().max(0),
            is_key: packet.is_key(),
            is_shown: is_shown(packet),
            is_corrupt: packet.is_corrupt(),
        }
    }

    /// When its frame is shown, as far as known.
    pub(crate) fn time(&self) -> Option<i64> {
        self.pts.or(self.dts)
    }
}

/// Whether a clock advances too little, at one packet in four or more, to tell one from the next: by less than one part
/// in 64 of the usual distance or of a `frame`.
pub(crate) fn stands_still(stamps: &[Stamp], frame: i64, gap: i64) -> bool {
    let least = usual_step(stamps, gap).max(frame);
    let step = |pair: &[Stamp]| Some(pair[1].dts?.saturating_sub(pair[0].dts?));
    let is_still = |step: &i64| *step >= 0 && step.saturating_mul(64) < least;
    let still = stamps.windows(2).filter_map(step).filter(is_still).count();
    still > 0 && still * 4 >= stamps.len()
}

/// How far a clock may leap and still be the same, for a container whose clock may jump.
pub(crate) fn longest_gap(facts: &StreamFacts) -> i64 {
    ((MAX_GAP_SECONDS / facts.tick_seconds) as i64).max(1)
}

/// A packet whose times are replaced, before anything else is done about them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Replaced {
    /// Its number.
    packet: u64,
    pts: Option<i64>,
    dts: Option<i64>,
}

/// Replaces times that leap away from those around them and return, as a flipped bit makes them, by those that the
/// neighbors leave room for; by none where they leave none that is certain. Where the clock of the container may not
/// leap, its decoding times are taken as they are.
pub(crate) fn replace_strays(stamps: &mut [Stamp], gap: i64, may_leap: bool) -> Vec<Replaced> {
    let frame = usual_step(stamps, gap);
    // Where the neighbors leave no room for them, they are a part.
    let has_room = |run: &Range<usize>| {
        let neighbors =
            run.start.checked_sub(1).and_then(|before| stamps.get(before)).zip(stamps.get(run.end));
        let room = neighbors.and_then(|(before, after)| Some(after.dts?.saturating_sub(before.dts?)));
        room.is_some_and(|room| room >= frame.saturating_mul(run.len() as i64 + 1) / 2)
    };
    // These times never fall, so that one which returns has leaped by mistake even when it did not leap far.
    let least_leap = (gap / SHORT_LEAPS).max(frame.saturating_mul(3)).min(gap);
    let (mut dts_strays, parts): (Vec<_>, Vec<_>) =
        dts_strays(stamps, least_leap, frame).into_iter().partition(has_room);
    let longest_gap = may_leap.then_some(gap);
    let stretches = stretches(stamps, longest_gap, frame, &dts_strays, &parts);
    let has_strayed = pts_strays(stamps, gap, frame, &stretches);
    if !may_leap {
        dts_strays.clear();
    }
    let (is_settled, is_part) = (marks(&dts_strays, stamps.len()), marks(&parts, stamps.len()));
    let mut replaced = Vec::new();
    for run in &dts_strays {
        let (Some(before), Some(after)) = (stamps[run.start - 1].dts, stamps[run.end].dts) else { continue };
        for number in run.clone() {
            let share = (number - run.start + 1) as i64;
            let dts = before.saturating_add(after.saturating_sub(before) / (run.len() as i64 + 1) * share);
            let stamp = &mut stamps[number];
            // What strayed together is still right about the delay.
            let delay = stamp.pts.zip(stamp.dts).map(|(pts, own)| pts.saturating_sub(own));
            let longest = frame.saturating_mul(MAX_REORDERED_FRAMES as i64);
            match delay.filter(|delay| (0..=longest).contains(delay)) {
                Some(delay) => stamp.pts = Some(dts.saturating_add(delay)),
                None if has_strayed[number] => stamp.pts = None,
                None => {}
            }
            stamp.dts = Some(dts);
            replaced.push(number);
        }
    }
    let strayed =
        |number: &usize| has_strayed[*number] && !is_settled[*number] && !(may_leap && is_part[*number]);
    let strayed: Vec<usize> = (0..stamps.len()).filter(strayed).collect();
    for number in strayed.iter().copied() {
        let neighbor = if number == 0 { stamps.get(1) } else { stamps.get(number - 1) };
        let neighbor = neighbor.and_then(|stamp| stamp.dts);
        let stamp = &mut stamps[number];
        let leap = stamp.dts.zip(neighbor).map_or(0, |(own, other)| own.abs_diff(other));
        // Made up from times of showing, and wrong with them.
        stamp.dts = stamp.dts.filter(|_| leap <= gap.unsigned_abs());
        stamp.pts = None;
    }
    for number in strayed {
        stamps[number].pts = gap_between_frames(stamps, number, frame);
        replaced.push(number);
    }
    replaced.sort_unstable();
    let times =
        |number: usize| Replaced { packet: number as u64, pts: stamps[number].pts, dts: stamps[number].dts };
    replaced.into_iter().map(times).collect()
}

/// Which of `count` packets are in one of `runs`.
fn marks(runs: &[Range<usize>], count: usize) -> Vec<bool> {
    let mut marks = vec![false; count];
    for run in runs {
        marks[run.clone()].fill(true);
    }
    marks
}

/// Runs of packets whose decoding times leap by more than `gap` and return at once.
fn dts_strays(stamps: &[Stamp], gap: i64, frame: i64) -> Vec<Range<usize>> {
    let mut runs = Vec::new();
    let (mut last, mut number) = (None, 0);
    while let Some(stamp) = stamps.get(number) {
        let Some(now) = stamp.dts else {
            number += 1;
            continue;
        };
        // Near where the clock would be by then.
        let is_near = |other: usize| {
            let passed = frame.saturating_mul((other - number) as i64);
            let found = stamps.get(other).and_then(|stamp| stamp.dts);
            let expected = last.map(|last: i64| last.saturating_add(passed));
            found.zip(expected).map(|(found, expected)| found.abs_diff(expected) <= gap.unsigned_abs())
        };
        let returns = |back: &usize| is_near(*back) == Some(true) && is_near(*back + 1) != Some(false);
        let is_leap = is_near(number) == Some(false);
        if let Some(back) = (number + 1..=number + MAX_STRAYS).find(|back| is_leap && returns(back)) {
            runs.push(number..back);
            number = back;
        } else {
            last = Some(now);
            number += 1;
        }
    }
    runs
}

/// Stretches of packets that are decoded on one clock: each ends where decoding times leap by more than `gap`, if the clock
/// may leap, or fall, but by `strays`, and around `parts`.
fn stretches(
    stamps: &[Stamp],
    gap: Option<i64>,
    frame: i64,
    strays: &[Range<usize>],
    parts: &[Range<usize>],
) -> Vec<Range<usize>> {
    let is_stray = marks(strays, stamps.len());
    let reordered = frame.saturating_mul(MAX_REORDERED_FRAMES as i64).min(gap.unwrap_or(i64::MAX));
    let mut ends: Vec<usize> = parts.iter().flat_map(|part| [part.start, part.end]).collect();
    let mut last: Option<i64> = None;
    for (number, stamp) in stamps.iter().enumerate().filter(|(number, _)| !is_stray[*number]) {
        let Some(now) = stamp.dts.or(stamp.pts) else { continue };
        let leap = last.map_or(0, |last| now.saturating_sub(last));
        // A clock that may not leap has no part of a single packet.
        let is_first = number == 1 && gap.is_none();
        let is_fall = (leap < -reordered || leap < 0 && stamp.is_key) && !is_first;
        if is_fall || gap.is_some_and(|gap| leap > gap) {
            ends.push(number);
        }
        last = Some(now);
    }
    ends.push(stamps.len());
    ends.sort_unstable();
    let starts = std::iter::once(0).chain(ends.clone());
    starts.zip(ends).map(|(start, end)| start..end).filter(|stretch| !stretch.is_empty()).collect()
}

/// Which packets have a time of showing that is out of order by more than decoders reorder frames.
///
/// Pauses change nothing about the order, however long they are: the frames after one are decoded at most a few places
/// before the last ones in front of it.
fn pts_strays(stamps: &[Stamp], gap: i64, frame: i64, stretches: &[Range<usize>]) -> Vec<bool> {
    let mut has_strayed = vec![false; stamps.len()];
    let longest = frame.saturating_mul(MAX_REORDERED_FRAMES as i64);
    let is_delay_odd = |stamp: &Stamp| {
        let delay = stamp.pts.zip(stamp.dts).map(|(pts, dts)| pts.saturating_sub(dts));
        delay.is_some_and(|delay| !(-frame..=longest).contains(&delay))
    };
    for stretch in stretches {
        let mut found: Vec<usize> = Vec::new();
        // A burst of strays moves those between by as many places.
        let far = out_of_order(stamps, stretch, &has_strayed, MAX_STRAYS + MAX_REORDERED_FRAMES);
        mark(&mut has_strayed, &far, &mut found);
        let mut near = out_of_order(stamps, stretch, &has_strayed, MAX_REORDERED_FRAMES);
        near.retain(|number| is_delay_odd(&stamps[*number]));
        mark(&mut has_strayed, &near, &mut found);
        let alone = far_from_others(stamps, stretch, &has_strayed, gap);
        mark(&mut has_strayed, &alone, &mut found);
        found.sort_unstable();
        // Damage is rarer than this.
        let is_run_long = found.chunk_by(|one, next| one + 1 == *next).any(|run| run.len() > MAX_STRAYS);
        if is_run_long || found.len() * MAX_STRAYED_SHARE > stretch.len() {
            for number in found {
                has_strayed[number] = false;
            }
        }
    }
    has_strayed
}

fn mark(marks: &mut [bool], numbers: &[usize], all: &mut Vec<usize>) {
    for number in numbers {
        marks[*number] = true;
    }
    all.extend(numbers);
}

/// The packets of a stretch in display order, but for those that strayed, each with its place there and its place in
/// decoding order.
fn places(stamps: &[Stamp], stretch: &Range<usize>, has_strayed: &[bool]) -> Vec<(usize, usize, usize)> {
    let numbers = stretch.clone().filter(|number| stamps[*number].pts.is_some() && !has_strayed[*number]);
    let mut decoded: Vec<(usize, usize)> = numbers.enumerate().collect();
    decoded.sort_by_key(|(_, number)| stamps[*number].pts);
    decoded.into_iter().enumerate().map(|(shown, (place, number))| (number, shown, place)).collect()
}

/// Packets of a stretch that are more than `most` places from where their time of showing would put them.
fn out_of_order(stamps: &[Stamp], stretch: &Range<usize>, has_strayed: &[bool], most: usize) -> Vec<usize> {
    let places = places(stamps, stretch, has_strayed);
    places
        .into_iter()
        .filter(|(_, shown, place)| shown.abs_diff(*place) > most)
        .map(|(number, ..)| number)
        .collect()
}

/// Packets of a stretch, a few at a time, that are shown more than `gap` before or after all others, and out of order.
fn far_from_others(stamps: &[Stamp], stretch: &Range<usize>, has_strayed: &[bool], gap: i64) -> Vec<usize> {
    let places = places(stamps, stretch, has_strayed);
    let pts = |number: usize| stamps[number].pts.unwrap_or_default();
    let is_near = |one: &(usize, usize, usize), next: &(usize, usize, usize)| {
        pts(next.0).saturating_sub(pts(one.0)) <= gap
    };
    let is_moved =
        |(_, shown, place): &(usize, usize, usize)| shown.abs_diff(*place) > USUAL_REORDERED_FRAMES;
    let groups =
        places.chunk_by(is_near).filter(|group| group.len() <= MAX_STRAYS && group.iter().all(is_moved));
    groups.flatten().map(|(number, ..)| *number).collect()
}

/// The time that is missing between those of the packets around one; in front of them for the first packet.
fn gap_between_frames(stamps: &[Stamp], number: usize, frame: i64) -> Option<i64> {
    let dts = stamps[..=number].iter().rev().take(MAX_REORDERED_FRAMES).find_map(|stamp| stamp.dts);
    let around =
        number.saturating_sub(MAX_REORDERED_FRAMES)..(number + MAX_REORDERED_FRAMES + 1).min(stamps.len());
    let mut times: Vec<i64> =
        stamps[around].iter().filter(|stamp| stamp.is_shown).filter_map(|stamp| stamp.pts).collect();
    times.sort_unstable();
    if number == 0 {
        let time = times.first()?.saturating_sub(frame);
        return (dts.unwrap_or(time) <= time).then_some(time);
    }
    let dts = dts?;
    let is_missing =
        |pair: &&[i64]| pair[1] > dts && pair[1].saturating_sub(pair[0]) >= frame.saturating_mul(3) / 2;
    let pair = times.windows(2).find(is_missing)?;
    let time = pair[0].saturating_add(frame);
    (time >= dts).then_some(time)
}

/// The median distance of packets in decoding order.
fn usual_step(stamps: &[Stamp], gap: i64) -> i64 {
    let step =
        |pair: &[Stamp]| Some(pair[1].dts.or(pair[1].pts)?.saturating_sub(pair[0].dts.or(pair[0].pts)?));
    let mut steps: Vec<i64> =
        stamps.windows(2).filter_map(step).filter(|step| (1..=gap).contains(step)).collect();
    let middle = steps.len() / 2;
    if steps.is_empty() { 1 } else { *steps.select_nth_unstable(middle).1 }
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
    /// How often packets are to be decoded before the ones that they follow, and by more than reordering explains.
    falls: u64,
    deep_falls: u64,
    /// Frames are decoded before they are shown.
    has_delay: bool,
    parts: Vec<Part>,
    /// The latest times of frames in the last part: one more than may be decoded before a frame that is
    /// shown earlier.
    latest: BinaryHeap<Reverse<i64>>,
}

impl ClockWatch {
    pub(crate) fn new(facts: &StreamFacts) -> Self {
        Self::with_gap(facts.clock_may_jump, longest_gap(facts))
    }

    fn with_gap(may_leap: bool, gap: i64) -> Self {
        let parts = vec![Part { first: 0, is_ahead: false, extent: None }];
        Self {
            may_leap,
            gap,
            packets: 0,
            last: None,
            falls: 0,
            deep_falls: 0,
            has_delay: false,
            parts,
            latest: BinaryHeap::new(),
        }
    }

    /// Takes the next packet in decoding order; the number of the part that it belongs to, and
    /// whether it is the first of a new one.
    pub(crate) fn accept(&mut self, stamp: &Stamp) -> (usize, bool) {
        let mut is_new = false;
        self.has_delay |= stamp.pts.zip(stamp.dts).is_some_and(|(pts, dts)| pts > dts);
        if let Some(now) = stamp.dts.or(stamp.pts) {
            // A frame that is decoded before the leap and shown after it was on the same clock: then it is a pause.
            let shown_until = self.parts.last().and_then(|part| part.extent).map(|(_, last)| last);
            let reached = self.last.max(shown_until);
            let is_ahead = reached.is_some_and(|reached| now.saturating_sub(reached) > self.gap);
            let fall = self.last.map_or(0, |last| last.saturating_sub(now));
            self.falls += u64::from(fall > 0);
            let reordered = stamp.duration.max(1).saturating_mul(MAX_REORDERED_FRAMES as i64);
            self.deep_falls += u64::from(fall > reordered);
            is_new = is_ahead || self.may_leap && fall > self.gap || self.is_restart(now, stamp);
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
        // Decoders hold back fewer frames: this one belongs to another part.
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

    /// Whether the clock falls back every few packets, so that it tells nothing.
    pub(crate) fn is_restless(&self) -> bool {
        let falls = if self.has_delay { self.falls } else { self.deep_falls };
        let falls_back = self.parts.iter().skip(1).any(|part| !part.is_ahead);
        falls_back && falls >= MIN_FALLS && falls.saturating_mul(PACKETS_PER_FALL) > self.packets
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
        Clock { shifts, jumps, ..Clock::default() }
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
    /// Packets that the demuxer takes for damaged because another file follows them.
    pub(crate) damaged_joints: u64,
    /// Packets with other times than their own, in their order.
    pub(crate) replaced: Vec<Replaced>,
    /// No time is of any use.
    pub(crate) is_useless: bool,
}

impl Clock {
    /// A clock of which nothing is used.
    pub(crate) fn useless() -> Self {
        Self { is_useless: true, ..Self::default() }
    }

    /// Whether times are other than the file says.
    pub(crate) fn is_changed(&self) -> bool {
        self.jumps > 0 || self.is_useless || !self.replaced.is_empty()
    }

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
    /// Number of the next packet among those replaced.
    replaced: usize,
    last_dts: Option<i64>,
}

impl ClockCursor {
    /// Puts the next packet's times on `clock`.
    pub(crate) fn correct(&mut self, clock: &Clock, packet: &mut Packet) {
        if clock.is_useless {
            packet.set_pts(None);
            packet.set_dts(None);
            return;
        }
        if !clock.is_changed() {
            return;
        }
        if let Some(replaced) = clock.replaced.get(self.replaced).filter(|one| one.packet == self.packets) {
            packet.set_pts(replaced.pts);
            packet.set_dts(replaced.dts);
            self.replaced += 1;
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
                is_corrupt: false,
            })
            .collect()
    }

    /// Frames in decoding order with two B-frames after each P-frame.
    fn reordered(count: i64) -> Vec<Stamp> {
        let mut stamps = part(0, count, 2);
        for group in stamps[1..].chunks_exact_mut(3) {
            let [p, b, c] = [group[2].pts, group[0].pts, group[1].pts];
            (group[0].pts, group[1].pts, group[2].pts) = (p, b, c);
        }
        stamps
    }

    /// [`reordered`] frames with a pause of 40 seconds before frame `first` and one after `count` frames more. Decoding
    /// times know of the pauses, as encoders write them, or do not.
    fn paused(first: i64, count: i64, knows_pauses: bool) -> Vec<Stamp> {
        let mut stamps = reordered(61);
        for stamp in &mut stamps {
            let pauses = |time: i64| i64::from(time >= first * 40) + i64::from(time >= (first + count) * 40);
            stamp.pts = stamp.pts.map(|time| time + 40_000 * pauses(time));
        }
        if knows_pauses {
            // The times of showing in order, but for those of the first frames.
            let mut shown: Vec<Option<i64>> = stamps.iter().map(|stamp| stamp.pts).collect();
            shown.sort_unstable();
            for (stamp, dts) in stamps[2..].iter_mut().zip(shown) {
                stamp.dts = dts;
            }
        }
        stamps
    }

    #[test]
    fn strayed_times_get_their_place_back() {
        let right = reordered(61);
        let moved = |numbers: Range<usize>, pts: i64, dts: i64| {
            let mut stamps = right.clone();
            for stamp in &mut stamps[numbers] {
                stamp.pts = stamp.pts.map(|time| time + pts);
                stamp.dts = stamp.dts.map(|time| time + dts);
            }
            stamps
        };
        for numbers in [10..11, 11..12, 20..26, 1..2, 30..46] {
            for (pts, dts) in [(9_000_000, 9_000_000), (-9_000_000, -9_000_000), (0, 9_000_000)] {
                let mut stamps = moved(numbers.clone(), pts, dts);
                let replaced = replace_strays(&mut stamps, 10_000, true);
                assert_eq!(replaced.len(), numbers.len(), "{numbers:?}, {pts}, {dts}");
                let times =
                    |stamps: &[Stamp]| stamps.iter().map(|one| (one.pts, one.dts)).collect::<Vec<_>>();
                assert_eq!(times(&stamps), times(&right), "{numbers:?}, {pts}, {dts}");
            }
            let mut stamps = moved(numbers.clone(), 9_000_000, 0);
            assert_eq!(replace_strays(&mut stamps, 10_000, true).len(), numbers.len());
            if numbers.len() == 1 {
                assert_eq!(stamps[numbers.start].pts, right[numbers.start].pts, "{numbers:?}");
            }
            assert!(stamps.iter().all(|stamp| stamp.pts.is_none_or(|pts| pts < 3000)), "{numbers:?}");
        }
    }

    #[test]
    fn short_leaps_that_return_are_damage_only_in_decoding_times() {
        let right = reordered(61);
        // As many as there may be last longer than the shortest leap.
        let mut stamps = right.clone();
        for stamp in &mut stamps[20..36] {
            (stamp.pts, stamp.dts) = (stamp.pts.map(|time| time + 600), stamp.dts.map(|time| time + 600));
        }
        assert_eq!(replace_strays(&mut stamps, 5000, true).len(), 16);
        let mut stamps = right.clone();
        let later = |time: Option<i64>| time.map(|time| time + 5000);
        (stamps[20].pts, stamps[20].dts) = (later(stamps[20].pts), later(stamps[20].dts));
        assert_eq!(replace_strays(&mut stamps, 10_000, true).len(), 1);
        assert_eq!((stamps[20].pts, stamps[20].dts), (right[20].pts, right[20].dts));
        // A pause that is shown between frames which are decoded in another order.
        let mut stamps = right.clone();
        for stamp in &mut stamps {
            stamp.pts = stamp.pts.map(|time| if time >= 20 * 40 { time + 5000 } else { time });
        }
        assert_eq!(replace_strays(&mut stamps, 10_000, true), []);
    }

    #[test]
    fn times_of_showing_that_stray_by_seconds_get_their_place_back() {
        let right = reordered(301);
        for number in [0, 1, 2, 3, 100, 101, 102, 200] {
            for by in [3000, 7000, 9900, 90_000, -3000, -7000, -90_000] {
                let (mut stamps, original) = (right.clone(), right[number].pts);
                stamps[number].pts = original.map(|time| time + by);
                // The last of all may well be shown so late, and the first so early.
                let is_moved =
                    (number as i64 * 40 + by).clamp(0, 300 * 40).abs_diff(number as i64 * 40) > 33 * 40;
                for may_leap in [true, false] {
                    let mut stamps = stamps.clone();
                    let replaced = replace_strays(&mut stamps, 10_000, may_leap);
                    assert_eq!(replaced.len(), usize::from(is_moved), "{number}, {by}");
                    if is_moved {
                        assert_eq!(stamps[number].pts, original, "{number}, {by}");
                    }
                }
            }
        }
    }

    #[test]
    fn decoding_times_made_up_from_a_stray_first_time_are_dropped() {
        let mut stamps = reordered(61);
        (stamps[0].pts, stamps[0].dts) = (Some(900_000), Some(900_000));
        assert_eq!(replace_strays(&mut stamps, 10_000, false).len(), 1);
        assert_eq!((stamps[0].pts, stamps[0].dts), (Some(0), None));
    }

    #[test]
    fn clocks_that_hardly_advance_are_found() {
        // Of 60 frames of 4000 ticks, the last ones.
        let still = |count: i64| -> Vec<Stamp> {
            let dts = |number: i64| {
                if number < 60 - count { number * 4000 } else { (60 - count) * 4000 + number * 10 }
            };
            part(0, 60, 0)
                .into_iter()
                .zip(0..)
                .map(|(one, number)| Stamp { dts: Some(dts(number)), ..one })
                .collect()
        };
        for (count, is_still) in [(0, false), (5, false), (20, true), (60, true)] {
            assert_eq!(stands_still(&still(count), 4000, 1_000_000), is_still, "{count}");
        }
        assert!(!stands_still(&[], 4000, 1_000_000));
    }

    #[test]
    fn times_that_do_not_return_are_not_strays() {
        for starts in [&[0, 9_000_000][..], &[9_000_000, 100], &[0, 0]] {
            let stamps: Vec<Stamp> = starts.iter().flat_map(|start| part(*start, 48, 2)).collect();
            assert_eq!(replace_strays(&mut stamps.clone(), 10_000, true), []);
        }
        // Neither is a pause between frames that are decoded in another order.
        for (may_leap, count) in [(true, 61), (false, 61), (true, 25), (false, 25)] {
            let mut stamps = reordered(count);
            for stamp in &mut stamps {
                stamp.pts = stamp.pts.map(|time| if time >= 23 * 40 { time + 60_000 } else { time });
            }
            assert_eq!(replace_strays(&mut stamps, 10_000, may_leap), [], "{count} frames");
        }
        // Nor are a few frames between two pauses.
        for (first, count) in (6..40).flat_map(|first| (1..4).map(move |count| (first, count))) {
            for (knows_pauses, may_leap) in [(false, false), (true, false), (true, true)] {
                let replaced = replace_strays(&mut paused(first, count, knows_pauses), 10_000, may_leap);
                assert_eq!(replaced, [], "{count} frames from {first}");
            }
        }
        // But one frame whose time is not come to by those that follow.
        let (right, mut stamps) = (reordered(61), reordered(61));
        stamps[22].pts = stamps[22].pts.map(|time| time + 60_000);
        assert_eq!(replace_strays(&mut stamps, 10_000, false).len(), 1);
        assert_eq!(stamps[22].pts, right[22].pts);
        // Decoding times that were made up from those of showing stray later, and alone.
        let mut stamps = reordered(61);
        stamps[22].pts = stamps[22].pts.map(|time| time + 60_000);
        stamps[26].dts = stamps[22].pts;
        stamps[26].pts = stamps[26].pts.map(|time| time + 60_000);
        assert_eq!(replace_strays(&mut stamps, 10_000, false).len(), 2);
        assert_eq!(
            [22, 26].map(|number: usize| stamps[number].pts),
            [22, 26].map(|number: usize| right[number].pts)
        );
        assert!(stamps.iter().all(|stamp| stamp.dts.is_none_or(|dts| dts < 3000)));
        // Neither is a part for which the clock that is there later leaves no room.
        let before = part(0, 48, 0);
        let after = part(48 * 40, 48, 0);
        let mut stamps = [before, part(9_000_000, 8, 0), after].concat();
        assert_eq!(replace_strays(&mut stamps, 10_000, true), []);
        let (times, jumps) = unwrapped(true, &stamps);
        assert_eq!((times, jumps), ((0..104).map(|n| n * 40).collect(), 2));
    }

    #[test]
    fn clocks_that_keep_falling_back_are_restless() {
        let is_restless = |stamps: &[Stamp]| {
            let mut watch = watch(true);
            for stamp in stamps {
                let (part, _) = watch.accept(stamp);
                watch.count(part, stamp.time().unwrap_or(0));
            }
            watch.is_restless()
        };
        let falling = |every: i64, by: i64| {
            let mut stamps = reordered(61);
            for (stamp, number) in stamps.iter_mut().zip(0..) {
                stamp.pts = stamp.pts.map(|time| time - number / every * by);
                stamp.dts = stamp.dts.map(|time| time - number / every * by);
            }
            stamps
        };
        assert!(is_restless(&falling(6, 500)) && is_restless(&falling(1, 80)));
        assert!(!is_restless(&reordered(61)) && !is_restless(&falling(20, 1000)));
        let joined: Vec<Stamp> = (0..4).flat_map(|_| part(0, 14, 2)).collect();
        assert!(!is_restless(&joined));
        // Decoding times that were copied from those of showing fall at each B-frame.
        let mut copied = reordered(61);
        for stamp in &mut copied {
            stamp.dts = stamp.pts;
        }
        assert!(!is_restless(&copied));
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
    fn pauses_between_reordered_frames_are_kept() {
        for (first, count) in (6..40).flat_map(|first| (1..4).map(move |count| (first, count))) {
            let stamps = paused(first, count, true);
            let right: Vec<i64> = stamps.iter().filter_map(|stamp| stamp.pts).collect();
            assert_eq!(unwrapped(true, &stamps), (right, 0), "{count} frames from {first}");
        }
    }

    #[test]
    fn reordered_frames_are_not_a_jump() {
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
        let stamp = |pts, dts, is_key| Stamp { pts: Some(pts), dts: Some(dts), is_key, ..part(0, 1, 0)[0] };
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
                    let duration = duration.max(0);
                    Stamp { pts: Some(pts), dts: Some(dts), duration, is_key, ..part(0, 1, 0)[0] }
                })
                .collect();
            let mut straight = stamps.clone();
            let replaced = replace_strays(&mut straight, 10_000, true);
            prop_assert!(replaced.is_sorted_by_key(|one| one.packet));
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
