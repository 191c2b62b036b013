//! The model file: weights and card in one safetensors file.

use std::path::Path;

use burn::tensor::Device;
use deeptell_face::{FaceCrop, RgbImage};
use deeptell_mobilenet::{
    IMAGENET_MEAN, IMAGENET_STD, MobileNetV3Small, MobileNetV3SmallConfig, OnnxOptions, Precision,
    StoredPrecision, Weights, normalize,
};

use crate::hash::sha256;
use crate::{Error, HeatMap, Manifest, ModelCard, ModelError, ModelInfo, View};

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

    /// The model file at `path`, or the detector that ships when there is none.
    ///
    /// # Errors
    /// As [`load`](Self::load) and [`shipped`](Self::shipped).
    pub fn load_or_shipped(path: Option<&Path>, device: &Device) -> Result<Self, Error> {
        path.map_or_else(|| Self::shipped(device), |path| Self::load(path, device))
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
        let info = ModelInfo { sha256: sha256(bytes), card, precision: Precision::F32 };
        Ok(Self { info, network: network.folded(), device: device.clone() })
    }

    /// The same weights under another card, in memory: [`info`](Self::info) keeps the SHA-256 of
    /// the file that the weights came from.
    ///
    /// # Errors
    /// [`Error::Model`] when no detector can work with the card.
    pub fn with_card(mut self, card: ModelCard) -> Result<Self, Error> {
        if let Some(fault) = card.fault() {
            return Err(Error::model(&card.name, ModelError::CardValue(fault)));
        }
        self.info.card = card;
        Ok(self)
    }

    /// The same model, its network computing in another number format; probabilities then differ a
    /// little.
    ///
    /// # Errors
    /// [`Error::Precision`] when the model's device cannot.
    pub fn with_precision(mut self, precision: Precision) -> Result<Self, Error> {
        precision.check(&self.device)?;
        self.network = self.network.with_precision(precision);
        self.info.precision = precision;
        Ok(self)
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
        let weights = Weights::of(network).map_err(|e| Error::model(&path.display().to_string(), e))?;
        write_file(path, weights, card, precision)
    }

    /// Writes the model file `path`, or the detector that ships when there is none, to `out` with
    /// another card, its weights in half precision. Returns the SHA-256 of the new file.
    ///
    /// # Errors
    /// [`Error::Model`] when the file cannot be read, the card is unusable, or `out` cannot be
    /// written.
    pub fn write_again(
        path: Option<&Path>,
        card: &ModelCard,
        out: impl AsRef<Path>,
    ) -> Result<String, Error> {
        let weights = Self::weights(path)?;
        write_file(out.as_ref(), weights, card, StoredPrecision::Half)
    }

    /// The weights in the model file `path`, or in the detector that ships when there is none, and
    /// their card among the notes.
    fn weights(path: Option<&Path>) -> Result<Weights, Error> {
        let shipped = deeptell_models::DEEPTELL_MNV3S;
        let name = path.map_or_else(|| shipped.file.to_owned(), |path| path.display().to_string());
        let weights = match path {
            Some(path) => Weights::read(path),
            None => Weights::from_bytes(shipped.bytes, shipped.file),
        };
        weights.map_err(|e| Error::model(&name, e))
    }

    /// The model file `path`, or the detector that ships when there is none, as a safetensors file
    /// at another precision. Returns the SHA-256 of the new file.
    ///
    /// # Errors
    /// [`Error::Model`] when the file is no model file or `out` cannot be written.
    pub fn export_safetensors(
        path: Option<&Path>,
        out: impl AsRef<Path>,
        precision: StoredPrecision,
    ) -> Result<String, Error> {
        let card = Self::load_or_shipped(path, &Device::flex())?.info.card;
        write_file(out.as_ref(), Self::weights(path)?, &card, precision)
    }

    /// The bytes of the model file `path`, or of the detector that ships when there is none, as an
    /// ONNX file for other runtimes.
    ///
    /// Its input `images` is `[batch, 3, size, size]`, its outputs `logits` and `probabilities`
    /// are `[batch, 1]`. The notes in the file (`metadata_props`) say how a face becomes an image
    /// and hold the whole card; averaging over the card's views is left to the caller.
    ///
    /// # Errors
    /// [`Error::Model`] when the file is no model file.
    pub fn export_onnx(path: Option<&Path>) -> Result<Vec<u8>, Error> {
        let card = Self::load_or_shipped(path, &Device::flex())?.info.card;
        let FaceCrop { size, scale, align } = card.crop;
        let (mean, deviation) = (IMAGENET_MEAN, IMAGENET_STD);
        let cut = if align {
            format!("turned so that its five landmarks lie upright, {scale} times the height of the face")
        } else {
            format!("centred on the face box of MTCNN, {scale} times its longer side")
        };
        let views: Vec<String> = card
            .views
            .iter()
            .map(|view| {
                format!("magnified {}{}", view.zoom, if view.mirrored { " and mirrored" } else { "" })
            })
            .collect();
        let json = serde_json::to_string(&card).map_err(|e| Error::model(&card.name, ModelError::Card(e)))?;
        let metadata = [
            ("crop", format!("a square {cut}, resized to {size}x{size}")),
            (
                "preprocessing",
                format!(
                    "RGB values of 0 to 255, channels first: (value / 255 - mean) / deviation, with mean {mean:?} \
                     and deviation {deviation:?} of the three channels"
                ),
            ),
            (
                "views",
                format!(
                    "the score of a face is the mean logit of these looks at its crop: {}",
                    views.join("; ")
                ),
            ),
            (
                "output",
                "the higher, the more like a manipulated face; `probabilities` is calibrated".to_owned(),
            ),
            (Self::CARD_KEY, json),
        ];
        let options = OnnxOptions {
            name: card.name.clone(),
            calibration: Some([card.calibration.slope, card.calibration.intercept]),
            metadata: metadata.map(|(key, text)| (key.to_owned(), text)).to_vec(),
        };
        Self::weights(path)?.to_onnx(&options).map_err(|e| Error::model(&card.name, e))
    }

    /// The card and the file's SHA-256.
    pub fn info(&self) -> &ModelInfo {
        &self.info
    }

    /// The model card.
    pub fn card(&self) -> &ModelCard {
        &self.info.card
    }

    /// The logit for every crop, in their order: higher is more fake. It is the mean over the card's
    /// [`views`](ModelCard::views); all crops go through the network as one batch a view.
    ///
    /// Crops must be cut as the card's [`FaceCrop`](deeptell_face::FaceCrop) says.
    ///
    /// # Errors
    /// [`Error::Device`] when the crops differ in size or the device fails, [`Error::Model`] when
    /// a logit is no number.
    pub fn logits(&self, crops: &[RgbImage]) -> Result<Vec<f64>, Error> {
        Ok(self.readings(crops)?.into_iter().map(|reading| reading.logit).collect())
    }

    /// The [logit](Self::logits) and the features behind it for every crop, in their order, from
    /// the same pass.
    ///
    /// # Errors
    /// As [`logits`](Self::logits).
    pub fn readings(&self, crops: &[RgbImage]) -> Result<Vec<Reading>, Error> {
        let views = &self.info.card.views;
        let mut readings = vec![Reading { logit: 0.0, features: Vec::new() }; crops.len()];
        for view in views {
            if *view == View::WHOLE {
                self.forward(crops, &mut readings)?;
            } else {
                self.forward(&crops.iter().map(|crop| view.of(crop)).collect::<Vec<_>>(), &mut readings)?;
            }
        }
        for reading in &mut readings {
            reading.logit /= views.len() as f64;
            reading.features.iter_mut().for_each(|feature| *feature /= views.len() as f32);
        }
        Ok(readings)
    }

    /// Adds the network's output for one batch to `sums`.
    fn forward(&self, crops: &[RgbImage], sums: &mut [Reading]) -> Result<(), Error> {
        if crops.is_empty() {
            return Ok(());
        }
        let input = normalize(crops, &self.device).map_err(device_failed)?;
        let features = self.network.embed(input);
        let [_, channels] = features.dims();
        let logits = self.network.classify(features.clone());
        let logits = logits.try_into_vec_as::<f32>().map_err(device_failed)?;
        let features = features.try_into_vec_as::<f32>().map_err(device_failed)?;
        for ((sum, logit), features) in sums.iter_mut().zip(logits).zip(features.chunks_exact(channels)) {
            let logit = f64::from(logit);
            if !logit.is_finite() {
                return Err(Error::model(&self.info.card.name, ModelError::Score(logit)));
            }
            sum.logit += logit;
            sum.features.resize(channels, 0.0);
            sum.features.iter_mut().zip(features).for_each(|(sum, feature)| *sum += feature);
        }
        Ok(())
    }

    /// Where in each crop the evidence for manipulation lies, as the card's first view shows it.
    ///
    /// # Errors
    /// As [`logits`](Self::logits).
    pub fn heat_maps(&self, crops: &[RgbImage]) -> Result<Vec<HeatMap>, Error> {
        if crops.is_empty() {
            return Ok(Vec::new());
        }
        let input = normalize(crops, &self.device).map_err(device_failed)?;
        let maps = self.network.class_activation(input, 0);
        let [_, height, width] = maps.dims();
        let values = maps.try_into_vec_as::<f32>().map_err(device_failed)?;
        let of_crop =
            |values: &[f32]| HeatMap { width: width as u32, height: height as u32, values: values.to_vec() };
        Ok(values.chunks_exact(width * height).map(of_crop).collect())
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

/// What the network makes of one crop: its means over the card's [`views`](ModelCard::views).
#[derive(Debug, Clone, PartialEq)]
pub struct Reading {
    /// Higher is more fake.
    pub logit: f64,
    /// The 576 pooled features that the logit is made from
    /// ([`MobileNetV3Small::embed`]).
    pub features: Vec<f32>,
}

fn device_failed(source: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::Device { network: "MobileNetV3-Small", source: Box::new(source) }
}

fn write_file(
    path: &Path,
    mut weights: Weights,
    card: &ModelCard,
    precision: StoredPrecision,
) -> Result<String, Error> {
    let mut write = || -> Result<String, ModelError> {
        if let Some(fault) = card.fault() {
            return Err(ModelError::CardValue(fault));
        }
        let json = serde_json::to_string(card).map_err(ModelError::Card)?;
        weights.metadata.insert(Model::CARD_KEY.to_owned(), json);
        weights.write(path, precision)?;
        Ok(sha256(&std::fs::read(path)?))
    };
    write().map_err(|e| Error::model(&path.display().to_string(), e))
}
