//! Decoding as few frames as possible.

use std::sync::Arc;

use ff::Packet;
use ffmpeg_next as ff;

use super::position::{Pass, Position, Shown};
use crate::VideoError;
use crate::decoder::Picture;
use crate::demuxer::is_shown;
use crate::local::LocalReader;
use crate::sampling::Moments;

/// Bytes of packets to hold while looking ahead, before planning is given up.
const MAX_QUEUE_BYTES: usize = 256 << 20;
/// Bytes to read ahead only to find out whether the decoder's state will be needed again.
const MAX_LOOKAHEAD_BYTES: usize = 32 << 20;
/// Seconds before a moment to jump to, each tried when the one before landed too late.
const JUMP_MARGINS_SECONDS: [f64; 5] = [0.0, 2.0, 8.0, 32.0, 128.0];

/// The moment whose frame is wanted, and those after it.
#[derive(Clone, Copy)]
pub(super) struct FrameRequest<'a> {
    pub(super) moments: &'a Moments,
    pub(super) number: u64,
    pub(super) moment: i64,
}

/// What came of planning for one moment.
pub(super) enum Outcome {
    /// Its frame is on screen.
    Shown,
    /// The frame went in and did not come out when the decoder was drained before the end.
    LostInDrain,
    /// Planning does not work here: every frame must be decoded.
    Failed,
}

/// Reads packets until the wanted frame's time is certain, starts at the last keyframe before it and
/// skips what nothing refers to.
pub(super) struct Plan {
    /// The decoder may be asked for its last pictures early: false once that lost one, and in files with
    /// gaps, which may be damage: then the packets up to a gap are decoded, too, and tell.
    pub(super) may_drain: bool,
}

impl Plan {
    /// Brings the frame of the wanted moment on screen.
    pub(super) fn show(
        &self,
        wanted: FrameRequest<'_>,
        pass: &mut Pass,
        reader: &mut LocalReader,
    ) -> Result<Outcome, VideoError> {
        let FrameRequest { moments, moment, .. } = wanted;
        if must_jump(moment, &pass.position, reader) && !jump(moment, pass, reader)? {
            return Ok(Outcome::Failed);
        }
        read_past(moment, pass, reader)?;
        let found = if moments.keyframes_only {
            pass.timeline.keyframe_at(moment)
        } else {
            pass.timeline.shown_at(moment)
        };
        let can_plan = pass.position.order.is_regular && pass.position.queue.bytes() <= MAX_QUEUE_BYTES;
        let Some(pts) = found.filter(|_| can_plan) else { return Ok(Outcome::Failed) };
        pass.timeline.forget_before(pts);
        if shows(pass, pts) {
            return Ok(Outcome::Shown);
        }
        if !start_before(pts, &mut pass.position, reader) {
            return Ok(Outcome::Failed);
        }
        self.decode_until_shown(pts, wanted, pass, reader)
    }

    fn decode_until_shown(
        &self,
        pts: i64,
        wanted: FrameRequest<'_>,
        pass: &mut Pass,
        reader: &mut LocalReader,
    ) -> Result<Outcome, VideoError> {
        loop {
            let passed = |picture: &mut Picture| picture.pts.is_none_or(|own| own <= pts);
            while let Some(picture) = pass.position.ready.pop_front_if(passed) {
                let Some(own) = picture.pts else { return Ok(Outcome::Failed) };
                let index = pass.timeline.index_of(own).filter(|_| own == pts);
                pass.position.inside.retain(|inside| *inside > own);
                pass.shown = Some(Arc::new(Shown { picture, pts: own, index }));
            }
            if shows(pass, pts) {
                return Ok(Outcome::Shown);
            }
            let position = &mut pass.position;
            if !position.ready.is_empty() || position.is_drained {
                // The decoder went past the wanted frame: lost in draining, or its packet is damaged.
                let is_lost = position.is_drained && self.may_drain && !position.queue.is_empty();
                return Ok(if is_lost { Outcome::LostInDrain } else { Outcome::Failed });
            }
            if self.may_drain && position.inside.contains(&pts) && is_done_after(pts, wanted, pass, reader)? {
                pass.position.drain(&mut reader.decoder)?;
            } else {
                decode_next(pts, wanted, pass, reader)?;
            }
        }
    }
}

fn shows(pass: &Pass, pts: i64) -> bool {
    pass.shown.as_ref().is_some_and(|shown| shown.pts == pts)
}

/// Drops the packets before the last keyframe from which the frame at `pts` can be decoded, if it has not
/// been sent to the decoder yet; `false` when there is no such keyframe.
fn start_before(pts: i64, position: &mut Position, reader: &mut LocalReader) -> bool {
    let is_wanted = |packet: &Packet| packet.pts() == Some(pts) && is_shown(packet);
    let Some(number) = position.queue.position(is_wanted) else { return true };
    let is_start = |packet: &Packet| packet.is_key() && packet.pts().is_some_and(|own| own <= pts);
    match position.queue.last_position(number, is_start) {
        Some(first) if first > 0 || position.has_gap => position.start_at(first, &mut reader.decoder),
        None if position.has_gap => return false,
        _ => {}
    }
    true
}

/// Reads until every frame at or before `moment` is known. Each keyframe on the way drops the packets
/// before it.
fn read_past(moment: i64, pass: &mut Pass, reader: &mut LocalReader) -> Result<(), VideoError> {
    while pass.position.order.is_regular
        && pass.position.queue.bytes() <= MAX_QUEUE_BYTES
        && pass.position.order.last_dts.is_none_or(|dts| dts <= moment)
        && pass.read_packet(reader)?
    {
        let queue = &pass.position.queue;
        if queue.back().is_some_and(|packet| starts_by(packet, moment)) {
            let last = queue.len() - 1;
            pass.position.start_at(last, &mut reader.decoder);
        }
    }
    Ok(())
}

/// Whether no later moment needs the decoder's state after the frame at `pts`.
fn is_done_after(
    pts: i64,
    wanted: FrameRequest<'_>,
    pass: &mut Pass,
    reader: &mut LocalReader,
) -> Result<bool, VideoError> {
    let Some(moment) = wanted.moments.get(wanted.number + 1) else { return Ok(true) };
    if wanted.moments.keyframes_only || must_jump(moment, &pass.position, reader) {
        return Ok(true);
    }
    let mut seen = 0;
    loop {
        while let Some(packet) = pass.position.queue.get(seen) {
            if starts_by(packet, moment) && packet.pts().is_some_and(|own| own > pts) {
                return Ok(true);
            }
            seen += 1;
        }
        let is_known = pass.position.order.last_dts.is_some_and(|dts| dts > moment);
        if is_known || pass.position.queue.bytes() > MAX_LOOKAHEAD_BYTES || !pass.read_packet(reader)? {
            return Ok(false);
        }
    }
}

/// Decodes one more packet, in full if any moment to come may show it.
fn decode_next(
    pts: i64,
    wanted: FrameRequest<'_>,
    pass: &mut Pass,
    reader: &mut LocalReader,
) -> Result<(), VideoError> {
    let Some(packet) = pass.next_packet(reader)? else { return Ok(()) };
    let is_wanted = packet.pts().is_none_or(|own| {
        // Up to the next frame known: where that is not the very next one, one frame too many
        // is decoded, never one too few.
        let until = pass.timeline.after(own);
        let moments = wanted.moments;
        own == pts || (!moments.keyframes_only && moments.any_in(wanted.number, own, until))
    });
    if is_wanted && is_shown(&packet) {
        pass.position.inside.extend(packet.pts());
    }
    reader.decoder.decode(&packet, is_wanted, &mut pass.position.ready)
}

/// Whether so much of a large file lies before `moment` that jumping is faster than reading.
fn must_jump(moment: i64, position: &Position, reader: &LocalReader) -> bool {
    let survey = &reader.survey;
    if survey.is_counted || survey.span <= 0 {
        return false;
    }
    let here = position.order.last_dts.unwrap_or(survey.start);
    let share = moment.saturating_sub(here) as f64 / survey.span as f64;
    share * reader.file_bytes as f64 > reader.tuning.jump_bytes as f64
}

/// Goes to a keyframe at or before `moment`; `false` when none can be found.
fn jump(moment: i64, pass: &mut Pass, reader: &mut LocalReader) -> Result<bool, VideoError> {
    for margin in JUMP_MARGINS_SECONDS {
        let target = moment.saturating_sub((margin / reader.facts.tick_seconds) as i64);
        if !reader.packets.seek(target) {
            return Ok(false);
        }
        reader.decoder.reset();
        pass.position = Position { has_gap: true, ..Position::default() };
        pass.timeline.jumped();
        // Reading drops everything before the last keyframe in time: if one is there, it is first.
        read_past(moment, pass, reader)?;
        if pass.position.queue.front().is_some_and(|packet| starts_by(packet, moment)) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Whether decoding can start at `packet` for any moment from `moment` on.
fn starts_by(packet: &Packet, moment: i64) -> bool {
    packet.is_key() && is_shown(packet) && packet.pts().is_some_and(|pts| pts <= moment)
}
