//! The frames of one sampling.
//!
//! Two ways lead to a frame. [`planned`] reads packets until the wanted frame's time is certain, starts at
//! the last keyframe before it and skips what nothing refers to. [`sequential`] decodes all frames from the
//! beginning, which needs nothing but a working decoder; planning falls back to it.

mod pauses;
mod planned;
mod position;
mod sequential;

use std::iter::FusedIterator;
use std::mem::MaybeUninit;
use std::sync::Arc;

use ff::frame;
use ffmpeg_next as ff;
use image::RgbImage;

use self::planned::{FrameRequest, Outcome, Plan};
use self::position::{Pass, Shown};
use self::sequential::Sequence;
use crate::local::LocalReader;
use crate::orientation::Orientation;
use crate::pixels::ToRgb;
use crate::sampling::Moments;
use crate::{Frame, Sampling, VideoError, Warning};

/// Seconds by which a moment may lie past the last frame and still show it.
const END_TOLERANCE_SECONDS: f64 = 1.0;

/// The frames of one sampling, decoded in this process.
pub(crate) struct LocalFrames<'a> {
    pub(crate) reader: &'a mut LocalReader,
    refusal: Option<VideoError>,
    sampling: Sampling,
    moments: Moments,
    /// Number of the next moment.
    next: u64,
    progress: Progress,
    mode: Mode,
    pass: Pass,
    /// The last frame given out.
    given: Option<Arc<Shown>>,
}

/// How frames are reached.
enum Mode {
    /// As few as possible are decoded, as long as that works.
    Planned(Plan),
    /// All are decoded in order.
    Sequential(Sequence),
}

/// How far the sampling is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Progress {
    NotStarted,
    Started,
    Finished,
}

/// A frame without its pixels.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Timing {
    pub(crate) pts_seconds: f64,
    pub(crate) index: Option<u64>,
    pub(crate) repeats_previous: bool,
}

impl<'a> LocalFrames<'a> {
    pub(crate) fn new(reader: &'a mut LocalReader, sampling: Sampling) -> Self {
        let (moments, refusal) = match moments_of(reader, sampling) {
            Ok(moments) => (moments, None),
            Err(refusal) => (Moments::none(), Some(refusal)),
        };
        let mode = if reader.tuning.in_order || moments.is_every_frame() {
            Mode::Sequential(Sequence::new(moments.keyframes_only))
        } else {
            mode_for(reader, &moments)
        };
        Self {
            reader,
            refusal,
            sampling,
            moments,
            next: 0,
            progress: Progress::NotStarted,
            mode,
            pass: Pass::default(),
            given: None,
        }
    }

    /// Goes to the next frame wanted, without converting it.
    pub(crate) fn advance(&mut self) -> Option<Result<Timing, VideoError>> {
        if let Some(refusal) = self.refusal.take() {
            return Some(Err(refusal));
        }
        self.moments.get(self.next).filter(|_| self.progress != Progress::Finished)?;
        let guard = self.reader.guard.clone();
        let _running = guard.run();
        let found = self.frame().transpose();
        self.next += 1;
        self.progress = if matches!(found, Some(Ok(_))) { Progress::Started } else { Progress::Finished };
        found
    }

    /// The frame for the moment number `next`, or `None` when the stream ends before it.
    fn frame(&mut self) -> Result<Option<Timing>, VideoError> {
        if self.progress == Progress::NotStarted {
            self.start()?;
        }
        let Some(moment) = self.moments.get(self.next) else { return Ok(None) };
        if self.moments.is_every_frame() {
            return self.every_frame();
        }
        while let Mode::Planned(plan) = &mut self.mode {
            let wanted = FrameRequest { moments: &self.moments, number: self.next, moment };
            match plan.show(wanted, &mut self.pass, self.reader)? {
                Outcome::Shown => break,
                // A decoder that started where frames refer across the keyframe (an open group of
                // pictures) throws away what it is asked for early. It gives all of it in time.
                Outcome::LostInDrain => plan.may_drain = false,
                Outcome::Failed => self.mode = Mode::Sequential(Sequence::new(self.moments.keyframes_only)),
            }
            self.rewind()?;
        }
        if let Mode::Sequential(sequence) = &mut self.mode {
            let survey = &self.reader.survey;
            // Moments differ where there are as many frames: a repetition stands for one that is shown out of the
            // order of the times, and the next one is given instead. Where regular times are known before, it may also
            // stand for a damaged one.
            let is_damaged =
                survey.damaged.max(self.reader.packets.damaged()) + self.reader.decoder.damaged > 0;
            let may_repeat = survey.is_regular && is_damaged
                || !self.moments.wants_different()
                || survey.frames.is_none_or(|frames| frames < self.moments.count());
            let given = self.given.as_ref().map(|given| given.pts);
            let later_than = given.filter(|_| !may_repeat);
            sequence.show(moment, later_than, &mut self.pass, self.reader)?;
        }
        self.note_damage();
        self.give(moment)
    }

    /// The next of all frames.
    fn every_frame(&mut self) -> Result<Option<Timing>, VideoError> {
        let Mode::Sequential(sequence) = &mut self.mode else { return Ok(None) };
        let is_there = sequence.show_next(&mut self.pass, self.reader)?;
        let last = sequence.last;
        self.note_damage();
        match last {
            Some(last) if is_there => self.give(last),
            Some(_) => Ok(None),
            None => Err(self.no_frames()),
        }
    }

    /// Makes ready for the first frame.
    fn start(&mut self) -> Result<(), VideoError> {
        if pauses::are_likely(self.reader, &self.moments)? && self.reader.survey_now()? {
            self.moments = moments_of(self.reader, self.sampling)?;
            if let Mode::Planned(_) = self.mode {
                self.mode = mode_for(self.reader, &self.moments);
            }
        }
        if !self.reader.fresh {
            self.rewind()?;
        }
        self.reader.fresh = false;
        Ok(())
    }

    /// Starts over at the beginning of the file.
    fn rewind(&mut self) -> Result<(), VideoError> {
        let reader = &mut *self.reader;
        reader.packets.rewind(&reader.file, &reader.limits)?;
        reader.decoder.reset();
        reader.decoder.damaged = 0;
        self.pass = Pass::default();
        Ok(())
    }

    /// Hands out the frame on screen, still as it was decoded.
    fn give(&mut self, moment: i64) -> Result<Option<Timing>, VideoError> {
        // Damage can leave out, in order, a frame that the plan gave: then it stays on screen.
        let stays = |given: &&Arc<Shown>| self.pass.shown.as_ref().is_some_and(|shown| shown.pts < given.pts);
        let Some(shown) = self.given.as_ref().filter(stays).or(self.pass.shown.as_ref()).map(Arc::clone)
        else {
            return Err(self.no_frames());
        };
        let tick_seconds = self.reader.facts.tick_seconds;
        let seconds = |ticks: i64| ticks as f64 * tick_seconds;
        let survey = &self.reader.survey;
        let position = &self.pass.position;
        let shown_until = shown.pts.saturating_add(survey.frame_ticks);
        let last_end = position.read_until.map_or(shown_until, |read_until| read_until.max(shown_until));
        let is_past_end =
            !survey.is_counted && position.at_end && position.queue.is_empty() && position.ready.is_empty();
        if is_past_end && seconds(moment.saturating_sub(last_end)) > END_TOLERANCE_SECONDS {
            let declared_seconds = seconds(survey.span);
            let found_seconds = seconds(last_end.saturating_sub(survey.start));
            self.reader.warnings.push(Warning::Truncated { declared_seconds, found_seconds });
            return Ok(None);
        }
        let pts_seconds = seconds(shown.pts.saturating_sub(survey.start));
        let picture = &shown.picture.frame;
        if picture.is_corrupt() || picture.has_decode_errors() {
            let warning = Warning::DamagedFrame { pts_seconds };
            if !self.reader.warnings.contains(&warning) {
                self.reader.warnings.push(warning);
            }
        }
        let (width, height) = (picture.width(), picture.height());
        let max_pixels = self.reader.limits.max_pixels;
        if u64::from(width) * u64::from(height) > max_pixels {
            return Err(VideoError::TooLarge { path: self.reader.guard.path(), width, height, max_pixels });
        }
        let (index, pts) = (shown.index, shown.pts);
        let repeats_previous = self.given.replace(shown).is_some_and(|given| given.pts == pts);
        Ok(Some(Timing { pts_seconds, index, repeats_previous }))
    }

    fn no_frames(&self) -> VideoError {
        VideoError::NoFrames { path: self.reader.guard.path(), packets: self.pass.packets_read }
    }

    /// Converts the last frame given out.
    fn convert<T>(
        &mut self,
        to: impl FnOnce(&mut ToRgb, &frame::Video) -> Result<T, ff::Error>,
    ) -> Result<T, VideoError> {
        let guard = self.reader.guard.clone();
        let _running = guard.run();
        let Some(given) = &self.given else {
            return Err(self.no_frames());
        };
        let picture = &given.picture.frame;
        to(&mut self.reader.to_rgb, picture).map_err(|error| {
            self.progress = Progress::Finished;
            let (width, height) = (picture.width(), picture.height());
            guard.explain(error, |path, detail| VideoError::Decoder {
                path,
                detail: format!("cannot convert a picture of {width} x {height} to RGB: {detail}"),
            })
        })
    }

    /// The frame that [`Self::advance`] came to, upright.
    pub(crate) fn image(&mut self) -> Result<RgbImage, VideoError> {
        let image = self.convert(ToRgb::convert)?;
        Ok(self.reader.facts.orientation.apply(image))
    }

    /// Puts the frame that [`Self::advance`] came to at the start of `room`: its width and height, or
    /// `None` where it must be turned first or does not fit.
    pub(crate) fn image_into(
        &mut self,
        room: &mut [MaybeUninit<u8>],
    ) -> Result<Option<(u32, u32)>, VideoError> {
        if self.reader.facts.orientation != Orientation::default() {
            return Ok(None);
        }
        self.convert(|to_rgb, picture| to_rgb.convert_into(picture, room))
    }

    /// Keeps the count of unreadable packets among the warnings up to date.
    fn note_damage(&mut self) {
        let reader = &mut *self.reader;
        let count = reader.survey.damaged.max(reader.packets.damaged()) + reader.decoder.damaged;
        let known = reader.warnings.iter_mut().find_map(|warning| match warning {
            Warning::CorruptPackets { count } => Some(count),
            _ => None,
        });
        match known {
            Some(known) => *known = count.max(*known),
            None if count > 0 => reader.warnings.push(Warning::CorruptPackets { count }),
            None => {}
        }
    }
}

/// The moments of `sampling`, on as many different frames as `reader` knows of.
fn moments_of(reader: &LocalReader, sampling: Sampling) -> Result<Moments, VideoError> {
    let survey = &reader.survey;
    let moments = Moments::new(sampling, survey.start, survey.span, reader.facts.tick_seconds)?;
    let frames = if moments.keyframes_only { &survey.key_times } else { &survey.times };
    Ok(moments.with_different(frames))
}

/// The plan, unless the times of the stream are too irregular for it.
fn mode_for(reader: &LocalReader, moments: &Moments) -> Mode {
    if reader.survey.is_regular {
        Mode::Planned(Plan { may_drain: !moments.avoid_gaps() })
    } else {
        Mode::Sequential(Sequence::new(moments.keyframes_only))
    }
}

impl Iterator for LocalFrames<'_> {
    type Item = Result<Frame, VideoError>;

    fn next(&mut self) -> Option<Self::Item> {
        let timing = self.advance()?;
        Some(timing.and_then(|Timing { pts_seconds, index, repeats_previous }| {
            Ok(Frame { image: self.image()?, pts_seconds, index, repeats_previous })
        }))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let is_finished = self.progress == Progress::Finished;
        let left = if is_finished { 0 } else { self.moments.count().saturating_sub(self.next) };
        let refusal = usize::from(self.refusal.is_some());
        if self.moments.is_every_frame() && !is_finished {
            return (refusal, None);
        }
        (refusal, usize::try_from(left).ok().and_then(|left| left.checked_add(refusal)))
    }
}

impl FusedIterator for LocalFrames<'_> {}

#[cfg(test)]
mod tests {
    use std::path::{Path, PathBuf};

    use std::fs::File;

    use image::{Rgb, RgbImage};

    use super::*;
    use crate::local::{DecodeOptions, Tuning};
    use crate::{VideoCodec, VideoWriter, WriterOptions};

    /// A pan over a texture, with a scene change: every frame differs from every other.
    fn write_pan(path: &Path, frames: u32, options: &WriterOptions) {
        let mut writer = VideoWriter::create(path, 112, 64, options).unwrap();
        for number in 0..frames {
            let scene = number / 77;
            let image = RgbImage::from_fn(112, 64, |x, y| {
                let (u, v) = (x + number * 2, y + number / 2);
                let texture = (u * u / 7 + v * 13 * (scene + 1)) % 160;
                Rgb([40 + texture as u8, (u * 3 % 200) as u8, (v * 5 % 220) as u8])
            });
            writer.write(&image).unwrap();
        }
        writer.finish().unwrap();
    }

    fn clips(folder: &Path) -> Vec<PathBuf> {
        let h264 = |keyframe_interval, b_frames| WriterOptions {
            keyframe_interval,
            b_frames,
            ..WriterOptions::default()
        };
        let mpeg4 = |keyframe_interval, b_frames| WriterOptions {
            codec: VideoCodec::Mpeg4,
            ..h264(keyframe_interval, b_frames)
        };
        let kinds = [
            ("short.mp4", h264(12, true)),
            ("long.mp4", h264(250, true)),
            ("long.mkv", h264(250, true)),
            ("short.ts", h264(12, true)),
            ("no-b.mkv", h264(30, false)),
            ("short-4.mp4", mpeg4(12, true)),
            ("long-4.mkv", mpeg4(250, true)),
            ("no-b-4.avi", mpeg4(12, false)),
            ("open.mp4", WriterOptions { closed_gop: false, ..h264(12, true) }),
            ("open.ts", WriterOptions { closed_gop: false, ..h264(25, true) }),
            ("open-4.mp4", WriterOptions { closed_gop: false, ..mpeg4(12, true) }),
        ];
        kinds
            .iter()
            .map(|(name, options)| {
                let path = folder.join(name);
                write_pan(&path, 300, options);
                path
            })
            .collect()
    }

    /// Frames, and whether they came by the plan.
    fn sample(path: &Path, tuning: Tuning, sampling: Sampling) -> (Vec<Frame>, bool) {
        let decode = DecodeOptions { tuning, ..DecodeOptions::default() };
        let mut reader = LocalReader::open(File::open(path).unwrap(), path, &decode).unwrap();
        let mut frames = LocalFrames::new(&mut reader, sampling);
        let all = frames.by_ref().collect::<Result<Vec<_>, _>>().unwrap();
        (all, matches!(frames.mode, Mode::Planned(_)))
    }

    #[test]
    fn the_plan_gives_what_a_full_decode_gives() {
        let folder = tempfile::tempdir().unwrap();
        let planned = Tuning::default();
        let in_order = Tuning { in_order: true, ..planned };
        // Files too large to be kept are read again.
        let read_again = Tuning { keep_bytes: 1000, ..planned };
        for path in clips(folder.path()) {
            for (count, tuning) in
                [(9, planned), (12, planned), (12, read_again), (37, planned), (101, planned)]
            {
                let sampling = Sampling::Uniform(count);
                let (frames, by_plan) = sample(&path, tuning, sampling);
                let (truth, _) = sample(&path, in_order, sampling);
                assert!(by_plan, "{}: the plan was given up", path.display());
                assert_eq!(frames.len(), count);
                for (frame, truth) in frames.iter().zip(&truth) {
                    assert_eq!(
                        (frame.index, frame.pts_seconds),
                        (truth.index, truth.pts_seconds),
                        "{}",
                        path.display()
                    );
                    assert!(frame.image == truth.image, "{}: {:?} of {count}", path.display(), frame.index);
                }
            }
        }
    }

    #[test]
    fn jumping_gives_what_a_full_decode_gives() {
        let folder = tempfile::tempdir().unwrap();
        let jumping =
            Tuning { survey_bytes: 0, jump_bytes: 20_000, watch_clocks: false, ..Tuning::default() };
        let in_order = Tuning { in_order: true, ..jumping };
        for path in clips(folder.path()) {
            for count in [3, 9, 37] {
                let sampling = Sampling::Uniform(count);
                let (frames, by_plan) = sample(&path, jumping, sampling);
                let (truth, _) = sample(&path, in_order, sampling);
                assert!(by_plan, "{}: the plan was given up", path.display());
                let jumped = frames.iter().any(|frame| frame.index.is_none());
                assert!(jumped || count > 3, "{}: nothing was jumped over", path.display());
                for (frame, truth) in frames.iter().zip(&truth) {
                    assert_eq!(frame.pts_seconds, truth.pts_seconds, "{}", path.display());
                    assert!(
                        frame.image == truth.image,
                        "{}: {} s of {count}",
                        path.display(),
                        frame.pts_seconds
                    );
                }
            }
        }
    }
}
