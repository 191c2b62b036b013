use std::borrow::Borrow;

use burn::module::Module;
use burn::tensor::{Device, Tensor};
use deeptell_face::{Face, Landmarks, Overlap, Point, Rect, RgbImage};
use rayon::prelude::*;

use crate::cascade::Candidate;
use crate::cascade::candidate::{regressed, suppress};
use crate::cascade::crops::{Batches, CropOutput};
use crate::cascade::largest::Selection;
use crate::cascade::resample::shrunk;
use crate::cascade::rotation::Rotation;
use crate::network::{Fused, Networks, ONet, PNet, RNet};
use crate::{MtcnnConfig, MtcnnError};

/// Batch sizes bound the activations of a forward pass to some 15 MB.
const REFINEMENT: Batches = Batches { network: "R-Net", side: RNet::SIDE, size: 256 };
const OUTPUT: Batches = Batches { network: "O-Net", side: ONet::SIDE, size: 48 };

/// The face detector: P-Net proposes, R-Net refines, O-Net decides and places the landmarks.
///
/// Made by [`MtcnnConfig::init`], or with all defaults by [`Mtcnn::pretrained`]. [`detect`](Self::detect)
/// and [`detect_batch`](Self::detect_batch) run the whole cascade; each stage can be called alone.
#[derive(Debug, Clone)]
pub struct Mtcnn {
    pub(crate) config: MtcnnConfig,
    pub(crate) networks: Networks,
    /// The networks in the form that is fastest here, where there is one.
    pub(crate) fused: Option<Fused>,
    /// SHA-256 of the weights; `None` for the embedded ones.
    pub(crate) weights: Option<String>,
    pub(crate) device: Device,
}

impl Mtcnn {
    /// A detector with the default settings and the embedded weights.
    ///
    /// # Errors
    /// None with the weights this crate ships; see [`MtcnnConfig::init`].
    pub fn pretrained(device: &Device) -> Result<Self, MtcnnError> {
        MtcnnConfig::default().init(device)
    }

    pub(crate) fn from_networks(
        config: MtcnnConfig,
        networks: Networks,
        weights: Option<String>,
        device: &Device,
    ) -> Self {
        let networks = networks.no_grad();
        let fused = Fused::new(&networks, device);
        Self { config, networks, fused, weights, device: device.clone() }
    }

    /// The settings the detector was made with.
    pub fn config(&self) -> &MtcnnConfig {
        &self.config
    }

    /// The faces in `image`, the largest first. None in an image whose shorter side is below
    /// [`min_face`](field@MtcnnConfig::min_face).
    ///
    /// # Errors
    /// [`MtcnnError::Device`] when the device fails.
    pub fn detect(&self, image: &RgbImage) -> Result<Vec<Face>, MtcnnError> {
        let faces = self.detect_batch(&[image])?;
        Ok(faces.into_iter().flatten().collect())
    }

    /// The faces in each of `images`, as [`detect`](Self::detect) finds them. The images may
    /// differ in size; their crops share batches.
    ///
    /// # Errors
    /// [`MtcnnError::Device`] when the device fails.
    pub fn detect_batch<I: Borrow<RgbImage>>(&self, images: &[I]) -> Result<Vec<Vec<Face>>, MtcnnError> {
        let images = borrowed(images);
        // On a worker of the pool, where the many short parallel loops need no wake-up each.
        let mut faces = Ok(Vec::new());
        rayon::scope(|_| faces = self.search(&images, Selection::All));
        faces
    }

    /// The cascade over `images` in the size and with the turns that the settings ask for.
    pub(crate) fn search(
        &self,
        images: &[&RgbImage],
        selection: Selection,
    ) -> Result<Vec<Vec<Face>>, MtcnnError> {
        let shrink = |image: &RgbImage| shrunk(image, self.config.max_side?);
        let small: Vec<Option<RgbImage>> = images.par_iter().map(|image| shrink(image)).collect();
        let seen: Vec<&RgbImage> =
            small.iter().zip(images).map(|(small, image)| small.as_ref().unwrap_or(image)).collect();
        let min_face = |(seen, image): (&&RgbImage, &&RgbImage)| {
            let scale = seen.width().max(seen.height()) as f32 / image.width().max(image.height()) as f32;
            let pixels = self.config.min_face.in_pixels(image.width(), image.height());
            if scale < 1.0 { (pixels * scale).max(PNet::WINDOW as f32) } else { pixels }
        };
        let min_faces: Vec<f32> = seen.iter().zip(images).map(min_face).collect();
        let mut found = self.cascade(&seen, &min_faces, selection)?;
        if self.config.retry_turned {
            self.search_turned(&seen, &min_faces, selection, &mut found)?;
        }
        for ((faces, seen), image) in found.iter_mut().zip(&seen).zip(images) {
            if seen.dimensions() != image.dimensions() {
                let scale = |pixels: u32, seen: u32| pixels as f32 / seen as f32;
                let (x, y) = (scale(image.width(), seen.width()), scale(image.height(), seen.height()));
                for face in faces.iter_mut() {
                    *face = face.stretched(x, y);
                }
            }
        }
        Ok(found)
    }

    /// The three stages in turn.
    fn cascade(
        &self,
        images: &[&RgbImage],
        min_faces: &[f32],
        selection: Selection,
    ) -> Result<Vec<Vec<Face>>, MtcnnError> {
        if selection == Selection::Largest {
            return images.iter().zip(min_faces).map(|(image, &side)| self.descend(image, side)).collect();
        }
        let proposed = self.propose_from(images, min_faces)?;
        let refined = self.refine(images, &proposed)?;
        self.conclude(images, &refined)
    }

    /// Searches those of `images` where nothing was `found` again, rotated each way, and keeps the rotation with the
    /// most probable face.
    fn search_turned(
        &self,
        images: &[&RgbImage],
        min_faces: &[f32],
        selection: Selection,
        found: &mut [Vec<Face>],
    ) -> Result<(), MtcnnError> {
        let empty: Vec<usize> = (0..images.len()).filter(|&image| found[image].is_empty()).collect();
        // One way after the other: the copies of a batch need not be in memory together.
        for rotation in Rotation::ALL {
            let turned: Vec<RgbImage> =
                empty.par_iter().map(|&image| rotation.image(images[image])).collect();
            let sizes: Vec<f32> = empty.iter().map(|&image| min_faces[image]).collect();
            for (&image, faces) in empty.iter().zip(self.cascade(&borrowed(&turned), &sizes, selection)?) {
                let (width, height) = images[image].dimensions();
                let faces: Vec<Face> =
                    faces.iter().map(|face| rotation.face_back(face, width, height)).collect();
                if surest(&faces) > surest(&found[image]) {
                    found[image] = faces;
                }
            }
        }
        Ok(())
    }

    /// As [`Stages::refine`](crate::stages::Stages::refine).
    pub(crate) fn refine(
        &self,
        images: &[impl Borrow<RgbImage>],
        candidates: &[Vec<Candidate>],
    ) -> Result<Vec<Vec<Candidate>>, MtcnnError> {
        let outputs = self.run_refinement_network(&borrowed(images), candidates)?;
        Ok(outputs.into_iter().map(|outputs| self.refined(outputs)).collect())
    }

    /// The candidates of one image that remain after R-Net.
    pub(crate) fn refined(&self, outputs: Vec<CropOutput<5>>) -> Vec<Candidate> {
        let likely: Vec<_> =
            outputs.into_iter().filter(|output| output.values[0] > self.config.thresholds[1]).collect();
        suppress(&likely, self.config.overlaps.refinement, Overlap::Union, |output| {
            (output.candidate.bbox, output.values[0])
        })
        .into_iter()
        .take(self.config.limits.output)
        .map(|CropOutput { candidate, values: [probability, correction @ ..], .. }| Candidate {
            bbox: regressed(candidate.bbox, correction, 1.0).to_square(),
            probability,
        })
        .collect()
    }

    /// As [`Stages::conclude`](crate::stages::Stages::conclude).
    pub(crate) fn conclude(
        &self,
        images: &[impl Borrow<RgbImage>],
        candidates: &[Vec<Candidate>],
    ) -> Result<Vec<Vec<Face>>, MtcnnError> {
        let outputs = self.run_output_network(&borrowed(images), candidates)?;
        Ok(outputs.iter().map(|outputs| self.concluded(outputs)).collect())
    }

    /// The faces that O-Net's outputs leave of one image's candidates, the largest first.
    pub(crate) fn concluded(&self, outputs: &[CropOutput<15>]) -> Vec<Face> {
        let likely = outputs.iter().filter(|output| output.values[0] > self.config.thresholds[2]);
        // Candidates that share one crop have the same probability. facenet-pytorch keeps the last of them here, where
        // it sorts with numpy and takes from the end; in the stages before, the first.
        let faces: Vec<Face> = likely.rev().map(face).collect();
        let mut faces = suppress(&faces, self.config.overlaps.output, Overlap::Minimum, |face| {
            // The pixel in the right and bottom edge counts here, as in facenet-pytorch.
            let Rect { x1, y1, x2, y2 } = face.bbox;
            (Rect::new(x1, y1, x2 + 1.0, y2 + 1.0), face.probability)
        });
        faces.sort_by(|a, b| b.bbox.area().total_cmp(&a.bbox.area()));
        faces
    }

    /// O-Net alone, without threshold and suppression: its face for each of `candidates`, in their order; `None` for
    /// one without a pixel inside the image.
    pub(crate) fn inspect(
        &self,
        image: &RgbImage,
        candidates: Vec<Candidate>,
    ) -> Result<Vec<Option<Face>>, MtcnnError> {
        let mut faces = vec![None; candidates.len()];
        let mut outputs = Ok(Vec::new());
        rayon::scope(|_| outputs = self.run_output_network(&[image], &[candidates]));
        let outputs = outputs?;
        for output in outputs.iter().flatten() {
            faces[output.number] = Some(face(output));
        }
        Ok(faces)
    }

    pub(crate) fn run_refinement_network(
        &self,
        images: &[&RgbImage],
        candidates: &[Vec<Candidate>],
    ) -> Result<Vec<Vec<CropOutput<5>>>, MtcnnError> {
        let fused = self.fused.as_ref().map(|fused| &fused.rnet);
        self.run_on_crops(images, candidates, &REFINEMENT, fused, |crops| {
            let output = self.networks.rnet.forward(crops);
            Tensor::cat(vec![output.probability, output.regression], 1)
        })
    }

    pub(crate) fn run_output_network(
        &self,
        images: &[&RgbImage],
        candidates: &[Vec<Candidate>],
    ) -> Result<Vec<Vec<CropOutput<15>>>, MtcnnError> {
        let fused = self.fused.as_ref().map(|fused| &fused.onet);
        self.run_on_crops(images, candidates, &OUTPUT, fused, |crops| {
            let output = self.networks.onet.forward(crops);
            Tensor::cat(vec![output.probability, output.regression, output.landmarks], 1)
        })
    }
}

/// The images themselves, however they are held.
pub(crate) fn borrowed(images: &[impl Borrow<RgbImage>]) -> Vec<&RgbImage> {
    images.iter().map(Borrow::borrow).collect()
}

/// The highest probability among `faces`, or 0 without any.
fn surest(faces: &[Face]) -> f32 {
    faces.iter().map(|face| face.probability).fold(0.0, f32::max)
}

/// The face O-Net describes. Landmarks are fractions of the box it was shown, before its own
/// correction, and counted from one: hence the pixel taken off.
fn face(CropOutput { candidate, values, .. }: &CropOutput<15>) -> Face {
    let bbox = candidate.bbox;
    let [probability, dx1, dy1, dx2, dy2, fractions @ ..] = *values;
    let (width, height) = (bbox.width() + 1.0, bbox.height() + 1.0);
    let point = |i: usize| {
        Point::new(width * fractions[i] + bbox.x1 - 1.0, height * fractions[i + 5] + bbox.y1 - 1.0)
    };
    Face {
        bbox: regressed(bbox, [dx1, dy1, dx2, dy2], 1.0),
        probability,
        landmarks: Landmarks::from_points([0, 1, 2, 3, 4].map(point)),
    }
}
