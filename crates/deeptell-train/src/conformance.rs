//! Whether a device computes what the CPU computes, and how fast.

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use burn::optim::{AdamWConfig, GradientsParams, ModuleOptimizer};
use burn::tensor::{Device, Tensor, TensorData};
use deeptell_face::{Face, FaceDetector, FaceError, RgbImage};
use deeptell_network::{
    Architecture, Dtype, Network, NetworkConfig, Normalization, PreprocessError, Weights, WeightsError,
    normalize,
};
use image::imageops;
use serde::Serialize;

use crate::binary_cross_entropy_with_logits;

/// NASA's portrait of Eileen Collins, 320x320, in the public domain.
const PORTRAIT: &[u8] = include_bytes!("../assets/portrait.jpg");
/// Side of the network's input, in pixels.
const SIDE: u32 = 224;
/// Pictures that are scored and trained on.
const PICTURES: usize = 8;
/// Steps of training.
const STEPS: usize = 5;

/// Why a device could not be checked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConformanceError {
    /// The weights do not fit the network.
    #[error(transparent)]
    Weights(#[from] WeightsError),
    /// The pictures are not an input of the network.
    #[error(transparent)]
    Pictures(#[from] PreprocessError),
    /// The face detector could not be made or run.
    #[error(transparent)]
    Faces(#[from] FaceError),
    /// The embedded portrait cannot be decoded.
    #[error("cannot decode the embedded portrait")]
    Portrait(#[from] image::ImageError),
    /// The reference device finds no face in the portrait, so there is nothing to compare with.
    #[error("the reference device finds no face in the embedded portrait: use another face detector")]
    NoFace,
    /// The device returned numbers of another type.
    #[error("the device did not return 32-bit numbers: {0}")]
    Values(String),
}

/// Makes a face detector on a device.
pub type MakeFaceDetector<'a> = dyn Fn(&Device) -> Result<Arc<dyn FaceDetector>, FaceError> + 'a;

/// Compares devices with a reference device: the logits of eight pictures, the losses of five training steps, and a
/// face.
///
/// The reference computes with Burn's own operations, without the kernels of deeptell, so they are checked too.
pub struct Conformance<'a> {
    architecture: Architecture,
    weights: &'a Weights,
    face_detector: &'a MakeFaceDetector<'a>,
    pictures: Vec<RgbImage>,
    portrait: RgbImage,
    logits: Vec<f32>,
    losses: Vec<f32>,
    face: Face,
}

/// What is computed next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ConformanceStep {
    /// Logits.
    Scoring,
    /// Training steps.
    Training,
    /// A face.
    FindingFace,
}

/// One result compared with that of the reference device.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct ConformanceCheck {
    /// What is compared.
    pub what: &'static str,
    /// Largest difference; `None` if there is nothing to compare.
    pub difference: Option<f64>,
    /// Largest difference allowed.
    pub allowed: f64,
}

impl ConformanceCheck {
    fn new(what: &'static str, difference: Option<f64>, allowed: f64) -> Self {
        // JSON has no NaN; a difference that is not finite counts as a mismatch.
        Self { what, difference: difference.filter(|difference| difference.is_finite()), allowed }
    }

    /// Whether the difference is within its bound.
    pub fn holds(&self) -> bool {
        self.difference.is_some_and(|difference| difference <= self.allowed)
    }
}

impl fmt::Display for ConformanceCheck {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}: ", if self.holds() { "ok  " } else { "FAIL" }, self.what)?;
        match self.difference {
            Some(difference) => write!(f, "{difference:.1e}")?,
            None => write!(f, "nothing to compare")?,
        }
        write!(f, ", allowed {:.0e}", self.allowed)
    }
}

/// Pictures per second on a device.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Speed {
    /// Number format of the arithmetic.
    #[serde(rename = "precision")]
    pub dtype: Dtype,
    /// Pictures per batch.
    pub batch: usize,
    /// Pictures scored per second.
    pub scored: f64,
    /// Pictures trained on per second.
    pub trained: f64,
}

impl fmt::Display for Speed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { dtype, batch, scored, trained } = self;
        write!(
            f,
            "{dtype}, batches of {batch}: {scored:.0} pictures per second in scoring, {trained:.0} in training"
        )
    }
}

/// What was found on a device.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Examined {
    /// Its results compared with those of the reference device.
    pub checks: Vec<ConformanceCheck>,
    /// Its speed in each number format, if that was measured.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub speeds: Vec<Speed>,
}

impl Examined {
    /// From the checks of a device, and its speeds or none.
    pub fn new(checks: Vec<ConformanceCheck>, speeds: Vec<Speed>) -> Self {
        Self { checks, speeds }
    }
}

/// Whether a device can be trusted.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "state", rename_all = "snake_case")]
#[non_exhaustive]
pub enum DeviceState {
    /// Every check is within its bound.
    Agrees(Examined),
    /// At least one check is not.
    Differs(Examined),
    /// It cannot be used, or failed.
    Unusable {
        /// Why.
        reason: String,
    },
}

/// The result for one device. `Display` gives a line, and one for each check and speed.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct DeviceReport {
    /// Its name.
    pub device: String,
    /// What was found.
    #[serde(flatten)]
    pub state: DeviceState,
}

impl DeviceReport {
    /// The report of a device of this name, by what was found on it or why it could not be used.
    pub fn new(device: &str, found: Result<Examined, String>) -> Self {
        let state = match found {
            Ok(seen) if seen.checks.iter().all(ConformanceCheck::holds) => DeviceState::Agrees(seen),
            Ok(seen) => DeviceState::Differs(seen),
            Err(reason) => DeviceState::Unusable { reason },
        };
        Self { device: device.to_owned(), state }
    }

    /// Whether it computes other results than the reference device, or, where it is `required`, cannot be used.
    pub fn is_fault(&self, required: bool) -> bool {
        match self.state {
            DeviceState::Differs(_) => true,
            DeviceState::Unusable { .. } => required,
            DeviceState::Agrees(_) => false,
        }
    }
}

impl fmt::Display for DeviceReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (verdict, seen) = match &self.state {
            DeviceState::Agrees(seen) => ("OK", seen),
            DeviceState::Differs(seen) => ("MISMATCH: do not trust its results; update its driver", seen),
            DeviceState::Unusable { reason } => {
                return writeln!(f, "{}: cannot be used: {reason}", self.device);
            }
        };
        writeln!(f, "{}: {verdict}", self.device)?;
        seen.checks.iter().try_for_each(|check| writeln!(f, "  {check}"))?;
        seen.speeds.iter().try_for_each(|speed| writeln!(f, "  {speed}"))
    }
}

impl<'a> Conformance<'a> {
    /// Computes what other devices are compared with on the device `reference`.
    ///
    /// `weights` are those of a network of this architecture with one output; for the face detector,
    /// `face_detector` is called with each device.
    ///
    /// # Errors
    /// [`ConformanceError`] if the weights do not fit, or the face detector fails or finds no face.
    pub fn new(
        architecture: Architecture,
        weights: &'a Weights,
        face_detector: &'a MakeFaceDetector<'a>,
        reference: &Device,
    ) -> Result<Self, ConformanceError> {
        let portrait = image::load_from_memory(PORTRAIT)?.into_rgb8();
        let mut expected = Self {
            architecture,
            weights,
            face_detector,
            pictures: pictures(&portrait),
            face: largest_face(&portrait, &*face_detector(reference)?)?.ok_or(ConformanceError::NoFace)?,
            portrait,
            logits: Vec::new(),
            losses: Vec::new(),
        };
        expected.logits = expected.logits(&expected.network(reference)?.without_kernels(), reference)?;
        expected.losses = expected.losses(reference, Network::without_kernels)?;
        Ok(expected)
    }

    /// Compares `device` with the reference; `on_step` is called before each step.
    ///
    /// # Errors
    /// [`ConformanceError`] if the device cannot compute at all.
    ///
    /// # Panics
    /// Burn panics when a driver fails.
    pub fn checks(
        &self,
        device: &Device,
        mut on_step: impl FnMut(ConformanceStep),
    ) -> Result<Vec<ConformanceCheck>, ConformanceError> {
        on_step(ConformanceStep::Scoring);
        let logits = self.logits(&self.network(device)?.folded(), device)?;
        on_step(ConformanceStep::Training);
        let losses = self.losses(device, |network| network)?;
        on_step(ConformanceStep::FindingFace);
        let face = largest_face(&self.portrait, &*(self.face_detector)(device)?)?;
        let landmark = |face: Face| {
            let points = face.landmarks.points().into_iter().zip(self.face.landmarks.points());
            points.map(|(a, b)| f64::from(a.distance(b))).fold(0.0, f64::max)
        };
        let overlap = |face: Face| f64::from(1.0 - face.bbox.iou(&self.face.bbox));
        let probability = |face: Face| f64::from((face.probability - self.face.probability).abs());
        Ok(vec![
            ConformanceCheck::new(
                "logits, relative to the largest",
                largest_difference(&logits, &self.logits),
                1e-4,
            ),
            ConformanceCheck::new(
                "losses of five training steps, relative to the largest",
                largest_difference(&losses, &self.losses),
                1e-3,
            ),
            ConformanceCheck::new("box of the face, 1 - IoU", face.map(overlap), 1e-3),
            ConformanceCheck::new("probability of the face", face.map(probability), 1e-3),
            ConformanceCheck::new("landmarks of the face, in pixels", face.map(landmark), 0.1),
        ])
    }

    /// Measures for at least `duration` each how fast `device` scores and trains, in each number format that it
    /// supports, with batches of `batch` pictures, at least 1.
    ///
    /// # Errors
    /// As [`checks`](Self::checks).
    ///
    /// # Panics
    /// As [`checks`](Self::checks).
    pub fn speeds(
        &self,
        device: &Device,
        batch: usize,
        duration: Duration,
    ) -> Result<Vec<Speed>, ConformanceError> {
        let pictures: Vec<RgbImage> = self.pictures.iter().cycle().take(batch).cloned().collect();
        let dtypes = [Dtype::F32, Dtype::Bf16, Dtype::F16].into_iter();
        let measured = dtypes.filter(|dtype| dtype.check(device).is_ok()).map(|dtype| {
            let folded = self.network(device)?.folded().with_dtype(dtype);
            let input = normalize(&pictures, &Normalization::IMAGENET, device)?;
            let scored = per_second(batch, duration, || {
                folded.forward(input.clone()).into_data();
            });
            let autodiff = device.clone().autodiff();
            let network = self.network(&autodiff)?.with_dtype(dtype);
            let mut training = Training::new(network, &pictures, &autodiff)?;
            let trained = per_second(batch, duration, || {
                training.step();
            });
            Ok(Speed { dtype, batch, scored, trained })
        });
        measured.collect()
    }

    /// The network in its training form, without dropout, whose masks are random.
    fn network(&self, device: &Device) -> Result<Network, WeightsError> {
        let mut network = NetworkConfig::new(self.architecture, 1).with_dropout(0.0).init(device);
        network.load(self.weights)?;
        Ok(network)
    }

    fn logits(&self, network: &Network, device: &Device) -> Result<Vec<f32>, ConformanceError> {
        let logits = network.forward(normalize(&self.pictures, &Normalization::IMAGENET, device)?);
        logits.into_data().try_into_vec().map_err(|error| ConformanceError::Values(format!("{error:?}")))
    }

    /// Loss before each of some training steps that label every second picture fake.
    fn losses(
        &self,
        device: &Device,
        form: impl FnOnce(Network) -> Network,
    ) -> Result<Vec<f32>, ConformanceError> {
        let device = device.clone().autodiff();
        let mut training = Training::new(form(self.network(&device)?), &self.pictures, &device)?;
        Ok((0..STEPS).map(|_| training.step()).collect())
    }
}

impl fmt::Debug for Conformance<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Conformance")
            .field("architecture", &self.architecture)
            .field("logits", &self.logits)
            .field("losses", &self.losses)
            .field("face", &self.face)
            .finish_non_exhaustive()
    }
}

/// Largest difference, relative to the largest expected value; `None` if the lengths differ or a value is not finite.
fn largest_difference(values: &[f32], expected: &[f32]) -> Option<f64> {
    let largest = expected.iter().fold(f32::MIN_POSITIVE, |largest, value| largest.max(value.abs()));
    let differences = values.iter().zip(expected).map(|(value, expected)| (value - expected).abs() / largest);
    let is_whole = values.len() == expected.len() && values.iter().all(|value| value.is_finite());
    is_whole.then(|| f64::from(differences.fold(0.0, f32::max)))
}

/// Eight views of the portrait: other places, mirrored, darker and lighter.
fn pictures(portrait: &RgbImage) -> Vec<RgbImage> {
    let view = |number: u32| {
        let (x, y) = (12 * number % (portrait.width() - SIDE), 20 * number % (portrait.height() - SIDE));
        let mut view = imageops::crop_imm(portrait, x, y, SIDE, SIDE).to_image();
        if number % 2 == 1 {
            imageops::flip_horizontal_in_place(&mut view);
        }
        imageops::brighten(&view, 12 * number as i32 - 40)
    };
    (0..PICTURES as u32).map(view).collect()
}

fn largest_face(picture: &RgbImage, faces: &dyn FaceDetector) -> Result<Option<Face>, FaceError> {
    Ok(faces.find(picture, 0.0)?.first().copied())
}

/// The network in training on one batch.
struct Training {
    network: Network,
    optimizer: ModuleOptimizer,
    input: Tensor<4>,
    targets: Tensor<2>,
}

impl Training {
    fn new(network: Network, pictures: &[RgbImage], device: &Device) -> Result<Self, PreprocessError> {
        let input = normalize(pictures, &Normalization::IMAGENET, device)?;
        let targets: Vec<f32> = (0..pictures.len()).map(|picture| (picture % 2) as f32).collect();
        let targets = Tensor::from_data(TensorData::new(targets, [pictures.len(), 1]), device);
        let optimizer = AdamWConfig::new().with_weight_decay(0.01).with_epsilon(1e-8).init();
        Ok(Self { network, optimizer, input, targets })
    }

    /// Forward, backward, update; returns the loss before the update.
    fn step(&mut self) -> f32 {
        let logits = self.network.forward(self.input.clone());
        let loss = binary_cross_entropy_with_logits(logits, self.targets.clone(), 1.0);
        let value = loss.clone().into_scalar::<f32>();
        let gradients = GradientsParams::from_grads(loss.backward(), &self.network);
        self.network = self.optimizer.step(1e-4, self.network.clone(), gradients);
        value
    }
}

/// Pictures per second of `work`, which processes one batch, after a warm-up run.
fn per_second(batch: usize, duration: Duration, mut work: impl FnMut()) -> f64 {
    work();
    let began = Instant::now();
    let mut times = 0;
    while times == 0 || began.elapsed() < duration {
        work();
        times += 1;
    }
    (batch * times) as f64 / began.elapsed().as_secs_f64()
}

#[cfg(test)]
mod tests {
    use deeptell_face::{FaceDetectorFn, Landmarks, Point, Rect};

    use super::*;

    #[test]
    fn differences_and_missing_values_fail_a_check() {
        assert_eq!(largest_difference(&[1.0, 2.0], &[1.0, 2.0]), Some(0.0));
        assert_eq!(largest_difference(&[1.0, -2.5], &[1.0, -2.0]), Some(0.25));
        assert_eq!(largest_difference(&[1.0], &[1.0, 2.0]), None);
        assert_eq!(largest_difference(&[f32::NAN, 2.0], &[1.0, 2.0]), None);
        let check = |difference| ConformanceCheck::new("a", difference, 1e-4);
        assert!(check(Some(1e-5)).holds());
        assert!(!check(Some(1e-3)).holds() && !check(None).holds() && !check(Some(f64::NAN)).holds());
    }

    #[test]
    fn kernels_conform_and_other_results_fail_their_checks() {
        let device = Device::flex();
        device.seed(3);
        let architecture = Architecture::default();
        let weights = NetworkConfig::new(architecture, 1).init(&device).weights().unwrap();
        let face = Face {
            bbox: Rect::new(80.0, 60.0, 240.0, 260.0),
            probability: 0.9,
            landmarks: Landmarks::from_points([Point::new(160.0, 160.0); 5]),
        };
        let make: &MakeFaceDetector<'_> =
            &|_| Ok(Arc::new(FaceDetectorFn::new("middle", move |_| vec![face])));
        let expected = Conformance::new(architecture, &weights, make, &device).unwrap();
        let mut steps = Vec::new();
        let checks = expected.checks(&device, |step| steps.push(step)).unwrap();
        assert!(checks.iter().all(ConformanceCheck::holds), "{checks:?}");
        assert_eq!(
            steps,
            [ConformanceStep::Scoring, ConformanceStep::Training, ConformanceStep::FindingFace]
        );
        let largest = expected.logits.iter().fold(0.0_f32, |largest, logit| largest.max(logit.abs()));
        let strange = Conformance {
            logits: expected.logits.iter().map(|logit| logit + 0.01 * largest).collect(),
            face: Face { bbox: expected.face.bbox.translated(0.5, 0.0), ..expected.face },
            ..expected
        };
        let holds: Vec<bool> =
            strange.checks(&device, |_| {}).unwrap().iter().map(ConformanceCheck::holds).collect();
        assert_eq!(holds, [false, true, false, true, true]);
    }
}
