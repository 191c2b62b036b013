//! The true extent of a stream, from its packets.

use std::collections::BTreeSet;

use ffmpeg_next as ff;

use crate::demuxer::{Demuxer, StreamFacts, is_shown};
use crate::packets::Keep;
use crate::{VideoError, Warning};

/// Frame rate assumed of a stream that gives neither times nor a rate.
const DEFAULT_FRAMES_PER_SECOND: f64 = 25.0;

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
    /// Every packet was looked at; otherwise all this is hearsay from the header.
    pub(crate) is_counted: bool,
    /// Every packet has a presentation time of its own, none before its decoding time.
    pub(crate) is_regular: bool,
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
        }
    }

    /// Reads every packet, decodes none; those that fit are kept.
    pub(crate) fn of(
        demuxer: &mut Demuxer,
        facts: &StreamFacts,
        keep: &mut Keep,
    ) -> Result<Self, VideoError> {
        let mut order = PacketOrder::default();
        let mut times = BTreeSet::new();
        let mut packets = 0;
        let mut frames = 0;
        // A damaged packet, which counts once another follows: the end of a file may cut the last one.
        let mut held = None;
        while let Some(packet) = demuxer.next_packet()? {
            packets += 1;
            order.accept(&packet);
            let shown = is_shown(&packet).then_some(packet.pts().or(packet.dts()));
            let counted = if packet.is_corrupt() && frames > 0 {
                std::mem::replace(&mut held, shown).into_iter().chain(None)
            } else {
                held.take().into_iter().chain(shown)
            };
            for time in counted {
                frames += 1;
                times.extend(time);
            }
            keep.add(packet);
        }
        let nominal = nominal_frame_ticks(facts);
        let (start, frame_ticks, span) = match (times.first(), times.last()) {
            (Some(&first), Some(&last)) if times.len() as u64 * 2 > frames => {
                let reach = last.saturating_sub(first);
                // The mean, not the declared length of the last frame, which may be anything.
                let gaps = times.len() as i64 - 1;
                let frame_ticks =
                    if gaps > 0 { ((reach as f64 / gaps as f64).round() as i64).max(1) } else { nominal };
                (first, frame_ticks, reach.saturating_add(frame_ticks))
            }
            // No times to speak of: frames follow each other at the nominal rate.
            _ => (0, nominal, nominal.saturating_mul(frames as i64)),
        };
        let is_regular = order.is_regular && times.len() as u64 == frames;
        Ok(Self {
            start,
            span,
            frame_ticks,
            frames: Some(frames),
            packets,
            damaged: demuxer.damaged,
            is_counted: true,
            is_regular,
        })
    }

    /// What a comparison with the header shows.
    pub(crate) fn warnings(&self, facts: &StreamFacts) -> Option<Warning> {
        let declared = facts.span?;
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
    pub(crate) fn accept(&mut self, packet: &ff::Packet) {
        let (pts, dts) = (packet.pts(), packet.dts());
        let is_timed = pts.is_some() || !is_shown(packet);
        let is_forward = dts.is_none_or(|dts| self.last_dts.is_none_or(|last| dts >= last));
        let is_causal = pts.zip(dts).is_none_or(|(pts, dts)| pts >= dts);
        self.is_regular &= is_timed && is_forward && is_causal;
        self.last_dts = dts.or(self.last_dts);
    }
}
