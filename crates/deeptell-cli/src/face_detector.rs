//! The face detectors of the commands.

use std::path::PathBuf;
use std::sync::Arc;

use burn::tensor::Device;
use clap::ValueEnum;
use deeptell::ModelCard;
use deeptell_face::FaceDetector;
use deeptell_mtcnn::MtcnnConfig;
use deeptell_yunet::{YuNet, YuNetConfig, YuNetWeights};

use crate::cache::cached;

/// The longer side to which larger images are shrunk for YuNet, which finds no face of more than some 500 pixels.
const YUNET_MAX_SIDE: u32 = 960;
/// Smallest score of a face. At OpenCV's default, 0.9, YuNet misses 17% of faces of 40 pixels that MTCNN finds, and at
/// this none (BENCHMARKS.md).
const YUNET_THRESHOLD: f32 = 0.6;

/// A face detector.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub(crate) enum FaceDetectorName {
    /// MTCNN, with which the shipped model was trained and calibrated.
    #[default]
    Mtcnn,
    /// YuNet; its weights are imported once with `weights import`.
    Yunet,
}

impl FaceDetectorName {
    /// That which made the boxes that a model was trained on.
    pub(crate) fn of(card: &ModelCard) -> anyhow::Result<Self> {
        let name = &card.face_detector.name;
        Self::from_str(name, true).map_err(|_| {
            anyhow::anyhow!(
                "the model is for the face detector {name}, which this program lacks: pass --face-detector"
            )
        })
    }
}

/// A detector of faces of at least `min_face` pixels, measured by the height of the box.
pub(crate) fn face_detector(
    name: FaceDetectorName,
    min_face: f32,
    device: &Device,
) -> anyhow::Result<Arc<dyn FaceDetector>> {
    Ok(match name {
        FaceDetectorName::Mtcnn => Arc::new(MtcnnConfig::default().min_face(min_face).init(device)?),
        FaceDetectorName::Yunet => Arc::new(yunet(min_face, None, device)?),
    })
}

/// YuNet with the imported weights.
pub(crate) fn yunet(min_face: f32, max_side: Option<u32>, device: &Device) -> anyhow::Result<YuNet> {
    let path = cached_yunet()?;
    if !path.is_file() {
        anyhow::bail!(
            "the weights of YuNet are not in {}: download and import them (see `deeptell weights --help`), or pass \
             --face-detector mtcnn",
            path.display()
        );
    }
    let config = YuNetConfig::default()
        .min_face(min_face)
        .max_side(Some(max_side.unwrap_or(YUNET_MAX_SIDE)))
        .threshold(YUNET_THRESHOLD);
    Ok(config.init(&YuNetWeights::read(path)?, device)?)
}

/// Where `weights import` stores the weights of YuNet.
pub(crate) fn cached_yunet() -> anyhow::Result<PathBuf> {
    cached("yunet.safetensors")
}
