//! One scan on its way: frames go in one by one, a report comes out.

use std::borrow::Cow;
use std::ops::ControlFlow;

use deeptell_image::{RgbImage, blur_effect};
use deeptell_mtcnn::{Face, Mtcnn};

use crate::detector::faces_in;
use crate::input::InputFrame;
use crate::pictures::reduced;
use crate::report::rounded;
use crate::{
    Detector, Error, FrameFacts, HeatMap, InputError, InputFacts, Observation, Pictures, Progress, Report,
    SCHEMA_VERSION, ScanOptions, Sighting, VERSION, link,
};

/// A scan between its first frame and its report. Frames are forgotten once their faces are
/// cut, crops once they are scored: memory does not grow with the video.
pub(crate) struct Scan<'a> {
    detector: &'a Detector,
    mtcnn: Cow<'a, Mtcnn>,
    options: &'a ScanOptions,
    frames: Vec<FrameFacts>,
    faces: Vec<(Sighting, f32)>,
    crop_widths: Vec<f32>,
    blurs: Vec<f32>,
    waiting: Vec<RgbImage>,
    probabilities: Vec<f64>,
    pictures: Pictures,
    heat: Vec<HeatMap>,
    crowded_frames: usize,
    uncut_faces: usize,
}

impl<'a> Scan<'a> {
    pub(crate) fn new(detector: &'a Detector, options: &'a ScanOptions) -> Result<Self, Error> {
        options.check()?;
        Ok(Self {
            detector,
            mtcnn: detector.face_detector(options)?,
            options,
            frames: Vec::new(),
            faces: Vec::new(),
            crop_widths: Vec::new(),
            blurs: Vec::new(),
            waiting: Vec::new(),
            probabilities: Vec::new(),
            pictures: Pictures::default(),
            heat: Vec::new(),
            crowded_frames: 0,
            uncut_faces: 0,
        })
    }

    /// Tells the caller, who may stop the scan.
    pub(crate) fn report_progress(
        &self,
        frames_total: Option<usize>,
        on_progress: &mut dyn FnMut(Progress) -> ControlFlow<()>,
    ) -> Result<(), Error> {
        let progress = Progress { frames_done: self.frames.len(), frames_total, faces: self.faces.len() };
        match on_progress(progress) {
            ControlFlow::Continue(()) => Ok(()),
            ControlFlow::Break(()) => Err(Error::Cancelled),
        }
    }

    /// Finds and cuts the faces of one frame; scores them once there are enough for a batch.
    pub(crate) fn look(&mut self, name: &str, frame: &InputFrame) -> Result<(), Error> {
        let number = self.frames.len();
        let (width, height) = frame.image.dimensions();
        if width == 0 || height == 0 || !frame.pts_seconds.is_finite() {
            let source = InputError::Frame { frame: number, width, height, pts_seconds: frame.pts_seconds };
            return Err(Error::input(name, source));
        }
        let smaller = self.options.max_side.and_then(|side| reduced(&frame.image, side));
        let image = smaller.as_ref().unwrap_or(&frame.image);

        let faces = faces_in(&self.mtcnn, image, self.options)?;
        self.frames.push(FrameFacts {
            index: frame.index,
            pts_seconds: rounded(frame.pts_seconds),
            width: image.width(),
            height: image.height(),
            faces: faces.len(),
        });
        if self.options.pictures {
            self.pictures.push_frame(image);
        }
        self.crowded_frames += usize::from(faces.len() > self.options.max_faces_per_frame);
        for face in faces.iter().take(self.options.max_faces_per_frame) {
            self.cut(number, image, face);
        }
        while self.waiting.len() >= self.options.batch {
            self.classify(self.options.batch)?;
        }
        Ok(())
    }

    /// Cuts one face out of its frame.
    fn cut(&mut self, frame: usize, image: &RgbImage, face: &Face) {
        let framing = self.detector.model().card().crop;
        let place = framing.image_from_crop(face.bbox, Some(&face.landmarks));
        let (Ok(place), Ok(crop)) = (place, self.detector.crop(image, face)) else {
            self.uncut_faces += 1;
            return;
        };
        if self.options.pictures {
            self.pictures.push_face(&crop);
        }
        let sighting = Sighting { frame, bbox: face.bbox, landmarks: face.landmarks };
        self.faces.push((sighting, face.probability));
        self.crop_widths.push(place.scale() * framing.size as f32);
        self.blurs.push(rounded(blur_effect(&crop).into()) as f32);
        self.waiting.push(crop);
    }

    /// Scores the `count` crops that wait longest.
    fn classify(&mut self, count: usize) -> Result<(), Error> {
        let crops: Vec<RgbImage> = self.waiting.drain(..count).collect();
        self.probabilities.extend(self.detector.classify(&crops)?);
        if self.options.pictures {
            self.heat.extend(self.detector.model().heat_maps(&crops)?);
        }
        Ok(())
    }

    /// Scores what is left, links the faces, and judges.
    pub(crate) fn finish(mut self, input: InputFacts, mut warnings: Vec<String>) -> Result<Report, Error> {
        if self.frames.is_empty() {
            return Err(Error::input(&input.name, InputError::NoFrames));
        }
        self.classify(self.waiting.len())?;
        self.pictures.set_heat(&self.heat);

        let sightings: Vec<Sighting> = self.faces.iter().map(|(sighting, _)| *sighting).collect();
        let mut observations = Vec::with_capacity(sightings.len());
        for (i, track) in link(&sightings).into_iter().enumerate() {
            let (Sighting { frame, bbox, landmarks }, detection_probability) = self.faces[i];
            observations.push(Observation {
                frame,
                pts_seconds: self.frames[frame].pts_seconds,
                track,
                bbox,
                detection_probability,
                landmarks,
                crop_width: self.crop_widths[i],
                blur: self.blurs[i],
                fake_probability: rounded(self.probabilities[i]),
            });
        }
        if self.crowded_frames > 0 {
            warnings.push(format!(
                "{} of {} frames show more than {} faces; only the largest {} of each were judged.",
                self.crowded_frames,
                self.frames.len(),
                self.options.max_faces_per_frame,
                self.options.max_faces_per_frame,
            ));
        }
        if self.uncut_faces > 0 {
            warnings.push(format!(
                "{} of the faces found could not be set upright and were not judged.",
                self.uncut_faces,
            ));
        }

        let model = self.detector.model().info();
        let judgement = model.card.criteria.judge(&observations, self.frames.len());
        Ok(Report {
            schema_version: SCHEMA_VERSION,
            deeptell_version: VERSION.to_owned(),
            verdict: judgement.verdict,
            score: judgement.score,
            decisive_track: judgement.decisive_track,
            reasons: judgement.reasons,
            input,
            frames: self.frames,
            tracks: judgement.tracks,
            observations,
            warnings,
            model: model.clone(),
            options: self.options.clone(),
            pictures: self.pictures,
        })
    }
}
