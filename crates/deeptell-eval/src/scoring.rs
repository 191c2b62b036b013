use deeptell::Model;
use deeptell_data::{DataError, Sample, read_picture};
use deeptell_face::{Face, FaceDetector, Selection};
use rayon::prelude::*;

use crate::suite::{CropOutcome, CropScore, FoundFaces, Framing, ScoreOptions, score_listed};
use crate::{Distortion, EvalError, Observer};

/// Scores crops, cut as the model's card asks, each after a loss of quality where there is one.
///
/// # Errors
/// [`EvalError::MissingCrop`] when one cannot be read or cut, [`EvalError::Stopped`], and when the model cannot
/// compute.
pub fn score_samples(
    model: &Model,
    samples: &[&Sample],
    distortion: Option<Distortion>,
    observer: &mut dyn Observer,
) -> Result<Vec<CropScore>, EvalError> {
    let framing = Framing { detect: false, whole_without_face: false };
    let list = samples.iter().map(|sample| (*sample).clone()).collect();
    let options = ScoreOptions { distortion, genuine_only: false };
    let scored =
        score_listed(&[(framing, list)], model, options, None, &mut FoundFaces::default(), observer)?;
    let scored: Vec<CropScore> = scored.into_iter().flatten().collect();
    for crop in &scored {
        if let CropOutcome::Missing { why } = &crop.outcome {
            return Err(EvalError::MissingCrop { path: crop.path.clone(), why: why.clone() });
        }
    }
    Ok(scored)
}

/// The samples whose pictures can be read, in their order, and the errors of the others.
pub fn readable(samples: Vec<&Sample>) -> (Vec<&Sample>, Vec<DataError>) {
    let errors: Vec<Option<DataError>> =
        samples.par_iter().map(|sample| read_picture(&sample.path).err()).collect();
    let kept =
        samples.into_iter().zip(&errors).filter_map(|(sample, error)| error.is_none().then_some(sample));
    (kept.collect(), errors.into_iter().flatten().collect())
}

/// Pictures that are searched between two questions whether to stop.
const BATCH: usize = 64;

/// Sets the box and landmarks of each sample, a picture of one face, to those of its largest face of at least
/// `min_probability`, and returns how many have none.
///
/// # Errors
/// [`EvalError::Stopped`], [`EvalError::Data`] when a picture cannot be read, and [`EvalError::Faces`] when the face
/// detector fails.
pub fn find_largest_faces(
    samples: &mut [Sample],
    faces: &dyn FaceDetector,
    min_probability: f32,
    observer: &mut dyn Observer,
) -> Result<usize, EvalError> {
    observer.begin("finding faces", samples.len(), "pictures");
    let mut missing = 0;
    for batch in samples.chunks_mut(BATCH) {
        if observer.wants_stop() {
            return Err(EvalError::Stopped);
        }
        let find = |sample: &Sample| -> Result<Option<Face>, EvalError> {
            let image = read_picture(&sample.path)?;
            faces.find_in_crop(&image, min_probability, Selection::Largest).map_err(EvalError::Faces)
        };
        let found: Vec<Option<Face>> = batch.par_iter().map(find).collect::<Result<_, _>>()?;
        for (sample, face) in batch.iter_mut().zip(found) {
            missing += usize::from(face.is_none());
            sample.bbox = face.map(|face| face.bbox);
            sample.landmarks = face.map(|face| face.landmarks);
        }
        observer.advance(batch.len());
    }
    observer.end();
    Ok(missing)
}
