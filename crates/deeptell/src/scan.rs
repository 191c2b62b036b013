//! One scan on its way: frames go in one by one, a report comes out.

use std::ops::ControlFlow;

use deeptell_face::{Face, RgbImage, blur_effect};

use crate::detector::FaceFinder;
use crate::input::InputFrame;
use crate::pictures::reduced;
use crate::report::rounded;
use crate::track::Linker;
use crate::{
    Appearance, Detector, Error, FrameFacts, HeatMap, InputError, InputFacts, Look, Observation, Pictures,
    Progress, Report, SCHEMA_VERSION, ScanOptions, Sighting, VERSION, merge,
};

/// Only so many tracks are compared to find those of one person: a film that starts ever new ones
/// must not cost ever more. The others stay by themselves.
const MOST_COMPARED: usize = 512;

/// A scan between its first frame and its report. Frames are forgotten once their faces are
/// cut, crops once they are scored: memory does not grow with the video.
pub(crate) struct Scan<'a> {
    detector: &'a Detector,
    faces: FaceFinder,
    options: &'a ScanOptions,
    frames: Vec<FrameFacts>,
    /// Their probabilities come later.
    observations: Vec<Observation>,
    linker: Linker,
    /// One a track, of the first [`MOST_COMPARED`].
    appearances: Vec<Appearance>,
    waiting: Vec<Waiting>,
    classified: usize,
    pictures: Pictures,
    heat: Vec<HeatMap>,
    crowded_frames: usize,
    uncut_faces: usize,
}

/// A face on its way to the classifier.
struct Waiting {
    crop: RgbImage,
    look: Look,
}

/// A face that was cut out of its frame.
struct Cut {
    sighting: Sighting,
    crop: RgbImage,
    detection_probability: f32,
    crop_width: f32,
}

impl<'a> Scan<'a> {
    pub(crate) fn new(detector: &'a Detector, options: &'a ScanOptions) -> Result<Self, Error> {
        options.check()?;
        Ok(Self {
            detector,
            faces: FaceFinder::new(detector, options)?,
            options,
            frames: Vec::new(),
            observations: Vec::new(),
            linker: Linker::default(),
            appearances: Vec::new(),
            waiting: Vec::new(),
            classified: 0,
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
        let progress =
            Progress { frames_done: self.frames.len(), frames_total, faces: self.observations.len() };
        match on_progress(progress) {
            ControlFlow::Continue(()) => Ok(()),
            ControlFlow::Break(()) => Err(Error::Cancelled),
        }
    }

    /// Finds, cuts and links the faces of one frame; scores them once there are enough for a batch.
    pub(crate) fn look(&mut self, name: &str, frame: &InputFrame) -> Result<(), Error> {
        let number = self.frames.len();
        let (width, height) = frame.image.dimensions();
        if width == 0 || height == 0 || !frame.pts_seconds.is_finite() {
            let source = InputError::Frame { frame: number, width, height, pts_seconds: frame.pts_seconds };
            return Err(Error::input(name, source));
        }
        let smaller = self.options.max_side.and_then(|side| reduced(&frame.image, side));
        let image = smaller.as_ref().unwrap_or(&frame.image);

        let faces = self.faces.find(image)?;
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
        let judged = faces.iter().take(self.options.max_faces_per_frame);
        let cuts: Vec<Cut> = judged.filter_map(|face| self.cut(number, image, face)).collect();
        self.link(cuts);
        while self.waiting.len() >= self.options.batch {
            self.classify(self.options.batch)?;
        }
        Ok(())
    }

    /// Cuts one face out of its frame; `None`, and counted, if that cannot be done.
    fn cut(&mut self, frame: usize, image: &RgbImage, face: &Face) -> Option<Cut> {
        let framing = self.detector.model().card().crop;
        let place = framing.image_from_crop(face.bbox, Some(&face.landmarks));
        let cut = (place, self.detector.crop(image, face), Look::of(image, face.bbox));
        let (Ok(place), Ok(crop), Ok(look)) = cut else {
            self.uncut_faces += 1;
            return None;
        };
        Some(Cut {
            sighting: Sighting { frame, bbox: face.bbox, landmarks: face.landmarks, look },
            crop,
            detection_probability: face.probability,
            crop_width: place.scale() * framing.size as f32,
        })
    }

    /// Finds the track of each face of a frame.
    fn link(&mut self, cuts: Vec<Cut>) {
        let sightings: Vec<Sighting> = cuts.iter().map(|cut| cut.sighting).collect();
        for (cut, track) in cuts.into_iter().zip(self.linker.link(&sightings)) {
            let Sighting { frame, bbox, landmarks, look } = cut.sighting;
            if self.options.pictures {
                self.pictures.push_face(&cut.crop);
            }
            self.observations.push(Observation {
                frame,
                pts_seconds: self.frames[frame].pts_seconds,
                track,
                bbox,
                detection_probability: cut.detection_probability,
                landmarks,
                crop_width: cut.crop_width,
                blur: rounded(blur_effect(&cut.crop).into()) as f32,
                logit: 0.0,
                fake_probability: 0.0,
            });
            self.waiting.push(Waiting { crop: cut.crop, look });
        }
    }

    /// Scores the `count` crops that wait longest.
    fn classify(&mut self, count: usize) -> Result<(), Error> {
        let (crops, looks): (Vec<RgbImage>, Vec<Look>) =
            self.waiting.drain(..count).map(|waiting| (waiting.crop, waiting.look)).unzip();
        let model = self.detector.model();
        let scored = &mut self.observations[self.classified..][..count];
        for ((observation, look), reading) in scored.iter_mut().zip(&looks).zip(model.readings(&crops)?) {
            observation.logit = rounded(reading.logit);
            observation.fake_probability =
                rounded(model.card().levels.crop.calibration.probability(reading.logit));
            if observation.track < MOST_COMPARED {
                if observation.track >= self.appearances.len() {
                    self.appearances.resize_with(observation.track + 1, Appearance::new);
                }
                self.appearances[observation.track].add(observation.frame, look, &reading.features);
            }
        }
        self.classified += count;
        if self.options.pictures {
            self.heat.extend(model.heat_maps(&crops)?);
        }
        Ok(())
    }

    /// Puts the tracks of one person together, but not those that contradict each other.
    fn merge_tracks(&mut self) {
        let criteria = self.detector.model().card().levels.person;
        let tracks = criteria.judge(&self.observations, self.frames.len()).tracks;
        let people = merge(&self.appearances, |one, two| tracks[one].contradicts(&tracks[two]));
        let beyond = people.iter().max().map_or(0, |last| last + 1);
        for observation in &mut self.observations {
            let track = observation.track;
            observation.track =
                people.get(track).copied().unwrap_or_else(|| beyond + track - self.appearances.len());
        }
    }

    /// Scores what is left, puts people together, and judges.
    pub(crate) fn finish(mut self, input: InputFacts, mut warnings: Vec<String>) -> Result<Report, Error> {
        if self.frames.is_empty() {
            return Err(Error::input(&input.name, InputError::NoFrames));
        }
        self.classify(self.waiting.len())?;
        self.pictures.set_heat(&self.heat);

        self.merge_tracks();
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
        let judgement = model.card.levels.person.judge(&self.observations, self.frames.len());
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
            observations: self.observations,
            warnings,
            model: model.clone(),
            options: self.options.clone(),
            pictures: self.pictures,
        })
    }
}
