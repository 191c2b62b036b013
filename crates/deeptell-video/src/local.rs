//! A file read in this process.

use std::fs::File;
use std::io::{Seek, SeekFrom};
use std::path::Path;
use std::sync::Once;

use serde::{Deserialize, Serialize};

use crate::decoder::Decoder;
use crate::demuxer::{Demuxer, StreamFacts};
use crate::guard::Guard;
use crate::packets::{Keep, Packets};
use crate::pixels::ToRgb;
use crate::survey::Survey;
use crate::{Limits, VideoError, VideoInfo, Warning};

/// How files are read: where reading ahead stops to be cheap.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct Tuning {
    /// Files up to this size are surveyed packet by packet before sampling.
    pub(crate) survey_bytes: u64,
    /// Of those, packets up to this many bytes are kept rather than read again.
    pub(crate) keep_bytes: u64,
    /// In larger ones, stretches longer than this are jumped over rather than read.
    pub(crate) jump_bytes: u64,
    /// Decode every frame in order and skip none: the yardstick of the plan.
    pub(crate) in_order: bool,
}

impl Default for Tuning {
    fn default() -> Self {
        Self { survey_bytes: 64 << 20, keep_bytes: 32 << 20, jump_bytes: 16 << 20, in_order: false }
    }
}

/// How to read one file.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Job {
    pub(crate) max_side: Option<u32>,
    pub(crate) limits: Limits,
    pub(crate) tuning: Tuning,
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
    pub(crate) fn open(file: File, path: &Path, job: &Job) -> Result<Self, VideoError> {
        prepare_ffmpeg();
        let guard = Guard::new(path, job.limits.deadline);
        let running = guard.run();
        // Not by asking for its metadata, which a decoding process of its own may not.
        let file_bytes = (&file).seek(SeekFrom::End(0)).map_err(|error| guard.io(error))?;
        let mut demuxer = Demuxer::open(&file, &guard, &job.limits)?;
        let facts = demuxer.facts();
        let decoder = Decoder::open(&demuxer, &guard, &job.limits)?;
        let is_small = file_bytes <= job.tuning.survey_bytes;
        let (survey, packets) = if is_small || facts.span.is_none() {
            let mut keep = Keep::up_to(job.tuning.keep_bytes);
            let survey = Survey::of(&mut demuxer, &facts, &mut keep)?;
            (survey, Packets::seen(demuxer, keep))
        } else {
            (Survey::declared(&facts), Packets::fresh(demuxer))
        };
        let warnings =
            if survey.is_counted { survey.warnings(&facts).into_iter().collect() } else { Vec::new() };
        if survey.is_counted && survey.packets == 0 {
            let detail = "no packet of the video stream is there".to_owned();
            return Err(VideoError::Truncated { path: path.to_owned(), detail });
        }
        let info = describe(&facts, &survey);
        drop(running);
        Ok(Self {
            file,
            file_bytes,
            guard,
            limits: job.limits.clone(),
            tuning: job.tuning,
            fresh: !survey.is_counted,
            packets,
            decoder,
            to_rgb: ToRgb::new(job.max_side),
            facts,
            survey,
            info,
            warnings,
        })
    }
}

fn describe(facts: &StreamFacts, survey: &Survey) -> VideoInfo {
    let (width, height) = facts.orientation.size(facts.width, facts.height);
    let seconds = survey.span as f64 * facts.tick_seconds;
    VideoInfo {
        width,
        height,
        duration_seconds: (survey.span > 0).then_some(seconds),
        frames_per_second: facts
            .frames_per_second
            .or_else(|| survey.frames.filter(|_| seconds > 0.0).map(|frames| frames as f64 / seconds)),
        frame_count: survey.frames,
        codec: facts.codec.clone(),
        container: facts.container.clone(),
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
