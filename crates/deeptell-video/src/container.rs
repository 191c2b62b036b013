//! Opening a container under limits.

use std::ffi::CStr;
use std::ptr;

use ff::format::context::{Input, StreamIo};
use ff::format::stream::Stream;
use ff::{Dictionary, ffi};
use ffmpeg_next as ff;

use crate::guard::{Guard, GuardedFile};
use crate::{Limits, Unsupported, VideoError};

/// FFmpeg's names of the containers in which a picture ends where the next begins: all bytes up to there are joined.
const WITHOUT_SIZES: [&str; 7] = ["h264", "hevc", "mpegvideo", "m4v", "mjpeg", "obu", "gif"];
/// Bytes that FFmpeg reads ahead, at most.
const READ_AHEAD: u64 = 1 << 20;
/// FFmpeg's names of containers that hold sound only, and pictures at most as covers.
const AUDIO_CONTAINERS: [&str; 12] =
    ["mp3", "wav", "w64", "flac", "aac", "ac3", "eac3", "aiff", "amr", "ape", "au", "caf"];

/// Recognizes the container, checks it against the limits and reads its header; gives the picture
/// size that the header declares for each stream, too.
///
/// The recognition comes first and apart, so that a playlist or a session description is refused
/// by name before any code of its demuxer runs.
pub(crate) fn open_container(
    bytes: GuardedFile,
    guard: &Guard,
    limits: &Limits,
) -> Result<(Input, Vec<(u32, u32)>), VideoError> {
    let corrupt = |status: i32| explain_corrupt(guard, status);
    let mut io = StreamIo::from_read_seek(bytes).map_err(|error| explain_failure(guard, error))?;
    let format = recognize(&mut io, guard, limits)?;
    let name = name_of(format);
    check_allowed(&name, guard, limits)?;
    let mut input = open_input(io, format, guard, limits)?;
    if limits.fixed_streams {
        fix_streams(&mut input, name, guard)?;
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

fn explain_failure(guard: &Guard, error: ff::Error) -> VideoError {
    guard.explain(error, |path, detail| VideoError::Decoder { path, detail })
}

fn explain_corrupt(guard: &Guard, status: i32) -> VideoError {
    guard.explain(ff::Error::from(status), |path, detail| VideoError::Corrupt { path, detail })
}

/// The format that FFmpeg finds in the first bytes.
#[expect(unsafe_code, reason = "the safe open does not probe apart")]
fn recognize(
    io: &mut StreamIo,
    guard: &Guard,
    limits: &Limits,
) -> Result<*const ffi::AVInputFormat, VideoError> {
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
    Ok(format)
}

/// The names of a format that [`recognize`] found, separated by commas.
#[expect(unsafe_code, reason = "the wrapper has no formats without a context")]
fn name_of(format: *const ffi::AVInputFormat) -> String {
    // SAFETY: a recognized format is a static table with a NUL-terminated name.
    unsafe { CStr::from_ptr((*format).name) }.to_string_lossy().into_owned()
}

fn check_allowed(name: &str, guard: &Guard, limits: &Limits) -> Result<(), VideoError> {
    if AUDIO_CONTAINERS.contains(&name) {
        return Err(VideoError::NoVideo { path: guard.path() });
    }
    let is_among =
        |allowed: &[String]| name.split(',').any(|name| allowed.iter().any(|allowed| allowed == name));
    if is_among(&limits.containers) {
        return Ok(());
    }
    let is_trusted = is_among(&Limits::default().containers);
    let reason = Unsupported::Container { name: name.to_owned(), is_trusted };
    Err(VideoError::Unsupported { path: guard.path(), reason })
}

/// Reads the header of a container in a format that [`recognize`] found.
#[expect(unsafe_code, reason = "the safe open passes no options to the probing decoders")]
fn open_input(
    mut io: StreamIo,
    format: *const ffi::AVInputFormat,
    guard: &Guard,
    limits: &Limits,
) -> Result<Input, VideoError> {
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
    // SAFETY: the context is fresh and gets a live byte source and callback, and `format` points into FFmpeg's static
    // tables. On failure `avformat_open_input` frees the context and leaves the byte source to its owner here; on
    // success the `Input` owns the context, the byte source and the callback, and frees them in order.
    unsafe {
        let mut context = ffi::avformat_alloc_context();
        if context.is_null() {
            return Err(explain_failure(guard, ff::Error::Other { errno: ff::error::ENOMEM }));
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
            return Err(explain_corrupt(guard, status));
        }
        Ok(Input::wrap_with_custom_io_and_interrupt(context, io, interrupt.guard))
    }
}

/// Lets no stream appear after the header.
#[expect(unsafe_code, reason = "the wrapper does not expose the flags")]
fn fix_streams(input: &mut Input, container: String, guard: &Guard) -> Result<(), VideoError> {
    // SAFETY: the context is open; the field is a plain set of flags.
    let has_header = unsafe { (*input.as_ptr()).ctx_flags & ffi::AVFMTCTX_NOHEADER == 0 };
    if input.nb_streams() == 0 && has_header {
        return Err(VideoError::NoVideo { path: guard.path() });
    }
    if input.nb_streams() == 0 {
        let reason = Unsupported::LateStreams { name: container };
        return Err(VideoError::Unsupported { path: guard.path(), reason });
    }
    // SAFETY: the context is open; the field is a plain setting.
    unsafe { (*input.as_mut_ptr()).max_streams = input.nb_streams() as i32 };
    Ok(())
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

/// Where FFmpeg would join bytes until a picture is complete, limits how many it may read from now on.
pub(crate) fn limit_reading(input: &Input, guard: &Guard, bytes: u64) {
    if input.format().name().split(',').any(|name| WITHOUT_SIZES.contains(&name)) {
        guard.allow_bytes(bytes.saturating_add(READ_AHEAD));
    }
}

#[expect(unsafe_code, reason = "the wrapper does not expose the size")]
pub(crate) fn picture_size(stream: &Stream<'_>) -> (u32, u32) {
    // SAFETY: every stream of an open context has codec parameters.
    let (width, height) = unsafe {
        let parameters = (*stream.as_ptr()).codecpar;
        ((*parameters).width, (*parameters).height)
    };
    (u32::try_from(width).unwrap_or(0), u32::try_from(height).unwrap_or(0))
}
