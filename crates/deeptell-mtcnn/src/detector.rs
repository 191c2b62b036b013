use burn::module::Module;
use burn::tensor::{Device, Tensor};
use deeptell_image::{Landmarks, Overlap, Point, Rect, RgbImage};

use crate::candidate::{regressed, suppress};
use crate::crops::{Batches, Verdict};
use crate::network::{Fused, Networks, ONet, RNet, answers};
use crate::{Candidate, Face, MtcnnConfig, MtcnnError};

/// Batch sizes bound the activations of a forward pass to some 15 MB.
const REFINEMENT: Batches = Batches { network: "R-Net", side: RNet::SIDE, size: 256 };
const OUTPUT: Batches = Batches { network: "O-Net", side: ONet::SIDE, size: 48 };

/// Overlap above which a box falls to a better one.
const REFINEMENT_OVERLAP: f32 = 0.7;
const OUTPUT_OVERLAP: f32 = 0.7;

/// The face detector: P-Net proposes, R-Net refines, O-Net decides and places the landmarks.
///
/// Made by [`MtcnnConfig::init`], or with all defaults by [`Mtcnn::new`]. [`detect`](Self::detect)
/// and [`detect_batch`](Self::detect_batch) run the whole cascade; each stage can be called alone.
#[derive(Debug, Clone)]
pub struct Mtcnn {
    pub(crate) config: MtcnnConfig,
    pub(crate) networks: Networks,
    /// The networks in the form that is fastest here, where there is one.
    pub(crate) fused: Option<Fused>,
    pub(crate) device: Device,
}

impl Mtcnn {
    /// A detector with the default settings and the embedded weights.
    ///
    /// # Errors
    /// None with the weights this crate ships; see [`MtcnnConfig::init`].
    pub fn new(device: &Device) -> Result<Self, MtcnnError> {
        MtcnnConfig::default().init(device)
    }

    pub(crate) fn from_networks(config: MtcnnConfig, networks: Networks, device: &Device) -> Self {
        let networks = networks.no_grad();
        let fused = Fused::new(&networks, device);
        Self { config, networks, fused, device: device.clone() }
    }

    /// The settings the detector was made with.
    pub fn config(&self) -> &MtcnnConfig {
        &self.config
    }

    /// The three networks.
    pub fn networks(&self) -> &Networks {
        &self.networks
    }

    /// The faces in `image`, the largest first. None in an image whose shorter side is below
    /// [`min_face`](MtcnnConfig::min_face).
    ///
    /// # Errors
    /// [`MtcnnError::Device`] when the device fails.
    pub fn detect(&self, image: &RgbImage) -> Result<Vec<Face>, MtcnnError> {
        let faces = self.detect_batch(std::slice::from_ref(image))?;
        Ok(faces.into_iter().flatten().collect())
    }

    /// The faces in each of `images`, as [`detect`](Self::detect) finds them. The images may
    /// differ in size; their crops share batches.
    ///
    /// # Errors
    /// [`MtcnnError::Device`] when the device fails.
    pub fn detect_batch(&self, images: &[RgbImage]) -> Result<Vec<Vec<Face>>, MtcnnError> {
        // On a worker of the pool, where the many short parallel loops need no wake-up each.
        let mut faces = Ok(Vec::new());
        rayon::scope(|_| {
            faces = self.propose(images).and_then(|proposed| {
                let refined = self.refine(images, &proposed)?;
                self.conclude(images, &refined)
            });
        });
        faces
    }

    /// The second stage alone: what R-Net leaves of `candidates`, one list an image, as corrected
    /// squares, the most probable first.
    ///
    /// # Errors
    /// [`MtcnnError::Device`] when the device fails.
    ///
    /// # Panics
    /// When there is not one list of candidates an image.
    pub fn refine(
        &self,
        images: &[RgbImage],
        candidates: &[Vec<Candidate>],
    ) -> Result<Vec<Vec<Candidate>>, MtcnnError> {
        let verdicts = self.judge(images, candidates, &REFINEMENT, |crops| {
            if let Some(fused) = &self.fused {
                return answers(&fused.rnet, crops);
            }
            let output = self.networks.rnet.forward(crops);
            Tensor::cat(vec![output.probability, output.regression], 1)
        })?;
        let refine = |verdicts: Vec<Verdict<5>>| {
            let likely: Vec<_> =
                verdicts.into_iter().filter(|v| v.values[0] > self.config.thresholds[1]).collect();
            suppress(&likely, REFINEMENT_OVERLAP, Overlap::Union, |v| (v.candidate.bbox, v.values[0]))
                .into_iter()
                .take(self.config.limits.output)
                .map(|Verdict { candidate, values: [probability, correction @ ..] }| Candidate {
                    bbox: regressed(candidate.bbox, correction, 1.0).to_square(),
                    probability,
                })
                .collect()
        };
        Ok(verdicts.into_iter().map(refine).collect())
    }

    /// The third stage alone: the faces O-Net sees in `candidates`, one list an image, the
    /// largest first.
    ///
    /// # Errors
    /// [`MtcnnError::Device`] when the device fails.
    ///
    /// # Panics
    /// When there is not one list of candidates an image.
    pub fn conclude(
        &self,
        images: &[RgbImage],
        candidates: &[Vec<Candidate>],
    ) -> Result<Vec<Vec<Face>>, MtcnnError> {
        let verdicts = self.judge(images, candidates, &OUTPUT, |crops| {
            if let Some(fused) = &self.fused {
                return answers(&fused.onet, crops);
            }
            let output = self.networks.onet.forward(crops);
            Tensor::cat(vec![output.probability, output.regression, output.landmarks], 1)
        })?;
        let conclude = |verdicts: Vec<Verdict<15>>| {
            let faces: Vec<Face> = verdicts
                .iter()
                .filter(|verdict| verdict.values[0] > self.config.thresholds[2])
                .map(face)
                .collect();
            let mut faces = suppress(&faces, OUTPUT_OVERLAP, Overlap::Minimum, |face| {
                // The pixel in the right and bottom edge counts here, as in facenet-pytorch.
                let Rect { x1, y1, x2, y2 } = face.bbox;
                (Rect::new(x1, y1, x2 + 1.0, y2 + 1.0), face.probability)
            });
            faces.sort_by(|a, b| b.bbox.area().total_cmp(&a.bbox.area()));
            faces
        };
        Ok(verdicts.into_iter().map(conclude).collect())
    }
}

/// The face O-Net describes. Landmarks are fractions of the box it was shown, before its own
/// correction, and counted from one: hence the pixel taken off.
fn face(Verdict { candidate, values }: &Verdict<15>) -> Face {
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
