//! When the frames of a video are shown, from its container alone.

use std::ops::Range;
use std::sync::Arc;

use crate::color_tags::Stated;
use crate::planes::ColorTags;
use crate::sampling::Moments;
use crate::{Cut, Sampling, VideoError, Warning};

/// Largest header that is kept in memory, in bytes.
const MOST_HEADER: u64 = 64 << 20;
/// More frames than this are not listed: eighteen hours at 60 per second.
const MOST_FRAMES: usize = 1 << 22;

/// FFmpeg's name of Matroska and `WebM`.
const MATROSKA: &str = "matroska,webm";

/// When the frames of a video are shown.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct FrameTimes {
    /// FFmpeg's names of the container, as in `VideoInfo::container`.
    pub container: &'static str,
    /// FFmpeg's name of the codec, where it is one of the usual ones, else what the file calls it.
    pub codec: String,
    /// Where the last frame that is there ends in a file that was cut, in bytes: decoders may fail at a part of the next.
    pub whole_bytes: Option<u64>,
    tick_seconds: f64,
    /// In ascending order, at least one.
    starts: Arc<[i64]>,
    span: i64,
    /// What the header says of the span.
    declared: Option<i64>,
    /// From one frame to the next.
    usual: i64,
}

/// A frame to sample.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct FrameMoment {
    /// Number of the frame in display order, from 0.
    pub index: u64,
    /// When it is shown, in seconds from the first frame.
    pub pts_seconds: f64,
    /// When the next one is shown, or the video ends.
    pub until_seconds: f64,
}

impl FrameTimes {
    /// `duration` is that of the last packet, `rest` what the header leaves for it; the file `is_whole` if the header
    /// lists all of its packets.
    fn new(
        container: &'static str,
        codec: String,
        tick_seconds: f64,
        mut starts: Vec<i64>,
        duration: Option<i64>,
        is_whole: bool,
        rest: impl Fn(i64, i64) -> Option<i64>,
    ) -> Option<Self> {
        starts.sort_unstable();
        starts.dedup();
        let (first, last) = (*starts.first()?, *starts.last()?);
        let mut distances: Vec<i64> = starts.windows(2).map(|pair| pair[1].saturating_sub(pair[0])).collect();
        let middle = distances.len() / 2;
        let usual = if distances.is_empty() { 1 } else { *distances.select_nth_unstable(middle).1 };
        let own = duration.filter(|ticks| *ticks > 0).unwrap_or(usual);
        let shown_for = last_duration(own, usual, rest(first, last), is_whole);
        let span = last.saturating_add(shown_for).saturating_sub(first).max(1);
        Some(Self {
            container,
            codec,
            whole_bytes: None,
            tick_seconds,
            starts: starts.into(),
            span,
            declared: None,
            usual,
        })
    }

    /// How many frames there are, at least one.
    pub fn count(&self) -> u64 {
        self.starts.len() as u64
    }

    /// From the first frame to the end of the last, in seconds.
    pub fn duration_seconds(&self) -> f64 {
        self.span as f64 * self.tick_seconds
    }

    /// The mean frame rate.
    pub fn frames_per_second(&self) -> f64 {
        self.count() as f64 / self.duration_seconds()
    }

    /// What is to be said of a file that was cut: how many seconds are there, if the header tells and they are clearly
    /// fewer, or else how many bytes.
    pub fn cut_warning(&self, cut: Cut) -> Warning {
        let seconds = |ticks: i64| ticks as f64 * self.tick_seconds;
        let found_seconds = self.duration_seconds();
        // MP4 lists its frames; the length of a Matroska file need not be exact.
        let slack = |declared_seconds: f64| match self.container {
            MATROSKA => f64::max(1.0, 0.02 * declared_seconds),
            _ => 1.5 * seconds(self.usual),
        };
        match self.declared.map(seconds) {
            Some(declared_seconds) if found_seconds + slack(declared_seconds) < declared_seconds => {
                Warning::Truncated { declared_seconds, found_seconds }
            }
            _ => cut.into(),
        }
    }

    /// The frames that `sampling` takes, in ascending order, each once: those that a reader of the file gives.
    ///
    /// # Errors
    /// [`VideoError::InvalidSampling`] when the interval is not a positive number of seconds.
    pub fn sample(&self, sampling: Sampling) -> Result<Vec<FrameMoment>, VideoError> {
        let starts = &self.starts;
        if sampling == Sampling::EveryFrame {
            return Ok((0..starts.len()).map(|number| self.moment(number)).collect());
        }
        let moments = Moments::new(sampling, starts[0], self.span, self.tick_seconds)?.with_different(starts);
        let (mut sampled, mut index) = (Vec::new(), 0);
        // From frame to frame: of a file that claims to last for ages there are more moments than can be counted.
        while let Some(time) = moments.get(index) {
            let after = starts.partition_point(|start| *start <= time).max(1);
            sampled.push(self.moment(after - 1));
            let Some(next) = starts.get(after) else { break };
            index = moments.first_from(index + 1, *next);
        }
        Ok(sampled)
    }

    fn moment(&self, number: usize) -> FrameMoment {
        let first = self.starts[0];
        let seconds = |ticks: i64| ticks as f64 * self.tick_seconds;
        let until = self.starts.get(number + 1).map_or(self.span, |next| next.saturating_sub(first));
        FrameMoment {
            index: number as u64,
            pts_seconds: seconds(self.starts[number].saturating_sub(first)),
            until_seconds: seconds(until),
        }
    }
}

/// How long the last frame is shown: as long as its packet says, or as the header leaves for it, which is
/// the `rest`.
///
/// Where the rate varies, packets are wrong about it: those of Matroska last as long as the mean
/// distance, those of MP4 until the next one is decoded. The header knows the end, unless it tells of
/// packets that are not there (then the file is not `whole`).
pub(crate) fn last_duration(own: i64, usual: i64, rest: Option<i64>, is_whole: bool) -> i64 {
    match rest.filter(|rest| *rest > 0) {
        // Not for the rounding of either.
        Some(rest) if rest < own / 4 * 3 || is_whole && rest.abs_diff(own) > usual.unsigned_abs() => rest,
        _ => own,
    }
}

/// Reads [`FrameTimes`] from the bytes of a file, which come one piece after the other and are not kept: MP4 and MOV
/// files with an index, `WebM` and Matroska.
///
/// ```
/// use deeptell_video::FrameTimesReader;
///
/// let mut reader = FrameTimesReader::new();
/// reader.push(b"no video");
/// assert!(reader.finish().is_none());
/// ```
#[derive(Debug, Default)]
pub struct FrameTimesReader {
    /// What was pushed and not yet read.
    buffer: Vec<u8>,
    /// Bytes still to come that nobody wants; `u64::MAX` for all of them.
    skip: u64,
    /// Bytes still to come of what is read next, where its first ones are there.
    needed: u64,
    /// Bytes that were pushed.
    pushed: u64,
    format: Format,
}

#[derive(Debug, Default)]
enum Format {
    #[default]
    Unknown,
    Mp4(Mp4),
    Matroska(Box<Matroska>),
    Other,
}

#[derive(Debug, Default)]
struct Mp4 {
    moov: Option<Vec<u8>>,
    is_fragmented: bool,
    /// Whether the box that is read has a known name, and so the size that it states.
    is_known: bool,
}

/// What a parser wants next.
enum Next {
    /// That many bytes of the buffer are done.
    Done(usize),
    /// So many bytes from here on are of no use.
    Skip(u64),
    /// The buffer must hold that many bytes.
    Needs(usize),
    /// The rest cannot be read.
    Stop,
}

impl FrameTimesReader {
    /// A reader of which nothing was read.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes the next bytes of the file.
    pub fn push(&mut self, bytes: &[u8]) {
        self.pushed += bytes.len() as u64;
        if matches!(self.format, Format::Other) {
            return;
        }
        let skipped = usize::try_from(self.skip).unwrap_or(usize::MAX).min(bytes.len());
        if self.skip < u64::MAX {
            self.skip -= skipped as u64;
        }
        self.buffer.extend_from_slice(&bytes[skipped..]);
        self.needed = 0;
        let mut done = 0;
        while self.skip == 0 {
            let at = self.pushed - (self.buffer.len() - done) as u64;
            match self.format.next(&self.buffer[done..], at) {
                Next::Done(count) => done += count,
                Next::Skip(count) => {
                    let there = (self.buffer.len() - done) as u64;
                    done += there.min(count) as usize;
                    self.skip = if count == u64::MAX { count } else { count - there.min(count) };
                }
                Next::Needs(count) if self.buffer.len() - done < count => {
                    let there = self.buffer.len() - done;
                    self.needed = if there == 0 { 0 } else { (count - there) as u64 };
                    break;
                }
                Next::Needs(_) | Next::Stop => {
                    self.format = self.format.stopped();
                    break;
                }
            }
        }
        self.buffer.drain(..done.min(self.buffer.len()));
    }

    /// What is missing if the file ends here; `None` where it may end here, and where nothing tells. What follows the
    /// fragment or the part that is cut is not known.
    pub fn cut(&self) -> Option<Cut> {
        let missing = if self.skip == u64::MAX { 0 } else { self.skip + self.needed };
        let total_bytes = match &self.format {
            Format::Mp4(mp4) if mp4.is_known && missing > 0 => {
                (!mp4.is_fragmented).then_some(self.pushed + missing)
            }
            Format::Matroska(matroska) => match matroska.end {
                Some(end) if self.pushed < end => Some(end),
                None if matroska.is_known && missing > 0 => None,
                _ => return None,
            },
            _ => return None,
        };
        Some(Cut { present_bytes: self.pushed, total_bytes })
    }

    /// What the colors mean, as FFmpeg's decoders take them; `None` where the headers do not hold what tells: of other
    /// codecs than H.264, VP8, VP9 and AV1. A matrix of 0 is that of planes of green, blue and red.
    pub fn colors(&self) -> Option<ColorTags> {
        match &self.format {
            Format::Mp4(mp4) => Mp4Track::best(mp4.moov.as_ref()?)?.colors(),
            Format::Matroska(matroska) => matroska.track.as_ref()?.colors(),
            Format::Unknown | Format::Other => None,
        }
    }

    /// The times, at the end of the file; `None` where it is of another kind or has no list of frames. Of a file that was
    /// cut, those of the frames that are there.
    pub fn finish(self) -> Option<FrameTimes> {
        let present = self.cut().map(|cut| cut.present_bytes);
        match self.format {
            Format::Mp4(mp4) => Mp4Track::best(&mp4.moov?)?.times(present),
            Format::Matroska(mut matroska) => {
                // FFmpeg drops a block that is not there as a whole.
                if self.skip > 0 && matroska.is_frame {
                    matroska.starts.pop();
                }
                let read = self.pushed - self.buffer.len() as u64;
                let whole_bytes = present.map(|_| if self.skip > 0 { matroska.at } else { read });
                Some(FrameTimes { whole_bytes, ..matroska.times()? })
            }
            Format::Unknown | Format::Other => None,
        }
    }
}

impl Format {
    /// Reads the start of `buffer`, which is at `at` in the file.
    fn next(&mut self, buffer: &[u8], at: u64) -> Next {
        match self {
            Self::Unknown => {
                let Some(head) = buffer.first_chunk::<8>() else { return Next::Needs(8) };
                *self = match head {
                    [0x1a, 0x45, 0xdf, 0xa3, ..] => Self::Matroska(Box::default()),
                    [_, _, _, _, b'f', b't', b'y', b'p']
                    | [_, _, _, _, b'm', b'o', b'o', b'v']
                    | [_, _, _, _, b'm', b'd', b'a', b't']
                    | [_, _, _, _, b'w', b'i', b'd', b'e']
                    | [_, _, _, _, b'f', b'r', b'e', b'e']
                    | [_, _, _, _, b's', b'k', b'i', b'p'] => Self::Mp4(Mp4::default()),
                    _ => Self::Other,
                };
                if matches!(self, Self::Other) { Next::Stop } else { Next::Done(0) }
            }
            Self::Mp4(mp4) => mp4.next(buffer),
            Self::Matroska(matroska) => matroska.next(buffer, at),
            Self::Other => Next::Stop,
        }
    }

    /// What was found so far, when the rest cannot be read.
    fn stopped(&mut self) -> Self {
        match std::mem::take(self) {
            // Blocks are read as they come: those that are there are frames.
            Self::Mp4(mp4) if mp4.moov.is_some() => Self::Mp4(Mp4 { is_known: false, ..mp4 }),
            _ => Self::Other,
        }
    }
}

/// A box of an MP4 file: its type, where its content begins, and its size, 0 for the rest of the file.
fn box_head(bytes: &[u8]) -> Option<([u8; 4], usize, u64)> {
    let size = u64::from(u32_at(bytes, 0)?);
    let kind = *bytes.get(4..)?.first_chunk::<4>()?;
    if size == 1 { Some((kind, 16, u64_at(bytes, 8)?)) } else { Some((kind, 8, size)) }
}

/// Boxes at the top of an MP4 file that are known to be long (ISO/IEC 14496-12, 6.2; `QuickTime`).
pub(crate) const BOXES: [&[u8; 4]; 16] = [
    b"ftyp", b"moov", b"mdat", b"moof", b"mfra", b"sidx", b"ssix", b"styp", b"free", b"skip", b"wide",
    b"uuid", b"meta", b"emsg", b"prft", b"udta",
];

impl Mp4 {
    fn next(&mut self, buffer: &[u8]) -> Next {
        let is_long = u32_at(buffer, 0) == Some(1);
        self.is_known = buffer.get(4..8).is_some_and(|kind| BOXES.iter().any(|known| kind == *known));
        let Some((kind, head, size)) = box_head(buffer) else {
            return Next::Needs(if is_long { 16 } else { 8 });
        };
        self.is_fragmented |= &kind == b"moof";
        if size == 0 {
            return Next::Skip(u64::MAX);
        }
        if size < head as u64 {
            return Next::Stop;
        }
        if &kind != b"moov" || self.moov.is_some() || size > MOST_HEADER {
            return Next::Skip(size);
        }
        let Some(content) = buffer.get(head..size as usize) else { return Next::Needs(size as usize) };
        self.moov = Some(content.to_vec());
        Next::Done(size as usize)
    }
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes(*bytes.get(at..)?.first_chunk()?))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_be_bytes(*bytes.get(at..)?.first_chunk()?))
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_be_bytes(*bytes.get(at..)?.first_chunk()?))
}

/// The boxes within the content of one.
fn boxes(mut bytes: &[u8]) -> impl Iterator<Item = ([u8; 4], &[u8])> {
    std::iter::from_fn(move || {
        let (kind, head, size) = box_head(bytes)?;
        let end = if size == 0 { bytes.len() } else { usize::try_from(size).ok()? };
        let content = bytes.get(head..end)?;
        bytes = &bytes[end..];
        Some((kind, content))
    })
}

/// The content of the first box of a path.
fn inside<'a>(bytes: &'a [u8], path: &[&[u8; 4]]) -> Option<&'a [u8]> {
    path.iter().try_fold(bytes, |bytes, kind| {
        boxes(bytes).find(|(found, _)| found == *kind).map(|(_, content)| content)
    })
}

/// The video track of an MP4 file.
struct Mp4Track<'a> {
    timescale: u32,
    /// Of the part that is shown, in ticks.
    duration: Option<i64>,
    /// The part that is shown, on the clock of the frames.
    shown: Range<i64>,
    table: &'a [u8],
    codec: String,
    /// The boxes of its sample entry, if it has one alone.
    entry: Option<&'a [u8]>,
}

/// Bytes of a sample entry before its boxes: those of every box, and of a visual one (ISO/IEC 14496-12, 12.1.3).
const ENTRY_HEAD: usize = 8 + 78;

impl<'a> Mp4Track<'a> {
    /// The first video track with samples, those that players show first.
    fn best(moov: &'a [u8]) -> Option<Self> {
        let header = inside(moov, &[b"mvhd"])?;
        let movie_timescale = u32_at(header, if header.first()? == &1 { 20 } else { 12 })?;
        let tracks: Vec<(bool, Self)> = boxes(moov)
            .filter(|(kind, _)| kind == b"trak")
            .filter_map(|(_, trak)| Some((is_enabled(trak)?, Self::of(trak, movie_timescale)?)))
            .collect();
        let chosen = tracks.iter().position(|(is_enabled, _)| *is_enabled).unwrap_or(0);
        tracks.into_iter().nth(chosen).map(|(_, track)| track)
    }

    fn of(trak: &'a [u8], movie_timescale: u32) -> Option<Self> {
        let media = inside(trak, &[b"mdia"])?;
        if inside(media, &[b"hdlr"])?.get(8..12)? != b"vide" {
            return None;
        }
        let header = inside(media, &[b"mdhd"])?;
        let (timescale, duration) = match header.first()? {
            1 => (u32_at(header, 20)?, u64_at(header, 24)?),
            _ => (u32_at(header, 12)?, u64::from(u32_at(header, 16)?)),
        };
        let table = inside(media, &[b"minf", b"stbl"])?;
        let entries = inside(table, &[b"stsd"])?;
        let codec = mp4_codec(*entries.get(12..)?.first_chunk::<4>()?);
        let entry = (u32_at(entries, 4)? == 1).then(|| entries.get(8 + ENTRY_HEAD..)).flatten();
        if timescale == 0 || movie_timescale == 0 {
            return None;
        }
        let (mut duration, mut shown) =
            (i64::try_from(duration).ok().filter(|ticks| *ticks > 0), i64::MIN..i64::MAX);
        if let Some(edit) = inside(trak, &[b"edts", b"elst"]).map(Edit::only) {
            let Edit { start, length } = edit?;
            shown.start = start;
            if length > 0 {
                let ticks =
                    i64::try_from(u128::from(length) * u128::from(timescale) / u128::from(movie_timescale))
                        .ok()?;
                shown.end = start.saturating_add(ticks);
                duration = Some(ticks);
            }
        }
        Some(Self { timescale, duration, shown, table, codec, entry })
    }

    fn colors(&self) -> Option<ColorTags> {
        let entry = self.entry?;
        let find = |kind: &[u8; 4]| inside(entry, &[kind]);
        let stated = match self.codec.as_str() {
            "h264" => Stated::of_avcc(find(b"avcC")?)?,
            "vp8" => Stated::default(),
            "vp9" => Stated::of_vpcc(find(b"vpcC")?)?,
            "av1" => Stated::of_av1c(find(b"av1C")?)?,
            _ => return None,
        };
        let mut boxes = boxes(entry).filter(|(kind, _)| kind == b"colr");
        let container = boxes.find_map(|(_, content)| Stated::of_colr(content));
        Some(stated.tags(container.unwrap_or_default()))
    }

    /// Of the frames that lie in the first `present` bytes of the file, or of all.
    fn times(&self, present: Option<u64>) -> Option<FrameTimes> {
        let mut starts = Vec::new();
        let (mut time, mut last) = (0_i64, 0_i64);
        for (count, delta) in pairs(inside(self.table, &[b"stts"])?)? {
            // Deltas are signed in files of some cameras.
            last = i64::from(delta as i32);
            for _ in 0..count {
                if starts.len() == MOST_FRAMES {
                    return None;
                }
                starts.push(time);
                time = time.saturating_add(last);
            }
        }
        // As FFmpeg takes it.
        let declared = self.duration.map(|ticks| if time > 0 { ticks.min(time) } else { ticks });
        if let Some(offsets) = inside(self.table, &[b"ctts"]) {
            let offsets = pairs(offsets)?.flat_map(|(count, offset)| {
                std::iter::repeat_n(i64::from(offset as i32), (count as usize).min(MOST_FRAMES))
            });
            for (start, offset) in starts.iter_mut().zip(offsets) {
                *start = start.saturating_add(offset);
            }
        }
        let mut whole_bytes = None;
        if let Some(present) = present {
            let ends = self.ends()?;
            whole_bytes = ends.iter().copied().filter(|end| *end <= present).max();
            let mut ends = ends.into_iter();
            starts.retain(|_| ends.next().is_some_and(|end| end <= present));
        }
        starts.retain(|start| self.shown.contains(start));
        let rest = |first: i64, last: i64| Some(first.saturating_add(self.duration?).saturating_sub(last));
        let tick = 1.0 / f64::from(self.timescale);
        let (container, codec) = ("mov,mp4,m4a,3gp,3g2,mj2", self.codec.clone());
        let times = FrameTimes::new(container, codec, tick, starts, Some(last), present.is_none(), rest)?;
        Some(FrameTimes { whole_bytes, declared, ..times })
    }

    /// Where the bytes of each frame end in the file, in the order in which they are decoded (ISO/IEC 14496-12, 8.7).
    fn ends(&self) -> Option<Vec<u64>> {
        let table = |kind: &[u8; 4]| inside(self.table, &[kind]);
        let sizes = table(b"stsz")?;
        let (one_size, count) = (u32_at(sizes, 4)?, u32_at(sizes, 8)? as usize);
        if count > MOST_FRAMES {
            return None;
        }
        let (places, width) = match table(b"stco") {
            Some(places) => (places, 4),
            None => (table(b"co64")?, 8),
        };
        let start_of = |chunk: usize| {
            let at = 8 + chunk * width;
            if width == 4 { u32_at(places, at).map(u64::from) } else { u64_at(places, at) }
        };
        let runs = table(b"stsc")?.get(8..)?.as_chunks::<12>().0;
        let (mut ends, mut run, mut per_chunk) = (Vec::new(), 0, 0);
        for chunk in 0..u32_at(places, 4)? {
            // Runs of chunks with as many frames each; chunks count from 1.
            if let Some(next) = runs.get(run).filter(|next| u32_at(*next, 0) == Some(chunk + 1)) {
                per_chunk = u32_at(next, 4)?;
                run += 1;
            }
            let mut end = start_of(chunk as usize)?;
            for _ in 0..per_chunk {
                if ends.len() == count {
                    return Some(ends);
                }
                let size = if one_size > 0 { one_size } else { u32_at(sizes, 12 + 4 * ends.len())? };
                end = end.saturating_add(size.into());
                ends.push(end);
            }
        }
        Some(ends)
    }
}

/// What an edit list shows of a track.
struct Edit {
    /// On the clock of the frames.
    start: i64,
    /// On the clock of the movie; 0 for all.
    length: u64,
}

impl Edit {
    /// The one edit of a list, after a pause perhaps; `None` where there are others.
    fn only(list: &[u8]) -> Option<Self> {
        let count = u32_at(list, 4)? as usize;
        let (is_long, size) = if list.first()? == &1 { (true, 20) } else { (false, 12) };
        let edits: Vec<Self> = list
            .get(8..)?
            .chunks_exact(size)
            .take(count)
            .filter_map(|edit| {
                let (length, start) = if is_long {
                    (u64_at(edit, 0)?, u64_at(edit, 8)? as i64)
                } else {
                    (u64::from(u32_at(edit, 0)?), i64::from(u32_at(edit, 4)? as i32))
                };
                // Nothing is shown.
                (start != -1).then_some(Self { start, length })
            })
            .collect();
        <[Self; 1]>::try_from(edits).ok().map(|[edit]| edit)
    }
}

/// Whether the header of a track says that it is shown.
fn is_enabled(trak: &[u8]) -> Option<bool> {
    Some(inside(trak, &[b"tkhd"])?.get(3)? & 1 == 1)
}

/// The pairs of numbers of a table with a version and a count.
fn pairs(table: &[u8]) -> Option<impl Iterator<Item = (u32, u32)>> {
    let count = u32_at(table, 4)? as usize;
    let rows = table.get(8..)?.as_chunks::<8>().0;
    let number =
        |row: &[u8; 8], at: usize| u32::from_be_bytes([row[at], row[at + 1], row[at + 2], row[at + 3]]);
    Some(rows.iter().take(count).map(move |row| (number(row, 0), number(row, 4))))
}

fn mp4_codec(name: [u8; 4]) -> String {
    match &name {
        b"avc1" | b"avc3" => "h264",
        b"hvc1" | b"hev1" => "hevc",
        b"vp08" => "vp8",
        b"vp09" => "vp9",
        b"av01" => "av1",
        b"mp4v" => "mpeg4",
        _ => return String::from_utf8_lossy(&name).into_owned(),
    }
    .to_owned()
}

/// A `WebM` or Matroska file, read element by element: the ones that hold others are entered, so that it does not matter
/// whether their length is known.
#[derive(Debug)]
struct Matroska {
    /// Nanoseconds of a tick.
    scale: u64,
    /// In ticks.
    duration: Option<f64>,
    track: Option<MatroskaTrack>,
    cluster: i64,
    starts: Vec<i64>,
    /// Start and duration of blocks that tell it.
    durations: Vec<(i64, i64)>,
    /// Where the segment ends in the file, if it says so.
    end: Option<u64>,
    /// Whether the element that is read has a known name, and so the size that it states.
    is_known: bool,
    /// Whether there is no other track, whose length the header may tell.
    is_alone: bool,
    /// Whether it is a frame of the track.
    is_frame: bool,
    /// Where it begins in the file.
    at: u64,
}

/// All of a Matroska file but its header.
const SEGMENT: u32 = 0x1853_8067;

/// Elements at the top of a Matroska file, in a segment, in a cluster and in a group of blocks (RFC 9559, 5.1).
pub(crate) const ELEMENTS: [u32; 23] = [
    0x1a45_dfa3,
    SEGMENT,
    0x114d_9b74,
    0x1549_a966,
    0x1654_ae6b,
    0x1f43_b675,
    0x1c53_bb6b,
    0x1941_a469,
    0x1043_a770,
    0x1254_c367,
    0xec,
    0xbf,
    0xe7,
    0xa3,
    0xa0,
    0xab,
    0xa7,
    0x5854,
    0xa1,
    0x9b,
    0xfb,
    0x75a2,
    0x75a1,
];

#[derive(Debug)]
struct MatroskaTrack {
    number: u64,
    codec: String,
    /// Nanoseconds of a frame.
    frame: Option<u64>,
    is_default: bool,
    /// What the stream says of its colors; `None` until it was seen.
    stated: Option<Stated>,
    container: Stated,
}

impl Default for Matroska {
    fn default() -> Self {
        Self {
            scale: 1_000_000,
            duration: None,
            track: None,
            cluster: 0,
            starts: Vec::new(),
            durations: Vec::new(),
            end: None,
            is_known: true,
            is_alone: true,
            is_frame: false,
            at: 0,
        }
    }
}

/// Bytes of the head of a block that tell its track and its time, and of the frame in it.
const BLOCK_HEAD: usize = 8 + 2 + 1 + FRAME_HEAD;
/// So many bytes of a frame tell its colors.
const FRAME_HEAD: usize = 8;
/// Flags of a block in which frames share it; no encoder of VP9 makes any.
const LACING: u8 = 6;

impl Matroska {
    fn next(&mut self, buffer: &[u8], at: u64) -> Next {
        let Some((id, head, size)) = element_head(buffer) else { return Next::Needs(12) };
        self.is_known = ELEMENTS.contains(&id);
        self.is_frame = false;
        self.at = at;
        if id == SEGMENT && self.end.is_none() {
            self.end = size.map(|size| at.saturating_add(head as u64).saturating_add(size));
        }
        match id {
            // EBML, segment, cluster, group: entered.
            SEGMENT | 0x1f43_b675 | 0xa0 => Next::Done(head),
            // Information, tracks, time of a cluster, duration of a block.
            0x1549_a966 | 0x1654_ae6b | 0xe7 | 0x9b => {
                let Some(size) = size.filter(|size| *size <= MOST_HEADER) else { return Next::Stop };
                let end = head + size as usize;
                let Some(content) = buffer.get(head..end) else { return Next::Needs(end) };
                self.take(id, content);
                Next::Done(end)
            }
            // Blocks.
            0xa3 | 0xa1 => {
                let Some(size) = size else { return Next::Stop };
                let needed = head + BLOCK_HEAD.min(size as usize);
                let Some(block) = buffer.get(head..needed) else { return Next::Needs(needed) };
                if self.take_block(block).is_none() {
                    return Next::Stop;
                }
                Next::Skip(head as u64 + size)
            }
            _ => match size {
                Some(size) => Next::Skip((head as u64).saturating_add(size)),
                None => Next::Stop,
            },
        }
    }

    fn take(&mut self, id: u32, content: &[u8]) {
        match id {
            0x1549_a966 => {
                for (id, content) in elements(content) {
                    match id {
                        0x2a_d7b1 => self.scale = unsigned(content).max(1),
                        0x4489 => self.duration = float(content),
                        _ => {}
                    }
                }
            }
            0x1654_ae6b if self.track.is_none() => {
                let entries = elements(content).filter(|(id, _)| *id == 0xae);
                self.is_alone = entries.clone().count() == 1;
                let tracks: Vec<MatroskaTrack> =
                    entries.filter_map(|(_, entry)| MatroskaTrack::of(entry)).collect();
                let chosen = tracks.iter().position(|track| track.is_default).unwrap_or(0);
                self.track = tracks.into_iter().nth(chosen);
            }
            0xe7 => self.cluster = i64::try_from(unsigned(content)).unwrap_or(0),
            0x9b => {
                let duration = i64::try_from(unsigned(content)).unwrap_or(0);
                if let Some(start) = self.starts.last()
                    && self.durations.len() < MOST_FRAMES
                {
                    self.durations.push((*start, duration));
                }
            }
            _ => {}
        }
    }

    /// `None` when there are too many.
    fn take_block(&mut self, block: &[u8]) -> Option<()> {
        let (number, length) = variable(block, true)?;
        let Some(track) = self.track.as_mut().filter(|track| Some(track.number) == number) else {
            return Some(());
        };
        if track.stated.is_none()
            && track.codec == "vp9"
            && let Some([_, _, flags, frame @ ..]) = block.get(length..)
            && flags & LACING == 0
        {
            track.stated = Stated::of_vp9(frame);
        }
        let offset = u16_at(block, length)? as i16;
        self.starts.push(self.cluster.saturating_add(i64::from(offset)));
        self.is_frame = true;
        (self.starts.len() <= MOST_FRAMES).then_some(())
    }

    fn times(self) -> Option<FrameTimes> {
        let track = self.track?;
        let tick = self.scale as f64 * 1e-9;
        let last = self.starts.iter().copied().max()?;
        let of_last = self.durations.iter().find(|(start, _)| *start == last).map(|(_, duration)| *duration);
        let own = of_last.or_else(|| Some((track.frame? / self.scale) as i64));
        let declared = self.duration.map(|ticks| ticks.round() as i64);
        // The header counts from 0, not from the first frame.
        let rest = |_: i64, last: i64| Some(declared?.saturating_sub(last));
        let times = FrameTimes::new(MATROSKA, track.codec, tick, self.starts, own, false, rest)?;
        Some(FrameTimes { declared: declared.filter(|_| self.is_alone), ..times })
    }
}

impl MatroskaTrack {
    /// The track, if it is one of video.
    fn of(entry: &[u8]) -> Option<Self> {
        let find = |wanted: u32| elements(entry).find(|(id, _)| *id == wanted).map(|(_, content)| content);
        if unsigned(find(0x83)?) != 1 {
            return None;
        }
        let codec = String::from_utf8_lossy(find(0x86)?).into_owned();
        let codec = match codec.as_str() {
            "V_VP8" => "vp8",
            "V_VP9" => "vp9",
            "V_AV1" => "av1",
            "V_MPEG4/ISO/AVC" => "h264",
            "V_MPEGH/ISO/HEVC" => "hevc",
            other => other,
        };
        let stated = match codec {
            "vp8" => Some(Stated::default()),
            "h264" => find(0x63a2).and_then(Stated::of_avcc),
            "av1" => find(0x63a2).and_then(Stated::of_av1c),
            _ => None,
        };
        Some(Self {
            number: unsigned(find(0xd7)?),
            codec: codec.to_owned(),
            frame: find(0x23_e383).map(unsigned),
            is_default: find(0x88).map_or(1, unsigned) == 1,
            stated,
            container: find(0xe0).map(matroska_colors).unwrap_or_default(),
        })
    }

    fn colors(&self) -> Option<ColorTags> {
        Some(self.stated?.tags(self.container))
    }
}

/// The colors that the video settings of a track state (RFC 9559, 5.1.4.1.28.16).
fn matroska_colors(video: &[u8]) -> Stated {
    let mut stated = Stated::default();
    let colors = elements(video).filter(|(id, _)| *id == 0x55b0).flat_map(|(_, content)| elements(content));
    for (id, content) in colors {
        match (id, unsigned(content)) {
            (0x55b1, matrix) => stated.matrix = u8::try_from(matrix).ok(),
            (0x55b9, 1) => stated.is_full_range = Some(false),
            (0x55b9, 2) => stated.is_full_range = Some(true),
            _ => {}
        }
    }
    stated
}

/// A number of variable length and its bytes; the number is `None` where all bits are set. `is_size` takes the mark of
/// the length away.
fn variable(bytes: &[u8], is_size: bool) -> Option<(Option<u64>, usize)> {
    let first = *bytes.first()?;
    let length = first.leading_zeros() as usize + 1;
    let value = bytes
        .get(..length)
        .filter(|_| length <= 8)?
        .iter()
        .fold(0, |value, byte| value << 8 | u64::from(*byte));
    if !is_size {
        return Some((Some(value), length));
    }
    let mask = (1_u64 << (7 * length)) - 1;
    Some(((value & mask != mask).then_some(value & mask), length))
}

/// Number of an element, bytes of its head, and its size, where it is known.
fn element_head(bytes: &[u8]) -> Option<(u32, usize, Option<u64>)> {
    let (id, id_length) = variable(bytes, false)?;
    let (size, size_length) = variable(bytes.get(id_length..)?, true)?;
    Some((u32::try_from(id?).ok()?, id_length + size_length, size))
}

/// The elements within one.
fn elements(mut bytes: &[u8]) -> impl Iterator<Item = (u32, &[u8])> + Clone {
    std::iter::from_fn(move || {
        let (id, head, size) = element_head(bytes)?;
        let end = head.checked_add(usize::try_from(size?).ok()?)?;
        let content = bytes.get(head..end)?;
        bytes = &bytes[end..];
        Some((id, content))
    })
}

fn unsigned(content: &[u8]) -> u64 {
    content.iter().take(8).fold(0, |value, byte| value << 8 | u64::from(*byte))
}

fn float(content: &[u8]) -> Option<f64> {
    match content.len() {
        4 => Some(f64::from(f32::from_be_bytes(*content.first_chunk()?))),
        8 => Some(f64::from_be_bytes(*content.first_chunk()?)),
        _ => None,
    }
    .filter(|value| value.is_finite() && *value > 0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &[u8], piece: usize) -> Option<FrameTimes> {
        let mut reader = FrameTimesReader::new();
        bytes.chunks(piece).for_each(|bytes| reader.push(bytes));
        reader.finish()
    }

    #[test]
    fn files_that_claim_to_last_for_ages_are_sampled_at_once() {
        let times = |starts: &[i64]| {
            FrameTimes::new("mov", "h264".into(), 1e-3, starts.to_vec(), None, true, |_, _| None).unwrap()
        };
        let numbers = |times: &FrameTimes, sampling| {
            times.sample(sampling).unwrap().iter().map(|frame| frame.index).collect::<Vec<_>>()
        };
        let long = times(&[0, 400, 600, i64::MAX - 1]);
        assert_eq!(numbers(&long, Sampling::EverySeconds(0.5)), [0, 1, 2, 3]);
        assert_eq!(numbers(&long, Sampling::EverySeconds(0.7)), [0, 2, 3]);
        let widest = times(&[i64::MIN, 0, i64::MAX]);
        assert_eq!(numbers(&widest, Sampling::Uniform(8)).len(), 3);
        assert_eq!(numbers(&widest, Sampling::EveryFrame), [0, 1, 2]);
    }

    #[test]
    fn a_file_is_cut_where_a_box_is() {
        // A box of 8 bytes, one of 24, and one for the rest of the file.
        let file = [&b"\0\0\0\x08ftyp\0\0\0\x18moov"[..], &[7; 16], b"\0\0\0\0mdat", &[7; 9]].concat();
        let missing = |end: usize, piece: usize| {
            let mut reader = FrameTimesReader::new();
            file[..end].chunks(piece).for_each(|bytes| reader.push(bytes));
            reader.cut().map(|cut| cut.total_bytes.unwrap() - end as u64)
        };
        for piece in [1, 3, 100] {
            let ends = [8, 10, 16, 31, 32, 40, 45];
            let expected = [None, None, Some(16), Some(1), None, None, None];
            assert_eq!(ends.map(|end| missing(end, piece)), expected, "pieces of {piece}");
        }
        // What was appended has no size.
        let mut reader = FrameTimesReader::new();
        reader.push(&[&file[..32], b"\xFF\xD8\xFF\xE0\0\x10JFIF\0\x01"].concat());
        assert_eq!(reader.cut(), None);
    }

    #[test]
    fn any_bytes_end_without_a_panic() {
        let mut random = fastrand::Rng::with_seed(7);
        let heads: [&[u8]; 3] =
            [b"\0\0\0\x10ftypmp42", &[0x1a, 0x45, 0xdf, 0xa3, 0x80], b"\0\0\0\x60moov\0\0\0\x50trak"];
        for round in 0..3000 {
            let mut bytes = heads[round % 3].to_vec();
            bytes.extend(std::iter::repeat_with(|| random.u8(..)).take(200));
            let _ = read(&bytes, 1 + round % 50);
        }
    }
}

/// Against the reader of files.
#[cfg(test)]
#[cfg(feature = "ffmpeg")]
mod reader_tests {
    use std::path::Path;

    use super::*;
    use crate::VideoReader;
    use crate::extent::Extent;

    fn clips() -> Vec<std::path::PathBuf> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let folders = ["goldens/clips", "../../datasets/sample/real", "../../datasets/sample/fake"];
        let files = folders.iter().flat_map(|folder| std::fs::read_dir(root.join(folder)).unwrap());
        files.map(|file| file.unwrap().path()).filter(|path| path.is_file()).collect()
    }

    #[test]
    fn cuts_are_those_that_the_reader_of_the_file_tells() {
        let mut told = 0;
        for path in clips() {
            let whole = std::fs::read(&path).unwrap();
            let is_matroska = whole.starts_with(b"\x1a\x45\xdf\xa3");
            if whole.get(4..8) != Some(b"ftyp") && !is_matroska {
                continue;
            }
            for tenths in 1..=10 {
                let cut = &whole[..whole.len() * tenths / 10];
                let extent = Extent::of(std::io::Cursor::new(cut), || true).unwrap();
                let mut reader = FrameTimesReader::new();
                cut.chunks(1000).for_each(|bytes| reader.push(bytes));
                assert_eq!(reader.cut(), extent.cut, "{}, {tenths} tenths", path.display());
                told += u32::from(extent.cut.is_some());
            }
        }
        assert!(told > 150, "{told}");
    }

    /// The same MP4 file with its index before the frames; `None` where it is there already.
    fn with_index_first(file: &[u8]) -> Option<Vec<u8>> {
        let (mut moov, mut others) = (Vec::new(), Vec::new());
        let mut rest = file;
        while let Some((kind, _, size)) = box_head(rest) {
            let (whole, after) = rest.split_at_checked(size as usize)?;
            match &kind {
                b"moov" if others.is_empty() => return None,
                b"moov" => moov = whole.to_vec(),
                _ => others.push(whole),
            }
            rest = after;
        }
        let shift = moov.len() as u32;
        let tables: Vec<usize> =
            moov.windows(4).enumerate().filter(|(_, name)| name == b"stco").map(|(at, _)| at + 8).collect();
        for table in tables {
            for number in 0..u32_at(&moov, table)? as usize {
                let at = table + 4 + 4 * number;
                let place = u32_at(&moov, at)? + shift;
                moov[at..at + 4].copy_from_slice(&place.to_be_bytes());
            }
        }
        let (first, others) = others.split_first()?;
        Some([first, moov.as_slice(), &others.concat()].concat())
    }

    #[test]
    fn of_a_cut_file_those_frames_are_sampled_that_are_there() {
        let folder = tempfile::tempdir().unwrap();
        let (mut compared, mut warned) = (0, 0);
        for path in clips() {
            let bytes = std::fs::read(&path).unwrap();
            let is_mp4 = bytes.get(4..8) == Some(b"ftyp");
            let is_matroska = bytes.starts_with(b"\x1a\x45\xdf\xa3");
            let bytes = if is_mp4 { with_index_first(&bytes) } else { is_matroska.then_some(bytes) };
            // Of this one browsers play the first stream, and the program samples the larger one.
            let Some(bytes) = bytes.filter(|_| !path.ends_with("thumbnail_first.mkv")) else { continue };
            for tenths in 4..10 {
                let cut = &bytes[..bytes.len() * tenths / 10];
                let name = format!("{}-{tenths}.mp4", path.file_stem().unwrap().display());
                let file = folder.path().join(&name);
                std::fs::write(&file, cut).unwrap();
                let mut reader = FrameTimesReader::new();
                cut.chunks(1000).for_each(|bytes| reader.push(bytes));
                let extent = reader.cut();
                let times = reader.finish();
                let Ok(mut file) = VideoReader::open(&file) else {
                    assert!(times.is_none(), "{name}");
                    continue;
                };
                let counted = file.info().frame_count;
                let sampled = file.sample(Sampling::Uniform(12)).filter_map(Result::ok);
                let theirs: Vec<_> = sampled
                    .filter(|frame| !frame.repeats_previous)
                    .map(|frame| (frame.index.unwrap(), (frame.pts_seconds * 1e6).round()))
                    .collect();
                // FFmpeg counts a first frame of which only a part is there, and decodes nothing of it.
                let Some(times) = times else {
                    assert!(theirs.is_empty() || name.starts_with("fragmented"), "{name}");
                    continue;
                };
                let ours: Vec<_> = times
                    .sample(Sampling::Uniform(12))
                    .unwrap()
                    .iter()
                    .map(|moment| (moment.index, (moment.pts_seconds * 1e6).round()))
                    .collect();
                assert_eq!(Some(times.count()), counted, "{name}");
                let said = file
                    .warnings()
                    .iter()
                    .find(|warning| matches!(warning, Warning::Truncated { .. } | Warning::CutShort { .. }));
                if let Some(said) = said {
                    let ours = times.cut_warning(extent.unwrap());
                    assert_eq!(ours.to_string(), said.to_string(), "{name}");
                    warned += 1;
                }
                // Its decoder of MPEG-4 shows the frame that is cut, as far as it goes.
                if name.starts_with("mpeg4") {
                    continue;
                }
                assert_eq!(ours.len(), theirs.len(), "{name}");
                for (our, their) in ours.iter().zip(&theirs) {
                    assert_eq!(our.1, their.1, "{name}");
                    // Others count it.
                    assert!((0..=1).contains(&(their.0 - our.0)), "{name}: {our:?} {their:?}");
                }
                compared += 1;
            }
        }
        assert!(compared >= 100 && warned >= 100, "{compared}, {warned}");
    }

    /// The matrix and the range of the first frame, as FFmpeg decodes it.
    fn decoded(path: &Path) -> ColorTags {
        let mut input = ffmpeg_next::format::input(path).unwrap();
        let stream = input.streams().best(ffmpeg_next::media::Type::Video).unwrap();
        let number = stream.index();
        let context = ffmpeg_next::codec::context::Context::from_parameters(stream.parameters()).unwrap();
        let mut decoder = context.decoder().video().unwrap();
        let mut frame = ffmpeg_next::frame::Video::empty();
        for (stream, packet) in input.packets() {
            if stream.index() == number {
                decoder.send_packet(&packet).unwrap();
                if decoder.receive_frame(&mut frame).is_ok() {
                    break;
                }
            }
        }
        if frame.width() == 0 {
            decoder.send_eof().unwrap();
            decoder.receive_frame(&mut frame).unwrap();
        }
        let (matrix, is_full_range) = crate::pixels::colors_of(&frame);
        ColorTags { matrix: matrix as u8, is_full_range }
    }

    #[test]
    fn colors_are_those_that_the_decoder_tells() {
        crate::local::prepare_ffmpeg();
        let mut told = 0;
        for path in clips() {
            let bytes = std::fs::read(&path).unwrap();
            let mut reader = FrameTimesReader::new();
            bytes.chunks(1000).for_each(|bytes| reader.push(bytes));
            if let Some(colors) = reader.colors() {
                assert_eq!(colors, decoded(&path), "{}", path.display());
                told += 1;
            }
        }
        assert!(told >= 70, "{told}");
        // Each of these is the only one of its kind.
        for name in [
            "full_range.mp4",
            "full_range_alone.mp4",
            "av1.mp4",
            "av1_full_range.mp4",
            "vp9.webm",
            "vp9_full_range.webm",
        ] {
            let mut reader = FrameTimesReader::new();
            reader.push(
                &std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("goldens/clips").join(name))
                    .unwrap(),
            );
            let colors = reader.colors().unwrap_or_else(|| panic!("{name}"));
            assert_eq!(colors.is_full_range, name.contains("full_range"), "{name}");
        }
    }

    #[test]
    fn frames_are_those_that_the_reader_of_the_file_samples() {
        let mut compared = 0;
        for path in clips() {
            let bytes = std::fs::read(&path).unwrap();
            let mut reader = FrameTimesReader::new();
            bytes.chunks(1000).for_each(|bytes| reader.push(bytes));
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            let Some(times) = reader.finish() else {
                let others = ["raw.h264", "h264.ts", "sound.mp4", "cover_art.mp3", "fragmented.mp4"];
                assert!(others.contains(&name.as_str()) || path.extension().unwrap() == "avi", "{name}");
                continue;
            };
            let mut file = VideoReader::open(&path).unwrap();
            let info = file.info();
            assert_eq!(Some(times.count()), info.frame_count, "{name}");
            assert!((times.duration_seconds() - info.duration_seconds.unwrap()).abs() < 1e-6, "{name}");
            assert_eq!(times.container, info.container, "{name}");
            if name != "thumbnail_first.mkv" {
                assert_eq!(times.codec, info.codec, "{name}");
            }
            for count in [1, 5, 12, 32] {
                let theirs: Vec<_> = file
                    .sample(Sampling::Uniform(count))
                    .map(|frame| frame.unwrap())
                    .filter(|frame| !frame.repeats_previous)
                    .map(|frame| (frame.index.unwrap(), (frame.pts_seconds * 1e6).round()))
                    .collect();
                let ours: Vec<_> = times
                    .sample(Sampling::Uniform(count))
                    .unwrap()
                    .iter()
                    .map(|moment| (moment.index, (moment.pts_seconds * 1e6).round()))
                    .collect();
                assert_eq!(ours, theirs, "{name}, {count} frames");
                compared += 1;
            }
        }
        assert!(compared >= 40, "{compared}");
    }
}
