//! Writing videos: for re-compression, for samples and for tests.

use std::fs::File;
use std::path::{Path, PathBuf};

use ff::codec::{self, Flags as CodecFlags, encoder, threading};
use ff::color::{Range, Space};
use ff::format::context::{Output, StreamIo};
use ff::format::{Flags as FormatFlags, Pixel};
use ff::{Dictionary, Packet, Rational, frame, picture};
use ffmpeg_next as ff;
use image::RgbImage;
use serde::{Deserialize, Serialize};

use crate::VideoError;
use crate::pixels::FromRgb;

/// How to compress.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub enum VideoCodec {
    /// H.264 by libx264.
    H264,
    /// MPEG-4 Part 2, built into FFmpeg: what Celeb-DF ships in.
    Mpeg4,
}

impl VideoCodec {
    /// FFmpeg's name of the encoder.
    pub fn encoder(self) -> &'static str {
        match self {
            Self::H264 => "libx264",
            Self::Mpeg4 => "mpeg4",
        }
    }

    /// Whether the FFmpeg in use can encode this.
    pub fn is_available(self) -> bool {
        encoder::find_by_name(self.encoder()).is_some()
    }

    /// Quality settings and the default among them.
    fn quality_range(self) -> (std::ops::RangeInclusive<u8>, u8) {
        match self {
            Self::H264 => (0..=51, 23),
            Self::Mpeg4 => (1..=31, 4),
        }
    }
}

/// Settings of a [`VideoWriter`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct WriterOptions {
    /// Constant frame rate, 1 to 1000.
    pub frames_per_second: u32,
    /// How to compress.
    pub codec: VideoCodec,
    /// Lower is better and larger: the constant rate factor of H.264 (0 to 51, default 23), the
    /// quantizer of MPEG-4 (1 to 31, default 4).
    pub quality: Option<u8>,
    /// Most frames from one keyframe to the next, at least 1.
    pub keyframe_interval: u32,
    /// Lets frames refer to later ones: smaller files, and decoding order differs from display order.
    pub b_frames: bool,
    /// Frames do not refer to frames before the last keyframe, so that decoding can start at each keyframe. Without it
    /// (open GOPs, as in broadcasts), files are slightly smaller.
    pub closed_gop: bool,
}

impl Default for WriterOptions {
    /// H.264 at 25 frames per second, FFmpeg's own default quality and structure.
    fn default() -> Self {
        Self {
            frames_per_second: 25,
            codec: VideoCodec::H264,
            quality: None,
            keyframe_interval: 250,
            b_frames: true,
            closed_gop: true,
        }
    }
}

impl WriterOptions {
    /// Sets [`frames_per_second`](field@Self::frames_per_second).
    #[must_use]
    pub fn frames_per_second(self, frames_per_second: u32) -> Self {
        Self { frames_per_second, ..self }
    }

    /// Sets [`codec`](field@Self::codec).
    #[must_use]
    pub fn codec(self, codec: VideoCodec) -> Self {
        Self { codec, ..self }
    }

    /// Sets [`quality`](field@Self::quality).
    #[must_use]
    pub fn quality(self, quality: Option<u8>) -> Self {
        Self { quality, ..self }
    }

    /// Sets [`keyframe_interval`](field@Self::keyframe_interval).
    #[must_use]
    pub fn keyframe_interval(self, keyframe_interval: u32) -> Self {
        Self { keyframe_interval, ..self }
    }

    /// Sets [`b_frames`](field@Self::b_frames).
    #[must_use]
    pub fn b_frames(self, b_frames: bool) -> Self {
        Self { b_frames, ..self }
    }

    /// Sets [`closed_gop`](field@Self::closed_gop).
    #[must_use]
    pub fn closed_gop(self, closed_gop: bool) -> Self {
        Self { closed_gop, ..self }
    }
}

/// Containers by file extension: extension, FFmpeg's muxer.
const CONTAINERS: [(&str, &str); 7] = [
    ("mp4", "mp4"),
    ("m4v", "mp4"),
    ("mov", "mov"),
    ("mkv", "matroska"),
    ("avi", "avi"),
    ("ts", "mpegts"),
    ("h264", "h264"),
];

/// Encodes RGB frames into a video file.
///
/// The same frames and options give the same bytes on the same machine and FFmpeg: one thread, and
/// no dates or random numbers in the file. Colors are ITU-601, limited range, 4:2:0 (4:4:4 for
/// H.264 with an odd side, which 4:2:0 cannot hold).
///
/// ```
/// use deeptell_video::{VideoCodec, VideoReader, VideoWriter, WriterOptions};
/// use image::{Rgb, RgbImage};
///
/// # let folder = tempfile::tempdir()?;
/// # let path = folder.path().join("fade.mp4");
/// let options = WriterOptions::default().codec(VideoCodec::Mpeg4);
/// let mut writer = VideoWriter::create(&path, 64, 48, &options)?;
/// for step in 0..20 {
///     writer.write(&RgbImage::from_pixel(64, 48, Rgb([step * 10; 3])))?;
/// }
/// writer.finish()?;
/// assert_eq!(VideoReader::open(&path)?.info().frame_count, Some(20));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[must_use = "a video is complete only after `finish`"]
pub struct VideoWriter {
    path: PathBuf,
    size: (u32, u32),
    muxer: Output,
    encoder: encoder::video::Encoder,
    from_rgb: FromRgb,
    frame_time: Rational,
    stream_time: Rational,
    /// Quality of every frame in FFmpeg's units, where the encoder takes it frame by frame.
    quantizer: Option<i32>,
    frames: i64,
}

impl std::fmt::Debug for VideoWriter {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("VideoWriter")
            .field("path", &self.path)
            .field("size", &self.size)
            .field("frames", &self.frames)
            .finish_non_exhaustive()
    }
}

impl VideoWriter {
    /// Creates the file, replacing one that is there, for frames of `width` x `height` pixels.
    ///
    /// The extension chooses the container: `mp4`, `m4v`, `mov`, `mkv`, `avi`, `ts`, or `h264` for
    /// a bare stream without times.
    ///
    /// # Errors
    /// - [`VideoError::InvalidOutput`] when an option, the size or the extension is none that can be written;
    /// - [`VideoError::NoEncoder`] when FFmpeg lacks the encoder;
    /// - [`VideoError::Io`] when the file cannot be created;
    /// - [`VideoError::Encoder`] when FFmpeg refuses.
    pub fn create(
        path: impl AsRef<Path>,
        width: u32,
        height: u32,
        options: &WriterOptions,
    ) -> Result<Self, VideoError> {
        crate::local::prepare_ffmpeg();
        let path = path.as_ref();
        let invalid = |detail| VideoError::InvalidOutput { path: path.to_owned(), detail };
        let failed =
            |error: ff::Error| VideoError::Encoder { path: path.to_owned(), detail: error.to_string() };
        let container = check(path, width, height, options).map_err(invalid)?;
        let name = options.codec.encoder();
        let codec = encoder::find_by_name(name).ok_or(VideoError::NoEncoder { encoder: name })?;

        let file = File::create(path).map_err(|source| VideoError::Io { path: path.to_owned(), source })?;
        let io = StreamIo::from_write_seek(file).map_err(failed)?;
        let mut muxer = ff::format::output_to_stream(io, None, Some(container)).map_err(failed)?;
        let wants_global_header = muxer.format().flags().contains(FormatFlags::GLOBAL_HEADER);

        let Opened { encoder, format, quantizer } =
            open_encoder(codec, width, height, options, wants_global_header).map_err(failed)?;
        let frame_time = frame_time(options);

        let mut stream = muxer.add_stream_with(&encoder.0).map_err(failed)?;
        stream.set_time_base(frame_time);
        stream.set_avg_frame_rate(frame_time.invert());
        let mut settings = Dictionary::new();
        settings.set("fflags", "+bitexact");
        muxer.write_header_with(settings).map_err(failed)?;
        let stream_time = muxer.stream(0).ok_or_else(|| failed(ff::Error::Bug))?.time_base();
        let from_rgb = FromRgb::new(width, height, format).map_err(failed)?;
        Ok(Self {
            path: path.to_owned(),
            size: (width, height),
            muxer,
            encoder,
            from_rgb,
            frame_time,
            stream_time,
            quantizer,
            frames: 0,
        })
    }

    /// Appends one frame.
    ///
    /// # Errors
    /// [`VideoError::InvalidOutput`] when the size is not the one given at the start;
    /// [`VideoError::Encoder`] when FFmpeg cannot encode or store it.
    pub fn write(&mut self, image: &RgbImage) -> Result<(), VideoError> {
        if image.dimensions() != self.size {
            let ((width, height), (is_width, is_height)) = (self.size, image.dimensions());
            let detail =
                format!("a frame of {is_width} x {is_height} in a video of {width} x {height}; resize it");
            return Err(VideoError::InvalidOutput { path: self.path.clone(), detail });
        }
        self.encode(image).map_err(|error| self.failed(error))
    }

    fn encode(&mut self, image: &RgbImage) -> Result<(), ff::Error> {
        let mut picture = self.from_rgb.convert(image)?;
        picture.set_pts(Some(self.frames));
        picture.set_kind(picture::Type::None);
        if let Some(quantizer) = self.quantizer {
            set_quality(&mut picture, quantizer);
        }
        self.frames += 1;
        self.encoder.send_frame(&picture)?;
        self.store()
    }

    /// Moves finished packets from the encoder to the file.
    fn store(&mut self) -> Result<(), ff::Error> {
        let mut packet = Packet::empty();
        loop {
            match self.encoder.receive_packet(&mut packet) {
                Ok(()) => {}
                Err(ff::Error::Eof | ff::Error::Other { errno: ff::error::EAGAIN }) => return Ok(()),
                Err(error) => return Err(error),
            }
            packet.set_stream(0);
            packet.set_duration(1);
            packet.rescale_ts(self.frame_time, self.stream_time);
            packet.write_interleaved(&mut self.muxer)?;
        }
    }

    /// Completes the file. Without this call it stays unfinished and most readers refuse it.
    ///
    /// # Errors
    /// [`VideoError::InvalidOutput`] when no frame was written; [`VideoError::Encoder`] when FFmpeg
    /// cannot store the rest, for example on a full disk.
    pub fn finish(mut self) -> Result<(), VideoError> {
        if self.frames == 0 {
            let detail = "no frames were written; a video needs at least one".to_owned();
            return Err(VideoError::InvalidOutput { path: self.path, detail });
        }
        let finished =
            self.encoder.send_eof().and_then(|()| self.store()).and_then(|()| self.muxer.write_trailer());
        finished.map_err(|error| self.failed(error))
    }

    fn failed(&self, error: ff::Error) -> VideoError {
        VideoError::Encoder { path: self.path.clone(), detail: error.to_string() }
    }
}

/// An encoder that is ready for pictures.
pub(crate) struct Opened {
    pub(crate) encoder: encoder::video::Encoder,
    /// What its pictures are made of.
    pub(crate) format: Pixel,
    /// Quality of every frame in FFmpeg's units, where the encoder takes it frame by frame.
    pub(crate) quantizer: Option<i32>,
}

fn frame_time(options: &WriterOptions) -> Rational {
    Rational(1, options.frames_per_second as i32)
}

/// Opens an encoder for settings that [`check`] accepts.
pub(crate) fn open_encoder(
    codec: ff::Codec,
    width: u32,
    height: u32,
    options: &WriterOptions,
    wants_global_header: bool,
) -> Result<Opened, ff::Error> {
    let mut context = codec::Context::new_with_codec(codec);
    context.set_threading(threading::Config::count(1));
    let mut flags = CodecFlags::BITEXACT;
    flags.set(CodecFlags::GLOBAL_HEADER, wants_global_header);
    flags.set(CodecFlags::CLOSED_GOP, options.closed_gop);
    flags.set(CodecFlags::QSCALE, options.codec == VideoCodec::Mpeg4);
    context.set_flags(flags);
    let frame_time = frame_time(options);
    context.set_time_base(frame_time);
    context.set_frame_rate(Some(frame_time.invert()));
    let mut encoder = context.encoder().video()?;
    let is_odd = width % 2 == 1 || height % 2 == 1;
    let format = if is_odd && options.codec == VideoCodec::H264 { Pixel::YUV444P } else { Pixel::YUV420P };
    encoder.set_width(width);
    encoder.set_height(height);
    encoder.set_format(format);
    encoder.set_colorspace(Space::SMPTE170M);
    encoder.set_color_range(Range::MPEG);
    encoder.set_gop(options.keyframe_interval);
    encoder.set_max_b_frames(if options.b_frames { 2 } else { 0 });
    let quality = options.quality.unwrap_or(options.codec.quality_range().1);
    let mut settings = Dictionary::new();
    let mut quantizer = None;
    match options.codec {
        VideoCodec::H264 => {
            settings.set("crf", &quality.to_string());
            // With B-frames libx264's macroblock tree reads beyond its arrays (as valgrind shows),
            // so that the bytes of the file depend on what the memory held before.
            settings.set("mbtree", "0");
            if options.keyframe_interval == 1 {
                // Keyframes look ahead to nothing; making ready for it takes longer than a picture.
                settings.set("rc-lookahead", "0");
            }
        }
        VideoCodec::Mpeg4 => {
            quantizer = Some(i32::from(quality) * ff::ffi::FF_QP2LAMBDA);
            if options.closed_gop {
                // This encoder cannot close groups and begin them at scene changes: it refuses
                // unless the threshold is out of reach.
                settings.set("sc_threshold", "1000000000");
            }
        }
    }
    let encoder = encoder.open_as_with(codec, settings)?;
    Ok(Opened { encoder, format, quantizer })
}

#[expect(unsafe_code, reason = "the wrapper does not expose the setting")]
pub(crate) fn set_quality(picture: &mut frame::Video, quality: i32) {
    // SAFETY: the frame is ours alone; the field is a plain number.
    unsafe { (*picture.as_mut_ptr()).quality = quality };
}

/// The container for `path`, or what is wrong with the request.
fn check(path: &Path, width: u32, height: u32, options: &WriterOptions) -> Result<&'static str, String> {
    let extension = path.extension().map(|extension| extension.to_string_lossy().to_ascii_lowercase());
    let known = CONTAINERS.iter().find(|(name, _)| extension.as_deref() == Some(name));
    let Some((_, container)) = known else {
        return Err("the extension names no container; use .mp4 or .mkv".to_owned());
    };
    if *container == "h264" && options.codec != VideoCodec::H264 {
        return Err("a bare .h264 stream holds H.264 only; use .mp4 or .mkv".to_owned());
    }
    check_picture(width, height, options)?;
    if !(1..=1000).contains(&options.frames_per_second) {
        return Err(format!("{} frames per second; use 1 to 1000", options.frames_per_second));
    }
    if !(1..=100_000).contains(&options.keyframe_interval) {
        return Err(format!("a keyframe interval of {}; use 1 to 100000 frames", options.keyframe_interval));
    }
    Ok(container)
}

/// What is wrong with the size or the quality.
pub(crate) fn check_picture(width: u32, height: u32, options: &WriterOptions) -> Result<(), String> {
    if !(2..=16384).contains(&width) || !(2..=16384).contains(&height) {
        return Err(format!("{width} x {height} pixels; each side must be 2 to 16384"));
    }
    let (range, _) = options.codec.quality_range();
    match options.quality {
        Some(quality) if !range.contains(&quality) => {
            Err(format!("quality {quality}; use {} to {}", range.start(), range.end()))
        }
        _ => Ok(()),
    }
}
