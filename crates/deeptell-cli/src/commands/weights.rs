use anyhow::Context as _;
use std::path::{Path, PathBuf};

use burn::tensor::Device;
use clap::Subcommand;
use deeptell_files::sha256_while;
use deeptell_network::{Architecture, KnownFile, StoredDtype, Weights};
use deeptell_yunet::{YuNetConfig, YuNetWeights};

use crate::face_detector::cached_yunet;
use crate::output::say;
use crate::training::cached_imagenet;
use crate::{Outcome, interrupt};

/// Import weights of networks that are not included, or show the contents of a weights file.
#[derive(clap::Args)]
#[command(after_help = "\
Examples:
  deeptell weights import mobilenet_v3_small-047dcff4.pth
  deeptell weights import face_detection_yunet_2023mar.onnx
  deeptell weights show runs/first/detector.safetensors

The official files are published by torchvision (BSD-3-Clause) as
  https://download.pytorch.org/models/mobilenet_v3_small-047dcff4.pth
  sha256 047dcff4addef86ea5bc2eff13c9614dc11f47ab1160d0a71a25e7db994f4e1f
  https://download.pytorch.org/models/mobilenet_v3_large-5c1a4163.pth
  sha256 5c1a4163..., for `architecture = \"mobilenet-v3-large\"` in the training configuration

The face detector YuNet, for `--face-detector yunet`, is published by the OpenCV zoo (MIT) as
  https://github.com/opencv/opencv_zoo/tree/main/models/face_detection_yunet
  face_detection_yunet_2023mar.onnx
  sha256 8f2383e4dd3cfbb4553ea8718107fc0423210dc964f9f4280604804ed2552fa4

Imported weights are stored in the user's cache folder; set DEEPTELL_CACHE to use another one.")]
pub(crate) struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
enum Action {
    /// Check a weights file (ONNX, safetensors, .pth) and store it for `train --init imagenet` or
    /// `--face-detector yunet`.
    Import {
        /// Weights file to import.
        file: PathBuf,
        /// File to write [default: one per network in the cache folder].
        #[arg(short, long, value_name = "FILE")]
        out: Option<PathBuf>,
        /// Expected SHA-256 of the file; fail if it differs.
        #[arg(long, value_name = "HEX")]
        sha256: Option<String>,
    },
    /// Print the metadata and the tensors of a weights file as JSON.
    Show {
        /// Weights file to show.
        file: PathBuf,
    },
}

pub(crate) fn run(args: &Args) -> anyhow::Result<Outcome> {
    match &args.action {
        Action::Import { file, out, sha256 } => import(file, out.as_deref(), sha256.as_deref()),
        Action::Show { file } => show(file),
    }
}

fn import(file: &Path, out: Option<&Path>, expected: Option<&str>) -> anyhow::Result<Outcome> {
    deeptell_files::check_outputs(out, [file])?;
    let Some(found) = digest(file)? else { return Ok(Outcome::Interrupted) };
    if let Some(expected) = expected.filter(|e| !e.eq_ignore_ascii_case(&found)) {
        anyhow::bail!("{} has the SHA-256 {found}, not {expected}: download it again", file.display());
    }
    let known =
        KnownFile::of(file, &found, deeptell_network::KNOWN_FILES.iter().chain(deeptell_yunet::KNOWN_FILES))?;
    // Weights that cannot be used are refused now, not after hours of preparation.
    let device = Device::flex();
    let (title, tensors, out) = if YuNetWeights::recognizes(file) {
        let weights = YuNetWeights::read(file)?;
        YuNetConfig::default().init(&weights, &device)?;
        let out = out.map_or_else(cached_yunet, |out| Ok(out.to_owned()))?;
        weights.write(&out)?;
        ("YuNet", weights.weights().tensors.len(), out)
    } else {
        let (architecture, weights) = Architecture::read_backbone(file, &found, &device)?;
        let out = out.map_or_else(|| cached_imagenet(architecture), |out| Ok(out.to_owned()))?;
        weights.write(&out, StoredDtype::F32)?;
        (architecture.title(), weights.tensors.len(), out)
    };
    if let Some(known) = known {
        say!("verified: {}", known.origin);
    } else {
        say!("not a published file that deeptell knows (SHA-256 {found}); the tensors fit {title}");
    }
    say!("{tensors} tensors stored in {}", out.display());
    Ok(Outcome::Done)
}

/// The SHA-256 of a weights file that is not too large to be one; `None` if interrupted.
fn digest(file: &Path) -> anyhow::Result<Option<String>> {
    Weights::check_size(file)?;
    let digest = std::fs::File::open(file).and_then(|file| sha256_while(file, || !interrupt::requested()));
    digest.with_context(|| format!("cannot access {}", file.display()))
}

fn show(file: &Path) -> anyhow::Result<Outcome> {
    let Some(sha256) = digest(file)? else { return Ok(Outcome::Interrupted) };
    let mut document = Weights::read(file)?.summary();
    document["file"] = serde_json::json!(file.to_string_lossy());
    document["sha256"] = serde_json::json!(sha256);
    crate::output::write_json(&document, Path::new("-"))?;
    Ok(Outcome::Done)
}
