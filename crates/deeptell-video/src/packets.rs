//! The packets of a file, from the file or from memory.

use std::fs::File;
use std::sync::Arc;

use ffmpeg_next::Packet;

use crate::clock::{Clock, ClockCursor};
use crate::demuxer::{Demuxer, Joined};
use crate::{Limits, VideoError};

/// About what FFmpeg needs for a packet besides its bytes.
const PACKET_OVERHEAD_BYTES: u64 = 256;

/// Packets kept while a file is looked through, unless they become too many.
pub(crate) struct KeptPackets {
    packets: Option<Vec<Packet>>,
    /// Bytes that may still be kept.
    room: u64,
}

impl KeptPackets {
    pub(crate) fn up_to(bytes: u64) -> Self {
        Self { packets: Some(Vec::new()), room: bytes }
    }

    pub(crate) fn add(&mut self, packet: Packet) {
        let left = self.room.checked_sub(packet.size() as u64 + PACKET_OVERHEAD_BYTES);
        match (&mut self.packets, left) {
            (Some(packets), Some(left)) => {
                packets.push(packet);
                self.room = left;
            }
            _ => self.packets = None,
        }
    }
}

/// The packets of one stream in decoding order, as often as wanted.
///
/// Opening a container again costs as much as decoding a picture or two. Small files are read once
/// instead, and their packets come from memory from then on.
pub(crate) struct Packets {
    demuxer: Demuxer,
    /// All packets of the stream.
    kept: Option<Vec<Packet>>,
    /// Number of the next packet among those kept.
    next: usize,
    clock: Arc<Clock>,
    cursor: ClockCursor,
}

impl Packets {
    /// Goes on where `demuxer` stands.
    pub(crate) fn fresh(demuxer: Demuxer) -> Self {
        Self { demuxer, kept: None, next: 0, clock: Arc::default(), cursor: ClockCursor::default() }
    }

    /// After `demuxer` came to the end of the file: nothing is left before [`Self::rewind`].
    pub(crate) fn seen(demuxer: Demuxer, keep: KeptPackets, clock: Arc<Clock>) -> Self {
        let next = keep.packets.as_ref().map_or(0, Vec::len);
        Self { demuxer, kept: keep.packets, next, clock, cursor: ClockCursor::default() }
    }

    /// The next packet, its times on the stream's clock without jumps; `None` at the end of what can
    /// be read.
    pub(crate) fn next(&mut self) -> Result<Option<Packet>, VideoError> {
        let mut packet = if let Some(kept) = &self.kept {
            let packet = kept.get(self.next).cloned();
            self.next += usize::from(packet.is_some());
            packet
        } else {
            self.demuxer.next_packet()?
        };
        if let Some(packet) = &mut packet {
            self.cursor.correct(&self.clock, packet);
        }
        Ok(packet)
    }

    /// Starts over.
    pub(crate) fn rewind(&mut self, file: &File, limits: &Limits) -> Result<(), VideoError> {
        if self.kept.is_none() {
            self.demuxer = self.demuxer.reopen(file, limits)?;
        }
        self.next = 0;
        self.cursor = ClockCursor::default();
        Ok(())
    }

    /// The file from its beginning, apart from this.
    pub(crate) fn reopen(&self, file: &File, limits: &Limits) -> Result<Demuxer, VideoError> {
        self.demuxer.reopen(file, limits)
    }

    /// Moves to a keyframe near `time` (in ticks), usually before it; `false` where that fails.
    pub(crate) fn seek(&mut self, time: i64) -> bool {
        self.kept.is_none() && self.demuxer.seek(time)
    }

    /// What the file is joined of.
    pub(crate) fn joined(&self) -> &Joined {
        self.demuxer.joined()
    }

    /// Number of the stream in the container, from 0.
    pub(crate) fn stream_number(&self) -> u32 {
        self.demuxer.stream_number()
    }

    /// Decoding times of the packets that the container's index names.
    pub(crate) fn index_times(&self) -> Vec<i64> {
        self.demuxer.index_times()
    }

    /// Packets that could not be read so far.
    pub(crate) fn damaged(&self) -> u64 {
        self.demuxer.damaged.saturating_sub(self.clock.damaged_joints)
    }
}
