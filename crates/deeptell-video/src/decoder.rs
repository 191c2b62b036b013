//! From packets to pictures, with one thread.

use std::collections::VecDeque;

use ff::codec::{self, Id, discard::Discard, threading};
use ff::{Dictionary, Packet, frame};
use ffmpeg_next as ff;

use crate::container::max_pixels;
use crate::demuxer::Demuxer;
use crate::guard::Guard;
use crate::{Limits, VideoError};

/// Errors in a row after which a decoder that is asked for pictures will give no more.
const MAX_ERRORS_IN_A_ROW: u32 = 64;

/// A decoded picture and its presentation time in ticks, where the stream gives one.
pub(crate) struct Picture {
    pub(crate) frame: frame::Video,
    pub(crate) pts: Option<i64>,
}

/// Opens the usual decoders once, so that the tables they share are there when this process splits.
#[cfg(unix)]
pub(crate) fn warm_up() {
    for name in ["h264", "hevc", "mpeg4", "mjpeg", "vp8", "vp9"] {
        if let Some(codec) = codec::decoder::find_by_name(name) {
            let mut context = codec::Context::new_with_codec(codec);
            context.set_threading(threading::Config::count(1));
            // One that does not open without a stream is none the worse for it.
            let _ = context.decoder().open_as(codec);
        }
    }
}

/// Makes FFmpeg refuse single allocations that no file within `limits` needs, in this process and for good: what a
/// container says of its own sizes must not decide how much memory is taken.
#[cfg(unix)]
pub(crate) fn limit_allocations(limits: &Limits) {
    // The largest is a plane of four channels of 16 bits, with its edges, or a packet.
    let plane = max_pixels(limits).saturating_mul(8).saturating_add(4 << 20);
    let bytes = plane.max(limits.max_packet_bytes.saturating_add(4 << 20));
    #[expect(unsafe_code, reason = "the wrapper leaves out the function")]
    // SAFETY: the function stores a number.
    unsafe {
        ff::ffi::av_max_alloc(usize::try_from(bytes).unwrap_or(usize::MAX));
    }
}

/// The decoder of one stream, which is another one in each part that the file is joined of.
pub(crate) struct Decoder {
    part: Part,
    /// Number of that part.
    at: usize,
    /// What each part is coded as, and the seconds of its ticks.
    codings: Vec<(codec::Parameters, ff::Rational)>,
    limits: Limits,
    guard: Guard,
    /// Packets that the decoder could not make sense of, or not of all: pictures decoded later may rest
    /// on them.
    pub(crate) damaged: u64,
}

struct Part {
    video: codec::decoder::Video,
    /// Skipping pictures that no other picture refers to leaves all others as they were.
    can_skip: bool,
}

impl Part {
    fn open(
        (parameters, time_base): &(codec::Parameters, ff::Rational),
        guard: &Guard,
        limits: &Limits,
    ) -> Result<Self, VideoError> {
        let failed = |error| guard.explain(error, |path, detail| VideoError::Decoder { path, detail });
        let mut context = codec::Context::from_parameters(parameters.clone()).map_err(failed)?;
        context.set_threading(threading::Config::count(1));
        let id = context.id();
        let mut decoder = context.decoder();
        decoder.set_packet_time_base(*time_base);
        let mut options = Dictionary::new();
        options.set("max_pixels", &max_pixels(limits).to_string());
        options.set("codec_whitelist", &limits.codecs.join(","));
        let video =
            decoder.open_as_with(id, options).and_then(codec::decoder::Opened::video).map_err(failed)?;
        // Not HEVC: there a picture without references inside its temporal layer may still be
        // referred to from a higher one (ITU-T H.265, 3.149).
        let can_skip = matches!(id, Id::H264 | Id::MPEG4 | Id::MPEG2VIDEO | Id::MPEG1VIDEO);
        Ok(Self { video, can_skip })
    }
}

impl Decoder {
    pub(crate) fn open(demuxer: &Demuxer, guard: &Guard, limits: &Limits) -> Result<Self, VideoError> {
        let codings: Vec<_> =
            demuxer.codings().map(|(parameters, time_base)| (parameters.clone(), time_base)).collect();
        let part = Part::open(&codings[0], guard, limits)?;
        Ok(Self { part, at: 0, codings, limits: limits.clone(), guard: guard.clone(), damaged: 0 })
    }

    /// Completes the pictures of the part before, and continues with another decoder.
    fn go_to(&mut self, part: usize, ready: &mut VecDeque<Picture>) -> Result<(), VideoError> {
        if let Some(coding) = self.codings.get(part).filter(|_| part != self.at) {
            let next = Part::open(coding, &self.guard, &self.limits)?;
            self.drain(ready)?;
            (self.part, self.at) = (next, part);
        }
        Ok(())
    }

    /// Decodes one packet; pictures that become complete go to `ready`.
    ///
    /// A packet that is not `wanted` is decoded only as far as others refer to it.
    pub(crate) fn decode(
        &mut self,
        packet: &Packet,
        wanted: bool,
        ready: &mut VecDeque<Picture>,
    ) -> Result<(), VideoError> {
        self.go_to(packet.stream(), ready)?;
        let Part { video, can_skip } = &mut self.part;
        let skip = if wanted || !*can_skip { Discard::Default } else { Discard::NonReference };
        video.skip_frame(skip);
        let sent = video.send_packet(packet);
        self.note(sent)?;
        self.receive(ready)
    }

    /// Completes every picture still in the works. Before the next packet, [`Self::reset`].
    pub(crate) fn drain(&mut self, ready: &mut VecDeque<Picture>) -> Result<(), VideoError> {
        let sent = self.part.video.send_eof();
        self.note(sent)?;
        self.receive(ready)
    }

    /// Forgets all state: the next packet must be a keyframe, or the first of the file.
    pub(crate) fn reset(&mut self) {
        self.part.video.flush();
    }

    fn receive(&mut self, ready: &mut VecDeque<Picture>) -> Result<(), VideoError> {
        let mut errors = 0;
        while errors < MAX_ERRORS_IN_A_ROW {
            self.guard.check()?;
            let mut frame = frame::Video::empty();
            match self.part.video.receive_frame(&mut frame) {
                Ok(()) => {
                    let pts = frame.pts().or_else(|| frame.timestamp());
                    self.damaged += u64::from(frame.has_decode_errors());
                    ready.push_back(Picture { frame, pts });
                    errors = 0;
                }
                Err(ff::Error::Eof | ff::Error::Other { errno: ff::error::EAGAIN }) => break,
                failed => {
                    self.note(failed)?;
                    errors += 1;
                }
            }
        }
        Ok(())
    }

    /// Counts damage and passes on what is not the file's fault.
    fn note(&mut self, outcome: Result<(), ff::Error>) -> Result<(), VideoError> {
        match outcome {
            Ok(()) | Err(ff::Error::Eof) => Ok(()),
            Err(ff::Error::Other { errno: ff::error::ENOMEM }) => {
                Err(VideoError::OutOfMemory { path: self.guard.path() })
            }
            Err(_) => {
                self.damaged += 1;
                Ok(())
            }
        }
    }
}
