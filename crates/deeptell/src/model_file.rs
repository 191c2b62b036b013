//! The model file: weights and card in one safetensors file.

use std::path::Path;

use burn::tensor::Device;
use deeptell_face::FaceCrop;
use deeptell_files::{read_bounded, sha256, write_whole};
use deeptell_network::{Dtype, NamedTensor, Network, NetworkConfig, OnnxOptions, StoredDtype, Weights};

use crate::familiarity::Familiarity;
use crate::localization::Localization;
use crate::manifest::Manifest;
use crate::{Error, HeatMapMethod, Model, ModelCard, ModelError, ModelInfo};

/// A model file in memory: the weights of a network and its card. It can be
/// changed, written, exported, and [loaded](Self::load) onto a device to run.
///
/// On disk it is one safetensors file: the tensors under the names of the network's original (16 or
/// 32 bits), and the [`ModelCard`] as JSON under the key [`ModelFile::CARD_KEY`] of the header.
#[derive(Debug, Clone)]
pub struct ModelFile {
    card: ModelCard,
    /// Those of the network alone.
    weights: Weights,
    familiarity: Option<Familiarity>,
    /// Present if the card says so.
    localization: Option<Localization>,
    sha256: String,
}

impl ModelFile {
    /// Key of the card in the header's `__metadata__`.
    pub const CARD_KEY: &str = "deeptell_card";
    /// Largest file that is read, in bytes: 512 MiB.
    pub const MAX_BYTES: u64 = 512 << 20;

    /// The model that ships with deeptell, from memory.
    ///
    /// # Errors
    /// [`Error::Model`] if the embedded file is damaged.
    pub fn shipped() -> Result<Self, Error> {
        let shipped = deeptell_models::DEEPTELL_MNV3S;
        Self::from_bytes(&shipped.bytes(), shipped.file)
    }

    /// Reads a model file. If a `manifest.toml` lies beside it and names it, its SHA-256 must agree.
    ///
    /// # Errors
    /// [`Error::Model`] when the file or the manifest cannot be read, the hash differs, the card
    /// is missing or unusable, or the weights do not fit the network that it names.
    pub fn read(path: impl AsRef<Path>) -> Result<Self, Error> {
        let path = path.as_ref();
        let name = path.display().to_string();
        let read = || -> Result<Vec<u8>, ModelError> {
            let bytes = deeptell_files::regular_file_size(path)?;
            if bytes > Self::MAX_BYTES {
                return Err(ModelError::TooLarge { bytes, limit: Self::MAX_BYTES });
            }
            let bytes = read_bounded(path, Self::MAX_BYTES)?;
            let found = sha256(&bytes);
            match Manifest::expected_sha256(path)? {
                Some(expected) if !expected.eq_ignore_ascii_case(&found) => {
                    Err(ModelError::Sha256 { expected, found })
                }
                _ => Ok(bytes),
            }
        };
        let bytes = read().map_err(|e| Error::model(&name, e))?;
        Self::from_bytes(&bytes, &name)
    }

    /// A model file in memory; `name` is used in errors only.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub fn from_bytes(bytes: &[u8], name: &str) -> Result<Self, Error> {
        Self::parse(bytes, name).map_err(|e| Error::model(name, e))
    }

    fn parse(bytes: &[u8], name: &str) -> Result<Self, ModelError> {
        // The card first: nothing is decoded for a file that cannot be used.
        let mut notes = Weights::notes(bytes, name)?;
        let json = notes.remove(Self::CARD_KEY).ok_or(ModelError::NoCard { key: Self::CARD_KEY })?;
        let card = ModelCard::from_json(&json)?;
        let mut weights = Weights::from_bytes(bytes, name)?;
        weights.metadata = notes;
        let is_extra = |name: &str| Familiarity::owns(name) || Localization::owns(name);
        let extra: Vec<NamedTensor> =
            weights.tensors.extract_if(.., |tensor| is_extra(&tensor.name)).collect();
        let familiarity = match &card.out_of_distribution {
            Some(model) => Some(Familiarity::new(model, &extra, card.architecture.embedding())?),
            None => None,
        };
        let localization = match card.heat_maps {
            HeatMapMethod::ClassActivation => None,
            HeatMapMethod::Localization => Some(Localization::new(&extra, card.architecture.embedding())?),
        };
        Ok(Self { card, weights, familiarity, localization, sha256: sha256(bytes) })
    }

    /// A model file with the weights of `network`, which must have one logit and its `BatchNorm` not
    /// folded. `card` must name its architecture.
    ///
    /// # Errors
    /// [`Error::Model`] when the card is unusable, of another architecture or names a layer for
    /// [`heat_maps`](ModelCard::heat_maps), or the network is folded.
    pub fn new(network: &Network, card: ModelCard) -> Result<Self, Error> {
        let name = card.name.clone();
        Self::of(network, card).map_err(|e| Error::model(&name, e))
    }

    fn of(network: &Network, card: ModelCard) -> Result<Self, ModelError> {
        if network.architecture() != card.architecture {
            let (card, network) = (card.architecture, network.architecture());
            return Err(ModelError::OtherArchitecture { card, network });
        }
        if card.out_of_distribution.is_some() {
            return Err(ModelError::OutOfDistribution("its tensors are set by `with_familiarity`"));
        }
        if card.heat_maps == HeatMapMethod::Localization {
            return Err(ModelError::Localization(
                "it is missing: `with_localization` adds it, and without it `heat_maps` must be class activation",
            ));
        }
        let weights = network.weights()?;
        let mut file = Self { card, weights, familiarity: None, localization: None, sha256: String::new() };
        file.sha256 = sha256(&file.to_bytes(StoredDtype::F32)?);
        Ok(file)
    }

    /// The card.
    pub fn card(&self) -> &ModelCard {
        &self.card
    }

    /// SHA-256 of the file that this was read from, in lower-case hexadecimal; of one that was made
    /// in memory, of its content in full precision.
    pub fn sha256(&self) -> &str {
        &self.sha256
    }

    /// The weights of the network.
    pub fn weights(&self) -> &Weights {
        &self.weights
    }

    /// The same weights under another card; [`sha256`](Self::sha256) stays that of the file that they
    /// came from. A model of what is out of distribution is dropped if the card has none, and so is a localization
    /// layer.
    ///
    /// # Errors
    /// [`Error::Model`] when no detector can work with the card, or it names another architecture or a layer that the
    /// file lacks.
    pub fn with_card(mut self, card: ModelCard) -> Result<Self, Error> {
        let check = || -> Result<(), ModelError> {
            card.check()?;
            if card.architecture != self.card.architecture {
                return Err(ModelError::OtherArchitecture {
                    card: card.architecture,
                    network: self.card.architecture,
                });
            }
            if card.heat_maps == HeatMapMethod::Localization && self.localization.is_none() {
                return Err(ModelError::Localization(
                    "it is missing: `with_localization` adds it, and without it `heat_maps` must be class activation",
                ));
            }
            match (&card.out_of_distribution, &self.card.out_of_distribution) {
                (Some(new), Some(old)) if new.rank == old.rank => Ok(()),
                (None, _) => Ok(()),
                _ => Err(ModelError::OutOfDistribution("its tensors are set by `with_familiarity`")),
            }
        };
        check().map_err(|e| Error::model(&card.name, e))?;
        if card.out_of_distribution.is_none() {
            self.familiarity = None;
        }
        if card.heat_maps != HeatMapMethod::Localization {
            self.localization = None;
        }
        self.card = card;
        Ok(self)
    }

    /// The same model knowing what its training data looked like: crops farther from `mean` than
    /// `limit` are out of distribution ([`OutOfDistribution`](crate::OutOfDistribution)).
    ///
    /// `mean` and `precision`, the diagonal of the inverse covariance, are as long as an embedding;
    /// `factor` is the low-rank part, row by row, or empty.
    ///
    /// # Errors
    /// [`Error::Model`] when the lengths do not fit or a number is not finite.
    pub fn with_familiarity(
        mut self,
        mean: &[f32],
        precision: &[f32],
        factor: &[f32],
        limit: f64,
    ) -> Result<Self, Error> {
        let embedding = self.card.architecture.embedding();
        let with = |card: &mut ModelCard| -> Result<Familiarity, ModelError> {
            let familiarity = Familiarity::of(mean, precision, factor, embedding)?;
            card.out_of_distribution = Some(crate::OutOfDistribution { limit, rank: familiarity.rank() });
            card.check()?;
            Ok(familiarity)
        };
        self.familiarity = Some(with(&mut self.card).map_err(|e| Error::model(&self.card.name, e))?);
        Ok(self)
    }

    /// The same model with a layer that estimates which parts of a crop are manipulated, for its
    /// [heat maps](Model::heat_maps). Scores do not depend on it.
    ///
    /// The layer is a convolution of 1x1 with one output on the network's last feature map
    /// ([`Network::features`]): `weight` is as long as an embedding. The sigmoid of its output is the share of a
    /// position that is manipulated.
    ///
    /// # Errors
    /// [`Error::Model`] when the length does not fit or a number is not finite.
    pub fn with_localization(mut self, weight: &[f32], bias: f32) -> Result<Self, Error> {
        let layer = Localization::of(weight, bias, self.card.architecture.embedding());
        self.localization = Some(layer.map_err(|e| Error::model(&self.card.name, e))?);
        self.card.heat_maps = HeatMapMethod::Localization;
        Ok(self)
    }

    /// The bytes of the file, of the newest format.
    fn to_bytes(&self, dtype: StoredDtype) -> Result<Vec<u8>, ModelError> {
        let mut weights = self.weights.clone();
        weights.metadata.insert(Self::CARD_KEY.to_owned(), self.card.to_json()?);
        weights.tensors.extend(self.familiarity.iter().flat_map(Familiarity::tensors));
        weights.tensors.extend(self.localization.iter().flat_map(Localization::tensors));
        // Distances need all digits, and the other layer is small.
        let is_full = |name: &str| Familiarity::owns(name) || Localization::owns(name);
        let of_tensor = |name: &str| if is_full(name) { StoredDtype::F32 } else { dtype };
        Ok(weights.to_bytes_with(of_tensor)?)
    }

    /// The bytes that [`write`](Self::write) writes.
    ///
    /// # Errors
    /// [`Error::Model`] when the weights cannot be encoded.
    pub fn encode(&self, dtype: StoredDtype) -> Result<Vec<u8>, Error> {
        self.to_bytes(dtype).map_err(|e| Error::model("in memory", e))
    }

    /// Writes the file, whole or not at all, in the newest format, and returns its SHA-256. This also
    /// brings files of older formats up to date.
    ///
    /// # Errors
    /// [`Error::Model`] when it cannot be written.
    pub fn write(&self, path: impl AsRef<Path>, dtype: StoredDtype) -> Result<String, Error> {
        let path = path.as_ref();
        let write = || -> Result<String, ModelError> {
            let bytes = self.to_bytes(dtype)?;
            write_whole(path, &bytes)?;
            Ok(sha256(&bytes))
        };
        write().map_err(|e| Error::model(&path.display().to_string(), e))
    }

    /// The bytes of an ONNX file for other runtimes.
    ///
    /// Its input `images` is `[batch, 3, size, size]`, its outputs `logits` and `probabilities`
    /// are `[batch, 1]`. Its metadata (`metadata_props`) describes how a face becomes an image
    /// and contains the whole card; averaging over the card's views is left to the caller.
    ///
    /// # Errors
    /// [`Error::Model`] when the weights do not fit the network.
    pub fn to_onnx(&self) -> Result<Vec<u8>, Error> {
        let card = &self.card;
        let onnx = || -> Result<Vec<u8>, ModelError> {
            let size = card.crop.size as usize;
            let calibration = card.levels.crop.calibration;
            let mut options = OnnxOptions::default();
            options.name.clone_from(&card.name);
            options.size = Some([size, size]);
            options.calibration = Some([calibration.slope, calibration.intercept]);
            options.metadata = notes(card)?;
            Ok(card.architecture.to_onnx(&self.weights, &options)?)
        };
        onnx().map_err(|e| Error::model(&card.name, e))
    }

    /// The network on a device, ready to score crops.
    ///
    /// # Errors
    /// [`Error::Model`] when the weights do not fit the network that the card names.
    pub fn load(&self, device: &Device) -> Result<Model, Error> {
        let mut network = NetworkConfig::new(self.card.architecture, 1).init(device);
        network.load(&self.weights).map_err(|e| Error::model(&self.card.name, e))?;
        let info = ModelInfo { sha256: self.sha256.clone(), card: self.card.clone(), dtype: Dtype::F32 };
        Ok(Model::new(info, network.folded(), self.familiarity.clone(), self.localization.clone(), device))
    }
}

/// What an ONNX file says about itself.
fn notes(card: &ModelCard) -> Result<Vec<(String, String)>, ModelError> {
    let FaceCrop { size, scale, align, .. } = card.crop;
    let (mean, deviation) = (card.normalization.mean, card.normalization.deviation);
    let detector = &card.face_detector.name;
    let cut = if align {
        format!("turned so that its five landmarks lie upright, {scale} times the height of the face")
    } else {
        format!("centered on the face box of the detector `{detector}`, {scale} times its longer side")
    };
    let views: Vec<String> = card
        .views
        .iter()
        .map(|view| format!("magnified {}{}", view.zoom, if view.mirrored { " and mirrored" } else { "" }))
        .collect();
    let notes = [
        ("architecture", card.architecture.to_string()),
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
            format!("the score of a face is the mean logit of these views of its crop: {}", views.join("; ")),
        ),
        ("output", "the higher, the more like a manipulated face; `probabilities` is calibrated".to_owned()),
        (ModelFile::CARD_KEY, card.to_json()?),
    ];
    Ok(notes.map(|(key, text)| (key.to_owned(), text)).to_vec())
}
