//! The packets of a file, from the file or from memory.

use std::fs::File;

use ffmpeg_next::Packet;

use crate::demuxer::Demuxer;
use crate::guard::Guard;
use crate::{Limits, VideoError};

/// Packets kept while a file is looked through, unless they become too many.
pub(crate) struct Keep {
    packets: Option<Vec<Packet>>,
    /// Bytes that may still be kept.
    room: u64,
}

impl Keep {
    pub(crate) fn up_to(bytes: u64) -> Self {
        Self { packets: Some(Vec::new()), room: bytes }
    }

    pub(crate) fn add(&mut self, packet: Packet) {
        let left = self.room.checked_sub(packet.size() as u64);
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
}

impl Packets {
    /// Goes on where `demuxer` stands.
    pub(crate) fn fresh(demuxer: Demuxer) -> Self {
        Self { demuxer, kept: None, next: 0 }
    }

    /// After `demuxer` came to the end of the file.
    pub(crate) fn seen(demuxer: Demuxer, keep: Keep) -> Self {
        let next = keep.packets.as_ref().map_or(0, Vec::len);
        Self { demuxer, kept: keep.packets, next }
    }

    /// The next packet, or `None` at the end of what can be read.
    pub(crate) fn next(&mut self) -> Result<Option<Packet>, VideoError> {
        let Some(kept) = &self.kept else { return self.demuxer.next_packet() };
        let packet = kept.get(self.next).cloned();
        self.next += usize::from(packet.is_some());
        Ok(packet)
    }

    /// Starts over.
    pub(crate) fn rewind(&mut self, file: &File, guard: &Guard, limits: &Limits) -> Result<(), VideoError> {
        if self.kept.is_none() {
            self.demuxer = Demuxer::open(file, guard, limits)?;
        }
        self.next = 0;
        Ok(())
    }

    /// Moves to a keyframe near `time` (in ticks), usually before it; `false` where that fails.
    pub(crate) fn seek(&mut self, time: i64) -> bool {
        self.kept.is_none() && self.demuxer.seek(time)
    }

    /// Packets that could not be read so far.
    pub(crate) fn damaged(&self) -> u64 {
        self.demuxer.damaged
    }
}
