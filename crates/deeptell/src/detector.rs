//! The whole job: sample, detect, crop, classify, judge.

use std::fs::File;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use burn::tensor::Device;
use deeptell_face::{CropError, Face, FaceDetector, FaceError, Picture, RgbImage, redetection_rate};
use deeptell_files::sha256_while;
use deeptell_mtcnn::MtcnnConfig;
#[cfg(unix)]
use deeptell_video::DecoderProcess;
use deeptell_video::{Limits, Media, Sampling, VideoOptions, VideoReader};

use crate::input::{InputFrame, picture_facts, video_facts};
use crate::scan::Scan;
use crate::{Error, InputError, InputFacts, InputKind, Model, Report, ScanOptions, Warning};

/// A face is found again in at least 3 of the 8 views of [`redetection_rate`]; at 4, faces are lost in a clip of the sample.
const MIN_REDETECTION_RATE: f32 = 0.375;

/// How far a scan has come, for a progress bar.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// Frames looked at so far.
    pub frames_done: usize,
    /// Frames to look at, where it is known; there may turn out to be fewer.
    pub frames_total: Option<usize>,
    /// Faces found so far.
    pub faces: usize,
}

/// The detector: a face detector and a classifier on one device.
///
/// [`scan_video`](Self::scan_video) and its siblings do the whole job; each of its stages can be
/// called alone: [`VideoReader::sample`], [`find_faces`](Self::find_faces), [`crop`](Self::crop),
/// [`classify`](Self::classify), [`FaceLinker`](crate::FaceLinker) and
/// [`Criteria::judge`](crate::Criteria::judge). A detector has no changing state: share one
/// between threads by reference.
#[derive(Debug, Clone)]
pub struct Detector {
    model: Model,
    faces: Arc<dyn FaceDetector>,
    #[cfg(unix)]
    decoder: Option<DecoderProcess>,
}

impl Detector {
    /// A detector with the model file at `model_path`.
    ///
    /// # Errors
    /// As [`Model::load`].
    pub fn load(model_path: impl AsRef<Path>, device: &Device) -> Result<Self, Error> {
        Self::new(Model::load(model_path, device)?, device)
    }

    /// The detector that ships with deeptell; needs no file.
    ///
    /// # Errors
    /// As [`Model::shipped`].
    pub fn shipped(device: &Device) -> Result<Self, Error> {
        Self::new(Model::shipped(device)?, device)
    }

    /// A detector with a model that is loaded already, and with MTCNN as its face detector on
    /// `device`.
    ///
    /// # Errors
    /// [`Error::FaceDetector`] when the face detector cannot be made on `device`.
    pub fn new(model: Model, device: &Device) -> Result<Self, Error> {
        let min_face = ScanOptions::default().min_face;
        let faces = MtcnnConfig { min_face: min_face.into(), ..MtcnnConfig::default() }
            .init(device)
            .map_err(FaceError::from)?;
        Ok(Self {
            model,
            faces: Arc::new(faces),
            #[cfg(unix)]
            decoder: None,
        })
    }

    /// The same detector with another face detector.
    ///
    /// A model is calibrated for the boxes of the face detector that it was trained with; with
    /// another one its thresholds no longer hold.
    #[must_use]
    pub fn with_face_detector(self, faces: Arc<dyn FaceDetector>) -> Self {
        Self { faces, ..self }
    }

    /// The face detector.
    pub fn face_detector(&self) -> &dyn FaceDetector {
        &*self.faces
    }

    /// Decodes videos in a process of its own from now on, which can do nothing else: for files
    /// from strangers. The reports are the same.
    #[cfg(unix)]
    #[must_use]
    pub fn isolated_by(self, decoder: &DecoderProcess) -> Self {
        Self { decoder: Some(decoder.clone()), ..self }
    }

    /// The classifier.
    pub fn model(&self) -> &Model {
        &self.model
    }

    /// Scans a file: a still picture if its first bytes say so, else a video or an animated picture.
    ///
    /// # Errors
    /// As [`scan_video`](Self::scan_video) and [`scan_image`](Self::scan_image).
    pub fn scan_file(&self, path: impl AsRef<Path>, options: &ScanOptions) -> Result<Report, Error> {
        self.scan_file_with(path, options, |_| ControlFlow::Continue(()))
    }

    /// [`scan_file`](Self::scan_file) with progress: `on_progress` is called before the first
    /// frame, while the file is hashed, and after each frame, on this thread; `Break` cancels.
    ///
    /// # Errors
    /// As [`scan_file`](Self::scan_file), and [`Error::Cancelled`].
    pub fn scan_file_with(
        &self,
        path: impl AsRef<Path>,
        options: &ScanOptions,
        on_progress: impl FnMut(Progress) -> ControlFlow<()>,
    ) -> Result<Report, Error> {
        let path = path.as_ref();
        let name = path.display().to_string();
        options.check()?;
        match self.reading(options).open_media(path).map_err(|e| Error::input(&name, e))? {
            Media::Picture(picture) => self.scan_picture_file(path, picture, options, on_progress),
            Media::Video(reader) => self.scan_reader(path, *reader, options, on_progress),
            _ => Err(Error::input(&name, InputError::NoFrames)),
        }
    }

    /// Scans a video: looks at [`ScanOptions::frames`] frames, spread evenly over it.
    ///
    /// # Errors
    /// [`Error::Option`] for an option out of range, [`Error::Input`] when the video cannot be
    /// decoded, [`Error::Device`] and [`Error::Model`] when a network fails.
    pub fn scan_video(&self, path: impl AsRef<Path>, options: &ScanOptions) -> Result<Report, Error> {
        self.scan_video_with(path, options, |_| ControlFlow::Continue(()))
    }

    /// [`scan_video`](Self::scan_video) with progress: `on_progress` is called before the first
    /// frame and after each, on this thread; `Break` cancels.
    ///
    /// # Errors
    /// As [`scan_video`](Self::scan_video), and [`Error::Cancelled`].
    pub fn scan_video_with(
        &self,
        path: impl AsRef<Path>,
        options: &ScanOptions,
        on_progress: impl FnMut(Progress) -> ControlFlow<()>,
    ) -> Result<Report, Error> {
        let path = path.as_ref();
        options.check()?;
        let reader = self.reading(options).open(path);
        let reader = reader.map_err(|e| Error::input(&path.display().to_string(), e))?;
        self.scan_reader(path, reader, options, on_progress)
    }

    /// How files are opened under these options.
    fn reading(&self, options: &ScanOptions) -> VideoOptions {
        let mut reading = VideoReader::options();
        if let Some(side) = options.max_side {
            reading = reading.max_side(side);
        }
        if let Some(stream) = options.stream {
            reading = reading.stream(stream);
        }
        if options.untrusted {
            reading = reading.limits(Limits::untrusted());
        }
        #[cfg(unix)]
        if let Some(decoder) = &self.decoder {
            reading = reading.isolated_by(decoder);
        }
        reading
    }

    fn scan_reader(
        &self,
        path: &Path,
        mut reader: VideoReader,
        options: &ScanOptions,
        mut on_progress: impl FnMut(Progress) -> ControlFlow<()>,
    ) -> Result<Report, Error> {
        let name = path.display().to_string();
        let mut scan = Scan::new(self, options)?;
        let mut facts = video_facts(path, reader.info()).map_err(|e| Error::input(&name, e))?;
        let mut warnings = Vec::new();
        scan.report_progress(Some(options.frames), &mut on_progress)?;
        if options.sha256 {
            // A sparse file may have terabytes to hash.
            let time = if options.untrusted { Limits::untrusted() } else { Limits::default() }.deadline;
            let (began, mut stopped) = (Instant::now(), Ok(()));
            let file = File::open(path).map_err(|e| Error::input(&name, e))?;
            facts.sha256 = sha256_while(file, || {
                stopped = scan.report_progress(Some(options.frames), &mut on_progress);
                stopped.is_ok() && began.elapsed() <= time
            })
            .map_err(|e| Error::input(&name, e))?;
            stopped?;
            if facts.sha256.is_none() {
                warnings.push(Warning::NotHashed { seconds: time.as_secs() });
            }
        }
        for frame in reader.sample(Sampling::Uniform(options.frames)) {
            let frame = frame.map_err(|e| Error::input(&name, e))?;
            // A video of fewer frames than asked for gives some twice; they say nothing new.
            if !frame.repeats_previous {
                scan.look(&name, &frame.into())?;
            }
            scan.report_progress(Some(options.frames), &mut on_progress)?;
        }
        warnings.extend(reader.warnings().iter().cloned().map(Warning::from));
        scan.finish(facts, warnings)
    }

    /// Scans a picture file: JPEG, PNG, WebP or BMP, turned upright by its EXIF data.
    ///
    /// # Errors
    /// As [`scan_video`](Self::scan_video).
    pub fn scan_image(&self, path: impl AsRef<Path>, options: &ScanOptions) -> Result<Report, Error> {
        self.scan_image_with(path, options, |_| ControlFlow::Continue(()))
    }

    /// [`scan_image`](Self::scan_image) with progress, as for
    /// [`scan_video_with`](Self::scan_video_with).
    ///
    /// # Errors
    /// As [`scan_image`](Self::scan_image), and [`Error::Cancelled`].
    pub fn scan_image_with(
        &self,
        path: impl AsRef<Path>,
        options: &ScanOptions,
        on_progress: impl FnMut(Progress) -> ControlFlow<()>,
    ) -> Result<Report, Error> {
        let path = path.as_ref();
        options.check()?;
        let picture = self.reading(options).read_picture(path);
        let picture = picture.map_err(|e| Error::input(&path.display().to_string(), e))?;
        self.scan_picture_file(path, picture, options, on_progress)
    }

    fn scan_picture_file(
        &self,
        path: &Path,
        picture: Picture,
        options: &ScanOptions,
        on_progress: impl FnMut(Progress) -> ControlFlow<()>,
    ) -> Result<Report, Error> {
        let facts = picture_facts(path, &picture, options);
        let facts = facts.map_err(|e| Error::input(&path.display().to_string(), e))?;
        self.scan_picture(picture.image, facts, options, on_progress)
    }

    /// Scans a picture in memory; `name` is what the report calls it.
    ///
    /// # Errors
    /// As [`scan_video`](Self::scan_video).
    pub fn scan_rgb(&self, name: &str, image: &RgbImage, options: &ScanOptions) -> Result<Report, Error> {
        let facts = InputFacts {
            width: Some(image.width()),
            height: Some(image.height()),
            ..InputFacts::named(name, InputKind::Image)
        };
        self.scan_picture(image.clone(), facts, options, |_| ControlFlow::Continue(()))
    }

    fn scan_picture(
        &self,
        image: RgbImage,
        facts: InputFacts,
        options: &ScanOptions,
        mut on_progress: impl FnMut(Progress) -> ControlFlow<()>,
    ) -> Result<Report, Error> {
        let mut scan = Scan::new(self, options)?;
        scan.report_progress(Some(1), &mut on_progress)?;
        scan.look(&facts.name, &InputFrame { image, pts_seconds: 0.0, index: None })?;
        scan.report_progress(Some(1), &mut on_progress)?;
        scan.finish(facts, Vec::new())
    }

    /// Scans frames that the caller decoded, all of them, in order of time; `name` is what the
    /// report calls them. [`ScanOptions::frames`] has no say here.
    ///
    /// # Errors
    /// As [`scan_video`](Self::scan_video); [`Error::Input`] when there is no frame, or one
    /// without pixels or with a time that is no number.
    pub fn scan_frames(
        &self,
        name: &str,
        frames: impl IntoIterator<Item = InputFrame>,
        options: &ScanOptions,
    ) -> Result<Report, Error> {
        self.scan_frames_with(name, frames, options, |_| ControlFlow::Continue(()))
    }

    /// [`scan_frames`](Self::scan_frames) with progress, as for
    /// [`scan_video_with`](Self::scan_video_with).
    ///
    /// # Errors
    /// As [`scan_frames`](Self::scan_frames), and [`Error::Cancelled`].
    pub fn scan_frames_with(
        &self,
        name: &str,
        frames: impl IntoIterator<Item = InputFrame>,
        options: &ScanOptions,
        mut on_progress: impl FnMut(Progress) -> ControlFlow<()>,
    ) -> Result<Report, Error> {
        let mut scan = Scan::new(self, options)?;
        let frames = frames.into_iter();
        let total = frames.size_hint().1;
        let mut facts = InputFacts::named(name, InputKind::Frames);
        scan.report_progress(total, &mut on_progress)?;
        for frame in frames {
            facts.width.get_or_insert(frame.image.width());
            facts.height.get_or_insert(frame.image.height());
            scan.look(name, &frame)?;
            scan.report_progress(total, &mut on_progress)?;
        }
        scan.finish(facts, Vec::new())
    }

    /// The stage that finds faces: those that touch the image and are as large and as probable as
    /// `options` ask, the largest first. [`ScanOptions::max_faces_per_frame`] is ignored.
    ///
    /// # Errors
    /// [`Error::Option`] for an option out of range, [`Error::FaceDetector`] when the face detector
    /// fails.
    pub fn find_faces(&self, image: &RgbImage, options: &ScanOptions) -> Result<Vec<Face>, Error> {
        options.check()?;
        FaceFinder::new(self, options)?.find(image)
    }

    /// The stage that cuts a face out, as the model was trained to see it.
    ///
    /// # Errors
    /// [`CropError`] when the face does not touch the image, or its landmarks are unusable for a
    /// model that needs them.
    pub fn crop(&self, image: &RgbImage, face: &Face) -> Result<RgbImage, CropError> {
        self.model.card().crop.cut(image, face.bbox, Some(&face.landmarks))
    }

    /// The stage that scores: the calibrated probability in `0..=1` that each crop shows a
    /// manipulated face. All crops go through the network as one batch.
    ///
    /// # Errors
    /// As [`Model::logits`].
    pub fn classify(&self, crops: &[RgbImage]) -> Result<Vec<f64>, Error> {
        self.model.probabilities(crops)
    }
}

/// The face detector of a [`Detector`], set as the options of a scan ask.
pub(crate) struct FaceFinder {
    faces: Arc<dyn FaceDetector>,
    min_face: f32,
    min_probability: f32,
    /// Smaller boxes are dropped; 0 where the face detector itself knows the smallest face.
    min_height: f32,
}

impl FaceFinder {
    pub(crate) fn new(detector: &Detector, options: &ScanOptions) -> Result<Self, Error> {
        let &ScanOptions { min_face, min_detection_probability: min_probability, .. } = options;
        let (faces, min_height) = match detector.faces.with_min_face(min_face)? {
            Some(faces) => (faces, 0.0),
            None => (Arc::clone(&detector.faces), min_face),
        };
        Ok(Self { faces, min_face, min_probability, min_height })
    }

    /// As [`Detector::find_faces`].
    pub(crate) fn find(&self, image: &RgbImage) -> Result<Vec<Face>, Error> {
        let mut faces = self.faces.find(image, self.min_probability)?;
        faces.retain(|face| face.bbox.height() >= self.min_height);
        Ok(faces)
    }

    /// Whether `face` is found in enough views of it ([`redetection_rate`]) to be one.
    pub(crate) fn finds_again(&self, image: &RgbImage, face: &Face) -> Result<bool, Error> {
        let rate = redetection_rate(&*self.faces, image, face, self.min_face, self.min_probability)?;
        Ok(rate >= MIN_REDETECTION_RATE)
    }
}
