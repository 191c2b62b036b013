//! From bytes to packets: opening a container under limits, choosing the stream, reading, seeking.

use std::ffi::CStr;
use std::fs::File;
use std::ops::Range;
use std::ptr;

use ff::codec::{self, packet::Ref as _, packet::side_data};
use ff::format::context::{Input, StreamIo};
use ff::format::stream::{Disposition, Stream};
use ff::{Dictionary, Packet, ffi, media};
use ffmpeg_next as ff;

use crate::extent::Extent;
use crate::guard::{Guard, GuardedFile};
use crate::orientation::{self, Orientation};
use crate::transport;
use crate::{Limits, StreamLabel, Unsupported, VideoError};

/// Packets that may be unreadable in a row before the rest counts as lost.
const MAX_DAMAGE_IN_A_ROW: u32 = 10_000;

/// FFmpeg's name of MPEG transport streams.
const TRANSPORT_STREAM: &str = "mpegts";
/// FFmpeg's names of the containers in which a picture ends where the next begins: all bytes up to there are joined.
const WITHOUT_SIZES: [&str; 7] = ["h264", "hevc", "mpegvideo", "m4v", "mjpeg", "obu", "gif"];
/// Bytes that FFmpeg reads ahead, at most.
const READ_AHEAD: u64 = 1 << 20;
/// Parts of a joined file that are read.
const MAX_PARTS: usize = 64;

/// A stream whose pictures have less than one part in so many of the area of the largest is a thumbnail.
const THUMBNAIL_SHARE: u64 = 16;

/// FFmpeg's names of containers that hold sound only, and pictures at most as covers.
const AUDIO_CONTAINERS: [&str; 12] =
    ["mp3", "wav", "w64", "flac", "aac", "ac3", "eac3", "aiff", "amr", "ape", "au", "caf"];

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
    pub(crate) reason: String,
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
        let end = extent.rest.filter(|rest| rest.is_video).map_or(u64::MAX, |rest| rest.at);
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
                    VideoError::Truncated { path, detail: cut.detail() }
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
                VideoError::Unsupported { reason, .. } => Some(reason.to_string()),
                VideoError::TooLarge { width, height, .. } => {
                    Some(format!("its pictures have {width} x {height} pixels, more than the limit"))
                }
                _ => Some("it is damaged".to_owned()),
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

/// Where FFmpeg would join bytes until a picture is complete, lets it read no more than so many from now on.
fn limit_reading(input: &Input, guard: &Guard, bytes: u64) {
    if input.format().name().split(',').any(|name| WITHOUT_SIZES.contains(&name)) {
        guard.allow_bytes(bytes.saturating_add(READ_AHEAD));
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

/// Recognises the container, checks it against the limits and reads its header; gives the picture
/// size that the header declares for each stream, too.
///
/// The recognition comes first and apart, so that a playlist or a session description is refused
/// by name before any code of its demuxer runs.
#[expect(
    unsafe_code,
    reason = "the safe open neither probes apart nor passes options to the probing decoders"
)]
fn open_container(
    bytes: GuardedFile,
    guard: &Guard,
    limits: &Limits,
) -> Result<(Input, Vec<(u32, u32)>), VideoError> {
    let failed = |error: ff::Error| guard.explain(error, |path, detail| VideoError::Decoder { path, detail });
    let corrupt = |status: i32| {
        guard.explain(ff::Error::from(status), |path, detail| VideoError::Corrupt { path, detail })
    };
    let mut io = StreamIo::from_read_seek(bytes).map_err(failed)?;
    let mut format = ptr::null();
    let probe_bytes = limits.probe_bytes.clamp(2048, 1 << 20);
    // SAFETY: `io` is an open byte source; `format` receives a pointer into FFmpeg's static tables.
    let status = unsafe {
        ffi::av_probe_input_buffer2(
            io.as_mut_ptr(),
            &raw mut format,
            c"".as_ptr(),
            ptr::null_mut(),
            0,
            probe_bytes,
        )
    };
    if status < 0 || format.is_null() {
        let reason = Unsupported::Unknown;
        return Err(
            guard.explain(ff::Error::from(status), |path, _| VideoError::Unsupported { path, reason })
        );
    }
    // SAFETY: a recognised format is a static table with a NUL-terminated name.
    let name = unsafe { CStr::from_ptr((*format).name) }.to_string_lossy();
    if AUDIO_CONTAINERS.contains(&&*name) {
        return Err(VideoError::NoVideo { path: guard.path() });
    }
    let is_among =
        |allowed: &[String]| name.split(',').any(|name| allowed.iter().any(|allowed| allowed == name));
    if !is_among(&limits.containers) {
        let is_trusted = is_among(&Limits::default().containers);
        let reason = Unsupported::Container { name: name.into_owned(), is_trusted };
        return Err(VideoError::Unsupported { path: guard.path(), reason });
    }

    let mut options = Dictionary::new();
    options.set("protocol_whitelist", "none");
    options.set("format_whitelist", &limits.containers.join(","));
    options.set("codec_whitelist", &limits.codecs.join(","));
    options.set("max_streams", &limits.max_streams.to_string());
    options.set("probesize", &limits.probe_bytes.max(2048).to_string());
    options.set("analyzeduration", &limits.probe_duration.as_micros().min(i64::MAX as u128).to_string());
    // Transport streams that were joined may number their streams otherwise from then on.
    options.set("merge_pmt_versions", "1");
    // No decoding just to guess a constant frame rate.
    options.set("fpsprobesize", "0");

    let watch = guard.clone();
    let interrupt = ff::util::interrupt::new(Box::new(move || watch.expired()));
    // SAFETY: the context is fresh and gets a live byte source and callback. On failure
    // `avformat_open_input` frees the context and leaves the byte source to its owner here; on
    // success the `Input` owns the context, the byte source and the callback, and frees them in order.
    let mut input = unsafe {
        let mut context = ffi::avformat_alloc_context();
        if context.is_null() {
            return Err(failed(ff::Error::Other { errno: ff::error::ENOMEM }));
        }
        (*context).interrupt_callback = interrupt.interrupt;
        (*context).pb = io.as_mut_ptr();
        (*context).flags |= ffi::AVFMT_FLAG_CUSTOM_IO;
        let mut raw_options = options.disown();
        let status = ffi::avformat_open_input(
            &raw mut context,
            c"".as_ptr(),
            format.cast_mut().cast(),
            &raw mut raw_options,
        );
        drop(Dictionary::own(raw_options));
        if status < 0 {
            return Err(corrupt(status));
        }
        Input::wrap_with_custom_io_and_interrupt(context, io, interrupt.guard)
    };
    if limits.fixed_streams {
        // SAFETY: the context is open; the field is a plain set of flags.
        let has_header = unsafe { (*input.as_ptr()).ctx_flags & ffi::AVFMTCTX_NOHEADER == 0 };
        if input.nb_streams() == 0 && has_header {
            return Err(VideoError::NoVideo { path: guard.path() });
        }
        if input.nb_streams() == 0 {
            let reason = Unsupported::LateStreams { name: name.into_owned() };
            return Err(VideoError::Unsupported { path: guard.path(), reason });
        }
        // SAFETY: the context is open; the field is a plain setting.
        unsafe { (*input.as_mut_ptr()).max_streams = input.nb_streams() as i32 };
    }
    let declared = input.streams().map(|stream| picture_size(&stream)).collect();
    limit_reading(&input, guard, limits.max_packet_bytes.saturating_add(limits.probe_bytes.into()));
    let probed = probe_streams(&mut input, limits).map_err(corrupt);
    if guard.is_allowance_spent() {
        let max_bytes = limits.max_packet_bytes;
        return Err(VideoError::PacketTooLarge { path: guard.path(), max_bytes });
    }
    probed?;
    Ok((input, declared))
}

/// Finds out what the streams are, with decoders bounded like ours.
#[expect(unsafe_code, reason = "the safe open passes no options to the probing decoders")]
fn probe_streams(input: &mut Input, limits: &Limits) -> Result<(), i32> {
    let mut options: Vec<_> = (0..input.nb_streams())
        .map(|_| {
            let mut options = Dictionary::new();
            options.set("max_pixels", &max_pixels(limits).to_string());
            options.set("threads", "1");
            // SAFETY: taken back below, after the call that reads it.
            unsafe { options.disown() }
        })
        .collect();
    // SAFETY: the context is open, and `options` has one dictionary for each of its streams.
    let status = unsafe { ffi::avformat_find_stream_info(input.as_mut_ptr(), options.as_mut_ptr()) };
    for dictionary in options {
        // SAFETY: FFmpeg leaves a dictionary of unused options, or null, to the caller.
        drop(unsafe { Dictionary::own(dictionary) });
    }
    if status < 0 { Err(status) } else { Ok(()) }
}

/// The pixel limit as FFmpeg's option takes it.
pub(crate) fn max_pixels(limits: &Limits) -> u64 {
    limits.max_pixels.clamp(1, i32::MAX as u64)
}

/// A video stream that may be sampled.
struct Candidate {
    label: StreamLabel,
    is_default: bool,
    is_decodable: bool,
    /// The codec is decoded in trusted files.
    is_trusted: bool,
}

impl Candidate {
    fn area(&self) -> u64 {
        u64::from(self.label.width) * u64::from(self.label.height)
    }
}

/// The stream to sample: the one that is `wanted`, or else of those that can be decoded the one marked
/// as default, which players show; of several, or where none is marked, the one with the largest
/// pictures. Gives its number and the other video streams. Cover art does not count, and the mark of a
/// thumbnail says nothing.
///
/// A picture beyond the limit is not decoded, and its size may be known only from the header, which
/// `declared` gives for each stream.
fn choose_stream(
    input: &Input,
    declared: &[(u32, u32)],
    guard: &Guard,
    limits: &Limits,
    wanted: Option<u32>,
) -> Result<(usize, Vec<StreamLabel>), VideoError> {
    let mut candidates = Vec::new();
    for stream in input.streams() {
        if stream.parameters().medium() != media::Type::Video
            || stream.disposition().contains(Disposition::ATTACHED_PIC)
        {
            continue;
        }
        let id = stream.parameters().id();
        let decoder = codec::decoder::find(id);
        let is_among = |allowed: &[String]| {
            decoder.as_ref().is_some_and(|decoder| allowed.iter().any(|allowed| allowed == decoder.name()))
        };
        let (width, height) = match picture_size(&stream) {
            (0, _) | (_, 0) => declared.get(stream.index()).copied().unwrap_or_default(),
            size => size,
        };
        candidates.push(Candidate {
            label: StreamLabel { index: stream.index() as u32, codec: id.name().to_owned(), width, height },
            is_default: stream.disposition().contains(Disposition::DEFAULT),
            is_decodable: is_among(&limits.codecs),
            is_trusted: is_among(&Limits::default().codecs),
        });
    }
    let largest =
        candidates.iter().filter(|one| one.is_decodable).map(Candidate::area).max().unwrap_or_default();
    let rank = |candidate: &Candidate| {
        let is_shown = candidate.is_default && candidate.area() >= largest / THUMBNAIL_SHARE;
        (candidate.is_decodable, is_shown, candidate.area())
    };
    let best = match wanted {
        Some(wanted) => candidates.iter().position(|candidate| candidate.label.index == wanted),
        // The first of equals.
        None => (0..candidates.len()).rev().max_by_key(|&number| rank(&candidates[number])),
    };
    let Some(best) = best else {
        let path = guard.path();
        return Err(match wanted {
            Some(stream) if !candidates.is_empty() => {
                let streams = candidates.iter().map(|candidate| candidate.label.index).collect();
                VideoError::NoSuchStream { path, stream, streams }
            }
            _ => VideoError::NoVideo { path },
        });
    };
    let chosen = candidates.remove(best);
    if !chosen.is_decodable {
        let reason = Unsupported::Codec { name: chosen.label.codec, is_trusted: chosen.is_trusted };
        return Err(VideoError::Unsupported { path: guard.path(), reason });
    }
    if chosen.area() > max_pixels(limits) {
        let StreamLabel { width, height, .. } = chosen.label;
        let max_pixels = limits.max_pixels;
        return Err(VideoError::TooLarge { path: guard.path(), width, height, max_pixels });
    }
    let others = candidates.into_iter().map(|candidate| candidate.label).collect();
    Ok((chosen.label.index as usize, others))
}

#[expect(unsafe_code, reason = "the wrapper does not expose the size")]
fn picture_size(stream: &Stream<'_>) -> (u32, u32) {
    // SAFETY: every stream of an open context has codec parameters.
    let (width, height) = unsafe {
        let parameters = (*stream.as_ptr()).codecpar;
        ((*parameters).width, (*parameters).height)
    };
    (u32::try_from(width).unwrap_or(0), u32::try_from(height).unwrap_or(0))
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
