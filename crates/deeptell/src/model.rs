//! The model file: weights and card in one safetensors file.

use std::path::Path;

use burn::tensor::Device;
use deeptell_image::RgbImage;
use deeptell_mobilenet::{MobileNetV3Small, MobileNetV3SmallConfig, StoredPrecision, Weights, normalize};

use crate::hash::sha256;
use crate::{Error, Manifest, ModelCard, ModelError, ModelInfo};

/// A trained network with all that belongs to it, ready to score crops.
///
/// On disk it is one safetensors file: the tensors under torchvision's names (16 or 32 bits), and
/// the [`ModelCard`] as JSON under the key [`Model::CARD_KEY`] of the header.
#[derive(Debug, Clone)]
pub struct Model {
    info: ModelInfo,
    network: MobileNetV3Small,
    device: Device,
}

impl Model {
    /// Key of the card in the header's `__metadata__`.
    pub const CARD_KEY: &str = "deeptell_card";

    /// Loads a model file. If a [`Manifest`] lies beside it and names it, its SHA-256 must agree.
    ///
    /// # Errors
    /// [`Error::Model`] when the file or the manifest cannot be read, the hash differs, the card
    /// is missing or unusable, or the weights do not fit.
    pub fn load(path: impl AsRef<Path>, device: &Device) -> Result<Self, Error> {
        let path = path.as_ref();
        let name = path.display().to_string();
        let bytes = std::fs::read(path).map_err(|e| Error::model(&name, e))?;
        let expected = Manifest::expected_sha256(path).map_err(|e| Error::model(&name, e))?;
        let found = sha256(&bytes);
        if let Some(expected) = expected.filter(|expected| !expected.eq_ignore_ascii_case(&found)) {
            return Err(Error::model(&name, ModelError::Sha256 { expected, found }));
        }
        Self::from_bytes(&bytes, &name, device)
    }

    /// The detector that ships with deeptell, from memory.
    ///
    /// # Errors
    /// [`Error::Model`] if the program was built from damaged sources.
    pub fn shipped(device: &Device) -> Result<Self, Error> {
        let shipped = deeptell_models::DEEPTELL_MNV3S;
        Self::from_bytes(shipped.bytes, shipped.file, device)
    }

    /// A model file that is in memory already; `name` only serves errors.
    ///
    /// # Errors
    /// As [`load`](Self::load).
    pub fn from_bytes(bytes: &[u8], name: &str, device: &Device) -> Result<Self, Error> {
        Self::read(bytes, name, device).map_err(|e| Error::model(name, e))
    }

    fn read(bytes: &[u8], name: &str, device: &Device) -> Result<Self, ModelError> {
        let weights = Weights::from_bytes(bytes, name)?;
        let json = weights.metadata.get(Self::CARD_KEY).ok_or(ModelError::NoCard { key: Self::CARD_KEY })?;
        let card: ModelCard = serde_json::from_str(json).map_err(ModelError::Card)?;
        if let Some(fault) = card.fault() {
            return Err(ModelError::CardValue(fault));
        }
        let mut network = MobileNetV3SmallConfig::new(1).init(device);
        weights.load_into(&mut network)?;
        let info = ModelInfo { sha256: sha256(bytes), card };
        Ok(Self { info, network: network.folded(), device: device.clone() })
    }

    /// Writes a model file: the weights of `network`, which must have one logit and its
    /// `BatchNorm` not folded, with `card`. Returns the file's SHA-256.
    ///
    /// # Errors
    /// [`Error::Model`] when the card is unusable or the file cannot be written.
    pub fn write(
        path: impl AsRef<Path>,
        network: &MobileNetV3Small,
        card: &ModelCard,
        precision: StoredPrecision,
    ) -> Result<String, Error> {
        let path = path.as_ref();
        let write = || -> Result<String, ModelError> {
            if let Some(fault) = card.fault() {
                return Err(ModelError::CardValue(fault));
            }
            let mut weights = Weights::of(network)?;
            let json = serde_json::to_string(card).map_err(ModelError::Card)?;
            weights.metadata.insert(Self::CARD_KEY.to_owned(), json);
            weights.write(path, precision)?;
            Ok(sha256(&std::fs::read(path)?))
        };
        write().map_err(|e| Error::model(&path.display().to_string(), e))
    }

    /// The card and the file's SHA-256.
    pub fn info(&self) -> &ModelInfo {
        &self.info
    }

    /// The model card.
    pub fn card(&self) -> &ModelCard {
        &self.info.card
    }

    /// The network's logit for every crop, in their order: higher is more fake. The crops go
    /// through the network as one batch.
    ///
    /// Crops must be cut as the card's [`FaceCrop`](deeptell_image::FaceCrop) says.
    ///
    /// # Errors
    /// [`Error::Device`] when the crops differ in size or the device fails, [`Error::Model`] when
    /// a logit is no number.
    pub fn logits(&self, crops: &[RgbImage]) -> Result<Vec<f64>, Error> {
        if crops.is_empty() {
            return Ok(Vec::new());
        }
        let failed = |source: Box<dyn std::error::Error + Send + Sync>| Error::Device {
            network: "MobileNetV3-Small",
            source,
        };
        let input = normalize(crops, &self.device).map_err(|e| failed(Box::new(e)))?;
        let output = self.network.forward(input).try_into_vec_as::<f32>().map_err(|e| failed(Box::new(e)))?;
        let logits: Vec<f64> = output.into_iter().map(f64::from).collect();
        match logits.iter().find(|logit| !logit.is_finite()) {
            Some(&logit) => Err(Error::model(&self.info.card.name, ModelError::Score(logit))),
            None => Ok(logits),
        }
    }

    /// The calibrated probability in `0..=1` that each crop shows a manipulated face.
    ///
    /// # Errors
    /// As [`logits`](Self::logits).
    pub fn probabilities(&self, crops: &[RgbImage]) -> Result<Vec<f64>, Error> {
        let calibration = self.info.card.calibration;
        Ok(self.logits(crops)?.into_iter().map(|logit| calibration.probability(logit)).collect())
    }
}
