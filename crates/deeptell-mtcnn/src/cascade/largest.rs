//! The largest face of an image, without a search for the others.

use std::collections::HashMap;

use deeptell_face::{Face, RgbImage};

use crate::cascade::crops::CropOutput;
use crate::cascade::pyramid::pyramid;
use crate::cascade::{Candidate, Window};
use crate::network::PNet;
use crate::{Mtcnn, MtcnnError};

/// Stop once the side of a face is at least this many times that of the next level's windows. The cascade enlarges
/// boxes by less: in 1499 frames of 24 clips, no finer level had a larger face or changed the box of this one (`cargo
/// run --release --workspace --example tracking`).
const OUT_OF_REACH: f32 = 2.0;

/// Which faces of an image to find.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Selection {
    /// Every face.
    All,
    /// The largest face; smaller ones may be missing.
    Largest,
}

/// A network's outputs for crops that it has processed.
struct Cache<const VALUES: usize>(HashMap<Window, [f32; VALUES]>);

impl<const VALUES: usize> Cache<VALUES> {
    fn new() -> Self {
        Self(HashMap::new())
    }

    /// The outputs for `candidates` of one image; `run` gets those whose crops are new.
    fn outputs(
        &mut self,
        image: &RgbImage,
        candidates: &[Candidate],
        run: impl FnOnce(Vec<Candidate>) -> Result<Vec<Vec<CropOutput<VALUES>>>, MtcnnError>,
    ) -> Result<Vec<CropOutput<VALUES>>, MtcnnError> {
        let window = |candidate: &Candidate| candidate.window(image.width(), image.height());
        let is_new =
            |candidate: &&Candidate| window(candidate).is_some_and(|window| !self.0.contains_key(&window));
        let new = candidates.iter().filter(is_new).copied().collect();
        for CropOutput { candidate, values, .. } in run(new)?.into_iter().flatten() {
            if let Some(window) = window(&candidate) {
                self.0.insert(window, values);
            }
        }
        let output = |(number, &candidate): (usize, &Candidate)| {
            Some(CropOutput { number, candidate, values: *self.0.get(&window(&candidate)?)? })
        };
        Ok(candidates.iter().enumerate().filter_map(output).collect())
    }
}

impl Mtcnn {
    /// The largest face in `image`, the first that [`detect`](Self::detect) finds, without a search for smaller ones:
    /// the larger it is, the sooner it is found.
    ///
    /// Searches the pyramid from its coarsest level and stops at a face with twice the side of P-Net's windows in the
    /// next level, because boxes are corrected by less than that. This bound was measured; the networks do not
    /// guarantee it.
    ///
    /// # Errors
    /// [`MtcnnError::Device`] when the device fails.
    pub fn detect_largest(&self, image: &RgbImage) -> Result<Option<Face>, MtcnnError> {
        let mut faces = Ok(Vec::new());
        rayon::scope(|_| faces = self.search(&[image], Selection::Largest));
        Ok(faces?.into_iter().flatten().next())
    }

    /// The cascade over the levels of the pyramid from the coarsest on, until its largest face is out of reach of those
    /// still to come.
    pub(crate) fn descend(&self, image: &RgbImage, min_face: f32) -> Result<Vec<Face>, MtcnnError> {
        let levels = pyramid(image.width(), image.height(), min_face, self.config.scale_factor);
        let mut proposals = vec![Vec::new(); levels.len()];
        let (mut refinements, mut conclusions) = (Cache::new(), Cache::new());
        let mut faces: Vec<Face> = Vec::new();
        for number in (0..levels.len()).rev() {
            // A window of the level, in pixels of the image.
            let window = (PNet::WINDOW as f64 / levels[number].scale) as f32;
            let side = |face: &Face| face.bbox.width().min(face.bbox.height());
            if faces.first().is_some_and(|face| side(face) >= OUT_OF_REACH * window) {
                break;
            }
            let found = self.proposals(&[image], &[vec![levels[number]]])?;
            proposals[number] = found.into_iter().flatten().flatten().collect();
            if proposals[number].is_empty() {
                continue;
            }
            // All of them together, as in a search for every face: what is found is the same face, to the last bit.
            let proposed = self.merge(proposals.clone());
            let run = |candidates| self.run_refinement_network(&[image], &[candidates]);
            let refined = self.refined(refinements.outputs(image, &proposed, run)?);
            let run = |candidates| self.run_output_network(&[image], &[candidates]);
            faces = self.concluded(&conclusions.outputs(image, &refined, run)?);
        }
        Ok(faces)
    }
}
