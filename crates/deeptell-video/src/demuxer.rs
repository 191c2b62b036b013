//! From bytes to packets: opening a container under limits, choosing the stream, reading, seeking.

use std::ffi::CStr;
use std::fs::File;
use std::io::Seek;
use std::ptr;

use ff::codec::{self, packet::Ref as _, packet::side_data};
use ff::format::context::{Input, StreamIo};
use ff::format::stream::{Disposition, Stream};
use ff::{Dictionary, Packet, ffi, media};
use ffmpeg_next as ff;

use crate::guard::{Guard, GuardedFile};
use crate::heif;
use crate::orientation::Orientation;
use crate::{Limits, StreamLabel, Unsupported, VideoError};

/// Packets that may be unreadable in a row before the rest counts as lost.
const MAX_DAMAGE_IN_A_ROW: u32 = 10_000;

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
}

/// One video stream of a container, as a sequence of packets in decoding order.
pub(crate) struct Demuxer {
    input: Input,
    stream: usize,
    /// The other video streams.
    pub(crate) others: Vec<StreamLabel>,
    guard: Guard,
    /// How the picture is turned where the stream does not say it: in HEIF files.
    item_orientation: Option<Orientation>,
    /// Packets that could not be read so far.
    pub(crate) damaged: u64,
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
        let item_orientation = heif::orientation(&mut bytes).map_err(fault)?;
        bytes.rewind().map_err(fault)?;
        let (mut input, declared) = open_container(bytes, guard, limits)?;
        let (stream, others) = choose_stream(&input, &declared, guard, limits, wanted)?;
        discard_other_streams(&mut input, stream);
        Ok(Self { input, stream, others, guard: guard.clone(), item_orientation, damaged: 0 })
    }

    /// Opens `file` from its beginning once more.
    pub(crate) fn reopen(&self, file: &File, limits: &Limits) -> Result<Self, VideoError> {
        Self::open(file, &self.guard, limits, Some(self.stream_number()))
    }

    /// Number of the stream in the container, from 0.
    pub(crate) fn stream_number(&self) -> u32 {
        self.stream as u32
    }

    fn chosen(&self) -> Stream<'_> {
        #[expect(unsafe_code, reason = "the safe accessor returns an option")]
        // SAFETY: `stream` is the index of a stream of this very input, which never loses streams.
        unsafe {
            Stream::wrap(&self.input, self.stream)
        }
    }

    pub(crate) fn parameters(&self) -> codec::Parameters {
        self.chosen().parameters()
    }

    pub(crate) fn time_base(&self) -> ff::Rational {
        self.chosen().time_base()
    }

    pub(crate) fn facts(&self) -> StreamFacts {
        let stream = self.chosen();
        let time_base = stream.time_base();
        let tick_seconds = positive(time_base).unwrap_or(1e-6);
        let (width, height) = picture_size(&stream);
        let ticks = |microseconds: i64| (microseconds as f64 / 1e6 / tick_seconds) as i64;
        let known = |value: i64| (value != ffi::AV_NOPTS_VALUE).then_some(value);
        let positive_span = |value: i64| known(value).filter(|span| *span > 0);
        StreamFacts {
            container: self.input.format().name().to_owned(),
            codec: stream.parameters().id().name().to_owned(),
            width,
            height,
            orientation: orientation(&stream)
                .filter(|turned| *turned != Orientation::default())
                .or(self.item_orientation)
                .unwrap_or_default(),
            tick_seconds,
            start: known(stream.start_time()),
            span: positive_span(stream.duration())
                .or_else(|| positive_span(self.input.duration()).map(ticks)),
            packets: u64::try_from(stream.frames()).ok().filter(|count| *count > 0),
            frames_per_second: positive(stream.avg_frame_rate()).or_else(|| positive(stream.rate())),
            is_alone: self.input.nb_streams() == 1,
            clock_may_jump: self.format_flags() & ffi::AVFMT_TS_DISCONT != 0,
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
            let mut packet = Packet::empty();
            match packet.read(&mut self.input) {
                Ok(()) if packet.stream() == self.stream => {
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
                    return Ok(None);
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
    probe_streams(&mut input, limits).map_err(corrupt)?;
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

fn orientation(stream: &Stream<'_>) -> Option<Orientation> {
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
