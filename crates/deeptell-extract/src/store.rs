use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use deeptell_data::{ManifestWriter, Sample, sha256_of_contents};
use deeptell_face::{FaceDetector, FaceDetectorId};
use deeptell_files::{
    FolderLock, error_chain, name_below, read_text_bounded, remove_leftovers, sha256, write_whole,
};
use deeptell_video::{VideoError, VideoOptions};
use rayon::prelude::*;

use crate::archives::Archives;
use crate::crops::{CropWriter, Crops, length_of, video_of};
use crate::frames::FrameSource;
use crate::parts::{ARCHIVES, CROPS, Parts, Presence, STATE};
use crate::settings::MAX_SETTINGS_BYTES;
use crate::status::{FAILURES, MANIFEST};
use crate::{CropStorage, ExtractError, Failure, FailureReason, Redo, Settings};

/// Name of the file with the settings in an output folder.
pub const SETTINGS_FILE: &str = "extract.toml";
/// Names of the files that an extraction writes into its output folder, beside the crops.
pub const OUTPUT_FILES: [&str; 4] = [SETTINGS_FILE, MANIFEST, FAILURES, STATE];
/// The face detector of folders that do not name one.
const FIRST_DETECTOR: &str = "mtcnn";

/// The output folder of an extraction, locked for this process.
///
/// Once all crops of an input are stored, a small manifest for it is written under `done/`, so that a
/// run can stop at any moment without losing or duplicating a row. Inputs are identified by their path
/// below the data set, so the data set and the folder may be moved between two runs.
pub struct Store<'a> {
    folder: PathBuf,
    /// Of the data set.
    root: PathBuf,
    settings: Settings,
    /// How videos are opened.
    videos: VideoOptions,
    face_detector: &'a dyn FaceDetector,
    face_detector_name: String,
    parts: Parts,
    /// The archives, if crops are not stored as files.
    archives: Option<Archives>,
    redo: Redo,
    /// Held until the store is dropped.
    _lock: FolderLock,
}

/// What a [`Store`] works with, besides its settings.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct StoreContext<'a> {
    /// The face detector; the settings file and each row name it.
    pub face_detector: &'a dyn FaceDetector,
    /// How videos are opened.
    pub videos: VideoOptions,
    /// A tar archive ends before it grows beyond this many bytes, unless one input alone does.
    pub tar_bytes: u64,
}

impl<'a> StoreContext<'a> {
    /// What a store works with; archives of up to 1 GiB.
    pub fn new(face_detector: &'a dyn FaceDetector, videos: VideoOptions) -> Self {
        Self { face_detector, videos, tar_bytes: 1 << 30 }
    }

    /// Sets [`tar_bytes`](field@Self::tar_bytes).
    #[must_use]
    pub fn tar_bytes(self, tar_bytes: u64) -> Self {
        Self { tar_bytes, ..self }
    }
}

/// Progress of an extraction.
#[derive(Debug)]
#[non_exhaustive]
pub enum Event<'a> {
    /// Inputs that failed before are not tried again, because [`Store::redo`] says so.
    Kept {
        /// How many.
        failures: usize,
    },
    /// The extraction begins.
    Started {
        /// Inputs to do.
        waiting: usize,
        /// Inputs in all.
        inputs: usize,
    },
    /// An input is done.
    Done {
        /// The input.
        sample: &'a Sample,
    },
    /// An input failed.
    Failed {
        /// The input.
        sample: &'a Sample,
        /// Why.
        error: ExtractError,
    },
}

/// The result of an extraction.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Summary {
    /// Crops in the manifest, of earlier runs too.
    pub crops: usize,
    /// Inputs that failed.
    pub failures: usize,
}

impl<'a> Store<'a> {
    /// Opens or creates the output folder `folder`, for a data set with the root `root`.
    ///
    /// Cleans up after a killed run: crops that are stored and listed are kept, everything else is
    /// done again.
    ///
    /// # Errors
    /// [`ExtractError::Lock`] while another process works in the folder,
    /// [`ExtractError::OtherSettings`], [`ExtractError::OtherShard`] and [`ExtractError::OtherFaceDetector`]
    /// when it holds other crops, [`ExtractError::Setting`], [`ExtractError::Damaged`], [`ExtractError::Io`].
    pub fn open(
        folder: &Path,
        root: &Path,
        settings: Settings,
        context: StoreContext<'a>,
    ) -> Result<Self, ExtractError> {
        let StoreContext { face_detector, videos, tar_bytes } = context;
        if settings.frames == 0 {
            return Err(ExtractError::Setting { setting: "frames", expected: "must be 1 or more" });
        }
        // Parts name their crops by full path, so the folder must not depend on the working directory.
        let folder = std::path::absolute(folder).map_err(ExtractError::io(folder))?;
        let lock = FolderLock::acquire(&folder)?;
        let id = face_detector.id();
        agree(&folder, &settings, &id)?;
        for left in ["", "done", "crops/real", "crops/fake"] {
            let left = folder.join(left);
            remove_leftovers(&left).map_err(ExtractError::io(&left))?;
        }
        let parts = Parts::open(&folder)?;
        let archives = match settings.store {
            CropStorage::Files => None,
            CropStorage::Tar => Some(Archives::open(folder.join(ARCHIVES), &parts, tar_bytes)?),
        };
        let store = Self {
            folder,
            root: root.to_path_buf(),
            settings,
            videos,
            face_detector,
            face_detector_name: id.name,
            parts,
            archives,
            redo: Redo::default(),
            _lock: lock,
        };
        store.check_parts()?;
        Ok(store)
    }

    /// Sets which of the inputs that failed in earlier runs are tried again; by default, all. One whose
    /// size has changed since is tried again in any case.
    #[must_use]
    pub fn redo(mut self, redo: Redo) -> Self {
        self.redo = redo;
        self
    }

    /// Removes parts whose crops are gone, and names the others by what they are of.
    fn check_parts(&self) -> Result<(), ExtractError> {
        let mut presence = Presence::default();
        for part in self.parts.all()? {
            let Ok(rows) = self.rows(&part) else {
                // Cut short by a power cut: nothing in it can be trusted.
                self.parts.remove(&part, &[])?;
                continue;
            };
            if rows.is_empty() || (self.settings.in_place.is_none() && !presence.has_all(&rows)) {
                self.parts.remove(&part, &rows)?;
                continue;
            }
            // Earlier versions named a part by the path as it was given.
            let file = rows[0].extra.get("file");
            if let Some(file) = file.as_ref().and_then(|file| file.as_str()) {
                let known = self.parts.path(&key(file));
                if known == part {
                    continue;
                }
                if known.exists() {
                    self.parts.remove(&part, &rows)?;
                } else {
                    fs::rename(&part, &known).map_err(ExtractError::io(&part))?;
                }
            }
        }
        Ok(())
    }

    fn rows(&self, part: &Path) -> Result<Vec<Sample>, ExtractError> {
        self.parts.read(part, self.settings.in_place.is_some())
    }

    /// The name of an input below the data set.
    fn name(&self, sample: &Sample) -> String {
        name_below(&self.root, &sample.path)
    }

    fn part(&self, sample: &Sample) -> PathBuf {
        self.parts.path(&key(&self.name(sample)))
    }

    /// Whether the crops of an input are there; those of another file that had its name are removed.
    ///
    /// # Errors
    /// [`ExtractError::Io`].
    pub fn is_done(&self, sample: &Sample) -> Result<bool, ExtractError> {
        let part = self.part(sample);
        if !part.is_file() {
            return Ok(false);
        }
        let rows = self.rows(&part)?;
        let before =
            rows.first().and_then(|row| row.extra.get("file_bytes")).and_then(|bytes| bytes.as_u64());
        if before.zip(length_of(sample)).is_some_and(|(before, now)| before != now) {
            self.parts.remove(&part, &rows)?;
            return Ok(false);
        }
        Ok(true)
    }

    /// Extracts the samples that are not done yet, on all threads of the pool, and writes the
    /// manifest. Returns `None` if `stop` ended it early; finished samples are kept.
    ///
    /// `on_event` is called from several threads.
    ///
    /// # Errors
    /// If something in the output folder cannot be read or written. An error of one input is an
    /// [`Event::Failed`].
    pub fn run(
        &self,
        samples: &[Sample],
        stop: &AtomicBool,
        on_event: impl Fn(Event<'_>) + Sync,
    ) -> Result<Option<Summary>, ExtractError> {
        let mut waiting = Vec::new();
        let mut kept = 0;
        for sample in samples {
            if self.is_done(sample)? {
                continue;
            }
            if self.stays_failed(sample)? {
                kept += 1;
            } else {
                waiting.push(sample);
            }
        }
        if kept > 0 {
            on_event(Event::Kept { failures: kept });
        }
        on_event(Event::Started { waiting: waiting.len(), inputs: samples.len() });
        waiting.par_iter().try_for_each(|&sample| -> Result<(), ExtractError> {
            if stop.load(Ordering::Relaxed) {
                return Ok(());
            }
            let key = key(&self.name(sample));
            match self.try_extract(sample, stop) {
                Ok(true) => {
                    self.parts.clear_failure(&key)?;
                    on_event(Event::Done { sample });
                }
                Ok(false) => {}
                Err(error) => {
                    self.parts.write_failure(&key, &self.failure(sample, &error))?;
                    on_event(Event::Failed { sample, error });
                }
            }
            Ok(())
        })?;
        if stop.load(Ordering::Relaxed) {
            return Ok(None);
        }
        self.assemble(samples, &on_event).map(Some)
    }

    /// Whether an input failed before and is not to be tried again.
    fn stays_failed(&self, sample: &Sample) -> Result<bool, ExtractError> {
        let failure = self.parts.failure(&key(&self.name(sample)))?;
        Ok(failure
            .is_some_and(|failure| failure.bytes == length_of(sample) && !self.redo.includes(failure.reason)))
    }

    fn failure(&self, sample: &Sample, error: &ExtractError) -> Failure {
        Failure {
            path: sample.path.clone(),
            file: self.name(sample),
            reason: FailureReason::of(error, &self.folder),
            error: error_chain(error),
            bytes: length_of(sample),
        }
    }

    /// [Extracts](Self::extract) one input, a second time if its decoder was killed. One that was lost while everything
    /// is being ended was not tried.
    fn try_extract(&self, sample: &Sample, stop: &AtomicBool) -> Result<bool, ExtractError> {
        let is_killed = |error: &ExtractError| {
            matches!(
                error,
                ExtractError::Video(VideoError::DecoderKilled { .. } | VideoError::NoDecoderProcess { .. })
            )
        };
        match self.extract(sample, stop) {
            Err(error) if is_killed(&error) && stop.load(Ordering::Relaxed) => Ok(false),
            Err(ExtractError::Video(VideoError::DecoderKilled { .. })) => self.extract(sample, stop),
            other => other,
        }
    }

    /// Cuts the faces out of one input; `false` when `stop` ended that early.
    fn extract(&self, sample: &Sample, stop: &AtomicBool) -> Result<bool, ExtractError> {
        let file = self.name(sample);
        let key = key(&file);
        let source = FrameSource::open(sample, self.settings.frames, &self.videos)?;
        if source.is_video() && self.settings.in_place.is_some() {
            return Err(ExtractError::VideoInPlace);
        }
        // A sparse file may have terabytes to hash.
        let time = self.videos.deadline();
        let (began, is_stopped) = (Instant::now(), || stop.load(Ordering::Relaxed));
        let hash = sha256_of_contents(&sample.path, || !is_stopped() && began.elapsed() <= time)?;
        if is_stopped() {
            return Ok(false);
        }
        let too_long = hash.is_none().then(|| {
            format!(
                "The file is too long to be hashed within {} seconds: there is no SHA-256.",
                time.as_secs()
            )
        });
        let mut crops = CropWriter::new(sample, &self.settings, &self.face_detector_name, &key, file, hash);
        let Settings { face, min_probability, in_place, .. } = self.settings;
        let mut warnings = source.each(|frame| {
            let found = match in_place {
                Some(_) => self.face_detector.find_in_crop(&frame.image, min_probability, face)?,
                None => face.pick(&self.face_detector.find(&frame.image, min_probability)?),
            };
            crops.take(frame, found.as_ref())
        })?;
        warnings.extend(too_long);
        let Crops { mut rows, pictures } = crops.finish(&warnings)?;
        if let Some(archives) = &self.archives {
            archives.add(&mut rows, &pictures, |rows| self.parts.write(&key, rows))?;
            return Ok(true);
        }
        let folder = self.folder.join(CROPS).join(sample.label.to_string());
        for (row, picture) in rows.iter_mut().zip(&pictures) {
            row.path = folder.join(&row.path);
            write_whole(&row.path, picture).map_err(ExtractError::io(&row.path))?;
        }
        self.parts.write(&key, &rows)?;
        Ok(true)
    }

    /// Ends the archive that is open, and writes the manifest in the order of the data set and the
    /// list of failures.
    fn assemble(&self, samples: &[Sample], on_event: &impl Fn(Event<'_>)) -> Result<Summary, ExtractError> {
        if let Some(archives) = &self.archives {
            archives.finish()?;
        }
        let mut writer = ManifestWriter::create(self.folder.join(MANIFEST))?;
        let mut presence = Presence::default();
        let mut crops = 0;
        let mut failures = Vec::new();
        for sample in samples {
            let part = self.part(sample);
            if !part.is_file() {
                let failure = self.parts.failure(&key(&self.name(sample)))?;
                failures.extend(failure.map(|failure| Failure { path: sample.path.clone(), ..failure }));
                continue;
            }
            let mut rows = self.rows(&part)?;
            if self.settings.in_place.is_none() && !presence.has_all(&rows) {
                failures.push(self.failure(sample, &ExtractError::CropsGone));
                on_event(Event::Failed { sample, error: ExtractError::CropsGone });
                self.parts.remove(&part, &rows)?;
                continue;
            }
            for row in &mut rows {
                // Splits and sources may have been corrected since the crops were cut, and the data
                // set moved.
                row.split = sample.split;
                row.source.clone_from(&sample.source);
                row.video = Some(video_of(sample));
                if self.settings.in_place.is_some() {
                    row.path.clone_from(&sample.path);
                }
                // Parts of earlier versions do not name it.
                row.extra.insert("file", self.name(sample));
                writer.write(row)?;
            }
            crops += rows.len();
        }
        writer.finish()?;
        self.parts.record_length(&self.folder.join(MANIFEST))?;
        let failures: BTreeMap<&Path, &Failure> = failures.iter().map(|f| (f.path.as_path(), f)).collect();
        let path = self.folder.join(FAILURES);
        let mut lines = String::new();
        for failure in failures.values() {
            let line = serde_json::to_string(failure).map_err(|error| ExtractError::damaged(&path, error))?;
            lines.push_str(&line);
            lines.push('\n');
        }
        write_whole(&path, lines.as_bytes()).map_err(ExtractError::io(&path))?;
        Ok(Summary { crops, failures: failures.len() })
    }
}

/// Writes the settings to a new folder, or compares them with those of an old one.
fn agree(folder: &Path, settings: &Settings, id: &FaceDetectorId) -> Result<(), ExtractError> {
    let path = folder.join(SETTINGS_FILE);
    let now = Settings { face_detector: Some(id.clone()), ..settings.clone() };
    if path.is_file() {
        let text = read_text_bounded(&path, MAX_SETTINGS_BYTES).map_err(ExtractError::io(&path))?;
        let before: Settings =
            toml::from_str(&text).map_err(|error| ExtractError::damaged(&path, error.message()))?;
        if before == now {
            return Ok(());
        }
        if before.shard != now.shard && (Settings { shard: now.shard, ..before.clone() }) == now {
            let folder = folder.to_path_buf();
            return Err(ExtractError::OtherShard { folder, before: before.shard, now: now.shard });
        }
        if (Settings { face_detector: now.face_detector.clone(), ..before.clone() }) != now {
            return Err(ExtractError::OtherSettings { folder: folder.to_path_buf() });
        }
        let is_first = before.face_detector.is_none() && id.name == FIRST_DETECTOR;
        if !is_first {
            let before = before.face_detector.unwrap_or_else(|| FaceDetectorId::new(FIRST_DETECTOR));
            let (folder, now) = (folder.to_path_buf(), id.clone());
            return Err(ExtractError::OtherFaceDetector { folder, before, now });
        }
    }
    let text = toml::to_string_pretty(&now).map_err(|error| ExtractError::damaged(&path, error))?;
    write_whole(&path, text.as_bytes()).map_err(ExtractError::io(&path))
}

/// Distinguishes inputs of the same file name: the start of a hash of the name below the data set.
pub(crate) fn key(file: &str) -> String {
    let mut key = sha256(file.as_bytes());
    key.truncate(12);
    key
}
