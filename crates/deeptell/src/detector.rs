//! The whole pipeline: sample, detect, crop, classify, judge.

use std::ops::ControlFlow;
use std::sync::Arc;

use burn::tensor::Device;
use deeptell_face::{CropError, Face, FaceDetector, FaceDetectorId, FaceError, RgbImage, redetection_rate};
use deeptell_mtcnn::MtcnnConfig;

#[cfg(feature = "ffmpeg")]
use crate::Decoding;
#[cfg(feature = "ffmpeg")]
use crate::file::Content;
use crate::input::{Input, InputFrame, Source};
use crate::scanning::Scanning;
use crate::{Error, InputFacts, InputKind, Model, Scan, ScanOptions, Warning};

/// A face is found again in at least 3 of the 8 views of [`redetection_rate`]; at 4, faces are lost in a clip of the
/// sample.
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
    /// A scan that has processed `frames_done` frames and found `faces` faces.
    pub const fn new(frames_done: usize, frames_total: Option<usize>, faces: usize) -> Self {
        Self { frames_done, frames_total, faces }
    }
}

pub(crate) type OnProgress<'a> = &'a mut dyn FnMut(Progress) -> ControlFlow<()>;

/// The detector: a face detector and a classifier on one device.
///
/// [`scan`](Self::scan) does the whole job; each of its stages can be called alone:
/// `VideoReader::sample` of `deeptell-video`, [`find_faces`](Self::find_faces), [`crop`](Self::crop),
/// [`classify`](Self::classify), [`FaceLinker`](deeptell_face::FaceLinker) and
/// [`Criteria::judge`](crate::Criteria::judge). A detector has no changing state: share one
/// between threads by reference.
#[derive(Debug, Clone)]
pub struct Detector {
    model: Model,
    faces: Arc<dyn FaceDetector>,
    #[cfg(feature = "ffmpeg")]
    pub(crate) decoding: Decoding,
}

impl Detector {
    /// A detector with the model file at `model_path`.
    ///
    /// # Errors
    /// As [`Model::load`].
    pub fn load(model_path: impl AsRef<std::path::Path>, device: &Device) -> Result<Self, Error> {
        Self::new(Model::load(model_path, device)?)
    }

    /// The detector with the shipped model; needs no file.
    ///
    /// # Errors
    /// As [`Model::shipped`].
    pub fn shipped(device: &Device) -> Result<Self, Error> {
        Self::new(Model::shipped(device)?)
    }

    /// A detector with a loaded model, MTCNN on the device of the model as its face detector, and the default
    /// [`Decoding`]: files are decoded in a separate process.
    ///
    /// # Errors
    /// [`Error::FaceDetector`] when the face detector cannot be made on that device.
    pub fn new(model: Model) -> Result<Self, Error> {
        let min_face = ScanOptions::default().min_face;
        let faces =
            MtcnnConfig::default().min_face(min_face).init(model.device()).map_err(FaceError::from)?;
        Ok(Self::from_parts(model, Arc::new(faces)))
    }

    /// A detector with a model and a face detector that exist already, and with the default [`Decoding`].
    ///
    /// A model is calibrated for the boxes of the face detector that it was trained with; with another one its thresholds
    /// do not hold.
    pub fn from_parts(model: Model, face_detector: Arc<dyn FaceDetector>) -> Self {
        Self {
            model,
            faces: face_detector,
            #[cfg(feature = "ffmpeg")]
            decoding: Decoding::default(),
        }
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
    #[cfg(feature = "ffmpeg")]
    #[must_use]
    pub fn with_decoding(self, decoding: Decoding) -> Self {
        Self { decoding, ..self }
    }

    /// The face detector, with its settings, as a scan with these options uses it.
    ///
    /// # Errors
    /// [`Error::FaceDetector`] when the smallest face of the options is out of its range.
    pub fn face_detector_id(&self, options: &ScanOptions) -> Result<FaceDetectorId, Error> {
        Ok(FaceFinder::new(self, options)?.id())
    }

    /// The face detector.
    pub fn face_detector(&self) -> &dyn FaceDetector {
        &*self.faces
    }

    /// Where files are decoded, and within which limits.
    #[cfg(feature = "ffmpeg")]
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
            #[cfg(feature = "ffmpeg")]
            Source::File(path) => self.scan_content(Content::File(path), options, on_progress),
            #[cfg(feature = "ffmpeg")]
            Source::Bytes { name, bytes } => {
                self.scan_content(Content::Bytes { name, bytes }, options, on_progress)
            }
            Source::Picture { name, image } => {
                let facts = InputFacts {
                    width: Some(image.width()),
                    height: Some(image.height()),
                    ..InputFacts::new(name, InputKind::Image)
                };
                self.scan_picture(name, image.clone(), facts, options, on_progress)
            }
            Source::Frames { name, frames } => self.scan_frames(name, frames, options, on_progress),
        }
    }

    /// Begins a scan whose frames the caller [pushes](Scanning::push) one at a time: for frames that come from
    /// asynchronous code. `name` is what errors call the input.
    ///
    /// ```
    /// use deeptell::{Detector, Device, InputFacts, InputFrame, InputKind, RgbImage, ScanOptions, Verdict};
    ///
    /// # fn main() -> Result<(), deeptell::Error> {
    /// let detector = Detector::shipped(&Device::flex())?;
    /// let mut scanning = detector.begin("camera", &ScanOptions::default())?;
    /// for number in 0..3 {
    ///     scanning.push(&InputFrame::new(RgbImage::new(64, 48), f64::from(number)))?;
    /// }
    /// assert_eq!(scanning.progress(None).frames_done, 3);
    /// let scan = scanning.finish(InputFacts::new("camera", InputKind::Frames), Vec::new())?;
    /// assert_eq!(scan.report.verdict, Verdict::NoFace);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`Error::Option`] for an option out of range, [`Error::FaceDetector`] when the face detector cannot be set as
    /// the options ask.
    pub fn begin(&self, name: &str, options: &ScanOptions) -> Result<Scanning, Error> {
        Scanning::new(self.clone(), name, options.clone())
    }

    fn scan_picture(
        &self,
        name: &str,
        image: RgbImage,
        facts: InputFacts,
        options: &ScanOptions,
        on_progress: OnProgress<'_>,
    ) -> Result<Scan, Error> {
        Self::finish_picture(self.begin(name, options)?, image, facts, Vec::new(), on_progress)
    }

    pub(crate) fn finish_picture(
        mut scanning: Scanning,
        image: RgbImage,
        facts: InputFacts,
        warnings: Vec<Warning>,
        on_progress: OnProgress<'_>,
    ) -> Result<Scan, Error> {
        scanning.report_progress(Some(1), on_progress)?;
        scanning.push(&InputFrame::new(image, 0.0))?;
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
        let mut scanning = self.begin(name, options)?;
        let total = frames.size_hint().1;
        let mut facts = InputFacts::new(name, InputKind::Frames);
        scanning.report_progress(total, on_progress)?;
        for frame in frames {
            facts.width.get_or_insert(frame.image.width());
            facts.height.get_or_insert(frame.image.height());
            scanning.push(&frame)?;
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

    pub(crate) fn id(&self) -> FaceDetectorId {
        self.faces.id()
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
