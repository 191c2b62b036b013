//! One scan: frames go in one by one, a report comes out.

use std::fmt;
use std::ops::ControlFlow;

use deeptell_face::{
    Appearance, ColorGrid, Face, FaceDetectorId, FaceLinker, RgbImage, Sighting, blur_effect, merge_tracks,
    shrunk,
};

use crate::detector::FaceFinder;
use crate::input::InputFrame;
use crate::judge::Judgement;
use crate::report::rounded;
use crate::{
    Detector, Error, Evidence, FrameFacts, HeatMap, InputError, InputFacts, InputKind, Observation, Person,
    Progress, Reason, Report, SCHEMA_VERSION, Scan, ScanOptions, VERSION, Verdict, Warning,
};

/// Most tracks that are compared to find those of one person, which bounds the cost in long films. Further tracks
/// stay separate people.
const MOST_COMPARED: usize = 512;
/// A face with a higher probability needs no confirmation.
const SURE: f32 = 0.999;
/// A track with this many confirmed faces needs no further confirmation.
const CONFIRMATIONS: usize = 2;
/// What is confirmed as a face in less than this share of its frames is not counted as a person.
const MIN_CONFIRMED: f64 = 0.5;

/// A scan whose frames come one at a time, between its first frame and its report; [`Detector::begin`] makes one.
/// To cancel it, drop it.
///
/// Frames are forgotten once their faces are cut, crops once they are scored: memory does not grow with the video.
#[must_use]
pub struct Scanning {
    detector: Detector,
    name: String,
    faces: FaceFinder,
    options: ScanOptions,
    frames: Vec<FrameFacts>,
    /// One per face, in order of time.
    seen: Vec<Seen>,
    linker: FaceLinker,
    /// One per track.
    confirmations: Vec<Confirmations>,
    /// One per track, of the first [`MOST_COMPARED`].
    appearances: Vec<Appearance>,
    waiting: Vec<Waiting>,
    /// One per face that is classified: the first of `seen`.
    scores: Vec<Score>,
    evidence: Option<Evidence>,
    heat: Vec<HeatMap>,
    crowded_frames: usize,
    uncut_faces: usize,
}

/// A face of a frame, not yet of a person.
struct Seen {
    frame: usize,
    track: usize,
    face: Face,
    crop_width: f32,
    blur: f32,
}

/// What the classifier says of a face.
#[derive(Debug, Clone, Copy)]
struct Score {
    logit: f64,
    fake_probability: f64,
}

/// In how many of its frames a track is a face beyond doubt.
#[derive(Debug, Clone, Copy, Default)]
struct Confirmations {
    faces: usize,
    confirmed: usize,
}

/// A face that waits for the classifier.
struct Waiting {
    crop: RgbImage,
    colors: ColorGrid,
}

/// A face that was cut out of its frame.
struct Cut {
    sighting: Sighting,
    crop: RgbImage,
    crop_width: f32,
}

/// Without the pixels and the networks.
impl fmt::Debug for Scanning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scanning")
            .field("name", &self.name)
            .field("frames", &self.frames.len())
            .field("faces", &self.seen.len())
            .finish_non_exhaustive()
    }
}

impl Scanning {
    pub(crate) fn new(detector: Detector, name: &str, options: ScanOptions) -> Result<Self, Error> {
        options.check()?;
        Ok(Self {
            name: name.to_owned(),
            faces: FaceFinder::new(&detector, &options)?,
            frames: Vec::new(),
            seen: Vec::new(),
            linker: FaceLinker::new(),
            confirmations: Vec::new(),
            appearances: Vec::new(),
            waiting: Vec::new(),
            scores: Vec::new(),
            evidence: options.evidence.then(Evidence::default),
            heat: Vec::new(),
            crowded_frames: 0,
            uncut_faces: 0,
            detector,
            options,
        })
    }

    /// The options that it began with.
    pub fn options(&self) -> &ScanOptions {
        &self.options
    }

    /// How far it has come; `frames_total` is how many frames there will be, where that is known.
    pub fn progress(&self, frames_total: Option<usize>) -> Progress {
        Progress { frames_done: self.frames.len(), frames_total, faces: self.seen.len() }
    }

    /// Tells the caller, who may stop the scan.
    pub(crate) fn report_progress(
        &self,
        frames_total: Option<usize>,
        on_progress: &mut dyn FnMut(Progress) -> ControlFlow<()>,
    ) -> Result<(), Error> {
        match on_progress(self.progress(frames_total)) {
            ControlFlow::Continue(()) => Ok(()),
            ControlFlow::Break(()) => Err(Error::Cancelled),
        }
    }

    /// Finds, cuts and links the faces of one frame; scores them once there are enough for a batch.
    ///
    /// # Errors
    /// [`Error::Input`] for a frame without pixels or with a time that is not a number;
    /// [`Error::Device`], [`Error::Model`] and [`Error::FaceDetector`] when a network fails.
    pub fn push(&mut self, frame: &InputFrame) -> Result<(), Error> {
        let number = self.frames.len();
        let (width, height) = frame.image.dimensions();
        if width == 0 || height == 0 || !frame.pts_seconds.is_finite() {
            let source = InputError::Frame { frame: number, width, height, pts_seconds: frame.pts_seconds };
            return Err(Error::input(&self.name, source));
        }
        let smaller = self.options.max_side.and_then(|side| shrunk(&frame.image, side));
        let image = smaller.as_ref().unwrap_or(&frame.image);

        let faces = self.faces.find(image)?;
        self.frames.push(FrameFacts {
            index: frame.index,
            pts_seconds: rounded(frame.pts_seconds),
            width: image.width(),
            height: image.height(),
            faces: faces.len(),
        });
        if let Some(evidence) = &mut self.evidence {
            evidence.push_frame(image);
        }
        self.crowded_frames += usize::from(faces.len() > self.options.max_faces_per_frame);
        let judged = faces.iter().take(self.options.max_faces_per_frame);
        let cuts: Vec<Cut> = judged.filter_map(|face| self.cut(image, face)).collect();
        self.link(number, image, cuts)?;
        while self.waiting.len() >= self.options.batch {
            self.classify(self.options.batch)?;
        }
        Ok(())
    }

    /// Cuts one face out of its frame; `None`, and counted, if that cannot be done.
    fn cut(&mut self, image: &RgbImage, face: &Face) -> Option<Cut> {
        let framing = self.detector.model().card().crop;
        let place = framing.image_from_crop(face.bbox, Some(&face.landmarks));
        let cut = (place, self.detector.crop(image, face), Sighting::of(image, face));
        let (Ok(place), Ok(crop), Ok(sighting)) = cut else {
            self.uncut_faces += 1;
            return None;
        };
        Some(Cut { sighting, crop, crop_width: place.scale() * framing.size as f32 })
    }

    /// Finds the track of each face of a frame.
    fn link(&mut self, frame: usize, image: &RgbImage, cuts: Vec<Cut>) -> Result<(), Error> {
        let sightings: Vec<Sighting> = cuts.iter().map(|cut| cut.sighting).collect();
        for (cut, track) in cuts.into_iter().zip(self.linker.link(image, &sightings)) {
            let Sighting { face, colors, .. } = cut.sighting;
            self.confirm(image, &face, track)?;
            if let Some(evidence) = &mut self.evidence {
                evidence.push_face(&cut.crop);
            }
            self.seen.push(Seen {
                frame,
                track,
                face,
                crop_width: cut.crop_width,
                blur: rounded(blur_effect(&cut.crop).into()) as f32,
            });
            self.waiting.push(Waiting { crop: cut.crop, colors });
        }
        Ok(())
    }

    /// Counts whether `face`, the next one of `track`, is a face beyond doubt.
    fn confirm(&mut self, image: &RgbImage, face: &Face, track: usize) -> Result<(), Error> {
        if track >= self.confirmations.len() {
            self.confirmations.resize(track + 1, Confirmations::default());
        }
        let known = &mut self.confirmations[track];
        let is_confirmed = face.probability >= SURE
            || known.confirmed >= CONFIRMATIONS
            || self.faces.finds_again(image, face)?;
        known.faces += 1;
        known.confirmed += usize::from(is_confirmed);
        Ok(())
    }

    /// Scores the `count` crops that wait longest.
    fn classify(&mut self, count: usize) -> Result<(), Error> {
        let (crops, colors): (Vec<RgbImage>, Vec<ColorGrid>) =
            self.waiting.drain(..count).map(|waiting| (waiting.crop, waiting.colors)).unzip();
        let model = self.detector.model();
        let scored = &self.seen[self.scores.len()..][..count];
        for ((seen, colors), reading) in scored.iter().zip(&colors).zip(model.readings(&crops)?) {
            let probability = model.card().levels.crop.calibration.probability(reading.logit);
            let score = Score { logit: rounded(reading.logit), fake_probability: rounded(probability) };
            self.scores.push(score);
            if seen.track < MOST_COMPARED {
                if seen.track >= self.appearances.len() {
                    self.appearances.resize_with(seen.track + 1, Appearance::new);
                }
                self.appearances[seen.track].add(seen.frame, colors, &reading.features);
            }
        }
        if self.evidence.is_some() {
            self.heat.extend(model.heat_maps(&crops)?);
        }
        Ok(())
    }

    /// What was seen and classified, in order of time, each face with the person that `person_of` gives its track.
    fn observations(&self, person_of: impl Fn(usize) -> usize) -> Vec<Observation> {
        let observation = |(seen, score): (&Seen, &Score)| Observation {
            frame: seen.frame,
            pts_seconds: self.frames[seen.frame].pts_seconds,
            person: person_of(seen.track),
            bbox: seen.face.bbox,
            detection_probability: seen.face.probability,
            landmarks: seen.face.landmarks,
            crop_width: seen.crop_width,
            blur: seen.blur,
            logit: score.logit,
            fake_probability: score.fake_probability,
        };
        self.seen.iter().zip(&self.scores).map(observation).collect()
    }

    /// The person of each track: tracks of one person are put together, but not those that
    /// contradict each other. People that count come first, both in order of first appearance.
    fn people(&self, input_frames: Option<u64>) -> People {
        let criteria = self.detector.model().card().levels.criteria(self.frames.len());
        // Each track as if it were a person of its own.
        let tracks =
            criteria.judge_sample(&self.observations(|track| track), self.frames.len(), input_frames).people;
        let mut group_of = merge_tracks(&self.appearances, |one, two| tracks[one].contradicts(&tracks[two]));
        let merged = group_of.iter().max().map_or(0, |last| last + 1);
        group_of
            .extend((self.appearances.len()..self.confirmations.len()).zip(merged..).map(|(_, group)| group));

        let groups = group_of.iter().max().map_or(0, |last| last + 1);
        let mut known = vec![Confirmations::default(); groups];
        for (group, of_track) in group_of.iter().zip(&self.confirmations) {
            known[*group].faces += of_track.faces;
            known[*group].confirmed += of_track.confirmed;
        }
        let counts =
            |group: usize| known[group].confirmed as f64 >= MIN_CONFIRMED * known[group].faces as f64;
        let (mut order, doubtful): (Vec<usize>, Vec<usize>) = (0..groups).partition(|&group| counts(group));
        let counted = order.len();
        order.extend(doubtful);
        let mut number_of = vec![0; groups];
        for (number, group) in order.into_iter().enumerate() {
            number_of[group] = number;
        }
        People { of_track: group_of.into_iter().map(|group| number_of[group]).collect(), counted }
    }

    /// Judges the people that count, and lists the others after them.
    fn judge(&self, people: &People, observations: &[Observation], input_frames: Option<u64>) -> Judgement {
        let criteria = self.detector.model().card().levels.criteria(self.frames.len());
        let (counted, doubtful): (Vec<Observation>, Vec<Observation>) =
            observations.iter().cloned().partition(|o| o.person < people.counted);
        let mut judgment = criteria.judge_sample(&counted, self.frames.len(), input_frames);
        let others = criteria.judge_sample(&doubtful, self.frames.len(), input_frames).people;
        if judgment.verdict == Verdict::NoFace && !others.is_empty() {
            judgment.reasons.push(Reason::PatternsNotJudged { patterns: others.len() });
        }
        judgment.people.extend(others.into_iter().map(not_confirmed));
        judgment
    }

    /// Scores what is left, puts people together, and judges. `input` and `warnings` become those of the report;
    /// [`InputFacts::frame_count`] also decides whether a video has too few frames to be judged.
    ///
    /// # Errors
    /// [`Error::Input`] when there was no frame; [`Error::Device`] and [`Error::Model`] when the network fails.
    pub fn finish(mut self, input: InputFacts, mut warnings: Vec<Warning>) -> Result<Scan, Error> {
        if self.frames.is_empty() {
            return Err(Error::input(&self.name, InputError::NoFrames));
        }
        self.classify(self.waiting.len())?;
        if let Some(evidence) = &mut self.evidence {
            evidence.set_heat(&self.heat, self.detector.model().card().heat_maps);
        }

        let sampled = self.frames.len() as u64;
        let input_frames = match input.kind {
            InputKind::Video => input.frame_count.map(|frames| frames.max(sampled)),
            InputKind::Image | InputKind::Frames => Some(sampled),
        };
        let people = self.people(input_frames);
        let observations = self.observations(|track| people.of_track[track]);
        let judgment = self.judge(&people, &observations, input_frames);
        if self.crowded_frames > 0 {
            warnings.push(Warning::CrowdedFrames {
                frames: self.crowded_frames,
                sampled: self.frames.len(),
                max_faces: self.options.max_faces_per_frame,
            });
        }
        if self.uncut_faces > 0 {
            warnings.push(Warning::UncutFaces { faces: self.uncut_faces });
        }

        let model = self.detector.model().info();
        let face_detector = self.faces.id();
        warnings.extend(other_face_detector(&model.card.face_detector, &face_detector));
        let report = Report {
            schema_version: SCHEMA_VERSION,
            deeptell_version: VERSION.to_owned(),
            verdict: judgment.verdict,
            score: judgment.score,
            decisive_person: judgment.decisive_person,
            reasons: judgment.reasons,
            input,
            frames: self.frames,
            people: judgment.people,
            observations,
            warnings,
            model: model.clone(),
            face_detector: Some(face_detector),
            options: self.options,
        };
        Ok(Scan { report, evidence: self.evidence })
    }
}

/// The warning for boxes that are not like those that the model was calibrated on: of another face detector, or of
/// other settings where the card records them.
fn other_face_detector(calibrated: &FaceDetectorId, used: &FaceDetectorId) -> Option<Warning> {
    if calibrated.name != used.name {
        let (calibrated, used) = (calibrated.name.clone(), used.name.clone());
        return Some(Warning::OtherFaceDetector { calibrated, used });
    }
    (!calibrated.settings.is_empty() && calibrated != used).then(|| Warning::OtherFaceDetector {
        calibrated: calibrated.clone().differing_from(used).to_string(),
        used: used.clone().differing_from(calibrated).to_string(),
    })
}

/// Which person each track is.
struct People {
    of_track: Vec<usize>,
    /// How many of them count as people; they have the lowest numbers.
    counted: usize,
}

/// A face that is listed but not judged.
fn not_confirmed(person: Person) -> Person {
    Person {
        is_confirmed: false,
        judgeable: false,
        verdict: Verdict::Inconclusive,
        reasons: vec![Reason::NotConfirmed],
        ..person
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn boxes_of_other_settings_are_a_warning_where_the_card_records_settings() {
        let mtcnn = || FaceDetectorId::new("mtcnn");
        let used = mtcnn().with("min_face", 24).with("max_side", 640);
        let texts = |calibrated: &FaceDetectorId| match other_face_detector(calibrated, &used)? {
            Warning::OtherFaceDetector { calibrated, used } => Some((calibrated, used)),
            other => panic!("{other}"),
        };
        assert_eq!(texts(&mtcnn()), None, "not recorded");
        assert_eq!(texts(&used), None);
        let other = texts(&mtcnn().with("min_face", 40).with("max_side", 640));
        assert_eq!(other, Some(("mtcnn (min_face 40)".to_owned(), "mtcnn (min_face 24)".to_owned())));
        let other = texts(&FaceDetectorId::new("yunet").with("min_face", 40));
        assert_eq!(other, Some(("yunet".to_owned(), "mtcnn".to_owned())));
    }
}
