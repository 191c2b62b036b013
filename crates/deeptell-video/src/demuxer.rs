//! From bytes to packets: opening a container under limits, choosing the stream, reading, seeking.

use std::fs::File;
use std::ops::Range;

use ff::codec::{self, packet::Ref as _, packet::side_data};
use ff::format::context::Input;
use ff::format::stream::Stream;
use ff::{Packet, ffi};
use ffmpeg_next as ff;

use crate::container::{limit_reading, open_container, picture_size};
use crate::extent::Extent;
use crate::guard::{Guard, GuardedFile};
use crate::orientation::{self, Orientation};
use crate::stream_choice::choose_stream;
use crate::transport;
use crate::{Limits, PartFault, StreamLabel, Unsupported, VideoError};

/// Packets that may be unreadable in a row before the rest counts as lost.
const MAX_DAMAGE_IN_A_ROW: u32 = 10_000;

/// FFmpeg's name of MPEG transport streams.
const TRANSPORT_STREAM: &str = "mpegts";
/// Parts of a joined file that are read.
const MAX_PARTS: usize = 64;

/// What the container says about the chosen stream, before any of it is believed.
#[derive(Debug, Clone)]
pub(crate) struct StreamFacts {
    pub(crate) container: String,
    pub(crate) codec: String,
    /// Coded size in pixels.
    pub(crate) width: u32,
    pub(crate) height: u32,
    pub(crate) orientation: Orientation,
    /// Seconds of one tick.
    pub(crate) tick_seconds: f64,
    /// First presentation time in ticks.
    pub(crate) start: Option<i64>,
    /// Declared length in ticks, of the stream or else of the whole container.
    pub(crate) span: Option<i64>,
    /// Declared number of packets.
    pub(crate) packets: Option<u64>,
    pub(crate) frames_per_second: Option<f64>,
    /// Other streams may be why the container is longer than the video.
    pub(crate) is_alone: bool,
    /// Files of this container may be joined as bytes, with clocks of their own.
    pub(crate) clock_may_jump: bool,
    /// This one is, of parts with other streams.
    pub(crate) is_joined: bool,
}

/// One video stream of a container, as a sequence of packets in decoding order.
pub(crate) struct Demuxer {
    input: Input,
    stream: usize,
    /// What the file is joined of.
    parts: Joined,
    /// The one that is read.
    part: usize,
    file: File,
    limits: Limits,
    guard: Guard,
    /// How the picture is turned where the stream does not say it.
    file_orientation: Option<Orientation>,
    /// Packets that could not be read so far.
    pub(crate) damaged: u64,
}

/// The parts of a file, one after the other; most files have one.
#[derive(Clone, Default)]
pub(crate) struct Joined {
    parts: Vec<Part>,
    /// Other video streams beside those chosen.
    pub(crate) others: Vec<StreamLabel>,
    /// Parts that cannot be read.
    pub(crate) left_out: Vec<LeftOut>,
    /// The file may have more parts.
    pub(crate) is_unchecked: bool,
    /// Where the file ends.
    pub(crate) extent: Extent,
}

#[derive(Clone)]
struct Part {
    bytes: Range<u64>,
    stream: u32,
    parameters: codec::Parameters,
    time_base: ff::Rational,
}

/// A part that cannot be read.
#[derive(Clone)]
pub(crate) struct LeftOut {
    /// Its number, from 1.
    pub(crate) part: u32,
    pub(crate) reason: PartFault,
}

/// What one part of a file was opened to.
struct Opened {
    input: Input,
    stream: usize,
    others: Vec<StreamLabel>,
}

impl Opened {
    fn new(
        bytes: GuardedFile,
        guard: &Guard,
        limits: &Limits,
        wanted: Option<u32>,
    ) -> Result<Self, VideoError> {
        let opened = open_container(bytes, guard, limits);
        guard.allow_bytes(u64::MAX);
        let (input, declared) = opened?;
        let (stream, others) = choose_stream(&input, &declared, guard, limits, wanted)?;
        let mut opened = Self { input, stream, others };
        discard_other_streams(&mut opened.input, stream);
        Ok(opened)
    }

    fn stream(&self) -> Stream<'_> {
        chosen(&self.input, self.stream)
    }

    fn part(&self, bytes: Range<u64>) -> Part {
        let (parameters, time_base) = (self.stream().parameters().clone(), self.stream().time_base());
        Part { bytes, stream: self.stream as u32, parameters, time_base }
    }
}

fn chosen(input: &Input, stream: usize) -> Stream<'_> {
    #[expect(unsafe_code, reason = "the safe accessor returns an option")]
    // SAFETY: `stream` is the index of a stream of this very input, which never loses streams.
    unsafe {
        Stream::wrap(input, stream)
    }
}

impl Demuxer {
    /// Opens `file` from its beginning and chooses a video stream, number `wanted` if that is given.
    pub(crate) fn open(
        file: &File,
        guard: &Guard,
        limits: &Limits,
        wanted: Option<u32>,
    ) -> Result<Self, VideoError> {
        guard.check()?;
        let fault = |error| guard.check().err().unwrap_or_else(|| guard.io(error));
        let mut bytes = GuardedFile::new(file, guard).map_err(fault)?;
        let file_orientation = orientation::stored(&mut bytes).map_err(fault)?;
        let extent = Extent::of(&mut bytes, || !guard.is_half_spent()).map_err(fault)?;
        // FFmpeg would take the fragments of another file for those of this one.
        let end = extent.end().unwrap_or(u64::MAX);
        let bytes = GuardedFile::part(file, guard, 0..end).map_err(fault)?;
        let whole = Opened::new(bytes, guard, limits, wanted);
        let is_stream = match &whole {
            Ok(opened) => opened.input.format().name() == TRANSPORT_STREAM,
            // The first part alone may be without video, or of another codec.
            Err(
                VideoError::NoVideo { .. } | VideoError::Unsupported { .. } | VideoError::TooLarge { .. },
            ) => true,
            Err(_) => false,
        };
        let mut starts = vec![0];
        starts.extend(&extent.joined);
        let is_unchecked = starts.len() > MAX_PARTS;
        starts.truncate(MAX_PARTS);
        let (cut, is_single) = (extent.cut, starts.len() == 1);
        let mut joined = Joined { is_unchecked, extent, ..Joined::default() };
        if is_stream && is_single {
            let mut bytes = GuardedFile::new(file, guard).map_err(fault)?;
            let found = transport::parts(&mut bytes, MAX_PARTS, || !guard.is_half_spent()).map_err(fault)?;
            joined.is_unchecked = !found.is_complete;
            starts = found.starts;
        }
        let opened = if starts.len() == 1 {
            let opened = whole.map_err(|error| match (error, cut) {
                (VideoError::Corrupt { path, .. } | VideoError::NoVideo { path }, Some(cut)) => {
                    VideoError::Truncated { path, detail: cut.to_string() }
                }
                (error, _) => error,
            })?;
            joined.parts.push(opened.part(0..end));
            joined.others.clone_from(&opened.others);
            opened
        } else {
            drop(whole);
            joined.look_at(&starts, file, guard, limits, wanted)?;
            let first = &joined.parts[0];
            let bytes = GuardedFile::part(file, guard, first.bytes.clone()).map_err(fault)?;
            Opened::new(bytes, guard, limits, Some(first.stream))?
        };
        Ok(Self {
            input: opened.input,
            stream: opened.stream,
            parts: joined,
            part: 0,
            file: file.try_clone().map_err(fault)?,
            limits: limits.clone(),
            guard: guard.clone(),
            file_orientation,
            damaged: 0,
        })
    }

    /// Opens `file` from its beginning once more.
    pub(crate) fn reopen(&self, file: &File, limits: &Limits) -> Result<Self, VideoError> {
        self.guard.check()?;
        let part = &self.parts.parts[0];
        let opened = Opened::new(self.bytes(file, part)?, &self.guard, limits, Some(part.stream))?;
        Ok(Self {
            input: opened.input,
            stream: opened.stream,
            parts: self.parts.clone(),
            part: 0,
            file: file.try_clone().map_err(|error| self.guard.io(error))?,
            limits: limits.clone(),
            guard: self.guard.clone(),
            file_orientation: self.file_orientation,
            damaged: 0,
        })
    }

    fn bytes(&self, file: &File, part: &Part) -> Result<GuardedFile, VideoError> {
        GuardedFile::part(file, &self.guard, part.bytes.clone())
            .map_err(|error| self.guard.check().err().unwrap_or_else(|| self.guard.io(error)))
    }

    /// Goes to the next part; `false` after the last.
    fn next_part(&mut self) -> Result<bool, VideoError> {
        let Some(part) = self.parts.parts.get(self.part + 1) else { return Ok(false) };
        let opened =
            Opened::new(self.bytes(&self.file, part)?, &self.guard, &self.limits, Some(part.stream))?;
        (self.input, self.stream) = (opened.input, opened.stream);
        self.part += 1;
        Ok(true)
    }

    pub(crate) fn limits(&self) -> &Limits {
        &self.limits
    }

    /// What the file is joined of.
    pub(crate) fn joined(&self) -> &Joined {
        &self.parts
    }

    /// Number of the stream in the container, from 0.
    pub(crate) fn stream_number(&self) -> u32 {
        self.parts.parts[0].stream
    }

    fn chosen(&self) -> Stream<'_> {
        chosen(&self.input, self.stream)
    }

    /// What decoders are to be opened with, one for each part, and the seconds of the ticks of all packets. A packet
    /// has the number of its part in the place of its stream's.
    pub(crate) fn codings(&self) -> impl Iterator<Item = (&codec::Parameters, ff::Rational)> {
        let time_base = self.parts.parts[0].time_base;
        self.parts.parts.iter().map(move |part| (&part.parameters, time_base))
    }

    pub(crate) fn facts(&self) -> StreamFacts {
        let stream = self.chosen();
        let time_base = stream.time_base();
        let tick_seconds = positive(time_base).unwrap_or(1e-6);
        let (width, height) = picture_size(&stream);
        let ticks = |microseconds: i64| (microseconds as f64 / 1e6 / tick_seconds) as i64;
        let known = |value: i64| (value != ffi::AV_NOPTS_VALUE).then_some(value);
        // What one part says is not true of all.
        let is_joined = self.parts.parts.len() > 1;
        let positive_span = |value: i64| known(value).filter(|span| *span > 0 && !is_joined);
        StreamFacts {
            container: self.input.format().name().to_owned(),
            codec: stream.parameters().id().name().to_owned(),
            width,
            height,
            orientation: display_orientation(&stream)
                .filter(|turned| *turned != Orientation::default())
                .or(self.file_orientation)
                .unwrap_or_default(),
            tick_seconds,
            start: known(stream.start_time()),
            span: positive_span(stream.duration())
                .or_else(|| positive_span(self.input.duration()).map(ticks)),
            packets: u64::try_from(stream.frames()).ok().filter(|count| *count > 0 && !is_joined),
            frames_per_second: positive(stream.avg_frame_rate()).or_else(|| positive(stream.rate())),
            is_alone: self.input.nb_streams() == 1 && !is_joined,
            is_joined,
            clock_may_jump: is_joined || self.format_flags() & ffi::AVFMT_TS_DISCONT != 0,
        }
    }

    #[expect(unsafe_code, reason = "the wrapper does not expose the flags")]
    fn format_flags(&self) -> i32 {
        // SAFETY: an open input has a format, which is a static table.
        unsafe { (*(*self.input.as_ptr()).iformat).flags }
    }

    /// Decoding times of the packets that the container's index names, as far as it was read: all of
    /// them, or only some.
    #[expect(unsafe_code, reason = "the wrapper does not expose the index")]
    pub(crate) fn index_times(&self) -> Vec<i64> {
        // SAFETY: the stream belongs to the open context, which nothing else uses meanwhile; an entry is
        // read before the next call, and null is checked.
        unsafe {
            let stream = self.chosen().as_ptr().cast_mut();
            let count = ffi::avformat_index_get_entries_count(stream);
            (0..count)
                .filter_map(|number| {
                    let entry = ffi::avformat_index_get_entry(stream, number);
                    (!entry.is_null()).then(|| (*entry).timestamp)
                })
                .collect()
        }
    }

    /// The next packet of the stream, or `None` at the end of what can be read.
    pub(crate) fn next_packet(&mut self) -> Result<Option<Packet>, VideoError> {
        let mut damage_in_a_row = 0;
        while damage_in_a_row < MAX_DAMAGE_IN_A_ROW {
            self.guard.check()?;
            limit_reading(&self.input, &self.guard, self.limits.max_packet_bytes);
            let mut packet = Packet::empty();
            let read = packet.read(&mut self.input);
            let max_bytes = self.limits.max_packet_bytes;
            if self.guard.is_allowance_spent() || packet.size() as u64 > max_bytes {
                self.guard.allow_bytes(u64::MAX);
                return Err(VideoError::PacketTooLarge { path: self.guard.path(), max_bytes });
            }
            self.guard.allow_bytes(u64::MAX);
            match read {
                Ok(()) if packet.stream() == self.stream => {
                    let (own, first) = (&self.parts.parts[self.part], &self.parts.parts[0]);
                    if own.time_base != first.time_base {
                        packet.rescale_ts(own.time_base, first.time_base);
                    }
                    packet.set_stream(self.part);
                    self.damaged += u64::from(packet.is_corrupt());
                    return Ok(Some(packet));
                }
                Ok(()) | Err(ff::Error::Other { errno: ff::error::EAGAIN }) => {}
                Err(ff::Error::InvalidData) => {
                    self.damaged += 1;
                    damage_in_a_row += 1;
                }
                Err(error) => {
                    self.guard.take_read_error().map_err(|error| self.guard.io(error))?;
                    self.guard.check()?;
                    if error == (ff::Error::Other { errno: ff::error::ENOMEM }) {
                        return Err(VideoError::OutOfMemory { path: self.guard.path() });
                    }
                    self.damaged += u64::from(error != ff::Error::Eof);
                    if !self.next_part()? {
                        return Ok(None);
                    }
                }
            }
        }
        Ok(None)
    }

    /// Moves to a keyframe near `time` (in ticks), usually before it; `false` where that fails.
    pub(crate) fn seek(&mut self, time: i64) -> bool {
        #[expect(unsafe_code, reason = "the safe seek cannot name a stream, and would use another clock")]
        // SAFETY: the context is open for reading and `stream` is one of its streams.
        let status = unsafe {
            ffi::av_seek_frame(self.input.as_mut_ptr(), self.stream as i32, time, ffi::AVSEEK_FLAG_BACKWARD)
        };
        status >= 0
    }
}

impl Joined {
    /// Looks at the parts that begin at `starts`.
    fn look_at(
        &mut self,
        starts: &[u64],
        file: &File,
        guard: &Guard,
        limits: &Limits,
        wanted: Option<u32>,
    ) -> Result<(), VideoError> {
        let ends = starts.iter().skip(1).copied().chain([u64::MAX]);
        let mut first_error = None;
        for (number, (start, end)) in (1..).zip(starts.iter().copied().zip(ends)) {
            guard.check()?;
            let open = |wanted| {
                let bytes = GuardedFile::part(file, guard, start..end).map_err(|error| guard.io(error))?;
                Opened::new(bytes, guard, limits, wanted)
            };
            let opened = match open(wanted) {
                // Its streams have other numbers.
                Err(VideoError::NoSuchStream { .. }) if number > 1 => open(None),
                other => other,
            };
            let error = match opened {
                Ok(opened) => {
                    self.parts.push(opened.part(start..end));
                    for other in opened.others {
                        if !self.others.contains(&other) {
                            self.others.push(other);
                        }
                    }
                    continue;
                }
                Err(
                    error @ (VideoError::Io { .. }
                    | VideoError::Timeout { .. }
                    | VideoError::OutOfMemory { .. }),
                ) => {
                    return Err(error);
                }
                Err(error) => error,
            };
            let reason = match &error {
                // Nothing is lost with it.
                VideoError::NoVideo { .. } => None,
                VideoError::Unsupported { reason: Unsupported::Codec { name, is_trusted }, .. } => {
                    Some(PartFault::Codec { name: name.clone(), is_trusted: *is_trusted })
                }
                VideoError::Unsupported { .. } => Some(PartFault::Format),
                VideoError::TooLarge { width, height, .. } => {
                    Some(PartFault::TooLarge { width: *width, height: *height })
                }
                _ => Some(PartFault::Damaged),
            };
            self.left_out.extend(reason.map(|reason| LeftOut { part: number, reason }));
            first_error.get_or_insert(error);
        }
        match first_error {
            Some(error) if self.parts.is_empty() => Err(error),
            _ => Ok(()),
        }
    }
}

/// Whether a packet puts a frame on screen: edit lists hide some, and empty ones repeat the last.
#[expect(unsafe_code, reason = "the wrapper leaves out the flag")]
pub(crate) fn is_shown(packet: &Packet) -> bool {
    // SAFETY: the pointer is the packet's own.
    let flags = unsafe { (*packet.as_ptr()).flags };
    packet.size() > 0 && flags & ffi::AV_PKT_FLAG_DISCARD == 0
}

fn positive(ratio: ff::Rational) -> Option<f64> {
    (ratio.numerator() > 0 && ratio.denominator() > 0).then(|| f64::from(ratio))
}

fn display_orientation(stream: &Stream<'_>) -> Option<Orientation> {
    let matrix = stream.side_data().find(|data| data.kind() == side_data::Type::DisplayMatrix)?;
    Orientation::from_display_matrix(matrix.data())
}

#[expect(unsafe_code, reason = "the wrapper does not expose the setting")]
fn discard_other_streams(input: &mut Input, chosen: usize) {
    for (index, mut stream) in input.streams_mut().enumerate() {
        if index != chosen {
            // SAFETY: the stream belongs to the open context; the field is a plain setting.
            unsafe { (*stream.as_mut_ptr()).discard = ffi::AVDiscard::AVDISCARD_ALL };
        }
    }
}
