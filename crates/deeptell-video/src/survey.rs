//! The true extent of a stream, from its packets.

use std::sync::Arc;

use crate::clock::{self, Clock, ClockWatch, Stamp};
use crate::demuxer::{Demuxer, StreamFacts};
use crate::frame_times::last_duration;
use crate::packets::KeptPackets;
use crate::{VideoError, Warning};

/// Frame rate assumed of a stream that gives neither times nor a rate.
const DEFAULT_FRAMES_PER_SECOND: f64 = 25.0;

/// One packet is listed for this many bytes of [`Limits::memory_bytes`](crate::Limits::memory_bytes), of which the list
/// takes a quarter: 2 million for untrusted files, nearly ten hours at 60 frames per second.
const MEMORY_PER_PACKET: u64 = 300;

/// Packets before a joint among which the one is that seems to be damaged: a parser may hold one back.
const JOINT_PACKETS: u64 = 2;

/// FFmpeg's name of Matroska and `WebM`.
const MATROSKA: &str = "matroska,webm";

/// Where a stream starts, how long it is and whether its times can be planned with.
#[derive(Debug, Clone)]
pub(crate) struct Survey {
    /// Presentation time of the first frame, in ticks.
    pub(crate) start: i64,
    /// Ticks from the start of the first frame to the end of the last.
    pub(crate) span: i64,
    /// Ticks of a typical frame.
    pub(crate) frame_ticks: i64,
    pub(crate) frames: Option<u64>,
    /// Packets read.
    pub(crate) packets: u64,
    /// Packets that could not be read.
    pub(crate) damaged: u64,
    /// Every packet was examined; otherwise these values come from the header and are unverified.
    pub(crate) is_counted: bool,
    /// Every packet has a presentation time of its own, none before its decoding time.
    pub(crate) is_regular: bool,
    /// Times of all frames in display order; empty where they are unknown.
    pub(crate) times: Arc<[i64]>,
    /// Those of the keyframes.
    pub(crate) key_times: Arc<[i64]>,
    /// What to add to the times of the packets.
    pub(crate) clock: Arc<Clock>,
}

/// A frame that a packet stands for.
#[derive(Clone, Copy)]
struct FramePacket {
    time: Option<i64>,
    duration: i64,
    part: usize,
    is_key: bool,
}

impl Survey {
    /// Believes the header.
    pub(crate) fn declared(facts: &StreamFacts) -> Self {
        Self {
            start: facts.start.unwrap_or(0),
            span: facts.span.unwrap_or(0),
            frame_ticks: nominal_frame_ticks(facts),
            frames: facts.packets,
            packets: 0,
            damaged: 0,
            is_counted: false,
            is_regular: true,
            times: Arc::default(),
            key_times: Arc::default(),
            clock: Arc::default(),
        }
    }

    /// Reads every packet, decodes none; those that fit are kept. `None` when `may_go_on`, asked now and
    /// then, says no, and for a stream with too many packets to list in memory.
    pub(crate) fn of(
        demuxer: &mut Demuxer,
        facts: &StreamFacts,
        keep: &mut KeptPackets,
        may_go_on: impl Fn() -> bool,
    ) -> Result<Option<Self>, VideoError> {
        let max_packets = demuxer.limits().memory_bytes / MEMORY_PER_PACKET;
        let mut stamps = Vec::new();
        while let Some(packet) = demuxer.next_packet()? {
            let packets = stamps.len() as u64;
            if packets >= max_packets || packets % 4096 == 4095 && !may_go_on() {
                return Ok(None);
            }
            stamps.push(Stamp::of(&packet));
            keep.add(packet);
        }
        Ok(Some(Self::of_stamps(stamps, facts, demuxer.damaged)))
    }

    /// From the times of all packets, `damaged` of which could not be read.
    fn of_stamps(mut stamps: Vec<Stamp>, facts: &StreamFacts, damaged: u64) -> Self {
        let nominal = nominal_frame_ticks(facts);
        let gap = clock::longest_gap(facts);
        let stands_still = facts.clock_may_jump && clock::stands_still(&stamps, nominal, gap);
        let replaced = clock::replace_strays(&mut stamps, gap, facts.clock_may_jump);
        let packets = stamps.len() as u64;
        let Listed { mut frames, watch, order, cut_at_joints } = Listed::of(&stamps, facts);
        frames.sort_unstable_by_key(|frame| (frame.part, frame.time));
        let usual = usual_distance(&frames).unwrap_or(nominal);
        let is_useless = stands_still || watch.is_restless();
        let mut clock = watch.finish(usual);
        clock.damaged_joints = if clock.jumps > 0 { cut_at_joints } else { 0 };
        clock.replaced = replaced;
        let on_clock = |frame: &FramePacket| Some(frame.time?.saturating_add(clock.shift_of(frame.part)));
        let times = in_order(frames.iter().filter_map(on_clock));
        let key_times = in_order(frames.iter().filter(|frame| frame.is_key).filter_map(on_clock));
        let is_regular = order.is_regular && times.len() == frames.len();
        let mut survey = Self {
            frames: Some(frames.len() as u64),
            packets,
            damaged: damaged.saturating_sub(clock.damaged_joints),
            is_counted: true,
            is_regular,
            ..Self::declared(facts)
        };
        match (times.first(), times.last()) {
            (Some(&first), Some(&last)) if times.len() * 2 > frames.len() && !is_useless => {
                let own =
                    frames.last().map(|frame| frame.duration).filter(|ticks| *ticks > 0).unwrap_or(usual);
                let rest = facts.span.map(|span| first.saturating_add(span).saturating_sub(last));
                let is_whole = facts.packets == Some(packets);
                let shown_for =
                    if clock.jumps > 0 { usual } else { last_duration(own, usual, rest, is_whole) };
                let end = last.saturating_add(shown_for);
                survey.start = first;
                survey.span = end.saturating_sub(first).max(1);
                survey.frame_ticks = usual;
                survey.times = times.into();
                survey.key_times = key_times.into();
            }
            // No times to speak of: frames follow each other at the nominal rate.
            (first, _) => {
                survey.start = 0;
                survey.span = nominal.saturating_mul(frames.len() as i64);
                if first.is_some() {
                    clock = Clock::useless();
                    survey.is_regular = false;
                }
            }
        }
        survey.clock = Arc::new(clock);
        survey
    }

    /// What the times are worth, and what a comparison with the header shows.
    pub(crate) fn warnings(&self, facts: &StreamFacts) -> impl Iterator<Item = Warning> + use<> {
        let Clock { jumps, replaced, is_useless, .. } = &*self.clock;
        let count = if *is_useless { self.frames.unwrap_or(0) } else { replaced.len() as u64 };
        let times = (count > 0).then_some(Warning::TimesReplaced { count });
        let jumps = (*jumps > 0).then_some(Warning::ClockJumps { count: *jumps });
        // What the header says rests on the clock, too.
        let is_sound = times.is_none() && jumps.is_none();
        let length = if is_sound { self.length_warning(facts) } else { None };
        [times, jumps, length].into_iter().flatten()
    }

    fn length_warning(&self, facts: &StreamFacts) -> Option<Warning> {
        let declared = facts.span.filter(|_| !facts.is_joined)?;
        let warning = self.warning_of_length(declared, facts)?;
        // In Matroska some programs write how long the frames last, and others, FFmpeg among them, when the last one ends.
        if facts.container == MATROSKA && self.start > 0 && declared > self.start {
            return self.warning_of_length(declared - self.start, facts);
        }
        Some(warning)
    }

    /// What differs from a length of `declared` ticks.
    fn warning_of_length(&self, declared: i64, facts: &StreamFacts) -> Option<Warning> {
        let declared_seconds = declared as f64 * facts.tick_seconds;
        let found_seconds = self.span as f64 * facts.tick_seconds;
        let frame_seconds = self.frame_ticks as f64 * facts.tick_seconds;
        let lacks_frames = found_seconds + 1.5 * frame_seconds < declared_seconds;
        let is_longer = found_seconds > declared_seconds + f64::max(1.0, 0.02 * declared_seconds);
        let is_shorter = found_seconds + f64::max(1.0, 0.02 * declared_seconds) < declared_seconds;
        match facts.packets {
            Some(packets) if packets > self.packets && lacks_frames => {
                Some(Warning::Truncated { declared_seconds, found_seconds })
            }
            _ if is_longer => Some(Warning::DurationMismatch { declared_seconds, found_seconds }),
            Some(_) if is_shorter => Some(Warning::DurationMismatch { declared_seconds, found_seconds }),
            None if is_shorter && facts.is_alone => {
                Some(Warning::Truncated { declared_seconds, found_seconds })
            }
            _ => None,
        }
    }
}

/// The frames that packets stand for, and what is seen on the way.
struct Listed {
    frames: Vec<FramePacket>,
    watch: ClockWatch,
    order: PacketOrder,
    /// Damaged packets where two files were joined.
    cut_at_joints: u64,
}

impl Listed {
    fn of(stamps: &[Stamp], facts: &StreamFacts) -> Self {
        let mut listed = Self {
            frames: Vec::new(),
            watch: ClockWatch::new(facts),
            order: PacketOrder::default(),
            cut_at_joints: 0,
        };
        // A damaged packet, which counts once another follows: the end of a file may cut the last one.
        let mut held: Option<Option<FramePacket>> = None;
        let mut last_damaged = None;
        for (stamp, number) in stamps.iter().zip(1_u64..) {
            let (part, is_new_part) = listed.watch.accept(stamp);
            if is_new_part {
                listed.order.last_dts = None;
                // Where two files were joined, the demuxer misses the end of the first.
                let is_cut = last_damaged.take().is_some_and(|damaged| damaged + JOINT_PACKETS >= number);
                listed.cut_at_joints += u64::from(is_cut);
            }
            listed.order.accept(stamp);
            if stamp.is_corrupt {
                last_damaged = Some(number);
            }
            let frame =
                FramePacket { time: stamp.time(), duration: stamp.duration, part, is_key: stamp.is_key };
            let shown = stamp.is_shown.then_some(frame);
            let counted = if stamp.is_corrupt && !listed.frames.is_empty() {
                [held.replace(shown).flatten(), None]
            } else {
                [held.take().flatten(), shown]
            };
            for frame in counted.into_iter().flatten() {
                if let Some(time) = frame.time {
                    listed.watch.count(frame.part, time);
                }
                listed.frames.push(frame);
            }
        }
        listed
    }
}

fn in_order(times: impl Iterator<Item = i64>) -> Vec<i64> {
    let mut times: Vec<i64> = times.collect();
    times.sort_unstable();
    times.dedup();
    times
}

/// The median distance between frames on one clock, of frames in display order; `None` where none has
/// a neighbor.
fn usual_distance(frames: &[FramePacket]) -> Option<i64> {
    let distance = |pair: &[FramePacket]| match pair {
        [one, next] if one.part == next.part => Some(next.time?.saturating_sub(one.time?)),
        _ => None,
    };
    let mut distances: Vec<i64> = frames.windows(2).filter_map(distance).filter(|ticks| *ticks > 0).collect();
    let middle = distances.len() / 2;
    (!distances.is_empty()).then(|| *distances.select_nth_unstable(middle).1)
}

fn nominal_frame_ticks(facts: &StreamFacts) -> i64 {
    let rate = facts.frames_per_second.unwrap_or(DEFAULT_FRAMES_PER_SECOND);
    ((1.0 / rate / facts.tick_seconds).round() as i64).max(1)
}

/// Watches that the times of packets keep the promise the plan rests on: once a packet is decoded
/// after `t`, all later ones are shown after `t`.
#[derive(Debug)]
pub(crate) struct PacketOrder {
    pub(crate) last_dts: Option<i64>,
    pub(crate) is_regular: bool,
}

impl Default for PacketOrder {
    fn default() -> Self {
        Self { last_dts: None, is_regular: true }
    }
}

impl PacketOrder {
    pub(crate) fn accept(&mut self, stamp: &Stamp) {
        let Stamp { pts, dts, .. } = *stamp;
        let is_timed = pts.is_some() || !stamp.is_shown;
        let is_forward = dts.is_none_or(|dts| self.last_dts.is_none_or(|last| dts >= last));
        let is_causal = pts.zip(dts).is_none_or(|(pts, dts)| pts >= dts);
        self.is_regular &= is_timed && is_forward && is_causal;
        self.last_dts = dts.or(self.last_dts);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::orientation::Orientation;

    /// Facts of a Matroska file with a clock of milliseconds.
    fn matroska(end: i64) -> StreamFacts {
        StreamFacts {
            container: MATROSKA.to_owned(),
            codec: "h264".to_owned(),
            width: 160,
            height: 96,
            orientation: Orientation::default(),
            tick_seconds: 0.001,
            start: None,
            span: Some(end),
            packets: None,
            frames_per_second: Some(25.0),
            is_alone: true,
            clock_may_jump: false,
            is_joined: false,
        }
    }

    fn frames(start: i64, count: i64) -> Vec<Stamp> {
        let stamp = |number: i64| Stamp {
            pts: Some(start + 40 * number),
            dts: Some(start + 40 * number),
            duration: 40,
            is_key: number == 0,
            is_shown: true,
            is_corrupt: false,
        };
        (0..count).map(stamp).collect()
    }

    #[test]
    fn a_matroska_file_that_starts_late_is_not_cut_short() {
        for start in [0, 2000, 500_000] {
            let facts = matroska(start + 4000);
            let warnings = |count| {
                Survey::of_stamps(frames(start, count), &facts, 0).warnings(&facts).collect::<Vec<_>>()
            };
            assert_eq!(warnings(100), [], "{start}");
            let without_start = matroska(4000);
            let survey = Survey::of_stamps(frames(start, 100), &without_start, 0);
            assert_eq!(survey.warnings(&without_start).count(), 0, "{start}");
            let declared_seconds = 4.0;
            assert_eq!(
                warnings(50),
                [Warning::Truncated { declared_seconds, found_seconds: 2.0 }],
                "{start}"
            );
        }
    }
}
