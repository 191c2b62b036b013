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
use crate::{Limits, VideoError};

/// Packets that may be unreadable in a row before the rest counts as lost.
const MAX_DAMAGE_IN_A_ROW: u32 = 10_000;

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
}

/// One video stream of a container, as a sequence of packets in decoding order.
pub(crate) struct Demuxer {
    input: Input,
    stream: usize,
    guard: Guard,
    /// How the picture is turned where the stream does not say it: in HEIF files.
    item_orientation: Option<Orientation>,
    /// Packets that could not be read so far.
    pub(crate) damaged: u64,
}

impl Demuxer {
    /// Opens `file` from its beginning and chooses the video stream with the largest pictures.
    pub(crate) fn open(file: &File, guard: &Guard, limits: &Limits) -> Result<Self, VideoError> {
        guard.check()?;
        let fault = |error| guard.check().err().unwrap_or_else(|| guard.io(error));
        let mut bytes = GuardedFile::new(file, guard).map_err(fault)?;
        let item_orientation = heif::orientation(&mut bytes).map_err(fault)?;
        bytes.rewind().map_err(fault)?;
        let (mut input, declared) = open_container(bytes, guard, limits)?;
        let stream = choose_stream(&input, &declared, guard, limits)?;
        discard_other_streams(&mut input, stream);
        Ok(Self { input, stream, guard: guard.clone(), item_orientation, damaged: 0 })
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
        let detail = "this is no known video container".to_owned();
        return Err(
            guard.explain(ff::Error::from(status), |path, _| VideoError::Unsupported { path, detail })
        );
    }
    // SAFETY: a recognised format is a static table with a NUL-terminated name.
    let name = unsafe { CStr::from_ptr((*format).name) }.to_string_lossy();
    if AUDIO_CONTAINERS.contains(&&*name) {
        return Err(VideoError::NoVideo { path: guard.path() });
    }
    if !name.split(',').any(|name| limits.containers.iter().any(|allowed| allowed == name)) {
        let detail = format!("the container \"{name}\" is not among those allowed");
        return Err(VideoError::Unsupported { path: guard.path(), detail });
    }

    let mut options = Dictionary::new();
    options.set("protocol_whitelist", "none");
    options.set("format_whitelist", &limits.containers.join(","));
    options.set("codec_whitelist", &limits.codecs.join(","));
    options.set("max_streams", &limits.max_streams.to_string());
    options.set("probesize", &limits.probe_bytes.max(2048).to_string());
    options.set("analyzeduration", &limits.probe_duration.as_micros().min(i64::MAX as u128).to_string());
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
            let detail = format!("the container \"{name}\" declares no streams in its header");
            return Err(VideoError::Unsupported { path: guard.path(), detail });
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

/// The decodable stream with the largest pictures; cover art and thumbnails do not count.
///
/// A picture beyond the limit is not decoded, and its size may be known only from the header, which
/// `declared` gives for each stream.
fn choose_stream(
    input: &Input,
    declared: &[(u32, u32)],
    guard: &Guard,
    limits: &Limits,
) -> Result<usize, VideoError> {
    let mut best: Option<(u64, usize, u32, u32)> = None;
    let mut refused = None;
    for stream in input.streams() {
        if stream.parameters().medium() != media::Type::Video
            || stream.disposition().contains(Disposition::ATTACHED_PIC)
        {
            continue;
        }
        let id = stream.parameters().id();
        let decoder = codec::decoder::find(id);
        if !decoder.is_some_and(|decoder| limits.codecs.iter().any(|allowed| allowed == decoder.name())) {
            refused = Some(id.name());
            continue;
        }
        let (width, height) = match picture_size(&stream) {
            (0, _) | (_, 0) => declared.get(stream.index()).copied().unwrap_or_default(),
            size => size,
        };
        let area = u64::from(width) * u64::from(height);
        if best.is_none_or(|(largest, ..)| area > largest) {
            best = Some((area, stream.index(), width, height));
        }
    }
    match (best, refused) {
        (Some((area, _, width, height)), _) if area > max_pixels(limits) => {
            Err(VideoError::TooLarge { path: guard.path(), width, height, max_pixels: limits.max_pixels })
        }
        (Some((_, index, ..)), _) => Ok(index),
        (None, Some(codec)) => {
            let detail = format!("the codec \"{codec}\" is not among those allowed");
            Err(VideoError::Unsupported { path: guard.path(), detail })
        }
        (None, None) => Err(VideoError::NoVideo { path: guard.path() }),
    }
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
