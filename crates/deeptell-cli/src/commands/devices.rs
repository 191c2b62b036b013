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

/// Check that devices compute what they should, and how fast.
///
/// On each device that this build can use, the detector scores pictures, is trained for some steps and looks for a face,
/// and the results are held against those of plain arithmetic on the processor. A driver that computes something else
/// is found here, and not in a verdict.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  deeptell devices
  deeptell devices --device wgpu
  deeptell devices --device cuda --speed --batch 256 --json -

Exit code 1 when a device computes something else, or one asked for by --device cannot be used.

The first use of a GPU takes a while: each operation is compiled, and the fastest way to do it is looked for.")]
pub(crate) struct Args {
    /// Devices to check [default: all that this build has].
    #[arg(long = "device", value_enum, value_name = "DEVICE")]
    devices: Vec<DeviceName>,
    /// Measure pictures a second, too, in each precision that the device has.
    #[arg(long)]
    speed: bool,
    /// Pictures in a batch, for --speed.
    #[arg(long, default_value_t = 32, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    batch: u16,
    /// Seconds that each speed is measured for.
    #[arg(long, default_value_t = 2.0, value_name = "S")]
    seconds: f64,
    /// Write the results as JSON to a file, or to standard output with `-`.
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

/// What was seen of one device.
#[derive(Debug, Serialize)]
struct Entry {
    device: DeviceName,
    #[serde(flatten)]
    state: State,
}

#[derive(Debug, Serialize)]
#[serde(tag = "state", rename_all = "snake_case")]
enum State {
    /// Every check came out within its bound.
    Agrees(Seen),
    /// Some check did not.
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

/// One result held against the processor's.
#[derive(Debug, Clone, PartialEq, Serialize)]
struct Check {
    what: &'static str,
    /// Largest difference; none where there is nothing to compare.
    difference: Option<f64>,
    /// Largest difference allowed.
    allowed: f64,
}

impl Check {
    fn holds(&self) -> bool {
        self.difference.is_some_and(|difference| difference <= self.allowed)
    }
}

/// Pictures a second.
#[derive(Debug, Serialize)]
struct Speed {
    precision: Precision,
    batch: usize,
    scored: f64,
    trained: f64,
}

/// What the processor computes without any kernel of ours.
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
    let measured = Duration::try_from_secs_f64(args.seconds).context("--seconds must be 0 or more")?;
    let speed = args.speed.then_some((usize::from(args.batch), measured));
    let reference = Reference::new()?;
    let mut entries = Vec::new();
    for device in devices {
        if interrupt::requested() {
            return Ok(Outcome::Interrupted);
        }
        let state = match looked_at(device, &reference, speed) {
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

fn looked_at(
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
        .unwrap_or_else(|reason| Err(anyhow::anyhow!("it failed: {reason}")));
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
            .context("the processor finds no face in the embedded portrait")?;
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
            check("logits, over the largest", relative(&logits, &self.logits), 1e-4),
            check(
                "losses of five steps of training, over the largest",
                relative(&losses, &self.losses),
                1e-3,
            ),
            check(
                "box of a face, 1 - IoU",
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
    // JSON has no NaN, and what is not a number differs.
    Check { what, difference: difference.filter(|difference| difference.is_finite()), allowed }
}

/// Largest difference over the largest expected value; none when there are not as many, or one is no number.
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

/// The detector that ships, as it is trained: without dropout, whose masks are random.
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

/// Loss before each of some steps that take every second picture for a fake.
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

    /// Forward, backward, update; the loss before it.
    fn step(&mut self) -> f32 {
        let logits = self.network.forward(self.input.clone());
        let loss = binary_cross_entropy_with_logits(logits, self.targets.clone(), 1.0);
        let value = loss.clone().into_scalar::<f32>();
        let gradients = GradientsParams::from_grads(loss.backward(), &self.network);
        self.network = self.optimizer.step(1e-4, self.network.clone(), gradients);
        value
    }
}

/// Pictures a second in each precision that the device has.
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

/// Pictures a second of `work` on a batch of them, after a first time that does not count.
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
        State::Agrees(seen) => ("computes what it should", seen),
        State::Differs(seen) => ("computes something else: do not trust its results", seen),
        State::Unusable { reason } => {
            say!("{name}: cannot be used: {reason}");
            return Ok(());
        }
    };
    say!("{name}: {verdict}");
    for check in &seen.checks {
        let difference =
            check.difference.map_or_else(|| "nothing to compare".to_owned(), |d| format!("{d:.1e}"));
        let mark = if check.holds() { "ok " } else { "BAD" };
        say!("  {mark} {}: {difference}, allowed {:.0e}", check.what, check.allowed);
    }
    for Speed { precision, batch, scored, trained } in &seen.speeds {
        say!(
            "  {precision}, batches of {batch}: {scored:.0} pictures a second scored, {trained:.0} trained on"
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_differs_is_seen() {
        assert_eq!(relative(&[1.0, 2.0], &[1.0, 2.0]), Some(0.0));
        assert_eq!(relative(&[1.0, -2.5], &[1.0, -2.0]), Some(0.25));
        assert_eq!(relative(&[1.0], &[1.0, 2.0]), None);
        assert_eq!(relative(&[f32::NAN, 2.0], &[1.0, 2.0]), None);
        assert!(check("a", Some(1e-5), 1e-4).holds());
        assert!(!check("a", Some(1e-3), 1e-4).holds());
        assert!(!check("a", None, 1e-4).holds() && !check("a", Some(f64::NAN), 1e-4).holds());
    }

    #[test]
    fn a_network_with_other_weights_is_found_out() {
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
