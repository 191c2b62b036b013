//! The whole pipeline: sample, detect, crop, classify, judge.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Instant;

use burn::tensor::Device;
use deeptell_face::{CropError, Face, FaceDetector, FaceError, RgbImage, redetection_rate};
use deeptell_mtcnn::MtcnnConfig;
use deeptell_video::{Media, Sampling, VideoOptions, VideoReader};

use crate::input::{Content, Input, InputFrame, Source, unnamed_file};
use crate::scanning::Scanning;
use crate::{Decoding, Error, InputError, InputFacts, InputKind, Model, Scan, ScanOptions, Warning};

/// A face is found again in at least 3 of the 8 views of [`redetection_rate`]; at 4, faces are lost in a clip of the sample.
const MIN_REDETECTION_RATE: f32 = 0.375;

/// How far a scan has come, for a progress bar.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Progress {
    /// Frames processed so far.
    pub frames_done: usize,
    /// Frames to process, where that is known; there may turn out to be fewer.
    pub frames_total: Option<usize>,
    /// Faces found so far.
    pub faces: usize,
}

impl Progress {
    /// A scan that has processed so many frames and found so many faces.
    pub const fn new(frames_done: usize, frames_total: Option<usize>, faces: usize) -> Self {
        Self { frames_done, frames_total, faces }
    }
}

type OnProgress<'a> = &'a mut dyn FnMut(Progress) -> ControlFlow<()>;

/// The detector: a face detector and a classifier on one device.
///
/// [`scan`](Self::scan) does the whole job; each of its stages can be called alone:
/// [`VideoReader::sample`], [`find_faces`](Self::find_faces), [`crop`](Self::crop),
/// [`classify`](Self::classify), [`FaceLinker`](crate::FaceLinker) and
/// [`Criteria::judge`](crate::Criteria::judge). A detector has no changing state: share one
/// between threads by reference.
#[derive(Debug, Clone)]
pub struct Detector {
    model: Model,
    faces: Arc<dyn FaceDetector>,
    decoding: Decoding,
}

impl Detector {
    /// A detector with the model file at `model_path`.
    ///
    /// # Errors
    /// As [`Model::load`].
    pub fn load(model_path: impl AsRef<std::path::Path>, device: &Device) -> Result<Self, Error> {
        Self::new(Model::load(model_path, device)?, device)
    }

    /// The detector with the shipped model; needs no file.
    ///
    /// # Errors
    /// As [`Model::shipped`].
    pub fn shipped(device: &Device) -> Result<Self, Error> {
        Self::new(Model::shipped(device)?, device)
    }

    /// A detector with a loaded model, MTCNN on `device` as its face detector, and the default [`Decoding`]: files are
    /// decoded in a separate process.
    ///
    /// # Errors
    /// [`Error::FaceDetector`] when the face detector cannot be made on `device`.
    pub fn new(model: Model, device: &Device) -> Result<Self, Error> {
        let min_face = ScanOptions::default().min_face;
        let faces = MtcnnConfig { min_face: min_face.into(), ..MtcnnConfig::default() }
            .init(device)
            .map_err(FaceError::from)?;
        Ok(Self::from_parts(model, Arc::new(faces)))
    }

    /// A detector with a model and a face detector that exist already, and with the default [`Decoding`].
    ///
    /// A model is calibrated for the boxes of the face detector that it was trained with; with another one its thresholds
    /// do not hold.
    pub fn from_parts(model: Model, face_detector: Arc<dyn FaceDetector>) -> Self {
        Self { model, faces: face_detector, decoding: Decoding::default() }
    }

    /// The same detector with another face detector.
    ///
    /// A model is calibrated for the boxes of the face detector that it was trained with; with
    /// another one its thresholds no longer hold.
    #[must_use]
    pub fn with_face_detector(self, faces: Arc<dyn FaceDetector>) -> Self {
        Self { faces, ..self }
    }

    /// The same detector, decoding files elsewhere or within other limits.
    #[must_use]
    pub fn with_decoding(self, decoding: Decoding) -> Self {
        Self { decoding, ..self }
    }

    /// The face detector.
    pub fn face_detector(&self) -> &dyn FaceDetector {
        &*self.faces
    }

    /// Where files are decoded, and within which limits.
    pub fn decoding(&self) -> &Decoding {
        &self.decoding
    }

    /// The classifier.
    pub fn model(&self) -> &Model {
        &self.model
    }

    /// Scans a file, a picture or frames. Of a video, [`ScanOptions::frames`] frames are sampled, spread evenly over
    /// it; a picture is turned upright by its EXIF data.
    ///
    /// # Errors
    /// - [`Error::Option`] for an option out of range;
    /// - [`Error::Isolation`] when a file is to be decoded in a separate process and this program is not prepared for
    ///   that ([`run_if_decoder`](crate::run_if_decoder));
    /// - [`Error::Input`] when the file cannot be read or decoded, when there is no frame, or one without pixels or
    ///   with a time that is not a number;
    /// - [`Error::Device`], [`Error::Model`] and [`Error::FaceDetector`] when a network fails.
    pub fn scan<'a>(&self, input: impl Into<Input<'a>>, options: &ScanOptions) -> Result<Scan, Error> {
        self.scan_with(input, options, |_| ControlFlow::Continue(()))
    }

    /// [`scan`](Self::scan) with progress: `on_progress` is called before the first frame, while a file is hashed,
    /// and after each frame, on this thread; `Break` cancels.
    ///
    /// # Errors
    /// As [`scan`](Self::scan), and [`Error::Cancelled`].
    pub fn scan_with<'a>(
        &self,
        input: impl Into<Input<'a>>,
        options: &ScanOptions,
        mut on_progress: impl FnMut(Progress) -> ControlFlow<()>,
    ) -> Result<Scan, Error> {
        options.check()?;
        let on_progress = &mut on_progress;
        match input.into().0 {
            Source::File(path) => self.scan_content(Content::File(path), options, on_progress),
            Source::Bytes { name, bytes } => {
                self.scan_content(Content::Bytes { name, bytes }, options, on_progress)
            }
            Source::Picture { name, image } => {
                let facts = InputFacts {
                    width: Some(image.width()),
                    height: Some(image.height()),
                    ..InputFacts::named(name, InputKind::Image)
                };
                self.scan_picture(image.clone(), facts, options, on_progress)
            }
            Source::Frames { name, frames } => self.scan_frames(name, frames, options, on_progress),
        }
    }

    /// How files are opened under these options.
    fn reading(&self, options: &ScanOptions) -> Result<VideoOptions, Error> {
        let mut reading = self.decoding.reading()?;
        if let Some(side) = options.max_side {
            reading = reading.max_side(side);
        }
        if let Some(stream) = options.stream {
            reading = reading.stream(stream);
        }
        Ok(reading)
    }

    fn scan_content(
        &self,
        content: Content<'_>,
        options: &ScanOptions,
        on_progress: OnProgress<'_>,
    ) -> Result<Scan, Error> {
        let label = content.label();
        let name = label.display().to_string();
        let fail = |source: InputError| Error::input(&name, source);
        let reading = self.reading(options)?;
        let media = match content {
            Content::File(path) => reading.open_media(path),
            Content::Bytes { bytes, .. } => {
                let file = unnamed_file(bytes).map_err(|e| fail(InputError::NoMemory(e)))?;
                reading.media_from_file(file, &label)
            }
        };
        match media.map_err(|e| fail(e.into()))? {
            Media::Picture(picture) => {
                let facts = content.picture_facts(&picture).map_err(|e| fail(e.into()))?;
                let scanning = Scanning::new(self, options)?;
                let mut warnings = Vec::new();
                let sha256 = self.hash(content, &scanning, Some(1), &mut warnings, on_progress)?;
                let facts = InputFacts { sha256, ..facts };
                Self::finish_picture(scanning, picture.image, facts, warnings, on_progress)
            }
            Media::Video(reader) => self.scan_video(content, *reader, options, on_progress),
            _ => Err(fail(InputError::NoFrames)),
        }
    }

    fn scan_video(
        &self,
        content: Content<'_>,
        mut reader: VideoReader,
        options: &ScanOptions,
        on_progress: OnProgress<'_>,
    ) -> Result<Scan, Error> {
        let name = content.label().display().to_string();
        let mut scanning = Scanning::new(self, options)?;
        let total = Some(options.frames);
        let mut facts = content.video_facts(reader.info()).map_err(|e| Error::input(&name, e))?;
        let mut warnings = Vec::new();
        scanning.report_progress(total, on_progress)?;
        facts.sha256 = self.hash(content, &scanning, total, &mut warnings, on_progress)?;
        for frame in reader.sample(Sampling::Uniform(options.frames)) {
            let frame = frame.map_err(|e| Error::input(&name, e))?;
            // A video of fewer frames than asked for gives some twice; they say nothing new.
            if !frame.repeats_previous {
                scanning.look(&name, &frame.into())?;
            }
            scanning.report_progress(total, on_progress)?;
        }
        warnings.extend(reader.warnings().iter().cloned().map(Warning::from));
        scanning.finish(facts, warnings)
    }

    /// The SHA-256 of a whole file, if it is wanted and can be had in the time that the limits allow: a sparse file
    /// may have terabytes to hash.
    fn hash(
        &self,
        content: Content<'_>,
        scanning: &Scanning<'_>,
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

    fn scan_picture(
        &self,
        image: RgbImage,
        facts: InputFacts,
        options: &ScanOptions,
        on_progress: OnProgress<'_>,
    ) -> Result<Scan, Error> {
        Self::finish_picture(Scanning::new(self, options)?, image, facts, Vec::new(), on_progress)
    }

    fn finish_picture(
        mut scanning: Scanning<'_>,
        image: RgbImage,
        facts: InputFacts,
        warnings: Vec<Warning>,
        on_progress: OnProgress<'_>,
    ) -> Result<Scan, Error> {
        scanning.report_progress(Some(1), on_progress)?;
        scanning.look(&facts.name, &InputFrame::new(image, 0.0))?;
        scanning.report_progress(Some(1), on_progress)?;
        scanning.finish(facts, warnings)
    }

    fn scan_frames(
        &self,
        name: &str,
        frames: Box<dyn Iterator<Item = InputFrame> + '_>,
        options: &ScanOptions,
        on_progress: OnProgress<'_>,
    ) -> Result<Scan, Error> {
        let mut scanning = Scanning::new(self, options)?;
        let total = frames.size_hint().1;
        let mut facts = InputFacts::named(name, InputKind::Frames);
        scanning.report_progress(total, on_progress)?;
        for frame in frames {
            facts.width.get_or_insert(frame.image.width());
            facts.height.get_or_insert(frame.image.height());
            scanning.look(name, &frame)?;
            scanning.report_progress(total, on_progress)?;
        }
        scanning.finish(facts, Vec::new())
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
