use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;
use burn::tensor::Device;
use clap::ValueEnum as _;
use deeptell::ModelFile;
use deeptell_face::FaceError;
use deeptell_train::{Conformance, ConformanceStep, DeviceReport, Examined};

use crate::device::{DeviceName, caught};
use crate::face_detector::{FaceDetectorName, face_detector};
use crate::progress::Progress;
use crate::{Outcome, interrupt, output};

/// Faces smaller than this are not looked for, in pixels.
const SMALLEST_FACE: f32 = 20.0;

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

Exits with code 1 if a device gives other results than the CPU, or if one given with --device cannot be used.

The first use of a GPU takes a while, because each operation is compiled and tuned.")]
pub(crate) struct Args {
    /// Device to check; can be repeated [default: all of this build].
    #[arg(long = "device", value_enum, value_name = "DEVICE")]
    devices: Vec<DeviceName>,
    /// Face detector that is compared.
    #[arg(long, value_enum, default_value_t, value_name = "NAME")]
    face_detector: FaceDetectorName,
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

pub(crate) fn run(args: &Args) -> anyhow::Result<Outcome> {
    let asked = !args.devices.is_empty();
    let devices: Vec<DeviceName> = if asked {
        args.devices.clone()
    } else {
        DeviceName::value_variants().iter().copied().filter(|device| device.is_compiled_in()).collect()
    };
    let measured = Duration::try_from_secs_f64(args.seconds).context("--seconds must be a number from 0")?;
    let speed = args.speed.then_some((usize::from(args.batch), measured));
    let shipped = ModelFile::shipped()?;
    let (name, reference) = (args.face_detector, Device::flex());
    let made = |device: &Device| {
        let failed = |error: anyhow::Error| FaceError::Failed {
            face_detector: name
                .to_possible_value()
                .map_or_else(String::new, |value| value.get_name().to_owned()),
            source: error.into(),
        };
        face_detector(name, SMALLEST_FACE, device).map_err(failed)
    };
    let conformance = Conformance::new(shipped.card().architecture, shipped.weights(), &made, &reference)?;
    let mut entries = Vec::new();
    for device in devices {
        if interrupt::requested() {
            return Ok(Outcome::Interrupted);
        }
        let found = examine(device, &conformance, speed).map_err(|error| output::one_line(&error));
        let entry = DeviceReport::new(device.name(), found);
        if args.json.as_deref() != Some("-".as_ref()) {
            output::lines(&entry)?;
        }
        entries.push(entry);
    }
    if let Some(target) = &args.json {
        output::write_json(&entries, target)?;
    }
    let has_fault = entries.iter().any(|entry| entry.is_fault(asked));
    Ok(if has_fault { Outcome::SomeFailed } else { Outcome::Done })
}

fn examine(
    device: DeviceName,
    conformance: &Conformance<'_>,
    speed: Option<(usize, Duration)>,
) -> anyhow::Result<Examined> {
    let opened = device.open()?;
    let progress = Progress::new(device.name(), if speed.is_some() { 4 } else { 3 }, "steps");
    let work = || {
        let checks = conformance.checks(&opened, |step| match step {
            ConformanceStep::Scoring => progress.set(0, "scoring"),
            ConformanceStep::Training => progress.set(1, "training"),
            ConformanceStep::FindingFace => progress.set(2, "finding a face"),
            _ => {}
        })?;
        let speeds = match speed {
            Some((batch, duration)) => {
                progress.set(3, "measuring speeds");
                conformance.speeds(&opened, batch, duration)?
            }
            None => Vec::new(),
        };
        Ok(Examined::new(checks, speeds))
    };
    let seen = caught(std::panic::AssertUnwindSafe(work))
        .unwrap_or_else(|reason| Err(anyhow::anyhow!("the device failed: {reason}")));
    progress.finish();
    seen
}
