//! Where reading and decoding of a file stand.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

use ff::Packet;
use ffmpeg_next as ff;

use crate::VideoError;
use crate::clock::Stamp;
use crate::decoder::{Decoder, Picture};
use crate::demuxer::is_shown;
use crate::local::LocalReader;
use crate::survey::PacketOrder;
use crate::timeline::Timeline;

/// The frame on screen.
pub(super) struct Shown {
    pub(super) picture: Picture,
    pub(super) pts: i64,
    pub(super) index: Option<u64>,
}

/// One reading of the file from its beginning.
#[derive(Default)]
pub(super) struct Pass {
    pub(super) position: Position,
    pub(super) timeline: Timeline,
    pub(super) packets_read: u64,
    pub(super) shown: Option<Arc<Shown>>,
}

/// Packets read and frames decoded since the beginning of the file or the last jump.
#[derive(Default)]
pub(super) struct Position {
    /// Packets read and not yet decoded.
    pub(super) queue: PacketQueue,
    pub(super) order: PacketOrder,
    /// End of the last packet read, in ticks.
    pub(super) read_until: Option<i64>,
    pub(super) at_end: bool,
    /// Frames decoded and still ahead.
    pub(super) ready: VecDeque<Picture>,
    /// Times of frames inside the decoder.
    pub(super) inside: BTreeSet<i64>,
    /// The packet at the front of the queue does not follow the last one decoded.
    pub(super) has_gap: bool,
    pub(super) is_drained: bool,
}

impl Pass {
    /// Takes one packet from the file; `false` at its end.
    pub(super) fn read_packet(&mut self, reader: &mut LocalReader) -> Result<bool, VideoError> {
        let position = &mut self.position;
        if position.at_end {
            return Ok(false);
        }
        let Some(packet) = reader.packets.next()? else {
            position.at_end = true;
            return Ok(false);
        };
        self.packets_read += 1;
        position.order.accept(&Stamp::of(&packet));
        if let Some(time) = packet.pts().or(packet.dts()) {
            let end = time.saturating_add(packet.duration().max(0));
            position.read_until = position.read_until.max(Some(end));
        }
        if let Some(pts) = packet.pts().filter(|_| is_shown(&packet)) {
            position.order.is_regular &= self.timeline.add(pts, packet.is_key());
        }
        position.queue.push(packet);
        Ok(true)
    }

    /// Takes the next packet to decode, from the queue or the file; at the end of the file it drains the
    /// decoder instead.
    pub(super) fn next_packet(&mut self, reader: &mut LocalReader) -> Result<Option<Packet>, VideoError> {
        if self.position.queue.is_empty() && !self.read_packet(reader)? {
            self.position.drain(&mut reader.decoder)?;
        }
        Ok(self.position.queue.pop())
    }
}

impl Position {
    /// Starts decoding at packet number `first` of the queue, a keyframe: drops those before it and the
    /// decoder's state.
    pub(super) fn start_at(&mut self, first: usize, decoder: &mut Decoder) {
        decoder.reset();
        self.queue.drop_first(first);
        self.ready.clear();
        self.inside.clear();
        self.has_gap = false;
        self.is_drained = false;
    }

    /// Gets the last frames out of the decoder, which needs a keyframe afterwards.
    pub(super) fn drain(&mut self, decoder: &mut Decoder) -> Result<(), VideoError> {
        decoder.drain(&mut self.ready)?;
        self.is_drained = true;
        self.has_gap = true;
        Ok(())
    }
}

/// Packets in decoding order, and how many bytes they have.
#[derive(Default)]
pub(super) struct PacketQueue {
    packets: VecDeque<Packet>,
    bytes: usize,
}

impl PacketQueue {
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn is_empty(&self) -> bool {
        self.packets.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.packets.len()
    }

    pub(super) fn get(&self, number: usize) -> Option<&Packet> {
        self.packets.get(number)
    }

    pub(super) fn front(&self) -> Option<&Packet> {
        self.packets.front()
    }

    pub(super) fn back(&self) -> Option<&Packet> {
        self.packets.back()
    }

    pub(super) fn position(&self, is_it: impl FnMut(&Packet) -> bool) -> Option<usize> {
        self.packets.iter().position(is_it)
    }

    /// The last packet that `is_it`, among those up to number `last`.
    pub(super) fn last_position(&self, last: usize, is_it: impl FnMut(&Packet) -> bool) -> Option<usize> {
        self.packets.range(..=last).rposition(is_it)
    }

    fn push(&mut self, packet: Packet) {
        self.bytes += packet.size();
        self.packets.push_back(packet);
    }

    fn pop(&mut self) -> Option<Packet> {
        let packet = self.packets.pop_front()?;
        self.bytes -= packet.size();
        Some(packet)
    }

    fn drop_first(&mut self, count: usize) {
        self.bytes -= self.packets.drain(..count).map(|packet| packet.size()).sum::<usize>();
    }
}
