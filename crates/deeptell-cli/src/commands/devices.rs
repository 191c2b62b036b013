use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use burn::optim::{AdamWConfig, GradientsParams, ModuleOptimizer};
use burn::tensor::{Device, Tensor, TensorData};
use clap::ValueEnum as _;
use deeptell::{ModelFile, Precision};
use deeptell_face::{Face, FaceDetector, RgbImage};
use deeptell_mtcnn::Mtcnn;
use deeptell_network::{Network, NetworkConfig, Normalization, normalize};
use deeptell_train::binary_cross_entropy_with_logits;
use image::imageops;
use serde::Serialize;

use crate::device::{DeviceName, caught};
use crate::output::say;
use crate::progress::Progress;
use crate::{Outcome, interrupt, output};

/// Check that the devices of this machine compute correctly, and measure their speed.
///
/// On each device that this build supports, scores pictures, trains for a few steps and detects a face,
/// and compares the results with plain arithmetic on the CPU. This finds drivers that compute wrong
/// results.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  deeptell devices
  deeptell devices --device wgpu
  deeptell devices --device cuda --speed --batch 256 --json -

Exits with code 1 if a device computes something else, or if one given with --device cannot be used.

The first use of a GPU takes a while, because each operation is compiled and tuned.")]
pub(crate) struct Args {
    /// Device to check; can be repeated [default: all of this build].
    #[arg(long = "device", value_enum, value_name = "DEVICE")]
    devices: Vec<DeviceName>,
    /// Also measure pictures per second, in each number format that the device supports.
    #[arg(long)]
    speed: bool,
    /// Number of pictures per batch, for --speed.
    #[arg(long, default_value_t = 32, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    batch: u16,
    /// Duration of each speed measurement, in seconds.
    #[arg(long, default_value_t = 2.0, value_name = "SECONDS")]
    seconds: f64,
    /// Write the results as JSON; `-` is standard output.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

/// NASA's portrait of Eileen Collins, 320x320, in the public domain.
const PORTRAIT: &[u8] = include_bytes!("../../assets/portrait.jpg");
/// Side of the network's input, in pixels.
const SIDE: u32 = 224;
/// Pictures that are scored and trained on.
const PICTURES: usize = 8;
/// Steps of training.
const STEPS: usize = 5;

/// The result for one device.
#[derive(Debug, Serialize)]
struct Entry {
    device: DeviceName,
    #[serde(flatten)]
    state: State,
}

#[derive(Debug, Serialize)]
#[serde(tag = "state", rename_all = "snake_case")]
enum State {
    /// Every check is within its bound.
    Agrees(Seen),
    /// At least one check is not.
    Differs(Seen),
    /// It cannot be used, or failed.
    Unusable { reason: String },
}

#[derive(Debug, Serialize)]
struct Seen {
    checks: Vec<Check>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    speeds: Vec<Speed>,
}

/// One result compared with that of the CPU.
#[derive(Debug, Clone, PartialEq, Serialize)]
struct Check {
    what: &'static str,
    /// Largest difference; `None` if there is nothing to compare.
    difference: Option<f64>,
    /// Largest difference allowed.
    allowed: f64,
}

impl Check {
    fn holds(&self) -> bool {
        self.difference.is_some_and(|difference| difference <= self.allowed)
    }
}

/// Pictures per second.
#[derive(Debug, Serialize)]
struct Speed {
    precision: Precision,
    batch: usize,
    scored: f64,
    trained: f64,
}

/// What the CPU computes without the kernels of deeptell.
struct Reference {
    pictures: Vec<RgbImage>,
    portrait: RgbImage,
    logits: Vec<f32>,
    losses: Vec<f32>,
    face: Face,
}

pub(crate) fn run(args: &Args) -> anyhow::Result<Outcome> {
    let asked = !args.devices.is_empty();
    let devices: Vec<DeviceName> = if asked {
        args.devices.clone()
    } else {
        DeviceName::value_variants().iter().copied().filter(|device| device.is_compiled_in()).collect()
    };
    let measured = Duration::try_from_secs_f64(args.seconds).context("--seconds must be a number from 0")?;
    let speed = args.speed.then_some((usize::from(args.batch), measured));
    let reference = Reference::new()?;
    let mut entries = Vec::new();
    for device in devices {
        if interrupt::requested() {
            return Ok(Outcome::Interrupted);
        }
        let state = match examine(device, &reference, speed) {
            Ok(seen) if seen.checks.iter().all(Check::holds) => State::Agrees(seen),
            Ok(seen) => State::Differs(seen),
            Err(error) => State::Unusable { reason: output::one_line(&error) },
        };
        let entry = Entry { device, state };
        if args.json.as_deref() != Some("-".as_ref()) {
            print(&entry)?;
        }
        entries.push(entry);
    }
    if let Some(target) = &args.json {
        output::write_json(&entries, target)?;
    }
    let is_fault = |entry: &Entry| match entry.state {
        State::Agrees(_) => false,
        State::Differs(_) => true,
        State::Unusable { .. } => asked,
    };
    Ok(if entries.iter().any(is_fault) { Outcome::SomeFailed } else { Outcome::Done })
}

fn examine(
    device: DeviceName,
    reference: &Reference,
    speed: Option<(usize, Duration)>,
) -> anyhow::Result<Seen> {
    let opened = device.open()?;
    let progress = Progress::new(device.name(), if speed.is_some() { 4 } else { 3 }, "steps");
    let work = || {
        let checks = reference.checks(&opened, &progress)?;
        let speeds = match speed {
            Some((batch, duration)) => {
                progress.set(3, "measuring speeds");
                speeds(&opened, reference, batch, duration)?
            }
            None => Vec::new(),
        };
        Ok(Seen { checks, speeds })
    };
    let seen = caught(std::panic::AssertUnwindSafe(work))
        .unwrap_or_else(|reason| Err(anyhow::anyhow!("the device failed: {reason}")));
    progress.finish();
    seen
}

impl Reference {
    fn new() -> anyhow::Result<Self> {
        let portrait = image::load_from_memory(PORTRAIT).context("the embedded portrait")?.into_rgb8();
        let pictures = pictures(&portrait);
        let device = Device::flex();
        let logits = logits(&network(&device)?.without_kernels(), &pictures, &device)?;
        let losses = losses(&device, &pictures, Network::without_kernels)?;
        let face = face(&portrait, &Mtcnn::pretrained(&device)?)?
            .context("the CPU finds no face in the embedded portrait")?;
        Ok(Self { pictures, portrait, logits, losses, face })
    }

    fn checks(&self, device: &Device, progress: &Progress) -> anyhow::Result<Vec<Check>> {
        progress.set(0, "scoring");
        let logits = logits(&network(device)?.folded(), &self.pictures, device)?;
        progress.set(1, "training");
        let losses = losses(device, &self.pictures, |network| network)?;
        progress.set(2, "finding a face");
        let face = face(&self.portrait, &Mtcnn::pretrained(device)?)?;
        let landmark = |face: Face| {
            let points = face.landmarks.points().into_iter().zip(self.face.landmarks.points());
            points.map(|(a, b)| f64::from(a.distance(b))).fold(0.0, f64::max)
        };
        Ok(vec![
            check("logits, relative to the largest", relative(&logits, &self.logits), 1e-4),
            check(
                "losses of five training steps, relative to the largest",
                relative(&losses, &self.losses),
                1e-3,
            ),
            check(
                "box of the face, 1 - IoU",
                face.map(|face| f64::from(1.0 - face.bbox.iou(&self.face.bbox))),
                1e-3,
            ),
            check(
                "probability of the face",
                face.map(|face| f64::from((face.probability - self.face.probability).abs())),
                1e-3,
            ),
            check("landmarks of the face, in pixels", face.map(landmark), 0.1),
        ])
    }
}

fn check(what: &'static str, difference: Option<f64>, allowed: f64) -> Check {
    // JSON has no NaN; a difference that is not finite counts as a mismatch.
    Check { what, difference: difference.filter(|difference| difference.is_finite()), allowed }
}

/// Largest difference, relative to the largest expected value; `None` if the lengths differ or a value is not finite.
fn relative(values: &[f32], expected: &[f32]) -> Option<f64> {
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

/// The shipped model in its training form, without dropout, whose masks are random.
fn network(device: &Device) -> anyhow::Result<Network> {
    let shipped = ModelFile::shipped()?;
    let config = NetworkConfig::new(shipped.card().architecture, 1).with_dropout(0.0);
    let mut network = config.init(device);
    network.load(shipped.weights())?;
    Ok(network)
}

fn logits(network: &Network, pictures: &[RgbImage], device: &Device) -> anyhow::Result<Vec<f32>> {
    let logits = network.forward(normalize(pictures, &Normalization::IMAGENET, device)?);
    Ok(logits.into_data().try_into_vec::<f32>()?)
}

/// Loss before each of some training steps that label every second picture fake.
fn losses(
    device: &Device,
    pictures: &[RgbImage],
    form: impl FnOnce(Network) -> Network,
) -> anyhow::Result<Vec<f32>> {
    let device = device.clone().autodiff();
    let mut training = Training::new(form(network(&device)?), pictures, &device)?;
    Ok((0..STEPS).map(|_| training.step()).collect())
}

/// The largest face.
fn face(picture: &RgbImage, faces: &dyn FaceDetector) -> anyhow::Result<Option<Face>> {
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
    fn new(network: Network, pictures: &[RgbImage], device: &Device) -> anyhow::Result<Self> {
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

/// Pictures per second in each number format that the device supports.
fn speeds(
    device: &Device,
    reference: &Reference,
    batch: usize,
    duration: Duration,
) -> anyhow::Result<Vec<Speed>> {
    let pictures: Vec<RgbImage> = reference.pictures.iter().cycle().take(batch).cloned().collect();
    let precisions = [Precision::F32, Precision::Bf16, Precision::F16].into_iter();
    let measured = precisions.filter(|precision| precision.check(device).is_ok()).map(|precision| {
        let folded = network(device)?.folded().with_precision(precision);
        let input = normalize(&pictures, &Normalization::IMAGENET, device)?;
        let scored = per_second(batch, duration, || {
            folded.forward(input.clone()).into_data();
        });
        let autodiff = device.clone().autodiff();
        let network = network(&autodiff)?.with_precision(precision);
        let mut training = Training::new(network, &pictures, &autodiff)?;
        let trained = per_second(batch, duration, || {
            training.step();
        });
        Ok(Speed { precision, batch, scored, trained })
    });
    measured.collect()
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

fn print(entry: &Entry) -> anyhow::Result<()> {
    let name = entry.device.name();
    let (verdict, seen) = match &entry.state {
        State::Agrees(seen) => ("OK", seen),
        State::Differs(seen) => ("MISMATCH: do not trust its results; update its driver", seen),
        State::Unusable { reason } => {
            say!("{name}: cannot be used: {reason}");
            return Ok(());
        }
    };
    say!("{name}: {verdict}");
    for check in &seen.checks {
        let difference =
            check.difference.map_or_else(|| "nothing to compare".to_owned(), |d| format!("{d:.1e}"));
        let mark = if check.holds() { "ok  " } else { "FAIL" };
        say!("  {mark} {}: {difference}, allowed {:.0e}", check.what, check.allowed);
    }
    for Speed { precision, batch, scored, trained } in &seen.speeds {
        say!(
            "  {precision}, batches of {batch}: {scored:.0} pictures per second in scoring, {trained:.0} in training"
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn differences_and_missing_values_fail_a_check() {
        assert_eq!(relative(&[1.0, 2.0], &[1.0, 2.0]), Some(0.0));
        assert_eq!(relative(&[1.0, -2.5], &[1.0, -2.0]), Some(0.25));
        assert_eq!(relative(&[1.0], &[1.0, 2.0]), None);
        assert_eq!(relative(&[f32::NAN, 2.0], &[1.0, 2.0]), None);
        assert!(check("a", Some(1e-5), 1e-4).holds());
        assert!(!check("a", Some(1e-3), 1e-4).holds());
        assert!(!check("a", None, 1e-4).holds() && !check("a", Some(f64::NAN), 1e-4).holds());
    }

    #[test]
    fn other_logits_and_boxes_fail_their_checks() {
        let reference = Reference::new().unwrap();
        let device = Device::flex();
        let progress = Progress::new("cpu", 3, "steps");
        let checks = reference.checks(&device, &progress).unwrap();
        assert!(checks.iter().all(Check::holds), "{checks:?}");
        let strange = Reference {
            logits: reference.logits.iter().map(|logit| logit + 0.01).collect(),
            face: Face { bbox: reference.face.bbox.translated(0.5, 0.0), ..reference.face },
            ..reference
        };
        let broken: Vec<bool> =
            strange.checks(&device, &progress).unwrap().iter().map(Check::holds).collect();
        assert_eq!(broken, [false, true, false, true, true]);
    }
}
