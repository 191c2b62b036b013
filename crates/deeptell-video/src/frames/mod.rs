//! Decoding the wanted frames and as few others as possible.

use std::collections::{BTreeSet, VecDeque};
use std::iter::FusedIterator;
use std::mem::MaybeUninit;
use std::sync::Arc;

use crate::decoder::Picture;
use crate::demuxer::is_shown;
use crate::local::LocalReader;
use crate::orientation::Orientation;
use crate::packets::Packets;
use crate::pixels::ToRgb;
use crate::sampling::Moments;
use crate::survey::PacketOrder;
use crate::timeline::Timeline;
use crate::{Frame, Sampling, VideoError, Warning};
use ff::{Packet, frame};
use ffmpeg_next as ff;
use image::RgbImage;

/// Bytes of packets to hold while looking ahead, before planning is given up.
const MAX_QUEUE_BYTES: usize = 256 << 20;
/// Bytes to read ahead only to find out whether the decoder's state will be needed again.
const MAX_LOOKAHEAD_BYTES: usize = 32 << 20;
/// Seconds by which a moment may lie past the last frame and still show it.
const END_TOLERANCE_SECONDS: f64 = 1.0;
/// Seconds before a moment to jump to, each tried when the one before landed too late.
const JUMP_MARGINS_SECONDS: [f64; 5] = [0.0, 2.0, 8.0, 32.0, 128.0];

/// Places of a large file to look at for a frame between two moments, before all of it is read instead.
const MAX_DOUBTS: usize = 64;

/// Why the plan cannot go on, and every frame must be decoded.
struct PlanFailed;

/// The frames of one sampling, decoded here.
///
/// Two ways lead to a frame. The *plan* reads packets until the wanted frame's time is certain,
/// starts at the last keyframe before it and skips what nothing refers to. *In order* decodes all
/// frames from the beginning; it needs nothing but a working decoder, and the plan retreats to it.
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own about where decoding stands")]
pub(crate) struct LocalFrames<'a> {
    pub(crate) reader: &'a mut LocalReader,
    refusal: Option<VideoError>,
    sampling: Sampling,
    moments: Moments,
    next: u64,
    is_started: bool,
    is_finished: bool,
    in_order: bool,
    /// The decoder may be asked for its last pictures early: false once that lost one, and in files with
    /// gaps, which may be damage: then the packets up to a gap are decoded, too, and tell.
    may_drain: bool,
    /// The wanted frame went in and did not come out when the decoder was drained before the end.
    lost_in_drain: bool,
    /// Packets read and not yet decoded.
    queue: VecDeque<Packet>,
    queue_bytes: usize,
    order: PacketOrder,
    /// End of the last packet read, in ticks.
    read_until: i64,
    packets_read: u64,
    at_end: bool,
    timeline: Timeline,
    /// Frames decoded and still ahead.
    ready: VecDeque<Picture>,
    /// Times of frames inside the decoder.
    inside: BTreeSet<i64>,
    /// The decoder has gone on without a gap up to the front of the queue.
    is_continuous: bool,
    is_drained: bool,
    shown: Option<Arc<Shown>>,
    /// Frames taken from the decoder so far, in order.
    taken: u64,
    /// Time of the last one of them.
    last_taken: i64,
    /// Ticks by which the decoder's times are late.
    late_by: i64,
    /// The last frame given out.
    given: Option<Arc<Shown>>,
}

/// A frame without its pixels.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Timing {
    pub(crate) pts_seconds: f64,
    pub(crate) index: Option<u64>,
    pub(crate) repeats_previous: bool,
}

/// The frame on screen.
struct Shown {
    picture: Picture,
    pts: i64,
    index: Option<u64>,
}

impl<'a> LocalFrames<'a> {
    pub(crate) fn new(reader: &'a mut LocalReader, sampling: Sampling) -> Self {
        let (moments, refusal) = match moments_of(reader, sampling) {
            Ok(moments) => (moments, None),
            Err(refusal) => (Moments::none(), Some(refusal)),
        };
        let in_order = reader.tuning.in_order || !reader.survey.is_regular || moments.is_every_frame();
        let may_drain = !moments.avoid_gaps();
        Self {
            reader,
            refusal,
            sampling,
            moments,
            next: 0,
            is_started: false,
            is_finished: false,
            in_order,
            may_drain,
            lost_in_drain: false,
            queue: VecDeque::new(),
            queue_bytes: 0,
            order: PacketOrder::default(),
            read_until: i64::MIN,
            packets_read: 0,
            at_end: false,
            timeline: Timeline::default(),
            ready: VecDeque::new(),
            inside: BTreeSet::new(),
            is_continuous: true,
            is_drained: false,
            shown: None,
            taken: 0,
            last_taken: i64::MIN,
            late_by: 0,
            given: None,
        }
    }

    /// Goes to the next frame wanted, without converting it.
    pub(crate) fn advance(&mut self) -> Option<Result<Timing, VideoError>> {
        if let Some(refusal) = self.refusal.take() {
            return Some(Err(refusal));
        }
        self.moments.get(self.next).filter(|_| !self.is_finished)?;
        let guard = self.reader.guard.clone();
        let _running = guard.run();
        let found = self.frame().transpose();
        self.next += 1;
        self.is_finished = !matches!(found, Some(Ok(_)));
        found
    }

    /// The frame for the moment number `next`, or `None` when the stream ends before it.
    fn frame(&mut self) -> Result<Option<Timing>, VideoError> {
        if !self.is_started {
            self.is_started = true;
            self.find_pauses()?;
            if !self.reader.fresh {
                self.rewind()?;
            }
            self.reader.fresh = false;
        }
        if self.moments.is_every_frame() {
            if !self.decode_one()? {
                self.note_damage();
                return if self.taken > 0 { Ok(None) } else { Err(self.no_frames()) };
            }
            self.note_damage();
            return self.give(self.last_taken);
        }
        let Some(moment) = self.moments.get(self.next) else { return Ok(None) };
        while !self.in_order && self.follow_plan(moment)?.is_err() {
            if self.lost_in_drain {
                // A decoder that started where frames refer across the keyframe (an open group of
                // pictures) throws away what it is asked for early. It gives all of it in time.
                self.may_drain = false;
            } else {
                self.in_order = true;
            }
            self.rewind()?;
        }
        if self.in_order {
            self.decode_up_to(moment)?;
        }
        self.note_damage();
        self.give(moment)
    }

    /// Reads all packets of a large file where moments fall on one frame, or where ruling that out would
    /// take too long: then there are other frames to take.
    fn find_pauses(&mut self) -> Result<(), VideoError> {
        let reader = &mut *self.reader;
        if reader.survey.is_counted
            || reader.facts.clock_may_jump
            || !self.moments.wants_different()
            || reader.guard.is_half_spent()
            || self.moments.doubtful(&reader.packets.index_times()).next().is_none()
        {
            return Ok(());
        }
        // Some containers come to know their index when it is needed for the first time.
        reader.fresh = false;
        if !reader.packets.seek(reader.survey.start) {
            return Ok(());
        }
        let starts = reader.packets.index_times();
        let doubtful: Vec<_> = self.moments.doubtful(&starts).take(MAX_DOUBTS + 1).collect();
        let mut is_paused = doubtful.len() > MAX_DOUBTS;
        for (before, moment) in doubtful {
            is_paused = is_paused || !has_frame_between(&mut reader.packets, before, moment)?;
        }
        if is_paused && reader.survey_now()? {
            self.moments = moments_of(reader, self.sampling)?;
            self.in_order |= !reader.survey.is_regular;
            self.may_drain &= !self.moments.avoid_gaps();
        }
        Ok(())
    }

    /// Starts over at the beginning of the file.
    fn rewind(&mut self) -> Result<(), VideoError> {
        let reader = &mut *self.reader;
        reader.packets.rewind(&reader.file, &reader.limits)?;
        reader.decoder.damaged = 0;
        self.forget_position();
        self.lost_in_drain = false;
        self.timeline = Timeline::default();
        self.packets_read = 0;
        self.taken = 0;
        self.last_taken = i64::MIN;
        self.late_by = 0;
        self.shown = None;
        Ok(())
    }

    fn forget_position(&mut self) {
        self.reader.decoder.reset();
        self.queue.clear();
        self.queue_bytes = 0;
        self.order = PacketOrder::default();
        self.read_until = i64::MIN;
        self.at_end = false;
        self.ready.clear();
        self.inside.clear();
        self.is_continuous = true;
        self.is_drained = false;
    }

    /// Brings the frame of `moment` on screen, or finds that planning does not work here.
    fn follow_plan(&mut self, moment: i64) -> Result<Result<(), PlanFailed>, VideoError> {
        if self.must_jump(moment) && !self.jump(moment)? {
            return Ok(Err(PlanFailed));
        }
        self.read_past(moment, true)?;
        let found = if self.moments.keyframes_only {
            self.timeline.keyframe_at(moment)
        } else {
            self.timeline.shown_at(moment)
        };
        let Some(wanted) = found.filter(|_| self.order.is_regular && self.queue_bytes <= MAX_QUEUE_BYTES)
        else {
            return Ok(Err(PlanFailed));
        };
        self.timeline.forget_before(wanted);
        if self.shown.as_ref().is_some_and(|shown| shown.pts == wanted) {
            return Ok(Ok(()));
        }
        if let Some(position) =
            self.queue.iter().position(|packet| packet.pts() == Some(wanted) && is_shown(packet))
        {
            let is_start = |packet: &Packet| packet.is_key() && packet.pts().is_some_and(|pts| pts <= wanted);
            match self.queue.range(..=position).rposition(is_start) {
                Some(start) if start > 0 || !self.is_continuous => self.start_at(start),
                None if !self.is_continuous => return Ok(Err(PlanFailed)),
                _ => {}
            }
        }
        loop {
            while let Some(picture) =
                self.ready.pop_front_if(|picture| picture.pts.is_none_or(|pts| pts <= wanted))
            {
                let Some(pts) = picture.pts else { return Ok(Err(PlanFailed)) };
                let index = self.timeline.index_of(pts).filter(|_| pts == wanted);
                self.inside.retain(|inside| *inside > pts);
                self.shown = Some(Arc::new(Shown { picture, pts, index }));
            }
            if self.shown.as_ref().is_some_and(|shown| shown.pts == wanted) {
                return Ok(Ok(()));
            }
            if !self.ready.is_empty() || self.is_drained {
                // The decoder went past the wanted frame: lost in draining, or its packet is damaged.
                self.lost_in_drain = self.is_drained && self.may_drain && !self.queue.is_empty();
                return Ok(Err(PlanFailed));
            }
            if self.may_drain && self.inside.contains(&wanted) && self.is_done_after(wanted)? {
                self.drain()?;
            } else {
                self.decode_next(wanted)?;
            }
        }
    }

    /// Reads until every frame at or before `moment` is known. With `drop_passed`, each keyframe on
    /// the way lets go of what came before it.
    fn read_past(&mut self, moment: i64, drop_passed: bool) -> Result<(), VideoError> {
        while self.order.is_regular
            && self.queue_bytes <= MAX_QUEUE_BYTES
            && self.order.last_dts.is_none_or(|dts| dts <= moment)
            && self.read_packet()?
        {
            if drop_passed && self.queue.back().is_some_and(|packet| starts_by(packet, moment)) {
                self.start_at(self.queue.len() - 1);
            }
        }
        Ok(())
    }

    /// Takes one packet from the file; `false` at its end.
    fn read_packet(&mut self) -> Result<bool, VideoError> {
        if self.at_end {
            return Ok(false);
        }
        let Some(packet) = self.reader.packets.next()? else {
            self.at_end = true;
            return Ok(false);
        };
        self.packets_read += 1;
        self.order.accept(&packet);
        if let Some(time) = packet.pts().or(packet.dts()) {
            self.read_until = self.read_until.max(time.saturating_add(packet.duration().max(0)));
        }
        if let Some(pts) = packet.pts().filter(|_| is_shown(&packet)) {
            self.order.is_regular &= self.timeline.add(pts, packet.is_key());
        }
        self.queue_bytes += packet.size();
        self.queue.push_back(packet);
        Ok(true)
    }

    /// Lets go of the packets before number `position`, a keyframe, and of the decoder's state.
    fn start_at(&mut self, position: usize) {
        self.queue_bytes -= self.queue.drain(..position).map(|packet| packet.size()).sum::<usize>();
        self.reader.decoder.reset();
        self.ready.clear();
        self.inside.clear();
        self.is_continuous = true;
        self.is_drained = false;
    }

    /// Whether no later moment needs the decoder to go on from where it is.
    fn is_done_after(&mut self, wanted: i64) -> Result<bool, VideoError> {
        let Some(moment) = self.moments.get(self.next + 1) else { return Ok(true) };
        if self.moments.keyframes_only || self.must_jump(moment) {
            return Ok(true);
        }
        let mut seen = 0;
        loop {
            while let Some(packet) = self.queue.get(seen) {
                if starts_by(packet, moment) && packet.pts().is_some_and(|pts| pts > wanted) {
                    return Ok(true);
                }
                seen += 1;
            }
            let is_known = self.order.last_dts.is_some_and(|dts| dts > moment);
            if is_known || self.queue_bytes > MAX_LOOKAHEAD_BYTES || !self.read_packet()? {
                return Ok(false);
            }
        }
    }

    fn drain(&mut self) -> Result<(), VideoError> {
        self.reader.decoder.drain(&mut self.ready)?;
        self.is_drained = true;
        self.is_continuous = false;
        Ok(())
    }

    /// Decodes one more packet, in full if any moment to come may show it.
    fn decode_next(&mut self, wanted: i64) -> Result<(), VideoError> {
        if self.queue.is_empty() && !self.read_packet()? {
            return self.drain();
        }
        let Some(packet) = self.queue.pop_front() else { return Ok(()) };
        self.queue_bytes -= packet.size();
        let is_wanted = packet.pts().is_none_or(|pts| {
            // Up to the next frame known: where that is not the very next one, one frame too many
            // is decoded, never one too few.
            let until = self.timeline.after(pts);
            pts == wanted || (!self.moments.keyframes_only && self.moments.any_in(self.next, pts, until))
        });
        if is_wanted && is_shown(&packet) {
            self.inside.extend(packet.pts());
        }
        self.reader.decoder.decode(&packet, is_wanted, &mut self.ready)
    }

    /// Whether so much of a large file lies before `moment` that jumping beats reading.
    fn must_jump(&self, moment: i64) -> bool {
        let survey = &self.reader.survey;
        if survey.is_counted || survey.span <= 0 {
            return false;
        }
        let here = self.order.last_dts.unwrap_or(survey.start);
        let share = moment.saturating_sub(here) as f64 / survey.span as f64;
        share * self.reader.file_bytes as f64 > self.reader.tuning.jump_bytes as f64
    }

    /// Goes to a keyframe at or before `moment`; `false` when none can be found.
    fn jump(&mut self, moment: i64) -> Result<bool, VideoError> {
        for margin in JUMP_MARGINS_SECONDS {
            let target = moment.saturating_sub((margin / self.reader.facts.tick_seconds) as i64);
            if !self.reader.packets.seek(target) {
                return Ok(false);
            }
            self.forget_position();
            self.timeline.jumped();
            self.is_continuous = false;
            // Reading drops everything before the last keyframe in time: if one is there, it is first.
            self.read_past(moment, true)?;
            if self.queue.front().is_some_and(|packet| starts_by(packet, moment)) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Decodes every frame until the one of `moment` is on screen, or, where that was given already
    /// although each moment should show another, the next one.
    fn decode_up_to(&mut self, moment: i64) -> Result<(), VideoError> {
        let survey = &self.reader.survey;
        // Regular times are known before, and moments differ: a repetition stands for a frame that is lost.
        let may_repeat = survey.is_regular
            || !self.moments.wants_different()
            || survey.frames.is_none_or(|frames| frames < self.moments.count());
        loop {
            while let Some(picture) = self.ready.pop_front() {
                let pts = self.time_of(&picture);
                if pts > moment && self.taken > 0 && (may_repeat || !self.is_given()) {
                    self.ready.push_front(picture);
                    return Ok(());
                }
                self.take(picture, pts);
            }
            if !self.decode_packet()? {
                return Ok(());
            }
        }
    }

    /// Brings the next frame on screen; `false` after the last.
    fn decode_one(&mut self) -> Result<bool, VideoError> {
        loop {
            if let Some(picture) = self.ready.pop_front() {
                let pts = self.time_of(&picture);
                self.take(picture, pts);
                return Ok(true);
            }
            if !self.decode_packet()? {
                return Ok(false);
            }
        }
    }

    /// Whether the frame on screen, or a later one, was given out before.
    fn is_given(&self) -> bool {
        let given = self.given.as_ref().map(|given| given.pts);
        self.shown.as_ref().is_some_and(|shown| given >= Some(shown.pts))
    }

    /// Counts the frame that follows the last one taken, and puts it on screen if that is wanted.
    fn take(&mut self, picture: Picture, pts: i64) {
        let index = Some(self.taken);
        self.taken += 1;
        self.last_taken = pts;
        if !self.moments.keyframes_only || picture.frame.is_key() || self.shown.is_none() {
            self.shown = Some(Arc::new(Shown { picture, pts, index }));
        }
    }

    /// Decodes the next packet in full; `false` when nothing is left.
    fn decode_packet(&mut self) -> Result<bool, VideoError> {
        if self.is_drained {
            return Ok(false);
        }
        if self.queue.is_empty() && !self.read_packet()? {
            self.drain()?;
        } else if let Some(packet) = self.queue.pop_front() {
            self.queue_bytes -= packet.size();
            self.reader.decoder.decode(&packet, true, &mut self.ready)?;
        }
        Ok(true)
    }

    /// The time of a frame that came out of the decoder in order: its own, unless it has none or
    /// the clock went backwards.
    fn time_of(&mut self, picture: &Picture) -> i64 {
        let survey = &self.reader.survey;
        if self.taken == 0 && picture.frame.pts().is_none() {
            // Such times are those of decoding, and late by the decoder's delay.
            self.late_by = picture.pts.map_or(0, |pts| pts.saturating_sub(survey.start));
        }
        let expected =
            if self.taken == 0 { survey.start } else { self.last_taken.saturating_add(survey.frame_ticks) };
        let own = picture.pts.map(|pts| pts.saturating_sub(self.late_by));
        own.filter(|pts| self.taken == 0 || *pts > self.last_taken).unwrap_or(expected)
    }

    /// Hands out the frame on screen, still as it was decoded.
    fn give(&mut self, moment: i64) -> Result<Option<Timing>, VideoError> {
        // Damage can leave out, in order, a frame that the plan gave: then it stays on screen.
        let stays = |given: &&Arc<Shown>| self.shown.as_ref().is_some_and(|shown| shown.pts < given.pts);
        let Some(shown) = self.given.as_ref().filter(stays).or(self.shown.as_ref()).map(Arc::clone) else {
            return Err(self.no_frames());
        };
        let tick_seconds = self.reader.facts.tick_seconds;
        let seconds = |ticks: i64| ticks as f64 * tick_seconds;
        let survey = &self.reader.survey;
        let last_end = self.read_until.max(shown.pts.saturating_add(survey.frame_ticks));
        let is_past_end = !survey.is_counted && self.at_end && self.queue.is_empty() && self.ready.is_empty();
        if is_past_end && seconds(moment.saturating_sub(last_end)) > END_TOLERANCE_SECONDS {
            let declared_seconds = seconds(survey.span);
            let found_seconds = seconds(last_end.saturating_sub(survey.start));
            self.reader.warnings.push(Warning::Truncated { declared_seconds, found_seconds });
            return Ok(None);
        }
        let pts_seconds = seconds(shown.pts.saturating_sub(survey.start));
        let picture = &shown.picture.frame;
        if picture.is_corrupt() || picture.has_decode_errors() {
            let warning = Warning::DamagedFrame { pts_seconds };
            if !self.reader.warnings.contains(&warning) {
                self.reader.warnings.push(warning);
            }
        }
        let (width, height) = (picture.width(), picture.height());
        let max_pixels = self.reader.limits.max_pixels;
        if u64::from(width) * u64::from(height) > max_pixels {
            return Err(VideoError::TooLarge { path: self.reader.guard.path(), width, height, max_pixels });
        }
        let (index, pts) = (shown.index, shown.pts);
        let repeats_previous = self.given.replace(shown).is_some_and(|given| given.pts == pts);
        Ok(Some(Timing { pts_seconds, index, repeats_previous }))
    }

    fn no_frames(&self) -> VideoError {
        VideoError::NoFrames { path: self.reader.guard.path(), packets: self.packets_read }
    }

    /// Converts the last frame given out.
    fn convert<T>(
        &mut self,
        to: impl FnOnce(&mut ToRgb, &frame::Video) -> Result<T, ff::Error>,
    ) -> Result<T, VideoError> {
        let guard = self.reader.guard.clone();
        let _running = guard.run();
        let Some(given) = &self.given else {
            return Err(self.no_frames());
        };
        let picture = &given.picture.frame;
        to(&mut self.reader.to_rgb, picture).map_err(|error| {
            self.is_finished = true;
            let (width, height) = (picture.width(), picture.height());
            guard.explain(error, |path, detail| VideoError::Decoder {
                path,
                detail: format!("cannot convert a picture of {width} x {height} to RGB: {detail}"),
            })
        })
    }

    /// The frame that [`Self::advance`] came to, upright.
    pub(crate) fn image(&mut self) -> Result<RgbImage, VideoError> {
        let image = self.convert(ToRgb::convert)?;
        Ok(self.reader.facts.orientation.apply(image))
    }

    /// Puts the frame that [`Self::advance`] came to at the start of `room`: its width and height, or
    /// `None` where it must be turned first or does not fit.
    pub(crate) fn image_into(
        &mut self,
        room: &mut [MaybeUninit<u8>],
    ) -> Result<Option<(u32, u32)>, VideoError> {
        if self.reader.facts.orientation != Orientation::default() {
            return Ok(None);
        }
        self.convert(|to_rgb, picture| to_rgb.convert_into(picture, room))
    }

    /// Keeps the count of unreadable packets among the warnings up to date.
    fn note_damage(&mut self) {
        let reader = &mut *self.reader;
        let count = reader.survey.damaged.max(reader.packets.damaged()) + reader.decoder.damaged;
        let known = reader.warnings.iter_mut().find_map(|warning| match warning {
            Warning::CorruptPackets { count } => Some(count),
            _ => None,
        });
        match known {
            Some(known) => *known = count.max(*known),
            None if count > 0 => reader.warnings.push(Warning::CorruptPackets { count }),
            None => {}
        }
    }
}

/// The moments of `sampling`, on as many different frames as `reader` knows of.
fn moments_of(reader: &LocalReader, sampling: Sampling) -> Result<Moments, VideoError> {
    let survey = &reader.survey;
    let moments = Moments::new(sampling, survey.start, survey.span, reader.facts.tick_seconds)?;
    let frames = if moments.keyframes_only { &survey.key_times } else { &survey.times };
    Ok(moments.with_different(frames))
}

/// Whether a frame begins after `before` and not after `moment`.
fn has_frame_between(packets: &mut Packets, before: i64, moment: i64) -> Result<bool, VideoError> {
    if !packets.seek(moment) {
        return Ok(false);
    }
    while let Some(packet) = packets.next()? {
        if is_shown(&packet) && packet.pts().is_some_and(|pts| before < pts && pts <= moment) {
            return Ok(true);
        }
        if packet.dts().is_some_and(|dts| dts > moment) {
            break;
        }
    }
    Ok(false)
}

/// Whether decoding can start at `packet` for any moment from `moment` on.
fn starts_by(packet: &Packet, moment: i64) -> bool {
    packet.is_key() && is_shown(packet) && packet.pts().is_some_and(|pts| pts <= moment)
}

impl Iterator for LocalFrames<'_> {
    type Item = Result<Frame, VideoError>;

    fn next(&mut self) -> Option<Self::Item> {
        let timing = self.advance()?;
        Some(timing.and_then(|Timing { pts_seconds, index, repeats_previous }| {
            Ok(Frame { image: self.image()?, pts_seconds, index, repeats_previous })
        }))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = if self.is_finished { 0 } else { self.moments.count().saturating_sub(self.next) };
        let refusal = usize::from(self.refusal.is_some());
        if self.moments.is_every_frame() && !self.is_finished {
            return (refusal, None);
        }
        (refusal, usize::try_from(left).ok().and_then(|left| left.checked_add(refusal)))
    }
}

impl FusedIterator for LocalFrames<'_> {}

#[cfg(test)]
mod tests {
    use std::path::{Path, PathBuf};

    use std::fs::File;

    use image::{Rgb, RgbImage};

    use super::*;
    use crate::local::{Job, Tuning};
    use crate::{VideoCodec, VideoWriter, WriterOptions};

    /// A pan over a texture, with a scene change: every frame differs from every other.
    fn write_pan(path: &Path, frames: u32, options: &WriterOptions) {
        let mut writer = VideoWriter::create(path, 112, 64, options).unwrap();
        for number in 0..frames {
            let scene = number / 77;
            let image = RgbImage::from_fn(112, 64, |x, y| {
                let (u, v) = (x + number * 2, y + number / 2);
                let texture = (u * u / 7 + v * 13 * (scene + 1)) % 160;
                Rgb([40 + texture as u8, (u * 3 % 200) as u8, (v * 5 % 220) as u8])
            });
            writer.write(&image).unwrap();
        }
        writer.finish().unwrap();
    }

    fn clips(folder: &Path) -> Vec<PathBuf> {
        let h264 = |keyframe_interval, b_frames| WriterOptions {
            keyframe_interval,
            b_frames,
            ..WriterOptions::default()
        };
        let mpeg4 = |keyframe_interval, b_frames| WriterOptions {
            codec: VideoCodec::Mpeg4,
            ..h264(keyframe_interval, b_frames)
        };
        let kinds = [
            ("short.mp4", h264(12, true)),
            ("long.mp4", h264(250, true)),
            ("long.mkv", h264(250, true)),
            ("short.ts", h264(12, true)),
            ("no-b.mkv", h264(30, false)),
            ("short-4.mp4", mpeg4(12, true)),
            ("long-4.mkv", mpeg4(250, true)),
            ("no-b-4.avi", mpeg4(12, false)),
            ("open.mp4", WriterOptions { closed_gop: false, ..h264(12, true) }),
            ("open.ts", WriterOptions { closed_gop: false, ..h264(25, true) }),
            ("open-4.mp4", WriterOptions { closed_gop: false, ..mpeg4(12, true) }),
        ];
        kinds
            .iter()
            .map(|(name, options)| {
                let path = folder.join(name);
                write_pan(&path, 300, options);
                path
            })
            .collect()
    }

    /// Frames, and whether they came by the plan.
    fn sample(path: &Path, tuning: Tuning, sampling: Sampling) -> (Vec<Frame>, bool) {
        let job = Job { tuning, ..Job::default() };
        let mut reader = LocalReader::open(File::open(path).unwrap(), path, &job).unwrap();
        let mut frames = LocalFrames::new(&mut reader, sampling);
        let all = frames.by_ref().collect::<Result<Vec<_>, _>>().unwrap();
        (all, !frames.in_order)
    }

    #[test]
    fn the_plan_gives_what_a_full_decode_gives() {
        let folder = tempfile::tempdir().unwrap();
        let planned = Tuning::default();
        let in_order = Tuning { in_order: true, ..planned };
        // Files too large to be kept are read again.
        let read_again = Tuning { keep_bytes: 1000, ..planned };
        for path in clips(folder.path()) {
            for (count, tuning) in
                [(9, planned), (12, planned), (12, read_again), (37, planned), (101, planned)]
            {
                let sampling = Sampling::Uniform(count);
                let (frames, by_plan) = sample(&path, tuning, sampling);
                let (truth, _) = sample(&path, in_order, sampling);
                assert!(by_plan, "{}: the plan was given up", path.display());
                assert_eq!(frames.len(), count);
                for (frame, truth) in frames.iter().zip(&truth) {
                    assert_eq!(
                        (frame.index, frame.pts_seconds),
                        (truth.index, truth.pts_seconds),
                        "{}",
                        path.display()
                    );
                    assert!(frame.image == truth.image, "{}: {:?} of {count}", path.display(), frame.index);
                }
            }
        }
    }

    #[test]
    fn jumping_gives_what_a_full_decode_gives() {
        let folder = tempfile::tempdir().unwrap();
        let jumping =
            Tuning { survey_bytes: 0, jump_bytes: 20_000, watch_clocks: false, ..Tuning::default() };
        let in_order = Tuning { in_order: true, ..jumping };
        for path in clips(folder.path()) {
            for count in [3, 9, 37] {
                let sampling = Sampling::Uniform(count);
                let (frames, by_plan) = sample(&path, jumping, sampling);
                let (truth, _) = sample(&path, in_order, sampling);
                assert!(by_plan, "{}: the plan was given up", path.display());
                let jumped = frames.iter().any(|frame| frame.index.is_none());
                assert!(jumped || count > 3, "{}: nothing was jumped over", path.display());
                for (frame, truth) in frames.iter().zip(&truth) {
                    assert_eq!(frame.pts_seconds, truth.pts_seconds, "{}", path.display());
                    assert!(
                        frame.image == truth.image,
                        "{}: {} s of {count}",
                        path.display(),
                        frame.pts_seconds
                    );
                }
            }
        }
    }
}
