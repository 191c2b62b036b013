//! Animated WebP, which FFmpeg does not decode.

use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::path::Path;
use std::sync::Arc;

use deeptell_face::{PictureFormat, PictureKind, exif_orientation, shrunk};
use image::metadata::Orientation;
use image::{DynamicImage, RgbImage};
use image_webp::{DecodingError, WebPDecoder};

use crate::extent::Extent;
use crate::frames::Timing;
use crate::guard::{Guard, GuardedFile};
use crate::local::DecodeOptions;
use crate::sampling::Moments;
use crate::{Sampling, VideoError, VideoInfo, Warning};

/// Seconds of one tick: WebP counts milliseconds.
const TICK_SECONDS: f64 = 0.001;
/// Frames that are to be shown no longer than `TOO_SHORT` ticks are shown for `USUAL`, as browsers do.
const TOO_SHORT: u32 = 10;
const USUAL: u32 = 100;
/// Longer EXIF data are not read, in bytes; cameras write 64 KiB at most.
const MAX_METADATA: usize = 1 << 20;

/// An animated WebP file.
pub(crate) struct AnimationReader {
    file: File,
    guard: Guard,
    max_side: Option<u32>,
    /// When each frame begins, in ticks.
    starts: Vec<u64>,
    /// When the last one ends.
    end: u64,
    orientation: Orientation,
    pub(crate) info: VideoInfo,
    pub(crate) warnings: Vec<Warning>,
}

type Decoder = WebPDecoder<BufReader<GuardedFile>>;

impl AnimationReader {
    /// Whether `file` is one, which this reader and no other takes.
    pub(crate) fn takes(file: &mut File) -> io::Result<bool> {
        let kind = PictureKind::of(file)?;
        Ok(kind.is_some_and(|kind| kind.is_animated && kind.format == PictureFormat::WebP))
    }

    /// Looks at `file`, which is called `path` in errors.
    pub(crate) fn open(file: File, path: &Path, decode: &DecodeOptions) -> Result<Self, VideoError> {
        let guard = Guard::new(path, decode.limits.deadline).with_stop(decode.stop.clone());
        let running = guard.run();
        let bytes = GuardedFile::new(&file, &guard).map_err(|error| guard.io(error))?;
        let extent = Extent::of(bytes, || !guard.is_half_spent()).map_err(|error| guard.io(error))?;
        if let Some(cut) = extent.cut {
            return Err(VideoError::Truncated { path: path.to_owned(), detail: cut.to_string() });
        }
        let mut decoder = decoder(&file, &guard)?;
        let (width, height) = decoder.dimensions();
        let max_pixels = decode.limits.max_pixels;
        if u64::from(width) * u64::from(height) > max_pixels {
            return Err(VideoError::TooLarge { path: path.to_owned(), width, height, max_pixels });
        }
        let orientation = exif_orientation(&decoder.exif_metadata().ok().flatten().unwrap_or_default());
        drop(decoder);
        let (starts, end) = times(&file, &guard)?;
        if starts.is_empty() {
            return Err(VideoError::NoFrames { path: path.to_owned(), packets: 0 });
        }
        let is_turned = matches!(
            orientation,
            Orientation::Rotate90
                | Orientation::Rotate270
                | Orientation::Rotate90FlipH
                | Orientation::Rotate270FlipH
        );
        let (width, height) = if is_turned { (height, width) } else { (width, height) };
        let seconds = end as f64 * TICK_SECONDS;
        let info = VideoInfo {
            width,
            height,
            duration_seconds: Some(seconds),
            frames_per_second: Some(starts.len() as f64 / seconds),
            frame_count: Some(starts.len() as u64),
            stream: 0,
            codec: "webp".to_owned(),
            container: "webp".to_owned(),
            rotation_degrees: match orientation {
                Orientation::Rotate90 | Orientation::Rotate90FlipH => 90,
                Orientation::Rotate180 => 180,
                Orientation::Rotate270 | Orientation::Rotate270FlipH => 270,
                _ => 0,
            },
        };
        drop(running);
        let (max_side, warnings) = (decode.max_side, extent.warnings().collect());
        Ok(Self { file, guard, max_side, starts, end, orientation, info, warnings })
    }
}

fn decoder(file: &File, guard: &Guard) -> Result<Decoder, VideoError> {
    let file = GuardedFile::new(file, guard).map_err(|error| guard.io(error))?;
    let mut decoder = WebPDecoder::new(BufReader::new(file)).map_err(|error| explain(error, guard))?;
    decoder.set_memory_limit(MAX_METADATA);
    Ok(decoder)
}

/// The cause of a decoder's error: the disk's, the deadline's, or its own.
fn explain(error: DecodingError, guard: &Guard) -> VideoError {
    let own = match error {
        DecodingError::IoError(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
            VideoError::Truncated { path: guard.path(), detail: "a frame is incomplete".to_owned() }
        }
        DecodingError::IoError(error) => guard.io(error),
        DecodingError::MemoryLimitExceeded => VideoError::OutOfMemory { path: guard.path() },
        // Its own words contain values of its code.
        _ => VideoError::Corrupt { path: guard.path(), detail: "a frame cannot be decoded".to_owned() },
    };
    let known = guard.check().and_then(|()| guard.take_read_error().map_err(|error| guard.io(error)));
    known.err().unwrap_or(own)
}

/// When each frame begins, and when the last ends, in ticks: from the headers of the frames alone.
fn times(file: &File, guard: &Guard) -> Result<(Vec<u64>, u64), VideoError> {
    let fault = |error: io::Error| explain(DecodingError::IoError(error), guard);
    let mut file = BufReader::new(GuardedFile::new(file, guard).map_err(fault)?);
    let length = file.seek(SeekFrom::End(0)).map_err(fault)?;
    let (mut starts, mut end, mut at) = (Vec::new(), 0, 12);
    while at + 8 <= length {
        file.seek(SeekFrom::Start(at)).map_err(fault)?;
        let mut head = [0; 8];
        file.read_exact(&mut head).map_err(fault)?;
        let [name @ .., a, b, c, d] = head;
        let size = u64::from(u32::from_le_bytes([a, b, c, d]));
        if &name == b"ANMF" {
            // Place and size, four numbers of three bytes, then the time.
            let mut frame = [0; 15];
            file.read_exact(&mut frame).map_err(fault)?;
            let [.., a, b, c] = frame;
            let shown = u32::from_le_bytes([a, b, c, 0]);
            starts.push(end);
            end += u64::from(if shown <= TOO_SHORT { USUAL } else { shown });
        }
        at += 8 + size + size % 2;
    }
    Ok((starts, end))
}

/// The frames of one sampling.
pub(crate) struct AnimationFrames<'a> {
    pub(crate) reader: &'a mut AnimationReader,
    refusal: Option<VideoError>,
    /// Numbers of the frames wanted, in ascending order.
    wanted: std::vec::IntoIter<usize>,
    decoder: Option<Decoder>,
    /// The frame on screen: its number, and its pixels as the decoder gave them.
    shown: Option<(usize, Vec<u8>)>,
    given: Option<usize>,
}

impl<'a> AnimationFrames<'a> {
    pub(crate) fn new(reader: &'a mut AnimationReader, sampling: Sampling) -> Self {
        let (wanted, refusal) = match wanted(reader, sampling) {
            Ok(wanted) => (wanted, None),
            Err(refusal) => (Vec::new(), Some(refusal)),
        };
        Self { reader, refusal, wanted: wanted.into_iter(), decoder: None, shown: None, given: None }
    }

    /// Goes to the next frame wanted, without converting it.
    pub(crate) fn advance(&mut self) -> Option<Result<Timing, VideoError>> {
        if let Some(refusal) = self.refusal.take() {
            return Some(Err(refusal));
        }
        let wanted = self.wanted.next()?;
        let found = self.show(wanted);
        if found.is_err() {
            self.wanted = Vec::new().into_iter();
        }
        let repeats_previous = self.given.replace(wanted) == Some(wanted);
        let pts_seconds = self.reader.starts[wanted] as f64 * TICK_SECONDS;
        Some(found.map(|()| Timing { pts_seconds, index: Some(wanted as u64), repeats_previous }))
    }

    /// Decodes up to frame number `wanted`: each is drawn over those before it.
    fn show(&mut self, wanted: usize) -> Result<(), VideoError> {
        let guard = self.reader.guard.clone();
        let _running = guard.run();
        let decoder = match self.decoder.take() {
            Some(decoder) => self.decoder.insert(decoder),
            None => self.decoder.insert(decoder(&self.reader.file, &guard)?),
        };
        let (next, mut pixels) = if let Some((shown, pixels)) = self.shown.take() {
            (shown + 1, pixels)
        } else {
            let length = decoder.output_buffer_size();
            let length = length.ok_or_else(|| VideoError::OutOfMemory { path: guard.path() })?;
            (0, vec![0; length])
        };
        for _ in next..=wanted {
            guard.check()?;
            decoder.read_frame(&mut pixels).map_err(|error| explain(error, &guard))?;
        }
        self.shown = Some((wanted, pixels));
        Ok(())
    }

    /// The frame that [`Self::advance`] came to, upright, without its transparency.
    pub(crate) fn image(&mut self) -> Result<RgbImage, VideoError> {
        let guard = &self.reader.guard;
        let none = || VideoError::NoFrames { path: guard.path(), packets: 0 };
        let (Some((_, pixels)), Some(decoder)) = (&self.shown, &self.decoder) else { return Err(none()) };
        let _running = guard.run();
        let (width, height) = decoder.dimensions();
        let pixels = if decoder.has_alpha() {
            pixels.chunks_exact(4).flat_map(|pixel| [pixel[0], pixel[1], pixel[2]]).collect()
        } else {
            pixels.clone()
        };
        let image = RgbImage::from_raw(width, height, pixels).ok_or_else(none)?;
        let smaller = self.reader.max_side.and_then(|side| shrunk(&image, side));
        let mut image = DynamicImage::ImageRgb8(smaller.unwrap_or(image));
        image.apply_orientation(self.reader.orientation);
        Ok(image.into_rgb8())
    }

    pub(crate) fn count(&self) -> usize {
        self.wanted.len() + usize::from(self.refusal.is_some())
    }
}

/// Numbers of the frames that `sampling` names.
fn wanted(reader: &AnimationReader, sampling: Sampling) -> Result<Vec<usize>, VideoError> {
    if sampling == Sampling::EveryFrame {
        return Ok((0..reader.starts.len()).collect());
    }
    let starts: Arc<[i64]> = reader.starts.iter().map(|start| *start as i64).collect();
    let moments = Moments::new(sampling, 0, reader.end as i64, TICK_SECONDS)?.with_different(&starts);
    let at = |moment: i64| starts.partition_point(|start| *start <= moment).saturating_sub(1);
    Ok((0..).map_while(|number| moments.get(number)).map(at).collect())
}
