//! Scores of every crop of a suite, saved in a file from which the table is made.

use std::collections::HashMap;
use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use deeptell::{Detector, Levels, Model, ModelFile, ScanOptions, Verdict};
use deeptell_data::{Label, Sample, read_picture};
use deeptell_face::{Face, FaceDetector, RgbImage, Selection, blur_effect};
use deeptell_files::{error_chain, read_bounded};
use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::spec::word;
use super::{FoundFace, FoundFaces, Suite, SuiteError};
use crate::person::person_name;
use crate::{Distortion, EvalError, Observer, Scorer};

/// Crops that are in memory, and go through the network, at a time.
const BATCH: usize = 64;
/// Least probability of a face. Lower than in a scan, because each picture of a set is known to show one.
const MIN_PROBABILITY: f32 = 0.8;

const SCHEMA: &str = "deeptell-suite-scores-1";
/// The largest file of scores, in bytes: some millions of samples.
const MAX_BYTES: u64 = 1 << 30;

/// Every crop of a suite with the score that one detector gave it.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct SuiteScores {
    /// The suite.
    pub suite: Suite,
    /// The model or the other detector, with the calibration and thresholds that the table applies.
    pub model: Scorer,
    /// One entry per set, in their order.
    pub sets: Vec<SetScores>,
}

/// The crops of one set.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct SetScores {
    /// Why the data could not be listed, if so.
    pub fault: Option<String>,
    /// Every sample that the data lists.
    pub crops: Vec<CropScore>,
}

/// One crop.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct CropScore {
    /// The file.
    pub path: PathBuf,
    /// Whether it is a fake.
    pub label: Label,
    /// What must not be taken for independent.
    pub source: String,
    /// The video it is of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub video: Option<String>,
    /// The person in the video.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub person: Option<String>,
    /// How the fake was made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub method: Option<String>,
    /// Side of the crop before it was scaled, in pixels of its picture or video, where it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub crop_width: Option<f64>,
    /// The outcome.
    #[serde(flatten)]
    pub outcome: CropOutcome,
}

/// The outcome of a crop.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
#[non_exhaustive]
pub enum CropOutcome {
    /// It has a score.
    Scored {
        /// Of the network, averaged over the views: higher is more fake.
        logit: f64,
        /// From 0, sharp, to 1.
        blur: f32,
        /// Whether it was taken whole because no face was found in it.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        whole: bool,
    },
    /// Another detector gave it this score.
    Given {
        /// In `0..=1`: higher is more fake.
        probability: f64,
    },
    /// It was scanned whole.
    Scanned(ScanOutcome),
    /// No face was found.
    NoFace,
    /// It could not be read or cut.
    Missing {
        /// Why.
        why: String,
    },
}

/// What a scan of a whole file concluded.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ScanOutcome {
    /// Its verdict; never [`Verdict::NoFace`].
    pub verdict: Verdict,
    /// Probability in `0..=1` that the decisive person is manipulated.
    pub score: f64,
    /// Number of people that the scan lists; absent where another detector judged the file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub people: Option<usize>,
}

impl ScanOutcome {
    /// A verdict on the file with this score. [`people`](field@Self::people) are not counted.
    pub const fn new(verdict: Verdict, score: f64) -> Self {
        Self { verdict, score, people: None }
    }

    /// With the number of people that the scan lists. See [`people`](field@Self::people).
    #[must_use]
    pub const fn people(self, people: usize) -> Self {
        Self { people: Some(people), ..self }
    }
}

/// Scans whole videos and pictures.
pub trait Scanning {
    /// The outcome of a scan, `None` when it found no face.
    ///
    /// # Errors
    /// Why the scan failed, which is recorded as the reason why the file is missing.
    fn scan(&self, path: &Path) -> Result<Option<ScanOutcome>, Box<dyn std::error::Error + Send + Sync>>;
}

/// Without digests of the files, and with the other options at their defaults.
impl Scanning for Detector {
    fn scan(&self, path: &Path) -> Result<Option<ScanOutcome>, Box<dyn std::error::Error + Send + Sync>> {
        let report = Self::scan(self, path, &ScanOptions::default().sha256(false))?.report;
        let (verdict, people) = (report.verdict, Some(report.confirmed_people().count()));
        Ok(report.score.map(|score| ScanOutcome { verdict, score, people }))
    }
}

/// The model and tools that score a suite.
#[derive(Clone, Copy)]
#[non_exhaustive]
pub struct ScoringTools<'a> {
    /// The model that scores crops.
    pub model: &'a Model,
    /// Finds the faces of sets that ask for it.
    pub faces: &'a dyn FaceDetector,
    /// Scans the files of sets that ask for it, with the same model.
    pub scanner: &'a dyn Scanning,
}

impl<'a> ScoringTools<'a> {
    /// All three.
    pub fn new(model: &'a Model, faces: &'a dyn FaceDetector, scanner: &'a dyn Scanning) -> Self {
        Self { model, faces, scanner }
    }
}

#[derive(Serialize, Deserialize)]
struct Header {
    schema: String,
    suite: Suite,
    model: Scorer,
    /// Faults of the sets, by their numbers.
    faults: HashMap<usize, String>,
}

#[derive(Serialize, Deserialize)]
struct Row {
    set: usize,
    #[serde(flatten)]
    crop: CropScore,
}

/// Settings of the scoring.
#[derive(Debug, Clone, Copy, Default)]
#[non_exhaustive]
pub struct ScoreOptions {
    /// A loss of quality.
    pub distortion: Option<Distortion>,
    /// Whether manipulated samples are left out.
    pub genuine_only: bool,
}

/// Scores every crop of a suite. A crop that is in several sets is scored once; one that cannot be read is recorded,
/// and is not an error.
///
/// Detects faces in pictures that `known` does not have, and adds them to it.
///
/// # Errors
/// [`EvalError::Stopped`], or an error of the model or the face detector.
pub fn score_suite(
    suite: &Suite,
    tools: ScoringTools<'_>,
    options: ScoreOptions,
    known: &mut FoundFaces,
    observer: &mut dyn Observer,
) -> Result<SuiteScores, EvalError> {
    let ScoringTools { model, faces, scanner } = tools;
    let mut listed = Vec::with_capacity(suite.sets.len());
    let mut faults = Vec::with_capacity(suite.sets.len());
    let mut scans = Vec::with_capacity(suite.sets.len());
    for set in &suite.sets {
        let listing = set.readable_samples();
        let (samples, fault) = listing.unwrap_or_else(|error| (Vec::new(), Some(error_chain(&error))));
        let framing = Framing { detect: set.detect, whole_without_face: set.whole_without_face };
        let (to_crop, to_scan) = if set.scan { (Vec::new(), samples) } else { (samples, Vec::new()) };
        listed.push((framing, to_crop));
        scans.push(to_scan);
        faults.push(fault);
    }
    let mut crops = score_listed(&listed, model, options, Some(faces), known, observer)?;
    let mut scanned: HashMap<&Path, CropOutcome> = HashMap::new();
    for (crops, samples) in crops.iter_mut().zip(&scans).filter(|(_, samples)| !samples.is_empty()) {
        observer.begin("scanning", samples.len(), "files");
        for sample in samples {
            if observer.wants_stop() {
                return Err(EvalError::Stopped);
            }
            let outcome = scanned.entry(&sample.path).or_insert_with(|| match scanner.scan(&sample.path) {
                Ok(Some(found)) => CropOutcome::Scanned(found),
                Ok(None) => CropOutcome::NoFace,
                Err(error) => CropOutcome::Missing { why: error_chain(error.as_ref()) },
            });
            crops.push(CropScore { outcome: outcome.clone(), ..CropScore::unscored(sample) });
            observer.advance(1);
        }
        observer.end();
    }
    let sets = faults.into_iter().zip(crops).map(|(fault, crops)| SetScores { fault, crops }).collect();
    Ok(SuiteScores { suite: suite.clone(), model: model.info().clone().into(), sets })
}

/// How the samples of one list become crops.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Framing {
    pub(crate) detect: bool,
    pub(crate) whole_without_face: bool,
}

/// Scores lists of samples; a crop that is in several is scored once.
pub(crate) fn score_listed(
    lists: &[(Framing, Vec<Sample>)],
    model: &Model,
    options: ScoreOptions,
    faces: Option<&dyn FaceDetector>,
    known: &mut FoundFaces,
    observer: &mut dyn Observer,
) -> Result<Vec<Vec<CropScore>>, EvalError> {
    let mut scores: Vec<Vec<CropScore>> = Vec::with_capacity(lists.len());
    // Crops of all lists, each once, with the rows that wait for its score.
    let mut pending: Vec<PendingCrop> = Vec::new();
    let mut index_of: HashMap<CropKey, usize> = HashMap::new();
    for (list, (framing, samples)) in lists.iter().enumerate() {
        let mut crops = Vec::new();
        for sample in samples.iter().filter(|sample| !(options.genuine_only && sample.label.is_fake())) {
            let index = *index_of.entry(CropKey::of(sample, *framing)).or_insert_with(|| {
                pending.push(PendingCrop { sample: sample.clone(), framing: *framing, rows: Vec::new() });
                pending.len() - 1
            });
            pending[index].rows.push((list, crops.len()));
            crops.push(CropScore::unscored(sample));
        }
        scores.push(crops);
    }
    if let Some(faces) = faces {
        find_faces(&pending, faces, known, observer)?;
    }
    let task = options.distortion.map_or_else(|| "scoring".to_owned(), |kind| format!("scoring {kind}"));
    observer.begin(&task, pending.len(), "crops");
    for batch in pending.chunks(BATCH) {
        if observer.wants_stop() {
            return Err(EvalError::Stopped);
        }
        for (crop, (outcome, width)) in batch.iter().zip(score_batch(batch, model, options, known)?) {
            for &(list, row) in &crop.rows {
                let crop = &mut scores[list][row];
                crop.outcome = outcome.clone();
                crop.crop_width = crop.crop_width.or(width);
            }
        }
        observer.advance(batch.len());
    }
    observer.end();
    Ok(scores)
}

/// A crop to score.
struct PendingCrop {
    sample: Sample,
    framing: Framing,
    /// List and number of each row that waits for it.
    rows: Vec<(usize, usize)>,
}

#[derive(PartialEq, Eq, Hash)]
struct CropKey {
    path: PathBuf,
    /// Bits of the box, where the manifest has one.
    bbox: Option<[u32; 4]>,
    framing: Framing,
}

impl CropKey {
    fn of(sample: &Sample, framing: Framing) -> Self {
        let bbox =
            sample.bbox.filter(|_| !framing.detect).map(|b| [b.x1, b.y1, b.x2, b.y2].map(f32::to_bits));
        Self { path: sample.path.clone(), bbox, framing }
    }
}

fn find_faces(
    pending: &[PendingCrop],
    faces: &dyn FaceDetector,
    known: &mut FoundFaces,
    observer: &mut dyn Observer,
) -> Result<(), EvalError> {
    let is_new = |crop: &&PendingCrop| crop.framing.detect && known.get(&crop.sample.path).is_none();
    let to_find: Vec<&Path> = pending.iter().filter(is_new).map(|crop| crop.sample.path.as_path()).collect();
    if to_find.is_empty() {
        return Ok(());
    }
    observer.begin("finding faces", to_find.len(), "pictures");
    for batch in to_find.chunks(BATCH) {
        if observer.wants_stop() {
            return Err(EvalError::Stopped);
        }
        // A picture that cannot be read is recorded when it is scored.
        let found: Vec<Option<Option<Face>>> = batch
            .par_iter()
            .map(|path| {
                let find =
                    |picture: RgbImage| faces.find_in_crop(&picture, MIN_PROBABILITY, Selection::Largest);
                read_picture(path).ok().map(find).transpose()
            })
            .collect::<Result<_, _>>()
            .map_err(EvalError::Faces)?;
        for (path, face) in batch.iter().zip(found) {
            if let Some(face) = face {
                known.insert(path, face.map(|Face { bbox, landmarks, .. }| FoundFace { bbox, landmarks }));
            }
        }
        observer.advance(batch.len());
    }
    observer.end();
    Ok(())
}

/// The outcome of each crop, and the side of its crop in its picture.
fn score_batch(
    pending: &[PendingCrop],
    model: &Model,
    options: ScoreOptions,
    known: &FoundFaces,
) -> Result<Vec<(CropOutcome, Option<f64>)>, EvalError> {
    let cuts: Vec<Result<Cut, CropOutcome>> =
        pending.par_iter().map(|crop| cut(crop, model, options, known)).collect::<Result<_, EvalError>>()?;
    let mut crops = Vec::with_capacity(cuts.len());
    let mut outcomes = Vec::with_capacity(cuts.len());
    for cut in cuts {
        match cut {
            Ok(Cut { crop, blur, whole, width }) => {
                outcomes.push((CropOutcome::Scored { logit: f64::NAN, blur, whole }, width));
                crops.push(crop);
            }
            Err(outcome) => outcomes.push((outcome, None)),
        }
    }
    let mut logits = model.logits(&crops)?.into_iter();
    for (outcome, _) in &mut outcomes {
        if let CropOutcome::Scored { logit, .. } = outcome {
            // One logit a crop, in their order.
            *logit = logits.next().unwrap_or(f64::NAN);
        }
    }
    Ok(outcomes)
}

/// A crop on its way to the network.
struct Cut {
    crop: RgbImage,
    blur: f32,
    whole: bool,
    width: Option<f64>,
}

fn cut(
    crop: &PendingCrop,
    model: &Model,
    options: ScoreOptions,
    known: &FoundFaces,
) -> Result<Result<Cut, CropOutcome>, EvalError> {
    let framing = model.card().crop;
    let mut sample = crop.sample.clone();
    let mut whole = false;
    if crop.framing.detect {
        let Some(found) = known.get(&sample.path) else {
            // Nobody could look for its face: reading it again says why.
            let why = match read_picture(&sample.path) {
                Ok(_) => "the picture changed while it was read".to_owned(),
                Err(error) => error_chain(&error),
            };
            return Ok(Err(CropOutcome::Missing { why }));
        };
        if found.is_none() && !crop.framing.whole_without_face {
            return Ok(Err(CropOutcome::NoFace));
        }
        whole = found.is_none();
        sample.bbox = found.map(|face| face.bbox);
        sample.landmarks = found.map(|face| face.landmarks);
    }
    let width = match sample.bbox {
        Some(bbox) => {
            let place = framing.image_from_crop(bbox, sample.landmarks.as_ref());
            place.ok().map(|place| f64::from(place.scale()) * f64::from(framing.size))
        }
        None => image::image_dimensions(&sample.path).ok().map(|(width, _)| f64::from(width)),
    };
    let crop = match deeptell_train::load_crop(&sample, &framing) {
        Ok(crop) => crop,
        Err(error) => return Ok(Err(CropOutcome::Missing { why: error_chain(&error) })),
    };
    let crop = match options.distortion {
        Some(distortion) => distortion.apply(&crop)?,
        None => crop,
    };
    Ok(Ok(Cut { blur: blur_effect(&crop), crop, whole, width }))
}

impl CropScore {
    /// A sample with its score: the logit of the network, and the blur of its crop in `0..=1`.
    pub fn scored(sample: &Sample, logit: f64, blur: f32) -> Self {
        Self { outcome: CropOutcome::Scored { logit, blur, whole: false }, ..Self::unscored(sample) }
    }

    pub(crate) fn unscored(sample: &Sample) -> Self {
        Self {
            path: sample.path.clone(),
            label: sample.label,
            source: sample.source.clone(),
            video: word(sample.video.as_ref(), sample, "video"),
            person: person_name(sample),
            method: word(sample.method.as_ref(), sample, "method").filter(|_| sample.label.is_fake()),
            crop_width: sample.extra.get("original_width").and_then(|width| width.as_f64()),
            outcome: CropOutcome::NoFace,
        }
    }

    /// Names its person and video, or the crop itself where it names no video. A genuine video and the fakes made of it
    /// may share a name, so label and method count too.
    pub(crate) fn person_key(&self) -> String {
        format!("{}\t{}", self.video_key(), self.person.as_deref().unwrap_or_default())
    }

    /// Names its video, as [`person_key`](Self::person_key).
    pub(crate) fn video_key(&self) -> String {
        match &self.video {
            Some(video) => format!("{}\t{}\t{video}", self.label, self.method.as_deref().unwrap_or_default()),
            None => self.path.display().to_string(),
        }
    }

    /// Its probability at the level of single crops, in `0..=1`, if it has a score.
    pub fn probability(&self, levels: &Levels) -> Option<f64> {
        match self.outcome {
            CropOutcome::Scored { logit, .. } => Some(levels.crop.calibration.probability(logit)),
            CropOutcome::Given { probability } => Some(probability),
            _ => None,
        }
    }

    /// Its logit, if a model gave it one.
    pub fn logit(&self) -> Option<f64> {
        match self.outcome {
            CropOutcome::Scored { logit, .. } => Some(logit),
            _ => None,
        }
    }
}

impl SetScores {
    /// Whether there is anything to judge beyond single crops.
    pub(crate) fn has_videos(&self) -> bool {
        self.crops.iter().any(|crop| crop.video.is_some() || matches!(crop.outcome, CropOutcome::Scanned(_)))
    }
}

impl SuiteScores {
    /// All scores as JSON Lines: a header, and one line per crop.
    ///
    /// # Errors
    /// [`EvalError::Json`], which no score should cause.
    pub fn to_bytes(&self) -> Result<Vec<u8>, EvalError> {
        let faults = self.sets.iter().enumerate();
        let faults = faults.filter_map(|(number, set)| Some((number, set.fault.clone()?))).collect();
        let header = Header {
            schema: SCHEMA.to_owned(),
            suite: self.suite.clone(),
            model: self.model.clone(),
            faults,
        };
        let mut bytes = serde_json::to_vec(&header)?;
        bytes.push(b'\n');
        for (set, scores) in self.sets.iter().enumerate() {
            for crop in &scores.crops {
                serde_json::to_writer(&mut bytes, &Row { set, crop: crop.clone() })?;
                bytes.push(b'\n');
            }
        }
        Ok(bytes)
    }

    /// Applies the calibration and thresholds of another model file with the same weights. Returns `false`, and changes
    /// nothing, for scores of another detector, which no model can judge.
    #[must_use]
    pub fn judge_by(&mut self, file: &ModelFile) -> bool {
        let Scorer::Model(judge) = &mut self.model else { return false };
        judge.card = file.card().clone();
        file.sha256().clone_into(&mut judge.sha256);
        true
    }

    /// Whether the first bytes of a file are those of saved scores, and not of a suite in TOML.
    pub fn is_saved(bytes: &[u8]) -> bool {
        bytes.starts_with(b"{")
    }

    /// Reads a file that [`to_bytes`](Self::to_bytes) wrote; `None` for another file, such as a suite in TOML, of which
    /// only the first byte is read.
    ///
    /// # Errors
    /// [`SuiteError::Io`] and [`SuiteError::Scores`].
    pub fn read(path: &Path) -> Result<Option<Self>, SuiteError> {
        let fault = |source| SuiteError::Io { path: path.to_owned(), source };
        let mut first = Vec::new();
        File::open(path).and_then(|file| file.take(1).read_to_end(&mut first)).map_err(fault)?;
        if !Self::is_saved(&first) {
            return Ok(None);
        }
        Self::from_bytes(&read_bounded(path, MAX_BYTES).map_err(fault)?, path).map(Some)
    }

    /// Reads what [`to_bytes`](Self::to_bytes) wrote; `path` serves errors.
    ///
    /// # Errors
    /// [`SuiteError::Scores`].
    pub fn from_bytes(bytes: &[u8], path: &Path) -> Result<Self, SuiteError> {
        let fault = |line: usize, reason: String| SuiteError::Scores { path: path.to_owned(), line, reason };
        let mut lines = bytes.split(|byte| *byte == b'\n').enumerate();
        let (_, first) = lines.next().unwrap_or_default();
        let header: Header = serde_json::from_slice(first).map_err(|error| fault(1, error.to_string()))?;
        if header.schema != SCHEMA {
            return Err(fault(1, format!("its schema is {}, not {SCHEMA}", header.schema)));
        }
        let mut sets = vec![SetScores::default(); header.suite.sets.len()];
        for (set, reason) in header.faults {
            sets.get_mut(set).ok_or_else(|| fault(1, format!("there is no set {set}")))?.fault = Some(reason);
        }
        for (number, line) in lines.filter(|(_, line)| !line.is_empty()) {
            let row: Row =
                serde_json::from_slice(line).map_err(|error| fault(number + 1, error.to_string()))?;
            let set = sets.get_mut(row.set);
            set.ok_or_else(|| fault(number + 1, format!("there is no set {}", row.set)))?
                .crops
                .push(row.crop);
        }
        Ok(Self { suite: header.suite, model: header.model, sets })
    }
}
