//! Scans of files, whose frames FFmpeg decodes.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant};

use deeptell_face::Picture;
use deeptell_files::sha256_while;
use deeptell_video::{Frame, Media, Sampling, VideoInfo, VideoOptions, VideoReader};

use crate::detector::OnProgress;
use crate::report::{InputFacts, InputKind, rounded};
use crate::{Detector, Error, InputError, InputFrame, Scan, ScanOptions, Scanning, Warning};

impl From<Frame> for InputFrame {
    fn from(frame: Frame) -> Self {
        Self { image: frame.image, pts_seconds: frame.pts_seconds, index: frame.index }
    }
}

/// A whole file, on disk or in memory.
#[derive(Clone, Copy)]
pub(crate) enum Content<'a> {
    File(&'a Path),
    Bytes { name: &'a str, bytes: &'a [u8] },
}

impl Content<'_> {
    /// What errors call it.
    pub(crate) fn label(self) -> PathBuf {
        match self {
            Self::File(path) => path.to_owned(),
            Self::Bytes { name, .. } => PathBuf::from(name),
        }
    }

    fn length(self) -> io::Result<u64> {
        match self {
            Self::File(path) => Ok(std::fs::metadata(path)?.len()),
            Self::Bytes { bytes, .. } => Ok(bytes.len() as u64),
        }
    }

    /// The SHA-256 in hexadecimal; `None` when it is no longer wanted before it is there.
    pub(crate) fn sha256_while(self, is_wanted: impl FnMut() -> bool) -> io::Result<Option<String>> {
        match self {
            Self::File(path) => sha256_while(File::open(path)?, is_wanted),
            Self::Bytes { bytes, .. } => sha256_while(bytes, is_wanted),
        }
    }

    /// An input of which only name, path and size are known.
    fn facts(self, kind: InputKind) -> io::Result<InputFacts> {
        let (name, path) = match self {
            Self::File(path) => {
                let name = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy();
                (name.into_owned(), Some(path.display().to_string()))
            }
            Self::Bytes { name, .. } => (name.to_owned(), None),
        };
        Ok(InputFacts { path, bytes: Some(self.length()?), ..InputFacts::new(&name, kind) })
    }

    /// The facts of a picture that was decoded already, without its hash.
    pub(crate) fn picture_facts(self, picture: &Picture) -> io::Result<InputFacts> {
        Ok(InputFacts {
            container: Some(picture.format.name().to_owned()),
            width: Some(picture.full_size.0),
            height: Some(picture.full_size.1),
            ..self.facts(InputKind::Image)?
        })
    }

    /// The facts of a video that was opened already, without its hash.
    pub(crate) fn video_facts(self, info: &VideoInfo) -> io::Result<InputFacts> {
        Ok(InputFacts {
            container: Some(info.container.clone()),
            codec: Some(info.codec.clone()),
            width: Some(info.width),
            height: Some(info.height),
            duration_seconds: info.duration_seconds.map(rounded),
            frames_per_second: info.frames_per_second.map(rounded),
            frame_count: info.frame_count,
            ..self.facts(InputKind::Video)?
        })
    }
}

/// How often a caller is asked whether to go on while a decoder is waited for.
const ASK_EVERY: Duration = Duration::from_millis(100);

/// The result of `work`, which runs in a thread of its own while `goes_on` is asked; once that says no, `stop` is set.
fn while_wanted<T: Send>(
    stop: &AtomicBool,
    mut goes_on: impl FnMut() -> bool,
    work: impl FnOnce() -> T + Send,
) -> io::Result<T> {
    std::thread::scope(|scope| {
        let (done, ended) = mpsc::channel();
        let working =
            std::thread::Builder::new().name("reading".to_owned()).spawn_scoped(scope, move || {
                let result = work();
                // Nobody waits any more where the caller panicked.
                let _ = done.send(());
                result
            })?;
        while ended.recv_timeout(ASK_EVERY) == Err(RecvTimeoutError::Timeout) {
            if !stop.load(Ordering::Relaxed) && !goes_on() {
                stop.store(true, Ordering::Relaxed);
            }
        }
        working.join().map_or_else(|panic| std::panic::resume_unwind(panic), Ok)
    })
}

/// A file of `bytes` that has no name and ends with its last handle.
#[cfg(target_os = "linux")]
pub(crate) fn unnamed_file(bytes: &[u8]) -> io::Result<File> {
    use std::io::Write as _;
    let memory = rustix::fs::memfd_create("deeptell-input", rustix::fs::MemfdFlags::CLOEXEC)?;
    let mut file = File::from(memory);
    file.write_all(bytes)?;
    Ok(file)
}

/// A file of `bytes` that has no name and ends with its last handle.
#[cfg(not(target_os = "linux"))]
pub(crate) fn unnamed_file(bytes: &[u8]) -> io::Result<File> {
    use std::io::Write as _;
    let mut file = tempfile::tempfile()?;
    file.write_all(bytes)?;
    Ok(file)
}

impl Detector {
    /// How files are opened under these options.
    fn reading(&self, options: &ScanOptions) -> Result<VideoOptions, Error> {
        let mut reading = self.decoding.video_options()?;
        if let Some(side) = options.max_side {
            reading = reading.max_side(side);
        }
        if let Some(stream) = options.stream {
            reading = reading.stream(stream);
        }
        Ok(reading)
    }

    pub(crate) fn scan_content(
        &self,
        content: Content<'_>,
        options: &ScanOptions,
        on_progress: OnProgress<'_>,
    ) -> Result<Scan, Error> {
        let label = content.label();
        let name = label.display().to_string();
        let fail = |source: InputError| Error::input(&name, source);
        let stop = Arc::new(AtomicBool::new(false));
        let reading = self.reading(options)?.stop(&stop);
        let scanning = self.begin(&name, options)?;
        let goes_on = || scanning.report_progress(Some(options.frames), on_progress).is_ok();
        let media = match content {
            Content::File(path) => while_wanted(&stop, goes_on, || reading.open_media(path)),
            Content::Bytes { bytes, .. } => {
                let file = unnamed_file(bytes).map_err(|e| fail(InputError::NoMemory(e)))?;
                while_wanted(&stop, goes_on, || reading.media_from_file(file, &label))
            }
        };
        let media = media.map_err(|e| fail(InputError::Read(e)))?;
        if stop.load(Ordering::Relaxed) {
            return Err(Error::Cancelled);
        }
        match media.map_err(|e| fail(e.into()))? {
            Media::Picture(picture) => {
                let facts = content.picture_facts(&picture).map_err(|e| fail(e.into()))?;
                let mut warnings: Vec<Warning> = picture.trailing.map(Warning::from).into_iter().collect();
                let sha256 = self.hash(content, &scanning, Some(1), &mut warnings, on_progress)?;
                let facts = InputFacts { sha256, ..facts };
                Self::finish_picture(scanning, picture.image, facts, warnings, on_progress)
            }
            Media::Video(reader) => self.scan_video(content, *reader, scanning, &stop, on_progress),
            _ => Err(fail(InputError::NoFrames)),
        }
    }

    fn scan_video(
        &self,
        content: Content<'_>,
        mut reader: VideoReader,
        mut scanning: Scanning,
        stop: &AtomicBool,
        on_progress: OnProgress<'_>,
    ) -> Result<Scan, Error> {
        let name = content.label().display().to_string();
        let count = scanning.options().frames;
        let total = Some(count);
        let mut facts = content.video_facts(reader.info()).map_err(|e| Error::input(&name, e))?;
        let mut warnings = Vec::new();
        scanning.report_progress(total, on_progress)?;
        facts.sha256 = self.hash(content, &scanning, total, &mut warnings, on_progress)?;
        let mut frames = reader.sample(Sampling::Uniform(count));
        loop {
            let goes_on = || scanning.report_progress(total, on_progress).is_ok();
            let next = while_wanted(stop, goes_on, || frames.next());
            let next = next.map_err(|e| Error::input(&name, InputError::Read(e)))?;
            if stop.load(Ordering::Relaxed) {
                return Err(Error::Cancelled);
            }
            let Some(frame) = next else { break };
            let frame = frame.map_err(|e| Error::input(&name, e))?;
            // A video of fewer frames than asked for gives some twice; they say nothing new.
            if !frame.repeats_previous {
                scanning.push(&frame.into())?;
            }
            scanning.report_progress(total, on_progress)?;
        }
        drop(frames);
        warnings.extend(reader.warnings().iter().cloned().map(Warning::from));
        scanning.finish(facts, warnings)
    }

    /// The SHA-256 of a whole file, if it is wanted and can be had in the time that the limits allow: a sparse file
    /// may have terabytes to hash.
    fn hash(
        &self,
        content: Content<'_>,
        scanning: &Scanning,
        total: Option<usize>,
        warnings: &mut Vec<Warning>,
        on_progress: OnProgress<'_>,
    ) -> Result<Option<String>, Error> {
        if !scanning.options().sha256 {
            return Ok(None);
        }
        let time = self.decoding.limits().deadline;
        let (began, mut stopped) = (Instant::now(), Ok(()));
        let sha256 = content.sha256_while(|| {
            stopped = scanning.report_progress(total, on_progress);
            stopped.is_ok() && began.elapsed() <= time
        });
        let sha256 = sha256.map_err(|e| Error::input(&content.label().display().to_string(), e))?;
        stopped?;
        if sha256.is_none() {
            warnings.push(Warning::NotHashed { seconds: time.as_secs() });
        }
        Ok(sha256)
    }
}

#[cfg(test)]
mod tests {
    use deeptell_face::RgbImage;

    use super::*;
    use deeptell_files::sha256;

    #[test]
    fn the_facts_of_a_picture_on_disk_and_in_memory() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("portrait.mp4");
        RgbImage::new(20, 10).save_with_format(&path, image::ImageFormat::Png).unwrap();
        let bytes = std::fs::read(&path).unwrap();
        let picture = VideoReader::options().read_picture(&path).unwrap();
        let on_disk = Content::File(&path);
        let in_memory = Content::Bytes { name: "portrait.mp4", bytes: &bytes };
        for content in [on_disk, in_memory] {
            let facts = content.picture_facts(&picture).unwrap();
            assert_eq!((facts.width, facts.height), (Some(20), Some(10)));
            assert_eq!((facts.name.as_str(), facts.container.as_deref()), ("portrait.mp4", Some("png")));
            assert_eq!(facts.bytes, Some(bytes.len() as u64));
            assert_eq!(content.sha256_while(|| true).unwrap(), Some(sha256(&bytes)));
        }
        assert_eq!(in_memory.picture_facts(&picture).unwrap().path, None);
    }

    #[test]
    fn work_that_is_no_longer_wanted_is_stopped() {
        let stop = AtomicBool::new(false);
        let mut asked = 0;
        let start = Instant::now();
        let goes_on = || {
            asked += 1;
            asked < 2
        };
        let seen = while_wanted(&stop, goes_on, || {
            while !stop.load(Ordering::Relaxed) && start.elapsed() < Duration::from_secs(20) {
                std::thread::sleep(Duration::from_millis(5));
            }
            start.elapsed()
        });
        assert!(seen.unwrap() < Duration::from_secs(10));
        assert_eq!(while_wanted(&AtomicBool::new(false), || false, || 7).unwrap(), 7);
    }

    #[test]
    fn an_unnamed_file_is_a_whole_regular_file() {
        let file = unnamed_file(b"twelve bytes").unwrap();
        assert!(file.metadata().unwrap().is_file());
        assert_eq!(file.metadata().unwrap().len(), 12);
    }
}
