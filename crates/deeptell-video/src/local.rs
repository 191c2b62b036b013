//! A file read in this process.

use std::fs::File;
use std::io::{Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Once};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::decoder::Decoder;
use crate::demuxer::{Demuxer, Joined, LeftOut, StreamFacts};
use crate::guard::Guard;
use crate::packets::{KeptPackets, Packets};
use crate::pixels::ToRgb;
use crate::survey::Survey;
use crate::{Limits, VideoError, VideoInfo, Warning};

/// How files are read: where reading ahead stops to be cheap.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct Tuning {
    /// Files up to this size are surveyed packet by packet before sampling.
    pub(crate) survey_bytes: u64,
    /// Larger ones, too, where the clock may jump, and where that takes no more than half of the deadline.
    pub(crate) watch_clocks: bool,
    /// Of those up to that size, packets up to this many bytes are kept rather than read again.
    pub(crate) keep_bytes: u64,
    /// In larger ones, stretches longer than this are jumped over rather than read.
    pub(crate) jump_bytes: u64,
    /// Decode every frame in order and skip none: the yardstick of the plan.
    pub(crate) in_order: bool,
}

impl Default for Tuning {
    fn default() -> Self {
        Self {
            survey_bytes: 64 << 20,
            keep_bytes: 32 << 20,
            jump_bytes: 16 << 20,
            in_order: false,
            watch_clocks: true,
        }
    }
}

/// How to read one file.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct DecodeOptions {
    pub(crate) max_side: Option<u32>,
    /// Number of the stream in the container; chosen here if none is given.
    pub(crate) stream: Option<u32>,
    pub(crate) limits: Limits,
    pub(crate) tuning: Tuning,
    /// Set by the caller to end the work early; another process is ended instead.
    #[serde(skip)]
    pub(crate) stop: Option<Arc<AtomicBool>>,
}

/// A file, its packets and its decoder.
pub(crate) struct LocalReader {
    pub(crate) file: File,
    pub(crate) file_bytes: u64,
    pub(crate) guard: Guard,
    pub(crate) limits: Limits,
    pub(crate) tuning: Tuning,
    /// Nothing has been read yet: sampling can start where the file is.
    pub(crate) fresh: bool,
    pub(crate) packets: Packets,
    pub(crate) decoder: Decoder,
    pub(crate) to_rgb: ToRgb,
    pub(crate) facts: StreamFacts,
    pub(crate) survey: Survey,
    pub(crate) info: VideoInfo,
    pub(crate) warnings: Vec<Warning>,
}

impl LocalReader {
    /// Looks at `file`, which is called `path` in errors.
    pub(crate) fn open(file: File, path: &Path, decode: &DecodeOptions) -> Result<Self, VideoError> {
        prepare_ffmpeg();
        let guard = Guard::new(path, decode.limits.deadline).with_stop(decode.stop.clone());
        let running = guard.run();
        // Not by asking for its metadata, which a decoding process of its own may not.
        let file_bytes = (&file).seek(SeekFrom::End(0)).map_err(|error| guard.io(error))?;
        let mut demuxer = Demuxer::open(&file, &guard, &decode.limits, decode.stream)?;
        let facts = demuxer.facts();
        let decoder = Decoder::open(&demuxer, &guard, &decode.limits)?;
        let joined = demuxer.joined();
        let mut warnings = warnings_of_parts(joined, demuxer.stream_number());
        let joined_unchecked = joined.is_unchecked;
        let is_small = file_bytes <= decode.tuning.survey_bytes || facts.span.is_none() && !facts.is_joined;
        let watches_clock = decode.tuning.watch_clocks && facts.clock_may_jump;
        let surveyed = if is_small || watches_clock {
            let mut keep = KeptPackets::up_to(if is_small { decode.tuning.keep_bytes } else { 0 });
            let may_go_on = || is_small || !guard.is_half_spent();
            let survey = Survey::of(&mut demuxer, &facts, &mut keep, may_go_on)?;
            if survey.is_none() && facts.span.is_none() {
                return Err(unknown_length(path.to_owned(), &guard, decode.limits.deadline));
            }
            if survey.is_none() {
                if watches_clock && !joined_unchecked {
                    warnings.push(Warning::ClockUnchecked);
                }
                demuxer = demuxer.reopen(&file, &decode.limits)?;
            }
            survey.map(|survey| (survey, keep))
        } else {
            None
        };
        let (survey, packets) = match surveyed {
            Some((survey, keep)) => {
                warnings.extend(survey.warnings(&facts));
                let clock = Arc::clone(&survey.clock);
                (survey, Packets::seen(demuxer, keep, clock))
            }
            None => (Survey::declared(&facts), Packets::fresh(demuxer)),
        };
        // The survey may know how many seconds are missing.
        let is_told = warnings.iter().any(|warning| matches!(warning, Warning::Truncated { .. }));
        let of_extent = packets.joined().extent.warnings();
        warnings
            .extend(of_extent.filter(|warning| !(is_told && matches!(warning, Warning::CutShort { .. }))));
        if survey.is_counted && survey.packets == 0 {
            let detail = "no packet of the video stream is there".to_owned();
            return Err(VideoError::Truncated { path: path.to_owned(), detail });
        }
        let info = describe(&facts, &survey, packets.stream_number());
        drop(running);
        Ok(Self {
            file,
            file_bytes,
            guard,
            limits: decode.limits.clone(),
            tuning: decode.tuning,
            fresh: !survey.is_counted,
            packets,
            decoder,
            to_rgb: ToRgb::new(decode.max_side),
            facts,
            survey,
            info,
            warnings,
        })
    }
}

/// What is to be said of a file of several streams, or of several parts that were joined.
fn warnings_of_parts(joined: &Joined, sampled: u32) -> Vec<Warning> {
    let mut warnings = Vec::new();
    if !joined.others.is_empty() {
        warnings.push(Warning::OtherStreams { sampled, others: joined.others.clone() });
    }
    for LeftOut { part, reason } in &joined.left_out {
        warnings.push(Warning::PartLeftOut { part: *part, reason: reason.clone() });
    }
    if joined.is_unchecked {
        warnings.push(Warning::ClockUnchecked);
    }
    warnings
}

/// The error for a file whose packets cannot all be read, and whose header does not say how long it is.
fn unknown_length(path: PathBuf, guard: &Guard, deadline: Duration) -> VideoError {
    if guard.is_half_spent() {
        VideoError::Timeout { path, deadline }
    } else {
        VideoError::OutOfMemory { path }
    }
}

impl LocalReader {
    /// Reads all packets of a file that was taken by its header so far; `false`, and all is as it was,
    /// when that would take more than half of the deadline.
    pub(crate) fn survey_now(&mut self) -> Result<bool, VideoError> {
        let mut demuxer = self.packets.reopen(&self.file, &self.limits)?;
        let mut keep = KeptPackets::up_to(0);
        let guard = self.guard.clone();
        let Some(survey) = Survey::of(&mut demuxer, &self.facts, &mut keep, || !guard.is_half_spent())?
        else {
            return Ok(false);
        };
        self.warnings.extend(survey.warnings(&self.facts));
        self.packets = Packets::seen(demuxer, keep, Arc::clone(&survey.clock));
        self.survey = survey;
        self.fresh = false;
        Ok(true)
    }
}

fn describe(facts: &StreamFacts, survey: &Survey, stream: u32) -> VideoInfo {
    let (width, height) = facts.orientation.size(facts.width, facts.height);
    let seconds = survey.span as f64 * facts.tick_seconds;
    // A rate that rests on a clock that jumps is none.
    let declared_rate = facts.frames_per_second.filter(|_| !survey.clock.is_changed());
    let counted_rate = survey.frames.filter(|_| seconds > 0.0).map(|frames| frames as f64 / seconds);
    VideoInfo {
        width,
        height,
        duration_seconds: (survey.span > 0).then_some(seconds),
        frames_per_second: declared_rate.or(counted_rate),
        frame_count: survey.frames,
        codec: facts.codec.clone(),
        container: facts.container.clone(),
        stream,
        rotation_degrees: facts.orientation.rotation_degrees(),
    }
}

/// Prepares FFmpeg once: it prints to the terminal by default, and a library must not.
pub(crate) fn prepare_ffmpeg() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        // Gives errors their texts. Its only failure is that of a lock.
        let _ = ffmpeg_next::init();
        ffmpeg_next::log::set_level(ffmpeg_next::log::Level::Quiet);
    });
}

#[cfg(test)]
mod tests {
    use image::{Rgb, RgbImage};

    use super::*;
    use crate::frames::LocalFrames;
    use crate::{Frame, Sampling, VideoWriter, WriterOptions};

    fn sample(path: &Path, tuning: Tuning, sampling: Sampling) -> Vec<Frame> {
        let decode = DecodeOptions { tuning, ..DecodeOptions::default() };
        let mut reader = LocalReader::open(File::open(path).unwrap(), path, &decode).unwrap();
        LocalFrames::new(&mut reader, sampling).collect::<Result<_, _>>().unwrap()
    }

    /// Replaces the elements with this name at the top of a Matroska file by padding (RFC 9559, 5.1).
    fn without(bytes: &mut [u8], name: [u8; 4]) -> usize {
        let places: Vec<usize> = (0..bytes.len() - 4).filter(|at| bytes[*at..].starts_with(&name)).collect();
        for at in &places {
            // A name of one byte, and three that say nothing within the length that follows.
            bytes[*at..*at + 4].copy_from_slice(&[0xEC, 0x81, 0, 0xEC]);
        }
        places.len()
    }

    #[test]
    fn files_with_few_keyframes_and_no_index_lose_no_frames() {
        let folder = tempfile::tempdir().unwrap();
        for (name, interval) in [("rare.mkv", 1000), ("some.mkv", 50), ("rare.mp4", 1000)] {
            let path = folder.path().join(name);
            let options = WriterOptions { keyframe_interval: interval, ..WriterOptions::default() };
            let mut writer = VideoWriter::create(&path, 112, 64, &options).unwrap();
            for number in 0..150 {
                let image = RgbImage::from_fn(112, 64, |x, y| {
                    Rgb([(x * 2 + number) as u8, (y * 3 + number * 2) as u8, (number * 5 % 200) as u8])
                });
                writer.write(&image).unwrap();
            }
            writer.finish().unwrap();
            let truth = Tuning { in_order: true, ..Tuning::default() };
            let jumping =
                Tuning { survey_bytes: 0, watch_clocks: false, jump_bytes: 1000, ..Tuning::default() };
            let mut bytes = std::fs::read(&path).unwrap();
            for is_cut in [false, true] {
                if is_cut {
                    if !name.ends_with("mkv") {
                        break;
                    }
                    // Cues, and the table that says where they are.
                    assert!(without(&mut bytes, [0x1C, 0x53, 0xBB, 0x6B]) > 0, "{name}");
                    without(&mut bytes, [0x11, 0x4D, 0x9B, 0x74]);
                    std::fs::write(&path, &bytes).unwrap();
                }
                for sampling in [Sampling::Uniform(12), Sampling::EverySeconds(0.7)] {
                    let (found, expected) =
                        (sample(&path, jumping, sampling), sample(&path, truth, sampling));
                    let times = |frames: &[Frame]| frames.iter().map(|f| f.pts_seconds).collect::<Vec<_>>();
                    assert_eq!(
                        times(&found),
                        times(&expected),
                        "{name}, without index: {is_cut}, {sampling:?}"
                    );
                    assert!(found.iter().zip(&expected).all(|(a, b)| a.image == b.image), "{name}");
                }
            }
        }
    }

    #[test]
    fn packets_too_many_to_be_listed_are_read_all_the_same() {
        let clips = Path::new(env!("CARGO_MANIFEST_DIR")).join("goldens/clips");
        let open = |name: &str, memory_bytes| {
            let path = clips.join(name);
            let decode = DecodeOptions {
                limits: Limits::default().memory_bytes(memory_bytes),
                ..DecodeOptions::default()
            };
            LocalReader::open(File::open(&path).unwrap(), &path, &decode)
        };
        for name in ["untagged.mp4", "h264.mkv"] {
            let times = |memory_bytes| {
                let mut reader = open(name, memory_bytes).unwrap();
                let is_listed = reader.survey.is_counted;
                let frames: Vec<Frame> =
                    LocalFrames::new(&mut reader, Sampling::Uniform(6)).flatten().collect();
                (is_listed, frames.iter().map(|frame| frame.pts_seconds).collect::<Vec<_>>())
            };
            let ((_, few), (is_listed, all)) = (times(300 * 10), times(1 << 30));
            assert!(is_listed && few == all, "{name}: {few:?} {all:?}");
        }
        // Nothing says how long this one is.
        assert!(matches!(open("raw.h264", 300 * 10), Err(VideoError::OutOfMemory { .. })));
    }

    #[test]
    fn pauses_are_found_where_seeking_fails() {
        let clips = Path::new(env!("CARGO_MANIFEST_DIR")).join("goldens/clips");
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pause.mkv");
        let mut bytes = std::fs::read(clips.join("pause.mkv")).unwrap();
        for is_cut in [false, true] {
            if is_cut {
                without(&mut bytes, [0x1C, 0x53, 0xBB, 0x6B]);
                without(&mut bytes, [0x11, 0x4D, 0x9B, 0x74]);
            }
            std::fs::write(&path, &bytes).unwrap();
            let expected = sample(&path, Tuning::default(), Sampling::Uniform(12));
            let unread =
                Tuning { survey_bytes: 0, watch_clocks: false, jump_bytes: 1000, ..Tuning::default() };
            let found = sample(&path, unread, Sampling::Uniform(12));
            let times = |frames: &[Frame]| frames.iter().map(|f| f.pts_seconds).collect::<Vec<_>>();
            assert_eq!(times(&found), times(&expected), "without index: {is_cut}");
        }
    }
}
