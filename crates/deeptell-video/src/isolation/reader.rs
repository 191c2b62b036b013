//! A file with frames in time, read in another process.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use image::RgbImage;

use super::process::{DecoderProcess, Watched, Worker};
use super::wire::{self, FrameHead, Reply, Request};
use crate::local::DecodeOptions;
use crate::sampling::Moments;
use crate::{Frame, Sampling, VideoError, VideoInfo, Warning};

/// A file read in another process.
pub(crate) struct RemoteReader {
    file: File,
    path: PathBuf,
    decode: DecodeOptions,
    decoder: DecoderProcess,
    /// None when the next sampling needs a new process.
    worker: Option<Worker>,
    /// Time spent waiting for the process.
    waited: Duration,
    pub(crate) info: VideoInfo,
    pub(crate) warnings: Vec<Warning>,
}

impl RemoteReader {
    pub(crate) fn open(
        file: File,
        path: &Path,
        decode: DecodeOptions,
        decoder: DecoderProcess,
    ) -> Result<Self, VideoError> {
        let mut waited = Duration::ZERO;
        let (worker, info, warnings) = begin(&file, path, &decode, &decoder, &mut waited)?;
        let path = path.to_owned();
        Ok(Self { file, path, decode, decoder, worker: Some(worker), waited, info, warnings })
    }

    /// A process that waits for a sampling.
    fn worker(&mut self) -> Result<&mut Worker, VideoError> {
        let worker = match self.worker.take() {
            Some(worker) => worker,
            None => begin(&self.file, &self.path, &self.decode, &self.decoder, &mut self.waited)?.0,
        };
        Ok(self.worker.insert(worker))
    }

    fn receive<T>(&mut self, read: impl FnOnce(&mut Watched<'_>) -> io::Result<T>) -> Result<T, VideoError> {
        let Some(worker) = &self.worker else {
            let reason = "is gone".to_owned();
            return Err(VideoError::DecoderDied { path: self.path.clone(), reason });
        };
        let received = worker.receive(self.decode.limits.deadline, &mut self.waited, read);
        received.map_err(|error| self.explain(error))
    }

    fn explain(&mut self, error: io::Error) -> VideoError {
        match self.worker.take() {
            Some(worker) => worker.explain(&error, &self.path, self.decode.limits.deadline),
            None => VideoError::Io { path: self.path.clone(), source: error },
        }
    }
}

fn begin(
    file: &File,
    path: &Path,
    decode: &DecodeOptions,
    decoder: &DecoderProcess,
    waited: &mut Duration,
) -> Result<(Worker, VideoInfo, Vec<Warning>), VideoError> {
    let deadline = decode.limits.deadline;
    let mut worker = decoder.start_for(path, file, decode.limits.max_pixels)?.stopped_by(decode.stop.clone());
    let opened = wire::send(&mut worker.channel, &Request::Video(decode.clone()))
        .and_then(|()| worker.receive(deadline, waited, |channel| wire::receive(channel)));
    match opened {
        Ok(Reply::Opened { info, warnings }) => Ok((worker, info, warnings)),
        Ok(Reply::Failed(failure)) => Err(failure.about(path)),
        Ok(_) => Err(worker.explain(&io::ErrorKind::InvalidData.into(), path, deadline)),
        Err(error) => Err(worker.explain(&error, path, deadline)),
    }
}

/// The frames of one sampling, decoded elsewhere.
pub(crate) struct RemoteFrames<'a> {
    reader: &'a mut RemoteReader,
    sampling: Sampling,
    state: State,
    /// Frames that may still come.
    left: u64,
    /// Time of the last one.
    last_seconds: f64,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Waiting,
    Running,
    Finished,
}

impl<'a> RemoteFrames<'a> {
    pub(crate) fn new(reader: &'a mut RemoteReader, sampling: Sampling) -> Self {
        let left = most_frames(sampling, &reader.info);
        Self { reader, sampling, state: State::Waiting, left, last_seconds: f64::NEG_INFINITY }
    }

    fn advance(&mut self) -> Result<Option<Frame>, VideoError> {
        if self.state == State::Waiting {
            // JSON has no word for some numbers; the process would refuse them anyway.
            Moments::new(self.sampling, 0, 1, 1.0)?;
            let sampling = self.sampling;
            let worker = self.reader.worker()?;
            if let Err(error) = wire::send(&mut worker.channel, &sampling) {
                return Err(self.reader.explain(error));
            }
            self.state = State::Running;
        }
        loop {
            match self.reader.receive(|channel| wire::receive(channel))? {
                Reply::Warnings(warnings) => self.reader.warnings = warnings,
                Reply::End => {
                    self.state = State::Finished;
                    return Ok(None);
                }
                Reply::Failed(failure) => {
                    self.state = State::Finished;
                    return Err(failure.about(&self.reader.path));
                }
                Reply::Frame(head) if self.accepts(&head) => return self.take(&head).map(Some),
                _ => return Err(self.reader.explain(io::ErrorKind::InvalidData.into())),
            }
        }
    }

    /// Whether a frame is what was asked for: no more of them, none too large, in the order of time.
    fn accepts(&mut self, head: &FrameHead) -> bool {
        let pixels = u64::from(head.width) * u64::from(head.height);
        let is_right = self.left > 0
            && (1..=self.reader.decode.limits.max_pixels).contains(&pixels)
            && head.pts_seconds.is_finite()
            && head.pts_seconds >= self.last_seconds;
        self.left = self.left.saturating_sub(1);
        self.last_seconds = head.pts_seconds;
        is_right
    }

    fn take(&mut self, head: &FrameHead) -> Result<Frame, VideoError> {
        let FrameHead { width, height, pts_seconds, index, repeats_previous, is_shared } = *head;
        let bytes = width as usize * height as usize * 3;
        let bytes = self.reader.receive(|from| from.pixels(bytes, is_shared))?;
        let Some(image) = RgbImage::from_raw(width, height, bytes) else {
            return Err(self.reader.explain(io::ErrorKind::UnexpectedEof.into()));
        };
        Ok(Frame { image, pts_seconds, index, repeats_previous })
    }
}

/// How many frames a sampling can give.
fn most_frames(sampling: Sampling, info: &VideoInfo) -> u64 {
    match sampling {
        Sampling::Uniform(count) | Sampling::Keyframes(count) => count as u64,
        // One more for the ends of intervals that were rounded.
        Sampling::EverySeconds(seconds) => info
            .duration_seconds
            .filter(|duration| *duration >= 0.0 && seconds > 0.0)
            .map_or(1, |duration| ((duration / seconds).ceil() as u64).saturating_add(1)),
        // Packets are counted, of which some may hold two.
        Sampling::EveryFrame => info.frame_count.map_or(u64::MAX, |count| count.saturating_mul(2)),
    }
}

impl Iterator for RemoteFrames<'_> {
    type Item = Result<Frame, VideoError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.state == State::Finished {
            return None;
        }
        let frame = self.advance().transpose();
        if !matches!(frame, Some(Ok(_))) {
            if self.state != State::Finished {
                self.reader.worker = None;
            }
            self.state = State::Finished;
        }
        frame
    }
}

impl Drop for RemoteFrames<'_> {
    fn drop(&mut self) {
        if self.state == State::Running {
            // Frames that nobody will fetch are on their way.
            self.reader.worker = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reader(duration_seconds: f64) -> RemoteReader {
        let info = VideoInfo {
            width: 8,
            height: 8,
            duration_seconds: Some(duration_seconds),
            frames_per_second: None,
            frame_count: None,
            stream: 0,
            codec: String::new(),
            container: String::new(),
            rotation_degrees: 0,
        };
        RemoteReader {
            file: File::open("/dev/null").unwrap(),
            path: "clip.mp4".into(),
            decode: DecodeOptions::default(),
            decoder: DecoderProcess::new("none"),
            worker: None,
            waited: Duration::ZERO,
            info,
            warnings: Vec::new(),
        }
    }

    fn head(pts_seconds: f64) -> FrameHead {
        FrameHead { width: 8, height: 8, pts_seconds, index: None, repeats_previous: false, is_shared: false }
    }

    #[test]
    fn only_as_many_frames_as_asked_for_are_taken() {
        for (sampling, most) in [(Sampling::Uniform(3), 3), (Sampling::EverySeconds(0.5), 5)] {
            let mut reader = reader(2.0);
            let mut frames = RemoteFrames::new(&mut reader, sampling);
            let taken = (0..9).take_while(|number| frames.accepts(&head(f64::from(*number)))).count();
            assert_eq!(taken, most, "{sampling:?}");
        }
    }

    #[test]
    fn invalid_frames_are_refused() {
        let mut reader = reader(2.0);
        let mut accepts = |heads: &[FrameHead]| {
            let mut frames = RemoteFrames::new(&mut reader, Sampling::Uniform(9));
            heads.iter().all(|head| frames.accepts(head))
        };
        assert!(accepts(&[head(0.0), head(0.5), head(0.5), head(0.75)]));
        assert!(!accepts(&[head(0.5), head(0.25)]), "time goes forwards");
        assert!(!accepts(&[head(f64::NAN)]));
        assert!(!accepts(&[FrameHead { width: 0, ..head(0.0) }]));
        assert!(!accepts(&[FrameHead { width: 1 << 31, height: 1 << 31, ..head(0.0) }]));
    }
}
